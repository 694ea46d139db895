"""Parts of an NWB 2 file as pynwb writes them, by h5py alone: tables, series, modules."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

import h5py
import numpy as np

__all__ = ["File", "Ragged"]

_TEXT: Final = h5py.string_dtype()
_NAMESPACE: Final = uuid.UUID("6f70656e-616c-6c65-6e20-73616d706c65")


class Ragged:
    """A column whose rows have any number of values.

    Parameters
    ----------
    rows
        Values of each row.
    """

    def __init__(self, rows: Sequence[Any]) -> None:
        self.values = np.concatenate([np.asarray(row) for row in rows])
        self.ends = np.cumsum([len(row) for row in rows])


class File:
    """An NWB 2 file that is written; object ids follow from names, so that it can be repeated.

    Parameters
    ----------
    file
        The file.
    told
        Texts at its root and below it, by path.
    """

    def __init__(self, file: h5py.File, told: Mapping[str, str]) -> None:
        self.file = file
        self._of = told["identifier"] + told["session_description"]
        self.tag(file, "core", "NWBFile", nwb_version="2.7.0")
        for name, value in told.items():
            file.create_dataset(name, data=value, dtype=_TEXT)
        when = told["session_start_time"]
        file.create_dataset("file_create_date", data=np.array([when], object), dtype=_TEXT)
        for name in (
            "acquisition", "analysis", "processing", "stimulus/presentation", "stimulus/templates",
            "general/devices", "general/extracellular_ephys",
        ):  # fmt: skip
            file.require_group(name)

    def tag(self, thing: Any, namespace: str, kind: str, **more: Any) -> Any:
        """Say of what type an object is."""
        seed = f"{self._of} {thing.name}"
        told = {"namespace": namespace, "neurodata_type": kind}
        told["object_id"] = str(uuid.uuid5(_NAMESPACE, seed))
        for name, value in {**told, **more}.items():
            thing.attrs[name] = value
        return thing

    def group(self, path: str, namespace: str, kind: str, **more: Any) -> h5py.Group:
        """Make a group of a type."""
        return self.tag(self.file.require_group(path), namespace, kind, **more)

    def put(self, path: str, values: Any, *, whole: bool = False) -> h5py.Dataset:
        """Write values: text as text, large ones compressed; in one chunk where `whole`."""
        values = np.asarray(values)
        if values.dtype.kind in "UO":
            return self.file.create_dataset(path, data=values.astype(object), dtype=_TEXT)
        if values.size < 200:
            return self.file.create_dataset(path, data=values)
        chunks = values.shape if whole or values.size < 60_000 else True
        return self.file.create_dataset(
            path, data=values, chunks=chunks, compression="gzip", compression_opts=9, shuffle=True
        )

    def series(self, path: str, data: Any, times: Any, unit: str, **more: Any) -> h5py.Group:
        """Write a TimeSeries; times can be a data set that is there already."""
        told = {"description": "simulated", "comments": "no comments"}
        place = self.group(path, "core", more.pop("kind", "TimeSeries"), **told)
        data = self.put(f"{path}/data", data)
        data.attrs.update({"conversion": 1.0, "offset": 0.0, "resolution": -1.0, "unit": unit})
        if isinstance(times, h5py.Dataset):
            place["timestamps"] = times
        else:
            times = self.put(f"{path}/timestamps", times)
            times.attrs.update({"interval": 1, "unit": "seconds"})
        return place

    def module(self, name: str) -> str:
        """Make a processing module; return its path."""
        self.group(f"processing/{name}", "core", "ProcessingModule", description="simulated")
        return f"processing/{name}"

    def table(
        self,
        path: str,
        ids: Any,
        columns: Mapping[str, Any],
        kind: tuple[str, str] = ("hdmf-common", "DynamicTable"),
    ) -> h5py.Group:
        """Write a table; a `Ragged` column gets its index."""
        place = self.group(path, *kind, description="simulated")
        place.attrs["colnames"] = np.array(list(columns), object)
        self.tag(self.put(f"{path}/id", ids), "hdmf-common", "ElementIdentifiers")
        for name, values in columns.items():
            if isinstance(values, Ragged):
                column = self.put(f"{path}/{name}", values.values, whole=True)
                index = self.put(f"{path}/{name}_index", values.ends)
                self.tag(
                    index, "hdmf-common", "VectorIndex",
                    target=column.ref, description=f"Index for VectorData '{name}'",
                )  # fmt: skip
            elif isinstance(values, list) and values and isinstance(values[0], h5py.Reference):
                column = self.file.create_dataset(
                    f"{path}/{name}", data=np.array(values, h5py.ref_dtype), dtype=h5py.ref_dtype
                )
            else:
                column = self.put(f"{path}/{name}", values)
            self.tag(column, "hdmf-common", "VectorData", description=name)
        return place

    def intervals(self, path: str, columns: Mapping[str, Any], series: h5py.Group) -> h5py.Group:
        """Write a table of intervals, which name the samples of a series that lie in them."""
        rows = len(columns["start_time"])
        place = self.table(path, np.arange(rows), columns, ("core", "TimeIntervals"))
        names = [*columns, "tags", "timeseries"]
        place.attrs["colnames"] = np.array(names, object)
        clock = series["timestamps"][()]
        begin = np.searchsorted(clock, columns["start_time"])
        count = np.searchsorted(clock, columns["stop_time"]) - begin
        kind = np.dtype([("idx_start", "i4"), ("count", "i4"), ("timeseries", h5py.ref_dtype)])
        found = np.empty(rows, kind)
        found["idx_start"], found["count"], found["timeseries"] = begin, count, series.ref
        tags = self.put(f"{path}/tags", np.array(["stimulus_time_interval"] * rows, object))
        self.tag(tags, "hdmf-common", "VectorData", description="user-defined tags")
        listed = self.file.create_dataset(f"{path}/timeseries", data=found)
        self.tag(listed, "core", "TimeSeriesReferenceVectorData", description="simulated")
        for column in (tags, listed):
            name = column.name.rpartition("/")[2]
            index = self.put(f"{path}/{name}_index", np.arange(1, rows + 1))
            self.tag(
                index, "hdmf-common", "VectorIndex",
                target=column.ref, description=f"Index for VectorData '{name}'",
            )  # fmt: skip
        return place
