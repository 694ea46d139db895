"""One cell: shown, fetched, verified, repaired, opened; here and where it lies."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import openallen as oa
from openallen import maintenance
from openallen.errors import (
    CorruptError,
    NotFoundError,
    OfflineError,
    RefusedError,
    UsageError,
)
from openallen.manifests import family_of
from openallen.sources.cells import Cell
from openallen.sources.cells.manifest import build_schema, read_manifest, shipped_schema
from openallen.store import digest_of
from openallen.verbs import preparing


@pytest.fixture
def cell(cells, tmp_path) -> Cell:
    """A cell that was fetched whole."""
    return oa.fetch("cell:101", to=tmp_path / "cell", include="ephys,morphology,models")


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    found = (p for p in folder.rglob("*") if p.is_file())
    return {
        p.relative_to(folder).as_posix(): (p.stat().st_ino, p.stat().st_mtime_ns) for p in found
    }


def test_a_name_of_its_session_is_told(cell):
    with pytest.raises(AttributeError, match=r"no attribute 'fi_curve'\n  hint: session\.fi_curve"):
        cell.fi_curve  # noqa: B018
    with pytest.raises(AttributeError, match=r"no attribute 'nothing'$"):
        cell.nothing  # noqa: B018


# --- show -----------------------------------------------------------------------------------------


def test_show_tells_facts_features_sweeps_models_files_and_links(cells):
    facts = oa.show("cell:101")
    told = facts.to_dict()
    assert told["specimen_id"] == 101
    assert (told["species"], told["line"], told["layer"]) == ("Mus musculus", "Sst-IRES-Cre", "5")
    assert told["features"]["ri"] == 200.0
    assert told["sweeps"]["Long Square"] == {
        "count": 2, "numbers": [3, 4], "amplitudes": [-50.0, 90.0], "unit": "pA",
    }  # fmt: skip
    assert told["sweeps"]["Ramp"]["amplitudes"] == []  # its row has none
    assert told["sweeps"]["not told"]["count"] == 1
    assert [m["id"] for m in told["models"]] == [401, 402]
    assert [f["id"] for f in told["files"]] == [11, 12, 13, 14, 401, 15, 16, 402]
    assert told["links"] == [
        "https://celltypes.brain-map.org/experiment/electrophysiology/101",
        "https://celltypes.brain-map.org/experiment/morphology/101",
    ]
    assert [f["kind"] for f in told["plan"]["files"]] == ["ephys", "morphology", "morphology"]
    text = str(facts)
    for words in ("-70.5 mV", "200 MΩ", "20 ms", "70 pA", "0.02 s", "2 sweeps, -50 to 90 pA"):
        assert words in text
    assert "data:image/svg+xml;base64," in facts._repr_html_()
    assert facts.citation
    assert [v.url for v in oa.verbs.views("cell:101")] == told["links"]


def test_a_cell_without_reconstruction_and_models_says_so(cells):
    facts = oa.show("cell:102")
    assert any("no reconstruction: it was not reconstructed" in note for note in facts.plan.notes)
    assert "Models\n  none" in str(facts)
    assert "data:image" not in facts._repr_html_()
    nothing = oa.show("cell:104")
    assert nothing.plan is None
    assert any(note.startswith("nothing to fetch") for note in nothing.notes)
    assert "none listed here; the cell's row counts 2 GLIF" in str(nothing)


def test_show_draws_a_picture(cells, tmp_path):
    path = tmp_path / "cell.png"
    facts = oa.show("cell:101", picture=path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert any("picture: " in note for note in facts.notes)
    with pytest.raises(NotFoundError, match="nothing of this cell can be drawn"):
        oa.show("cell:104", picture=tmp_path / "none.png")


# --- fetch ----------------------------------------------------------------------------------------


def test_the_folder_holds_what_was_asked_for(cells, tmp_path):
    fetched = oa.fetch("cell:101", to=tmp_path / "cell")
    assert set(tree(fetched.folder)) == {
        "manifest.json", "ephys/101_ephys.nwb", "morphology/cell_m.swc",
        "morphology/cell_marker_m.swc",
    }  # fmt: skip
    more = oa.fetch("cell:101", to=tmp_path / "cell", include=["models"])
    assert set(tree(more.folder)) - set(tree(fetched.folder)) == set()
    assert {n for n in tree(more.folder) if n.startswith("models/")} == {
        "models/401/401_neuron_config.json", "models/401/neuronal_model_401.zip",
        "models/402/101_fit.json", "models/402/SK.mod", "models/402/neuronal_model_402.zip",
    }  # fmt: skip
    here = {f.path for f in read_manifest(more.folder).files if f.path}
    assert here == set(tree(more.folder)) - {"manifest.json"}


def test_the_manifest_follows_its_schema_and_the_schema_its_model(cell):
    assert shipped_schema() == build_schema()
    jsonschema.Draft202012Validator.check_schema(shipped_schema())
    told = json.loads((cell.folder / "manifest.json").read_text())
    jsonschema.validate(told, shipped_schema())
    assert told["address"] == "cell:101"
    assert told["simulated"] is True
    assert told["notes"] == ["all of it made up"]
    by_id = {(f["part"], f["id"]): f for f in told["files"]}
    nwb = by_id["ephys", 11]
    assert nwb["url"] == "https://api.brain-map.org/api/v2/well_known_file_download/11"
    assert nwb["simulated"] is True
    assert by_id["morphology", 12]["simulated"] is False
    zipped = by_id["models", 401]
    assert zipped["url"] == "https://api.brain-map.org/neuronal_model/download/401"
    for entry in told["files"]:
        path = cell.folder / entry["path"]
        assert f"sha256:{entry['sha256']}" == digest_of(path)
        assert entry["size_bytes"] == path.stat().st_size
    assert told["rows"]["features"][0]["ri"] == 200.0


def test_running_again_changes_nothing(cell, cells):
    before = tree(cell.folder)
    oa.fetch("cell:101", to=cell.folder, include="ephys,morphology,models")
    assert tree(cell.folder) == before


def test_damage_is_found_and_repaired_by_the_manifest_alone(cell, cells):
    moved = cell.folder.with_name("moved")
    shutil.move(cell.folder, moved)
    (moved / "morphology/cell_m.swc").write_bytes(b"spoiled")
    (moved / "ephys/101_ephys.nwb").unlink()
    (moved / "ephys/stranger.txt").write_text("not ours")
    found = list(maintenance.verify([moved]))
    told = {c.path.name: c.status for _, c in found if c.status != "intact"}
    assert told == {
        "cell_m.swc": "damaged", "101_ephys.nwb": "missing", "stranger.txt": "unknown",
    }  # fmt: skip
    assert maintenance.repair([(t, c) for t, c in found if c.bad]) == []
    assert not [c for _, c in maintenance.verify([moved]) if c.bad]


def test_what_is_complete_needs_no_network(cell, monkeypatch):
    path = cell.folder / "manifest.json"
    path.write_text(path.read_text().replace(cell.record.source, "live"))  # loopback is never off
    monkeypatch.setenv("OPENALLEN_SOURCE", "live")
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    again = oa.fetch("cell:101", to=cell.folder, include="models")
    assert len(again.models) == 2
    assert len(oa.show(cell.folder).thing.morphology) == 3
    with pytest.raises(OfflineError):
        oa.fetch("cell:102", to=cell.folder.with_name("other"))
    (cell.folder / "morphology/cell_m.swc").unlink()
    opened = oa.open(cell.folder)
    with pytest.raises(OfflineError):
        _ = opened.morphology
    assert len(opened.markers) == 1


def test_parts_asked_for_by_name_must_be_there(cells, tmp_path):
    assert oa.plan("cell:102", to=tmp_path / "a").files
    for include in ("morphology", "ephys,models"):
        with pytest.raises(NotFoundError) as caught:
            oa.plan("cell:102", to=tmp_path / "a", include=include)
        assert "this cell has no" in str(caught.value)
        assert "--include ephys" in caught.value.hint
    with pytest.raises(NotFoundError, match="the service names no NWB file of it"):
        oa.plan("cell:104", to=tmp_path / "a")


@pytest.mark.parametrize(
    ("include", "hint"),
    [("modells", "include=models"), ("nwb", "include=ephys"), ("", "include=ephys")],
)
def test_parts_that_do_not_exist_are_told(cells, include, hint):
    with pytest.raises(UsageError) as caught:
        oa.plan("cell:101", include=include)
    assert caught.value.hint == hint


def test_a_folder_that_holds_something_else_is_refused(cell, archive, cells_root, tmp_path):
    with pytest.raises(RefusedError, match="it holds cell:101"):
        oa.fetch("cell:102", to=cell.folder)
    with pytest.raises(RefusedError, match="from another source"):
        oa.fetch("cell:101", to=cell.folder, source=archive(root=cells_root))
    before = (cell.folder / "manifest.json").read_bytes()
    with pytest.raises(RefusedError, match="that of a cell"):
        oa.fetch("stack:313862022", to=cell.folder, source="sample", downsample=6, planes=":1")
    assert (cell.folder / "manifest.json").read_bytes() == before
    stack = tmp_path / "stack"
    oa.fetch("stack:313862022", to=stack, source="sample", downsample=6, planes=":1")
    with pytest.raises(RefusedError, match="that of a stack"):
        oa.fetch("cell:101", to=stack)
    assert type(oa.open(stack)).__name__ == "ImageStack"
    assert type(oa.open(cell.folder)) is Cell


def test_a_manifest_says_of_what_it_is(cell):
    body = (cell.folder / "manifest.json").read_bytes()
    assert family_of(body) == family_of(body[:40]) == "cell"
    assert family_of(b"{}") == ""


# --- open -----------------------------------------------------------------------------------------


def same(found: Cell) -> None:
    """Check what a cell gives, wherever it is read."""
    assert found.facts["species"] == "Mus musculus"
    assert found.features.ri == 200.0
    assert found.features.name == 101
    assert found.morphology_features.total_length == 25.5
    assert "well_known_files" not in found.morphology_features
    assert found.ephys_sweeps.index.tolist() == [3, 4, 5, 6, 7]
    assert len(found.morphology) == 3
    assert [m.code for m in found.markers] == [10]
    assert [m.id for m in found.models] == [401, 402]
    assert found.models[0].parameters == {"El": -0.07, "C": 6e-11}
    assert found.models[1].template == "Biophysical - perisomatic"
    assert found.session.tree.value("identifier") == "made up"
    kinds = [v.kind for v in found._visuals()]
    assert {"traces", "cell", "table"} <= set(kinds)
    names = [v.name for v in found._visuals()]
    assert len(names) == len(set(names))
    assert "Cell 101" in repr(found)


def test_a_cell_that_was_fetched_is_read_from_its_folder(cell, monkeypatch):
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    opened = oa.open(cell.folder)
    same(opened)
    assert opened.models[0].path().name == "neuronal_model_401.zip"
    assert Path(opened.session.path) == cell.folder / "ephys/101_ephys.nwb"
    assert "data:image/svg" in opened._repr_html_()
    told = oa.show(cell.folder).to_dict()
    assert told["folder"] == str(cell.folder)
    assert all(f["here"] for f in told["files"])
    opened.close()


def test_a_cell_that_was_not_fetched_is_read_where_it_lies(cells):
    with oa.open("cell:101") as opened:
        same(opened)
        assert opened.session.path is None
        with pytest.raises(NotFoundError, match="it was not fetched"):
            opened.models[0].path()


def test_the_recordings_are_opened_when_they_are_asked_for(cells, loopback):
    opened = oa.open("cell:101")
    assert "session" not in vars(opened)
    _ = opened.features, opened.morphology
    assert "session" not in vars(opened)


def test_methods_of_the_recordings_are_those_of_the_session(cells):
    opened = oa.open("cell:101")
    if not hasattr(type(opened.session), "get_sweep"):
        with pytest.raises(AttributeError):
            opened.get_sweep(4)
        return
    assert opened.get_sweep_numbers() == opened.session.get_sweep_numbers()
    np.testing.assert_array_equal(opened.spike_times(4), [0.1, 0.2])
    np.testing.assert_array_equal(opened.get_spike_times(4), [0.1, 0.2])
    assert opened.get_sweep(4)["sampling_rate"] == 1000.0
    assert opened.get_sweep_metadata(4)["aibs_stimulus_amplitude_pa"] == 90.0
    assert 4 in opened.sweeps.index


def test_each_part_that_a_cell_lacks_says_why(cells):
    opened = oa.open("cell:102")
    for part, why in (
        ("morphology", "it was not reconstructed"),
        ("markers", "it was not reconstructed"),
        ("morphology_features", "the service has no row of NeuronReconstruction"),
        ("features", "the service has no row of EphysFeature"),
        ("ephys_sweeps", "the service has no rows of EphysSweep"),
    ):
        with pytest.raises(NotFoundError, match=why):
            getattr(opened, part)
    assert opened.models == ()
    assert opened.session.tree.value("identifier") == "made up"
    human = oa.open("cell:104")
    with pytest.raises(NotFoundError, match="the service names no NWB file of it"):
        _ = human.session
    assert [v.name for v in human._visuals()] == []


def test_a_reconstruction_without_markers_says_so(archive, tmp_path, monkeypatch):
    from cellfiles import write_archive

    root = write_archive(tmp_path / "archive")
    table = root / "tables/well_known_files.jsonl"
    kept = [line for line in table.read_text().splitlines() if json.loads(line)["id"] != 13]
    table.write_text("\n".join(kept) + "\n")
    opened = oa.open("cell:101", source=archive(root=root))
    assert len(opened.morphology) == 3
    with pytest.raises(NotFoundError, match="its reconstruction has none"):
        _ = opened.markers


def test_web_addresses_of_the_portal_mean_cells():
    for text in (
        "https://celltypes.brain-map.org/experiment/electrophysiology/464212183",
        "http://celltypes.brain-map.org/mouse/experiment/electrophysiology/464212183",
        "https://celltypes.brain-map.org/human/experiment/electrophysiology/464212183/",
    ):
        assert str(oa.Address.parse(text)) == "cell:464212183"
    morphology = "https://celltypes.brain-map.org/experiment/morphology/464212183"
    assert str(oa.Address.parse(morphology)) == "stack:464212183"


@pytest.mark.parametrize("number", [101, 102])
def test_a_cell_crosses_into_another_process(cells, number):
    opened = oa.open(f"cell:{number}")
    _ = opened.record.reconstruction, opened.session.tree
    again = pickle.loads(pickle.dumps(opened))
    assert again.facts == opened.facts
    assert again.session.tree.value("identifier") == "made up"


# --- the sample -----------------------------------------------------------------------------------


def test_the_cell_of_the_sample_says_that_its_signals_are_made_up(tmp_path):
    cell = oa.fetch("cell:313862022", to=tmp_path / "cell", source="sample")
    assert cell.is_simulated
    assert any(
        "recordings, models" in note and "are simulated" in note for note in cell.manifest.notes
    )
    by_type = {f.type: f.simulated for f in cell.manifest.files if f.path}
    assert by_type["NWBDownload"] is True
    assert "some simulated" in repr(cell)
    tree = cell.session.tree
    assert str(tree.value("session_description")).startswith("simulated")
    assert tree.names("acquisition/timeseries") == ["Sweep_20", "Sweep_35", "Sweep_60"]
    assert cell.session.path.stat().st_size < 300_000
    assert cell.ephys_sweeps.index.tolist() == [20, 35, 60]
    counts = cell.ephys_sweeps.num_spikes.fillna(0).tolist()
    spikes = [tree.shape(f"analysis/spike_times/Sweep_{n}")[0] for n in (20, 35, 60)]
    assert counts == spikes == [1, 0, 38]
    assert cell.features.vrest == pytest.approx(-63.58, abs=0.01)
    assert oa.list("cell:", source="sample", specimen_id=313862022)[0]["layer"] == "4"


def test_a_damaged_manifest_in_the_store_is_told(cells, tmp_path):
    folder = oa.fetch("cell:101").folder
    (folder / "manifest.json").write_bytes(b'{"schema": "openallen/cell-manifest/1"')
    with pytest.raises(CorruptError):
        oa.open("cell:101")
    assert oa.show("cell:101").to_dict()["folder"] is None
    assert len(oa.fetch("cell:101").morphology) == 3


@pytest.mark.parametrize(
    "rows",
    [
        {"neuronal_models": {"id": 401, "neuronal_model_template_id": 999, "specimen_id": 101}},
        {"neuron_reconstructions": {"id": 301, "specimen_id": 101}},
        {"ephys_features": {"id": 1, "specimen_id": 101, "vrest": "none", "ri": True}},
        {"ephys_sweeps": {"id": 1, "specimen_id": 101, "sweep_number": None}},
        {"ephys_results": {"id": 999, "failed": True}},
    ],
    ids=lambda rows: next(iter(rows)),
)
def test_rows_that_lack_what_others_have(archive, tmp_path, rows):
    from cellfiles import write_archive

    root = write_archive(tmp_path / "archive")
    for name, row in rows.items():
        (root / "tables" / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    url = archive(root=root)
    assert str(oa.show("cell:101", source=url))
    opened = oa.open("cell:101", source=url)
    assert opened.session.tree.value("identifier") == "made up"
    assert repr(opened)


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", [oa.show, oa.fetch, oa.open])
def test_an_unknown_cell_and_one_of_another_kind(cells, verb):
    with pytest.raises(NotFoundError, match="no such cell"):
        verb("cell:999")
    with pytest.raises(NotFoundError) as caught:
        verb("cell:900")
    assert "'slice 1' is not a single cell" in caught.value.why
    assert "cells of it: 101" in caught.value.why
    assert caught.value.hint.startswith("openallen show cell:101")


def test_rows_whose_files_are_gone(cells, tmp_path):
    opened = oa.open("cell:103")
    with pytest.raises(NotFoundError):
        _ = opened.session
    with pytest.raises(NotFoundError):
        _ = opened.morphology
    assert opened.morphology_features.total_length == 9.5
    assert opened._visuals()[-1].kind == "cell"  # what the rows promise; drawing it says why not
    with pytest.raises(oa.errors.OpenAllenError) as caught:
        oa.fetch("cell:103", to=tmp_path / "gone")
    assert "no such file" in str(caught.value) or "not found" in str(caught.value).lower()
    assert not list((tmp_path / "gone").rglob("*.nwb"))


PAGE = b"<!DOCTYPE html>\n<html><body>We're sorry</body></html>"


@pytest.mark.parametrize("number", [11, 12, 13, 14])
def test_pages_in_place_of_files_are_named_and_never_kept(archive, tmp_path, number, monkeypatch):
    from cellfiles import write_archive

    monkeypatch.setenv("OPENALLEN_ATTEMPTS", "1")
    url = archive(root=write_archive(tmp_path / "archive", **{f"f{number}": PAGE}))
    with preparing(
        "cell:101", tmp_path / "out", source=url, include="ephys,morphology,models"
    ) as work:
        report = work.run()
    [failed] = report.failed
    assert "an HTML page instead of" in str(failed.error)
    assert failed.file.address == f"file:{number}"
    assert failed.file.retry.startswith("openallen fetch cell:101 --to ")
    assert len(report.fetched) == 7
    missing = [f for f in read_manifest(tmp_path / "out").files if not f.path]
    assert [f.id for f in missing] == [number]
    assert all(b"We're sorry" not in p.read_bytes() for p in (tmp_path / "out").rglob("*.*"))
    opened = oa.open("cell:101", source=url)
    parts = {11: "session", 12: "morphology", 13: "markers"}
    with pytest.raises(oa.errors.OpenAllenError, match=r"HTML page|not an HDF5 file"):
        _ = getattr(opened, parts[number]) if number in parts else opened.models[0].parameters


def test_truncated_recordings_are_not_kept(archive, cells_root, tmp_path, monkeypatch):
    from cellfiles import write_archive

    monkeypatch.setenv("OPENALLEN_ATTEMPTS", "1")
    whole = (cells_root / "files/11.nwb").read_bytes()
    for size in (len(whole) - 1, 200, 60):
        root = write_archive(tmp_path / f"archive{size}", f11=whole[:size])
        url = archive(root=root)
        to = tmp_path / f"out{size}"
        with pytest.raises(oa.errors.OpenAllenError) as caught:
            oa.fetch("cell:101", to=to, source=url, include="ephys")
        assert "truncated" in str(caught.value), size
        assert not (to / "ephys/101_ephys.nwb").exists()


def test_spoiled_files_here_are_told_when_they_are_opened(cell):
    (cell.folder / "ephys/101_ephys.nwb").write_bytes(b"\x89HDF\r\n\x1a\nspoiled")
    (cell.folder / "morphology/cell_m.swc").write_bytes(b"1 1 a b c 1 -1\n")
    (cell.folder / "models/401/401_neuron_config.json").write_bytes(b"{")
    opened = oa.open(cell.folder)
    with pytest.raises(CorruptError):
        _ = opened.session
    with pytest.raises(CorruptError):
        _ = opened.morphology
    with pytest.raises(CorruptError):
        _ = opened.models[0].parameters
    assert len(opened.markers) == 1


def test_a_damaged_manifest_vouches_for_nothing(cell, cells):
    path = cell.folder / "manifest.json"
    body = path.read_bytes()
    for bad in (body[:200], b'{"schema": "openallen/cell-manifest/1"}', b"[" * 100_000 + body[:60]):
        path.write_bytes(bad)
        with pytest.raises(CorruptError, match="not a manifest of a cell"):
            oa.open(path.parent)
    oa.fetch("cell:101", to=cell.folder)
    assert [f.path for f in read_manifest(cell.folder).files][:3] == [
        "ephys/101_ephys.nwb", "morphology/cell_m.swc", "morphology/cell_marker_m.swc",
    ]  # fmt: skip


def test_a_manifest_reaches_nothing_outside_its_folder(cell, tmp_path):
    secret = tmp_path / "secret.swc"
    secret.write_bytes(b"1 1 0 0 0 1 -1\n")
    inside = cell.folder / "morphology/cell_m.swc"
    inside.unlink()
    inside.symlink_to(secret)
    with pytest.raises(RefusedError, match="leads out"):
        _ = oa.open(cell.folder).morphology
    path = cell.folder / "manifest.json"
    told = json.loads(path.read_text())
    told["files"][0]["path"] = "../secret.swc"
    path.write_text(json.dumps(told))
    with pytest.raises(oa.errors.IntegrityError, match="unsafe file name"):
        list(maintenance.verify([cell.folder]))
