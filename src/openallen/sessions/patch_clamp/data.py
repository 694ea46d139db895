"""One sweep: its stimulus, its response, the part of it that is the experiment."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from openallen.display import facts_text, seconds_text
from openallen.errors import CorruptError, NotFoundError, OpenAllenError, UsageError
from openallen.sessions.patch_clamp.steps import after_test_pulse, stimulus_bounds

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

__all__ = ["SweepData"]


@dataclass(frozen=True, kw_only=True, repr=False)
class SweepData:
    """One sweep, in memory: it stays when the file is closed.

    Times are s from the begin of the sweep, also in its `experiment`; ``start_s`` in the
    attributes of both arrays is that begin on the clock of the experiment.

    Parameters
    ----------
    number
        Number of the sweep.
    source
        File and sweep, for messages.
    stimulus_name
        Name of the stimulus, ``Long Square``; None where the file does not say it.
    clamp_mode
        ``current_clamp``, ``voltage_clamp``, ``i_zero``; None where the file does not say it.
    rate_hz
        Samples per s.
    start_s
        Begin of the sweep on the clock of the experiment; NaN where the file does not say it.
    index_range
        First and last sample of the experiment, both of it, as AllenSDK has them: of the whole
        sweep where the file names no experiment epoch.
    """

    number: int
    source: str
    stimulus_name: str | None
    clamp_mode: str | None
    rate_hz: float
    start_s: float
    index_range: tuple[int, int]
    parts: Mapping[str, xr.DataArray | OpenAllenError] = field(compare=False)
    """Stimulus and response, or why there is none."""
    lacking: OpenAllenError | None = field(default=None, compare=False)
    """Why there is no `experiment`; None where there is one."""

    @property
    def stimulus(self) -> xr.DataArray:
        """What was applied: ``time`` (s from the begin of the sweep); A in current clamp, else V.

        Raises
        ------
        NotFoundError
            If the file has no stimulus of this sweep.
        CorruptError
            If it is damaged.
        """
        return self._part("stimulus")

    @property
    def response(self) -> xr.DataArray:
        """What was recorded: ``time`` (s from the begin of the sweep); V in current clamp, else A.

        Raises
        ------
        NotFoundError
            If the file has no response of this sweep.
        CorruptError
            If it is damaged.
        """
        return self._part("response")

    def _part(self, name: str) -> xr.DataArray:
        found = self.parts[name]
        if isinstance(found, OpenAllenError):
            raise found
        return found

    @property
    def experiment(self) -> SweepData:
        """The experiment epoch of this sweep: without test pulse, and what came after an early end.

        Files of NWB 2 name no such epoch; there it is what follows the test pulse that leads the
        stimulus, or all of the sweep where none does.

        Raises
        ------
        NotFoundError
            If the file names epochs, but none for this sweep.
        CorruptError
            If the epoch does not lie in the sweep.
        """
        if self.lacking is not None:
            raise self.lacking
        first, last = self.index_range
        return self._cut(first, last + 1)

    def _cut(self, first: int, last: int) -> SweepData:
        cut = {
            name: one if isinstance(one, OpenAllenError) else one.isel(time=slice(first, last))
            for name, one in self.parts.items()
        }
        return SweepData(
            number=self.number,
            source=self.source,
            stimulus_name=self.stimulus_name,
            clamp_mode=self.clamp_mode,
            rate_hz=self.rate_hz,
            start_s=self.start_s,
            index_range=(0, max(0, last - first - 1)),
            parts=cut,
        )

    def stimulus_span_s(self) -> tuple[float, float]:
        """Return begin and end of the stimulus in s from the begin of the sweep, no test pulse.

        Raises
        ------
        NotFoundError
            If nothing was applied in this sweep.
        """
        part = self._experiment_or_rest()
        stimulus = part.stimulus
        bounds = stimulus_bounds(stimulus.to_numpy())
        if bounds is None:
            raise NotFoundError(
                "nothing was applied in this sweep",
                address=self.source,
                why="its stimulus stays at rest",
                hint="to_efel(stimulus_s=(start_s, end_s))",
            )
        times = stimulus["time"].to_numpy()
        step = 1.0 / part.rate_hz
        return float(times[bounds[0]]), float(times[bounds[1] - 1] + step)

    def _experiment_or_rest(self) -> SweepData:
        if self.lacking is None:
            return self.experiment
        if not isinstance(self.lacking, NotFoundError):
            raise self.lacking
        begin = after_test_pulse(self.stimulus.to_numpy(), self.rate_hz)
        return self._cut(begin, max(one.sizes["time"] for one in self.parts.values()
                                    if not isinstance(one, OpenAllenError)))  # fmt: skip

    def to_efel(self, stimulus_s: tuple[float, float] | None = None) -> dict[str, Any]:
        """Return the sweep as eFEL takes it; `efel.get_feature_values` takes a list of these.

        Only the experiment is in it, so that no test pulse is taken for part of the experiment.

        Parameters
        ----------
        stimulus_s
            Begin and end of the stimulus in s from the begin of the sweep; as the stimulus itself
            tells them where None.

        Returns
        -------
        dict
            ``T`` in ms from the begin of the sweep, ``V`` in mV, and ``stim_start`` and
            ``stim_end`` in ms, each a list of one.

        Raises
        ------
        UsageError
            If it is no sweep in current clamp, or `stimulus_s` is no stretch of time.
        NotFoundError
            If it has no response, or no stimulus where None is given.
        CorruptError
            If the response holds no voltages.
        """
        import numpy as np

        response = self.response
        if response.attrs["units"] != "V":
            raise UsageError(
                "eFEL takes voltages, recorded in current clamp",
                address=self.source,
                why=f"{self.clamp_mode or 'unknown mode'}, in {response.attrs['units'] or '?'}",
                hint="sweeps.query(\"clamp_mode == 'current_clamp'\")",
            )
        start, end = _stretch(stimulus_s) if stimulus_s else self.stimulus_span_s()
        part = self._experiment_or_rest() if not self._bare else self
        volts = part.response.to_numpy().astype(float)
        broken = np.flatnonzero(~np.isfinite(volts))
        last = int(broken[0]) if len(broken) else len(volts)
        if last < 2:
            raise CorruptError("a response without voltages", address=self.source)
        return {
            "T": part.response["time"].to_numpy()[:last] * 1000,
            "V": volts[:last] * 1000,
            "stim_start": [start * 1000],
            "stim_end": [end * 1000],
        }

    @property
    def _bare(self) -> bool:
        """Whether there is neither an epoch nor a stimulus to tell a test pulse by."""
        missing = isinstance(self.parts["stimulus"], OpenAllenError)
        return missing and isinstance(self.lacking, NotFoundError)

    def __repr__(self) -> str:
        return facts_text(f"sweep {self.number}", self._facts())

    def _facts(self) -> dict[str, object]:
        told: dict[str, object] = {
            "stimulus": self.stimulus_name,
            "clamp": (self.clamp_mode or "").replace("_", " ") or None,
            "rate": f"{self.rate_hz:,.0f} Hz",
        }
        for name, one in self.parts.items():
            if isinstance(one, OpenAllenError):
                told[f"{name} trace"] = f"none ({one.what})"
            else:
                told[f"{name} trace"] = _trace_text(one)
        first, last = self.index_range
        told["experiment"] = f"samples {first:,} to {last:,}" if self.lacking is None else "none"
        if not math.isnan(self.start_s):
            told["begin"] = f"{self.start_s:,.3f} s on the clock of the experiment"
        return told


def _trace_text(one: xr.DataArray) -> str:
    values: np.ndarray[Any, Any] = one.to_numpy()
    count = len(values)
    if not count:
        return "no samples"
    length_s = count / one.attrs["rate_hz"]
    length = seconds_text(length_s) if length_s >= 1 else f"{length_s * 1000:.3g} ms"
    unit = one.attrs["units"]
    factor, name = {"V": (1e3, "mV"), "A": (1e12, "pA")}.get(unit, (1.0, unit))
    low, high = float(values.min()) * factor, float(values.max()) * factor
    return f"{count:,} samples, {length}, {low:,.4g} to {high:,.4g} {name}"


def _stretch(given: tuple[float, float]) -> tuple[float, float]:
    try:
        start, end = (float(one) for one in given)
    except (TypeError, ValueError):
        start = end = math.nan
    if not start < end or not math.isfinite(end - start):
        raise UsageError("a stretch of time is two numbers, in s", why=repr(given)[:80])
    return start, end
