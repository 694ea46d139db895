"""TLS tried, not read: certificates of a private CA, of the wrong host, expired; proxies; redirects."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from loopback import file_handler

from openallen.errors import AnswerError, UnreachableError
from openallen.transport import Http, handles

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
        ("named", "brain-map.test", "2"),
    ):  # fmt: skip
        (folder / f"{name}.ext").write_text(f"subjectAltName=DNS:{host}\n")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out",
                f"{name}.csr", "-subj", f"/CN={host}")  # fmt: skip
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


@pytest.mark.parametrize("name", ["other", "old"])
def test_certificates_of_another_host_and_of_yesterday_are_refused(
    loopback, authority, monkeypatch, name
):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    server, url = secured(loopback, authority, name)
    with pytest.raises(UnreachableError, match="TLS failed") as caught:
        read(url + "/a")
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


# --- the guard of the tests, and offline ----------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["http://192.0.2.1/", "https://192.0.2.1/", "http://[2001:db8::1]/"]
)
def test_the_guard_of_the_tests_holds_for_libcurl(url):
    with pytest.raises(UnreachableError, match="no connection"):
        read(url)


def test_the_guard_is_asked_for_every_connection(loopback, monkeypatch):
    asked: list[str] = []
    monkeypatch.setattr(handles, "guard", lambda host: asked.append(host) or False)
    server = loopback({"/a": lambda q, r: r.send(b"x")})
    with pytest.raises(UnreachableError, match="no connection"):
        read(server.url + "/a")
    assert asked == ["127.0.0.1"]
    assert not server.seen
