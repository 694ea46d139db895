"""Asking a source as a person would: facts, rows, and what a fetch would take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from openallen.address import Address
from openallen.brainmap.language import Association, Filter, ModelStage, Options, Query, Word
from openallen.errors import NotFoundError, OpenAllenError, UsageError
from openallen.mirroring.recorder import Recorder
from openallen.mirroring.rows import Tables
from openallen.plans import RemoteFile
from openallen.sources.base import Source
from openallen.sources.context import Context
from openallen.sources.options import describe, read_options
from openallen.sources.tables import Rows

__all__ = ["Answered", "ask", "complete"]


@dataclass
class Answered:
    """What a source said of an address.

    Parameters
    ----------
    files
        What a fetch would take, each with the address it was planned for.
    notes
        Notes of the plans.
    connections
        What the service bears.
    rows
        How many rows a list has.
    """

    files: list[tuple[str, RemoteFile]] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)
    connections: int = 1
    rows: int = 0


def ask(
    context: Context,
    address: Address,
    options: Mapping[str, Any],
    *,
    files: bool,
    limit: int | None,
) -> Answered:
    """Ask a source all that a mirror of an address needs to answer.

    An address of one thing is asked for its facts, its rows, and what a fetch takes. One that
    lists is asked for its rows; with `files`, each of these for what a fetch takes, too.

    Parameters
    ----------
    context
        Settings and clients.
    address
        The address.
    options
        Options of fetch; of each address those that it takes.
    files
        Whether files of the rows of a list are wanted.
    limit
        Rows of a list at most.

    Raises
    ------
    NotFoundError
        If there is no such thing.
    UsageError
        If an option means nothing, or nothing can be asked of the address.
    """
    source = context.source(address)
    found = Answered()
    refused: list[OpenAllenError] = []
    _facts(source, address, refused)
    listed = _rows(source, address, limit, refused)
    planned = _plan(source, address, options, found, refused)
    missing = next((e for e in refused if isinstance(e, NotFoundError)), None)
    if listed is None and not planned and len(refused) == 3:
        raise missing or (refused[-1] if address.name else refused[1])
    if missing is not None and not planned:
        found.notes[f"{address}: {missing.what}"] = None
    if listed is None:
        return found
    found.rows = len(listed)
    if not planned and not files and options:
        named = ", ".join(options)
        found.notes[f"{address}: rows only; {named} means nothing without --files"] = None
    if not planned and files:
        for row in listed:
            told = listed.address_of(row)
            if told:
                _of_row(context, Address.parse(told), options, found)
            else:
                found.notes["rows without an address of their own have no files"] = None
    return found


def _of_row(
    context: Context, address: Address, options: Mapping[str, Any], found: Answered
) -> None:
    source = context.source(address)
    refused: list[OpenAllenError] = []
    _facts(source, address, refused)
    if not _plan(source, address, options, found, refused):
        found.notes[f"{address}: {refused[-1].what}"] = None  # one of many that has no files


def _facts(source: Source, address: Address, refused: list[OpenAllenError]) -> None:
    if not address.name:
        refused.append(UsageError("nothing to show", address=str(address)))
        return
    plain = replace(address, conditions=())
    try:
        told = source.facts(plain, read_options(source.show_options, {}, str(plain)))
        told.to_dict()
    except (UsageError, NotFoundError) as error:
        refused.append(error)


def _rows(
    source: Source, address: Address, limit: int | None, refused: list[OpenAllenError]
) -> Rows | None:
    options: Any = read_options(source.list_options, {}, str(address))
    wanted: Rows | None = None
    try:
        wanted = source.rows(address, (), options, limit).loaded()
        _ = wanted.notes
    except (UsageError, NotFoundError) as error:
        refused.append(error)
    for other in source.lists(address):
        if other != address and other.name:
            # Beside the thing itself: what its pages list, as the files of a version.
            with suppress(UsageError, NotFoundError):
                source.rows(other, (), options, None).loaded()
    return wanted


def _plan(
    source: Source,
    address: Address,
    options: Mapping[str, Any],
    found: Answered,
    refused: list[OpenAllenError],
) -> bool:
    if not address.name:
        refused.append(UsageError("nothing to fetch", address=str(address)))
        return False
    names = {d.name for d in describe(source.fetch_options)}
    own = {name: value for name, value in options.items() if name in names}
    try:
        read, plain = source.options(source.fetch_options, address, own)
        plan = source.job(plain, source.context.folder(plain), read).plan
    except (UsageError, NotFoundError) as error:
        refused.append(error)
        return False
    found.files += ((str(address), file) for file in plan.files)
    found.notes.update(dict.fromkeys(plan.notes))
    found.connections = max(found.connections, plan.connections)
    return True


def complete(context: Context, recorder: Recorder) -> None:
    """Ask for what other queries need to find the rows that came, and to answer with all of them.

    Criteria join rows that are not in the answer: they are asked for by including them. Of some
    rows only some columns came: they are asked for as a whole. What the service refuses stays as it
    came: then the answers themselves are kept.

    Parameters
    ----------
    context
        Clients, whose answers are heard.
    recorder
        What was heard.
    """
    recorder.rows_only = True
    for queries in (_joining(recorder), _completing(recorder.tables)):
        for query in queries:
            with suppress(OpenAllenError):
                context.client.answer(query)
    recorder.rows_only = False


def _joining(recorder: Recorder) -> Iterator[Query]:
    for query in recorder.queries():
        stage = query.stages[0]
        if not isinstance(stage, ModelStage) or stage.options.tabular:
            continue  # few distinct values may stand for very many rows
        included = {association.name for association in stage.includes}
        more = [_plain(a) for a in stage.associations if a.name not in included]
        if more:
            yield Query((replace(stage, includes=(*stage.includes, *more)),))


def _plain(association: Association) -> Association:
    """Return an association without its filters: all that is joined is wanted."""
    inner = tuple(map(_plain, association.children))
    return replace(association, filters=(), children=inner)


def _completing(tables: Tables) -> Iterator[Query]:
    for model, ids in list(tables.partial()):
        wanted = Filter("id", "in", tuple(Word(str(one)) for one in ids))
        stage = ModelStage(model, (wanted,), options=Options(num_rows="all"))
        yield Query((stage,))
