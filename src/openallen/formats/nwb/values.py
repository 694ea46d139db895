"""Values as they are handed out: text as str, numbers as Python's own, references as paths."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from openallen.errors import CorruptError

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "StrangeError",
    "TimeSeriesReference",
    "number",
    "plain",
    "referred",
    "rows_of",
    "text_of",
]


class StrangeError(CorruptError):
    """An array of a type that cannot be handed out; the rest of the file can."""


class TimeSeriesReference(NamedTuple):
    """Part of a series over time, as a row of a table points at it.

    Parameters
    ----------
    idx_start
        Its first sample; -1 for none.
    count
        How many samples; -1 for none.
    path
        Where the series is in the file.
    """

    idx_start: int
    count: int  # type: ignore[assignment]
    path: str | None


_REFERENCE: Final = ("idx_start", "count", "timeseries")


def text_of(raw: bytes | str) -> str:
    """Return stored text: UTF-8, and Latin-1 where it is not, which takes any bytes."""
    if isinstance(raw, str):
        if raw.isascii():
            return raw
        # h5py hands bytes that are not UTF-8 out as surrogates, which nothing can print.
        raw = raw.encode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def plain(value: Any) -> Any:
    """Return text as str, arrays of text as lists of str, numpy scalars as Python's own."""
    import numpy as np

    if isinstance(value, (bytes, str)):
        return text_of(value)
    if isinstance(value, np.ndarray):
        if value.dtype.kind in {"O", "S", "U", "T"}:
            return [plain(v) for v in value.tolist()] if value.ndim else plain(value.item())
        return value if value.ndim else value.item()
    if isinstance(value, np.generic):
        return value.item()
    return value


def number(value: Any, what: str, where: str) -> float:
    """Return a number; an array of one (as MATLAB writes them) is one.

    Raises
    ------
    CorruptError
        If it is anything else.
    """
    import numpy as np

    found = np.asarray(value)
    if found.size == 1 and found.dtype.kind in "iufb":
        return float(found.reshape(-1)[0])
    raise CorruptError("not a number", address=where, why=f"{what}: {str(value)[:60]}")


def whole(value: Any, what: str, where: str) -> int:
    """Return a whole number, which files hold as a number or as text.

    Raises
    ------
    CorruptError
        If it is anything else.
    """
    try:
        return int(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise CorruptError(
            "not a whole number", address=where, why=f"{what}: {str(value)[:60]}"
        ) from error


def referred(value: Any) -> Any:
    """Return the path a reference of hdmf-zarr points at; other values as they are.

    Before the path of a reference to another store comes the name of that store.
    """
    if isinstance(value, dict):
        inner = value.get("value", value)
        if isinstance(inner, dict) and "path" in inner and "source" in inner:
            source = str(inner["source"])
            return inner["path"] if source in {".", ""} else f"{source}{inner['path']}"
    return value


def rows_of(names: Iterable[str], fields: Iterable[np.ndarray[Any, Any]]) -> Any:
    """Return rows of a compound type: `TimeSeriesReference` where they are such, else tuples.

    Parameters
    ----------
    names
        Names of the fields.
    fields
        The values of each field, all of one shape.
    """
    columns = [list(field.reshape(-1).tolist()) for field in fields]
    made: Callable[..., Any] = (
        TimeSeriesReference if tuple(names) == _REFERENCE else lambda *row: tuple(row)
    )
    return [made(*row) for row in zip(*columns, strict=True)]
