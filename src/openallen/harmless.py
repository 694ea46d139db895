"""Text from elsewhere, written so that no terminal acts on it and no reader is misled."""

from __future__ import annotations

import unicodedata

__all__ = ["harmless", "harmless_json"]


def harmless(text: str, *, lines: bool = False) -> str:
    r"""Write control characters of a text so that no terminal acts on them: ``\x1b[31m``.

    C0, C1 and the marks that turn the direction of writing are spelled out; with `lines`, line
    breaks stay.
    """
    if text.isprintable():
        return text
    return "".join(
        char if (lines and char == "\n") or not _acts(char) else _spelled(char) for char in text
    )


def harmless_json(text: str) -> str:
    """Write such characters of JSON text as its own escapes: the values stay what they are.

    Parameters
    ----------
    text
        JSON; outside of strings there are line breaks only.
    """
    if text.isprintable():
        return text
    return "".join(char if char == "\n" or not _acts(char) else _escape(char) for char in text)


def _acts(char: str) -> bool:
    return unicodedata.category(char) in {"Cc", "Cf", "Zl", "Zp", "Cs"}


def _spelled(char: str) -> str:
    number = ord(char)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"


def _escape(char: str) -> str:
    number = ord(char)
    if number < 0x10000:
        return f"\\u{number:04x}"
    high, low = divmod(number - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
