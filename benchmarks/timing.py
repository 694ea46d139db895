"""Timing a call: the median of several runs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

RUNS = 5


def timed(call: Callable[[], Any], runs: int = RUNS) -> float:
    """Give the median of several runs in seconds, after one that is not counted."""
    call()
    found = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return statistics.median(found)
