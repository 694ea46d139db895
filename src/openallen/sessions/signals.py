"""What drawing and aligning need of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from openallen.formats.nwb import Tree

__all__ = ["Behaving", "Imaged"]


class Behaving(Protocol):
    """A session with behavior; its attributes are those of `BehaviorSession`."""

    @property
    def kind(self) -> str:
        """What kind of session it is."""
        ...

    @property
    def name(self) -> str:
        """What it is called in messages."""
        ...

    @property
    def licks(self) -> pd.DataFrame:
        """Licks."""
        ...

    @property
    def rewards(self) -> pd.DataFrame:
        """Rewards."""
        ...

    @property
    def running_speed(self) -> pd.DataFrame:
        """Running speed."""
        ...

    @property
    def eye_tracking(self) -> pd.DataFrame:
        """Eye tracking."""
        ...

    @property
    def trials(self) -> pd.DataFrame:
        """Trials."""
        ...


class Imaged(Protocol):
    """An experiment with traces; its attributes are those of `BehaviorOphysExperiment`."""

    @property
    def name(self) -> str:
        """What it is called in messages."""
        ...

    @property
    def tree(self) -> Tree:
        """Its file."""
        ...

    @property
    def ophys_timestamps(self) -> np.ndarray[Any, Any]:
        """Time of each frame."""
        ...
