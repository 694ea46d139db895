"""Releases and what goes wrong: manifests, keys, listings, disks, processes."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import openallen as oa
from openallen.errors import (
    AddressError,
    AnswerError,
    CorruptError,
    IntegrityError,
    NotFoundError,
    OfflineError,
    UsageError,
)
from openallen.settings import user_file
from openallen.sources.releases import PROJECTS, Manifest, Version, compare, open_release
from openallen.sources.releases.cache import ReleaseCache
from openallen.sources.releases.models import Project
from openallen.store import Index, digest_of
from openallen.transport import Http, Retry
from openallen.transport.s3 import Bucket, S3Location

NAME = "release:visual-behavior-ophys"
PROJECT = PROJECTS["visual-behavior-ophys"]


def entry(key: str, body: bytes = b"x") -> dict[str, str]:
    return {
        "url": f"https://visual-behavior-ophys-data.s3.us-west-2.amazonaws.com/{key}",
        "version_id": "v",
        "file_hash": hashlib.blake2b(body).hexdigest(),
    }


def manifest(**more):
    return {
        "project_name": "visual-behavior-ophys",
        "manifest_version": "1.0.0",
        "data_pipeline": [{"name": "AllenSDK", "version": "2.16.2", "comment": ""}],
        "metadata_file_id_column_name": "file_id",
        "metadata_files": {"t": entry("visual-behavior-ophys/project_metadata/t.csv")},
        "data_files": {"1": entry("visual-behavior-ophys/behavior_sessions/b.nwb")},
    } | more


# --- versions and manifests -----------------------------------------------------------------------


def test_versions_are_ordered_by_number():
    texts = ["0.9.0", "0.10.0", "1.0.0-rc1", "1.0.0", "20230630", "10.0.0"]
    assert sorted(map(Version, reversed(texts))) == [
        Version(t) for t in ("0.9.0", "0.10.0", "1.0.0-rc1", "1.0.0", "10.0.0", "20230630")
    ]
    with pytest.raises(AddressError):
        Version("latest")


def test_unknown_keys_of_a_manifest_are_kept():
    read = Manifest.read(manifest(colour="blue"), PROJECT)
    assert read.other == {"colour": "blue"}
    assert [f.kind for f in read.files] == ["table", "file"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"project_name": "another"},
        {"metadata_files": []},
        {"data_files": {"1": {"url": "https://x.s3.amazonaws.com/a/b"}}},
        {"data_files": {"1": entry("a/b") | {"file_hash": "short"}}},
        {"data_files": {"1": entry("a/b") | {"url": "ftp://x/a/b"}}},
        {"manifest_version": None},
    ],
)
def test_what_is_no_manifest(wrong):
    with pytest.raises((AnswerError, AddressError, UsageError)):
        Manifest.read(manifest(**wrong), PROJECT)
    with pytest.raises(AnswerError):
        Manifest.read({k: v for k, v in manifest().items() if k not in wrong}, PROJECT)


@pytest.mark.parametrize(
    "key", ["p/../../etc/passwd", "p//x", "p/a\\..\\b", "p/con", "p/a\x00b", "p/..%2f..%2fx"]
)
def test_a_hostile_key_goes_nowhere(key):
    with pytest.raises(IntegrityError):
        Manifest.read(manifest(data_files={"1": entry(key)}), PROJECT)


def test_a_truncated_manifest_here_is_asked_for_again(release, tmp_path):
    oa.fetch(f"{NAME}@0.2.0/ophys_session_table", to=tmp_path)
    path = tmp_path / "visual-behavior-ophys_project_manifest_v0.2.0.json"
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])
    open_release(f"{NAME}@0.2.0", tmp_path)
    assert path.read_bytes() == whole


def test_real_lists_of_files_make_manifests():
    """Every kind of key the releases have is told apart."""
    for key, kind, name in [
        ("behavior_sessions/behavior_session_870987812.nwb", "behavior_session", "870987812"),
        (
            "behavior_ophys_experiments/behavior_ophys_experiment_951980471.nwb",
            "ophys_experiment",
            "951980471",
        ),
    ]:
        read = Manifest.read(
            manifest(data_files={"7": entry(f"visual-behavior-ophys/{key}")}), PROJECT
        )
        assert read.by_kind[kind][name].path == key
    pixels = PROJECTS["visual-behavior-neuropixels"]
    root = "visual-behavior-neuropixels/behavior_ecephys_sessions/1043752325"
    told = manifest(
        project_name=pixels.name,
        data_files={
            "0": entry(f"{root}/ecephys_session_1043752325.nwb"),
            "1": entry(f"{root}/probe_probeA_lfp.nwb"),
            "2": entry(
                "visual-behavior-neuropixels/behavior_only_sessions/5/behavior_session_5.nwb"
            ),
        },
    )
    kinds = Manifest.read(told, pixels).by_kind
    assert set(kinds["ecephys_session"]) == {"1043752325"}
    assert set(kinds["probe"]) == {"1043752325/probe_probeA"}
    assert set(kinds["behavior_session"]) == {"5"}


def test_two_real_versions_differ_as_they_do(data):
    """All files of 0.1.0 and 1.0.1; equal S3 versions stand for equal digests."""
    folders = {
        "S": "behavior_sessions/behavior_session_",
        "E": "behavior_ophys_experiments/behavior_ophys_experiment_",
        "T": "project_metadata/",
    }
    made: list[Manifest] = []
    lines = gzip.decompress((data / "releases/vbo_versions.csv.gz").read_bytes()).decode()
    rows = [line.split(",") for line in lines.splitlines()]
    for column, version in ((1, "0.1.0"), (2, "1.0.1")):
        found = [
            (r[0], entry(f"visual-behavior-ophys/{folders[r[0][0]]}{r[0][1:]}", r[column].encode()))
            for r in rows
            if r[column]
        ]
        told = manifest(
            manifest_version=version,
            metadata_files={k[1:].removesuffix(".csv"): e for k, e in found if k[0] == "T"},
            data_files={str(i): e for i, (k, e) in enumerate(found) if k[0] != "T"},
        )
        made.append(Manifest.read(told, PROJECT))
    counts = [{kind: len(files) for kind, files in m.by_kind.items()} for m in made]
    assert counts == [
        {"table": 3, "behavior_session": 3021, "ophys_experiment": 1165},
        {"table": 4, "behavior_session": 4082, "ophys_experiment": 1941},
    ]
    assert compare(*made).summary == ("1,845 added, 7 removed, 197 changed, 3,985 files the same")
    assert [m.project.opens_in_allensdk(m.version) for m in made] == [False, True]


def test_dated_manifests_of_the_abc_atlas_are_the_same_nouns():
    leaf = {
        "version": "20230830",
        "relative_path": "expression_matrices/M/20230830/C-log2.h5ad",
        "url": "https://allen-brain-cell-atlas.s3.us-west-2.amazonaws.com/"
        "expression_matrices/M/20230830/C-log2.h5ad",
        "size": 7627589574,
        "file_hash": "0630f7a36d36ebd336cd8d0564b07b14",
    }
    listing = {"M": {"expression_matrices": {"C": {"log2": {"files": {"h5ad": leaf}}}}}}
    told = {"version": "20231215", "file_listing": listing, "directory_listing": {}}
    read = Manifest.read(told, PROJECTS["abc-atlas"])
    (file,) = read.files
    assert (file.kind, file.id) == ("expression_matrices", "M/C/log2/h5ad")
    assert (file.digest, file.size_bytes) == (f"md5:{leaf['file_hash']}", 7627589574)
    assert str(read.version) == "20231215"


# --- buckets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "bucket", "key", "version"),
    [
        ("s3://b/k/x.nwb", "b", "k/x.nwb", ""),
        ("s3://b/k%20x?versionId=v%2B1", "b", "k x", "v+1"),
        ("https://b.s3.us-west-2.amazonaws.com/k/x?versionId=1", "b", "k/x", "1"),
        ("https://b.s3-us-west-2.amazonaws.com/k", "b", "k", ""),
        ("https://b.s3.amazonaws.com/k", "b", "k", ""),
        ("https://s3.us-west-2.amazonaws.com/b/k", "b", "k", ""),
        ("https://a.b.s3.us-west-2.amazonaws.com/k", "a.b", "k", ""),
    ],
)
def test_addresses_of_s3(text, bucket, key, version):
    assert S3Location.parse(text) == S3Location(bucket, key, version)
    assert S3Location.parse(str(S3Location.parse(text))) == S3Location.parse(text)


def test_listings_longer_than_a_page_are_whole(published):
    for i in range(23):
        published.put(f"many/{i:04}", b"x")
    published.put("many/0003", b"other")
    with Http() as http:
        bucket = Bucket(http=http, name=published.bucket, endpoint=published.endpoint)
        keys = [e.key for e in bucket.list("many/", page_keys=5)]
        assert keys == [f"many/{i:04}" for i in range(23)]
        versions = list(bucket.versions("many/", page_keys=5))
        assert len(versions) == 24
        assert [e.size_bytes for e in versions if e.key == "many/0003"] == [5, 1]
        with pytest.raises(NotFoundError):
            list(Bucket(http=http, name="no-such", endpoint=published.endpoint).list())


PAGE = """<?xml version="1.0"?><ListBucketResult><KeyCount>{count}</KeyCount>
<IsTruncated>{more}</IsTruncated>{token}{entries}</ListBucketResult>"""
ENTRY = "<Contents><Key>{}</Key><Size>1</Size></Contents>"


@pytest.mark.parametrize(
    ("pages", "message"),
    [
        ([PAGE.format(count=2, more="false", token="", entries=ENTRY.format("a"))], "announced"),
        (
            [PAGE.format(count=1, more="true", token="", entries=ENTRY.format("a"))],
            "continuation token",
        ),
        (["<html><body>500</body></html>"], "not an S3 listing"),
        (["<ListBucketResult><Conte"], "not an S3 listing"),
        (
            [
                PAGE.format(
                    count=1,
                    more="true",
                    token="<NextContinuationToken>t</NextContinuationToken>",
                    entries=ENTRY.format("b"),
                ),
                PAGE.format(count=1, more="false", token="", entries=ENTRY.format("a")),
            ],
            "ascending order",
        ),
        (
            [
                PAGE.format(
                    count=0,
                    more="true",
                    token="<NextContinuationToken>t</NextContinuationToken>",
                    entries="",
                )
            ]
            * 3,
            "continuation token",
        ),
    ],
)
def test_a_listing_that_contradicts_itself(loopback, pages, message):
    left = list(pages)

    def answer(request, reply):
        reply.send(left.pop(0).encode())

    server = loopback({"/b/": answer})
    with Http() as http:
        bucket = Bucket(http=http, name="b", endpoint=server.url, retry=Retry(attempts=1))
        with pytest.raises(AnswerError, match=message):
            list(bucket.list())


# --- files ----------------------------------------------------------------------------------------


def test_a_file_with_the_wrong_digest_is_named_and_not_kept(release, tmp_path):
    opened = open_release(f"{NAME}@0.2.0", tmp_path)
    path = tmp_path / "visual-behavior-ophys_project_manifest_v0.2.0.json"
    told = json.loads(path.read_text())
    key = next(iter(told["data_files"]))
    told["data_files"][key]["file_hash"] = "0" * 128
    path.write_text(json.dumps(told))
    os.environ["OPENALLEN_ATTEMPTS"] = "1"
    try:
        with pytest.raises(oa.IncompleteError) as caught:
            oa.fetch(f"{NAME}@0.2.0", to=tmp_path)
    finally:
        del os.environ["OPENALLEN_ATTEMPTS"]
    (failed,) = caught.value.report.failed
    assert isinstance(failed.error, CorruptError)
    assert not (tmp_path / failed.file.path).exists()
    assert len(caught.value.report.fetched) == len(opened.files) - 1


def test_a_truncated_table_is_never_served(release, tmp_path):
    opened = open_release(f"{NAME}@0.2.0", tmp_path)
    path = opened.csv("behavior_session_table")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert len(opened.table("behavior_session_table")) == 34
    assert path.read_bytes() == whole


def test_a_file_system_without_links_gets_copies(release, tmp_path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise OSError(1, "no links here")

    oa.fetch(f"{NAME}@0.1.0", to=tmp_path)
    monkeypatch.setattr(os, "link", refuse)
    oa.fetch(f"{NAME}@0.2.0", to=tmp_path)
    old = next((tmp_path / "visual-behavior-ophys-0.1.0").rglob("*.nwb"))
    new = (
        tmp_path
        / "visual-behavior-ophys-0.2.0"
        / old.relative_to(tmp_path / "visual-behavior-ophys-0.1.0")
    )
    assert new.stat().st_ino != old.stat().st_ino
    assert new.read_bytes() == old.read_bytes()


def test_a_damaged_twin_is_not_shared(release, tmp_path):
    oa.fetch(f"{NAME}@0.1.0", to=tmp_path)
    old = next((tmp_path / "visual-behavior-ophys-0.1.0").rglob("*.nwb"))
    old.write_bytes(b"rotten")
    oa.fetch(f"{NAME}@0.2.0", to=tmp_path)
    new = (
        tmp_path
        / "visual-behavior-ophys-0.2.0"
        / old.relative_to(tmp_path / "visual-behavior-ophys-0.1.0")
    )
    assert new.read_bytes() != b"rotten"


def test_offline_what_is_here_works_and_what_is_missing_is_listed(release, tmp_path, monkeypatch):
    opened = open_release(f"{NAME}@0.2.0", tmp_path)
    path = opened.fetch("ophys_experiment", 951980471)[0]
    oa.plan(f"{NAME}@0.2.0", to=tmp_path)  # sizes are remembered
    monkeypatch.setenv("OPENALLEN_S3_ENDPOINT", "")
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    again = open_release(NAME, tmp_path)
    assert str(again.version) == "0.2.0"
    assert [str(v) for v in again.versions()] == ["1.0.0", "0.2.0", "0.1.0"]
    assert again.fetch("ophys_experiment", 951980471) == [path]
    with pytest.raises(OfflineError, match="not here") as caught:
        oa.fetch(f"{NAME}@0.2.0", to=tmp_path)
    assert "kB" in caught.value.why
    assert caught.value.exit_code == 4


def test_projects_come_from_settings_too(release, tmp_path, monkeypatch):
    user_file().parent.mkdir(parents=True, exist_ok=True)
    user_file().write_text(
        '[projects.visual-behavior-ophys]\nbucket = "visual-behavior-ophys-data"\n'
        'title = "our mirror"\n'
    )
    opened = open_release(f"{NAME}@0.2.0", tmp_path / "m")
    assert opened.manifest.project.title == "our mirror"
    monkeypatch.setenv("OPENALLEN_PROJECTS", '{"x": {"region": "eu"}}')
    with pytest.raises(UsageError, match="cannot be read"):
        open_release("release:x", tmp_path / "m")


# --- keeping --------------------------------------------------------------------------------------


def cache(folder: Path) -> ReleaseCache:
    return ReleaseCache(PROJECT, Bucket(http=Http(offline=True), name="none"), folder)


def test_verify_finds_damage_and_makes_the_index_anew(release, tmp_path):
    from openallen.sources.releases.retention import verify

    oa.fetch(f"{NAME}@0.2.0", to=tmp_path)
    spoilt = next((tmp_path / "visual-behavior-ophys-0.2.0").rglob("*.nwb"))
    spoilt.write_bytes(spoilt.read_bytes()[:-1] + b"?")
    stray = tmp_path / "visual-behavior-ophys-0.2.0" / "stray.txt"
    stray.write_text("what is this")
    with Index(tmp_path / "index") as index:
        found = {c.path: c.status for c in verify(cache(tmp_path), index)}
        assert found.pop(spoilt) == "damaged"
        assert found.pop(stray) == "unknown"
        assert set(found.values()) == {"intact"}
        assert index.recall(spoilt) is None
        assert all(index.recall(p) for p in found)


def test_prune_frees_only_what_no_other_version_shares(release, tmp_path):
    from openallen.sources.releases.retention import prune

    oa.fetch(f"{NAME}@0.2.0", to=tmp_path)
    oa.fetch(f"{NAME}@1.0.0", to=tmp_path)
    kept = {p: digest_of(p) for p in (tmp_path / "visual-behavior-ophys-1.0.0").rglob("*.*")}
    own = sum(
        p.stat().st_size
        for p in (tmp_path / "visual-behavior-ophys-0.2.0").rglob("*.*")
        if p.stat().st_nlink == 1
    )
    (done,) = prune(cache(tmp_path), [Version("0.2.0")])
    assert done.freed_bytes == own > 0
    assert not (tmp_path / "visual-behavior-ophys-0.2.0").exists()
    assert {p: digest_of(p) for p in kept} == kept
    with pytest.raises(NotFoundError):
        prune(cache(tmp_path), [Version("0.2.0")])


def test_adopting_leaves_behind_what_is_not_right(release, tmp_path):
    from openallen.sources.releases.retention import adopt

    theirs = tmp_path / "theirs"
    oa.fetch(f"{NAME}@0.2.0", to=theirs)
    files = sorted((theirs / "visual-behavior-ophys-0.2.0").rglob("*.nwb"))
    files[0].write_bytes(b"cut")
    target = files[1].with_name("kept.bin")
    files[1].rename(target)
    files[1].symlink_to(target)
    with Index(tmp_path / "index") as index:
        found = adopt(theirs, cache(tmp_path / "ours"), index)
        assert [c.path for c in found.checked if c.status != "intact"] == [files[0]]
    ours = tmp_path / "ours" / files[1].relative_to(theirs)
    assert not ours.is_symlink()
    assert ours.samefile(target)
    assert (tmp_path / "ours" / "_manifest_last_used.txt").read_text().endswith("v0.2.0.json")
    assert not (tmp_path / "ours" / files[0].relative_to(theirs)).exists()
    shutil.rmtree(tmp_path / "ours")
    with Index(tmp_path / "index2") as index:
        found = adopt(theirs, cache(theirs), index)
        assert found.how["in place"] > 10
        assert not files[1].is_symlink()
    with Index(tmp_path / "index3") as index, pytest.raises(NotFoundError):
        adopt(tmp_path, cache(tmp_path / "x"), index)


# --- processes ------------------------------------------------------------------------------------


def start(folder: Path, address: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "openallen", "fetch", address, "--to", str(folder), "--quiet"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def all_right(folder: Path, told: dict[str, object]) -> None:
    entries = [*told["metadata_files"].values(), *told["data_files"].values()]
    for e in entries:
        key = S3Location.parse(e["url"]).key.partition("/")[2]
        path = folder / f"visual-behavior-ophys-{told['manifest_version']}" / key
        assert digest_of(path, "blake2b") == f"blake2b:{e['file_hash']}"


def test_killed_at_random_moments_nothing_is_ever_wrong(release, tmp_path):
    rng = random.Random(3)
    names = {
        f["url"].rpartition("/")[2]: f["file_hash"]
        for f in release.manifests["0.2.0"]["data_files"].values()
    }
    for _ in range(5):
        process = start(tmp_path, f"{NAME}@0.2.0")
        time.sleep(rng.uniform(0.3, 0.9))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        for path in tmp_path.rglob("*.nwb"):
            assert digest_of(path, "blake2b") == f"blake2b:{names[path.name]}"
    last = start(tmp_path, f"{NAME}@0.2.0")
    assert last.communicate(timeout=60)[1] == b""
    all_right(tmp_path, release.manifests["0.2.0"])
    assert not list(tmp_path.rglob("*.part"))


def test_two_processes_with_overlapping_sets(release, tmp_path):
    one = start(tmp_path, f"{NAME}@0.2.0")
    two = start(tmp_path, f"{NAME}@1.0.0")
    assert [p.communicate(timeout=90)[1] for p in (one, two)] == [b"", b""]
    for version in ("0.2.0", "1.0.0"):
        all_right(tmp_path, release.manifests[version])


def test_a_project_by_another_name_has_other_keys():
    project = Project(name="x", title="x", bucket="b")
    assert project.manifest_key(Version("1.0.0")) == "x/manifests/x_project_manifest_v1.0.0.json"
    assert project.version_of("x/manifests/x_project_manifest_v0.10.0.json") == Version("0.10.0")
    assert project.version_of("x/manifests/readme.json") is None


# --- other layouts --------------------------------------------------------------------------------


def test_a_mirror_is_laid_out_as_the_bucket(release, tmp_path):
    oa.fetch(f"{NAME}@1.0.0", to=tmp_path, mirror=True)
    keys = {
        str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*") if "openallen" not in p.name
    }
    told = release.manifests["1.0.0"]
    entries = [*told["metadata_files"].values(), *told["data_files"].values()]
    wanted = {S3Location.parse(e["url"]).key for e in entries}
    manifest_key = PROJECT.manifest_key(Version("1.0.0"))
    assert keys == wanted | {manifest_key}
    opened = open_release(NAME, tmp_path)  # known again as the mirror it is
    assert str(opened.version) == "1.0.0"
    assert opened.path("ophys_experiment", 951980471).is_file()
    assert oa.plan(NAME, to=tmp_path).missing == ()


def test_a_bucket_without_manifests_is_its_listing(release, tmp_path, monkeypatch):
    for name, body in (("a.nwb", b"A" * 100), ("deep/b.json", b"{}" * 50)):
        release.put(f"plain/{name}", body)
    told = {"plain": {"bucket": release.bucket, "form": "listing"}}
    monkeypatch.setenv("OPENALLEN_PROJECTS", json.dumps(told))
    folder = oa.fetch("release:plain", to=tmp_path)
    assert (folder / "a.nwb").read_bytes() == b"A" * 100
    assert (folder / "deep/b.json").read_bytes() == b"{}" * 50
    opened = open_release("release:plain", tmp_path)
    assert [(f.kind, f.id) for f in opened.files] == [("file", "a.nwb"), ("deep", "b.json")]
    assert all(f.digest.startswith("md5:") and f.size_bytes == 100 for f in opened.files)
    assert oa.plan("release:plain", to=tmp_path).missing == ()


def test_the_size_of_an_object_without_versions_is_asked_for_each_time(release, tmp_path):
    key = "visual-behavior-ophys/resources/Movie_TOE1.npy"
    before = oa.plan(f"{NAME}/resources/natural_movie", to=tmp_path).missing_bytes
    release.put(key, b"longer than it was" * 200)
    try:
        path = oa.fetch(f"{NAME}/resources/natural_movie", to=tmp_path)
        assert path.read_bytes() == b"longer than it was" * 200
        assert path.stat().st_size != before
    finally:
        release.put(key, b"not a movie" * 100)


def test_another_version_with_a_damaged_manifest_is_no_obstacle(release, tmp_path, monkeypatch):
    oa.fetch(f"{NAME}@0.2.0/ophys_experiment/951980471", to=tmp_path)
    damaged = tmp_path / "visual-behavior-ophys_project_manifest_v0.1.0.json"
    damaged.write_text("{")
    monkeypatch.setenv("OPENALLEN_S3_ENDPOINT", "")
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    assert oa.fetch(f"{NAME}@0.2.0/ophys_experiment/951980471", to=tmp_path).is_file()
    with pytest.raises(OfflineError):
        oa.fetch(f"{NAME}@0.2.0/ophys_session_table", to=tmp_path)
    assert damaged.read_text() == "{"  # nothing better is to be had: it stays


def test_a_pruned_version_is_not_the_one_used_last(release, tmp_path):
    from openallen.sources.releases.retention import prune

    oa.fetch(f"{NAME}@1.0.0/tables", to=tmp_path)
    oa.fetch(f"{NAME}@0.2.0/tables", to=tmp_path)
    prune(cache(tmp_path), [Version("0.2.0")])
    assert str(open_release(NAME, tmp_path).version) == "1.0.0"
    told = json.loads((tmp_path / "_downloaded_data.json").read_text())
    assert told
    assert all(Path(path).is_file() for path in told)
