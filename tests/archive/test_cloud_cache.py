"""AllenSDK's S3CloudCache and project caches read an archive of ours as they read S3.

Its own tests of the cache come with it. They begin by writing to a mocked S3; here what they write
goes to the folder of an archive, and all they read comes from the archive. AllenSDK runs in its own
virtual environment, whose python OPENALLEN_TEST_ALLENSDK names; pytest is lent to it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
from archivewriter import copied, writable

import openallen as oa
from openallen.archive import archive_app, serving
from openallen.settings import Settings

PYTHON = os.environ.get("OPENALLEN_TEST_ALLENSDK", "")
pytestmark = [
    pytest.mark.allensdk,
    pytest.mark.skipif(not PYTHON, reason="OPENALLEN_TEST_ALLENSDK names no python with AllenSDK"),
]

MOTO = """
import functools, os, urllib.request

def mock_s3(test):
    @functools.wraps(test)
    def clean(*args, **kwargs):
        url = os.environ["AWS_ENDPOINT_URL_S3"] + "/reset"
        urllib.request.urlopen(urllib.request.Request(url, method="POST")).close()
        return test(*args, **kwargs)
    return clean
"""
LENT = ("pytest", "_pytest", "py", "pluggy", "iniconfig", "packaging", "pygments")


@pytest.fixture
def borrowed(tmp_path) -> Path:
    """Return a folder with AllenSDK's own tests, pytest, and what stands for the mocked S3."""
    found = subprocess.run(
        [PYTHON, "-c", "import allensdk; print(allensdk.__path__[0])"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    tests = Path(found.stdout.strip()) / "test" / "api" / "cloud_cache"
    if not tests.is_dir():
        pytest.skip("this AllenSDK came without its tests")
    place = tmp_path / "borrowed"
    shutil.copytree(tests, place / "cloud_cache")
    (place / "moto.py").write_text(MOTO)
    # They are of an older pytest, in which None stood for what records every warning.
    recorder = "__import__('_pytest.recwarn').recwarn.WarningsRecorder(_ispytest=True)"
    for test in (place / "cloud_cache").glob("*.py"):
        test.write_text(test.read_text().replace("pytest.warns(None)", recorder))
    for name in LENT:
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        origin = Path(spec.origin)
        lent = origin.parent if origin.name == "__init__.py" else origin
        (place / lent.name).symlink_to(lent)
    return place


def run(*words: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "us-west-2"}
    keys["AWS_REQUEST_CHECKSUM_CALCULATION"] = "when_required"
    return subprocess.run(
        [PYTHON, "-W", "ignore", *map(str, words)],
        capture_output=True, text=True, check=False, timeout=170, cwd=cwd,
        env={**os.environ, **keys, **environment},
    )  # fmt: skip


@pytest.mark.slow
def test_its_own_tests_pass_on_an_archive(borrowed, tmp_path):
    root = tmp_path / "archive"
    (root / "buckets").mkdir(parents=True)
    with serving(archive_app(root)) as archive, writable(root, archive) as url:
        # Two thousand objects, one by one: pages of listings have tests of their own.
        without = "cloud_cache/test_cache.py::test_list_all_manifests_many"
        words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "cloud_cache")
        done = run(*words, "--deselect", without, cwd=borrowed, AWS_ENDPOINT_URL_S3=url)
    tail = done.stdout[-3000:]
    assert done.returncode == 0, tail + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", tail)
    assert passed is not None
    assert int(passed[1]) >= 40


PROJECT = """
import hashlib, json, sys
from allensdk.brain_observatory.behavior.behavior_project_cache import (
    VisualBehaviorOphysProjectCache as Cache)
cache = Cache.from_s3_cache(cache_dir=sys.argv[1])
inner = cache.fetch_api.cache
def told(table):
    return json.loads(table.to_json(orient="split", default_handler=str))
def one():
    ids = sorted(inner._manifest._data["data_files"])[:4]
    paths = [inner.download_data(i) for i in ids]
    tables = {n: inner.get_metadata(n).to_json() for n in inner.metadata_file_names}
    return {
        "tables": tables,
        "digests": [hashlib.sha256(p.read_bytes()).hexdigest() for p in paths],
        "places": [str(p.relative_to(sys.argv[1])) for p in paths],
    }
answers = {
    "manifests": cache.list_manifest_file_names(),
    "latest": inner.latest_manifest_file,
    "outdated": inner.latest_downloaded_manifest_file,
}
for name in answers["manifests"]:
    inner.load_manifest(name)  # the cache of the project takes no version below 1.0.0
    answers[name] = one()
cache.load_manifest(answers["latest"])
answers["current"] = cache.current_manifest()
answers["behavior"] = told(cache.get_behavior_session_table())
answers["ophys"] = told(cache.get_ophys_session_table())
answers["experiments"] = told(cache.get_ophys_experiment_table())
answers["changes"] = inner.compare_manifests(*answers["manifests"][-2:])
print(json.dumps(answers))
"""


def test_a_project_cache_reads_every_version_as_from_another_s3(release, tmp_path):
    root = copied(release.s3, release.bucket, tmp_path / "archive")
    versions = [f"release:visual-behavior-ophys@{version}" for version in release.manifests]
    oa.mirror(*versions, to=tmp_path / "mirror", settings=Settings(
        store=tmp_path / "store", s3_endpoint=release.endpoint, attempts=1
    ))  # fmt: skip
    told = {}
    with (
        serving(archive_app(root)) as url,
        serving(archive_app(tmp_path / "mirror")) as mirrored,
    ):
        sides = {"theirs": release.endpoint, "ours": url, "mirrored": mirrored}
        for name, endpoint in sides.items():
            cache = tmp_path / name
            done = run("-c", PROJECT, cache, cwd=tmp_path, AWS_ENDPOINT_URL_S3=endpoint)
            assert done.returncode == 0, done.stderr[-3000:]
            told[name] = json.loads(done.stdout.splitlines()[-1])
    assert told["ours"] == told["theirs"]
    assert told["mirrored"] == told["theirs"]
    assert len(told["ours"]["manifests"]) == 3
    changed = {tuple(told["ours"][name]["digests"]) for name in told["ours"]["manifests"]}
    assert len(changed) > 1, "versions differ in their files"
