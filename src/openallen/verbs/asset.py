"""Assets and recordings by address: fetched, or opened where they lie."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.address import Address, AddressLike
from openallen.errors import NotFoundError, UsageError
from openallen.settings import Settings

if TYPE_CHECKING:
    from openallen.brainmap import Client
    from openallen.sources.assets.viewers import View
    from openallen.transfer.job import Job
    from openallen.transport.objects import RemoteObjects

__all__ = ["asset_job", "no_conditions", "part_objects", "recordings_of", "views_of"]

_BENCHMARK: Final = "aind-benchmark-data"
_EXAMPLE: Final = "recording:aind-np2/612962_2022-04-13_19-18-04_ProbeB"
_H5: Final = (".nwb", ".h5", ".hdf5")


def asset_job(client: Client, address: Address, to: Path) -> Job:
    """Give the job that fetches an asset, a recording, or the part of it a pattern names.

    Raises
    ------
    UsageError
        If the address has options.
    NotFoundError
        If there is nothing of that name.
    """
    from openallen.sources.assets.access import bucket_for
    from openallen.sources.assets.access import open_asset as asset_of
    from openallen.sources.assets.plan import AssetJob
    from openallen.sources.assets.read import Asset

    no_conditions(address)
    settings = Settings.load(source=client.source)
    if address.scheme == "asset":
        bucket = bucket_for(client.http, settings)
        asset, pattern = asset_of(address.name, settings), address.path
    else:
        bucket = bucket_for(client.http, settings, _BENCHMARK)
        name, pattern = _recording(address)
        prefix = _prefix(address.name, name)
        asset, to = (
            Asset(name or address.name, lambda: nullcontext(bucket), None, prefix),
            to / name,
        )
    return AssetJob.of(bucket, asset, address, to, source=f"s3://{bucket.name}", parts=pattern)


def no_conditions(address: Address) -> None:
    """See that the address of an asset or a recording has no options.

    Raises
    ------
    UsageError
        If it has.
    """
    if address.conditions:
        raise UsageError(
            f"{address.scheme}s have no option '{address.conditions[0].field}'",
            address=str(address),
            hint=f"asset:{address.name}/behavior/*.csv",
        )


def _recording(where: Address) -> tuple[str, tuple[str, ...]]:
    """Give the folder of a recording, and the part of it; simulated ones are single files."""
    if not where.path or where.path[0].endswith(_H5):
        return "", where.path
    return where.path[0], where.path[1:]


def _prefix(kind: str, name: str) -> str:
    """Give the folder of a recording of the benchmark, in its bucket."""
    return f"ephys-compression/{kind}/" + (f"{name}/" if name else "")


def part_objects(where: Address, settings: Settings | None = None) -> RemoteObjects:
    """Give what lies below an address of an asset or a recording, read where it lies."""
    from openallen.sources.assets.access import bucket_for
    from openallen.store import Store
    from openallen.store.objects import KeptObjects
    from openallen.transport.configured import http_for
    from openallen.transport.objects import RemoteObjects

    chosen = settings or Settings.load()
    http = http_for(chosen)
    kept = KeptObjects(Store(chosen.store).root / "ranges" / "objects")
    if where.scheme == "asset":
        bucket, prefix = bucket_for(http, chosen), f"{where.name}/"
        below = where.path
    else:
        bucket, prefix = bucket_for(http, chosen, _BENCHMARK), _prefix(where.name, "")
        below = where.path
    found = RemoteObjects(bucket, prefix, kept)
    found.also_close(http.close)
    return found.within("/".join(below)) if below else found


def views_of(what: AddressLike, *, settings: Settings | None = None) -> list[View]:
    """Say where an asset, or an image in it, can be looked at in a browser.

    Parameters
    ----------
    what
        ``asset:NAME``, or the address of an image or a state in one.
    settings
        What to go by; read afresh where None.

    Returns
    -------
    list of View
        States of neuroglancer it holds; where it holds none, one for each of its images.
    """
    from openallen.formats.kinds import kind_of
    from openallen.formats.omezarr import OmeZarr
    from openallen.sources.assets.content import contents
    from openallen.sources.assets.record import PUBLIC_BUCKET
    from openallen.sources.assets.viewers import image_view, view_of, views

    where = Address.parse(what)
    path = "/".join(where.path)
    if path.endswith(".json"):
        whole = part_objects(Address("asset", where.name), settings)
        return list(view_of(whole, path, f"{whole.name}/{path}"))
    place = part_objects(where, settings)
    if not any(place.level()):
        raise NotFoundError(
            "there is nothing there", address=str(where), hint=f"openallen list asset:{where.name}"
        )
    if kind_of(place) == "image":
        return [image_view(OmeZarr(place).told, path, place.name)]
    found = list(views(place, PUBLIC_BUCKET))
    if found:
        return found
    images = [one.path for one in contents(place, []) if one.kind == "image"]
    inner = [(one, place.within(one)) for one in images]
    return [image_view(OmeZarr(at).told, f"{path}/{one}".lstrip("/"), at.name) for one, at in inner]


def recordings_of(where: Address, settings: Settings | None = None) -> list[dict[str, Any]]:
    """Give what the compression benchmark holds: kinds of recordings, or those of one kind.

    Raises
    ------
    NotFoundError
        If there is no such kind.
    """
    from openallen.sources.assets.access import bucket_for
    from openallen.transport.configured import http_for

    chosen = settings or Settings.load()
    with http_for(chosen) as http:
        bucket = bucket_for(http, chosen, _BENCHMARK)
        prefix = _prefix(where.name, "") if where.name else "ephys-compression/"
        entries, folders = bucket.level(prefix)
    names = [folder.removeprefix(prefix).rstrip("/") for folder in folders]
    if not where.name:
        return [{"kind": name, "address": f"recording:{name}"} for name in names]
    files = [e.key.removeprefix(prefix) for e in entries if e.key.endswith(_H5)]
    if not names and not files:
        raise NotFoundError(
            "there are no recordings of this kind",
            address=str(where),
            hint="openallen list recording:",
        )
    return [
        {"recording": name, "address": f"recording:{where.name}/{name}"}
        for name in sorted([*names, *files])
    ]
