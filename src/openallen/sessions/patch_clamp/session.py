"""A patch-clamp recording and its sweeps."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from openallen.errors import (
    CorruptError,
    IntegrityError,
    NotFoundError,
    OpenAllenError,
    UsageError,
)
from openallen.formats.nwb.values import number as number_in
from openallen.sessions.patch_clamp.allensdk import AllenCalls, sweep_number_of
from openallen.sessions.patch_clamp.data import SweepData
from openallen.sessions.patch_clamp.layout import (
    SweepPlace,
    electrode_name,
    holds_sweeps,
    is_cell_types,
    numbers_in,
    own_number,
    place_of,
    sweep_places,
)
from openallen.sessions.patch_clamp.reading import (
    Trace,
    applies_conversion,
    read_trace,
)
from openallen.sessions.patch_clamp.steps import after_test_pulse
from openallen.sessions.patch_clamp.table import (
    COLUMNS,
    SPIKES,
    TEXTS,
    clamp_mode,
    spike_place,
    spike_times,
    stimulus_name,
    sweep_row,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr
    from matplotlib.figure import Figure

    from openallen.formats.nwb import Tree
    from openallen.visuals import Visual

__all__ = ["PatchClampSession"]


class PatchClampSession(AllenCalls):
    """A patch-clamp recording of a cell: Cell Types (NWB 1), MIES, patch-seq and others (NWB 2).

    Sweeps are read one at a time, in A and V. Files of Cell Types made by a pipeline before 1.1
    hold A and V already: the conversions they name are wrong, and are not applied. Other series
    and tables of the file are there as in `NwbTables`.

    Parameters
    ----------
    opener, name, path
        As for `NwbSession`.
    """

    kind: ClassVar[str] = "patch_clamp"
    _names: ClassVar[tuple[str, ...]] = (
        "experiment_sweep_numbers",
        "fi_curve",
        "get_experiment_sweep_numbers",
        "get_pipeline_version",
        "get_spike_times",
        "get_sweep",
        "get_sweep_metadata",
        "get_sweep_numbers",
        "metadata",
        "plot",
        "plot_overview",
        "series",
        "series_names",
        "spike_times",
        "sweep",
        "sweep_numbers",
        "sweeps",
        "table",
        "table_names",
        "to_efel",
    )

    @classmethod
    def knows(cls, tree: Tree) -> bool:
        """Return whether a file holds sweeps of a patched cell."""
        return holds_sweeps(tree)

    # --- which sweeps there are -------------------------------------------------------------------

    @functools.cached_property
    def _is_cell_types(self) -> bool:
        return is_cell_types(self.tree)

    @functools.cached_property
    def _conversion(self) -> bool:
        return applies_conversion(self.tree)

    @functools.cached_property
    def _places(self) -> dict[int, tuple[SweepPlace, ...]]:
        return sweep_places(self.tree)

    def _sweep_places(self, number: Any) -> tuple[SweepPlace, ...]:
        """Return where a sweep is, once for each electrode."""
        wanted = sweep_number_of(number, self.name)
        found = self._known(wanted)
        if not found:
            raise NotFoundError(
                f"no sweep {wanted} in this file",
                address=self.name,
                why=f"it has {_ranges(self.sweep_numbers) or 'none'}",
                hint="sweep_numbers",
            )
        return found

    def _known(self, number: int) -> tuple[SweepPlace, ...]:
        """Return where a sweep is, without a list of all where its usual names are there."""
        if "_places" in self.__dict__:
            return self._places.get(number, ())
        found = place_of(self.tree, number, cell_types=self._is_cell_types)
        if found and self._is_cell_types:
            return found
        told = own_number(self.tree, found[0].any_path) if found else None
        # What a series says itself is believed, not its name.
        return found if told == number else self._places.get(number, ())

    def _one_place(self, number: Any, electrode: str | None) -> SweepPlace:
        found = self._sweep_places(number)
        if electrode is None and len(found) == 1:
            return found[0]
        names = {electrode_name(self.tree, one) or one.name: one for one in found}
        if electrode in names:
            return names[electrode]
        several = "several electrodes recorded this sweep"
        raise UsageError(
            several if electrode is None else f"no electrode '{electrode}' in this sweep",
            address=f"{self.name} sweep {number}",
            why=", ".join(names),
            hint=f"sweep({number}, electrode={next(iter(names))!r})",
        )

    @property
    def sweep_numbers(self) -> list[int]:
        """Numbers of the sweeps, in ascending order."""
        return list(self._places)

    @property
    def experiment_sweep_numbers(self) -> list[int]:
        """Numbers of the sweeps that have an experiment epoch, in ascending order.

        Files of NWB 2 name no such epochs: there these are all that have a response.
        """
        if self._is_cell_types:
            return sorted(self._epochs["Experiment"])
        return [n for n, found in self._places.items() if any(one.response for one in found)]

    @functools.cached_property
    def _epochs(self) -> dict[str, dict[int, str]]:
        """Names of the epochs, by their word and number."""
        return {word: numbers_in(self.tree, "epochs", word) for word in ("Sweep", "Experiment")}

    @functools.cached_property
    def sweeps(self) -> pd.DataFrame:
        """Table of the sweeps, a row for each electrode of each.

        Index ``sweep_number``. Columns: ``stimulus_name``; ``clamp_mode`` (``current_clamp``,
        ``voltage_clamp``, ``i_zero``); ``amplitude_pa``; ``rate_hz``; ``seal_gohm``,
        ``bridge_balance_mohm`` and ``initial_access_resistance_mohm``; ``gain``; ``start_s`` on
        the clock of the experiment; ``duration_s``; ``spikes``, how many the file lists;
        ``electrode``. NaN and None where the file does not say it.
        """
        import pandas as pd

        rows = [sweep_row(self.tree, one) for one in self.places]
        index = pd.Index([one.number for one in self.places], name="sweep_number", dtype="int64")
        # pandas would make NaN of a None among text.
        return pd.DataFrame(
            {
                name: pd.Series(
                    [row[name] for row in rows],
                    index=index,
                    dtype=object if name in TEXTS else float,
                )
                for name in COLUMNS
            }
        )

    @functools.cached_property
    def places(self) -> list[SweepPlace]:
        """Where the sweeps lie in the file, in the order of the rows of `sweeps`."""
        return [one for several in self._places.values() for one in several]

    # --- one sweep --------------------------------------------------------------------------------

    def trace(self, place: SweepPlace, role: str) -> Trace:
        """Return the samples of a sweep in A or V, as they lie in the file.

        Parameters
        ----------
        place
            One of `places`.
        role
            ``stimulus`` or ``response``.

        Raises
        ------
        NotFoundError
            If the sweep has none.
        CorruptError
            If they are damaged.
        """
        where = place.response if role == "response" else place.stimulus
        if where is None:
            raise NotFoundError(
                f"this sweep has no {role}",
                address=f"{self.name} sweep {place.number}",
                why="the file has no such series",
            )
        return read_trace(self.tree, where, conversion=self._conversion)

    def sweep(self, number: int, electrode: str | None = None) -> SweepData:
        """Return a sweep: ``stimulus`` and ``response`` in A and V, ``experiment``; read at once.

        Parameters
        ----------
        number
            Its number.
        electrode
            Which electrode, where several recorded it; the only one where None.

        Raises
        ------
        NotFoundError
            If there is no such sweep, or it has neither stimulus nor response.
        UsageError
            If several electrodes recorded it and none is named, or there is no such one.
        CorruptError
            If both are damaged.
        """
        place = self._one_place(number, electrode)
        source = f"{self.name} sweep {place.number}"
        traces = self._traces(place)
        told = _either(traces)
        span, lacking = self._span(place.number, traces, source)
        arrays: dict[tuple[int, float], Any] = {}  # of one time axis where both have the same
        return SweepData(
            number=place.number,
            source=source,
            stimulus_name=stimulus_name(self.tree, place),
            clamp_mode=clamp_mode(self.tree, place),
            rate_hz=told.timing.rate_hz,
            start_s=told.timing.start_s,
            index_range=span,
            parts={
                role: one if isinstance(one, OpenAllenError) else _labelled(one, role, arrays)
                for role, one in traces.items()
            },
            lacking=lacking,
        )

    def _traces(self, place: SweepPlace) -> dict[str, Trace | OpenAllenError]:
        there = [one for one in (place.stimulus, place.response) if one and not one.span]
        self.tree.ready([f"{one.path}/data" for one in there])
        made: dict[str, Trace | OpenAllenError] = {}
        for role in ("stimulus", "response"):
            try:
                made[role] = self.trace(place, role)
            except (IntegrityError, NotFoundError) as error:
                made[role] = error
        return made

    def _span(
        self, number: int, traces: dict[str, Trace | OpenAllenError], source: str
    ) -> tuple[tuple[int, int], OpenAllenError | None]:
        """Return first and last sample of the experiment, and why there is none."""
        told = _either(traces)
        last = len(told.values) - 1
        if not self._is_cell_types:
            given = traces["stimulus"]
            rate = told.timing.rate_hz
            first = after_test_pulse(given.values, rate) if isinstance(given, Trace) else 0
            return (min(first, last), last), None
        try:
            if self._epoch_folder("Experiment", number):
                return self._epoch("Experiment", number, last + 1), None
            missing = NotFoundError(
                "this sweep has no experiment epoch",
                address=source,
                why=f"epochs/Experiment_{number} is not in the file",
                hint="response and stimulus have the whole sweep",
            )
            if self._epoch_folder("Sweep", number):
                return self._epoch("Sweep", number, last + 1), missing
        except CorruptError as error:
            return (0, last), error
        return (0, last), missing

    def _epoch_folder(self, word: str, number: int) -> str:
        """Return where an epoch is; empty where there is none."""
        usual = f"epochs/{word}_{number}"
        return usual if self.tree.has(usual) else ""

    def _epoch(self, word: str, number: int, count: int) -> tuple[int, int]:
        """Return first and last sample of an epoch of a sweep of `count` samples."""
        folder = self._epoch_folder(word, number)
        for role in ("stimulus", "response"):
            place = f"{folder}/{role}"
            if self.tree.has(f"{place}/idx_start"):
                break
        else:
            raise CorruptError("an epoch without idx_start", address=self.name, why=folder)
        first = self._index(f"{place}/idx_start")
        if self.tree.has(f"{place}/count"):
            last = first + self._index(f"{place}/count") - 1
        else:  # older files name the last sample; some the one behind it
            last = min(self._index(f"{place}/idx_stop"), count - 1)
        if not 0 <= first <= last < count or (word == "Sweep" and first):
            raise CorruptError(
                "an epoch does not lie in its sweep",
                address=self.name,
                why=f"{place}: samples {first:,} to {last:,} of {count:,}",
            )
        return first, last

    def _index(self, path: str) -> int:
        if not self.tree.has(path):
            raise CorruptError("an epoch without its end", address=self.name, why=path)
        found = number_in(self.tree.value(path), path, self.name)
        if not abs(found) < 1e15:  # NaN neither
            raise CorruptError("not a sample's place", address=self.name, why=f"{path}: {found}")
        return int(found)

    def spike_times(self, number: int) -> np.ndarray[Any, Any]:
        """Return the spike times that the file lists for a sweep, in s from its begin.

        Raises
        ------
        NotFoundError
            If there is no such sweep, or the file lists no spike times of any.
        CorruptError
            If they are no row of numbers.
        """
        import numpy as np

        places = self._sweep_places(number)
        found = spike_place(self.tree, places[0].number)
        if found is not None:
            return spike_times(self.tree, found)
        if not any(self.tree.has(group) for group in SPIKES):
            raise NotFoundError(
                "this file lists no spike times",
                address=self.name,
                why=f"none of {', '.join(SPIKES)} is in it",
                hint=f"to_efel({number}) is what eFEL detects spikes in",
            )
        return np.empty(0)

    def to_efel(self, number: int, stimulus_s: tuple[float, float] | None = None) -> dict[str, Any]:
        """Return a sweep as eFEL takes it; see `SweepData.to_efel`."""
        return self.sweep(number).to_efel(stimulus_s)

    @functools.cached_property
    def fi_curve(self) -> pd.DataFrame:
        """Firing rate over current: a row for each long step of current.

        Index ``sweep_number``; ``current_pa``, ``rate_hz`` (spikes per s of the step), ``spikes``,
        ``start_s`` and ``duration_s`` of the step, from the begin of the sweep. Spikes are those
        that the file lists, else rises above -20 mV. Steps of 0.2 s and more count, and those of
        sweeps that are called ``Long Square``.

        Raises
        ------
        NotFoundError
            If no sweep has such a step.
        """
        from openallen.sessions.patch_clamp.firing import fi_table

        return fi_table(self)

    # --- the file ---------------------------------------------------------------------------------

    def series(
        self,
        name: str,
        start_s: float | None = None,
        end_s: float | None = None,
        *,
        channels: Sequence[int] | None = None,
        scaled: bool = True,
    ) -> xr.DataArray:
        """Return a series over time, or a part of it; see `NwbTables.series`.

        The conversions of a file whose values are in A and V already are not applied; then
        ``attrs["notes"]`` says so.
        """
        from openallen.sessions.series import read_series

        path = self._path(name, 1)
        made = read_series(
            self.tree,
            path,
            (start_s, end_s),
            channels=channels,
            scaled=scaled,
            called=name,
            conversion=self._conversion,
        )
        told = self.tree.attrs(f"{path}/data").get("conversion", 1.0)
        if scaled and not self._conversion and told != 1.0:
            version = ".".join(map(str, self.get_pipeline_version()))
            said = f"in {made.attrs['units']} as stored: pipeline {version} names wrong ones"
            made.attrs["notes"] = "; ".join(filter(None, [made.attrs.get("notes"), said]))
        return made

    # --- what it looks like -----------------------------------------------------------------------

    def plot(self, stimuli: Sequence[str] | None = None, most: int = 6) -> Figure:
        """Return a picture: sweeps over each other, a panel for each stimulus, and the FI curve.

        Parameters
        ----------
        stimuli
            Names of stimuli to draw; the `most` with the most sweeps where None.
        most
            How many panels at most.

        Raises
        ------
        NotFoundError
            If there is no sweep of these.
        """
        from openallen.sessions.patch_clamp.plots import draw_sweeps

        return draw_sweeps(self, stimuli, most)

    def plot_overview(self) -> Figure:
        """Return the picture that ``openallen show --picture`` draws: `plot` as it is."""
        return self.plot()

    def _visuals(self) -> tuple[Visual, ...]:
        from openallen.sessions.general_visuals import general_visuals
        from openallen.sessions.patch_clamp.visuals import sweep_visuals

        tables, series = self._found
        mine = {
            one.path
            for found in self._places.values()
            for place in found
            for one in (place.response, place.stimulus)
            if one
        }
        # Links of epochs lead to the sweeps themselves.
        rest = {n: p for n, p in series.items() if p not in mine and not p.startswith("epochs/")}
        return (*sweep_visuals(self), *general_visuals(self, tables, rest))

    def _picture(self) -> str:
        if self.path is None:  # a picture of a file far away would cost all of it
            return ""
        from openallen.sessions.patch_clamp.plots import small_picture

        return small_picture(self)

    def _facts(self) -> dict[str, object]:
        told: dict[str, object] = dict(self.metadata)
        for name in ("aibs_specimen_id", "aibs_specimen_name"):
            if self.tree.has(f"general/{name}"):
                told[name.removeprefix("aibs_").replace("_", " ")] = str(
                    self.tree.value(f"general/{name}")
                )
        told["sweeps"] = f"{len(self.sweep_numbers)}: {_ranges(self.sweep_numbers)}"
        if self.path is not None:
            names = Counter(n or "unnamed" for n in self.sweeps["stimulus_name"])
            told["stimuli"] = ", ".join(f"{name} ({count})" for name, count in names.most_common(8))
            modes = Counter(m for m in self.sweeps["clamp_mode"] if m)
            told["clamp"] = ", ".join(f"{m.replace('_', ' ')} ({n})" for m, n in modes.items())
        if self._is_cell_types:
            told["pipeline"] = ".".join(map(str, self.get_pipeline_version()))
        told["file"] = self.name
        return {name: value for name, value in told.items() if value}


def _ranges(numbers: Sequence[int], most: int = 8) -> str:
    """Write numbers as people do: ``4 to 13, 20``."""
    runs: list[list[int]] = []
    for one in numbers:
        if runs and one == runs[-1][-1] + 1:
            runs[-1][1:] = [one]
        else:
            runs.append([one])
    text = [str(r[0]) if len(r) == 1 else f"{r[0]} to {r[-1]}" for r in runs]
    return ", ".join(text[:most]) + (", …" if len(text) > most else "")


def _either(traces: dict[str, Trace | OpenAllenError]) -> Trace:
    """Return the response, else the stimulus; raise why there is neither."""
    for role in ("response", "stimulus"):
        one = traces[role]
        if isinstance(one, Trace):
            return one
    errors = [one for one in traces.values() if isinstance(one, OpenAllenError)]
    raise next((e for e in errors if isinstance(e, CorruptError)), errors[-1])


def _labelled(trace: Trace, role: str, known: dict[tuple[int, float], Any]) -> xr.DataArray:
    from openallen.sessions.arrays import xarray

    key = (trace.timing.count, trace.timing.rate_hz)
    times = known.get(key) if trace.stamps_s is None else None
    if times is None:
        times = xarray().IndexVariable("time", trace.times_s, {"units": "s"})
        if trace.stamps_s is None:
            known[key] = times
    made: xr.DataArray = xarray().DataArray(
        trace.values,
        dims=("time",),
        coords={"time": times},
        name=role,
        attrs={
            "units": trace.unit,
            "start_s": trace.timing.start_s,
            "rate_hz": trace.timing.rate_hz,
        },
    )
    return made
