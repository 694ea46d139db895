"""The main job on the sample, end to end over real HTTP: what is made, kept, mended, refused."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import openallen as oa
from openallen.archive.faults import Fault
from openallen.display import bytes_text
from openallen.errors import (
    CorruptError,
    IntegrityError,
    MissingExtraError,
    NotFoundError,
    RefusedError,
    UsageError,
)
from openallen.formats.jpeg import inspect
from openallen.planes.rows import planes_from_rows
from openallen.plans import IncompleteError
from openallen.sources.stacks import ImageStack, Options, parse_planes
from openallen.sources.stacks.manifest import build_schema, shipped_schema
from openallen.sources.stacks.models import Reconstruction
from openallen.sources.stacks.search import COLUMNS
from openallen.store import digest_of

STACK = "stack:313862022"


@pytest.fixture
def cell(packaged, tmp_path) -> Path:
    """A copy of it that may be changed."""
    return Path(shutil.copytree(packaged, tmp_path / "cell"))


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def tree(folder: Path) -> dict[str, tuple[int, int, int]]:
    found = (p for p in folder.rglob("*") if p.is_file())
    return {
        p.relative_to(folder).as_posix(): (p.stat().st_ino, p.stat().st_size, p.stat().st_mtime_ns)
        for p in found
    }


# --- what is made ---------------------------------------------------------------------------------


def test_the_folder_holds_what_it_should(packaged):
    names = set(tree(packaged))
    assert {n for n in names if n.startswith("planes/")} == {
        f"planes/{i:04}.jpg" for i in range(2, 52)
    }
    assert {n for n in names if n.startswith("projections/")} == {
        f"projections/{f}_{a}.jpg" for f in ("min", "max") for a in ("xy", "yz")
    }
    assert {n for n in names if n.startswith("morphology/")} == {
        "morphology/specimen_397905347_m.swc",
        "morphology/specimen_397905347_marker_m.swc",
        "morphology/morphology_summary_397905347.png",
    }
    assert len(names) == 50 + 4 + 3 + 1


def test_the_manifest_follows_its_schema_and_the_schema_its_model(packaged):
    assert shipped_schema() == build_schema()
    jsonschema.Draft202012Validator.check_schema(shipped_schema())
    jsonschema.validate(manifest(packaged), shipped_schema())


def test_the_manifest_tells_of_the_stack(packaged):
    told = manifest(packaged)
    assert told["schema"] == "openallen/stack-manifest/1"
    assert told["specimen_id"] == 313862022
    assert told["data_set_id"] == 321549626
    assert told["resolution_um_per_px"] == 0.1144
    assert told["z_step"] == {
        "um": 0.28,
        "source": "NeuronReconstruction 397905347, scale_factor_z",
    }
    assert told["plane_count"] == {"expected": 50, "listed": 50, "received": 50}
    assert told["simulated"] is True
    assert told["source"].startswith("http://127.0.0.1")
    assert "50 of the 627 planes" in told["notes"][0]
    assert "Cell Types Database" in told["citation"]
    assert "Terms of Use" in told["terms"]
    assert told["reconstructions"] == [{"id": 397905347, "kind": "dendrite-only"}]
    wanted = {q["wanted"]: q for q in told["queries"]}
    assert (
        wanted["planes"]["rma"] == "model::SubImage,rma::criteria,data_set[specimen_id$eq313862022]"
    )
    assert wanted["planes"]["url"].startswith(
        "https://api.brain-map.org/api/v2/data/query.json?criteria="
    )


def test_the_manifest_tells_of_each_plane(packaged):
    told = manifest(packaged)["planes"]
    assert [p["section_number"] for p in told] == list(range(2, 52))
    assert [p["position"] for p in told] == list(range(50))
    assert [p["z_um"] for p in told] == [pytest.approx(i * 0.28) for i in range(50)]
    first = told[0]
    known = {
        "id": 321549654, "width_px": 5760, "height_px": 7568, "x_px": 1, "y_px": 1, "tier_count": 6,
        "resolution_um_per_px": 0.1144, "downsample": 5, "quality": None, "simulated": True,
        "path": "planes/0002.jpg", "file_width_px": 180, "file_height_px": 237,
        "server_path": "/external/mousecelltypes/prod143/0500304445-0001_321549636/0500304445-0001.aff",
        "url": "https://api.brain-map.org/api/v2/image_download/321549654?downsample=5",
    }  # fmt: skip
    assert {k: first[k] for k in known} == known
    for plane in told:
        path = packaged / plane["path"]
        assert plane["size_bytes"] == path.stat().st_size
        assert f"sha256:{plane['sha256']}" == digest_of(path)
        assert plane["fetched_at"].endswith("Z")


def test_morphology_is_chosen_by_type_though_two_files_end_in_swc(packaged):
    told = {f["type"]: f for f in manifest(packaged)["morphology"]}
    assert set(told) == {"3DNeuronReconstruction", "3DNeuronMarker", "MorphologyThumbnail"}
    assert told["3DNeuronMarker"]["path"].endswith("_marker_m.swc")
    stack = ImageStack(packaged)
    assert stack.file("3DNeuronReconstruction").name == "specimen_397905347_m.swc"
    assert len(stack.morphology) == 2191


# --- once more ------------------------------------------------------------------------------------


def again(folder: Path, sample_url: str, **options) -> ImageStack:
    return oa.fetch(STACK, to=folder, source=sample_url, **({"downsample": 5} | options))


def test_running_again_changes_nothing(cell, sample_url):
    before = tree(cell)
    again(cell, sample_url)
    assert tree(cell) == before


def test_running_again_without_the_index_changes_nothing(cell, sample_url, monkeypatch, tmp_path):
    before = tree(cell)
    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path / "another"))
    again(cell, sample_url)
    assert tree(cell) == before


@pytest.mark.parametrize("damage", ["gone", "truncated", "flipped", "replaced by a page"])
def test_running_again_mends_what_is_damaged_and_that_alone(cell, sample_url, damage):
    before, told = tree(cell), manifest(cell)
    path = cell / "planes" / "0017.jpg"
    good = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        data = bytearray(good)
        data[len(data) // 2] ^= 0x10
        path.write_bytes(
            {"truncated": good[:900], "flipped": data, "replaced by a page": b"<html>"}[damage]
        )
    again(cell, sample_url)
    assert path.read_bytes() == good
    changed = {name for name, what in tree(cell).items() if before[name] != what}
    # a manifest that says the same is left alone; the plane's bytes and digest are as they were
    assert changed == {"planes/0017.jpg"}
    assert manifest(cell) == told


def test_a_plane_swapped_for_another_good_picture_is_found(cell, sample_url):
    one, other = cell / "planes" / "0010.jpg", cell / "planes" / "0011.jpg"
    good = one.read_bytes()
    one.write_bytes(other.read_bytes())
    again(cell, sample_url)
    assert one.read_bytes() == good


@pytest.mark.parametrize("text", [None, "{", '{"schema": "other"}', "\ufffe"])
def test_without_a_manifest_that_knows_them_files_are_fetched_again(cell, sample_url, text):
    bodies = {p: p.read_bytes() for p in cell.rglob("*.jpg")}
    told = manifest(cell)
    plane = next(iter(sorted(cell.glob("planes/*.jpg"))))
    body = plane.read_bytes()
    plane.write_bytes(body[:-9] + bytes([body[-9] ^ 1]) + body[-8:])
    path = cell / "manifest.json"
    path.unlink() if text is None else path.write_text(
        text, "utf-16" if text == "\ufffe" else "utf-8"
    )
    again(cell, sample_url)
    assert {p: p.read_bytes() for p in cell.rglob("*.jpg")} == bodies
    assert without_times(manifest(cell)) == without_times(told)


def without_times(value: object) -> object:
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if k not in {"fetched_at", "made_at"}}
    return [without_times(v) for v in value] if isinstance(value, list) else value


def test_more_planes_of_a_part_come_to_those_that_are_here(tmp_path, sample_url):
    folder = tmp_path / "part"
    part = again(folder, sample_url, planes="10:20:3", projections=False, morphology=False)
    assert [p.section_number for p in part.planes] == [12, 15, 18, 21]
    assert part.manifest.plane_count.received == 4
    assert [p.path is not None for p in part.manifest.planes].count(True) == 4
    more = again(folder, sample_url, planes=slice(-2, None), projections=False)
    assert [p.section_number for p in more.planes] == [12, 15, 18, 21, 50, 51]
    assert len(more.manifest.morphology) == 3
    assert not list((folder).glob("projections/*"))


@pytest.mark.parametrize(
    ("options", "why"), [({"downsample": 4}, "downsample 5"), ({"quality": 50}, "quality best")]
)
def test_another_size_into_the_same_folder_is_refused(cell, sample_url, options, why):
    before = tree(cell)
    with pytest.raises(RefusedError, match=why):
        again(cell, sample_url, **options)
    assert tree(cell) == before


def test_quality_is_asked_for_and_written_down(tmp_path, sample_url, packaged):
    poor = again(tmp_path / "poor", sample_url, quality=10, planes="0", projections=False)
    assert poor.manifest.planes[0].quality == 10
    assert poor.manifest.planes[0].url.endswith("?downsample=5&quality=10")
    assert poor.manifest.planes[0].size_bytes < manifest(packaged)["planes"][0]["size_bytes"]


# --- trouble --------------------------------------------------------------------------------------


def test_an_unknown_specimen_and_one_without_images(tmp_path, sample_url):
    with pytest.raises(NotFoundError, match="no such cell"):
        oa.fetch("stack:1", to=tmp_path / "x", source=sample_url)
    with pytest.raises(NotFoundError, match="no image stack") as caught:
        oa.fetch("stack:525011903", to=tmp_path / "x", source=sample_url)
    assert caught.value.hint == f"openallen show {STACK} --source {sample_url}"
    assert not (tmp_path / "x").exists()


def test_passing_trouble_is_lived_through(tmp_path, archive, monkeypatch):
    monkeypatch.setattr("openallen.transport.retry.Retry.wait_s", lambda *_: 0.01)
    monkeypatch.setenv("OPENALLEN_ATTEMPTS", "12")  # a third of all requests go wrong
    url = archive(
        Fault("html", path="query", every=3),
        Fault("message", path="query", every=4),
        Fault("cut", path="imageservice", every=7),
        Fault("truncate", path="imageservice", every=9),
        Fault("error", path="imageservice", every=11),
        Fault("html", path="imageservice", every=13),
        Fault("slow-down", 0, "image_download", every=17),
    )
    stack = oa.fetch(STACK, to=tmp_path / "cell", source=url, downsample=5)
    assert stack.manifest.plane_count.received == 50
    assert {inspect(p.jpeg()).width_px for p in stack.planes} == {180}


def test_one_picture_that_never_comes_is_named_and_the_rest_is_there(
    tmp_path, archive, monkeypatch
):
    monkeypatch.setenv("OPENALLEN_ATTEMPTS", "2")
    monkeypatch.setattr("openallen.transport.retry.Retry.wait_s", lambda *_: 0.01)
    url = archive(Fault("corrupt", path="0500304445-0016_"))
    folder = tmp_path / "cell"
    with pytest.raises(IncompleteError) as caught:
        oa.fetch(STACK, to=folder, source=url, downsample=5)
    report = caught.value.report
    assert [o.file.path for o in report.failed] == ["planes/0017.jpg"]
    assert report.failed[0].file.retry == (
        f"openallen fetch stack:313862022 --to {folder} --downsample 5"
        f" --no-projections --no-morphology --source {url} --planes 15"
    )
    assert not (folder / "planes" / "0017.jpg").exists()
    told = manifest(folder)
    assert told["plane_count"] == {"expected": 50, "listed": 50, "received": 49}
    assert told["planes"][15]["path"] is None
    jsonschema.validate(told, shipped_schema())


def test_rows_that_lie_stop_it_before_a_picture_is_fetched(tmp_path, archive, monkeypatch):
    monkeypatch.setenv("OPENALLEN_ATTEMPTS", "1")
    with pytest.raises(oa.OpenAllenError):
        oa.fetch(STACK, to=tmp_path / "x", source=archive("short@query"), downsample=5)
    assert not (tmp_path / "x").exists()


ROW = {
    "id": 1, "section_number": 2, "width": 10, "height": 10, "x": 0, "y": 0, "resolution": 0.1,
    "tier_count": 1, "path": "/a", "number_of_components": 3, "data_set_id": 5,
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"id": None},
        {"section_number": "2"},
        {"width": 1.5},
        {"resolution": 0},
        {"path": None},
        {"x": -1},
        {"height": True},
    ],
)
def test_a_row_with_an_odd_field_is_named(change):
    with pytest.raises(oa.OpenAllenError, match=f"unexpected '{next(iter(change))}'"):
        planes_from_rows([ROW | change], 0.28)


def test_planes_are_sorted_and_a_section_with_two_planes_keeps_both():
    rows = [ROW | {"id": 3, "section_number": 9}, ROW | {"id": 2}, ROW]
    planes = planes_from_rows(rows, 0.28)
    assert [p.file_name for p in planes] == ["0002.jpg", "0002_2.jpg", "0009.jpg"]
    assert [p.z_um for p in planes] == [0.0, 0.0, 1.96]
    with pytest.raises(oa.OpenAllenError, match="listed twice"):
        planes_from_rows([ROW, ROW], 0.28)


def test_hostile_names_of_the_server_are_not_followed():
    from openallen.sources.stacks.models import StackFacts, ZStep
    from openallen.sources.stacks.plan import morphology_files

    files = [
        {"id": i, "well_known_file_type_id": kind, "path": path}
        for i, (kind, path) in enumerate(
            [
                (303941301, "/x/../../../etc/passwd/.."),
                (486753749, "C:\\evil.swc"),
                (480715721, "/x/con.png"),
                (303941301, "/a/same.swc"),
                (303941301, "/b/SAME.swc"),
            ]
        )
    ]
    facts = StackFacts(
        specimen_id=1, specimen={}, data_set_id=1, planes=(), planes_expected=0, projections=(),
        reconstructions=(Reconstruction.from_row({"id": 7, "well_known_files": files}),),
        z_step=ZStep(1, ""),
    )  # fmt: skip
    assert [path for _, path in morphology_files(facts)] == [
        "morphology/3DNeuronReconstruction_0.swc",
        "morphology/same.swc",
        "morphology/3DNeuronReconstruction_4.swc",
        "morphology/3DNeuronMarker_1.marker",
        "morphology/MorphologyThumbnail_2.png",
    ]


def test_a_hostile_manifest_cannot_lead_out_of_its_folder(cell):
    told = manifest(cell)
    told["planes"][0]["path"] = "../../../etc/passwd"
    (cell / "manifest.json").write_text(json.dumps(told))
    with pytest.raises(IntegrityError, match="unsafe"):
        _ = ImageStack(cell).planes


@pytest.mark.parametrize("text", ["a", "1:2:3:4", "1:2:0", "", "1.5", ":::"])
def test_what_selects_no_planes(text):
    with pytest.raises(UsageError):
        parse_planes(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", [3]),
        ("-1", [9]),
        ("2:5", [2, 3, 4]),
        ("::4", [0, 4, 8]),
        ("-3:", [7, 8, 9]),
        ("8:2:-3", [8, 5]),
    ],
)
def test_planes_are_selected_as_python_does(text, expected):
    assert list(range(10))[parse_planes(text)] == expected


def test_a_selection_of_nothing_is_told(tmp_path, sample_url):
    with pytest.raises(NotFoundError, match="no plane is selected") as caught:
        again(tmp_path / "x", sample_url, planes="100:200:2")
    assert "planes 0 to 49" in caught.value.why


@pytest.mark.parametrize("options", [{"downsample": -1}, {"quality": 101}])
def test_options_out_of_range_fail_before_any_request(options):
    with pytest.raises(UsageError):
        Options(**options)


def test_unknown_options_and_things_that_cannot_be_fetched(tmp_path, sample_url):
    with pytest.raises(UsageError, match="no such option 'planes'"):
        oa.fetch("image:321549654", to=tmp_path, source=sample_url, planes=3)
    with pytest.raises(UsageError, match="cannot be fetched"):
        oa.fetch("rma:Specimen", to=tmp_path, source=sample_url)


# --- plans, facts, search -------------------------------------------------------------------------


def test_a_plan_says_what_it_would_take_and_fetches_nothing(tmp_path, sample_url):
    plan = oa.plan(STACK, to=tmp_path / "x", source=sample_url)
    assert len(plan.missing) == 57
    assert 90e6 < plan.missing_bytes < 130e6
    assert not plan.exact
    assert not (tmp_path / "x").exists()
    assert "planes" in str(plan)
    assert "<table" in plan._repr_html_()


def test_a_plan_knows_what_is_here(cell, sample_url):
    (cell / "planes" / "0002.jpg").unlink()
    plan = oa.plan(STACK, to=cell, source=sample_url, downsample=5)
    assert [f.path for f in plan.missing] == ["planes/0002.jpg"]


def test_facts_without_fetching(sample_url):
    facts = oa.facts(STACK, source=sample_url)
    assert len(facts.planes) == 50
    assert facts.raw_bytes == 50 * 5760 * 7568 * 3
    assert [(p.function, p.axes) for p in facts.projections] == [
        ("min", "xy"), ("min", "yz"), ("max", "xy"), ("max", "yz"),
    ]  # fmt: skip


def test_cells_with_images_are_found_and_filtered(sample_url):
    cells = oa.search("stack:", source=sample_url)
    assert 313862022 in {c["specimen_id"] for c in cells}
    assert all(c["width_px"] for c in cells)
    assert set(cells[0]) == set(COLUMNS)
    human = oa.search("stack:", "species=Homo Sapiens", source=sample_url)
    assert {c["species"] for c in human} == {"Homo Sapiens"}
    wide = oa.search("stack:", source=sample_url, width_px__gt=9000)
    assert wide
    assert all(c["width_px"] > 9000 for c in wide)
    assert oa.search("stack:?species=Homo%20Sapiens&width_px__lt=1", source=sample_url) == []
    rows = oa.search("rma:ProjectionImage?specimen_id=313862022", source=sample_url)
    assert len(rows) == 4
    with pytest.raises(UsageError):
        oa.search("stack:5", source=sample_url)


# --- opened ---------------------------------------------------------------------------------------


def test_planes_are_lazy_and_decode(packaged):
    stack = oa.open(packaged)
    assert len(stack.planes) == 50
    assert stack.planes[3].section_number == 5
    assert stack.planes[3].z_um == pytest.approx(0.84)
    assert stack.planes[3].read().shape == (237, 180, 3)
    assert stack.planes[-1].read(gray=True).shape == (237, 180)
    assert [p.section_number for p in stack.planes[10:13]] == [12, 13, 14]
    assert "sections 2 to 51" in repr(stack.planes)


def test_reprs_are_short_and_in_the_words_of_the_field(packaged):
    stack = oa.open(packaged)
    plane = stack.planes[10]
    size = bytes_text(plane.path.stat().st_size)
    assert repr(plane) == f"plane 10, section 12, 2.8 µm, 180 x 237 px, {size}, simulated"
    assert repr(stack.manifest.planes[10]) == repr(plane)
    assert repr(stack.manifest.projections[0]).startswith("min xy projection, 180 x 236 px, ")
    assert repr(stack.manifest.morphology[0]).startswith("3DNeuronReconstruction: specimen_")
    assert repr(stack.manifest).startswith("manifest of stack:313862022: 50 of 50 planes, ")
    assert len(repr(stack.conversion())) < 200
    html = plane._repr_html_()
    assert "data:image/jpeg;base64," in html
    assert "Plane 10" in html
    assert "40 more" in stack.planes._repr_html_()


def test_facts_count_the_files_that_are_here(cell):
    before = oa.show(cell)
    gone = cell / oa.open(cell).manifest.planes[3].path
    (cell / oa.open(cell).manifest.projections[0].path).unlink()
    gone.unlink()
    told = repr(oa.open(cell))
    assert "planes       49 of 50" in told
    assert "missing      2 files" in told
    assert "min xy" not in told
    assert oa.show(cell).labelled["planes"] == "49 of 50"
    assert "missing" not in before.labelled
    assert oa.show(cell).labelled["on disk"] != before.labelled["on disk"]


def test_facts_of_the_service_are_shown_in_a_few_lines(sample_url):
    facts = oa.facts(STACK, source=sample_url)
    assert repr(facts.planes[10]) == "plane 10, section 12, 2.8 µm, 5760 x 7568 px"
    assert repr(facts.projections[0]) == "min xy projection, 5762 x 7570 px"
    assert "reconstruction" in repr(facts.reconstructions[0])
    assert "50 of 50" in repr(facts)
    assert len(repr(facts).splitlines()) < 12


def test_a_plane_beyond_the_last_is_an_index_error_that_says_how_many_there_are(packaged):
    stack = oa.open(packaged)
    for index in (50, 5000, -51):
        with pytest.raises(IndexError) as caught:
            stack.planes[index]
        assert isinstance(caught.value, NotFoundError)
        assert str(caught.value) == f"{STACK}: no plane {index} (50 planes here, 0 to 49)"
    with pytest.raises(IndexError, match="none is here"):
        stack.planes[50:][0]
    with pytest.raises(UsageError, match="integers or slices"):
        stack.planes["12"]
    assert stack.planes[np.int64(3)].section_number == 5


FIRST = [
    "section_number",
    "z_um",
    "width_px",
    "height_px",
    "file_width_px",
    "file_height_px",
    "size_bytes",
    "path",
    "url",
    "sha256",
]


def test_the_table_begins_with_what_people_look_for(packaged):
    assert list(oa.open(packaged).table().columns[: len(FIRST)]) == FIRST


def test_the_table_has_a_row_for_each_plane(packaged):
    table = oa.open(packaged).table()
    assert table.index.name == "id"
    assert len(table) == 50
    assert table.loc[321549654, "z_um"] == 0.0


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_the_table_as_a_file(cell, form):
    from openallen.sources.stacks.tables import write_table

    path = write_table(ImageStack(cell), form)
    if form == "parquet":
        import pyarrow.parquet as pq

        rows = pq.read_table(path).to_pylist()
    else:
        text = path.read_text()
        rows = json.loads(text) if form == "json" else list(csv.DictReader(text.splitlines()))
    assert len(rows) == 50
    assert int(rows[3]["section_number"]) == 5
    assert list(rows[0])[: len(FIRST) + 1] == ["id", *FIRST]


def test_projections_and_focus(packaged):
    stack = oa.open(packaged)
    assert stack.projection("min", "xy").shape == (237, 181)
    assert stack.projection("max", "yz").shape == (237, 48)
    with pytest.raises(NotFoundError, match="here: min xy"):
        stack.projection("mean", "xy")
    focus = stack.focus()
    assert focus.shape == (50,)
    assert focus.dtype == np.float64
    assert focus.min() > 0


def test_it_shows_itself(packaged):
    stack = oa.open(packaged)
    assert "50 of 50" in repr(stack)
    assert "simulated" in repr(stack)
    html = stack._repr_html_()
    assert "data:image/jpeg;base64," in html
    assert "<script" not in html
    assert "Morphology" in stack.morphology._repr_html_()


def test_opening_what_is_not_here(tmp_path):
    with pytest.raises(NotFoundError, match="not in the store") as caught:
        oa.open(STACK)
    assert caught.value.hint == f"openallen fetch {STACK}"
    with pytest.raises(UsageError, match="not a data set that can be opened"):
        oa.open(tmp_path)
    (tmp_path / "manifest.json").write_text('{"somebody": "else"}')
    with pytest.raises(UsageError, match=r"1 \.json file"):
        oa.open(tmp_path)
    (tmp_path / "planes").mkdir()
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(CorruptError):
        oa.open(tmp_path)
    with pytest.raises(NotFoundError, match="not in the store"):
        oa.open("image:5")


def test_into_the_store_and_open_by_address(sample_url):
    oa.fetch(STACK, source=sample_url, downsample=5, planes="0:2", projections=False)
    stack = oa.open(STACK)
    assert stack.folder == Path(os.environ["OPENALLEN_STORE"]) / "stacks" / "313862022"
    assert len(stack.planes) == 2


def test_single_images_and_files(tmp_path, sample_url):
    image = oa.fetch("image:321549654?downsample=5&quality=30", to=tmp_path, source=sample_url)
    assert image.name == "321549654_downsample-5_quality-30.jpg"
    assert inspect(image.read_bytes()).width_px == 180
    file = oa.fetch("file:9000000001", to=tmp_path, source=sample_url)
    assert file.name == "specimen_397905347_m.swc"
    with pytest.raises(NotFoundError):
        oa.fetch("file:5", to=tmp_path, source=sample_url)
    with pytest.raises(NotFoundError):
        oa.fetch("image:5", to=tmp_path, source=sample_url)


def test_without_the_extra_it_says_which(packaged, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    with pytest.raises(MissingExtraError, match="images") as caught:
        oa.open(packaged).planes[0].read()
    assert caught.value.hint.endswith("[images]'")


def test_the_reconstruction_lies_on_the_dark_pixels_of_the_projection(packaged):
    stack = oa.open(packaged)
    image = stack.projection("min", "xy").astype(float)
    pixels = stack.morphology.points_um()[:, :2] / stack.resolution_um_per_px

    def mean_at(shift: int) -> float:
        columns, rows = np.rint(pixels + shift).astype(int).T
        return float(image[rows, columns].mean())

    there = mean_at(0)
    assert there < 0.8 * image.mean()
    assert all(there < mean_at(shift) for shift in (-4, -2, 2, 4))
