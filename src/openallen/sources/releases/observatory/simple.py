"""Containers and experiments of Visual Coding, two-photon, as flat rows with AllenSDK's names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

__all__ = ["container_row", "experiment_row", "lines_of"]

Row = dict[str, Any]


def container_row(row: Mapping[str, Any]) -> Row:
    """Return an experiment container, flat.

    Parameters
    ----------
    row
        A row of ``ExperimentContainer`` with specimen, donor, lines and structure nested.
    """
    specimen, donor = _nested(row, "specimen"), _nested(_nested(row, "specimen"), "donor")
    return {
        "id": row.get("id"),
        "imaging_depth": row.get("imaging_depth"),
        "targeted_structure": _nested(row, "targeted_structure").get("acronym"),
        "cre_line": _cre_line(specimen),
        "reporter_line": _reporter_line(specimen),
        "donor_name": donor.get("external_donor_name"),
        "specimen_name": specimen.get("name"),
        "tags": [c.get("name") for c in _many(donor, "conditions")],
        "failed": row.get("failed"),
    }


def experiment_row(row: Mapping[str, Any], eyes: Collection[int] | None) -> Row:
    """Return an experiment, flat.

    Parameters
    ----------
    row
        A row of ``OphysExperiment`` with specimen, donor, lines and structure nested.
    eyes
        Ids of the sessions whose eye tracking was mapped onto the screen; None where unknown: then
        the row's own word counts, which is that of an earlier method.
    """
    specimen, donor = _nested(row, "specimen"), _nested(_nested(row, "specimen"), "donor")
    session = row.get("ophys_session_id")
    known = eyes is not None and session is not None
    return {
        "id": row.get("id"),
        "imaging_depth": row.get("imaging_depth"),
        "targeted_structure": _nested(row, "targeted_structure").get("acronym"),
        "cre_line": _cre_line(specimen),
        "reporter_line": _reporter_line(specimen),
        "acquisition_age_days": _days(donor.get("date_of_birth"), row.get("date_of_acquisition")),
        "experiment_container_id": row.get("experiment_container_id"),
        "session_type": row.get("stimulus_name"),
        "donor_name": donor.get("external_donor_name"),
        "specimen_name": specimen.get("name"),
        "fail_eye_tracking": session not in (eyes or ()) if known else row.get("fail_eye_tracking"),
    }


def lines_of(row: Mapping[str, Any]) -> list[str]:
    """Return the names of all transgenic lines of the animal of a row.

    Parameters
    ----------
    row
        A container or an experiment, nested.
    """
    donor = _nested(_nested(row, "specimen"), "donor")
    return [str(line.get("name")) for line in _many(donor, "transgenic_lines")]


def _cre_line(specimen: Mapping[str, Any]) -> str | None:
    """Return the first driver line with Cre: an animal may have others, as of tTA."""
    lines = _many(_nested(specimen, "donor"), "transgenic_lines")
    drivers = (_text(x) for x in lines if x.get("transgenic_line_type_name") == "driver")
    return next((name for name in drivers if "Cre" in name), None)


def _reporter_line(specimen: Mapping[str, Any]) -> str | None:
    lines = _many(_nested(specimen, "donor"), "transgenic_lines")
    kind = "transgenic_line_type_name"
    return next((_text(line) for line in lines if line.get(kind) == "reporter"), None)


def _text(line: Mapping[str, Any]) -> str:
    return str(line.get("name") or "")


def _days(born: Any, recorded: Any) -> int | None:
    """Return the whole days from one time to another."""
    try:
        return (datetime.fromisoformat(recorded) - datetime.fromisoformat(born)).days
    except (TypeError, ValueError):
        return None


def _nested(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = row.get(name)
    return found if isinstance(found, Mapping) else {}


def _many(row: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = row.get(name)
    return [x for x in found if isinstance(x, Mapping)] if isinstance(found, list) else []
