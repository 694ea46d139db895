"""Mirrors in an S3-compatible store: uploaded once, brought down whole, errors by name."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from buckets import connect, serving_s3

import openallen as oa
from openallen.cli.app import run
from openallen.errors import (
    ExitCode,
    NotFoundError,
    OpenAllenError,
    RefusedError,
    ServiceError,
    UnreachableError,
    UsageError,
)
from openallen.mirroring.ledger import LEDGER, Ledger
from openallen.plans import IncompleteError

CELL = "cell:313862022"
BUCKET = "museum"


@dataclass
class Shop:
    """A versioned bucket of a real S3 server on loopback."""

    endpoint: str
    s3: Any
    to: str = f"s3://{BUCKET}/brains/cells"

    def versions(self) -> dict[str, int]:
        """How often each object was uploaded, by its name below the prefix."""
        found: dict[str, int] = {}
        told = self.s3.list_object_versions(Bucket=BUCKET, Prefix="brains/cells/")
        for one in told.get("Versions", ()):
            name = one["Key"].removeprefix("brains/cells/")
            found[name] = found.get(name, 0) + 1
        return found

    def empty(self) -> None:
        told = self.s3.list_object_versions(Bucket=BUCKET)
        for one in told.get("Versions", ()):
            self.s3.delete_object(Bucket=BUCKET, Key=one["Key"], VersionId=one["VersionId"])


@pytest.fixture(scope="module")
def server() -> Iterator[Shop]:
    with serving_s3() as endpoint:
        s3 = connect(endpoint)
        place = {"LocationConstraint": "us-west-2"}
        if BUCKET not in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
            s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=place)
            told = {"Status": "Enabled"}
            s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration=told)
        yield Shop(endpoint, s3)


@pytest.fixture
def shop(server, monkeypatch) -> Shop:
    server.empty()
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "none")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "none")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return server


def below(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_what_is_there_is_not_uploaded_again_and_comes_down_whole(
    shop, sample_url, tmp_path, capsys
):
    words = ["mirror", CELL, "--to", shop.to, "--source", sample_url, "--json"]
    assert run(words) == 0
    assert json.loads(capsys.readouterr().out)["fetched"] == 4
    once = shop.versions()
    assert set(once.values()) == {1}
    assert LEDGER in once
    assert "tables/specimens.jsonl" in once
    head = shop.s3.head_object(Bucket=BUCKET, Key="brains/cells/files/9000000001.swc")
    assert len(head["Metadata"]["sha256"]) == 64
    oa.mirror(to=shop.to, source=sample_url)
    assert shop.versions() == once
    # The way back, twice; and what a folder of the same would hold.
    down, same = tmp_path / "down", tmp_path / "same"
    assert len(oa.mirror(shop.to, to=down).fetched) == 4
    assert not oa.mirror(shop.to, to=down).fetched
    oa.mirror(CELL, to=same, source=sample_url)
    there, here = below(down), below(same)
    assert there.keys() == here.keys()
    data = [name for name in here if name.startswith(("files/", "tables/"))]
    assert {n: there[n] for n in data} == {n: here[n] for n in data}
    assert run(["verify", str(down)]) == 0
    # One more thing, from the service, and the folder as a whole to another prefix.
    oa.mirror("rma:Age", to=shop.to, source=sample_url)
    assert shop.versions()["files/9000000001.swc"] == 1
    assert len(oa.mirror(str(down), to=f"s3://{BUCKET}/copy").fetched) == 4
    assert run(["mirror", str(down), "--to", f"s3://{BUCKET}/copy", "-q"]) == 0


def test_a_copy_that_is_not_what_the_ledger_says_is_not_kept(shop, sample_url, tmp_path):
    oa.mirror(CELL, to=shop.to, source=sample_url)
    key = "brains/cells/files/9000000001.swc"
    size = shop.s3.head_object(Bucket=BUCKET, Key=key)["ContentLength"]
    shop.s3.put_object(Bucket=BUCKET, Key=key, Body=b"x" * size)
    with pytest.raises(IncompleteError, match="1 file of 4"):
        oa.mirror(shop.to, to=tmp_path / "down")
    assert not (tmp_path / "down" / "files" / "9000000001.swc").exists()
    assert len(Ledger(tmp_path / "down").entries) == 3


@dataclass
class Breaking:
    """A proxy in front of the store that breaks requests for some keys off."""

    url: str
    words: set[str] = field(default_factory=set)


@pytest.fixture
def breaking(shop) -> Iterator[Breaking]:
    host = urlsplit(shop.endpoint).netloc
    found = Breaking("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def handle_one(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            if self.command == "PUT" and any(word in self.path for word in found.words):
                self.rfile.read(size // 2)
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            body = self.rfile.read(size)
            there = http.client.HTTPConnection(host)
            there.request(self.command, self.path, body, dict(self.headers))
            answer = there.getresponse()
            data = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in {"transfer-encoding", "connection", "content-length"}:
                    self.send_header(name, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else len(data)
            self.send_header("Content-Length", str(length or 0))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = handle_one  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found.url = f"http://127.0.0.1:{server.server_port}"
    yield found
    server.shutdown()
    server.server_close()


def test_an_upload_that_breaks_leaves_a_ledger_that_is_true(shop, breaking, sample_url, tmp_path):
    breaking.words = {"9000000003"}
    with pytest.raises(IncompleteError, match="1 file of 4") as caught:
        oa.mirror(CELL, to=shop.to, source=sample_url, endpoint_url=breaking.url)
    (failed,) = caught.value.report.failed
    assert isinstance(failed.error, UnreachableError)
    once = shop.versions()
    assert "files/9000000003.png" not in once
    assert len(oa.mirror(shop.to, to=tmp_path / "down").fetched) == 3
    report = oa.mirror(to=shop.to, source=sample_url)
    assert [o.file.path for o in report.fetched] == ["files/9000000003.png"]
    assert shop.versions()["files/9000000001.swc"] == 1
    # The ledger is written last: where it cannot be, the one before stands.
    before = shop.s3.get_object(Bucket=BUCKET, Key=f"brains/cells/{LEDGER}")["Body"].read()
    breaking.words = {LEDGER}
    with pytest.raises(ServiceError):
        oa.mirror("rma:Age", to=shop.to, source=sample_url, endpoint_url=breaking.url)
    after = shop.s3.get_object(Bucket=BUCKET, Key=f"brains/cells/{LEDGER}")["Body"].read()
    assert after == before


def test_errors_of_the_store_are_named(shop, sample_url, loopback, monkeypatch, capsys):
    def mirror(to: str, endpoint: str = "") -> OpenAllenError:
        with pytest.raises(OpenAllenError) as caught:
            oa.mirror(CELL, to=to, source=sample_url, endpoint_url=endpoint)
        assert caught.value.hint or isinstance(caught.value, UnreachableError)
        return caught.value

    missing = mirror("s3://no-such-bucket/x")
    assert isinstance(missing, NotFoundError)
    assert missing.what == "no such bucket"
    for text in ("s3://", "s3:///x", f"s3://{BUCKET}/../x", f"s3://{BUCKET}/x?versionId=1"):
        assert isinstance(mirror(text), UsageError), text
    assert isinstance(mirror(shop.to, "not-a-url"), UsageError)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    assert isinstance(mirror(shop.to, f"http://127.0.0.1:{port}"), UnreachableError)
    body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
    denying = loopback({f"/{BUCKET}": lambda _, reply: reply.send(body, "403 Forbidden")})
    denied = mirror(shop.to, denying.url)
    assert (type(denied), denied.what) == (RefusedError, "denied")
    shop.s3.put_object(Bucket=BUCKET, Key="mine/thesis.txt", Body=b"mine")
    assert "no mirror, and not empty" in mirror(f"s3://{BUCKET}/mine").what
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    anonymous = mirror(shop.to)
    assert (type(anonymous), anonymous.what) == (RefusedError, "no credentials for S3")
    assert run(["mirror", CELL, "--to", shop.to, "--source", sample_url]) == ExitCode.REFUSED
    assert "AWS_PROFILE" in capsys.readouterr().err


def test_what_is_no_mirror_is_not_copied(shop, tmp_path):
    with pytest.raises(NotFoundError, match="not a mirror"):
        oa.mirror(f"s3://{BUCKET}/nothing", to=tmp_path / "down")
    assert not (tmp_path / "down").exists()
