"""AllenSDK's ``SynchronizationApi``: where points of images are in the brain, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from openallen.compat.allensdk.api.api import Api
from openallen.compat.asking import alignment_of, ask_service, row_of

__all__ = ["SynchronizationApi"]


class SynchronizationApi(Api):
    """Points of section images, of reference spaces, of other images.

    What alignments of data sets tell is computed here, from rows that are asked for once; the rest
    the service is asked.

    Parameters
    ----------
    base_uri
        As for `Api`.
    """

    def get_image_to_reference(self, section_image_id: int, x: float, y: float) -> dict[str, Any]:
        """Return where a point of a section image is in its reference space.

        Parameters
        ----------
        section_image_id
            The image.
        x, y
            The point, in px of the image at full size.

        Returns
        -------
        dict
            ``{"image_to_reference": {"x", "y", "z"}}``: posterior, inferior, right, in µm.
        """
        place = self._place(section_image_id, x, y)
        return {"image_to_reference": dict(zip("xyz", place, strict=True))}

    def _place(self, section_image_id: int, x: float, y: float) -> list[float]:
        row = row_of("SectionImage", section_image_id, self._source)
        image = alignment_of(row["data_set_id"], self._source).image(int(section_image_id))
        return [float(part) for part in image.to_reference(x, y)]

    def get_reference_to_image(
        self,
        reference_space_id: int,
        x: float,
        y: float,
        z: float,
        section_data_set_ids: Sequence[int],
    ) -> list[dict[str, Any]]:
        """Return where a point of a reference space is on the nearest images of data sets.

        Parameters
        ----------
        reference_space_id
            Taken, not used: data sets know their own.
        x, y, z
            The point: posterior, inferior, right, in µm.
        section_data_set_ids
            The data sets.

        Returns
        -------
        list of dict
            ``{"image_sync": {"section_data_set_id", "section_image_id", "section_number", "x",
            "y"}}``.
        """
        del reference_space_id
        return [self._nearest((x, y, z), number) for number in section_data_set_ids]

    def _nearest(self, point: Sequence[float], data_set: int) -> dict[str, Any]:
        found = alignment_of(data_set, self._source).nearest(point)
        image = int(found.image_id[0])
        told = {
            "section_data_set_id": int(data_set),
            "section_image_id": image,
            "section_number": row_of("SectionImage", image, self._source)["section_number"],
            "x": float(found.x_px[0]),
            "y": float(found.y_px[0]),
        }
        return {"image_sync": told}

    def get_image_to_image(
        self, section_image_id: int, x: float, y: float, section_data_set_ids: Sequence[int]
    ) -> list[dict[str, Any]]:
        """Return where a point of a section image is on the nearest images of data sets."""
        place = self._place(section_image_id, x, y)
        return [self._nearest(place, number) for number in section_data_set_ids]

    def get_image_to_image_2d(
        self, section_image_id: int, x: float, y: float, section_image_ids: Sequence[int]
    ) -> Any:
        """Return where a point of a section image is on other images of its plane."""
        return ask_service(
            f"image_to_image_2d/{int(section_image_id)}.json?x={x:f}&y={y:f}"
            f"&section_image_ids={','.join(map(str, section_image_ids))}",
            self._source,
        )

    def get_image_to_atlas(self, section_image_id: int, x: float, y: float, atlas_id: int) -> Any:
        """Return where a point of a section image is on a plate of an atlas."""
        return ask_service(
            f"image_to_atlas/{int(section_image_id)}.json?x={x:f}&y={y:f}&atlas_id={int(atlas_id)}",
            self._source,
        )

    def get_structure_to_image(self, section_data_set_id: int, structure_ids: Sequence[int]) -> Any:
        """Return where structures are on the images of a data set."""
        return ask_service(
            f"structure_to_image/{int(section_data_set_id)}.json"
            f"?structure_ids={','.join(map(str, structure_ids))}",
            self._source,
        )
