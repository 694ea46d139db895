"""Rows of a release's tables as plain Python.

No table library is needed: listing and choosing files work in the bare install.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from openallen.errors import CorruptError
from openallen.json_text import load_json

__all__ = ["ABNORMAL", "TEXT_COLUMNS", "abnormal_note", "literal_list", "read_rows"]

TEXT_COLUMNS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {"visual-behavior-ophys": frozenset({"mouse_id"})}
)
"""Columns of a project whose values look like numbers and are text, as they are in AllenSDK."""

ABNORMAL: Final = ("abnormal_histology", "abnormal_activity")
"""Columns that say what is abnormal in a session; AllenSDK leaves out rows where one does."""

_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", re.ASCII)
_WHOLE: Final = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_MISSING: Final = frozenset({"", "nan", "NaN", "None", "NA", "<NA>"})


def read_rows(path: Path, project: str = "") -> Iterator[dict[str, Any]]:
    """Return the rows of a CSV file, values typed: numbers, booleans, lists, text, None.

    Parameters
    ----------
    path
        The file.
    project
        The project whose table it is: some have numbers that are text.

    Raises
    ------
    CorruptError
        If a line has more or fewer cells than the header.
    """
    csv.field_size_limit(1 << 24)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            texts = TEXT_COLUMNS.get(project, frozenset())
            yield from _rows(csv.reader(file), str(path), texts)
    except (csv.Error, UnicodeDecodeError) as error:
        raise CorruptError("not a table", address=str(path), why=str(error)) from error


def _rows(reader: Any, where: str, texts: frozenset[str]) -> Iterator[dict[str, Any]]:
    header = next(reader, None)
    if not header:
        raise CorruptError("the table has no header", address=where)
    for cells in reader:
        if len(cells) != len(header):
            raise CorruptError(
                "the table has a malformed line",
                address=where,
                why=f"line {reader.line_num}: {len(cells)} cells, not {len(header)}",
            )
        yield {n: _value(cell, n in texts) for n, cell in zip(header, cells, strict=True)}


def _value(text: str, is_text: bool) -> Any:
    if text in _MISSING:
        return None
    if is_text:
        return text
    if text in {"True", "False"}:
        return text == "True"
    if _NUMBER.fullmatch(text):
        return _number(text)
    return literal_list(text) if text[0] == "[" else text


def _number(text: str) -> Any:
    """Return a number; the text itself where no number of a table has as many digits."""
    if _WHOLE.fullmatch(text):
        return int(text)  # exactly: a float has sixteen digits
    number = float(text)
    if not math.isfinite(number) or text.lstrip("+-").isdigit():
        return text
    return int(number) if number.is_integer() and "e" not in text.lower() else number


def literal_list(text: str) -> Any:
    """Read ``[1, 2]`` or ``['a', 'b']``; return the text itself where it is not a list."""
    try:
        found = load_json(text.replace("'", '"') if '"' not in text else text)
    except ValueError:
        return text
    return found if isinstance(found, list) else text


def abnormal_note(left_out: int, of: int) -> str:
    """Return the note on rows that were left out for what is abnormal in them.

    Parameters
    ----------
    left_out, of
        Numbers of rows: those left out, and all.
    """
    return (
        f"{left_out:,} of {of:,} sessions have abnormal histology or activity and are left out, "
        "as in AllenSDK; filter_abnormalities=False keeps them"
    )
