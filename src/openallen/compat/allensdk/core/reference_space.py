"""AllenSDK's ``ReferenceSpace``: an annotation with its ontology."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openallen.compat.elsewhere import Mirrored
from openallen.errors import requiring
from openallen.sources.atlases.reference_space import ReferenceSpace as OurSpace

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = ["ReferenceSpace"]

_AXES = ("AP", "DV", "ML")


class ReferenceSpace(Mirrored):
    """An annotation with its ontology, in AllenSDK's forms: plain arrays, ids.

    Parameters
    ----------
    structure_tree
        The ontology.
    annotation
        Structure id of each voxel; AP x DV x ML.
    resolution
        Size of a voxel in µm, one number for each axis.
    """

    def __init__(self, structure_tree: Any, annotation: Any, resolution: Sequence[float]) -> None:
        self.structure_tree = structure_tree
        self.annotation = annotation
        self.resolution = tuple(resolution)

    @property
    def _space(self) -> Any:
        """The same as openallen has it; made again where a script has changed a part."""
        now = (id(self.structure_tree), id(self.annotation), self.resolution)
        kept: tuple[Any, Any] | None = self.__dict__.get("_kept")
        if kept is None or kept[0] != now:
            with requiring("volumes", "atlas"):
                import xarray as xr
            axes = {
                axis: (axis, [(i + 0.5) * size for i in range(length)], {"units": "µm"})
                for axis, size, length in zip(
                    _AXES, self.resolution, self.annotation.shape, strict=True
                )
            }
            volume = xr.DataArray(self.annotation, coords=axes, dims=_AXES, name="annotation")
            volume.attrs["spacing_um"] = self.resolution
            kept = (now, OurSpace(volume, self.structure_tree.structures))
            self.__dict__["_kept"] = kept
        return kept[1]

    # --- voxels -----------------------------------------------------------------------------------

    @property
    def direct_voxel_map(self) -> dict[int, int]:
        """Voxels that hold each structure's own id."""
        return dict(self._space.direct_voxel_counts())

    @property
    def total_voxel_map(self) -> dict[int, int]:
        """Voxels of each structure and its parts."""
        return dict(self._space.total_voxel_counts())

    def direct_voxel_counts(self) -> None:
        """Do nothing: `direct_voxel_map` is there when it is wanted."""

    def total_voxel_counts(self) -> None:
        """Do nothing: `total_voxel_map` is there when it is wanted."""

    # --- masks ------------------------------------------------------------------------------------

    def make_structure_mask(
        self, structure_ids: Sequence[int], direct_only: bool = False
    ) -> np.ndarray[Any, Any]:
        """Return where any of some structures is: 0 and 1, uint8.

        Parameters
        ----------
        structure_ids
            The structures.
        direct_only
            Whether only their own voxels count, not those of their parts.
        """
        found: np.ndarray[Any, Any] = self._space.mask(list(structure_ids), parts=not direct_only)
        return found.astype("uint8").to_numpy()  # type: ignore[attr-defined, no-any-return]

    def many_structure_masks(
        self,
        structure_ids: Sequence[int],
        output_cb: Callable[[int, Callable[[], Any]], Any] | None = None,
        direct_only: bool = False,
    ) -> Iterator[Any]:
        """Yield what a function makes of each structure's mask.

        Parameters
        ----------
        structure_ids
            The structures.
        output_cb
            Takes an id and a function that makes its mask; `return_mask_cb` where None.
        direct_only
            As for `make_structure_mask`.
        """
        make = output_cb or self.return_mask_cb
        for number in structure_ids:
            yield make(number, functools.partial(self.make_structure_mask, [number], direct_only))

    @staticmethod
    def return_mask_cb(structure_id: int, fn: Callable[[], Any]) -> tuple[int, Any]:
        """Return an id with its mask."""
        return structure_id, fn()

    @staticmethod
    def check_and_write(base_dir: str | Path, structure_id: int, fn: Callable[[], Any]) -> int:
        """Write a mask as ``structure_ID.nrrd``, unless it is there; return the id."""
        path = Path(base_dir) / f"structure_{structure_id}.nrrd"
        if not path.exists():
            with requiring("volumes", "atlas"):
                import nrrd
            nrrd.write(str(path), fn())
        return structure_id

    # --- coverage ---------------------------------------------------------------------------------

    def remove_unassigned(self, update_self: bool = True) -> list[dict[str, Any]]:
        """Return the nodes of structures that have a voxel; and forget the others.

        Parameters
        ----------
        update_self
            Whether the others are forgotten.
        """
        totals = self.total_voxel_map
        kept = self.structure_tree.filter_nodes(lambda node: totals[node["id"]] > 0)
        if update_self:
            self.structure_tree = type(self.structure_tree)(
                self._space.remove_unassigned().structures
            )
        return list(kept)

    def check_coverage(
        self, structure_ids: Sequence[int], domain_mask: Any
    ) -> np.ndarray[Any, Any]:
        """Return where structures and a domain differ: 1 not covered, -1 covered beyond it."""
        found: np.ndarray[Any, Any] = self._space.check_coverage(
            list(structure_ids), domain_mask
        ).to_numpy()
        return found

    def validate_structures(
        self, structure_ids: Sequence[int], domain_mask: Any
    ) -> tuple[set[int], np.ndarray[Any, Any]]:
        """Return which structures contain others of them, and `check_coverage`."""
        overlapping, coverage = self._space.validate_structures(list(structure_ids), domain_mask)
        return overlapping, coverage.to_numpy()

    # --- other forms ------------------------------------------------------------------------------

    def downsample(self, target_resolution: Sequence[float]) -> ReferenceSpace:
        """Return a coarser space, voxel by voxel as AllenSDK makes it."""
        found = self._space.downsample(list(target_resolution), "corners")
        return ReferenceSpace(self.structure_tree, found.annotation.to_numpy(), target_resolution)

    def get_slice_image(
        self, axis: int, position: float, cmap: Mapping[int, Sequence[int]] | None = None
    ) -> np.ndarray[Any, Any]:
        """Return a slice in the colours of its structures: two axes x 3, uint8.

        Parameters
        ----------
        axis
            Across which it lies.
        position
            Where, in µm; rounded to the nearest voxel as AllenSDK does, by its index.
        cmap
            Red, green, blue by id; the atlas's own where None.
        """
        size = self.resolution[axis]
        middle = (round(position / size) + 0.5) * size
        found: np.ndarray[Any, Any] = self._space.colour_slice(axis, middle, cmap)
        return found

    def export_itksnap_labels(
        self, id_type: Any = None, label_description_kwargs: Mapping[str, Any] | None = None
    ) -> tuple[np.ndarray[Any, Any], pd.DataFrame]:
        """Return the annotation with ids that fit a small type, and the table that names them.

        Parameters
        ----------
        id_type
            Type of the new ids; uint16 where None.
        label_description_kwargs
            As for `StructureTree.export_label_description`.
        """
        told = dict(label_description_kwargs or {})
        volume, table = self._space.export_itksnap_labels(id_type or "uint16", **told)
        return volume.to_numpy(), table

    def write_itksnap_labels(
        self, annotation_path: str | Path, label_path: str | Path, **kwargs: Any
    ) -> None:
        """Write the annotation and a file of labels, for ITK-SNAP.

        Parameters
        ----------
        annotation_path, label_path
            Where to.
        **kwargs
            As for `export_itksnap_labels`.
        """
        told = dict(kwargs.pop("label_description_kwargs", None) or {})
        if kwargs.get("id_type") is None:
            kwargs.pop("id_type", None)
        self._space.write_itksnap_labels(annotation_path, label_path, **kwargs, **told)
