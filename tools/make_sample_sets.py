"""Make the structure sets of the sample: names are the service's, members follow from rules.

    python tools/make_sample_sets.py

Layers of the isocortex and the areas of the Brain Observatory are what their names say. The
members of the summary set are simulated: the service's own list is curated by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

TABLES: Final = Path(__file__).parents[1] / "src" / "openallen" / "archive" / "sample" / "tables"
AREAS: Final = ("VISp", "VISl", "VISal", "VISpm", "VISam", "VISrl")
LAYERS: Final = {
    667481440: "1",
    667481441: "2/3",
    667481445: "4",
    667481446: "5",
    667481449: "6a",
    667481450: "6b",
}
_LAYER: Final = re.compile(r",? layer ")
Row = dict[str, Any]


def main() -> None:
    """Write the tables of sets and of their members."""
    text = (TABLES / "structures.jsonl").read_text("utf-8")
    rows = [row for row in map(json.loads, text.splitlines()) if row["graph_id"] == 1]
    parents = {row["parent_structure_id"] for row in rows if not _LAYER.search(row["name"])}
    chosen: dict[tuple[int, str, str], Callable[[Row], bool]] = {
        (
            167587189,
            "Brain – Summary Structures",  # noqa: RUF001 - the dash is the service's
            "Curated list of non-overlapping substructures at a mid-ontology level",
        ): lambda row: (
            "/8/" in row["structure_id_path"]
            and row["id"] not in parents
            and not _LAYER.search(row["name"])
        ),
        (
            514166994,
            "Allen Brain Observatory targeted structure set",
            "List of visual cortex structures targeted for visual coding experiments",
        ): lambda row: row["acronym"] in AREAS,
    }
    for number, layer in LAYERS.items():
        name = f"Isocortex layer {layer}"
        about = f"List of structures in Isocortex layer {layer}"
        chosen[number, name, about] = _in_layer(layer)
    sets = [{"id": i, "name": name, "description": about} for i, name, about in chosen]
    members = [
        {"structure_set_id": number, "structure_id": row["id"]}
        for (number, _, _), holds in chosen.items()
        for row in rows
        if holds(row)
    ]
    _write(TABLES / "structure_sets.jsonl", sets)
    numbered = [{"id": n, **row} for n, row in enumerate(members, 1)]
    _write(TABLES / "structure_sets_structures.jsonl", numbered)


def _in_layer(layer: str) -> Callable[[Row], bool]:
    ending = re.compile(rf"layer {re.escape(layer)}$", re.IGNORECASE)
    return lambda row: (
        "/315/" in row["structure_id_path"] and ending.search(row["name"]) is not None
    )


def _write(path: Path, rows: list[Mapping[str, Any]] | list[Row]) -> None:
    path.write_text("".join(json.dumps(dict(sorted(r.items()))) + "\n" for r in rows), "utf-8")


if __name__ == "__main__":
    main()
