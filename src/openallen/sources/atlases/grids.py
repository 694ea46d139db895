"""Grids of one section data set, as they lie in a folder: expression, and connectivity."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.display import card, facts_text
from openallen.errors import (
    CorruptError,
    IntegrityError,
    NotFoundError,
    OpenAllenError,
    UsageError,
)
from openallen.formats.metaimage import parse_header, read_metaimage
from openallen.formats.thumbnails import gray_thumbnail
from openallen.formats.zips import Zip
from openallen.sources.atlases.data_set_xml import NAMES, alignment_in_xml, row_of_xml
from openallen.sources.atlases.frames import AXES, label
from openallen.sources.atlases.models import CONNECTIVITY, EXPRESSION, DataSet, Kind
from openallen.sources.atlases.volume_files import read_volume_file
from openallen.store.disk import read_object

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from openallen.brainmap.alignment import SetAlignment
    from openallen.sources.atlases.visuals import AnyAtlas
    from openallen.visuals import Visual

__all__ = ["ConnectivityGrid", "ExpressionGrid", "facts_name", "grid_name", "open_grid"]

_NAME: Final = re.compile(r"grid_(?P<id>\d+)_(?P<kinds>[a-z_]+?)(?:_(?P<um>\d+))?\.(zip|nrrd)")

_OTHERS: Final = re.compile(
    r"(?:structure|annotation|average_template|ara_nissl)_\d+\.nrrd", re.IGNORECASE
)
"""Masks, annotations and templates, as the service calls them."""
_QUICK_BYTES: Final = 4 << 20
"""What is read for a small picture."""


def grid_name(data_set_id: int, kinds: str, resolution_um: int | None = None) -> str:
    """Return the name of a grid's file: ``grid_69855739_energy.zip``."""
    if resolution_um is None:
        return f"grid_{data_set_id}_{kinds}.zip"
    return f"grid_{data_set_id}_{kinds}_{resolution_um}.nrrd"


def facts_name(data_set_id: int) -> str:
    """Return the name of the file that says what a data set is."""
    return f"data_set_{data_set_id}.json"


class _Grid:
    """What both sorts of grid have in common: files of one data set, and its facts."""

    _title = "grid"
    _known: Mapping[str, Kind]

    def __init__(self, files: list[Path]) -> None:
        self.files = tuple(files)
        ids = {m["id"] for p in files if (m := _NAME.fullmatch(p.name))}
        self._named_id = int(next(iter(ids))) if len(ids) == 1 else None
        # Opens the atlas of its reference space; and where views keep what they made.
        self.outlines: Callable[[], AnyAtlas] | None = None
        self.cache: Path | None = None

    @functools.cached_property
    def _told(self) -> dict[str, Any]:
        """What was kept beside the files; empty where that is not there, or no JSON."""
        return read_object(self.files[0].parent / facts_name(self.data_set_id or 0))

    @functools.cached_property
    def _described(self) -> tuple[dict[str, Any] | None, str]:
        """What the files themselves say of the data set, and why that cannot be read."""
        return None, ""

    @property
    def data_set_id(self) -> int | None:
        """Id of the data set: of the files' names, else as the files say; None if neither does."""
        if self._named_id is not None:
            return self._named_id
        row, _ = self._described
        return row["id"] if row else None

    @functools.cached_property
    def data_set(self) -> DataSet | None:
        """What the service says of the data set, beside the files or in them; None if nothing."""
        row = self._told.get("row")
        if not isinstance(row, dict) or row.get("id") != self.data_set_id:
            row, _ = self._described
        if not row or row.get("id") != self.data_set_id:
            return None
        try:
            return DataSet.from_row(row)
        except ValueError:
            return None

    def known(self, kind: str) -> Kind | None:
        """Return what is known of a kind of volume; None for one that the service has not."""
        return self._known.get(kind)

    def _attrs(self, kind: str) -> dict[str, Any]:
        known = self.known(kind)
        about: dict[str, Any] = {"data_set_id": self.data_set_id}
        if self.data_set is not None:
            about |= self.data_set.attrs()
        if known is not None:
            about |= {"long_name": known.title, "units": known.units}
        return about | ({"simulated": True} if self.simulated else {})

    @property
    def simulated(self) -> bool:
        """Whether the service made its volumes up."""
        return bool(self._told.get("simulated"))

    @property
    def kinds(self) -> tuple[str, ...]:
        """What there is of it here."""
        raise NotImplementedError

    def volume(self, kind: str) -> xr.DataArray:
        """Return one volume."""
        raise NotImplementedError

    def to_dataset(self) -> xr.Dataset:
        """Return all volumes that are here as one Dataset."""
        import xarray as xr

        return xr.Dataset({kind: self.volume(kind) for kind in self.kinds})

    def absent(self, kind: str) -> NotFoundError:
        """Return the error that says that a volume is not here, and what brings it."""
        number = self.data_set_id or "ID"
        return NotFoundError(
            f"this grid has no {kind}",
            address=str(self.files[0]),
            why="it holds " + ", ".join(self.kinds),
            hint=f"openallen fetch 'grid:{number}?include={kind}'",
        )

    def _facts(self) -> dict[str, object]:
        told: dict[str, object] = {
            "data set": self.data_set_id,
            "holds": ", ".join(self.kinds),
            "folder": self.files[0].parent,
        }
        if self.data_set is not None:
            known = self.data_set
            told |= {"gene": known.gene, "plane of section": known.plane, "age": known.age}
            told["reference space"] = known.reference_space or known.reference_space_id
            told["specimen"] = known.specimen_id
        told["description"] = self._described[1] or None
        told["simulated"] = "yes" if self.simulated else None
        return told | self._shape()

    def _shape(self) -> dict[str, object]:
        return {}

    def __repr__(self) -> str:
        return facts_text(self._title, self._facts())

    def _repr_html_(self) -> str:
        return card(self._title, self._facts(), image=self._picture())

    def _picture(self) -> str:
        """Return the coronal slice in the middle, small; empty where reading it takes long."""
        try:
            if sum(path.stat().st_size for path in self.files) > _QUICK_BYTES or not self.kinds:
                return ""
            values = self.volume(self.kinds[0]).to_numpy()
        except (OpenAllenError, OSError):
            return ""
        return gray_thumbnail(values[values.shape[0] // 2])


def _missing(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return float32 with NaN where -1 says that there are no data; whole numbers stay as they are.

    Ids of structures are whole numbers, and float32 cannot hold the greater ones.
    """
    import numpy as np

    if values.dtype.kind != "f":
        return values
    found = values.astype("float32")
    found[found == -1] = np.nan
    return found


class ExpressionGrid(_Grid):
    """The expression of one section data set in cubes of 200 µm (less in developing brains).

    Parameters
    ----------
    place
        The zip as the service sends it, or the folder a fetch put it in.

    Raises
    ------
    NotFoundError
        If there is none.
    """

    _title = "expression grid"
    _known = EXPRESSION

    def __init__(self, place: Path | str) -> None:
        super().__init__(_files(Path(place), "zip"))
        self._where = dict(sorted(self._found().items()))

    def _found(self) -> dict[str, tuple[Path, str]]:
        """Find the volumes; zips are open only while they are read, for there may be thousands."""
        found: dict[str, tuple[Path, str]] = {}
        for path in self.files:
            with Zip(path) as packed:
                heads = [name for name in packed.names if name.endswith(".mhd")]
            for name in heads:
                found[name.rpartition("/")[2].removesuffix(".mhd")] = path, name
        return found

    def _description(self) -> tuple[bytes, str] | None:
        """Return the description of the data set in a zip, and what it is called; None without."""
        for path in self.files:
            with Zip(path) as packed:
                for name in packed.names:
                    if name.rpartition("/")[2] in NAMES:
                        return packed.read(name), f"{path}/{name}"
        return None

    @functools.cached_property
    def _described(self) -> tuple[dict[str, Any] | None, str]:
        try:
            found = self._description()
            row = row_of_xml(*found) if found else None
        except IntegrityError as error:  # the volumes are whole all the same
            return None, error.what
        if row and self._named_id not in {None, row["id"]}:
            return None, f"of another data set ({row['id']})"
        return row, ""

    @functools.cached_property
    def alignment(self) -> SetAlignment:
        """Where the section images lie in the brain, as the zip says; no request is made.

        Raises
        ------
        NotFoundError
            If the zip does not say it.
        IntegrityError
            If its description of the data set is damaged.
        """
        found = self._description()
        aligned = alignment_in_xml(*found) if found else None
        if aligned is None:
            number = self.data_set_id or "ID"
            raise NotFoundError(
                "no alignment in this zip",
                address=str(self.files[0]),
                why=f"{NAMES[0]} has none" if found else f"no {NAMES[0]}",
                hint=f"oa.alignment({number})",
            )
        return aligned

    @property
    def kinds(self) -> tuple[str, ...]:
        """What the zips hold: ``energy``, ``density``, ``intensity``."""
        return tuple(self._where)

    def volume(self, kind: str) -> xr.DataArray:
        """Return one volume.

        Returns
        -------
        DataArray
            float32, ``AP`` x ``DV`` x ``ML``, coordinates in µm of the middle of each voxel from
            the corner of the volume. -1, which stands for no data, is NaN. ``attrs`` say which
            data set, gene, plane of section and reference space, as far as they are known.

        Raises
        ------
        NotFoundError
            If it is not here.
        CorruptError
            If header and data contradict each other.
        MissingExtraError
            Without the extra ``atlas``.
        """
        if kind not in self._where:
            raise self.absent(kind)
        path, name = self._where[kind]
        with Zip(path) as packed:
            header, values = read_metaimage(
                packed.read(name), packed.beside(name), f"{path}/{name}"
            )
        return label(
            _missing(values).T,
            header.spacing[::-1],
            name=kind,
            attrs=self._attrs(kind),
            where=str(path),
        )

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

    def path_of(self, kind: str) -> Path:
        """Return the file that a volume is in."""
        return self._where[kind][0]

    def _visuals(self) -> tuple[Visual, ...]:
        from openallen.sources.atlases.visuals import visuals_of_expression

        return visuals_of_expression(self)

    def frame(self, kind: str) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Return the shape of a volume and the size of its voxels in µm, from its header alone.

        Raises
        ------
        NotFoundError
            If it is not here.
        CorruptError
            If the header makes no sense.
        """
        if kind not in self._where:
            raise self.absent(kind)
        path, name = self._where[kind]
        with Zip(path) as packed:
            head = parse_header(packed.read(name), str(path))
        return head.shape[::-1], head.spacing[::-1]

    def _shape(self) -> dict[str, object]:
        if not self.kinds:
            return {}
        shape, spacing = self.frame(self.kinds[0])
        return {
            "shape": f"{' x '.join(map(str, shape))} ({' x '.join(AXES)})",
            "voxel": " x ".join(f"{step:g}" for step in spacing) + " µm",
        }


class ConnectivityGrid(_Grid):
    """The projections of one connectivity experiment, in the Common Coordinate Framework.

    Parameters
    ----------
    place
        An NRRD as the service sends it, or the folder a fetch put them in.
    resolution_um
        Voxel size that is meant where none is told; needed where there are several.

    Raises
    ------
    NotFoundError
        If there is none, or the file is a mask, an annotation or a template by its name.
    """

    _title = "connectivity grid"
    _known = CONNECTIVITY

    def __init__(self, place: Path | str, resolution_um: int | None = None) -> None:
        super().__init__(_files(Path(place), "nrrd"))
        self.resolution_um = resolution_um
        here = self.resolutions_um
        if resolution_um is not None and resolution_um not in here:
            told = ", ".join(map(str, here))
            raise NotFoundError(
                f"no grid of {resolution_um} µm here",
                address=str(place),
                why=f"available: {told} µm",
                hint=f"openallen fetch 'grid:{self.data_set_id or 'ID'}"
                f"?include={','.join(self.kinds)}&resolution={resolution_um}'",
            )

    @functools.cached_property
    def _where(self) -> dict[tuple[str, int], Path]:
        found: dict[tuple[str, int], Path] = {}
        for path in self.files:
            match = _NAME.fullmatch(path.name)
            if match is not None and match["um"]:
                found[match["kinds"], int(match["um"])] = path
            elif _OTHERS.fullmatch(path.name):
                raise NotFoundError(
                    "a volume, but not one of a connectivity grid",
                    address=str(path),
                    why="grids are called grid_ID_KIND_SIZE.nrrd",
                    hint=f"openallen show {shlex.quote(str(path))}",
                )
            else:
                found[path.stem, 0] = path
        return dict(sorted(found.items()))

    @property
    def places(self) -> Mapping[tuple[str, int], Path]:
        """The file of each kind and voxel size; 0 where its name says none."""
        return self._where

    def _visuals(self) -> tuple[Visual, ...]:
        from openallen.sources.atlases.visuals import visuals_of_connectivity

        return visuals_of_connectivity(self)

    @property
    def kinds(self) -> tuple[str, ...]:
        """What is here: ``projection_density``, ``data_mask`` and so on."""
        return tuple(dict.fromkeys(kind for kind, _ in self._where))

    @property
    def resolutions_um(self) -> tuple[int, ...]:
        """Voxel sizes that are here."""
        return tuple(sorted({um for _, um in self._where if um}))

    def volume(self, kind: str, resolution_um: int | None = None) -> xr.DataArray:
        """Return one volume.

        Parameters
        ----------
        kind
            ``projection_density``, ``injection_fraction``, ``data_mask``, …
        resolution_um
            Voxel size; may be left out where there is but one.

        Returns
        -------
        DataArray
            float32, ``AP`` x ``DV`` x ``ML``, coordinates in µm of the middle of each voxel in the
            Common Coordinate Framework (reference space 9). -1 is NaN.

        Raises
        ------
        NotFoundError
            If it is not here.
        UsageError
            If it is here in several sizes, and none is chosen.
        IntegrityError
            If the file is damaged, has voxels of another size, or axes that lie obliquely.
        """
        sizes = [um for found, um in self._where if found == kind]
        if resolution_um is None and self.resolution_um in sizes:
            resolution_um = self.resolution_um
        if not sizes or (resolution_um is not None and resolution_um not in sizes):
            raise self.absent(kind)
        if resolution_um is None and len(sizes) > 1:
            told = ", ".join(map(str, sizes))
            raise UsageError(
                "several voxel sizes",
                address=kind,
                why=f"available: {told} µm",
                hint=f".volume('{kind}', {sizes[0]})",
            )
        um = sizes[0] if resolution_um is None else resolution_um
        path = self._where[kind, um]
        values, told_um, about = read_volume_file(path)
        spacing_um = (float(um),) * values.ndim if um else told_um
        if told_um != spacing_um and set(told_um) != {1.0}:  # 1 where a header says nothing
            raise CorruptError(
                "a volume of another voxel size", address=str(path), why=f"{told_um}, not {um} µm"
            )
        attrs = {**self._attrs(kind), **about}
        return label(_missing(values), spacing_um, name=kind, attrs=attrs, where=str(path))

    @functools.cached_property
    def projection_density(self) -> xr.DataArray:
        """Share of the pixels of each voxel that project; see `volume`."""
        return self.volume("projection_density")

    @functools.cached_property
    def projection_energy(self) -> xr.DataArray:
        """Projection density times intensity; see `volume`."""
        return self.volume("projection_energy")

    @functools.cached_property
    def injection_fraction(self) -> xr.DataArray:
        """Share of the pixels of each voxel in the injection site; see `volume`."""
        return self.volume("injection_fraction")

    @functools.cached_property
    def injection_density(self) -> xr.DataArray:
        """Projection density in the injection site; see `volume`."""
        return self.volume("injection_density")

    @functools.cached_property
    def injection_energy(self) -> xr.DataArray:
        """Projection energy in the injection site; see `volume`."""
        return self.volume("injection_energy")

    @functools.cached_property
    def data_mask(self) -> xr.DataArray:
        """Share of the pixels of each voxel that hold valid data; see `volume`."""
        return self.volume("data_mask")

    def _shape(self) -> dict[str, object]:
        return {"voxel": ", ".join(f"{um} µm" for um in self.resolutions_um) or None}


def _files(place: Path, ending: str) -> list[Path]:
    if place.is_dir():
        found = sorted(place.glob(f"grid_*.{ending}"))
        ids = {m["id"] for path in found if (m := _NAME.fullmatch(path.name))}
        if found and len(ids) <= 1:
            return found
        raise NotFoundError(
            "several grids in this folder" if found else "no grid in this folder",
            address=str(place),
            why=", ".join(p.name for p in found),
        )
    if not place.exists():
        raise NotFoundError("no such file or folder", address=str(place))
    return [place]


def open_grid(
    place: Path, kinds: tuple[str, ...] = (), resolution_um: int | None = None
) -> ExpressionGrid | ConnectivityGrid:
    """Open what a folder or a file holds.

    Parameters
    ----------
    place
        The folder or file.
    kinds
        Volumes that must be in it.
    resolution_um
        Voxel size of connectivity grids that is meant.

    Raises
    ------
    NotFoundError
        If it holds no grid, or not what must be in it.
    CorruptError
        If it is a zip without volumes.
    UsageError
        If a kind is none that grids hold.
    """
    for kind in kinds:
        if kind not in EXPRESSION and kind not in CONNECTIVITY:
            raise UsageError(
                f"no such grid volume '{kind}'", hint=", ".join((*EXPRESSION, *CONNECTIVITY))
            )
    nrrd = place.suffix == ".nrrd" if place.is_file() else any(place.glob("grid_*.nrrd"))
    zipped = place.is_dir() and any(place.glob("grid_*.zip"))
    grid: ExpressionGrid | ConnectivityGrid
    if nrrd and (not zipped or any(kind in CONNECTIVITY for kind in kinds)):
        grid = ConnectivityGrid(place, resolution_um)
    else:
        grid = ExpressionGrid(place)
        if not grid.kinds:
            raise CorruptError("no volume in this zip", address=str(place))
    for kind in kinds:
        if kind not in grid.kinds:
            raise grid.absent(kind)
    return grid
