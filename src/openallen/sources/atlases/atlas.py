"""An atlas that was fetched: its volumes, labelled, with the structures their ids stand for."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.display import card, facts_text
from openallen.errors import CorruptError, NotFoundError, UsageError
from openallen.formats.metaimage import read_metaimage
from openallen.formats.nrrd import beside, read_nrrd
from openallen.formats.zips import Zip
from openallen.sources.atlases.catalogue import ATLASES
from openallen.sources.atlases.frames import index_of, label, spacing_of
from openallen.sources.atlases.frames import points_um as read_points
from openallen.sources.atlases.models import CITATION, ORIENTATIONS, TERMS
from openallen.sources.atlases.structures import Structure, Structures
from openallen.sources.atlases.unionize import Labels, Unionizer
from openallen.store.disk import read_kept

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

__all__ = ["FACTS_NAME", "Atlas", "graph_name", "lone_volume"]

FACTS_NAME: Final = "atlas.json"
_NRRD: Final = (
    (re.compile(r"annotation_(\d+)\.nrrd"), "annotation"),
    (re.compile(r"average_template_(\d+)\.nrrd"), "template"),
    (re.compile(r"ara_nissl_(\d+)\.nrrd"), "nissl"),
)
_MASK: Final = re.compile(r"structure_masks_(\d+)/structure_(\d+)\.nrrd")
_ANNOTATIONS: Final = ("annotation", "gridAnnotation")
_TEMPLATES: Final = ("template", "atlasVolume")


def graph_name(graph_id: int) -> str:
    """Give the name of the file an ontology is kept in beside volumes."""
    return f"structure_graph_{graph_id}.json"


def lone_volume(path: Path) -> xr.DataArray | None:
    """Give the volume of an atlas that a file is by its name; None if it is called otherwise."""
    known = any(pattern.fullmatch(path.name) for pattern, _ in _NRRD)
    known = known or (path.suffix == ".zip" and _kind(path.stem) in {*_ANNOTATIONS, *_TEMPLATES})
    if known:
        atlas = Atlas(path.parent)
    elif _MASK.fullmatch(f"{path.parent.name}/{path.name}"):
        atlas = Atlas(path.parent.parent)
    else:
        return None
    return atlas.volume(next(part for part in atlas.parts if atlas.file(part) == path))


class Atlas:
    """Volumes of one atlas in a folder, and their ontology.

    Parameters
    ----------
    folder
        Where a fetch put them.
    volumes
        Volumes in memory that belong to it too, by part (``annotation/25``).
    structures
        Their ontology, where it is not the one in the folder.

    Raises
    ------
    NotFoundError
        If there is no volume.

    Notes
    -----
    Volumes are ``AP`` x ``DV`` x ``ML`` (axes point to posterior, inferior, right: PIR), in µm from
    the corner in front, above, to the left. Voxel `i` covers ``i * size`` to ``(i + 1) * size``.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        volumes: Mapping[str, xr.DataArray] | None = None,
        structures: Structures | None = None,
    ) -> None:
        self.folder = Path(folder)
        self._files = dict(self._found())
        self._files |= dict.fromkeys(sorted(volumes or (), key=_order), self.folder)
        if not self._files:
            raise NotFoundError("there is no atlas in this folder", address=str(self.folder))
        self._told = self._read_facts()
        self._labels: dict[str, Labels] = {}
        self._volumes: dict[str, xr.DataArray] = dict(volumes or {})
        if structures is not None:
            self.structures = structures

    def _found(self) -> list[tuple[str, Path]]:
        found: list[tuple[str, Path]] = []
        for path in sorted(self.folder.glob("*.nrrd")):
            named = ((pattern.fullmatch(path.name), part) for pattern, part in _NRRD)
            found += [(f"{part}/{match[1]}", path) for match, part in named if match]
        for path in sorted(self.folder.glob("structure_masks_*/structure_*.nrrd")):
            if match := _MASK.fullmatch(path.relative_to(self.folder).as_posix()):
                found.append((f"mask/{match[2]}/{match[1]}", path))
        found += [(path.stem, path) for path in sorted(self.folder.glob("*.zip"))]
        return sorted(found, key=lambda item: _order(item[0]))

    def _read_facts(self) -> dict[str, Any]:
        told = read_kept(self.folder / FACTS_NAME)
        if told:
            return told
        known = ATLASES.get(self.folder.name)
        return {
            "name": self.folder.name,
            "title": known.title if known else None,
            "graph_id": known.graph_id if known else None,
            "reference_space_id": known.reference_space_id if known else None,
        }

    @property
    def name(self) -> str:
        """Its name: ``ccf-2017``, ``P56``."""
        return str(self._told.get("name") or self.folder.name)

    @property
    def parts(self) -> tuple[str, ...]:
        """The volumes that are here: ``annotation/25``, ``template/25``, ``atlasVolume``."""
        return tuple(self._files)

    def file(self, part: str) -> Path:
        """Give the file that holds a part."""
        return self._files[part]

    @property
    def orientation(self) -> str:
        """Where the axes point to: ``PIR``, or ``PIL`` for the sagittal space."""
        return ORIENTATIONS.get(int(self._told.get("reference_space_id") or 0), "PIR")

    @functools.cached_property
    def structures(self) -> Structures:
        """The ontology its ids are of.

        Raises
        ------
        NotFoundError
            If it was not fetched.
        """
        told = self._told.get("graph_id")
        found = sorted(self.folder.glob("structure_graph_*.json"))
        if told is not None:
            found = [path for path in found if path.name == graph_name(int(told))]
        if len(found) != 1:
            raise NotFoundError(
                "the ontology of this atlas is not here",
                address=str(self.folder),
                hint=f"openallen fetch atlas:{self.name} --to {self.folder}",
            )
        number = int(found[0].stem.rpartition("_")[2])
        return Structures.from_graph(found[0].read_bytes(), number)

    # --- volumes --------------------------------------------------------------------------------

    def volume(self, part: str) -> xr.DataArray:
        """Give one volume; read once, then kept.

        Parameters
        ----------
        part
            One of `parts`.

        Returns
        -------
        DataArray
            ``AP`` x ``DV`` x ``ML`` with coordinates in µm of the middle of each voxel; the type is
            the file's own (annotations are whole numbers: structure ids, 0 for none).

        Raises
        ------
        NotFoundError
            If it is not here.
        IntegrityError
            If its file is damaged.
        """
        if part not in self._files:
            raise NotFoundError(
                f"this atlas has no {part} here",
                address=f"atlas:{self.name}",
                why="here are " + ", ".join(self.parts),
                hint=f"openallen fetch atlas:{self.name}/{part} --to {self.folder}",
            )
        if part not in self._volumes:
            self._volumes[part] = self._read(part, self._files[part])
        return self._volumes[part]

    def _read(self, part: str, path: Path) -> xr.DataArray:
        if path.suffix == ".zip":
            with Zip(path) as packed:
                name = _main(packed, part)
                head, told = read_metaimage(
                    packed.read(name), packed.beside(name), f"{path}/{name}"
                )
                values, spacing = told.T, head.spacing[::-1]
        else:
            header, values = read_nrrd(path.read_bytes(), beside(path.parent), str(path))
            um = float(part.rpartition("/")[2])
            spacing = (um,) * values.ndim
            if header.spacing != spacing and set(header.spacing) != {1.0}:
                raise CorruptError(
                    "a volume of another voxel size",
                    address=str(path),
                    why=f"{header.spacing}, not {um:g} µm",
                )
        about = {
            "atlas": self.name,
            "orientation": self.orientation,
            "reference_space_id": self._told.get("reference_space_id"),
            "reference_space": self._told.get("reference_space"),
            "long_name": part,
            "simulated": bool(self._told.get("simulated")) or None,
            "units": "structure id" if _kind(part) in _ANNOTATIONS else None,
        }
        return label(values, spacing, name=_kind(part), attrs=about, where=str(path))

    def find(self, *parts: str) -> xr.DataArray:
        """Give the volume a part of an address names: ``find("mask", "VISp", "25")``.

        A voxel size may be left out where there is but one; a mask that was not fetched is made
        from the annotation.

        Raises
        ------
        NotFoundError, UsageError
            As `volume` and `annotation` do.
        """
        kind, *rest = parts
        size = (
            float(rest[-1])
            if rest and rest[-1].isdigit() and len(rest) > (kind == "mask")
            else None
        )
        if kind == "mask" and rest:
            number = self.structures.find(rest[0]).id
            known = f"mask/{number}/{size or 25:g}"
            return self.volume(known) if known in self._files else self.mask(number, size)
        if "/".join(parts) in self._files:
            return self.volume("/".join(parts))
        return self.volume(self._one_of((kind,), size))

    def _one_of(self, kinds: tuple[str, ...], resolution_um: float | None) -> str:
        """Choose the part of some kind: the only one, or the one with that voxel size."""
        found = [part for part in self._files if _kind(part) in kinds]
        if resolution_um is not None:
            resolution_um = float(resolution_um)
            found = [p for p in found if self._size_um(p) == resolution_um]
        if len(found) == 1:
            return found[0]
        if not found:
            wanted = f"{kinds[0]}/{resolution_um or 25:g}"
            raise NotFoundError(
                f"this atlas has no such {kinds[0]} here",
                address=f"atlas:{self.name}",
                why="here are " + ", ".join(self.parts),
                hint=f"openallen fetch atlas:{self.name}/{wanted} --to {self.folder}",
            )
        raise UsageError(
            f"which {kinds[0]}?",
            address=f"atlas:{self.name}",
            why="here are " + ", ".join(found),
            hint=f"resolution_um={self._size_um(found[-1]):g}",
        )

    def _size_um(self, part: str) -> float:
        size = part.rpartition("/")[2]
        return float(size) if size.isdigit() else spacing_of(self.volume(part))[0]

    def annotation(self, resolution_um: float | None = None) -> xr.DataArray:
        """Give the annotation: the id of the structure each voxel is in, 0 for none.

        Parameters
        ----------
        resolution_um
            Size of a voxel; may be left out where there is but one.

        Raises
        ------
        NotFoundError
            If it is not here.
        UsageError
            If there are several, and none is chosen.
        """
        return self.volume(self._one_of(_ANNOTATIONS, resolution_um))

    def annotation_like(self, resolution_um: float) -> xr.DataArray | None:
        """Give the annotation whose voxels are nearest to a size; None where there is none."""
        found = [part for part in self._files if _kind(part) in _ANNOTATIONS]
        if not found:
            return None
        return self.volume(min(found, key=lambda part: abs(self._size_um(part) - resolution_um)))

    def template(self, resolution_um: float | None = None) -> xr.DataArray:
        """Give the grey picture of the brain: the average template, or a reference space's Nissl.

        Raises
        ------
        NotFoundError, UsageError
            As `annotation` does.
        """
        return self.volume(self._one_of(_TEMPLATES, resolution_um))

    def nissl(self, resolution_um: float | None = None) -> xr.DataArray:
        """Give the Nissl volume in the Common Coordinate Framework.

        Raises
        ------
        NotFoundError, UsageError
            As `annotation` does.
        """
        return self.volume(self._one_of(("nissl",), resolution_um))

    # --- structures -----------------------------------------------------------------------------

    def labels(self, resolution_um: float | None = None) -> Labels:
        """Give the annotation with its ids numbered; made once."""
        part = self._one_of(_ANNOTATIONS, resolution_um)
        if part not in self._labels:
            self._labels[part] = Labels(self.volume(part))
        return self._labels[part]

    def mask(
        self, structure: int | str, resolution_um: float | None = None, *, parts: bool = True
    ) -> xr.DataArray:
        """Give where a structure is.

        Parameters
        ----------
        structure
            Its id, acronym or name.
        resolution_um
            Size of a voxel; may be left out where there is but one annotation.
        parts
            Whether its parts, and their parts, belong to it.

        Returns
        -------
        DataArray
            Booleans, in the frame of the annotation.

        Raises
        ------
        NotFoundError
            If there is no such structure; a structure without a voxel gives a mask without one.
        """
        chosen = self.structures.find(structure)
        ids = {chosen.id}
        if parts:
            ids |= {part.id for part in self.structures.descendants(chosen.id)}
        annotation = self.annotation(resolution_um)
        found = annotation.copy(data=self.labels(resolution_um).mask(ids)).rename("mask")
        found.attrs |= {"structure_id": chosen.id, "acronym": chosen.acronym}
        found.attrs |= {"long_name": chosen.name}
        found.attrs.pop("units", None)
        return found

    def unionizer(self, resolution_um: float | None = None, *, strict: bool = False) -> Unionizer:
        """Give what sums volumes of the annotation's frame up by structure.

        Ids the ontology does not have count for nothing and are told in ``unknown``, unless it is
        to be `strict`.
        """
        return Unionizer(self.labels(resolution_um), self.structures, strict=strict)

    def ids_at(self, points_um: Any, resolution_um: float | None = None) -> np.ndarray[Any, Any]:
        """Give the id of the structure at each point; 0 outside of all.

        Parameters
        ----------
        points_um
            AP, DV, ML in µm along the last axis.
        resolution_um
            Size of a voxel of the annotation; may be left out where there is but one.
        """
        import numpy as np

        volume = self.annotation(resolution_um)
        points = read_points(points_um)
        finite = np.isfinite(points).all(axis=-1, keepdims=True)
        at = index_of(np.where(finite, points, -1.0), spacing_of(volume))
        inside: np.ndarray[Any, Any] = np.all(
            (at >= 0) & (at < np.array(volume.shape)), axis=-1, keepdims=True
        )
        kept = np.where(inside, at, 0)
        found = volume.to_numpy()[kept[..., 0], kept[..., 1], kept[..., 2]]
        chosen: np.ndarray[Any, Any] = np.where(inside[..., 0], found, 0)
        return chosen

    def structure_at(self, point_um: Any, resolution_um: float | None = None) -> Structure | None:
        """Give the structure at one point (AP, DV, ML in µm); None outside of all."""
        number = int(self.ids_at(point_um, resolution_um))
        return self.structures.by_id.get(number)

    # --- faces ----------------------------------------------------------------------------------

    def plot(
        self,
        at_um: Any = None,
        *,
        volume: xr.DataArray | None = None,
        resolution_um: float | None = None,
        **options: Any,
    ) -> Any:
        """Draw three slices through a point, with the outlines of structures.

        Parameters
        ----------
        at_um
            AP, DV, ML in µm; where None, somewhere telling.
        volume
            What is drawn; a template that is here, else an annotation, where None.
        resolution_um
            Voxel size of that; the coarsest where None.
        **options
            As `openallen.sources.atlases.plots.plot_slices` takes them.
        """
        from openallen.sources.atlases.plots import plot_slices

        if volume is None:
            kinds = _TEMPLATES if any(_kind(p) in _TEMPLATES for p in self.parts) else _ANNOTATIONS
            found = [p for p in self.parts if _kind(p) in kinds]
            part = found[-1] if resolution_um is None else self._one_of(kinds, resolution_um)
            volume = self.volume(part)
        return plot_slices(volume, at_um, atlas=self, **options)

    def to_brainglobe(self, folder: Path | str, resolution_um: float | None = None) -> Any:
        """Write it as BrainGlobe keeps its atlases; see `openallen.sources.atlases.brainglobe`."""
        from openallen.sources.atlases.brainglobe import to_brainglobe

        return to_brainglobe(self, Path(folder), resolution_um)

    def _facts(self) -> dict[str, object]:
        return {
            "atlas": self._told.get("title"),
            "holds": ", ".join(self.parts),
            "axes": f"AP x DV x ML ({self.orientation}), µm",
            "ontology": self._told.get("graph_id"),
            "simulated": "yes" if self._told.get("simulated") else None,
            "folder": self.folder,
            "cite": CITATION,
            "terms": TERMS,
        }

    def __repr__(self) -> str:
        return facts_text(f"atlas {self.name}", self._facts())

    def _repr_html_(self) -> str:
        return card(f"atlas {self.name}", self._facts())


def _kind(part: str) -> str:
    """Give the kind of a part: ``annotation`` of ``annotation/25``."""
    stem = part.partition("/")[0]
    for kind in ("gridAnnotation", "atlasVolume"):
        if stem.endswith(kind):
            return kind
    return "annotation" if stem.endswith("_annotation") else stem


def _order(part: str) -> tuple[str, float]:
    kind, _, size = part.rpartition("/")
    return (kind, float(size)) if size.isdigit() else (part, 0.0)


def _main(packed: Zip, part: str) -> str:
    """Find the volume of a zip: the only one, else the one that is called as the zip is."""
    heads = [name for name in packed.names if name.endswith(".mhd")]
    named = [name for name in heads if name.rpartition("/")[2] == f"{_kind(part)}.mhd"]
    found = heads if len(heads) == 1 else named
    if len(found) != 1:
        raise CorruptError(
            "which volume of this zip?" if heads else "there is no volume in this zip",
            address=packed.name,
            why=", ".join(heads or packed.names[:8]),
        )
    return found[0]
