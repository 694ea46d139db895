"""Recordings of extracellular ephys: opened without SpikeInterface; axes (time, channel), µV."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openallen.lazy import exports

if TYPE_CHECKING:
    from openallen.sources.recordings.read import open_recording
    from openallen.sources.recordings.recording import Recording, Spikes

__all__ = [
    "Recording",
    "Spikes",
    "open_recording",
]

__getattr__ = exports(
    __name__,
    {
        "Recording": "recording",
        "Spikes": "recording",
        "open_recording": "read",
    },
)
