"""What the service knows of connectivity: asked for once, then kept in the store."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.address import Address
from openallen.brainmap.builder import Search
from openallen.brainmap.services import service_query
from openallen.errors import AnswerError, NotFoundError
from openallen.settings import Settings
from openallen.sources.base import Rows
from openallen.sources.connectivity.kept import keep_rows, kept_rows
from openallen.sources.connectivity.records import experiment_row
from openallen.sources.context import Context

if TYPE_CHECKING:
    from openallen.brainmap import Client
    from openallen.brainmap.answers import Row
    from openallen.brainmap.language import Query

__all__ = ["SUMMARY_SET", "Tables"]

SUMMARY_SET: Final = 167587189
"""The structure set of AllenSDK's summary structures: mid-level, without overlap."""
_FOLDER: Final = "connectivity"
_AT_ONCE: Final = 20
"""Experiments whose rows are asked for together: each has some thousands."""


class Tables:
    """Rows of experiments, of what they project to, and of structures.

    Parameters
    ----------
    settings
        Which service, and where the store is.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings.load()
        self._rows: dict[int, Row] | None = None

    @contextmanager
    def context(self) -> Iterator[Context]:
        """Return a context for one call."""
        with Context(self.settings) as context:
            yield context

    @property
    def folder(self) -> Path:
        """The folder of the store that keeps these rows."""
        return self.settings.store / _FOLDER

    @property
    def source(self) -> str:
        """The service the rows are of."""
        return self.settings.service

    @property
    def flag(self) -> str:
        """The option that asks the same service again, a blank in front."""
        return Context(self.settings).source_flag

    # --- experiments ------------------------------------------------------------------------------

    def experiments(self, *, fresh: bool = False) -> list[Row]:
        """Return all experiments, in the order of their ids.

        Parameters
        ----------
        fresh
            Whether the service is asked also where they are kept.

        Raises
        ------
        NotFoundError
            If the service has none.
        AnswerError
            If rows are missing, or one is not an experiment's.
        OfflineError
            If they are not here, and there is no network.
        """
        if self._rows is None or fresh:
            path = self.folder / "experiments.json"
            told = None if fresh else kept_rows(path, self.source)
            if told is None:
                with self.context() as context:
                    query = Search.of("ApiConnectivity").query
                    told = _whole(context.client, query)
                    read = [experiment_row(row) for row in told]
                if told:
                    keep_rows(path, self.source, str(query), told)
            else:
                read = [experiment_row(row) for row in told]
            self._rows = {row["id"]: row for row in sorted(read, key=lambda row: row["id"])}
            if len(self._rows) != len(read):
                raise AnswerError("an experiment came twice", address="ApiConnectivity")
        if not self._rows:
            raise NotFoundError(
                "this service has no connectivity experiments", address="connectivity:"
            )
        return list(self._rows.values())

    def experiment(self, number: int) -> Row:
        """Return one experiment.

        Raises
        ------
        NotFoundError
            If there is no such experiment.
        """
        self.experiments()
        assert self._rows is not None
        if number not in self._rows:
            raise NotFoundError(
                "no such experiment",
                address=f"connectivity:{number}",
                why=f"the service has {len(self._rows):,} others",
                hint=f"openallen list connectivity:{self.flag}",
            )
        return self._rows[number]

    # --- what they project to ---------------------------------------------------------------------

    def unionizes(self, numbers: Sequence[int]) -> dict[int, list[Row]]:
        """Return all rows of ``ProjectionStructureUnionize`` of experiments, by experiment.

        Parameters
        ----------
        numbers
            The experiments; those that are not kept are asked for together.

        Raises
        ------
        NotFoundError
            If there is no such experiment, or the service has no rows of it.
        AnswerError
            If rows are missing, or of another experiment.
        OfflineError
            If they are not here, and there is no network.
        """
        found: dict[int, list[Row]] = {}
        for number in numbers:
            kept = kept_rows(self._unionizes_path(number), self.source)
            if kept is not None:
                found[number] = kept
        missing = [number for number in dict.fromkeys(numbers) if number not in found]
        for start in range(0, len(missing), _AT_ONCE):
            found |= self._asked(missing[start : start + _AT_ONCE])
        return {number: found[number] for number in numbers}

    def _unionizes_path(self, number: int) -> Path:
        return self.folder / str(number) / "structure_unionizes.json"

    def _asked(self, numbers: Sequence[int]) -> dict[int, list[Row]]:
        search = Search.of("ProjectionStructureUnionize")
        query = search.where(section_data_set_id=list(numbers)).query
        found: dict[int, list[Row]] = {number: [] for number in numbers}
        with self.context() as context:
            for row in context.client.rows(query):
                if row.get("section_data_set_id") not in found:
                    raise AnswerError(
                        "a row of another experiment",
                        address=query.url(context.client.base_url),
                        why=f"section_data_set_id is {row.get('section_data_set_id')!r}",
                    )
                found[row["section_data_set_id"]].append(dict(row))
        for number, rows in found.items():
            if not rows:
                self.experiment(number)  # says so where there is no such experiment
                raise NotFoundError(
                    "no structure unionizes of this experiment",
                    address=f"connectivity:{number}",
                    why="the service has no rows of it",
                )
        for number, rows in found.items():
            keep_rows(self._unionizes_path(number), self.source, str(query), rows)
        return found

    # --- things of other sources ------------------------------------------------------------------

    def opened(self, where: Address, **options: Any) -> Any:
        """Open a thing of another source, fetched where it is not here.

        Parameters
        ----------
        where
            Its address.
        **options
            As its source takes them.

        Raises
        ------
        NotFoundError
            If there is no such thing.
        IncompleteError
            If it could not be fetched.
        """
        with self.context() as context:
            source = context.source(where)
            with suppress(NotFoundError):
                return source.open(where, **options)
            read, plain = source.options(source.fetch_options, where, options)
            work = source.job(plain, context.folder(where), read)
            context.run(work).raise_if_failed()
            return source.open(where, **options)

    # --- structures -------------------------------------------------------------------------------

    @functools.cached_property
    def structures(self) -> Any:
        """The ontology of the adult mouse, ``structures:1``."""
        with self.context() as context:
            where = Address.parse("structures:1")
            return context.source(where).open(where)

    @functools.cached_property
    def summary_structures(self) -> tuple[int, ...]:
        """The ids of the summary structures, in the order of the atlas.

        Raises
        ------
        NotFoundError
            If the service does not say which these are.
        """
        path = self.folder / "summary_structures.json"
        rows = kept_rows(path, self.source)
        if rows is None:
            query = Search.of("Structure").where("structure_sets", id=SUMMARY_SET).query
            with self.context() as context:
                rows = [dict(row) for row in context.client.rows(query)]
            if rows:
                keep_rows(path, self.source, str(query), rows)
        if not rows:
            raise NotFoundError(
                f"no structure set {SUMMARY_SET}",
                address="structures:1",
                why="the service does not say which the summary structures are",
                hint='name some: structures=["VISp", "LGd"]',
            )
        inside = {row["id"] for row in rows}
        return tuple(one.id for one in self.structures if one.id in inside)

    def ids_of(self, structures: Sequence[Any] | Any, *, descendants: bool = False) -> list[int]:
        """Return the ids of structures, in the order given; with all their parts where asked.

        Parameters
        ----------
        structures
            Ids, acronyms or names; one, or several.
        descendants
            Whether parts are taken too.

        Raises
        ------
        NotFoundError
            If one is not a structure of the adult mouse.
        """
        known = self.structures
        one = isinstance(structures, (str, int)) or not hasattr(structures, "__iter__")
        named = [known.find(what).id for what in ([structures] if one else structures)]
        if not descendants:
            return named
        parts = (part.id for what in named for part in known.descendants(what))
        return list(dict.fromkeys([*named, *parts]))

    # --- other questions --------------------------------------------------------------------------

    def search(self, service: str, parameters: Mapping[str, Any]) -> Rows:
        """Return what a connected service answers: rows of experiments.

        Raises
        ------
        UsageError
            If a parameter is none, or missing.
        AnswerError
            If the service refuses.
        """
        query = service_query(service, parameters)
        with self.context() as context:
            rows = [dict(row) for row in context.client.rows(query)]

        def address(row: Mapping[str, Any]) -> str | None:
            number = row.get("id", row.get("data_set_id"))
            return f"connectivity:{number}" if isinstance(number, int) else None

        return Rows(rows, id_column="id", noun="experiment", address=address)

    def alignment(self, number: int) -> Row:
        """Return the affine alignment of an experiment, as the service has it.

        Raises
        ------
        NotFoundError
            If the experiment has none.
        """
        path = self.folder / str(number) / "alignment3d.json"
        rows = kept_rows(path, self.source)
        if rows is None:
            query = Search.of("SectionDataSet").where(id=number).include("alignment3d").query
            with self.context() as context:
                sets = list(context.client.rows(query, 1))
            told = sets[0].get("alignment3d") if sets else None
            if not isinstance(told, dict):
                raise NotFoundError(
                    "no alignment of this experiment", address=f"connectivity:{number}"
                )
            rows = [told]
            keep_rows(path, self.source, str(query), rows)
        return rows[0]


def _whole(client: Client, query: Query) -> list[Row]:
    """Return all rows of a query in one answer; in pages where the service sends fewer."""
    answer = client.answer(query.with_options(replace(query.options, num_rows="all")))
    if answer.total_rows in {None, len(answer.rows)}:
        return list(answer.rows)
    return list(client.rows(query))
