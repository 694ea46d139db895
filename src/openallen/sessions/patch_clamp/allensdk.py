"""AllenSDK's names for the sweeps of a cell: those of its ``NwbDataSet``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from openallen.errors import CorruptError, OpenAllenError, UsageError
from openallen.sessions.general import NwbTables
from openallen.sessions.patch_clamp.layout import SweepPlace
from openallen.sessions.patch_clamp.reading import Trace, pipeline_version
from openallen.sessions.patch_clamp.table import SPIKES, spike_place, spike_times

if TYPE_CHECKING:
    import numpy as np

__all__ = ["AllenCalls", "sweep_number_of"]

_METADATA: Final = (
    "aibs_stimulus_amplitude_pa",
    "aibs_stimulus_name",
    "gain",
    "initial_access_resistance",
    "seal",
)
_LONG: Final = {"A": "Amps", "V": "Volts"}


def sweep_number_of(number: Any, name: str) -> int:
    """Return the number of a sweep as a user gave it.

    Raises
    ------
    UsageError
        If it is no whole number.
    """
    from numbers import Integral

    if not isinstance(number, bool) and isinstance(number, Integral):
        return int(number)
    raise UsageError(
        "a sweep is named by its number",
        address=name,
        why=f"not by {str(number)[:60]!r}",
        hint="sweep_numbers",
    )


class AllenCalls(NwbTables):
    """The calls of AllenSDK's ``NwbDataSet``, with the values that they return there."""

    if TYPE_CHECKING:  # what they are made of, which the session has

        @property
        def sweep_numbers(self) -> list[int]: ...  # noqa: D102
        @property
        def experiment_sweep_numbers(self) -> list[int]: ...  # noqa: D102
        @property
        def _is_cell_types(self) -> bool: ...
        @property
        def _epochs(self) -> dict[str, dict[int, str]]: ...
        def _known(self, number: int) -> tuple[SweepPlace, ...]: ...
        def _one_place(self, number: Any, electrode: str | None) -> SweepPlace: ...
        def _traces(self, place: SweepPlace) -> dict[str, Trace | OpenAllenError]: ...
        def _span(
            self, number: int, traces: dict[str, Trace | OpenAllenError], source: str
        ) -> tuple[tuple[int, int], OpenAllenError | None]: ...

    def get_pipeline_version(self) -> tuple[int, int]:
        """Return the version of the pipeline that made the file; (0, 0) where it has none."""
        return pipeline_version(self.tree)

    def get_sweep_numbers(self) -> list[int]:
        """Return the numbers of the sweeps, in the order of their names in the file."""
        found = list(self._epochs["Sweep"]) if self._is_cell_types else []
        return found or self.sweep_numbers

    def get_experiment_sweep_numbers(self) -> list[int]:
        """Return the numbers of sweeps with an experiment, in the order of their names."""
        if self._is_cell_types:
            return list(self._epochs["Experiment"])
        return self.experiment_sweep_numbers

    def get_sweep(self, sweep_number: int) -> dict[str, Any]:
        """Return a sweep as AllenSDK does.

        Returns
        -------
        dict
            ``stimulus`` and ``response``, arrays in A and V; ``stimulus_unit``, ``"Amps"`` or
            ``"Volts"``; ``index_range``, first and last sample of the experiment;
            ``sampling_rate`` in Hz.

        Raises
        ------
        NotFoundError, CorruptError
            If stimulus or response are not there, or damaged.
        """
        place = self._one_place(sweep_number, None)
        traces = self._traces(place)
        for one in traces.values():
            if isinstance(one, OpenAllenError):
                raise one
        span, lacking = self._span(place.number, traces, f"{self.name} sweep {place.number}")
        if isinstance(lacking, CorruptError):
            raise lacking
        found = {role: one for role, one in traces.items() if isinstance(one, Trace)}
        unit = found["stimulus"].unit
        return {
            "stimulus": found["stimulus"].values,
            "response": found["response"].values,
            "stimulus_unit": _LONG.get(unit, unit),
            "index_range": span,
            "sampling_rate": found["stimulus"].timing.rate_hz,
        }

    def get_spike_times(self, sweep_number: int, key: str | None = None) -> np.ndarray[Any, Any]:
        """Return spike times in s from the begin of a sweep; none where the file has none of it.

        Parameters
        ----------
        sweep_number
            Its number.
        key
            Group of ``analysis`` that they are in; ``spike_times``, and in older files
            ``aibs_spike_times``, where None.
        """
        import numpy as np

        groups = SPIKES if key is None else (f"analysis/{key}",)
        found = spike_place(self.tree, sweep_number_of(sweep_number, self.name), groups)
        return np.empty(0) if found is None else spike_times(self.tree, found)

    def get_sweep_metadata(self, sweep_number: int) -> dict[str, Any]:
        """Return what the file says of the stimulus of a sweep, by the names of the file.

        Nothing where there is no such sweep, as in AllenSDK.
        """
        found = self._known(sweep_number_of(sweep_number, self.name))
        place = found[0].stimulus if found else None
        if place is None:
            return {}
        there = (n for n in _METADATA if self.tree.has(f"{place.path}/{n}"))
        told = {name: self.tree.value(f"{place.path}/{name}") for name in there}
        return {n: v if isinstance(v, (int, float, str)) else float("nan") for n, v in told.items()}
