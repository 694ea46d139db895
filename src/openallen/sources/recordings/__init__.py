"""Recordings of extracellular ephys: opened without SpikeInterface; axes (time, channel), µV."""

from openallen.sources.recordings.read import Recording, Spikes, open_recording

__all__ = ["Recording", "Spikes", "open_recording"]
