"""The LFP file of a probe opens as what it is."""

from __future__ import annotations

import pickle
import shutil

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import file_handler

import openallen as oa
from openallen.errors import CorruptError, NotFoundError, ServiceError, UsageError
from openallen.formats.nwb import open_h5
from openallen.formats.png import inspect_png
from openallen.sessions import NwbTables, ProbeLfp, open_nwb, open_session

PROBE = 1054059289
SERIES = f"acquisition/probe_{PROBE}_lfp/probe_{PROBE}_lfp_data"


@pytest.fixture(scope="session")
def lfp_file(nwb):
    return nwb / "setA" / "probe_probeA_lfp_1053941483.nwb"


@pytest.fixture
def spoil_lfp(tmp_path, lfp_file):
    """Copy the file, change the copy, return its path."""

    def go(change, name: str = "probe_probeA_lfp.nwb"):
        path = tmp_path / name
        shutil.copy(lfp_file, path)
        path.chmod(0o644)
        with h5py.File(path, "r+") as file:
            change(file)
        return path

    return go


@pytest.mark.parametrize("generation", ["setA", "setA_core2.2.5"])
def test_it_is_the_lfp_of_a_probe_and_no_session(nwb, files, generation):
    path = nwb / generation / "probe_probeA_lfp_1053941483.nwb"
    with oa.open(path) as probe, oa.open(files["ecephys"]) as session:
        assert isinstance(probe, ProbeLfp)
        assert isinstance(open_nwb(path), ProbeLfp)
        assert (probe.probe_id, probe.probe_name) == (PROBE, "probeA")
        lfp = probe.lfp
        assert lfp.dims == ("time", "channel")
        assert lfp.attrs["units"] == "V"
        assert lfp["time"].attrs["units"] == "s"
        assert lfp.equals(session.get_lfp(PROBE))
        assert probe.csd is not None
        assert probe.csd.equals(session.get_current_source_density(PROBE))
        assert probe.csd.attrs["units"] == "V/cm²"
        assert probe.csd["vertical_position"].attrs["units"] == "µm"
        assert probe.channels.index.tolist() == lfp["channel"].to_numpy().tolist()
        assert probe.channels["structure_acronym"].tolist() == ["VISp", "CA1", "DG", "TH"]
        told = probe.metadata
        assert told["lfp_sampling_rate"] == pytest.approx(1250, abs=1)
        assert told["behavior_session_id"] == session.metadata["behavior_session_id"]
        assert told["ecephys_session_id"] == session.ecephys_session_id
        assert told["mouse_id"] == "527749"
        assert pickle.loads(pickle.dumps(probe)).probe_id == PROBE
        for text in (repr(probe), probe._repr_html_()):
            for word in ("ProbeLfp", "probeA", "6,000 samples x 4 channels", "1,250.0 Hz", "CA1"):
                assert word in text
        names = probe.list_data_attributes_and_methods()
        assert {"lfp", "csd", "channels", "metadata"} <= set(names)


def large(file: h5py.File) -> None:
    """Make the file's samples and times 48 MB, of values that are known."""
    for name, made in (("data", large_samples()), ("timestamps", np.arange(2_000_000) / 1250)):
        attributes = dict(file[f"{SERIES}/{name}"].attrs)
        del file[f"{SERIES}/{name}"]
        chunks = (20_000, 4) if name == "data" else None
        file.create_dataset(f"{SERIES}/{name}", data=made, chunks=chunks).attrs.update(attributes)


def large_samples() -> np.ndarray:
    return np.random.default_rng(1).random((2_000_000, 4), dtype="float32")


def test_only_the_samples_that_are_asked_for_are_read(loopback, spoil_lfp):
    server = loopback({"/probe_probeA_lfp.nwb": file_handler(spoil_lfp(large).read_bytes())})
    with oa.open(f"{server.url}/probe_probeA_lfp.nwb") as probe:
        assert isinstance(probe, ProbeLfp)
        part = probe.lfp.sel(time=slice(100, 110)).isel(channel=1)
        before = len(server.seen)
        assert np.array_equal(part.to_numpy(), large_samples()[125_000:137_501, 1])
        asked = sum(_span(request.headers.get("range", "")) for request in server.seen[before:])
        assert 12_500 * 4 * 4 <= asked < 2_000_000  # of 32 MB


def test_a_network_that_fails_is_not_taken_for_a_damaged_file(loopback, spoil_lfp, monkeypatch):
    monkeypatch.setenv("OPENALLEN_ATTEMPTS", "1")
    answer, broken = file_handler(spoil_lfp(large).read_bytes()), []

    def handler(request, reply) -> None:
        if broken:
            reply.cut()
        else:
            answer(request, reply)

    server = loopback({"/probe_probeA_lfp.nwb": handler})
    with oa.open(f"{server.url}/probe_probeA_lfp.nwb") as probe:
        lfp = probe.lfp
        broken.append(True)
        with pytest.raises(ServiceError):
            lfp[1_000_000:1_010_000].load()


def _span(header: str) -> int:
    first, _, last = header.removeprefix("bytes=").partition("-")
    return int(last) - int(first) + 1 if first and last else 0


def slices(size: int) -> st.SearchStrategy[slice]:
    """Any slice, but those that run backwards over nothing: xarray itself fails on these."""
    return st.slices(size).filter(lambda s: (s.step or 1) > 0 or len(range(size)[s]) > 0)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_slice_is_that_of_the_whole(lfp_file, data):
    with oa.open(lfp_file) as probe:
        whole = probe.tree.array(f"{SERIES}/data")
        rows = data.draw(
            st.one_of(
                slices(6000),
                st.integers(-6000, 5999),
                st.lists(st.integers(0, 5999), max_size=6),
            )
        )
        columns = data.draw(st.one_of(slices(4), st.lists(st.integers(-4, 3), max_size=5)))
        got = probe.lfp.isel(time=rows, channel=columns).to_numpy()
        want = whole[rows][..., columns]
        assert np.array_equal(got, want)


def test_samples_are_scaled_to_volts(spoil_lfp, lfp_file):
    def microvolts(file: h5py.File) -> None:
        data = file[f"{SERIES}/data"]
        data[...] = data[()] * 1e6
        data.attrs["conversion"] = 1e-6

    with oa.open(spoil_lfp(microvolts)) as scaled, oa.open(lfp_file) as plain:
        assert scaled.lfp.dtype == np.float32
        assert np.allclose(scaled.lfp, plain.lfp, rtol=1e-5)


def test_a_renamed_file_does_not_know_its_session(spoil_lfp):
    with oa.open(spoil_lfp(lambda file: None, "x.nwb")) as probe:
        assert probe.metadata["ecephys_session_id"] is None
        assert "ecephys session" not in repr(probe)


def test_its_picture(lfp_file, spoil_lfp):
    with oa.open(lfp_file) as probe:
        figure = probe.plot_overview()
        traces, csd = figure.axes[:2]
        names = [text.get_text() for text in traces.get_yticklabels()]
        heights = probe.channels["probe_vertical_position"]
        order = heights.sort_values(ascending=False).index
        assert names == probe.channels.loc[order, "structure_acronym"].tolist()
        assert csd.get_xlabel() == "time from flash (ms)"
        assert "probeA (1054059289) · ecephys session 1053941483" in figure.get_suptitle()
        assert inspect_png(figure._repr_png_())
        assert len(probe.plot_overview((28, 29), channels=2).axes[0].get_yticks()) == 2
        for window_s in ((1000, 1001), (29, 28)):
            with pytest.raises(UsageError, match="no samples"):
                probe.plot_overview(window_s)
    bare = spoil_lfp(lambda file: file.__delitem__("processing/current_source_density"))
    with oa.open(bare) as probe:
        assert len(probe.plot_overview().axes) == 1


def test_parts_that_are_missing(spoil_lfp):
    def bare(file: h5py.File) -> None:
        del file["processing/current_source_density"], file["general/metadata"]
        del file["general/extracellular_ephys/probeA"]

    with oa.open(spoil_lfp(bare)) as probe:
        assert probe.csd is None
        assert probe.probe_name is None
        assert probe.metadata["lfp_sampling_rate"] is None
        assert probe.metadata["mouse_id"] == "527749"
        assert probe.lfp.shape == (6000, 4)
        assert "unnamed" in repr(probe)


@pytest.mark.parametrize("part", ["timestamps", "electrodes"])
def test_parts_that_do_not_fit_are_named(spoil_lfp, part):
    def shorter(file: h5py.File) -> None:
        found = file[f"{SERIES}/{part}"][:-1]
        del file[f"{SERIES}/{part}"]
        file[f"{SERIES}/{part}"] = found

    with oa.open(spoil_lfp(shorter)) as probe, pytest.raises(CorruptError, match="differ"):
        assert probe.lfp is None


def test_channels_that_are_not_in_the_table_are_named(spoil_lfp):
    def beyond(file: h5py.File) -> None:
        file[f"{SERIES}/electrodes"][0] = 99

    with oa.open(spoil_lfp(beyond)) as probe, pytest.raises(CorruptError, match="4 of 4 channels"):
        assert probe.lfp is None


def test_what_was_sliced_before_it_was_closed_says_so(lfp_file):
    probe = oa.open(lfp_file)
    lfp = probe.lfp
    loaded = lfp[:10].load()
    probe.close()
    assert np.isfinite(loaded).all()
    with pytest.raises(UsageError, match="was closed"):
        lfp[10:20].to_numpy()


def test_a_session_is_not_looked_for_in_it(lfp_file):
    with pytest.raises(NotFoundError, match="LFP file of a probe") as caught:
        open_session(lfp_file)
    assert str(PROBE) in str(caught.value)
    with pytest.raises(UsageError, match="'exclude_invalid_rois' is not an option"):
        oa.open(lfp_file, exclude_invalid_rois=False)
    with pytest.raises(AttributeError, match="csd"):
        assert oa.open(lfp_file).csds is None


def test_lfp_of_another_lab_stays_a_file_of_tables_and_series(tmp_path):
    path = tmp_path / "probe_probeA_lfp.nwb"
    with h5py.File(path, "w") as file:
        file.attrs["nwb_version"] = "2.7.0"
        place = file.create_group("acquisition/LFP/ElectricalSeries")
        place["data"] = np.zeros((10, 2))
        place["timestamps"] = np.arange(10.0)
        file.create_group("acquisition/probe_5_lfp")  # of that name, with nothing in it
    opened = oa.open(path)
    assert type(opened) is NwbTables
    assert opened.series_names == ("ElectricalSeries",)
    with pytest.raises(NotFoundError, match="not the LFP file of a probe"):
        assert ProbeLfp(lambda: open_h5(path, "x"), "x").probe_id
