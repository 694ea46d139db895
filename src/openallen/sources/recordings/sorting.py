"""Sortings as SpikeInterface writes them: units and their spikes, on the clock of a recording."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from openallen.display import card, count_text, facts_text
from openallen.errors import CorruptError, UsageError, requiring

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from openallen.sources.recordings.recording import Recording
    from openallen.visuals import Visual

__all__ = ["Sorting", "Train"]


@dataclass(frozen=True)
class Train:
    """All spikes of a sorting, by time.

    Parameters
    ----------
    sample
        Sample of each spike, counted from the beginning of its segment.
    unit
        Unit of each spike, as its place among the ids.
    segment
        Segment of each spike.
    """

    sample: np.ndarray[Any, Any]
    unit: np.ndarray[Any, Any]
    segment: np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True, repr=False)
class Sorting:
    """The units that a spike sorter found.

    Spikes are stored as samples. Which time that is, only the recording knows that was sorted: give
    it where times are asked for, and they are on its clock, else they count from the beginning of
    the segment.

    Parameters
    ----------
    place
        Path or URL.
    form
        ``numpy folder``, ``npz folder`` or ``zarr``.
    sampling_frequency_hz
        Sampling frequency in Hz.
    unit_ids
        Ids of the units, in the order of the properties.
    segments
        Number of segments.
    properties
        Values for each unit, by name.
    read
        Reads all spikes.
    """

    place: str
    form: str
    sampling_frequency_hz: float
    unit_ids: tuple[str, ...]
    segments: int
    properties: Mapping[str, np.ndarray[Any, Any]]
    read: Callable[[], Train]

    def __len__(self) -> int:
        return len(self.unit_ids)

    @cached_property
    def train(self) -> Train:
        """All spikes.

        Raises
        ------
        CorruptError
            If they differ in number, or name units or segments there are none of.
        """
        import numpy as np

        found = self.read()
        if not len(found.sample) == len(found.unit) == len(found.segment):
            why = f"{len(found.sample)}, {len(found.unit)} and {len(found.segment)} values"
            raise CorruptError("spikes do not match", address=self.place, why=why)
        for what, values, count in (
            ("unit", found.unit, len(self)),
            ("segment", found.segment, self.segments),
        ):
            if len(values) and not 0 <= int(np.min(values)) <= int(np.max(values)) < count:
                why = f"{what} {int(np.min(values))} to {int(np.max(values))} of {count}"
                said = f"spikes of a {what} that is not there"
                raise CorruptError(said, address=self.place, why=why)
        return found

    @cached_property
    def _spikes(self) -> dict[tuple[int, int], np.ndarray[Any, Any]]:
        """Samples of spikes, ascending, by segment and unit."""
        import numpy as np

        train = self.train
        order = np.lexsort((train.sample, train.unit, train.segment))
        keys = train.segment[order].astype(np.int64) * max(1, len(self)) + train.unit[order]
        edges = np.searchsorted(keys, np.arange(self.segments * len(self) + 1))
        samples = train.sample[order]
        return {
            divmod(n, len(self)): samples[edges[n] : edges[n + 1]]
            for n in range(self.segments * len(self))
        }

    def samples(self, unit: str | int, segment: int = 0) -> np.ndarray[Any, Any]:
        """Return the samples of the spikes of a unit, ascending.

        Raises
        ------
        UsageError
            If there is no such unit or segment.
        """
        if str(unit) not in self.unit_ids:
            known = ", ".join(self.unit_ids[:6])
            raise UsageError(f"no unit {unit}", address=self.place, why=f"{len(self)}: {known}, …")
        if not 0 <= segment < self.segments:
            why = f"it has {count_text(self.segments, 'segment')}, counted from 0"
            raise UsageError(f"no segment {segment}", address=self.place, why=why)
        return self._spikes[segment, self.unit_ids.index(str(unit))]

    def times_s(
        self, unit: str | int, segment: int = 0, *, recording: Recording | None = None
    ) -> np.ndarray[Any, Any]:
        """Return the times of the spikes of a unit in seconds, ascending.

        Parameters
        ----------
        unit
            Its id.
        segment
            Index of the segment.
        recording
            The recording that was sorted: times are on its clock.

        Raises
        ------
        UsageError
            If there is no such unit or segment, or the recording is another one.
        """
        found = self.samples(unit, segment)
        if recording is None:
            return found / self.sampling_frequency_hz
        rate = recording.sampling_frequency_hz
        if len(recording.segments) != self.segments or rate != self.sampling_frequency_hz:
            why = f"{count_text(len(recording.segments), 'segment')} at {rate:g} Hz"
            raise UsageError("not the recording that was sorted", address=self.place, why=why)
        return recording.times_of(found, segment)

    @requiring("a DataFrame", "tables")
    def units(self, segment: int = 0, *, recording: Recording | None = None) -> pd.DataFrame:
        """Return a table of units, as `units` of a session.

        Parameters
        ----------
        segment, recording
            As for `times_s`.

        Returns
        -------
        DataFrame
            By ``unit_id`` (text): ``spike_times`` in seconds, ``spike_count``, and the stored
            properties. ``attrs["clock"]`` is ``recording`` or ``segment``.
        """
        import pandas as pd

        times = [self.times_s(unit, segment, recording=recording) for unit in self.unit_ids]
        columns: dict[str, Any] = {}
        for name, values in self.properties.items():
            columns[name] = values if values.ndim == 1 else list(values)
        columns["spike_count"] = [len(one) for one in times]
        columns["spike_times"] = pd.Series(times, index=range(len(times)), dtype=object)
        table = pd.DataFrame(columns)
        table.index = pd.Index(list(self.unit_ids), name="unit_id")
        table.attrs["clock"] = "segment" if recording is None else "recording"
        return table

    def _facts(self) -> dict[str, object]:
        return {
            "units": f"{len(self):,}",
            "segments": self.segments if self.segments > 1 else None,
            "sampling": f"{self.sampling_frequency_hz:g} Hz",
            "properties": ", ".join(self.properties) or None,
            "times": "from the beginning of a segment; with recording=, on its clock",
            "format": self.form,
            "place": self.place,
        }

    def _visuals(self) -> tuple[Visual, ...]:
        from openallen.sources.recordings.visuals import visuals_of_sorting

        return visuals_of_sorting(self)

    def __repr__(self) -> str:
        return facts_text("Sorting", self._facts())

    def _repr_html_(self) -> str:
        return card("Sorting", self._facts())
