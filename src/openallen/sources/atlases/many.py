"""Many grids at once as one lazy array; the alignment of a data set's images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openallen.address import Address, AddressLike, Condition
from openallen.errors import UsageError
from openallen.settings import Settings
from openallen.sources.atlases.grid_source import GridSource
from openallen.sources.context import Context, folder_for
from openallen.sources.tables import row_limit

if TYPE_CHECKING:
    import xarray as xr

    from openallen.brainmap.alignment import SetAlignment
    from openallen.transfer import Observer

__all__ = ["alignment", "grids"]


def alignment(
    data_set: AddressLike | int, *, source: str | None = None, settings: Settings | None = None
) -> SetAlignment:
    """Return where the section images of a data set lie in the brain.

    Its rows are requested once and stored; later calls work offline.

    Parameters
    ----------
    data_set
        Id of a section data set, or its address (``grid:123``).
    source
        ``live`` (the default), ``sample``, or the folder or URL of an archive.
    settings
        Settings to use; loaded from the environment and files if None.

    Raises
    ------
    UsageError
        If it is the address of something else.
    NotFoundError
        If there is no such data set, or it is not aligned.

    Examples
    --------
    >>> import openallen as oa
    >>> here = oa.alignment(123, source="sample")
    >>> here.image(101945191).to_reference(4000, 2500).round()
    array([6291., 3790., 6548.])
    """
    from openallen.sources.atlases.search import load_alignment

    where = GridSource.parse(data_set)
    with Context(settings, source=source) as context:
        return load_alignment(context.client, where.id, context.folder(where))


def grids(
    *,
    gene: str | list[str] | None = None,
    plane: str | None = None,
    product: str | None = "Mouse",
    kind: str = "energy",
    limit: int | None = None,
    chunks: Any = None,
    to: Path | str | None = None,
    source: str | None = None,
    settings: Settings | None = None,
    observer: Observer | None = None,
    **filters: object,
) -> xr.DataArray:
    """Return expression grids as one lazy array; those not in the store are fetched first.

    Parameters
    ----------
    gene
        Acronym of the gene, or several; every gene where None.
    plane
        ``coronal`` or ``sagittal``; both where None.
    product
        Abbreviation of the product: ``Mouse`` (adult), ``DevMouse``; any where None.
    kind
        ``energy``, ``density`` or ``intensity``.
    limit
        Data sets at most, those with the lowest ids first.
    chunks
        Data sets in a dask chunk (needs the extra ``dask``). Its tasks carry where grids are, not
        grids; a worker of a cluster that does not have one in its store fetches it.
    to
        The folder they go to, one folder for each data set; the store's where None.
    source
        ``live`` (the default), ``sample``, or the folder or URL of an archive.
    settings
        Settings to use; loaded from the environment and files if None.
    observer
        Receives progress.
    **filters
        Other filters of ``list grid:``: ``age="P56"``, ``reference_space_id=9``, ``id__lt=...``.

    Returns
    -------
    DataArray
        float32, ``data_set`` x ``AP`` x ``DV`` x ``ML`` in µm, -1 as NaN; ``gene``,
        ``plane_of_section`` and ``reference_space_id`` along ``data_set``. ML runs from left to
        right in all of them; sagittal sets are reversed. A grid is read on first access.

    Raises
    ------
    NotFoundError
        If no data set matches.
    IncompleteError
        If some could not be fetched; the others are stored, and the same call resumes.

    Examples
    --------
    >>> import openallen as oa
    >>> energy = oa.grids(gene="Pdyn", source="sample")
    >>> energy.sizes["data_set"]
    2
    """
    from openallen.sources.atlases.collection import stack_grids
    from openallen.sources.atlases.plan import check_expression, plan_grids

    limit = row_limit(limit)
    if limit == 0:
        raise UsageError("at least one data set is needed", why="limit=0")
    check_expression(kind)
    if isinstance(gene, list) and not gene:
        raise UsageError("no gene given", hint='gene="Pdyn"')
    given = {"gene": gene, "plane": plane, "product": product, **filters}
    wanted = [Condition.of(name, value) for name, value in given.items() if value is not None]
    with Context(settings, source=source) as context:
        folder = folder_for(to if to is not None else context.settings.store / "grids")
        rows = _expression(context, wanted, limit)
        asked = Address("grid", conditions=(*wanted, Condition("include", "eq", kind)))
        work = plan_grids(context.client, rows, kind, folder, str(asked))
        context.run(work, observer).raise_if_failed()
        bring = _Bring(kind, context.settings.to_dict())
    return stack_grids(work.result(), kind, chunks=chunks, bring=bring)


@dataclass(frozen=True)
class _Bring:
    """Fetches one grid to its folder, on whatever machine finds that it is not there."""

    kind: str
    settings: dict[str, Any]

    def __call__(self, place: Path) -> None:
        from openallen.sources.atlases.plan import plan_grids

        with Context(Settings(**self.settings)) as context:
            rows = _expression(context, [Condition.of("id", int(place.name))], 1)
            asked = f"grid:{place.name}?include={self.kind}"
            work = plan_grids(context.client, rows, self.kind, place.parent, asked)
            context.run(work).raise_if_failed()


def _expression(
    context: Context, wanted: list[Condition], limit: int | None
) -> list[dict[str, Any]]:
    """Return the rows of data sets that have expression grids, by their ids.

    Raises
    ------
    NotFoundError
        If none matches.
    """
    from openallen.sources.atlases.models import DataSet
    from openallen.sources.atlases.search import no_grids, search_grids

    found = sorted(context.client.rows(search_grids(wanted)), key=lambda row: int(row["id"]))
    rows = [row for row in found if not DataSet.from_row(row).connectivity][:limit]
    if not rows:
        raise no_grids(context.client, wanted)
    return rows
