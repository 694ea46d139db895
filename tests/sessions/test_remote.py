"""Sessions read where they lie: by ranges, over real sockets."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import Reply, Request, file_handler

import openallen as oa
from openallen.errors import AnswerError, CorruptError, NotFoundError, StalledError
from openallen.store.blocks import Blocks
from openallen.transport import Http, Retry
from openallen.transport.ranges import BLOCK_BYTES, RangeFile

QUICK = Retry(attempts=3, first_wait_s=0.01)


def noise(size: int, seed: int = 1) -> bytes:
    return np.random.default_rng(seed).bytes(size)


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture
def ranged(loopback):
    """Serve bytes with ranges, as S3 does."""

    def start(data: bytes):
        return loopback({"/x.nwb": file_handler(data)})

    return start


# --- the file object ------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_reads_give_the_bytes_of_the_file(data):
    from loopback import Loopback

    size = data.draw(st.integers(1, 5 * BLOCK_BYTES))
    body = noise(size)
    server = Loopback({"/x": file_handler(body)})
    try:
        with Http() as http, RangeFile(http, f"{server.url}/x", retry=QUICK) as file:
            assert file.size_bytes == size
            for _ in range(data.draw(st.integers(1, 8))):
                at, count = data.draw(st.integers(0, size + 10)), data.draw(st.integers(0, size))
                file.seek(at)
                assert file.read(count) == body[at : at + count]
                stop = min(size, at + count)
                if at <= stop:
                    assert bytes(file.read_at(at, stop)) == body[at:stop]
    finally:
        server.close()


def test_what_was_read_once_is_not_asked_for_again(tmp_path, ranged):
    body = noise(20 * BLOCK_BYTES + 77)
    server = ranged(body)
    for attempt in range(2):
        before = len(server.seen)
        with Http() as http:
            memory = Blocks(tmp_path / "blocks", server.url, BLOCK_BYTES)
            with RangeFile(http, f"{server.url}/x.nwb", memory=memory, immutable=True) as file:
                file.seek(8 * BLOCK_BYTES + 5)
                assert file.read(1000) == body[8 * BLOCK_BYTES + 5 :][:1000]
                a, b = 3 * BLOCK_BYTES + 1, 19 * BLOCK_BYTES
                assert bytes(file.read_at(a, b)) == body[a:b]
        assert (len(server.seen) > before) == (attempt == 0)


def test_a_damaged_block_on_disk_is_asked_for_again(tmp_path, ranged):
    body = noise(6 * BLOCK_BYTES)
    server = ranged(body)

    def read() -> bytes:
        with Http() as http:
            memory = Blocks(tmp_path / "blocks", server.url, BLOCK_BYTES)
            with RangeFile(http, f"{server.url}/x.nwb", memory=memory, immutable=True) as file:
                return bytes(file.read_at(0, len(body)))

    assert read() == body
    path = next((tmp_path / "blocks").glob("*.data"))
    with path.open("r+b") as file:
        file.seek(2 * BLOCK_BYTES + 9)
        file.write(b"rotten")
    before = len(server.seen)
    assert read() == body
    assert len(server.seen) == before + 1
    log = next((tmp_path / "blocks").glob("*.log"))
    log.write_bytes(log.read_bytes()[:-5])  # torn by a crash
    assert read() == body


def test_blocks_shared_by_writers_and_closed_in_the_middle(tmp_path):
    bodies = {n: noise(BLOCK_BYTES, n) for n in range(24)}
    pair = [Blocks(tmp_path, "u", BLOCK_BYTES) for _ in range(2)]
    pair[0].begin('"v"', 24 * BLOCK_BYTES, BLOCK_BYTES)
    pair[1] = Blocks(tmp_path, "u", BLOCK_BYTES)

    def write(memory: Blocks, numbers: range) -> None:
        for number in numbers:
            memory.put(number, bodies[number])

    threads = [
        threading.Thread(target=write, args=(memory, range(start, 24, 2)))
        for start, memory in enumerate(pair)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again = Blocks(tmp_path, "u", BLOCK_BYTES)
    assert all(again.get(n) == body for n, body in bodies.items())
    again.close()
    again.put(0, b"x" * BLOCK_BYTES)  # too late: goes nowhere, least of all into another file
    assert again.get(0) is None
    assert Blocks(tmp_path, "u", BLOCK_BYTES).get(0) == bodies[0]


def test_a_small_file_sent_whole_and_cut_short_is_asked_for_again(loopback):
    body = noise(3 * BLOCK_BYTES)

    def handle(request: Request, reply: Reply) -> None:
        if request.number <= 2:
            reply.raw(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode())
            reply.raw(body[:1000])
            reply.cut()
        else:
            reply.send(body)

    server = loopback({"/x": handle})
    with Http() as http, RangeFile(http, f"{server.url}/x", retry=QUICK) as file:
        assert file.read(len(body)) == body


def test_another_version_of_the_file_is_noticed(tmp_path, ranged, loopback):
    old, new = noise(40 * BLOCK_BYTES, 1), noise(40 * BLOCK_BYTES, 2)
    server = ranged(old)
    with Http() as http:
        memory = Blocks(tmp_path / "blocks", server.url, BLOCK_BYTES)
        file = RangeFile(http, f"{server.url}/x.nwb", memory=memory, retry=QUICK)
        file.read_at(0, 10)
        server.routes["/x.nwb"] = file_handler(new, etag='"v2"')
        with pytest.raises(AnswerError, match="changed while it was read"):
            file.read_at(20 * BLOCK_BYTES, 21 * BLOCK_BYTES)
        file.close()
        memory = Blocks(tmp_path / "blocks", server.url, BLOCK_BYTES)
        with RangeFile(http, f"{server.url}/x.nwb", memory=memory, retry=QUICK) as again:
            assert bytes(again.read_at(0, 100)) == new[:100]


def test_a_service_without_ranges_gives_small_files_whole_and_is_named_for_large_ones(loopback):
    small = noise(3 * BLOCK_BYTES)
    large = noise(18 << 20)
    server = loopback(
        {"/small": file_handler(small, ranges=False), "/large": file_handler(large, ranges=False)}
    )
    with Http() as http:
        with RangeFile(http, f"{server.url}/small", retry=QUICK) as file:
            assert file.read(len(small)) == small
        with pytest.raises(AnswerError, match="does not support range requests") as caught:
            RangeFile(http, f"{server.url}/large", retry=QUICK)
    assert "fetch the file" in str(caught.value)


def test_a_stalled_or_broken_range_is_asked_for_again(loopback):
    body = noise(30 * BLOCK_BYTES)
    whole = file_handler(body)
    troubles = {3: "stall", 4: "cut", 6: "503"}
    count = iter(range(1, 1000))

    def handle(request: Request, reply: Reply) -> None:
        trouble = troubles.get(next(count))
        if trouble == "stall":
            reply.stall()
        elif trouble == "cut":
            reply.raw(b"HTTP/1.1 206 Partial Content\r\nContent-Length: 99999\r\n")
            reply.raw(b'Content-Range: bytes 0-99998/3932160\r\nETag: "v1"\r\n\r\nabc')
            reply.cut()
        elif trouble == "503":
            reply.send(b"", "503 Slow Down")
        else:
            whole(request, reply)

    server = loopback({"/x": handle})
    with Http(silence_timeout_s=2) as http:
        with RangeFile(http, f"{server.url}/x", retry=QUICK) as file:
            assert bytes(file.read_at(0, len(body))) == body
        server.routes["/x"] = lambda q, r: r.stall()
        with pytest.raises(StalledError):
            RangeFile(http, f"{server.url}/x", retry=Retry(attempts=2, first_wait_s=0.01))


def test_a_range_of_any_size_does_not_decide_how_much_memory_is_taken(loopback):
    body = noise(4 * BLOCK_BYTES)
    whole = file_handler(body)
    count = 2**62

    def handle(request: Request, reply: Reply) -> None:
        if not request.headers["range"].startswith("bytes=-"):
            whole(request, reply)
            return
        reply.raw(f"HTTP/1.1 206 Partial Content\r\nContent-Length: {count}\r\n".encode())
        reply.raw(f"Content-Range: bytes 0-{count - 1}/{count}\r\n\r\n".encode() + b"x" * 99)
        reply.cut()

    server = loopback({"/x": handle})
    with Http() as http, RangeFile(http, f"{server.url}/x", retry=QUICK) as file:
        assert bytes(file.read_at(0, len(body))) == body


def test_a_memory_that_cannot_be_written_is_done_without(tmp_path, ranged):
    (tmp_path / "blocks").write_text("a file where the folder would be")
    body = noise(4 * BLOCK_BYTES)
    server = ranged(body)
    with Http() as http:
        memory = Blocks(tmp_path / "blocks", server.url, BLOCK_BYTES)
        with RangeFile(http, f"{server.url}/x.nwb", memory=memory) as file:
            assert file.read() == body


# --- sessions -------------------------------------------------------------------------------------


def test_a_session_far_away_says_what_the_file_here_says(files, ranged):
    for path in files.values():
        server = ranged(path.read_bytes())
        with oa.open(path) as near, oa.open(f"{server.url}/x.nwb") as far:
            assert type(near) is type(far)
            for name in ("trials", "stimulus_presentations", "eye_tracking", "running_speed"):
                assert getattr(near, name).equals(getattr(far, name))
            assert near.metadata == far.metadata
            if near.kind == "ophys_experiment":
                assert np.array_equal(near.traces, far.traces)
                assert np.array_equal(near.max_projection, far.max_projection)
                assert np.array_equal(near.trace_array("events"), far.trace_array("events"))


def test_an_address_without_a_suffix_that_leads_elsewhere_is_followed(files, ranged):
    server = ranged(files["ophys"].read_bytes())
    server.routes["/assets/1/download/"] = lambda q, r: r.send(
        b"", "302 Found", {"Location": f"{server.url}/x.nwb"}
    )
    with oa.open(f"{server.url}/assets/1/download/") as session:
        assert session.ophys_experiment_id == 957759562


def test_the_second_look_asks_nothing_but_whether_it_changed(files, ranged):
    server = ranged(files["ophys"].read_bytes())
    for _ in range(2):
        before = len(server.seen)
        with oa.open(f"{server.url}/x.nwb") as session:
            assert len(session.trials) > 0
            assert session.traces.size == session.traces.shape[0] * len(session.ophys_timestamps)
            assert session.max_projection.data.size > 0
    assert len(server.seen) - before == 1
    before = len(server.seen)
    with oa.open(f"{server.url}/x.nwb?versionId=a") as session:
        count = len(session.trials)
    at = len(server.seen)
    with oa.open(f"{server.url}/x.nwb?versionId=a") as session:
        assert len(session.trials) == count
    assert len(server.seen) == at  # this address names one version for good


def test_threads_may_share_a_session(files, ranged):
    server = ranged(files["ophys"].read_bytes())
    wrong: list[str] = []
    with oa.open(files["ophys"]) as near, oa.open(f"{server.url}/x.nwb") as far:
        names = ("dff_traces", "eye_tracking", "trials", "cell_specimen_table", "events") * 3

        def look(name: str) -> None:
            try:
                if list(getattr(far, name).columns) != list(getattr(near, name).columns):
                    wrong.append(name)
            except Exception as error:  # noqa: BLE001 - told below
                wrong.append(repr(error))

        threads = [threading.Thread(target=look, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_a_process_that_leaves_a_session_open_ends_well(files, ranged):
    server = ranged(files["ophys"].read_bytes())
    code = f"import openallen as oa\ns = oa.open('{server.url}/x.nwb')\nprint(s.ophys_session_id)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr


def test_what_is_far_away_and_wrong_is_named(loopback, files):
    whole = files["behavior"].read_bytes()
    server = loopback(
        {
            "/page.nwb": file_handler(b"<html>sorry</html>" * 500),
            "/short.nwb": file_handler(whole[:100_000]),
            "/rotten.nwb": file_handler(whole[:50_000] + b"\0" * 60_000 + whole[110_000:]),
        }
    )
    with pytest.raises(CorruptError):
        oa.open(f"{server.url}/page.nwb")
    with pytest.raises((CorruptError, EOFError)):
        oa.open(f"{server.url}/short.nwb")
    with pytest.raises(NotFoundError):
        oa.open(f"{server.url}/none.nwb")
    try:
        session = oa.open(f"{server.url}/rotten.nwb")
    except oa.OpenAllenError:
        return
    told = 0
    for name in session.list_data_attributes_and_methods():
        try:
            getattr(session, name)
        except (oa.OpenAllenError, KeyError):
            told += 1
    assert told < len(session.list_data_attributes_and_methods())


# --- by the release -------------------------------------------------------------------------------

NAME = "release:visual-behavior-ophys"


EXPERIMENT = f"{NAME}@1.0.0/ophys_experiment/951980471"


def test_by_address_remote_then_offline_then_fetched(release, store):
    with oa.open(EXPERIMENT) as session:
        assert session.ophys_experiment_id == 957759562
        depth = session.metadata["imaging_depth"]
        assert session.path is None
        copied = pickle.loads(pickle.dumps(session))
    with copied:
        assert copied.metadata["imaging_depth"] == depth
    with oa.open(EXPERIMENT) as session:
        assert session.metadata["imaging_depth"] == depth
        assert session.tree._ranges.requests == 0
    with oa.open(EXPERIMENT, remote=False) as session:
        assert session.path is not None
        assert session.path.is_relative_to(store)
        assert session.metadata["imaging_depth"] == depth
    with oa.open(EXPERIMENT) as session:
        assert session.path is not None
        path = session.path
    whole = path.read_bytes()
    path.write_bytes(whole[:-9] + b"rotten !!")  # the size is right, and HDF5 would not notice
    with pytest.raises(CorruptError, match="local file is damaged") as caught:
        oa.open(EXPERIMENT)
    assert f"openallen fetch {EXPERIMENT}" in str(caught.value)
    path.write_bytes(whole)
    with oa.open(EXPERIMENT, remote=True) as session:
        assert session.path is None
    with pytest.raises(NotFoundError, match=r"no ophys_experiment '?1"):
        oa.open(f"{NAME}@1.0.0/ophys_experiment/1")


def cells(session) -> int:
    return len(session.cell_specimen_table)


def test_the_same_question_to_many_sessions(release):
    found = oa.open(f"{NAME}@1.0.0").sessions("ophys_experiment")
    assert found.name == "ophys_experiment_id"
    assert 951980471 in found.ids
    # The other files of this release are made up: they fail, each with its reason.
    told: list[tuple[int, int, int]] = []
    answers = found.map(cells, progress=lambda *step: told.append(step))
    assert told[-1] == (len(found), len(found), len(found) - 1)
    assert answers.values == {951980471: 8}
    assert len(answers.errors) == len(found) - 1
    table = answers.table()
    assert table.loc[951980471, "value"] == 8
    assert table["error"].notna().sum() == len(found) - 1
    with pytest.raises(oa.OpenAllenError, match="sessions failed"):
        answers.raise_if_failed()


def test_processes_do_the_asking_too(release):
    found = oa.open(f"{NAME}@1.0.0").sessions("behavior_session")
    one = type(found)({883986743: found.addresses[883986743]}, found.opening, found.name)
    with pytest.raises(oa.OpenAllenError, match="cannot be sent"):
        one.map(lambda session: 1, processes=True)
    answers = one.map(repr, processes=True, workers=1)
    assert "BehaviorSession" in answers.values[883986743]


def test_a_session_by_a_relative_path_can_be_sent_on(tmp_path, files, monkeypatch):
    shutil.copy(files["behavior"], tmp_path / "copy.nwb")
    monkeypatch.chdir(tmp_path)
    with oa.open("copy.nwb") as session:
        sent = pickle.dumps(session)
    monkeypatch.chdir("/")
    assert pickle.loads(sent).behavior_session_id == 883986743
