from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing

import pytest

from openallen.errors import IntegrityError, UsageError
from openallen.store import Index, Store, digest_of


def put(path, data=b"data"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def remember(index, path):
    return index.remember(path, digest=digest_of(path), source="http://x/y", address="file:1")


def test_what_is_remembered_survives_the_process(tmp_path):
    path = put(tmp_path / "stacks" / "1" / "a.jpg")
    with Index(tmp_path) as index:
        record = remember(index, path)
        assert index.recall(path) == record
    with Index(tmp_path) as index:
        assert index.recall(path) == record
        assert record.digest == digest_of(path)


@pytest.mark.parametrize("change", ["bytes", "length", "gone", "touched"])
def test_a_file_that_changed_is_not_vouched_for(tmp_path, change):
    path = put(tmp_path / "a.jpg")
    with Index(tmp_path) as index:
        remember(index, path)
        if change == "gone":
            path.unlink()
        elif change == "touched":
            os.utime(path, ns=(1, 1))
        else:
            path.write_bytes(b"DATA" if change == "bytes" else b"longer data")
            os.utime(path, ns=(2, 2))
        assert index.recall(path) is None


def test_the_store_can_be_moved(tmp_path):
    path = put(tmp_path / "old" / "stacks" / "a.jpg")
    with Index(tmp_path / "old") as index:
        remember(index, path)
    (tmp_path / "old").rename(tmp_path / "new")
    with Index(tmp_path / "new") as index:
        assert index.recall(tmp_path / "new" / "stacks" / "a.jpg") is not None


def test_files_elsewhere_are_remembered_by_their_whole_path(tmp_path):
    path = put(tmp_path / "elsewhere" / "a.jpg")
    with Index(tmp_path / "store") as index:
        remember(index, path)
    with Index(tmp_path / "store") as index:
        assert index.recall(path) is not None
        index.forget(path)
        assert index.recall(path) is None


def test_an_index_that_is_no_database_is_done_without(tmp_path):
    put(tmp_path / "index.sqlite", b"this is no database, and long enough to be read as one" * 50)
    path = put(tmp_path / "a.jpg")
    with Index(tmp_path) as index:
        remember(index, path)
        assert index.recall(path) is not None  # for this run at least


def test_a_root_that_cannot_be_made_is_done_without(tmp_path):
    put(tmp_path / "file")
    with Index(tmp_path / "file" / "store") as index:
        assert index.recall(tmp_path / "file") is None


def test_threads_and_a_second_process_write_to_one_index(tmp_path):
    paths = [put(tmp_path / f"{i}.jpg") for i in range(200)]
    with Index(tmp_path) as one, Index(tmp_path) as two:
        threads = [
            threading.Thread(target=lambda p=p, i=i: remember(i, p))
            for p, i in zip(paths, [one, two] * 100, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with closing(sqlite3.connect(tmp_path / "index.sqlite")) as db:
        assert db.execute("SELECT count(*) FROM files").fetchone() == (200,)


def test_each_system_has_its_folder(tmp_path):
    store = Store(tmp_path)
    assert store.folder("stacks", "313862022") == tmp_path / "stacks" / "313862022"
    with pytest.raises(UsageError):
        store.folder("stacks", "")
    with pytest.raises(IntegrityError):
        store.folder("atlases", "..")
