"""Sweeps of files that are far away: only the ranges of the sweeps that are asked for are read."""

from __future__ import annotations

import numpy as np
import pytest
from loopback import Loopback, file_handler
from patchclamp import COUNT, Made, cell_types, nwb2

import openallen as oa
from openallen.sessions import PatchClampSession

MANY = [Made(n, n, n % 7) for n in range(150)]
GZIP = {"chunks": (COUNT,), "compression": "gzip"}


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path / "store"))


def spent(server: Loopback, before: int) -> tuple[int, int]:
    """Return the requests since, and the bytes they asked for."""
    asked = server.seen[before:]
    size = 0
    for request in asked:
        told = {name.lower(): value for name, value in request.headers.items()}.get("range", "")
        first, _, last = told.removeprefix("bytes=").partition("-")
        assert told, "a request for the whole file"
        size += int(last) - int(first) + 1 if first and last else 128 * 1024
    return len(asked), size


@pytest.mark.parametrize(("write", "storage"), [(cell_types, {}), (cell_types, GZIP), (nwb2, {})])
def test_a_sweep_costs_its_own_ranges(tmp_path, loopback, write, storage):
    path = write(tmp_path / "cell.nwb", MANY, **storage)
    size = path.stat().st_size
    server = loopback({"/x.nwb": file_handler(path.read_bytes())})
    with oa.open(path) as near, oa.open(f"{server.url}/x.nwb") as far:
        assert type(far) is PatchClampSession
        opening = spent(server, 0)
        assert opening[0] <= 10
        assert opening[1] < max(size / 5, 1_200_000)
        for number in (60, 133):
            before = len(server.seen)
            sweep = far.sweep(number)
            requests, asked = spent(server, before)
            assert requests <= 6
            assert asked < max(size / 10, 1_600_000)
            assert np.array_equal(sweep.response, near.sweep(number).response)
            assert np.array_equal(sweep.stimulus, near.sweep(number).stimulus)
        before = len(server.seen)
        assert far.get_sweep(133)["index_range"] == near.sweep(133).index_range
        assert len(server.seen) == before
        assert "sweeps" in repr(far)
        assert far._picture() == ""  # it would take all of the file


def test_the_table_is_the_same_from_afar(tmp_path, loopback):
    path = cell_types(tmp_path / "cell.nwb")
    server = loopback({"/x.nwb": file_handler(path.read_bytes())})
    with oa.open(path) as near, oa.open(f"{server.url}/x.nwb") as far:
        assert far.sweeps.equals(near.sweeps)
        assert far.fi_curve.equals(near.fi_curve)
