"""A Visual Coding Neuropixels session drawn, and its signals cut around events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from openallen.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.figure import Figure

__all__ = ["Drawn"]

_PUPIL: Final = "processing/raw_gaze_mapping/pupil_area"
_ALIGNED: Final = ("spikes", "running_speed", "pupil_area")
_WINDOW_S: Final = 120.0


class Drawn:
    """Sessions of Neuropixels that can be drawn and aligned."""

    def align(
        self,
        events: Any,
        window_s: tuple[float, float] = (-1.0, 2.0),
        *,
        of: str = "spikes",
        bin_s: float | None = None,
        rate: bool | None = None,
    ) -> xr.DataArray:
        """Return a signal cut around events; see `BehaviorSession.align`.

        Parameters
        ----------
        events
            Times in s: ``session.stimulus_presentations["start_time"]``.
        window_s
            From and to, in s relative to each event.
        of
            ``spikes``, ``running_speed`` (cm/s) or ``pupil_area`` (cm²).
        bin_s
            Width of the bins of spikes in s; 0.01 where None.
        rate
            Whether spikes are spikes/s, or counted; rates where None.

        Raises
        ------
        UsageError
            If there is no such signal, or the window runs backwards.
        NotFoundError
            If the file does not hold it.
        """
        from openallen.sessions.align import aligned

        session: Any = _AsBehavior(self)
        if of not in _ALIGNED:
            why = f"'{of}' cannot be aligned"
            raise UsageError(why, address=session.name, hint=", ".join(_ALIGNED))
        found = aligned(session, events, window_s, of, bin_s=bin_s, rate=rate)
        if of == "pupil_area":
            found.attrs["units"] = "cm²"
        return found

    def plot_overview(self, window_s: tuple[float, float] | None = None, units: int = 60) -> Figure:
        """Return a picture of stimuli, spikes, running and pupil on one axis of time.

        Parameters
        ----------
        window_s
            From and to, in s; two minutes from the first presentation where None.
        units
            Most units to draw, evenly over probes and depths; only theirs are read.

        Raises
        ------
        NotFoundError
            If the file has nothing to draw.
        UsageError
            If the window runs backwards.
        """
        from openallen.sessions.plots import Plots

        session: Any = _AsBehavior(self)
        if window_s is None:
            start = session.first_s()
            window_s = (start, start + _WINDOW_S)
        return Plots(session).overview(window_s, 0, units)

    plot = plot_overview


class _AsBehavior:
    """A session under the names that pictures and `align` know sessions with behavior by."""

    kind = "ecephys_session"

    def __init__(self, session: Any) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    @property
    def metadata(self) -> dict[str, Any]:
        told = self._session.get_metadata()
        return {"cre_line": told["full_genotype"], "session_type": told["stimulus_name"]}

    @property
    def units(self) -> pd.DataFrame:
        table: pd.DataFrame = self._session.units
        return table

    @property
    def spike_times(self) -> dict[int, Any]:
        found: dict[int, Any] = self._session.spike_times
        return found

    @property
    def running_speed(self) -> pd.DataFrame:
        import pandas as pd

        found = self._session.running_speed
        return pd.DataFrame({"timestamps": found["start_time"], "speed": found["velocity"]})

    @property
    def eye_tracking(self) -> pd.DataFrame:
        import pandas as pd

        tree = self._session.tree
        if not tree.has(f"{_PUPIL}/data"):
            raise NotFoundError("this session has no eye tracking", address=self._session.name)
        columns = {
            "timestamps": tree.array(f"{_PUPIL}/timestamps"),
            "pupil_area": tree.array(f"{_PUPIL}/data"),
        }
        made = pd.DataFrame({name: pd.Series(values) for name, values in columns.items()})
        made.attrs["pupil_area"] = "cm²"
        return made

    @property
    def stimulus_epochs(self) -> pd.DataFrame:
        made: pd.DataFrame = self._session.get_stimulus_epochs({})
        return made

    def first_s(self) -> float:
        """Return when the first stimulus was shown; 0 where none was."""
        epochs = self.stimulus_epochs
        return float(epochs["start_time"].min()) if len(epochs) else 0.0
