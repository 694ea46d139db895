"""What cells do when something is shown: counts, responses, tuning, AllenSDK's analyses."""

from __future__ import annotations

from openallen.sessions.responses.aligned import Responding, responses, tuning
from openallen.sessions.responses.by_stimulus import Analysing, analysis
from openallen.sessions.responses.counts import (
    conditionwise_spike_statistics,
    presentationwise_spike_counts,
    presentationwise_spike_times,
)
from openallen.sessions.responses.gratings import drifting_gratings, static_gratings
from openallen.sessions.responses.movies import natural_movie
from openallen.sessions.responses.noise import locally_sparse_noise
from openallen.sessions.responses.scenes import natural_scenes

__all__ = [
    "Analysing",
    "Responding",
    "analysis",
    "conditionwise_spike_statistics",
    "drifting_gratings",
    "locally_sparse_noise",
    "natural_movie",
    "natural_scenes",
    "presentationwise_spike_counts",
    "presentationwise_spike_times",
    "responses",
    "static_gratings",
    "tuning",
]
