"""TLS tried, not read: certificates of a private CA, of the wrong host, expired; proxies; redirects."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from loopback import file_handler

from openallen.errors import AnswerError, StalledError, UnreachableError
from openallen.transport import Http, handles
from openallen.transport.multiplexer import Multiplexer

BODY = b"protected" * 1000


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Path:
    """A CA of our own, and what it signed: for localhost, another host, and yesterday."""
    folder = tmp_path_factory.mktemp("ca")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=folder)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", "ca.key",
            "-out", "ca.pem", "-subj", "/CN=openallen tests")  # fmt: skip
    for name, host, days in (
        ("good", "localhost", "2"), ("other", "elsewhere.test", "2"), ("old", "localhost", "-1"),
        ("named", "brain-map.test", "2"), ("selfmade", "localhost", "2"),
    ):  # fmt: skip
        (folder / f"{name}.ext").write_text(f"subjectAltName=DNS:{host}\n")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out",
                f"{name}.csr", "-subj", f"/CN={host}")  # fmt: skip
        if name == "selfmade":
            openssl("x509", "-req", "-in", f"{name}.csr", "-signkey", f"{name}.key", "-days", days,
                    "-out", f"{name}.pem", "-extfile", f"{name}.ext")  # fmt: skip
            continue
        times = (
            ["-days", days]
            if int(days) > 0
            else ["-not_before", "20200101000000Z", "-not_after", "20200102000000Z"]
        )
        try:
            openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                    "-CAcreateserial", "-out", f"{name}.pem", "-extfile", f"{name}.ext", *times)  # fmt: skip
        except subprocess.CalledProcessError:  # OpenSSL before 3.4 takes no dates here
            openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                    "-CAcreateserial", "-out", f"{name}.pem", "-extfile", f"{name}.ext", "-days", "-1")  # fmt: skip
    return folder


def secured(loopback, authority: Path, name: str):
    server = loopback({"/a": file_handler(BODY)})
    server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.tls.load_cert_chain(authority / f"{name}.pem", authority / f"{name}.key")
    return server, server.url.replace("http://127.0.0.1", "https://localhost")


def read(url: str) -> bytes:
    with Http() as http, http.get(url) as response:
        return response.read()


@pytest.mark.parametrize("variable", ["CURL_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_a_private_ca_is_trusted_where_the_environment_names_it(
    loopback, authority, monkeypatch, variable
):
    _, url = secured(loopback, authority, "good")
    with pytest.raises(UnreachableError, match="TLS failed"):
        read(url + "/a")
    monkeypatch.setenv(variable, str(authority / "ca.pem"))
    assert read(url + "/a") == BODY


def test_a_folder_of_certificates_is_trusted_too(loopback, authority, monkeypatch, tmp_path):
    told = ["openssl", "x509", "-noout", "-hash", "-in", str(authority / "ca.pem")]
    name = subprocess.run(told, check=True, capture_output=True, text=True).stdout.strip()
    (tmp_path / f"{name}.0").write_bytes((authority / "ca.pem").read_bytes())
    _, url = secured(loopback, authority, "good")
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert read(url + "/a") == BODY


def test_a_ca_file_that_is_not_there_is_an_error_and_not_no_check(loopback, authority, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "none.pem"))
    server, url = secured(loopback, authority, "good")
    with pytest.raises(UnreachableError, match=r"TLS failed \(.*none\.pem"):
        read(url + "/a")
    assert not server.seen


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("other", "no alternative certificate subject name matches|does not match"),
        ("old", "expired"),
        ("selfmade", "self-signed|self signed"),
    ],
)
def test_certificates_of_another_host_of_yesterday_or_self_made_are_refused(
    loopback, authority, monkeypatch, name, why
):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    server, url = secured(loopback, authority, name)
    with pytest.raises(UnreachableError, match="TLS failed") as caught:
        read(url + "/a")
    assert re.search(why, caught.value.why)
    assert caught.value.address == url.removeprefix("https://")
    assert caught.value.retryable
    assert not server.seen


def test_a_redirect_never_leads_from_https_to_http(loopback, authority, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    plain = loopback({"/a": lambda q, r: r.send(b"in the open")})
    server, url = secured(loopback, authority, "good")
    server.routes["/out"] = lambda q, r: r.send(b"", "302 Found", {"Location": plain.url + "/a"})
    server.routes["/in"] = lambda q, r: r.send(b"", "302 Found", {"Location": url + "/a"})
    with pytest.raises(AnswerError, match="redirect"):
        read(url + "/out")
    assert not plain.seen
    assert read(url + "/in") == BODY


def test_a_redirect_from_http_to_https_is_followed(loopback, authority, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    _, url = secured(loopback, authority, "good")
    plain = loopback({"/a": lambda q, r: r.send(b"", "301 Moved", {"Location": url + "/a"})})
    assert read(plain.url + "/a") == BODY


def test_credentials_are_never_carried_to_another_host(loopback):
    given = {"Authorization": "Bearer x", "Cookie": "a=b", "X-Plain": "1"}
    there = loopback({"/a": lambda q, r: r.send(b"there"), "/b": lambda q, r: r.send(b"here")})
    elsewhere = there.url.replace("127.0.0.1", "localhost")
    first = loopback({
        "/out": lambda q, r: r.send(b"", "302 Found", {"Location": elsewhere + "/a"}),
        "/port": lambda q, r: r.send(b"", "302 Found", {"Location": there.url + "/b"}),
    })  # fmt: skip
    with Http() as http:
        for path in ("/out", "/port"):
            with http.get(first.url + path, headers=given) as response:
                response.read()
            assert first.seen[-1].headers["authorization"] == "Bearer x"
            assert not {"authorization", "cookie"} & set(there.seen[-1].headers)
            assert there.seen[-1].headers["x-plain"] == "1"


class Tunnel:
    """A proxy that makes tunnels, to one place whatever it is asked for."""

    def __init__(self, port: int) -> None:
        self.asked: list[str] = []
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                head = client.recv(65536).decode()
                self.asked.append(head.splitlines()[0])
                behind = socket.create_connection(("127.0.0.1", self._port))
                client.sendall(b"HTTP/1.1 200 Connection established\r\nX-Proxy: yes\r\n\r\n")
                for one, other in ((client, behind), (behind, client)):
                    threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    @staticmethod
    def _pump(one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._listener.close()


def test_tls_goes_through_a_tunnel_of_the_proxy(loopback, authority, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    server, _ = secured(loopback, authority, "named")
    tunnel = Tunnel(int(server.url.rpartition(":")[2]))
    monkeypatch.setenv("https_proxy", tunnel.url)
    with Http() as http, http.get("https://brain-map.test/a") as response:
        assert "x-proxy" not in response.headers
        assert response.read() == BODY
    assert tunnel.asked == ["CONNECT brain-map.test:443 HTTP/1.1"]
    tunnel.close()


# --- proxies by environment -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_the_environment_names_the_proxy(loopback, monkeypatch, name):
    proxy = loopback({"http://brain-map.test/a": lambda q, r: r.send(b"by proxy")})
    monkeypatch.setenv(name, proxy.url.replace("//", "//me:pass@"))
    with Http() as http, http.get("http://brain-map.test/a", headers={"X-Own": "1"}) as response:
        assert response.read() == b"by proxy"
    assert proxy.seen[0].headers["proxy-authorization"] == "Basic bWU6cGFzcw=="


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
def test_the_environment_names_the_proxy_of_https(loopback, authority, monkeypatch, name):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    server, _ = secured(loopback, authority, "named")
    tunnel = Tunnel(int(server.url.rpartition(":")[2]))
    monkeypatch.setenv(name, tunnel.url.replace("//", "//me:pass@"))
    assert read("https://brain-map.test/a") == BODY
    assert len(tunnel.asked) == 1
    assert "proxy-authorization" not in server.seen[0].headers
    tunnel.close()


@pytest.mark.parametrize(
    ("variable", "value", "straight"),
    [
        ("no_proxy", "localhost.localdomain", False),
        ("no_proxy", "", False),
        ("NO_PROXY", "brain-map.test", True),
        ("no_proxy", ".test", True),
        ("NO_PROXY", "*", True),
    ],
)
def test_no_proxy_names_who_is_reached_without_one(
    loopback, monkeypatch, variable, value, straight
):
    proxy = loopback({"http://brain-map.test/a": lambda q, r: r.send(b"by proxy")})
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.setenv(variable, value)
    if straight:  # and then nobody knows that name
        with pytest.raises(UnreachableError, match="does not resolve"):
            read("http://brain-map.test/a")
    else:
        assert read("http://brain-map.test/a") == b"by proxy"
    assert bool(proxy.seen) is not straight


def test_this_machine_is_reached_without_a_proxy(loopback, monkeypatch):
    server = loopback({"/a": lambda q, r: r.send(b"straight")})
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "elsewhere.test")
    assert read(server.url + "/a") == b"straight"
    assert read(server.url.replace("127.0.0.1", "localhost") + "/a") == b"straight"


def test_a_proxy_nobody_runs_is_named(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:1|port 1 "):
        read("http://brain-map.test/a")


# --- each failure has a text of its own -----------------------------------------------------------


def test_each_failure_says_what_it_is(loopback, authority):
    """Name, connection, timeout of both, TLS and silence: each is told from the others."""
    plain = loopback({"/a": lambda q, r: r.stall()})
    _, trusted_by_nobody = secured(loopback, authority, "good")
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        socket.create_server(("127.0.0.1", 0), backlog=0) as full,
        ExitStack() as stack,
    ):
        for _ in range(4):  # until the queue of those who wait to be accepted is full
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        asked = {
            "http://no-such-host.test/": ("no connection", "the host name does not resolve"),
            "http://127.0.0.1:1/": ("no connection", "Could not connect|refused"),
            f"http://127.0.0.1:{full.getsockname()[1]}/": ("no connection", "imed out|imeout"),
            f"https://127.0.0.1:{silent.getsockname()[1]}/": ("no connection", "TLS handshake"),
            trusted_by_nobody + "/a": ("TLS failed", "certificate"),
            plain.url + "/a": ("timed out", "no data for 1 s"),
        }
        told = set()
        patient, hasty = Http(silence_timeout_s=100), Http(connect_timeout_s=1, silence_timeout_s=5)
        with patient, hasty, Http(silence_timeout_s=1) as waiting:
            for url, (what, why) in asked.items():
                never = "imed out" in why or "handshake" in why
                http = hasty if never else waiting if what == "timed out" else patient
                with pytest.raises((UnreachableError, StalledError)) as caught, http.get(url):
                    pass
                assert caught.value.what == what
                assert re.search(why, caught.value.why)
                assert urlsplit(url).netloc in caught.value.address
                told.add(re.sub(r"\d+", "", f"{caught.value.what}: {caught.value.why}"))
    assert len(told) == len(asked)


# --- the guard of the tests, and offline ----------------------------------------------------------


@pytest.fixture
def opened(monkeypatch) -> list[tuple[str, bool]]:
    """Who was asked about by libcurl, and whether the guard let it; no socket beyond is made."""
    asked: list[tuple[str, bool]] = []
    guard = handles.guard  # that of all tests, see conftest

    def ask(host: str) -> bool:
        asked.append((host, guard(host)))
        return asked[-1][1]

    monkeypatch.setattr(handles, "guard", ask)
    made = handles._Socket.__init__

    def make(self: socket.socket, *words: int) -> None:
        assert asked[-1][1], "a socket for somebody the guard refused"
        made(self, *words)

    monkeypatch.setattr(handles._Socket, "__init__", make)
    return asked


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://192.0.2.1/", "192.0.2.1"),
        ("https://192.0.2.1/", "192.0.2.1"),
        ("http://[2001:db8::1]/", "2001:db8::1"),
    ],
)
def test_the_guard_of_the_tests_holds_for_libcurl(opened, url, host):
    with pytest.raises(UnreachableError, match="no connection"):
        read(url)
    assert opened == [(host, False)]


def test_the_guard_holds_for_proxies_redirects_and_many_at_once(opened, loopback, monkeypatch):
    moved = {"Location": "http://192.0.2.2/"}
    server = loopback({"/a": lambda q, r: r.send(b"", "302 Found", moved)})
    with pytest.raises(UnreachableError, match="no connection"):
        read(server.url + "/a")
    assert opened == [("127.0.0.1", True), ("192.0.2.2", False)]
    with Http() as http, Multiplexer(http, limit_bytes=1000) as many:
        many.ask("key", "http://192.0.2.3/")
        found = []
        while not found:
            found = list(many.bodies())
    assert "no connection" in str(found[0].error)
    assert opened[-1] == ("192.0.2.3", False)
    monkeypatch.setenv("https_proxy", "http://192.0.2.4:3128")
    with pytest.raises(UnreachableError, match="no connection"):
        read("https://brain-map.test/")
    assert opened[-1] == ("192.0.2.4", False)


def test_the_guard_is_asked_for_every_connection(loopback, monkeypatch):
    asked: list[str] = []
    monkeypatch.setattr(handles, "guard", lambda host: asked.append(host) or False)
    server = loopback({"/a": lambda q, r: r.send(b"x")})
    with pytest.raises(UnreachableError, match="no connection"):
        read(server.url + "/a")
    assert asked == ["127.0.0.1"]
    assert not server.seen
