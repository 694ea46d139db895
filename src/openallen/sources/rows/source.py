"""The door of brain-map.org's rows: ``rma:``, ``rma:ProjectionImage?specimen_id=313862022``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from openallen.address import Address, Condition
from openallen.errors import NotFoundError, UsageError
from openallen.sources.base import Example, Facts, Field, Rows, Section, Source, option
from openallen.sources.options import read_options

if TYPE_CHECKING:
    from openallen.brainmap.language import Query
    from openallen.brainmap.paging import Short
    from openallen.brainmap.schema import Model
    from openallen.brainmap.services import Service
    from openallen.web_address import WebAddress

__all__ = ["RmaSource"]

_SERVICES = "services"
"""``rma:services``: no model is called so, as models begin with a capital."""


@dataclass(frozen=True, kw_only=True)
class ListOptions:
    """What listing models takes."""

    refresh: bool = option(False, "Download the list of models from the service again.")
    accept_short: bool = option(False, "Accept fewer rows than the service announces.")


class RmaSource(Source):
    """Models of brain-map.org and their rows."""

    scheme: ClassVar[str] = "rma"
    title: ClassVar[str] = "models and rows of brain-map.org"
    examples: ClassVar[tuple[Example, ...]] = (
        Example("rma:Specimen", "a model: its fields and associations", sample=True),
        Example(
            "rma:ProjectionImage?specimen_id=313862022",
            "rows of a model, with a filter",
            sample=True,
        ),
    )
    list_options: ClassVar[type] = ListOptions

    @classmethod
    def from_web(cls, web: WebAddress) -> Address | None:
        """Read the address of one row: ``/api/v2/data/Specimen/313862022.json``."""
        import re

        row = re.fullmatch(r"/api/v2/data/([A-Z]\w*)/(\d+)(?:\.\w+)?", web.path)
        if row is None or not web.host.endswith("brain-map.org"):
            return None
        return Address("rma", row[1], conditions=(Condition("id", "eq", row[2]),))

    def options(
        self, kind: type, address: Address, given: Mapping[str, Any]
    ) -> tuple[Any, Address]:
        """Read options from keywords alone: conditions of an address are filters."""
        return read_options(kind, given, str(address)), address

    # --- list -------------------------------------------------------------------------------------

    @classmethod
    def lists(cls, address: Address) -> tuple[Address, ...]:
        """Return the models, or the rows of one."""
        return (Address(address.scheme, address.name),)

    def rows(
        self,
        address: Address,
        conditions: Sequence[Condition],
        options: ListOptions,
        limit: int | None,
    ) -> Rows:
        """Return models, or rows of one model."""
        wanted = [*address.conditions, *conditions]
        if not address.name:
            return self._models(wanted, options, limit)
        if address.name == _SERVICES:
            return self._services(wanted, limit)
        if options.refresh:
            raise UsageError(
                "only the list of models is refreshed",
                address=str(address),
                hint="openallen list rma: --refresh",
            )
        from openallen.brainmap import Search
        from openallen.brainmap.services import SERVICES

        if address.name in SERVICES:
            return self._called(address.name, wanted, limit)
        asked = Search.of(address.name).where(*wanted).query
        client = self.context.client
        short: Short = "warn" if options.accept_short else "error"
        return Rows(
            client.rows(asked, limit, short=short),
            total=None if limit is None else client.count(asked),
            empty=lambda: self._none(address, asked, wanted),
        )

    def _none(self, address: Address, asked: Query, wanted: list[Condition]) -> NotFoundError:
        """Return the error for conditions no row matches, with the values likely meant."""
        from openallen.brainmap.near import values_hint
        from openallen.near import nothing_matches

        client = self.context.client
        found = values_hint(client, asked, wanted)
        command = f"openallen list rma:{address.name}{client.source_option}"
        return nothing_matches(f"rma:{address.name}", wanted, found, command=command)

    def _models(self, wanted: list[Condition], options: ListOptions, limit: int | None) -> Rows:
        from openallen.brainmap import schema
        from openallen.brainmap.refresh import refresh

        if wanted:
            raise UsageError(
                "models have no filters", why=str(wanted[0]), hint="openallen list rma:"
            )
        notes = ["models known to openallen; --refresh asks the service"]
        if options.refresh:
            found = refresh(self.context.client, self.context.settings.store)
            notes = [f"{len(found.models)} models described by {self.context.settings.source}"]
        rows = [
            {
                "model": model.name,
                "table": model.table,
                "fields": len(model.fields),
                "associations": len(model.associations),
                "address": f"rma:{model.name}",
            }
            for model in schema().models.values()
        ]
        return Rows(
            rows[:limit],
            ("model", "table", "fields", "associations"),
            id_column="model",
            noun="model",
            total=len(rows),
            notes=[*notes, f"one of them: openallen show rma:Specimen{self.context.source_flag}"],
        )

    def _services(self, wanted: list[Condition], limit: int | None) -> Rows:
        """Return the connected services, and what each takes; makes no request."""
        from openallen.brainmap.services import SERVICES
        from openallen.sources.filters import check_columns, matches, no_rows

        rows = [
            {
                "service": one.name,
                "required": list(one.required),
                "optional": list(one.optional),
                "address": f"rma:{one.name}",
            }
            for one in SERVICES.values()
        ]
        address, command = f"rma:{_SERVICES}", f"openallen list rma:{_SERVICES}"
        check_columns(tuple(rows[0]), wanted, address, command)
        found = [row for row in rows if matches(row, wanted)]
        return Rows(
            found[:limit],
            ("service", "required", "optional"),
            id_column="service",
            noun="connected service",
            total=len(found),
            empty=lambda: no_rows(rows, wanted, address, command),
        )

    def _called(self, name: str, wanted: list[Condition], limit: int | None) -> Rows:
        """Return what a connected service answers; conditions are its parameters.

        Raises
        ------
        UsageError
            If a condition is none of its parameters, or is no equation.
        """
        from openallen.brainmap.services import service_query

        strange = next((one for one in wanted if one.op not in {"eq", "in"}), None)
        if strange is not None:
            raise UsageError(
                f"'{strange}' is no parameter",
                address=f"rma:{name}",
                why="a service takes values, not comparisons",
                hint=f"openallen show rma:{name}",
            )
        client = self.context.client
        if name == "text_search":  # the one that knows no pages, and takes free text
            asked = service_query(name, {one.field: one.value for one in wanted})
            return Rows(client.answer(asked).rows[:limit], noun="row")
        asked = service_query(name, {one.field: _several(one.value) for one in wanted})
        return Rows(client.rows(asked, limit), noun="row")

    # --- show -------------------------------------------------------------------------------------

    def facts(self, address: Address, options: Any) -> Facts:
        """Return the fields and associations of a model, or the parameters of a service."""
        from openallen.brainmap import schema
        from openallen.brainmap.services import SERVICES

        del options
        if not address.name:
            raise self.cannot("shown as a whole", address, "openallen list rma:")
        if address.conditions:
            raise UsageError(
                "a model is shown, its rows are listed",
                address=str(address),
                hint=f"openallen list '{address}'",
            )
        if address.name == _SERVICES:
            raise self.cannot("shown as a whole", address, f"openallen list rma:{_SERVICES}")
        if address.name in SERVICES:
            return _facts_of_service(SERVICES[address.name], str(address))
        known = schema().get(address.name)
        if known is None:
            meant = schema().meant(address.name)
            raise NotFoundError(
                "no such model",
                address=str(address),
                why="the service may have newer ones",
                hint=f"openallen show rma:{meant}" if meant else "openallen list rma:",
            )
        return _facts_of(known, str(address))


def _facts_of(known: Model, address: str) -> Facts:
    fields = {f.name: f.type for f in known.fields.values()}
    relations = {a.name: {"kind": a.kind, "model": a.model} for a in known.associations.values()}
    return Facts(
        address=address,
        title=f"{known.name}, a model of brain-map.org",
        kind="model",
        fields=(Field("model", known.name), Field("table", known.table)),
        sections=(
            Section("fields", "fields", fields, _aligned(fields)),
            Section(
                "associations",
                "associations",
                relations,
                _aligned({name: f"{r['model']} ({r['kind']})" for name, r in relations.items()}),
            ),
        ),
        ids=tuple(fields),
    )


def _several(value: str | tuple[str, ...]) -> tuple[str, ...]:
    """Return the values of a parameter, which stand between commas."""
    return value if isinstance(value, tuple) else tuple(value.split(","))


def _facts_of_service(known: Service, address: str) -> Facts:
    told = {name: "required" if name in known.required else "optional" for name in known.parameters}
    words = {
        name: ": one of ".join(filter(None, (kind, ", ".join(known.values.get(name, ())))))
        for name, kind in told.items()
    }
    return Facts(
        address=address,
        title=f"{known.name}, a connected service of brain-map.org",
        kind="connected service",
        fields=(Field("service", known.name),),
        sections=(Section("parameters", "parameters", told, _aligned(words)),),
        ids=known.parameters,
    )


def _aligned(words: Mapping[str, str]) -> str:
    width = max(map(len, words), default=0)
    return "\n".join(f"  {name:<{width}}  {word}" for name, word in words.items())
