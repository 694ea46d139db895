"""Make the records that tests of AIND assets go by, from real ones.

    python tools/make_asset_fixtures.py RECORDS... > tests/data/assets/records.jsonl

RECORDS are records of the document database as JSON files, people's names replaced already. What
says nothing of an asset (devices, calibrations, procedures) is left out; the rest stays as it is,
odd spellings included.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

KEPT = {
    "session": ("schema_version", "session_start_time", "session_end_time", "rig_id", "subject_id",
                "experimenter_full_name", "session_type"),
    "acquisition": ("schema_version", "session_start_time", "session_end_time", "instrument_id",
                    "acquisition_start_time", "acquisition_end_time", "experimenters",
                    "experimenter_full_name", "subject_id", "acquisition_type"),
    "rig": ("schema_version", "rig_id"),
    "instrument": ("schema_version", "instrument_id", "type", "version"),
    "procedures": ("schema_version", "subject_id"),
}  # fmt: skip
TOP = (
    "_id", "name", "location", "created", "_created", "last_modified", "_last_modified",
    "metadata_status", "external_links", "other_identifiers", "schema_version", "object_type",
    "data_description", "subject", "processing", "quality_control", *KEPT,
)  # fmt: skip
LONGEST = 200


def slim(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record without what tests do not ask about."""
    made = {name: record[name] for name in TOP if name in record}
    for core, names in KEPT.items():
        if isinstance(made.get(core), dict):
            made[core] = {n: made[core][n] for n in names if n in made[core]}
    short: dict[str, Any] = _short(made)
    people = short["data_description"].get("investigators")
    for person in people if isinstance(people, list) else ():
        if isinstance(person, dict):
            person |= {"registry_identifier": None}  # it would tell who it is
    return short


def _short(value: Any, depth: int = 0) -> Any:
    if isinstance(value, dict):
        items = list(value.items())[:40] if depth > 3 else value.items()
        return {k: _short(v, depth + 1) for k, v in items}
    if isinstance(value, list):
        return [_short(v, depth + 1) for v in value[:12]]
    return value[:LONGEST] if isinstance(value, str) else value


def main() -> None:
    """Write one record a line."""
    for path in sys.argv[1:]:
        record = json.loads(Path(path).read_text("utf-8"))
        if "name" in record and "data_description" in record:
            print(json.dumps(slim(record), sort_keys=True))


if __name__ == "__main__":
    main()
