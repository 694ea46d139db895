"""What is only looked at needs no store: all of it works on a full disk and a read-only one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from assetbucket import CURRENT, RAW
from disks import mounted

import openallen as oa

RELEASE = "release:visual-behavior-ophys"


def fill(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


@pytest.fixture(params=["full", "read-only"])
def store(request, _buckets, bucket, tmp_path, monkeypatch):
    """A store in which nothing can be written, with nothing in it."""
    with mounted(tmp_path / "disk", 1 << 20) as disk:
        (disk / "store").mkdir()
        if request.param == "full":
            fill(disk)
        else:
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        monkeypatch.setenv("OPENALLEN_STORE", str(disk / "store"))
        yield disk / "store"
        assert not any(path.is_file() and path.stat().st_size for path in disk.rglob("store/**/*"))


def test_releases_are_shown_and_opened(store):
    assert {row["version"] for row in oa.list(RELEASE)} == {"0.1.0", "0.2.0", "1.0.0"}
    assert "1.0.0" in str(oa.show(RELEASE))
    assert oa.plan(f"{RELEASE}/ophys_experiment").files
    assert "1.0.0" in repr(oa.open(RELEASE))
    assert oa.open(f"{RELEASE}/ophys_experiment/951980471").ophys_experiment_id


def test_assets_are_listed_shown_and_opened(store, caplog):
    names = {row["name"] for row in oa.list("asset:")}
    assert {RAW, CURRENT} <= names
    assert oa.assets.sql("SELECT count(*) AS n FROM assets")[0]["n"] == len(names)
    assert "the catalogue is not stored" in caplog.text
    for name in (RAW, CURRENT):
        assert oa.open(f"asset:{name}").record.subject_id
        assert "subject" in str(oa.show(f"asset:{name}"))
        assert len(list(oa.list(f"asset:{name}"))) > 1


def test_tables_of_the_service_are_listed(store, sample_url):
    assert len(list(oa.list("stack:", source=sample_url))) > 1
    assert len(list(oa.list("grid:", source=sample_url))) > 1
    assert oa.show("grid:69855739", source=sample_url)
