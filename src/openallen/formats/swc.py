"""Reconstructions of neurons in SWC: seven columns a line, a tree of points with radii.

The Cell Types Database writes them in micrometres, x to the right and y down in the image plane,
z through the slice. Types: 1 soma, 2 axon, 3 basal dendrite, 4 apical dendrite; parent -1 is a
root. Headers come in three styles, ids start at 0 or 1, and one file in the wild is an HTML error
page by the name of ``.swc``.
"""

from __future__ import annotations

import base64
import gc
import logging
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import itemgetter, lt
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from openallen.display import card, count_text, facts_text
from openallen.errors import (
    CorruptError,
    IntegrityError,
    RefusedError,
    TruncatedError,
    UsageError,
    requiring,
)
from openallen.formats import morphometry
from openallen.formats.files import read_file
from openallen.formats.morphometry import MOST_SPHERES, MOST_UM, Node

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from openallen.visuals import Visual

__all__ = ["NODE_TYPES", "Morphology", "Node", "SwcCheck", "read_swc"]

NODE_TYPES: Final = {1: "soma", 2: "axon", 3: "basal dendrite", 4: "apical dendrite"}
_LOG: Final = logging.getLogger("openallen.formats")
_PLACE: Final = re.compile(r"\s*(OFFSET|SCALE)[\s:=]+(.*)")
_DECIMAL_COMMA: Final = re.compile(r"\d,\d")
"""Where blanks part the columns: a comma within a number, as in ``1 3 10,5 2,5``."""
_ID: Final = itemgetter(0)
_PARENT: Final = itemgetter(6)


_decode: Final = msgspec.json.Decoder(list[Node]).decode


@dataclass(frozen=True, repr=False)
class Morphology:
    """A reconstruction: one or more trees of nodes.

    Parameters
    ----------
    nodes
        In the order of the file.
    header
        Comment lines, without their ``#``.
    problems
        What lenient reading passed over, by line.
    name
        File name, or empty.
    """

    nodes: tuple[Node, ...]
    header: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    name: str = field(default="", compare=False)

    def __len__(self) -> int:
        return len(self.nodes)

    @cached_property
    def _by_id(self) -> dict[int, Node]:
        return {node.id: node for node in self.nodes}

    @cached_property
    def _children(self) -> dict[int, int]:
        count: dict[int, int] = {}
        for node in self.nodes:
            count[node.parent] = count.get(node.parent, 0) + 1
        return count

    @property
    def roots(self) -> list[Node]:
        """Nodes without a parent."""
        return [node for node in self.nodes if node.parent == -1]

    @property
    def soma(self) -> Node | None:
        """The first node of type 1, None where there is none."""
        return next((node for node in self.nodes if node.type == 1), None)

    @property
    def branch_points(self) -> list[Node]:
        """Nodes with two children or more, the soma not counted."""
        count = self._children
        return [n for n in self.nodes if count.get(n.id, 0) > 1 and n.type != 1]

    @property
    def tips(self) -> list[Node]:
        """Nodes without a child, the soma not counted."""
        return [n for n in self.nodes if n.id not in self._children and n.type != 1]

    @property
    def path_length_um(self) -> float:
        """Length of all neurites together, in µm.

        Segments that begin or end in the soma are not counted: the way from its middle to where a
        neurite begins was drawn by nobody. The service counts so too.
        """
        return math.fsum(
            math.dist(parent[2:5], node[2:5])
            for parent, node in self.segments()
            if parent.type != 1 and node.type != 1
        )

    @property
    def dendrite_length_um(self) -> float:
        """Length of dendrites (types 3, 4) in µm: ``total_length`` of the Cell Types Database."""
        kinds = {3, 4}
        return math.fsum(
            math.dist(parent[2:5], node[2:5])
            for parent, node in self.segments()
            if parent.type in kinds and node.type in kinds
        )

    @cached_property
    def offset(self) -> tuple[float, float, float]:
        """Where its header puts the point (0, 0, 0) (``OFFSET``); zeros without one."""
        return _told(self.header, "OFFSET") or (0.0, 0.0, 0.0)

    @cached_property
    def scale(self) -> tuple[float, float, float]:
        """Factors of its header for x, y, z (``SCALE``); ones without them."""
        return _told(self.header, "SCALE") or (1.0, 1.0, 1.0)

    def placed(self) -> Morphology:
        """Return it with ``SCALE`` and ``OFFSET`` of its header applied, and without these lines.

        Janelia Workstation, and tools of MouseLight and exaSPIM, keep points small that way: what
        is in the file times the scale, plus the offset, is where the point lies. Radii are taken
        times the geometric mean of the scale.
        """
        if not self.moved:
            return self
        factor = math.prod(self.scale) ** (1 / 3)
        factor = self.scale[0] if len(set(self.scale)) == 1 else factor
        kept = tuple(line for line in self.header if not _PLACE.match(line))

        def put(node: Node) -> Node:
            x, y, z = (
                at * by + first
                for at, by, first in zip(node[2:5], self.scale, self.offset, strict=True)
            )
            return node._replace(x_um=x, y_um=y, z_um=z, radius_um=node.radius_um * factor)

        return replace(self, nodes=tuple(map(put, self.nodes)), header=kept)

    @property
    def moved(self) -> bool:
        """Whether its header has an offset or a scale that its points do not contain."""
        return any(self.offset) or self.scale != (1.0, 1.0, 1.0)

    def place_note(self) -> str | None:
        """Return what its header says of its place that is not applied; None for nothing."""
        if not self.moved:
            return None
        said = [f"OFFSET {_numbers(self.offset)}"] * any(self.offset)
        said += [f"SCALE {_numbers(self.scale)}"] * (self.scale != (1.0, 1.0, 1.0))
        return f"{', '.join(said)} of the header not applied (.placed() does)"

    @property
    def bounding_box_um(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """Least and greatest (x, y, z) of all points, in µm, radii not counted."""
        columns = list(zip(*(node[2:5] for node in self.nodes), strict=True))
        low, high = tuple(map(min, columns)), tuple(map(max, columns))
        return (low[0], low[1], low[2]), (high[0], high[1], high[2])

    def path_distances_um(self) -> dict[int, float]:
        """Return the length of the path from each node to its root, in µm, by node id."""
        return morphometry.path_distances_um(self.nodes)

    def branch_orders(self) -> dict[int, int]:
        """Return how many branch points lie above each node, by id; a root counts for none."""
        return morphometry.branch_orders(self.nodes)

    def strahler(self) -> dict[int, int]:
        """Return the Strahler order of each node by id: 1 at tips, more where equals meet."""
        return morphometry.strahler(self.nodes)

    def sections(self) -> list[list[Node]]:
        """Return the unbranched pieces, each with the node it begins at."""
        return morphometry.sections(self.nodes)

    def sholl(
        self,
        step_um: float = 10.0,
        *,
        radii_um: Sequence[float] | None = None,
        center_um: tuple[float, float, float] | None = None,
    ) -> dict[float, int]:
        """Count crossings with spheres round the soma.

        Parameters
        ----------
        step_um
            Radii are its multiples, up to the farthest point.
        radii_um
            The radii themselves, instead.
        center_um
            Their middle; the soma's where None, or the first root's.

        Returns
        -------
        dict
            Crossings by radius in µm.

        Raises
        ------
        UsageError
            If a step or radius is not above zero, or the step makes more than a million spheres.
        """
        middle = self.soma or self.roots[0]
        center = center_um or (middle.x_um, middle.y_um, middle.z_um)
        if radii_um is None:
            if not (math.isfinite(step_um) and step_um > 0):
                raise UsageError("the step must be above 0", why=f"{step_um} µm")
            farthest = max(math.dist(node[2:5], center) for node in self.nodes)
            morphometry.check_count("spheres", farthest / step_um, step_um, MOST_SPHERES)
            radii_um = [step_um * n for n in range(1, math.floor(farthest / step_um) + 2)]
        return dict(zip(radii_um, morphometry.sholl(self.nodes, radii_um, center), strict=True))

    def subtree(self, root: int) -> Morphology:
        """Return a node and all below it as a tree of its own.

        Raises
        ------
        UsageError
            If there is no such node.
        """
        return replace(self, nodes=tuple(morphometry.subtree(self.nodes, root)))

    def of_type(self, *types: int) -> Morphology:
        """Return the nodes of some types (`NODE_TYPES`); a node without its parent becomes a root.

        Raises
        ------
        UsageError
            If there are none.
        """
        kept = {node.id for node in self.nodes if node.type in types}
        if not kept:
            raise UsageError("no nodes of these types", why=str(types))
        found = tuple(
            node if node.parent in kept else node._replace(parent=-1)
            for node in self.nodes
            if node.id in kept
        )
        return replace(self, nodes=found)

    def resampled(self, step_um: float) -> Morphology:
        """Space points evenly, `step_um` apart at most; ends and branch points stay.

        Raises
        ------
        UsageError
            If the step is not above zero, or makes more than ten million points.
        """
        return replace(self, nodes=tuple(morphometry.resampled(self.nodes, step_um)))

    @requiring("a DataFrame", "tables")
    def table(self) -> pd.DataFrame:
        """Return a table of nodes, as other tools take it: index ``id``, lengths in µm."""
        import pandas as pd

        return pd.DataFrame(self.nodes, columns=list(Node._fields)).set_index("id")

    def save(self, path: Path | str) -> Path:
        """Write it as an SWC file; nothing is overwritten.

        Raises
        ------
        RefusedError
            If there is a file of that name.
        """
        place = Path(path)
        try:
            with place.open("x", encoding="utf-8", newline="\n") as file:
                file.write(self.to_swc())
        except FileExistsError:
            raise RefusedError("this file already exists", address=str(place)) from None
        return place

    @requiring("an array of points")
    def points_um(self) -> NDArray[np.float64]:
        """Return the points as an array of shape (nodes, 3): x, y, z in µm."""
        import numpy as np

        return np.array([node[2:5] for node in self.nodes], dtype=np.float64).reshape(-1, 3)

    def segments(self) -> list[tuple[Node, Node]]:
        """Return (parent, child) for every node that has a parent."""
        return [(self._by_id[n.parent], n) for n in self.nodes if n.parent != -1]

    def to_swc(self) -> str:
        """Write it as SWC; reading that gives equal nodes, to the last digit."""
        lines = [f"#{line}" for line in self.header]
        lines += (
            f"{n.id} {n.type} {n.x_um!r} {n.y_um!r} {n.z_um!r} {n.radius_um!r} {n.parent}"
            for n in self.nodes
        )
        return "\n".join(lines) + "\n"

    def to_svg(self, *, height_px: int = 160) -> str:
        """Draw it from the front (x right, y down) as an SVG picture `height_px` high."""
        from openallen.formats.sketch import sketch_svg

        return sketch_svg(self.segments(), self.bounding_box_um, self.soma, height_px)

    def _visuals(self) -> tuple[Visual, ...]:
        from openallen.visuals import CellVisual

        return (CellVisual(name="cell", title="Reconstruction", swc=self.to_swc),)

    def _facts(self) -> dict[str, object]:
        kinds = sorted({node.type for node in self.nodes})
        (x0, y0, z0), (x1, y1, z1) = self.bounding_box_um
        return {
            "nodes": f"{len(self):,}",
            "types": ", ".join(NODE_TYPES.get(kind, f"type {kind}") for kind in kinds),
            "length": f"{self.path_length_um:,.1f} µm",
            "place": self.place_note(),
            "branch points": f"{len(self.branch_points):,}",
            "tips": f"{len(self.tips):,}",
            "size": f"{x1 - x0:.1f} x {y1 - y0:.1f} x {z1 - z0:.1f} µm (x, y, z)",
            "problems": count_text(len(self.problems), "line") if self.problems else None,
        }

    def __repr__(self) -> str:
        return facts_text(f"Morphology {self.name}".rstrip(), self._facts())

    def _repr_html_(self) -> str:
        picture = base64.b64encode(self.to_svg().encode()).decode()
        return card(
            f"Morphology {self.name}".rstrip(),
            self._facts(),
            image=f"data:image/svg+xml;base64,{picture}",
        )


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:g}" for value in values)


def _told(header: Sequence[str], word: str) -> tuple[float, float, float] | None:
    """Return three numbers that a line of the header gives; None where none does."""
    for line in header:
        match = _PLACE.match(line)
        if match is None or match[1] != word:
            continue
        try:
            x, y, z = (float(part) for part in match[2].replace(",", " ").split())
        except ValueError:
            continue
        if all(map(math.isfinite, (x, y, z))) and (word != "SCALE" or min(x, y, z) > 0):
            return x, y, z
    return None


def read_swc(
    source: Path | bytes | str, *, strict: bool = True, placed: bool = False
) -> Morphology:
    """Read a reconstruction.

    Parameters
    ----------
    source
        A path (``Path`` or str), or the text itself as bytes or str. A str is a path if it has one
        line only and ends in ``.swc`` (in any case) or names a file that exists.
    strict
        Refuse whatever is odd. Otherwise bad lines are passed over and named in ``problems``;
        a node whose parent is missing, or that would close a circle, becomes a root.
    placed
        Apply ``OFFSET`` and ``SCALE`` of the header (see `Morphology.placed`). Otherwise the points
        are those of the file, and the log and the card tell of the header.

    Raises
    ------
    CorruptError
        With the number of the line that is wrong.
    TruncatedError
        If there is no node at all.
    NotFoundError
        If it is a path, and there is no such file.
    StoreError
        If the file cannot be read.
    """
    place = _path_of(source)
    name = place.name if place is not None else ""
    data = read_file(place) if place is not None else source
    text = data.decode("utf-8", "replace") if isinstance(data, bytes) else str(data)
    found = _read(text.removeprefix("\ufeff"), name, strict=strict)
    if placed:
        return found.placed()
    if found.moved:
        _LOG.warning("%s: %s", name or "SWC", found.place_note())
    return found


def _read(text: str, name: str, *, strict: bool) -> Morphology:
    quick = _quick(text)
    if quick is not None:
        return Morphology(*quick, name=name)
    header: list[str] = []
    problems: list[str] = []
    nodes: dict[int, Node] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if line.startswith("#"):
            header.append(line[1:])
            continue
        if not line:
            continue
        problem = _add(line, nodes)
        if problem and strict:
            raise CorruptError("not an SWC file", address=name, why=f"line {number}: {problem}")
        if problem:
            problems.append(f"line {number}: {problem}")
    if not nodes:
        raise TruncatedError("no node in this SWC file", address=name, why="; ".join(problems[:1]))
    _settle(nodes, problems, name, strict=strict)
    return Morphology(tuple(nodes.values()), tuple(header), tuple(problems), name)


def _path_of(source: Path | bytes | str) -> Path | None:
    """Return the path that is meant; None if it is the text of a reconstruction."""
    if isinstance(source, Path):
        return source
    if not isinstance(source, str) or len(source.splitlines()) > 1 or not source.strip():
        return None
    named = Path(source)
    if named.suffix.lower() == ".swc":
        return named
    try:
        return named if named.is_file() else None
    except (OSError, ValueError):  # too long for a name, or with a NUL in it
        return None


def _quick(text: str) -> tuple[tuple[Node, ...], tuple[str, ...]] | None:
    """Read a file without anything odd, seven times as fast as line by line; None for others.

    A line is an array of JSON once its blanks are commas, and a decoder in C knows those.
    """
    lines = text.replace("\r\n", "\n")
    header: list[str] = []
    at = 0
    while lines.startswith("#", at):
        stop = lines.find("\n", at)
        stop = len(lines) if stop < 0 else stop
        header.append(lines[at:stop].strip()[1:])
        at = stop + 1
    body = lines[at:].strip()
    commas = "," in body and " " in body and _DECIMAL_COMMA.search(body)
    if "[" in body or "\r" in body or commas:  # what JSON would take for more than it is
        return None
    if len("\n".join(header).splitlines()) > len(header):  # lines that end in another way
        return None
    with _undisturbed():
        nodes = _rows(body)
        if nodes is None:  # blanks of other kinds, or more of them
            parted = (line.replace(",", " ").split() for line in body.splitlines())
            nodes = _rows("\n".join(" ".join(parts) for parts in parted if parts))
    if nodes is None:
        return None
    ids, parents = list(map(_ID, nodes)), list(map(_PARENT, nodes))
    known = set(ids)
    # Parents that come before their children by number cannot close a circle.
    sound = len(known) == len(ids) and min(known, default=-1) >= 0 and all(map(lt, parents, ids))
    known.add(-1)
    return (tuple(nodes), tuple(header)) if sound and known.issuperset(parents) else None


def _rows(body: str) -> list[Node] | None:
    try:
        return _decode(f"[[{body.replace(chr(10), '],[').replace(' ', ',')}]]")
    except msgspec.DecodeError:
        return None


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Hold the search for garbage off: ten thousand new tuples would start it again and again."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _add(line: str, nodes: dict[int, Node]) -> str:
    """Read one line into `nodes`; give what is wrong with it, or empty."""
    parts = line.replace(",", " ").split()
    if len(parts) < 7:
        return f"{len(parts)} columns, not 7: {line[:40]!r}"
    try:
        if _DECIMAL_COMMA.search(line) and len(line.split()) >= 7:
            raise ValueError(f"numbers with a decimal comma: {line[:60]!r}")
        x, y, z, radius = (float(part) for part in parts[2:6])
        node = Node(_whole(parts[0]), _whole(parts[1]), x, y, z, radius, _whole(parts[6]))
    except ValueError as error:
        return str(error)
    if not all(abs(value) <= MOST_UM for value in node[2:6]):
        finite = all(map(math.isfinite, node[2:6]))
        odd = f"beyond {MOST_UM:g} µm" if finite else "that is not a number"
        return f"a coordinate {odd}: {line[:60]!r}"
    if node.id < 0 or node.parent < -1:
        return f"id {node.id} or parent {node.parent} below zero"
    if node.id in nodes:
        return f"id {node.id} comes twice"
    nodes[node.id] = node
    return ""


def _whole(text: str) -> int:
    with suppress(ValueError):
        return int(text)  # exactly, also where a float would round
    value = float(text)
    if not value.is_integer():
        raise ValueError(f"{text!r} is not a whole number")
    return int(value)


def _settle(nodes: dict[int, Node], problems: list[str], name: str, *, strict: bool) -> None:
    """Check that every parent is there and no path runs in a circle."""
    found: dict[int, str] = {
        n.id: f"node {n.id} has a missing parent {n.parent}"
        for n in nodes.values()
        if n.parent != -1 and n.parent not in nodes
    }
    sound: set[int] = set()
    for start in nodes:
        path: dict[int, None] = {}
        at = start
        while at != -1 and at not in sound and at not in found:
            if at in path:
                found[at] = f"node {at} is its own ancestor"
                break
            path[at] = None
            at = nodes[at].parent
        sound.update(path.keys() - found.keys())
    if found and strict:
        raise CorruptError("not a tree", address=name, why=next(iter(found.values())))
    for node_id, problem in found.items():
        nodes[node_id] = nodes[node_id]._replace(parent=-1)
        problems.append(problem)


@dataclass(frozen=True)
class SwcCheck:
    """The check of a downloaded SWC before it gets its name; a `openallen.plans.Check`."""

    def __call__(self, path: Path) -> Mapping[str, Any]:
        """Read the file strictly.

        Raises
        ------
        IntegrityError
            If it is not an SWC file; it is taken for damaged on the way and fetched again.
        """
        try:
            return {"nodes": len(read_swc(path))}
        except IntegrityError as error:
            error.address = ""
            raise
