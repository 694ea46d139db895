"""A classroom that reads one archive: 40 clients at once, two cores, beside nginx.

    python benchmarks/classroom.py [--clients 40] [--rounds 1] [--json FILE]

A client is one of two kinds. Most are a keep-alive connection each, as a library holds one, which
asks one thing after the other, in an order of its own, without a pause: pages of rows, pictures
that the archive keeps, parts of a file of a bucket (1 MiB), pages of a listing. They are threads of
two processes, since forty interpreters would measure the machine, not the server. Four are
processes of curl, each of which loads a whole file of 64 MiB several times.

Every body is compared with what it must be. nginx serves the same bytes, all of them files: rows
and listings were made by our server before. So it is the bound, not a server of the same kind.
Server and clients share the cores. Needs nginx and curl.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

from web import nginx

PORT = 8979
ROWS = 2000
PICTURES = 300
PART_BYTES = 1 << 20
LARGE_BYTES = 64 << 20
KEYS = 3000
SCRIPT = {"rows": 20, "picture": 60, "part": 40, "listing": 4}
PROCESSES = 2
CURLS = 4
CURL_TIMES = 4


@dataclass(frozen=True)
class Step:
    """One request: what kind, where, which part, and the digest of what must come."""

    kind: str
    path: str
    part: str = ""
    digest: str = ""
    static: str = ""


def main() -> None:
    """Run ours, then nginx."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--clients", type=int, default=40)
    options.add_argument("--rounds", type=int, default=1)
    options.add_argument("--json", default="", help="write the figures to this file, too")
    given = options.parse_args()
    told = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
        root = Path(folder)
        steps = make(root / "archive")
        for _ in range(given.rounds):
            with ours(root / "archive") as (url, processes):
                steps = known(url, root / "www", steps)
                told.append(one("openallen", url, processes, steps, given))
            with theirs(root) as (url, processes):
                static = [Step(s.kind, s.static, s.part, s.digest) for s in steps]
                told.append(one("nginx", url, processes, static, given))
    if given.json:
        Path(given.json).write_text(json.dumps(told, indent=1))


def make(root: Path) -> list[Step]:
    """Write the archive; return one step for each thing that can be asked for."""
    noise = random.Random(19)
    (root / "tables").mkdir(parents=True)
    rows = [
        {"id": n, "data_set_id": n // 100, "section_number": n % 100, "width": 20_000 + n,
         "height": 15_000, "path": f"/external/aibssan/production/{n}.aff", "x": n, "y": 0}
        for n in range(1, ROWS + 1)
    ]  # fmt: skip
    (root / "tables" / "sub_images.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    steps = [
        Step("rows", "/api/v2/data/query.json?criteria=" + quote(
            f"model::SubImage,rma::criteria,[data_set_id$eq{n}],rma::options[order$eq'id']"
            "[num_rows$eq100]", safe=":,$"))
        for n in range(1, ROWS // 100)
    ]  # fmt: skip
    lines = []
    (root / "answers").mkdir()
    for n in range(PICTURES):
        body = b"\xff\xd8" + noise.randbytes(noise.randrange(30_000, 90_000)) + b"\xff\xd9"
        (root / "answers" / f"{n}.jpg").write_bytes(body)
        path = f"/api/v2/section_image_download/{n}"
        told: dict[str, Any] = {"path": path, "query": "downsample=3", "file": f"answers/{n}.jpg"}
        told |= {"content_type": "image/jpeg", "size_bytes": len(body), "status": 200}
        lines.append(json.dumps(told | {"sha256": hashlib.sha256(body).hexdigest()}) + "\n")
        steps.append(Step("picture", f"{path}?downsample=3"))
    (root / "answers.jsonl").write_text("".join(lines))
    bucket = root / "buckets" / "lab-data"
    (bucket / "keys").mkdir(parents=True)
    (bucket / "session.nwb").write_bytes(noise.randbytes(LARGE_BYTES))
    for n in range(KEYS):
        (bucket / "keys" / f"{n:05}").write_bytes(b"x")
    for at in range(0, LARGE_BYTES, PART_BYTES):
        part = f"bytes={at}-{at + PART_BYTES - 1}"
        steps.append(Step("part", "/lab-data/session.nwb", part))
    listing = "/lab-data?list-type=2&start-after=keys%2F"
    return [*steps, *(Step("listing", f"{listing}{n:05}") for n in range(0, KEYS, 500))]


def known(url: str, www: Path, steps: list[Step]) -> list[Step]:
    """Ask for everything once; return the steps with digests, and write what nginx serves."""
    www.mkdir(exist_ok=True)
    found = []
    for number, step in enumerate(steps):
        asked = http.client.HTTPConnection(url.removeprefix("http://"))
        asked.request("GET", step.path, headers={"range": step.part} if step.part else {})
        answer = asked.getresponse()
        body = answer.read()
        asked.close()
        assert answer.status in {200, 206}, (step, answer.status, body[:200])
        static = "/session.nwb" if step.part else f"/{step.kind}-{number}"
        if not step.part:
            (www / static[1:]).write_bytes(body)
        digest = hashlib.sha256(body).hexdigest()
        found.append(Step(step.kind, step.path, step.part, digest, static))
    large = www / "session.nwb"
    if not large.exists():
        large.hardlink_to(www.parent / "archive" / "buckets" / "lab-data" / "session.nwb")
    return found


@contextmanager
def ours(archive: Path) -> Iterator[tuple[str, list[int]]]:
    """Serve the archive by the command line."""
    words = ["serve", "--archive", str(archive), "--port", str(PORT), "--quiet"]
    server = subprocess.Popen([sys.executable, "-m", "openallen", *words])
    url = f"http://127.0.0.1:{PORT}"
    try:
        for _ in range(300):
            try:
                urlopen(f"{url}/openallen/about.json").close()
                break
            except OSError:
                time.sleep(0.1)
        yield url, [server.pid]
    finally:
        server.terminate()
        server.wait()


@contextmanager
def theirs(root: Path) -> Iterator[tuple[str, list[int]]]:
    """Serve the files by nginx."""
    http = (
        f"server {{ listen 127.0.0.1:{PORT} backlog=4096; root {root}/www; "
        "keepalive_requests 100000; }"
    )
    with nginx(root, http):
        master = int((root / "nginx.pid").read_text())
        children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        yield f"http://127.0.0.1:{PORT}", [int(child) for child in children]


# --- clients --------------------------------------------------------------------------------------


def client(host: str, steps: list[Step], seed: int, start: Any, out: list[Any]) -> None:
    """Ask for one thing after the other over one connection."""
    order = random.Random(seed)
    by_kind: dict[str, list[Step]] = defaultdict(list)
    for step in steps:
        by_kind[step.kind].append(step)
    mine = [order.choice(by_kind[kind]) for kind, count in SCRIPT.items() for _ in range(count)]
    order.shuffle(mine)
    connection = http.client.HTTPConnection(host, timeout=120)
    start.wait()
    for step in mine:
        began = time.perf_counter()
        try:
            connection.request("GET", step.path, headers={"range": step.part} if step.part else {})
            answer = connection.getresponse()
            body = answer.read()
            took, said = time.perf_counter() - began, ""
            if answer.status not in {200, 206}:
                said = f"status {answer.status}"
            elif hashlib.sha256(body).hexdigest() != step.digest:
                said = "wrong bytes"
        except (OSError, http.client.HTTPException) as error:
            took, body, said = time.perf_counter() - began, b"", repr(error)
            connection.close()
        out.append((step.kind, took, len(body), said))


def clients(host: str, steps: list[Step], seeds: list[int], start: Any, queue: Any) -> None:
    """Run clients in threads of this process."""
    out: list[Any] = []
    threads = [threading.Thread(target=client, args=(host, steps, s, start, out)) for s in seeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    queue.put(out)


def curls(url: str, steps: list[Step]) -> list[subprocess.Popen[bytes]]:
    """Start processes of curl, each of which loads the large file several times."""
    path = next(step.path for step in steps if step.part)
    words = ["curl", "-sS", "--fail", "--noproxy", "*", "-w", "%{http_code} %{size_download}\\n"]
    each = [word for _ in range(CURL_TIMES) for word in ("-o", "/dev/null", url + path)]
    return [subprocess.Popen([*words, *each], stdout=subprocess.PIPE) for _ in range(CURLS)]


def one(
    name: str, url: str, servers: list[int], steps: list[Step], given: argparse.Namespace
) -> dict[str, Any]:
    """Let all clients run against one server; print and return what it took."""
    context = multiprocessing.get_context("fork")
    start, queue = context.Event(), context.Queue()
    raw = max(1, given.clients - CURLS)
    share = [list(range(n, raw, PROCESSES)) for n in range(PROCESSES)]
    host = url.removeprefix("http://")
    running = [
        context.Process(target=clients, args=(host, steps, seeds, start, queue)) for seeds in share
    ]
    for process in running:
        process.start()
    time.sleep(1)
    before, began = cpu_s(servers), time.perf_counter()
    start.set()
    loading = curls(url, steps)
    out = [line for _ in running for line in queue.get()]
    loaded = [(p.communicate()[0].decode().split("\n"), p.returncode) for p in loading]
    took = time.perf_counter() - began
    used, memory = cpu_s(servers) - before, peak_mb(servers)
    whole = f"200 {LARGE_BYTES}"
    wrong = sum(lines[:CURL_TIMES] != [whole] * CURL_TIMES or code for lines, code in loaded)
    sent = sum(size for _, _, size, _ in out) + CURLS * CURL_TIMES * LARGE_BYTES
    errors = [said for *_, said in out if said]
    figures = {
        "server": name, "requests": len(out), "s": took, "mb_s": sent / took / 1e6,
        "errors": len(errors) + wrong, "cpu_s": used, "memory_mb": memory,
    }  # fmt: skip
    print(
        f"{name}, {given.clients} clients: {len(out)} requests and {CURLS * CURL_TIMES} files "
        f"in {took:.2f} s, "
        f"{figures['mb_s']:.0f} MB/s, {figures['errors']} errors, "
        f"{used:.2f} CPU s, peak memory {memory:.0f} MB"
    )
    for kind in SCRIPT:
        times = sorted(t * 1000 for k, t, *_ in out if k == kind)
        cuts = statistics.quantiles(times, n=20)
        figures[kind] = {"p50_ms": cuts[9], "p95_ms": cuts[18]}
        print(f"  {kind:8} p50 {cuts[9]:7.1f} ms   p95 {cuts[18]:7.1f} ms   ({len(times)})")
    for said in sorted(set(errors))[:5]:
        print("  error:", said, errors.count(said))
    return figures


def cpu_s(processes: list[int]) -> float:
    """Return the processor time that processes have used."""
    ticks = 0
    for process in processes:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def peak_mb(processes: list[int]) -> float:
    """Return the most memory that processes have had, in MB."""
    total = 0
    for process in processes:
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                total += int(line.split()[1])
    return total * 1024 / 1e6


if __name__ == "__main__":
    main()
