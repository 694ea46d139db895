from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

DATA = Path(__file__).parents[1] / "data" / "nwb"


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
