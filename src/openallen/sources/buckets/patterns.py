"""Patterns of keys: ``behavior/*.csv``, ``**/*.json``, a file, a folder."""

from __future__ import annotations

import functools
import re
from typing import Final

from openallen.errors import UsageError

__all__ = ["is_pattern", "matches", "static_prefix"]

_WILD: Final = re.compile(r"[*?\[]")


def is_pattern(text: str) -> bool:
    """Return whether a text has wildcards."""
    return _WILD.search(text) is not None


def static_prefix(pattern: str) -> str:
    """Return the part of a pattern that stands before its first wildcard, up to a slash."""
    head = _WILD.split(pattern, maxsplit=1)[0]
    return head if head == pattern else head.rpartition("/")[0] + ("/" if "/" in head else "")


def matches(key: str, pattern: str) -> bool:
    """Return whether a pattern means a key (below the folder the pattern is for).

    ``*`` and ``?`` stay within a folder, ``**`` does not; a pattern without wildcards means a file,
    or all that lies below a folder; one that ends in ``/*`` means all that lies below, too.
    """
    if not pattern or pattern in {"*", "**"}:
        return True
    folder = pattern.removesuffix("/**").removesuffix("/*").rstrip("/")
    if not _WILD.search(folder):
        return key == folder or key.startswith(f"{folder}/")
    return _expression(pattern).fullmatch(key) is not None


@functools.lru_cache(256)
def _expression(pattern: str) -> re.Pattern[str]:
    below = pattern.endswith(("/*", "/**"))
    parts = pattern.removesuffix("/**").removesuffix("/*").split("/")
    text = "/".join(".*" if part == "**" else _within(part) for part in parts)
    try:
        return re.compile(text.replace(".*/", "(?:.*/)?") + ("/.*" if below else ""))
    except re.error as error:
        raise UsageError("this is not a pattern", address=pattern, why=str(error)) from None


def _within(part: str) -> str:
    """Translate the wildcards of one part so that they stay in their folder."""
    words = {"*": "[^/]*", "?": "[^/]"}
    pieces = re.split(r"([*?]|\[[^\]/]+\])", part)
    return "".join(
        words.get(p) or (p.replace("[!", "[^") if p.startswith("[") else re.escape(p))
        for p in pieces
    )
