from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from loopback import Reply, Request, file_handler

from openallen.errors import (
    AnswerError,
    CorruptError,
    IntegrityError,
    NotFoundError,
    StalledError,
    StoreError,
    TruncatedError,
    UnreachableError,
)
from openallen.plans import IncompleteError, Plan, RemoteFile
from openallen.store import Index, Leases
from openallen.store.leases import lease_path
from openallen.transfer import Interrupted, Interruption, run, with_status
from openallen.transfer.rate_limiter import RateLimiter
from openallen.transport import Http, Retry

QUICK = Retry(attempts=3, first_wait_s=0.01)


def body_of(name: str, size: int = 5000) -> bytes:
    seed = hashlib.sha256(name.encode()).digest()
    return (seed * (size // 32 + 1))[:size]


def sha(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def remote(server, name: str, **options) -> RemoteFile:
    return RemoteFile(
        address=f"file:{name}", url=f"{server.url}/{name}", path=f"files/{name}", kind="files",
        retry=f"openallen fetch file:{name}", **options,
    )  # fmt: skip


def plan_of(to: Path, *files: RemoteFile) -> Plan:
    return Plan(address="file:all", title="files", source="test", to=to, files=files)


@pytest.fixture
def fetch(tmp_path):
    """Run a plan with a fresh client and an index that lasts for the test."""
    index = Index(tmp_path / "index")

    def go(plan: Plan, *, silence_s: float = 5.0, **options):
        with Http(silence_timeout_s=silence_s) as http:
            return run(plan, http=http, index=index, **({"retry": QUICK} | options))

    yield go
    index.close()


def tree(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def test_every_file_arrives_and_nothing_else_is_there(tmp_path, loopback, fetch):
    names = [f"{i:04}" for i in range(40)]
    server = loopback({f"/{n}": file_handler(body_of(n)) for n in names})
    report = fetch(plan_of(tmp_path / "to", *(remote(server, n) for n in names)))
    assert report.ok
    assert [o.status for o in report.outcomes] == ["fetched"] * 40
    assert [o.digest for o in report.outcomes] == [sha(body_of(n)) for n in names]
    assert tree(tmp_path / "to") == {f"files/{n}": body_of(n) for n in names}
    assert report.fetched_bytes == 40 * 5000
    assert len(server.seen) == 40


def test_a_second_run_asks_for_nothing_and_touches_nothing(tmp_path, loopback, fetch):
    server = loopback({"/a": file_handler(body_of("a"))})
    plan = plan_of(tmp_path / "to", remote(server, "a"))
    first = fetch(plan)
    before = (tmp_path / "to" / "files" / "a").stat()
    second = fetch(plan)
    after = (tmp_path / "to" / "files" / "a").stat()
    assert [o.status for o in second.outcomes] == ["here"]
    assert second.outcomes[0].digest == first.outcomes[0].digest
    assert second.outcomes[0].fetched_at == first.outcomes[0].fetched_at
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert len(server.seen) == 1
    assert with_status(plan).missing == ()


@pytest.mark.parametrize("damage", ["truncated", "flipped", "gone", "emptied"])
def test_only_what_is_damaged_comes_again(tmp_path, loopback, fetch, damage):
    server = loopback({f"/{n}": file_handler(body_of(n)) for n in "abc"})
    plan = plan_of(tmp_path / "to", *(remote(server, n) for n in "abc"))
    digest = fetch(plan).outcomes[1].digest
    broken = tmp_path / "to" / "files" / "b"
    if damage == "gone":
        broken.unlink()
    else:
        data = bytearray(broken.read_bytes())
        data[100] ^= 1
        broken.write_bytes({"truncated": data[:300], "flipped": data, "emptied": b""}[damage])
    files = [remote(server, n) for n in "ac"] + [remote(server, "b", last_digest=digest)]
    report = fetch(plan_of(tmp_path / "to", *files))
    assert [o.status for o in report.outcomes] == ["here", "here", "fetched"]
    assert broken.read_bytes() == body_of("b")
    assert [r.target for r in server.seen].count("/b") == 2
    assert len(server.seen) == 4


def test_without_an_index_the_written_down_digest_vouches(tmp_path, loopback):
    server = loopback({"/a": file_handler(body_of("a"))})
    target = tmp_path / "to" / "files" / "a"
    target.parent.mkdir(parents=True)
    target.write_bytes(body_of("a"))
    for digest, status in ((sha(body_of("a")), "here"), (sha(b"other"), "fetched")):
        with Http() as http, Index(tmp_path / status) as index:
            file = remote(server, "a", last_digest=digest)
            report = run(plan_of(tmp_path / "to", file), http=http, index=index)
        assert [o.status for o in report.outcomes] == [status]


def test_published_size_and_digest_are_held_to(tmp_path, loopback, fetch):
    good = body_of("a")
    server = loopback({"/a": file_handler(good)})
    blake = "blake2b:" + hashlib.blake2b(good).hexdigest()
    report = fetch(
        plan_of(tmp_path / "to", remote(server, "a", digest=blake, size_bytes=len(good)))
    )
    assert report.ok
    assert report.outcomes[0].digest == blake


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"digest": sha(b"something else")}, CorruptError),
        ({"size_bytes": 5001}, TruncatedError),
        ({"size_bytes": 4999}, CorruptError),
    ],
)
def test_bytes_that_are_not_what_was_published_never_get_a_name(
    tmp_path, loopback, fetch, options, kind
):
    server = loopback({"/a": file_handler(body_of("a"))})
    report = fetch(plan_of(tmp_path / "to", remote(server, "a", **options)))
    assert [type(o.error) for o in report.failed] == [kind]
    assert report.failed[0].attempts == 3
    assert tree(tmp_path / "to") == {}
    with pytest.raises(kind):
        report.raise_if_failed()


def test_html_instead_of_an_image_is_tried_again_and_never_kept(tmp_path, loopback, fetch):
    def handle(q: Request, r: Reply) -> None:
        r.send(b"<html>busy</html>" if q.number < 3 else b"\xff\xd8\xff\xe0 picture")

    server = loopback({"/a": handle})
    report = fetch(plan_of(tmp_path / "to", remote(server, "a", expects=frozenset({"jpeg"}))))
    assert report.ok
    assert report.outcomes[0].attempts == 3
    server.routes["/a"] = lambda q, r: r.send(b"<html>busy</html>")
    report = fetch(plan_of(tmp_path / "to2", remote(server, "a", expects=frozenset({"jpeg"}))))
    assert isinstance(report.failed[0].error, AnswerError)
    assert "an HTML page instead of a JPEG file" in str(report.failed[0].error)
    assert tree(tmp_path / "to2") == {}


def test_an_empty_body_is_no_file(tmp_path, loopback, fetch):
    server = loopback({"/a": lambda q, r: r.send(b"")})
    report = fetch(plan_of(tmp_path / "to", remote(server, "a")))
    assert isinstance(report.failed[0].error, TruncatedError)
    assert tree(tmp_path / "to") == {}


def test_the_check_sees_the_bytes_before_they_get_their_name(tmp_path, loopback, fetch):
    seen: list[bytes] = []

    def check(path: Path) -> dict[str, int]:
        seen.append(path.read_bytes())
        if len(seen) == 1:
            raise CorruptError("half a picture")
        return {"width_px": 7}

    server = loopback({"/a": lambda q, r: r.chunked([body_of("a")])})
    report = fetch(plan_of(tmp_path / "to", remote(server, "a", check=check, ranges=False)))
    assert report.outcomes[0].facts == {"width_px": 7}
    assert report.outcomes[0].attempts == 2
    assert seen == [body_of("a")] * 2


def test_what_the_service_says_of_simulated_pixels_is_kept(tmp_path, loopback, fetch):
    server = loopback({"/a": lambda q, r: r.send(b"x", headers={"OpenAllen-Simulated": "true"})})
    report = fetch(plan_of(tmp_path / "to", remote(server, "a")))
    assert report.outcomes[0].facts == {"simulated": True}


def test_one_failure_leaves_the_others_alone_and_is_named(tmp_path, loopback, fetch):
    server = loopback({f"/{n}": file_handler(body_of(n)) for n in "ac"})
    report = fetch(plan_of(tmp_path / "to", *(remote(server, n) for n in "abc")))
    assert [o.status for o in report.outcomes] == ["fetched", "failed", "fetched"]
    assert isinstance(report.failed[0].error, NotFoundError)
    assert report.failed[0].attempts == 1
    assert "openallen fetch file:b" in str(report)
    with pytest.raises(IncompleteError, match="1 file of 3") as caught:
        report.raise_if_failed()
    assert caught.value.exit_code == 5
    assert caught.value.report is report


def test_a_broken_transfer_goes_on_where_it_stopped(tmp_path, loopback, fetch):
    body = body_of("big", 3_000_000)
    whole = file_handler(body)

    def handle(q: Request, r: Reply) -> None:
        if q.number == 1:
            r.raw(b'HTTP/1.1 200 OK\r\nETag: "v1"\r\nContent-Length: 3000000\r\n\r\n')
            r.raw(body[:2_000_000])
            r.cut()
        else:
            whole(q, r)

    server = loopback({"/big": handle})
    report = fetch(plan_of(tmp_path / "to", remote(server, "big", digest=sha(body))))
    assert report.ok
    first = int(server.seen[1].headers["range"].removeprefix("bytes=").removesuffix("-"))
    assert 0 < first <= 2_000_000
    assert server.seen[1].headers["if-range"] == '"v1"'


def test_another_process_goes_on_where_the_first_stopped(tmp_path, loopback, fetch):
    body = body_of("big", 3_000_000)

    def cut(q: Request, r: Reply) -> None:
        r.raw(b'HTTP/1.1 200 OK\r\nETag: "v1"\r\nContent-Length: 3000000\r\n\r\n')
        r.raw(body[:1_500_000])
        r.cut()

    server = loopback({"/big": cut})
    plan = plan_of(tmp_path / "to", remote(server, "big"))
    assert not fetch(plan, retry=Retry(attempts=1)).ok
    assert sorted(Path(n).suffix for n in tree(tmp_path / "to")) == [".json", ".part"]
    server.routes["/big"] = file_handler(body)
    assert fetch(plan).ok
    assert server.seen[-1].headers["range"] == "bytes=1500000-"
    assert tree(tmp_path / "to") == {"files/big": body}


def test_a_server_that_ignores_ranges_starts_over(tmp_path, loopback, fetch):
    body = body_of("big", 300_000)
    whole = file_handler(body, ranges=False)

    def handle(q: Request, r: Reply) -> None:
        if q.number == 1:
            r.raw(b'HTTP/1.1 200 OK\r\nETag: "v1"\r\nContent-Length: 300000\r\n\r\n')
            r.raw(body[:200_000])
            r.cut()
        else:
            whole(q, r)

    server = loopback({"/big": handle})
    assert fetch(plan_of(tmp_path / "to", remote(server, "big"))).ok
    assert "range" in server.seen[1].headers
    assert tree(tmp_path / "to") == {"files/big": body}


@pytest.mark.parametrize(
    "told", ["", "Content-Range: nonsense\r\n", "Content-Range: bytes 9-3/300000\r\n"]
)
def test_a_part_that_does_not_say_which_is_never_taken_for_the_whole(
    tmp_path, loopback, fetch, told
):
    body = body_of("big", 300_000)
    whole = file_handler(body, etag='"v1"')

    def handle(q: Request, r: Reply) -> None:
        if q.number == 1:
            r.raw(b'HTTP/1.1 200 OK\r\nETag: "v1"\r\nContent-Length: 300000\r\n\r\n')
            r.raw(body[:200_000])
            r.cut()
        elif q.number == 2:
            head = f'HTTP/1.1 206 Partial Content\r\nETag: "v1"\r\n{told}Content-Length: 100000'
            r.raw(f"{head}\r\n\r\n".encode() + body[200_000:])
            r.cut()
        else:
            whole(q, r)

    server = loopback({"/big": handle})
    plan = plan_of(tmp_path / "to", remote(server, "big"))
    fetch(plan)
    assert fetch(plan).ok
    assert tree(tmp_path / "to") == {"files/big": body}


@pytest.mark.parametrize("honours_if_range", [True, False])
def test_an_object_that_changed_between_tries_is_never_mixed(
    tmp_path, loopback, fetch, honours_if_range
):
    old, new = body_of("old", 300_000), body_of("new", 300_000)
    later = file_handler(new, etag='"v2"')

    def handle(q: Request, r: Reply) -> None:
        if q.number == 1:
            r.raw(b'HTTP/1.1 200 OK\r\nETag: "v1"\r\nContent-Length: 300000\r\n\r\n')
            r.raw(old[:200_000])
            r.cut()
            return
        if not honours_if_range:
            q.headers.pop("if-range", None)
        later(q, r)

    server = loopback({"/big": handle})
    assert fetch(plan_of(tmp_path / "to", remote(server, "big"))).ok
    assert tree(tmp_path / "to") == {"files/big": new}


def test_without_a_mark_of_the_version_nothing_is_gone_on_with(tmp_path, loopback, fetch):
    body = body_of("big", 300_000)
    whole = file_handler(body, etag="")

    def handle(q: Request, r: Reply) -> None:
        if q.number == 1:
            r.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + body[:200_000])
            r.cut()
        else:
            whole(q, r)

    server = loopback({"/big": handle})
    assert fetch(plan_of(tmp_path / "to", remote(server, "big"))).ok
    assert "range" not in server.seen[1].headers


def test_a_part_that_was_whole_already_is_only_finished(tmp_path, loopback, fetch):
    body = body_of("big", 100_000)
    server = loopback({"/big": file_handler(body)})
    failing = []

    def check(path: Path) -> dict[str, int]:
        if not failing:
            failing.append(1)
            raise OSError(5, "flaky disk")
        return {}

    plan = plan_of(tmp_path / "to", remote(server, "big", check=check))
    with pytest.raises(StoreError):
        fetch(plan).raise_if_failed()
    assert fetch(plan).ok
    assert tree(tmp_path / "to") == {"files/big": body}


def test_a_stalled_stream_is_cut_and_tried_again(tmp_path, loopback, fetch):
    def handle(q: Request, r: Reply) -> None:
        if q.number == 1:
            r.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nabc")
            r.stall()
        else:
            r.send(body_of("a"))

    server = loopback({"/a": handle})
    report = fetch(plan_of(tmp_path / "to", remote(server, "a")), silence_s=0.3)
    assert report.ok
    assert report.outcomes[0].attempts == 2
    server.routes["/b"] = lambda q, r: r.stall()
    report = fetch(plan_of(tmp_path / "to", remote(server, "b")), silence_s=0.1)
    assert isinstance(report.failed[0].error, StalledError)


def test_connections_stay_within_the_bound(tmp_path, loopback, fetch):
    server = loopback({f"/{i}": file_handler(b"x", delay_s=0.01) for i in range(60)})
    plan = plan_of(tmp_path / "to", *(remote(server, str(i)) for i in range(60)))
    assert fetch(plan, connections=3).ok
    assert server.busy_most <= 3
    assert server.connections <= 3


def test_many_files_are_asked_for_at_once(tmp_path, loopback, fetch):
    met = threading.Barrier(9, timeout=100)

    def handle(q: Request, r: Reply) -> None:
        if len(server.seen) <= 9:
            met.wait()  # none of these is answered before all are there
        r.send(b"x")

    server = loopback({f"/{i}": handle for i in range(40)})
    plan = plan_of(tmp_path / "to", *(remote(server, str(i)) for i in range(40)))
    assert fetch(plan, silence_s=150).ok
    assert not met.broken


@pytest.mark.parametrize(
    ("round_s", "limits"),
    [
        (lambda limit: 1, [32, 64, 128, 128]),
        (lambda limit: limit / 16, [32, 33, 34, 35]),
        (lambda limit: (limit / 16) ** 2, [32, 16, 17, 18]),
    ],
    ids=["it helps", "it changes nothing", "it harms"],
)
def test_the_limit_rises_as_long_as_it_helps(monkeypatch, round_s, limits):
    now = [0.0]
    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr("openallen.transfer.rate_limiter.time", clock)
    limiter = RateLimiter(128)
    found = []
    for _ in limits:
        now[0] += round_s(limiter.limit)
        for _ in range(limiter.limit):
            limiter.done()
        found.append(limiter.limit)
    assert found == limits
    limiter.failed(StalledError("x"))
    assert limiter.limit == limits[-1] // 2


def test_pushback_makes_it_slow_down_and_all_arrives(tmp_path, loopback, fetch):
    def handle(q: Request, r: Reply) -> None:
        if q.number == 1:
            r.send(b"", "503 Slow Down", {"Retry-After": "0"})
        else:
            r.send(b"x")

    server = loopback({f"/{i}": handle for i in range(50)})
    plan = plan_of(tmp_path / "to", *(remote(server, str(i)) for i in range(50)))
    assert fetch(plan).ok
    assert len(server.seen) == 100


def test_a_file_another_holder_is_fetching_is_waited_for(tmp_path, loopback, fetch):
    server = loopback({"/a": file_handler(body_of("a"))})
    target = tmp_path / "to" / "files" / "a"
    target.parent.mkdir(parents=True)
    other = Leases()
    lease = other.take(target)

    def finish() -> None:
        target.write_bytes(body_of("a"))
        other.release(lease)

    timer = threading.Timer(0.5, finish)
    timer.start()
    report = fetch(plan_of(tmp_path / "to", remote(server, "a", last_digest=sha(body_of("a")))))
    timer.join()
    other.close()
    assert [o.status for o in report.outcomes] == ["here"]
    assert server.seen == []


def test_losing_the_lease_hands_the_file_to_the_other(tmp_path, loopback, fetch):
    body = body_of("a", 600_000)
    target = tmp_path / "to" / "files" / "a"
    held: list[bytes] = []

    def handle(q: Request, r: Reply) -> None:
        r.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 600000\r\n\r\n" + body[:300_000])
        if q.number == 1:
            held.append(lease_path(target).read_bytes())
            lease_path(target).write_text('{"token": "another", "where": "elsewhere"}')
            for at in range(300_000, 590_000, 2000):  # until the heartbeat finds out
                r.raw(body[at : at + 2000])
                time.sleep(0.1)
            raise AssertionError("nobody found out")
        r.raw(body[300_000:])

    server = loopback({"/a": handle})
    leases = Leases(beat_s=0.05, stale_s=0.3)
    report = fetch(plan_of(tmp_path / "to", remote(server, "a", ranges=False)), leases=leases)
    leases.close()
    assert held
    assert report.ok
    assert len(server.seen) == 2  # the first was given up, the second after the other fell silent
    assert tree(tmp_path / "to") == {"files/a": body}


def test_a_destination_that_is_a_file_is_refused_before_anything(tmp_path, loopback, fetch):
    server = loopback({"/a": file_handler(b"x")})
    (tmp_path / "to").write_text("in the way")
    with pytest.raises(StoreError, match="cannot write here"):
        fetch(plan_of(tmp_path / "to", remote(server, "a")))
    assert server.seen == []


@pytest.mark.parametrize(
    "path",
    [
        "../a",
        "/a",
        "a/../../b",
        "a//b",
        "C:a",
        "a\\b",
        "a\nb",
        "con.txt",
        "",
        ".",
        "a/.",
        "x" * 300,
    ],
)
def test_hostile_paths_never_make_a_plan(path):
    with pytest.raises(IntegrityError):
        RemoteFile(address="file:1", url="http://x/", path=path, kind="files")


@pytest.mark.parametrize("count", [12, 300])  # by one thread each, and many by one thread
def test_another_thread_interrupts_a_run_and_the_next_one_goes_on(tmp_path, loopback, fetch, count):
    stalls = threading.Event()
    stalls.set()

    def handle(q: Request, r: Reply) -> None:
        if stalls.is_set() and int(q.target[1:]) >= 4:
            r.stall()
        else:
            r.send(b"x")

    server = loopback({f"/{i}": handle for i in range(count)})
    plan = plan_of(tmp_path / "to", *(remote(server, str(i)) for i in range(count)))
    interruption = Interruption()

    def when_stalled() -> None:
        while not all((tmp_path / "to/files" / f"{i}").exists() for i in range(4)):
            time.sleep(0.02)
        time.sleep(0.3)
        interruption.ask()
        interruption.ask()  # twice is once

    threading.Thread(target=when_stalled, daemon=True).start()
    with pytest.raises(Interrupted) as caught:
        fetch(plan, silence_s=600, interruption=interruption)
    statuses = [o.status for o in caught.value.report.outcomes]
    assert statuses == ["fetched"] * 4 + ["not tried"] * (count - 4)
    assert not list((tmp_path / "to").rglob("*.lease"))
    stalls.clear()
    report = fetch(plan)
    assert [o.status for o in report.outcomes] == ["here"] * 4 + ["fetched"] * (count - 4)


def test_a_run_that_was_interrupted_before_it_began_fetches_nothing(tmp_path, loopback, fetch):
    server = loopback({"/a": file_handler(b"x")})
    interruption = Interruption()
    interruption.ask()
    with pytest.raises(Interrupted):
        fetch(plan_of(tmp_path / "to", remote(server, "a")), interruption=interruption)
    assert server.seen == []


def test_interrupting_leaves_finished_files_and_says_so(tmp_path, loopback, fetch, monkeypatch):
    def handle(q: Request, r: Reply) -> None:
        if int(q.target[1:]) < 4:
            r.send(b"x")
        else:
            r.stall()

    server = loopback({f"/{i}": handle for i in range(12)})
    plan = plan_of(tmp_path / "to", *(remote(server, str(i)) for i in range(12)))
    import _thread

    def when_stalled() -> None:
        while sum(int(q.target[1:]) >= 4 for q in server.seen) < 4 or not all(
            (tmp_path / "to" / "files" / f"{i}").exists() for i in range(4)
        ):
            time.sleep(0.02)
        time.sleep(0.2)  # for a file to be counted after its last step
        _thread.interrupt_main()

    threading.Thread(target=when_stalled, daemon=True).start()
    with pytest.raises(Interrupted) as caught:
        fetch(plan, silence_s=600)  # nothing but the interrupt ends it
    statuses = [o.status for o in caught.value.report.outcomes]
    assert statuses[:4] == ["fetched"] * 4
    assert set(statuses[4:]) == {"not tried"}
    assert set(tree(tmp_path / "to")) == {f"files/{i}" for i in range(4)}


def test_a_bug_in_a_check_is_not_swallowed(tmp_path, loopback, fetch):
    def check(path: Path) -> dict[str, int]:
        raise ZeroDivisionError

    server = loopback({f"/{i}": file_handler(b"x") for i in range(5)})
    files = [remote(server, str(i), check=check) for i in range(5)]
    with pytest.raises(ZeroDivisionError):
        fetch(plan_of(tmp_path / "to", *files))


def test_unreachable_is_named_with_the_tries_it_took(tmp_path, fetch):
    file = RemoteFile(address="file:1", url="http://127.0.0.1:1/a", path="a", kind="files")
    report = fetch(plan_of(tmp_path / "to", file))
    assert isinstance(report.failed[0].error, UnreachableError)
    assert report.failed[0].attempts == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_refused_before_anything(tmp_path, loopback, fetch):
    server = loopback({"/a": file_handler(b"x")})
    (tmp_path / "to").mkdir(mode=0o500)
    with pytest.raises(StoreError, match="cannot write here"):
        fetch(plan_of(tmp_path / "to", remote(server, "a")))
    assert server.seen == []
