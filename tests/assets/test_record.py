"""Metadata of assets: real records of every schema, and odd ones."""

from __future__ import annotations

import json
import os
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from assetbucket import records
from hypothesis import given
from hypothesis import strategies as st

from openallen.sources.assets import Record
from openallen.sources.assets.record import CORE_FILES, read_time

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def real() -> list[Record]:
    return [Record(raw) for raw in records(DATA)]


def test_nothing_raises_on_the_real_ones_and_nearly_all_is_found(real):
    assert len(real) == 68
    found: Counter[str] = Counter()
    for record in real:
        assert repr(record)
        assert record._repr_html_()
        record.to_row()
        for name in ("subject_id", "modalities", "institution", "created", "species", "sex", "genotype", "date_of_birth", "license", "level"):  # fmt: skip
            found[name] += bool(getattr(record, name))
        for step in record.steps:
            assert step.name
            assert step.duration_s is None or step.duration_s >= 0
        for metric in record.metrics:
            assert metric.status in {"Pass", "Fail", "Pending", ""}
    assert set(found.values()) == {68}


def test_the_answers_are_those_of_the_records(real):
    by_name = {r.name: r for r in real}
    old = by_name["SmartSPIM_658355_2023-02-28_15-17-45"]
    assert old.modalities == ("SPIM",)  # the record says 'SmartSPIM', as text
    assert any("modality is plain text" in p for p in old.problems)
    assert old.created == datetime(2023, 2, 28, 15, 17, 45)
    new = by_name["804430_2025-11-26_23-41-33_processed_2025-12-20_09-52-41"]
    assert new.sources == ("804430_2025-11-26_23-41-33",)
    assert new.level == "derived"
    assert new.quality == "Fail"
    assert {m.status for m in new.metrics} <= {"Pass", "Fail", "Pending"}
    assert new.species == "Mus musculus"
    assert new.versions["data_description"] == "2.2.1"
    stitched = next(r for r in real if "_stitched_" in r.name and r.name.startswith("SmartSPIM_658208"))  # fmt: skip
    assert stitched.level == "derived"  # its description is a copy of the raw one's, and says raw
    assert any(r.public is False for r in real)
    assert sum(any("mix schema versions" in p for p in r.problems) for r in real) > 20


def test_a_modality_that_is_the_repr_of_an_object(real):
    odd = [r for r in real if any("abbreviation=" in str(m) for m in (r.core("data_description").get("modality") or []))]  # fmt: skip
    assert odd
    assert all(r.modalities == ("ecephys",) for r in odd)


@pytest.mark.parametrize(
    ("text", "day", "expected"),
    [
        ("2022-06-28T10:31:30", None, datetime(2022, 6, 28, 10, 31, 30)),
        ("2022-06-28T10:31:30Z", None, datetime(2022, 6, 28, 10, 31, 30, tzinfo=UTC)),
        ("2023-03-29 09:13:00-07:00", None, datetime(2023, 3, 29, 9, 13, tzinfo=timezone(timedelta(hours=-7)))),
        ("2025-04-22T20:50:47.399657+00:00", None, datetime(2025, 4, 22, 20, 50, 47, 399657, tzinfo=UTC)),
        ("10:31:30", "2022-06-28", datetime(2022, 6, 28, 10, 31, 30)),
        ("10-31-30", "2022-06-28", datetime(2022, 6, 28, 10, 31, 30)),
        ("2022-06-28_10-31-30", None, datetime(2022, 6, 28, 10, 31, 30)),
        ("2022-06-28", None, datetime(2022, 6, 28)),
        ("10:31:30", None, None),
        ("soon", None, None),
        (None, None, None),
        (5, "2022-06-28", None),
    ],
)  # fmt: skip
def test_times_in_every_spelling(text, day, expected):
    assert read_time(text, day) == expected


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "abbreviation", "data_processes", "processing_pipeline", "metrics", "evaluations", "status_history", "subject_details", "species", "modality", "creation_time", "parameters", "code", "tags"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(
    st.dictionaries(st.sampled_from([*CORE_FILES, "name", "location", "external_links"]), anything)
)
def test_nothing_raises_whatever_is_in_it(raw):
    record = Record(raw)
    assert repr(record)
    record.to_row()
    assert isinstance(record.problems, tuple)
    for name in ("steps", "metrics", "quality", "links", "investigators", "experimenters", "funders", "date_of_birth", "species", "sex", "genotype", "instrument_id", "platform", "acquired", "created", "sources"):  # fmt: skip
        getattr(record, name)


def test_problems_are_in_plain_words():
    told = Record(
        {
            "data_description": {
                "modality": [{"abbreviation": "ecephys"}],
                "schema_version": "1.0.0",
            }
        },
        "ecephys_625749_2022-08-03_15-15-06_nwb_2023-05-16_16-34-55",
    )
    assert told.problems == ("source known from its name only",)
    mixed = Record(
        {
            "data_description": {
                "modality": [{"abbreviation": "ecephys"}],
                "schema_version": "1.0.0",
                "name": "other",
            },
            "subject": {"schema_version": "2.0.1"},
        },
        "ecephys_625749_2022-08-03_15-15-06",
    )
    assert mixed.problems == (
        "data_description has another name: other",
        "core files mix schema versions 1.x, 2.x",
    )


# --- contradictions -------------------------------------------------------------------------------

RAW = "ecephys_786867_2025-09-25_12-43-56"


def record(**core) -> Record:
    description = {"name": RAW, "data_level": "raw", "modality": [{"abbreviation": "ecephys"}]}
    core["data_description"] = description | core.get("data_description", {})
    return Record(core, core["data_description"]["name"])


def test_what_is_related_to_a_raw_asset_is_no_source():
    path = "Y:/ephys/persist/data/MRI/processed/786867"
    related = [{"related_data_path": path, "relation": "used to choose insertion locations"}]
    assert record(data_description={"related_data": related}).sources == ()
    derived = f"{RAW}_sorted_2025-10-01_01-02-03"
    related.append({"related_data_path": f"s3://aind-open-data/{RAW}", "relation": "source"})
    told = {"name": derived, "data_level": "derived", "related_data": related}
    assert record(data_description=told).sources == (RAW,)


def test_both_generations_of_steps_are_read():
    sorting = {"name": "Spike sorting"}
    steps = record(
        processing={
            "processing_pipeline": {"data_processes": [{"name": "Compression"}, [sorting]]},
            "data_processes": [{"name": "Other"}, sorting],
        }
    ).steps
    assert [step.name for step in steps] == ["Compression", "Spike sorting", "Other"]


@pytest.mark.parametrize(
    ("core", "problem"),
    [
        ({"subject": {"subject_id": "786867"}, "acquisition": {"subject_id": "667857"}}, "subject ids contradict each other: subject 786867, acquisition 667857, name 786867"),
        ({"subject": {"subject_id": 786867}}, ""),
        ({"session": {"session_start_time": "2025-09-25T12:43:56-07:00", "session_end_time": "2025-09-25T11:00:00-07:00"}}, "acquisition ends before it begins"),
        ({"session": {"session_start_time": "2025-09-25T12:43:56-07:00", "session_end_time": "2025-09-25T14:00:00"}}, ""),
        ({"session": {"session_start_time": "2025-09-25T19:43:56Z"}}, ""),
        ({"session": {"session_start_time": "2025-08-25T19:43:56Z"}}, "its name says 2025-09-25 12:43"),
        ({"data_description": {"creation_time": "2025-01-01T00:00:00"}}, "before it was acquired"),
        ({"subject": {"date_of_birth": "2026-01-01"}}, "born on 2026-01-01, after"),
        ({"processing": {"data_processes": [{"name": "Other", "start_date_time": "2025-10-02T00:00:00", "end_date_time": "2025-10-01T00:00:00"}]}}, "step 'Other' ends before"),
        ({"session": {"session_start_time": "0001-01-01T00:00:00+10:00"}}, "its name says"),
    ],
)  # fmt: skip
def test_contradictions_are_named(core, problem):
    found = "; ".join(record(**core).problems)
    assert problem in found if problem else not found


@pytest.mark.shared
def test_contradictions_of_real_records():
    beside = Path(__file__).parents[2].parent / "shared" / "data"
    place = Path(os.environ.get("OPENALLEN_TEST_SHARED", beside)) / "aind" / "docdb-records-v1"
    paths = sorted(place.glob("*.json"))
    if not paths:
        pytest.skip(f"{place} is not here")
    odd = {
        found.subject_id: problem
        for found in (Record(json.loads(path.read_text(encoding="utf-8"))) for path in paths)
        for problem in found.problems
        if "contradict" in problem
    }
    assert set(odd) <= {"675375", "813864"}
