"""AllenSDK's ``ReferenceSpaceCache``: volumes and ontology of the Common Coordinate Framework."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from openallen import verbs
from openallen.compat.allensdk.core.reference_space import ReferenceSpace
from openallen.compat.allensdk.core.structure_tree import StructureTree
from openallen.compat.asking import opened_or_fetched, source_of
from openallen.compat.elsewhere import Mirrored
from openallen.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["ReferenceSpaceCache"]

Volume = tuple[Any, dict[str, Any]]
"""An array, AP x DV x ML, and facts of it."""


class ReferenceSpaceCache(Mirrored):
    """Volumes and ontology of a reference space, under AllenSDK's names.

    Parameters
    ----------
    resolution
        Size of a voxel in µm: 10, 25, 50, 100.
    reference_space_key
        ``annotation/ccf_2017`` and others.
    **kwargs
        ``base_uri``; others (``manifest``, ``cache``, ``version``) are taken, not used.
    """

    CCF_VERSION_DEFAULT: ClassVar[str] = "annotation/ccf_2017"

    def __init__(self, resolution: int, reference_space_key: str, **kwargs: Any) -> None:
        self.resolution = resolution
        self.reference_space_key = reference_space_key
        self._source = source_of(kwargs.get("base_uri"))
        name = str(reference_space_key).rpartition("/")[2].replace("_", "-")
        self._atlas = f"atlas:{name}"

    # --- volumes ----------------------------------------------------------------------------------

    def _volume(self, part: str, file_name: str | Path | None) -> Volume:
        """Return a volume of the atlas; a file that is told and there is read instead."""
        if file_name is not None and Path(file_name).exists():
            return _plain(verbs.open(Path(file_name)))
        return _plain(opened_or_fetched(f"{self._atlas}/{part}/{self.resolution}", self._source))

    def get_annotation_volume(self, file_name: str | Path | None = None) -> Volume:
        """Return the annotation: structure id of each voxel.

        Parameters
        ----------
        file_name
            A file that is read instead, where it is there.
        """
        return self._volume("annotation", file_name)

    def get_template_volume(self, file_name: str | Path | None = None) -> Volume:
        """Return the template; see `get_annotation_volume`."""
        return self._volume("template", file_name)

    def get_structure_mask(
        self,
        structure_id: int,
        file_name: str | Path | None = None,
        annotation_file_name: str | Path | None = None,
    ) -> Volume:
        """Return where a structure is: 0 and 1, uint8.

        Parameters
        ----------
        structure_id
            The structure.
        file_name, annotation_file_name
            Taken; the mask is made from the annotation.
        """
        del file_name
        number = self.validate_structure_id(structure_id)
        space = self.get_reference_space(None, annotation_file_name)
        mask = space.make_structure_mask([number])
        return mask, {"sizes": list(mask.shape), "spacings_um": list(space.resolution)}

    def get_structure_mesh(
        self, structure_id: int, file_name: str | Path | None = None
    ) -> tuple[Any, Any, Any, Any]:
        """Return the surface of a structure.

        Returns
        -------
        array, array, array, array
            Vertices in µm and their normals; the corners of each triangle, as positions in
            vertices and in normals.
        """
        del file_name
        number = self.validate_structure_id(structure_id)
        mesh = opened_or_fetched(f"{self._atlas}/mesh/{number}", self._source)
        return mesh.vertices_um, mesh.normals, mesh.faces, mesh.faces

    # --- ontology ---------------------------------------------------------------------------------

    def get_structure_tree(
        self, file_name: str | Path | None = None, structure_graph_id: int = 1
    ) -> StructureTree:
        """Return the ontology.

        Parameters
        ----------
        file_name
            Taken, not used.
        structure_graph_id
            1 adult mouse, 10 human, 16 developing human, 17 developing mouse.
        """
        del file_name
        found = opened_or_fetched(f"structures:{structure_graph_id}", self._source)
        return StructureTree(found)

    def get_reference_space(
        self,
        structure_file_name: str | Path | None = None,
        annotation_file_name: str | Path | None = None,
    ) -> ReferenceSpace:
        """Return the annotation with its ontology.

        Parameters
        ----------
        structure_file_name
            Taken, not used.
        annotation_file_name
            As for `get_annotation_volume`.
        """
        annotation = self.get_annotation_volume(annotation_file_name)[0]
        tree = self.get_structure_tree(structure_file_name)
        return ReferenceSpace(tree, annotation, (self.resolution,) * 3)

    @classmethod
    def validate_structure_id(cls, structure_id: Any) -> int:
        """Return an id as a whole number.

        Raises
        ------
        UsageError
            If it is none.
        """
        try:
            return int(structure_id)
        except (TypeError, ValueError):
            told = f"'{structure_id!r:.60}' is no id of a structure"
            raise UsageError(told, hint="openallen list structures:1") from None

    @classmethod
    def validate_structure_ids(cls, structure_ids: Iterable[Any]) -> list[int]:
        """Return ids as whole numbers; see `validate_structure_id`."""
        return [cls.validate_structure_id(number) for number in structure_ids]


def _plain(volume: Any) -> Volume:
    values: np.ndarray[Any, Any] = volume.to_numpy()
    sizes = [float(x[1] - x[0]) if len(x) > 1 else 0.0 for x in (volume[d] for d in volume.dims)]
    return values, {**volume.attrs, "sizes": list(values.shape), "spacings_um": sizes}
