"""What cells do when something is shown: counts, responses, tuning, AllenSDK's analyses."""

from __future__ import annotations

from openallen.sessions.responses.aligned import Responding, responses, tuning
from openallen.sessions.responses.counts import (
    conditionwise_spike_statistics,
    presentationwise_spike_counts,
    presentationwise_spike_times,
)

__all__ = [
    "Responding",
    "conditionwise_spike_statistics",
    "presentationwise_spike_counts",
    "presentationwise_spike_times",
    "responses",
    "tuning",
]
