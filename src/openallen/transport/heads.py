"""Heads of requests and answers: collected line by line, read, and logged."""

from __future__ import annotations

import logging
import re
import shlex
import time
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

from openallen.errors import NotFoundError, OpenAllenError, StatusError
from openallen.whole_numbers import whole_number

__all__ = [
    "ContentRange",
    "Head",
    "content_range",
    "log_request",
    "plain_number",
    "retry_after_s",
    "status_error",
]

_DENIED: Final = (
    "it is private, or not there: buckets that may not be listed answer so for missing keys too"
)
_LOG = logging.getLogger("openallen.transport")


class Head:
    """The head of an answer, collected line by line.

    Attributes
    ----------
    status : int
        HTTP status code of the last answer; 0 before there is one.
    headers : dict of str
        Names in lower case, repeats joined by commas.
    lines : int
        How many lines came.
    whole : bool
        Whether the last line of the final answer's head came.
    """

    __slots__ = ("_follow", "headers", "lines", "status", "whole")

    def __init__(self, *, follow: bool = True) -> None:
        self._follow = follow
        self.status = 0
        self.headers: dict[str, str] = {}
        self.lines = 0
        self.whole = False

    def line(self, raw: bytes) -> None:
        """Take in a line as libcurl hands it over."""
        if self.whole:
            return  # a trailer
        self.lines += 1
        text = raw.decode("latin-1").rstrip("\r\n")
        if text.startswith("HTTP/"):
            code = text.partition(" ")[2].partition(" ")[0]
            self.status = whole_number(code) or 0 if len(code) == 3 else 0
            self.headers = {}
        elif text:
            name, _, value = text.partition(":")
            key, value = name.strip().lower(), value.strip()
            before = self.headers.get(key)
            self.headers[key] = f"{before}, {value}" if before is not None else value
        else:
            moved = 300 <= self.status < 400 and self.headers.get("location")
            self.whole = self.status >= 200 and not (moved and self._follow)


class ContentRange(NamedTuple):
    """Which bytes an answer holds: first and last, both included, and the whole size if told."""

    first: int
    last: int
    total: int | None


def content_range(headers: Mapping[str, str]) -> ContentRange | None:
    """Return the range that an answer holds; None for a whole body, or a range that cannot be."""
    text = headers.get("content-range", "").strip()
    match = re.fullmatch(r"bytes\s+(\d{1,19})-(\d{1,19})/(\d{1,19}|\*)", text, re.ASCII)
    if match is None:
        return None
    first, last = int(match[1]), int(match[2])
    total = None if match[3] == "*" else int(match[3])
    if last < first or (total is not None and last >= total):
        return None
    return ContentRange(first, last, total)


def plain_number(text: str) -> int | None:
    """Read a number of a header; None where it is none, or larger than any file."""
    words = {word.strip() for word in text.split(",")}
    return whole_number(words.pop()) if len(words) == 1 else None


def retry_after_s(text: str) -> float | None:
    """Return the wait that a ``Retry-After`` asks for, in seconds; None where it cannot be read."""
    seconds = plain_number(text)
    if seconds is not None:
        return float(seconds)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


def status_error(status: int, url: str, headers: Mapping[str, str], why: str) -> OpenAllenError:
    """Return the error that a status of 400 or above stands for.

    A bucket that may not be listed answers 403 for keys that are not there, as for private ones.
    """
    if status in {404, 410}:
        return NotFoundError("not found", address=url, why=why)
    denied = status in {401, 403}
    return StatusError(
        "access denied" if denied else "the service returned an error",
        status=status,
        retry_after_s=retry_after_s(headers.get("retry-after", "")),
        address=url,
        why=why,
        hint=_DENIED if denied else "",
    )


def log_request(url: str, lines: Iterable[str]) -> None:
    """Log a request, with the command of curl that makes the same one.

    Parameters
    ----------
    url
        What is asked for.
    lines
        The lines of its head.
    """
    if _LOG.isEnabledFor(logging.DEBUG):
        options = "".join(f" -H {shlex.quote(line)}" for line in lines)
        _LOG.debug("GET %s  (curl -L%s %s)", url, options, shlex.quote(url))
