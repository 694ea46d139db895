from __future__ import annotations

import gzip
import logging
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest
from loopback import Reply, Request, file_handler

from openallen.errors import (
    AnswerError,
    NotFoundError,
    OfflineError,
    StalledError,
    StatusError,
    UnreachableError,
    UsageError,
)
from openallen.transport import Http

BODY = bytes(range(256)) * 5000  # 1.28 MB, larger than every buffer on the way


def read(http: Http, url: str, **options) -> bytes:
    with http.get(url, **options) as response:
        return response.read()


@pytest.fixture
def http():
    with Http(connect_timeout_s=5, silence_timeout_s=5) as client:
        yield client


def test_body_with_length_arrives_whole_and_the_connection_is_kept(loopback, http):
    server = loopback({"/a": lambda q, r: r.send(BODY)})
    assert [read(http, server.url + "/a") == BODY for _ in range(5)] == [True] * 5
    assert server.connections == 1


@pytest.mark.parametrize("size", [1, 7, 100, 65536, 200_000])
def test_chunked_bodies_of_any_chunk_size(loopback, http, size):
    body = BODY[: size * 40]
    pieces = [body[i : i + size] for i in range(0, len(body), size)]
    server = loopback({"/a": lambda q, r: r.chunked(pieces)})
    assert read(http, server.url + "/a") == body
    assert read(http, server.url + "/a") == body
    assert server.connections == 1


def test_chunk_extensions_and_trailers(loopback, http):
    def handle(q: Request, r: Reply) -> None:
        r.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        r.raw(b"5;name=value\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n")

    server = loopback({"/a": handle})
    assert read(http, server.url + "/a") == b"hello"
    assert read(http, server.url + "/a") == b"hello"
    assert server.connections == 1


def test_body_that_ends_with_the_connection(loopback, http):
    def handle(q: Request, r: Reply) -> None:
        r.raw(b"HTTP/1.0 200 OK\r\n\r\n" + BODY)
        r.cut()

    server = loopback({"/a": handle})
    assert read(http, server.url + "/a") == BODY


def test_no_content_has_no_body_to_wait_for(loopback, http):
    server = loopback({"/a": lambda q, r: r.raw(b"HTTP/1.1 204 No Content\r\n\r\n")})
    assert read(http, server.url + "/a") == b""


def test_informational_answers_are_passed_over(loopback, http):
    def handle(q: Request, r: Reply) -> None:
        r.raw(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        r.send(b"yes")

    assert read(http, loopback({"/a": handle}).url + "/a") == b"yes"


def test_compressed_text_is_read_plain(loopback, http):
    def handle(q: Request, r: Reply) -> None:
        r.send(gzip.compress(BODY), headers={"Content-Encoding": "gzip"})

    server = loopback({"/a": handle})
    assert read(http, server.url + "/a", compressed=True) == BODY
    assert server.seen[0].headers["accept-encoding"] == "gzip"


def test_compressed_nonsense_is_an_answer_error(loopback, http):
    server = loopback({"/a": lambda q, r: r.send(b"plain", headers={"Content-Encoding": "gzip"})})
    with pytest.raises(AnswerError, match="decompress"):
        read(http, server.url + "/a")


def test_protocol_relative_redirect_is_followed(loopback, http):
    server = loopback({"/image": lambda q, r: r.send(b"jpeg")})
    address = server.url.removeprefix("http:") + "/image?path=/a b.aff&left=1"
    server.routes["/start"] = lambda q, r: r.send(b"moved", "302 Found", {"Location": address})
    with http.get(server.url + "/start") as response:
        assert response.read() == b"jpeg"
        assert response.url.endswith("/image?path=/a+b.aff&left=1")
    assert server.connections == 1


def test_endless_redirects_end(loopback, http):
    server = loopback({"/a": lambda q, r: r.send(b"", "302 Found", {"Location": "/a"})})
    with pytest.raises(AnswerError, match="too many redirects"):
        read(http, server.url + "/a")
    assert len(server.seen) == 6


def test_redirect_out_of_http_is_refused(loopback, http):
    server = loopback(
        {"/a": lambda q, r: r.send(b"", "302 Found", {"Location": "file:///etc/passwd"})}
    )
    with pytest.raises(AnswerError, match="redirect"):
        read(http, server.url + "/a")


def test_byte_range_is_asked_for_and_told(loopback, http):
    server = loopback({"/a": file_handler(BODY)})
    with http.get(server.url + "/a", byte_range=(10, 19)) as response:
        assert response.read() == BODY[10:20]
        assert response.content_range == (10, 19, len(BODY))
    with http.get(server.url + "/a", byte_range=(len(BODY) - 5, None)) as response:
        assert response.read() == BODY[-5:]


@pytest.mark.parametrize(
    ("status", "kind"),
    [("404 Not Found", NotFoundError), ("410 Gone", NotFoundError), ("403 Forbidden", StatusError)],
)
def test_refusals_name_status_and_reason(loopback, http, status, kind):
    server = loopback({"/a": lambda q, r: r.send(b"not for you", status)})
    with pytest.raises(kind, match=f"HTTP {status[:3]}, not for you") as caught:
        read(http, server.url + "/a")
    assert not caught.value.retryable


def test_server_trouble_is_retryable_and_carries_the_wait(loopback, http):
    server = loopback(
        {"/a": lambda q, r: r.send(b"<html>busy", "503 Slow Down", {"Retry-After": "7"})}
    )
    with pytest.raises(StatusError, match="an HTML page") as caught:
        read(http, server.url + "/a")
    assert caught.value.retryable
    assert caught.value.retry_after_s == 7


def test_retry_after_as_a_date(loopback, http):
    date = {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}
    server = loopback({"/a": lambda q, r: r.send(b"", "429 Too Many", date)})
    with pytest.raises(StatusError) as caught:
        read(http, server.url + "/a")
    assert caught.value.retry_after_s == 0


def test_cut_body_is_an_error_not_a_short_file(loopback, http):
    def handle(q: Request, r: Reply) -> None:
        r.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 400)
        r.cut()

    server = loopback({"/a": handle})
    with pytest.raises(UnreachableError, match="600 bytes before the end"):
        read(http, server.url + "/a")


def test_cut_chunked_body_is_an_error(loopback, http):
    def handle(q: Request, r: Reply) -> None:
        r.chunked([b"x" * 400], end=False)
        r.cut()

    with pytest.raises(UnreachableError):
        read(http, loopback({"/a": handle}).url + "/a")


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 banana\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 600_000,
    ],
)
def test_what_is_no_http_is_named_so(loopback, http, answer):
    def handle(q: Request, r: Reply) -> None:
        r.raw(answer)
        r.cut()

    with pytest.raises(UnreachableError):
        read(http, loopback({"/a": handle}).url + "/a")


def test_silence_before_and_within_the_body_ends_with_the_timeout(loopback):
    def within(q: Request, r: Reply) -> None:
        r.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 400)
        r.stall()

    server = loopback({"/before": lambda q, r: r.stall(), "/within": within})
    with Http(silence_timeout_s=0.3) as http:
        for path in ("/before", "/within"):  # these never end of themselves
            with pytest.raises(StalledError, match=r"0\.3 s"):
                read(http, server.url + path)


def test_slow_but_steady_is_not_silence(loopback):
    def handle(q: Request, r: Reply) -> None:
        r.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n")
        for _ in range(30):
            time.sleep(0.1)
            r.raw(b"x")

    with Http(silence_timeout_s=2) as http:  # less than the whole takes, more than a busy machine
        assert read(http, loopback({"/a": handle}).url + "/a") == b"x" * 30


def test_connection_closed_while_idle_is_not_an_error(loopback, http):
    def handle(q: Request, r: Reply) -> None:
        r.send(b"once")
        r.cut()

    server = loopback({"/a": handle})
    assert read(http, server.url + "/a") == b"once"
    time.sleep(0.05)
    assert read(http, server.url + "/a") == b"once"
    assert server.connections == 2


def test_kept_connection_closed_while_asking_is_asked_again(loopback, http):
    def handle(q: Request, r: Reply) -> None:
        if q.number == 2:
            r.cut()
        else:
            r.send(b"here")

    server = loopback({"/a": handle})
    assert read(http, server.url + "/a") == b"here"
    assert read(http, server.url + "/a") == b"here"
    assert [q.number for q in server.seen] == [1, 2, 3]


def test_fresh_connection_closed_without_a_word_is_an_error(loopback, http):
    server = loopback({"/a": lambda q, r: r.cut()})
    with pytest.raises(UnreachableError) as caught:
        read(http, server.url + "/a")
    assert caught.value.address == server.url + "/a"
    assert len(server.seen) == 1


def test_nobody_listens(http):
    with pytest.raises(UnreachableError, match="no connection"):
        read(http, "http://127.0.0.1:1/")


def test_offline_refuses_all_but_this_machine(loopback):
    server = loopback({"/a": lambda q, r: r.send(b"local")})
    with Http(offline=True) as http:
        assert read(http, server.url + "/a") == b"local"
        with pytest.raises(OfflineError, match="offline"):
            read(http, "https://api.brain-map.org/")


@pytest.mark.parametrize("url", ["ftp://x/y", "/just/a/path", "http://", "http://x:notaport/"])
def test_only_http_urls(http, url):
    with pytest.raises(UsageError):
        read(http, url)


def test_line_breaks_cannot_be_smuggled_into_a_request(loopback, http):
    server = loopback({"/a": lambda q, r: r.send(b"ok")})
    assert read(http, server.url + "/a?x=1\r\nHost: evil".replace("\r\n", "%0d%0a")) == b"ok"
    with pytest.raises(UsageError, match="line break"):
        read(http, server.url + "/a", headers={"X": "1\r\nHost: evil"})


def test_threads_share_a_client(loopback, http):
    server = loopback({"/a": lambda q, r: r.send(BODY)})
    got: list[bool] = []
    threads = [
        threading.Thread(target=lambda: got.append(read(http, server.url + "/a") == BODY))
        for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [True] * 12


def test_closing_wakes_a_reader(loopback):
    server = loopback({"/a": lambda q, r: r.stall()})
    http = Http(silence_timeout_s=600, head_timeout_s=600)
    threading.Timer(0.2, http.close).start()
    with pytest.raises(UnreachableError, match="closed"):
        read(http, server.url + "/a")
    with pytest.raises(UnreachableError, match="closed"):
        read(http, server.url + "/a")


def test_abandoned_body_does_not_poison_the_next_answer(loopback, http):
    server = loopback({"/big": lambda q, r: r.send(BODY), "/small": lambda q, r: r.send(b"small")})
    with http.get(server.url + "/big"):
        pass
    assert read(http, server.url + "/small") == b"small"


def test_larger_than_allowed_is_refused(loopback, http):
    server = loopback({"/a": lambda q, r: r.send(BODY)})
    with http.get(server.url + "/a") as response, pytest.raises(AnswerError, match="too large"):
        response.read(limit_bytes=1000)


def test_requests_are_logged_with_a_curl_line(loopback, http, caplog):
    server = loopback({"/a": lambda q, r: r.send(b"x")})
    with caplog.at_level(logging.DEBUG, "openallen"):
        read(http, server.url + "/a", byte_range=(0, 0))
    assert "curl -L -H 'Range: bytes=0-0'" in caplog.text
    assert server.url + "/a" in caplog.text


def test_tls_with_a_certificate_the_system_does_not_trust_is_refused(
    tmp_path: Path, loopback, http
):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost"
    subprocess.run(
        [*command.split(), "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True
    )
    server = loopback({"/a": lambda q, r: r.send(b"secret")})
    server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.tls.load_cert_chain(cert, key)
    url = server.url.replace("http://127.0.0.1", "https://localhost") + "/a"
    with pytest.raises(UnreachableError, match="TLS failed"):
        read(http, url)
    assert not server.seen


def test_plain_http_goes_through_the_proxy(loopback, http, monkeypatch):
    proxy = loopback({"http://brain-map.test/a": lambda q, r: r.send(b"by proxy")})
    monkeypatch.setenv("http_proxy", proxy.url)
    assert read(http, "http://brain-map.test/a?b=1") == b"by proxy"
    assert proxy.seen[0].headers["host"] == "brain-map.test"


def test_https_asks_the_proxy_for_a_tunnel(loopback, http, monkeypatch):
    proxy = loopback({"brain-map.test:443": lambda q, r: r.send(b"", "407 Who Are You")})
    monkeypatch.setenv("https_proxy", proxy.url.replace("//", "//me:pass@"))
    with pytest.raises(UnreachableError, match="407"):
        read(http, "https://brain-map.test/a")
    assert proxy.seen[0].method == "CONNECT"
    assert proxy.seen[0].headers["proxy-authorization"] == "Basic bWU6cGFzcw=="


@pytest.mark.parametrize("status", ["300 Multiple Choices", "302 Found", "304 Not Modified"])
def test_an_answer_that_is_not_a_success_is_never_taken_for_the_data(loopback, http, status):
    server = loopback({"/a": lambda q, r: r.send(b"" if "304" in status else BODY, status)})
    with pytest.raises(StatusError, match=f"HTTP {status[:3]}") as raised:
        read(http, server.url + "/a")
    assert not raised.value.retryable


def test_a_head_larger_than_allowed_is_named_so(loopback, http):
    server = loopback({"/a": lambda q, r: r.send(headers={"X-Long": "a" * 500_000})})
    with pytest.raises(UnreachableError, match="head"):
        read(http, server.url + "/a")
