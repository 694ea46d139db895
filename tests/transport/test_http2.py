"""Ranges from a server that speaks HTTP/2: nginx, with a certificate made for this test."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from openallen.transport import Http
from openallen.transport.ranges import BLOCK_BYTES, RangeFile

BODY = bytes(range(256)) * (60 * BLOCK_BYTES // 256)
CONFIG = """daemon off; pid {root}/pid; error_log {root}/errors; {user}
events {{ worker_connections 256; }}
http {{ {places}
log_format told '$server_protocol $connection $http_range'; access_log {root}/log told;
server {{ listen {plain}; root {root}/www; }}
server {{ listen {secure} ssl http2; root {root}/www;
ssl_certificate {root}/cert.pem; ssl_certificate_key {root}/key.pem; }} }}
"""


class Nginx:
    """nginx over a folder, by HTTP/1.1 and by TLS with HTTP/2; what it was asked is in its log."""

    def __init__(self, root: Path) -> None:
        self.root = root
        with socket.socket() as one, socket.socket() as other:
            for some in (one, other):
                some.bind(("127.0.0.1", 0))
            plain, secure = one.getsockname()[1], other.getsockname()[1]
        self.plain, self.secure = f"http://127.0.0.1:{plain}", f"https://localhost:{secure}"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
             "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem",
             "-out", "cert.pem"], check=True, capture_output=True, cwd=root,
        )  # fmt: skip
        (root / "www").mkdir()
        (root / "www" / "x").write_bytes(BODY)
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        places = " ".join(f"{kind}_temp_path {root}/{kind};" for kind in kinds)
        user = "user root;" if os.geteuid() == 0 else ""
        told = CONFIG.format(root=root, user=user, places=places, plain=plain, secure=secure)
        (root / "nginx.conf").write_text(told)
        self.process = subprocess.Popen(["nginx", "-c", str(root / "nginx.conf")])
        deadline = time.monotonic() + 60
        while not (root / "pid").exists() or not (root / "pid").read_text():
            assert self.process.poll() is None, (root / "errors").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def asked(self, at_least: int) -> list[list[str]]:
        """Return protocol, connection and range of each request; the log comes a moment later."""
        deadline = time.monotonic() + 60
        while len(lines := (self.root / "log").read_text().splitlines()) < at_least:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        (self.root / "log").write_text("")
        return [line.split() for line in lines]


@pytest.fixture
def nginx(tmp_path, monkeypatch) -> Iterator[Nginx]:
    if shutil.which("nginx") is None:
        pytest.skip("no nginx here")
    server = Nginx(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    yield server
    server.process.terminate()
    server.process.wait()


def test_ranges_over_http_2_are_right_and_no_more_than_over_http_1(nginx):
    asked = {}
    for url in (nginx.plain, nginx.secure):
        with Http() as http, RangeFile(http, f"{url}/x") as file:
            assert bytes(file.read_at(0, len(BODY))) == BODY
            assert file.read(10) == BODY[:10]
            asked[url] = nginx.asked(file.requests)
            assert len(asked[url]) == file.requests
    first, second = asked[nginx.plain], asked[nginx.secure]
    assert {protocol for protocol, _, _ in first} == {"HTTP/1.1"}
    assert {protocol for protocol, _, _ in second} == {"HTTP/2.0"}
    assert sorted(span for *_, span in first) == sorted(span for *_, span in second)


def test_threads_read_one_file_over_http_2(nginx):
    with Http() as http, RangeFile(http, f"{nginx.secure}/x") as file:
        right: list[bool] = []

        def read(first: int) -> None:
            for at in range(first, len(BODY), 8 * 300_000):
                stop = min(at + 300_000, len(BODY))
                found = bytes(file.read_at(at, stop))
                right.append(found == BODY[at:stop])

        threads = [threading.Thread(target=read, args=(n * 300_000,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(right) == -(-len(BODY) // 300_000)
        assert all(right)


def test_connections_of_http_2_are_kept_from_one_range_to_the_next(nginx):
    with Http() as http:
        for at in range(0, 1_000_000, 100_000):
            with http.get(f"{nginx.secure}/x", byte_range=(at, at + 99_999)) as response:
                assert response.read() == BODY[at : at + 100_000]
    assert len({connection for _, connection, _ in nginx.asked(10)}) == 1
