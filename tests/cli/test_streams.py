"""Where the output goes: a full disk, a closed stream."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs /dev/full and a POSIX shell")


def _shell(line: str, store: Path) -> subprocess.CompletedProcess[str]:
    command = f'"{sys.executable}" -m openallen {line}'
    env = os.environ | {"OPENALLEN_STORE": str(store), "OPENALLEN_SOURCE": "sample"}
    return subprocess.run(
        ["sh", "-c", command], check=False, capture_output=True, text=True, env=env
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "words",
    [
        "list stack:",
        "list stack: --json",
        "list stack: --ids",
        "show stack:313862022",
        "--help",
        "--version",
        "config --json",
        "store path",
        "query ProjectionImage --all --format csv",
        "query ProjectionImage --format xml",
        "show stack:1 --json",
        "demo --help",
    ],
)
def test_a_full_disk_behind_the_output_is_an_error_in_words(words, tmp_path):
    done = _shell(f"{words} >/dev/full", tmp_path)
    assert done.returncode == 1
    assert "the output cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_closed_stream_changes_no_exit_code(closed, tmp_path):
    done = _shell(f"list stack: {closed}", tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert _shell(f"show stack:1 {closed}", tmp_path).returncode == 3
