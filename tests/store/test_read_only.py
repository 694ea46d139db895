"""Stores that cannot be written to, on a real read-only file system."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from openallen.store import Index, digest_of
from openallen.store.blocks import Blocks
from openallen.store.checked import repair_commands, verify_remembered


def put(path: Path, data: bytes = b"data") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def remember(index: Index, path: Path, command: str = ""):
    return index.remember(
        path, digest=digest_of(path), source="http://x/y", address="file:1", command=command
    )


def test_a_read_only_index_is_read_and_new_records_last_as_long_as_the_process(frozen, caplog):
    root, freeze = frozen
    old = put(root / "stacks" / "a.jpg")
    with Index(root) as index:
        remember(index, old)
    new = put(root / "stacks" / "b.jpg")
    freeze()
    with Index(root) as index:
        assert index.read_only
        assert index.recall(old).digest == digest_of(old)
        remember(index, new)
        assert index.recall(new) is not None
        assert set(index.everything()) == {str(old), str(new)}
        index.forget(new)
        assert set(index.everything()) == {str(old)}
        assert {c.status for c in verify_remembered(root, index)} == {"intact"}
    assert caplog.records == []


def test_a_read_only_store_without_an_index_starts_empty(frozen, caplog):
    root, freeze = frozen
    path = put(root / "a.jpg")
    freeze()
    with Index(root) as index:
        remember(index, path)
        assert index.recall(path) is not None
        assert len(index.everything()) == 1
    assert len(caplog.records) == 1


@pytest.mark.parametrize("text", ["[" * 3000, "9" * 5000, "[]", "{}", '{"url": 5}', "\udcff"])
def test_a_damaged_description_of_cached_ranges_is_forgotten(tmp_path, text):
    blocks = Blocks(tmp_path, "http://x/y", 4)
    blocks.begin('"1"', 8, 4)
    blocks.put(0, b"abcd")
    blocks.close()
    (description,) = tmp_path.rglob("*.json")
    description.write_text(text, "utf-8", "surrogateescape")
    again = Blocks(tmp_path, "http://x/y", 4)
    assert again.file_version() is None
    assert again.get(0) is None
    again.close()


def test_cached_ranges_are_read_from_a_read_only_store(frozen):
    root, freeze = frozen
    blocks = Blocks(root, "http://x/y", 4)
    blocks.begin('"1"', 8, 4)
    blocks.put(0, b"abcd")
    blocks.close()
    freeze()
    again = Blocks(root, "http://x/y", 4)
    assert again.get(0) == b"abcd"
    again.put(1, b"efgh")
    assert again.get(1) is None
    assert again.get(0) == b"abcd"
    again.close()


def test_an_index_of_an_earlier_version_is_read_and_extended(tmp_path):
    path = put(tmp_path / "a.jpg")
    stat = path.stat()
    with closing(sqlite3.connect(tmp_path / "index.sqlite")) as db:
        db.execute(
            "CREATE TABLE files (path TEXT PRIMARY KEY, digest TEXT NOT NULL, size_bytes INTEGER"
            " NOT NULL, mtime_ns INTEGER NOT NULL, source TEXT NOT NULL, address TEXT NOT NULL,"
            " verified_at REAL NOT NULL) WITHOUT ROWID"
        )
        row = ("a.jpg", digest_of(path), stat.st_size, stat.st_mtime_ns, "http://x", "file:1", 1.0)
        db.execute("INSERT INTO files VALUES (?,?,?,?,?,?,?)", row)
        db.commit()
    with Index(tmp_path) as index:
        assert index.recall(path).command == ""
        remember(index, path, "openallen fetch file:1")
    with Index(tmp_path) as index:
        assert index.recall(path).command == "openallen fetch file:1"


def test_commands_move_with_the_store(tmp_path):
    path = put(tmp_path / "old store" / "files" / "a.jpg")
    with Index(tmp_path / "old store") as index:
        remember(index, path, f"openallen fetch file:1 --to '{path.parent}' --source sample")
    (tmp_path / "old store").rename(tmp_path / "new's")
    moved = tmp_path / "new's" / "files" / "a.jpg"
    with Index(tmp_path / "new's") as index:
        assert index.recall(moved).command.endswith("/new'\"'\"'s/files' --source sample")


@pytest.mark.parametrize(
    ("damage", "status"), [("flipped", "damaged"), ("gone", "missing"), ("", "intact")]
)
def test_remembered_files_are_verified_and_bad_ones_come_with_a_command(tmp_path, damage, status):
    path = put(tmp_path / "a file.jpg")
    gone = put(tmp_path / "removed" / "b.jpg")
    with Index(tmp_path) as index:
        remember(index, path)
        remember(index, gone)
        gone.unlink()
        gone.parent.rmdir()
        if damage == "flipped":
            path.write_bytes(b"DATA")
        elif damage:
            path.unlink()
        (result,) = verify_remembered(tmp_path, index)
    assert result.status == status
    commands = repair_commands([result])
    assert commands == ({f"openallen fetch file:1 --to {tmp_path}": (result,)} if damage else {})
