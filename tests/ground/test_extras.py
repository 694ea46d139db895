"""Hints for missing extras are commands that work from how openallen was installed."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
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


BARE = """
import sys, traceback
from importlib.machinery import PathFinder

OPTIONAL = {"dask", "duckdb", "h5py", "matplotlib", "nibabel", "nrrd", "numcodecs", "numpy", "pandas",
            "PIL", "polars", "pyarrow", "pynwb", "simplejpeg", "starlette", "uvicorn", "xarray", "zarr",
            "zstandard"}

class Bare(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in OPTIONAL else super().find_spec(name, path, target)

sys.meta_path = [Bare if finder is PathFinder else finder for finder in sys.meta_path]

import openallen as oa
from openallen.errors import MissingExtraError

def attempt(name, call):
    try:
        call()
        print("done", name)
    except MissingExtraError as error:
        print(error.extra, name)
    except Exception as error:
        traceback.print_exc()
        print("traceback", name)

folder, swc, cached, source = sys.argv[1:]
stack = oa.fetch("stack:313862022", to=folder, downsample=5, planes="0:2", source=source)
attempt("list", lambda: list(oa.list("stack:", source=source)))
attempt("stack.table", stack.table)
attempt("plane.read", stack.planes[0].read)
attempt("stack.focus", stack.focus)
attempt("convert", stack.zarr)
cell = oa.read_swc(swc)
attempt("sholl", lambda: cell.sholl(20.0))
attempt("cell.table", cell.table)
attempt("cell.points_um", cell.points_um)
grid = oa.fetch("grid:69855739", to=folder + "-grid", source=source)
attempt("grid.energy", lambda: grid.energy)
atlas = oa.fetch("atlas:P56", to=folder + "-atlas", source=source)
attempt("find", lambda: atlas.structures.find("VISp"))
attempt("structures.table", atlas.structures.table)
attempt("acronyms", lambda: atlas.structures.acronyms([385]))
attempt("ids_at", lambda: atlas.ids_at([[1, 2, 3]]))
attempt("mask", lambda: atlas.mask("VISp"))
attempt("plot", atlas.plot)
attempt("unionizer", atlas.unionizer)
attempt("recording", lambda: oa.open(cached))
from openallen.cli.app import run
print("exit", run(["bench", "compression", "NP2", "--codecs", "zlib", "--seconds", "0.1", "--channels", "8"]))
"""


def test_the_bare_install_names_the_extra_and_never_shows_a_traceback(tmp_path, sample_url):
    recording = tmp_path / "recording"
    recording.mkdir()
    told = {
        "class": "spikeinterface.core.binaryrecordingextractor.BinaryRecordingExtractor",
        "kwargs": {
            "file_paths": ["traces.raw"],
            "sampling_frequency": 30000.0,
            "num_channels": 2,
            "dtype": "int16",
        },
    }
    (recording / "binary.json").write_text(json.dumps(told))
    (recording / "traces.raw").write_bytes(bytes(400))
    swc = next((Path(__file__).parents[1] / "data" / "swc").glob("*.swc"))
    done = subprocess.run(
        [sys.executable, "-c", BARE, tmp_path / "cell", swc, recording, sample_url],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"OPENALLEN_SOURCE": sample_url, "OPENALLEN_STORE": str(tmp_path / "s")},
    )
    found = dict(line.split(" ", 1)[::-1] for line in done.stdout.splitlines() if line.strip())
    assert "traceback" not in found.values(), done.stderr
    assert found["list"] == found["sholl"] == found["find"] == "done"
    assert found["stack.table"] == found["cell.table"] == found["structures.table"] == "tables"
    assert found["plane.read"] == found["convert"] == found["stack.focus"] == "images"
    assert {found[n] for n in ("grid.energy", "acronyms", "ids_at", "mask", "plot")} == {"atlas"}
    assert found["recording"] == "ephys"
    assert found["1"] == "exit"
    assert "[ephys]" in done.stderr
