"""AllenSDK's ``swc``: reconstructions and their markers, as lists of dicts."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from openallen.compat.elsewhere import Mirrored
from openallen.formats.marker import Marker as OurMarker
from openallen.formats.marker import read_markers
from openallen.formats.swc import Morphology as OurMorphology
from openallen.formats.swc import read_swc as read_ours

__all__ = ["Compartment", "Marker", "Morphology", "read_marker_file", "read_swc"]


class Compartment(dict[str, Any]):
    """A point of a reconstruction: ``id``, ``type``, ``x``, ``y``, ``z``, ``radius``, ``parent``.

    ``tree_id`` and ``children`` are made of the others. Lengths are in µm.
    """


class Marker(dict[str, Any]):
    """A marker beside a reconstruction: ``x``, ``y``, ``z`` in µm, and its code as ``name``."""

    SPACING: ClassVar[list[float]] = [0.1144, 0.1144, 0.28]
    CUT_DENDRITE: ClassVar[int] = 10
    NO_RECONSTRUCTION: ClassVar[int] = 20


class Morphology(Mirrored):
    """A reconstruction as AllenSDK has it: compartments, numbered from 0 in the file's order.

    Parameters
    ----------
    compartment_list
        The compartments.
    compartment_index
        The same by id; made of the list.
    """

    SOMA: ClassVar[int] = 1
    AXON: ClassVar[int] = 2
    DENDRITE: ClassVar[int] = 3
    BASAL_DENDRITE: ClassVar[int] = 3
    APICAL_DENDRITE: ClassVar[int] = 4
    NODE_TYPES: ClassVar[list[int]] = [1, 2, 3, 3, 4]

    def __init__(
        self,
        compartment_list: Sequence[Mapping[str, Any]] | None = None,
        compartment_index: Mapping[int, Mapping[str, Any]] | None = None,
    ) -> None:
        given = list(compartment_list or (compartment_index or {}).values())
        self._nodes = _numbered(given)

    @property
    def compartment_list(self) -> list[Compartment]:
        """The compartments, in order."""
        return self._nodes

    @property
    def compartment_index(self) -> dict[int, Compartment]:
        """The compartments by id."""
        return {node["id"]: node for node in self._nodes}

    @property
    def num_nodes(self) -> int:
        """How many compartments there are."""
        return len(self._nodes)

    @functools.cached_property
    def _roots(self) -> list[Compartment]:
        return [node for node in self._nodes if node["parent"] < 0]

    @property
    def num_trees(self) -> int:
        """How many trees there are."""
        return len(self._roots)

    @property
    def soma(self) -> Compartment | None:
        """The root of the type of a soma; None where there is none."""
        return next((node for node in self._roots if node["type"] == self.SOMA), None)

    @property
    def root(self) -> Compartment | None:
        """The soma; where there is none, the first root."""
        return self.soma or next(iter(self._roots), None)

    def node(self, n: Any) -> Compartment | None:
        """Return a compartment by its id; None for no such id."""
        number = n["id"] if isinstance(n, Mapping) else int(n)
        return self._nodes[number] if 0 <= number < len(self._nodes) else None

    def parent_of(self, seg: Any) -> Compartment | None:
        """Return what a compartment continues; None for a root."""
        found = self.node(seg)
        return None if found is None else self.node(found["parent"])

    def children_of(self, seg: Any) -> list[Compartment]:
        """Return what continues a compartment."""
        found = self.node(seg)
        return [] if found is None else [self._nodes[number] for number in found["children"]]

    def tree(self, n: int) -> list[Compartment] | None:
        """Return the compartments of a tree by its number; None for no such tree."""
        found = [node for node in self._nodes if node["tree_id"] == n]
        return found or None

    def compartment_list_by_type(self, compartment_type: int) -> list[Compartment]:
        """Return the compartments of a type."""
        return [node for node in self._nodes if node["type"] == compartment_type]

    def compartment_index_by_type(self, compartment_type: int) -> dict[int, Compartment]:
        """Return the compartments of a type, by id."""
        return {node["id"]: node for node in self.compartment_list_by_type(compartment_type)}

    def save(self, file_name: str | Path) -> None:
        """Write it as SWC, with four decimals."""
        lines = ["#n,type,x,y,z,radius,parent"]
        for node in self._nodes:
            point = " ".join(f"{node[name]:.4f}" for name in ("x", "y", "z", "radius"))
            lines.append(f"{node['id']} {node['type']} {point} {node['parent']}")
        Path(file_name).write_text("\n".join(lines) + "\n", "utf-8")

    write = save


_NONE: Final = -1


def _numbered(given: Sequence[Mapping[str, Any]]) -> list[Compartment]:
    """Return compartments numbered in their order, with their children and tree."""
    places = {row["id"]: number for number, row in enumerate(given)}
    nodes = [
        Compartment(
            id=number,
            type=row["type"],
            **{name: float(row[name]) for name in ("x", "y", "z", "radius")},
            parent=places.get(row["parent"], _NONE),
            tree_id=_NONE,
            children=[],
        )
        for number, row in enumerate(given)
    ]
    for node in nodes:
        if node["parent"] != _NONE:
            nodes[node["parent"]]["children"].append(node["id"])
    roots = [node for node in nodes if node["parent"] == _NONE]
    for tree, root in enumerate(roots):
        waiting = [root]
        while waiting:
            node = waiting.pop()
            node["tree_id"] = tree
            waiting += [nodes[number] for number in node["children"]]
    return nodes


def mirrored(found: OurMorphology) -> Morphology:
    """Return a reconstruction of openallen as AllenSDK has it."""
    return Morphology(
        [
            {
                "id": node.id,
                "type": node.type,
                "x": node.x_um,
                "y": node.y_um,
                "z": node.z_um,
                "radius": node.radius_um,
                "parent": node.parent,
            }
            for node in found.nodes
        ]
    )


def mirrored_markers(found: Sequence[OurMarker]) -> list[Marker]:
    """Return markers of openallen as AllenSDK has them: less one voxel along each axis."""
    axes = ("x", "y", "z")
    return [
        Marker(
            **{
                axis: value - spacing
                for axis, value, spacing in zip(axes, marker[:3], Marker.SPACING, strict=True)
            },
            name=marker.code,
        )
        for marker in found
    ]


def read_swc(
    file_name: str | Path, columns: Any = "NOT_USED", numeric_columns: Any = "NOT_USED"
) -> Morphology:
    """Read an SWC file.

    Parameters
    ----------
    file_name
        The file.
    columns, numeric_columns
        Not used, as in AllenSDK.

    Raises
    ------
    NotFoundError
        If there is no such file.
    CorruptError
        If it is no SWC.
    """
    del columns, numeric_columns
    return mirrored(read_ours(Path(file_name)))


def read_marker_file(file_name: str | Path) -> list[Marker]:
    """Read a marker file.

    Parameters
    ----------
    file_name
        The file.
    """
    return mirrored_markers(read_markers(Path(file_name)))
