"""The world in which every source is tried: the sample archive and buckets, on loopback."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from assetbucket import publish_assets
from farstores import publish_stores

from openallen.cli.app import run

DATA = Path(__file__).parents[1] / "data"


@dataclass(frozen=True)
class Said:
    """What the command line printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def hints(self) -> list[str]:
        """Commands it says to type."""
        lines = [line.strip() for line in (self.out + self.err).splitlines()]
        starts = ("try: ", "repair: ", "all of them: ", "resume: ", "one of them: ")
        found = [line.removeprefix(s) for line in lines for s in starts if line.startswith(s)]
        assert all(re.match(r"openallen |pip |\S*python\S* -m ", line) for line in found), found
        return [line for line in found if line.startswith("openallen ")]


@pytest.fixture(scope="session")
def _buckets(published, tmp_path_factory) -> None:
    found = publish_assets(published.endpoint)
    publish_stores(found, DATA, tmp_path_factory.mktemp("stores"))


@pytest.fixture
def world(_buckets, published, sample_url, monkeypatch, tmp_path) -> None:
    """Every service on loopback, and an empty store."""
    monkeypatch.setenv("OPENALLEN_S3_ENDPOINT", published.endpoint)
    monkeypatch.setenv("OPENALLEN_SOURCE", sample_url)
    monkeypatch.setenv("OPENALLEN_CONFIRM_BYTES", "1TB")
    monkeypatch.setenv("OPENALLEN_ATTEMPTS", "1")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def cli(monkeypatch) -> Callable[..., Said]:
    """Run the command line in this process, and return what it said."""

    def call(*arguments: object) -> Said:
        words = [str(a) for a in arguments]
        monkeypatch.setattr(sys, "argv", ["openallen", *words])
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = run(words)
        return Said(code, out.getvalue(), err.getvalue())

    return call


class Switch:
    """A service in front of the sample that can be taken away."""

    def __init__(self, behind: str) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _forwarding(behind, {}))
        Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def off(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def switch(world, sample_url, monkeypatch) -> Iterator[Switch]:
    """The sample behind a server that a test can stop."""
    made = Switch(sample_url)
    monkeypatch.setenv("OPENALLEN_SOURCE", made.url)
    yield made
    made.off()


def _forwarding(behind: str, instead: dict[bytes, bytes]) -> type[BaseHTTPRequestHandler]:
    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                with urlopen(Request(behind + self.path)) as answer:
                    status, headers, body = answer.status, answer.headers, answer.read()
            except HTTPError as error:
                status, headers, body = error.code, error.headers, error.read()
            kind = headers.get("Content-Type", "")
            for word, other in instead.items() if "json" in kind else ():
                body = body.replace(b'"' + word + b'"', b'"' + other + b'"')
            self.send_response(status)
            for name in ("Content-Type", "openallen-simulated"):
                if name in headers:
                    self.send_header(name, headers[name])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Proxy


@pytest.fixture
def hostile(sample_url, world) -> Iterator[tuple[str, str]]:
    """The sample archive behind a proxy that puts escapes and markup into what it answers."""
    text = "Mus\x1b[31m\u202e<script>alert(1)</script>"
    written = text.replace("\x1b", "\\u001b").encode()

    instead = dict.fromkeys((b"Mus musculus", b"Pdyn", b"coronal"), written)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _forwarding(sample_url, instead))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", text
    server.shutdown()
    server.server_close()


@pytest.fixture
def read_only(tmp_path) -> Callable[[Path], AbstractContextManager[Path]]:
    """Return a folder again on a mount that cannot be written, even by root."""

    @contextmanager
    def mounted(folder: Path) -> Iterator[Path]:
        place = tmp_path / "read-only"
        place.mkdir()
        made = subprocess.run(
            ["mount", "--bind", "-o", "ro", str(folder), str(place)],
            capture_output=True,
            check=False,
        )
        if made.returncode:
            pytest.skip("this system lets nobody mount a folder read-only")
        try:
            subprocess.run(["mount", "-o", "remount,bind,ro", str(place)], check=False)
            yield place
        finally:
            subprocess.run(["umount", "-l", str(place)], check=False)

    return mounted
