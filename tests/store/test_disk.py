"""Small files written whole, by several processes and after a kill."""

from __future__ import annotations

import subprocess
import sys

from openallen.store.disk import write_whole

WRITE = """
import sys
from pathlib import Path
from openallen.store.disk import write_whole
for _ in range(40):
    write_whole(Path(sys.argv[1]), sys.argv[2].encode() * 1000)
"""


def test_drafts_of_a_killed_process_are_removed(tmp_path):
    path = tmp_path / "a [1].json"
    left = tmp_path / "a [1].json.01234567.part"
    other = tmp_path / "a [1].json.more.01234567.part"
    left.write_bytes(b"half")
    other.write_bytes(b"of another file")
    write_whole(path, b"whole")
    assert path.read_bytes() == b"whole"
    assert sorted(tmp_path.iterdir()) == [path, other]


def test_two_processes_write_one_file(tmp_path):
    path = tmp_path / "a.json"
    pair = [subprocess.Popen([sys.executable, "-c", WRITE, str(path), text]) for text in "xy"]
    assert [process.wait(60) for process in pair] == [0, 0]
    assert path.read_bytes() in {b"x" * 1000, b"y" * 1000}
    assert list(tmp_path.iterdir()) == [path]
