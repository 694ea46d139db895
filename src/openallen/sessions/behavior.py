"""A behavior session: the task, what was shown, what the animal did."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from openallen.formats.nwb import frame
from openallen.sessions import eye, metadata, performance, stimuli
from openallen.sessions.base import NwbSession, Opener
from openallen.sessions.lengths import same_length

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr
    from matplotlib.figure import Figure

    from openallen.visuals import Visual

__all__ = ["BEHAVIOR", "BehaviorSession"]

BEHAVIOR = (
    "behavior_session_id",
    "eye_tracking",
    "eye_tracking_rig_geometry",
    "get_performance_metrics",
    "get_reward_rate",
    "get_rolling_performance_df",
    "licks",
    "metadata",
    "raw_running_speed",
    "rewards",
    "running_speed",
    "stimulus_presentations",
    "stimulus_templates",
    "stimulus_timestamps",
    "task_parameters",
    "trials",
)


class BehaviorSession(NwbSession):
    """A session of the change detection task.

    Times are seconds on the session's own clock. Presentations and the changes of trials include
    the delay of the display; licks, rewards, running and the trials' own times do not.

    Parameters
    ----------
    opener, name, path
        As for `NwbSession`.
    eye_tracking_z_threshold
        Eye or pupil areas further from the mean, in standard deviations, are blinks.
    eye_tracking_dilation_frames
        Frames by which blinks are widened on each side.
    allensdk_compatible
        Answer as AllenSDK 2.16.2 does, also where it is wrong.
    """

    _names: ClassVar[tuple[str, ...]] = BEHAVIOR
    kind: ClassVar[str] = "behavior_session"
    _recompute: ClassVar[bool] = True
    _aligns: ClassVar[str] = "running_speed"

    def __init__(
        self,
        opener: Opener,
        name: str,
        path: Path | None = None,
        *,
        eye_tracking_z_threshold: float = 3.0,
        eye_tracking_dilation_frames: int = 2,
        allensdk_compatible: bool = False,
    ) -> None:
        super().__init__(opener, name, path)
        self._eye = (eye_tracking_z_threshold, eye_tracking_dilation_frames)
        self.allensdk_compatible = allensdk_compatible

    @property
    def behavior_session_id(self) -> int:
        """Id of the behavior session."""
        return metadata.told_id(self.tree, "behavior_session_id")

    @functools.cached_property
    def metadata(self) -> dict[str, Any]:
        """Who, where, when and with what; see `openallen.sessions.metadata`."""
        return metadata.behavior_metadata(self.tree)

    @functools.cached_property
    def task_parameters(self) -> dict[str, Any]:
        """Parameters of the task: durations in s, volumes in mL."""
        return metadata.task_parameters(self.tree)

    @functools.cached_property
    def stimulus_timestamps(self) -> np.ndarray[Any, Any]:
        """Time of each frame of the stimulus, in s, without the delay of the display."""
        return self.tree.array("processing/stimulus/timestamps/timestamps")

    @functools.cached_property
    def running_speed(self) -> pd.DataFrame:
        """``timestamps`` in s, ``speed`` in cm/s, low-pass filtered at 10 Hz."""
        return self._speed("speed")

    @functools.cached_property
    def raw_running_speed(self) -> pd.DataFrame:
        """``timestamps`` in s, ``speed`` in cm/s, as measured."""
        return self._speed("speed_unfiltered")

    def _speed(self, which: str) -> pd.DataFrame:
        import numpy as np
        import pandas as pd

        place = f"processing/running/{which}"
        speed = self.tree.array(f"{place}/data")
        # An encoder mounted the wrong way round: animals do not walk backwards for an hour.
        if len(speed) and np.nanmean(speed) < -1:
            speed = -speed
        times = self.tree.array(f"{place}/timestamps")
        return pd.DataFrame(self._together(place, {"timestamps": times, "speed": speed}))

    def _together(self, place: str, found: dict[str, Any]) -> dict[str, Any]:
        same_length(self.tree, place, found)
        return found

    @functools.cached_property
    def licks(self) -> pd.DataFrame:
        """``timestamps`` in s and stimulus ``frame`` of each lick; empty without any."""
        import pandas as pd

        place = "processing/licking/licks"
        if not self.tree.has(place):
            return pd.DataFrame({"timestamps": [], "frame": []}, dtype="float64")
        found = {
            "timestamps": self.tree.array(f"{place}/timestamps"),
            "frame": self.tree.array(f"{place}/data"),
        }
        return pd.DataFrame(self._together(place, found))

    @functools.cached_property
    def rewards(self) -> pd.DataFrame:
        """``volume`` in mL, ``timestamps`` in s, ``auto_rewarded``; empty without any."""
        import pandas as pd

        place = "processing/rewards"
        if not self.tree.has(place):
            names = ("volume", "timestamps", "auto_rewarded")
            return pd.DataFrame({name: [] for name in names}, dtype="float64")
        found = {
            "volume": self.tree.array(f"{place}/volume/data"),
            "timestamps": self.tree.array(f"{place}/autorewarded/timestamps"),
            "auto_rewarded": self.tree.array(f"{place}/autorewarded/data"),
        }
        return pd.DataFrame(self._together(place, found))

    @functools.cached_property
    def trials(self) -> pd.DataFrame:
        """Trials, aborted ones included; index ``trials_id``.

        Times in s, ``lick_times`` an array for each trial, ``change_frame`` -99 where nothing
        changed, ``response_latency`` inf without a lick and NaN where the trial was aborted.
        """
        return _trials(frame(self.tree, "intervals/trials", _NOT_TRIALS, "trials_id"))

    @functools.cached_property
    def stimulus_presentations(self) -> pd.DataFrame:
        """What was shown and when; see `openallen.sessions.stimuli.presentations`."""
        return stimuli.presentations(self.tree, self.trials, recompute=self._recompute)

    @functools.cached_property
    def stimulus_templates(self) -> pd.DataFrame | None:
        """The images that were shown; see `openallen.sessions.stimuli.templates`."""
        return stimuli.templates(self.tree)

    @functools.cached_property
    def eye_tracking(self) -> pd.DataFrame:
        """Ellipses of eye, pupil and reflection, in px; see `openallen.sessions.eye`."""
        return eye.eye_tracking(self.tree, *self._eye)

    @functools.cached_property
    def eye_tracking_rig_geometry(self) -> dict[str, Any]:
        """Where monitor, camera and light stood, in mm and degrees."""
        return eye.rig_geometry(self.tree)

    # --- performance ----------------------------------------------------------------------------

    @property
    def _answer_after_s(self) -> float:
        return float(self.task_parameters["response_window_sec"][0])

    def get_reward_rate(self) -> np.ndarray[Any, Any]:
        """Return rewards per minute at each trial, NaN for the first ten."""
        return performance.reward_rate(self.trials, self._answer_after_s)

    @functools.cached_property
    def _rolling(self) -> pd.DataFrame:
        return performance.rolling_performance(self.trials, self._answer_after_s)

    def get_rolling_performance_df(self) -> pd.DataFrame:
        """Return rates over the last 100 trials that were not aborted; index ``trials_id``."""
        return self._rolling.copy()

    def get_performance_metrics(
        self, engaged_trial_reward_rate_threshold: float = 2.0
    ) -> dict[str, Any]:
        """Sum the session up in 23 numbers.

        Parameters
        ----------
        engaged_trial_reward_rate_threshold
            Trials with a higher reward rate, in 1/min, count as engaged.
        """
        return performance.performance_metrics(
            self.trials, self.rewards, self._rolling, engaged_trial_reward_rate_threshold
        )

    # --- aligned and drawn ----------------------------------------------------------------------

    def align(
        self,
        events: Any,
        window_s: tuple[float, float] = (-1.0, 2.0),
        *,
        of: str = "",
        bin_s: float | None = None,
        rate: bool | None = None,
    ) -> xr.DataArray:
        """Return a signal cut around events.

        Parameters
        ----------
        events
            Times in s.
        window_s
            From and to, in s relative to each event.
        of
            ``running_speed``, ``pupil_area``, ``licks``; ``dff``, ``events`` and the other traces
            of an experiment; ``spikes`` of a Neuropixels session. Where left out: ``dff``,
            ``spikes`` or ``running_speed``, by the session.
        bin_s
            Width of the bins of spikes and licks, in s; 0.01 for spikes and 0.05 for licks where
            None. As many whole bins as fit in the window, from its start.
        rate
            Whether spikes and licks are divided by the width of the bins: spikes/s, licks/s.
            Where None, spikes are (rates), and licks are not (counts in each bin).

        Returns
        -------
        DataArray
            Dimensions ``event`` and ``time`` (s relative to the event); before them
            ``cell_specimen_id`` for traces, ``unit_id`` for spikes. NaN beyond the recording.
            ``attrs["units"]`` says the unit, ``attrs["bin_s"]`` the width of a bin where there
            are some.

        Raises
        ------
        UsageError
            If the session has no such signal, the window runs backwards, or the bins do not fit
            the window.
        NotFoundError
            If the file does not hold the signal.
        """
        from openallen.sessions.align import aligned

        return aligned(self, events, window_s, of or self._aligns, bin_s=bin_s, rate=rate)

    def plot_overview(
        self, window_s: tuple[float, float] | None = None, cells: int = 8, units: int = 60
    ) -> Figure:
        """Return a picture of the session on one axis of time.

        Traces of cells, spikes of units, running, pupil, licks and rewards; what the file does
        not have is left out.

        Parameters
        ----------
        window_s
            From and to, in s on the session's clock; the first two minutes of task where None.
        cells
            Most traces to draw.
        units
            Most units to draw, evenly over all probes and depths.

        Raises
        ------
        NotFoundError
            If the file has none of these.
        """
        from openallen.sessions.plots import Plots

        return Plots(self).overview(window_s, cells, units)

    def plot_raster(
        self, window_s: tuple[float, float] | None = None, units: Sequence[int] | None = None
    ) -> Figure:
        """Return a picture of the spikes of units, or the events of cells, one row each.

        Parameters
        ----------
        window_s
            From and to, in s; the first two minutes of task where None.
        units
            Ids; all where None.
        """
        from openallen.sessions.plots import Plots

        return Plots(self).raster(window_s, units)

    def _facts(self) -> dict[str, object]:
        told = self.metadata
        return {
            "behavior session": told["behavior_session_id"],
            "session type": told["session_type"],
            "mouse": self._mouse_text(),
            "Cre line": told["cre_line"],
            "equipment": told["equipment_name"],
            "acquired": f"{told['date_of_acquisition']:%Y-%m-%d %H:%M} UTC",
            "duration": self._duration_text(),
            "file": self.name,
        }

    def _mouse_text(self) -> str:
        told = self.metadata
        age = told["age_in_days"]
        parts = (told["mouse_id"], told["sex"], None if age is None else f"P{age}")
        return ", ".join(str(part) for part in parts if part)

    def _visuals(self) -> tuple[Visual, ...]:
        from openallen.sessions.visuals import behavior_visuals

        return behavior_visuals(self)

    def _duration_text(self) -> str:
        from openallen.display import seconds_text

        place = "processing/stimulus/timestamps/timestamps"
        if not self.tree.has(place) or not self.tree.shape(place)[0]:
            return "no stimulus"
        return seconds_text(float(self.tree.item(place, -1)) - float(self.tree.item(place, 0)))


_NOT_TRIALS = ("lick_events", "tags", "timeseries")


def _trials(made: pd.DataFrame) -> pd.DataFrame:
    import numpy as np

    made = made.rename(columns={"stimulus_change": "is_change"})
    if "lick_times" in made:
        cells = np.empty(len(made), dtype=object)
        for at, cell in enumerate(made["lick_times"]):
            # One lick in every trial is stored as a plain column; none at all as empty text.
            found = np.atleast_1d(np.asarray(cell))
            cells[at] = found if found.dtype.kind == "f" else np.empty(0)
        made["lick_times"] = cells
    if "change_frame" in made:
        made["change_frame"] = made["change_frame"].fillna(-99).astype("int64")
    return made
