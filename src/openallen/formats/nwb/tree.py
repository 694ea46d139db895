"""A file as a tree: groups, attributes, arrays, text; whatever container it is in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from openallen.errors import (
    CorruptError,
    NotFoundError,
    OpenAllenError,
    TruncatedError,
    UsageError,
    requiring,
)
from openallen.formats.chunks import decoding
from openallen.formats.objects import FolderObjects, Objects

if TYPE_CHECKING:
    import h5py
    import numpy as np

    from openallen.formats.zarrs import Hierarchy

__all__ = ["Bytes", "H5Tree", "Tree", "ZarrTree", "open_h5", "open_zarr"]

_DIRECT_BYTES: Final = 1 << 20
_MOST_LINKS: Final = 16
_SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"


class Bytes(Protocol):
    """What a file offers beyond reading: many ranges at once.

    Attributes
    ----------
    error : OpenAllenError or None
        Why the last read failed.
    """

    error: OpenAllenError | None

    def read_at(self, start: int, stop: int) -> bytearray:
        """Return the bytes of one range."""
        ...

    def prefetch(self, ranges: list[tuple[int, int]]) -> None:
        """Have the bytes of ranges (first, behind the last) at hand before they are read."""
        ...


class Tree(Protocol):
    """A file being read.

    Attributes
    ----------
    name : str
        What it is called in messages.
    """

    name: str

    def has(self, path: str) -> bool:
        """Return whether there is a group or an array at `path`."""
        ...

    def names(self, path: str) -> list[str]:
        """Return the names in a group, in alphabetical order; none where there is no group."""
        ...

    def groups(self, path: str) -> list[str]:
        """Return the names of the groups in a group, in alphabetical order."""
        ...

    def lazy(self, path: str) -> Any:
        """Return an array that is read as it is sliced."""
        ...

    def attrs(self, path: str) -> Mapping[str, Any]:
        """Return the attributes of a group or array, text as str."""
        ...

    def array(self, path: str) -> np.ndarray[Any, Any]:
        """Return a whole array; text as an object array of str, truth values as bool."""
        ...

    def part(self, path: str, key: Any) -> np.ndarray[Any, Any]:
        """Return the part of an array that `key` selects, reading no other."""
        ...

    def value(self, path: str) -> Any:
        """Return a scalar."""
        ...

    def item(self, path: str, at: int) -> Any:
        """Return one item of an array, without reading the others where they lie in order."""
        ...

    def shape(self, path: str) -> tuple[int, ...]:
        """Return the shape of an array."""
        ...

    def ready(self, paths: list[str]) -> None:
        """Have arrays that are about to be read at hand, asked for all at once; may do nothing."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class H5Tree:
    """A tree in HDF5.

    Parameters
    ----------
    file
        The open file.
    name
        What it is called in messages.
    ranges
        Reads many ranges at once, where the file is remote.
    """

    def __init__(self, file: h5py.File, name: str, ranges: Bytes | None = None) -> None:
        self.file = file
        self.name = name
        self._ranges = ranges
        self._closing: tuple[Callable[[], object], ...] = ()

    def also_close(self, *closing: Callable[[], object]) -> None:
        """Call these when the file is closed."""
        self._closing += closing

    @property
    def _open(self) -> h5py.File:
        if not self.file:
            raise UsageError("this file was closed", address=self.name, hint="open it again")
        return self.file

    def has(self, path: str) -> bool:
        """Return whether there is a group or an array at `path`."""
        return path in self._open

    def names(self, path: str) -> list[str]:
        """Return the names in a group, in alphabetical order; none where there is no group."""
        return sorted(self._open[path]) if path in self._open else []

    def groups(self, path: str) -> list[str]:
        """Return the names of the groups in a group, in alphabetical order."""
        import h5py

        inside = self._item(path or "/")
        return sorted(n for n in inside if inside.get(n, getclass=True) is h5py.Group)

    def lazy(self, path: str) -> Any:
        """Return an array that is read as it is sliced."""
        return self._item(path)

    def attrs(self, path: str) -> Mapping[str, Any]:
        """Return the attributes of a group or array, text as str."""
        found = self._item(path).attrs
        return {name: _plain(found[name]) for name in found}

    def shape(self, path: str) -> tuple[int, ...]:
        """Return the shape of an array."""
        return tuple(self._item(path).shape)

    def value(self, path: str) -> Any:
        """Return a scalar."""
        return _plain(self._item(path)[()])

    def item(self, path: str, at: int) -> Any:
        """Return one item of an array."""
        return _plain(self._item(path)[at])

    def array(self, path: str) -> np.ndarray[Any, Any]:
        """Return a whole array; text as an object array of str, truth values as bool.

        Raises
        ------
        NotFoundError
            If there is none.
        CorruptError
            If its bytes cannot be read.
        """
        import h5py
        import numpy as np

        data = self._item(path)
        if h5py.check_string_dtype(data.dtype) is not None:
            return np.asarray(self._read(data.asstr()), dtype=object)
        direct = self._direct(data)
        return np.asarray(self._read(data)) if direct is None else direct

    def part(self, path: str, key: Any) -> np.ndarray[Any, Any]:
        """Return the part of an array that `key` selects, reading no other.

        Raises
        ------
        NotFoundError
            If no such array.
        CorruptError
            If its bytes cannot be read.
        """
        import numpy as np

        data = self._item(path)
        if self._ranges is not None and data.chunks is not None:
            self._ranges.prefetch(_chunks(data, _bounds(key, data.shape)))
        return np.asarray(self._read(data, key))

    def ready(self, paths: list[str]) -> None:
        """Have arrays that are about to be read at hand, asked for all at once."""
        if self._ranges is None:
            return
        wanted: list[tuple[int, int]] = []
        for path in paths:
            data = self._open.get(path)
            if data is None or not hasattr(data, "chunks"):
                continue
            if data.chunks is not None:
                wanted += _chunks(data)
            elif (offset := data.id.get_offset()) is not None:
                wanted.append((offset, offset + data.id.get_storage_size()))
        self._ranges.prefetch(wanted)

    def _direct(self, data: h5py.Dataset) -> np.ndarray[Any, Any] | None:
        """Read a large remote array past the library: its bytes in parallel, as they lie."""
        import numpy as np

        if self._ranges is None or data.nbytes < _DIRECT_BYTES:
            return None
        if data.chunks is None:
            offset = data.id.get_offset()
            if offset is None or data.dtype.hasobject or data.dtype.kind not in "iufb":
                return None
            raw = self._ranges.read_at(offset, offset + data.nbytes)
            return np.frombuffer(raw, data.dtype).reshape(data.shape)
        self._ranges.prefetch(_chunks(data))
        return None

    def _read(self, data: Any, key: Any = ()) -> Any:
        try:
            return data[key]
        except (OSError, RuntimeError) as error:
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> Exception:
        """Return what went wrong below the library, else that the file is damaged."""
        told = self._ranges.error if self._ranges is not None else None
        if told is not None and self._ranges is not None:
            self._ranges.error = None  # said once: the next failure has a reason of its own
        return told or _broken(error, self.name)

    def _item(self, path: str) -> Any:
        try:
            return self._open[path]
        except KeyError:
            raise NotFoundError("not in this file", address=self.name, why=f"no {path}") from None
        except (OSError, RuntimeError) as error:
            raise self._broken(error) from error

    def close(self) -> None:
        """Close the file."""
        self.file.close()
        for close in self._closing:
            close()


def _chunks(
    data: h5py.Dataset, within: list[tuple[int, int]] | None = None
) -> list[tuple[int, int]]:
    """Return where the chunks of an array lie in the file; those that touch a part of it."""
    found: list[tuple[int, int]] = []
    sizes = data.chunks

    def see(chunk: Any) -> None:
        spans = zip(chunk.chunk_offset, sizes, within or (), strict=False)
        if all(at < stop and at + size > start for at, size, (start, stop) in spans):
            found.append((chunk.byte_offset, chunk.byte_offset + chunk.size))

    with suppress(ValueError, RuntimeError, AttributeError):  # not in every HDF5 library
        data.id.chunk_iter(see)
    return found


def _bounds(key: Any, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return from where to where a key reaches along each axis: slices, numbers, arrays of them."""
    import numpy as np

    keys = key if isinstance(key, tuple) else (key,)
    found = []
    for one, size in zip(keys, shape, strict=False):
        places = np.asarray(range(size)[one] if isinstance(one, slice) else one).reshape(-1)
        # An empty selection touches no chunk.
        found.append((int(places.min()), int(places.max()) + 1) if places.size else (0, 0))
    return found


class ZarrTree:
    """A tree in Zarr, as hdmf-zarr writes NWB.

    Parameters
    ----------
    hierarchy
        The groups and arrays.
    name
        What it is called in messages.
    """

    def __init__(self, hierarchy: Hierarchy, name: str) -> None:
        self.hierarchy = hierarchy
        self.name = name
        self._closing: tuple[Callable[[], object], ...] = ()

    def also_close(self, *closing: Callable[[], object]) -> None:
        """Call these when the tree is closed."""
        self._closing += closing

    def has(self, path: str) -> bool:
        """Return whether there is a group or an array at `path`."""
        return self._find(path) is not None

    def names(self, path: str) -> list[str]:
        """Return the names in a group, in alphabetical order; none where there is no group."""
        found = self._find(path)
        if found is None or self.hierarchy.kind(found) != "group":
            return []
        return sorted({*self.hierarchy.members(found), *self._links(found)})

    def groups(self, path: str) -> list[str]:
        """Return the names of the groups in a group, in alphabetical order."""
        found = self._item(path)
        below = {n: f"{found}/{n}".lstrip("/") for n in self.hierarchy.members(found)}
        below |= self._links(found)
        places = {n: self._find(where) for n, where in below.items()}
        return sorted(
            n for n, at in places.items() if at is not None and self.hierarchy.kind(at) == "group"
        )

    def attrs(self, path: str) -> Mapping[str, Any]:
        """Return the attributes of a group or array; references as the paths they point at."""
        hidden = {"zarr_link", "zarr_dtype", "_ARRAY_DIMENSIONS"}
        told = self.hierarchy.attrs(self._item(path))
        return {k: _referred(_plain(v)) for k, v in told.items() if k not in hidden}

    def shape(self, path: str) -> tuple[int, ...]:
        """Return the shape of an array."""
        return tuple(self.lazy(path).shape)

    def value(self, path: str) -> Any:
        """Return a scalar; hdmf-zarr keeps it as an array of one."""
        found = self.array(path)
        return _plain(found.reshape(-1)[0] if found.size else None)

    def item(self, path: str, at: int) -> Any:
        """Return one item of an array."""
        return _plain(self.lazy(path)[at])

    def lazy(self, path: str) -> Any:
        """Return an array that is read as it is sliced."""
        return self.hierarchy.array(self._item(path))

    def array(self, path: str) -> np.ndarray[Any, Any]:
        """Return a whole array; text as an object array of str.

        Raises
        ------
        NotFoundError
            If there is none.
        TruncatedError, CorruptError
            If a chunk is missing or cannot be read.
        """
        import numpy as np

        with decoding("this file cannot be read", self.name):
            found = np.asarray(self.lazy(path)[...])
        if found.dtype.kind in {"U", "S", "T"}:
            found = found.astype(object)
        if found.dtype == object:
            for at, value in np.ndenumerate(found):
                found[at] = _referred(_plain(value))
        return found

    def part(self, path: str, key: Any) -> np.ndarray[Any, Any]:
        """Return the part of an array that `key` selects, reading no other.

        Raises
        ------
        NotFoundError
            If no such array.
        TruncatedError, CorruptError
            If a chunk is missing or cannot be read.
        """
        import numpy as np

        data = self.lazy(path)
        with decoding("part of this file is damaged", self.name):
            return np.asarray(data.oindex[key] if isinstance(key, tuple) else data[key])

    def ready(self, paths: list[str]) -> None:
        """Have arrays that are about to be read at hand, asked for all at once."""
        self.hierarchy.ready([found for path in paths if (found := self._find(path)) is not None])

    def _links(self, path: str) -> dict[str, str]:
        told = self.hierarchy.attrs(path, copied=True).get("zarr_link") or []
        links = [link for link in told if isinstance(link, dict)]
        return {str(link.get("name")): str(link.get("path")) for link in links}

    def _find(self, path: str, followed: int = 0) -> str | None:
        """Follow a path, through the links that hdmf-zarr keeps as attributes."""
        if followed > _MOST_LINKS:
            raise CorruptError("circular links", address=self.name, why=path)
        at = ""
        for part in path.strip("/").split("/"):
            if not part:
                continue
            below = f"{at}/{part}".lstrip("/")
            if self.hierarchy.kind(below):
                at = below
                continue
            link = self._links(at).get(part)
            found = self._find(link, followed + 1) if link is not None else None
            if found is None:
                return None
            at = found
        return at

    def _item(self, path: str) -> str:
        found = self._find(path)
        if found is None:
            raise NotFoundError("not in this file", address=self.name, why=f"no {path}")
        return found

    def close(self) -> None:
        """Close it; a Zarr group itself holds nothing open."""
        for close in self._closing:
            close()


def _referred(value: Any) -> Any:
    """Return the path a reference of hdmf-zarr points at; other values as they are."""
    if isinstance(value, dict):
        inner = value.get("value", value)
        if isinstance(inner, dict) and "path" in inner and "source" in inner:
            return inner["path"]
    return value


def open_h5(source: Any, name: str, ranges: Bytes | None = None) -> H5Tree:
    """Open an HDF5 file.

    Parameters
    ----------
    source
        A path, or a file object.
    name
        What it is called in messages.
    ranges
        Reads many ranges at once, where the file is remote.

    Raises
    ------
    TruncatedError, CorruptError
        If it is not a whole HDF5 file.
    MissingExtraError
        Without h5py.
    """
    with requiring("reading HDF5 files", "nwb"):
        import h5py
    try:
        return H5Tree(h5py.File(source, "r"), name, ranges)
    except (OSError, RuntimeError) as error:
        told = ranges.error if ranges is not None else None
        raise (told or _not_whole(error, source, name)) from error


def _not_whole(error: Exception, source: Any, name: str) -> Exception:
    """Return the error for a file that cannot be opened."""
    if "truncated" in str(error):
        return TruncatedError(
            "truncated HDF5 file", address=name, why=str(error), hint="fetch it again"
        )
    beginning = _beginning(source)
    if beginning and not beginning.startswith(_SIGNATURE):
        return CorruptError(
            "not an HDF5 file", address=name, why=f"it begins with {beginning[:12]!r}"
        )
    return _broken(error, name)


def _beginning(source: Any) -> bytes:
    try:
        if isinstance(source, (str, Path)):
            with Path(source).open("rb") as file:
                return file.read(512)
        source.seek(0)
        return bytes(source.read(512))
    except OSError:
        return b""


def _broken(error: Exception, name: str) -> Exception:
    text = str(error).strip().splitlines()
    return CorruptError(
        "this file cannot be read", address=name, why=text[0] if text else type(error).__name__
    )


def open_zarr(place: Path | Objects, name: str) -> ZarrTree:
    """Open a Zarr group: a folder, or objects that lie elsewhere.

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
        return ZarrTree(Hierarchy(FolderObjects(place) if isinstance(place, Path) else place), name)
    except NotFoundError as error:
        raise CorruptError("not a Zarr group", address=name, why=error.what) from error


def _plain(value: Any) -> Any:
    """Return text as str, arrays of text as lists of str, numpy scalars as Python's own."""
    import numpy as np

    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        if value.dtype.kind in {"O", "S", "U"}:
            return [_plain(v) for v in value.tolist()]
        return value if value.ndim else value.item()
    if isinstance(value, np.generic):
        return value.item()
    return value
