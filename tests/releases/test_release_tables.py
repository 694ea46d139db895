"""Tables against AllenSDK's own reading of the same rows, and rows as plain Python."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
import pytest

from openallen.address import Condition
from openallen.errors import CorruptError, UsageError
from openallen.sources.filters import check_columns, matches, no_rows
from openallen.sources.releases.rows import literal_list, read_rows
from openallen.sources.releases.tables import _literal, arrow_table, read_table

INDEX = {
    "behavior_session_table": "behavior_session_id",
    "ophys_session_table": "ophys_session_id",
    "ophys_experiment_table": "ophys_experiment_id",
}


def plain(value):
    if isinstance(value, list):
        return value
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, float) and math.isnan(value):
        return None
    return value.item() if hasattr(value, "item") else value


@pytest.mark.parametrize("name", INDEX)
def test_values_types_index_and_order_are_allensdks(data, name):
    frame = read_table(data / f"releases/{name}.csv", "visual-behavior-ophys", INDEX[name])
    told = json.loads((data / "releases/allensdk_dtypes.json").read_text())[name]
    assert {n: str(t) for n, t in frame.dtypes.items()} == told["dtypes"]
    assert list(frame.columns) == list(told["dtypes"])
    assert (frame.index.name, str(frame.index.dtype)) == (told["index"], told["index_dtype"])
    lines = (data / f"releases/{name}.allensdk.jsonl").read_text().splitlines()
    assert len(lines) == len(frame)
    for (key, row), line in zip(frame.iterrows(), lines, strict=True):
        want = json.loads(line)
        assert int(key) == want[INDEX[name]]
        for column in frame.columns:
            mine = plain(row[column])
            if isinstance(mine, pd.Timestamp):
                assert abs((mine - pd.Timestamp(want[column])).total_seconds()) < 0.001
            else:
                assert mine == want[column], (key, column)


def test_columns_nobody_knows_come_last_as_the_file_has_them(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("zeta,ophys_session_id,alpha,mouse_id\n1,2,3,007\n")
    for _ in range(3):
        frame = read_table(path, "visual-behavior-ophys", "ophys_session_id")
        assert list(frame.columns) == ["mouse_id", "zeta", "alpha"]
    assert frame["mouse_id"].iloc[0] == "007"


def test_a_table_of_another_kind_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text("")
    for name in ("a.csv", "b.csv"):
        with pytest.raises(CorruptError):
            read_table(tmp_path / name, "visual-behavior-ophys", "ophys_session_id")


@pytest.mark.parametrize("name", INDEX)
def test_arrow_has_lists_where_lists_are(data, name):
    frame = read_table(data / f"releases/{name}.csv", "visual-behavior-ophys", INDEX[name])
    table = arrow_table(frame)
    assert table.num_rows == len(frame)
    assert table.column_names[0] == INDEX[name]
    kind = table.schema.field("driver_line").type
    assert str(kind.value_type) == "string"
    assert table.column("driver_line").to_pylist() == list(frame["driver_line"])


def test_rows_are_what_they_look_like(data):
    rows = list(read_rows(data / "releases/ophys_session_table.csv", "visual-behavior-ophys"))
    first = rows[0]
    assert first["ophys_session_id"] == 951410079
    assert first["mouse_id"] == "457841"
    assert first["driver_line"] == ["Sst-IRES-Cre"]
    assert len(first["ophys_experiment_id"]) == 7


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("targeted_structure=VISp", True),
        ("targeted_structure=VISl", False),
        ("targeted_structure!=VISl", True),
        ("imaging_depth<200", True),
        ("imaging_depth>=200", False),
        ("imaging_depth__in=75,150", True),
        ("mouse_id=457841", True),
        ("passive=false", True),
        ("driver_line=Sst-IRES-Cre", True),
        ("driver_line!=Sst-IRES-Cre", False),
        ("full_genotype__like=Sst*", True),
        ("full_genotype__ilike=sst*", True),
        ("session_number", True),
        ("equipment_name<ZZZ", True),
    ],
)
def test_conditions_on_rows(data, text, expected):
    row = next(read_rows(data / "releases/ophys_experiment_table.csv"))
    assert matches(row, [Condition.parse(text)]) is expected


def test_a_column_that_is_not_there_is_told_with_the_nearest():
    with pytest.raises(UsageError, match="no column 'imaging_dept'") as caught:
        check_columns(["imaging_depth", "mouse_id"], [Condition.parse("imaging_dept=1")], "t")
    assert caught.value.hint == "imaging_depth=1"


@pytest.mark.parametrize(
    ("typed", "why", "better"),
    [
        (["targeted_structure=VISP"], "values of targeted_structure: ", "targeted_structure=VISp"),
        (["session_type=OPHYS"], "values of session_type: ", "session_type=OPHYS_1_images_A"),
        (["driver_line=Sst"], "values of driver_line: ", "driver_line=Sst-IRES-Cre"),
        (["imaging_depth__gt=5000"], "imaging_depth__gt=5000", ""),
    ],
)
def test_conditions_no_row_matches_say_what_there_is(data, typed, why, better):
    rows = list(read_rows(data / "releases/ophys_experiment_table.csv"))
    given = [Condition.parse(text) for text in typed]
    assert not any(matches(row, given) for row in rows)
    error = no_rows(rows, given, "release:x/t", "openallen list release:x/t")
    assert why in error.why
    assert error.exit_code == 3
    if better:
        assert error.hint == f"openallen list release:x/t {better}"
        assert any(matches(row, [Condition.parse(better)]) for row in rows)


def test_a_broken_line_is_told(tmp_path: Path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3\n")
    with pytest.raises(CorruptError, match="malformed line"):
        list(read_rows(tmp_path / "t.csv"))


@pytest.mark.parametrize(
    ("text", "value"),
    [("[1, 2]", [1, 2]), ("['a', 'b']", ["a", "b"]), ("[]", []), ("[a", "[a"), ("{}", "{}")]
    + [(odd, odd) for odd in ("[" * 3000, f"[{'9' * 5000}]")],
)
def test_lists(text, value):
    assert literal_list(text) == value


@pytest.mark.parametrize("cell", ["²", "٣", "9" * 5000, "-1", "1_0"])
def test_a_cell_that_only_looks_like_a_number_is_text(cell):
    assert _literal(cell) == cell
    assert _literal("12") == 12
