"""Recordings of extracellular ephys: opened without SpikeInterface; axes (time, channel), µV."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openallen.lazy import exports

if TYPE_CHECKING:
    from openallen.sources.recordings.analyzer import Analyzer, open_sorting
    from openallen.sources.recordings.read import open_recording
    from openallen.sources.recordings.recording import Recording, Spikes
    from openallen.sources.recordings.sorting import Sorting

__all__ = [
    "Analyzer",
    "Recording",
    "Sorting",
    "Spikes",
    "open_recording",
    "open_sorting",
]

__getattr__ = exports(
    __name__,
    {
        "Analyzer": "analyzer",
        "Recording": "recording",
        "Sorting": "sorting",
        "Spikes": "recording",
        "open_recording": "read",
        "open_sorting": "analyzer",
    },
)
