"""Arrays as numpy stores them, read from bytes that somebody else wrote."""

from __future__ import annotations

import io
import math
import tokenize
import zipfile
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import CorruptError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["check_texts", "read_npy", "read_npz"]

_LAST_POINT: Final = 0x10FFFF
_HALVES: Final = (0xD800, 0xDFFF)
"""Halves of characters, which no text has by themselves."""
_BROKEN: Final = (
    ValueError, TypeError, LookupError, AttributeError, SyntaxError, ArithmeticError, RuntimeError,
    EOFError, OSError, MemoryError, tokenize.TokenError, zipfile.BadZipFile,
)  # fmt: skip
"""What numpy raises over a header, which it reads as a literal of Python, and what follows it."""


def read_npy(body: bytes, where: str) -> np.ndarray[Any, Any]:
    """Return the array of a ``.npy``.

    Parameters
    ----------
    body
        All bytes of the file.
    where
        What it is called in messages.

    Raises
    ------
    CorruptError
        If it is no such file, cut off, holds objects, or text that is none.
    """
    import numpy as np

    try:
        _check_size(body)
        found: np.ndarray[Any, Any] = np.load(io.BytesIO(body), allow_pickle=False)
        if not isinstance(found, np.ndarray):
            raise TypeError("an archive of arrays")
    except _BROKEN as error:
        raise CorruptError("not valid NPY", address=where, why=str(error)[:200]) from error
    return check_texts(found, where)


def read_npz(body: bytes, where: str) -> dict[str, np.ndarray[Any, Any]]:
    """Return the arrays of a ``.npz`` by name.

    Parameters
    ----------
    body, where
        As for `read_npy`.

    Raises
    ------
    CorruptError
        As `read_npy` does; if a member decompresses to more than an array has.
    """
    from openallen.formats.zips import Zip

    with Zip(body, where) as packed:
        names = [name for name in packed.names if name.endswith(".npy")]
        return {n.removesuffix(".npy"): read_npy(packed.read(n), f"{where}/{n}") for n in names}


def _check_size(body: bytes) -> None:
    """Compare what a header claims with the bytes there are: numpy takes the memory first."""
    from numpy.lib import format as npy

    stream = io.BytesIO(body)
    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, kind = read(stream)
    if kind.hasobject:
        raise ValueError("an array of objects")
    claimed, there = math.prod(shape) * kind.itemsize, len(body) - stream.tell()
    if min(shape, default=0) < 0 or claimed > there:
        raise ValueError(f"{there:,} of {claimed:,} bytes")


def check_texts(found: np.ndarray[Any, Any], where: str) -> np.ndarray[Any, Any]:
    """Return an array, after a look at its text: numpy makes arrays whose text cannot be read.

    Raises
    ------
    CorruptError
        If a character of it is none of Unicode.
    """
    import numpy as np

    kind = found.dtype
    for name in kind.names or ():
        check_texts(found[name], where)
    if kind.kind == "U" and found.size and kind.itemsize:
        letters = np.ascontiguousarray(found).view(np.dtype(np.uint32).newbyteorder(kind.byteorder))
        halves = (letters >= _HALVES[0]) & (letters <= _HALVES[1])
        if int(letters.max()) > _LAST_POINT or halves.any():
            raise CorruptError("text of characters that do not exist", address=where)
    return found
