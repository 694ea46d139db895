"""Finding: rows for an address that names a set, and the facts of one thing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from openallen.address import OPERATORS, Address, AddressLike, Condition
from openallen.errors import UsageError
from openallen.settings import Settings
from openallen.verbs.source import connected

if TYPE_CHECKING:
    from openallen.brainmap import Search
    from openallen.sources.atlases import Structures
    from openallen.sources.stacks import StackFacts


__all__ = ["condition_of", "facts", "open_structures", "query", "search", "set_query"]


def query(model_or_rma: str, *, source: str | None = None) -> Search:
    """Begin a query of brain-map.org.

    Parameters
    ----------
    model_or_rma
        A model's name (``"ProjectionImage"``), RMA text, or a request URL.
    source
        ``live`` (the default), ``sample``, or the URL of an archive.

    Returns
    -------
    Search
        Immutable; nothing is asked before rows are wanted.

    Raises
    ------
    QueryError
        If the text is no RMA.

    Examples
    --------
    >>> import openallen as oa
    >>> images = oa.query("ProjectionImage", source="sample").where(specimen_id=313862022)
    >>> images.count()
    4
    """
    from openallen.brainmap import Search

    chosen = Settings.load(source=source).source
    return Search.of(model_or_rma, connect=lambda: connected(source=chosen), source=chosen)


def search(
    address: AddressLike, *conditions: str | Condition, source: str | None = None, **filters: object
) -> list[dict[str, Any]]:
    """Find what there is: rows for an address that names a set.

    Parameters
    ----------
    address
        ``stack:`` for cells with images, ``grid:`` for section data sets, ``asset:`` for AIND
        assets, ``recording:`` and ``recording:KIND`` for recordings of the compression benchmark,
        ``rma:Model?field=value`` for rows of brain-map.org.
    *conditions
        More filters, as text (``"species=Mus musculus"``) or `Condition`.
    source
        ``live`` (the default), ``sample``, or the URL of an archive.
    **filters
        ``field=value``, or with an operator: ``width_px__gt=6000``.

    Raises
    ------
    UsageError
        If the address names no set that can be searched.
    """
    from openallen.brainmap.builder import filter_of

    given = [Condition.parse(c) if isinstance(c, str) else c for c in conditions]
    where = Address.parse(address)
    if where.scheme == "grid":  # its filters are on associations, not on the rows themselves
        given += [condition_of(name, value) for name, value in filters.items()]
        filters = {}
    if where.scheme == "asset" and not where.name:
        from openallen.sources.assets import catalogue

        told = [condition_of(name, value) for name, value in filters.items()]
        rows = catalogue(settings=Settings.load(source=source))
        return rows.select([*where.conditions, *given, *told])
    if where.scheme == "recording" and not (where.path or given or filters):
        from openallen.verbs.asset import recordings_of

        return recordings_of(where, Settings.load(source=source))
    with connected(source=source) as client:
        asked, row = set_query(where, given)
        wanted = [filter_of(_told(where, name), value) for name, value in filters.items()]
        return [row(r) for r in client.rows(_narrowed(asked, wanted))]


def condition_of(name: str, value: object) -> Condition:
    """Give the condition of a keyword: ``gene="Pdyn"``, ``id__lt=5``, ``gene=["Pdyn", "Drd1"]``.

    Raises
    ------
    AddressError
        For a value that does not go with the operator.
    """
    field, _, word = name.rpartition("__")
    if not field or word not in OPERATORS:
        field, word = name, "eq"
    if isinstance(value, (list, tuple)):
        return Condition(field, "in" if word == "eq" else word, tuple(map(str, value)))
    if word == "exists":
        return Condition(field, word)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return Condition(field, word, text)


def _told(address: Address, name: str) -> str:
    from openallen.sources.stacks.search import COLUMNS

    field, _, op = name.partition("__")
    if address.scheme == "stack" and field in COLUMNS:
        return COLUMNS[field] + (f"__{op}" if op else "")
    return name


def _narrowed(asked: Any, filters: list[Any]) -> Any:
    last = asked.stages[-1]
    narrowed = replace(last, filters=(*last.filters, *filters))
    return replace(asked, stages=(*asked.stages[:-1], narrowed))


def set_query(address: Address, conditions: list[Condition]) -> tuple[Any, Any]:
    """Give the query for a set, and what turns an answered row into a shown one.

    Raises
    ------
    UsageError
        If the address names no set that can be searched.
    """
    from openallen.brainmap import Search
    from openallen.sources.stacks.search import cell_row, search_cells

    wanted = [*address.conditions, *conditions]
    if address.scheme == "stack" and not address.name:
        return search_cells(wanted), cell_row
    if address.scheme == "grid" and not address.name:
        from openallen.sources.atlases.search import grid_row, search_grids

        return search_grids(wanted), grid_row
    if address.scheme == "rma" and address.name:
        return Search.of(address.name).where(*wanted).query, dict
    raise UsageError(
        "this names no set of rows",
        address=str(address),
        hint="stack:, grid:, asset:, recording: or rma:ProjectionImage",
    )


def open_structures(
    address: AddressLike, *, source: str | None = None, settings: Settings | None = None
) -> Structures:
    """Give an ontology of brain structures: ``structures:1`` is the adult mouse's.

    Asked for once, then kept in the store.

    Raises
    ------
    NotFoundError
        If there is no such ontology.
    """
    from openallen.sources.atlases.search import load_structures
    from openallen.verbs.place import destination

    where = Address.parse(address)
    settings = settings or Settings.load(source=source)
    folder = destination(where, None, settings)
    with connected(settings) as client:
        return load_structures(client, where.id, folder)


def facts(address: AddressLike, *, source: str | None = None) -> StackFacts:
    """Ask for all that is known of one stack, without fetching any of it.

    Raises
    ------
    NotFoundError
        If there is no such cell, or it has no stack.
    """
    from openallen.sources.stacks.search import describe

    where = Address.parse(address)
    if where.scheme != "stack":
        raise UsageError("facts are known of stacks", address=str(where), hint="stack:313862022")
    with connected(source=source) as client:
        return describe(client, where.id)
