"""A simulated brain: an ellipsoid of real structures, for archives without volumes.

Ids, acronyms and their tree are the ontology's; shapes are not. The server marks everything made
here as simulated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["annotate", "express", "project", "shade"]

_CORTEX: Final = (
    # front to, areas from the middle to the side with where each ends
    (0.36, (("ACAd", 0.25), ("MOs", 0.6), ("MOp", 1.0))),
    (0.6, (("ACAv", 0.15), ("SSp-ll", 0.45), ("SSp-bfd", 0.75), ("SSs", 1.0))),
    (1.0, (("RSPv", 0.25), ("VISp", 0.65), ("AUDp", 0.85), ("TEa", 1.0))),
)
_INSIDE: Final = (
    # acronym, AP, DV, ML: from and to, as shares of the brain; later ones lie over earlier ones
    ("CP", (0.18, 0.5), (0.3, 0.62), (0.22, 1.0)),
    ("ACB", (0.18, 0.42), (0.55, 0.8), (0.1, 0.6)),
    ("LSr", (0.25, 0.48), (0.3, 0.55), (0.0, 0.22)),
    ("MD", (0.46, 0.62), (0.42, 0.62), (0.0, 0.15)),
    ("VPM", (0.46, 0.62), (0.42, 0.62), (0.15, 0.4)),
    ("LGd", (0.52, 0.64), (0.38, 0.52), (0.4, 0.6)),
    ("VMH", (0.44, 0.6), (0.62, 1.0), (0.0, 0.2)),
    ("LHA", (0.42, 0.62), (0.62, 1.0), (0.2, 0.6)),
    ("CA1", (0.5, 0.74), (0.22, 0.36), (0.0, 0.75)),
    ("DG", (0.52, 0.72), (0.32, 0.42), (0.0, 0.5)),
    ("PAG", (0.64, 0.8), (0.4, 0.6), (0.0, 0.2)),
    ("SCs", (0.68, 0.8), (0.2, 0.42), (0.0, 0.5)),
    ("P", (0.68, 0.84), (0.6, 1.0), (0.0, 1.0)),
    ("MY", (0.84, 1.0), (0.55, 1.0), (0.0, 1.0)),
    ("VERM", (0.8, 1.0), (0.0, 0.55), (0.0, 0.3)),
    ("HEM", (0.8, 1.0), (0.0, 0.55), (0.3, 1.0)),
    ("MOB", (0.0, 0.15), (0.0, 1.0), (0.0, 1.0)),
)
_SHELL: Final = 0.74
"""Where the cortex begins, as a share of the way from the middle to the surface."""


def _shares(shape: Sequence[int]) -> tuple[Any, Any, Any]:
    """Return AP, DV and distance from the midline of each voxel as shares, ready to broadcast."""
    import numpy as np

    ap, dv, ml = (((np.arange(n) + 0.5) / n).astype("float32") for n in shape)
    return ap[:, None, None], dv[None, :, None], (2 * np.abs(ml - 0.5))[None, None, :]


def _radius(shape: Sequence[int]) -> NDArray[np.float32]:
    """Return the distance from the middle: below 1 inside the brain."""
    import numpy as np

    ap, dv, ml = _shares(shape)
    found: NDArray[np.float32] = np.sqrt(
        ((ap - 0.5) / 0.46) ** 2 + ((dv - 0.52) / 0.42) ** 2 + (ml / 0.86) ** 2
    )
    return found


def annotate(shape: Sequence[int], rows: Sequence[Mapping[str, Any]]) -> NDArray[np.uint32]:
    """Return the structure of each voxel, AP x DV x ML; 0 outside.

    Parameters
    ----------
    shape
        Voxels along AP, DV, ML.
    rows
        The ontology: rows of the model Structure.
    """
    import numpy as np

    tree = _Tree(rows)
    ap, dv, ml = _shares(shape)
    radius = _radius(shape)
    if "VISp" not in tree:  # another ontology than the adult's: its leaves in turn, front to back
        leaves = np.array(tree.every_leaf(), np.uint32)
        bands = np.broadcast_to(leaves[(ap * len(leaves)).astype(int)], radius.shape)
        return np.where(radius < 1, bands, 0).astype(np.uint32)
    found = np.full(tuple(shape), tree.leaves("fiber tracts")[0], np.uint32)
    for acronym, (a0, a1), (d0, d1), (m0, m1) in _INSIDE:
        box = (ap >= a0) & (ap < a1) & (dv >= d0) & (dv < d1) & (ml >= m0) & (ml < m1)
        parts = tree.leaves(acronym)
        along = np.clip(((ap - a0) / (a1 - a0) * len(parts)).astype(int), 0, len(parts) - 1)
        layer = np.broadcast_to(np.array(parts, np.uint32)[along], found.shape)
        np.copyto(found, layer, where=np.broadcast_to(box, found.shape))
    shell = (radius > _SHELL) & (dv < 0.6) & (ap > 0.12) & (ap < 0.8)
    depth = np.clip((1 - radius) / (1 - _SHELL), 0, 0.999)
    start = 0.0
    for end, areas in _CORTEX:
        inner = 0.0
        for acronym, outer in areas:
            layers = np.array(tree.leaves(acronym), np.uint32)
            box = shell & (ap >= start) & (ap < end) & (ml >= inner) & (ml < outer)
            found[box] = layers[(depth[box] * len(layers)).astype(int)]
            inner = outer
        start = end
    found[radius >= 1] = 0
    return found


class _Tree:
    """Finds the leaves below an acronym, in the order of the atlas."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._id = {str(row["acronym"]): int(row["id"]) for row in rows}
        self._parts: dict[int, list[int]] = {}
        for row in sorted(rows, key=lambda row: int(row["graph_order"] or 0)):
            if row["parent_structure_id"] is not None:
                self._parts.setdefault(int(row["parent_structure_id"]), []).append(int(row["id"]))
        self._any = min(self._id.values(), default=997)

    def __contains__(self, acronym: str) -> bool:
        return acronym in self._id

    def every_leaf(self) -> list[int]:
        """Return the ids of all that have no parts."""
        return sorted(number for number in self._id.values() if number not in self._parts)

    def leaves(self, acronym: str) -> list[int]:
        """Return the ids of a structure's smallest parts; some id for an unknown acronym."""
        found: list[int] = []
        waiting = [self._id.get(acronym, self._any)]
        while waiting:
            number = waiting.pop(0)
            parts = self._parts.get(number, [])
            waiting = parts + waiting
            if not parts:
                found.append(number)
        return found


def _texture(shape: Sequence[int], seed: int) -> NDArray[np.float32]:
    """Return something uneven between 0 and 1, the same each time for a seed."""
    import numpy as np

    random = np.random.default_rng(seed)
    ap, dv, ml = _shares(shape)
    made = np.zeros(tuple(shape), np.float32)
    for _ in range(3):
        a, d, m, phase = (float(x) for x in random.uniform(3, 17, 4))
        made += np.sin(a * ap * 6 + phase) * np.sin(d * dv * 6 + a) * np.sin(m * ml * 3 + d)
    found: NDArray[np.float32] = (0.5 + made / 6).astype(np.float32)
    return found


def _of_structures(annotation: NDArray[np.uint32], seed: int) -> NDArray[np.float32]:
    """Return each structure a level of its own, a few of them high."""
    import numpy as np

    ids, where = np.unique(annotation, return_inverse=True)
    levels = np.random.default_rng(seed).lognormal(0.2, 0.8, len(ids)).astype(np.float32)
    levels[ids == 0] = 0
    return levels[where.reshape(annotation.shape)]


def shade(annotation: NDArray[np.uint32], seed: int = 0) -> NDArray[np.float32]:
    """Return a grey picture of a brain, 0 (outside) to 1."""
    import numpy as np

    levels = np.clip(_of_structures(annotation, seed), 0.05, 2) / 2
    found: NDArray[np.float32] = np.where(
        annotation > 0, 0.25 + 0.45 * levels + 0.3 * _texture(annotation.shape, seed), 0
    ).astype(np.float32)
    return found


def express(annotation: NDArray[np.uint32], data_set_id: int) -> dict[str, NDArray[np.float32]]:
    """Return expression: ``density``, ``intensity`` and ``energy``, their product; -1 for no data.

    There are no data outside the brain, and where sections are missing.
    """
    import numpy as np

    level = _of_structures(annotation, data_set_id) * _texture(annotation.shape, data_set_id)
    density = level / (level + 6)
    intensity = 60 + 150 * density
    missing = annotation == 0
    missing[int(len(missing) * (0.25 + data_set_id % 7 / 20))] = True
    values = {"density": density, "intensity": intensity, "energy": density * intensity}
    return {name: np.where(missing, np.float32(-1), v) for name, v in values.items()}


def project(annotation: NDArray[np.uint32], data_set_id: int) -> dict[str, NDArray[np.float32]]:
    """Return a connectivity experiment: a spot that was injected, and where it projects to."""
    import numpy as np

    shape = annotation.shape
    random = np.random.default_rng(data_set_id)
    ap, dv, ml = (
        ((np.arange(n) + 0.5) / n)[s]
        for n, s in zip(shape, np.ix_(*map(range, shape)), strict=True)
    )
    inside = annotation > 0
    spot = random.uniform((0.35, 0.25, 0.6), (0.65, 0.45, 0.75))
    far = np.sqrt((ap - spot[0]) ** 2 + (dv - spot[1]) ** 2 + (ml - spot[2]) ** 2)
    fraction = np.where(inside, np.clip(1.4 - far / 0.06, 0, 1), 0)
    level = _of_structures(annotation, data_set_id) * np.exp(-far / 0.25)
    density = np.where(inside, np.clip(level / 4 + fraction, 0, 1), 0)
    mask = inside * (far > 0)
    made = {
        "projection_density": density,
        "projection_energy": density * 180,
        "injection_fraction": fraction,
        "injection_density": density * (fraction > 0),
        "injection_energy": density * 180 * (fraction > 0),
        "data_mask": mask,
    }
    return {name: values.astype(np.float32) for name, values in made.items()}
