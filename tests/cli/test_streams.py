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


@pytest.mark.parametrize(
    "module", ["openallen.errors", "openallen.cli.app", "openallen.verbs", "click"]
)
def test_ctrl_c_while_modules_are_loaded_is_quiet(module):
    """The interrupt strikes where a module is about to be loaded, in a process of its own."""
    code = f"""
import signal, sys
class Strikes:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Strikes())
sys.argv = ["openallen", "list", "--help"]
from openallen.cli import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("interrupted")
