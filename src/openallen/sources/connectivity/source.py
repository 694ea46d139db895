"""The door of mouse connectivity: ``connectivity:181777177``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from openallen.address import Address, Condition
from openallen.errors import UsageError
from openallen.sources.base import (
    Example,
    Facts,
    Field,
    Picture,
    Rows,
    Source,
    View,
    option,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from openallen.sources.connectivity.connectivity import Connectivity
    from openallen.sources.connectivity.experiment import Experiment
    from openallen.sources.connectivity.tables import Tables
    from openallen.transfer.job import Job

__all__ = ["ConnectivitySource"]

_CITATION = (
    "Oh, S.W. et al. (2014) A mesoscale connectome of the mouse brain. Nature 508:207-214; "
    "Allen Institute for Brain Science, Allen Mouse Brain Connectivity Atlas, "
    "https://connectivity.brain-map.org"
)
_TERMS = "https://alleninstitute.org/terms-of-use"
_PAGE = "https://connectivity.brain-map.org/projection/experiment/"


@dataclass(frozen=True, kw_only=True)
class ListOptions:
    """What listing experiments takes."""

    any_injection: bool = option(
        False, "Take injections that reached injection_structure, not only those mainly in it."
    )
    fresh: bool = option(False, "Ask the service again, also for what is kept.")


class ConnectivitySource(Source):
    """Experiments of the Mouse Brain Connectivity Atlas."""

    scheme: ClassVar[str] = "connectivity"
    title: ClassVar[str] = "mouse connectivity: injections, and what they project to"
    numeric: ClassVar[bool] = True
    folder: ClassVar[str] = "connectivity"
    draws: ClassVar[bool] = True
    examples: ClassVar[tuple[Example, ...]] = (
        Example("connectivity:181777177", "one experiment: its injection", sample=True),
    )
    list_options: ClassVar[type] = ListOptions
    columns: ClassVar[tuple[str, ...]] = (
        "id",
        "structure_abbrev",
        "transgenic_line",
        "injection_volume",
        "product_id",
        "specimen_name",
    )

    def _tables(self) -> Tables:
        from openallen.sources.connectivity.tables import Tables

        return Tables(self.context.settings)

    # --- list -------------------------------------------------------------------------------------

    def rows(
        self,
        address: Address,
        conditions: Sequence[Condition],
        options: ListOptions,
        limit: int | None,
    ) -> Rows:
        """Return experiments, with AllenSDK's columns."""
        from openallen.sources.connectivity.records import chosen_by
        from openallen.sources.filters import no_rows

        if address.name:
            raise self.cannot("listed", address, f"openallen show {address}")
        wanted = [*address.conditions, *conditions]
        tables = self._tables()
        takes = chosen_by(wanted, lambda: tables.structures, primary_only=not options.any_injection)
        every = tables.experiments(fresh=options.fresh)
        found = [row for row in every if takes(row)]
        command = f"openallen list connectivity:{self.context.source_flag}"
        plain = [one for one in wanted if one.field in every[0]]
        return Rows(
            found[:limit],
            self.columns,
            noun="experiment",
            total=len(found),
            empty=lambda: no_rows(every, plain or wanted, "connectivity:", command),
            address=lambda row: f"connectivity:{row['id']}",
        )

    # --- show -------------------------------------------------------------------------------------

    def facts(self, address: Address, options: Any) -> Facts:
        """Return what is known of an experiment."""
        del options
        if not address.name:
            raise self.cannot("shown as a whole", address, f"openallen list {self.scheme}:")
        from openallen.sources.connectivity.experiment import Experiment

        tables = self._tables()
        found = Experiment(tables.experiment(address.id), tables)
        slices = Picture("slices", lambda: self._draw(address))
        return _facts(found, str(address), (slices,))

    def _draw(self, address: Address) -> Figure:
        """Draw slices of the experiment's grid, as the source of grids does."""
        where = Address("grid", address.name)
        told = {"include": "projection_density", "resolution": 100}
        source = self.context.source(where)
        read, plain = source.options(source.show_options, where, told)
        return source.facts(plain, read).pictures[0].draw()

    def views(self, address: Address) -> list[View]:
        """Return the page of the portal that shows an experiment."""
        if not address.name:
            raise self.cannot("viewed as a whole", address, f"openallen list {self.scheme}:")
        self._tables().experiment(address.id)
        return [View(title="Allen Mouse Brain Connectivity Atlas", url=f"{_PAGE}{address.name}")]

    # --- fetch and open ---------------------------------------------------------------------------

    def job(self, address: Address, to: Path, options: Any) -> Job:
        """Say what is fetched instead: rows stay here once asked for, volumes are grids.

        Raises
        ------
        NotFoundError
            If there is no such experiment.
        UsageError
            If there is.
        """
        del to, options
        if not address.name:
            raise self.cannot("fetched as a whole", address, f"openallen list {self.scheme}:")
        self._tables().experiment(address.id)
        grid = f"grid:{address.name}?include=projection_density&resolution=100"
        raise UsageError(
            "an experiment is not fetched as one",
            address=str(address),
            why="its rows are kept once they are asked for, and its volumes are grids",
            hint=f"openallen fetch '{grid}'{self.context.source_flag}",
        )

    def open(self, address: Address, **options: Any) -> Connectivity | Experiment:
        """Open an experiment, or all of them: ``connectivity:``."""
        from openallen.sources.connectivity.connectivity import Connectivity

        self.no_options(options, address)
        if address.conditions:
            raise self.cannot("opened with conditions", address, f"openallen list '{address}'")
        every = Connectivity(self._tables())
        return every.experiment(address.id) if address.name else every


def _facts(found: Experiment, address: str, pictures: tuple[Picture, ...]) -> Facts:
    row = found.facts
    at = [row.get(f"injection_{axis}") for axis in "xyz"]
    volume = row.get("injection_volume")
    reached = row.get("injection_structures") or []
    fields = (
        Field("experiment", found.id, key="id"),
        Field(
            "injection in",
            row.get("structure_id"),
            f"{row.get('structure_name')} ({row.get('structure_abbrev')})",
            "structure_id",
        ),
        Field("structure", row.get("structure_abbrev"), "", "structure_abbrev"),
        Field("reached", reached, f"{len(reached)} structures", "injection_structures"),
        Field("hemisphere", found.hemisphere),
        Field(
            "at",
            at,
            None if None in at else f"AP {at[0]}, DV {at[1]}, ML {at[2]} µm",
            "injection_um",
        ),
        Field(
            "injection volume",
            volume,
            f"{volume:.4g} mm³" if isinstance(volume, (int, float)) else None,
            "injection_volume_mm3",
        ),
        Field("transgenic line", row.get("transgenic_line")),
        Field("strain", row.get("strain")),
        Field("sex", row.get("gender"), key="gender"),
        Field("specimen", row.get("specimen_name"), key="specimen_name"),
        Field("product id", row.get("product_id")),
    )
    return Facts(
        address=address,
        title=found.title,
        kind="connectivity experiment",
        fields=fields,
        pictures=pictures,
        citation=_CITATION,
        terms=_TERMS,
        ids=(found.id,),
        thing=found,
    )
