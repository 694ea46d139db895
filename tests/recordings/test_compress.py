"""The compression benchmark on recordings in the likeness of Neuropixels."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from openallen.errors import MissingExtraError, UsageError
from openallen.recordings.compress import CODECS, PUBLISHED, lsb_corrected, measure, measure_all
from openallen.recordings.generate import PROBES, generate

QUICK = ["blosc-zstd", "zlib", "blosc-lz4hc", "blosc-lz4", "lz4"]


@pytest.mark.parametrize("probe", ["NP1", "NP2"])
def test_the_order_of_the_codecs_is_that_of_the_published_table(probe):
    samples = generate(probe, 0.3, 96)
    found = [m.codec for m in measure_all(samples, 30_000, QUICK, chunk_s=0.1)]
    column = ["NP1", "NP2"].index(probe)
    assert found == sorted(QUICK, key=lambda name: -PUBLISHED[name][column])


def test_taking_the_step_out_makes_it_smaller():
    for probe, told in PROBES.items():
        samples = generate(probe, 0.1, 32)
        steps, step = lsb_corrected(samples)
        assert step == told.step
        assert np.array_equal(np.diff(steps.astype(int), axis=0) * step, np.diff(samples.astype(int), axis=0))  # fmt: skip
        with_step = measure("blosc-zstd", samples, 30_000, 0.05)
        without = measure("blosc-zstd", steps, 30_000, 0.05)
        assert without.ratio > with_step.ratio
        assert without.stored_bytes * without.ratio == pytest.approx(samples.nbytes)


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
            assert told.ratio > 1
            assert told.pack_x_realtime > 0


def test_what_cannot_be_measured():
    samples = generate("NP1", 0.01, 4)
    with pytest.raises(UsageError, match="no codec"):
        measure("zip", samples, 30_000)
    with pytest.raises(UsageError, match="holds nothing"):
        measure("zlib", samples, 30_000, 0)
    with pytest.raises(UsageError, match="have a step"):
        lsb_corrected(samples.astype("float32"))
    with pytest.raises(UsageError, match="no probe"):
        generate("NP9", 1)
    assert np.array_equal(generate("NP1", 0.01, 4), samples)


def test_by_the_command_line(tmp_path):
    command = [sys.executable, "-m", "openallen", "bench", "compression", "NP2", "--codecs", "blosc-zstd,lz4", "--seconds", "0.1", "--channels", "16", "--chunk-s", "0.05"]  # fmt: skip
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [r["codec"] for r in rows] == ["blosc-zstd", "lz4"]
    assert rows[0]["published_np2"] == 1.9
    assert "steps of 3 taken out" in done.stderr
    wrong = subprocess.run(
        [*command[:4], str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert wrong.returncode in {2, 3}


def test_samples_without_a_sign_and_samples_that_fill_their_type():
    unsigned = (generate("NP2", 0.02, 4).astype(int) + 2000).astype("uint16")
    steps, step = lsb_corrected(unsigned)
    assert (steps.dtype, step) == (np.int16, 3)
    assert np.array_equal(np.diff(steps.astype(int), axis=0) * 3, np.diff(unsigned.astype(int), axis=0))  # fmt: skip
    full = np.array([[-32768, 0], [32767, 1], [-32768, 2], [-32768, 3]], "int16")
    same, step = lsb_corrected(full)
    assert np.array_equal(same, full)
    assert step == 1
