"""One model of a cell: by its id, or by the address its package is downloaded from."""

from __future__ import annotations

import json
import zipfile

import pytest

import openallen as oa
from openallen import maintenance
from openallen.errors import NotFoundError, OfflineError, RefusedError, UsageError
from openallen.sources.cells import Cell, CellModel
from openallen.sources.cells.manifest import read_manifest
from openallen.verbs import listing

WEB = "http://api.brain-map.org/neuronal_model/download/402"


def test_models_are_listed_with_their_templates_and_cells(cells):
    rows = oa.list("model:")
    assert [(r["id"], r["template"], r["specimen_id"]) for r in rows] == [
        (401, "Leaky Integrate and Fire (LIF)", 101), (402, "Biophysical - perisomatic", 101),
    ]  # fmt: skip
    assert rows.address_of(rows[0]) == "model:401"
    chosen = oa.list("model:", "template__like=Biophysical*", specimen_id=101)
    assert [r["id"] for r in chosen] == [402]
    assert oa.list("model:", limit=1).total == 2
    with pytest.raises(UsageError) as caught:
        oa.list("model:", "templates=x")
    assert caught.value.hint == "openallen list model: template=x"
    with listing("model:", "template=Biophysical") as none:
        assert "Biophysical - perisomatic" in none.empty().hint


def test_the_address_of_its_package_means_it(cells):
    assert str(oa.Address.parse(WEB)) == "model:402"
    told = oa.show(WEB).to_dict()
    assert (told["model_id"], told["cell"]) == (402, "cell:101")
    assert [f["type"] for f in told["files"]] == [
        "NeuronalModelParameters", "BiophysicalModelDescription", "zip",
    ]  # fmt: skip


def test_it_is_fetched_with_all_that_it_takes(cells, tmp_path, monkeypatch):
    fetched = oa.fetch(WEB, to=tmp_path / "model")
    assert isinstance(fetched, CellModel)
    assert fetched.parameters == {"genome": []}
    with zipfile.ZipFile(fetched.path()) as packed:
        assert packed.namelist() == ["manifest.json"]
    manifest = read_manifest(tmp_path / "model")
    assert (manifest.address, manifest.cell_id, manifest.model_id) == ("model:402", 101, 402)
    assert {f.part for f in manifest.files} == {"models"}
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    again = oa.open(tmp_path / "model")
    assert isinstance(again, CellModel)
    assert again.template == "Biophysical - perisomatic"
    assert oa.show(tmp_path / "model").title == "Model 402"


def test_it_is_verified_and_repaired(cells, tmp_path):
    oa.fetch("model:401", to=tmp_path / "model")
    path = tmp_path / "model/models/401/401_neuron_config.json"
    path.write_bytes(b"{}")
    found = list(maintenance.verify([tmp_path / "model"]))
    assert [c.path for _, c in found if c.bad] == [path]
    assert all("openallen fetch model:401 --to " in c.repair for _, c in found)
    assert maintenance.repair([(t, c) for t, c in found if c.bad]) == []
    assert json.loads(path.read_text())["El"] == -0.07


def test_it_is_read_where_it_lies(cells):
    model = oa.open("model:401")
    assert model.parameters["El"] == -0.07
    assert isinstance(model.cell, Cell)
    with pytest.raises(NotFoundError, match="it was not fetched"):
        model.path()


def test_a_cell_and_its_model_are_two_things(cells, tmp_path):
    oa.fetch("model:401", to=tmp_path / "one")
    for other in ("cell:101", "model:402"):
        with pytest.raises(RefusedError, match="it holds model:401"):
            oa.fetch(other, to=tmp_path / "one")


def test_what_is_no_model_is_told(cells, monkeypatch):
    for verb in (oa.show, oa.plan, oa.open):
        with pytest.raises(NotFoundError, match="no such model"):
            verb("model:999")
    with pytest.raises(UsageError):
        oa.fetch("model:")
    monkeypatch.setenv("OPENALLEN_SOURCE", "live")
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    with pytest.raises(OfflineError):
        oa.fetch("model:401")


@pytest.mark.parametrize("body", [b"PK\x03\x04 cut", b"<html><body>500</body></html>", b""])
def test_a_package_that_is_none_is_not_kept(archive, tmp_path, body, monkeypatch):
    from cellfiles import write_archive

    monkeypatch.setenv("OPENALLEN_ATTEMPTS", "1")
    root = write_archive(tmp_path / "archive")
    (root / "models/402.zip").write_bytes(body)
    with pytest.raises(oa.errors.OpenAllenError):
        oa.fetch("model:402", to=tmp_path / "out", source=archive(root=root))
    assert not list((tmp_path / "out").rglob("*.zip"))
