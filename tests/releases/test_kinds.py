"""What a file of a release is: by its name in any folder, else by the ids of files in tables."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest

import openallen as oa
from openallen.errors import NotFoundError
from openallen.sessions import BehaviorEcephysSession
from openallen.sources.releases.models import Manifest
from openallen.sources.releases.projects import PROJECTS

NAME = "visual-behavior-neuropixels"
SESSION = "1053941483"
DATA = Path(__file__).parents[1] / "data" / "nwb" / "sessions.tar.xz"
BUCKET = f"https://{NAME}-data.s3.us-west-2.amazonaws.com/{NAME}"


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """A folder as AllenSDK keeps version 0.3.0: all sessions in one folder, one called oddly."""
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path / "store"))
    root = tmp_path / "store" / "releases" / NAME
    folder = root / f"{NAME}-0.3.0"
    (folder / "ecephys_sessions").mkdir(parents=True)
    with tarfile.open(DATA) as packed:
        inside = f"setA/ecephys_session_{SESSION}.nwb"
        whole = packed.extractfile(inside)
        assert whole is not None
        (folder / "ecephys_sessions" / f"ecephys_session_{SESSION}.nwb").write_bytes(whole.read())
    shutil.copy(folder / "ecephys_sessions" / f"ecephys_session_{SESSION}.nwb", folder / "odd.nwb")
    (folder / "project_metadata").mkdir()
    rows = f"ecephys_session_id,behavior_session_id,file_id\n{SESSION},1,0\n77,2,1\n78,3,-999\n"
    (folder / "project_metadata" / "ecephys_sessions.csv").write_text(rows)

    def entry(path: str) -> dict[str, str]:
        digest = hashlib.blake2b((folder / path).read_bytes()).hexdigest()
        return {"url": f"{BUCKET}/{path}", "version_id": "v", "file_hash": digest}

    manifest = {
        "project_name": NAME,
        "manifest_version": "0.3.0",
        "data_pipeline": [{"name": "AllenSDK", "version": "2.13.5", "comment": ""}],
        "metadata_file_id_column_name": "file_id",
        "metadata_files": {"ecephys_sessions": entry("project_metadata/ecephys_sessions.csv")},
        "data_files": {
            "0": entry(f"ecephys_sessions/ecephys_session_{SESSION}.nwb"),
            "1": entry("odd.nwb"),
        },
    }
    (root / f"{NAME}_project_manifest_v0.3.0.json").write_text(json.dumps(manifest))
    return root


def test_a_session_in_the_folder_of_all_sessions_opens(cache):
    with oa.open(f"release:{NAME}@0.3.0/ecephys_session/{SESSION}", to=cache) as session:
        assert isinstance(session, BehaviorEcephysSession)
        assert session.ecephys_session_id == int(SESSION)


def test_a_file_of_any_name_is_found_by_its_id_in_the_table(cache):
    with oa.open(f"release:{NAME}@0.3.0/ecephys_session/77", to=cache) as session:
        assert isinstance(session, BehaviorEcephysSession)
    fetched = oa.fetch(f"release:{NAME}@0.3.0/ecephys_session/77", to=cache)
    assert Path(fetched).name == "odd.nwb"
    assert oa.show(f"release:{NAME}@0.3.0/ecephys_session/77")["probes"]


@pytest.mark.parametrize("wanted", ["78", "79"])
def test_a_session_without_a_file_or_a_row_has_none(cache, wanted):
    with pytest.raises(NotFoundError, match=f"no ecephys_session '{wanted}'"):
        oa.open(f"release:{NAME}@0.3.0/ecephys_session/{wanted}", to=cache)


@pytest.mark.parametrize(
    ("path", "kind", "id"),
    [
        ("ecephys_sessions/ecephys_session_12.nwb", "ecephys_session", "12"),
        ("behavior_ecephys_sessions/12/ecephys_session_12.nwb", "ecephys_session", "12"),
        ("behavior_ecephys_sessions/12/probe_probeA_lfp.nwb", "probe", "12/probe_probeA"),
        ("behavior_only_sessions/3/behavior_session_3.nwb", "behavior_session", "3"),
        ("ecephys_session_12.nwb", "ecephys_session", "12"),
        ("x_ecephys_session_12.nwb", "", ""),
        ("ecephys_session_12.nwb.txt", "", ""),
    ],
)
def test_files_are_known_by_their_names(path, kind, id):  # noqa: A002
    found = {k.name: k.id_of(path) for k in PROJECTS[NAME].kinds if k.id_of(path)}
    assert found == ({kind: id} if kind else {})


@pytest.mark.shared
def test_every_file_of_the_real_version_0_3_0_is_a_session():
    usual = Path(__file__).parents[3] / "shared" / "data"
    folder = Path(os.environ.get("OPENALLEN_TEST_SHARED", usual)) / "public" / "releases"
    if not folder.is_dir():
        pytest.skip("no real files here (OPENALLEN_TEST_SHARED names their folder)")
    told = json.loads((folder / f"{NAME}_project_manifest_v0.3.0.json").read_text())
    manifest = Manifest.read(told, PROJECTS[NAME])
    assert {kind: len(files) for kind, files in manifest.by_kind.items()} == {
        "table": 5,
        "ecephys_session": 153,
    }
    assert "1052342277" in manifest.by_kind["ecephys_session"]
