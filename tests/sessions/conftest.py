from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

DATA = Path(__file__).parents[1] / "data" / "nwb"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real files of public repositories, where it is there."""
    usual = Path(__file__).parents[3] / "shared" / "data"
    folder = Path(os.environ.get("OPENALLEN_TEST_SHARED", usual))
    if not folder.is_dir():
        pytest.skip("no real files here (OPENALLEN_TEST_SHARED names their folder)")
    return folder


@pytest.fixture(scope="session")
def nwb(tmp_path_factory) -> Path:
    """The folder of session files: ``setA`` and ``setA_core2.2.5``."""
    folder = tmp_path_factory.mktemp("nwb")
    with tarfile.open(DATA / "sessions.tar.xz") as packed:
        # Python before 3.11.4 knows no filters; the archive is our own.
        safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        packed.extractall(folder, **safe)
    return folder


@pytest.fixture(scope="session")
def files(nwb) -> dict[str, Path]:
    """One file of each kind."""
    return {
        "behavior": nwb / "setA" / "behavior_session_883986743.nwb",
        "ophys": nwb / "setA" / "behavior_ophys_experiment_957759562.nwb",
        "ecephys": nwb / "setA" / "ecephys_session_1053941483.nwb",
    }
