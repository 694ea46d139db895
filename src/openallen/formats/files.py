"""Files read whole, with errors that name them."""

from __future__ import annotations

from pathlib import Path

from openallen.errors import CorruptError, NotFoundError, StoreError

__all__ = ["read_file"]


def read_file(path: Path, most_bytes: int | None = None) -> bytes:
    """Read a file whole.

    Parameters
    ----------
    path
        The file.
    most_bytes
        The largest size that is read; any where None.

    Raises
    ------
    NotFoundError
        If there is none.
    CorruptError
        If it is larger than `most_bytes`.
    StoreError
        If it cannot be read.
    """
    try:
        if most_bytes is not None and path.stat().st_size > most_bytes:
            raise CorruptError("a file this large is not read", address=str(path))
        return path.read_bytes()
    except (FileNotFoundError, ValueError):  # ValueError: a NUL in the name
        raise NotFoundError("no such file", address=str(path)) from None
    except OSError as error:
        raise StoreError("cannot be read", address=str(path), why=error.strerror or "") from error
