"""Small NWB files for tests, in HDF5 and as hdmf-zarr lays them out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import zarr


def h5(path: Path, fill: Callable[[h5py.File], object] | None = None) -> Path:
    """Write what every NWB file has, and whatever else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.attrs["nwb_version"] = "2.7.0"
        for name in ("identifier", "session_description", "session_start_time"):
            file[name] = "x"
        file.create_group("acquisition")
        if fill is not None:
            fill(file)
    return path


def put_series(file: h5py.File, path: str, data: Any, times: Any = None, **attrs: Any) -> None:
    group = file.create_group(path)
    group.create_dataset("data", data=data)
    group["data"].attrs.update({"unit": "V", **attrs})
    if times is not None:
        group.create_dataset("timestamps", data=times)


def put_table(
    file: h5py.File, path: str, columns: Mapping[str, Any], *, ids: Any = None, names: Any = None
) -> h5py.Group:
    """Write a table; `names` is what it says of its columns, by default their names."""
    group = file.create_group(path)
    for name, values in columns.items():
        group.create_dataset(name, data=values)
        group[name].attrs["neurodata_type"] = (
            "VectorIndex" if name.endswith("_index") else "VectorData"
        )
    plain = [n for n in columns if not n.endswith("_index")]
    group.create_dataset("id", data=np.arange(len(columns[plain[0]])) if ids is None else ids)
    if names is None:
        names = np.array(plain, dtype=h5py.string_dtype())
    if names is not False:
        group.attrs["colnames"] = names
    return group


class Store:
    """A store as hdmf-zarr writes it: version 2, links and references as attributes.

    Parameters
    ----------
    folder
        Where it is made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._root = zarr.open_group(folder, mode="w", zarr_format=2)
        self._root.attrs["nwb_version"] = "2.7.0"
        self.group("acquisition")

    def group(self, path: str, **attrs: Any) -> None:
        self._root.require_group(path).attrs.update(attrs)

    def array(self, path: str, data: Any, **attrs: Any) -> None:
        made = self._root.create_array(path, data=np.asarray(data))
        made.attrs.update(attrs)

    def series(self, path: str, data: Any, times: Any) -> None:
        self.group(path)
        self.array(f"{path}/data", data, unit="V")
        self.array(f"{path}/timestamps", times)

    def link(self, group: str, name: str, path: str, source: str = ".") -> None:
        place = self.folder / group / ".zattrs"
        told = json.loads(place.read_text()) if place.exists() else {}
        links = [*told.get("zarr_link", []), {"name": name, "path": path, "source": source}]
        place.write_text(json.dumps({**told, "zarr_link": links}))

    def copied(self) -> None:
        """Write consolidated metadata, as hdmf-zarr does."""
        zarr.consolidate_metadata(self.folder, zarr_format=2)
