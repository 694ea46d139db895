"""Wavefront OBJ: surfaces as the meshes of the Common Coordinate Framework come, in micrometres.

Vertices, faces and normals are read; texture coordinates, groups and materials are passed over.
Parsed line by line without NumPy, so that a download is checked where nothing is installed.
"""

from __future__ import annotations

import io
import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.display import card, count_text, facts_text
from openallen.errors import CorruptError, IntegrityError, TruncatedError, requiring
from openallen.formats.files import read_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Mesh", "ObjCheck", "read_obj"]

_MOST_BYTES: Final = 1 << 30
_LINE_BYTES: Final = 1 << 16
_PASSED: Final = frozenset(
    (b"vt", b"vp", b"g", b"o", b"s", b"mg", b"l", b"p", b"mtllib", b"usemtl", b"usemap", b"maplib")
)


@dataclass(frozen=True, eq=False, repr=False)
class Mesh:
    """A surface of triangles.

    Parameters
    ----------
    vertices_um
        Points, float64, shape (vertices, 3), in µm; of meshes of the Common Coordinate Framework
        AP, DV, ML from the corner in front, above, to the left, as its volumes are.
    faces
        Triangles, int64, shape (faces, 3): positions of their corners in `vertices_um`.
    normals
        Directions that face outwards, float64, shape (vertices, 3), NaN at vertices of no face;
        None if the file has none, or several for one vertex.
    name
        What it is a surface of: ``VISp``, or the name of its file.
    """

    vertices_um: NDArray[np.float64]
    faces: NDArray[np.int64]
    normals: NDArray[np.float64] | None = None
    name: str = field(default="")

    @property
    def bounding_box_um(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Least and greatest coordinates of all vertices, in µm."""
        low, high = self.vertices_um.min(axis=0), self.vertices_um.max(axis=0)
        return tuple(map(float, low)), tuple(map(float, high))

    @property
    def area_um2(self) -> float:
        """Area of all triangles together, in µm²."""
        import numpy as np

        a, b, c = (self.vertices_um[self.faces[:, corner]] for corner in range(3))
        return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)

    def _facts(self) -> dict[str, object]:
        low, high = self.bounding_box_um
        return {
            "vertices": f"{len(self.vertices_um):,} (AP, DV, ML in µm)",
            "faces": count_text(len(self.faces), "triangle"),
            "size": " x ".join(f"{b - a:.0f}" for a, b in zip(low, high, strict=True)) + " µm",
            "from": ", ".join(f"{value:.0f}" for value in low) + " µm",
            "normals": "one for each vertex" if self.normals is not None else None,
        }

    def __repr__(self) -> str:
        return facts_text(f"Mesh {self.name}".rstrip(), self._facts())

    def _repr_html_(self) -> str:
        return card(f"Mesh {self.name}".rstrip(), self._facts())


def read_obj(source: Path | bytes, name: str = "") -> Mesh:
    """Read a mesh.

    Parameters
    ----------
    source
        A path, or the bytes of the file.
    name
        What the mesh is called; the name of the file if empty.

    Returns
    -------
    Mesh
        Polygons are cut into triangles that share their first corner; a face may name its corners
        by number from 1, or backwards from the newest by numbers below zero.

    Raises
    ------
    CorruptError
        With the number of the line that is wrong: no OBJ, a coordinate that is not a number, a
        corner that there is not.
    TruncatedError
        If there are no vertices or no faces, or the last line is cut off.
    NotFoundError
        If there is no such file.
    MissingExtraError
        Without the extra ``atlas``.
    """
    name = name or (source.name if isinstance(source, Path) else "")
    where = str(source) if isinstance(source, Path) else name
    with requiring("reading a mesh", "atlas"):
        import numpy as np
    data = read_file(source, _MOST_BYTES) if isinstance(source, Path) else source
    parsed = _Parser(where).parse(data)
    vertices = np.frombuffer(parsed.vertices, np.float64).reshape(-1, 3)
    faces = np.frombuffer(parsed.corners, np.int64).reshape(-1, 3)
    normals = _normals(parsed, len(vertices), faces.ravel())
    return Mesh(vertices, faces, normals, name)


def _normals(parsed: _Parser, vertices: int, corners: Any) -> NDArray[np.float64] | None:
    """Return one normal for each vertex; None if a corner has none, or a vertex several."""
    import numpy as np

    told = np.frombuffer(parsed.corner_normals, np.int64)
    if not len(parsed.normals) or (told < 0).any():
        return None
    of_vertex = np.full(vertices, -1, np.int64)
    of_vertex[corners] = told
    if not np.array_equal(of_vertex[corners], told):
        return None
    found = np.frombuffer(parsed.normals, np.float64).reshape(-1, 3)[of_vertex]
    found[of_vertex < 0] = np.nan
    return found


class _Parser:
    """Reads the lines of one file into flat arrays."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.vertices = array("d")
        self.normals = array("d")
        self.corners = array("q")
        self.corner_normals = array("q")

    def parse(self, data: bytes) -> _Parser:
        if len(data) > _MOST_BYTES:
            raise CorruptError("the mesh is too large", address=self.where)
        if data.lstrip()[:1] == b"<":
            raise CorruptError("not an OBJ file", address=self.where, why=repr(data.lstrip()[:20]))
        if b"\\\n" in data or b"\\\r\n" in data:  # a line that goes on in the next
            data = data.replace(b"\\\r\n", b" ").replace(b"\\\n", b" ")
        for number, line in enumerate(io.BytesIO(data), 1):
            problem = self._line(line)
            if problem:
                cut = not line.endswith(b"\n") and len(data) > len(line)
                raise (TruncatedError if cut else CorruptError)(
                    "cut off in a line" if cut else "not an OBJ file",
                    address=self.where,
                    why=f"line {number}: {problem}",
                )
        if not self.vertices or not self.corners:
            lacks = "faces" if self.vertices else "vertices"
            raise TruncatedError(f"a mesh without {lacks}", address=self.where)
        self._within()
        return self

    def _line(self, line: bytes) -> str:
        """Read one line; return what is wrong with it, or empty."""
        if len(line) > _LINE_BYTES:
            return f"{len(line):,} bytes long"
        words = line.split()
        if not words or words[0].startswith(b"#") or words[0] in _PASSED:
            return ""
        try:
            if words[0] == b"f":
                self._face(words[1:])
            elif words[0] == b"v":
                self._point(words, self.vertices)
            elif words[0] == b"vn":
                self._point(words, self.normals)
            else:
                return f"unknown statement {words[0][:20]!r}"
        except (ValueError, OverflowError) as error:
            return str(error)[:80]
        return ""

    @staticmethod
    def _point(words: list[bytes], into: array[float]) -> None:
        if len(words) < 4:
            raise ValueError(f"{len(words) - 1} coordinates, not 3")
        point = [float(word) for word in words[1:4]]
        if not all(map(math.isfinite, point)):
            raise ValueError("a coordinate that is not a number")
        into.extend(point)

    def _face(self, words: list[bytes]) -> None:
        if len(words) < 3:
            raise ValueError(f"a face of {len(words)} corners")
        corners: list[int] = []
        normals: list[int] = []
        for word in words:
            vertex, _, rest = word.partition(b"/")
            normal = rest.partition(b"/")[2]
            corners.append(_place(vertex, len(self.vertices) // 3))
            normals.append(_place(normal, len(self.normals) // 3) if normal else -1)
        for n in range(1, len(words) - 1):
            self.corners.extend((corners[0], corners[n], corners[n + 1]))
            self.corner_normals.extend((normals[0], normals[n], normals[n + 1]))

    def _within(self) -> None:
        """Check that no face has a corner or normal beyond the last."""
        for places, points, what in (
            (self.corners, self.vertices, "vertex"),
            (self.corner_normals, self.normals, "normal"),
        ):
            if max(places) >= len(points) // 3:
                raise CorruptError(
                    f"a face with a {what} that is missing",
                    address=self.where,
                    why=f"{what} {max(places) + 1:,} of {len(points) // 3:,}",
                )


def _place(word: bytes, count: int) -> int:
    """Return the position, from 0, that a number from 1 (or backwards from -1) stands for."""
    number = int(word)
    place = number - 1 if number > 0 else count + number
    if number == 0 or place < 0:
        raise ValueError(f"corner {number} of {count}")
    return place


@dataclass(frozen=True)
class ObjCheck:
    """The check of a downloaded mesh before it gets its name; a `openallen.plans.Check`."""

    def __call__(self, path: Path) -> Mapping[str, Any]:
        """Read the file.

        Raises
        ------
        IntegrityError
            If it is not a whole OBJ file.
        """
        try:
            parsed = _Parser("").parse(read_file(path, _MOST_BYTES))
        except IntegrityError as error:
            error.address = ""
            raise
        return {"vertices": len(parsed.vertices) // 3, "faces": len(parsed.corners) // 3}
