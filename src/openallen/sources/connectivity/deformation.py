"""Deformation fields: where a voxel of the reference space lies in an experiment's own images.

The service has one for each experiment, as a MetaImage in two files, ``.mhd`` and ``.raw``. The
header names the file of the values as its maker called it; here it is whatever was fetched.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.brainmap.builder import Search
from openallen.brainmap.files import file_url
from openallen.errors import CorruptError, NotFoundError, requiring
from openallen.formats.inflate import fits
from openallen.formats.metaimage import Header, frame_of, parse_header, read_metaimage
from openallen.plans import Plan, RemoteFile, fetch_command

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from openallen.brainmap import Client

__all__ = ["HEADER_NAME", "VALUES_NAME", "field_plan", "read_field"]

HEADER_NAME: Final = "dfmfld.mhd"
VALUES_NAME: Final = "dfmfld.raw"
"""What the files are called here, as in AllenSDK's cache."""

_TYPES: Final = {"DeformationFieldHeader": HEADER_NAME, "DeformationFieldVoxels": VALUES_NAME}
_AXES: Final = ("AP", "DV", "ML")


def field_plan(client: Client, number: int, to: Path) -> Plan:
    """Return the plan of the two files of an experiment's deformation field.

    Parameters
    ----------
    client
        Whom to ask which files these are.
    number
        The experiment.
    to
        The folder they go to.

    Raises
    ------
    NotFoundError
        If the service does not have both.
    """
    query = (
        Search.of("WellKnownFile")
        .where(attachable_id=number)
        .where("well_known_file_type", name=list(_TYPES))
        .include("well_known_file_type")
        .query
    )
    address = f"connectivity:{number}"
    found: dict[str, RemoteFile] = {}
    for row in client.rows(query):
        kind = (row.get("well_known_file_type") or {}).get("name")
        if kind not in _TYPES or kind in found or not isinstance(row.get("id"), int):
            continue
        found[kind] = RemoteFile(
            address=f"file:{row['id']}",
            url=file_url(client.base_url, row["id"]),
            path=_TYPES[kind],
            kind="deformation field",
            retry=fetch_command(address, to=to, source=client.source),
        )
    missing = [kind for kind in _TYPES if kind not in found]
    if missing:
        raise NotFoundError(
            "no deformation field of this experiment",
            address=address,
            why=f"the service has no {missing[0]} of it",
        )
    return Plan(
        address=address,
        title=f"Deformation field of experiment {number}",
        source=client.source,
        to=to,
        files=tuple(found[kind] for kind in _TYPES),
        notes=client.notes,
    )


@requiring("a deformation field", "atlas")
def read_field(header_path: Path, values_path: Path, attrs: dict[str, Any]) -> xr.DataArray:
    """Open a deformation field; values are read from the disk as they are wanted.

    Parameters
    ----------
    header_path, values_path
        The two files.
    attrs
        What else is known of it.

    Returns
    -------
    DataArray
        ``AP`` x ``DV`` x ``ML`` x ``component``: displacement along ``AP``, ``DV`` and ``ML`` in
        µm. Coordinates are µm of the middle of each voxel.

    Raises
    ------
    CorruptError
        If the header makes no sense, or the values are not vectors of three.
    TruncatedError
        If values are missing.
    """
    import numpy as np
    import xarray as xr

    name = str(header_path)
    try:
        data = header_path.read_bytes()
        header = parse_header(data, name)
        if len(header.shape) != 3 or header.channels != 3:
            told = f"{len(header.shape)} axes, {header.channels} values for each voxel"
            raise CorruptError("not a field of vectors", address=name, why=told)
        stored = _stored(header, data, values_path, name)
    except OSError as error:
        raise NotFoundError("the file cannot be read", address=name, why=str(error)) from error
    frame = frame_of(header, name)
    to_um = frame.spacing_um[0] / abs(header.spacing[-1])
    values = stored.transpose(2, 1, 0, 3)  # the file's first axis, AP, varies fastest
    if to_um != 1:
        values = values * values.dtype.type(to_um)
    places = {
        axis: (axis, (np.arange(size) + 0.5) * step, {"units": "µm"})
        for axis, size, step in zip(_AXES, values.shape, frame.spacing_um, strict=False)
    }
    return xr.DataArray(
        values,
        dims=(*_AXES, "component"),
        coords={**places, "component": list(_AXES)},
        name="deformation_field",
        attrs={"units": "µm", "spacing_um": list(frame.spacing_um), **attrs},
    )


def _stored(header: Header, data: bytes, path: Path, name: str) -> np.ndarray[Any, Any]:
    """Return the values as they lie in the file: mapped where they are plain, as they are large."""
    import numpy as np

    if header.compressed or header.data_file == "LOCAL":
        return read_metaimage(data, lambda _: path.read_bytes(), name)[1]
    fits(path.stat().st_size, header.data_bytes, str(path))
    mapped: np.ndarray[Any, Any] = np.memmap(
        path, header.dtype, mode="r", shape=(*header.shape, header.channels)
    )
    return mapped
