"""Measures of reconstructions, with MorphIO as a second reader."""

from __future__ import annotations

import math
import random

import morphio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from swctrees import trees

from openallen.errors import CorruptError, RefusedError, UsageError
from openallen.formats import morphometry, swc
from openallen.formats.morphometry import _reach
from openallen.formats.swc import Morphology, Node, read_swc

CELLS = ["Rorb*", "Nr5a1*"]


def y_shape(step: float = 1.0) -> Morphology:
    """A soma, a stem of ten points upwards, two arms of five to the sides."""
    nodes = [Node(1, 1, 0, 0, 0, 2, -1)]
    nodes += [Node(1 + n, 3, 0, -n * step, 0, 1, n) for n in range(1, 11)]
    for side, first in ((-1, 12), (1, 17)):
        for n in range(5):
            parent = 11 if n == 0 else first + n - 1
            nodes.append(Node(first + n, 3, side * (n + 1) * step, -10 * step, 0, 1, parent))
    return Morphology(tuple(nodes))


@pytest.mark.parametrize("pattern", CELLS)
def test_the_same_tree_as_morphio_reads(data, pattern):
    path = next((data / "swc").glob(pattern))
    ours, theirs = read_swc(path), morphio.Morphology(str(path))
    soma = ours.soma
    assert soma is not None
    assert np.allclose(theirs.soma.center, soma[2:5], atol=1e-4)
    # MorphIO leaves out the way from the soma to where a neurite begins.
    kinds = {"axon": 2, "basal_dendrite": 3, "apical_dendrite": 4}
    for name, kind in kinds.items():
        told = [s for s in theirs.sections if s.type.name == name]
        length = sum(np.linalg.norm(np.diff(s.points, axis=0), axis=1).sum() for s in told)
        mine = math.fsum(
            math.dist(a[2:5], b[2:5]) for a, b in ours.segments() if b.type == kind and a.type != 1
        )
        assert mine == pytest.approx(float(length), rel=1e-5)
    pieces = [p for p in ours.sections() if p[-1].type != 1]
    assert len(pieces) == len(theirs.sections)
    ends = sorted(tuple(map(float, s.points[-1])) for s in theirs.sections)
    assert np.allclose(ends, sorted(p[-1][2:5] for p in pieces), atol=1e-3)
    tips = [s for s in theirs.sections if not s.children]
    assert len(ours.tips) == len(tips)
    points = theirs.points
    low, high = ours.of_type(2, 3, 4).bounding_box_um
    assert np.allclose(points.min(axis=0), low, atol=1e-3)
    assert np.allclose(points.max(axis=0), high, atol=1e-3)


def test_a_tree_drawn_on_paper():
    cell = y_shape()
    assert cell.path_length_um == pytest.approx(19)  # the way from the soma is not counted
    assert cell.dendrite_length_um == pytest.approx(19)
    assert [n.id for n in cell.branch_points] == [11]
    assert [len(p) for p in cell.sections()] == [11, 6, 6]
    assert cell.path_distances_um()[16] == pytest.approx(15)
    orders = cell.branch_orders()
    assert (orders[1], orders[11], orders[12], orders[21]) == (0, 0, 1, 1)
    strahler = cell.strahler()
    assert (strahler[16], strahler[21], strahler[11], strahler[1]) == (1, 1, 2, 2)
    assert cell.sholl(radii_um=[0.5, 5, 10.2, 50]) == {0.5: 1, 5: 1, 10.2: 2, 50: 0}
    assert list(cell.sholl(4.0)) == [4.0, 8.0, 12.0]
    arm = cell.subtree(12)
    assert (len(arm), arm.roots[0].id) == (5, 12)
    assert len(cell.of_type(3).roots) == 1
    table = cell.table()
    assert list(table.columns) == ["type", "x_um", "y_um", "z_um", "radius_um", "parent"]
    assert table.loc[11, "parent"] == 10


def test_a_segment_that_dips_into_a_sphere_crosses_it_twice():
    line = Morphology((Node(1, 3, -10, 3, 0, 1, -1), Node(2, 3, 10, 3, 0, 1, 1)))
    found = line.sholl(radii_um=[2.9, 3.1, 20], center_um=(0, 0, 0))
    assert found == {2.9: 0, 3.1: 2, 20: 0}


@pytest.mark.parametrize("pattern", CELLS)
@pytest.mark.parametrize("step_um", [0.5, 2.0, 50.0])
def test_resampling_keeps_what_matters(data, pattern, step_um):
    cell = read_swc(next((data / "swc").glob(pattern)))
    again = cell.resampled(step_um)
    assert again == read_swc(again.to_swc())
    assert len(again.roots) == len(cell.roots)
    assert len(again.branch_points) == len(cell.branch_points)
    assert sorted(n[2:5] for n in again.tips) == sorted(n[2:5] for n in cell.tips)
    assert again.path_length_um <= cell.path_length_um + 1e-6
    if step_um == 0.5:
        assert again.path_length_um == pytest.approx(cell.path_length_um, rel=0.02)
    longest = max(math.dist(a[2:5], b[2:5]) for a, b in again.segments() if a.type != 1)
    assert longest <= step_um + 1e-6
    assert {n.type for n in again.nodes} == {n.type for n in cell.nodes}


@given(trees())
def test_measures_of_any_tree(cell):
    far = cell.path_distances_um()
    assert set(far) == {n.id for n in cell.nodes}
    whole = math.fsum(math.dist(a[2:5], b[2:5]) for a, b in cell.segments())
    assert max(far.values()) <= whole * (1 + 1e-9) + 1e-9
    assert cell.dendrite_length_um <= cell.path_length_um <= whole
    strahler, orders = cell.strahler(), cell.branch_orders()
    for parent, child in cell.segments():
        assert strahler[parent.id] >= strahler[child.id]
        assert 0 <= orders[child.id] - orders[parent.id] <= 1
    covered = sum(len(piece) - 1 for piece in cell.sections())
    assert covered == len(cell.segments())
    resampled = cell.resampled(1e5)
    assert len(resampled.roots) == len(cell.roots)
    assert sorted(n[2:5] for n in resampled.tips) == sorted(n[2:5] for n in cell.tips)


def test_a_path_of_a_hundred_thousand_nodes():
    nodes = tuple(Node(n, 2, float(n), 0, 0, 1, n - 1 if n else -1) for n in range(100_000))
    cell = Morphology(nodes)
    assert cell.strahler()[0] == 1
    assert cell.path_distances_um()[99_999] == 99_999.0
    assert len(cell.sections()) == 1
    assert len(read_swc(cell.to_swc())) == 100_000


def test_what_cannot_be_measured(tmp_path):
    cell = y_shape()
    for call in (lambda: cell.resampled(0), lambda: cell.sholl(-1), lambda: cell.sholl(radii_um=[0.0]), lambda: cell.subtree(99), lambda: cell.of_type(7), lambda: cell.sholl(float("nan"))):  # fmt: skip
        with pytest.raises(UsageError):
            call()
    path = cell.save(tmp_path / "x.swc")
    assert read_swc(path) == cell
    with pytest.raises(RefusedError):
        cell.save(path)


# --- the quick reader and the thorough one agree ------------------------------------------------


def both(text: str) -> tuple[object, object]:
    def outcome(quick: bool) -> object:
        kept = swc._quick
        swc._quick = kept if quick else lambda text: None
        try:
            return read_swc(text).nodes
        except (CorruptError, EOFError) as error:
            return type(error), str(error)
        finally:
            swc._quick = kept

    return outcome(quick=True), outcome(quick=False)


@given(trees(), st.data())
def test_any_spoilt_text_is_read_the_same_way(cell, data):
    text = cell.to_swc()
    at = data.draw(st.integers(0, len(text)))
    other = data.draw(st.sampled_from(["", " ", "\t", "\r", "\r\n", "\n", "#", ",", "],[", '"', "e5", "-", ".", "1", "nan", "inf", "0x1", "_", "\u2028", "\x0c", "\x1c", "\u0661"]))  # fmt: skip
    upto = at + data.draw(st.integers(0, 2))
    quick, thorough = both(text[:at] + other + text[upto:])
    assert quick == thorough


@pytest.mark.parametrize(
    "text",
    [
        "1 1 0 0 0 1 -1],[2 3 0 0 0 1 1",
        "1 1 0 0 0 1 -1\n1 1 0 0 0 1 -1",
        "2 1 0 0 0 1 1\n1 1 0 0 0 1 2",
        "1 1 0 0 0 1 -2",
        "-1 1 0 0 0 1 -1",
        "1 1 0 0 0 1e999 -1",
        "1 1 0 0 0 1 -1 # soma",
        "1 1 0 0 0 1 -1\n# late\n2 3 1 1 1 1 1",
        "1,1,0,0,0,1,-1",
        "01 1 +0 .5 5. 1 -1",
        "1.0 1 0 0 0 1 -1.0",
        "5 1 0 0 0 1 -1\n2 3 1 1 1 1 5",
        "  1 1 0 0 0 1 -1  \n\n\t2 3 1 1 1 1 1\n",
        "1 1 0 0 0 1 -1 7 8",
        "1 1 0 0 0 1 99999999999999999999",
        "1e999 1 0 0 0 1 -1",
        "# a\x1cb\n1 1 0 0 0 1 -1",
        "#\x0c\n1 1 0 0 0 1 -1",
    ],
)
def test_odd_texts_are_read_the_same_way(text):
    quick, thorough = both(text)
    assert quick == thorough


def test_crossings_are_those_that_each_radius_counts_for_itself():
    rng = random.Random(7)
    nodes = [Node(1, 1, 0.0, 0.0, 0.0, 1.0, -1)]
    for n in range(2, 200):
        x, y, z = (rng.uniform(-50, 50) for _ in range(3))
        nodes.append(Node(n, 3, x, y, z, 1.0, rng.randrange(1, n)))
    radii_um = [rng.uniform(0.1, 90) for _ in range(300)] + [7.0, 7.0, 1.0]
    found = morphometry.sholl(nodes, radii_um, (0.0, 0.0, 0.0))
    ways = [_reach(nodes[n.parent - 1], n, (0.0, 0.0, 0.0)) for n in nodes if n.parent != -1]

    def crossed(radius: float, near: float, start: float, end: float) -> int:
        if (start < radius) != (end < radius):
            return 1
        return 2 if near < radius <= min(start, end) else 0

    assert found == [sum(crossed(radius, *way) for way in ways) for radius in radii_um]
