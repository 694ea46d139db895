from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openallen.display import bytes_text, card, count_text, seconds_text, table_html
from openallen.errors import (
    IntegrityError,
    SpaceError,
    UnreachableError,
    UsageError,
)
from openallen.plans import IncompleteError, Outcome, Plan, RemoteFile, Report, safe_name, safe_path


def file(path: str, **options) -> RemoteFile:
    return RemoteFile(address="image:1", url="http://x/1", path=path, kind="planes", **options)


def plan(*files: RemoteFile, **options) -> Plan:
    return Plan(
        address="stack:1", title="a stack", source="live", to=Path("/to"), files=files, **options
    )


def test_a_plan_counts_what_is_missing():
    made = plan(
        file("a", size_bytes=10), file("b", estimate_bytes=5), file("c"), here=frozenset({"a"})
    )
    assert [f.path for f in made.missing] == ["b", "c"]
    assert made.missing_bytes == 5
    assert not made.exact
    assert "2 files, at least about 5 bytes" in str(made)
    assert json.loads(json.dumps(made.to_dict()))["bytes_missing"] == 5


@pytest.mark.parametrize("paths", [("a", "a"), ("x/A.jpg", "x/a.jpg")])
def test_two_files_never_land_at_one_path_on_any_system(paths):
    with pytest.raises(UsageError, match="the same path"):
        plan(*map(file, paths))


def test_a_report_raises_what_matters():
    made = plan(file("a"), file("b"))
    fine = Outcome(file=made.files[0], status="fetched", size_bytes=5)
    broken = Outcome(file=made.files[1], status="failed", error=UnreachableError("cut"))
    full = Outcome(file=made.files[1], status="failed", error=SpaceError("full"))
    Report(plan=made, outcomes=(fine,)).raise_if_failed()
    with pytest.raises(IncompleteError, match="1 file of 2"):
        Report(plan=made, outcomes=(fine, broken)).raise_if_failed()
    with pytest.raises(SpaceError):
        Report(plan=made, outcomes=(fine, full)).raise_if_failed()
    with pytest.raises(UnreachableError):
        Report(plan=made, outcomes=(broken,)).raise_if_failed()


def test_names_of_the_server_are_kept_only_where_they_are_safe():
    assert safe_name("/external/prod1/Nr5a1-Cre;Ai14_m.swc", "x.swc") == "Nr5a1-Cre;Ai14_m.swc"
    for hostile in ("/a/..", "", "/a/", "a/con", "a/\x00", "C:evil", "a\\b", "x" * 300, "a/. "):
        assert safe_name(hostile, "x.swc") == "x.swc"


@given(st.text(max_size=40))
def test_a_safe_path_stays_inside_its_folder(text):
    root = Path("/root/of/all")
    try:
        path = root / safe_path(text)
    except IntegrityError:
        return
    assert path.resolve().is_relative_to(root)
    assert path != root


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.00 kB"),
        (1_250_000_000, "1.25 GB"),
        (82_300_000_000, "82.3 GB"),
        (999_600, "1.00 MB"),
        (500_800_000_000_000, "501 TB"),
    ],
)
def test_sizes_in_words(size, text):
    assert bytes_text(size) == text


def test_counts_and_durations_in_words():
    assert count_text(1, "file") == "1 file"
    assert count_text(3021, "file") == "3,021 files"
    assert [seconds_text(s) for s in (0.41, 12.2, 200, 7500)] == [
        "0.4 s", "12 s", "3 min 20 s", "2 h 5 min",
    ]  # fmt: skip


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        self.seen.append(tag)
        assert all(name not in {"onclick", "onerror", "onload"} for name, _ in attrs)


@given(st.text(), st.text(), st.text())
def test_html_holds_nothing_but_what_it_should(title, name, value):
    tags = Tags()
    tags.feed(card(title, {name: value}, image=value, note=title))
    tags.feed(table_html([name], [[value]], note=title))
    assert set(tags.seen) <= {"div", "strong", "table", "tr", "th", "td", "p", "thead", "tbody"} | (
        {"img"} if value.startswith("data:image/") else set()
    )
