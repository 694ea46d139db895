"""Open a packaged stack: planes, table, projections, morphology, focus, OME-Zarr.

Everything is read lazily. Pixels are uint8; axes are (y, x) for gray and (y, x, channel) for
colour images, y down and x to the right, as in the images of the service.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from openallen.display import bytes_text, card, count_text, facts_text
from openallen.errors import NotFoundError, requiring
from openallen.planes.images import PlaneImage, Planes, thumbnail
from openallen.plans import safe_path
from openallen.sources.stacks.coming import read_draft, with_arrived
from openallen.sources.stacks.manifest import Entry, Manifest, PlaneEntry, read_manifest

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from openallen.formats.omezarr import OmeZarr
    from openallen.formats.swc import Morphology
    from openallen.planes.convert import Conversion
    from openallen.visuals import Visual

__all__ = ["ImageStack"]

_FIRST_COLUMNS = (
    "id",
    "section_number",
    "z_um",
    "width_px",
    "height_px",
    "file_width_px",
    "file_height_px",
    "size_bytes",
    "path",
    "url",
    "sha256",
)


class ImageStack:
    """A packaged stack of one cell.

    Parameters
    ----------
    folder
        Folder of the ``manifest.json``. While the stack is being fetched for the first time, what
        is there so far is opened by the draft of the manifest.
    overviews
        Folder where small pictures of its planes are cached; None for nowhere.

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
        self.manifest: Manifest = _read(self.folder)

    @property
    def address(self) -> str:
        """Address of the stack: ``stack:313862022``."""
        return self.manifest.address

    @property
    def specimen_id(self) -> int:
        """Id of the cell."""
        return self.manifest.specimen_id

    @property
    def resolution_um_per_px(self) -> float:
        """Size of a pixel of the images here, in µm; includes the downsampling."""
        return self.manifest.resolution_um_per_px * (1 << self.manifest.downsample)

    @property
    def z_step_um(self) -> float:
        """Distance between adjacent sections, in µm."""
        return self.manifest.z_step.um

    @cached_property
    def planes(self) -> Planes[PlaneEntry]:
        """The planes that are here."""
        known = (PlaneImage(e, self._path(e)) for e in self.manifest.planes if e.path)
        return Planes([image for image in known if image.path.exists()], self.address)

    def _path(self, entry: Entry) -> Path:
        # A manifest may come from anybody: its paths must not lead out of its folder.
        return self.folder.absolute() / safe_path(entry.path or "")

    def rows(self) -> list[dict[str, Any]]:
        """Return the table of planes as plain rows, planes that are not here included.

        Columns: id, section number, depth, size in pixels (full resolution, and of the file), size
        in bytes, path, URL, SHA-256; then the rest of the manifest's entry.
        """
        rows: list[dict[str, Any]] = msgspec.to_builtins(self.manifest.planes)
        return [{**dict.fromkeys(_FIRST_COLUMNS), **row} for row in rows]

    def table(self) -> pd.DataFrame:
        """Return the table of planes as a DataFrame, indexed by image id.

        One row for each plane of the stack, with the columns of `rows`. A plane without a ``path``
        is not here.

        Raises
        ------
        MissingExtraError
            Without the extra ``tables``.
        """
        with requiring("a DataFrame", "tables"):
            import pandas as pd
        return pd.DataFrame(self.rows()).set_index("id")

    def projection(self, function: str = "min", axes: str = "xy") -> NDArray[np.uint8]:
        """Decode a projection computed by the service.

        Parameters
        ----------
        function
            ``min`` (the dark cell on the light background) or ``max``.
        axes
            ``xy``, shape (y, x), or ``yz``, shape (y, z) with z resampled to the pixel size.

        Returns
        -------
        numpy.ndarray
            uint8; one pixel is `resolution_um_per_px` wide.

        Raises
        ------
        NotFoundError
            If it has not been fetched.
        MissingExtraError
            Without the extra ``images``.
        """
        from openallen.formats.jpeg import decode

        return decode(self._projection_path(function, axes).read_bytes(), gray=True)

    def _projection_path(self, function: str, axes: str) -> Path:
        entries = self.manifest.projections
        for entry in entries:
            if (entry.function, entry.axes) == (function, axes) and entry.path:
                return self._path(entry)
        known = ", ".join(f"{e.function} {e.axes}" for e in entries if e.path) or "none"
        raise NotFoundError(
            f"no {function} {axes} projection", address=self.address, why=f"here: {known}"
        )

    def file(self, kind: str) -> Path:
        """Return the path of a morphology file by its type, such as ``3DNeuronReconstruction``.

        Raises
        ------
        NotFoundError
            If it has not been fetched, or the cell has none.
        """
        for entry in self.manifest.morphology:
            if entry.type == kind and entry.path:
                return self._path(entry)
        raise NotFoundError(
            f"no {kind}",
            address=self.address,
            why="the cell has none, or it was not fetched",
            hint=f"openallen fetch {self.address} --to {self.folder}",
        )

    @property
    def morphology(self) -> Morphology:
        """The reconstruction of the cell; coordinates in µm, in the frame of the planes.

        Raises
        ------
        NotFoundError
            If there is none, or it has not been fetched.
        """
        from openallen.formats.swc import read_swc

        return read_swc(self.file("3DNeuronReconstruction"))

    def zarr(self, to: Path | str | None = None, **options: Any) -> OmeZarr:
        """Open the stack as OME-Zarr; convert it first if necessary.

        Parameters
        ----------
        to
            Path of the store; ``<specimen>.ome.zarr`` beside the manifest if None.
        **options
            For a conversion, as `openallen.planes.convert.ConvertOptions`.

        Returns
        -------
        OmeZarr
            ``.levels`` are zarr arrays, largest first; ``.scales_um`` are their pixel sizes.

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

    def conversion(self, to: Path | str | None = None, **options: Any) -> Conversion:
        """Prepare a conversion to OME-Zarr without running it; parameters as for `zarr`.

        Raises
        ------
        NotFoundError
            If no plane is here.
        """
        from openallen.planes.convert import ConvertOptions
        from openallen.sources.stacks.convert import conversion

        where = Path(to) if to else self.folder
        return conversion(self.manifest, self.planes, where, ConvertOptions(**options))

    def focus(self) -> NDArray[np.float64]:
        """Measure the focus of each plane here: the variance of its Laplacian.

        Returns
        -------
        numpy.ndarray
            float64, one value for each of `planes`; larger is sharper. Values are comparable
            within one stack at one downsampling only.

        Raises
        ------
        MissingExtraError
            Without the extra ``images``.
        """
        from openallen.formats.focus import focus_measure
        from openallen.formats.parallel import ordered_map

        with requiring("measuring focus", "images"):
            import numpy as np
        measured = ordered_map(lambda p: focus_measure(p.read(gray=True)), self.planes)
        return np.fromiter(measured, dtype=np.float64, count=len(self.planes))

    def _visuals(self) -> tuple[Visual, ...]:
        from openallen.sources.stacks.visuals import visuals_of_stack

        return visuals_of_stack(self)

    def _best_projection(self) -> Path | None:
        try:
            return self._projection_path("min", "xy")
        except NotFoundError:
            return None

    def _facts(self) -> dict[str, object]:
        m = self.manifest
        recorded = [e for e in (*m.planes, *m.projections, *m.morphology) if e.path]
        here = {e.path: e for e in recorded if self._path(e).is_file()}
        first = self.planes[0].entry if self.planes else None
        return {
            "address": m.address,
            "cell": m.specimen.get("specimen__name") or m.specimen.get("donor__species"),
            "planes": f"{len(self.planes)} of {m.plane_count.expected}",
            "size": first and f"{first.file_width_px} x {first.file_height_px} px (x, y)",
            "pixel": f"{self.resolution_um_per_px:g} µm (x, y), {self.z_step_um:g} µm (z)",
            "projections": ", ".join(
                f"{p.function} {p.axes}" for p in m.projections if p.path in here
            )
            or None,
            "morphology": ", ".join(f.type for f in m.morphology if f.path in here) or None,
            "on disk": bytes_text(sum(e.size_bytes or 0 for e in here.values())),
            "missing": count_text(len(recorded) - len(here), "file")
            if len(here) < len(recorded)
            else None,
            "folder": self.folder,
            "source": m.source + (" (simulated pixels)" if m.simulated else ""),
        }

    def __repr__(self) -> str:
        return facts_text(f"Image stack of specimen {self.specimen_id}", self._facts())

    def _repr_html_(self) -> str:
        return card(
            f"Image stack of specimen {self.specimen_id}",
            self._facts(),
            image=thumbnail(self._best_projection()),
            note=self.manifest.citation,
        )


def _read(folder: Path) -> Manifest:
    try:
        return read_manifest(folder)
    except NotFoundError:
        draft = read_draft(folder)
        if draft is None:
            raise
        return with_arrived(draft, folder)
