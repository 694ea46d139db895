"""A tree in Zarr, as hdmf-zarr writes NWB."""

from __future__ import annotations

import functools
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openallen.errors import CorruptError, NotFoundError, RefusedError, requiring
from openallen.formats.chunks import decoding
from openallen.formats.npy import check_texts
from openallen.formats.nwb.links import Beside, Link, Linked, file_beside
from openallen.formats.nwb.values import TimeSeriesReference, plain, referred
from openallen.formats.objects import FolderObjects, Objects

if TYPE_CHECKING:
    import numpy as np

    from openallen.formats.zarrs import Hierarchy

__all__ = ["ZarrTree", "open_zarr"]

_HIDDEN = frozenset({"zarr_link", "zarr_dtype", "_ARRAY_DIMENSIONS"})
_OWN = frozenset({"", "."})


class ZarrTree(Linked):
    """A tree in Zarr, as hdmf-zarr writes NWB.

    Parameters
    ----------
    hierarchy
        The groups and arrays.
    name
        What it is called in messages.
    beside
        Opens another store that a link names; none is where None.
    """

    def __init__(self, hierarchy: Hierarchy, name: str, beside: Beside | None = None) -> None:
        super().__init__(name, beside)
        self.hierarchy = hierarchy

    # --- groups and links -------------------------------------------------------------------------

    def step_at(self, at: str, name: str) -> Link | str | None:
        """Return where a name in a group leads."""
        below = f"{at}/{name}".lstrip("/")
        if self.hierarchy.kind(below):
            return below
        return self._links(at).get(name)

    def _links(self, at: str) -> dict[str, Link]:
        """Return the links of a group, which hdmf-zarr keeps as attributes."""
        told = self.hierarchy.attrs(at, copied=True).get("zarr_link") or []
        links = [link for link in told if isinstance(link, dict)]
        return {str(link.get("name")): self._link(link) for link in links}

    def _link(self, told: dict[str, Any]) -> Link:
        source = str(told.get("source") or "")
        # Paths are from the root of the store, with a slash in front or without.
        path = f"/{str(told.get('path') or '').lstrip('/')}"
        return Link("" if source in _OWN else source, path)

    def is_group_at(self, at: str) -> bool:
        """Return whether a path without links is a group."""
        return self.hierarchy.kind(at) == "group"

    def names_at(self, at: str) -> list[str]:
        """Return the names in a group, in alphabetical order."""
        return sorted({*self.hierarchy.members(at), *self._links(at)})

    def identity_at(self, at: str) -> object:
        """Return what tells a group or array from all others of the file."""
        return at

    # --- values -----------------------------------------------------------------------------------

    def attrs_at(self, at: str) -> dict[str, Any]:
        """Return attributes."""
        told = self.hierarchy.attrs(at)
        return {k: referred(plain(v)) for k, v in told.items() if k not in _HIDDEN}

    def shape_at(self, at: str) -> tuple[int, ...]:
        """Return the shape of an array."""
        return tuple(self.lazy_at(at).shape)

    def value_at(self, at: str) -> Any:
        """Return a scalar."""
        found = self.array_at(at)
        if found.size == 1:  # hdmf-zarr keeps a scalar as an array of one
            return plain(found.reshape(-1)[0])
        return plain(found) if found.size else None

    def item_at(self, at: str, index: int) -> Any:
        """Return one item of an array."""
        return plain(self.part_at(at, slice(index, index + 1 or None))[0])

    def lazy_at(self, at: str) -> Any:
        """Return an array that is read as it is sliced."""
        return self.hierarchy.array(at)

    def array_at(self, at: str) -> np.ndarray[Any, Any]:
        """Return a whole array."""
        import numpy as np

        with decoding("this file cannot be read", self.name):
            found = check_texts(np.asarray(self.lazy_at(at)[...]), self.name)
            return _decoded(found, self._fields(at))

    def part_at(self, at: str, key: Any) -> np.ndarray[Any, Any]:
        """Return part of an array."""
        import numpy as np

        data = self.lazy_at(at)
        whole = not isinstance(key, tuple) or not hasattr(data, "oindex")
        with decoding("part of this file is damaged", self.name):
            found = np.asarray(data[key] if whole else data.oindex[key])
            return _decoded(check_texts(found, self.name), self._fields(at))

    def _fields(self, at: str) -> tuple[str, ...]:
        """Name the fields of a compound type; none where an array has none."""
        told = (self.hierarchy.described(at) or {}).get("dtype")
        fields = told if isinstance(told, list) else []
        return tuple(str(field[0]) for field in fields if isinstance(field, list) and field)

    def ready(self, paths: list[str]) -> None:
        """Have arrays that are about to be read at hand, asked for all at once."""
        wanted = []
        for path in paths:
            try:
                found = self._seek(path)
            except (NotFoundError, RefusedError, CorruptError):
                continue  # says so when it is read
            if found is not None and found[0] is self:
                wanted.append(found[1])
        self.hierarchy.ready(wanted)


def _decoded(found: np.ndarray[Any, Any], fields: tuple[str, ...]) -> np.ndarray[Any, Any]:
    """Return what was read with text as str, references as paths, rows of them as tuples."""
    import numpy as np

    if found.dtype.kind in {"U", "S", "T"}:
        found = found.astype(object)
    if found.dtype != object:
        return found
    made = np.empty(found.size, dtype=object)
    for at, value in enumerate(found.reshape(-1).tolist()):
        made[at] = _cell(value, fields)
    return made.reshape(found.shape)


def _cell(value: Any, fields: tuple[str, ...]) -> Any:
    if fields and isinstance(value, (tuple, list)) and len(value) == len(fields):
        row = tuple(referred(plain(one)) for one in value)
        if fields == ("idx_start", "count", "timeseries"):
            return TimeSeriesReference(*row)
        return row
    return referred(plain(value))


def open_zarr(
    place: Path | Objects, name: str, *, around: Objects | None = None, at: str = ""
) -> ZarrTree:
    """Open a Zarr group: a folder, or objects that lie elsewhere.

    Parameters
    ----------
    place
        The folder, or the objects.
    name
        What it is called in messages.
    around
        The objects of the folder around it, or further up, of which links may name others.
    at
        Where among these it lies; its last name where empty.

    Raises
    ------
    CorruptError
        If it is not one.
    MissingExtraError
        Without zarr.
    """
    with requiring("reading NWB in Zarr", "images"):
        from openallen.formats.zarrs import Hierarchy
    try:
        objects = FolderObjects(place) if isinstance(place, Path) else place
        tree = ZarrTree(Hierarchy(objects), name)
    except NotFoundError as error:
        raise CorruptError("not a Zarr group", address=name, why=error.what) from error
    if isinstance(objects, FolderObjects):
        tree.beside = functools.partial(_beside_here, tree, objects.folder.absolute())
    elif around is not None:
        at = at or objects.name.rpartition("/")[2]
        tree.beside = functools.partial(_beside_there, tree, around, at)
    return tree


def _beside_here(tree: ZarrTree, place: Path, source: str) -> Linked:
    from openallen.formats.nwb.h5 import open_h5

    found = file_beside(place, source, place, place.parent)
    if found.resolve() == place.resolve():
        return tree
    return open_zarr(found, str(found)) if found.is_dir() else open_h5(found, str(found))


def _beside_there(tree: ZarrTree, around: Objects, at: str, source: str) -> Linked:
    """Open another store around one: where its link says, else by its last name beside it.

    Links keep paths of the machine that wrote them, so that only the last name may be right.
    """
    folder = posixpath.dirname(at)
    last = posixpath.basename(source.rstrip("/"))
    meant = [posixpath.join(at, source), posixpath.join(folder, source)]
    if "://" in source or source.startswith("/"):
        meant = []
    beside = [posixpath.join(folder, last)] if last not in {"", ".", ".."} else []
    places = dict.fromkeys(posixpath.normpath(path) for path in [*meant, *beside])
    for path in places:
        if path == at:
            return tree
        if path.partition("/")[0] in {"", ".", ".."}:  # outside, or all of it
            continue
        try:
            return open_zarr(around.within(path), f"{around.name}/{path}", around=around, at=path)
        except CorruptError as error:
            if not isinstance(error.__cause__, NotFoundError):
                raise
    raise NotFoundError("linked to another file, which is not here", address=tree.name)
