"""Strict validation of metadata with aind-data-schema, in an environment of its own.

Reading does not need it: its newest release loads few of the existing files. It has one version of
each schema and pins an old pydantic, so validation is opt-in and runs in a separate process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from openallen.errors import MissingExtraError, OpenAllenError, UsageError
from openallen.settings import Settings
from openallen.sources.assets.record import CORE_FILES, Record

__all__ = ["Verdict", "validate"]

_SCRIPT: Final = Path(__file__).with_name("schema_validator.py")
_LONGEST_S: Final = 300
_HOW: Final = (
    "python -m venv v; v/bin/pip install aind-data-schema; OPENALLEN_VALIDATOR=v/bin/python"
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of the validation of one core file.

    Parameters
    ----------
    core_file
        Name of the core file.
    version
        Schema version named in the file.
    shipped
        Schema version it was validated against; None where the release has no model for it.
    valid
        Whether it is valid; None where it was not validated.
    errors
        Fields that are not valid, with reasons.
    """

    core_file: str
    version: str | None
    shipped: str | None
    valid: bool | None
    errors: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the values as plain types."""
        return asdict(self) | {"errors": list(self.errors)}

    def __str__(self) -> str:
        if self.shipped is None:
            return (
                f"{self.core_file} {self.version or ''}: not validated (no schema in this release)"
            )
        other = "" if self.version == self.shipped else f" (validated against {self.shipped})"
        if self.valid:
            return f"{self.core_file} {self.version}: valid{other}"
        lines = "".join(f"\n    {line}" for line in self.errors)
        return f"{self.core_file} {self.version}: not valid{other}{lines}"


def validate(
    record: Record | Mapping[str, Any], *, python: str = "", settings: Settings | None = None
) -> list[Verdict]:
    """Validate the core files of an asset against the installed release of aind-data-schema.

    Parameters
    ----------
    record
        A record, or its dict.
    python
        Python interpreter of an environment with aind-data-schema; by default the setting
        ``validator``, else this interpreter.
    settings
        Settings; read if None.

    Returns
    -------
    list of Verdict
        One for each core file of the record.

    Raises
    ------
    MissingExtraError
        If that environment has no aind-data-schema.
    UsageError
        If that interpreter does not exist.
    """
    raw: Mapping[str, Any] = record.raw if isinstance(record, Record) else record
    given = {name: raw[name] for name in CORE_FILES if isinstance(raw.get(name), dict)}
    chosen = python or (settings or Settings.load()).validator or sys.executable
    try:
        done = subprocess.run(  # noqa: S603 - a Python the user names
            [chosen, "-W", "ignore", str(_SCRIPT)],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            check=False,
            timeout=_LONGEST_S,
        )
    except OSError as error:
        raise UsageError(
            "not a Python interpreter",
            address=chosen,
            why=str(error),
            hint="OPENALLEN_VALIDATOR=/path/to/python",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise OpenAllenError(
            "validation timed out", address=chosen, why=f"after {_LONGEST_S} s"
        ) from error
    if done.returncode == 3:
        raise MissingExtraError("aind-data-schema", "validation of metadata", hint=_HOW)
    try:
        rows = json.loads(done.stdout)
    except ValueError as error:
        lines = done.stderr.strip().splitlines()
        raise OpenAllenError(
            "validation failed", address=chosen, why=lines[-1] if lines else "no output"
        ) from error
    return [Verdict(**{**row, "errors": tuple(row["errors"])}) for row in rows]
