"""AllenSDK's ``StructureTree``: the ontology of structures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from openallen.compat.elsewhere import Mirrored
from openallen.sources.atlases.structure_tree import Node
from openallen.sources.atlases.structure_tree import StructureTree as OurTree
from openallen.sources.atlases.structures import Structures

__all__ = ["StructureTree"]


class StructureTree(OurTree, Mirrored):
    """The structures of an ontology: openallen's, made as AllenSDK does.

    Parameters
    ----------
    nodes
        Rows of structures, as the service or another tree has them; or openallen's `Structures`.
    """

    def __init__(self, nodes: Iterable[Mapping[str, Any]] | Structures) -> None:
        super().__init__(nodes if isinstance(nodes, Structures) else Structures.from_rows(nodes))

    @staticmethod
    def clean_structures(
        structures: Iterable[Mapping[str, Any]],
        whitelist: Any = None,
        data_transforms: Any = None,
        renames: Any = None,
    ) -> list[dict[str, Any]]:
        """Return rows as they are: a tree is made of rows as the service has them."""
        del whitelist, data_transforms, renames
        return [dict(row) for row in structures]

    def node(self, node_ids: Iterable[int] | None = None) -> list[Node | None]:
        """Return `nodes`; an older name of it."""
        return self.nodes(node_ids)

    def parent(self, node_ids: Iterable[int]) -> list[Node | None]:
        """Return `parents`; an older name of it."""
        return self.parents(node_ids)

    def parent_id(self, node_ids: Iterable[int]) -> list[int | None]:
        """Return `parent_ids`; an older name of it."""
        return self.parent_ids(node_ids)
