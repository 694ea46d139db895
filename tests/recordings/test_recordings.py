"""Recordings as SpikeInterface wrote them, opened without it; and what is wrong with some."""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest
from farstores import unpacked

import openallen as oa
from openallen.errors import (
    CorruptError,
    IntegrityError,
    MissingExtraError,
    NotFoundError,
    OpenAllenError,
    TruncatedError,
    UsageError,
)
from openallen.formats import wavpack, wavpack_library
from openallen.sources.recordings import Recording, Spikes, open_recording
from openallen.sources.recordings.channels import locations_um

DATA = Path(__file__).parents[1] / "data"
needs_wavpack = pytest.mark.skipif(not wavpack.available(), reason="the system has no libwavpack")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return unpacked(DATA / "ephys" / "recordings.tar.xz", tmp_path_factory.mktemp("recordings"))


@pytest.fixture(scope="module")
def traces(made) -> np.ndarray:
    return np.load(made / "now" / "traces.npy")


@pytest.mark.parametrize(
    "place",
    ["old/binary", "now/binary", "now/blosc.zarr", "now/zstd.zarr", pytest.param("now/wavpack.zarr", marks=needs_wavpack)],
)  # fmt: skip
def test_the_same_samples_from_every_form(made, traces, place):
    found = open_recording(made / place)
    whole = found.lazy(scaled=False)
    assert (whole.dims, whole.shape, whole.dtype) == (
        ("sample", "channel"),
        traces.shape,
        traces.dtype,
    )
    assert np.array_equal(whole[100:200:7, [5, 2]], traces[100:200:7, [5, 2]])
    assert int(whole[17, 3]) == traces[17, 3]
    assert np.array_equal(whole.sel(channel="4")[-5:], traces[-5:, 4])
    assert np.allclose(found.lazy()[:50], traces[:50] * 0.195, atol=1e-3)
    assert np.array_equal(found.traces(scaled=False), traces)
    assert found.durations_s == (0.2,)
    assert found.sampling_frequency_hz == 30_000
    assert found.channel_ids == tuple(map(str, range(8)))
    assert found.locations_um.tolist()[:3] == [[0.0, 0.0], [32.0, 0.0], [0.0, 15.0]]
    part = found.traces(0.05, 0.1, channels=[3, "5"])
    assert (part.dims, part.shape) == (("time", "channel"), (1500, 2))
    assert part.attrs["units"] == "µV"
    assert np.allclose(part, traces[1500:3000][:, [3, 5]] * 0.195, atol=1e-3)
    assert part["time"][0] == 0.05
    assert part["y_um"].to_numpy().tolist() == [15.0, 30.0]
    assert oa.open(made / place).durations_s == (0.2,)
    assert "0.195 µV" in repr(found)


@needs_wavpack
def test_lossy_wavpack_is_decoded_as_its_own_package_does(made):
    found = open_recording(made / "now" / "hybrid.zarr").traces(scaled=False)
    assert np.array_equal(found, np.load(made / "now" / "hybrid.npy"))


def test_flac_where_its_package_is(made, traces):
    found = open_recording(made / "now" / "flac.zarr")
    try:
        import flac_numcodecs  # noqa: F401
    except ImportError:
        with pytest.raises(MissingExtraError, match="flac-numcodecs"):
            found.traces()
    else:
        assert np.array_equal(found.traces(scaled=False), traces)


@needs_wavpack
def test_wavpack_that_is_damaged(made, tmp_path):
    chunk = (made / "now" / "wavpack.zarr" / "traces_seg0" / "0.0").read_bytes()
    assert wavpack.decode(chunk).shape == (3000, 8)
    with pytest.raises(CorruptError, match="not WavPack data"):
        wavpack.decode(b"<html>no</html>")
    with pytest.raises(IntegrityError):
        wavpack.decode(chunk[: len(chunk) // 2])
    spoilt = bytearray(chunk)
    spoilt[len(spoilt) // 2] ^= 255
    with pytest.raises(IntegrityError):
        wavpack.decode(bytes(spoilt))
    folder = tmp_path / "w.zarr"
    shutil.copytree(made / "now" / "wavpack.zarr", folder)
    (folder / "traces_seg0" / "0.0").write_bytes(bytes(spoilt))
    with pytest.raises(IntegrityError):
        open_recording(folder).traces()


def test_without_the_library_it_is_said_how_to_get_it(made, monkeypatch):
    from numcodecs.registry import codec_registry

    monkeypatch.delitem(codec_registry, "wavpack", raising=False)
    monkeypatch.setattr(wavpack_library, "library", lambda: None)
    monkeypatch.setitem(sys.modules, "wavpack_numcodecs", None)
    found = open_recording(made / "now" / "wavpack.zarr")
    assert found.durations_s == (0.2,)  # what needs no codec is there all the same
    with pytest.raises(MissingExtraError, match="libwavpack1"):
        found.traces()
    with pytest.raises(MissingExtraError, match="apt install"):
        wavpack.decode(b"wvpk")


def test_binary_folders_that_are_wrong(made, tmp_path):
    def spoilt(name: str, change) -> Path:
        folder = tmp_path / name
        shutil.copytree(made / "now" / "binary", folder)
        change(folder)
        return folder

    def rewrite(folder: Path, **more) -> None:
        told = json.loads((folder / "binary.json").read_text())
        told["kwargs"] |= more
        (folder / "binary.json").write_text(json.dumps(told))

    raw = "traces_cached_seg0.raw"
    short = spoilt("short", lambda f: (f / raw).write_bytes((f / raw).read_bytes()[:-3]))
    with pytest.raises(TruncatedError, match="truncated"):
        open_recording(short)
    with pytest.raises(NotFoundError, match="traces file missing"):
        open_recording(spoilt("gone", lambda f: (f / raw).unlink()))
    with pytest.raises(IntegrityError, match="unsafe"):
        open_recording(spoilt("hostile", lambda f: rewrite(f, file_paths=["../../etc/passwd"])))
    with pytest.raises(CorruptError, match="incomplete description"):
        open_recording(spoilt("typeless", lambda f: rewrite(f, dtype="nonsense")))
    with pytest.raises(CorruptError, match="invalid description"):
        open_recording(spoilt("none", lambda f: rewrite(f, num_channels=0)))
    with pytest.raises(CorruptError, match="gain_to_uV"):
        open_recording(spoilt("gains", lambda f: np.save(f / "properties" / "gain_to_uV.npy", np.ones(3))))  # fmt: skip
    with pytest.raises(CorruptError, match="not valid JSON"):
        open_recording(spoilt("json", lambda f: (f / "binary.json").write_text("{")))
    with pytest.raises(NotFoundError, match="not a recording"):
        open_recording(tmp_path)


_STRANGE = [
    None, [], {}, "", "x", -1, 0, 1e400, float("nan"), 10**30, True, [1], {"a": 1}, 2.5, [None], ["a"], [[1]],
]  # fmt: skip


def _places(told, at=()):
    yield at
    for key in (
        told if isinstance(told, dict) else range(len(told)) if isinstance(told, list) else ()
    ):
        yield from _places(told[key], (*at, key))


@pytest.mark.parametrize("name", ["binary.json", "si_folder.json", "probegroup.json"])
def test_a_description_is_read_or_refused_whatever_it_holds(made, tmp_path, name):
    folder = tmp_path / "r"
    shutil.copytree(made / "now" / "binary", folder)
    told = json.loads((folder / name).read_text()) if (folder / name).exists() else {}
    if name == "binary.json":
        told["times_kwargs"] = [{"t_start": 1.0, "time_vector": None, "sampling_frequency": None}]
        told["kwargs"] |= {"t_starts": [0.0], "gain_to_uV": [1.0] * 8, "offset_to_uV": [0.0] * 8}
    places = [
        at
        for at in _places(told)
        if at and len(at) < 5 and all(n in {0, 1} or isinstance(n, str) for n in at)
    ]
    (folder / name).write_text(json.dumps(told))
    assert open_recording(folder).channel_ids
    for at in places:
        for value in _STRANGE:
            changed = json.loads(json.dumps(told))
            inside = changed
            for key in at[:-1]:
                inside = inside[key]
            inside[at[-1]] = value
            (folder / name).write_text(json.dumps(changed))
            with suppress(OpenAllenError):
                repr(open_recording(folder))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"time_axis": -1}, "no whole number"),
        ({"time_axis": 2}, "no whole number"),
        ({"num_channels": 7.9}, "no whole number"),
        ({"file_offset": -16}, "no whole number"),
        ({"channel_ids": "abcdefgh"}, "no list"),
        ({"file_paths": []}, "no segments"),
        ({"dtype": "9" * 5000}, "incomplete description"),
        ({"file_paths": ""}, "no segments"),
    ],
)
def test_a_description_that_would_give_other_samples_is_refused(made, tmp_path, given, why):
    shutil.copytree(made / "now" / "binary", tmp_path / "r")
    place = tmp_path / "r" / "binary.json"
    told = json.loads(place.read_text())
    told["kwargs"] |= given
    place.write_text(json.dumps(told))
    with pytest.raises(CorruptError, match=why):
        open_recording(tmp_path / "r")


@pytest.mark.parametrize("kind", ["9" * 5000, "(", [None], [["a"]], {"a": 1}, "|V0", 5])
@pytest.mark.parametrize("array", ["channel_ids", "traces_seg0", "properties/gain_to_uV"])
def test_types_of_zarr_that_are_none_are_refused(made, tmp_path, kind, array):
    shutil.copytree(made / "now" / "blosc.zarr", tmp_path / "r.zarr")
    place = tmp_path / "r.zarr" / array / ".zarray"
    place.write_text(json.dumps({**json.loads(place.read_text()), "dtype": kind}))
    with suppress(OpenAllenError):
        repr(open_recording(tmp_path / "r.zarr"))
        open_recording(tmp_path / "r.zarr").traces()


@pytest.mark.parametrize(("unit", "factor"), [("um", 1), ("mm", 1000), ("m", 1e6), (None, 1)])
def test_places_of_channels_are_micrometres_whatever_unit_the_probe_has(unit, factor):
    probe = {"contact_positions": [[1.0, 2.0], [3.0, 4.5]], "si_units": unit}
    found = locations_um({"probes": [probe]}, 2)
    assert np.allclose(found, np.array([[1.0, 2.0], [3.0, 4.5]]) * factor)


def test_places_in_a_unit_nobody_knows_are_unknown():
    probe = {"contact_positions": [[1.0, 2.0]], "si_units": "furlong"}
    assert locations_um({"probes": [probe]}, 1) is None


def test_parts_there_are_not(made):
    found = open_recording(made / "now" / "binary")
    for call in (lambda: found.traces(1.0), lambda: found.traces(0.1, 0.1), lambda: found.traces(segment=1), lambda: found.traces(channels=["AP9"])):  # fmt: skip
        with pytest.raises(UsageError):
            call()
    with pytest.raises(MissingExtraError, match="spikeinterface"):
        found.to_spikeinterface()


def test_simulated_recordings_of_mearec(tmp_path):
    path = tmp_path / "mearec_NP1.h5"
    values = np.random.default_rng(2).integers(-500, 500, (3000, 4)).astype("int16")
    with h5py.File(path, "w") as file:
        traces = file.create_dataset("recordings", data=values)
        traces.attrs["gain_to_uV"] = 0.195
        file["timestamps"] = np.arange(3000) / 32000
        file["channel_positions"] = np.array([[0, x, y] for x in (0, 20) for y in (0, 20)])
        file.create_group("info/recordings")["fs"] = 32000.0
        for unit in range(3):
            file[f"spiketrains/{unit}/times"] = np.array([0.01, 0.02 + unit])
    found = open_recording(path)
    assert np.array_equal(found.traces(scaled=False), values)
    assert np.allclose(found.traces(), values * 0.195, atol=1e-3)
    assert found.locations_um.tolist() == [[0, 0], [0, 20], [20, 0], [20, 20]]
    assert found.spikes.times_s["2"].tolist() == [0.01, 2.02]
    (tmp_path / "x.h5").write_bytes(b"no HDF5")
    with pytest.raises(CorruptError, match="MEArec"):
        open_recording(tmp_path / "x.h5")


def test_a_chunk_that_is_missing_is_no_silence(made, tmp_path, traces):
    folder = tmp_path / "r.zarr"
    shutil.copytree(made / "now" / "blosc.zarr", folder)
    (folder / "traces_seg0" / "1.0").unlink()
    found = open_recording(folder)
    assert np.array_equal(found.traces(0, 0.1, scaled=False), traces[:3000])
    with pytest.raises(TruncatedError, match=r"chunk .* missing.*1\.0"):
        found.traces(0, 0.11)
    (folder / "traces_seg0" / "0.0").write_bytes(b"\2\1\xff\2spoilt")
    with pytest.raises(IntegrityError, match="damaged"):
        found.traces(0, 0.1)


def test_a_codec_nobody_knows_is_named(made, tmp_path):
    folder = tmp_path / "r.zarr"
    shutil.copytree(made / "now" / "blosc.zarr", folder)
    told = json.loads((folder / "traces_seg0" / ".zarray").read_text())
    told["compressor"] = {"id": "brainzip", "level": 3}
    (folder / "traces_seg0" / ".zarray").write_text(json.dumps(told))
    with pytest.raises(CorruptError, match="'brainzip'"):
        open_recording(folder).traces()


@pytest.mark.parametrize("place", ["old/binary", "now/binary", "now/blosc.zarr"])
def test_a_recording_shows_itself_in_the_words_of_spikeinterface(made, place):
    found = open_recording(made / place)
    title, *facts = repr(found).splitlines()
    assert title == (
        "Recording: 8 channels - 30 kHz - 1 segment - 6,000 samples - 0.20 s - int16 dtype - 96.0 kB"
    )
    text = "\n".join(facts)
    assert "channel locations known (x 0 to 32 µm, y 0 to 45 µm)" in text
    assert "0.195 µV/bit" in text
    assert f"<strong>{title}</strong>" in found._repr_html_()


def test_a_title_of_several_segments_and_of_unknown_locations():
    found = Recording(
        place="here<b>",
        form="binary folder",
        segments=(np.zeros((500, 2), "<i2"), np.zeros((300_000, 2), "<i2")),
        sampling_frequency_hz=2500.0,
        channel_ids=("a", "b"),
        annotations={},
        spikes=Spikes({"0": np.array([0.1, 0.2]), "1": np.array([0.3])}),
    )
    title, *facts = repr(found).splitlines()
    assert title == (
        "Recording: 2 channels - 2.5 kHz - 2 segments - 300,500 samples - 2 min 0 s - int16 dtype - "
        "1.20 MB"
    )
    text = "\n".join(facts)
    assert "500 (0.20 s), 300,000 (2 min 0 s)" in text
    assert "channel locations unknown" in text
    assert "2 units, 3 spikes" in text
    assert "<b>" not in found._repr_html_().replace("<br", "")


# --- clocks ---------------------------------------------------------------------------------------


def timed(made: Path, to: Path, form: str, times: np.ndarray | None, start: float | None) -> Path:
    """Copy a recording and give it a clock, as SpikeInterface stores it in that form."""
    shutil.copytree(made / "now" / form, to)
    if form == "binary":
        if times is not None:
            times.astype("<f8").tofile(to / "times_cached_seg0.raw")
        told = json.loads((to / "binary.json").read_text())
        told["kwargs"]["t_starts"] = None if start is None else [start]
        (to / "binary.json").write_text(json.dumps(told))
        return to
    import zarr

    root = zarr.open_group(str(to), mode="a", zarr_format=2)
    for name, values in (
        ("times_seg0", times),
        ("t_starts", None if start is None else np.array([start])),
    ):
        if values is not None:
            root.create_array(name, data=values)
    return to


FORMS = ["binary", "blosc.zarr"]


@pytest.mark.parametrize("form", FORMS)
def test_a_stored_start_is_where_the_recording_begins(made, tmp_path, form):
    plain = open_recording(made / "now" / form)
    found = open_recording(timed(made, tmp_path / form, form, None, 50.0))
    rate, end = found.sampling_frequency_hz, 50 + found.durations_s[0]
    whole = found.traces(scaled=False)
    assert float(whole["time"][0]) == 50.0
    assert float(whole["time"][-1]) == pytest.approx(end - 1 / rate)
    part = found.traces(50.1, 50.2, scaled=False)
    assert np.array_equal(part, plain.traces(0.1, 0.2, scaled=False))
    from_zero = found.traces(0.1, 0.2, scaled=False, clock="segment")
    assert np.array_equal(part, from_zero)
    assert float(from_zero["time"][0]) == pytest.approx(0.1)
    assert "clock" in repr(found)
    assert "clock" not in repr(plain)
    with pytest.raises(UsageError, match="no samples in this window") as caught:
        found.traces(0, 1)
    assert "segment" in str(caught.value.hint)
    with pytest.raises(UsageError, match="no clock"):
        found.traces(clock="wall")


@pytest.mark.parametrize("form", FORMS)
def test_times_of_each_sample_are_the_time_axis(made, tmp_path, form):
    plain = open_recording(made / "now" / form)
    count, rate = plain.segments[0].shape[0], plain.sampling_frequency_hz
    times = 100.5 + np.arange(count) / rate * 1.001
    times[count // 2 :] += 7.0  # a pause
    found = open_recording(timed(made, tmp_path / form, form, times, 3.0))
    assert np.array_equal(found.traces()["time"], times)
    assert np.array_equal(found.times_s(0, 5, 9), times[5:9])
    part = found.traces(times[10], times[20], scaled=False)
    assert np.array_equal(part["time"], times[10:20])
    assert np.array_equal(part, plain.traces(scaled=False)[10:20])
    across = found.traces(times[count // 2 - 3], times[count // 2 + 3])["time"]
    assert np.array_equal(across, times[count // 2 - 3 : count // 2 + 3])
    assert "a time for each sample" in repr(found)
    if form == "binary":  # as older versions of SpikeInterface name and write it
        (tmp_path / form / "times_cached_seg0.raw").unlink()
        np.save(tmp_path / form / "times_cached_seg0.npy", times)
        assert np.array_equal(open_recording(tmp_path / form).traces()["time"], times)


@pytest.mark.parametrize("form", FORMS)
def test_clocks_that_are_damaged(made, tmp_path, form):
    count = open_recording(made / "now" / form).segments[0].shape[0]
    with pytest.raises(CorruptError, match="times do not match"):
        open_recording(timed(made, tmp_path / "short", form, np.arange(count - 1.0), None))
    lost = np.arange(count) / 100.0
    lost[5] = np.nan
    found = open_recording(timed(made, tmp_path / "nan", form, lost, None))
    with pytest.raises(CorruptError, match="do not ascend"):
        found.traces()
    assert len(found.traces(clock="segment")["time"]) == count
    place = timed(made, tmp_path / "two", form, None, 1.0)
    if form == "binary":
        told = json.loads((place / "binary.json").read_text())
        told["kwargs"]["t_starts"] = [1.0, 2.0]
        (place / "binary.json").write_text(json.dumps(told))
    else:
        import zarr

        group = zarr.open_group(str(place), mode="a", zarr_format=2)
        group.create_array("t_starts", data=np.array([1.0, 2.0]), overwrite=True)
    with pytest.raises(CorruptError, match="starts do not match"):
        open_recording(place)
