"""The description of the JSON routes, in OpenAPI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from openallen.sources.registry import SCHEMES
from openallen.version import __version__
from openallen.viewer.jobs import ACTIONS

__all__ = ["openapi"]

_TEXT: Final = {"type": "string"}
_ID: Final = {"type": "string", "pattern": "^[^/]+$"}  # one segment of the path
_WHOLE: Final = {"type": "integer", "minimum": 0}
_TEXTS: Final = {"type": "array", "items": _TEXT}
_OBJECTS: Final = {"type": "array", "items": {"type": "object"}}
_STATES: Final = (
    "waiting", "planning", "asks", "fetching", "verifying", "repairing", "pausing", "paused",
    "done", "incomplete", "failed", "cancelled",
)  # fmt: skip


def openapi() -> dict[str, Any]:
    """Return the document; everything in it is answered by JSON."""
    address = _in("path", "address", {"type": "string", "examples": ["stack:313862022"]})
    scheme = _in("path", "what", {"type": "string", "enum": sorted(SCHEMES)})
    paging = [
        _in("query", "limit", {"type": "integer", "minimum": 1, "maximum": 10_000}),
        _in("query", "offset", {"type": "integer", "minimum": 0, "maximum": 10_000}),
        _in("query", "sort", _TEXT),
        _in("query", "desc", {"type": "string", "enum": ["0", "1"]}),
    ]
    search = _in("query", "q", _TEXT)
    job = _ref("Job")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "openallen's web view",
            "version": __version__,
            "description": "What its pages show, as JSON. Writing needs the token of a page.",
        },
        "paths": {
            "/index.json": {"get": _get("What the store holds", [search], _ref("Index"))},
            "/list/{what}.json": {
                "get": _get(
                    "Rows of a scheme; FIELD=VALUE are filters", [scheme, *paging], _ref("List")
                )
            },
            "/item/{address}.json": {
                "get": _get("What is known of one thing", [address], _ref("Item"))
            },
            "/plan.json": {
                "get": _get(
                    "What fetching it takes",
                    [_in("query", "address", _TEXT, required=True)],
                    _ref("Plan"),
                )
            },
            "/jobs.json": {
                "get": _get("Jobs", [], _object({"jobs": {"type": "array", "items": job}}))
            },
            "/jobs/{id}.json": {"get": _get("One job", [_in("path", "id", _ID)], job)},
            "/fetch": {"post": _post("Begin to fetch", job)},
            "/verify": {"post": _post("Begin to verify", job)},
            "/jobs/{id}/{action}": {
                "post": _post(
                    "Ask something of a job",
                    job,
                    [_in("path", "id", _ID), _in("path", "action", {"enum": list(ACTIONS)})],
                    body=False,
                )
            },
        },
        "components": {"schemas": _SCHEMAS},
    }


def _object(properties: Mapping[str, Any], *, more: bool = False) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": more,
    }


_SCHEMAS: Final[dict[str, Any]] = {
    "Error": _object(
        {
            "error": _object(
                {"kind": _TEXT, "what": _TEXT, "address": _TEXT, "why": _TEXT, "hint": _TEXT}
            )
        }
    ),
    "Index": _object(
        {
            "held": _OBJECTS,
            "total_bytes": _WHOLE,
            "folder": _TEXT,
            "jobs": _OBJECTS,
            "elsewhere": _OBJECTS,
            "notes": _TEXTS,
            "schemes": _OBJECTS,
        }
    ),
    "List": _object(
        {
            "address": _TEXT,
            "filters": _TEXTS,
            "total": {"type": ["integer", "null"]},
            "offset": _WHOLE,
            "columns": _TEXTS,
            "rows": _OBJECTS,
            "notes": _TEXTS,
        }
    ),
    "Item": _object({"address": _TEXT, "title": _TEXT, "visuals": _OBJECTS}, more=True),
    "Plan": _object({"address": _TEXT, "files": _OBJECTS, "bytes_missing": _WHOLE}, more=True),
    "Job": _object(
        {
            "id": _TEXT,
            "address": _TEXT,
            "kind": {"enum": ["fetch", "verify", "repair"]},
            "state": {"enum": list(_STATES)},
            "files_done": _WHOLE,
            "files": _WHOLE,
            "bytes_done": _WHOLE,
            "bytes": _WHOLE,
            "rate": _WHOLE,
            "message": _TEXT,
            "errors": _OBJECTS,
            "plan": _TEXT,
            "actions": {"type": "array", "items": {"enum": list(ACTIONS)}},
            "options": {"type": "object"},
        }
    ),
}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _in(
    place: str, name: str, schema: Mapping[str, Any], *, required: bool = False
) -> dict[str, Any]:
    return {
        "in": place, "name": name, "schema": dict(schema), "required": required or place == "path"
    }  # fmt: skip


def _json(description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": dict(schema)}}}


def _answers(status: str, schema: Mapping[str, Any], errors: Sequence[str]) -> dict[str, Any]:
    wrong = {code: _json("What went wrong, and what to try", _ref("Error")) for code in errors}
    # What guards the server answers before anything of it is asked, in a line of text.
    wrong["400"]["content"]["text/plain"] = {"schema": _TEXT}
    return {status: _json("The answer", schema), **wrong}


def _get(
    summary: str, parameters: Sequence[Mapping[str, Any]], schema: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "summary": summary,
        "parameters": list(parameters),
        "responses": _answers("200", schema, ("400", "403", "404", "422", "500", "502")),
    }


def _post(
    summary: str,
    schema: Mapping[str, Any],
    parameters: Sequence[Mapping[str, Any]] = (),
    *,
    body: bool = True,
) -> dict[str, Any]:
    token = _in("header", "x-openallen-token", _TEXT, required=True)
    sent = _object({"address": _TEXT}) | {"additionalProperties": True}
    sent["properties"] = {"address": _TEXT, "options": {"type": "object"}}
    found: dict[str, Any] = {
        "summary": summary,
        "parameters": [token, *parameters],
        "responses": _answers("202", schema, ("400", "403", "404")),
    }
    if body:
        found["requestBody"] = {
            "required": True, "content": {"application/json": {"schema": sent}}
        }  # fmt: skip
    return found
