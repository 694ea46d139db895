"""Sweeps of Cell Types files, entry by entry beside what AllenSDK reads in them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import openallen as oa
from openallen.errors import NotFoundError
from openallen.sessions import PatchClampSession

pytestmark = pytest.mark.shared

CELLS = ("cell_types_464212183", "cell_types_313862022")


@pytest.fixture(scope="session")
def observatory(shared: Path) -> Path:
    folder = shared / "nwb_observatory"
    if not folder.is_dir():
        pytest.skip("no files of the observatory here (OPENALLEN_TEST_SHARED names their folder)")
    return folder


def oracle(observatory: Path, name: str) -> Any:
    spec = importlib.util.spec_from_file_location("oracle_io", observatory / "oracle_io.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Oracle(str(observatory / "oracle" / name))


def answer(cell: PatchClampSession, name: str) -> Any:
    """Return what the call of an entry returns: ``get_sweep@5.response``."""
    call, _, rest = name.partition("@")
    argument, _, part = rest.partition(".")
    number, _, key = argument.partition(",key=")
    arguments = [int(number)] if number else []
    found = getattr(cell, call)(*arguments, **({"key": key} if key else {}))
    return found[part] if part else found


@pytest.mark.parametrize("name", CELLS)
def test_every_entry_of_the_oracle(observatory, name):
    asked = oracle(observatory, name)
    compared = 0
    with oa.open(observatory / "cell_types" / f"{name}.nwb") as cell:
        assert type(cell) is PatchClampSession
        for entry, told in asked.entries.items():
            if "unpatched" in entry:  # what AllenSDK answers where its test of the version fails
                continue
            if told["form"] == "raises":
                with pytest.raises(NotFoundError):
                    answer(cell, entry)
            else:
                mine, want = answer(cell, entry), asked.load(entry)
                if isinstance(want, dict):  # AllenSDK hands texts out as bytes
                    mine = {k: v.encode() if isinstance(v, str) else v for k, v in mine.items()}
                assert asked.compare(entry, mine) == [], entry
                if "dtype" in told:
                    assert str(np.asarray(mine).dtype) == told["dtype"], entry
            compared += 1
    assert compared >= 60


def test_foreign_files(shared):
    path = shared / "public" / "nwb" / "LantyerEtAl2018_170328_AB_277_ST50_C.nwb"
    with oa.open(path) as cell:
        assert type(cell) is PatchClampSession
        assert cell.sweep_numbers == [1, 2]
        assert list(cell.sweeps["clamp_mode"]) == ["voltage_clamp"] * 2
        assert list(cell.sweeps["stimulus_name"]) == ["Sawtooth"] * 2
        sweep = cell.sweep(2)
        assert sweep.response.attrs["units"] == "A"
        assert 0.06 < float(abs(sweep.stimulus).max()) < 0.08
    with oa.open(shared / "faults" / "icephys.nwb") as cell:
        assert cell.sweep_numbers == [0, 1, 2]
        assert cell.sweep(1).response.sizes["time"] == 20
        assert cell.sweep(1).stimulus.sizes["time"] == 10
        assert cell.sweeps["electrode"].tolist() == ["e0"] * 3
    with oa.open(shared / "public" / "nwb" / "1.0.2_nwbfile.nwb") as other:
        assert type(other) is not PatchClampSession
