"""Buckets of an archive as S3 has them: our client, boto3, s5cmd and curl read them unchanged."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from buckets import serving_s3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openallen.archive import archive_app, serving
from openallen.archive.buckets import Buckets, successor
from openallen.errors import CorruptError, NotFoundError
from openallen.transport import Http
from openallen.transport.s3 import Bucket

NAME = "lab-data"
S5CMD = shutil.which("s5cmd") or str(Path(sys.executable).with_name("s5cmd"))
BODIES = {
    "a.txt": b"first",
    "a/b/c.bin": bytes(range(256)) * 40,
    "a/b/d e+f%.txt": b"odd name",
    "a/z.zarr/.zattrs": b"{}",
    "a0": b"after the folder a/",
    "empty": b"",
    "mouse/Ünïcode ☃.csv": b"x,y\n",
}
VERSIONS = [
    {"key": "told/x.csv", "version_id": "v1", "file": "versions/x-1", "etag": "aa", "modified": "2020-01-01T00:00:00Z"},
    {"key": "told/x.csv", "version_id": "v2", "file": "versions/x-2", "etag": "bb", "modified": "2021-01-01T00:00:00.5Z"},
    {"key": "told/gone.csv", "version_id": "g1", "file": "versions/x-1", "etag": "aa", "modified": "2020-01-01T00:00:00Z"},
    {"key": "told/gone.csv", "version_id": "g2", "deleted": True, "modified": "2022-01-01T00:00:00Z"},
    {"key": "told//odd/../key", "version_id": "o1", "file": "versions/x-2", "etag": "bb"},
    {"key": "told/absent", "version_id": "p1", "file": "versions/never-mirrored"},
]  # fmt: skip


def written(root: Path, bodies: dict[str, bytes], name: str = NAME) -> Path:
    for key, body in bodies.items():
        path = root / "buckets" / name / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return root


def index(root: Path, lines: list[dict], name: str = NAME) -> None:
    (root / "buckets").mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (root / "buckets" / f"{name}.jsonl").write_text(text)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    made = written(tmp_path_factory.mktemp("archive"), BODIES)
    (made / "versions").mkdir()
    (made / "versions" / "x-1").write_bytes(b"one")
    (made / "versions" / "x-2").write_bytes(b"two!")
    index(made, VERSIONS)
    return made


@pytest.fixture(scope="module")
def url(root):
    with serving(archive_app(root)) as found:
        yield found


def client(endpoint: str, style: str = "path"):
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-west-2",
        config=Config(signature_version=UNSIGNED, s3={"addressing_style": style}),
    )


def ask(url: str, target: str, method: str = "GET", **headers: str) -> tuple[int, dict, bytes]:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urlopen(Request(url + target, headers=told, method=method)) as answer:
            return answer.status, _lower(answer.headers), answer.read()
    except HTTPError as error:
        return error.code, _lower(error.headers), error.read()


def _lower(headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def code(body: bytes) -> str:
    return ET.fromstring(body).findtext("Code") or ""


# --- our own client -------------------------------------------------------------------------------


@pytest.fixture
def bucket(url):
    with Http() as http:
        yield Bucket(http=http, name=NAME, endpoint=f"{url}/s3")


def test_our_client_lists_levels_versions_and_reads(bucket):
    listed = {entry.key: entry.size_bytes for entry in bucket.list(page_keys=2)}
    visible = {k: len(b) for k, b in BODIES.items()} | {"told/x.csv": 4, "told//odd/../key": 4}
    assert listed == visible
    entries, folders = bucket.level("a/")
    assert ([e.key for e in entries], folders) == ([], ("a/b/", "a/z.zarr/"))
    entries, folders = bucket.level()
    assert [e.key for e in entries] == ["a.txt", "a0", "empty"]
    assert folders == ("a/", "mouse/", "told/")
    for key, body in BODIES.items():
        assert bucket.read(key) == body
    versions = [(v.key, v.version_id, v.latest, v.size_bytes) for v in bucket.versions("told/x")]
    assert versions == [("told/x.csv", "v2", True, 4), ("told/x.csv", "v1", False, 3)]
    assert [v.etag for v in bucket.versions("told/x")] == ["bb", "aa"]
    assert bucket.read("told/x.csv", "v1") == b"one"
    assert bucket.read("told/x.csv") == b"two!"
    with pytest.raises(NotFoundError):
        bucket.read("told/gone.csv")
    with pytest.raises(NotFoundError):
        bucket.read("told/absent")


def test_a_bucket_that_is_not_there_is_said_by_our_client(url):
    with Http() as http, pytest.raises(NotFoundError, match="no bucket no-such-bucket at"):
        list(Bucket(http=http, name="no-such-bucket", endpoint=f"{url}/s3").list())


# --- clients of others ----------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["", "/s3"])
def test_boto3_reads_it_as_it_reads_s3(url, where):
    s3 = client(url + where)
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=NAME, PaginationConfig={"PageSize": 3}
    )
    keys = [entry["Key"] for page in pages for entry in page["Contents"]]
    assert keys == sorted([*BODIES, "told/x.csv", "told//odd/../key"])
    old = s3.get_paginator("list_objects").paginate(Bucket=NAME, PaginationConfig={"PageSize": 2})
    assert [entry["Key"] for page in old for entry in page["Contents"]] == keys
    level = s3.list_objects_v2(Bucket=NAME, Delimiter="/", Prefix="a/")
    assert [p["Prefix"] for p in level["CommonPrefixes"]] == ["a/b/", "a/z.zarr/"]
    assert level["KeyCount"] == 2
    found = s3.get_object(Bucket=NAME, Key="a/b/c.bin", Range="bytes=10-19")
    assert found["Body"].read() == BODIES["a/b/c.bin"][10:20]
    assert found["ContentRange"] == "bytes 10-19/10240"
    head = s3.head_object(Bucket=NAME, Key="told/x.csv", VersionId="v1")
    assert (head["ContentLength"], head["ETag"], head["VersionId"]) == (3, '"aa"', "v1")
    versions = s3.list_object_versions(Bucket=NAME, Prefix="told/gone")
    assert [v["VersionId"] for v in versions["Versions"]] == ["g1"]
    assert [(m["VersionId"], m["IsLatest"]) for m in versions["DeleteMarkers"]] == [("g2", True)]
    assert s3.get_bucket_location(Bucket=NAME)["LocationConstraint"] == "us-west-2"
    assert s3.get_bucket_versioning(Bucket=NAME)["Status"] == "Enabled"
    assert s3.head_bucket(Bucket=NAME)
    if not where:
        assert [b["Name"] for b in s3.list_buckets()["Buckets"]] == [NAME]
    for wanted, call in {
        "NoSuchKey": lambda: s3.get_object(Bucket=NAME, Key="no-such-key"),
        "NoSuchBucket": lambda: s3.list_objects_v2(Bucket="no-such-bucket"),
        "NoSuchVersion": lambda: s3.get_object(Bucket=NAME, Key="a.txt", VersionId="v9"),
        "404": lambda: s3.head_object(Bucket=NAME, Key="told/gone.csv"),
        "MethodNotAllowed": lambda: s3.put_object(Bucket=NAME, Key="a.txt", Body=b"x"),
        "NotImplemented": lambda: s3.get_bucket_policy(Bucket=NAME),
        "InvalidPartNumber": lambda: s3.get_object(Bucket=NAME, Key="a.txt", PartNumber=2),
    }.items():
        with pytest.raises(ClientError) as caught:
            call()
        assert caught.value.response["Error"]["Code"] == wanted


def test_boto3_asks_about_objects_and_buckets(url):
    s3 = client(url)
    wanted = ["ETag", "ObjectSize", "StorageClass"]
    told = s3.get_object_attributes(Bucket=NAME, Key="told/x.csv", ObjectAttributes=wanted)
    assert (told["ETag"], told["ObjectSize"], told["VersionId"]) == ("bb", 4, "v2")
    old = {"Bucket": NAME, "Key": "told/x.csv", "VersionId": "v1"}
    assert s3.get_object_attributes(**old, ObjectAttributes=wanted)["ObjectSize"] == 3
    everybody = {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/global/AllUsers"}
    for acl in (s3.get_bucket_acl(Bucket=NAME), s3.get_object_acl(Bucket=NAME, Key="a.txt")):
        assert acl["Grants"] == [{"Grantee": everybody, "Permission": "READ"}]
    assert s3.get_object_tagging(Bucket=NAME, Key="a.txt")["TagSet"] == []
    assert s3.get_bucket_request_payment(Bucket=NAME)["Payer"] == "BucketOwner"
    whole = s3.get_object(Bucket=NAME, Key="a/b/c.bin", PartNumber=1, ChecksumMode="ENABLED")
    assert whole["Body"].read() == BODIES["a/b/c.bin"]
    assert whole["ContentRange"] == "bytes 0-10239/10240"
    assert s3.get_object(Bucket=NAME, Key="empty", PartNumber=1)["ContentLength"] == 0
    with pytest.raises(ClientError) as caught:
        s3.get_object(Bucket=NAME, Key="a.txt", IfNoneMatch=s3.head_object(
            Bucket=NAME, Key="a.txt")["ETag"])  # fmt: skip
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 304


def test_boto3_downloads_large_files_in_parts_at_once(tmp_path):
    body = os.urandom(20 << 20)
    with serving(archive_app(written(tmp_path / "archive", {"large.bin": body}))) as url:
        to = tmp_path / "large.bin"
        client(url).download_file(NAME, "large.bin", str(to))
        assert to.read_bytes() == body


def test_versions_are_paged_in_the_middle_of_a_key(url):
    s3 = client(url)
    pages = s3.get_paginator("list_object_versions").paginate(
        Bucket=NAME, Prefix="told/", PaginationConfig={"PageSize": 1}
    )
    found = [
        (one["Key"], one["VersionId"])
        for page in pages
        for one in page.get("Versions", []) + page.get("DeleteMarkers", [])
    ]
    assert found == [
        ("told//odd/../key", "o1"), ("told/gone.csv", "g2"), ("told/gone.csv", "g1"),
        ("told/x.csv", "v2"), ("told/x.csv", "v1"),
    ]  # fmt: skip


@pytest.mark.skipif(not Path(S5CMD).exists(), reason="s5cmd is not installed")
def test_s5cmd_lists_and_copies(url, tmp_path):
    def s5cmd(*words: str) -> str:
        given = [S5CMD, "--endpoint-url", url, "--no-sign-request", *words]
        done = subprocess.run(given, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "a/b/" in s5cmd("ls", f"s3://{NAME}/a/") or "b/" in s5cmd("ls", f"s3://{NAME}/a/")
    s5cmd("cp", f"s3://{NAME}/a/*", f"{tmp_path}/")
    assert (tmp_path / "b" / "c.bin").read_bytes() == BODIES["a/b/c.bin"]
    assert (tmp_path / "z.zarr" / ".zattrs").read_bytes() == b"{}"
    assert s5cmd("cat", f"s3://{NAME}/a.txt") == "first"
    assert s5cmd("cat", "--version-id", "v1", f"s3://{NAME}/told/x.csv") == "one"

    told = json.loads(s5cmd("head", f"s3://{NAME}/a.txt"))
    assert told["size"] == 5
    assert json.loads(s5cmd("head", f"s3://{NAME}")) == {"bucket": f"s3://{NAME}"}
    assert s5cmd("du", f"s3://{NAME}/a/*").startswith(f"{10240 + 8 + 2} bytes in 3 objects")
    s5cmd("sync", f"s3://{NAME}/*", f"{tmp_path}/all/")
    assert (tmp_path / "all" / "told" / "x.csv").read_bytes() == b"two!"


@pytest.fixture(scope="module")
def aws(url):
    """Run the AWS command line."""
    keys = {"AWS_ENDPOINT_URL": url, "AWS_DEFAULT_REGION": "us-west-2", "AWS_PAGER": ""}

    def call(*words: str) -> str:
        given = ["aws", "--no-sign-request", *words]
        done = subprocess.run(
            given, capture_output=True, text=True, check=False, timeout=90, env=os.environ | keys
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    found = shutil.which("aws") is not None
    if (
        not found
        or subprocess.run(["aws", "--version"], capture_output=True, check=False).returncode
    ):
        pytest.skip("the AWS command line is not installed")
    return call


def test_the_aws_command_line_lists_and_copies(aws, tmp_path):
    level = aws("s3", "ls", "--page-size", "2", f"s3://{NAME}/a/").split()
    assert level == ["PRE", "b/", "PRE", "z.zarr/"]
    aws("s3", "cp", "--recursive", "--only-show-errors", f"s3://{NAME}/a/", str(tmp_path))
    assert (tmp_path / "b" / "c.bin").read_bytes() == BODIES["a/b/c.bin"]
    assert (tmp_path / "b" / "d e+f%.txt").read_bytes() == b"odd name"
    listed = json.loads(
        aws("s3api", "list-object-versions", "--bucket", NAME, "--prefix", "told/x")
    )
    assert [one["VersionId"] for one in listed["Versions"]] == ["v2", "v1"]
    to = str(tmp_path / "old")
    words = ("--bucket", NAME, "--key", "told/x.csv", "--version-id", "v1", "--range", "bytes=1-")
    assert json.loads(aws("s3api", "get-object", *words, to))["ContentRange"] == "bytes 1-2/3"
    assert Path(to).read_bytes() == b"ne"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_asks_the_bucket_by_its_host(url):
    port = url.rpartition(":")[2]
    place = f"http://{NAME}.localhost:{port}"
    resolve = ["--resolve", f"{NAME}.localhost:{port}:127.0.0.1"]

    def curl(*words: str) -> bytes:
        given = ["curl", "-sS", "--noproxy", "*", *resolve, *words]
        return subprocess.run(given, capture_output=True, check=True, timeout=60).stdout

    assert curl(f"{place}/a.txt") == b"first"
    assert curl("-r", "-5", f"{place}/a/b/c.bin") == BODIES["a/b/c.bin"][-5:]
    assert b"<Key>a.txt</Key>" in curl(f"{place}/?list-type=2&max-keys=1")
    assert b"<Key>a.txt</Key>" in curl(f"{url}/{NAME}?list-type=2&max-keys=1")
    assert code(curl(f"{place}/nothing")) == "NoSuchKey"
    # What begins like one of the services is a key here.
    assert code(curl(f"{place}/api/v2/data/query.json")) == "NoSuchKey"


# --- headers of objects ---------------------------------------------------------------------------


def test_ranges_are_answered_as_s3_does(url):
    place, body = f"{url}/s3/{NAME}/a/b/c.bin", BODIES["a/b/c.bin"]
    size = len(body)
    for wanted, span in {
        "bytes=0-0": (0, 1), "bytes=100-": (100, size), "bytes=-10": (size - 10, size),
        f"bytes={size - 1}-{size + 99}": (size - 1, size), f"bytes=-{size * 2}": (0, size),
    }.items():  # fmt: skip
        status, headers, found = ask(place, "", range=wanted)
        assert (status, found) == (206, body[slice(*span)]), wanted
        assert headers["content-range"] == f"bytes {span[0]}-{span[1] - 1}/{size}"
    for wanted in ("bytes=5-2", "bytes=", "bytes=-", "lines=1-2", "bytes=0-1,4-5", "bytes=a-b"):
        status, headers, found = ask(place, "", range=wanted)
        assert (status, found) == (200, body), wanted
        assert "content-range" not in headers
    for wanted in (f"bytes={size}-", f"bytes={10**17}-", "bytes=-0"):
        status, _, found = ask(place, "", range=wanted)
        assert (status, code(found)) == (416, "InvalidRange"), wanted
    assert ask(f"{url}/s3/{NAME}/empty", "", range="bytes=0-")[0] == 416
    status, headers, found = ask(place, "", "HEAD", range="bytes=2-3")
    assert (status, headers["content-length"], found) == (206, "2", b"")


def test_conditions_are_answered_as_s3_does(url):
    place = f"{url}/s3/{NAME}/told/x.csv"
    _, headers, _ = ask(place, "")
    assert headers["etag"] == '"bb"'
    assert headers["last-modified"] == "Fri, 01 Jan 2021 00:00:00 GMT"
    assert headers["x-amz-version-id"] == "v2"
    assert "sandbox" in headers["content-security-policy"]
    changed = "Fri, 01 Jan 2021 00:00:00 GMT"
    before = "Thu, 31 Dec 2020 00:00:00 GMT"
    for status, told in (
        (304, {"if_none_match": '"bb"'}),
        (304, {"if_none_match": 'W/"x", "bb"'}),
        (304, {"if_none_match": "*"}),
        (200, {"if_none_match": '"aa"', "if_modified_since": changed}),
        (304, {"if_modified_since": changed}),
        (200, {"if_modified_since": before}),
        (200, {"if_modified_since": "yesterday"}),
        (412, {"if_match": '"aa"'}),
        (200, {"if_match": '"bb"', "if_unmodified_since": before}),
        (412, {"if_unmodified_since": before}),
        (206, {"range": "bytes=0-0", "if_range": '"bb"'}),
        (200, {"range": "bytes=0-0", "if_range": '"aa"'}),
        (206, {"range": "bytes=0-0", "if_range": changed}),
        (200, {"range": "bytes=0-0", "if_range": before}),
    ):
        assert ask(place, "", **told)[0] == status, told


def test_a_file_without_a_line_has_a_tag_that_changes_with_it(tmp_path):
    made = written(tmp_path, {"x": b"one"})
    with serving(archive_app(made)) as url:
        before = ask(url, f"/{NAME}/x")[1]["etag"]
        assert before == ask(url, f"/{NAME}/x")[1]["etag"]
        assert "-" in before  # which says that it is no MD5
        written(made, {"x": b"two"})
        os.utime(made / "buckets" / NAME / "x", ns=(1, 1))
        assert ask(url, f"/{NAME}/x")[1]["etag"] != before
        assert ask(url, f"/{NAME}/x")[2] == b"two"


def test_an_index_that_grows_is_read_while_it_is_served(root, tmp_path):
    made = written(tmp_path, {"x": b"one"})
    with serving(archive_app(made)) as url:
        assert ask(url, f"/{NAME}/y")[0] == 404
        (made / "more").write_bytes(b"mirrored")
        index(made, [{"key": "y", "version_id": "1", "file": "more"}])
        assert ask(url, f"/{NAME}/y?versionId=1")[2] == b"mirrored"
        written(made, {"z": b"z"}, "another-bucket")
        assert ask(url, "/another-bucket/z")[2] == b"z"
        with (made / "buckets" / f"{NAME}.jsonl").open("a") as file:
            file.write('{"key": "half')  # somebody is writing: no reason to answer nothing
        assert ask(url, f"/{NAME}/y?versionId=1")[2] == b"mirrored"
        (made / "buckets" / f"{NAME}.jsonl").write_text("no index\n")
        status, _, body = ask(url, f"/{NAME}/y")
        assert (status, code(body)) == (500, "InternalError")
        assert ask(url, "/another-bucket/z")[2] == b"z"


# --- listings, beside another server of S3 --------------------------------------------------------

_NUMBERS = itertools.count(1)
_KEYS = st.lists(st.text("ab/.é", min_size=1, max_size=6), min_size=1, max_size=12, unique=True)


def plain(keys: list[str]) -> list[str]:
    """Return keys that a folder can hold."""
    kept: list[str] = []
    for key in keys:
        parts = key.split("/")
        if {"", ".", ".."} & set(parts):
            continue
        if any(key.startswith(k + "/") or k.startswith(key + "/") for k in kept):
            continue
        kept.append(key)
    return kept


@pytest.fixture(scope="module")
def beside(tmp_path_factory):
    root = tmp_path_factory.mktemp("beside")
    written(root, {"x": b""})
    with serving_s3() as moto, serving(archive_app(root)) as ours:
        yield root, client(moto), client(ours)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keys=_KEYS, data=st.data())
def test_listings_are_those_of_another_server(beside, keys, data):
    root, theirs, ours = beside
    keys = plain(keys)
    name = f"bucket-{next(_NUMBERS)}"
    theirs.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
    (root / "buckets" / name).mkdir(exist_ok=True)
    written(root, {key: key.encode() for key in keys}, name)
    for key in keys:
        theirs.put_object(Bucket=name, Key=key, Body=key.encode())
    asked = {"Bucket": name}
    asked["Prefix"] = data.draw(st.sampled_from(["", *(k[:2] for k in keys)]))
    asked["Delimiter"] = data.draw(st.sampled_from(["", "/", "b"]))
    size = data.draw(st.integers(1, 4))

    def all_of(s3) -> tuple[list, list]:
        pages = s3.get_paginator("list_objects_v2").paginate(
            **asked, PaginationConfig={"PageSize": size}
        )
        found = list(pages)
        assert all(page["KeyCount"] <= size for page in found)
        return (
            [(e["Key"], e["Size"]) for page in found for e in page.get("Contents", [])],
            [p["Prefix"] for page in found for p in page.get("CommonPrefixes", [])],
        )

    assert all_of(ours) == all_of(theirs)
    if not asked["Delimiter"]:
        after = data.draw(st.sampled_from(["", *keys, "a", "b"]))
        told = [s3.list_objects_v2(**asked, StartAfter=after) for s3 in (ours, theirs)]
        a, b = ([e["Key"] for e in one.get("Contents", [])] for one in told)
        assert a == b
    shutil.rmtree(root / "buckets" / name)


def test_folders_behind_a_page_are_not_looked_into(tmp_path, monkeypatch):
    made = written(tmp_path, {f"{n:03}/{m}": b"" for n in range(40) for m in range(3)})
    looked: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda p: looked.append(str(p)) or scandir(p))
    with serving(archive_app(made)) as url:
        looked.clear()
        status, _, body = ask(url, f"/{NAME}?list-type=2&prefix=005/&max-keys=2")
        assert status == 200
        assert body.count(b"<Key>") == 2
        below = [p for p in looked if Path(p).name.isdigit()]
        assert [Path(p).name for p in below] == ["005"]


@given(st.text(max_size=4), st.text(max_size=3), st.text(min_size=1, max_size=3))
def test_a_successor_is_behind_all_that_begin_so(one, more, prefix):
    assert prefix + more < successor(prefix) or prefix[-1] == "\U0010ffff"
    assert one < prefix or one >= successor(prefix) or one.startswith(prefix)


# --- nothing outside ------------------------------------------------------------------------------


@pytest.fixture
def hostile(tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "passwd").write_bytes(b"SECRET")
    made = written(tmp_path / "archive", {"good": b"good", "folder/inner": b"inner"})
    place = made / "buckets" / NAME
    (made / "tables").mkdir()
    (made / "tables" / "genes.jsonl").write_text('{"id": 1}\n')
    (place / "link").symlink_to(secret / "passwd")
    (place / "linked").symlink_to(secret)
    (place / "inside").symlink_to(place / "good")
    (place / "loop").symlink_to(place)
    (made / "buckets" / "whole-link").symlink_to(secret)
    os.mkfifo(place / "pipe")
    Path(os.fsdecode(os.fsencode(place) + b"/\xff\xfe")).mkdir()
    (place / "back\\slash").write_bytes(b"x")
    written(made, {"x": b"x"}, ".hidden")
    with serving(archive_app(made)) as url:
        yield made, url


def test_nothing_outside_of_the_folder_is_served(hostile):
    _, url = hostile
    keys = [
        "link", "linked/passwd", "inside", "loop/good", "pipe", "folder", "folder/", "/good",
        "../../tables/genes.jsonl", "..%2f..%2ftables%2fgenes.jsonl", "%2e%2e/%2e%2e/archive.json",
        "folder/../good", "./good", "folder//inner", "good/", "good%00", "good\\..\\good",
        "back\\slash", "%ff%fe", "..\\..\\tables\\genes.jsonl", "a" * 5000, "a/" * 600 + "a",
        "%2fetc%2fpasswd", "C:%5cx",
    ]  # fmt: skip
    for key in keys:
        for base in (f"/s3/{NAME}/", f"/{NAME}/"):
            status, _, body = raw(url, base + key)
            assert status in {400, 404}, (key, status, body)
            assert b"SECRET" not in body
    for name in ("whole-link", ".hidden", "..", ".", "%2e%2e", "tables", NAME.upper(), "%00"):
        status, _, body = raw(url, f"/s3/{name}/passwd")
        assert status in {400, 404}, name
        assert b"SECRET" not in body
    listed = raw(url, f"/{NAME}?list-type=2")[2]
    found = [e.text for e in ET.fromstring(listed).iter() if e.tag.endswith("}Key")]
    assert found == ["folder/inner", "good"]
    assert raw(url, "/s3")[2].count(b"<Name>") == 1


def raw(url: str, target: str, *lines: str) -> tuple[int, bytes, bytes]:
    """Ask with a path as it is, which other clients would tidy up."""
    import socket

    host, _, port = url.removeprefix("http://").partition(":")
    head = [f"GET {target} HTTP/1.1", f"Host: {host}:{port}", *lines, "Connection: close", "", ""]
    with socket.create_connection((host, int(port)), timeout=30) as sock:
        sock.sendall("\r\n".join(head).encode())
        answer = b"".join(iter(lambda: sock.recv(1 << 16), b""))
    begin, _, body = answer.partition(b"\r\n\r\n")
    return int(begin.split()[1]), begin, body


@pytest.mark.parametrize(
    "line",
    [
        {"key": "x", "file": "../secret/passwd"},
        {"key": "x", "file": "/etc/passwd"},
        {"key": "x", "file": "buckets/../../secret/passwd"},
        {"key": "x", "file": "C:\\x"},
        {"key": "x", "file": "buckets\\x"},
        {"key": "x", "file": ["x"]},
        {"key": 5},
        {"key": ""},
        {},
        {"key": "x", "modified": "yesterday"},
        {"key": "x", "modified": "0001-01-01T00:00:00+23:59"},
        {"key": "x", "modified": "9999-12-31T23:59:59-23:59"},
        {"key": "x", "version_id": "1\r\nset-cookie: a=b"},
        {"key": "x", "etag": "名"},
        ["key"],
    ],
)
def test_an_index_that_leads_outside_or_is_none_is_refused(tmp_path, line):
    index(tmp_path, [{"key": "fine"}, line])
    with pytest.raises(CorruptError, match=f"index of the bucket {NAME}.*") as caught:
        archive_app(tmp_path)
    assert "line 2" in str(caught.value)


def test_a_link_that_an_index_names_is_not_followed(tmp_path):
    (tmp_path / "secret").write_bytes(b"SECRET")
    made = written(tmp_path / "archive", {"x": b"x"})
    (made / "linked").symlink_to(tmp_path / "secret")
    index(made, [{"key": "y", "file": "linked"}])
    with serving(archive_app(made)) as url:
        assert ask(url, f"/{NAME}/y")[0] == 404
        assert b"<Key>y</Key>" not in ask(url, f"/{NAME}?list-type=2")[2]


def test_odd_questions_are_refused_in_xml(url):
    for target, status, said in (
        (f"/{NAME}?list-type=2&max-keys=-1", 400, "InvalidArgument"),
        (f"/{NAME}?list-type=2&max-keys=many", 400, "InvalidArgument"),
        (f"/{NAME}?list-type=2&max-keys=99999999999999999999", 400, "InvalidArgument"),
        (f"/{NAME}?list-type=3", 400, "InvalidArgument"),
        (f"/{NAME}?list-type=2&encoding-type=xml", 400, "InvalidArgument"),
        (f"/{NAME}?list-type=2&continuation-token=!!", 400, "InvalidArgument"),
        (f"/{NAME}?list-type=2&continuation-token=%FF", 400, "InvalidURI"),
        (f"/{NAME}?versions&version-id-marker=v1", 400, "InvalidArgument"),
        (f"/{NAME}?policy", 501, "NotImplemented"),
        (f"/{NAME}/a.txt?torrent", 501, "NotImplemented"),
        (f"/{NAME}/nothing?acl", 404, "NoSuchKey"),
        (f"/{NAME}/a.txt?partNumber=x", 416, "InvalidPartNumber"),
        ("/no-such-bucket/x", 404, "NoSuchBucket"),
        ("/favicon.ico", 404, "NoSuchBucket"),
    ):
        found, headers, body = ask(url, target)
        assert (found, code(body)) == (status, said), target
        assert headers["content-type"] == "application/xml"
    assert ask(url, f"/{NAME}?list-type=2&max-keys=0")[2].count(b"<Key>") == 0
    for method in ("PUT", "POST", "DELETE"):
        assert ask(url, f"/{NAME}/a.txt", method)[0] == 405
    assert ask(url, f"/{NAME}/nothing", "HEAD")[::2] == (404, b"")


def test_strangers_are_refused_and_services_answer_as_before(url):
    port = url.rpartition(":")[2]
    for host, status in {
        f"{NAME}.localhost:{port}": 200, f"{NAME}.localhost": 200, "evil.example": 421,
        f"{NAME}.evil.example": 421, f"{NAME}.localhost.evil.example": 421,
        f"{NAME}.s3.us-west-2.amazonaws.com": 421,
    }.items():  # fmt: skip
        assert ask(url, "/a.txt", host=host)[0] == status, host
    assert ask(url, f"/{NAME}/a.txt", origin="https://evil.example")[0] == 403
    assert ask(url, "/openallen/about.json", host=f"x.localhost:{port}")[0] == 404
    status, _, body = ask(url, "/openallen/about.json")
    assert (status, json.loads(body)["buckets"]) == (200, [NAME])
    # Keys may be long numbers; ids of services are not.
    assert code(ask(url, f"/{NAME}/{'9' * 40}")[2]) == "NoSuchKey"
    assert ask(url, f"/api/v2/well_known_file_download/{'9' * 40}")[0] == 400


# --- bounds ---------------------------------------------------------------------------------------


def test_large_files_are_streamed_in_bounded_memory(tmp_path):
    made = written(tmp_path, {"x": b"x"})
    size = 600 << 20
    with (made / "buckets" / NAME / "large").open("wb") as file:
        file.truncate(size)  # no bytes on the disk
    import tracemalloc

    with serving(archive_app(made)) as url, urlopen(f"{url}/{NAME}/large") as answer:
        tracemalloc.start()
        got = sum(len(piece) for piece in iter(lambda: answer.read(1 << 20), b""))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert got == size
    assert peak < 32 << 20


def test_a_client_that_hangs_up_leaves_no_open_file(tmp_path):
    made = written(tmp_path, {"x": b"x"})
    with (made / "buckets" / NAME / "large").open("wb") as file:
        file.truncate(300 << 20)

    def held() -> int:
        links = Path("/proc/self/fd").iterdir()
        return sum(1 for link in links if link.exists() and link.resolve().name == "large")

    if not Path("/proc/self/fd").exists():
        pytest.skip("this system does not list open files")
    with serving(archive_app(made)) as url:
        for _ in range(5):
            with urlopen(f"{url}/{NAME}/large") as answer:
                answer.read(10)
        waiting = threading.Event()
        for _ in range(100):
            if not held():
                break
            waiting.wait(0.1)
        assert not held()


def test_a_file_that_becomes_shorter_is_a_cut_body_not_a_wrong_one(tmp_path):
    made = written(tmp_path, {"x": b"x" * (1 << 20)})
    bucket = Buckets(made).find(NAME)
    assert bucket is not None
    stored = bucket.newest("x")
    assert stored is not None
    (made / "buckets" / NAME / "x").write_bytes(b"short")
    with pytest.raises(OSError, match="replaced"):
        bucket.open(stored)


def test_faults_on_request_reach_buckets_too(archive, tmp_path):
    from openallen.archive import Fault

    made = written(tmp_path, {"x": b"0123456789"})
    with serving(archive_app(made, faults=(Fault.parse("error@lab-data/2"),))) as url:
        assert [ask(url, f"/{NAME}/x")[0] for _ in range(4)] == [200, 500, 200, 500]
    del archive
