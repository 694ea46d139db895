"""The door of expression and projection grids: ``grid:69855739``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from openallen.address import Address, AddressLike, Condition
from openallen.errors import NotFoundError, OpenAllenError, RefusedError, UsageError
from openallen.sources.atlases.options import GridOptions, GridShowOptions, asked_for
from openallen.sources.base import Example, Facts, Field, Picture, Place, Rows, Source

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from openallen.sources.atlases.grids import ConnectivityGrid, ExpressionGrid
    from openallen.sources.atlases.models import DataSet
    from openallen.sources.atlases.plan import GridJob
    from openallen.transfer.job import Job
    from openallen.web_address import WebAddress

    Grid = ExpressionGrid | ConnectivityGrid

__all__ = ["GridSource"]


class GridSource(Source):
    """Expression or projection of one section data set, as a grid of voxels."""

    scheme: ClassVar[str] = "grid"
    title: ClassVar[str] = "expression and projection grids of section data sets"
    numeric: ClassVar[bool] = True
    folder: ClassVar[str] = "grids"
    draws: ClassVar[bool] = True
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            "grid:69855739",
            "expression energy in the adult mouse",
            sample=True,
            web=(
                "http://api.brain-map.org/grid_data/download/69855739",
                "https://mouse.brain-map.org/experiment/show/69855739",
            ),
        ),
        Example(
            "grid:69855739?include=energy,density",
            "two volumes of it",
            sample=True,
            web=("http://api.brain-map.org/grid_data/download/69855739?include=energy,density",),
        ),
        Example(
            "grid:181777177?include=data_mask&resolution=100",
            "connectivity, in voxels of 100 µm",
            sample=True,
            web=(
                "http://api.brain-map.org/grid_data/download_file/181777177"
                "?image=data_mask&resolution=100",
            ),
        ),
    )
    fetch_options: ClassVar[type] = GridOptions
    show_options: ClassVar[type] = GridShowOptions
    columns: ClassVar[tuple[str, ...]] = (
        "id",
        "gene",
        "plane",
        "product",
        "age",
        "reference_space_id",
        "specimen_id",
    )

    @classmethod
    def parse(cls, data_set: AddressLike | int) -> Address:
        """Read the id of a section data set, or its address.

        Raises
        ------
        UsageError
            If it is the address of something else.
        """
        number = str(data_set)
        where = Address.parse(f"{cls.scheme}:{number}" if number.isdigit() else number)
        if where.scheme != cls.scheme:
            raise UsageError(
                "this is not a section data set",
                address=str(where),
                hint=cls.show_command(),
            )
        return where

    @classmethod
    def from_web(cls, web: WebAddress) -> Address | None:
        """Read the address of a grid's download, or of a portal's page of its data set."""
        from openallen.sources.atlases.web import grid_address

        return grid_address(web)

    # --- list -------------------------------------------------------------------------------------

    def rows(
        self, address: Address, conditions: Sequence[Condition], options: Any, limit: int | None
    ) -> Rows:
        """Return section data sets; those that failed quality control only if asked for."""
        from openallen.sources.atlases.search import grid_row, no_grids, search_grids

        del options
        if address.name:
            raise self.cannot("listed", address, f"openallen show {address}")
        wanted = [*address.conditions, *conditions]
        asked = search_grids(wanted)
        client = self.context.client
        return Rows(
            map(grid_row, client.rows(asked, limit)),
            self.columns,
            noun="section data set",
            total=None if limit is None else client.count(asked),
            empty=lambda: no_grids(client, wanted),
            address=lambda row: f"grid:{row['id']}",
        )

    # --- show -------------------------------------------------------------------------------------

    def facts(self, address: Address, options: GridShowOptions) -> Facts:
        """Return what is known of a section data set, and the plan of the volumes asked for."""
        from openallen.sources.atlases.models import DataSet
        from openallen.sources.atlases.plan import data_set_row

        asked = self._asked(address, options, "shown as a whole")
        folder = self.context.folder(address)
        work, notes = self._planned(asked, folder)
        told = {} if work is None else work.facts
        row, query = told.get("row"), str(told.get("query") or "")
        here = _here(folder)
        if row is None and here is not None:
            found = self.facts_of(here, str(asked))
        else:
            if row is None:  # asked once more, for the reason
                row, query = data_set_row(self.context.client, address.id, folder)
            found = _facts(DataSet.from_row(row), query, here)
        slices = Picture("slices", lambda: self._draw(asked, options))
        plan = None if work is None else self.context.plan(work)
        return replace(found, address=str(asked), pictures=(slices,), plan=plan, notes=notes)

    def _planned(self, asked: Address, folder: Path) -> tuple[GridJob | None, tuple[str, ...]]:
        """Return the job of what is asked for; why there is none, where the folder is taken."""
        from openallen.sources.atlases.plan import plan_grid

        try:
            return plan_grid(self.context.client, asked, folder), ()
        except RefusedError as error:
            return None, (f"no plan: {error.what} ({error.why})",)

    def _asked(self, address: Address, options: GridOptions, done: str) -> Address:
        """Return the address of a data set with its options, seen to make sense before all else."""
        from openallen.sources.atlases.plan import wanted_kinds

        if not address.name:
            raise self.cannot(done, address, f"openallen list {self.scheme}:")
        asked = asked_for(address, options)
        wanted_kinds(asked, None)
        return asked

    def _draw(self, asked: Address, options: GridShowOptions) -> Figure:
        """Draw a grid, fetched first where it is not here."""
        from openallen.sources.atlases.grids import open_grid
        from openallen.sources.atlases.pictures import draw_grid, fetch_missing
        from openallen.sources.atlases.plan import plan_grid

        folder = self.context.folder(asked)
        grid = _here(folder, options)
        if grid is None:
            fetch_missing(self.context, plan_grid(self.context.client, asked, folder))
            grid = open_grid(folder, options.include or (), options.resolution)
        return draw_grid(self.context, grid, options)

    # --- fetch and open ---------------------------------------------------------------------------

    def job(self, address: Address, to: Path, options: GridOptions) -> Job:
        """Return the job that fetches volumes of a section data set."""
        from openallen.sources.atlases.plan import plan_grid

        asked = self._asked(address, options, "fetched as a whole")
        return plan_grid(self.context.client, asked, to)

    def open(self, address: Address, **options: Any) -> Grid:
        """Open a grid that was fetched into the store; `include` and `resolution` must be in it."""
        from openallen.sources.atlases.atlas import Atlas
        from openallen.sources.atlases.grids import open_grid
        from openallen.sources.atlases.models import OUTLINED

        chosen, plain = self.options(GridOptions, address, options)
        asked = asked_for(plain, chosen)
        folder = self.context.folder(asked)
        try:
            grid = open_grid(folder, chosen.include or (), chosen.resolution)
        except NotFoundError as error:
            raise self.not_here(asked, error) from error
        _one_size(grid, chosen, str(asked))
        grid.cache = self.context.settings.store / "views"
        space = OUTLINED.get(grid.data_set.reference_space_id or 0) if grid.data_set else None
        if space:
            grid.outlines = partial(Atlas, self.context.folder(Address("atlas", space)))
        return grid

    @classmethod
    def recognise(cls, place: Place) -> int:
        """Recognise grids by the names of files, or by the volumes in a ZIP file."""
        from openallen.sources.atlases.places import grid_sureness

        return grid_sureness(place)

    def open_place(self, place: Place, **options: Any) -> Grid:
        """Open a folder that was fetched, or one of its files."""
        from openallen.sources.atlases.grids import open_grid
        from openallen.sources.options import read_options

        assert place.path is not None
        chosen = read_options(GridOptions, options, place.name)
        grid = open_grid(place.path, chosen.include or (), chosen.resolution)
        _one_size(grid, chosen, place.name)
        return grid

    def place_facts(self, place: Place, options: GridShowOptions) -> Facts:
        """Return what a folder or file holds, with a picture."""
        from openallen.sources.atlases.pictures import draw_grid

        grid = self.open_place(place, include=options.include, resolution=options.resolution)
        slices = Picture("slices", lambda: draw_grid(self.context, grid, options))
        return replace(self.facts_of(grid, place.name), pictures=(slices,))


def _here(folder: Path, options: GridOptions | None = None) -> Grid | None:
    """Return what is in the store already, whichever fetch brought it; None where it is not."""
    from openallen.sources.atlases.grids import open_grid

    chosen = options or GridOptions()
    try:
        return open_grid(folder, chosen.include or (), chosen.resolution)
    except OpenAllenError:
        return None


def _one_size(grid: Grid, options: GridOptions, address: str) -> None:
    """Check that no voxel size is asked for where there is but one.

    Raises
    ------
    UsageError
        If it is.
    """
    from openallen.sources.atlases.grids import ExpressionGrid

    if options.resolution is not None and isinstance(grid, ExpressionGrid):
        raise UsageError(
            "expression grids come in one size",
            address=address,
            hint="resolution= is for connectivity: projection_density and others",
        )


def _facts(known: DataSet, query: str, here: Grid | None) -> Facts:
    from openallen.sources.atlases.models import CITATION, TERMS

    kinds = [] if here is None else list(here.kinds)
    thickness = known.section_thickness_um
    fields = (
        Field("data set", known.id, key="id"),
        Field("gene", known.gene),
        Field("gene name", known.gene_name),
        Field("plane of section", known.plane, key="plane"),
        Field("product", known.product),
        Field("age", known.age),
        Field("reference space", known.reference_space),
        Field("reference space id", known.reference_space_id),
        Field(
            "section thickness",
            thickness,
            None if thickness is None else f"{thickness:g} µm",
            "section_thickness_um",
        ),
        Field("specimen", known.specimen_id, key="specimen_id"),
        Field("failed", known.failed),
        Field("connectivity", known.connectivity),
        Field("here", kinds, ", ".join(kinds) or "nothing"),
        Field("query", query, ""),
    )
    return Facts(
        address="",
        title=f"Section data set {known.id}",
        kind="section data set",
        fields=fields,
        citation=CITATION,
        terms=TERMS,
        ids=(known.id,),
    )
