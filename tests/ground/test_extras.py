"""Hints for missing extras are commands that work from how openallen was installed."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import venv
from pathlib import Path

import pytest

import openallen
from openallen.errors import MissingExtraError

SOURCE = Path(openallen.__file__).parents[1]
SHOW = "from openallen.errors import MissingExtraError as E; print(E('images', 'this').hint)"


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Path:
    """A real virtual environment whose Python finds openallen; without pip, to be quick."""
    folder = tmp_path_factory.mktemp("env") / "v"
    venv.create(folder, with_pip=False)
    (site(folder) / "openallen.pth").write_text(str(SOURCE))
    return folder


def site(folder: Path) -> Path:
    return next(folder.glob("lib/python*/site-packages"))


def hint(folder: Path, told: dict | str | None, *, active: bool = True) -> str:
    """The hint in an environment whose metadata say that openallen came from there."""
    info = site(folder) / "openallen-0.1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: openallen\nVersion: 0.1.0\n")
    (info / "direct_url.json").unlink(missing_ok=True)
    if told is not None:
        text = told if isinstance(told, str) else json.dumps(told)
        (info / "direct_url.json").write_text(text)
    pip = folder / "bin" / "pip"
    pip.write_text("#!/bin/sh\n")
    pip.chmod(0o755)
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}" if active else "/usr/bin:/bin"
    done = subprocess.run(
        [folder / "bin" / "python", "-c", SHOW],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": path},
    )
    return done.stdout.strip()


def test_from_an_index_it_is_the_name(environment):
    assert hint(environment, None) == "pip install 'openallen[images]'"


@pytest.mark.parametrize("editable", [True, False])
def test_from_a_checkout_it_is_the_folder(environment, tmp_path, editable):
    checkout = tmp_path / "my checkout"
    checkout.mkdir()
    told = {"url": checkout.as_uri(), "dir_info": {"editable": editable} if editable else {}}
    words = shlex.split(hint(environment, told))
    option = ["-e"] if editable else []
    assert words == ["pip", "install", *option, f"{checkout}[images]"]


def test_from_a_wheel_and_from_git(environment, tmp_path):
    wheel = tmp_path / "openallen-0.1.0-py3-none-any.whl"
    wheel.write_bytes(b"")
    assert hint(environment, {"url": wheel.as_uri(), "archive_info": {}}) == (
        f"pip install '{wheel}[images]'"
    )
    git = {
        "url": "https://example.org/openallen.git",
        "vcs_info": {"vcs": "git", "commit_id": "abc123"},
    }
    assert hint(environment, git) == (
        "pip install 'openallen[images] @ git+https://example.org/openallen.git@abc123'"
    )
    web = {"url": "https://example.org/openallen.zip", "archive_info": {}}
    assert hint(environment, web) == (
        "pip install 'openallen[images] @ https://example.org/openallen.zip'"
    )


@pytest.mark.parametrize("told", ["not JSON", "[]", {"url": "file:///gone", "dir_info": {}}])
def test_what_no_longer_helps_is_not_named(environment, told):
    assert hint(environment, told) == "pip install 'openallen[images]'"


def test_where_the_environment_is_not_active_its_python_is_named(environment):
    pip = f"{environment / 'bin' / 'python'} -m pip install 'openallen[images]'"
    uv = f"uv pip install --python {environment / 'bin' / 'python'} 'openallen[images]'"
    assert hint(environment, None, active=False) in {pip, uv}


def test_a_package_without_an_extra_has_its_own_command():
    error = MissingExtraError("flac-numcodecs", "FLAC", hint="pip install flac-numcodecs")
    assert str(error) == (
        "FLAC needs the optional package 'flac-numcodecs' (it is not installed)\n"
        "  try: pip install flac-numcodecs"
    )
    assert "'images'" in str(MissingExtraError("images", "reading OME-Zarr"))
