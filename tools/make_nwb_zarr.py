"""Write a session as hdmf-zarr does, and what it reads from it; runs where hdmf-zarr is installed.

    NUMCODECS_ALLOW_UNSAFE_PICKLE_DECODE=1 python tools/make_nwb_zarr.py tests/data/assets

hdmf-zarr needs zarr below 3, so that this cannot run in the environment of the tests.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from hdmf_zarr import NWBZarrIO
from pynwb import NWBFile, TimeSeries
from pynwb.ecephys import ElectricalSeries
from pynwb.file import Subject

NAME = "ecephys_625749_2022-08-03_15-15-06"


def session() -> NWBFile:
    """Make a session of AIND's kind, all of its numbers made up."""
    rng = np.random.default_rng(0)
    nwb = NWBFile(
        session_description="made for tests",
        identifier="made-1",
        session_start_time=dt.datetime(2022, 8, 3, 15, 15, 6, tzinfo=dt.UTC),
        institution="AIND",
        session_id=NAME,
    )
    nwb.subject = Subject(subject_id="625749", species="Mus musculus", sex="F", age="P90D")
    device = nwb.create_device(name="ProbeA", description="a probe")
    group = nwb.create_electrode_group(
        name="ProbeA", description="one shank", location="VISp", device=device
    )
    for n in range(4):
        place = "VISp" if n % 2 else "CA1"
        nwb.add_electrode(x=float(n), y=1.0, z=2.0, location=place, group=group)
    nwb.add_unit_column("default_qc", "label")
    nwb.add_unit_column("amplitude", "in µV")
    for n in range(5):
        nwb.add_unit(
            spike_times=np.sort(rng.random(10 + n) * 20),
            electrodes=[n % 4],
            default_qc="pass" if n % 2 else "noise",
            amplitude=50.5 + n,
            waveforms=[[[1.0, 2.0], [3.0, 4.0]] for _ in range(n + 1)],
        )
    nwb.add_trial_column("go", "whether it is a go trial")
    nwb.add_trial_column("stimulus", "what was shown")
    for n in range(6):
        kind = "vis1" if n % 3 else "sound é"
        nwb.add_trial(start_time=n * 2.0, stop_time=n * 2.0 + 1, go=bool(n % 2), stimulus=kind)
    region = nwb.create_electrode_table_region(region=[0, 1, 2, 3], description="all")
    nwb.add_acquisition(
        ElectricalSeries(
            name="LFP",
            data=rng.integers(-100, 100, (2000, 4)).astype("int16"),
            electrodes=region,
            rate=1000.0,
            starting_time=0.5,
            conversion=1e-6,
            channel_conversion=[1.0, 1.0, 2.0, 1.0],
        )
    )
    running = TimeSeries(
        name="running", data=rng.random(50), unit="cm/s", timestamps=np.arange(50) / 10 + 0.01
    )
    nwb.add_acquisition(running)
    behavior = nwb.create_processing_module(name="behavior", description="licks")
    behavior.add(TimeSeries(name="licks", data=np.ones(3), unit="n", timestamps=[1.0, 2.0, 3.0]))
    return nwb


def told(path: Path) -> dict[str, object]:
    """Say what hdmf-zarr reads."""
    with NWBZarrIO(str(path), mode="r") as io:
        nwb = io.read()
        tables = {"units": nwb.units, "trials": nwb.trials, "electrodes": nwb.electrodes}
        found = {
            name: {
                column: [_plain(value) for value in table.to_dataframe(index=True)[column]]
                for column in table.colnames
                if column != "group"
            }
            for name, table in tables.items()
        }
        lfp = nwb.acquisition["LFP"]
        return {
            "tables": found,
            "lfp": np.asarray(lfp.data[:5]).tolist(),
            "start": nwb.session_start_time.isoformat(),
        }


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value


def main() -> None:
    """Write both."""
    to = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{NAME}.nwb.zarr"
        with NWBZarrIO(str(path), mode="w") as io:
            io.write(session())
        found = told(path)
        with tarfile.open(to / "session.nwb.zarr.tar.xz", "w:xz") as packed:
            packed.add(path, "session.nwb.zarr")
    text = json.dumps(found, indent=1, ensure_ascii=False)
    (to / "session.nwb.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
