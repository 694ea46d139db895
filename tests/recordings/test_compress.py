"""The compression benchmark on recordings in the likeness of Neuropixels."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from openallen.errors import MissingExtraError, UsageError
from openallen.formats import wavpack, wavpack_library
from openallen.formats.wavpack_encode import encode
from openallen.sources.recordings import published
from openallen.sources.recordings.codecs import CODECS
from openallen.sources.recordings.compress import (
    Settings,
    lossy_ways,
    lsb_corrected,
    measure,
    measure_all,
    out_of_order,
    settings_of,
)
from openallen.sources.recordings.filters import (
    BANDS,
    DELTAS,
    bandpassed,
    delta,
    preprocessed,
    undone,
)
from openallen.sources.recordings.generate import PROBES, generate
from openallen.sources.recordings.plots import plot_compression

needs_wavpack = pytest.mark.skipif(not wavpack.available(), reason="the system has no libwavpack")
NEARLY = 1.02
"""Codecs that the published medians hardly tell apart may change places."""
# Without blosc-zlib: what bit shuffling does to it shows with all 384 channels only.
ALL_BUT_AUDIO = ["blosc-zstd", "lzma", "zstd", "zlib", "blosc-lz4hc", "blosc-lz4", "lz4"]


@pytest.mark.parametrize("probe", ["NP1", "NP2"])
def test_the_order_of_the_codecs_is_that_of_the_published_table(probe):
    samples = generate(probe, 0.5, 96)
    wanted = [*ALL_BUT_AUDIO, *(["wavpack"] if wavpack.available() else [])]
    found = measure_all(samples, 30_000, wanted, chunk_s=0.5)
    ours = {m.codec: m.compression_ratio for m in found}
    for one, other in itertools.combinations(wanted, 2):
        told, also = _ratio(one, probe), _ratio(other, probe)
        if max(told, also) / min(told, also) > NEARLY:
            assert (ours[one] > ours[other]) is (told > also), (one, other)


def _ratio(name: str, probe: str) -> float:
    return published.lossless(name, *CODECS[name].best, columns=CODECS[name].columns)[probe][0]


def test_the_published_medians_are_those_of_the_table():
    # The eleven rows as they were computed from the same file by hand.
    np1 = {
        "flac": 3.61,
        "wavpack": 3.59,
        "blosc-zstd": 2.54,
        "lzma": 2.47,
        "zstd": 2.45,
        "zlib": 2.29,
        "gzip": 2.29,
        "blosc-lz4hc": 2.12,
        "blosc-lz4": 1.84,
        "lz4": 1.37,
        "blosc-zlib": 1.13,
    }
    np2 = {
        "flac": 2.27,
        "wavpack": 2.25,
        "blosc-zstd": 1.90,
        "lzma": 1.91,
        "zstd": 1.86,
        "zlib": 1.84,
        "gzip": 1.84,
        "blosc-lz4hc": 1.78,
        "blosc-lz4": 1.68,
        "lz4": 1.55,
        "blosc-zlib": 1.51,
    }
    for name in CODECS:
        assert _ratio(name, "NP1") == pytest.approx(np1[name], abs=0.006)
        assert _ratio(name, "NP2") == pytest.approx(np2[name], abs=0.006)
    assert published.lossless("wavpack", "medium", "none", lsb=False)["NP2"][0] == pytest.approx(
        1.83, abs=0.01
    )
    assert published.lossy("truncate", 3)["NP1"] == (7.61, 3.27)
    assert published.lossless("none", "low", "none") == {}


def test_taking_the_step_out_makes_it_smaller():
    for probe, told in PROBES.items():
        samples = generate(probe, 0.1, 32)
        steps, step = lsb_corrected(samples)
        assert step == told.step
        assert np.array_equal(np.diff(steps.astype(int), axis=0) * step, np.diff(samples.astype(int), axis=0))  # fmt: skip
        with_step = measure("blosc-zstd", samples, 30_000, 0.05)
        without = measure("blosc-zstd", steps, 30_000, 0.05)
        assert without.compression_ratio > with_step.compression_ratio
        assert without.compressed_bytes * without.compression_ratio == pytest.approx(samples.nbytes)


@given(hnp.arrays(np.int16, hnp.array_shapes(min_dims=2, max_dims=2, max_side=20), elements=st.integers(-500, 500)), st.integers(1, 40))  # fmt: skip
def test_any_step_is_found_and_nothing_is_lost(values, factor):
    samples = (values.astype(int) * factor).astype("int32")
    steps, step = lsb_corrected(samples)
    assert step % factor == 0 or not np.diff(samples, axis=0).any()
    assert np.array_equal(np.diff(steps, axis=0) * step, np.diff(samples, axis=0))


def test_every_codec_gives_back_what_it_was_given():
    samples = generate("NP2", 0.02, 8)
    for codec in CODECS:
        try:
            told = measure(codec, samples, 30_000, 0.01)
        except MissingExtraError as error:
            assert codec in {"flac", "wavpack"}
            assert "pip install" in error.hint
        else:
            assert told.compression_ratio > 1
            assert told.compression_speed_x_real_time > 0


@pytest.mark.parametrize("kind", DELTAS)
@given(hnp.arrays(np.int16, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_differences_are_undone(kind, values):
    found = delta(values, kind)
    assert found.dtype == values.dtype
    assert np.array_equal(undone(found, kind), values)


def test_differences_of_what_is_smooth_pack_better():
    slow = np.round(3000 * np.sin(np.arange(6000)[:, None] / 300 + np.arange(8))).astype("int16")
    plain, in_time = (
        measure(way, slow, 30_000, 0.1) for way in settings_of(["zlib"], deltas=["none", "2d-time"])
    )
    assert in_time.compression_ratio > 1.5 * plain.compression_ratio
    assert in_time.codec == "zlib, delta 2d-time"
    assert (in_time.published, bool(plain.published)) == ({}, True)


def test_bands_are_those_of_a_butterworth_filter_there_and_back():
    rate, times = 30_000.0, np.arange(30_000) / 30_000
    for hz, share in [(1000, 1.0), (300, 0.5), (6000, 0.5), (30, 0.0), (14_000, 0.0)]:
        wave = (1000 * np.sin(2 * np.pi * hz * times))[:, None]
        kept = bandpassed(wave, rate, 300, 6000)
        inner = slice(6000, 24_000)
        assert kept[inner].std() / wave[inner].std() == pytest.approx(share, abs=0.005), hz
        if share == 1.0:
            assert np.corrcoef(kept[inner, 0], wave[inner, 0])[0, 1] > 0.9999  # not shifted
    high = bandpassed(np.full((30_000, 1), 500.0), rate, 300, None)
    assert np.abs(high).max() < 1e-3


def test_long_recordings_are_filtered_as_if_in_one_piece(monkeypatch):
    from openallen.sources.recordings import filters

    samples = generate("NP2", 1.0, 2)
    whole = bandpassed(samples, 30_000, 300, 6000)
    monkeypatch.setattr(filters, "_BLOCK", 7000)
    assert np.abs(bandpassed(samples, 30_000, 300, 6000) - whole).max() < 1e-2


def test_scipy_filters_alike():
    signal = pytest.importorskip("scipy.signal")
    samples = generate("NP1", 0.5, 3).astype(float)
    sos = signal.butter(5, [300, 6000], "bandpass", fs=30_000, output="sos")
    theirs = signal.sosfiltfilt(sos, samples, axis=0)
    ours = bandpassed(samples, 30_000, 300, 6000)
    assert np.abs(ours - theirs)[1500:-1500].max() < 0.01 * theirs.std()


@pytest.mark.parametrize("band", list(BANDS))
def test_bands_before_a_codec_are_no_loss(band):
    samples = generate("NP2", 0.2, 4)
    assert preprocessed(samples, 30_000, band).dtype == samples.dtype
    (way,) = settings_of(["blosc-lz4"], bands=[band])
    assert measure(way, samples, 30_000, 0.1).rmse_uv is None


# --- what loses something -------------------------------------------------------------------------


@needs_wavpack
def test_lossy_ways_lose_more_the_smaller_they_get():
    samples = generate("NP2", 0.3, 32)
    found = measure_all(samples, 30_000, lossy_ways(), chunk_s=0.1, gain_uv=0.195)
    assert len(found) == 15
    for way in ("truncate", "wavpack"):
        told = sorted((m for m in found if m.settings.lossy == way), key=lambda m: m.rmse_uv)
        # Seven bits off leave next to nothing of 10 µV: what is left may pack worse than with six.
        ratios = [
            m.compression_ratio for m in told if not (way == "truncate" and m.settings.factor == 7)
        ]
        assert ratios == sorted(ratios)
    by_bits = {m.settings.factor: m for m in found if m.settings.lossy == "truncate"}
    assert by_bits[0].rmse_uv == 0
    # The error hangs on the step alone: 3 bits of 0.585 µV, the share of it between 300 and 6000 Hz.
    assert by_bits[3].rmse_uv == pytest.approx(by_bits[3].published["NP2"][1], rel=0.1)
    assert by_bits[5].rmse_uv == pytest.approx(by_bits[5].published["NP2"][1], rel=0.1)
    assert measure(lossy_ways()[3], samples, 30_000, 0.1).rmse_uv is None  # no gain, no µV


@needs_wavpack
@given(
    hnp.arrays(
        st.sampled_from(["int16", "int32", "int8"]),
        st.tuples(st.integers(1, 60), st.integers(1, 30)),
    ),
    st.integers(1, 4),
)
def test_wavpack_gives_back_what_it_was_given(values, level):
    assert np.array_equal(wavpack.decode(encode(values, level=level)), values)


@needs_wavpack
def test_wavpack_that_cannot_be(monkeypatch):
    samples = generate("NP2", 0.02, 4)
    for wrong in ({"level": 9}, {"bps": 1.0}, {"bps": 99}):
        with pytest.raises(UsageError, match="levels 1 to 4"):
            encode(samples, **wrong)
    for data in (samples.astype("float32"), samples[0]):
        with pytest.raises(UsageError, match="int16"):
            encode(data)
    monkeypatch.setattr(wavpack_library, "library", lambda: None)
    with pytest.raises(MissingExtraError, match="libwavpack"):
        encode(samples)
    told: list[str] = []
    assert measure_all(samples, 30_000, ["wavpack"], tell=told.append) == []
    assert "skipped: to install it, apt install libwavpack1" in told[-1]


@needs_wavpack
def test_wavpack_packs_as_well_as_its_package():
    package = pytest.importorskip("wavpack_numcodecs")
    samples = generate("NP2", 0.2, 384) // 3
    theirs = len(package.WavPack(level=2).encode(samples))
    assert len(encode(samples, level=2)) == pytest.approx(theirs, rel=0.005)


def test_every_combination_is_made_once():
    ways = settings_of(["blosc-zstd", "wavpack"], ["low", "high"], ["none", "bit"], DELTAS)
    assert len(ways) == len({w.name for w in ways}) == 2 * 2 * 5 + 2 * 1 * 5
    for wrong in (
        Settings(codec="zlib", level="huge", shuffle="byte"),
        Settings(codec="zlib", level="low", shuffle="bit"),
        Settings(codec="zlib", level="low", shuffle="none", delta="3d"),
        Settings(codec="zlib", level="low", shuffle="none", band="x"),
    ):
        with pytest.raises(UsageError):
            measure(wrong, generate("NP1", 0.01, 4), 30_000, 0.01)


def test_another_order_is_said():
    found = measure_all(generate("NP2", 0.1, 16), 30_000, ["blosc-zstd", "blosc-lz4"], chunk_s=0.1)
    assert out_of_order(found, "NP2") == []
    (line,) = out_of_order(found[::-1], "NP2")
    assert "published 1.68 and 1.90" in line
    lossy = measure_all(
        generate("NP2", 0.1, 16), 30_000, [*lossy_ways()[:2], "blosc-lz4"], chunk_s=0.1
    )
    assert out_of_order(lossy[::-1], "NP2") == []  # those that lose something are in no such order


def test_what_cannot_be_measured():
    samples = generate("NP1", 0.01, 4)
    with pytest.raises(UsageError, match="no codec"):
        measure("zip", samples, 30_000)
    with pytest.raises(UsageError, match="empty chunk"):
        measure("zlib", samples, 30_000, 0)
    with pytest.raises(UsageError, match="needs integers"):
        lsb_corrected(samples.astype("float32"))
    with pytest.raises(UsageError, match="5 is not the LSB"):
        lsb_corrected(samples, 5)
    assert lsb_corrected(samples, 4)[1] == 4  # part of a step is one, too
    with pytest.raises(UsageError, match="no probe"):
        generate("NP9", 1)
    assert np.array_equal(generate("NP1", 0.01, 4), samples)


def test_by_the_command_line(tmp_path):
    command = [sys.executable, "-m", "openallen", "bench", "compression", "NP2", "--codecs", "blosc-zstd,lz4", "--seconds", "0.1", "--channels", "16", "--chunk-s", "0.05"]  # fmt: skip
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [r["codec"] for r in rows] == ["blosc-zstd", "lz4"]
    assert {"compression_ratio", "compression_speed_x_real_time", "compressed_bytes"} < set(rows[0])
    assert rows[0]["published_source"] == "medians over the recordings of October 2022"
    assert rows[0]["published_ratio_np2"] == 1.9
    assert "LSB correction: divided by 3" in done.stderr
    table, plot = tmp_path / "t.csv", tmp_path / "p.png"
    more = ["--lossy", "--hours", "2", "--csv", str(table), "--plot", str(plot), "--lsb", "3"]
    done = subprocess.run([*command, *more], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for title in (
        "compression ratio",
        "decompression speed",
        "RMSE (µV)",
        "compressed size of 2 h",
    ):
        assert title in done.stdout
    assert "speeds are multiples of real time" in done.stderr
    # The same bytes with two published ratios: the lossless and the lossy table are other recordings.
    assert "published, lossy: one recording per probe, May 2022" in done.stderr
    assert "two published ratios" in done.stderr
    assert plot.read_bytes().startswith(b"\x89PNG")
    lines = table.read_text().splitlines()
    assert len(lines) >= 11
    assert "rmse_uv" in lines[0]
    assert lines[0].endswith("estimated_hours,estimated_bytes")
    for bad in (
        ["--lsb", "5"],
        ["--lsb", "x"],
        ["--seconds", "0"],
        ["--levels", "huge"],
        ["--plot", "x.doc"],
    ):
        refused = subprocess.run([*command, *bad], capture_output=True, text=True, check=False)
        assert refused.returncode == 2, bad
    wrong = subprocess.run(
        [*command[:4], str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert wrong.returncode in {2, 3}


def test_samples_without_a_sign_and_samples_that_fill_their_type():
    unsigned = (generate("NP2", 0.02, 4).astype(int) + 20_000).astype("uint16")
    steps, step = lsb_corrected(unsigned)
    assert (steps.dtype, step) == (np.int16, 3)
    assert np.array_equal(np.diff(steps.astype(int), axis=0) * 3, np.diff(unsigned.astype(int), axis=0))  # fmt: skip
    full = np.array([[-32768, 0], [32767, 1], [-32768, 2], [-32768, 3]], "int16")
    same, step = lsb_corrected(full)
    assert np.array_equal(same, full)
    assert step == 1


def test_the_plot_names_only_what_was_measured_and_is_legible():
    from matplotlib.text import Text

    samples = generate("NP2", 0.05, 8)
    bits = [way for way in lossy_ways() if way.lossy == "truncate"][:4]
    found = measure_all(samples, 30_000, [*settings_of(["zlib"]), *bits], chunk_s=0.05, gain_uv=0.2)
    figure = plot_compression(found, "title")
    labels = {t.get_text() for ax in figure.axes for t in ax.get_legend().get_texts()}
    assert "bits truncated" in labels
    assert not any("WavPack" in label for label in labels)
    texts = [t for t in figure.findobj(Text) if t.get_text()]
    assert min(t.get_fontsize() for t in texts) >= 7
    alone = plot_compression([m for m in found if not m.settings.lossy])
    assert len(alone.axes) == 2
    assert "May 2022" not in "".join(t.get_text() for t in alone.findobj(Text))


def test_a_result_shows_itself_in_one_line():
    (found,) = measure_all(generate("NP2", 0.05, 8), 30_000, ["zlib"], chunk_s=0.05)
    assert repr(found).startswith("zlib: compression ratio ")
    assert "x real time" in repr(found)
