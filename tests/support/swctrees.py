"""Reconstructions of any shape, for properties."""

from __future__ import annotations

from hypothesis import strategies as st

from openallen.formats.swc import Morphology, Node

coordinates = st.floats(-1e6, 1e6)


@st.composite
def trees(draw):
    ids = draw(st.lists(st.integers(0, 10**6), min_size=1, max_size=30, unique=True))
    nodes = []
    for at, node_id in enumerate(ids):
        parent = -1 if at == 0 else draw(st.sampled_from([-1, *ids[:at]]))
        x, y, z, r = (draw(coordinates) for _ in range(4))
        nodes.append(Node(node_id, draw(st.integers(0, 7)), x, y, z, r, parent))
    return Morphology(
        tuple(draw(st.permutations(nodes))), tuple(draw(st.lists(st.just(" x"), max_size=2)))
    )
