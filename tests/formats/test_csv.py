"""CSV as it comes: no column moved, no number rounded, in either reader."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import openallen as oa
from openallen.errors import CorruptError
from openallen.sources.releases.rows import read_rows
from openallen.sources.releases.tables import read_table

BIG = [2**53 + 1, 1_017_165_415_100_130_035, -(2**53) - 1, 2**63 - 1]


def written(folder: Path, text: str) -> Path:
    place = folder / "x.csv"
    place.write_text(text)
    return place


@pytest.mark.parametrize(
    "text",
    ["a,b\n1,2,3\n4,5,6\n", "a,b\n1,2,3\n4\n", "a,b\n\n0,2,3\n1,2,3\n", "a,b\n1,2,\n4,5,\n"],
)
def test_lines_longer_than_the_header_are_refused_and_no_column_moves(tmp_path, text):
    place = written(tmp_path, text)
    for read in (oa.open, lambda p: read_table(p, "", ""), lambda p: list(read_rows(p))):
        with pytest.raises(CorruptError, match=r"more cells than the header|malformed line"):
            read(place)


def test_a_table_without_rows_is_empty(tmp_path):
    assert oa.open(written(tmp_path, "a,b\n")).shape == (0, 2)


@pytest.mark.parametrize("number", BIG)
def test_large_whole_numbers_are_exact_beside_missing_ones(tmp_path, number):
    place = written(tmp_path, f"id,x,y\n{number},1.5,\n,2.5,3\n7,,4\n")
    for found in (oa.open(place), read_table(place, "", "")):
        assert [None if pd.isna(n) else int(n) for n in found["id"]] == [number, None, 7]
        assert found["x"].dtype == found["y"].dtype == "float64"
    assert [row["id"] for row in read_rows(place)] == [number, None, 7]


def test_large_numbers_that_are_no_ids_stay_floats(tmp_path):
    found = oa.open(written(tmp_path, "a,b\n1e20,1\n,2\n"))
    assert found["a"].dtype == "float64"
    assert found["a"].dropna().tolist() == [1e20]


@given(st.integers(-(10**19) + 1, 10**19 - 1))
def test_rows_hold_whole_numbers_exactly(tmp_path_factory, number):
    place = written(tmp_path_factory.mktemp("csv"), f"id\n{number}\n")
    assert next(iter(read_rows(place))) == {"id": number}


@pytest.mark.parametrize("text", ["9" * 20, "9" * 5000, "1e400", "\u0663"])
def test_what_only_looks_like_a_number_is_text_in_rows(tmp_path, text):
    assert next(iter(read_rows(written(tmp_path, f"id\n{text}\n")))) == {"id": text}
