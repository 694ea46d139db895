"""Open section images that were fetched: planes, tables, alignment, drawings.

Pixels are uint8; axes are (y, x, channel), y down and x to the right, as in the images of the
service. Images of one data set differ in size.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from openallen.brainmap.alignment import ImageAlignment, Nearest, SetAlignment
from openallen.display import bytes_text, card, count_text, facts_text
from openallen.errors import NotFoundError, requiring
from openallen.planes.images import PlaneImage, Planes, thumbnail
from openallen.plans import safe_path
from openallen.sources.sections.manifest import ImageEntry, Manifest, read_manifest, record_of
from openallen.sources.sections.record import CITATION, SectionRecord

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from openallen.formats.omezarr import OmeZarr
    from openallen.manifests import Entry
    from openallen.planes.convert import Conversion
    from openallen.visuals import Visual

__all__ = ["SectionSet"]

_FIRST_COLUMNS = (
    "id",
    "position",
    "section_number",
    "z_um",
    "width_px",
    "height_px",
    "resolution_um_per_px",
    "file_width_px",
    "file_height_px",
    "size_bytes",
    "path",
    "url",
    "sha256",
)


class SectionSet:
    """Section images of a data set, or plates of an atlas, that were fetched into a folder.

    Parameters
    ----------
    folder
        Folder of the ``manifest.json``.
    overviews
        Folder where small pictures of its images are cached; None for nowhere.

    Raises
    ------
    NotFoundError
        If the folder has no manifest.
    CorruptError
        If the manifest cannot be read.
    """

    def __init__(self, folder: Path | str, *, overviews: Path | None = None) -> None:
        self.folder = Path(folder)
        self.overviews = overviews
        self.manifest: Manifest = read_manifest(self.folder)
        self.record: SectionRecord = record_of(self.manifest)

    @property
    def address(self) -> str:
        """Address of the set: ``sections:71717084``."""
        return self.manifest.address

    @property
    def data_set(self) -> dict[str, Any]:
        """The service's row of the data set, with its alignment; of the atlas for plates."""
        return self.manifest.data_set

    @property
    def section_thickness_um(self) -> float | None:
        """Distance from one section number to the next, in µm; None where it is not known."""
        return self.manifest.section_thickness_um

    @property
    def downsample(self) -> int:
        """Halvings of the images that are here."""
        return self.manifest.first.downsample if self.manifest.first else 0

    @cached_property
    def planes(self) -> Planes[ImageEntry]:
        """The images that are here, in the order of the sections; decoded when they are read."""
        known = (PlaneImage(e, self._path(e)) for e in self.manifest.images if e.path)
        return Planes([image for image in known if image.path.exists()], self.address)

    def _path(self, entry: Entry) -> Path:
        # A manifest may come from anybody: its paths must not lead out of its folder.
        return self.folder.absolute() / safe_path(entry.path or "")

    def rows(self) -> list[dict[str, Any]]:
        """Return the table of images as plain rows, those that are not here included."""
        rows: list[dict[str, Any]] = msgspec.to_builtins(self.manifest.images)
        return [{**dict.fromkeys(_FIRST_COLUMNS), **row} for row in rows]

    @property
    def images(self) -> pd.DataFrame:
        """The table of images, indexed by image id; one without a ``path`` is not here.

        Raises
        ------
        MissingExtraError
            Without the extra ``tables``.
        """
        with requiring("a DataFrame", "tables"):
            import pandas as pd
        return pd.DataFrame(self.rows()).set_index("id")

    # --- where they lie ---------------------------------------------------------------------------

    @property
    def alignment(self) -> SetAlignment:
        """Where images lie in reference space; points of images are pixels at full size.

        Raises
        ------
        NotFoundError
            If the service does not say.
        """
        return self.record.alignment

    def to_reference(self, index: int, x_px: Any, y_px: Any) -> np.ndarray[Any, Any]:
        """Return AP, DV, ML (last axis) of points of an image that is here, in µm.

        Parameters
        ----------
        index
            Which of `planes`.
        x_px, y_px
            Pixels of the image as it is here, downsampled; the centre of the first one is (0, 0).

        Raises
        ------
        NotFoundError
            If there is no such image, or it is not aligned.
        """
        aligned, scale = self._aligned(index)
        with requiring("coordinates of images", "atlas"):
            import numpy as np
        x, y = (scale * (np.asarray(v, float) + 0.5) - 0.5 for v in (x_px, y_px))
        return aligned.to_reference(x, y)

    def from_reference(self, index: int, pir_um: Any) -> tuple[Any, Any, Any]:
        """Return x and y in pixels of an image as it is here, and the distance from it in µm.

        Parameters
        ----------
        index
            Which of `planes`.
        pir_um
            AP, DV, ML along the last axis, in µm.

        Raises
        ------
        NotFoundError
            If there is no such image, or it is not aligned.
        """
        aligned, scale = self._aligned(index)
        x, y, off = aligned.from_reference(pir_um)
        return (x + 0.5) / scale - 0.5, (y + 0.5) / scale - 0.5, off

    def nearest(self, pir_um: Any) -> Nearest:
        """Return the image nearest to each point of reference space, whether here or not.

        Parameters
        ----------
        pir_um
            AP, DV, ML along the last axis, in µm.
        """
        return self.alignment.nearest(pir_um)

    def _aligned(self, index: int) -> tuple[ImageAlignment, int]:
        entry = self.planes[index].entry
        return self.alignment.image(entry.id), 1 << entry.downsample

    # --- what goes with them ----------------------------------------------------------------------

    def svg(self, index: int) -> str:
        """Return the structures drawn on an image that is here, as SVG.

        Parameters
        ----------
        index
            Which of `planes`.

        Raises
        ------
        NotFoundError
            If none are drawn on it, or they were not fetched.
        """
        return self._view(index, "svg").read_text("utf-8")

    def expression(self, index: int) -> NDArray[np.uint8]:
        """Return the picture of segmented expression of an image that is here, (y, x, 3).

        Parameters
        ----------
        index
            Which of `planes`.

        Raises
        ------
        NotFoundError
            If there is none, or it was not fetched.
        MissingExtraError
            Without the extra ``images``.
        """
        return self._decoded(index, "expression")

    def projection(self, index: int) -> NDArray[np.uint8]:
        """Return the picture of segmented projection of an image that is here, (y, x, 3).

        Parameters
        ----------
        index
            Which of `planes`.

        Raises
        ------
        NotFoundError
            If there is none, or it was not fetched.
        MissingExtraError
            Without the extra ``images``.
        """
        return self._decoded(index, "projection")

    def _decoded(self, index: int, view: str) -> NDArray[np.uint8]:
        from openallen.formats.jpeg import decode

        return decode(self._view(index, view).read_bytes())

    def _view(self, index: int, view: str) -> Path:
        image = self.planes[index].entry
        for entry in self.manifest.drawn:
            if (entry.image_id, entry.view) == (image.id, view) and entry.path:
                path = self._path(entry)
                if path.is_file():
                    return path
        raise NotFoundError(
            f"no {view} of section {image.section_number} here",
            address=self.address,
            why="the service has none, or it was not fetched",
            hint=f"openallen fetch {self.address} --{view} --to {self.folder}",
        )

    # --- conversion -------------------------------------------------------------------------------

    def conversion(self, to: Path | str | None = None, **options: Any) -> Conversion:
        """Prepare a conversion to OME-Zarr without running it.

        Parameters
        ----------
        to
            Path of the store; ``<data set>.ome.zarr`` beside the manifest if None.
        **options
            As `openallen.planes.convert.ConvertOptions`.

        Raises
        ------
        NotFoundError
            If no image that is here is aligned.
        UsageError
            If an option does not go with section images.
        """
        from openallen.planes.convert import ConvertOptions
        from openallen.sources.sections.convert import conversion

        return conversion(self, Path(to) if to else self.folder, ConvertOptions(**options))

    def zarr(self, to: Path | str | None = None, **options: Any) -> OmeZarr:
        """Open the images as OME-Zarr in the data set's volume; convert them first if necessary.

        `OmeZarr.affine_um` leads on to reference space.

        Parameters
        ----------
        to, **options
            As for `conversion`.

        Raises
        ------
        MissingExtraError
            Without the extra ``images``.
        """
        from openallen.formats.omezarr import OmeZarr

        work = self.conversion(to, **options)
        if not work.to.exists() or work.options.overwrite:
            work.run()
        return OmeZarr(work.to)

    # --- how it looks -----------------------------------------------------------------------------

    def _visuals(self) -> tuple[Visual, ...]:
        from openallen.sources.sections.visuals import visuals_of_sections

        return visuals_of_sections(self)

    def thumbnail(self) -> str:
        """Return the image in the middle, small, as a ``data:`` URI; empty where none is here."""
        planes = self.planes
        return thumbnail(planes[len(planes) // 2].path) if planes else ""

    def _facts(self) -> dict[str, object]:
        recorded = [entry for entry in self.manifest.entries if entry.path]
        here = [entry for entry in recorded if self._path(entry).is_file()]
        first = self.manifest.first
        pixel = first and first.resolution_um_per_px * (1 << first.downsample)
        step = self.section_thickness_um
        return {
            "address": self.address,
            "gene": ", ".join(self.record.genes) or None,
            "images": f"{len(self.planes)} of {len(self.manifest.images)}",
            "sections": self.record.sections_text,
            "pixel": pixel and f"{pixel:g} µm" + (f", sections {step:g} µm" if step else ""),
            "aligned": "to reference space" if self.record.is_aligned else "no",
            "also": ", ".join(sorted(self.manifest.views())) or None,
            "on disk": bytes_text(sum(entry.size_bytes or 0 for entry in here)),
            "missing": count_text(len(recorded) - len(here), "file")
            if len(here) < len(recorded)
            else None,
            "folder": self.folder,
            "source": self.manifest.source
            + (" (simulated pixels)" if self.manifest.simulated else ""),
        }

    def __repr__(self) -> str:
        return facts_text(self.record.title, self._facts())

    def _repr_html_(self) -> str:
        return card(self.record.title, self._facts(), image=self.thumbnail(), note=CITATION)
