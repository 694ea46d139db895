"""Releases of the embedded sample: two simulated sessions, listed, fetched and opened offline."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import openallen as oa
from openallen.archive import SAMPLE, archive_app, serving
from openallen.archive.embedded import sample_holds
from openallen.errors import NotFoundError, OfflineError, UsageError

TOOLS = Path(__file__).parents[2] / "tools"
BUCKET = SAMPLE / "buckets" / "allen-brain-observatory"
TWO_PHOTON = "visual-coding-2p/ophys_experiment_data/900000001.nwb"
CACHE = "visual-coding-neuropixels/ecephys-cache"
SESSION = f"{CACHE}/session_900000002/session_900000002.nwb"
LFP = f"{CACHE}/session_900000002/probe_900000051_lfp.nwb"
PYTHON = os.environ.get("OPENALLEN_TEST_ALLENSDK", "")
OPHYS = "release:visual-coding-2p/ophys_experiment_data/900000001.nwb"
ECEPHYS = "release:visual-coding-neuropixels/ecephys_session/900000002"


@pytest.fixture
def sample(monkeypatch):
    """The sample by the setting, with no network."""
    monkeypatch.setenv("OPENALLEN_SOURCE", "sample")
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")


# --- the door -------------------------------------------------------------------------------------


def test_the_sample_lists_the_projects_it_has(sample):
    names = [row["address"] for row in oa.list("release:")]
    assert names == ["release:visual-coding-2p", "release:visual-coding-neuropixels"]
    assert len(oa.list("release:", source="live")) > len(names)
    (version,) = oa.list("release:visual-coding-neuropixels")
    assert version["version"].endswith("-sample")


def test_sessions_are_listed_shown_fetched_and_opened_offline(sample):
    for where, name in ((OPHYS, "900000001.nwb"), (ECEPHYS, "900000002")):
        kinds = {row["address"]: row for row in oa.list(f"{where.split('/')[0]}/files")}
        assert any(name in address for address in kinds)
        shown = str(oa.show(where))
        assert "SIMULATED" in shown
        assert "the embedded sample: sessions and signals are simulated" in shown
        assert "SIMULATED" in str(oa.open(where))  # read where it lies
        assert oa.fetch(where).is_file()
        assert oa.open(where).path is not None
        assert "SIMULATED" in str(oa.open(where))
    units = oa.open("release:visual-coding-neuropixels").table("units")
    assert len(units) == 38  # two are left out, as AllenSDK does
    rows = oa.list("release:visual-coding-neuropixels/sessions")
    assert [row["session_type"] for row in rows] == ["brain_observatory_1.1"]


@pytest.mark.parametrize(
    ("chosen", "count"),
    [
        ("visual-coding-2p/ophys_experiment?cre_lines=Cux2-CreERT2", 1),
        ("visual-coding-2p/ophys_experiment?imaging_depth__gt=100&targeted_structure=VISp", 1),
        ("visual-coding-neuropixels/ecephys_session?session_type=brain_observatory_1.1", 1),
        ("visual-coding-neuropixels/probe?ecephys_session_id=900000002&name=probeA", 1),
        ("visual-coding-2p/ophys_experiment?stimuli=natural_scenes", 0),
        ("visual-coding-2p/ophys_experiment?imaging_depth__gt=200", 0),
    ],
)
def test_files_are_chosen_by_tables_that_are_made(sample, chosen, count):
    if not count:
        with pytest.raises(NotFoundError, match="nothing matches"):
            oa.plan(f"release:{chosen}")
        return
    assert len(oa.plan(f"release:{chosen}").files) == count


def test_sessions_are_chosen_by_tables_that_are_made(sample):
    release = oa.open("release:visual-coding-2p")
    assert list(release.sessions("ophys_experiment", imaging_depth__lt=200).addresses) == [
        900000001
    ]
    with pytest.raises(UsageError, match="imaging_dept"):
        release.sessions("ophys_experiment", imaging_dept=175)


def test_the_sample_never_stands_for_the_service_nor_the_other_way(sample, monkeypatch):
    oa.fetch(OPHYS)
    assert oa.open("release:visual-coding-2p").files
    monkeypatch.setenv("OPENALLEN_SOURCE", "live")
    with pytest.raises(OfflineError):
        oa.open("release:visual-coding-2p")
    with pytest.raises(OfflineError):
        oa.show(OPHYS)
    held = oa.open("release:visual-coding-2p@20260115-sample")  # which is asked for by its name
    assert "simulated" in str(held.notes)


def test_what_is_of_the_service_is_not_taken_for_the_sample(sample, monkeypatch):
    bucket = oa.open("release:visual-coding-2p")
    folder = Path(os.environ["OPENALLEN_STORE"]) / "releases" / "visual-coding-2p"
    (manifest,) = folder.glob("*_manifest_v*.json")
    newer = json.loads(manifest.read_text()) | {"version": "20300101"}
    (folder / manifest.name.replace("20260115-sample", "20300101")).write_text(json.dumps(newer))
    assert str(oa.open("release:visual-coding-2p").version) == "20260115-sample"
    assert str(bucket.version) == "20260115-sample"
    monkeypatch.setenv("OPENALLEN_SOURCE", "live")
    assert str(oa.open("release:visual-coding-2p").version) == "20300101"


@pytest.mark.parametrize(
    "where",
    ["release:visual-behavior-ophys", "release:abc-atlas/files", "release:visual-coding-ophys"],
)
def test_projects_that_the_sample_lacks_are_named_with_those_it_has(sample, where):
    with pytest.raises(NotFoundError) as caught:
        oa.list(where)
    name = where.partition(":")[2].partition("/")[0]
    assert f"the embedded sample has nothing of {name}" in str(caught.value)
    assert "visual-coding-2p, visual-coding-neuropixels" in str(caught.value)
    assert caught.value.hint == "openallen list release: --source live"


def test_a_bucket_that_the_sample_lacks_is_named_with_those_it_has(sample):
    from openallen.sources.context import Context

    with Context() as context, pytest.raises(NotFoundError) as caught:
        list(context.bucket("aind-benchmark-data").list())
    assert "the embedded sample has no bucket aind-benchmark-data" in str(caught.value)
    assert "this archive has aind-open-data, allen-brain-observatory" in str(caught.value)


def test_an_archive_by_its_address_has_its_buckets_too(sample_url, monkeypatch):
    monkeypatch.setenv("OPENALLEN_SOURCE", sample_url)
    assert oa.fetch(OPHYS).is_file()
    with pytest.raises(NotFoundError, match="no bucket visual-behavior-ophys-data at http"):
        oa.list("release:visual-behavior-ophys")
    web = "s3://allen-brain-observatory/" + TWO_PHOTON
    assert "SIMULATED" in str(oa.open(web))


def test_a_bucket_of_the_settings_goes_before_that_of_an_archive(release, monkeypatch):
    monkeypatch.setenv("OPENALLEN_SOURCE", "sample")
    assert len(oa.list("release:visual-behavior-ophys")) == 3
    assert len(oa.list("release:")) > 2


def test_what_the_sample_holds_is_known_without_asking():
    assert sample_holds("allen-brain-observatory", "visual-coding-2p/")
    assert not sample_holds("allen-brain-observatory", "openscope/")
    assert sample_holds("aind-open-data")
    assert not sample_holds("aind-open-data", "SmartSPIM")
    assert not sample_holds("aind-benchmark-data")
    assert not sample_holds("")


# --- rows -----------------------------------------------------------------------------------------


def test_rows_of_the_service_name_the_two_photon_session(sample):
    (container,) = oa.query("ExperimentContainer").include(
        "ophys_experiments(well_known_files(well_known_file_type))", "targeted_structure",
        "specimen(donor(age,transgenic_lines))",
    )  # fmt: skip
    (experiment,) = container["ophys_experiments"]
    assert (experiment["id"], experiment["stimulus_name"]) == (900000001, "three_session_A")
    assert container["targeted_structure"]["acronym"] == "VISp"
    donor = container["specimen"]["donor"]
    assert donor["age"]["days"] == 100
    assert next(line["name"] for line in donor["transgenic_lines"]) == "Cux2-CreERT2"
    (file,) = experiment["well_known_files"]
    assert file["well_known_file_type"]["name"] == "NWBOphys"
    cells = oa.query("ApiCamCellMetric").to_pandas()
    with h5py.File(BUCKET / TWO_PHOTON) as h5:
        segmented = h5["processing/brain_observatory_pipeline/ImageSegmentation"]
        assert list(cells["cell_specimen_id"]) == list(segmented["cell_specimen_ids"])
    assert cells.shape == (20, 60)
    assert oa.fetch(f"file:{file['id']}").exists()


def test_the_sample_contradicts_itself_nowhere_about_eye_tracking(sample):
    release = oa.open("release:visual-coding-2p")
    told = release.table("ophys_experiments", require_eye_tracking=True)
    assert not told.loc[900000001, "fail_eye_tracking"]
    assert len(release.get_ophys_experiment_data(900000001).eye_tracking) > 0


def test_what_is_in_a_release_names_tables_that_are_rows_of_the_service(sample):
    release = oa.open("release:visual-coding-2p")
    contents = next(v for v in release._visuals() if v.name == "contents")
    rows = {row["kind"]: row["address"] for row in contents.table()}
    assert rows["table cell_specimens"] == f"{release.address}/cell_specimens"
    assert "ophys experiment" in rows


def test_pictures_of_the_sample_say_that_it_is_simulated(sample):
    for where in (OPHYS, ECEPHYS):
        assert oa.open(where).plot().get_suptitle().endswith("· simulated")
    title = oa.open(OPHYS).plot_max_projection().axes[0].get_title()
    assert "simulated" in title


# --- what is in it --------------------------------------------------------------------------------


def test_the_index_tells_the_digest_of_every_object():
    lines = (SAMPLE / "buckets" / "allen-brain-observatory.jsonl").read_text().splitlines()
    told = {row["key"]: row["etag"] for row in map(json.loads, lines)}
    held = {p.relative_to(BUCKET).as_posix(): p for p in BUCKET.rglob("*") if p.is_file()}
    assert set(told) == set(held)
    for key, path in held.items():
        assert hashlib.md5(path.read_bytes()).hexdigest() == told[key], key


def test_the_sample_stays_small():
    sizes = {key: (BUCKET / key).stat().st_size for key in (TWO_PHOTON, SESSION, LFP)}
    assert sizes[TWO_PHOTON] < 400_000
    assert sizes[SESSION] + sizes[LFP] < 600_000
    assert sum(p.stat().st_size for p in SAMPLE.rglob("*") if p.is_file()) < 4_000_000


def contents(path: Path) -> dict[str, object]:
    """Return every data set and attribute of a file; references by what they lead to."""
    found: dict[str, object] = {}

    def plain(value: object, file: h5py.File) -> object:
        if isinstance(value, h5py.Reference):
            return file[value].name
        if isinstance(value, np.ndarray) and value.dtype.names:
            return [tuple(plain(v, file) for v in row) for row in value]
        if isinstance(value, np.ndarray) and value.dtype.kind == "O":
            return [plain(v, file) for v in value.ravel()]
        return value

    with h5py.File(path) as file:

        def visit(name: str, thing: h5py.Group | h5py.Dataset) -> None:
            for attribute, value in thing.attrs.items():
                found[f"{name}@{attribute}"] = plain(value, file)
            if isinstance(thing, h5py.Dataset):
                found[f"{name}#"] = (thing.shape, str(thing.dtype))
                found[name] = plain(thing[()], file)

        visit("/", file["/"])
        file.visititems(visit)
    return found


@pytest.mark.skipif(not TOOLS.is_dir(), reason="the tools are not here")
def test_making_the_sample_again_makes_the_same(tmp_path):
    (tmp_path / "tables").mkdir()
    (tmp_path / "archive.json").write_text("{}")
    command = [sys.executable, str(TOOLS / "make_sample_sessions.py"), str(tmp_path)]
    subprocess.run(command, check=True, timeout=300)
    made = tmp_path / "buckets" / "allen-brain-observatory"
    for key in (TWO_PHOTON, SESSION, LFP):
        before, after = contents(BUCKET / key), contents(made / key)
        assert list(before) == list(after)
        for name, value in before.items():
            assert repr(value) == repr(after[name]), f"{key} {name}"
            if isinstance(value, np.ndarray):
                exact = {"equal_nan": True} if value.dtype.kind == "f" else {}
                assert np.array_equal(value, after[name], **exact), f"{key} {name}"
    for path in BUCKET.rglob("*.csv"):
        assert (made / path.relative_to(BUCKET)).read_text() == path.read_text()
    for path in (tmp_path / "tables").glob("*.jsonl"):
        ours = path.read_text().splitlines()
        assert set(ours) <= set((SAMPLE / "tables" / path.name).read_text().splitlines())


def test_cells_are_tuned_to_direction():
    with h5py.File(BUCKET / TWO_PHOTON) as h5:
        dff = h5["processing/brain_observatory_pipeline/DfOverF/imaging_plane_1/data"][()]
        place = h5["stimulus/presentation/drifting_gratings_stimulus"]
        rows, spans = place["data"][()], place["frame_duration"][()]
        described = h5["session_description"][()].decode()
    assert "SIMULATED" in described
    means = np.stack([dff[:, begin:end].mean(1) for begin, end in spans], 1)
    directions = np.arange(0, 360, 45)
    curves = np.stack([means[:, rows[:, 1] == d].mean(1) for d in directions], 1)
    blank = means[:, rows[:, 2] == 1].mean(1)
    preferred = curves.argmax(1)
    across = np.take_along_axis(curves, ((preferred + 2) % 8)[:, None], 1)[:, 0]
    assert np.mean(curves.max(1) > 3 * np.abs(across)) > 0.8
    assert (curves.max(1) > blank).all()
    assert len(set(preferred)) >= 5


def test_units_answer_to_gratings_places_and_light():
    with h5py.File(BUCKET / SESSION) as h5:
        ends = h5["units/spike_times_index"][()]
        times = np.split(h5["units/spike_times"][()], ends[:-1])
        gratings = {k: h5[f"intervals/drifting_gratings_presentations/{k}"][()] for k in ("start_time", "stop_time", "orientation")}  # fmt: skip
        pulses = h5["processing/optotagging/optogenetic_stimulation/start_time"][()]
        described = h5["session_description"][()].decode()
        notes = h5["general/notes"][()].decode()
    assert "SIMULATED" in described
    assert "SIMULATED" in notes
    assert all((np.diff(unit) > 0.001).all() for unit in times)

    def count(unit, begin, end):
        return np.searchsorted(unit, end) - np.searchsorted(unit, begin)

    counts = np.stack([count(u, gratings["start_time"], gratings["stop_time"]) for u in times])
    blank = np.isnan(gratings["orientation"])
    by = [counts[:, gratings["orientation"] == d].mean(1) for d in np.arange(0, 360, 45)]
    best = np.max(by, 0)
    assert np.mean(best > 2 * np.median(by, 0)) > 0.5
    assert np.mean(best > counts[:, blank].mean(1)) > 0.9
    light = np.array([count(u, pulses, pulses + 0.05).sum() for u in times])
    dark = np.array([count(u, pulses - 0.1, pulses - 0.05).sum() for u in times])
    assert (light > 4 * (dark + 1)).sum() >= 3


# --- AllenSDK -------------------------------------------------------------------------------------

SDK = r"""
import json, sys, warnings
warnings.simplefilter("ignore")
from allensdk.brain_observatory.ecephys.ecephys_session import EcephysSession
found = {}
session = EcephysSession.from_nwb_path(sys.argv[2])
trials = session.get_stimulus_table("drifting_gratings").index.values
counts = session.presentationwise_spike_counts([0.0, 1.0, 2.0], trials, session.units.index.values)
found["units"] = len(session.units)
found["stimuli"] = sorted(session.stimulus_names)
found["counts"] = list(counts.shape)
found["spikes"] = int(counts.sum())
found["pupil"] = len(session.get_pupil_data())
found["gaze"] = len(session.get_screen_gaze_data())
found["light"] = len(session.optogenetic_stimulation_epochs)
found["running"] = len(session.running_speed)
try:
    from allensdk.core.brain_observatory_nwb_data_set import BrainObservatoryNwbDataSet
except ImportError:  # it needs scikit-image
    print(json.dumps(found))
    sys.exit()
data = BrainObservatoryNwbDataSet(sys.argv[1])
found["metadata"] = {k: str(v) for k, v in data.get_metadata().items()}
found["epochs"] = data.get_stimulus_epoch_table().values.tolist()
for name in ("dff", "fluorescence", "demixed", "neuropil", "corrected_fluorescence"):
    found[name] = list(getattr(data, f"get_{name}_traces")()[1].shape)
found["masks"] = list(data.get_roi_mask_array().shape)
found["speed"] = len(data.get_running_speed()[0])
found["pupil_2p"] = len(data.get_pupil_location()[0])
found["movie"] = list(data.get_stimulus_template("natural_movie_one").shape)
print(json.dumps(found))
"""


@pytest.mark.skipif(not PYTHON, reason="OPENALLEN_TEST_ALLENSDK names no python with AllenSDK")
def test_allensdk_reads_both_sessions():
    command = [PYTHON, "-c", SDK, str(BUCKET / TWO_PHOTON), str(BUCKET / SESSION)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["units"] == 38  # its filters leave out one unit of each probe
    assert found["stimuli"] == ["drifting_gratings", "flashes", "gabors", "spontaneous"]
    assert found["counts"] == [34, 2, 38]
    assert found["spikes"] > 5000
    assert (found["pupil"], found["gaze"], found["light"], found["running"]) == (1309, 1309, 20, 2610)  # fmt: skip
    if "metadata" not in found:
        pytest.skip("scikit-image is not in AllenSDK's environment: two-photon was not read")
    assert found["metadata"]["ophys_experiment_id"] == "900000001"
    assert found["metadata"]["session_type"] == "three_session_A"
    assert [row[0] for row in found["epochs"]] == [
        "drifting_gratings", "natural_movie_three", "drifting_gratings", "spontaneous",
        "natural_movie_one",
    ]  # fmt: skip
    for name in ("dff", "fluorescence", "demixed", "neuropil", "corrected_fluorescence"):
        assert found[name] == [20, 4000]
    assert found["masks"] == [20, 512, 512]
    assert (found["speed"], found["pupil_2p"], found["movie"]) == (4000, 2000, [80, 38, 76])


@pytest.mark.skipif(not PYTHON, reason="OPENALLEN_TEST_ALLENSDK names no python with AllenSDK")
def test_allensdk_lists_the_experiment_of_a_served_sample(tmp_path):
    code = (
        "import sys, json; from allensdk.api.queries.brain_observatory_api import "
        "BrainObservatoryApi as A; a = A(base_uri=sys.argv[1]);"
        "print(json.dumps([len(a.get_experiment_containers()), a.get_ophys_experiments()[0]['id'],"
        " len(list(a.get_cell_metrics()))]))"
    )
    with serving(archive_app("sample")) as url:
        command = [PYTHON, "-c", code, url]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path
        )
    if "skimage" in done.stderr:
        pytest.skip("scikit-image is not in AllenSDK's environment")
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == [1, 900000001, 20]
