"""Names of assets: real ones of every generation, and those that follow no rule."""

from __future__ import annotations

import gzip
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openallen.sources.assets import parse_name
from openallen.sources.assets.names import MODALITIES, PLATFORMS, _parse

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def names() -> list[str]:
    return gzip.decompress((DATA / "assets" / "names.txt.gz").read_bytes()).decode().split()


def test_every_real_name_is_parsed_and_given_back(names):
    parsed = [parse_name(name) for name in names]
    assert [str(p) for p in parsed] == names
    assert Counter(p.level for p in parsed)["unknown"] == 0
    odd = {p.text for p in parsed if p.problems}
    assert odd == {
        "HCR_BL6-000_2023-06-1_00-00-00_fused_2024-02-09_13-28-49",
        "HCR_BL6-000_2023-06-1_00-00-00_fused_2024-04-02_20-06-14",
        "SmartSPIM-template_2024-05-16_11-26-14",
        "exaSPIM_653980_2023-08-10_20-08-29_fusion_2023-08-24",
    }
    for p in parsed:
        assert p.acquired is not None or p.text.startswith("HCR_BL6")
        assert bool(p.source) == (p.level == "derived")
        assert p.subject_id or p.text.startswith("SmartSPIM-template")
    labels = Counter(p.label for p in parsed if p.label)
    assert labels.most_common(2)[0][0] == "nwb"
    assert "dlc_face" in labels


def test_the_quick_way_and_the_thorough_one_agree(names):
    for name in names:
        one, other = parse_name(name), _parse(name)
        assert all(getattr(one, f) == getattr(other, f) for f in one.__slots__), name


@pytest.mark.parametrize(
    ("name", "level", "prefix", "subject", "label"),
    [
        ("ecephys_123456_2022-12-12_05-06-07", "raw", "ecephys", "123456", ""),
        ("ecephys_123456_2022-12-12_05-06-07_sorted-ks25_2022-12-12_06-07-08", "derived", "ecephys", "123456", "sorted-ks25"),
        ("801381_2025-06-05_14-57-42", "raw", "", "801381", ""),
        ("829704_2025-12-18_10-57-36_motion-corrected_2026-07-25_03-35-02", "derived", "", "829704", "motion-corrected"),
        ("ecephys_699847_2024-04-17_12-12-44_dlc_face_2024-04-25_12-15-20", "derived", "ecephys", "699847", "dlc_face"),
        ("HCR_831990-s3-ls2_2026-05-28_00-00-00_processed_2026-05-30_03-10-11", "derived", "HCR", "831990-s3-ls2", "processed"),
        ("SmartSPIM_M2501_2025-04-03_17-50-21", "raw", "SmartSPIM", "M2501", ""),
        ("exaspim_708373_2024-02-02_11-26-44", "raw", "exaspim", "708373", ""),
        ("SmartSPIM-template_2024-05-16_11-26-14", "raw", "SmartSPIM-template", "", ""),
        ("exaSPIM_653980_2023-08-10_20-08-29_fusion_2023-08-24", "derived", "exaSPIM", "653980", "fusion"),
        ("dynamicforaging_lick-analysis_2024-01-02_03-04-05", "analyzed", "dynamicforaging", "", "lick-analysis"),
        ("notes", "unknown", "", "notes", ""),
        ("", "unknown", "", "", ""),
        ("ecephys_123456_2022-13-45_05-06-07", "raw", "ecephys", "123456", ""),
        ("s3://aind-open-data/ecephys_123456_2022-12-12_05-06-07/", "raw", "ecephys", "123456", ""),
    ],
)  # fmt: skip
def test_names_by_name(name, level, prefix, subject, label):
    told = parse_name(name)
    assert (told.level, told.prefix, told.subject_id, told.label) == (level, prefix, subject, label)


def test_times_and_what_a_name_was_made_from():
    told = parse_name("exaSPIM_721828_2024-12-16_18-29-40_flatfield-correction_2025-01-10_14-53-23")
    assert told.acquired == datetime(2024, 12, 16, 18, 29, 40)
    assert told.created == datetime(2025, 1, 10, 14, 53, 23)
    assert told.source == told.primary == "exaSPIM_721828_2024-12-16_18-29-40"
    chain = parse_name("a_123456_2024-01-01_00-00-00_x_2024-01-02_00-00-00_y_2024-01-03_00-00-00")
    assert chain.source.endswith("_x_2024-01-02_00-00-00")
    assert chain.label == "y"
    assert chain.primary == "a_123456_2024-01-01_00-00-00"
    assert parse_name("exaspim_708373_2024-02-02_11-26-44").platform == "exaSPIM"
    assert "not a valid time" in parse_name("ecephys_123456_2022-02-30_05-06-07").problems[0]
    assert parse_name("ecephys_123456_2022-02-30_05-06-07").acquired is None


words = st.text(st.characters(codec="utf-8", exclude_characters="/"), max_size=30)
stamps = st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1)).map(lambda d: f"{d:%Y-%m-%d_%H-%M-%S}")  # fmt: skip


@given(words, words, words)
def test_any_text_is_parsed_without_a_word_and_given_back(one, two, three):
    text = f"{one}_{two}_{three}".strip()
    told = parse_name(text)
    assert str(told) == text.rstrip("/").rpartition("/")[2]
    assert repr(told)


@given(
    st.sampled_from(["", *PLATFORMS, *MODALITIES]),
    st.from_regex(r"[0-9]{3,7}", fullmatch=True),
    stamps,
    st.none() | st.tuples(st.from_regex(r"[a-z]+(-[a-z0-9]+)?(_[a-z]+)?", fullmatch=True), stamps),
)
def test_what_is_put_together_is_taken_apart(prefix, subject, first, more):
    raw = "_".join(part for part in (prefix, subject, first) if part)
    text = raw if more is None else f"{raw}_{more[0]}_{more[1]}"
    told = parse_name(text)
    assert (told.prefix, told.subject_id, told.problems) == (prefix, subject, ())
    assert told.level == ("raw" if more is None else "derived")
    assert told.source == ("" if more is None else raw)
    assert told.label == ("" if more is None else more[0])
