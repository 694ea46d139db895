"""Ontologies and trees of an archive: the nested graph, and the flat list of relatives."""

from __future__ import annotations

from typing import Any, Final

from openallen.archive.evaluate import Result
from openallen.archive.holdings import Holdings
from openallen.archive.relations import Refusal
from openallen.brainmap.schema import schema

__all__ = ["relatives", "structure_graph"]

_NODE: Final = (
    "id", "atlas_id", "ontology_id", "acronym", "name", "color_hex_triplet", "graph_order",
    "st_level", "hemisphere_id", "parent_structure_id",
)  # fmt: skip
_PARENTS: Final = {"Structure": "parent_structure_id", "Specimen": "parent_id"}


def structure_graph(holdings: Holdings, graph_id: int) -> Result:
    """Return an ontology as nested nodes.

    Raises
    ------
    Refusal
        If it does not exist.
    """
    rows = holdings.rows("structures", "graph_id", graph_id)
    if not rows:
        raise Refusal(f"no structure graph {graph_id}")
    nodes = {row["id"]: {name: row.get(name) for name in _NODE} for row in rows}
    roots: list[dict[str, Any]] = []
    children: dict[int, list[dict[str, Any]]] = {number: [] for number in nodes}
    for row in sorted(rows, key=lambda row: row["graph_order"] or 0):
        node = nodes[row["id"]]
        parent = nodes.get(row["parent_structure_id"])
        beside = roots if parent is None else children[int(parent["id"] or 0)]
        beside.append(node | {"children": children[row["id"]]})
    return Result(roots, 0, len(roots), "Structure")


def relatives(
    holdings: Holdings, model: str, number: int, *, ancestors: bool, descendants: bool
) -> Result:
    """Return a row of a tree, with those above it and those below it, from the top.

    Raises
    ------
    Refusal
        If the tree or the row does not exist.
    """
    column = _PARENTS.get(model)
    if column is None:
        raise Refusal(f"{model} is not a tree")
    table = schema().table_of(model)
    row = holdings.row(table, "id", number)
    if row is None:
        raise Refusal(f"no {model} {number}")
    above: list[dict[str, Any]] = []
    at = row
    while ancestors and at.get(column) is not None and len(above) < 100:
        parent = holdings.row(table, "id", at[column])
        if parent is None:
            break
        above.insert(0, parent)
        at = parent
    found = [*above, row]
    waiting = [row["id"]] if descendants and column in holdings.columns[table] else []
    while waiting:
        below = holdings.rows(table, column, waiting.pop(0))
        found += below
        waiting += [child["id"] for child in below]
    shown = [{k: v for k, v in r.items() if not k.startswith("_")} for r in found]
    return Result(shown, 0, len(shown), model)
