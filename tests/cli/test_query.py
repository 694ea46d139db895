"""``openallen query`` where the service errs: real processes, a real archive with faults."""

from __future__ import annotations

import csv
import json
import shlex
import subprocess
import sys

import pytest


def openallen(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "openallen", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def over(archive) -> tuple[str, str]:
    """A service that announces 57 rows and has 54."""
    return ("--source", archive("over=3"))


def test_a_short_answer_is_an_error_with_the_command_that_accepts_it(over, tmp_path):
    to = tmp_path / "rows.csv"
    arguments = ("query", "ProjectionImage", "--all", "--format", "csv", "--to", to, *over)
    done = openallen(*arguments)
    assert done.returncode == 1
    assert not to.exists()
    assert "an empty page at row 54 of 57 (the service announces more rows" in done.stderr
    hint = done.stderr.partition("try: ")[2].strip()
    assert hint.endswith("--accept-short")
    again = openallen(*shlex.split(hint)[1:])
    assert again.returncode == 0
    assert "warning: " in again.stderr
    assert "57 rows announced, 54 received" in again.stderr
    assert len(list(csv.DictReader(to.read_text().splitlines()))) == 54


def test_accepted_rows_as_json_lines_and_as_a_table(over):
    done = openallen("query", "ProjectionImage", "--all", "--json", "--accept-short", *over)
    assert done.returncode == 0
    assert len([json.loads(line) for line in done.stdout.splitlines()]) == 54
    assert done.stderr.startswith("warning: ")
    assert len(done.stderr.splitlines()) == 1
    done = openallen("query", "ProjectionImage", "--all", "--accept-short", *over)
    assert done.returncode == 0
    assert "54 rows" in done.stderr


def test_json_lines_stay_json_lines_when_an_error_comes_in_the_middle(over):
    done = openallen("query", "ProjectionImage", "--all", "--json", *over)
    assert done.returncode == 1
    *rows, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 54
    assert all("id" in row for row in rows)
    assert list(last) == ["error"]
    assert (last["error"]["kind"], last["error"]["exit_code"]) == ("ShortAnswerError", 1)


def test_an_error_of_a_command_with_one_document_is_one_document(sample_url):
    done = openallen("show", "stack:1", "--json", "--source", sample_url)
    assert done.returncode == 3
    assert json.loads(done.stdout)["error"]["address"] == "stack:1"


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (["ProjectionImage", "axes=XY"], "values of axes: xy, yz"),
        (["Structure", "acronym=visp"], "similar values of acronym: VISp"),
        (["SectionDataSet", "genes.acronym=pdyn"], "values of genes.acronym: Adora2a, Pdyn"),
    ],
)
def test_a_filter_that_matches_nothing_says_what_there_is(sample_url, typed, says):
    done = openallen("query", *typed, "--source", sample_url)
    assert done.returncode == 3
    assert says in done.stderr
    hint = done.stderr.partition("try: ")[2].strip()
    assert openallen(*shlex.split(hint)[1:]).returncode == 0


def test_an_unknown_field_is_warned_of_with_the_nearest(sample_url):
    done = openallen("query", "ProjectionImage", "axs=xy", "--source", sample_url)
    assert "ProjectionImage has no known field 'axs'; did you mean axes?" in done.stderr


def test_a_capped_server_started_from_the_command_line_answers_about_itself():
    from urllib.request import urlopen

    command = [sys.executable, "-m", "openallen", "serve", "--archive", "sample", "--ids",
               "--fault", "cap=5"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().strip()
            with urlopen(f"{url}/openallen/about.json") as response:
                assert json.load(response)["name"] == "sample"
            done = openallen("query", "ProjectionImage", "--all", "--ids", "--source", url)
            assert len(done.stdout.split()) == 54
        finally:
            process.terminate()
