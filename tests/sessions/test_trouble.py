"""Files that are damaged, of another lab, or lack parts; and what is derived from good ones."""

from __future__ import annotations

import gc
import shutil
import warnings
import weakref
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

import openallen as oa
from openallen.errors import (
    CorruptError,
    IntegrityError,
    MissingExtraError,
    NotFoundError,
    RefusedError,
    UsageError,
)
from openallen.formats.png import inspect_png
from openallen.sessions import performance


@pytest.fixture
def spoil(tmp_path, files):
    """Copy a file, change the copy, open it."""
    made: list[oa.OpenAllenError] = []

    def go(kind: str, change, **options):
        path = tmp_path / f"{kind}{len(made)}.nwb"
        shutil.copy(files[kind], path)
        path.chmod(0o644)
        with h5py.File(path, "r+") as file:
            change(file)
        made.append(oa.open(path, **options))
        return made[-1]

    yield go
    for session in made:
        session.close()


def without(*paths: str):
    def change(file: h5py.File) -> None:
        for path in paths:
            if path in file:
                del file[path]

    return change


# --- damaged and foreign --------------------------------------------------------------------------


def test_a_file_cut_short_is_named(tmp_path, files):
    for share in (0.1, 0.5, 0.99):
        path = tmp_path / "cut.nwb"
        whole = files["ophys"].read_bytes()
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(IntegrityError) as caught:
            oa.open(path)
        assert str(path) in str(caught.value)
        assert caught.value.exit_code == 7


@pytest.mark.parametrize("body", [b"", b"<html>sorry</html>", b"\x89HDF\r\n\x1a\n" + b"\0" * 999])
def test_what_is_no_hdf5_is_named(tmp_path, body):
    path = tmp_path / "x.nwb"
    path.write_bytes(body)
    with pytest.raises(IntegrityError):
        oa.open(path)


def test_an_nwb_of_another_lab_says_what_is_missing(tmp_path):
    path = tmp_path / "other.nwb"
    with h5py.File(path, "w") as file:
        file.create_group("acquisition/TwoPhotonSeries")
        file.create_group("general/subject")
    with pytest.raises(NotFoundError, match="not a Visual Behavior session") as caught:
        oa.open(path)
    assert "acquisition, general" in str(caught.value)
    with pytest.raises(NotFoundError, match="no such file"):
        oa.open(tmp_path / "none.nwb")


def test_a_rotten_dataset_spoils_its_own_attribute_only(tmp_path, files):
    path = tmp_path / "rotten.nwb"
    data = bytearray(files["ophys"].read_bytes())
    with h5py.File(files["ophys"]) as file:
        dataset = file["processing/ophys/event_detection/data"]
        first = dataset.id.get_chunk_info(0)
    data[first.byte_offset : first.byte_offset + first.size] = b"\xff" * first.size
    path.write_bytes(bytes(data))
    with oa.open(path) as session:
        with pytest.raises(CorruptError):
            assert session.events is None
        assert len(session.dff_traces) == 8
        assert len(session.trials) > 0


# --- parts that are not there -------------------------------------------------------------------


def test_no_eye_tracking_no_licks_no_rewards(spoil):
    session = spoil(
        "ophys",
        without(
            "acquisition/EyeTracking",
            "processing/licking",
            "processing/rewards",
            "processing/eye_tracking_rig_metadata",
        ),
    )
    assert list(session.eye_tracking.columns)[:5] == [
        "timestamps",
        "cr_area",
        "eye_area",
        "pupil_area",
        "likely_blink",
    ]
    assert len(session.eye_tracking) == 0
    assert session.eye_tracking.index.name == "frame"
    assert session.eye_tracking_rig_geometry == {}
    assert list(session.licks.columns) == ["timestamps", "frame"]
    assert list(session.rewards.columns) == ["volume", "timestamps", "auto_rewarded"]
    assert session.get_performance_metrics()["total_reward_count"] == 0
    assert session.plot_overview() is not None


@pytest.mark.parametrize(
    ("attribute", "path"),
    [
        ("running_speed", "processing/running"),
        ("trials", "intervals/trials"),
        ("stimulus_timestamps", "processing/stimulus"),
        ("task_parameters", "general/task_parameters"),
        ("max_projection", "processing/ophys/images"),
        ("cell_specimen_table", "processing/ophys/image_segmentation"),
    ],
)
def test_what_is_missing_says_so_and_the_rest_works(spoil, attribute, path):
    session = spoil("ophys", without(path))
    with pytest.raises(
        NotFoundError, match=r"not in this file|no traces|no cells|this session has no"
    ) as caught:
        getattr(session, attribute)
    assert path.split("/")[-1] in str(caught.value)
    assert session.ophys_experiment_id == 957759562
    assert len(session.licks) > 0
    assert repr(session)


def test_traces_that_were_not_published_are_none(spoil):
    session = spoil(
        "ophys",
        without(
            "processing/ophys/demixed_trace",
            "processing/ophys/event_detection",
            "processing/ophys/corrected_fluorescence/r",
            "processing/ophys/corrected_fluorescence/RMSE",
        ),
    )
    assert session.demixed_traces is None
    assert session.events is None
    assert list(session.corrected_fluorescence_traces) == ["cell_roi_id", "corrected_fluorescence"]
    with pytest.raises(NotFoundError, match="no demixed traces"):
        session.trace_array("demixed")


CELLS = "processing/ophys/image_segmentation/cell_specimen_table"


def test_invalid_unmatched_and_no_cells(spoil):
    def some_invalid(file: h5py.File) -> None:
        file[f"{CELLS}/valid_roi"][2] = False
        file[f"{CELLS}/cell_specimen_id"][4] = -1

    session = spoil("ophys", some_invalid)
    assert len(session.cell_specimen_table) == len(session.dff_traces) == 7
    assert session.cell_specimen_table.index.dtype == "float64"
    assert session.cell_specimen_table.index.isna().sum() == 1
    assert session.traces.shape[0] == 7
    assert len(session.events) <= 7
    everything = spoil("ophys", some_invalid, exclude_invalid_rois=False)
    assert len(everything.dff_traces) == 8

    def none_matched(file: h5py.File) -> None:
        file[f"{CELLS}/cell_specimen_id"][:] = -1

    session = spoil("ophys", none_matched)
    assert session.cell_specimen_table.index.dtype == object
    with pytest.raises(ValueError, match="no cell has an id"):
        session.get_cell_specimen_ids()

    def none_valid(file: h5py.File) -> None:
        file[f"{CELLS}/valid_roi"][:] = False

    session = spoil("ophys", none_valid)
    assert session.traces.shape[0] == 0
    with pytest.raises(NotFoundError, match="no cells"):
        assert session.segmentation_mask_image
    assert session.max_projection.data.shape == (64, 64)


def test_traces_that_do_not_fit_the_cells_are_not_guessed_at(spoil):
    def one_more(file: h5py.File) -> None:
        place = "processing/ophys/dff/traces/data"
        data = file[place][()]
        del file[place]
        file[place] = np.hstack([data, data[:, :1]])

    with pytest.raises(CorruptError, match="9 traces, 8 cells"):
        assert spoil("ophys", one_more).dff_traces is None


def test_gaps_in_events_and_fits(spoil):
    def gaps(file: h5py.File) -> None:
        file["processing/ophys/event_detection/noise_stds"][0] = np.nan
        file["processing/ophys/corrected_fluorescence/r/data"][1] = np.nan

    session = spoil("ophys", gaps)
    with pytest.warns(UserWarning, match="1 cells of"):
        assert len(session.events) == 7
    assert np.isnan(session.corrected_fluorescence_traces["r"].iloc[1])


def test_a_session_without_a_lick_and_one_with_a_lick_a_trial(spoil):
    def none(file: h5py.File) -> None:
        group = file["intervals/trials"]
        count = len(group["id"])
        del group["lick_times"], group["lick_times_index"]
        group["lick_times"] = np.array([""], dtype=object)
        group["lick_times_index"] = np.zeros(count, dtype="uint8")
        group["reward_volume"][:] = 0

    session = spoil("behavior", none)
    assert all(len(licks) == 0 for licks in session.trials["lick_times"])
    assert performance.is_passive(session.trials)
    rolling = session.get_rolling_performance_df()
    assert set(rolling["rolling_dprime"].dropna()) <= {0.0}

    def one_each(file: h5py.File) -> None:
        group = file["intervals/trials"]
        starts = group["start_time"][()]
        del group["lick_times"], group["lick_times_index"]
        group["lick_times"] = starts + 1

    session = spoil("behavior", one_each)
    assert [len(licks) for licks in session.trials["lick_times"]] == [1] * len(session.trials)
    assert len(session.get_reward_rate()) == len(session.trials)


def test_a_running_wheel_mounted_the_wrong_way_round(spoil):
    def turned(file: h5py.File) -> None:
        file["processing/running/speed/data"][:] = -20.0

    assert (spoil("behavior", turned).running_speed["speed"] == 20).all()


def test_words_the_task_does_not_know(spoil):
    def other(file: h5py.File) -> None:
        file["general/task_parameters"].attrs["task"] = "maze"

    session = spoil("behavior", other)
    with pytest.raises(CorruptError, match="unknown task"):
        assert session.task_parameters
    assert session.metadata["behavior_session_id"]


def test_first_releases_have_a_depth_all_the_same(spoil):
    def old(file: h5py.File) -> None:
        told = file["general/metadata"].attrs
        told["experiment_container_id"] = told["ophys_container_id"]
        del told["ophys_container_id"], told["targeted_imaging_depth"], told["project_code"]

    ours = spoil("ophys", old).metadata
    theirs = spoil("ophys", old, allensdk_compatible=True).metadata
    assert (ours["imaging_depth"], theirs["imaging_depth"]) == (150, None)
    assert ours["ophys_container_id"] is not None
    assert ours["project_code"] == "Not Available"


# --- derived --------------------------------------------------------------------------------------


def test_older_files_get_what_newer_ones_store(spoil, files):
    columns = ("active", "trials_id", "is_sham_change")

    def old(file: h5py.File) -> None:
        for name in list(file["intervals"]):
            if name.endswith("_presentations"):
                group = file[f"intervals/{name}"]
                gone = [c for c in columns if c in group]
                for column in gone:
                    del group[column]
                kept = [c for c in group.attrs["colnames"] if c not in gone]
                group.attrs["colnames"] = np.array(kept, dtype=object)

    for kind in ("behavior", "ophys", "ecephys"):
        with oa.open(files[kind]) as whole:
            want = whole.stimulus_presentations
        got = spoil(kind, old).stimulus_presentations
        for name in columns:
            assert got[name].astype("int64").equals(want[name].astype("int64")), (kind, name)


@given(
    st.lists(st.floats(0.5, 12), min_size=1, max_size=120),
    st.integers(0, 2**32 - 1),
)
def test_reward_rate_is_what_its_definition_says(lengths, seed):
    random = np.random.default_rng(seed)
    starts = np.concatenate([[0.0], np.cumsum(lengths)[:-1]])
    change = np.where(random.random(len(starts)) < 0.6, starts + 0.2, np.nan)
    licks = [np.sort(s + random.random(random.integers(0, 4)) * 2) for s in starts]
    trials = pd.DataFrame({"start_time": starts, "change_time": change, "lick_times": licks})
    got = performance.reward_rate(trials, 0.15)
    for at in range(len(starts)):
        if at < 10:
            assert np.isnan(got[at])
            continue
        inside = range(max(0, at - 25), min(at + 25, len(starts)))
        hits = 0
        for i in inside:
            timely = [lick - change[i] for lick in licks[i] if lick - change[i] > 0.15]
            hits += bool(timely and timely[0] < 0.75)
        span = starts[inside[-1]] - starts[inside[0]]
        assert got[at] == pytest.approx(hits / span * 60)


def test_signals_are_cut_around_events(files):
    with oa.open(files["ophys"]) as session:
        events = session.trials["change_time"].dropna().iloc[:5]
        cut = session.align(events, (-1, 2), of="dff")
        assert cut.dims == ("cell_specimen_id", "event", "time")
        assert cut.shape[:2] == (8, 5)
        assert 0.0 in cut["time"].to_numpy()
        times, trace = session.ophys_timestamps, session.traces.to_numpy()[3]
        at = float(events.iloc[2])
        assert cut.sel(time=0.0).to_numpy()[3, 2] == pytest.approx(np.interp(at, times, trace))
        licks = session.licks["timestamps"].to_numpy()
        counts = session.align(events, (0, 2), of="licks")
        want = [int(((licks >= e) & (licks < e + 2)).sum()) for e in events]
        assert counts.sum("time").to_numpy().tolist() == want
        assert np.isnan(session.align([1e9], of="running_speed")).all()
        with pytest.raises(UsageError, match="cannot be aligned"):
            session.align(events, of="smell")
        with pytest.raises(UsageError, match="window"):
            session.align(events, (1, 0))


def test_spikes_are_rates_around_events(files):
    with oa.open(files["ecephys"]) as session:
        changes = session.trials["change_time_no_display_delay"].dropna().iloc[:4]
        cut = session.align(changes, (-0.5, 1.0))
        assert cut.dims == ("unit_id", "event", "time")
        assert cut.attrs == {"units": "spikes/s", "bin_s": 0.01}
        assert cut.sizes["time"] == 150
        unit = int(cut["unit_id"][3])
        times = session.spike_times[unit]
        wide = session.align(changes, (-0.5, 1.0), bin_s=0.25)
        counts = session.align(changes, (-0.5, 1.0), bin_s=0.25, rate=False)
        assert wide["time"].to_numpy().tolist() == [-0.375, -0.125, 0.125, 0.375, 0.625, 0.875]
        assert counts.attrs == {"units": "spikes per bin", "bin_s": 0.25}
        for number, event in enumerate(changes):
            want = int(((times >= event - 0.5) & (times < event + 1.0)).sum())
            assert float(cut.sel(unit_id=unit)[number].sum()) * 0.01 == pytest.approx(want)
            assert float(wide.sel(unit_id=unit)[number].sum()) * 0.25 == pytest.approx(want)
            assert int(counts.sel(unit_id=unit)[number].sum()) == want
    with oa.open(files["behavior"]) as session:
        assert session.align([60.0]).name == "running_speed"


def test_bins_are_whole_and_within_the_window(files):
    with oa.open(files["ophys"]) as session:
        licks = session.align([400.0], (0, 1), of="licks", bin_s=0.3)
        assert licks.sizes["time"] == 3  # the last 0.1 s hold no whole bin
        assert licks.attrs == {"units": "licks per bin", "bin_s": 0.3}
        rates = session.align([400.0], (0, 1), of="licks", bin_s=0.3, rate=True)
        assert rates.attrs["units"] == "licks/s"
        assert np.allclose(rates * 0.3, licks)
        for bin_s in (0, -1, float("nan"), float("inf"), 1.5, 1e-9):
            with pytest.raises(UsageError, match="do not fit the window"):
                session.align([400.0], (0, 1), of="licks", bin_s=bin_s)
        for options in ({"bin_s": 0.1}, {"rate": True}):
            with pytest.raises(UsageError, match="for spikes and licks only"):
                session.align([400.0], (0, 1), of="dff", **options)


@pytest.mark.parametrize(
    ("kind", "of", "units"),
    [
        ("ophys", "dff", "ΔF/F"),
        ("ophys", "neuropil", "fluorescence"),
        ("ophys", "running_speed", "cm/s"),
        ("ophys", "pupil_area", "px²"),
        ("ophys", "pupil_width", "px"),
        ("behavior", "raw_running_speed", "cm/s"),
        ("behavior", "licks", "licks per bin"),
        ("ecephys", "spikes", "spikes/s"),
    ],
)
def test_what_is_aligned_carries_its_units(files, kind, of, units):
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    mpl.use("agg")
    with oa.open(files[kind]) as session:
        cut = session.align([60.0, 70.0], (-1, 1), of=of)
    assert cut.attrs["units"] == units
    assert cut["time"].attrs["units"] == cut["event_time"].attrs["units"] == "s"
    one = cut.mean("event", keep_attrs=True)
    one = one[0] if one.ndim > 1 else one
    (line,) = one.plot()
    assert line.axes.get_xlabel() == "time [s]"
    assert line.axes.get_ylabel() == f"{of} [{units}]"
    plt.close("all")


def test_traces_carry_their_units(files):
    with oa.open(files["ophys"]) as session:
        for kind, units in (("dff", "ΔF/F"), ("demixed", "fluorescence"), ("events", "ΔF/F")):
            traces = session.trace_array(kind)
            assert traces.attrs["units"] == units
            assert traces["time"].attrs["units"] == "s"


def test_a_session_that_is_let_go_frees_what_it_read(files):
    session = oa.open(files["ophys"])
    assert session.traces.size > 0
    gone = weakref.ref(session)
    session.close()
    del session
    gc.collect()
    assert gone() is None


def test_a_closed_session_says_so(files):
    session = oa.open(files["ophys"])
    assert len(session.trials) > 0
    session.close()
    for name in ("dff_traces", "licks", "rewards", "stimulus_presentations", "running_speed"):
        with pytest.raises(UsageError, match="was closed"):
            getattr(session, name)
    assert len(session.trials) > 0  # what was read stays


def test_events_outside_the_recording_have_no_counts(files):
    with oa.open(files["ophys"]) as session:
        cut = session.align([0.0, np.nan, 400.0], (-1, 3), of="licks")
        assert np.isnan(cut[:2]).all()
        assert not np.isnan(cut[2]).any()


def test_lfp_that_is_not_here_is_not_none(files, tmp_path):
    alone = tmp_path / "deep" / "session.nwb"
    alone.parent.mkdir()
    shutil.copy(files["ecephys"], alone)
    shutil.copy(files["ecephys"].with_name("probe_probeA_lfp_1053941483.nwb"), tmp_path)
    with oa.open(alone) as session:
        with pytest.raises(NotFoundError, match="LFP file of probe probeA is not here"):
            session.get_lfp(1054059289)
        with pytest.raises(NotFoundError, match="no probe 5"):
            session.get_lfp(5)
        assert session.get_lfp(1054059291) is None  # has none
    shutil.copy(
        tmp_path / "probe_probeA_lfp_1053941483.nwb", alone.with_name("probe_probeA_lfp.nwb")
    )
    with oa.open(alone) as session:
        assert session.get_lfp(1054059289).dims == ("time", "channel")


def test_wrong_ids_and_options_are_named(files, tmp_path):
    with oa.open(files["ophys"]) as session:
        for ask in (
            lambda: session.get_dff_traces([1, 2]),
            lambda: session.get_cell_specimen_indices([5]),
            lambda: session.plot_raster(units=[1]),
        ):
            with pytest.raises(NotFoundError, match=r"no cell|no unit|no traces"):
                ask()
    with pytest.raises(UsageError, match="no such option 'exclude_invalid'") as caught:
        oa.open(files["ophys"], exclude_invalid=True)
    assert "exclude_invalid_rois" in str(caught.value)
    (tmp_path / "x.md").write_text("words")
    with pytest.raises(UsageError, match=r"'\.md' files cannot be opened"):
        oa.open(tmp_path / "x.md")


def test_notebooks_see_the_projection(files):
    import base64
    import re

    with oa.open(files["ophys"]) as session:
        page = session._repr_html_()
        picture = re.search(r"data:image/png;base64,([A-Za-z0-9+/=]+)", page)
        assert picture is not None
        assert inspect_png(base64.b64decode(picture[1])) == (64, 64)
        for word in ("VISp", "150 µm", "Sst-IRES-Cre", "3 min 27 s"):
            assert word in page


def test_pynwb_and_h5py_objects(files):
    with oa.open(files["ophys"]) as session:
        assert session.h5()["identifier"].asstr()[()] == "957759562"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert session.nwb().identifier == "957759562"


def test_without_h5py_the_extra_is_named(files, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtraError, match="nwb"):
        oa.open(files["ophys"])


# --- the same tables in Zarr --------------------------------------------------------------------


def to_zarr(source: Path, target: Path) -> None:
    """Write a file as hdmf-zarr does: Zarr version 2, links as attributes, scalars as one item."""
    root = zarr.open_group(target, mode="w", zarr_format=2)
    root.attrs["neurodata_type"] = "NWBFile"
    root.attrs["nwb_version"] = "2.6.0"
    with h5py.File(source) as file:

        def attributes(item) -> dict:
            plain = {k: v for k, v in item.attrs.items() if not isinstance(v, h5py.Reference)}
            return {
                k: v.tolist() if isinstance(v, (np.ndarray, np.generic)) else v
                for k, v in plain.items()
            }

        def add(name: str, item) -> None:
            if isinstance(item, h5py.Group):
                root.require_group(name).attrs.update(attributes(item))
                return
            if h5py.check_string_dtype(item.dtype) is not None:
                data = np.asarray(item.asstr()[()], dtype=str)
            elif item.dtype.hasobject:
                return
            else:
                data = np.asarray(item[()])
            made = root.create_array(name, data=np.atleast_1d(data))
            made.attrs.update(attributes(item))

        def link(name: str, target) -> None:
            if isinstance(target, h5py.SoftLink):
                folder, _, last = name.rpartition("/")
                group = root[folder]
                told = {"name": last, "source": ".", "path": target.path}
                group.attrs["zarr_link"] = [*group.attrs.get("zarr_link", []), told]

        # Not inside a visit: h5py holds its lock there, and Zarr works in a thread of its own.
        items: list[tuple[str, object]] = []
        links: list[tuple[str, object]] = []
        file.visititems(lambda name, item: items.append((name, item)))
        file.visititems_links(lambda name, target: links.append((name, target)))
        for name, item in items:
            add(name, item)
        for name, linked in links:
            link(name, linked)


def test_nwb_in_zarr_opens_as_the_same_session(files, tmp_path):
    target = tmp_path / "session.nwb.zarr"
    to_zarr(files["ophys"], target)
    with oa.open(files["ophys"]) as one, oa.open(target) as other:
        assert type(one) is type(other)
        assert one.metadata == other.metadata
        for name in ("trials", "licks", "running_speed", "dff_traces", "cell_specimen_table"):
            a, b = getattr(one, name), getattr(other, name)
            assert list(a.columns) == list(b.columns), name
            assert len(a) == len(b)
        assert np.array_equal(one.traces, other.traces)
        assert one.stimulus_presentations.equals(other.stimulus_presentations)
        assert one.eye_tracking.equals(other.eye_tracking)
        with pytest.raises(RefusedError, match="not HDF5"):
            other.h5()


def test_a_session_closed_before_it_was_used_lets_go_of_its_file(tmp_path):
    path = tmp_path / "general.nwb"
    with h5py.File(path, "w") as file:
        file.attrs["nwb_version"] = "2.7.0"
        file["session_start_time"] = "2026-01-01T00:00:00Z"
    session = oa.open(path)
    session.close()
    with h5py.File(path, "r+") as file:  # HDF5 refuses what another handle has open for reading
        file["identifier"] = "changed"
    del session
