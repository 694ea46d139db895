"""Ontology, sums by structure, coordinates: on the real ontology and recorded answers."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import openallen as oa
from openallen.brainmap.alignment import ImageAlignment, SetAlignment
from openallen.errors import AnswerError, NotFoundError, UsageError
from openallen.sources.atlases import Structure, Structures, Unionizer

DATA = Path(__file__).parents[1] / "data" / "atlases"
ROWS = json.loads(gzip.decompress((DATA / "structures_graph1.json.gz").read_bytes()))
RECORDED = json.loads((DATA / "coordinates.json").read_text())


@pytest.fixture(scope="module")
def mouse() -> Structures:
    return Structures.from_rows(ROWS, 1)


def test_the_adult_mouse(mouse):
    assert len(mouse) == 1198
    assert mouse.find(997).acronym == "root"
    assert mouse.find("VISp").id == mouse.find("Primary visual area").id == 385
    assert mouse.find("primary VISUAL area").acronym == "VISp"
    names = [s.acronym for s in mouse.ancestors("VISp")]
    assert names == ["VIS", "Isocortex", "CTXpl", "CTX", "CH", "grey", "root"]
    assert mouse.children("VISp")[0].acronym == "VISp1"
    assert {s.acronym for s in mouse.descendants("VISp")} >= {"VISp1", "VISp2/3", "VISp6b"}
    assert len(mouse.descendants("root")) == 1197
    table = mouse.table()
    assert table.loc[385, "acronym"] == "VISp"
    assert table.loc[997, "depth"] == 0
    assert table.loc[385, "depth"] == 7
    assert "  Isocortex  Isocortex  (315)" in mouse.tree("CTXpl", 1)
    assert "1,198" in repr(mouse) or "1198" in repr(mouse)


def test_by_address_and_by_the_command_line(sample_url, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path))
    monkeypatch.setenv("OPENALLEN_SOURCE", sample_url)
    found = oa.open("structures:1")
    assert len(found) == 1198
    (kept,) = tmp_path.rglob("structures.json")
    assert list(oa.open("structures:1")) == list(found)
    kept.write_text("{")  # damaged: asked for anew
    assert len(oa.open("structures:1")) == 1198
    command = [sys.executable, "-m", "openallen", "show", "structures:1/VISp", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["ancestors"][-1] == "root"
    assert len(told["structures"]) == 7
    with pytest.raises(NotFoundError, match="no such ontology"):
        oa.open("structures:99")


def test_a_near_miss_is_told(mouse):
    with pytest.raises(NotFoundError, match="VISp") as caught:
        mouse.find("VISpp")
    assert "no such structure" in str(caught.value)
    assert caught.value.hint == "openallen show structures:1/VISp"
    assert mouse.find("visp").acronym == "VISp"


def test_two_structures_with_one_acronym_are_not_guessed_at():
    rows = [
        {"id": 1, "acronym": "A", "name": "first", "parent_structure_id": None},
        {"id": 2, "acronym": "A", "name": "second", "parent_structure_id": 1},
    ]
    with pytest.raises(NotFoundError, match="ambiguous"):
        Structures.from_rows(rows).find("A")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no structures"),
        ([{"id": 1, "acronym": "a", "name": "a", "parent_structure_id": 9}], "parent is missing"),
        (
            [{"id": 1, "acronym": "a", "name": "a", "parent_structure_id": None}] * 2,
            "duplicate structure",
        ),
        (
            [
                {"id": 1, "acronym": "a", "name": "a", "parent_structure_id": 2},
                {"id": 2, "acronym": "b", "name": "b", "parent_structure_id": 1},
            ],
            "circular ontology",
        ),
        ([{"id": 1}], "not a row of a structure"),
    ],
)
def test_an_ontology_that_makes_no_sense(rows, message):
    with pytest.raises(AnswerError, match=message):
        Structures.from_rows(rows)


def test_nested_graphs_are_the_same_as_rows(mouse):
    def node(structure):
        return {
            "id": structure.id,
            "acronym": structure.acronym,
            "name": structure.name,
            "parent_structure_id": structure.parent_id,
            "color_hex_triplet": structure.color,
            "graph_order": structure.graph_order,
            "children": [node(c) for c in mouse.children(structure.id)],
        }

    again = Structures.from_rows([node(mouse.find("root"))], 1)
    assert list(again) == list(mouse)


# --- by id, acronym, name -------------------------------------------------------------------------


def test_structures_are_picked_by_id_and_never_by_position(mouse):
    assert mouse[258].acronym == "LSr"  # by position it was the retrosplenial area
    assert mouse[np.uint32(385)] == mouse["VISp"] == mouse["Primary visual area"] == mouse.find(385)
    assert mouse[mouse["VISp"]] == mouse["VISp"]
    assert next(iter(mouse)).acronym == "root"
    assert len(list(mouse)) == len(mouse) == 1198
    assert next(reversed(mouse)) == list(mouse)[-1]
    assert all(mouse[s.id] is s for s in mouse)
    for here in (385, np.int64(385), "VISp", mouse["VISp"]):
        assert here in mouse
    for not_here in (1_198_000, 0, True, None, 3.0, "VISpp", replace(mouse["VISp"], name="x")):
        assert not_here not in mouse


@pytest.mark.parametrize("what", [0, -1, 5_000_000, 10**5000, "NOPE", "9" * 6000, "", " "], ids=lambda what: repr(what)[:9] if what != 10**5000 else "huge")  # fmt: skip
def test_what_is_not_there_is_our_error(mouse, what):
    with pytest.raises(NotFoundError, match="no such structure") as caught:
        mouse[what]
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("what", [slice(None, 10), slice(0), True, None, 1.5, ["VISp"], b"VISp"])
def test_what_names_no_structure_is_refused(mouse, what):
    with pytest.raises(UsageError, match="id, acronym or name") as caught:
        mouse[what]
    assert "list(structures)" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("visual", ["VIS", "VISp"]),
        ("Hippocampal form", ["HPF"]),
        ("motor", ["MY-mot", "MO"]),
        ("VISpp", ["VISp"]),
        ("Isocrtex", ["Isocortex"]),
    ],
)
def test_near_misses_are_of_names_too(mouse, text, expected):
    with pytest.raises(NotFoundError, match="similar:") as caught:
        mouse.find(text)
    told = caught.value.why.removeprefix("similar: ")
    assert told.startswith(expected[0])
    assert all(f"{acronym} (" in told for acronym in expected)
    assert caught.value.hint == f"openallen show structures:1/{expected[0]}"


def test_a_hint_goes_by_id_where_the_acronym_is_no_word(mouse):
    with pytest.raises(NotFoundError) as caught:
        mouse.find("Primary visual area, layer 2")
    assert caught.value.hint == "openallen show structures:1/821"
    loose = Structures(list(mouse))
    with pytest.raises(NotFoundError) as caught:
        loose.find("VISpp")
    assert caught.value.hint == "structures.find('VISp')"


def test_arrays_of_ids_become_acronyms_and_names(mouse):
    ids = np.array([[385, 0], [997, 123_456_789]], "uint32")
    assert mouse.acronyms(ids).tolist() == [["VISp", ""], ["root", ""]]
    assert mouse.names(ids).tolist() == [["Primary visual area", ""], ["root", ""]]
    assert str(mouse.acronyms(385)) == "VISp"
    assert mouse.names([]).shape == (0,)
    assert mouse.acronyms(np.zeros((0, 3), int)).shape == (0, 3)
    every = [s.id for s in mouse]
    assert mouse.acronyms(every).tolist() == [s.acronym for s in mouse]
    for wrong in ([1.5], ["VISp"], [True], [[1], [2, 3]], None):
        with pytest.raises(UsageError, match="whole numbers"):
            mouse.acronyms(wrong)


def test_a_structure_shows_itself_in_one_line(mouse):
    assert repr(mouse["VISp"]) == "VISp (id 385) Primary visual area"
    assert "Primary visual area" in mouse["VISp"]._repr_html_()
    evil = replace(mouse["VISp"], name="<script>x</script>")
    assert "<script" not in evil._repr_html_()


def test_parents_and_colours_as_other_tools_write_them():
    root = {"id": 997, "acronym": "root", "name": "root"}
    for path in ([997, 8], "/997/8/"):
        rows = [
            {**root, "structure_id_path": path[:1] if isinstance(path, list) else "/997/"},
            {"id": 8, "acronym": "grey", "name": "grey", "structure_id_path": path, "rgb_triplet": [191, 218, 227]},
        ]  # fmt: skip
        found = Structures.from_rows(rows)
        assert [s.id for s in found.ancestors("grey")] == [997]
        assert found[8].color == "BFDAE3"
    nan = float("nan")
    assert Structures.from_rows([{**root, "parent_structure_id": nan}])[997].parent_id is None
    assert Structures.from_rows([{**root, "parent_structure_id": -1}])[997].parent_id is None
    assert Structures.from_rows([{**root, "color_hex_triplet": "<b>"}])[997].color == "AAAAAA"
    assert Structures.from_rows([{**root, "color_hex_triplet": "#0a0B0c"}])[997].color == "0a0B0c"
    alone = json.dumps({**root, "children": [{"id": 8, "acronym": "g", "name": "g", "parent_structure_id": 997}]})  # fmt: skip
    assert len(Structures.from_graph(alone.encode())) == 2
    nested = [{**root, "children": [{"id": 8, "acronym": "g", "name": "g"}]}]
    assert Structures.from_rows(nested)[8].parent_id == 997


def test_structures_that_do_not_say_what_they_are_part_of_are_refused():
    rows = [{"id": n, "acronym": f"a{n}", "name": f"n{n}", "parent": 1} for n in (1, 2, 3)]
    with pytest.raises(AnswerError, match="do not say what they are part of"):
        Structures.from_rows(rows)
    with pytest.raises(AnswerError, match="do not say what they are part of"):
        Structures.from_graph(json.dumps(rows).encode())


@pytest.mark.shared
def test_the_structures_of_brainglobe_keep_their_parents():
    beside = Path(__file__).parents[2].parent / "shared" / "data"
    place = Path(os.environ.get("OPENALLEN_TEST_SHARED", beside)) / "public" / "atlas"
    path = place / "allen_mouse_100um_v1.2" / "structures.json"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    rows = json.loads(path.read_text(encoding="utf-8"))
    found = Structures.from_graph(path.read_bytes())
    assert [s.id for s in found if s.parent_id is None] == [997]
    assert all(
        [s.id for s in found.ancestors(row["id"])][::-1] == row["structure_id_path"][:-1]
        for row in rows
    )


@pytest.mark.parametrize(
    "answer",
    [b"", b"\xff", b"[" * 100_000, b'{"msg": 1}', b"[1]", b"[[]]", b'[{"id": 1e999}]', b'[{"id": 1, "acronym": "a", "name": "a", "structure_id_path": [{}, 1]}]', b'[{"id": 1, "acronym": "a", "name": "a", "children": [1]}]'],
)  # fmt: skip
def test_hostile_ontologies_are_refused(answer):
    with pytest.raises(AnswerError):
        Structures.from_graph(answer)


def test_a_graph_a_hundred_thousand_deep_is_read():
    rows = [{"id": n, "acronym": f"a{n}", "name": f"n{n}", "parent_structure_id": n - 1 if n else None} for n in range(20_000)]  # fmt: skip
    assert len(Structures.from_rows(rows).descendants(0)) == 19_999
    nested: dict = {}
    for row in reversed(rows):
        nested = row | ({"children": [nested]} if nested else {})
    assert len(Structures.from_rows([nested])) == 20_000


MOUSE = Structures.from_rows(ROWS, 1)


@settings(max_examples=30)
@given(st.text(max_size=30) | st.sampled_from([s.name[:9] for s in MOUSE]))
def test_any_text_finds_a_structure_or_is_our_error(text):
    structures = MOUSE
    try:
        assert isinstance(structures[text], Structure)
    except NotFoundError as error:
        assert "no such structure" in str(error) or "ambiguous" in str(error)


# --- sums by structure --------------------------------------------------------------------------


def test_sums_are_those_of_a_mask_for_each_structure(mouse):
    random = np.random.default_rng(3)
    leaves = [s.id for s in mouse if not mouse.children(s.id)]
    annotation = random.choice([0, *leaves], size=(12, 10, 14))
    volumes = random.random((3, 12, 10, 14)).astype("float32")
    volumes[random.random(volumes.shape) < 0.3] = -1
    volumes[0, :2] = np.nan
    table = Unionizer(annotation, mouse)(volumes)
    for structure in [mouse.find(n) for n in ("root", "Isocortex", "VISp", "TH", leaves[5])]:
        parts = [structure.id, *(s.id for s in mouse.descendants(structure.id))]
        mask = np.isin(annotation, parts)
        for number, volume in enumerate(volumes):
            inside = volume[mask]
            inside = inside[~np.isnan(inside) & (inside != -1)]
            row = table.loc[(number, structure.id)]
            assert row["voxels"] == len(inside)
            if len(inside):
                assert row["mean"] == pytest.approx(inside.mean(dtype="float64"))
                assert row["sum"] == pytest.approx(inside.sum(dtype="float64"))
                assert row["share"] == pytest.approx(len(inside) / mask.sum())
            else:
                assert np.isnan(row["mean"])


def test_minus_one_everywhere_is_nothing_and_not_minus_one(mouse):
    annotation = np.full((3, 3, 3), 385)
    table = Unionizer(annotation, mouse)(np.full((3, 3, 3), -1.0))
    assert np.isnan(table.loc[385, "mean"])
    assert table.loc[385, "voxels"] == 0


def test_what_does_not_fit_together_is_named(mouse):
    with pytest.raises(UsageError, match="does not have"):
        Unionizer(np.full((2, 2, 2), 123456789), mouse)
    with pytest.raises(UsageError, match="shape"):
        Unionizer(np.full((2, 2, 2), 385), mouse)(np.zeros((3, 3, 3)))


def test_the_table_prints_its_numbers_and_the_unionizer_itself(mouse):
    import pandas as pd

    annotation = np.full((3, 3, 3), 385)
    annotation[0] = mouse["LSr"].id
    sums = Unionizer(annotation, mouse)
    table = sums(np.ones((3, 3, 3)))
    assert sorted(table.columns) == ["acronym", "mean", "name", "share", "sum", "voxels"]
    assert list(table.columns).index("name") > list(table.columns).index("sum")
    with pd.option_context("display.width", 80):
        shown = str(table.sort_values("mean", ascending=False).head())
    head = shown.splitlines()[0].split()
    assert {"mean", "sum", "acronym"} <= set(head)
    assert repr(sums).splitlines()[0] == "Unionizer"
    assert "3 x 3 x 3 voxels" in repr(sums)
    assert "1,198" in repr(sums)
    assert "<table" in sums._repr_html_()


# --- coordinates --------------------------------------------------------------------------------


def rows_of(record: dict, two: str, three: str) -> tuple[dict, dict]:
    """Write a record's affine maps as the rows of the service have them."""

    def row(matrix, prefix: str) -> dict[str, float]:
        factors = [v for line in matrix for v in line[:-1]] + [line[-1] for line in matrix]
        return {f"{prefix}_{n:02}": v for n, v in enumerate(factors)}

    def both(matrix, prefix: str, other: str) -> dict[str, float]:
        square = np.vstack([np.array(matrix), [0] * (len(matrix[0]) - 1) + [1]])
        return row(matrix, prefix) | row(np.linalg.inv(square)[:-1].tolist(), other)

    others = {"tsv": "tvs", "tvs": "tsv", "tvr": "trv", "trv": "tvr"}
    return (
        both(record["affine_2d"], two, others[two]),
        both(record["affine_3d"], three, others[three]),
    )


@pytest.mark.parametrize("record", RECORDED["xy_to_pir"], ids=lambda r: str(r["image_id"]))
def test_from_image_to_reference_as_the_service_answers(record):
    two, three = rows_of(record, "tsv", "tvr")
    image = ImageAlignment.of(two, three, record["section_number"], record["section_thickness"])
    got = image.to_reference(record["x"], record["y"])
    assert got == pytest.approx([record["p"], record["i"], record["r"]], abs=1e-9, rel=1e-9)
    x, y, far = image.from_reference(got)
    assert (x, y, far) == (
        pytest.approx(record["x"], abs=1e-3),
        pytest.approx(record["y"], abs=1e-3),
        pytest.approx(0, abs=1e-3),
    )


@pytest.mark.parametrize("record", RECORDED["pir_to_xy"], ids=lambda r: str(r["image_id"]))
def test_from_reference_to_image_as_the_service_answers(record):
    two, three = rows_of(record, "tvs", "trv")
    image = ImageAlignment.of(two, three, record["section_number"], 25.0)
    x, y, _ = image.from_reference([record["p"], record["i"], record["r"]])
    assert [float(x), float(y)] == pytest.approx([record["x"], record["y"]], abs=1e-9, rel=1e-9)


def test_the_nearest_section_and_how_far_it_is():
    record = RECORDED["xy_to_pir"][0]
    two, three = rows_of(record, "tsv", "tvr")
    images = [ImageAlignment.of(two, three, n, 25.0, image_id=1000 + n) for n in (10, 20, 40)]
    points = np.concatenate([image.to_reference([5.0, 50.0], [7.0, 70.0]) for image in images])
    found = SetAlignment(images).nearest(points)
    assert found.image_id.tolist() == [1010, 1010, 1020, 1020, 1040, 1040]
    assert found.distance_um == pytest.approx(np.zeros(6), abs=0.1)
    assert found.x_px == pytest.approx([5, 50] * 3, abs=0.01)
    beyond = ImageAlignment.of(two, three, 100, 25.0).to_reference(5.0, 7.0)
    told = SetAlignment(images).nearest(beyond)
    assert told.image_id.tolist() == [1040]
    assert told.distance_um == pytest.approx([1500], abs=1)  # not hidden, as the service does
    with pytest.raises(AnswerError, match="not whole"):
        ImageAlignment.of({"tsv_00": 1}, three, 1, 25.0)
