"""OME-Zarr of old and new versions, and stores that are not quite what they say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

import openallen as oa
from openallen.errors import CorruptError
from openallen.formats.omezarr import OmeZarr
from openallen.formats.omezarr.multiscale import read_multiscale, scaled_by_sizes

ZYX = [{"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"]


def scaled(path: str, *scale: float) -> dict[str, Any]:
    return {"path": path, "coordinateTransformations": [{"type": "scale", "scale": list(scale)}]}


def write(
    folder: Path,
    image: dict[str, Any] | list[Any],
    shapes: list[tuple[int, ...]],
    *,
    version: int = 2,
) -> Path:
    """Write levels of ones, with the given metadata."""
    root = zarr.open_group(str(folder), mode="w", zarr_format=version)
    for n, shape in enumerate(shapes):
        keys: Any = {"name": "v2", "separator": "/"} if version == 2 else None
        root.create_array(str(n), shape=shape, chunks=(2,) * len(shape), dtype="u1", chunk_key_encoding=keys)[:] = 1  # fmt: skip
    images = image if isinstance(image, list) else [image]
    root.attrs.update({"multiscales": images} if version == 2 else {"ome": {"version": "0.6", "multiscales": images}})  # fmt: skip
    return folder


def test_levels_without_scales_have_the_ones_of_their_sizes(tmp_path):
    """Versions 0.1 to 0.3 have no scales: every level covered less and less of the image."""
    shapes = [(1, 1, 3, 25, 40), (1, 1, 3, 13, 20), (1, 1, 3, 6, 10)]
    meta = {"version": "0.1", "datasets": [{"path": str(n)} for n in range(3)]}
    image = oa.open(write(tmp_path, meta, shapes))
    assert image.scales_um == ((1, 1, 1, 1, 1), (1, 1, 1, 2, 2), (1, 1, 1, 4, 4))
    assert image.origins_um[2] == (0, 0, 0, 1.5, 1.5)
    assert any("level 2: no scale: taken from the sizes" in note for note in image.notes)
    smallest = image.level(-1)
    assert float(smallest["x"][-1]) == 37.5  # the middle of the last four of forty pixels


def test_a_level_without_a_scale_below_one_that_has_it(tmp_path):
    meta = {"version": "0.4", "axes": ZYX, "datasets": [scaled("0", 5, 2, 2), {"path": "1"}]}
    image = OmeZarr(write(tmp_path, meta, [(4, 8, 8), (4, 4, 4)]))
    assert image.scales_um == ((5, 2, 2), (5, 4, 4))


@given(st.lists(st.integers(64, 3000), min_size=2, max_size=2), st.integers(2, 3), st.booleans())
def test_any_pyramid_by_whole_factors_is_found(sizes, factor, up):
    shapes = [tuple(sizes)]
    for _ in range(3):
        shapes.append(tuple(-(-n // factor) if up else n // factor for n in shapes[-1]))
    shapes = [s for s in shapes if min(s) >= 2 * factor]
    meta = {"multiscales": [{"axes": ["y", "x"], "datasets": [{"path": str(n)} for n in range(len(shapes))]}]}  # fmt: skip
    found = scaled_by_sizes(read_multiscale(meta, "x"), shapes)
    assert [level.scale for level in found.levels] == [(factor**n,) * 2 for n in range(len(shapes))]


@pytest.mark.parametrize(
    ("kind", "unit", "named", "factor"),
    [
        ("space", "picometer", "µm", 1e-6),
        ("space", "nanometers", "µm", 1e-3),
        ("space", "Micrometers", "µm", 1.0),
        ("space", "decimeter", "µm", 1e5),
        ("space", "inch", "µm", 25_400.0),
        ("time", "microsecond", "s", 1e-6),
        ("time", "seconds", "s", 1.0),
        ("time", "day", "s", 86_400.0),
        ("time", "fortnight", "", 1.0),
    ],
)
def test_units_are_those_of_the_format_in_singular_and_plural(kind, unit, named, factor):
    axes = [{"name": "t" if kind == "time" else "z", "type": kind, "unit": unit}]
    meta = {"multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    (axis,) = read_multiscale(meta, "x").axes
    assert (axis.unit, axis.factor) == (named, factor)


def newer(unit: str = "nanometer", output: str = "physical", kind: str = "scale") -> dict[str, Any]:
    """Return an image of version 0.6 as ngff-zarr writes it."""
    axes = [{"name": a, "type": "space", "unit": unit} for a in "zyx"]
    steps = []
    for n in range(2):
        scale = {"type": "scale", "scale": [8.0, 4.0 * 2**n, 4.0 * 2**n]}
        moved = {"type": "translation", "translation": [0.0, 2.0 * n, 2.0 * n]}
        step = {"type": "sequence", "transformations": [scale, moved]} if kind == "sequence" else {"type": kind, kind: scale["scale"]}  # fmt: skip
        steps.append({**step, "input": str(n), "output": "physical" if n == 0 else output})
    return {
        "name": "new",
        "coordinateSystems": [{"name": "physical", "axes": axes}],
        "datasets": [{"path": str(n), "coordinateTransformations": [s]} for n, s in enumerate(steps)],
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["scale", "sequence"])
def test_units_of_version_6_come_from_the_coordinate_system(tmp_path, kind):
    image = oa.open(write(tmp_path, newer(kind=kind), [(4, 8, 8), (4, 4, 4)], version=3))
    assert image.axes == ("z", "y", "x")
    assert image.scales_um == (
        pytest.approx((0.008, 0.004, 0.004)),
        pytest.approx((0.008, 0.008, 0.008)),
    )
    assert image.origins_um[1] == pytest.approx((0.0, 0.002, 0.002))
    assert image.level(0)["x"].attrs["units"] == "µm"
    assert image.notes == []


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.update(newer(output="elsewhere")),
        lambda image: image.update(newer(kind="affine")),
        lambda image: image["coordinateSystems"].clear(),
        lambda image: image.update(version="0.7"),
        lambda image: image.update(version="1.0.dev2"),
    ],
)
def test_what_version_6_says_beyond_that_is_refused_by_its_version(tmp_path, change):
    image = newer()
    change(image)
    with pytest.raises(CorruptError, match="version"):
        oa.open(write(tmp_path, image, [(4, 8, 8), (4, 4, 4)], version=3))


MATRIX = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]
SCALE = {"type": "scale", "scale": [8.0, 4.0, 4.0]}
UNREAD = {
    "affine": {"affine": MATRIX},
    "rotation": {"rotation": [row[:3] for row in MATRIX]},
    "mapAxis": {"mapAxis": [2, 1, 0]},
    "displacements": {"path": "field"},
    "bijection": {"forward": SCALE, "inverse": SCALE},
}


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a sequence"])
@pytest.mark.parametrize("kind", UNREAD)
def test_a_place_that_is_not_read_is_refused_by_its_name(tmp_path, kind, inside):
    image = newer()
    step = {"type": kind, **UNREAD[kind]}
    if inside:
        step = {"type": "sequence", "transformations": [SCALE, step]}
    image["datasets"][1]["coordinateTransformations"] = [step | {"output": "physical"}]
    with pytest.raises(CorruptError, match=f"placed by '{kind}': only scale and translation"):
        oa.open(write(tmp_path, image, [(4, 8, 8), (4, 4, 4)], version=3))


def test_levels_in_several_coordinate_systems_are_refused_by_their_names(tmp_path):
    image = newer(output="elsewhere")
    image["coordinateSystems"].append(image["coordinateSystems"][0] | {"name": "elsewhere"})
    with pytest.raises(CorruptError, match="'elsewhere', 'physical'"):
        oa.open(write(tmp_path, image, [(4, 8, 8), (4, 4, 4)], version=3))


def test_other_coordinate_systems_of_an_image_are_told(tmp_path):
    image = newer()
    image["coordinateSystems"].append(image["coordinateSystems"][0] | {"name": "atlas"})
    step = {"type": "affine", "affine": MATRIX, "input": "physical", "output": "atlas"}
    image["coordinateTransformations"] = [step]
    opened = oa.open(write(tmp_path, image, [(4, 8, 8), (4, 4, 4)], version=3))
    assert opened.notes == [
        "2 coordinate systems: 'physical' is read, 'affine' to others is not applied"
    ]
    assert opened.scales_um[0] == pytest.approx((0.008, 0.004, 0.004))


def test_chunks_in_folders_though_the_array_does_not_say_so(tmp_path, caplog):
    meta = {"version": "0.4", "axes": ZYX, "datasets": [scaled("0", 1, 1, 1)]}
    write(tmp_path, meta, [(4, 8, 8)])
    told = json.loads((tmp_path / "0/.zarray").read_text())
    del told["dimension_separator"]
    (tmp_path / "0/.zarray").write_text(json.dumps(told))
    image = OmeZarr(tmp_path)
    assert image.level(0).to_numpy().min() == 1
    assert image.missing_chunks == ()
    assert "in folders" in caplog.text


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("part", [slice(0, 1), slice(None)])
def test_a_level_whose_chunks_are_all_missing_is_an_error(tmp_path, version, part):
    image = newer() if version == 3 else {"axes": ZYX, "datasets": [scaled("0", 1, 1, 1), scaled("1", 1, 2, 2)]}  # fmt: skip
    write(tmp_path, image, [(4, 8, 8), (4, 4, 4)], version=version)
    for lost in (tmp_path / "1").iterdir():
        if lost.is_dir():
            shutil.rmtree(lost)
    opened = OmeZarr(tmp_path)
    assert int(opened.level(0).sum()) == 256
    with pytest.raises(CorruptError, match="no chunk at all"):
        opened.level(1).isel(z=part).to_numpy()


def test_a_part_that_is_background_is_none(tmp_path):
    image = {"axes": ZYX, "datasets": [scaled("0", 1, 1, 1)]}
    write(tmp_path, image, [(4, 8, 8)])
    shutil.rmtree(tmp_path / "0" / "1")
    assert int(OmeZarr(tmp_path).level(0).isel(z=slice(2, 4)).sum()) == 0


def test_several_images_are_told(tmp_path):
    one = {"name": "a", "axes": ZYX, "datasets": [scaled("0", 1, 1, 1)]}
    image = OmeZarr(write(tmp_path, [one, {**one, "name": "b"}], [(4, 8, 8)]))
    assert image.notes == ["2 images (a, b): the first is read"]
    assert "2 images" in repr(image)


def test_a_scale_of_nothing_along_a_single_time(tmp_path):
    axes = [{"name": "t", "type": "time", "unit": "second"}, *ZYX]
    image = OmeZarr(write(tmp_path, {"axes": axes, "datasets": [scaled("0", 0, 1, 2, 2)]}, [(1, 4, 8, 8)]))  # fmt: skip
    assert image.scales_um == ((1, 1, 2, 2),)
    assert image.notes == ["t: a scale of 0: assumed 1"]


def test_axes_that_do_not_match_the_array(tmp_path):
    image = OmeZarr(write(tmp_path, {"axes": ZYX, "datasets": [scaled("0", 1, 1, 1)]}, [(8, 8)]))
    with pytest.raises(CorruptError, match="does not match the axes"):
        image.level(0)


def test_groups_around_images_are_no_images(tmp_path):
    root = zarr.open_group(str(tmp_path), mode="w", zarr_format=3)
    root.attrs["ome"] = {"version": "0.5", "bioformats2raw.layout": 3}
    assert "Zarr store" in repr(oa.open(tmp_path))
