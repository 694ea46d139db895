"""What a view answers: bytes with a type; the same over HTTP and over a notebook's channel."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from openallen.errors import NotFoundError, UsageError
from openallen.whole_numbers import whole_number

__all__ = ["Answer", "Query", "json_answer", "no_such", "packed", "whole"]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Bytes with a type.

    Parameters
    ----------
    body
        The bytes.
    media
        Their media type.
    immutable
        Whether the same path always answers the same, so that browsers may keep it.
    encoding
        ``gzip`` where the bytes are compressed; empty otherwise.
    """

    body: bytes
    media: str
    immutable: bool = False
    encoding: str = ""


def json_answer(document: Any, *, immutable: bool = False) -> Answer:
    """Return a document as JSON; numbers that JSON does not know are null.

    Parameters
    ----------
    document
        Plain values.
    immutable
        As for `Answer`.
    """
    body = json.dumps(_finite(document), separators=(",", ":"), default=str).encode()
    return packed(Answer(body=body, media="application/json", immutable=immutable))


def packed(answer: Answer, level: int = 5) -> Answer:
    """Return an answer with its bytes compressed, where there are many.

    Parameters
    ----------
    answer
        The answer.
    level
        How hard to try, 1 to 9.
    """
    if len(answer.body) < 1 << 14:
        return answer
    body = gzip.compress(answer.body, level, mtime=0)
    return replace(answer, body=body, encoding="gzip")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return value


@dataclass(frozen=True)
class Query:
    """The query of a request, read with names and bounds.

    Parameters
    ----------
    values
        Texts by name, the last of each.
    """

    values: Mapping[str, str] = field(default_factory=dict)

    def text(self, name: str, default: str = "") -> str:
        """Return a text."""
        return self.values.get(name, default)

    def number(self, name: str, default: float) -> float:
        """Return a finite number.

        Raises
        ------
        UsageError
            If it is not one.
        """
        text = self.values.get(name)
        if text is None:
            return default
        try:
            found = float(text)
        except ValueError:
            found = float("nan")
        if found - found != 0:
            raise UsageError(f"{name} is not a number", why=repr(text)[:60])
        return found

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        """Return an integer.

        Raises
        ------
        UsageError
            If it is not one, or not between `least` and `most`.
        """
        text = self.values.get(name)
        return default if text is None else whole(name, text, least, most)


def whole(name: str, text: str, least: int, most: int) -> int:
    """Return an integer within bounds.

    Raises
    ------
    UsageError
        If it is not one, or out of bounds.
    """
    found = whole_number(text)
    if found is None or not least <= found <= most:
        raise UsageError(f"{name} is not between {least} and {most}", why=repr(text)[:60])
    return found


def no_such(path: str) -> NotFoundError:
    """Return the error for a path that a view does not have."""
    return NotFoundError("this view has nothing there", address=path)
