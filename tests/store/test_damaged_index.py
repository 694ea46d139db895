"""A damaged index never stands in the way: it is put aside, begun anew, and files are right."""

import random
import shutil
import sqlite3
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openallen.store import Index, digest_of
from openallen.store.checked import verify_remembered


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A store with an index of 300 files."""
    root = tmp_path_factory.mktemp("whole")
    with Index(root) as index:
        for n in range(300):
            path = root / "files" / f"{n}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"%d" % n)
            index.remember(
                path,
                digest=digest_of(path),
                source=f"http://x/{n}",
                address=f"file:{n}",
                command="openallen x",
            )
    return root


def use(root):
    """Do with an index whatever a fetch and the store's commands do."""
    path, new = root / "files" / "7.txt", root / "new.txt"
    new.write_bytes(b"new")
    with Index(root) as index:
        found = index.recall(path)
        for known in index.everything():
            assert "\0" not in known
        list(verify_remembered(root, index))
        index.forget(root / "files" / "8.txt")
        index.remember(new, digest=digest_of(new), source="http://x", address="file:new")
        assert index.recall(new).digest == digest_of(new)
    with Index(root) as index:
        assert index.recall(new) is not None, "the index is kept again"
    return found


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE files SET digest = NULL", "UPDATE files SET digest = x'ff00fe'",
        "UPDATE files SET digest = CAST(x'fffe' AS TEXT)", "UPDATE files SET path = x'ff' WHERE path LIKE '%/7.txt'",
        "UPDATE files SET path = CAST(x'fffe' AS TEXT) WHERE path LIKE '%/9.txt'",
        "UPDATE files SET path = 'a' || char(0) || 'b' WHERE path LIKE '%/9.txt'",
        "UPDATE files SET size_bytes = 'many', command = 7", "UPDATE files SET verified_at = 'never'",
        "UPDATE files SET mtime_ns = NULL, address = NULL",
    ],
)  # fmt: skip
def test_rows_that_make_no_sense_are_left_out(whole, tmp_path, damage):
    root = shutil.copytree(whole, tmp_path / "store")
    with closing(sqlite3.connect(root / "index.sqlite")) as db:
        rows = db.execute("SELECT * FROM files").fetchall()
        db.execute("DROP TABLE files")
        db.execute(
            "CREATE TABLE files (path, digest, size_bytes, mtime_ns, source, address, verified_at, command)"
        )
        db.executemany("INSERT INTO files VALUES (?,?,?,?,?,?,?,?)", rows)
        db.execute(damage)
        db.commit()
    use(root)


@pytest.mark.parametrize(
    "damage",
    [
        "DROP TABLE files; CREATE TABLE files (a, b)",
        "DROP TABLE files; CREATE VIEW files AS SELECT 1 AS path",
    ],
)
def test_a_table_of_something_else_is_put_aside(whole, tmp_path, damage, caplog):
    root = shutil.copytree(whole, tmp_path / "store")
    with closing(sqlite3.connect(root / "index.sqlite")) as db:
        db.executescript(damage)
    use(root)
    assert (root / "index.sqlite.damaged").exists()
    assert "a new one is begun" in caplog.text


@pytest.mark.parametrize("body", [b"<html>" * 1000, b"", b"SQLite format 3\0" + b"\xff" * 4096])
def test_what_is_no_index_is_put_aside(tmp_path, body):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "7.txt").write_bytes(b"7")
    (tmp_path / "index.sqlite").write_bytes(body)
    assert use(tmp_path) is None
    assert (tmp_path / "index.sqlite.damaged").exists() == bool(body)


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 2**32), st.sampled_from(["zero", "cut", "flip", "noise", "swap", "repeat"]))
def test_a_mutated_index_stops_nothing(whole, tmp_path_factory, seed, kind):
    root = shutil.copytree(whole, tmp_path_factory.mktemp("mutated") / "store")
    dice = random.Random(seed)
    body = bytearray((root / "index.sqlite").read_bytes())
    at, size = dice.randrange(len(body)), dice.randrange(1, 3000)
    if kind == "zero":
        body[at : at + size] = bytes(min(size, len(body) - at))
    elif kind == "cut":
        del body[at:]
    elif kind == "flip":
        body[at] ^= 1 << dice.randrange(8)
    elif kind == "noise":
        body[at : at + size] = dice.randbytes(min(size, len(body) - at))
    elif kind == "swap":
        page, other = (4096 * dice.randrange(len(body) // 4096) for _ in range(2))
        body[page : page + 4096], body[other : other + 4096] = body[other : other + 4096], body[page : page + 4096]  # fmt: skip
    else:
        body[at:at] = body[at : at + size]
    (root / "index.sqlite").write_bytes(body)
    found = use(root)
    if found is not None:  # whatever is remembered of a file is compared with the file
        assert found.size_bytes == 1
    shutil.rmtree(root.parent)
