"""Section images: listed, shown, fetched, verified, repaired, opened; from an archive of the tests."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from sectionfiles import SIZES, SVG, picture, tables

import openallen as oa
from openallen import maintenance
from openallen.address import Address
from openallen.brainmap.alignment import ImageAlignment
from openallen.errors import (
    AnswerError,
    CorruptError,
    NotFoundError,
    OfflineError,
    OpenAllenError,
    RefusedError,
    UsageError,
)
from openallen.formats.jpeg import decode
from openallen.manifests import family_of
from openallen.sources.sections import SectionSet
from openallen.sources.sections.manifest import build_schema, read_manifest, shipped_schema
from openallen.visuals import StackVisual, TableVisual, visuals_of

WHERE = "sections:501"


@pytest.fixture
def whole(sections, tmp_path) -> SectionSet:
    """Data set 501 with its expression, at full size."""
    return oa.fetch(WHERE, to=tmp_path / "whole", expression=True, failed=True)


def alike(pixels: np.ndarray, jpeg: bytes) -> bool:
    """Return whether pixels are those of a picture that the service encodes once more."""
    return bool(np.abs(pixels.astype(int) - decode(jpeg).astype(int)).max() < 10)


def sections_of(plan) -> list[str]:
    return [file.path for file in plan.files if file.kind == "images"]


# --- list and show --------------------------------------------------------------------------------


def test_data_sets_are_found_by_what_they_show(sections):
    [row] = oa.list("sections:", gene="Pdyn")
    assert row["id"] == 501
    told = (row["treatment"], row["age"], row["injection"], row["plane"], row["product"])
    assert told == ("ISH", "P56", "VISp", "coronal", "Mouse")
    assert row["section_thickness_um"] == 25.0
    for condition in (
        {"treatment": "ISH"}, {"expression": "true"}, {"product": "Mouse"}, {"entrez_id": "18610"},
    ):  # fmt: skip
        assert [r["id"] for r in oa.list("sections:", **condition)] == [501], condition
    assert [r["id"] for r in oa.list("sections:", failed="true")] == [502]
    assert 502 not in [r["id"] for r in oa.list("sections:")]
    assert [r["id"] for r in oa.list("sections:", plane_of_section="coronal", limit=1)] == [501]
    assert len(oa.list("sections:", injection="VISp")) == 4


def test_images_of_a_data_set_are_listed_in_the_order_of_the_sections(sections):
    rows = oa.list(WHERE)
    assert [(r["id"], r["section_number"]) for r in rows] == [
        (1, 10), (2, 20), (3, 20), (4, 30), (5, 50), (6, 60),
    ]  # fmt: skip
    assert [r["z_um"] for r in rows] == [0, 250, 250, 500, 1000, 1250]
    assert [r["failed"] for r in rows] == [False] * 4 + [True, False]
    assert [r["aligned"] for r in rows] == [True] * 5 + [False]
    assert [r["id"] for r in oa.list(WHERE, expression="true")] == [1, 2]
    assert [r["id"] for r in oa.list(WHERE, section_number__gt=25, failed="false")] == [4, 6]
    with pytest.raises(UsageError, match="no column 'foo'"):
        oa.list(WHERE, foo=1)


def test_show_tells_gaps_repeats_sizes_and_links(sections):
    facts = oa.show(WHERE)
    told = facts.to_dict()
    assert told["sections"] == [10, 20, 20, 30, 50, 60]
    assert "10 to 60, every 10th; 1 gap; 1 number twice" in str(facts)
    assert told["width_px"] == [64, 96]
    assert told["intensity_range"]["red_upper"] == 932
    assert told["links"] == ["https://mouse.brain-map.org/experiment/show/501"]
    assert [r["section_number"] for r in told["section_images"]] == told["sections"]
    assert "1 image left out: failed quality control" in str(facts)
    failed = oa.show("sections:502")
    assert "this data set failed quality control" in str(failed)
    assert failed.to_dict()["aligned"] is False


@pytest.mark.parametrize(
    ("address", "error", "said"),
    [
        ("sections:999", NotFoundError, "no such section data set"),
        ("sections:atlas-9", NotFoundError, "no such atlas"),
        ("sections:503", NotFoundError, "this data set has no section images"),
        ("sections:505", AnswerError, "unexpected 'width' in a SectionImage row"),
        ("sections:Pdyn", UsageError, "'Pdyn' names no section images"),
    ],
)
@pytest.mark.parametrize("verb", ["show", "plan"])
def test_what_there_is_not_is_told(sections, address, error, said, verb):
    with pytest.raises(error, match=said):
        getattr(oa, verb)(address)


# --- which images ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["0010", "0020", "0020_3", "0030", "0060"]),
        ({"failed": True}, ["0010", "0020", "0020_3", "0030", "0050", "0060"]),
        ({"planes": "1:3"}, ["0020", "0020_3"]),
        ({"planes": "-1"}, ["0060"]),
        ({"planes": "::2"}, ["0010", "0020_3"]),  # of the six, the fifth failed
        ({"sections": "20:31"}, ["0020", "0020_3", "0030"]),
        ({"sections": "30"}, ["0030"]),
        ({"sections": "11:", "planes": ":4"}, ["0020", "0020_3", "0030"]),
    ],
)
def test_images_are_chosen_by_place_and_by_section_number(sections, options, expected):
    plan = oa.plan(WHERE, **options)
    assert sections_of(plan) == [f"images/{name}.jpg" for name in expected]


def reference_point(number: int, x: float, y: float) -> np.ndarray:
    """Return where a point of an image lies, from the rows the archive was written of."""
    rows = tables()
    [image] = [r for r in rows["sub_images"] if r["id"] == number]
    [two] = [r for r in rows["alignment2ds"] if r["section_image_id"] == number]
    where = ImageAlignment.of(two, rows["alignment3ds"][0], image["section_number"], 25.0)
    return where.to_reference(x, y)


def test_images_are_chosen_by_a_point_of_the_brain(sections):
    point = reference_point(4, 40.0, 20.0)
    plan = oa.plan(WHERE, near=tuple(point + np.array([0, 0, 40])))
    assert sections_of(plan) == ["images/0030.jpg"]
    assert any("µm from section 30, at x" in note for note in plan.notes)
    around = oa.plan(WHERE, near=tuple(point), within_um=300)
    assert sections_of(around) == ["images/0020.jpg", "images/0020_3.jpg", "images/0030.jpg"]
    assert "--near=" in around.command
    assert "--within-um 300" in around.command
    # 1,000 µm behind the last that is aligned; and where the nearest failed, the next one is taken
    with pytest.raises(NotFoundError, match="no section near") as caught:
        oa.plan(WHERE, near=tuple(point - np.array([0, 0, 6000])))
    assert "µm away" in caught.value.why
    beyond = reference_point(5, 40.0, 20.0)
    assert sections_of(oa.plan(WHERE, near=tuple(beyond), failed=True)) == ["images/0050.jpg"]
    with pytest.raises(NotFoundError, match="no section near"):
        oa.plan(WHERE, near=tuple(beyond))
    with pytest.raises(NotFoundError, match="not aligned"):
        oa.plan("sections:502", near=tuple(point))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"near": "1,2"}, "three numbers"),
        ({"near": (1, 2, float("nan"))}, "three numbers"),
        ({"near": "a,b,c"}, "is no point"),
        ({"within_um": 5}, "goes with near"),
        ({"near": "1,2,3", "structure": "VISp"}, "exclude each other"),
        ({"sections": "10-20"}, "names no sections"),
        ({"intensity_range": "1,2,3"}, "six numbers"),
        ({"intensity_range": "0,1,0,1,0,9999"}, "six numbers"),
        ({"downsample": 21}, "downsample"),
        ({"quality": 101}, "quality"),
    ],
)
def test_options_that_mean_nothing_are_refused(sections, options, said):
    with pytest.raises(UsageError, match=said):
        oa.plan(WHERE, **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"planes": "50:60"}, "no image is selected"),
        ({"sections": "11:20"}, "no image is selected"),
        ({"planes": "4"}, "every image that is selected failed"),
        ({"planes": "3:", "expression": True}, "has segmented expression"),
        ({"svg": True}, "has structures drawn on them"),
    ],
)
def test_selections_of_nothing_are_told(sections, options, said):
    with pytest.raises(NotFoundError, match=said) as caught:
        oa.plan(WHERE, **options)
    assert caught.value.hint.startswith("openallen fetch sections:501")


def test_options_go_to_the_service_as_it_spells_them(sections):
    plan = oa.plan(
        WHERE, planes="0", downsample=1, quality=60, projection=True,
        intensity_range="0,932,0,1279,0,4095",
    )  # fmt: skip
    image, projection = (file.url.partition("/api/v2/")[2] for file in plan.files)
    told = "section_image_download/1?downsample=1&quality=60"
    assert image == f"{told}&range=0,932,0,1279,0,4095"
    assert projection == f"{told}&view=projection"
    assert "--intensity-range 0,932,0,1279,0,4095" in plan.command


# --- fetch ----------------------------------------------------------------------------------------


def test_a_data_set_is_fetched_with_its_manifest(whole, sections):
    assert len(whole.planes) == 6
    document = json.loads((whole.folder / "manifest.json").read_text())
    jsonschema.validate(document, build_schema())
    assert build_schema() == shipped_schema()
    assert family_of((whole.folder / "manifest.json").read_bytes()) == "sections"
    assert document["data_set"]["alignment3d"]["tvr_09"] == 100.0
    assert document["section_thickness_um"] == 25.0
    first = document["images"][0]
    assert first["url"] == "https://api.brain-map.org/api/v2/section_image_download/1"
    assert first["alignment2d"]["tsv_00"] == 2.0
    assert first["resolution_um_per_px"] == 2.0
    assert [e["image_id"] for e in document["drawn"]] == [1, 2]
    for plane in whole.planes:
        assert alike(plane.read(), picture(plane.entry.id, SIZES[plane.entry.id]))
        size = (plane.entry.file_width_px, plane.entry.file_height_px)
        assert size == SIZES[plane.entry.id]
    assert whole.expression(1).shape == (64, 96, 3)
    with pytest.raises(NotFoundError, match="no expression of section 30"):
        whole.expression(3)
    del sections


def test_a_second_run_fetches_what_is_missing_alone(whole, tmp_path):
    (whole.folder / "images" / "0030.jpg").unlink()
    (whole.folder / "expression" / "0010.jpg").write_bytes(b"broken")
    told = oa.plan(WHERE, to=whole.folder, expression=True, failed=True)
    assert {f.path for f in told.missing} == {"images/0030.jpg", "expression/0010.jpg"}
    before = read_manifest(whole.folder)
    oa.fetch(WHERE, to=whole.folder, expression=True, failed=True)
    assert [image.sha256 for image in read_manifest(whole.folder).images] == [
        image.sha256 for image in before.images
    ]
    # Some of it, later: what an earlier run brought stays in the manifest.
    oa.fetch(WHERE, to=whole.folder, planes="0")
    assert read_manifest(whole.folder).views() == {"expression"}
    assert len(oa.open(whole.folder).planes) == 6


def test_verify_and_repair_go_by_the_manifest(whole):
    (whole.folder / "images" / "0030.jpg").write_bytes(b"broken")
    (whole.folder / "images" / "stranger.jpg").write_bytes(b"x")
    checked = list(maintenance.verify([str(whole.folder)]))
    found = {one.path.name: one.status for _, one in checked}
    assert found["0030.jpg"] == "damaged"
    assert found["stranger.jpg"] == "unknown"
    assert [one.status for _, one in checked].count("intact") == 7
    bad = [pair for pair in checked if pair[1].status == "damaged"]
    assert maintenance.repair(bad) == []
    assert alike(oa.open(whole.folder).planes[3].read(), picture(4, SIZES[4]))


def test_a_complete_folder_needs_no_network(whole, monkeypatch):
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    again = oa.fetch(WHERE, to=whole.folder, expression=True)
    assert len(again.planes) == 6
    assert len(oa.open(whole.folder).images) == 6
    point = tuple(float(v) for v in again.to_reference(0, 3, 3))
    assert sections_of(oa.plan(WHERE, to=whole.folder, near=point)) == ["images/0010.jpg"]
    for options in ({"svg": True}, {"structure": "VISp"}):
        with pytest.raises((OfflineError, NotFoundError)):
            oa.plan(WHERE, to=whole.folder, **options)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"downsample": 1}, "downsample 0, quality best"),
        ({"quality": 5}, "downsample 0, quality best"),
        ({"intensity_range": "0,1,0,1,0,1"}, "downsample 0"),
    ],
)
def test_a_folder_holds_one_size(whole, options, why):
    with pytest.raises(RefusedError, match="holds something else") as caught:
        oa.plan(WHERE, to=whole.folder, **options)
    assert why in caught.value.why


def test_folders_of_others_are_refused(whole, sections, tmp_path):
    with pytest.raises(RefusedError, match="holds something else") as caught:
        oa.plan("sections:502", to=whole.folder)
    assert "sections:501" in caught.value.why
    other = tmp_path / "cell"
    other.mkdir()
    (other / "manifest.json").write_bytes(b'{"schema": "openallen/cell-manifest/1"}')
    with pytest.raises(RefusedError, match="holds something else"):
        oa.plan(WHERE, to=other)


@pytest.mark.parametrize("damage", ["cut", "text", "other", "page"])
def test_damaged_manifests_are_told(whole, damage):
    path = whole.folder / "manifest.json"
    body = path.read_bytes()
    path.write_bytes(
        {
            "cut": body[: len(body) // 2],
            "text": b'{"schema": "openallen/sections-manifest/1"}',
            "other": body.replace(b'"position": 0', b'"position": -1'),
            "page": b"<html></html>",
        }[damage]
    )
    with pytest.raises((CorruptError, UsageError)) as caught:
        oa.open(whole.folder)
    assert str(whole.folder) in str(caught.value)


def test_a_manifest_does_not_lead_out_of_its_folder(whole):
    path = whole.folder / "manifest.json"
    path.write_text(path.read_text().replace("images/0010.jpg", "../../secret.jpg"))
    opened = oa.open(whole.folder)
    with pytest.raises(OpenAllenError):
        len(opened.planes)


def test_a_picture_that_contradicts_its_row_is_refused(sections, tmp_path):
    with pytest.raises(CorruptError, match="wrong picture size"):
        oa.fetch("sections:504", to=tmp_path / "z")
    assert not (tmp_path / "z" / "images" / "0001.jpg").exists()


def test_plates_of_an_atlas_come_with_their_drawings(sections, tmp_path):
    plates = oa.fetch("sections:atlas-7", to=tmp_path / "plates", svg=True)
    assert plates.svg(1).encode() == SVG
    urls = [image.url for image in plates.manifest.images]
    assert urls[0] == "https://api.brain-map.org/api/v2/atlas_image_download/31"
    assert [plane.z_um for plane in plates.planes] == [None, None]
    assert repr(plates.planes) == "2 planes, sections 1 to 2"
    with pytest.raises(NotFoundError, match="not aligned"):
        plates.alignment  # noqa: B018
    with pytest.raises(UsageError, match="not chosen by structure"):
        oa.plan("sections:atlas-7", structure="VISp")


# --- open -----------------------------------------------------------------------------------------


def test_opened_images_know_where_they_lie(whole):
    table = whole.images
    assert list(table.index) == [1, 2, 3, 4, 5, 6]
    assert table.loc[4, "section_number"] == 30
    for number in (1, 4):
        index = [plane.entry.id for plane in whole.planes].index(number)
        expected = reference_point(number, 40.0, 20.0)
        np.testing.assert_allclose(whole.to_reference(index, 40.0, 20.0), expected, atol=1e-9)
        x, y, off = whole.from_reference(index, expected)
        np.testing.assert_allclose((x, y, off), (40, 20, 0), atol=1e-8)
    assert int(whole.nearest(reference_point(4, 1.0, 1.0)).image_id[0]) == 4
    with pytest.raises(NotFoundError, match="no aligned section image 6"):
        whole.to_reference(5, 0, 0)
    with pytest.raises(IndexError):
        whole.planes[6]


def test_downsampled_pixels_lie_in_the_middle_of_those_they_are_made_of(sections, tmp_path):
    small = oa.fetch(WHERE, to=tmp_path / "small", downsample=2, planes="0")
    assert small.planes[0].read().shape == (16, 24, 3)
    found = small.to_reference(0, [0, 5], [0, 7])
    expected = np.array([reference_point(1, 1.5, 1.5), reference_point(1, 21.5, 29.5)])
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_what_was_not_fetched_is_told_with_the_command(sections):
    with pytest.raises(NotFoundError, match="not in the store") as caught:
        oa.open(WHERE)
    assert caught.value.hint.startswith("openallen fetch sections:501")


def test_views_pad_images_of_different_sizes(whole):
    stack, expression, table = visuals_of(whole)
    assert isinstance(stack, StackVisual)
    assert isinstance(table, TableVisual)
    assert (stack.width_px, stack.height_px) == (96, 72)
    assert [plane.label for plane in stack.planes()][-1] == "section 60"
    assert stack.jpeg is None
    assert stack.region is not None
    pixels = stack.region(5, 0, 0, (0, 0, 72, 96))
    assert pixels.shape == (72, 96, 3)
    assert (pixels[:12] == 255).all()  # 48 rows in the middle of 72
    np.testing.assert_array_equal(pixels[12:60, 16:80], whole.planes[5].read())
    part = stack.region(5, 0, 1, (3, 5, 20, 30))
    np.testing.assert_array_equal(part, stack.region(5, 0, 1, (0, 0, 36, 48))[3:20, 5:30])
    assert [plane.key is not None for plane in expression.planes()] == [True] * 2 + [False] * 4
    assert alike(decode(expression.jpeg(0)), picture(6, SIZES[1]))


def test_prune_and_list_of_the_store(sections):
    oa.fetch(WHERE, planes="0")
    assert oa.open(WHERE).planes[0].section_number == 10
    assert [r["here"] for r in oa.list(WHERE)].count(True) == 1
    folder = Path(os.environ["OPENALLEN_STORE"]) / "sections" / "501"
    assert folder.is_dir()
    shutil.rmtree(folder)


# --- the service's own answer ---------------------------------------------------------------------


@pytest.fixture
def synchronised(sections_root, monkeypatch, tmp_path) -> Iterator[dict[str, object]]:
    """The archive, with an answer of ``structure_to_image`` before it."""
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Mount, Route

    from openallen.archive.app import archive_app
    from openallen.serving.server import serving

    told: dict[str, object] = {"asked": []}

    def answer(request):
        told["asked"].append(str(request.url.query))
        return Response(told["body"], media_type="application/json")

    routes = [
        Route("/api/v2/structure_to_image/{id:int}.json", answer),
        Mount("/", archive_app(sections_root)),
    ]
    monkeypatch.setenv("OPENALLEN_ATTEMPTS", "1")
    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path / "store"))
    with serving(Starlette(routes=routes)) as url:
        monkeypatch.setenv("OPENALLEN_SOURCE", url)
        yield told


def test_the_image_that_shows_a_structure_is_asked_for(synchronised):
    sync = {"section_data_set_id": 501, "section_image_id": 4, "section_number": 30, "x": 3, "y": 4}
    rows = [{"image_sync": sync}]
    synchronised["body"] = json.dumps(
        {"success": True, "id": 0, "start_row": 0, "num_rows": 1, "total_rows": 1, "msg": rows}
    )
    plan = oa.plan(WHERE, structure="VISp")
    assert sections_of(plan) == ["images/0030.jpg"]
    assert synchronised["asked"] == ["structure_ids=385"]
    assert "VISp is on section 30" in plan.notes
    with pytest.raises(NotFoundError, match="not among those selected"):
        oa.plan(WHERE, structure="385", planes=":2")
    with pytest.raises(NotFoundError, match="no structure 'nowhere'"):
        oa.plan(WHERE, structure="nowhere")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("<html>unavailable</html>", AnswerError),
        ('{"success": false, "msg": "no such data set"}', OpenAllenError),
        ('{"success": true, "total_rows": 0, "num_rows": 0, "msg": []}', NotFoundError),
        ('{"success": true, "total_rows": 1, "num_rows": 1, "msg": [{"x": 1}]}', AnswerError),
    ],
)
def test_other_answers_of_the_service_are_told(synchronised, body, error):
    synchronised["body"] = body
    with pytest.raises(error):
        oa.plan(WHERE, structure="VISp")


# --- web addresses --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("web", "address"),
    [
        ("https://mouse.brain-map.org/experiment/siv?id=71717084&imageId=71616670", "71717084"),
        ("http://mouse.brain-map.org/siv?id=1", "1"),
        ("https://developingmouse.brain-map.org/experiment/siv?id=100057565", "100057565"),
        ("https://human.brain-map.org/ish/experiment/show/80514091", "80514091"),
        ("https://human.brain-map.org/ish/experiment/siv?id=80514091", "80514091"),
        ("https://atlas.brain-map.org/atlas?atlas=1&plate=100960033", "atlas-1"),
    ],
)
def test_pages_of_portals_mean_images(web, address):
    assert str(Address.parse(web)) == f"sections:{address}"


def test_a_page_of_the_mouse_atlas_means_its_grid():
    assert Address.parse("https://mouse.brain-map.org/experiment/show/71717084").scheme == "grid"
