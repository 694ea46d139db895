"""Whole numbers in text from elsewhere, where `int` takes too much: signs, ``1_0``, ``٣``."""

from __future__ import annotations

from typing import Final

__all__ = ["whole_number"]

_MOST_DIGITS: Final = 19


def whole_number(text: str) -> int | None:
    """Return the number that ASCII digits write; None for other text, or more than 19 digits.

    Larger numbers count no bytes and no rows, and Python refuses those of thousands of digits with
    a ValueError.
    """
    plain = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
    return int(text) if plain else None
