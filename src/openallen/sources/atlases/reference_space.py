"""An annotation with its ontology: masks, counts of voxels, coverage, coarser labels, colours."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openallen.display import card, facts_text
from openallen.errors import NotFoundError, UsageError
from openallen.sources.atlases.frames import AXES, label, spacing_of
from openallen.sources.atlases.label_volumes import (
    coarser,
    colour_table,
    corner_of,
    painted,
    slice_at,
)
from openallen.sources.atlases.numbering import check_numbers, check_volume
from openallen.sources.atlases.structure import Structure, StructureLike
from openallen.sources.atlases.structures import Structures
from openallen.sources.atlases.unionize import Labels
from openallen.sources.atlases.write_volumes import write_nrrd

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr

__all__ = ["ReferenceSpace", "mask_of", "several"]


def several(
    structures: Structures, what: StructureLike | Iterable[StructureLike]
) -> tuple[list[Structure], bool]:
    """Return the structures that are meant, and whether a single one was named.

    Raises
    ------
    NotFoundError
        If there is no such structure.
    UsageError
        If the list is empty.
    """
    one = isinstance(what, (str, Structure)) or not isinstance(what, Iterable)
    wanted: list[StructureLike] = [what] if one else list(what)  # type: ignore[list-item, arg-type]
    chosen = [structures.find(which) for which in wanted]
    if not chosen:
        raise UsageError("no structure given for the mask", hint="mask(['VISp', 'VISl'])")
    return chosen, one


def mask_of(
    annotation: xr.DataArray,
    labels: Labels,
    structures: Structures,
    what: StructureLike | Iterable[StructureLike],
    *,
    parts: bool = True,
) -> xr.DataArray:
    """Return where structures are; see `ReferenceSpace.mask`."""
    check_numbers(labels.ids, structures.by_id)
    chosen, one = several(structures, what)
    found = annotation.copy(data=labels.mask(_with_parts(structures, chosen, parts=parts)))
    found = found.rename("mask")
    found.attrs["structure_id"] = chosen[0].id if one else [which.id for which in chosen]
    found.attrs["acronym"] = ", ".join(which.acronym for which in chosen)
    found.attrs["long_name"] = "; ".join(which.name for which in chosen)
    found.attrs.pop("units", None)
    return found


def _with_parts(structures: Structures, chosen: Iterable[Structure], *, parts: bool) -> set[int]:
    """Return ids of structures, and of their parts if wanted; no part is looked up twice."""
    ids: set[int] = set()
    waiting = [which.id for which in chosen]
    while waiting:
        number = waiting.pop()
        if number in ids:
            continue
        ids.add(number)
        waiting += [child.id for child in structures.children(number)] if parts else ()
    return ids


class ReferenceSpace:
    """One annotation volume and the ontology its ids are of.

    Parameters
    ----------
    annotation
        Structure id of each voxel, 0 where there is none; ``AP`` x ``DV`` x ``ML``.
    structures
        The ontology.
    labels
        The annotation with its ids numbered, where that was done already.

    Raises
    ------
    UsageError
        If the annotation is not a labelled volume of whole numbers, or these are running numbers
        and no ids of the ontology.

    Examples
    --------
    >>> import openallen as oa
    >>> atlas = oa.fetch("atlas:P56/gridAnnotation", source="sample")
    >>> space = atlas.reference_space()
    >>> space.direct_voxel_counts()[997] < space.total_voxel_counts()[997]
    True
    """

    def __init__(
        self, annotation: xr.DataArray, structures: Structures, labels: Labels | None = None
    ) -> None:
        self.spacing_um = spacing_of(annotation)
        if annotation.ndim != len(AXES) or annotation.dtype.kind not in "iu":
            raise UsageError(
                "an annotation holds whole numbers, on three axes",
                why=f"this holds {annotation.dtype} on {annotation.ndim}",
            )
        if labels is None:
            check_volume(annotation, structures.by_id)
        else:
            check_numbers(labels.ids, structures.by_id)
        self.annotation = annotation
        self.structures = structures
        if labels is not None:
            self.labels = labels

    @functools.cached_property
    def labels(self) -> Labels:
        """The annotation with its ids numbered."""
        return Labels(self.annotation)

    # --- masks ------------------------------------------------------------------------------------

    def mask(
        self, structure: StructureLike | Iterable[StructureLike], *, parts: bool = True
    ) -> xr.DataArray:
        """Return where a structure is, or any of several; see `openallen.sources.atlases.Atlas`.

        Parameters
        ----------
        structure
            Its id, acronym or name, or the structure itself; of several, a list of these.
        parts
            Whether its parts, and their parts, belong to it; without them, only the voxels that
            hold its own id.
        """
        return mask_of(self.annotation, self.labels, self.structures, structure, parts=parts)

    def masks(
        self,
        structures: Iterable[StructureLike],
        *,
        parts: bool = True,
        folder: Path | str | None = None,
    ) -> Iterator[tuple[Structure, xr.DataArray]]:
        """Yield each structure with its mask, one mask in memory at a time.

        Parameters
        ----------
        structures
            Ids, acronyms, names or structures; looked up before the first mask is made.
        parts
            As for `mask`.
        folder
            Where each mask is written as ``structure_ID.nrrd``, as the service calls them. A file
            that is there already is left as it is.

        Raises
        ------
        NotFoundError
            If there is no such structure.
        StoreError, SpaceError
            If a file cannot be written.
        """
        chosen = [self.structures.find(what) for what in structures]
        return self._masks(chosen, None if folder is None else Path(folder), parts=parts)

    def _masks(
        self, chosen: Sequence[Structure], folder: Path | None, *, parts: bool
    ) -> Iterator[tuple[Structure, xr.DataArray]]:
        for structure in chosen:
            mask = self.mask(structure, parts=parts)
            if folder is not None and not (folder / f"structure_{structure.id}.nrrd").exists():
                write_nrrd(mask, folder / f"structure_{structure.id}.nrrd")
            yield structure, mask

    def centroid_um(
        self, structure: StructureLike | Iterable[StructureLike], hemisphere: str | None = None
    ) -> np.ndarray[Any, Any]:
        """Return the middle of a structure, parts included: AP, DV, ML in µm from the corner.

        Parameters
        ----------
        structure
            As for `mask`.
        hemisphere
            ``left`` or ``right``: of that half of the volume alone. The middle of a structure that
            lies on both sides is between them, and often outside of it.

        Raises
        ------
        NotFoundError
            If there is no such structure, or it has no voxel there.
        UsageError
            If the hemisphere is neither.
        """
        import numpy as np

        if hemisphere not in {None, "left", "right"}:
            raise UsageError(f"no hemisphere {hemisphere!r:.20}", hint="'left' or 'right'")
        volume = self.mask(structure).transpose(*AXES)
        inside = volume.to_numpy()
        step = spacing_of(volume)
        corners = [corner_of(volume, name, size) for name, size in zip(AXES, step, strict=True)]
        at = np.argwhere(inside) + 0.5
        for axis, (_, is_turned) in enumerate(corners):
            if is_turned:
                at[:, axis] = inside.shape[axis] - at[:, axis]
        if hemisphere is not None:
            if abs(corners[2][0]) > step[2] / 1000:
                raise UsageError(
                    "of a part of a volume it is not known where its halves meet",
                    why=f"it begins at {corners[2][0]:g} µm along ML",
                )
            to_right = str(self.annotation.attrs.get("orientation", "PIR")).endswith("R")
            beyond = at[:, 2] > inside.shape[2] / 2
            at = at[beyond == ((hemisphere == "right") == to_right)]
        if not len(at):
            raise NotFoundError(
                "a structure without a voxel",
                address=volume.attrs["acronym"],
                why="in the annotation" if hemisphere is None else f"in the {hemisphere} half",
            )
        begin = np.array([first for first, _ in corners])
        found: np.ndarray[Any, Any] = begin + at.mean(axis=0) * np.array(step)
        return found

    # --- voxels -----------------------------------------------------------------------------------

    @functools.cached_property
    def _direct(self) -> dict[int, int]:
        import numpy as np

        counts = np.bincount(self.labels.codes, minlength=len(self.labels.ids))
        return dict(zip(map(int, self.labels.ids), map(int, counts), strict=True))

    def direct_voxel_counts(self) -> dict[int, int]:
        """Return, by id, how many voxels hold each structure's own id; 0 for those without any."""
        return {one.id: self._direct.get(one.id, 0) for one in self.structures}

    def total_voxel_counts(self) -> dict[int, int]:
        """Return, by id, how many voxels belong to each structure and all its parts."""
        totals = self.direct_voxel_counts()
        for one in self.structures:
            for above in self.structures.ancestors(one):
                totals[above.id] += self._direct.get(one.id, 0)
        return totals

    @property
    def unknown(self) -> dict[int, int]:
        """Ids of the annotation that the ontology does not have, with their voxels."""
        known = self.structures.by_id
        return {number: n for number, n in self._direct.items() if number and number not in known}

    def remove_unassigned(self) -> ReferenceSpace:
        """Return the space with those structures alone that have a voxel, or a part with one.

        Raises
        ------
        UsageError
            If none has.
        """
        totals = self.total_voxel_counts()
        kept = [one for one in self.structures if totals[one.id]]
        if not kept:
            raise UsageError("no structure of the ontology has a voxel in this annotation")
        names = self.structures.sets
        return ReferenceSpace(self.annotation, Structures(kept, self.structures.graph_id, names))

    # --- coverage ---------------------------------------------------------------------------------

    def check_coverage(
        self, structures: StructureLike | Iterable[StructureLike], domain: Any
    ) -> xr.DataArray:
        """Compare what structures (parts included) cover with what they should.

        Parameters
        ----------
        structures
            The structures.
        domain
            What they should cover: booleans, or 0 and 1, in the annotation's shape.

        Returns
        -------
        DataArray
            int8: 1 where a voxel of the domain is in none of them, -1 where they reach beyond it, 0
            elsewhere.

        Raises
        ------
        NotFoundError
            If there is no such structure.
        UsageError
            If the domain is of another shape, or holds other values.
        """
        import numpy as np

        wanted = self._domain(domain)
        found = self.mask(structures)
        values = wanted.astype(np.int8) - found.to_numpy().astype(np.int8)
        made = self.annotation.copy(data=values).rename("coverage")
        made.attrs["units"] = "1"
        return made

    def _domain(self, domain: Any) -> np.ndarray[Any, Any]:
        import numpy as np

        if hasattr(domain, "dims") and set(domain.dims) == set(AXES):
            domain = domain.transpose(*self.annotation.dims)
        values: np.ndarray[Any, Any] = np.asarray(domain)
        if values.shape != self.annotation.shape:
            raise UsageError(
                "the domain is of another shape", why=f"{values.shape}, not {self.annotation.shape}"
            )
        if values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
            raise UsageError("a domain holds 0 and 1", why="this holds other values")
        return values.astype(bool)

    def validate_structures(
        self, structures: Iterable[StructureLike], domain: Any
    ) -> tuple[set[int], xr.DataArray]:
        """Return whether structures tile a domain: what overlaps, and where they differ from it.

        Returns
        -------
        set of int, DataArray
            Ids of those that others of them are part of; the coverage (see `check_coverage`). Both
            empty (no id, zeros only) for a whole tiling without overlap.
        """
        chosen, _ = several(self.structures, structures)
        given = {one.id for one in chosen}
        above = {up.id for one in chosen for up in self.structures.ancestors(one)}
        return given & above, self.check_coverage(chosen, domain)

    # --- other volumes ----------------------------------------------------------------------------

    def downsample(
        self, target_um: float | Sequence[float], how: str = "nearest"
    ) -> ReferenceSpace:
        """Return a coarser space; labels are never mixed.

        Parameters
        ----------
        target_um
            Size of the new voxels in µm: one number, or one each along AP, DV and ML.
        how
            ``nearest``: the label at the middle of each new voxel. ``majority``: the label most of
            its voxels have, of several the lowest (whole multiples of the voxel size only).
            ``corners``: as AllenSDK's ``downsample`` does, which lays first and last voxels of
            both volumes on each other.

        Raises
        ------
        UsageError
            If the new voxels are smaller, no whole multiples where they must be, or there is no
            such way.
        """
        turned = self.annotation.transpose(*AXES)
        for axis in AXES:  # new voxels are laid out along the coordinates
            if axis in turned.coords and turned[axis][0] > turned[axis][-1]:
                turned = turned.isel({axis: slice(None, None, -1)})
        before = spacing_of(turned)
        values, spacing = coarser(turned.to_numpy(), before, _sizes(target_um), how)
        attrs = {k: v for k, v in self.annotation.attrs.items() if k != "spacing_um"}
        grown = [(new - old) / 2 for new, old in zip(spacing, before, strict=True)]
        if "origin_um" in attrs and how != "corners":  # the middle of the first voxel
            attrs["origin_um"] = [o + g for o, g in zip(attrs["origin_um"], grown, strict=True)]
        name = str(self.annotation.name or "annotation")
        made = label(values, spacing, name=name, attrs=attrs, where=name)
        for axis, step in zip(AXES, before, strict=True):
            first = float(turned[axis][0]) - step / 2 if axis in turned.coords else 0.0
            if first:  # a part of a larger volume
                places = made[axis].to_numpy() + first
                made = made.assign_coords({axis: (axis, places, made[axis].attrs)})
        return ReferenceSpace(made, self.structures)

    def colour_slice(
        self,
        axis: str | int,
        position_um: float,
        colours: Mapping[int, Sequence[int]] | None = None,
    ) -> np.ndarray[Any, Any]:
        """Return a slice of the annotation in the colours of its structures.

        Parameters
        ----------
        axis
            Across which it lies: ``AP`` or 0 (coronal), ``DV`` or 1 (horizontal), ``ML`` or 2
            (sagittal).
        position_um
            Where, in µm from the corner of the whole volume, as its coordinates are.
        colours
            Red, green, blue (0 to 255) by id; the atlas's own where None.

        Returns
        -------
        array
            uint8, the two other axes in their order x 3. Black (unless `colours` has 0) outside of
            all structures; grey for ids that have no colour.

        Raises
        ------
        UsageError
            If there is no such axis, the position is outside, or a colour makes no sense.
        """
        plane = slice_at(self.annotation, axis, position_um)
        own = {one.id: one.color for one in self.structures}
        return painted(plane, colour_table(own) if colours is None else colour_table(colours))

    # --- ITK-SNAP ---------------------------------------------------------------------------------

    def export_itksnap_labels(
        self, id_type: Any = "uint16", **options: Any
    ) -> tuple[xr.DataArray, pd.DataFrame]:
        """Return the annotation with ids that fit a small type, and the table that names them.

        Parameters
        ----------
        id_type
            Type of the new ids. If an id of the ontology does not fit, all are numbered from 1 on,
            in the order of their labels.
        **options
            As `openallen.sources.atlases.StructureTree.export_label_description` takes them.

        Raises
        ------
        UsageError
            If the annotation holds ids the ontology does not have, or the type is too small.
        """
        from openallen.sources.atlases.itksnap import labels_for_itksnap

        if self.unknown:
            told = ", ".join(map(str, list(self.unknown)[:8]))
            raise UsageError("the annotation holds structures the ontology does not have", why=told)
        return labels_for_itksnap(self.annotation, self.structures, id_type, options)

    def write_itksnap_labels(
        self, annotation_path: Path | str, label_path: Path | str, **options: Any
    ) -> None:
        """Write the annotation (``.nrrd``) and a label description file, for ITK-SNAP.

        Parameters
        ----------
        annotation_path, label_path
            Where to; ITK-SNAP opens the first as a segmentation and imports the second as its
            label descriptions.
        **options
            As for `export_itksnap_labels`.
        """
        from openallen.sources.atlases.itksnap import description_text
        from openallen.store.disk import write_whole

        annotation, table = self.export_itksnap_labels(**options)
        write_nrrd(annotation, annotation_path)
        write_whole(Path(label_path), description_text(table).encode())

    def _facts(self) -> dict[str, object]:
        shape = " x ".join(map(str, self.annotation.shape))
        return {
            "annotation": f"{shape}, voxels of {' x '.join(f'{s:g}' for s in self.spacing_um)} µm",
            "structures": len(self.structures),
            "without a voxel": sum(not n for n in self.total_voxel_counts().values()) or None,
        }

    def __repr__(self) -> str:
        return facts_text("reference space", self._facts())

    def _repr_html_(self) -> str:
        return card("reference space", self._facts())


def _sizes(target_um: float | Sequence[float]) -> tuple[float, ...]:
    sizes = [target_um] * 3 if isinstance(target_um, (int, float)) else list(target_um)
    try:
        return tuple(float(size) for size in sizes)
    except (TypeError, ValueError):
        raise UsageError("voxel sizes are numbers", why=f"{target_um!r:.60}") from None
