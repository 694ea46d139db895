"""The server on loopback: strangers are refused, numbers bounded, abandoned pictures not drawn."""

import asyncio
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from starlette.requests import Request

from openallen.archive.app import archive_app
from openallen.serving import timed
from openallen.serving.gate import BusyError, Gate, GoneError
from openallen.serving.server import serving


@pytest.fixture(scope="module")
def url():
    with serving(archive_app("sample")) as found:
        yield found


def ask(url, target, *headers, host=None):
    """Return status, head and body of the answer to a request written by hand."""
    place = urlsplit(url)
    lines = [f"GET {target} HTTP/1.1", f"Host: {host or place.netloc}" if host != "" else "X: y"]
    with socket.create_connection((place.hostname, place.port), timeout=60) as sock:
        sock.sendall("\r\n".join([*lines, *headers, "Connection: close", "", ""]).encode())
        answer = b"".join(iter(lambda: sock.recv(1 << 16), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode("latin-1"), body


def test_only_requests_of_this_machine_are_answered(url):
    port = urlsplit(url).port
    about = "/openallen/about.json"
    for host in ("127.0.0.1", f"localhost:{port}", f"[::1]:{port}", f"LOCALHOST:{port}"):
        assert ask(url, about, host=host)[0] == 200
    for host in (
        "evil.example",
        "127.0.0.1.evil.example",
        f"evil.example:{port}",
        "127.0.0.1@evil",
        "10.0.0.1",
    ):
        assert ask(url, about, host=host)[0] == 421, host
    assert ask(url, about, host="")[0] in {400, 421}
    for mine in (f"http://localhost:{port}", "http://127.0.0.1:3000"):
        assert ask(url, about, f"Origin: {mine}")[0] == 200
    for origin in ("https://evil.example", "null", "file://", "http://localhost.evil.example"):
        assert ask(url, about, f"Origin: {origin}")[0] == 403
    # What a picture in somebody's page makes a browser send: no Origin, but this.
    assert ask(url, about, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Dest: image")[0] == 403
    assert ask(url, about, "Sec-Fetch-Site: same-origin")[0] == 200


IMAGE = "/api/v2/image_download/321549654"
PATH = "/cgi-bin/imageservice?path=x"
DIGITS = "9" * 5000


@pytest.mark.parametrize(
    "target",
    [
        "/api/v2/data/Specimen/query.json?num_rows=100000000000000000000",
        f"/api/v2/data/Specimen/query.json?num_rows=1{'%30' * 25}", f"/api/v2/data/Specimen/query.json?id={DIGITS}",
        f"{IMAGE}?downsample=-1", f"{IMAGE}?downsample=-3", f"{IMAGE}?downsample=1000", f"{IMAGE}?quality=-5",
        f"{IMAGE}?downsample=x", f"/api/v2/image_download/{DIGITS}", f"{PATH}&downsample=-1",
        f"{PATH}&width=999999999999999999", f"{PATH}&left=-99", f"{PATH}&quality=1e5",
        f"/api/v2/well_known_file_download/{DIGITS}", f"/grid_data/download/{DIGITS}",
        "/grid_data/download_file/1?resolution=%C2%B2", "/grid_data/download_file/1?resolution=-5",
        f"/api/v2/data/Specimen/{DIGITS}.json", f"/api/v2/svg/{DIGITS}",
    ],
)  # fmt: skip
def test_numbers_without_bounds_are_refused(url, target):
    assert ask(url, target)[0] == 400


@pytest.mark.parametrize(
    "target",
    [
        "/api/v2/data/query.csv?criteria=model::{0}", "/api/v2/data/{0}/query.csv", "/api/v2/data/{0}/query.xml",
        "/api/v2/data/{0}/describe.json", "/api/v2/data/query.{0}", f"{IMAGE}?downsample={{0}}", f"{IMAGE}?{{0}}=1",
        "/cgi-bin/imageservice?path={0}", "/grid_data/download/69855739?include={0}",
        "/grid_data/download_file/1?image={0}", "/grid_data/download_file/1?resolution={0}",
        "/informatics-archive/{0}", "/api/v2/svg/1?{0}=1", "/{0}",
    ],
)  # fmt: skip
def test_nothing_of_a_request_comes_back_as_markup(url, target):
    script = "<script>alert(1)</script>"
    status, head, body = ask(url, target.format(quote(script, safe="")))
    assert status >= 400 or status == 200
    if "text/html" in head or "xml" in head:
        assert b"<script" not in body
    assert "nosniff" in head or status == 404
    if "html" in head.lower():
        assert "content-security-policy" in head


def test_a_redirect_leads_to_this_machine(url):
    status, head, _ = ask(url, IMAGE)
    assert status == 302
    assert f"location: //{urlsplit(url).netloc}/" in head
    assert ask(url, IMAGE, host="evil.example")[0] == 421


def test_a_request_that_never_ends_is_given_up(monkeypatch):
    monkeypatch.setattr(timed, "_HEAD_S", 0.3)
    with serving(archive_app("sample")) as url:
        place = urlsplit(url)
        for begun in (b"", b"GET /openallen/about.json HTTP/1.1\r\nHost: 127", b"GET"):
            with socket.create_connection((place.hostname, place.port), timeout=60) as sock:
                sock.sendall(begun)
                assert sock.recv(1000) == b""  # closed by the server
        kept = http.client.HTTPConnection(place.hostname, place.port, timeout=60)
        for _ in range(3):  # a connection in use is kept
            kept.request("GET", "/openallen/about.json")
            assert kept.getresponse().read().startswith(b"{")
            assert kept.sock is not None
            time.sleep(0.1)
        kept.close()


# --- what takes time ------------------------------------------------------------------------------


def a_request(gone):
    async def receive():
        if gone.is_set():
            return {"type": "http.disconnect"}
        await asyncio.sleep(3600)
        return {}

    return Request({"type": "http", "headers": [], "method": "GET", "path": "/"}, receive)


def test_a_few_at_once_some_wait_others_come_again():
    async def story():
        gate = Gate(most=1, queue=1)
        never, gone, hold = asyncio.Event(), asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        begun = asyncio.Event()

        def long(left):
            loop.call_soon_threadsafe(begun.set)
            while not (left() or hold.is_set()):
                time.sleep(0.01)
            return "left" if left() else "done"

        first = asyncio.ensure_future(gate.run(a_request(gone), long))
        await begun.wait()
        second = asyncio.ensure_future(gate.run(a_request(never), lambda _: "second"))
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await gate.run(a_request(never), lambda _: "third")
        gone.set()  # the first client hangs up: its work ends, and the second's begins
        with pytest.raises(GoneError):
            await first
        assert await second == "second"
        assert await gate.run(a_request(never), lambda _: "again") == "again"
        with pytest.raises(ZeroDivisionError):
            await gate.run(a_request(never), lambda _: 1 // 0)
        assert await gate.run(a_request(never), lambda _: "still") == "still"

    asyncio.run(story())


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_sixty_abandoned_pictures_neither_stop_the_server_nor_fill_the_memory():
    command = [sys.executable, "-m", "openallen", "serve", "--archive", "sample", "--json"]
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ
    )
    try:
        told = ""
        for line in server.stdout:
            told += line
            if line.startswith("}"):
                break
        url = json.loads(told)["url"]
        path = dict(
            p.split("=") for p in ask(url, IMAGE)[1].partition("?")[2].split("\r")[0].split("&")
        )["path"]
        place = urlsplit(url)
        for quality in range(30, 90):
            with socket.create_connection((place.hostname, place.port), timeout=60) as sock:
                target = f"/cgi-bin/imageservice?path={path}&quality={quality}"
                sock.sendall(f"GET {target} HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode())
        assert ask(url, "/openallen/about.json")[0] == 200
        assert ask(url, f"/cgi-bin/imageservice?path={path}&downsample=6")[0] == 200
        status = Path(f"/proc/{server.pid}/status").read_text()
        peak_mb = int(status.partition("VmHWM:")[2].split()[0]) // 1024
        assert peak_mb < 1500
    finally:
        server.terminate()
        server.wait(30)
        server.stdout.close()
