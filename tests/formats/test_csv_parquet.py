"""Large tables by way of Parquet: what pandas reads from the CSV, whatever its columns hold."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from openallen.errors import CorruptError
from openallen.formats import csv_parquet
from openallen.formats.csv_parquet import Columns, DamagedCopyError, to_frame, write_parquet


def through(tmp_path, text, texts=()):
    source, target = tmp_path / "t.csv", tmp_path / "t.parquet"
    source.write_text(text)
    write_parquet(source, target, texts)
    kept = Columns(target)
    return to_frame(kept.table(), kept.kinds)


def plain(path, **options):
    made = pd.read_csv(path, low_memory=False, **options)
    for name in made.columns:
        if pd.api.types.is_string_dtype(made[name].dtype):
            made[name] = made[name].astype(object)
    return made


CELLS = {
    "whole": ["1", "-5", "007"],
    "gaps": ["1", "", "3"],
    "fractions": ["1.5", "2", "1e3"],
    "no values": ["", "NaN", "null"],
    "flags": ["True", "False", "true"],
    "flags with gaps": ["True", "", "False"],
    "text": ["x", "", "NA"],
    "numbers and text": ["1", "2", "x"],
    "flags and text": ["True", "x", "False"],
    "flags and numbers": ["True", "1", "False"],
    "fractions and text": ["1.5", "1.5.6", "2"],
    "digits": ["18446744073709551616", "1", "2"],
    "many digits": ["182941331246012878296807398333956011710"] * 3,
    "beyond signed": ["9223372036854775808", "1", "2"],
    "endless": ["inf", "1.0", "-inf"],
    "quoted": ['"a,b"', '"c ""d"""', '""'],
    "lines": ['"a\nb"', "c", "d"],
    "labels": ["1019171907102340387-1", "2-x", "3"],
}


@pytest.mark.parametrize("name", CELLS)
def test_a_column_has_the_type_and_values_of_pandas(tmp_path, name):
    text = "k,v\n" + "".join(f"{at},{cell}\n" for at, cell in enumerate(CELLS[name]))
    found, told = through(tmp_path, text), plain(tmp_path / "t.csv")
    if "digits" in name:  # text in pandas 2, in pandas 3 Python's own numbers
        assert found["v"].dtype == told["v"].dtype == object
        assert found["v"].tolist() == list(map(str, told["v"]))
        return
    pd.testing.assert_frame_equal(found, told)


def test_a_value_that_does_not_fit_far_down_widens_the_column(tmp_path):
    """A sample of the first rows says nothing of the last."""
    count = 5 * csv_parquet._SAMPLE_ROWS
    for last, kind in (("x", "object"), ("1.5", "float64"), ("", "float64"), ("9", "int64")):
        text = "k,v\n" + "".join(f"{at},{at}\n" for at in range(count)) + f"{count},{last}\n"
        found = through(tmp_path, text)
        assert str(found["v"].dtype) == kind
        pd.testing.assert_frame_equal(found, plain(tmp_path / "t.csv"))


@pytest.mark.parametrize("large", [2**53 + 1, 2**63 - 1, 2**63 + 1, 2**64 - 1])
def test_large_ids_stay_exact_where_some_are_missing(tmp_path, large):
    found = through(tmp_path, f"k,v\na,{large}\nb,\nc,1\n")
    assert found["v"].dtype == ("Int64" if large < 2**63 else "UInt64")
    assert found["v"].isna().tolist() == [False, True, False]
    assert (int(found["v"][0]), int(found["v"][2])) == (large, 1)


def test_text_stays_text(tmp_path):
    found = through(tmp_path, "cell_label,x\n007,1\n,2\n12,3\n", ("cell_label",))
    assert found["cell_label"].tolist()[::2] == ["007", "12"]
    assert np.isnan(found["cell_label"][1])
    assert found["cell_label"].dtype == object


def test_ids_too_large_for_a_fraction_stay_exact_beside_gaps(tmp_path):
    found = through(tmp_path, "id,x\n9007199254740993,1\n,2\n")
    assert str(found["id"].dtype) == "Int64"
    assert found["id"][0] == 9007199254740993


def test_a_mark_at_the_beginning_and_a_column_without_a_name(tmp_path):
    found = through(tmp_path, "\ufeff,a\n0,x\n")
    assert list(found.columns) == ["Unnamed: 0", "a"]


def test_a_table_without_rows(tmp_path):
    found = through(tmp_path, "a,b\n")
    pd.testing.assert_frame_equal(found, plain(tmp_path / "t.csv"))


cells = st.one_of(
    st.integers(-(2**63), 2**64).map(str),
    st.floats(allow_nan=False, width=32).map(repr),
    st.sampled_from(["", "NA", "True", "False", "x", "a,b", 'q"', "None", "1_0"]),
    st.text("ab1.-e", max_size=5),
)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=12), st.booleans())
@example([("1", "1"), ("x", "")], True)
def test_any_table_is_that_of_pandas(tmp_path_factory, rows, alike):
    if alike:  # columns of one kind are the usual case
        rows = [rows[0]] * len(rows)
    frame = pd.DataFrame(rows, columns=["a", "b"], dtype=object)
    folder = tmp_path_factory.mktemp("t")
    found = through(folder, frame.to_csv(index=False))
    told = plain(folder / "t.csv")
    for name in ("a", "b"):
        if found[name].dtype == told[name].dtype and found[name].dtype == object:
            assert list(map(str, found[name])) == list(map(str, told[name]))
        elif found[name].dtype == told[name].dtype:
            np.testing.assert_allclose(found[name], told[name], rtol=1e-15)
        else:  # whole numbers too large for others stay exact: the only way to differ
            assert str(found[name].dtype) in {"Int64", "object"}


# --- what is wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a,b\n1,2\n3\n", "Expected 2 columns, got 1"),
        ("a,b\n1,2,9\n3,4\n", "Expected 2 columns, got 3"),
        ("", "no header"),
        ("<html>\n", "no header"),
        ("a,a\n1,2\n", "two columns have one name"),
    ],
)
def test_broken_tables_are_told(tmp_path, text, why):
    with pytest.raises(CorruptError, match=why) as caught:
        through(tmp_path, text)
    assert caught.value.address == str(tmp_path / "t.csv")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.csv"]  # nothing half made


def test_bytes_that_are_no_text_are_told(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"a,b\n1,\xff\xfe\n")
    with pytest.raises(CorruptError):
        write_parquet(tmp_path / "t.csv", tmp_path / "t.parquet")


def test_every_changed_byte_of_a_copy_is_found(tmp_path):
    """Whether it is in a page, in the end of the file, or in what lies beside it."""
    want = through(tmp_path, "a,b\n" + "".join(f"{i},w{i % 7}\n" for i in range(300)))
    target = tmp_path / "t.parquet"
    for path in (target, tmp_path / "t.parquet.json"):
        body = path.read_bytes()
        for at in range(0, len(body), 7):
            path.write_bytes(body[:at] + bytes([body[at] ^ 0x10]) + body[at + 1 :])
            try:
                kept = Columns(target)
                found = to_frame(kept.table(), kept.kinds)
            except DamagedCopyError:
                continue
            pd.testing.assert_frame_equal(found, want)
        path.write_bytes(body)
    os.truncate(target, target.stat().st_size // 2)
    with pytest.raises(DamagedCopyError):
        Columns(target)


def test_memory_is_bounded_by_blocks(tmp_path, monkeypatch):
    """A table of many blocks is written a block at a time."""
    import pyarrow.parquet as pq

    monkeypatch.setattr(csv_parquet, "_BLOCK_BYTES", 4096)
    through(tmp_path, "a,b\n" + "".join(f"{i},{'x' * 20}\n" for i in range(3000)))
    groups = pq.ParquetFile(tmp_path / "t.parquet").metadata
    assert groups.num_row_groups > 10
    assert max(groups.row_group(i).num_rows for i in range(groups.num_row_groups)) < 200
