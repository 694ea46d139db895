"""Find what can be opened in an asset: images, sessions, recordings, tables."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from openallen.formats.documents import ENDINGS
from openallen.formats.kinds import H5, SORTINGS, STORE, kind_of
from openallen.sources.buckets.listing import Levelled

__all__ = ["Content", "contents"]

_MOST_FOLDERS: Final = 300
_TABLES: Final = tuple(e for e in ENDINGS if e not in {".json", ".jsonl", ".npy", ".npz", ".swc"})


@dataclass(frozen=True, slots=True)
class Content:
    """One item that can be opened.

    Parameters
    ----------
    path
        Path in the asset.
    kind
        ``image``, ``session``, ``recording``, ``sorting``, ``analyzer``, ``zarr``, ``table``,
        ``hdf5``.
    size_bytes
        Size of a single file; None for stores of many files.
    """

    path: str
    kind: str
    size_bytes: int | None = None


def contents(place: Levelled, notes: list[str]) -> Iterator[Content]:
    """Iterate over the items that can be opened, level by level; stores are not entered.

    Reads one listing per folder that is not a store, and the metadata of each store.
    """
    waiting = [""]
    seen = 0
    with ThreadPoolExecutor(8, thread_name_prefix="kinds") as pool:
        while waiting:
            path = waiting.pop(0)
            seen += 1
            if seen > _MOST_FOLDERS:
                notes.append(f"only the first {_MOST_FOLDERS} folders were searched")
                return
            entries, folders = place.level(path)
            held = {SORTINGS.get(entry.key.rpartition("/")[2]) for entry in entries} - {None}
            if path and held:
                yield Content(path, "analyzer" if "analyzer" in held else "sorting")
                continue
            for entry in entries:
                yield from _file(_joined(path, entry.key.rpartition("/")[2]), entry.size_bytes)
            below = [_joined(path, name) for name in folders]
            inside_store = any(
                e.key.rpartition("/")[2] in {".zgroup", "zarr.json"} for e in entries
            )
            asked = [b for b in below if inside_store or STORE.search(b)]
            kinds = dict(
                zip(asked, pool.map(lambda b: kind_of(place.within(b)), asked), strict=True)
            )
            for name in below:
                kind = kinds.get(name, "")
                if kind and kind != "zarr":
                    yield Content(name, kind)
                elif kind == "zarr" and place.get(f"{name}/.zarray") is not None:
                    yield Content(name, "zarr")
                elif kind or not inside_store:
                    waiting.append(name)


def _file(path: str, size_bytes: int) -> Iterator[Content]:
    low = path.lower()
    if low.endswith(H5):
        yield Content(path, "hdf5", size_bytes)
    elif low.endswith(_TABLES):
        yield Content(path, "table", size_bytes)


def _joined(path: str, name: str) -> str:
    return f"{path}/{name}".lstrip("/")
