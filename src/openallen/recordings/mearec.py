"""Simulated recordings of MEArec: HDF5, with the true spikes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from openallen.errors import CorruptError, MissingExtraError
from openallen.recordings.recording import Recording, Spikes

__all__ = ["is_mearec", "open_mearec"]


def is_mearec(path: Path) -> bool:
    """Tell whether a file is one of MEArec, by what is in it."""
    try:
        import h5py

        with h5py.File(path, "r") as file:
            return "recordings" in file and "info" in file
    except (ImportError, OSError):
        return False


def open_mearec(source: Any, name: str) -> Recording:
    """Open a file of MEArec.

    Parameters
    ----------
    source
        Its path, or a file object.
    name
        What it is called in messages.

    Raises
    ------
    CorruptError
        If it is none.
    MissingExtraError
        Without the extra ``ephys``.
    """
    import numpy as np

    try:
        import h5py
    except ImportError:
        raise MissingExtraError("ephys", "a recording of MEArec") from None
    try:
        file = h5py.File(source, "r")
        traces = file["recordings"]
        info = file["info"]
    except (OSError, KeyError) as error:
        raise CorruptError("this is no file of MEArec", address=name, why=str(error)) from error
    rate = float(np.asarray(info["recordings"]["fs"])) if "recordings" in info else None
    if rate is None:
        times = np.asarray(file["timestamps"][:2], float)
        rate = float(1 / (times[1] - times[0]))
    gain = traces.attrs.get("gain_to_uV", info.get("gain_to_uV", None))
    width = traces.shape[1]
    places = np.asarray(file["channel_positions"]) if "channel_positions" in file else None
    trains = file.get("spiketrains", {})
    spikes = {str(n): np.asarray(trains[n]["times"], float) for n in sorted(trains, key=int)}
    return Recording(
        place=name,
        form="MEArec",
        segments=(traces,),
        sampling_frequency_hz=rate,
        channel_ids=tuple(map(str, range(width))),
        gain_uv=np.full(width, float(np.asarray(gain))) if gain is not None else None,
        offset_uv=np.zeros(width),
        locations_um=places[:, -2:] if places is not None else None,
        annotations={},
        spikes=Spikes(spikes),
    )
