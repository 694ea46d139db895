"""Real rows, where there are any: what the service and AllenSDK really gave."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest

import openallen as oa
from openallen.archive.app import archive_app
from openallen.archive.holdings import SAMPLE
from openallen.serving.server import serving

_DEFAULT = Path(__file__).parents[3] / "shared" / "data"
SHARED = Path(os.environ.get("OPENALLEN_TEST_SHARED", _DEFAULT))
ROWS = SHARED / "public" / "connectivity" / "experiments.json"
HEADS = SHARED / "releases" / "notebook_tables"

pytestmark = pytest.mark.shared


@pytest.mark.skipif(not ROWS.is_file(), reason="no real experiments here")
def test_real_experiments(tmp_path, monkeypatch):
    told = {int(n): row for n, row in json.loads(ROWS.read_text("utf-8")).items()}
    tables = tmp_path / "archive" / "tables"
    tables.mkdir(parents=True)
    (tables / "structures.jsonl").write_bytes((SAMPLE / "tables" / "structures.jsonl").read_bytes())
    with (tables / "api_connectivity.jsonl").open("w") as file:
        for number, row in told.items():
            raw = {k: v for k, v in row.items() if k != "primary_injection_structure"}
            reached = "/".join(map(str, row["injection_structures"]))
            raw |= {"data_set_id": number, "injection_structures": reached}
            file.write(json.dumps(raw) + "\n")
    with serving(archive_app(tmp_path / "archive")) as url:
        monkeypatch.setenv("OPENALLEN_SOURCE", url)
        every = oa.open("connectivity:")
        found = every.experiments()
        assert sorted(found.index) == sorted(told)
        for name in ("injection_volume", "injection_z", "structure_abbrev", "structure_id"):
            assert found[name].to_dict() == {n: row[name] for n, row in told.items()}
        lists = found["injection_structures"].to_dict()
        assert lists == {n: row["injection_structures"] for n, row in told.items()}
        # Sides by the place of the injection are those of its centroid in its grids, but for those
        # next to the midline, whose place is up to a quarter of a millimetre left of it.
        right = {n for n, row in told.items() if row["centroid_z"] > 5700}
        near = {n for n, row in told.items() if abs(row["injection_z"] - 5700) <= 250}
        assert set(every.experiments(hemisphere="right").index) - near == right - near
        assert len(near) < 50
        visual = {s.id for s in every.structures.descendants("VIS")} | {669}
        main = {n for n, row in told.items() if row["structure_id"] in visual}
        assert set(every.experiments(injection_structures="VIS").index) == main
        assert main
        reached_any = {
            n for n, row in told.items()
            if visual & {row["structure_id"], *row["injection_structures"]}
        }  # fmt: skip
        any_of = every.experiments(injection_structures="VIS", primary_only=False)
        assert set(any_of.index) == reached_any > main


@pytest.mark.skipif(not HEADS.is_dir(), reason="no tables of notebooks here")
@pytest.mark.parametrize("cell", ["cell016", "cell018"])
def test_columns_of_real_unionizes(traced, cell):
    with (HEADS / f"mouse_connectivity__{cell}.csv").open(newline="") as file:
        names = next(csv.reader(file))[1:]
    assert names == sorted(names)
    found = list(traced.unionizes([1001]).columns)
    assert found == [name for name in names if name in found]
