"""Fragments are well formed, and the tool that gathers them keeps every word."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openallen import __version__

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "changelog.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("changelog", TOOL)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_fragments_are_well_formed(tool):
    found = tool.fragments(ROOT / "changes")
    assert [p for file, text in found.items() for p in tool.problems(file, text)] == []


def test_the_changelog_is_as_the_tool_writes_it_and_has_this_version_first(tool):
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    log = tool.Changelog.parse(text)
    assert log.render() == text
    assert log.versions[0].version == __version__
    assert next(iter(log.versions[0].areas)) == "Breaks"


@pytest.mark.parametrize(
    ("file", "text", "why"),
    [
        ("Name.new.md", "Good.", "NAME.KIND"),
        ("a.feature.md", "Good.", "NAME.KIND"),
        ("a.new.txt", "Good.", "NAME.KIND"),
        ("a.new.md", " \n", "says nothing"),
        ("a.new.md", "# Heading\nGood.", "sentences only"),
        ("a.new.md", "- one\n- two.", "sentences only"),
        ("a.new.md", "No end", "no end"),
    ],
)
def test_what_is_not_well_formed_is_named(tool, file, text, why):
    assert any(why in problem for problem in tool.problems(file, text))


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, TOOL, "--root", root, *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_gathering_twice_keeps_what_was_edited_and_adds_what_came_later(tmp_path):
    changes = tmp_path / "changes"
    changes.mkdir()
    log = tmp_path / "CHANGELOG.md"
    log.write_text("# Changelog\n\nWords.\n\n## 0.1.0 (2026-01-02)\n\n### Area\n\n- Old.\n")
    (changes / "README.md").write_text("# Not a fragment\n")
    (changes / "one.new.md").write_text("First, which is\nwrapped.\n")
    (changes / "two.breaks.md").write_text("Second.\n\nIts other half.\n")
    done = run(tmp_path, "0.2.0", "--date", "2026-02-03")
    assert done.returncode == 0, done.stderr
    assert log.read_text() == (
        "# Changelog\n\nWords.\n\n## 0.2.0 (2026-02-03)\n\n### Breaks\n\n- Second.\n- Its other half.\n\n"
        "### More\n\n- First, which is wrapped.\n\n## 0.1.0 (2026-01-02)\n\n### Area\n\n- Old.\n"
    )
    assert [p.name for p in changes.iterdir()] == ["README.md"]
    log.write_text(log.read_text().replace("### More", "### Commands"))
    (changes / "three.fixed.md").write_text("Third.\n")
    (changes / "four.breaks.md").write_text("Fourth.\n")
    assert run(tmp_path, "0.2.0").returncode == 0
    assert log.read_text().splitlines()[4:17] == [
        "## 0.2.0 (2026-02-03)", "", "### Breaks", "", "- Second.", "- Its other half.", "- Fourth.",
        "", "### Commands", "", "- First, which is wrapped.", "", "### More",
    ]  # fmt: skip
    assert "- Fixed: Third.\n" in log.read_text()


def test_a_fragment_that_is_not_well_formed_stops_it_before_anything_is_changed(tmp_path):
    (tmp_path / "changes").mkdir()
    (tmp_path / "changes" / "one.newish.md").write_text("Words.\n")
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n")
    done = run(tmp_path, "0.2.0")
    assert done.returncode == 1
    assert "one.newish.md: not NAME.KIND.md" in done.stderr
    assert (tmp_path / "changes" / "one.newish.md").exists()
    assert (tmp_path / "CHANGELOG.md").read_text() == "# Changelog\n"


_WORDS = st.from_regex(r"[A-Za-z`][a-z `,]{0,20}\.", fullmatch=True)


@settings(max_examples=40)
@given(
    areas=st.dictionaries(
        st.from_regex(r"[A-Z][a-z]{1,8}", fullmatch=True), st.lists(_WORDS, min_size=1), max_size=3
    ),
    more=st.dictionaries(
        st.from_regex(r"[a-z]{1,6}\.(new|better|fixed|breaks)\.md", fullmatch=True), _WORDS
    ),
)
def test_what_is_written_is_read_back(tool, areas, more):
    log = tool.Changelog("# Changelog\n\n", [tool.Version("1.0.0", "2026-01-01", dict(areas))])
    assert tool.Changelog.parse(log.render()) == log
    log.add("1.0.0", "2026-01-01", more)
    log.add("1.1.0", "2026-02-01", more)
    again = tool.Changelog.parse(log.render())
    assert again == log
    for version in again.versions:
        told = [line for lines in version.areas.values() for line in lines]
        assert all(any(" ".join(w.split()) in t for t in told) for w in more.values())
