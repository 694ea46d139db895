"""Every reader of outside bytes, on damaged input: a value or an error of ours, and nothing else.

Processes of their own open the input, so that a crash, a hang or a flood of memory is a failure
like any other. What failed once lies in ``corpus/READER/NAME``, and is opened at every run.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from fuzzing import Failure, fuzz, replay
from fuzzreaders import READERS

CORPUS = Path(__file__).parent / "corpus"
SECONDS = 1.5
"""How long each reader is fuzzed where nothing is said: all of them in two minutes on two cores."""
ELSEWHERE: dict[str, tuple[str, ...]] = {}
"""By reader, beginnings of failures that libraries below us are known for, each with its reason."""

IN_HDF5 = re.compile(r'most recent call first\):\n\s*File "[^"]*/h5py/_hl/attrs\.py"')
"""Hangs of libhdf5 itself, by where the interpreter stood: where an object of a damaged global heap
says that it is free space of no size, the library reads that object for ever, in its own code, which
nothing can interrupt. No call of it says where the heap of a value lies, so that we could look first;
SECURITY.md says so."""


def _ours(reader: str, failures: list[Failure]) -> list[Failure]:
    known = ELSEWHERE.get(reader, ())
    return [
        failure
        for failure in failures
        if not failure.what.startswith(known or ("\0",))
        and not (failure.what.startswith("hang") and IN_HDF5.search(failure.told))
    ]


def _told(failures: list[Failure]) -> str:
    return "\n\n".join(f"{f.what}\ninput {f.case}: {f.files}\n{f.told}" for f in failures)


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("reader", sorted(READERS))
def test_mutated_input_is_read_or_refused(reader, tmp_path, pytestconfig):
    minutes = pytestconfig.getoption("fuzz_minutes")
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    seconds = minutes * 60 * workers / len(READERS) if minutes else SECONDS
    seed = os.environ["OPENALLEN_TEST_FUZZ_SEED"]
    run = fuzz(reader, tmp_path / "run", seed=seed, seconds=seconds)
    rate = run.cases / max(run.seconds, 0.001)
    sys.stdout.write(f"{reader}: {run.cases:,} inputs, {run.read:,} read, {rate:.0f}/s\n")
    assert run.cases, "nothing was opened"
    failures = _ours(reader, run.failures)
    assert not failures, f"seed {seed}\n{_told(failures)}"


@pytest.mark.parametrize("reader", sorted(path.name for path in CORPUS.iterdir()))
def test_what_failed_once_is_read_or_refused(reader, tmp_path):
    inputs = sorted(path for path in (CORPUS / reader).iterdir() if path.is_dir())
    assert inputs
    failures = _ours(reader, replay(reader, tmp_path / "run", inputs))
    assert not failures, _told(failures)


def test_a_crash_a_hang_and_a_foreign_error_are_told(tmp_path, monkeypatch):
    """The net itself: each kind of failure is caught, and the inputs after it are opened too."""
    monkeypatch.setenv("OPENALLEN_TEST_FUZZ_TRAPS", "1")

    def trap(*names: str) -> dict[str, str]:
        inputs = []
        for number, name in enumerate(names):
            inputs.append(tmp_path / f"{name} {number}")
            inputs[-1].mkdir()
            (inputs[-1] / "x.txt").write_text(name)
        run = tmp_path / f"run of {names[0]}"
        return {f.files.name: f.what for f in replay("trap", run, inputs)}

    told = trap("raise", "crash", "fine", "fill", "leave")
    assert told.keys() == {"raise 0", "crash 1", "fill 3", "leave 4"}
    assert told["raise 0"].startswith("KeyError in")
    assert told["crash 1"].startswith("crash (-11)")
    assert told["fill 3"] == "took too much memory"
    assert told["leave 4"].startswith("SystemExit in")
    # These never end, however fast the machine is: no other input has so little time.
    monkeypatch.setenv("OPENALLEN_TEST_FUZZ_HANG_S", "1")
    told = trap("hang", "hang")
    assert told.keys() == {"hang 0", "hang 1"}
    assert all(what.startswith("hang (1)") for what in told.values())
