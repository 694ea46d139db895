"""Caches go both ways: the real AllenSDK opens what we fetched, and we take over what it made.

Runs AllenSDK in its own virtual environment, whose python OPENALLEN_TEST_ALLENSDK names.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

import openallen as oa
from openallen.cli.app import root
from openallen.sources.releases import open_release

PYTHON = os.environ.get("OPENALLEN_TEST_ALLENSDK", "")
NAME = "release:visual-behavior-ophys"
pytestmark = [
    pytest.mark.allensdk,
    pytest.mark.skipif(not PYTHON, reason="OPENALLEN_TEST_ALLENSDK names no python with AllenSDK"),
]

OPEN = """
import json, sys
from allensdk.brain_observatory.behavior.behavior_project_cache import (
    VisualBehaviorOphysProjectCache as Cache)
cache = Cache.from_local_cache(cache_dir=sys.argv[1], use_static_cache=sys.argv[2] == "static")
inner = cache.fetch_api.cache
ids = list(inner._manifest._data["data_files"])
print(json.dumps({
    "manifest": cache.current_manifest(),
    "sessions": [int(i) for i in cache.get_behavior_session_table().index],
    "cells": {n: str(t) for n, t in cache.get_ophys_cells_table().dtypes.items()},
    "experiments": [int(i) for i in cache.get_ophys_experiment_table().index],
    "here": [str(inner.data_path(i)["local_path"]) for i in ids if inner.data_path(i)["exists"]],
    "missing": [i for i in ids if not inner.data_path(i)["exists"]],
}))
"""

MAKE = """
import sys, warnings
from allensdk.brain_observatory.behavior.behavior_project_cache import (
    VisualBehaviorOphysProjectCache as Cache)
cache = Cache.from_s3_cache(cache_dir=sys.argv[1])
inner = cache.fetch_api.cache
old = "visual-behavior-ophys_project_manifest_v0.2.0.json"
inner.load_manifest(old)
ids = list(inner._manifest._data["data_files"])[:5]
for i in ids: inner.download_data(i)
inner.load_manifest(inner.latest_manifest_file)
for i in inner._manifest._data["data_files"]:
    if i in ids: inner.download_data(i)
"""


def allensdk(script: str, *arguments: object, **environment: str) -> str:
    done = subprocess.run(
        [PYTHON, "-W", "ignore", "-c", script, *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=170,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()[-1] if done.stdout else ""


def test_allensdk_opens_what_was_fetched(release, tmp_path):
    oa.fetch(f"{NAME}@1.0.0", to=tmp_path / "cache")
    told = json.loads(allensdk(OPEN, tmp_path / "cache", "local"))
    manifest = release.manifests["1.0.0"]
    assert told["manifest"] == "visual-behavior-ophys_project_manifest_v1.0.0.json"
    assert told["missing"] == []
    assert len(told["here"]) == len(manifest["data_files"])
    opened = open_release(f"{NAME}@1.0.0", tmp_path / "cache")
    assert list(opened.table("behavior_session_table").index) == told["sessions"]
    cells = {n: str(t) for n, t in opened.get_ophys_cells_table().dtypes.items()}
    assert list(cells.items()) == list(told["cells"].items())
    assert list(opened.table("ophys_experiment_table").index) == told["experiments"]


def test_a_cache_of_allensdk_is_taken_over_without_a_download(release, tmp_path, monkeypatch):
    made = tmp_path / "theirs"
    allensdk(
        MAKE, made,
        AWS_ENDPOINT_URL_S3=release.endpoint, AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x",
    )  # fmt: skip
    links = [p for p in made.rglob("*.nwb") if p.is_symlink()]
    assert links, "AllenSDK links equal files of versions"
    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("OPENALLEN_S3_ENDPOINT", "")
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    done = CliRunner().invoke(root, ["store", "adopt", str(made), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["left_behind"] == []
    assert told["versions"] == ["1.0.0", "0.2.0"]
    ours = Path(told["folder"])
    assert sorted(p.relative_to(made) for p in made.rglob("*.nwb")) == sorted(
        p.relative_to(ours) for p in ours.rglob("*.nwb")
    )
    assert not any(p.is_symlink() for p in ours.rglob("*"))
    one = links[0].relative_to(made)
    assert (ours / one).stat().st_ino == links[0].resolve().stat().st_ino
    opened = oa.open(f"{NAME}@1.0.0")
    assert len(opened.table("ophys_experiment_table")) == 27
    assert opened.path("ophys_experiment", 951980471).is_file()


def test_allensdk_opens_a_mirror_as_a_static_cache(release, tmp_path):
    oa.fetch(f"{NAME}@1.0.0", to=tmp_path / "mirror", mirror=True)
    told = json.loads(allensdk(OPEN, tmp_path / "mirror", "static"))
    assert told["missing"] == []
    assert len(told["here"]) == len(release.manifests["1.0.0"]["data_files"])
