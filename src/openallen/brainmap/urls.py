"""From a URL or bare text to the pieces of a query, with the way back to each character."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from openallen.errors import QueryError, UsageError

__all__ = ["Request", "Text", "read_request"]

_URL_ONLY: Final = frozenset({"query", "wrap", "filename"})
_OPTIONS: Final = frozenset(
    {"only", "except", "tabular", "order", "num_rows", "start_row", "count", "debug", "preview"}
)
# What no plain text has, but every piece cut from a URL does: escaped grammar characters.
_ESCAPES: Final = re.compile(r"%(?:5B|5D|24|25|27|22|28|29|2C|3A|20|2B|26)", re.IGNORECASE)
_PARAMETER: Final = re.compile(r"([A-Za-z_]+)=")

_OTHER_PATHS: Final = (
    (r"/api/v2/\w*image_download/\d+.*", "an image", "openallen fetch image:ID"),
    (r"/cgi-bin/imageservice.*|/tiles/.*", "an image", "openallen fetch image:ID"),
    (r"/api/v2/svg(_download)?/\d+.*", "an SVG drawing", ""),
    (r"/api/v2/well_known_file_download/\d+.*", "a file", "openallen fetch file:ID"),
    (r"/grid_data/.*", "a grid", "openallen fetch grid:ID"),
    (r"/neuronal_model/.*", "a neuronal model", ""),
    (r"/api/v2/structure_graph_download/.*", "an ontology", "openallen show structures:1"),
    (r"/api/v2/tree_search/.*", "a tree search", ""),
    (r"/api/v2/\w*(_to_)\w*/.*", "a coordinate synchronisation", ""),
    (r"/api/v2/\w*annotated_section_data_sets.*", "an expression search", ""),
    (r"/api/v2/data(/\w+)*(\.\w+)?", "a schema", "openallen show rma:MODEL"),
)


@dataclass(frozen=True)
class Text:
    """Decoded text, and the place of each of its characters in the original.

    Parameters
    ----------
    text
        The characters.
    places
        Position of each in the original; one more for the end.
    """

    text: str
    places: Sequence[int]

    def place(self, at: int) -> int:
        """Return the position in the original of character `at`."""
        return self.places[min(at, len(self.places) - 1)]


@dataclass(frozen=True)
class Request:
    """The pieces of a query.

    Parameters
    ----------
    original
        The text itself, for messages.
    criteria, include
        RMA text.
    model
        The model named in the path, or empty.
    row_id
        The row named in the path, or empty.
    options
        Options given as URL parameters, the last of each name.
    others
        Parameters of the URL alone.
    """

    original: str
    criteria: Text
    include: Text
    model: str = ""
    row_id: str = ""
    options: tuple[tuple[str, str], ...] = ()
    others: tuple[tuple[str, str], ...] = ()


def read_request(given: str) -> Request:
    """Return the pieces of a URL or a bare query.

    Raises
    ------
    UsageError
        For a URL that asks for something else than rows.
    QueryError
        For an unknown parameter.
    """
    if re.match(r"\s*https?://", given, re.IGNORECASE):
        return _from_url(given)
    start = len(given) - len(given.lstrip())
    parameters = _split(given, start, encoded=False)
    return _assemble(given, parameters)


def _from_url(given: str) -> Request:
    query_at = given.find("?")
    head = given if query_at < 0 else given[:query_at]
    path = "/" + "/".join(head.strip().split("/")[3:])
    rows = re.fullmatch(r"/api/v2/data(?:/(\w+))?/query(?:\.(\w+))?", path)
    row = re.fullmatch(r"/api/v2/data/([A-Z]\w*)/(\d+)(?:\.(\w+))?", path)
    found = rows or row
    if found is None:
        raise _something_else(given, path)
    parameters = _split(given, query_at + 1, encoded=True) if query_at >= 0 else []
    return _assemble(given, parameters, found[1] or "", row[2] if row else "")


def _something_else(given: str, path: str) -> UsageError:
    for pattern, what, hint in _OTHER_PATHS:
        if re.fullmatch(pattern, path):
            return UsageError(f"this URL asks for {what}, not for rows", address=given, hint=hint)
    return UsageError("this URL does not ask brain-map.org for rows", address=given)


def _assemble(
    given: str, parameters: list[tuple[str, Text]], model: str = "", row_id: str = ""
) -> Request:
    nothing = Text("", (len(given),))
    criteria, include = nothing, nothing
    options: dict[str, str] = {}
    others: dict[str, str] = {}
    for name, text in parameters:
        if name in {"criteria", "q"}:
            criteria = text
        elif name == "include":
            include = text
        elif name in _OPTIONS:
            options[name] = text.text
        elif name in _URL_ONLY:
            others[name] = text.text
        else:
            raise QueryError(
                f"unknown parameter '{name}'",
                text=given,
                position=max(0, text.place(0) - len(name) - 1),
                hint="criteria, include, " + ", ".join(sorted(_OPTIONS | _URL_ONLY)),
            )
    return Request(
        given, criteria, include, model, row_id, tuple(options.items()), tuple(others.items())
    )


def _split(given: str, start: int, *, encoded: bool) -> list[tuple[str, Text]]:
    """Part ``name=text&name=text``; text without a name is the criteria."""
    escaped = encoded or _ESCAPES.search(given, start) is not None
    decode = _decoder(plus=encoded) if escaped else _as_it_is
    found: list[tuple[str, Text]] = []
    for first, last in _pieces(given, start, quotes=not encoded):
        named = _PARAMETER.match(given, first, last)
        if first == last:
            continue
        begin = named.end() if named else first
        found.append((named[1] if named else "criteria", decode(given, begin, last)))
    return found


def _pieces(given: str, start: int, *, quotes: bool) -> list[tuple[int, int]]:
    # In a URL every & parts; in bare text one between quotes is only a character.
    pieces: list[tuple[int, int]] = []
    open_quote = ""
    first = start
    for at in range(start, len(given)):
        char = given[at]
        if quotes and char in "'\"" and open_quote in {"", char}:
            open_quote = "" if open_quote else char
        elif char == "&" and not open_quote:
            pieces.append((first, at))
            first = at + 1
    return [*pieces, (first, len(given))]


def _as_it_is(given: str, first: int, last: int) -> Text:
    return Text(given[first:last], range(first, last + 1))


def _decoder(*, plus: bool) -> Callable[[str, int, int], Text]:
    def decode(given: str, first: int, last: int) -> Text:
        text: list[str] = []
        places: list[int] = []
        at = first
        while at < last:
            run = re.compile(r"(?:%[0-9A-Fa-f]{2})+").match(given, at, last)
            if run:
                raw = bytes.fromhex(run[0].replace("%", ""))
                piece, step = raw.decode("utf-8", "replace"), len(run[0])
            else:
                piece, step = " " if plus and given[at] == "+" else given[at], 1
            text.append(piece)
            places += _spread(raw, at) if run else [at]
            at += step
        return Text("".join(text), [*places, last])

    return decode


def _spread(raw: bytes, at: int) -> list[int]:
    """Return the place of the escape each decoded character starts at."""
    piece = raw.decode("utf-8", "replace")
    if len(piece) == len(raw):
        return [at + 3 * i for i in range(len(raw))]
    return [at] * len(piece)
