"""Where a point of an image lies in the brain, and the other way round; offline, by the million.

A section image is moved into its data set's volume by an affine map of the plane (x, y in px to
X, Y in µm), its place along the third axis is section number x thickness, and another affine map
leads to reference space: posterior, inferior, right (PIR), in µm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from openallen.display import count_text
from openallen.errors import AnswerError, NotFoundError, UsageError, requiring

if TYPE_CHECKING:
    import numpy as np

__all__ = ["ImageAlignment", "Nearest", "SetAlignment"]


class Nearest(NamedTuple):
    """Points of reference space on the sections nearest to them.

    Parameters
    ----------
    image_id
        The section image of each point.
    x_px, y_px
        Where the point is on it; may lie outside the picture.
    distance_um
        How far the section is from the point, along the third axis of the data set.
    """

    image_id: np.ndarray[Any, Any]
    x_px: np.ndarray[Any, Any]
    y_px: np.ndarray[Any, Any]
    distance_um: np.ndarray[Any, Any]


@requiring("coordinates of images", "atlas")
def _affine(row: Mapping[str, Any], prefix: str, dims: int) -> tuple[Any, Any]:
    """Read a row's affine map: `dims` squared factors row by row, then the shift."""
    import numpy as np

    try:
        told = [float(row[f"{prefix}_{n:02}"]) for n in range(dims * dims + dims)]
    except (KeyError, TypeError, ValueError) as error:
        raise AnswerError("an alignment row is not whole", why=f"{prefix}: {error}") from error
    return np.array(told[: dims * dims]).reshape(dims, dims), np.array(told[dims * dims :])


@requiring("coordinates of images", "atlas")
def _points(pir_um: Any) -> np.ndarray[Any, Any]:
    """Read points of reference space: three numbers along the last axis."""
    import numpy as np

    try:
        found: np.ndarray[Any, Any] = np.asarray(pir_um, float)
    except (TypeError, ValueError):
        raise UsageError("points are numbers, in µm", why=f"{pir_um!r:.60}") from None
    if found.shape[-1:] != (3,):
        raise UsageError("points have three coordinates", why=f"shape {found.shape}")
    return found


@requiring("coordinates of images", "atlas")
def _pixels(x_px: Any, y_px: Any) -> np.ndarray[Any, Any]:
    """Read points of an image: x and y along a new last axis."""
    import numpy as np

    try:
        x, y = np.broadcast_arrays(np.asarray(x_px, float), np.asarray(y_px, float))
    except (TypeError, ValueError):
        why = f"x {x_px!r:.30}, y {y_px!r:.30}"
        raise UsageError("x and y are numbers, as many of each, in px", why=why) from None
    return np.stack([x, y], axis=-1)


@dataclass(frozen=True, eq=False)
class ImageAlignment:
    """One section image in reference space.

    Parameters
    ----------
    plane, plane_back
        Factors (2 x 2) and shift of px to µm, and of µm to px.
    volume, volume_back
        Factors (3 x 3) and shift of the data set's volume to reference space and back, in µm.
    z_um
        Place of the section along the third axis.
    image_id
        The image.
    """

    plane: tuple[Any, Any]
    plane_back: tuple[Any, Any]
    volume: tuple[Any, Any]
    volume_back: tuple[Any, Any]
    z_um: float
    image_id: int = 0

    @classmethod
    def of(
        cls,
        alignment2d: Mapping[str, Any],
        alignment3d: Mapping[str, Any],
        section_number: int,
        section_thickness_um: float,
        image_id: int = 0,
    ) -> Self:
        """Make it from rows of ``Alignment2d`` and ``Alignment3d`` of brain-map.org.

        Raises
        ------
        AnswerError
            If a number of them is missing.
        """
        return cls(
            _affine(alignment2d, "tsv", 2),
            _affine(alignment2d, "tvs", 2),
            _affine(alignment3d, "tvr", 3),
            _affine(alignment3d, "trv", 3),
            section_number * section_thickness_um,
            image_id,
        )

    def to_reference(self, x_px: Any, y_px: Any) -> np.ndarray[Any, Any]:
        """Return posterior, inferior and right (last axis) of points of the image, in µm."""
        import numpy as np

        factors, shift = self.plane
        flat = _pixels(x_px, y_px) @ factors.T + shift
        place = np.concatenate([flat, np.full((*flat.shape[:-1], 1), self.z_um)], axis=-1)
        found: np.ndarray[Any, Any] = place @ self.volume[0].T + self.volume[1]
        return found

    def from_reference(self, pir_um: Any) -> tuple[Any, Any, Any]:
        """Return x and y in px, and how far each point is from the section, in µm."""
        place = _points(pir_um) @ self.volume_back[0].T + self.volume_back[1]
        flat = place[..., :2] @ self.plane_back[0].T + self.plane_back[1]
        return flat[..., 0], flat[..., 1], place[..., 2] - self.z_um

    def to_image(self, x_px: Any, y_px: Any, other: ImageAlignment) -> tuple[Any, Any]:
        """Return where points of this image are on another of the same volume, in px.

        Only the alignments of the two planes are used: the sections are laid on each other. This
        is the service's ``image_to_image_2d``.

        Parameters
        ----------
        x_px, y_px
            Points of this image.
        other
            The other image; of the same data set, or of one that shares its volume.
        """
        flat = _pixels(x_px, y_px) @ self.plane[0].T + self.plane[1]
        found = flat @ other.plane_back[0].T + other.plane_back[1]
        return found[..., 0], found[..., 1]

    def to_set(self, x_px: Any, y_px: Any, other: SetAlignment) -> Nearest:
        """Return points of this image on the nearest sections of another data set.

        By way of reference space, which both must be aligned to: the service's ``image_to_image``,
        and ``image_to_atlas`` where the other is an atlas.

        Parameters
        ----------
        x_px, y_px
            Points of this image.
        other
            The images of the other data set, or of an atlas.
        """
        return other.nearest(self.to_reference(x_px, y_px))


class SetAlignment:
    """All section images of a data set.

    Parameters
    ----------
    images
        Their alignments.

    Raises
    ------
    UsageError
        If there are none.
    """

    def __init__(self, images: Sequence[ImageAlignment]) -> None:
        if not images:
            raise UsageError("a data set without images has no alignment")
        self.images = sorted(images, key=lambda image: image.z_um)
        self._by_id = {image.image_id: image for image in self.images}

    @classmethod
    def of(cls, data_set: Mapping[str, Any], images: Sequence[Mapping[str, Any]]) -> Self:
        """Make it from a row of SectionDataSet and rows of SectionImage that nest their alignments.

        Parameters
        ----------
        data_set
            With ``alignment3d`` and ``section_thickness``.
        images
            With ``alignment2d``.

        Raises
        ------
        AnswerError
            If a number of them is missing.
        UsageError
            If there are no images.
        """
        return cls(
            [
                ImageAlignment.of(
                    row["alignment2d"],
                    data_set["alignment3d"],
                    int(row["section_number"]),
                    float(data_set["section_thickness"]),
                    int(row["id"]),
                )
                for row in images
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        first, last = self.images[0], self.images[-1]
        return (
            f"alignment of {count_text(len(self), 'section image')},"
            f" {first.z_um:g} to {last.z_um:g} µm along the data set's third axis"
        )

    def image(self, image_id: int) -> ImageAlignment:
        """Return the alignment of one section image.

        Raises
        ------
        NotFoundError
            If the data set has none of that id.
        """
        found = self._by_id.get(image_id)
        if found is None:
            raise NotFoundError(
                f"no aligned section image {image_id}",
                why=f"there are {count_text(len(self), 'image')}, {self.images[0].image_id} first",
            )
        return found

    def nearest(self, pir_um: Any) -> Nearest:
        """Find the section nearest to each point of reference space.

        Parameters
        ----------
        pir_um
            Posterior, inferior, right in µm along the last axis.

        Returns
        -------
        Nearest
            In the shape of the points; of a single point, arrays of one.

        Raises
        ------
        UsageError
            If they are no such points.
        """
        import numpy as np

        given = np.atleast_2d(_points(pir_um))
        points = given.reshape(-1, 3)
        factors, shift = self.images[0].volume_back
        z = (points @ factors.T + shift)[..., 2]
        places = np.array([image.z_um for image in self.images])
        right = np.clip(np.searchsorted(places, z), 1, max(len(places) - 1, 1))
        right = np.minimum(right, len(places) - 1)
        left = np.maximum(right - 1, 0)
        chosen = np.where(np.abs(places[left] - z) <= np.abs(places[right] - z), left, right)
        x, y, far = (np.empty(len(points)) for _ in range(3))
        for number in np.unique(chosen):
            at = chosen == number
            x[at], y[at], far[at] = self.images[number].from_reference(points[at])
        ids = np.array([image.image_id for image in self.images])[chosen]
        shape = given.shape[:-1]
        return Nearest(*(one.reshape(shape) for one in (ids, x, y, np.abs(far))))
