"""Meshes in OBJ: what is read, and what hostile files do not do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openallen.errors import CorruptError, IntegrityError, NotFoundError, TruncatedError
from openallen.formats.obj import Mesh, ObjCheck, read_obj

# As the meshes of the Common Coordinate Framework are written: a normal for each vertex.
CUBE = b"""# made for a test
v 100.5 200 300
v 200.5 200 300
v 200.5 300 300
v 100.5 300 300
vn 0 0 1
vn 0 0 1
vn 0 0 1
vn 0 0 1
f 1//1 2//2 3//3
f 1//1 3//3 4//4
"""


def test_a_mesh_is_vertices_faces_and_normals():
    mesh = read_obj(CUBE, "VISp")
    assert (mesh.vertices_um.shape, mesh.vertices_um.dtype) == ((4, 3), "float64")
    assert mesh.vertices_um[0].tolist() == [100.5, 200, 300]
    assert (mesh.faces.tolist(), mesh.faces.dtype) == ([[0, 1, 2], [0, 2, 3]], "int64")
    assert mesh.normals.tolist() == [[0, 0, 1]] * 4
    assert mesh.area_um2 == 10_000
    assert mesh.bounding_box_um == ((100.5, 200, 300), (200.5, 300, 300))
    assert repr(mesh).splitlines()[0] == "Mesh VISp"
    assert "2 triangles" in repr(mesh)
    assert "<script" not in Mesh(mesh.vertices_um, mesh.faces, name="<script>")._repr_html_()


SAME = {
    "a polygon": b"f 1 2 3 4\n",
    "texture": b"vt 0 0\nf 1/1 2/1 3/1\nf 1/1/ 3/1/ 4/1/\n",
    "texture and normal": b"vt 0 0\nf 1/1/1 2/1/2 3/1/3 4/1/4\n",
    "backwards": b"f -4 -3 -2\nf -4//-4 -2//-2 -1//-1\n",
    "Windows lines": b"f 1 2 3\r\nf 1 3 4\r\n",
    "a line that goes on": b"f 1 2 \\\n 3 4\n",
    "groups and materials": b"mtllib x.mtl\ng a\no b\ns off\nusemtl c\nf 1 2 3\nf 1 3 4",
    "a fourth coordinate, and colours": b"v 1 2 3 1.0\nv 1 2 3 0.5 0.5 0.5\nf 1 2 3\nf 1 3 4\n",
}


@pytest.mark.parametrize("faces", SAME.values(), ids=SAME)
def test_ways_to_write_the_same_faces(faces):
    head = CUBE[: CUBE.index(b"f 1")]
    assert read_obj(head + faces).faces.tolist() == [[0, 1, 2], [0, 2, 3]]


def test_normals_that_differ_at_a_vertex_are_left_out():
    split = CUBE.replace(b"f 1//1 3//3 4//4", b"f 1//2 3//3 4//4")
    assert read_obj(split).normals is None
    assert read_obj(CUBE.replace(b"f 1//1 3//3 4//4", b"f 1 3 4")).normals is None
    unused = read_obj(CUBE + b"v 0 0 0\n").normals
    assert np.isnan(unused[4]).all()
    assert np.isfinite(unused[:4]).all()


HOSTILE = {
    "nothing": (b"", TruncatedError, "without vertices"),
    "a page": (b"\n<!DOCTYPE html><html>sorry</html>", CorruptError, "not an OBJ"),
    "binary": (b"\x00\x01\x02\xff" * 99, CorruptError, "unknown statement"),
    "another format": (b"solid x\nfacet normal 0 0 1\n", CorruptError, "unknown statement"),
    "no faces": (b"v 0 0 0\n", TruncatedError, "without faces"),
    "cut in a vertex": (CUBE + b"v 3 4", TruncatedError, "cut off"),
    "cut in a face": (CUBE[:-6], TruncatedError, "cut off"),
    "two coordinates": (b"v 1 2\n" + CUBE, CorruptError, "line 1: 2 coordinates"),
    "NaN": (b"v 1 2 nan\n" + CUBE, CorruptError, "not a number"),
    "infinite": (b"v 1 2 1e999\n" + CUBE, CorruptError, "not a number"),
    "a word": (b"v 1 2 x\n" + CUBE, CorruptError, "line 1"),
    "corner 0": (CUBE + b"f 0 1 2\n", CorruptError, "corner 0 of 4"),
    "a corner there is not": (CUBE + b"f 1 2 5\n", CorruptError, "vertex 5 of 4"),
    "a normal there is not": (CUBE + b"f 1//9 2//2 3//3\n", CorruptError, "normal 9 of 4"),
    "backwards beyond the first": (CUBE + b"f -5 1 2\n", CorruptError, "corner -5 of 4"),
    "an index of 64 bits": (CUBE + b"f 1 2 9223372036854775807\n", CorruptError, "of 4"),
    "an index beyond": (CUBE + b"f 1 2 99999999999999999999\n", CorruptError, "line 12"),
    "an index of 5,000 digits": (CUBE + b"f 1 2 " + b"9" * 5000 + b"\n", CorruptError, "line 12"),
    "an index with a point": (CUBE + b"f 1 2 3.5\n", CorruptError, "line 12"),
    "slashes only": (CUBE + b"f // // //\n", CorruptError, "line 12"),
    "two corners": (CUBE + b"f 1 2\n", CorruptError, "2 corners"),
    "a line without end": (b"v " + b"1 " * 100_000 + b"\n", CorruptError, "bytes long"),
}


@pytest.mark.parametrize(("data", "kind", "message"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_are_refused_by_name(data, kind, message, tmp_path):
    with pytest.raises(kind, match=message):
        read_obj(data, "x.obj")
    path = tmp_path / "x.obj"
    path.write_bytes(data)
    with pytest.raises(kind):
        ObjCheck()(path)
    with pytest.raises(kind, match=r"x\.obj"):
        read_obj(path)


def test_a_file_that_is_not_there(tmp_path):
    for path in (tmp_path / "x.obj", tmp_path / "nul\0.obj"):
        with pytest.raises(NotFoundError):
            read_obj(path)


def test_the_check_counts(tmp_path):
    (tmp_path / "x.obj").write_bytes(CUBE)
    assert ObjCheck()(tmp_path / "x.obj") == {"vertices": 4, "faces": 2}


NUMBERS = st.floats(-1e6, 1e6).map(lambda x: round(x, 3))


@given(
    st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=20),
    st.data(),
)
def test_what_is_written_is_read(points, data):
    corner = st.integers(0, len(points) - 1)
    faces = data.draw(st.lists(st.tuples(corner, corner, corner), min_size=1, max_size=20))
    lines = [f"v {x!r} {y!r} {z!r}" for x, y, z in points]
    # Numbers from 1, or backwards from the newest, as it comes.
    for face in faces:
        signs = data.draw(st.tuples(*[st.booleans()] * 3))
        words = (c - len(points) if back else c + 1 for c, back in zip(face, signs, strict=True))
        lines.append("f " + " ".join(map(str, words)))
    mesh = read_obj("\n".join(lines).encode())
    assert np.array_equal(mesh.vertices_um, points)
    assert np.array_equal(mesh.faces, faces)


@given(st.data())
def test_damaged_bytes_raise_our_errors_or_nothing(data):
    spoilt = bytearray(CUBE)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(spoilt) - 1))
        spoilt[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
        if not spoilt:
            break
    try:
        mesh = read_obj(bytes(spoilt))
    except IntegrityError:
        return
    assert mesh.faces.min() >= 0
    assert mesh.faces.max() < len(mesh.vertices_um)
    assert np.isfinite(mesh.vertices_um).all()
