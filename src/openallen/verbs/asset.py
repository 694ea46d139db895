"""Assets and recordings by address: fetched, or opened where they lie."""

from __future__ import annotations

import functools
import weakref
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.address import Address, AddressLike
from openallen.errors import NotFoundError, UsageError
from openallen.settings import Settings
from openallen.verbs.place import destination

if TYPE_CHECKING:
    from openallen.assets import Asset
    from openallen.assets.viewers import View
    from openallen.brainmap import Client
    from openallen.transfer.job import Job
    from openallen.transport.objects import RemoteObjects

__all__ = ["asset_job", "open_asset", "open_part", "part_objects", "recordings_of", "views_of"]

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
    from openallen.assets.ask import bucket_for
    from openallen.assets.ask import open_asset as asset_of
    from openallen.assets.plan import AssetJob
    from openallen.assets.read import Asset

    _no_conditions(address)
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


def _no_conditions(address: Address) -> None:
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


def open_asset(name: str) -> Asset:
    """Open a whole asset; its parts open with ``asset.open(path)``."""
    from openallen.assets import open_asset as asset_of

    found = asset_of(name)
    found.opening = functools.partial(_part_of, name)
    found.looking = lambda: part_objects(Address("asset", name))
    return found


def _part_of(name: str, path: str, **options: Any) -> Any:
    return open_part(Address("asset", name, path=tuple(path.strip("/").split("/"))), **options)


def part_objects(where: Address, settings: Settings | None = None) -> RemoteObjects:
    """Give what lies below an address of an asset or a recording, read where it lies."""
    from openallen.assets.ask import bucket_for
    from openallen.store import Store
    from openallen.store.objects import KeptObjects
    from openallen.transport.asking import http_for
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
        ``asset:NAME``, or the address of an image in one.
    settings
        What to go by; read afresh where None.

    Returns
    -------
    list of View
        States of neuroglancer it holds; where it holds none, one for each of its images.
    """
    from openallen.assets.content import contents
    from openallen.assets.record import PUBLIC_BUCKET
    from openallen.assets.viewers import image_view, views
    from openallen.formats.kinds import kind_of
    from openallen.formats.omezarr import OmeZarr

    where = Address.parse(what)
    place = part_objects(where, settings)
    path = "/".join(where.path)
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
    from openallen.assets.ask import bucket_for
    from openallen.transport.asking import http_for

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


def open_part(what: AddressLike, *, remote: bool | None = None, **options: Any) -> Any:
    """Open part of an asset, or a recording, by what lies there.

    Parameters
    ----------
    what
        ``asset:NAME/path``, ``recording:aind-np2/NAME``.
    remote
        True reads it where it lies, only the parts that are touched; False fetches it first; None
        takes files that were fetched already, and what is made of many files only when offline, as
        nobody else can tell whether all of them are here.
    **options
        ``columns`` and ``nrows`` of tables.

    Returns
    -------
    OmeZarr, NwbTables, Recording, DataFrame, dict, list, ndarray, Hierarchy
        By what it is.

    Raises
    ------
    NotFoundError
        If there is nothing there.
    UsageError
        If it is of no kind that opens.
    """
    where = Address.parse(what)
    _no_conditions(where)
    if not where.path:
        raise UsageError("this names no single thing", address=str(where), hint=_EXAMPLE)
    settings = Settings.load()
    here = _local(where, settings)
    if remote is False:
        from openallen.verbs.fetching import fetch

        fetch(where)
    many = not here.is_file()
    if remote is not True and here.exists() and (remote is False or not many or settings.offline):
        return _open_here(here, **options)
    return _open_far(where, settings, **options)


def _local(where: Address, settings: Settings) -> Path:
    return destination(where, None, settings).joinpath(*where.path)


def _open_here(here: Path, **options: Any) -> Any:
    from openallen.assets.tables import ENDINGS, read_document
    from openallen.formats.objects import FolderObjects
    from openallen.verbs.opening import open as open_place

    if here.is_file() and here.name.lower().endswith(ENDINGS):
        with here.open("rb") as file:
            return read_document(FolderObjects(here.parent), here.name, file, **options)
    return open_place(here, **options)


def _open_far(where: Address, settings: Settings, **options: Any) -> Any:
    from openallen.assets.tables import ENDINGS

    *folder, last = where.path
    low = last.lower()
    whole = part_objects(Address(where.scheme, where.name, path=tuple(folder)), settings)
    if low.endswith(ENDINGS):
        return _document(whole, last, settings, **options)
    if options:
        raise UsageError(f"'{next(iter(options))}' goes with tables only", address=str(where))
    inside = part_objects(where, settings)
    found = _open_store(inside, str(where))
    if found is None and low.endswith(_H5) and whole.stat(last) is not None:
        return _open_h5(whole, last, settings)
    if found is not None:
        return found
    entries, folders = inside.level()
    if not entries and not folders and whole.stat(last) is None:
        raise NotFoundError("there is nothing there", address=str(where), why=inside.name)
    raise UsageError(
        "this is of no kind that opens where it lies",
        address=str(where),
        hint=f"openallen list '{where}'",
    )


def _open_store(inside: RemoteObjects, name: str) -> Any:
    """Open a folder by what is written to its root; None where that says nothing."""
    from openallen.formats.kinds import kind_of

    kind = kind_of(inside)
    if kind == "image":
        from openallen.formats.omezarr import OmeZarr

        return OmeZarr(inside)
    if kind == "session":
        from openallen.formats.nwb import open_zarr
        from openallen.sessions.read import any_session_of

        return any_session_of(lambda: open_zarr(inside, name), name)
    if kind == "recording":
        from openallen.recordings import open_recording

        return open_recording(inside)
    if kind == "zarr":
        from openallen.formats.zarrs import Hierarchy

        return Hierarchy(inside)
    return None


def _ranged(whole: RemoteObjects, key: str, settings: Settings) -> Any:
    from openallen.store import Store
    from openallen.store.blocks import Blocks
    from openallen.transport import Retry
    from openallen.transport.asking import http_for
    from openallen.transport.ranges import BLOCK_BYTES, RangeFile

    http = http_for(settings)
    url = whole.url(key)
    memory = Blocks(Store(settings.store).root / "ranges", url, BLOCK_BYTES)
    file = RangeFile(http, url, memory=memory, retry=Retry(attempts=settings.attempts))
    weakref.finalize(file, http.close)
    return file


def _document(whole: RemoteObjects, key: str, settings: Settings, **options: Any) -> Any:
    from openallen.assets.tables import read_document

    columnar = key.lower().endswith((".parquet", ".pqt"))
    file = _ranged(whole, key, settings) if columnar else None
    try:
        return read_document(whole, key, file, **options)
    finally:
        if file is not None:
            file.close()


def _open_h5(whole: RemoteObjects, key: str, settings: Settings) -> Any:
    """Open HDF5 where it lies: a session, or a simulated recording."""
    from openallen.verbs.session import open_url

    if key.lower().endswith(".nwb"):
        return open_url(whole.url(key))
    from openallen.recordings.mearec import open_mearec

    return open_mearec(_ranged(whole, key, settings), f"{whole.name}/{key}")
