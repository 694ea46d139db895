"""Whether a downloaded file of a common format is whole; no library but Python's is needed."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from openallen.errors import CorruptError, TruncatedError
from openallen.json_text import load_json

__all__ = ["Hdf5Check", "JsonCheck", "ZipCheck", "end_of_hdf5"]

_SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
_ADDRESS_SIZES: Final = frozenset({2, 4, 8})
_LEAST_BYTES: Final = 96
"""No file of HDF5 is shorter: a superblock, and a root group."""


def end_of_hdf5(beginning: bytes) -> int | None:
    """Return where an HDF5 file ends, in bytes, as its superblock says; None where it does not.

    Parameters
    ----------
    beginning
        Its first bytes, 128 at least.

    Raises
    ------
    CorruptError
        If it is not HDF5.
    TruncatedError
        If it ends before it tells.
    """
    if not beginning.startswith(_SIGNATURE):
        raise CorruptError("not an HDF5 file", why=f"it begins with {beginning[:12]!r}")
    if len(beginning) < _LEAST_BYTES:
        raise TruncatedError("truncated HDF5 file", why=f"{len(beginning)} bytes in all")
    # Where the size of addresses stands, and the first of them; the third is the end.
    places = {0: (13, 24), 1: (13, 28), 2: (9, 12), 3: (9, 12)}
    if beginning[8] not in places:
        return None
    at, first = places[beginning[8]]
    size = beginning[at]
    if size not in _ADDRESS_SIZES:
        return None
    address = beginning[first + 2 * size : first + 3 * size]
    end = int.from_bytes(address, "little")
    return None if end == (1 << 8 * size) - 1 else end


@dataclass(frozen=True)
class Hdf5Check:
    """Looks at a downloaded HDF5 file before it gets its name; a `openallen.plans.Check`."""

    def __call__(self, path: Path) -> Mapping[str, Any]:
        """Compare its size with the end that it tells.

        Raises
        ------
        CorruptError
            If it is not HDF5.
        TruncatedError
            If it is shorter than it says.
        """
        with path.open("rb") as file:
            end = end_of_hdf5(file.read(128))
        size = path.stat().st_size
        if end is not None and size < end:
            raise TruncatedError("truncated HDF5 file", why=f"{size:,} of {end:,} bytes")
        return {}


@dataclass(frozen=True)
class JsonCheck:
    """Looks at downloaded JSON before it gets its name; a `openallen.plans.Check`."""

    def __call__(self, path: Path) -> Mapping[str, Any]:
        """Read the file.

        Raises
        ------
        CorruptError
            If it is not JSON.
        """
        try:
            load_json(path.read_bytes())
        except ValueError as error:
            raise CorruptError("this is not JSON", why=str(error)) from error
        return {}


@dataclass(frozen=True)
class ZipCheck:
    """Looks at a downloaded zip before it gets its name; a `openallen.plans.Check`."""

    def __call__(self, path: Path) -> Mapping[str, Any]:
        """Read its directory, which stands at its end.

        Raises
        ------
        CorruptError
            If it is no zip, or its end is missing.
        """
        try:
            with zipfile.ZipFile(path) as found:
                return {"members": len(found.infolist())}
        except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError) as error:
            raise CorruptError("not a whole zip", why=str(error)) from error
