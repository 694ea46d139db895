"""Tables and graphs: what the server answers, and what a page makes of it."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from assetbucket import publish_assets
from hypothesis import given
from hypothesis import strategies as st
from webpages import Tags, ask

from openallen.errors import OpenAllenError, UsageError
from openallen.sources.tables import Rows
from openallen.viewer.answers import Query
from openallen.viewer.kinds.graph import GraphKind, layers_of, placed
from openallen.viewer.kinds.table import TableKind
from openallen.visuals import GraphVisual, Link, Node, TableVisual, visuals_of

EXPERIMENT = "release:visual-behavior-ophys"


def rows_of(table: Any, **query: str) -> dict[str, Any]:
    visual = TableVisual(name="t", title="T", table=lambda: table)
    answer = TableKind().answer(visual, "rows.json", Query(query), lambda: False)
    assert not answer.encoding
    return dict(json.loads(answer.body))


TABLE = [
    {"id": 9, "name": "Pvalb", "depth_um": 200.0, "ok": True},
    {"id": 10, "name": "Sst", "depth_um": float("nan"), "ok": False},
    {"id": 2, "name": "pvalb-IRES", "depth_um": 75.5, "ok": None},
]


def test_columns_say_their_unit_and_whether_they_are_numbers():
    found = rows_of(TABLE)
    assert found["columns"] == [
        {"name": "id", "field": "id", "numeric": True},
        {"name": "name", "field": "name", "numeric": False},
        {"name": "depth_um", "field": "depth_um", "numeric": True, "unit": "µm"},
        {"name": "ok", "field": "ok", "numeric": False},
    ]


@pytest.mark.parametrize(
    ("query", "ids"),
    [({"sort": "id"}, "2 9 10"), ({"sort": "id", "desc": "1"}, "10 9 2"),
     ({"sort": "depth_um"}, "2 9 10"), ({"sort": "depth_um", "desc": "1"}, "9 2 10"),
     ({"sort": "name"}, "9 2 10"), ({"q": "PVALB"}, "9 2"), ({"q": "pvalb ires"}, "2"),
     ({"id__gt": "5"}, "9 10"), ({"id": "10"}, "10"), ({"name__ilike": "*pv*"}, "9 2"),
     ({"name__in": "Sst,Pvalb"}, "9 10"), ({"depth_um__exists": "1"}, "9 2"),
     ({"id__ge": "9", "q": "sst"}, "10"), ({"limit": "1", "offset": "1"}, "10"), ({"q": "zz"}, "")],
)  # fmt: skip
def test_rows_are_chosen_on_the_server(query, ids):
    found = rows_of(pd.DataFrame(TABLE), **query)
    assert " ".join(row[0] for row in found["rows"]) == ids
    if "limit" not in query:
        assert found["total"] == len(found["rows"])
    assert found["all"] == 3


@pytest.mark.parametrize("query", [{"nonsense": "1"}, {"sort": "nonsense"}, {"id__gt": "many"},
                                   {"limit": "0"}, {"offset": "x"}])  # fmt: skip
def test_what_a_table_cannot_answer_is_an_error_of_ours(query):
    with pytest.raises(UsageError):
        rows_of(TABLE, **query)


def test_columns_that_no_filter_can_name_are_called_by_their_place():
    found = rows_of([{"limit": 1, "mean (mV)": 2.5, "a__gt": 3}], column_2__lt="3", sort="column_1")
    assert [c["field"] for c in found["columns"]] == ["column_1", "column_2", "column_3"]
    assert found["columns"][1]["unit"] == "mV"
    assert found["total"] == 1


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)


@given(st.lists(st.tuples(VALUES, VALUES), max_size=20), st.booleans(), st.text(max_size=4))
def test_any_values_are_sorted_without_losing_a_row(pairs, desc, words):
    table = [{"a": a, "b": b} for a, b in pairs]
    found = rows_of(table, sort="a", desc="1" if desc else "") if table else rows_of(table)
    assert sorted(map(str, found["rows"])) == sorted(map(str, rows_of(table)["rows"]))
    numbers = [float(a) for a, _ in pairs if type(a) is float and math.isfinite(a)]
    if len(numbers) == len(pairs) and pairs:
        shown = [float(row[0]) for row in found["rows"]]
        assert shown == [float(f"{n:g}") for n in sorted(numbers, reverse=desc)]
    assert rows_of(table, q=words)["total"] <= len(table)


def test_a_frame_with_an_index_and_types_of_numpy():
    frame = pd.DataFrame(
        {"x": np.array([1.5, np.nan], "f4"), "when": pd.to_datetime(["2020-01-02", None])},
        index=pd.Index([7, 8], name="unit_id"),
    )
    found = rows_of(frame, sort="when")
    assert [c["name"] for c in found["columns"]] == ["unit_id", "x", "when"]
    assert found["rows"] == [["7", "1.5", "2020-01-02 00:00:00"], ["8", "", ""]]


def test_many_values_in_a_cell_are_said_in_words():
    mask = np.zeros((4, 5), bool)
    mask[1:3] = True
    frame = pd.DataFrame(
        {
            "mask": pd.Series([mask, None], dtype=object),
            "trace": pd.Series([np.arange(5000) / 2, np.array([1.5])], dtype=object),
            "image": pd.Series([np.ones((2, 3)), np.empty(0)], dtype=object),
            "names": pd.Series([["a"] * 9, ["b", "c"]], dtype=object),
            "text": ["word " * 90, "word"],
        }
    )
    first, second = rows_of(frame, sort="trace")["rows"]
    assert first[:4] == [
        "4 x 5, 10 set",
        "0, 0.5, 1, … (5,000 values)",
        "2 x 3 values",
        "a, a, a, … (9 values)",
    ]
    assert first[4].endswith("…")
    assert len(first[4]) == 160
    assert second == ["", "1.5", "", "b, c", "word"]
    assert rows_of(frame, q="word " * 3)["total"] == 2
    (visual,) = visuals_of(frame)
    assert TableKind().fallback(visual, "")["rows"] == [first, second]


def test_rows_and_frames_can_be_looked_at():
    rows = Rows([{"id": 5}], noun="cell", address=lambda row: f"stack:{row['id']}")
    (visual,) = visuals_of(rows)
    told = TableKind().fallback(visual, "/v/x/rows/")
    assert (told["rows"], told["links"]) == ([["5"]], ["/item/stack:5"])
    (visual,) = visuals_of(pd.DataFrame({"a": [1]}))
    assert TableKind().fallback(visual, "")["text"] == "1 row"


# --- graphs ---------------------------------------------------------------------------------------

IDS = st.integers(0, 12).map(str)


@given(st.lists(IDS, unique=True), st.lists(st.tuples(IDS, IDS), max_size=40))
def test_any_graph_is_laid_out_without_overlaps(ids, pairs):
    layers = layers_of(ids, pairs)
    assert set(layers) == set(ids)
    visual = GraphVisual(
        name="g",
        title="G",
        nodes=tuple(Node(id=i, label=f"node {i}" * 3, kind="k") for i in ids),
        links=tuple(Link(start=a, end=b) for a, b in pairs),
    )
    found, width, height = placed(visual)
    boxes = list(found.values())
    for n, one in enumerate(boxes):
        assert 0 <= one.x <= one.x + one.width <= width
        assert 0 <= one.y <= one.y + 46 <= height
        for other in boxes[:n]:
            apart_x = one.x + one.width <= other.x or other.x + other.width <= one.x
            apart_y = one.y + 46 <= other.y or other.y + 46 <= one.y
            assert apart_x or apart_y


def test_links_go_from_left_to_right_but_those_that_close_a_circle():
    layers = layers_of("abcd", [("a", "b"), ("b", "c"), ("a", "c"), ("c", "d")])
    assert layers == {"a": 0, "b": 1, "c": 2, "d": 3}
    circle = layers_of("abc", [("a", "b"), ("b", "c"), ("c", "a")])
    assert sorted(circle.values()) == [0, 1, 2]


def test_names_cannot_leave_the_drawing():
    evil = GraphVisual(
        name="g", title="G", nodes=(Node(id="1", label="<script>x</script>", kind='"><a>'),)
    )
    svg = GraphKind().answer(evil, "graph.svg", Query({}), lambda: False).body.decode()
    assert {tag for tag, _ in Tags.of(svg).tags} == {"svg", "rect", "text"}
    with pytest.raises(OpenAllenError):
        GraphKind().answer(evil, "../graph.svg", Query({}), lambda: False)


# --- pages ----------------------------------------------------------------------------------------


@pytest.fixture
def url(view, tmp_path, release):
    publish_assets(release.endpoint)
    return view(tmp_path / "store", source="live")


def test_a_release_shows_its_tables_and_what_is_in_it(url, page):
    ask(f"{url}/list/{EXPERIMENT}/ophys_experiment_table")  # reads, and so fetches, the table
    text = ask(f"{url}/item/{EXPERIMENT}").text
    assert text.count('data-kind="table"') == 2
    assert f'href="/item/{EXPERIMENT}@1.0.0/ophys_experiment/951980471"' in text
    page.goto(f"{url}/item/{EXPERIMENT}", wait_until="domcontentloaded")
    table = page.locator("section.visual").first
    table.get_by_label("Filter imaging_depth").fill(">200")
    table.get_by_label("Filter targeted_structure").fill("VISp")
    page.wait_for_url("**f.imaging_depth=%3E200**")
    page.wait_for_url("**f.targeted_structure=VISp**")
    table.get_by_text("in all").wait_for()
    page.wait_for_timeout(300)
    few = table.locator("tbody tr").count()
    assert 0 < few < 27
    table.get_by_role("button", name="ophys_experiment_id").press("Enter")
    table.locator('th[aria-sort="ascending"]').wait_for()
    page.wait_for_timeout(300)
    page.reload(wait_until="domcontentloaded")
    table.get_by_text("in all").wait_for()
    assert table.locator("tbody tr").count() == few
    assert table.get_by_label("Filter imaging_depth").input_value() == ">200"
    assert table.locator('th[aria-sort="ascending"]').count() == 1


def test_an_asset_shows_its_provenance_and_what_opens(url, page):
    raw = "ecephys_625749_2022-08-03_15-15-06"
    sorted_ = f"{raw}_sorted-ks25_2022-08-12_06-07-08"
    ask(f"{url}/list/asset")  # reads the catalogue, which provenance is taken from
    text = ask(f"{url}/item/asset:{raw}").text
    assert 'data-kind="graph"' in text
    assert f'href="/item/asset:{sorted_}"' in text
    assert f'href="/item/asset:{raw}/behavior/licks.csv"' in text
    page.goto(f"{url}/item/asset:{raw}", wait_until="domcontentloaded")
    page.locator(".drawing svg").wait_for()
    assert page.locator(".drawing a.node").count() == 3
    assert page.locator('.drawing a.node[aria-current="page"]').count() == 1
    page.locator(f'.drawing a[href$="{sorted_}"]').press("Enter")
    page.wait_for_url(f"**/item/asset:{sorted_}")
