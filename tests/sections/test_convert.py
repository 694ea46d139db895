"""Section images as OME-Zarr: where a pixel lands, and how it leads on to reference space."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from sectionfiles import affine, write_archive

import openallen as oa
from openallen.brainmap.alignment import ImageAlignment
from openallen.cli.app import root
from openallen.errors import CorruptError, NotFoundError, RefusedError, UsageError
from openallen.formats.omezarr import OmeZarr
from openallen.sources.sections.convert import to_reference_document

WHERE = "sections:501"
COORDINATES = Path(__file__).parents[1] / "data" / "atlases" / "coordinates.json"
RECORDED = json.loads(COORDINATES.read_text())["xy_to_pir"]


@pytest.fixture
def fetched(sections, tmp_path):
    return oa.fetch(WHERE, to=tmp_path / "brain", downsample=0)


def landed(zarr: OmeZarr, reference: np.ndarray) -> np.ndarray:
    """Return the index (z, y, x) of a point of reference space in the largest level."""
    affine = zarr.affine_um
    assert affine is not None
    volume = np.linalg.inv(affine) @ np.append(reference, 1.0)
    scale, origin = np.array(zarr.scales_um[0][-3:]), np.array(zarr.origins_um[0][-3:])
    return (volume[:3] - origin) / scale


def test_each_pixel_lands_where_its_alignment_says(fetched):
    made = fetched.zarr()
    levels = made.levels
    assert made.axes == ("c", "z", "y", "x")
    assert made.attributes["openallen"]["sections"] == [10, 20, 30]
    assert made.attributes["openallen"]["left_out"] == [3, 6]  # a number twice; not aligned
    assert made.scales_um[0][1] == 250.0
    assert made.origins_um[0][1] == 250.0
    for index in (0, 1, 3):
        pixels = fetched.planes[index].read().astype(int)
        number = fetched.planes[index].section_number
        for x, y in ((20, 12), (47, 31), (70, 50)):
            z, row, column = landed(made, fetched.to_reference(index, x, y))
            assert z == pytest.approx((number - 10) / 10, abs=1e-9)
            found = np.asarray(levels[0][:, round(z), round(row), round(column)]).astype(int)
            assert np.abs(found - pixels[y, x]).max() <= 4, (index, x, y)


def test_a_spot_is_found_at_its_place_in_reference_space(tmp_path, monkeypatch):
    """A dark spot on one image, at a known point of the brain, is where that point is in the store."""
    from openallen.archive.app import archive_app
    from openallen.serving.server import serving

    archive = write_archive(tmp_path / "archive")
    rows = list(map(json.loads, (archive / "tables" / "sub_images.jsonl").read_text().splitlines()))
    [row] = [r for r in rows if r["id"] == 4]
    row |= {"width": 400, "height": 300}
    text = "\n".join(map(json.dumps, rows)) + "\n"
    (archive / "tables" / "sub_images.jsonl").write_text(text)
    pixels = np.full((300, 400, 3), 240, np.uint8)
    y, x = np.mgrid[:300, :400]
    pixels[(x - 251.0) ** 2 + (y - 97.0) ** 2 <= 36] = 10
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=98)
    (archive / "images" / "4.jpg").write_bytes(file.getvalue())
    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path / "store"))
    with serving(archive_app(archive)) as url:
        for downsample in (0, 1):
            to = tmp_path / f"at-{downsample}"
            brain = oa.fetch(WHERE, to=to, source=url, planes="3", downsample=downsample)
            made = brain.zarr(gray=True)
            plane = 255 - np.asarray(made.levels[0][0]).astype(float)
            dark = np.where(plane > 120)
            assert len(dark[0]) > 10
            where = brain.alignment.image(4).to_reference(251.0, 97.0)
            _, row_at, column_at = landed(made, where)
            assert np.mean(dark[0]) == pytest.approx(row_at, abs=0.4)
            assert np.mean(dark[1]) == pytest.approx(column_at, abs=0.4)


def test_smaller_levels_lie_over_the_largest(fetched):
    made = fetched.zarr(chunk_px=64)
    assert len(made.levels) > 1
    for level in range(1, len(made.levels)):
        shift = (2**level - 1) / 2 * 2.0
        for axis in (2, 3):
            moved = made.origins_um[level][axis] - made.origins_um[0][axis]
            assert moved == pytest.approx(shift)


@pytest.mark.parametrize("record", RECORDED, ids=lambda r: str(r["image_id"]))
def test_the_map_of_a_store_leads_where_the_service_says(record):
    """Points recorded of image_to_reference, by the map as it is written."""

    def rows(matrix, prefix):
        full = np.array(matrix)
        return affine(prefix, full[:, :-1], full[:, -1])

    two, three = rows(record["affine_2d"], "tsv"), rows(record["affine_3d"], "tvr")
    where = ImageAlignment.of(two, three, record["section_number"], record["section_thickness"])
    matrix = to_reference_document(where)["coordinateTransformations"][0]["affine"]
    factors, shift = where.plane
    x_um, y_um = factors @ [record["x"], record["y"]] + shift
    z_um = record["section_number"] * record["section_thickness"]
    found = np.array(matrix) @ [z_um, y_um, x_um, 1.0]
    np.testing.assert_allclose(found, [record["p"], record["i"], record["r"]], rtol=1e-9, atol=1e-9)


def test_the_whole_matrix_is_that_of_the_service():
    recorded = {"section_number": 7, "thickness": 20.0}
    two = affine("tsv", [[1.6, 0.05], [-0.05, 1.6]], [400.0, 2200.0])
    three = affine("tvr", [[0.1, 0.2, 1.0], [0.0, 1.0, 0.1], [1.1, 0.0, 0.2]], [1.0, 2.0, 3.0])
    where = ImageAlignment.of(two, three, recorded["section_number"], recorded["thickness"])
    document = to_reference_document(where)
    matrix = np.array(document["coordinateTransformations"][0]["affine"])
    x, y = 30.0, 40.0
    flat = np.array([[1.6, 0.05], [-0.05, 1.6]]) @ [x, y] + [400.0, 2200.0]
    zyx = np.array([140.0, flat[1], flat[0], 1.0])
    np.testing.assert_allclose(matrix @ zyx, where.to_reference(x, y), rtol=1e-12)


def test_the_command_converts_a_folder(fetched):
    arguments = ["convert", str(fetched.folder)]
    said = CliRunner().invoke(root, [*arguments, "--gray"])
    assert said.exit_code == 0, said.output
    assert "501.ome.zarr" in said.output
    assert CliRunner().invoke(root, arguments).exit_code != 0
    assert len(oa.open(fetched.folder).planes) == 5


def test_what_cannot_be_converted_is_told(fetched, sections, tmp_path):
    with pytest.raises(UsageError, match="JPEGs cannot be kept"):
        fetched.conversion(keep_jpeg=True)
    other = oa.fetch("sections:502", to=tmp_path / "other")
    with pytest.raises(NotFoundError, match="aligned"):
        other.conversion()
    fetched.zarr()
    with pytest.raises(RefusedError, match="already exists"):
        fetched.conversion().run()


def test_an_alignment_that_contradicts_its_images_is_refused(fetched):
    path = fetched.folder / "manifest.json"
    document = json.loads(path.read_text())
    document["images"][0]["alignment2d"]["tsv_04"] = 1e9
    path.write_text(json.dumps(document))
    with pytest.raises(UsageError, match="the alignment contradicts the images"):
        oa.open(fetched.folder).conversion()


@pytest.mark.parametrize("affine", [[[1, 2], [3, 4]], "x", [[1, 2, 3, None]] * 3])
def test_a_map_that_is_none_is_told(fetched, affine):
    made = fetched.zarr()
    made.attributes["openallen"]["to_reference"] = {
        "coordinateTransformations": [{"type": "affine", "affine": affine}]
    }
    with pytest.raises(CorruptError, match="not an affine map"):
        made.affine_um  # noqa: B018
