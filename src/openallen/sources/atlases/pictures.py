"""Pictures of grids and volumes, with the outlines of structures where there is an atlas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openallen.address import Address
from openallen.errors import OpenAllenError
from openallen.sources.atlases.models import OUTLINED
from openallen.sources.options import NoOptions

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from openallen.sources.atlases.atlas import Atlas
    from openallen.sources.atlases.grids import ConnectivityGrid, ExpressionGrid
    from openallen.sources.atlases.options import GridShowOptions
    from openallen.sources.context import Context
    from openallen.transfer.job import Job

__all__ = ["draw_grid", "draw_volume", "fetch_missing"]

_NEAR_UM: Final = 25.0


def fetch_missing(context: Context, work: Job) -> None:
    """Fetch what a picture needs, where it is not here.

    Raises
    ------
    IncompleteError
        If something could not be fetched.
    """
    if context.plan(work).missing:
        context.run(work).raise_if_failed()


def draw_grid(
    context: Context, grid: ExpressionGrid | ConnectivityGrid, options: GridShowOptions
) -> Figure:
    """Draw three slices of a grid: the first volume asked for, else the usual one.

    Of connectivity in several voxel sizes, the coarsest is drawn unless one is chosen.
    """
    from openallen.sources.atlases.grids import ConnectivityGrid

    usual = next((k for k in ("energy", "projection_density") if k in grid.kinds), grid.kinds[0])
    kind = options.include[0] if options.include else usual
    if isinstance(grid, ConnectivityGrid):
        size = options.resolution or max(grid.resolutions_um, default=None)
        return draw_volume(context, grid.volume(kind, size), options.at)
    return draw_volume(context, grid.volume(kind), options.at)


def draw_volume(
    context: Context, volume: xr.DataArray, at_um: tuple[float, ...] | None = None
) -> Figure:
    """Draw three slices of a volume, with the outlines of its reference space."""
    from openallen.sources.atlases.frames import agree
    from openallen.sources.atlases.plots import plot_slices

    space = OUTLINED.get(volume.attrs.get("reference_space_id") or 0)
    atlas = _outlines(context, space) if space else None
    near = atlas.annotation_like(_NEAR_UM) if atlas is not None else None
    if near is None or not agree(volume, near):
        atlas = None  # connectivity grids lie in another frame than the space's own annotation
    return plot_slices(volume, at_um, atlas=atlas)


def _outlines(context: Context, name: str) -> Atlas | None:
    """Return the atlas of a reference space, fetched where it is not here; None without one.

    A volume is drawn without outlines rather than not at all.
    """
    from openallen.sources.atlases.atlas import Atlas

    address = Address("atlas", name, path=("gridAnnotation",))
    folder = context.folder(address)
    try:
        fetch_missing(context, context.source(address).job(address, folder, NoOptions()))
        return Atlas(folder)
    except OpenAllenError as error:
        context.say(f"drawn without outlines of structures: {error.what}")
    return None
