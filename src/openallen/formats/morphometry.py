"""Nodes of a reconstruction, and measures of the tree they make: distances, orders, crossings.

Nodes are what `openallen.formats.swc` reads, and are defined here, below it. Each measure walks
the tree once, without recursion, so that a path of a hundred thousand nodes is no deeper than one
of ten.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Annotated, Final, NamedTuple

import msgspec

from openallen.errors import UsageError

__all__ = [
    "Node",
    "branch_orders",
    "check_count",
    "children_of",
    "path_distances_um",
    "resampled",
    "sections",
    "sholl",
    "strahler",
    "subtree",
    "walk",
]


MOST_SPHERES: Final = 1_000_000
MOST_POINTS: Final = 10_000_000
MOST_UM: Final = 1e9
"""Farther out than this kilometre no point of a neuron lies, in whatever unit of length."""
_Length = Annotated[float, msgspec.Meta(ge=-MOST_UM, le=MOST_UM)]  # checked where JSON is decoded


class Node(NamedTuple):
    """One point: lengths in µm; the parent is -1 for a root."""

    id: int
    type: int
    x_um: _Length
    y_um: _Length
    z_um: _Length
    radius_um: _Length
    parent: int


def children_of(nodes: Iterable[Node]) -> dict[int, list[Node]]:
    """Return the children of each node by its id, those of -1 being the roots."""
    found: dict[int, list[Node]] = {}
    for node in nodes:
        found.setdefault(node.parent, []).append(node)
    return found


def walk(nodes: Sequence[Node]) -> Iterator[Node]:
    """Return every node, parents before their children."""
    children = children_of(nodes)
    waiting = list(reversed(children.get(-1, [])))
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(children.get(node.id, [])))


def path_distances_um(nodes: Sequence[Node]) -> dict[int, float]:
    """Return the length of the path from each node to its root, in µm, by id."""
    found: dict[int, float] = {}
    place: dict[int, tuple[float, ...]] = {}
    for node in walk(nodes):
        here = node[2:5]
        place[node.id] = here
        before = node.parent
        found[node.id] = 0.0 if before == -1 else found[before] + math.dist(place[before], here)
    return found


def branch_orders(nodes: Sequence[Node]) -> dict[int, int]:
    """Return how many branch points lie above each node, by id; a root counts for none."""
    children = children_of(nodes)
    roots = {root.id for root in children.get(-1, ())}
    found: dict[int, int] = {}
    for node in walk(nodes):
        above = node.parent
        splits = above not in roots and len(children[above]) > 1
        found[node.id] = 0 if above == -1 else found[above] + int(splits)
    return found


def strahler(nodes: Sequence[Node]) -> dict[int, int]:
    """Return the Strahler order of each node by id.

    Tips have 1; a node has the highest order among its children, and one more where two of them
    have it.
    """
    children = children_of(nodes)
    found: dict[int, int] = {}
    for node in reversed(list(walk(nodes))):
        orders = sorted((found[child.id] for child in children.get(node.id, ())), reverse=True)
        if not orders:
            found[node.id] = 1
        else:
            found[node.id] = orders[0] + int(len(orders) > 1 and orders[1] == orders[0])
    return found


def sections(nodes: Sequence[Node]) -> list[list[Node]]:
    """Return the unbranched pieces, each from where it begins to where it ends.

    A piece begins at a root, a branch point, or where the type changes, with that node included;
    it ends at the next of these, or at a tip. The soma's own nodes are pieces of their own.
    """
    children = children_of(nodes)
    found: list[list[Node]] = []
    for root in children.get(-1, []):
        waiting = [[root, child] for child in reversed(children.get(root.id, []))]
        if not waiting:
            found.append([root])
        while waiting:
            piece = waiting.pop()
            at = piece[-1]
            below = children.get(at.id, [])
            while len(below) == 1 and below[0].type == at.type:
                at = below[0]
                piece.append(at)
                below = children.get(at.id, [])
            found.append(piece)
            waiting.extend([at, child] for child in reversed(below))
    return found


def sholl(
    nodes: Sequence[Node],
    radii_um: Iterable[float],
    center_um: tuple[float, float, float],
) -> list[int]:
    """Count, for each sphere, how often the tree crosses it.

    A segment that begins and ends outside but dips into the sphere crosses it twice; one that only
    touches it does not cross it.

    Raises
    ------
    UsageError
        For a radius that is not above zero.
    """
    radii = list(radii_um)
    if any(not (math.isfinite(r) and r > 0) for r in radii):
        raise UsageError("the radius must be above 0", why=str(radii[:8]))
    place = {node.id: node for node in nodes}
    ordered = sorted(set(radii))
    changes = [0] * (len(ordered) + 1)  # from one sphere to the next larger one
    for node in nodes:
        if node.parent == -1:
            continue
        nearest, *ends = _reach(place[node.parent], node, center_um)
        low, high = min(ends), max(ends)
        near = min(nearest, low)
        # Crossed twice by radii above `near` up to `low`, once by those above `low` up to `high`.
        changes[bisect_right(ordered, near)] += 2
        changes[bisect_right(ordered, low)] -= 1
        changes[bisect_right(ordered, high)] -= 1
    crossings = dict(zip(ordered, accumulate(changes), strict=False))
    return [crossings[radius] for radius in radii]


def _reach(one: Node, other: Node, center: Sequence[float]) -> tuple[float, float, float]:
    """Return a segment's least distance to a point, and those of its ends."""
    along = [b - a for a, b in zip(one[2:5], other[2:5], strict=True)]
    to = [c - a for a, c in zip(one[2:5], center, strict=True)]
    size = math.fsum(x * x for x in along)
    share = 0.0 if size == 0 else math.fsum(x * y for x, y in zip(along, to, strict=True)) / size
    share = min(1.0, max(0.0, share))
    nearest = [a + share * x for a, x in zip(one[2:5], along, strict=True)]
    return math.dist(nearest, center), math.dist(one[2:5], center), math.dist(other[2:5], center)


def check_count(what: str, count: float, step_um: float, most: int) -> None:
    """Refuse a step so small that it makes more spheres or points than anyone means.

    Raises
    ------
    UsageError
        If it does, before memory is taken for them.
    """
    if not count < most:
        raise UsageError(
            f"the step makes too many {what}",
            why=f"{count:.3g} at steps of {step_um:g} µm, {most:,} at most",
        )


def subtree(nodes: Sequence[Node], root: int) -> list[Node]:
    """Return a node and all below it; the node becomes a root.

    Raises
    ------
    UsageError
        If there is no such node.
    """
    children = children_of(nodes)
    first = next((node for node in nodes if node.id == root), None)
    if first is None:
        raise UsageError(f"no node {root}")
    found = [first._replace(parent=-1)]
    waiting = list(reversed(children.get(root, [])))
    while waiting:
        node = waiting.pop()
        found.append(node)
        waiting.extend(reversed(children.get(node.id, [])))
    return found


def resampled(nodes: Sequence[Node], step_um: float) -> list[Node]:
    """Space points evenly along each unbranched piece.

    Roots, branch points, tips and places where the type changes stay where they are; between them
    points lie at equal distances along the path, `step_um` apart at most. Radii follow linearly.
    The way from a soma to where a neurite begins stays one segment: it is no part of the neurite.
    Ids are numbered anew from 1, parents before their children.

    Raises
    ------
    UsageError
        If the step is not above zero.
    """
    if not (math.isfinite(step_um) and step_um > 0):
        raise UsageError("the step must be above 0", why=f"{step_um} µm")
    place = {node.id: node for node in nodes}
    ways = [math.dist(place[n.parent][2:5], n[2:5]) for n in nodes if n.parent != -1]
    check_count("points", sum(ways) / step_um, step_um, MOST_POINTS)
    found: list[Node] = []
    number: dict[int, int] = {}

    def add(node: Node, parent: int) -> int:
        found.append(node._replace(id=len(found) + 1, parent=parent))
        return len(found)

    for root in children_of(nodes).get(-1, []):
        number[root.id] = add(root, -1)
    for whole in sections(nodes):
        if len(whole) == 1:
            continue
        parent, piece = number[whole[0].id], whole
        if whole[0].type == 1 and whole[1].type != 1:
            parent, piece = add(whole[1], parent), whole[1:]
        for point in _evenly(piece, step_um):
            parent = add(point, parent)
        number[piece[-1].id] = parent
    return found


def _evenly(piece: Sequence[Node], step_um: float) -> Iterator[Node]:
    """Return points along a piece, without its first and with its last; none along one point."""
    if len(piece) < 2:
        return
    lengths = [math.dist(a[2:5], b[2:5]) for a, b in pairwise(piece)]
    whole = math.fsum(lengths)
    count = max(1, math.ceil(whole / step_um - 1e-9))
    last = piece[-1]
    at, before = 0, 0.0
    for n in range(1, count):
        target = whole * n / count
        while at < len(lengths) - 1 and before + lengths[at] < target:
            before += lengths[at]
            at += 1
        share = (target - before) / lengths[at] if lengths[at] else 0.0
        a, b = piece[at], piece[at + 1]
        x, y, z, radius = (p + share * (q - p) for p, q in zip(a[2:6], b[2:6], strict=True))
        yield last._replace(x_um=x, y_um=y, z_um=z, radius_um=radius)
    yield last
