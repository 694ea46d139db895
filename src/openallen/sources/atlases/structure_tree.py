"""An ontology under the names that AllenSDK's ``StructureTree`` has for it.

Its nodes are dicts (``id``, ``acronym``, ``name``, ``rgb_triplet``, ``graph_id``, ``graph_order``,
``structure_id_path``, ``structure_set_ids``), so that scripts that index them run on.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from openallen.display import facts_text
from openallen.errors import NotFoundError, UsageError, requiring
from openallen.sources.atlases.structures import Structures

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Node", "StructureTree", "unpack_structure_set_ancestors"]

Node = dict[str, Any]
"""A structure as AllenSDK has it."""


class StructureTree:
    """The structures of an ontology, asked for as AllenSDK's users do.

    Parameters
    ----------
    structures
        The ontology.

    Notes
    -----
    Lists of ids, acronyms or names are answered in their own order, with one answer for each. An
    ancestor or a descendant list begins with the structure itself, as in AllenSDK; `Structures`
    leaves it out.
    """

    def __init__(self, structures: Structures) -> None:
        self.structures = structures
        self._paths: dict[int, list[int]] = {}
        waiting = [(s, [s.id]) for s in structures if s.parent_id is None]
        while waiting:
            structure, path = waiting.pop()
            self._paths[structure.id] = path
            below = structures.children(structure.id)
            waiting += [(child, [*path, child.id]) for child in below]
        self._nodes = {s.id: self._node(s.id) for s in structures}

    def _node(self, number: int) -> Node:
        found = self.structures.by_id[number]
        return {
            "acronym": found.acronym,
            "rgb_triplet": [int(found.color[at : at + 2], 16) for at in (0, 2, 4)],
            "graph_id": self.structures.graph_id,
            "graph_order": found.graph_order,
            "id": found.id,
            "name": found.name,
            "structure_id_path": list(self._paths[number]),
            "structure_set_ids": list(found.structure_set_ids),
        }

    def _known(self, number: int) -> int:
        if number not in self._nodes:
            raise self._absent("id", number)
        return number

    def _absent(self, key: str, value: object) -> NotFoundError:
        near = ""
        if isinstance(value, str):
            try:
                self.structures.find(value)
            except NotFoundError as error:
                near = error.why
        return NotFoundError(f"no structure with this {key}", address=f"{value!r:.60}", why=near)

    def __repr__(self) -> str:
        return facts_text("structure tree", {"structures": len(self._nodes)})

    # --- nodes ------------------------------------------------------------------------------------

    def node_ids(self) -> list[int]:
        """Return all ids, in the order of the atlas."""
        return list(self._nodes)

    def nodes(self, node_ids: Iterable[int] | None = None) -> list[Node | None]:
        """Return the nodes with these ids, None for an id that does not exist; all if None."""
        wanted = self._nodes if node_ids is None else node_ids
        return [self._nodes.get(number) for number in wanted]

    def filter_nodes(self, criterion: Callable[[Node], bool]) -> list[Node]:
        """Return the nodes for which a function returns True."""
        return [node for node in self._nodes.values() if criterion(node)]

    def nodes_by_property(
        self,
        key: Hashable | Callable[[Node], Hashable],
        values: Iterable[Hashable],
        to_fn: Callable[[Node], Any] | None = None,
    ) -> list[Any]:
        """Return, for each value, the node whose property (a key, or a function of it) it is.

        Raises
        ------
        NotFoundError
            If no node has a value.
        UsageError
            If several nodes share one.
        """
        read = key if callable(key) else lambda node: node[key]
        table = self.value_map(read, to_fn or (lambda node: node))
        found = []
        for value in values:
            if value not in table:
                raise self._absent(str(key) if not callable(key) else "property", value)
            found.append(table[value])
        return found

    def value_map(
        self, from_fn: Callable[[Node], Hashable], to_fn: Callable[[Node], Any]
    ) -> dict[Any, Any]:
        """Return a dict from one property of the nodes to another.

        Raises
        ------
        UsageError
            If two nodes have the same key.
        """
        found: dict[Any, Any] = {}
        for node in self._nodes.values():
            key = from_fn(node)
            if key in found:
                raise UsageError("the keys are not unique", why=f"{key!r:.60} stands for several")
            found[key] = to_fn(node)
        return found

    # --- look-up ----------------------------------------------------------------------------------

    def get_structures_by_id(self, structure_ids: Iterable[int]) -> list[Node | None]:
        """Return a node for each id; None for one that does not exist."""
        return self.nodes(structure_ids)

    def get_structures_by_acronym(self, acronyms: Iterable[str]) -> list[Node]:
        """Return a node for each acronym.

        Raises
        ------
        NotFoundError
            If there is no such acronym.
        UsageError
            If two structures share one.
        """
        return self.nodes_by_property("acronym", acronyms)

    def get_structures_by_name(self, names: Iterable[str]) -> list[Node]:
        """Return a node for each name, as written.

        Raises
        ------
        NotFoundError
            If there is no such name.
        UsageError
            If two structures share one.
        """
        return self.nodes_by_property("name", names)

    def get_structures_by_set_id(self, structure_set_ids: Iterable[int]) -> list[Node]:
        """Return the nodes that are in any of these structure sets, in the order of the atlas."""
        wanted = set(structure_set_ids)
        return self.filter_nodes(lambda node: not wanted.isdisjoint(node["structure_set_ids"]))

    def get_structure_sets(self) -> list[int]:
        """Return the ids of all sets that a structure is in, ascending."""
        return sorted(self.structures.sets)

    # --- the tree ---------------------------------------------------------------------------------

    def parent_ids(self, node_ids: Iterable[int]) -> list[int | None]:
        """Return the id of the parent of each; None for a root."""
        return [self.structures.by_id[self._known(number)].parent_id for number in node_ids]

    def parents(self, node_ids: Iterable[int]) -> list[Node | None]:
        """Return the parent of each; None for a root."""
        return [None if up is None else self._nodes[up] for up in self.parent_ids(node_ids)]

    def child_ids(self, node_ids: Iterable[int]) -> list[list[int]]:
        """Return the ids of the direct parts of each."""
        found = (self.structures.children(self._known(number)) for number in node_ids)
        return [[child.id for child in children] for children in found]

    def children(self, node_ids: Iterable[int]) -> list[list[Node]]:
        """Return the direct parts of each."""
        return [[self._nodes[i] for i in ids] for ids in self.child_ids(node_ids)]

    def ancestor_ids(self, node_ids: Iterable[int]) -> list[list[int]]:
        """Return, for each, its own id and those of what it is part of, up to the root."""
        return [self._paths[self._known(number)][::-1] for number in node_ids]

    def ancestors(self, node_ids: Iterable[int]) -> list[list[Node]]:
        """Return, for each, its own node and what it is part of, up to the root."""
        return [[self._nodes[i] for i in ids] for ids in self.ancestor_ids(node_ids)]

    def descendant_ids(self, node_ids: Iterable[int]) -> list[list[int]]:
        """Return, for each, its own id and those of all its parts, a part before its own parts."""
        found = []
        for number in node_ids:
            below: list[int] = []
            waiting = [self._known(number)]
            while waiting:
                below.append(waiting.pop())
                children = self.structures.children(below[-1])
                waiting += [child.id for child in reversed(children)]
            found.append(below)
        return found

    def descendants(self, node_ids: Iterable[int]) -> list[list[Node]]:
        """Return, for each, its own node and all its parts."""
        return [[self._nodes[i] for i in ids] for ids in self.descendant_ids(node_ids)]

    def structure_descends_from(self, child_id: int, parent_id: int) -> bool:
        """Return whether one structure is another, or a part of it."""
        return parent_id in self.ancestor_ids([child_id])[0]

    def has_overlaps(self, structure_ids: Iterable[int]) -> set[int]:
        """Return those of the ids that others of them are part of."""
        given = list(structure_ids)
        above = {up for ids in self.ancestor_ids(given) for up in ids[1:]}
        return above.intersection(given)

    # --- maps -------------------------------------------------------------------------------------

    def get_colormap(self) -> dict[int, list[int]]:
        """Return red, green and blue (0 to 255) of each structure, by id."""
        return {number: node["rgb_triplet"] for number, node in self._nodes.items()}

    def get_name_map(self) -> dict[int, str]:
        """Return names by id."""
        return {number: node["name"] for number, node in self._nodes.items()}

    def get_id_acronym_map(self) -> dict[str, int]:
        """Return ids by acronym.

        Raises
        ------
        UsageError
            If two structures share an acronym.
        """
        return self.value_map(lambda node: node["acronym"], lambda node: node["id"])

    def get_ancestor_id_map(self) -> dict[int, list[int]]:
        """Return, by id, its own id and those of what it is part of."""
        return dict(zip(self._nodes, self.ancestor_ids(self._nodes), strict=True))

    @requiring("a table of labels", "tables")
    def export_label_description(
        self,
        alphas: Mapping[int, float] | None = None,
        exclude_label_vis: Iterable[int] | None = None,
        exclude_mesh_vis: Iterable[int] | None = None,
        label_key: str = "acronym",
    ) -> pd.DataFrame:
        """Return the table of a label description file of ITK-SNAP.

        Parameters
        ----------
        alphas
            Opacity (0 to 1) by id; 1 where it is not told.
        exclude_label_vis, exclude_mesh_vis
            Structures whose label, or whose mesh, is not shown.
        label_key
            What labels are called by: ``acronym`` or ``name``.

        Returns
        -------
        DataFrame
            ``IDX``, ``-R-``, ``-G-``, ``-B-``, ``-A-``, ``VIS``, ``MSH``, ``LABEL``.
        """
        import pandas as pd

        if label_key not in {"acronym", "name", "id"}:
            raise UsageError(f"labels are not called by '{label_key}'", hint="label_key='acronym'")
        unseen, flat = set(exclude_label_vis or ()), set(exclude_mesh_vis or ())
        opacity = alphas or {}
        rows = [
            (
                number,
                *node["rgb_triplet"],
                float(opacity.get(number, 1.0)),
                int(number not in unseen),
                int(number not in flat),
                node[label_key],
            )
            for number, node in self._nodes.items()
        ]
        columns = ["IDX", "-R-", "-G-", "-B-", "-A-", "VIS", "MSH", "LABEL"]
        return pd.DataFrame(rows, columns=columns)


def unpack_structure_set_ancestors(structure_dataframe: pd.DataFrame) -> None:
    """Add the column ``structure_set_ancestor`` to a table of structures, as AllenSDK does.

    Parameters
    ----------
    structure_dataframe
        Rows of ``Structure`` with the column ``structure_id_path`` (``/997/8/``); changed in place.

    Raises
    ------
    UsageError
        If there is no such column, or a path is not ids between slashes.
    """
    if "structure_id_path" not in structure_dataframe:
        columns: Sequence[str] = [str(column) for column in structure_dataframe.columns]
        raise UsageError(
            "the table has no column 'structure_id_path'", why="columns: " + ", ".join(columns[:12])
        )
    structure_dataframe["structure_set_ancestor"] = [
        _path(path) for path in structure_dataframe["structure_id_path"]
    ]


def _path(path: object) -> list[int]:
    words = [word for word in str(path).split("/") if word]
    if not isinstance(path, str) or not all(word.isdecimal() for word in words):
        raise UsageError("not a path of structures", why=f"{path!r:.60}", hint="/997/8/")
    return [int(word) for word in words]
