"""Buckets that answer 403: for keys that are private or not there, or for all of it."""

from __future__ import annotations

import hashlib

import numcodecs
import numpy as np
import pytest
import zarr
from loopback import Loopback, Reply, Request

import openallen as oa
from openallen.errors import NotFoundError, StatusError
from openallen.formats.zarrs import Hierarchy
from openallen.plans import IncompleteError
from openallen.transport import Http, Retry
from openallen.transport.objects import RemoteObjects
from openallen.transport.s3 import Bucket

NAME = "ecephys_111111_2024-01-01_00-00-00"
DENIED = b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'


def no(_: Request, reply: Reply) -> None:
    reply.send(DENIED, "403 Forbidden")


def giving(body: bytes):
    return lambda _, reply: reply.send(body)


def entry(key: str, body: bytes) -> str:
    tag = hashlib.md5(body, usedforsecurity=False).hexdigest()
    return f'<Contents><Key>{key}</Key><Size>{len(body)}</Size><ETag>"{tag}"</ETag></Contents>'


@pytest.fixture
def asset(loopback, monkeypatch, tmp_path):
    """Serve an asset of so many files, of which some are denied; return the server."""
    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path / "store"))

    def make(count: int, *, denied: set[int], listed: bool = True) -> Loopback:
        files = {f"{NAME}/f{n:03}.txt": b"file %d" % n for n in range(count)}
        entries = "".join(entry(key, body) for key, body in files.items())
        page = f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
        routes = {"/aind-open-data/": giving(page.encode()) if listed else no}
        for n, (key, body) in enumerate(files.items()):
            routes[f"/aind-open-data/{key}"] = no if n in denied else giving(body)
        server = loopback(routes)
        monkeypatch.setenv("OPENALLEN_S3_ENDPOINT", server.url)
        return server

    return make


@pytest.mark.parametrize("count", [3, 120])
def test_what_is_denied_is_named_and_the_rest_is_fetched(asset, tmp_path, count):
    server = asset(count, denied={1})
    with pytest.raises(IncompleteError) as caught:
        oa.fetch(f"asset:{NAME}", to=tmp_path / "a")
    assert caught.value.what == f"1 file of {count} could not be fetched"
    assert "access denied" in caught.value.why
    assert "private, or not there" in caught.value.hint
    (failed,) = caught.value.report.failed
    assert failed.file.path == "f001.txt"
    assert failed.attempts <= 1
    found = {path.name: path.read_bytes() for path in (tmp_path / "a").glob("f*.txt")}
    assert found == {f"f{n:03}.txt": b"file %d" % n for n in range(count) if n != 1}
    asked = sum(request.target.endswith("f001.txt") for request in server.seen)
    assert asked <= 2  # once among many, once more by itself


def test_where_other_files_failed_for_another_reason_another_try_is_the_hint(asset, tmp_path):
    server = asset(3, denied={1})
    server.routes[f"/aind-open-data/{NAME}/f000.txt"] = giving(b"FILE 0")
    with pytest.raises(IncompleteError) as caught:
        oa.fetch(f"asset:{NAME}", to=tmp_path / "a")
    assert caught.value.hint.startswith("openallen fetch asset:")


def test_a_private_bucket_says_what_to_look_at(asset, tmp_path):
    asset(3, denied={0, 1, 2}, listed=False)
    for ask in (oa.show, oa.list, oa.plan):
        with pytest.raises(StatusError, match="aind-open-data may not be listed") as caught:
            ask(f"asset:{NAME}")
        assert "it is private, or its objects" in caught.value.hint
        assert caught.value.status == 403
    asset(3, denied={0, 1, 2})
    with pytest.raises(IncompleteError, match="3 files of 3") as incomplete:
        oa.fetch(f"asset:{NAME}", to=tmp_path / "a")
    assert "private, or not there" in incomplete.value.hint


@pytest.fixture
def store(loopback, tmp_path):
    """Serve a Zarr store from a bucket that may not be listed; return what reads it."""
    values = np.arange(64, dtype="<i4").reshape(8, 8)

    def make(version: int, *, private: bool = False, drop: str = "") -> RemoteObjects:
        folder = tmp_path / f"v{version}"
        if not folder.exists():
            group = zarr.create_group(str(folder), zarr_format=version)
            packed = numcodecs.GZip() if version == 2 else zarr.codecs.GzipCodec()
            array = group.create_array(
                "a", shape=(8, 8), chunks=(4, 8), dtype="<i4", compressors=packed
            )
            array[:] = values
        server = loopback({})
        given = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
        for key, path in given.items():
            if not private and key != drop:
                server.routes[f"/b/{key}"] = giving(path.read_bytes())
        names = ("zarr.json", ".zgroup", ".zarray", ".zattrs", ".zmetadata")
        for key in (*given, *names, *(f"{at}/{name}" for at in "ab" for name in names)):
            server.routes.setdefault(f"/b/{key}", no)
        bucket = Bucket(http=http, name="b", endpoint=server.url, retry=Retry(attempts=1))
        return RemoteObjects(bucket, "")

    with Http(silence_timeout_s=5) as http:
        yield make


@pytest.mark.parametrize("version", [2, 3])
def test_a_store_in_a_bucket_that_may_not_be_listed_is_read(store, version):
    found = Hierarchy(store(version))
    assert found.format == version
    assert np.array_equal(found.array("a")[...], np.arange(64).reshape(8, 8))
    assert found.attrs("a") == {}
    with pytest.raises(NotFoundError):
        found.array("b")


@pytest.mark.parametrize(("version", "chunk"), [(2, "a/1.0"), (3, "a/c/1/0")])
def test_a_chunk_that_is_denied_is_never_taken_for_background(store, version, chunk):
    array = Hierarchy(store(version, drop=chunk), holes="usual").array("a")
    with pytest.raises(StatusError, match="access denied"):
        array[...]


@pytest.mark.parametrize("version", [2, 3])
def test_a_private_store_is_not_called_no_store(store, version):
    with pytest.raises(StatusError, match="access denied") as caught:
        Hierarchy(store(version, private=True))
    assert "private, or not there" in caught.value.hint
