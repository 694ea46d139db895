"""An atlas that was fetched: its volumes, labelled, with the structures their ids stand for."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, overload

from openallen.display import card, facts_text
from openallen.errors import CorruptError, NotFoundError, UsageError, requiring
from openallen.formats.obj import Mesh, read_obj
from openallen.sources.atlases.atlas_files import (
    ANNOTATIONS,
    FACTS_NAME,
    LONE_MASK,
    TEMPLATES,
    found_parts,
    graph_name,
    is_mask,
    is_named_volume,
    kind_of,
    order_of,
    read_packed,
)
from openallen.sources.atlases.brainglobe_layout import ready, write_brainglobe
from openallen.sources.atlases.catalogue import ATLASES
from openallen.sources.atlases.frames import index_of, label, spacing_of
from openallen.sources.atlases.frames import points_um as read_points
from openallen.sources.atlases.models import CITATION, ORIENTATIONS, TERMS
from openallen.sources.atlases.numbering import check_volume
from openallen.sources.atlases.plots import plot_slices
from openallen.sources.atlases.reference_space import ReferenceSpace, mask_of
from openallen.sources.atlases.structure import Structure, StructureLike
from openallen.sources.atlases.structures import Structures
from openallen.sources.atlases.unionize import Labels, Unionizer
from openallen.sources.atlases.volume_files import read_volume_file
from openallen.store.disk import read_object

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from openallen.visuals import Visual

__all__ = ["FACTS_NAME", "Atlas", "graph_name", "lone_volume"]


_UNITS: Final = {
    **dict.fromkeys(ANNOTATIONS, "structure id"),
    **dict.fromkeys((*TEMPLATES, "nissl"), "grey level"),
}


def lone_volume(path: Path) -> xr.DataArray | None:
    """Return the volume of an atlas that a file is by its name; None if it is called otherwise.

    Raises
    ------
    NotFoundError, IntegrityError, MissingExtraError
        As `Atlas.volume` does.
    """
    if is_named_volume(path):
        atlas = Atlas(path.parent)
    elif is_mask(path):
        atlas = Atlas(path.parent.parent)
    elif match := LONE_MASK.fullmatch(path.name):
        return _lone_mask(path, int(match[1]))
    else:
        return None
    return atlas.volume(next(part for part in atlas.parts if atlas.file(part) == path))


def _lone_mask(path: Path, structure_id: int) -> xr.DataArray:
    """Return a structure's mask, as the service calls it, out of its folder."""
    values, spacing, about = read_volume_file(path)
    about |= {"structure_id": structure_id, "long_name": f"mask of structure {structure_id}"}
    return label(values, spacing, name="mask", attrs=about, where=str(path))


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
        self._files = dict(found_parts(self.folder))
        self._files |= dict.fromkeys(sorted(volumes or (), key=order_of), self.folder)
        if not self._files:
            raise NotFoundError("no atlas in this folder", address=str(self.folder))
        self._told = self._read_facts()
        self._labels: dict[str, Labels] = {}
        self._volumes: dict[str, xr.DataArray] = dict(volumes or {})
        # Where views keep what they made of its volumes; None where nothing may be written.
        self.cache: Path | None = None
        if structures is not None:
            self.structures = structures

    def _read_facts(self) -> dict[str, Any]:
        told = read_object(self.folder / FACTS_NAME)
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
        """What is here: ``annotation/25``, ``template/25``, ``atlasVolume``, ``mesh/385``."""
        return tuple(self._files)

    def file(self, part: str) -> Path:
        """Return the file that holds a part."""
        return self._files[part]

    @property
    def simulated(self) -> bool:
        """Whether its volumes are made up."""
        return bool(self._told.get("simulated"))

    @property
    def orientation(self) -> str:
        """Where the axes point to: ``PIR``, or ``PIL`` for the sagittal space."""
        told = self._told.get("reference_space_id")
        return ORIENTATIONS.get(told, "PIR") if isinstance(told, int) else "PIR"

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
            found = [path for path in found if path.name == f"structure_graph_{told}.json"]
        if len(found) != 1:
            raise NotFoundError(
                "no ontology in this folder",
                address=str(self.folder),
                hint=f"openallen fetch atlas:{self.name} --to {shlex.quote(str(self.folder))}",
            )
        number = int(found[0].stem.rpartition("_")[2])
        return Structures.from_graph(found[0].read_bytes(), number)

    # --- volumes --------------------------------------------------------------------------------

    def volume(self, part: str) -> xr.DataArray:
        """Return one volume; read once, then kept.

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
        UsageError
            If it is a mesh (see `mesh`).
        IntegrityError
            If its file is damaged.
        """
        if part not in self._files:
            raise self._absent(part)
        if kind_of(part) == "mesh":
            raise UsageError(
                "a mesh is not a volume", address=part, hint=f".mesh({part.rpartition('/')[2]})"
            )
        if part not in self._volumes:
            self._volumes[part] = self._read(part, self._files[part])
        return self._volumes[part]

    def read(self, part: str) -> xr.DataArray:
        """Return one volume as `volume` does, but read anew and not kept.

        Parameters
        ----------
        part
            One of `parts`.

        Raises
        ------
        NotFoundError, IntegrityError
            As `volume` does.
        """
        if part in self._volumes or self._files.get(part) is None or kind_of(part) == "mesh":
            return self.volume(part)
        return self._read(part, self._files[part])

    def part_of(self, volume: Any) -> str:
        """Return what a volume that was read here is called; empty for one made from others."""
        return next((part for part, read in self._volumes.items() if read is volume), "")

    def _absent(self, part: str) -> NotFoundError:
        """Return the error that says that a part is not here, and what fetches it."""
        known = ATLASES.get(self.name)
        sized = known is None or bool(known.annotation)
        # Files of a reference space have names of their own, without a voxel size.
        address = f"atlas:{self.name}/{part}" if sized else f"atlas:{self.name}"
        fetch = f"openallen fetch {address} --to {shlex.quote(str(self.folder))}"
        return NotFoundError(
            f"this atlas has no {part} here",
            address=f"atlas:{self.name}",
            why="available: " + ", ".join(self.parts),
            hint=fetch,
        )

    def _read(self, part: str, path: Path) -> xr.DataArray:
        if path.suffix == ".zip":
            values, spacing = read_packed(path, part)
        else:
            values, told_um, _ = read_volume_file(path)
            um = float(part.rpartition("/")[2])
            spacing = (um,) * values.ndim
            if told_um != spacing and set(told_um) != {1.0}:
                raise CorruptError(
                    "a volume of another voxel size",
                    address=str(path),
                    why=f"{told_um}, not {um:g} µm",
                )
        about = {
            "atlas": self.name,
            "orientation": self.orientation,
            "reference_space_id": self._told.get("reference_space_id"),
            "reference_space": self._told.get("reference_space"),
            "long_name": part,
            "simulated": self.simulated or None,
            "units": _UNITS.get(kind_of(part)),
        }
        return label(values, spacing, name=kind_of(part), attrs=about, where=str(path))

    @overload
    def find(self, kind: Literal["mesh"], structure: str, /) -> Mesh: ...  # type: ignore[overload-overlap]

    @overload
    def find(self, *parts: str) -> xr.DataArray: ...

    def find(self, *parts: str) -> xr.DataArray | Mesh:
        """Return the volume or mesh a part of an address names: ``find("mask", "VISp", "25")``.

        A voxel size may be left out if there is only one; a mask that was not fetched is made from
        the annotation. ``find("mesh", "385")`` is `mesh`.

        Raises
        ------
        NotFoundError, UsageError
            As `volume`, `mesh` and `annotation` do.
        """
        kind, *rest = parts
        if kind == "mesh" and len(rest) == 1:
            return self.mesh(rest[0])
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
        found = [part for part in self._files if kind_of(part) in kinds]
        if resolution_um is not None:
            resolution_um = float(resolution_um)
            found = [p for p in found if self._size_um(p) == resolution_um]
        if len(found) == 1:
            return found[0]
        if not found:
            wanted = f"{kinds[0]}/{resolution_um or 25:g}"
            raise self._absent(wanted)
        raise UsageError(
            f"several voxel sizes of {kinds[0]}",
            address=f"atlas:{self.name}",
            why="available: " + ", ".join(found),
            hint=f"resolution_um={self._size_um(found[-1]):g}",
        )

    def _size_um(self, part: str) -> float:
        size = part.rpartition("/")[2]
        return float(size) if size.isdigit() else spacing_of(self.volume(part))[0]

    def annotation(self, resolution_um: float | None = None) -> xr.DataArray:
        """Return the annotation: the id of the structure each voxel is in, 0 for none.

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
        return self.volume(self._one_of(ANNOTATIONS, resolution_um))

    def annotation_like(self, resolution_um: float) -> xr.DataArray | None:
        """Return the annotation whose voxels are nearest to a size; None where there is none."""
        found = [part for part in self._files if kind_of(part) in ANNOTATIONS]
        if not found:
            return None
        return self.volume(min(found, key=lambda part: abs(self._size_um(part) - resolution_um)))

    def template(self, resolution_um: float | None = None) -> xr.DataArray:
        """Return the grey picture of the brain: the average template, or a reference space's Nissl.

        Raises
        ------
        NotFoundError, UsageError
            As `annotation` does.
        """
        return self.volume(self._one_of(TEMPLATES, resolution_um))

    def nissl(self, resolution_um: float | None = None) -> xr.DataArray:
        """Return the Nissl volume in the Common Coordinate Framework.

        Raises
        ------
        NotFoundError, UsageError
            As `annotation` does.
        """
        return self.volume(self._one_of(("nissl",), resolution_um))

    # --- structures -----------------------------------------------------------------------------

    def labels(self, resolution_um: float | None = None) -> Labels:
        """Return the annotation with its ids numbered; made once."""
        part = self._one_of(ANNOTATIONS, resolution_um)
        if part not in self._labels:
            self._labels[part] = Labels(self.volume(part))
        return self._labels[part]

    def mask(
        self,
        structure: StructureLike | Iterable[StructureLike],
        resolution_um: float | None = None,
        *,
        parts: bool = True,
    ) -> xr.DataArray:
        """Return where a structure is, or several are.

        Parameters
        ----------
        structure
            Its id, acronym or name, or the structure itself; of several, a list of these.
        resolution_um
            Size of a voxel; may be left out if there is only one annotation.
        parts
            Whether its parts, and their parts, belong to it.

        Returns
        -------
        DataArray
            Booleans, in the frame of the annotation; of several structures, where any of them is.

        Raises
        ------
        NotFoundError
            If there is no such structure; a structure without a voxel has a mask without one.
        UsageError
            If the list is empty.
        """
        annotation, labels = self.annotation(resolution_um), self.labels(resolution_um)
        return mask_of(annotation, labels, self.structures, structure, parts=parts)

    def reference_space(self, resolution_um: float | None = None) -> ReferenceSpace:
        """Return an annotation with the ontology: many masks, counts, coverage, coarser labels."""
        annotation = self.annotation(resolution_um)
        known = self._labels.get(self._one_of(ANNOTATIONS, resolution_um))
        return ReferenceSpace(annotation, self.structures, known)

    def colour_slice(
        self, axis: str | int, position_um: float, resolution_um: float | None = None
    ) -> np.ndarray[Any, Any]:
        """Return a coloured slice (uint8); see `ReferenceSpace.colour_slice`."""
        return self.reference_space(resolution_um).colour_slice(axis, position_um)

    def mesh(self, structure: StructureLike) -> Mesh:
        """Return the surface of a structure, in the frame of the volumes.

        Parameters
        ----------
        structure
            Its id, acronym or name, or the structure itself.

        Returns
        -------
        Mesh
            Vertices AP, DV, ML in µm, and triangles.

        Raises
        ------
        NotFoundError
            If there is no such structure, or its mesh is not here.
        IntegrityError
            If its file is damaged.
        """
        known = str(structure)
        if f"mesh/{known}" not in self._files:  # an id needs no ontology
            known = str(self.structures.find(structure).id)
        if f"mesh/{known}" not in self._files:
            raise self._absent(f"mesh/{known}")
        found = read_obj(self._files[f"mesh/{known}"])
        try:
            named = self.structures.find(int(known)).acronym
        except NotFoundError:  # no ontology here, or one without it
            named = f"of structure {known}"
        return replace(found, name=named)

    def unionizer(self, resolution_um: float | None = None, *, strict: bool = False) -> Unionizer:
        """Return the object that sums volumes in the annotation's frame by structure.

        Ids the ontology does not have count for nothing and are told in ``unknown``, unless it is
        to be `strict`.
        """
        return Unionizer(self.labels(resolution_um), self.structures, strict=strict)

    @requiring("looking up points", "atlas")
    def ids_at(self, points_um: Any, resolution_um: float | None = None) -> np.ndarray[Any, Any]:
        """Return the id of the structure at each point; 0 outside of all.

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

    def _named(self, resolution_um: float | None) -> Structures:
        """Return the ontology, if this annotation holds ids of it."""
        check_volume(self.annotation(resolution_um), self.structures.by_id)
        return self.structures

    def acronyms_at(
        self, points_um: Any, resolution_um: float | None = None
    ) -> np.ndarray[Any, Any]:
        """Return the acronym of the structure at each point, as str; ``""`` outside of all.

        Parameters
        ----------
        points_um, resolution_um
            As `ids_at` takes them.
        """
        return self._named(resolution_um).acronyms(self.ids_at(points_um, resolution_um))

    def names_at(self, points_um: Any, resolution_um: float | None = None) -> np.ndarray[Any, Any]:
        """Return the name of the structure at each point, as str; ``""`` outside of all.

        Parameters
        ----------
        points_um, resolution_um
            As `ids_at` takes them.
        """
        return self._named(resolution_um).names(self.ids_at(points_um, resolution_um))

    def structure_at(self, point_um: Any, resolution_um: float | None = None) -> Structure | None:
        """Return the structure at one point (AP, DV, ML in µm); None outside of all.

        Raises
        ------
        UsageError
            If it is not one point (see `ids_at` for several).
        """
        found = self.ids_at(point_um, resolution_um)
        if found.ndim:
            raise UsageError(
                "this is for one point", why=f"{found.size} were given", hint="ids_at(points)"
            )
        return self._named(resolution_um).by_id.get(int(found))

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
        if volume is None:
            kinds = TEMPLATES if any(kind_of(p) in TEMPLATES for p in self.parts) else ANNOTATIONS
            found = [p for p in self.parts if kind_of(p) in kinds]
            part = found[-1] if resolution_um is None else self._one_of(kinds, resolution_um)
            volume = self.volume(part)
        return plot_slices(volume, at_um, atlas=self, **options)

    def to_brainglobe(self, folder: Path | str, resolution_um: float | None = None) -> Any:
        """Write it as BrainGlobe lays its atlases out, and open it there.

        Parameters and errors are those of `openallen.sources.atlases.brainglobe.to_brainglobe`.
        """
        ready(Path(folder))
        annotation = self.annotation(resolution_um)
        template = self.template(spacing_of(annotation)[0])
        return write_brainglobe(Path(folder), self.name, annotation, template, self.structures)

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

    def _visuals(self) -> tuple[Visual, ...]:
        from openallen.sources.atlases.visuals import visuals_of_atlas

        return visuals_of_atlas(self)

    def __repr__(self) -> str:
        return facts_text(f"atlas {self.name}", self._facts())

    def _repr_html_(self) -> str:
        return card(f"atlas {self.name}", self._facts())
