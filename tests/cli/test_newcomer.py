"""What a first reader of the output stumbled over: help, arrays, plans, counts and hints."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

import openallen as oa
from openallen.plans import Plan, RemoteFile
from openallen.sources.tables import Rows


def openallen(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "openallen", *map(str, words)], capture_output=True, text=True,
        check=False, timeout=120, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.mark.parametrize("verb", ["list", "show", "fetch"])
def test_help_names_the_command_that_has_the_options(verb):
    assert f"(openallen {verb} SCHEME: --help)" in openallen(verb, "--help").stdout


def test_help_of_one_scheme_has_examples_of_that_scheme():
    examples = openallen("fetch", "image:", "--help").stdout.partition("Examples:")[2]
    assert "'image:321549654?downsample=5'" in examples
    assert "stack:" not in examples


def test_help_of_one_scheme_has_an_example_where_the_command_has_none():
    examples = openallen("show", "release:", "--help").stdout.partition("Examples:")[2]
    assert examples.split("\n")[1].startswith("  openallen show release:")


def test_an_option_without_bounds_has_no_range_in_the_help():
    shown = openallen("fetch", "grid:", "--help").stdout
    assert "--resolution" in shown
    assert "None" not in shown


def test_an_array_is_shown_by_shape_type_and_range(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(6, dtype="int16").reshape(2, 3))
    shown = openallen("show", tmp_path / "a.npy")
    assert "2 x 3" in shown.stdout
    assert "array([" not in shown.stdout
    told = json.loads(openallen("show", tmp_path / "a.npy", "--json").stdout)
    assert (told["shape"], told["type"], told["min"], told["max"]) == ([2, 3], "int16", 0, 5)


@pytest.mark.parametrize(
    "values", [np.zeros((0, 2)), np.array(["a"]), np.array([np.nan, 1.0, np.inf])]
)
def test_an_array_without_a_range_is_shown_too(tmp_path, values):
    np.save(tmp_path / "a.npy", values)
    shown = openallen("show", tmp_path / "a.npy", "--json")
    assert shown.returncode == 0, shown.stderr
    assert "NaN" not in shown.stdout  # not JSON
    assert "Infinity" not in shown.stdout
    assert json.loads(shown.stdout)["shape"] == list(values.shape)


def test_a_plan_is_displayed_as_its_facts(tmp_path):
    files = (RemoteFile(address="file:1", url="http://x/1", path="1", kind="files"),)
    plan = Plan(address="file:1", title="File 1", source="live", to=tmp_path, files=files)
    assert repr(plan) == str(plan)
    assert "RemoteFile" not in repr(plan)


def test_one_more_row_is_counted_as_one():
    rows = Rows([{"id": i} for i in range(21)], noun="cell")
    assert str(rows).endswith("21 cells; 1 more row is not shown")


def test_a_hint_is_quoted_for_a_shell():
    done = openallen("list", "image:")
    assert "try: openallen show 'image:321549654?downsample=3'" in done.stderr


def test_what_no_viewer_shows_is_an_error_with_a_command_for_that_item():
    done = openallen("view", "stack:313862022", "--links", "--source", "sample")
    assert done.returncode == 2
    assert "try: openallen show stack:313862022 --source sample" in done.stderr


def test_no_picture_is_an_error_that_says_what_has_one():
    done = openallen("show", "stack:1", "--picture", "x.png", "--source", "sample")
    assert "(grids, atlases, volumes and sessions have pictures)" in done.stderr


def test_a_grid_that_was_not_fetched_is_not_said_to_be_unknown():
    with pytest.raises(oa.OpenAllenError) as caught:
        oa.open("grid:72109410", source="sample")
    assert "no such grid" not in str(caught.value)
    assert "try: openallen fetch grid:72109410" in str(caught.value)


@pytest.mark.parametrize("words", [
    ("--nonsense", "--source", "sample"),
    ("fly", "stack:313862022", "--source", "sample"),
    ("fetch", "--downsmaple", "3", "--source", "sample"),
])  # fmt: skip
def test_a_hint_to_the_help_is_a_command_that_works(words):
    hint = openallen(*words).stderr.rpartition("try: ")[2].strip()
    assert hint.startswith("openallen ")
    done = openallen(*hint.split()[1:])
    assert done.returncode == 0, done.stderr


def test_a_hint_for_the_same_thing_keeps_its_folder(tmp_path):
    where, to = "sections:69855739", str(tmp_path / "set")
    done = openallen("fetch", where, "--near", "1,1,1", "--to", to, "--source", "sample")
    hint = done.stderr.rpartition("try: ")[2].strip()
    assert f"--to {to}" in hint
    assert openallen(*hint.split()[1:], "--dry-run").returncode == 0
    other = openallen("fetch", "connectivity:181777177", "--to", to, "--source", "sample").stderr
    assert "grid:181777177" in other
    assert "--to" not in other
