"""Validate core files with aind-data-schema; run by the Python of an environment that has it.

Reads ``{"name of core file": {…}, …}`` from standard input and writes a list of verdicts. It does
not import openallen, which need not be installed there.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

_MOST_ERRORS = 20


def _model(core: str) -> Any:
    """Return the model of a core file, None where this release has none (session, rig)."""
    name = "".join(word.capitalize() for word in core.split("_"))
    try:
        return getattr(importlib.import_module(f"aind_data_schema.core.{core}"), name, None)
    except ImportError:
        return None


def verdict(core: str, content: dict[str, Any]) -> dict[str, Any]:
    """Validate one core file against the schema of the installed release."""
    model = _model(core)
    found: dict[str, Any] = {"core_file": core, "version": content.get("schema_version")}
    if model is None:
        return found | {"shipped": None, "valid": None, "errors": ["no schema in this release"]}
    shipped = model.model_fields["schema_version"].default
    try:
        model.model_validate(content)
    except ValueError as error:
        list_errors = getattr(error, "errors", None)
        if list_errors is None:
            return found | {"shipped": shipped, "valid": False, "errors": [str(error)[:300]]}
        lines = [
            f"{'.'.join(str(part) for part in one['loc']) or core}: {one['msg']}"
            for one in list_errors(include_url=False, include_context=False, include_input=False)
        ]
        more = [f"and {len(lines) - _MOST_ERRORS} more"] if len(lines) > _MOST_ERRORS else []
        errors = [line[:300] for line in lines[:_MOST_ERRORS]] + more
        return found | {"shipped": shipped, "valid": False, "errors": errors}
    return found | {"shipped": shipped, "valid": True, "errors": []}


def main() -> None:
    """Read, validate, write."""
    try:
        importlib.import_module("aind_data_schema")
    except ImportError:
        sys.exit(3)
    given = json.load(sys.stdin)
    found = [verdict(core, content) for core, content in given.items()]
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
