"""JSON from elsewhere, where every fault of the text is a ValueError."""

from __future__ import annotations

import json
import re
from typing import Any, Final

__all__ = ["load_json"]

_DEEPEST: Final = 200
"""Far more than any document of the field has, far less than Python can walk."""


_HALF: Final = re.compile(r"\\u[dD][89a-fA-F]")
_HALF_BYTES: Final = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")


def load_json(text: bytes | str) -> Any:
    """Return what JSON text holds.

    Raises
    ------
    ValueError
        If it is not JSON, or nested so deeply that Python, or whoever walks it, gives up with a
        RecursionError, or holds a number of more digits than Python reads, or half a character.
    """
    try:
        found = json.loads(text)
    except RecursionError:
        raise json.JSONDecodeError("nested too deeply", "", 0) from None
    _check_depth(text, found)
    _check_characters(text, found)
    return found


def _check_characters(text: bytes | str, found: Any) -> None:
    """Check that no half of a character is in a text: nothing could print or store it."""
    if isinstance(text, str):
        halves = _HALF.search(text) is not None or not text.isascii()
    else:
        halves = _HALF_BYTES.search(text) is not None
    if not halves:
        return
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise json.JSONDecodeError("half a character", "", 0) from None


def _check_depth(text: bytes | str, found: Any) -> None:
    if isinstance(text, str):
        most = text.count("[") + text.count("{")
    else:
        most = text.count(b"[") + text.count(b"{")
    if most <= _DEEPEST:
        return
    level = [found]
    for _ in range(_DEEPEST):
        inner = (v.values() if isinstance(v, dict) else v for v in level)
        level = [v for values in inner for v in values if isinstance(v, (dict, list))]
        if not level:
            return
    raise json.JSONDecodeError("nested too deeply", "", 0)
