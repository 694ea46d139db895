"""Reading answers of the service: JSON, XML and CSV to the same rows, each checked.

The service fails in many ways with status 200: an HTML page, XML where JSON was asked, a text where
the rows should be. Each becomes an `AnswerError` that says what was received.

XML and CSV carry no types. Columns the schema hints know are read by their type; the others by
what they look like: numbers as JSON writes them, ``true`` and ``false``, else text. An empty CSV
field is None.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from openallen.brainmap.language import Format
from openallen.brainmap.schema import Model, schema
from openallen.errors import AnswerError
from openallen.transport.sniff import describe, sniff
from openallen.whole_numbers import whole_number

__all__ = ["FEWER", "Answer", "Row", "Types", "read_answer", "types_of"]

FEWER: Final = "ask for fewer rows at once (num_rows), or fewer columns (only)"
"""What helps where an answer is too large."""

Row = dict[str, Any]
Types = Callable[[str], str]
"""Returns the type of a column by its name, empty where it is not known."""

_MOST_DIGITS: Final = 4300
_INFINITE: Final = (float("inf"), float("-inf"))
_MOST_DEPTH: Final = 60
_MOST_ELEMENTS: Final = 2_000_000
_MOST_NAMES: Final = 10_000
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the service.

    Parameters
    ----------
    rows
        The rows; for a service that answers with one object, that object alone.
    start_row
        Index of the first one among all rows, as the service echoes it; None where it does not.
    num_rows
        How many rows it says it sent.
    total_rows
        How many rows there are in all.
    is_object
        Whether the answer is one object. The counts around it mean nothing then, and are None.
    """

    rows: list[Row]
    start_row: int | None = None
    num_rows: int | None = None
    total_rows: int | None = None
    is_object: bool = False


def types_of(model: str) -> Types:
    """Return the column types of a model, as far as they are known."""
    known = schema().get(model)
    return known.field_type if known else lambda _: ""


def read_answer(body: bytes, format: Format, *, url: str = "", model: str = "") -> Answer:  # noqa: A002
    """Read an answer of the given format.

    Parameters
    ----------
    body
        All its bytes.
    format
        What was asked for.
    url
        What it answers, for messages.
    model
        The model of its rows, where it is known, for the types that XML and CSV do not carry.

    Raises
    ------
    AnswerError
        If it is something else, reports a failure, or cannot be read.
    """
    kind = sniff(body)
    fine = {"json": {"json"}, "xml": {"xml"}, "csv": {"text", "json", "empty"}}[format]
    if kind not in fine or (format == "csv" and kind == "json" and body.lstrip()[:1] == b"{"):
        _wrong("unexpected response", url, f"{describe(kind)} instead of {format.upper()}")
    if format == "json":
        return _from_json(body, url)
    try:
        return _from_xml(body, url, model) if format == "xml" else _from_csv(body, url, model)
    except AnswerError as error:
        error.address = error.address or url
        raise


def _wrong(what: str, url: str, why: str) -> NoReturn:
    raise AnswerError(what, address=url, why=why)


def _from_json(body: bytes, url: str) -> Answer:
    import msgspec

    try:
        envelope = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        _wrong("the answer is not valid JSON", url, f"{error}; {len(body):,} bytes received")
    if not isinstance(envelope, dict) or "msg" not in envelope:
        _wrong("the answer is not an RMA envelope", url, repr(envelope)[:80])
    message = envelope["msg"]
    if isinstance(message, str) or envelope.get("success") is False:
        _wrong("the service reports an error", url, str(message)[:300])
    if isinstance(message, dict):
        return Answer([message], is_object=True)
    if not isinstance(message, list) or not all(isinstance(row, dict) for row in message):
        _wrong("the rows are not objects", url, repr(message)[:80])
    return Answer(
        message,
        start_row=_count(envelope, "start_row", url),
        num_rows=_count(envelope, "num_rows", url),
        total_rows=_count(envelope, "total_rows", url),
    )


def _count(envelope: Mapping[str, Any], name: str, url: str) -> int | None:
    value = envelope.get(name)
    if value is None:
        return None
    if isinstance(value, str):
        value = whole_number(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        _wrong(f"'{name}' is not a count", url, repr(envelope[name])[:40])
    return value


def _from_csv(body: bytes, url: str, model: str) -> Answer:
    try:
        text = body.decode("utf-8")
        table = csv.reader(io.StringIO(text, newline=""), strict=True)
        header = next(table, [])
        lines = [line for line in table if line]
    except (UnicodeDecodeError, csv.Error) as error:
        _wrong("the answer is not valid CSV", url, str(error))
    uneven = next((line for line in lines if len(line) != len(header)), None)
    if uneven is not None:
        _wrong(
            "the answer is not valid CSV", url, f"a line of {len(uneven)} fields, not {len(header)}"
        )
    types = types_of(model)
    rows = [
        {
            name: _typed(value, types(name)) if value else None
            for name, value in zip(header, line, strict=True)
        }
        for line in lines
    ]
    return Answer(rows, num_rows=len(rows))


def _typed(text: str, kind: str) -> object:
    """Read a value that came as text, by its type or by its looks."""
    if kind in {"string", "text", "datetime"}:
        return text
    if kind in {"boolean", ""} and text in {"true", "false"}:
        return text == "true"
    if kind != "array" and _NUMBER.fullmatch(text):
        whole = kind != "float" and not any(c in text for c in ".eE")
        if whole and len(text) > _MOST_DIGITS:  # Python refuses to read it
            if kind:
                raise AnswerError("the answer holds a number of too many digits")
            return text
        found = int(text) if whole else float(text)
        if found in _INFINITE:
            if kind:
                raise AnswerError("the answer holds a number that is too large")
            return text
        return found
    return text


def _from_xml(body: bytes, url: str, model: str) -> Answer:
    root = _XmlTree(url).read(body)
    attributes = root.attributes
    if attributes.get("success") != "true":
        _wrong("the service reports an error", url, root.text.strip()[:300] or root.name)
    hashes = [child for child in root.children if child.name == "hash"]
    elements = hashes or [row for group in root.children for row in group.children]
    known = schema().get(model)
    rows = [_row(element, known) for element in elements]
    return Answer(
        rows,
        start_row=_count(attributes, "start_row", url),
        num_rows=_count(attributes, "num_rows", url),
        total_rows=_count(attributes, "total_rows", url),
    )


_NONE: Final[list[_Element]] = []
_NO_ATTRIBUTES: Final[dict[str, str]] = {}


class _Element:
    """An element; one that holds nothing takes little memory, as there may be millions."""

    __slots__ = ("attributes", "children", "name", "text")

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name = name
        self.attributes = attributes or _NO_ATTRIBUTES
        self.children = _NONE
        self.text = ""


class _XmlTree:
    """Reads XML without its dangers: no document type, hence no entities to expand."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stack = [_Element("", {})]
        self._text: list[str] = []
        self._count = 0
        self._names: set[str] = set()

    def read(self, body: bytes) -> _Element:
        from xml.parsers import expat

        parser = expat.ParserCreate(encoding="utf-8")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        try:
            parser.Parse(body, True)
        except expat.ExpatError as error:
            _wrong("the answer is not valid XML", self._url, str(error))
        root = self._stack[0].children[0]
        if root.name != "Response":
            _wrong("the answer is not an RMA envelope", self._url, f"<{root.name[:80]}>")
        return root

    def _doctype(self, *_: object) -> None:
        _wrong("the answer declares a document type", self._url, "RMA answers do not")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._stack) > _MOST_DEPTH:
            _wrong("the answer is not an RMA envelope", self._url, "nested too deeply")
        self._count += 1
        self._names.add(name)
        if self._count > _MOST_ELEMENTS or len(self._names) > _MOST_NAMES:
            why = f"{self._count:,} elements of {len(self._names):,} names"
            raise AnswerError("the answer is too large", address=self._url, why=why, hint=FEWER)
        self._text.clear()  # between the elements of an answer there are blanks only
        element, parent = _Element(name, attributes), self._stack[-1]
        if parent.children is _NONE:
            parent.children = []
        parent.children.append(element)
        self._stack.append(element)

    def _end(self, _: str) -> None:
        element = self._stack.pop()
        if not element.children:
            element.text = "".join(self._text)
        self._text.clear()


def _row(element: _Element, model: Model | None) -> Row:
    return {child.name.replace("-", "_"): _value(child, model) for child in element.children}


def _value(element: _Element, model: Model | None) -> object:
    name = element.name.replace("-", "_")
    relation = model.associations.get(name) if model else None
    nested = schema().get(relation.model) if relation else None
    many = relation is not None and relation.kind in {"has_many", "has_and_belongs_to_many"}
    if element.attributes.get("nil") == "true":
        return None
    if many or (element.children and _is_plural(element)):
        return [_row(child, nested) for child in element.children]
    if element.children or relation is not None:
        return _row(element, nested)
    return _typed(element.text, model.field_type(name) if model else "")


def _is_plural(element: _Element) -> bool:
    """Return whether this is a list of rows (``<genes><gene/>…``), not one (``<gene><id/>…``)."""
    names = {child.name for child in element.children}
    only = next(iter(names))
    return (
        len(names) == 1
        and any(child.children for child in element.children)
        and (element.name.rstrip("s").startswith(only[:-1]))
    )
