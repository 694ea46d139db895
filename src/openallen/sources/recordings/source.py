"""The door of the recordings of the compression benchmark: ``recording:aind-np2/NAME``."""

from __future__ import annotations

from typing import ClassVar

from openallen.sources.base import Example, Source

__all__ = ["RecordingSource"]


class RecordingSource(Source):
    """An ephys recording."""

    scheme: ClassVar[str] = "recording"
    title: ClassVar[str] = "an ephys recording"
    parts: ClassVar[bool] = True
    folder: ClassVar[str] = "recordings"
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            "recording:aind-np2/612962_2022-04-13_19-18-04_ProbeB",
            "a recording of a Neuropixels 2.0 probe",
        ),
    )
