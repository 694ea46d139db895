"""AllenSDK's ``ImageDownloadApi``: single images of brain-map.org as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from openallen.address import Address, Condition
from openallen.compat.allensdk.api.queries.rma_api import RmaApi
from openallen.compat.asking import placed, rows_of

__all__ = ["ImageDownloadApi"]

_OPTIONS: Final = (
    "annotation", "atlas", "colormap", "contrast", "downsample", "downsample_dimensions",
    "expression", "filter", "height", "left", "projection", "quality", "range", "rgb", "top",
    "tumor_feature_annotation", "tumor_feature_boundary", "view", "width",
)  # fmt: skip
_CHANNELS: Final = ("red", "green", "blue")


class ImageDownloadApi(RmaApi):
    """Fetches images to the paths it is told, and asks which there are.

    Parameters
    ----------
    base_uri
        As for `RmaApi`.
    """

    COLORMAPS: ClassVar[dict[str, int]] = {
        "gray": 0, "hotmetal": 1, "jet": 2, "redtemp": 3, "expression": 4, "red": 5, "blue": 6,
        "green": 7, "aba": 8, "aibsmap_alt": 9, "colormap": 10, "projection": 11,
    }  # fmt: skip

    # --- images -----------------------------------------------------------------------------------

    def download_image(
        self,
        image_id: int,
        file_path: str | Path | None = None,
        endpoint: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Fetch an image, of any kind.

        Parameters
        ----------
        image_id
            Its id.
        file_path
            Where to; ``ID.jpg`` where None.
        endpoint
            ``image_download``, ``section_image_download``, ``atlas_image_download``,
            ``projection_image_download``.
        **kwargs
            ``downsample``, ``quality``, ``view``, ``left``, ``top``, ``width``, ``height``,
            ``range`` and others of the service.
        """
        service = (endpoint or "image_download").removesuffix("_download")
        given = [Condition("service", "eq", service)] if service != "image" else []
        given += [
            Condition(name, "eq", _text(value))
            for name, value in kwargs.items()
            if name in _OPTIONS and value is not None
        ]
        where = str(Address("image", str(int(image_id)), conditions=tuple(given)))
        placed(where, file_path or f"{image_id}.jpg", self._source)

    def download_section_image(
        self, section_image_id: int, file_path: str | Path | None = None, **kwargs: Any
    ) -> None:
        """Fetch a section image; as `download_image`."""
        self.download_image(section_image_id, file_path, "section_image_download", **kwargs)

    def download_atlas_image(
        self, atlas_image_id: int, file_path: str | Path | None = None, **kwargs: Any
    ) -> None:
        """Fetch a plate of an atlas; as `download_image`."""
        self.download_image(atlas_image_id, file_path, "atlas_image_download", **kwargs)

    def download_projection_image(
        self, projection_image_id: int, file_path: str | Path | None = None, **kwargs: Any
    ) -> None:
        """Fetch a projection image; as `download_image`."""
        self.download_image(projection_image_id, file_path, "projection_image_download", **kwargs)

    # --- which there are --------------------------------------------------------------------------

    def section_image_query(
        self, section_data_set_id: int, num_rows: Any = "all", count: bool = False, **kwargs: Any
    ) -> list[dict[str, Any]]:
        """Return the rows of the section images of a data set."""
        return self.model_query(
            "SectionImage",
            criteria=f"[data_set_id$eq{section_data_set_id}]",
            num_rows=num_rows,
            count=count,
            **kwargs,
        )

    def get_section_data_sets_by_product(
        self,
        product_ids: Sequence[int],
        include_failed: bool = False,
        num_rows: Any = "all",
        count: bool = False,
        **kwargs: Any,
    ) -> list[dict[str, Any]]:
        """Return the rows of the data sets of products."""
        failed = "" if include_failed else "[failed$eqfalse],"
        return self.model_query(
            "SectionDataSet",
            criteria=f"{failed}products[id$in{','.join(map(str, product_ids))}]",
            num_rows=num_rows,
            count=count,
            **kwargs,
        )

    def get_section_image_ranges(
        self,
        section_image_ids: Sequence[int],
        num_rows: Any = "all",
        count: bool = False,
        as_lists: bool = True,
        **kwargs: Any,
    ) -> list[Any]:
        """Return the black and white points of section images, for ``range``.

        Parameters
        ----------
        section_image_ids
            The images.
        num_rows, count, **kwargs
            As for `model_query`.
        as_lists
            Whether each is a list of six numbers: red, green, blue; else a dict.
        """
        names = [f"{channel}_{end}" for channel in _CHANNELS for end in ("lower", "upper")]
        images = ",".join(map(str, section_image_ids))
        rows = self.model_query(
            "Equalization",
            criteria=f"section_data_set(section_images[id$in{images}])",
            only=names,
            num_rows=num_rows,
            count=count,
            **kwargs,
        )
        return [[row[name] for name in names] for row in rows] if as_lists else rows

    def atlas_image_query(
        self, atlas_id: int, image_type_name: str | None = None
    ) -> list[dict[str, Any]]:
        """Return the rows of the plates of an atlas.

        Parameters
        ----------
        atlas_id
            The atlas.
        image_type_name
            Kind of image; that of the atlas where None.
        """
        if image_type_name is None:
            query = f"model::Atlas,rma::criteria,[id$eq{int(atlas_id)}]"
            image_type_name = next((r["image_type"] for r in rows_of(query, self._source)), "")
        return self.model_query(
            "AtlasImage",
            criteria=(
                f"[annotated$eqtrue],atlas_data_set(atlases[id$eq{int(atlas_id)}]),"
                f"alternate_images[image_type$eq'{image_type_name}']"
            ),
            order=["sub_images.section_number"],
            num_rows="all",
        )


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(map(str, value))
    return str(value)
