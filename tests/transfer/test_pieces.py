"""Large files in pieces, over many connections, on real sockets."""

from __future__ import annotations

import hashlib
import random
import threading
import time

import pytest

from openallen.errors import CorruptError, IntegrityError, ServiceError
from openallen.plans import Plan, RemoteFile
from openallen.store import Index, digest_of
from openallen.transfer.engine import run
from openallen.transport import Http, Retry

BODY = random.Random(1).randbytes(3_000_017)
DIGEST = f"blake2b:{hashlib.blake2b(BODY).hexdigest()}"


class Ranged:
    """Answers ranges of a body, as told otherwise by ``trouble(number, first, last)``."""

    def __init__(self, body: bytes = BODY, trouble=None, etag='"one"') -> None:
        self.body, self.trouble, self.etag = body, trouble, etag
        self.asked: list[tuple[int, int]] = []
        self.lock = threading.Lock()
        self.busy = self.most = 0

    def __call__(self, request, reply) -> None:
        span = request.headers.get("range", "")
        if not span:
            reply.send(self.body, headers={"ETag": self.etag})
            return
        first, _, last = span.removeprefix("bytes=").partition("-")
        first, last = int(first), int(last or len(self.body) - 1)
        with self.lock:
            self.asked.append((first, last))
            number = len(self.asked)
            self.busy += 1
            self.most = max(self.most, self.busy)
        try:
            if self.trouble is None or not self.trouble(self, reply, number, first, last):
                self.part(reply, first, last)
        finally:
            with self.lock:
                self.busy -= 1

    def part(self, reply, first: int, last: int, sent: int | None = None) -> None:
        piece = self.body[first : last + 1]
        head = (
            f"HTTP/1.1 206 Partial Content\r\nContent-Length: {len(piece)}\r\nETag: {self.etag}\r\n"
            f"Content-Range: bytes {first}-{last}/{len(self.body)}\r\n\r\n"
        )
        reply.raw(head.encode() + piece[:sent])
        if sent is not None:
            reply.cut()


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch):
    monkeypatch.setattr("openallen.transfer.pieces.PIECE_BYTES", 100_000)
    monkeypatch.setattr("openallen.transfer.download.WORTH_BYTES", 1_000_000)
    monkeypatch.setattr("openallen.transport.retry.Retry.wait_s", lambda *_: 0.01)


def fetch(server, to, *, digest=DIGEST, attempts=4):
    file = RemoteFile(
        address="file:1", url=f"{server.url}/big", path="big", kind="files",
        size_bytes=len(BODY), digest=digest,
    )  # fmt: skip
    plan = Plan(address="file:1", title="big", source="t", to=to, files=(file,), connections=32)
    with Http() as http, Index(to / "index") as index:
        return run(plan, http=http, index=index, retry=Retry(attempts=attempts))


def test_pieces_come_side_by_side_and_make_the_file(loopback, tmp_path):
    met = threading.Barrier(2, timeout=100)

    def together(server, reply, number, first, last) -> bool:
        if number in {2, 3}:  # after the first has told the version: held until both are there
            met.wait()
        return False

    served = Ranged(trouble=together)
    report = fetch(loopback({"/big": served}), tmp_path)
    report.raise_if_failed()
    assert (tmp_path / "big").read_bytes() == BODY
    assert sorted(served.asked) == [
        (at, min(at + 100_000, len(BODY)) - 1) for at in range(0, len(BODY), 100_000)
    ]
    assert not met.broken
    assert served.most >= 2
    assert report.fetched_bytes == len(BODY)
    assert not list(tmp_path.glob("*.part*"))


def test_pieces_that_break_off_go_on_where_they_broke(loopback, tmp_path):
    def cut(server, reply, number, first, last):
        if number % 3 == 0:
            server.part(reply, first, last, sent=40_000)
            return True
        return False

    served = Ranged(trouble=cut)
    fetch(loopback({"/big": served}), tmp_path).raise_if_failed()
    assert (tmp_path / "big").read_bytes() == BODY
    assert sum(last - first + 1 for first, last in served.asked) < 2 * len(BODY)
    assert any((first % 100_000) for first, _ in served.asked)


@pytest.mark.parametrize("pages", [1, 2])
def test_a_page_in_place_of_a_piece_costs_no_more_than_what_came_behind_it(
    loopback, tmp_path, pages
):
    """As a proxy's sign-in page: what is whole from the start on is kept, and gone on with."""
    page = b"<!DOCTYPE html><html>sign in</html>"
    at = 1_900_000

    def sign_in(server, reply, number, first, last):
        if first == at and last < at + 100_000:
            while server.busy > 1 or len({f for f, _ in server.asked if f < at}) < 19:
                time.sleep(0.01)
        whole = (at, len(BODY) - 1)
        if first == at and (last < whole[1] or server.asked.count(whole) < pages):
            reply.send(page)
            return True
        return False

    served = Ranged(trouble=sign_in)
    fetch(loopback({"/big": served}), tmp_path).raise_if_failed()
    assert (tmp_path / "big").read_bytes() == BODY
    assert served.asked[-pages:] == [(at, len(BODY) - 1)] * pages
    assert not list(tmp_path.glob("*.part*"))


@pytest.mark.parametrize("odd", ["a page", "every header twice"])
def test_an_odd_answer_before_all_others_costs_no_byte_of_theirs(loopback, tmp_path, odd):
    """Whether the service knows ranges is not known yet: what is under way is waited for."""
    told = threading.Event()

    def first_is_odd(server, reply, number, first, last):
        if number > 1:
            told.wait(60)
            return False
        if odd == "a page":
            reply.send(b"<!DOCTYPE html><html>sign in</html>")
        else:
            head = f"Content-Range: bytes {first}-{last}/{len(BODY)}\r\nETag: {server.etag}\r\n"
            size = f"Content-Length: {last - first + 1}\r\n\r\n"
            reply.raw(f"HTTP/1.1 206 Partial Content\r\n{head}{head}{size}".encode())
            reply.raw(BODY[first : last + 1])
        threading.Timer(0.5, told.set).start()  # the client has seen it by then, most likely
        return True

    served = Ranged(trouble=first_is_odd)
    fetch(loopback({"/big": served}), tmp_path).raise_if_failed()
    assert (tmp_path / "big").read_bytes() == BODY
    ranges = [(at, min(at + 100_000, len(BODY)) - 1) for at in range(0, len(BODY), 100_000)]
    assert sorted(served.asked) == sorted([*ranges, served.asked[0]])


def test_a_service_without_ranges_is_taken_as_it_is(loopback, tmp_path):
    def whole(server, reply, number, first, last):
        reply.send(server.body)
        return True

    fetch(loopback({"/big": Ranged(trouble=whole)}), tmp_path).raise_if_failed()
    assert (tmp_path / "big").read_bytes() == BODY


def test_a_file_that_changes_on_the_way_is_begun_again(loopback, tmp_path):
    def change(server, reply, number, first, last):
        if number == 10:
            server.etag = '"two"'
        return False

    fetch(loopback({"/big": Ranged(trouble=change)}), tmp_path).raise_if_failed()
    assert (tmp_path / "big").read_bytes() == BODY


def test_a_wrong_byte_is_found_and_nothing_kept(loopback, tmp_path):
    spoilt = bytearray(BODY)
    spoilt[1_500_000] ^= 1
    report = fetch(loopback({"/big": Ranged(bytes(spoilt))}), tmp_path, attempts=2)
    with pytest.raises(CorruptError):
        report.raise_if_failed()
    assert not (tmp_path / "big").exists()


def test_another_size_than_published_is_found(loopback, tmp_path):
    report = fetch(loopback({"/big": Ranged(BODY[:-5])}), tmp_path, attempts=2)
    with pytest.raises((IntegrityError, ServiceError)):
        report.raise_if_failed()
    assert not (tmp_path / "big").exists()


def test_the_next_run_goes_on_behind_what_is_whole(loopback, tmp_path):
    def dead(server, reply, number, first, last):
        if first >= 1_000_000:
            reply.send(b"", status="404 Not Found")
            return True
        return False

    server = loopback({"/big": Ranged(trouble=dead)})
    assert not fetch(server, tmp_path, attempts=2).ok
    served = Ranged()
    server.routes["/big"] = served
    fetch(server, tmp_path).raise_if_failed()
    assert (tmp_path / "big").read_bytes() == BODY
    assert min(first for first, _ in served.asked) >= 500_000
    assert digest_of(tmp_path / "big", "blake2b") == DIGEST


@pytest.mark.parametrize(
    ("sent", "error"), [(BODY[:900], IntegrityError), (BODY[:1100], CorruptError)]
)
def test_a_small_file_is_whole_before_anything_is_written(loopback, tmp_path, sent, error):
    file = RemoteFile(
        address="file:2", url=loopback({"/small": Ranged(sent)}).url + "/small", path="small",
        kind="files", size_bytes=1000, digest=f"blake2b:{hashlib.blake2b(BODY[:1000]).hexdigest()}",
    )  # fmt: skip
    plan = Plan(address="file:2", title="small", source="t", to=tmp_path, files=(file,))
    with Http() as http, Index(tmp_path / "index") as index:
        report = run(plan, http=http, index=index, retry=Retry(attempts=2))
        with pytest.raises(error):
            report.raise_if_failed()
    assert [p.name for p in tmp_path.iterdir()] == ["index"]


def test_thousands_of_files_are_settled_by_one_look_at_the_index(loopback, tmp_path):
    served = Ranged(BODY[:1000])
    server = loopback({"/one": served})
    digest = f"blake2b:{hashlib.blake2b(BODY[:1000]).hexdigest()}"
    files = tuple(
        RemoteFile(
            address=f"file:{i}", url=f"{server.url}/one", path=f"d/{i:04}", kind="files",
            size_bytes=1000, digest=digest,
        )
        for i in range(300)
    )  # fmt: skip
    plan = Plan(address="file:all", title="many", source="t", to=tmp_path, files=files)
    with Http() as http, Index(tmp_path / "index") as index:
        first = run(plan, http=http, index=index)
        assert len(first.fetched) == 300
    (tmp_path / "d/0007").write_bytes(b"x" * 1000)
    (tmp_path / "d/0008").unlink()
    with Http() as http, Index(tmp_path / "index") as index:
        again = run(plan, http=http, index=index)
    assert [o.file.path for o in again.fetched] == ["d/0007", "d/0008"]
    assert [o.damaged for o in again.fetched] == [True, False]
    assert {o.digest for o in again.outcomes} == {digest}


def test_a_service_without_ranges_is_not_asked_for_each_piece_again(loopback, tmp_path):
    def whole(server, reply, number, first, last):
        reply.send(server.body)
        return True

    served = Ranged(trouble=whole)
    fetch(loopback({"/big": served}), tmp_path, attempts=4).raise_if_failed()
    assert len(served.asked) <= 16  # at most one for each connection, none twice


def test_what_an_archive_made_up_is_told_of_small_files_too(loopback, tmp_path):
    body = BODY[:1000]
    server = loopback(
        {"/s": lambda _, reply: reply.send(body, headers={"openallen-simulated": "true"})}
    )
    file = RemoteFile(
        address="file:3", url=f"{server.url}/s", path="s", kind="files", size_bytes=1000
    )
    plan = Plan(address="file:3", title="s", source="t", to=tmp_path, files=(file,))
    with Http() as http, Index(tmp_path / "index") as index:
        report = run(plan, http=http, index=index)
    assert report.fetched[0].facts == {"simulated": True}
