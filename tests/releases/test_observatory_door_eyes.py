"""Eye tracking of Visual Coding: a versioned release whose table alone says what a file is of."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess

import numpy as np
import pytest

import openallen as oa
from openallen.errors import CorruptError, NotFoundError, OpenAllenError
from openallen.sources.releases.models import Manifest
from openallen.sources.releases.projects import PROJECTS

NAME = "visual-coding-ophys"
AT = f"release:{NAME}"
BUCKET = "visual-coding-ophys-data"
PYTHON = os.environ.get("OPENALLEN_TEST_ALLENSDK", "")
EYES = np.arange(20, dtype="float64").reshape(4, 5)
EYES[1, 2] = np.nan


def npy(array: np.ndarray) -> bytes:
    body = io.BytesIO()
    np.save(body, array)
    return body.getvalue()


@pytest.fixture(scope="module")
def bucket(published):
    """Two versions, in the layout AllenSDK reads: the second measured one experiment anew."""
    s3 = published.s3
    where = {"LocationConstraint": "us-west-2"}
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})

    def put(key: str, body: bytes) -> dict[str, str]:
        done = s3.put_object(Bucket=BUCKET, Key=f"{NAME}/{key}", Body=body, ACL="public-read")
        return {
            "url": f"https://{BUCKET}.s3.us-west-2.amazonaws.com/{NAME}/{key}",
            "version_id": done["VersionId"],
            "file_hash": hashlib.blake2b(body).hexdigest(),
        }

    # Numbers in names are those of something else: only the table knows.
    table = b"ophys_experiment_id,file_id\n501940850,7\n501559087,8\n501940851,9\n"
    files = {"7": put("eye_tracking/501559087.npy", npy(EYES)), "8": put("b.npy", npy(EYES * 2))}
    for version in ("0.1.0", "0.2.0"):
        if version == "0.2.0":
            files = files | {"8": put("b.npy", npy(EYES * 3))}
        manifest = {
            "project_name": NAME,
            "manifest_version": version,
            "data_pipeline": [],
            "metadata_file_id_column_name": "file_id",
            "metadata_files": {"metadata": put("metadata.csv", table)},
            "data_files": files,
        }
        put(f"manifests/{NAME}_project_manifest_v{version}.json", json.dumps(manifest).encode())
    return published


@pytest.fixture
def eyes(bucket, monkeypatch):
    monkeypatch.setenv("OPENALLEN_S3_ENDPOINT", bucket.endpoint)
    return bucket


def test_versions_and_the_table(eyes):
    assert [str(row["version"]) for row in oa.list(AT)] == ["0.2.0", "0.1.0"]
    table = oa.open(f"{AT}/metadata")
    assert table.index.name == "ophys_experiment_id"
    assert table.file_id.tolist() == [7, 8, 9]
    rows = oa.list(f"{AT}@0.1.0/metadata")
    assert [rows.address_of(row) for row in rows] == [
        f"{AT}@0.1.0/eye_tracking/501940850", f"{AT}@0.1.0/eye_tracking/501559087", None,
    ]  # fmt: skip


def test_an_experiment_is_looked_up_in_the_table_not_in_names(eyes):
    assert np.array_equal(oa.open(f"{AT}/eye_tracking/501940850"), EYES, equal_nan=True)
    other = oa.open(f"{AT}@0.1.0/eye_tracking/501559087")
    assert np.array_equal(other, EYES * 2, equal_nan=True)
    newer = oa.open(f"{AT}@0.2.0/eye_tracking/501559087")
    assert np.array_equal(newer, EYES * 3, equal_nan=True)
    path = oa.fetch(f"{AT}@0.1.0/eye_tracking/501940850")
    assert path.name == "501559087.npy"
    assert np.array_equal(oa.open(path), EYES, equal_nan=True)
    by_path = oa.open(f"s3://{BUCKET}/{NAME}/eye_tracking/501559087.npy")
    assert np.array_equal(by_path, EYES, equal_nan=True)


def test_it_is_shown_planned_and_fetched_with_digests(eyes, monkeypatch):
    where = f"{AT}@0.2.0/eye_tracking/501940850"
    assert oa.plan(where).missing_bytes == len(npy(EYES))
    assert oa.show(where)
    assert oa.show(f"{AT}@0.2.0")["opens_in_allensdk"] is True
    path = oa.fetch(where)
    path.write_bytes(npy(EYES + 1))
    with pytest.raises(CorruptError, match="damaged"):
        oa.open(where)
    oa.fetch(where)
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    assert np.array_equal(oa.open(where), EYES, equal_nan=True)
    release = oa.open(f"{AT}@0.2.0")
    assert np.array_equal(release.get_eye_tracking(501940850), EYES, equal_nan=True)
    assert release.path("eye_tracking", 501940850) == path
    assert release.url("eye_tracking", 501940850).startswith("https://visual-coding-ophys-data")
    assert release.fetch("eye_tracking", 501940850) == [path]
    assert release.fetch("eye_tracking", ophys_experiment_id=501940850) == [path]


@pytest.mark.parametrize("wanted", ["501940851", "5", "7", "b"])
def test_an_experiment_without_eye_tracking_is_told(eyes, wanted):
    for verb in (oa.open, oa.plan, oa.show):
        with pytest.raises(NotFoundError, match=f"no eye_tracking '{wanted}'"):
            verb(f"{AT}/eye_tracking/{wanted}")
    with pytest.raises(NotFoundError):
        oa.open(AT).file("eye_tracking", wanted)


def test_two_versions_compare(eyes):
    found = oa.open(f"{AT}@0.1.0").compare("0.2.0")
    assert [str(c.path) for c in found.changes] == ["b.npy"]


def test_a_listing_that_an_earlier_version_kept_is_still_read(eyes, monkeypatch):
    folder = oa.open(f"{AT}@0.1.0").folder.parent
    listed = {"version": "20230101", "listed": [[f"{NAME}/b.npy", 5, "0" * 32]]}
    (folder / f"{NAME}_project_manifest_v20230101.json").write_text(json.dumps(listed))
    assert str(oa.open(AT).version) == "0.1.0"  # the one used last
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    old = oa.open(f"{AT}@20230101")
    assert [f.path for f in old.files] == ["b.npy"]
    assert list(old.manifest.by_kind) == ["eye_tracking"]


def test_a_bucket_without_manifests_says_how_it_is_read(published, monkeypatch):
    monkeypatch.setenv("OPENALLEN_S3_ENDPOINT", published.endpoint)
    told = {"bare": {"bucket": published.bucket}}
    monkeypatch.setenv("OPENALLEN_PROJECTS", json.dumps(told))
    with pytest.raises(NotFoundError, match="no manifest of this project") as caught:
        oa.open("release:bare")
    assert "listing" in caught.value.hint
    published.put("bare/a.npy", npy(EYES))
    told["bare"]["form"] = "listing"
    monkeypatch.setenv("OPENALLEN_PROJECTS", json.dumps(told))
    assert np.array_equal(oa.open("release:bare/files/a.npy"), EYES, equal_nan=True)


@pytest.mark.parametrize("document", [{"listed": 5}, {"listed": [[1]]}, {"listed": []}, [], "x"])
def test_what_is_neither_manifest_nor_listing_is_told(document):
    with pytest.raises(OpenAllenError):
        Manifest.read(document, PROJECTS[NAME])


@pytest.mark.allensdk
@pytest.mark.skipif(not PYTHON, reason="OPENALLEN_TEST_ALLENSDK names no python with AllenSDK")
def test_allensdk_reads_the_same_array(eyes, tmp_path):
    ask = (
        "import sys, numpy as np; from pathlib import Path\n"
        "from allensdk.api.cloud_cache.cloud_cache import S3CloudCache\n"
        "from allensdk.api.queries.brain_observatory_api import BrainObservatoryApi as Api\n"
        f"cache = S3CloudCache(Path(sys.argv[1]), {BUCKET!r}, {NAME!r})\n"
        "found = Api.save_ophys_experiment_eye_tracking_data(501559087, cache)\n"
        "np.save(sys.argv[2], np.load(found))\n"
    )
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    done = subprocess.run(
        [PYTHON, "-W", "ignore", "-c", ask, str(tmp_path / "cache"), str(tmp_path / "a.npy")],
        env={**os.environ, **keys, "AWS_ENDPOINT_URL_S3": eyes.endpoint},
        capture_output=True, text=True, check=False, timeout=170,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    mine = oa.open(AT).get_eye_tracking(501559087)
    assert np.array_equal(mine, np.load(tmp_path / "a.npy"), equal_nan=True)
