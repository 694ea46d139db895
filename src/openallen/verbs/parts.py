"""Assets and recordings opened, and what lies in them, where it lies."""

from __future__ import annotations

import functools
import weakref
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.address import Address, AddressLike
from openallen.errors import NotFoundError, OfflineError, UsageError
from openallen.settings import Settings
from openallen.verbs.asset import no_conditions, part_objects
from openallen.verbs.fetching import fetch
from openallen.verbs.local import open_place, open_store
from openallen.verbs.place import destination

if TYPE_CHECKING:
    from openallen.sources.assets import Asset
    from openallen.transport.objects import RemoteObjects

__all__ = ["open_asset", "open_part"]

_EXAMPLE: Final = "recording:aind-np2/612962_2022-04-13_19-18-04_ProbeB"
_H5: Final = (".nwb", ".h5", ".hdf5")


def open_asset(name: str, settings: Settings | None = None) -> Asset:
    """Open a whole asset; its parts open with ``asset.open(path)``.

    Parameters
    ----------
    name
        Its name.
    settings
        What to go by; read afresh where None.

    Raises
    ------
    NotFoundError
        If there is none of that name; offline that shows when it is asked.
    """
    from openallen.sources.assets import open_asset as asset_of

    found = asset_of(name, settings)
    with suppress(OfflineError):
        if not found.exists():
            raise found.missing()
    found.opening = functools.partial(_part_of, name, settings)
    found.looking = lambda: part_objects(Address("asset", name), settings)
    return found


def _part_of(name: str, settings: Settings | None, path: str, **options: Any) -> Any:
    where = Address("asset", name, path=tuple(path.strip("/").split("/")))
    return open_part(where, settings=settings, **options)


def open_part(
    what: AddressLike,
    *,
    remote: bool | None = None,
    settings: Settings | None = None,
    **options: Any,
) -> Any:
    """Open part of an asset, or a recording, by what lies there.

    Parameters
    ----------
    what
        ``asset:NAME/path``, ``recording:aind-np2/NAME``.
    remote
        True reads it where it lies, only the parts that are touched; False fetches it first; None
        takes files that were fetched already, and what is made of many files only when offline, as
        nobody else can tell whether all of them are here.
    settings
        What to go by; read afresh where None.
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
    no_conditions(where)
    if not where.path:
        raise UsageError("this names no single thing", address=str(where), hint=_EXAMPLE)
    settings = settings or Settings.load()
    here = _local(where, settings)
    if remote is False:
        fetch(where)
    many = not here.is_file()
    if remote is not True and here.exists() and (remote is False or not many or settings.offline):
        return _open_here(here, **options)
    return _open_far(where, settings, **options)


def _local(where: Address, settings: Settings) -> Path:
    return destination(where, None, settings).joinpath(*where.path)


def _open_here(here: Path, **options: Any) -> Any:
    from openallen.formats.objects import FolderObjects
    from openallen.sources.assets.tables import ENDINGS, read_document

    if here.is_file() and here.name.lower().endswith(ENDINGS):
        with here.open("rb") as file:
            return read_document(FolderObjects(here.parent), here.name, file, **options)
    return open_place(here, **options)


def _open_far(where: Address, settings: Settings, **options: Any) -> Any:
    from openallen.formats.kinds import kind_of
    from openallen.sources.assets.tables import ENDINGS

    *folder, last = where.path
    low = last.lower()
    whole = part_objects(Address(where.scheme, where.name, path=tuple(folder)), settings)
    if low.endswith(ENDINGS):
        if "*" in last or whole.stat(last) is None:
            raise _nothing(where)
        return _document(whole, last, settings, **options)
    if options:
        raise UsageError(f"'{next(iter(options))}' goes with tables only", address=str(where))
    inside = whole.within(last)
    kind = kind_of(inside)
    if kind:
        return _session(inside, str(where)) if kind == "session" else open_store(inside, kind)
    is_file = whole.stat(last) is not None
    if is_file and low.endswith(_H5):
        return _open_h5(whole, last, settings)
    if not is_file and not any(inside.level()):
        raise _nothing(where)
    raise UsageError(
        "this is of no kind that opens where it lies",
        address=str(where),
        why=f"openallen show {where.scheme}:{where.name} says what opens",
        hint=f"openallen list '{where}'",
    )


def _nothing(where: Address) -> NotFoundError:
    if any(mark in part for part in where.path for mark in "*?["):
        why = "patterns are for list and fetch"
        return NotFoundError("one thing is opened at a time", address=str(where), why=why)
    above = "/".join(where.path[:-1])
    return NotFoundError(
        "there is nothing there",
        address=str(where),
        hint=f"openallen list {where.scheme}:{where.name}" + (f"/{above}" if above else ""),
    )


def _session(inside: RemoteObjects, name: str) -> Any:
    from openallen.formats.nwb import open_zarr
    from openallen.sessions.read import any_session_of

    return any_session_of(lambda: open_zarr(inside, name), name)


def _ranged(whole: RemoteObjects, key: str, settings: Settings) -> Any:
    from openallen.store import Store
    from openallen.store.blocks import Blocks
    from openallen.transport import Retry
    from openallen.transport.configured import http_for
    from openallen.transport.ranges import BLOCK_BYTES, RangeFile

    http = http_for(settings)
    url = whole.url(key)
    memory = Blocks(Store(settings.store).root / "ranges", url, BLOCK_BYTES)
    file = RangeFile(http, url, memory=memory, retry=Retry(attempts=settings.attempts))
    weakref.finalize(file, http.close)
    return file


def _document(whole: RemoteObjects, key: str, settings: Settings, **options: Any) -> Any:
    from openallen.sources.assets.tables import COLUMNAR, read_document

    columnar = key.lower().endswith(COLUMNAR)
    file = _ranged(whole, key, settings) if columnar else None
    try:
        return read_document(whole, key, file, **options)
    finally:
        if file is not None:
            file.close()


def _open_h5(whole: RemoteObjects, key: str, settings: Settings) -> Any:
    """Open HDF5 where it lies: a session, or a simulated recording."""
    from openallen.verbs.session import open_url, url_tree

    url, name = whole.url(key), f"{whole.name}/{key}"
    if key.lower().endswith(".nwb"):
        return open_url(url, settings=settings)
    from openallen.sources.recordings.mearec import open_mearec

    return open_mearec(url_tree(settings, url, name, immutable=False), name)
