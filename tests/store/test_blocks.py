"""Cached blocks of remote files: whatever becomes of the cache, no byte is wrong."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import Loopback, file_handler

from openallen.store.blocks import Blocks
from openallen.store.objects import CachedObjects
from openallen.transport import Http, Retry
from openallen.transport.ranges import BLOCK_BYTES, RangeFile

BLOCK = 64
SIZE = 10 * BLOCK + 17
COUNT = -(-SIZE // BLOCK)
URL = "https://nowhere.invalid/x.nwb"
NEW = np.random.default_rng(1).bytes(SIZE)
OLD = NEW[:BLOCK] + np.random.default_rng(2).bytes(SIZE - BLOCK)


def cached(folder: Path, body: bytes, mark: str) -> dict[str, bytes]:
    """Fill a cache, and return its files by what they end in."""
    memory = Blocks(folder, URL, BLOCK)
    memory.begin(mark, SIZE, BLOCK)
    for number in range(COUNT):
        memory.put(number, body[number * BLOCK : (number + 1) * BLOCK])
    memory.close()
    return {path.suffix: path.read_bytes() for path in folder.iterdir()}


def wrong(folder: Path, truth: bytes) -> list[int]:
    """Return the blocks a cache gives that are not those of the file."""
    memory = Blocks(folder, URL, BLOCK)
    found = {n: memory.get(n) for n in range(-1, COUNT + 2)}
    memory.close()
    return [n for n, b in found.items() if b is not None and b != truth[n * BLOCK :][:BLOCK]]


def mutated(data: st.DataObject, body: bytes, other: bytes) -> bytes:
    """Change bytes as a crash, a disk or a second version might."""
    at = data.draw(st.integers(0, len(body)))
    stop = data.draw(st.integers(at, min(len(body), at + 60)))
    to = data.draw(st.integers(0, len(body)))
    changes: list[Callable[[], bytes]] = [
        lambda: body[:at],
        lambda: body + b"\0" * data.draw(st.integers(1, 60)),
        lambda: body[:at] + b"\0" * (stop - at) + body[stop:],
        lambda: body[:to] + body[at:stop] + body[to:],
        lambda: body[:at] + body[stop:] + body[at:stop],
        lambda: body[:at] + data.draw(st.binary(max_size=12)) + body[at:],
        lambda: other,
        lambda: other[:at] + body[at:],
        lambda: body + other,
    ]
    return data.draw(st.sampled_from(changes))()


@settings(max_examples=100)
@given(data=st.data())
def test_no_block_is_wrong_whatever_becomes_of_the_files(data):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        old = cached(folder, OLD, '"1"')
        new = cached(folder, NEW, '"2"')
        stem = next(folder.iterdir()).stem
        for suffix in data.draw(st.sets(st.sampled_from([".log", ".data"]), min_size=1)):
            body = new[suffix]
            for _ in range(data.draw(st.integers(1, 3))):
                body = mutated(data, body, old[suffix])
            (folder / f"{stem}{suffix}").write_bytes(body)
        assert wrong(folder, NEW) == []
        stale = data.draw(st.sampled_from([".json", ".log", ".data"]))
        (folder / f"{stem}{stale}").write_bytes(old[stale])
        assert wrong(folder, OLD if stale == ".json" else NEW) == []


@settings(max_examples=150)
@given(data=st.data())
def test_a_description_that_was_changed_is_none(data):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        new = cached(folder, NEW, '"2"')
        place = next(folder.glob("*.json"))
        told = json.loads(new[".json"])
        key = data.draw(st.sampled_from(sorted(told)))
        value = data.draw(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5)
            | st.floats(allow_nan=False) | st.lists(st.integers(), max_size=2)
        )  # fmt: skip
        place.write_text(json.dumps({**told, key: value}))
        memory = Blocks(folder, URL, BLOCK)
        same = value == told[key] and type(value) is type(told[key])
        assert (memory.file_version() is None) is not same
        memory.close()


def test_a_deep_description_is_none(tmp_path):
    cached(tmp_path, NEW, '"2"')
    next(tmp_path.glob("*.json")).write_text("[" * 100_000)
    assert Blocks(tmp_path, URL, BLOCK).file_version() is None


def test_a_torn_line_spoils_none_behind_it(tmp_path):
    first = cached(tmp_path, NEW, '"2"')[".log"]
    log = next(tmp_path.glob("*.log"))
    log.write_bytes(first[:-3])
    memory = Blocks(tmp_path, URL, BLOCK)
    assert memory.get(COUNT - 1) is None
    memory.put(COUNT - 1, NEW[(COUNT - 1) * BLOCK :])
    memory.close()
    again = Blocks(tmp_path, URL, BLOCK)
    assert [again.get(n) for n in range(COUNT)] == [NEW[n * BLOCK :][:BLOCK] for n in range(COUNT)]
    again.close()


@pytest.mark.parametrize("number", [0, 3])
def test_zeros_at_the_end_of_a_log_change_no_read(tmp_path, number):
    body = np.random.default_rng(3).bytes(22 * BLOCK_BYTES + 777)
    server = Loopback({"/x": file_handler(body)})

    def read() -> tuple[bytes, bytes]:
        with Http() as http:
            memory = Blocks(tmp_path, f"{server.url}/x", BLOCK_BYTES)
            with RangeFile(http, f"{server.url}/x", memory=memory, immutable=True) as file:
                return bytes(file.read()), bytes(file.read_at(0, len(body)))

    try:
        assert read() == (body, body)
        log = next(tmp_path.glob("*.log"))
        log.write_bytes(log.read_bytes() + number.to_bytes(4, "little") + b"\0" * 8)
        asked = len(server.seen)
        assert read() == (body, body)
        assert len(server.seen) == asked
    finally:
        server.close()


def test_a_file_without_a_mark_is_read_anew(tmp_path):
    old, new = (np.random.default_rng(n).bytes(3 * BLOCK_BYTES) for n in (1, 2))
    server = Loopback({"/x": file_handler(old, etag="")})

    def read() -> bytes:
        with Http() as http:
            memory = Blocks(tmp_path, f"{server.url}/x", BLOCK_BYTES)
            retry = Retry(attempts=1)
            with RangeFile(http, f"{server.url}/x", memory=memory, retry=retry) as file:
                return bytes(file.read())

    try:
        assert read() == old
        server.routes["/x"] = file_handler(new, etag="")
        assert read() == new
    finally:
        server.close()


def test_a_small_object_of_zeros_is_none(tmp_path):
    objects = CachedObjects(tmp_path)
    objects.put("chunk/0", b"four")
    path = next(p for p in tmp_path.rglob("*") if p.is_file())
    for size in range(40):
        path.write_bytes(b"\0" * size)
        assert objects.get("chunk/0") is None
