"""Three slices through a point of a volume, with the outlines of structures; matplotlib draws."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, Protocol

from openallen.errors import UsageError, requiring
from openallen.sources.atlases.frames import (
    AXES,
    agree,
    index_of,
    oriented,
    points_um,
    spacing_of,
    um_of,
)
from openallen.sources.atlases.structures import Structure

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Outlines", "plot_slices"]

_VIEWS: Final = (
    ("coronal", "AP", "DV", "ML"),
    ("sagittal", "ML", "DV", "AP"),
    ("horizontal", "DV", "AP", "ML"),
)
"""Name of a view, the axis it cuts, and the axes that run down and to the right in it."""

_MM: Final = 1000.0
_SHARE: Final = "1"
"""Unit of what runs from 0 to 1."""


class Outlines(Protocol):
    """What pictures need of an atlas; `openallen.sources.atlases.Atlas` has it."""

    @property
    def structures(self) -> Iterable[Structure]:
        """The structures whose colours are drawn."""

    def annotation_like(self, resolution_um: float) -> xr.DataArray | None:
        """Return the annotation whose voxels are nearest to a size."""

    def structure_at(self, point_um: Any, resolution_um: float | None = None) -> Structure | None:
        """Return the structure at one point."""


def plot_slices(
    volume: xr.DataArray,
    at_um: Any = None,
    *,
    atlas: Outlines | None = None,
    cmap: str | None = None,
) -> Figure:
    """Draw three orthogonal slices of a volume through a point.

    Parameters
    ----------
    volume
        A grid's volume, or an atlas's, with `AXES` in µm.
    at_um
        AP, DV, ML of the point in µm; where None, the middle of the brightest part of the volume
        (of an annotation, of what is annotated).
    atlas
        Draws the outlines of its structures, and names the one at the point.
    cmap
        Colour map; annotations have the colours of their structures.

    Returns
    -------
    Figure
        Coronal, sagittal and horizontal, to scale, axes in mm. It is not one of pyplot's: a
        notebook shows it once, and ``figure.savefig("x.png")`` writes it.

    Raises
    ------
    UsageError
        If the volume has other axes, or the point lies outside it.
    """
    with requiring("a picture", "atlas"):
        from matplotlib.figure import Figure
    volume = _drawable(volume, atlas)
    drawn = _Slices.of(volume, at_um, atlas, cmap)
    depth, height, width = drawn.sizes_mm
    widths = [width, depth, width]
    figure = Figure(
        figsize=(13.0, 12.5 * max(height, depth) / sum(widths) + 0.9), layout="constrained"
    )
    axes = figure.subplots(1, 3, width_ratios=widths)
    shown = [drawn.view(axis, *view) for axis, view in zip(axes, _VIEWS, strict=True)]
    if drawn.colours is None:
        bar = figure.colorbar(shown[0], ax=axes, shrink=0.8, pad=0.01)
        bar.set_label(_quantity(volume), fontsize=11)
        bar.ax.tick_params(labelsize=10)
    figure.suptitle(_title(drawn, at_um), fontsize=12)
    # pyplot does not know this figure, so notebooks show it once: as the value of a cell, by this.
    vars(figure)["_repr_png_"] = functools.partial(_png, figure)
    return figure


def _png(figure: Figure) -> bytes:
    """Return a figure as notebooks show it."""
    body = BytesIO()
    figure.savefig(body, format="png", dpi=100)
    return body.getvalue()


def _quantity(volume: xr.DataArray) -> str:
    """Return what a volume's values are, with their unit: ``expression energy (grey level)``."""
    told = volume.attrs
    name, units = str(volume.name or ""), str(told.get("units") or "")
    what = str(told.get("long_name") or name).partition(":")[0]
    if "/" in what:  # the part of an atlas
        what = name
    units = "0 to 1" if units == _SHARE else units
    return f"{what} ({units})" if units else what


def _drawable(volume: xr.DataArray, atlas: Outlines | None) -> xr.DataArray:
    """Return a volume in the order of `AXES`, in the frame of the atlas.

    Raises
    ------
    UsageError
        If it is no volume, or not of the space the atlas is of.
    """
    if not hasattr(volume, "dims") or set(AXES) != set(map(str, volume.dims)):
        shape = getattr(volume, "dims", type(volume).__name__)
        raise UsageError("a volume has the axes AP, DV, ML", why=f"this has {shape}")
    volume = volume.transpose(*AXES)
    near = atlas.annotation_like(spacing_of(volume)[0]) if atlas is not None else None
    if near is None:
        return volume
    if not agree(volume, near):
        raise UsageError(
            "the atlas is of another space than the volume",
            why=f"{dict(near.sizes)} voxels of {spacing_of(near)} µm,"
            f" not {dict(volume.sizes)} of {spacing_of(volume)}",
        )
    return oriented(volume, str(near.attrs.get("orientation", "PIR")))


@dataclass(frozen=True, kw_only=True)
class _Slices:
    """What the three views have in common."""

    volume: xr.DataArray
    atlas: Outlines | None
    index: tuple[int, ...]
    spacing: tuple[float, ...]
    cmap: str
    limits: tuple[float, float]
    colours: Any = None

    @classmethod
    def of(
        cls, volume: xr.DataArray, at_um: Any, atlas: Outlines | None, cmap: str | None
    ) -> _Slices:
        whole = volume.dtype.kind in "iub"
        painted = whole and volume.attrs.get("units") == "structure id" and atlas is not None
        return cls(
            volume=volume,
            atlas=atlas,
            index=_point(volume, at_um),
            spacing=spacing_of(volume),
            cmap=cmap or ("gray" if whole else "magma"),
            limits=(0.0, 1.0) if painted else _limits(volume),
            colours=_structure_colours(atlas) if painted and atlas is not None else None,
        )

    @property
    def point_um(self) -> np.ndarray[Any, Any]:
        return um_of(self.index, self.spacing)

    @property
    def sizes_mm(self) -> list[float]:
        return [n * step / _MM for n, step in zip(self.volume.shape, self.spacing, strict=True)]

    def view(self, axis: Axes, name: str, cut: str, down: str, right: str) -> Any:
        """Draw one view; return the picture in it."""
        plane = self.volume.isel({cut: self.index[AXES.index(cut)]}).transpose(down, right)
        shown = self._picture(axis, plane.to_numpy(), down, right)
        if self.atlas is not None and self.colours is None:
            self._outline(axis, cut, down, right)
        style: dict[str, Any] = {"color": "#ff5a36", "linewidth": 0.8, "alpha": 0.9}
        point_mm = dict(zip(AXES, self.point_um / _MM, strict=True))
        axis.axhline(point_mm[down], **style)
        axis.axvline(point_mm[right], **style)
        axis.set_title(f"{name}, {cut} {point_mm[cut]:.2f} mm", fontsize=11)
        axis.set_xlabel(f"{right} (mm)", fontsize=10)
        axis.set_ylabel(f"{down} (mm)", fontsize=10)
        axis.tick_params(labelsize=9)
        return shown

    def _picture(self, axis: Axes, values: np.ndarray[Any, Any], down: str, right: str) -> Any:
        import numpy as np

        sizes = dict(zip(AXES, self.sizes_mm, strict=True))
        extent = (0.0, sizes[right], sizes[down], 0.0)
        if self.colours is not None:
            return axis.imshow(self.colours(values), extent=extent, interpolation="nearest")
        axis.set_facecolor("#c8c8c8")  # where there are no data
        return axis.imshow(
            np.ma.masked_invalid(values.astype("float32")),
            extent=extent,
            interpolation="nearest",
            cmap=self.cmap,
            vmin=self.limits[0],
            vmax=self.limits[1],
        )

    def _outline(self, axis: Axes, cut: str, down: str, right: str) -> None:
        """Draw where structures meet, from the annotation whose voxels are nearest in size."""
        import numpy as np
        from matplotlib.collections import LineCollection

        assert self.atlas is not None
        annotation = self.atlas.annotation_like(self.spacing[0])
        if annotation is None:
            return
        steps = dict(zip(AXES, spacing_of(annotation), strict=True))
        at = int(self.point_um[AXES.index(cut)] // steps[cut])
        if not 0 <= at < annotation.sizes[cut]:
            return
        ids = annotation.isel({cut: at}).transpose(down, right).to_numpy()
        # Borders run between voxels: one segment for each pair of neighbours that differ.
        rows, columns = np.nonzero(ids[1:] != ids[:-1])
        lines = [np.stack([columns, rows + 1, columns + 1, rows + 1], axis=1)]
        rows, columns = np.nonzero(ids[:, 1:] != ids[:, :-1])
        lines.append(np.stack([columns + 1, rows, columns + 1, rows + 1], axis=1))
        scale = (steps[right] / _MM, steps[down] / _MM)
        segments = np.concatenate(lines).reshape(-1, 2, 2) * scale
        color = "#2a8cff" if self.cmap == "gray" else "#9fe8ff"  # seen on white as on black
        style: dict[str, Any] = {"colors": color, "linewidths": 0.6, "alpha": 0.9}
        axis.add_collection(LineCollection(list(segments), **style))


def _point(volume: xr.DataArray, at_um: Any) -> tuple[int, ...]:
    import numpy as np

    if at_um is not None:
        asked = points_um(at_um)
        if asked.shape != (3,) or not np.isfinite(asked).all():
            raise UsageError("a point has three coordinates", why=f"{at_um!r}")
        found = index_of(asked, spacing_of(volume))
        if not all(0 <= i < size for i, size in zip(found, volume.shape, strict=True)):
            ends = " x ".join(
                f"{n * s:,.0f}" for n, s in zip(volume.shape, spacing_of(volume), strict=True)
            )
            raise UsageError("the point is outside the volume", why=f"size {ends} µm")
        return tuple(int(i) for i in found)
    values = volume.to_numpy()
    if values.dtype.kind in "iub":
        bright = values > 0
    else:
        known = np.nan_to_num(values, nan=-np.inf)
        bright = known >= max(_high(values), float(np.nextafter(known.min(), np.inf)))
    places = np.argwhere(bright)
    if not len(places) or len(places) == values.size:
        return tuple(size // 2 for size in volume.shape)
    # The bright voxel nearest to the middle of all of them: never a point between two spots.
    middle = np.median(places, axis=0)
    return tuple(int(i) for i in places[np.argmin(((places - middle) ** 2).sum(axis=1))])


def _high(values: np.ndarray[Any, Any]) -> float:
    import numpy as np

    there = values[np.isfinite(values)]
    there = there[there > there.min(initial=np.inf)]  # what is not background
    return float(np.percentile(there, 99.5)) if there.size else np.inf


def _limits(volume: xr.DataArray) -> tuple[float, float]:
    high = _high(volume.to_numpy().astype("float32").ravel()[::7])
    return 0.0, high if 0 < high < float("inf") else 1.0


def _structure_colours(atlas: Outlines) -> Any:
    """Return a function that turns ids into the colours of the atlas; white outside of all."""
    import numpy as np

    table = {s.id: tuple(int(s.color[i : i + 2], 16) for i in (0, 2, 4)) for s in atlas.structures}

    def paint(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        ids, where = np.unique(values, return_inverse=True)
        colours = [table.get(int(i), (255, 255, 255) if not i else (170, 170, 170)) for i in ids]
        found: np.ndarray[Any, Any] = np.array(colours, np.uint8)[where.reshape(values.shape)]
        return found

    return paint


def _title(drawn: _Slices, at_um: Any) -> str:
    """Return what is drawn, where, and in which structure that is."""
    volume, atlas = drawn.volume, drawn.atlas
    told = volume.attrs
    parts = [str(told.get("gene") or told.get("atlas") or ""), str(volume.name or "")]
    if told.get("data_set_id") is not None:
        parts.append(f"data set {told['data_set_id']}")
    lines = [", ".join(part for part in parts if part) or "volume"]
    if told.get("simulated"):
        lines[0] += " (simulated)"
    point = f"voxel centre {_place(drawn.point_um)} µm (AP, DV, ML)"
    if at_um is not None and _place(points_um(at_um)) != _place(drawn.point_um):
        point = f"point {_place(points_um(at_um))} µm, shown at its {point}"
    if atlas is not None:
        near = atlas.annotation_like(spacing_of(volume)[0])
        found = (
            atlas.structure_at(drawn.point_um, spacing_of(near)[0]) if near is not None else None
        )
        point += f", in {found.name} ({found.acronym})" if found is not None else ""
    return "\n".join([*lines, point])


def _place(point_um: np.ndarray[Any, Any]) -> str:
    return ", ".join(f"{um:.0f}" for um in point_um)
