"""Forty clients at once: each gets the right bytes, none is sent away, the memory is bounded."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from archives import keep

from openallen.archive import archive_app, serving

CLIENTS = 40
LARGE_BYTES = 12 << 20
PICTURES = [bytes([n]) * (40_000 + n) for n in range(20)]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("classroom")
    (made / "tables").mkdir()
    rows = [{"id": n, "graph_id": n % 5, "acronym": f"S{n}"} for n in range(500)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (made / "tables" / "structures.jsonl").write_text(text)
    for n, body in enumerate(PICTURES):
        keep(made, f"/api/v2/image_download/{n}", body, "downsample=3")
    bucket = made / "buckets" / "lab-data"
    bucket.mkdir(parents=True)
    with (bucket / "session.nwb").open("wb") as file:
        file.truncate(LARGE_BYTES)
        for at in range(0, LARGE_BYTES, 1 << 20):
            file.seek(at)
            file.write(at.to_bytes(8, "big"))
    for n in range(50):
        (bucket / f"{n:03}").write_bytes(b"x")
    return made


@pytest.fixture(scope="module")
def server(root) -> Iterator[tuple[str, int]]:
    """Serve it by the command line, in a process of its own."""
    command = [sys.executable, "-m", "openallen", "serve", "--archive", str(root), "--ids"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout
        url = running.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        yield url, running.pid
        running.terminate()


def one_client(url: str, seed: int, whole: bytes, out: list[str]) -> None:
    """Ask for rows, pictures, parts, listings, and once for a large file, over one connection."""
    order = random.Random(seed)
    asked = http.client.HTTPConnection(url.removeprefix("http://"), timeout=120)

    def get(path: str, **headers: str) -> tuple[int, bytes]:
        asked.request("GET", path, headers=headers)
        answer = asked.getresponse()
        return answer.status, answer.read()

    def rows() -> bool:
        graph = order.randrange(5)
        query = f"model::Structure,rma::criteria,[graph_id$eq{graph}],rma::options[num_rows$eq100]"
        found = json.loads(get(f"/api/v2/data/query.json?criteria={query}")[1])["msg"]
        return [row["id"] for row in found] == list(range(graph, 500, 5))

    def picture() -> bool:
        n = order.randrange(len(PICTURES))
        return get(f"/api/v2/image_download/{n}?downsample=3") == (200, PICTURES[n])

    def part() -> bool:
        at, count = order.randrange(LARGE_BYTES - 600_000), order.randrange(1, 600_000)
        status, body = get("/lab-data/session.nwb", range=f"bytes={at}-{at + count - 1}")
        return (status, body) == (206, whole[at : at + count])

    def listing() -> bool:
        return get("/lab-data?list-type=2")[1].count(b"<Key>") == 51

    def large() -> bool:
        return get("/lab-data/session.nwb") == (200, whole)

    script = [rows] * 3 + [picture] * 5 + [part] * 4 + [listing, large]
    order.shuffle(script)
    with closing(asked):
        out += [f"{seed}: {ask.__name__}" for ask in script if not ask()]
    out.append("done")


def test_forty_clients_at_once_get_the_right_bytes(root, server):
    url, process = server
    whole = (root / "buckets" / "lab-data" / "session.nwb").read_bytes()
    out: list[str] = []
    threads = [
        threading.Thread(target=one_client, args=(url, seed, whole, out)) for seed in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert out == ["done"] * CLIENTS
    status = Path(f"/proc/{process}/status")
    if status.exists():  # what is sent is not in memory: the large files alone are 480 MB
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        assert int(peak.split()[1]) < 300_000


def test_hundreds_of_connections_at_once_wait_their_turn(root):
    async def ask(port: int, n: int) -> tuple[int, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        path = f"/api/v2/image_download/{n}?downsample=3"
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )
        head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
        writer.close()
        return int(head.split()[1]), body

    async def all_of(port: int) -> list[tuple[int, bytes]]:
        return await asyncio.gather(*(ask(port, n % len(PICTURES)) for n in range(500)))

    with serving(archive_app(root)) as url:
        found = asyncio.run(all_of(int(url.rpartition(":")[2])))
    assert {status for status, _ in found} == {200}
    right = [hashlib.sha256(body).digest() for body in PICTURES]
    assert [hashlib.sha256(b).digest() for _, b in found] == [
        right[n % len(right)] for n in range(500)
    ]
