"""Mouse connectivity: experiments, what they project to, and how strongly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openallen.lazy import exports

if TYPE_CHECKING:
    from openallen.sources.connectivity.connectivity import Connectivity
    from openallen.sources.connectivity.experiment import Experiment

__all__ = ["Connectivity", "Experiment"]

__getattr__ = exports(__name__, {"Connectivity": "connectivity", "Experiment": "experiment"})
