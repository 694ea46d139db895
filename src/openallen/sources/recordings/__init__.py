"""Recordings of extracellular ephys: opened without SpikeInterface, time x channel, in µV."""

from openallen.sources.recordings.read import Recording, Spikes, open_recording

__all__ = ["Recording", "Spikes", "open_recording"]
