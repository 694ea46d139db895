"""Files of some megabytes, many at once: written and hashed as they come, gone on with after a break."""

from __future__ import annotations

import hashlib
import signal
import threading
import time
from pathlib import Path

import pytest
from loopback import Loopback, Reply, Request

from openallen.errors import AnswerError, CorruptError, NotFoundError, StatusError, TruncatedError
from openallen.plans import Plan, RemoteFile
from openallen.store import Index, Leases
from openallen.transfer import Interrupted, run
from openallen.transfer.bulk import SMALL_BYTES
from openallen.transfer.progress import Meter, Quiet
from openallen.transport import Http, Retry

SIZE = SMALL_BYTES + 300_017
COUNT = 24
QUICK = Retry(attempts=3, first_wait_s=0.01)


def body_of(number: int) -> bytes:
    seed = hashlib.sha256(str(number).encode()).digest()
    return (seed * (SIZE // 32 + 1))[:SIZE]


def digest_of(number: int) -> str:
    return f"blake2b:{hashlib.blake2b(body_of(number)).hexdigest()}"


def remote(url: str, number: int, **options) -> RemoteFile:
    told = {"size_bytes": SIZE, "digest": digest_of(number)} | options
    return RemoteFile(
        address=f"file:{number}", url=f"{url}/{number}", path=f"f/{number}", kind="files", **told
    )


def plan_of(to: Path, files: list[RemoteFile]) -> Plan:
    return Plan(
        address="file:all", title="files", source="test", to=to, files=tuple(files), connections=32
    )


def serve(number: int, sent: int | None = None, *, stall: bool = False, etag: str = '"one"'):
    """Answer with a file, or what is asked for of it; the first time only `sent` bytes."""

    def handle(request: Request, reply: Reply) -> None:
        body = body_of(number)
        span = request.headers.get("range", "")
        first = int(span.removeprefix("bytes=").partition("-")[0]) if span else 0
        status = "206 Partial Content" if span else "200 OK"
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {SIZE - first}", f"ETag: {etag}"]
        lines += [f"Content-Range: bytes {first}-{SIZE - 1}/{SIZE}"] if span else []
        reply.raw("\r\n".join([*lines, "", ""]).encode())
        broken = sent is not None and request.number == 1
        reply.raw(body[first:sent] if broken else body[first:])
        if broken and stall:
            reply.stall()
        elif broken:
            reply.cut()

    return handle


@pytest.fixture
def fetch(tmp_path):
    with Index(tmp_path / "index") as index:

        def go(plan: Plan, *, silence_s: float = 10.0, **options):
            with Http(silence_timeout_s=silence_s) as http:
                return run(plan, http=http, index=index, **({"retry": QUICK} | options))

        yield go


def files_of(server: Loopback, **options) -> list[RemoteFile]:
    return [remote(server.url, i, **options) for i in range(COUNT)]


def found_in(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.blake2b(p.read_bytes()).hexdigest() for p in folder.glob("f/*")}


WHOLE = {str(i): digest_of(i).partition(":")[2] for i in range(COUNT)}


@pytest.mark.parametrize("verify", [True, False])
def test_each_is_asked_for_once_and_recorded(tmp_path, loopback, fetch, verify):
    server = loopback({f"/{i}": serve(i) for i in range(COUNT)})
    plan = plan_of(tmp_path / "to", files_of(server))
    report = fetch(plan, verify=verify)
    report.raise_if_failed()
    assert [o.attempts for o in report.fetched] == [1] * COUNT
    assert [o.digest for o in report.fetched] == [
        digest_of(i) if verify else "" for i in range(COUNT)
    ]
    assert found_in(tmp_path / "to") == WHOLE
    assert fetch(plan, verify=verify).here
    assert len(server.seen) == COUNT


def test_what_came_before_a_break_is_not_fetched_again(tmp_path, loopback, fetch):
    broken = {3: 900_000, 7: SIZE - 1, 11: 17}
    server = loopback({f"/{i}": serve(i, broken.get(i)) for i in range(COUNT)})
    fetch(plan_of(tmp_path / "to", files_of(server))).raise_if_failed()
    assert found_in(tmp_path / "to") == WHOLE
    asked = {int(q.target[1:]): q.headers["range"] for q in server.seen if "range" in q.headers}
    assert asked == {n: f"bytes={sent}-" for n, sent in broken.items()}
    assert all(q.headers["if-range"] == '"one"' for q in server.seen if "range" in q.headers)


def test_without_a_mark_or_digest_a_break_starts_over(tmp_path, loopback, fetch):
    server = loopback(
        {f"/{i}": serve(i, 900_000 if i == 5 else None, etag="") for i in range(COUNT)}
    )
    fetch(plan_of(tmp_path / "to", files_of(server, digest=""))).raise_if_failed()
    assert found_in(tmp_path / "to") == WHOLE
    assert not any("range" in q.headers for q in server.seen)


def test_each_trouble_is_named_and_leaves_nothing(tmp_path, loopback, fetch):
    def send(body: bytes, status: str = "200 OK", **headers: str):
        return lambda q, r: r.send(body, status, headers)

    server = loopback({f"/{i}": serve(i) for i in range(COUNT)})
    server.routes |= {
        "/1": send(b"gone", "404 Not Found"),
        "/2": send(b"w" * SIZE),
        "/3": send(body_of(3)[:-5]),
        "/4": send(body_of(4) + b"more"),
        "/5": send(b"no", "500 Internal Server Error"),
        "/6": send(b"<html>" + b" " * (SIZE - 6)),
        "/7": send(b"x" * SIZE, **{"Content-Encoding": "br"}),
        "/8": send(b""),
        "/9": send(b"", "302 Found", Location=f"{server.url}/elsewhere"),
        "/elsewhere": serve(9),
    }
    files = files_of(server)
    files[6] = remote(server.url, 6, expects=frozenset({"hdf5"}))
    report = fetch(plan_of(tmp_path / "to", files))
    assert {int(o.file.path[2:]): type(o.error) for o in report.failed} == {
        1: NotFoundError,
        2: CorruptError,
        3: TruncatedError,
        4: CorruptError,
        5: StatusError,
        6: AnswerError,
        7: AnswerError,
        8: TruncatedError,
    }
    failed = {o.file.path[2:] for o in report.failed}
    assert found_in(tmp_path / "to") == {n: d for n, d in WHOLE.items() if n not in failed}


def test_silence_in_mid_body_ends_and_the_rest_is_asked_for(tmp_path, loopback, fetch):
    server = loopback(
        {f"/{i}": serve(i, 700_000 if i == 2 else None, stall=True) for i in range(COUNT)}
    )
    fetch(plan_of(tmp_path / "to", files_of(server)), silence_s=0.5).raise_if_failed()
    assert found_in(tmp_path / "to") == WHOLE
    assert [q.headers["range"] for q in server.seen if "range" in q.headers] == ["bytes=700000-"]


def test_how_much_is_on_disk_is_recorded_while_a_file_comes(tmp_path, loopback, fetch, monkeypatch):
    """A killed process leaves a record another can go on from: here it is read before any end."""
    monkeypatch.setattr("openallen.transfer.arrivals._SAVE_EVERY_S", 0.01)
    seen: list[str] = []

    def watch(request: Request, reply: Reply) -> None:
        if request.number == 1 and "range" not in request.headers:
            reply.raw(f'HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\nETag: "one"\r\n\r\n'.encode())
            reply.raw(body_of(0)[:500_000])
            for _ in range(600):
                time.sleep(0.05)
                seen.extend(p.read_text() for p in (tmp_path / "to" / "f").glob("0.*.part.json"))
                if seen:
                    break
            reply.raw(body_of(0)[500_000:])
            return
        serve(0)(request, reply)

    server = loopback({f"/{i}": serve(i) for i in range(COUNT)} | {"/0": watch})
    fetch(plan_of(tmp_path / "to", files_of(server)), silence_s=60).raise_if_failed()
    assert '"done_bytes": 500000' in seen[0]
    assert found_in(tmp_path / "to") == WHOLE
    assert len(server.seen) == COUNT


class Watching(Quiet):
    """Interrupts the run once so many bytes have come."""

    def __init__(self, bytes_at: int) -> None:
        self.bytes_at = bytes_at

    def started(self, plan: Plan, meter: Meter) -> None:
        threading.Thread(target=self.watch, args=(meter,), daemon=True).start()

    def watch(self, meter: Meter) -> None:
        while meter.read().bytes_done < self.bytes_at:
            time.sleep(0.02)
        signal.raise_signal(signal.SIGINT)


def test_ctrl_c_keeps_what_came_and_the_next_run_goes_on(tmp_path, loopback, fetch):
    stalled = 10
    server = loopback(
        {f"/{i}": serve(i, 600_000 if i < stalled else None, stall=True) for i in range(COUNT)}
    )
    plan = plan_of(tmp_path / "to", files_of(server))
    leases = Leases()
    watching = Watching(stalled * 600_000 + (COUNT - stalled) * SIZE)
    with pytest.raises(Interrupted) as caught:
        fetch(plan, leases=leases, observer=watching, silence_s=60)
    leases.close()
    done = [o for o in caught.value.report.outcomes if o.status == "fetched"]
    assert len(done) == COUNT - stalled
    assert not list((tmp_path / "to").rglob("*.lease*"))
    fetch(plan).raise_if_failed()
    assert found_in(tmp_path / "to") == WHOLE
    ranges = [q.headers["range"] for q in server.seen if "range" in q.headers]
    assert ranges == ["bytes=600000-"] * stalled
