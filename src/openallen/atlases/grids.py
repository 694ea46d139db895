"""An expression grid: one section data set, summed up in cubes of 200 µm and less."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.address import Address
from openallen.display import card, facts_text
from openallen.errors import CorruptError, MissingExtraError, NotFoundError, UsageError
from openallen.formats.metaimage import Header, parse_header, read_metaimage
from openallen.formats.zips import Zip
from openallen.plans import Plan, RemoteFile
from openallen.transfer.job import FileJob

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from openallen.brainmap import Client

__all__ = ["KINDS", "ExpressionGrid", "GridJob", "plan_grid"]

KINDS: Final = ("energy", "density", "intensity")
"""What a grid can hold; `energy` is intensity times density."""

_AXES: Final = ("ML", "DV", "AP")


class ExpressionGrid:
    """The volumes of one section data set, as they came in a zip.

    Parameters
    ----------
    path
        The zip, or the folder a fetch put it in.

    Raises
    ------
    NotFoundError
        If there is none.
    """

    def __init__(self, path: Path | str) -> None:
        place = Path(path)
        if place.is_dir():
            found = sorted(place.glob("grid_*.zip"))
            if len(found) != 1:
                raise NotFoundError(
                    "there is no grid in this folder" if not found else "which grid?",
                    address=str(place),
                    why=", ".join(p.name for p in found),
                )
            place = found[0]
        if not place.exists():
            raise NotFoundError("there is no such grid", address=str(place))
        self.path = place
        self._zip = Zip(place)

    @functools.cached_property
    def kinds(self) -> tuple[str, ...]:
        """What the zip holds: ``energy``, ``density``, ``intensity``."""
        heads = [n.rpartition("/")[2] for n in self._zip.names if n.endswith(".mhd")]
        return tuple(sorted(n.removesuffix(".mhd") for n in heads))

    def volume(self, kind: str) -> xr.DataArray:
        """Give one volume.

        Returns
        -------
        DataArray
            float32, ``ML`` x ``DV`` x ``AP``, coordinates in µm of the middle of each voxel from
            the corner of the volume (AP from the front, DV from above, ML from the left). -1, which
            stands for no data, is NaN.

        Raises
        ------
        NotFoundError
            If the zip does not hold it.
        CorruptError
            If header and data contradict each other.
        """
        import numpy as np

        try:
            import xarray as xr
        except ImportError:
            raise MissingExtraError("nwb", "labelled arrays") from None
        if kind not in self.kinds:
            raise NotFoundError(
                f"this grid holds no {kind}",
                address=str(self.path),
                why="it holds " + ", ".join(self.kinds),
                hint=f"openallen fetch 'grid:ID?include={kind}'",
            )
        name = self._zip.find(f"{kind}.mhd")
        header, data = _read(self._zip, name, str(self.path))
        if data.ndim != 3:
            raise CorruptError(
                "a grid has three axes", address=str(self.path), why=f"{name} has {data.ndim}"
            )
        values = data.astype("float32")
        values[values == -1] = np.nan
        coordinates = {
            axis: (np.arange(size) + 0.5) * step
            for axis, size, step in zip(_AXES, header.shape, header.spacing, strict=True)
        }
        about = {"unit": "", "coordinates": "µm", "spacing_um": list(header.spacing)}
        return xr.DataArray(values, dims=_AXES, coords=coordinates, name=kind, attrs=about)

    @functools.cached_property
    def energy(self) -> xr.DataArray:
        """Intensity times density; see `volume`."""
        return self.volume("energy")

    @functools.cached_property
    def density(self) -> xr.DataArray:
        """Share of the pixels of each voxel that express; see `volume`."""
        return self.volume("density")

    @functools.cached_property
    def intensity(self) -> xr.DataArray:
        """How strongly those pixels express, 0 to 255; see `volume`."""
        return self.volume("intensity")

    def _facts(self) -> dict[str, object]:
        kind = self.kinds[0] if self.kinds else ""
        told: dict[str, object] = {"file": self.path, "holds": ", ".join(self.kinds)}
        if kind:
            head = parse_header(self._zip.read(self._zip.find(f"{kind}.mhd")), str(self.path))
            told["shape"] = " x ".join(map(str, head.shape)) + f" ({' x '.join(_AXES)})"
            told["voxel"] = " x ".join(f"{step:g}" for step in head.spacing) + " µm"
        return told

    def __repr__(self) -> str:
        return facts_text("expression grid", self._facts())

    def _repr_html_(self) -> str:
        return card("expression grid", self._facts())


class GridJob(FileJob):
    """A job that gives the grid it fetched, opened."""

    def result(self) -> object:
        """Open the grid."""
        return ExpressionGrid(self.plan.to / self.plan.files[0].path)


def _read(packed: Zip, name: str, where: str) -> tuple[Header, np.ndarray[Any, Any]]:
    """Read a volume of a zip; its data lie beside its header, or in one place somewhere."""
    folder = name.rpartition("/")[0]

    def beside(file: str) -> bytes:
        inside = f"{folder}/{file}" if folder else file
        return packed.read(inside if inside in packed.names else packed.find(file))

    return read_metaimage(packed.read(name), beside, f"{where}/{name}")


def _check(path: Path) -> dict[str, Any]:
    """See that every volume of a grid is whole, before the zip gets its name."""
    with Zip(path) as grid:
        heads = [n for n in grid.names if n.endswith(".mhd")]
        if not heads:
            raise CorruptError("there is no volume in this zip", why=", ".join(grid.names[:8]))
        for name in heads:
            _read(grid, name, "zip")
    return {"volumes": [n.rpartition("/")[2].removesuffix(".mhd") for n in heads]}


def plan_grid(client: Client, address: Address, to: Path) -> GridJob:
    """Plan the grid of one section data set: ``grid:69855739?include=energy,density``.

    Raises
    ------
    UsageError
        If something is asked for that grids do not hold.
    """
    told = address.option("include") or "energy"
    wanted = [word for word in told.split(",") if word]
    for word in wanted:
        if word not in KINDS:
            raise UsageError(f"grids hold no '{word}'", hint=", ".join(KINDS))
    name = "_".join(["grid", str(address.id), *wanted])
    include = ",".join(wanted)
    file = RemoteFile(
        address=str(address),
        url=f"{client.base_url}/grid_data/download/{address.id}?include={include}",
        path=f"{name}.zip",
        kind="grids",
        expects=frozenset({"zip"}),
        check=_check,
        retry=f"openallen fetch '{address}' --to {to}",
    )
    plan = Plan(
        address=str(address),
        title=f"{include} grid of section data set {address.id}",
        source=client.source,
        to=to,
        files=(file,),
        notes=client.notes,
        connections=4,
    )
    return GridJob(plan)
