"""From image to image, to another data set, to an atlas; from a structure to an image: offline."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import openallen as oa
from openallen.archive import archive_app, serving
from openallen.brainmap.alignment import ImageAlignment, SetAlignment
from openallen.errors import NotFoundError, UsageError
from openallen.sources.atlases import ReferenceSpace, Structures
from openallen.sources.atlases.frames import label

RECORDED = json.loads((Path(__file__).parents[1] / "data" / "atlases" / "coordinates.json").read_text())  # fmt: skip


def affine(prefix: str, told: list[list[float]]) -> dict[str, float]:
    """Return a recorded map, and what undoes it, as columns of a row."""
    matrix = np.array(told)
    back = np.linalg.inv(matrix[:, :-1])
    other = np.column_stack([back, -back @ matrix[:, -1]])
    names = {"tsv": "tvs", "tvr": "trv"}
    row = {}
    for name, values in ((prefix, matrix), (names[prefix], other)):
        flat = [*values[:, :-1].ravel(), *values[:, -1]]
        row |= {f"{name}_{n:02}": float(part) for n, part in enumerate(flat)}
    return row


def images(data_set: int) -> SetAlignment:
    """Return the recorded section images of a data set."""
    found = [r for r in RECORDED["xy_to_pir"] if r["dataset_id"] == data_set]
    unique = {r["image_id"]: r for r in found}.values()
    return SetAlignment(
        [
            ImageAlignment.of(affine("tsv", r["affine_2d"]), affine("tvr", r["affine_3d"]), r["section_number"], r["section_thickness"], r["image_id"])
            for r in unique
        ]
    )  # fmt: skip


IDS = sorted({r["dataset_id"] for r in RECORDED["xy_to_pir"]})
BIG = [number for number in IDS if len(images(number)) > 1]


def test_the_nearest_sections_come_in_the_shape_of_the_points():
    known = images(BIG[0])
    points = np.random.default_rng(1).uniform(0, 8000, (2, 3, 3))
    found, flat = known.nearest(points), known.nearest(points.reshape(-1, 3))
    for one, other in zip(found, flat, strict=True):
        assert one.shape == (2, 3)
        assert np.array_equal(one.ravel(), other)
    assert known.nearest(points[0, 0]).image_id.shape == (1,)


@pytest.mark.parametrize("points", [[1, 2], "abc", [[1, 2, 3, 4]], [[1, 2], [3]], 5, None])
def test_points_that_are_none(points):
    known = images(BIG[0])
    for call in (known.nearest, known.images[0].from_reference):
        with pytest.raises(UsageError, match="points "):
            call(points)
    image = known.images[0]
    for x, y in (([1, 2], [1, 2, 3]), ("a", 1), (1, [[1], [2, 3]])):
        for call in (image.to_reference, lambda x, y: image.to_image(x, y, image)):
            with pytest.raises(UsageError, match="x and y are numbers"):
                call(x, y)


@given(st.sampled_from(BIG), st.data(), st.floats(0, 5000), st.floats(0, 5000))
def test_from_one_plane_to_another_of_the_same_volume(number, data, x, y):
    known = images(number)
    one, other = (data.draw(st.sampled_from(known.images)) for _ in range(2))
    there = one.to_image(x, y, other)
    back = other.to_image(*there, one)
    assert np.allclose(back, (x, y), atol=1e-6)
    # The same place of the volume's plane: its images differ along the third axis only.
    volume = [image.to_reference(*at) @ image.volume_back[0].T + image.volume_back[1] for image, at in ((one, (x, y)), (other, there))]  # fmt: skip
    assert np.allclose(volume[0][:2], volume[1][:2], atol=1e-5)


@given(st.sampled_from(IDS), st.sampled_from(IDS), st.floats(0, 5000), st.floats(0, 5000))
def test_from_an_image_to_another_data_set_is_by_way_of_the_brain(one, other, x, y):
    seed, target = images(one).images[0], images(other)
    found = seed.to_set(x, y, target)
    place = seed.to_reference(x, y)
    far = [abs(float(image.from_reference(place)[2])) for image in target.images]
    chosen = target.image(int(found.image_id[0]))
    assert found.distance_um[0] == pytest.approx(min(far), abs=1e-6)
    assert np.allclose([found.x_px[0], found.y_px[0]], chosen.from_reference(place)[:2], atol=1e-6)


def test_many_points_at_once():
    seed = images(BIG[0]).images[0]
    x, y = seed.to_image(np.zeros((3, 2)), np.arange(2), images(BIG[0]).images[1])
    assert x.shape == y.shape == (3, 2)
    assert len(seed.to_set([1, 2, 3], 4, images(BIG[0])).image_id) == 3


def test_from_a_structure_to_its_image():
    rows = [
        {"id": 1, "acronym": "root", "name": "root", "structure_id_path": "/1/"},
        {"id": 2, "acronym": "a", "name": "A", "structure_id_path": "/1/2/"},
        {"id": 3, "acronym": "b", "name": "B", "structure_id_path": "/1/3/"},
    ]
    values = np.zeros((10, 4, 6), np.uint8)
    values[2:4, 1, 0] = values[2:4, 1, 5] = 2
    space = ReferenceSpace(label(values, (100, 50, 25), name="a", attrs={}), Structures.from_rows(rows, 1))  # fmt: skip
    assert space.centroid_um("a").tolist() == [300, 75, 75]
    assert space.centroid_um("root", "left").tolist() == [300, 75, 12.5]
    assert space.centroid_um(["a", "b"], "right").tolist() == [300, 75, 137.5]
    turned = ReferenceSpace(space.annotation.assign_attrs(orientation="PIL"), space.structures)
    assert turned.centroid_um("a", "left").tolist() == [300, 75, 137.5]
    known = images(BIG[0])
    assert known.nearest(space.centroid_um("a")).image_id[0] in {image.image_id for image in known.images}  # fmt: skip
    with pytest.raises(NotFoundError, match="without a voxel"):
        space.centroid_um("b")
    with pytest.raises(UsageError, match="no hemisphere"):
        space.centroid_um("a", "top")


def test_the_plates_of_an_atlas_are_aligned_too(tmp_path, monkeypatch):
    known = RECORDED["xy_to_pir"][0]
    plates = [
        {"_type": "AtlasImage", "id": 50 + n, "data_set_id": 5, "section_number": 10 * n, "annotated": n != 2}
        for n in range(4)
    ]  # fmt: skip
    flat = [{"id": n, "section_image_id": 50 + n} | affine("tsv", known["affine_2d"]) for n in range(4)]  # fmt: skip
    tables = {
        "data_sets": [{"_type": "AtlasDataSet", "id": 5, "section_thickness": 25.0, "reference_space_id": 9}],
        "sub_images": plates,
        "alignment2ds": flat,
        "alignment3ds": [{"id": 1, "aligned_id": 5} | affine("tvr", known["affine_3d"])],
    }  # fmt: skip
    (tmp_path / "archive" / "tables").mkdir(parents=True)
    for name, rows in tables.items():
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "archive" / "tables" / f"{name}.jsonl").write_text(text)
    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path / "store"))
    with serving(archive_app(tmp_path / "archive")) as url:
        atlas = oa.alignment(5, source=url)
        assert [image.image_id for image in atlas.images] == [50, 51, 53]  # annotated ones only
        with pytest.raises(NotFoundError, match="no such data set"):
            oa.alignment(6, source=url)
    seed = images(known["dataset_id"]).images[0]
    assert int(seed.to_set(100, 100, atlas).image_id[0]) in {50, 51, 53}
    assert len(oa.alignment(5, source=url)) == 3  # kept: no request is made
