"""Many small files: by multi handles what goes smoothly, by the ordinary engine the rest."""

from __future__ import annotations

import hashlib
import os
import signal
import ssl
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from disks import mounted, resize
from loopback import Reply, Request, file_handler

from openallen.errors import (
    AnswerError,
    CorruptError,
    NotFoundError,
    OpenAllenError,
    SpaceError,
    StatusError,
    TruncatedError,
)
from openallen.plans import Plan, RemoteFile
from openallen.store import Index, Leases
from openallen.transfer import Interrupted, run
from openallen.transport import Http, Retry

QUICK = Retry(attempts=3, first_wait_s=0.01)


def body_of(number: int, size: int = 3000) -> bytes:
    seed = hashlib.sha256(str(number).encode()).digest()
    return (seed * (size // 32 + 1))[:size]


def remote(url: str, number: int, size: int = 3000, **options) -> RemoteFile:
    told = {
        "size_bytes": size,
        "digest": "blake2b:" + hashlib.blake2b(body_of(number, size)).hexdigest(),
    } | options
    return RemoteFile(
        address=f"file:{number}", url=f"{url}/{number}", path=f"f/{number}", kind="files", **told
    )


def plan_of(to: Path, files: list[RemoteFile], connections: int = 64) -> Plan:
    return Plan(
        address="file:all",
        title="files",
        source="test",
        to=to,
        files=tuple(files),
        connections=connections,
    )


@pytest.fixture
def fetch(tmp_path):
    with Index(tmp_path / "index") as index:

        def go(plan: Plan, *, silence_s: float = 5.0, **options):
            with Http(silence_timeout_s=silence_s) as http:
                return run(plan, http=http, index=index, **({"retry": QUICK} | options))

        yield go


def bodies_in(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.glob("f/*")}


def test_a_thousand_small_files_on_few_connections_each_asked_for_once(tmp_path, loopback, fetch):
    count = 1000
    server = loopback({f"/{i}": file_handler(body_of(i)) for i in range(count)})
    plan = plan_of(tmp_path / "to", [remote(server.url, i) for i in range(count)])
    report = fetch(plan)
    assert report.ok
    assert len(server.seen) == count
    assert server.connections <= 64
    assert bodies_in(tmp_path / "to") == {str(i): body_of(i) for i in range(count)}
    assert all(o.digest == o.file.digest and o.attempts == 1 for o in report.fetched)
    again = fetch(plan)
    assert len(again.here) == count
    assert len(server.seen) == count


def test_each_trouble_is_named_and_the_others_arrive(tmp_path, loopback, fetch):
    tries: dict[int, int] = {}

    def once(number: int, bad):
        """Answer badly the first time, well afterwards."""

        def handle(request: Request, reply: Reply) -> None:
            tries[number] = tries.get(number, 0) + 1
            (bad if tries[number] == 1 else file_handler(body_of(number)))(request, reply)

        return handle

    def cut(request: Request, reply: Reply) -> None:
        reply.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n" + b"x" * 100)
        reply.cut()

    def torn_head(request: Request, reply: Reply) -> None:
        reply.raw(b"HTTP/1.1 200 OK\r\nConte")
        time.sleep(0.05)
        reply.raw(b"nt-Length: 3000\r\n\r\n" + body_of(14)[:7])
        time.sleep(0.05)
        reply.raw(body_of(14)[7:])

    def closing(request: Request, reply: Reply) -> None:
        reply.send(body_of(15), headers={"Connection": "close"})
        reply.cut()

    routes = {f"/{i}": file_handler(body_of(i)) for i in range(60)}
    routes |= {
        "/1": lambda q, r: r.send(b"gone", "404 Not Found"),
        "/2": file_handler(b"y" * 3000),
        "/3": file_handler(body_of(3)[:2000]),
        "/4": file_handler(body_of(4) + b"more"),
        "/5": lambda q, r: r.send(b"no", "500 Internal Server Error"),
        "/6": file_handler(b"<html>" + b" " * 2994),
        "/7": once(7, cut),
        "/8": once(8, lambda q, r: r.stall()),
        "/9": once(9, lambda q, r: r.send(b"no", "503 Slow Down")),
        "/10": lambda q, r: r.chunked([body_of(10)[:1000], body_of(10)[1000:]]),
        "/11": lambda q, r: r.send(b"", "302 Found", {"Location": f"{server.url}/elsewhere"}),
        "/12": once(12, lambda q, r: r.raw(b"SSH-2.0-hello\r\n\r\n")),
        "/13": once(13, lambda q, r: r.cut()),
        "/14": torn_head,
        "/15": closing,
        "/elsewhere": file_handler(body_of(11)),
    }
    server = loopback(routes)
    files = [remote(server.url, i) for i in range(60)]
    files[6] = remote(server.url, 6, expects=frozenset({"hdf5"}))
    leases = Leases()
    report = fetch(plan_of(tmp_path / "to", files), silence_s=3, leases=leases)
    leases.close()
    errors = {o.file.path: type(o.error) for o in report.failed}
    assert errors == {
        "f/1": NotFoundError,
        "f/2": CorruptError,
        "f/3": TruncatedError,
        "f/4": CorruptError,
        "f/5": StatusError,
        "f/6": AnswerError,
    }
    found = bodies_in(tmp_path / "to")
    assert found == {str(i): body_of(i) for i in range(60) if f"f/{i}" not in errors}


def test_a_service_that_has_enough_is_not_stormed(tmp_path, loopback, fetch):
    count = 400
    slow_down = {f"/{i}": lambda q, r: r.send(b"", "503 Slow Down") for i in range(count)}
    server = loopback(slow_down)
    files = [remote(server.url, i) for i in range(count)]
    report = fetch(plan_of(tmp_path / "to", files), retry=Retry(attempts=1, first_wait_s=0.01))
    assert len(report.failed) == count
    assert len(server.seen) < count + 60  # the lane ends after a few refusals
    assert not list((tmp_path / "to").rglob("*.lease*"))


def test_damaged_files_are_replaced_and_said_to_have_been(tmp_path, loopback, fetch):
    server = loopback({f"/{i}": file_handler(body_of(i)) for i in range(40)})
    plan = plan_of(tmp_path / "to", [remote(server.url, i) for i in range(40)])
    assert fetch(plan).ok
    for number in range(0, 40, 2):
        (tmp_path / "to" / "f" / str(number)).write_bytes(b"z" * 3000)
    report = fetch(plan)
    assert report.ok
    assert sorted(int(o.file.path[2:]) for o in report.fetched if o.damaged) == [*range(0, 40, 2)]
    assert bodies_in(tmp_path / "to") == {str(i): body_of(i) for i in range(40)}


def test_ctrl_c_in_the_lane_gives_lease_back_and_tells_what_is_there(tmp_path, loopback, fetch):
    def answer(number: int):
        return file_handler(body_of(number)) if number < 50 else lambda q, r: r.stall()

    server = loopback({f"/{i}": answer(i) for i in range(200)})
    plan = plan_of(tmp_path / "to", [remote(server.url, i) for i in range(200)], connections=8)
    leases = Leases()

    def when_stalled() -> None:
        while len(list((tmp_path / "to").glob("f/*[0-9]"))) < 50:
            time.sleep(0.02)
        time.sleep(0.2)  # for a file to be counted after its last step
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=when_stalled, daemon=True).start()
    with pytest.raises(Interrupted) as caught:
        fetch(plan, leases=leases, silence_s=600)  # nothing but Ctrl-C ends it
    here = [o for o in caught.value.report.outcomes if o.status == "fetched"]
    assert len(here) == 50
    assert sorted(bodies_in(tmp_path / "to")) == sorted(o.file.path[2:] for o in here)
    leases.close()


def test_small_files_over_tls(tmp_path, loopback, fetch, monkeypatch):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    made += ["-keyout", str(key), "-out", str(cert), "-subj", "/CN=localhost"]
    made += ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(made, check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    server = loopback({f"/{i}": file_handler(body_of(i, 150_000)) for i in range(40)})
    server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.tls.load_cert_chain(cert, key)
    url = server.url.replace("http://127.0.0.1", "https://localhost")
    report = fetch(plan_of(tmp_path / "to", [remote(url, i, 150_000) for i in range(40)]))
    report.raise_if_failed()
    assert bodies_in(tmp_path / "to") == {str(i): body_of(i, 150_000) for i in range(40)}
    assert len(server.seen) == 40


@pytest.fixture
def small_disk(tmp_path):
    """A real file system that holds 2,900 files of a page each, and a little."""
    with mounted(tmp_path / "disk", 2_905 * 4096) as disk:
        yield disk


def test_the_disk_is_full_at_file_2900_of_3021(tmp_path, loopback, fetch, small_disk):
    count = 3021
    server = loopback({f"/{i}": file_handler(body_of(i)) for i in range(count)})
    plan = plan_of(small_disk / "to", [remote(server.url, i) for i in range(count)])
    report = fetch(plan)
    with pytest.raises(SpaceError):
        report.raise_if_failed()
    assert 2_800 < len(report.fetched) <= 2_905
    found = bodies_in(small_disk / "to")
    assert all(found[o.file.path[2:]] == body_of(int(o.file.path[2:])) for o in report.fetched)
    assert set(found) == {o.file.path[2:] for o in report.fetched}  # no lease, no part, no more
    resize(small_disk, 64 << 20)
    before = len(server.seen)
    again = fetch(plan)
    assert again.ok
    assert len(again.here) == len(report.fetched)
    assert len(server.seen) - before == count - len(report.fetched)


@pytest.mark.parametrize("count", [40, 3])  # by the lane, and the ordinary way
def test_verify_later_reads_nothing_now_and_everything_afterwards(tmp_path, loopback, fetch, count):
    server = loopback({f"/{i}": file_handler(body_of(i)) for i in range(count)})
    server.routes["/1"] = file_handler(b"w" * 3000)  # the right size, the wrong bytes
    server.routes["/2"] = file_handler(body_of(2)[:-1])
    plan = plan_of(tmp_path / "to", [remote(server.url, i) for i in range(count)])
    report = fetch(plan, verify=False)
    assert [type(o.error) for o in report.failed] == [TruncatedError]  # sizes are always compared
    assert len(report.unread) == count - 1
    assert f"not verified  {count - 1} files" in str(report)
    server.routes["/2"] = file_handler(body_of(2))
    asked = len(server.seen)
    assert fetch(plan, verify=False).ok
    assert len(server.seen) == asked + 1
    server.routes["/1"] = file_handler(body_of(1))
    whole = fetch(plan)
    assert whole.ok
    assert not whole.unread
    assert [o.file.path for o in whole.fetched] == ["f/1"]
    assert bodies_in(tmp_path / "to") == {str(i): body_of(i) for i in range(count)}


@pytest.mark.parametrize("count", [40, 3])  # many at once, and one by one
def test_a_file_that_somebody_removes_at_once_is_fetched_again_or_named(tmp_path, loopback, count):
    class Swept(Index):
        """Somebody else's clean-up strikes between the name and the record, once."""

        def remember(self, path, **told):
            if path.name == "1" and not swept:
                swept.append(path)
                path.unlink()
            return super().remember(path, **told)

    swept: list[Path] = []
    server = loopback({f"/{i}": file_handler(body_of(i)) for i in range(count)})
    plan = plan_of(tmp_path / "to", [remote(server.url, i) for i in range(count)])
    with Http() as http, Swept(tmp_path / "index") as index:
        report = run(plan, http=http, index=index, retry=QUICK)
        again = run(plan, http=http, index=index, retry=QUICK)
    assert swept
    assert len(report.outcomes) == count
    assert len(report.fetched) >= count - 1  # it costs nobody else
    assert all(isinstance(o.error, OpenAllenError) for o in report.failed)
    assert again.ok
    assert bodies_in(tmp_path / "to") == {str(i): body_of(i) for i in range(count)}


@pytest.mark.parametrize("connections", [8, 48])
def test_what_is_under_way_where_the_rest_is_left_is_asked_for_once(
    tmp_path, loopback, fetch, connections
):
    """Many failures end the lane; files that are coming meanwhile come to their end."""
    bodies = {f"/{i}": file_handler(body_of(i)) for i in range(60)}

    def broken(q: Request, r: Reply) -> None:
        if q.number > 1:
            bodies[q.target](q, r)
        else:
            r.send(b"", "500 Internal Server Error")

    def slow(q: Request, r: Reply) -> None:
        time.sleep(0.5)
        bodies[q.target](q, r)

    server = loopback({p: broken if i % 2 else slow for i, p in enumerate(bodies)})
    report = fetch(plan_of(tmp_path, [remote(server.url, i) for i in range(60)], connections))
    assert report.ok
    asked = Counter(q.target for q in server.seen)
    assert [asked[f"/{i}"] for i in range(0, 60, 2)] == [1] * 30


@pytest.mark.parametrize("count", [2, 40])
def test_a_file_that_is_published_empty_is_fetched_and_vouched_for(
    tmp_path, loopback, fetch, count
):
    names = range(count)
    bodies = {i: b"" if i % 2 else body_of(i) for i in names}
    server = loopback({f"/{i}": file_handler(bodies[i]) for i in names})
    files = [
        remote(server.url, i, len(bodies[i]), digest=f"md5:{hashlib.md5(bodies[i]).hexdigest()}")
        for i in names
    ]
    report = fetch(plan_of(tmp_path / "to", files))
    assert [o.error for o in report.outcomes] == [None] * count
    assert {i: (tmp_path / f"to/f/{i}").read_bytes() for i in names} == bodies
    again = fetch(plan_of(tmp_path / "to", files))
    assert len(again.here) == count
    assert len(server.seen) == count


def test_an_empty_answer_is_no_file_where_something_was_published(tmp_path, loopback, fetch):
    server = loopback({f"/{i}": file_handler(b"") for i in range(2)})
    digests = [f"md5:{hashlib.md5(b'x').hexdigest()}", ""]
    files = [remote(server.url, i, size_bytes=None, digest=d) for i, d in enumerate(digests)]
    report = fetch(plan_of(tmp_path, files))
    assert [type(o.error) for o in report.outcomes] == [TruncatedError] * 2
