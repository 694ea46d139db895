"""AllenSDK's ``BrainObservatoryNwbDataSet``: a two-photon session of Visual Coding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from openallen import verbs
from openallen.compat.asking import as_kind
from openallen.compat.elsewhere import absent
from openallen.sessions.visual_coding.ophys import VisualCodingOphysExperiment

__all__ = ["BrainObservatoryNwbDataSet"]


class BrainObservatoryNwbDataSet(VisualCodingOphysExperiment):
    """A two-photon session: openallen's, opened as AllenSDK does.

    Parameters
    ----------
    nwb_file
        The NWB file; whatever `openallen.open` takes.
    """

    def __init__(self, nwb_file: Any) -> None:
        opened = verbs.open(nwb_file) if isinstance(nwb_file, str | Path) else nwb_file
        as_kind(opened, BrainObservatoryNwbDataSet, VisualCodingOphysExperiment, lambda: self)
        self.nwb_file = nwb_file if isinstance(nwb_file, str | Path) else opened.name

    def __getattr__(self, name: str) -> Any:
        if name in {"save_analysis_arrays", "save_analysis_dataframes", "stimulus_search"}:
            raise absent("BrainObservatoryNwbDataSet", name)
        return super().__getattr__(name)
