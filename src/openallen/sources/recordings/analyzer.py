"""Sorting analyzers of SpikeInterface: units with templates and metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from openallen.display import card, facts_text
from openallen.errors import CorruptError, NotFoundError, requiring
from openallen.sources.recordings.channels import ids_of
from openallen.sources.recordings.kept import InFolder, InZarr, Kept
from openallen.sources.recordings.sorting import Sorting, Train

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr

    from openallen.formats.objects import Objects
    from openallen.sources.recordings.recording import Recording

__all__ = ["Analyzer", "open_sorting"]

_TABLES: Final = ("quality_metrics", "template_metrics", "spiketrain_metrics", "pca_metrics")


@dataclass(frozen=True, kw_only=True, repr=False)
class Analyzer:
    """What was computed of a sorting.

    Parameters
    ----------
    place
        Path or URL.
    form
        ``binary folder`` or ``zarr``.
    sorting
        The units and their spikes.
    extensions
        Names of what was computed: ``templates``, ``quality_metrics``, …
    channel_ids
        Ids of the channels of the recording; empty where they are not told.
    kept
        Where it is read.
    in_uv
        Whether amplitudes are µV.
    """

    place: str
    form: str
    sorting: Sorting
    extensions: tuple[str, ...]
    channel_ids: tuple[str, ...]
    kept: Kept
    in_uv: bool

    @requiring("a DataFrame", "tables")
    def metrics(self) -> pd.DataFrame:
        """Return all metrics of units: a row for each unit, by ``unit_id`` (text).

        Raises
        ------
        NotFoundError
            If none were computed.
        """
        import pandas as pd

        found: dict[str, Any] = {}
        for name in self.extensions:
            table = self.kept.table(f"extensions/{name}/metrics") if name in _TABLES else None
            if table is not None:
                found = {str(column): table[column] for column in table.columns} | found
        if not found:
            raise self._none("metrics")
        units = pd.Index(list(self.sorting.unit_ids), name="unit_id")
        return pd.DataFrame(found).reindex(units)

    @requiring("a DataFrame", "tables")
    def units(self, segment: int = 0, *, recording: Recording | None = None) -> pd.DataFrame:
        """Return `Sorting.units` with the metrics beside."""
        table = self.sorting.units(segment, recording=recording)
        try:
            metrics = self.metrics()
        except NotFoundError:
            return table
        new = [name for name in metrics.columns if name not in table.columns]
        joined = table.join(metrics[new])
        joined.attrs.update(table.attrs)
        return joined

    def templates(self, operator: str = "average") -> xr.DataArray:
        """Return the templates of all units.

        Parameters
        ----------
        operator
            ``average``, ``std``, or another that was computed.

        Returns
        -------
        DataArray
            Axes ``unit`` (ids), ``time`` (ms, 0 at the spike) and ``channel`` (ids); in µV where
            the traces were.

        Raises
        ------
        NotFoundError
            If they were not computed.
        CorruptError
            If they do not match units or channels.
        """
        import numpy as np

        with requiring("labelled templates", "ephys"):
            import xarray as xr
        values = self.kept.array(f"extensions/templates/{operator}")
        if values is None:
            raise self._none(f"templates ({operator})")
        channels = self.channel_ids or tuple(map(str, range(values.shape[-1])))
        units = self.sorting.unit_ids
        if values.ndim != 3 or (values.shape[0], values.shape[2]) != (len(units), len(channels)):
            why = f"{values.shape} for {len(units)} units and {len(channels)} channels"
            raise CorruptError("templates do not match", address=self.place, why=why)
        rate = self.sorting.sampling_frequency_hz
        before_ms = self.kept.told("extensions/templates", "params").get("ms_before", 0.0)
        first = int(float(before_ms) * rate / 1000)
        times = (np.arange(values.shape[1]) - first) / rate * 1000
        return xr.DataArray(
            values,
            dims=("unit", "time", "channel"),
            coords={
                "unit": list(units),
                "time": ("time", times, {"units": "ms"}),
                "channel": list(channels),
            },
            name=operator,
            attrs={"units": "µV" if self.in_uv else "1"},
        )

    def array(self, extension: str, name: str) -> np.ndarray[Any, Any]:
        """Return an array of an extension, as it is stored.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        found = self.kept.array(f"extensions/{extension}/{name}")
        if found is None:
            raise self._none(f"{extension}/{name}")
        return found

    def _none(self, what: str) -> NotFoundError:
        return NotFoundError(
            f"no {what} here", address=self.place, why=f"computed: {', '.join(self.extensions)}"
        )

    def _facts(self) -> dict[str, object]:
        return {
            "units": f"{len(self.sorting):,}",
            "channels": f"{len(self.channel_ids):,}" if self.channel_ids else None,
            "segments": self.sorting.segments if self.sorting.segments > 1 else None,
            "sampling": f"{self.sorting.sampling_frequency_hz:g} Hz",
            "computed": ", ".join(self.extensions) or None,
            "format": self.form,
            "place": self.place,
        }

    def __repr__(self) -> str:
        return facts_text("Sorting analyzer", self._facts())

    def _repr_html_(self) -> str:
        return card("Sorting analyzer", self._facts())


@requiring("a sorting", "ephys")
def open_sorting(place: Objects) -> Sorting | Analyzer:
    """Open a sorting, or a sorting analyzer, of SpikeInterface.

    Raises
    ------
    NotFoundError
        If there is none.
    CorruptError
        If it is not whole.
    MissingExtraError
        Without the extra ``ephys``.
    """
    kept: Kept = InFolder(place)
    form = "binary folder"
    about = kept.told("", "spikeinterface_info")
    if not about and any(place.get(key) is not None for key in (".zgroup", "zarr.json")):
        from openallen.formats.zarrs import Hierarchy

        kept, form = InZarr(Hierarchy(place, holes="refused")), "zarr"
        about = kept.told("", "spikeinterface_info")
    if about.get("object") != "SortingAnalyzer":
        return _sorting(kept)
    settings = kept.told("", "settings")
    folder = form != "zarr"
    recording = kept.told("recording_info", "recording_attributes")
    names = kept.members("extensions")
    try:
        channel_ids = ids_of(recording.get("channel_ids"))
    except TypeError as error:
        why = str(error)
        raise CorruptError("not an analyzer", address=place.name, why=why) from error
    return Analyzer(
        place=place.name,
        form=form,
        sorting=_sorting(kept.within("sorting"), place.name if folder else ""),
        extensions=tuple(sorted(names)),
        channel_ids=channel_ids,
        kept=kept,
        in_uv=bool(settings.get("return_in_uV", settings.get("return_scaled", False))),
    )


def _sorting(kept: Kept, name: str = "") -> Sorting:
    name = name or kept.name
    if isinstance(kept, InZarr):
        return _in_zarr(kept)
    assert isinstance(kept, InFolder)
    about = kept.told("", "numpysorting_info")
    if about:
        return _in_numpy(kept, about)
    packed = kept.archive("sorting_cached")
    if packed is None:
        raise NotFoundError("not a sorting", address=name, why="no numpysorting_info.json")
    return _in_npz(kept, packed)


def _made(
    kept: Kept,
    form: str,
    told: Mapping[str, Any],
    *,
    unit_ids: Any,
    read: Callable[[], Train],
    names: tuple[str, ...],
) -> Sorting:
    try:
        rate = float(told["sampling_frequency"])
        segments = int(told["num_segments"])
        ids = tuple(str(one) for one in unit_ids)
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptError(
            "incomplete description of a sorting", address=kept.name, why=repr(error)[:200]
        ) from error
    if rate <= 0 or segments < 1 or len(set(ids)) != len(ids):
        why = f"{len(ids)} units, {segments} segments at {rate:g} Hz"
        raise CorruptError("invalid description of a sorting", address=kept.name, why=why)
    properties = {}
    for name in names:
        values = kept.array(f"properties/{name}")
        if values is not None and values.ndim and values.shape[0] == len(ids):
            properties[name] = values
    return Sorting(
        place=kept.name,
        form=form,
        sampling_frequency_hz=rate,
        unit_ids=ids,
        segments=segments,
        properties=properties,
        read=read,
    )


def _must(found: Any, what: str, where: str) -> Any:
    if found is None:
        raise CorruptError(f"a sorting without {what}", address=where)
    return found


def _in_zarr(kept: InZarr) -> Sorting:
    import numpy as np

    told = kept.attributes()

    def read() -> Train:
        samples = _must(kept.array("spikes/sample_index"), "spikes", kept.name)
        units = _must(kept.array("spikes/unit_index"), "spikes", kept.name)
        slices = _must(kept.array("spikes/segment_slices"), "segments", kept.name)
        segments = np.full(len(samples), -1, np.int64)
        for n, (first, last) in enumerate(np.atleast_2d(slices).tolist()):
            segments[int(first) : int(last)] = n
        return Train(samples, units, segments)

    ids = _must(kept.array("unit_ids"), "unit ids", kept.name).tolist()
    return _made(kept, "zarr", told, unit_ids=ids, read=read, names=kept.members("properties"))


def _in_numpy(kept: InFolder, told: Mapping[str, Any]) -> Sorting:
    def read() -> Train:
        spikes = _must(kept.array("spikes"), "spikes", kept.name)
        fields = ("sample_index", "unit_index", "segment_index")
        if not set(fields) <= set(spikes.dtype.names or ()):
            raise CorruptError("spikes of another form", address=kept.name, why=str(spikes.dtype))
        return Train(*(spikes[field] for field in fields))

    ids, names = told.get("unit_ids"), kept.arrays("properties")
    return _made(kept, "numpy folder", told, unit_ids=ids, read=read, names=names)


def _in_npz(kept: InFolder, packed: Mapping[str, np.ndarray[Any, Any]]) -> Sorting:
    import numpy as np

    ids = _must(packed.get("unit_ids"), "unit ids", kept.name).tolist()
    count = int(np.ravel(_must(packed.get("num_segment"), "segments", kept.name))[0])
    rate = float(np.ravel(_must(packed.get("sampling_frequency"), "a rate", kept.name))[0])

    def read() -> Train:
        parts = []
        place = {unit: n for n, unit in enumerate(ids)}
        for n in range(count):
            samples = _must(packed.get(f"spike_indexes_seg{n}"), "spikes", kept.name)
            labels = _must(packed.get(f"spike_labels_seg{n}"), "spikes", kept.name)
            units = np.array([place.get(label, -1) for label in labels.tolist()], np.int64)
            parts.append((samples, units, np.full(len(samples), n)))
        columns = zip(*parts, strict=True)
        return Train(*(np.concatenate(column) for column in columns))

    told = {"sampling_frequency": rate, "num_segments": count}
    names = kept.arrays("properties")
    return _made(kept, "npz folder", told, unit_ids=ids, read=read, names=names)
