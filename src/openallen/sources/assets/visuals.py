"""What an asset looks like: what it was made from and what became of it, what is in it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from openallen.address import Address
from openallen.errors import AddressError, OpenAllenError
from openallen.visuals import GraphVisual, Link, Node, TableVisual, Visual

if TYPE_CHECKING:
    from openallen.sources.assets.provenance import Family
    from openallen.sources.assets.read import Asset

__all__ = ["provenance_graph", "visuals_of_asset"]


def visuals_of_asset(asset: Asset) -> tuple[Visual, ...]:
    """Return the views of an asset.

    Parameters
    ----------
    asset
        The asset.
    """
    found: list[Visual] = []
    with suppress(OpenAllenError):
        family = asset.kin() if asset.kin is not None else None
        if family is not None and len(family.members) > 1:
            found.append(provenance_graph(family))
    if asset.looking is not None:
        found.append(_contents(asset))
    problems: tuple[str, ...] = ()
    with suppress(OpenAllenError):
        problems = asset.record.problems
    if problems:
        rows = [{"problem": problem} for problem in problems]
        found.append(
            TableVisual(name="problems", title="Problems of its metadata", table=lambda: rows)
        )
    return tuple(found)


def provenance_graph(family: Family) -> GraphVisual:
    """Return provenance as a graph; assets that are not public have no address.

    Parameters
    ----------
    family
        The assets.
    """
    rows = {str(row["name"]): row for row in family.to_rows()}
    nodes = tuple(
        Node(
            id=member.name,
            label=member.name,
            kind=str(rows[member.name].get("label") or rows[member.name].get("level") or ""),
            address=_address(member.name) if member.row.get("public", True) else None,
        )
        for member in family.members
    )
    links = tuple(
        Link(start=source, end=member.name, label="by its name" if member.how == "name" else "")
        for member in family.members
        for source in member.sources
    )
    return GraphVisual(name="provenance", title="Provenance", nodes=nodes, links=links)


def _contents(asset: Asset) -> TableVisual:
    def rows() -> list[dict[str, object]]:
        return [
            {
                "path": one.path,
                "kind": one.kind,
                "size_bytes": one.size_bytes,
                "address": _address(str(asset.name), one.path),
            }
            for one in asset.contents()
        ]

    def address(row: object) -> str | None:
        found = row.get("address") if isinstance(row, dict) else None
        return found if isinstance(found, str) else None

    return TableVisual(name="contents", title="What opens of it", table=rows, address=address)


def _address(name: str, path: str = "") -> str | None:
    try:
        return str(Address("asset", name, path=tuple(part for part in path.split("/") if part)))
    except AddressError:
        return None
