"""The three forms of an answer, as the service writes them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from typing import Any
from xml.sax.saxutils import escape

from openallen.archive.evaluate import Result
from openallen.brainmap.naming import plural, singular, snake

__all__ = ["csv_answer", "failure", "json_answer", "xml_answer", "xml_failure"]


def json_answer(result: Result) -> bytes:
    """Write the JSON envelope."""
    envelope = {
        "success": True,
        "id": 0,
        "start_row": result.start_row,
        "num_rows": len(result.rows),
        "total_rows": result.total_rows,
        "msg": result.rows,
    }
    return json.dumps(envelope, ensure_ascii=False, default=str).encode()


def failure(message: str) -> bytes:
    """Write the envelope of a refusal: ``msg`` is a text, the status stays 200."""
    envelope = {"success": False, "id": 0, "start_row": 0, "num_rows": 0, "total_rows": 0}
    return json.dumps(envelope | {"msg": message}, ensure_ascii=False).encode()


def csv_answer(result: Result) -> bytes:
    """Write the rows as CSV: flat columns alone, empty for nothing."""
    names: dict[str, None] = {}
    for row in result.rows:
        names |= dict.fromkeys(k for k, v in row.items() if not isinstance(v, (list, dict)))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in result.rows:
        writer.writerow([_plain(row.get(name)) for name in names])
    return text.getvalue().encode()


def xml_answer(result: Result) -> bytes:
    """Write the XML envelope; tabular rows are ``hash`` elements and the envelope has no id."""
    numbers = (result.start_row, len(result.rows), result.total_rows)
    counts = "start_row='{}' num_rows='{}' total_rows='{}'".format(*numbers)
    if not result.model:
        rows = "".join(f"<hash>{_fields(row)}</hash>" for row in result.rows)
        return f"<Response success='true' {counts}>{rows}</Response>".encode()
    one = _dashed(snake(result.model))
    rows = "".join(f"<{one}>{_fields(row)}</{one}>" for row in result.rows)
    group = _dashed(plural(snake(result.model)))
    return f"<Response success='true' id='0' {counts}><{group}>{rows}</{group}></Response>".encode()


def xml_failure(message: str) -> bytes:
    """Write a refusal as XML."""
    return f"<Response success='false' id='0'>{escape(message)}</Response>".encode()


def _fields(row: Mapping[str, Any]) -> str:
    return "".join(_field(_dashed(name), value) for name, value in row.items())


def _field(name: str, value: object) -> str:
    if value is None:
        return f'<{name} nil="true"></{name}>'
    if isinstance(value, list):
        return f"<{name}>{''.join(_items(singular(name), value))}</{name}>"
    if isinstance(value, Mapping):
        return f"<{name}>{_fields(value)}</{name}>"
    return f"<{name}>{escape(_plain(value))}</{name}>"


def _items(name: str, values: Iterable[object]) -> Iterable[str]:
    for value in values:
        yield (
            f"<{name}>{_fields(value)}</{name}>"
            if isinstance(value, Mapping)
            else _field(name, value)
        )


def _plain(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _dashed(name: str) -> str:
    return name.replace("_", "-")
