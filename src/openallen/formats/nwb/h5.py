"""A tree in HDF5."""

from __future__ import annotations

import functools
import logging
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import (
    CorruptError,
    MissingExtraError,
    NotFoundError,
    RefusedError,
    TruncatedError,
    UsageError,
    requiring,
)
from openallen.formats.nwb.claims import check_claim
from openallen.formats.nwb.links import Beside, Link, Linked, file_beside
from openallen.formats.nwb.values import StrangeError, plain, rows_of, text_of

if TYPE_CHECKING:
    import h5py
    import numpy as np

    from openallen.formats.nwb.tree import Bytes

__all__ = ["H5Tree", "open_h5"]

_LOG: Final = logging.getLogger("openallen.formats")
_DIRECT_BYTES: Final = 1 << 20
_SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
_LOCKS: Final = ("unable to lock file", "file locking", "lock file")


class H5Tree(Linked):
    """A tree in HDF5.

    Parameters
    ----------
    file
        The open file.
    name
        What it is called in messages.
    ranges
        Reads many ranges at once, where the file is remote.
    beside
        Opens another file that a link names; none is where None.
    """

    def __init__(
        self,
        file: h5py.File,
        name: str,
        ranges: Bytes | None = None,
        beside: Beside | None = None,
    ) -> None:
        super().__init__(name, beside)
        self.file = file
        self._ranges = ranges
        self._paths: dict[int, str | None] = {}
        self._folders: dict[str, Any] = {}

    @property
    def _open(self) -> h5py.File:
        if not self.file:
            raise UsageError("this file was closed", address=self.name, hint="open it again")
        return self.file

    def _seek(self, path: str) -> tuple[Linked, str] | None:
        _ = self._open  # a path that was found before is none in a file that was closed
        return super()._seek(path)

    # --- groups and links -------------------------------------------------------------------------

    def _group(self, at: str) -> Any:
        """Return a group of this file; None where the path is an array."""
        import h5py

        if at not in self._folders:
            found = self._object(at)
            self._folders[at] = found if isinstance(found, h5py.Group) else None
        return self._folders[at]

    def step_at(self, at: str, name: str) -> Link | str | None:
        """Return where a name in a group leads."""
        import h5py

        group = self._group(at)
        if group is None:
            return None
        links, raw = group.id.links, name.encode("utf-8", "surrogateescape")
        try:
            if not links.exists(raw):
                return None
            kind = links.get_info(raw).type
            if kind == h5py.h5l.TYPE_HARD:
                return f"{at}/{name}".lstrip("/")
            told = links.get_val(raw)
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            raise self._broken(error) from error
        if kind == h5py.h5l.TYPE_SOFT:
            return Link("", text_of(told))
        if kind == h5py.h5l.TYPE_EXTERNAL:
            return Link(text_of(told[0]), f"/{text_of(told[1])}")
        return None

    def is_group_at(self, at: str) -> bool:
        """Return whether a path without links is a group."""
        return self._group(at) is not None

    def names_at(self, at: str) -> list[str]:
        """Return the names in a group, in alphabetical order."""
        group = self._group(at)
        try:
            return sorted(text_of(name) for name in group) if group is not None else []
        except (OSError, RuntimeError) as error:
            raise self._broken(error) from error

    def identity_at(self, at: str) -> object:
        """Return what tells a group or array from all others of the file."""
        import h5py

        found = self._object(at)
        try:
            told = h5py.h5o.get_info(found.id)
        except (OSError, RuntimeError, KeyError) as error:
            raise self._broken(error) from error
        return told.fileno, told.addr

    def _object(self, at: str) -> Any:
        """Return a group or array by a path without links."""
        try:
            return self._open[at or "/"]
        except KeyError as error:
            told = self._told()
            if told is not None:
                raise told from error
            raise NotFoundError("not in this file", address=self.name, why=f"no {at}") from None
        except (OSError, RuntimeError) as error:
            raise self._broken(error) from error

    def _refuse_outside(self, found: Any) -> None:
        """Refuse arrays whose bytes lie in other files, which may be any of this machine.

        Raises
        ------
        RefusedError
            If this is one.
        """
        import h5py

        if not isinstance(found, h5py.Dataset):
            return
        plist = found.id.get_create_plist()
        outside = [text_of(plist.get_external(n)[0]) for n in range(plist.get_external_count())]
        if plist.get_layout() == h5py.h5d.VIRTUAL:
            sources = {plist.get_virtual_filename(n) for n in range(plist.get_virtual_count())}
            outside += sorted(text_of(one) for one in sources - {"."})
        if outside:
            raise RefusedError(
                "arrays stored in another file are not read",
                address=self.name,
                why=f"{found.name} lies in {outside[0]}",
            )

    # --- values -----------------------------------------------------------------------------------

    def lazy_at(self, at: str) -> Any:
        """Return an array that is read as it is sliced."""
        found = self._object(at)
        self._refuse_outside(found)
        return found

    def attrs_at(self, at: str) -> dict[str, Any]:
        """Return attributes."""
        found = self._object(at).attrs
        told: dict[str, Any] = {}
        for name in self._read_names(found):
            try:
                told[text_of(name)] = self._plain(found[name])
            except (TypeError, ValueError) as error:  # of a type that numpy does not have
                _LOG.warning("%s: attribute %s of %s: %s", self.name, name, at or "/", error)
            except (OSError, RuntimeError, KeyError) as error:
                raise self._broken(error) from error
        return told

    def _read_names(self, attrs: Any) -> list[str]:
        try:
            return list(attrs)
        except (OSError, RuntimeError) as error:
            raise self._broken(error) from error

    def _plain(self, value: Any) -> Any:
        import h5py
        import numpy as np

        if isinstance(value, h5py.Empty):
            return "" if value.dtype.kind in "SO" else np.empty(0, value.dtype)
        if isinstance(value, (h5py.Reference, h5py.RegionReference)):
            return self._path_of(value)
        if isinstance(value, np.ndarray) and value.dtype.kind == "O":
            found = [self._plain(one) for one in value.reshape(-1).tolist()]
            return found if value.ndim else found[0]
        return plain(value)

    def shape_at(self, at: str) -> tuple[int, ...]:
        """Return the shape of an array."""
        told = self._dataset(at).shape
        return (0,) if told is None else tuple(told)

    def _dataset(self, at: str) -> Any:
        import h5py

        found = self.lazy_at(at)
        if not isinstance(found, h5py.Dataset):
            raise StrangeError("a group where an array is expected", address=self.name, why=at)
        return found

    def value_at(self, at: str) -> Any:
        """Return a scalar."""
        found = self.array_at(at)
        return plain(found.reshape(-1)[0]) if found.size == 1 else plain(found)

    def item_at(self, at: str, index: int) -> Any:
        """Return one item of an array."""
        data = self._dataset(at)
        return plain(self._decoded(self._read(data, index), self._dtype(data))[()])

    def array_at(self, at: str) -> np.ndarray[Any, Any]:
        """Return a whole array."""
        data = self._dataset(at)
        dtype = self._dtype(data)
        direct = self._direct(data)
        return self._decoded(self._read(data) if direct is None else direct, dtype)

    def part_at(self, at: str, key: Any) -> np.ndarray[Any, Any]:
        """Return part of an array."""
        data = self._dataset(at)
        dtype = self._dtype(data)
        if self._ranges is not None and data.chunks is not None:
            self._ranges.prefetch(_chunks(data, _bounds(key, data.shape)))
        return self._decoded(self._read(data, key), dtype)

    def ready(self, paths: list[str]) -> None:
        """Have arrays that are about to be read at hand, asked for all at once."""
        if self._ranges is None:
            return
        wanted: list[tuple[int, int]] = []
        for path in paths:
            found = self._seek(path)
            data = found[0].lazy_at(found[1]) if found is not None and found[0] is self else None
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

    def _dtype(self, data: h5py.Dataset) -> np.dtype[Any]:
        try:
            dtype: np.dtype[Any] = data.dtype
        except (TypeError, ValueError) as error:
            raise _strange(error, self.name, data.name) from error
        return dtype

    def _read(self, data: h5py.Dataset, key: Any = ()) -> Any:
        import numpy as np

        if data.shape is None:
            return np.empty(0, self._dtype(data))
        check_claim(data, key, self.name)
        try:
            return data[key]
        except (OSError, RuntimeError, MemoryError) as error:
            lacking = _filter_lacking(data)
            if lacking == "":  # it was brought meanwhile
                return data[key]
            if lacking is not None:
                raise _needs_filter(lacking, self.name, data.name) from error
            raise self._broken(error) from error
        except (TypeError, ValueError) as error:
            raise _strange(error, self.name, data.name) from error

    def _decoded(self, raw: Any, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
        """Return what was read with text, labels and references as str."""
        import h5py
        import numpy as np

        found = np.asarray(raw)
        if dtype.names is not None:
            return self._rows(found, dtype) if _holds_objects(dtype) else found
        labels = h5py.check_enum_dtype(dtype)
        change: Any = None
        if h5py.check_string_dtype(dtype) is not None:
            change = text_of
        elif h5py.check_ref_dtype(dtype) is not None:
            change = self._path_of
        elif labels is not None:
            names = {number: label for label, number in labels.items()}
            change = lambda value: names.get(value, str(value))  # noqa: E731
        elif dtype.kind == "O":
            change = self._cell
        return found if change is None else _changed(found, change)

    def _rows(self, found: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
        import numpy as np

        names = dtype.names or ()
        fields = [self._decoded(found[name], dtype[name]) for name in names]
        made = np.empty(found.size, dtype=object)
        for at, row in enumerate(rows_of(names, fields)):
            made[at] = row
        return made.reshape(found.shape)

    def _cell(self, value: Any) -> Any:
        """Return an item of an array of varying length, or whatever else an array holds."""
        import numpy as np

        if isinstance(value, np.ndarray):
            return self._decoded(value, value.dtype)
        return self._plain(value)

    def _path_of(self, reference: Any) -> str | None:
        """Return the path of what a reference points at; None where it points at nothing."""
        import h5py

        if not reference:
            return None
        try:
            target = h5py.h5r.dereference(reference, self._open.id)
            key = h5py.h5o.get_info(target).addr
            if key not in self._paths:  # finding a name walks through the file
                self._paths[key] = text_of(h5py.h5i.get_name(target) or b"") or None
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            told = self._told()
            if told is not None:
                raise told from error
            return None  # points at nothing in this file
        return self._paths[key]

    # --- what goes wrong --------------------------------------------------------------------------

    def _told(self) -> Exception | None:
        """Return what went wrong below the library."""
        told = self._ranges.error if self._ranges is not None else None
        if told is not None and self._ranges is not None:
            self._ranges.error = None  # said once: the next failure has a reason of its own
        return told

    def _broken(self, error: Exception) -> Exception:
        """Return what went wrong below the library, else that the file is damaged."""
        return self._told() or _broken(error, self.name)

    def close(self) -> None:
        """Close the file and those it is linked to."""
        self._folders.clear()
        self.file.close()
        super().close()


def _changed(found: np.ndarray[Any, Any], change: Any) -> np.ndarray[Any, Any]:
    import numpy as np

    made = np.empty(found.size, dtype=object)
    for at, value in enumerate(found.reshape(-1).tolist()):
        made[at] = change(value)
    return made.reshape(found.shape)


def _holds_objects(dtype: np.dtype[Any]) -> bool:
    import h5py

    fields = [dtype[name] for name in dtype.names or ()]
    return any(
        field.hasobject
        or field.kind == "S"
        or h5py.check_enum_dtype(field) is not None
        or h5py.check_ref_dtype(field) is not None
        for field in fields
    )


def _filter_lacking(data: h5py.Dataset) -> str | None:
    """Return which filter of an array is not there; empty if it has come now, None for none."""
    import h5py

    plist = data.id.get_create_plist()
    told = [plist.get_filter(n) for n in range(plist.get_nfilters())]
    lacking = [one for one in told if not h5py.h5z.filter_avail(one[0])]
    if not lacking:
        return None
    with suppress(ImportError):
        import hdf5plugin  # type: ignore[import-not-found,import-untyped,unused-ignore]

        del hdf5plugin  # to import it is all it takes
    if h5py.h5z.filter_avail(lacking[0][0]):
        return ""
    return text_of(lacking[0][3]) or f"filter {lacking[0][0]}"


def _needs_filter(lacking: str, name: str, path: str) -> Exception:
    missing = MissingExtraError("hdf5plugin", f"{path} of {name}", hint="pip install hdf5plugin")
    missing.why = f"it is compressed with {lacking}, which HDF5 by itself does not read"
    return missing


def _strange(error: Exception, name: str, path: str) -> Exception:
    return StrangeError(
        "an array of a type that cannot be read", address=name, why=f"{path}: {error}"
    )


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


# --- opening ----------------------------------------------------------------------------------


def open_h5(
    source: Any, name: str, ranges: Bytes | None = None, *, beside: Beside | None = None
) -> H5Tree:
    """Open an HDF5 file.

    Parameters
    ----------
    source
        A path, or a file object.
    name
        What it is called in messages.
    ranges
        Reads many ranges at once, where the file is remote.
    beside
        Opens another file that a link names; where None, those in the folder of a file of this
        machine, and none else.

    Raises
    ------
    TruncatedError, CorruptError
        If it is not a whole HDF5 file.
    MissingExtraError
        Without h5py.
    """
    with requiring("reading HDF5 files", "nwb"):
        import h5py
    if beside is None and isinstance(source, (str, Path)):
        beside = functools.partial(_beside, Path(source).absolute())
    try:
        try:
            return H5Tree(h5py.File(source, "r"), name, ranges, beside)
        except OSError as error:
            if not isinstance(source, (str, Path)) or not _only_locked(error):
                raise
            # Another program holds it, or its disk knows no locks: reading needs none.
            _LOG.info("%s is locked, or cannot be: it is read without a lock", name)
            return H5Tree(h5py.File(source, "r", locking=False), name, ranges, beside)
    except (OSError, RuntimeError) as error:
        told = ranges.error if ranges is not None else None
        raise (told or _not_whole(error, source, name)) from error


def _beside(place: Path, source: str) -> Linked:
    found = file_beside(place, source, place.parent)
    return open_h5(found, str(found))


def _only_locked(error: OSError) -> bool:
    text = str(error).lower()
    return any(words in text for words in _LOCKS)


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
