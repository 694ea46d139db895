"""The door of models of cells: ``model:472451419``, one GLIF or biophysical model and its files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from openallen.address import Address, Condition
from openallen.errors import NotFoundError
from openallen.sources.base import Example, Facts, NoOptions, Place, Rows, Source, View
from openallen.sources.cells.options import Options
from openallen.sources.cells.source import CellSource

if TYPE_CHECKING:
    from openallen.brainmap.answers import Row
    from openallen.brainmap.client import Client
    from openallen.brainmap.language import Query
    from openallen.sources.cells.read import CellModel
    from openallen.sources.cells.record import CellRecord
    from openallen.transfer.job import Job
    from openallen.web_address import WebAddress

__all__ = ["ModelSource"]

_TEMPLATE = "neuronal_model_template"


class ModelSource(CellSource):
    """One model of a cell: its parameters, and the package of all that running it takes."""

    scheme: ClassVar[str] = "model"
    title: ClassVar[str] = "models of patched cells"
    folder: ClassVar[str] = "models"
    draws: ClassVar[bool] = False
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            "model:9000000911",
            "the made-up model of the sample's cell",
            sample=True,
            web=("http://api.brain-map.org/neuronal_model/download/9000000911",),
        ),
    )
    list_options: ClassVar[type] = NoOptions
    fetch_options: ClassVar[type] = NoOptions
    columns: ClassVar[tuple[str, ...]] = ("id", "template", "specimen_id", "name")

    @classmethod
    def from_web(cls, web: WebAddress) -> Address | None:
        """Read the address that the package of a model is downloaded from."""
        found = re.fullmatch(r"/neuronal_model/download/(\d+)", web.path.rstrip("/"))
        ours = web.host.endswith("brain-map.org")
        return Address(cls.scheme, found[1]) if found and ours else None

    def rows(
        self, address: Address, conditions: Sequence[Condition], options: Any, limit: int | None
    ) -> Rows:
        """Return models with their templates, and the cells they are of."""
        from openallen.sources.filters import check_columns

        del options
        if address.name:
            raise self.cannot("listed", address, f"openallen show {address}")
        given = [*address.conditions, *conditions]
        command = "openallen list model:"
        check_columns(self.columns, given, "model:", command, numbers=("id", "specimen_id"))
        client, query = self.context.client, _query(given)
        return Rows(
            map(_row, client.rows(query, limit)),
            self.columns,
            noun="model",
            total=None if limit is None else client.count(query),
            empty=lambda: _none(client, query, given),
            address=lambda row: f"model:{row['id']}",
        )

    def facts(self, address: Address, options: Any) -> Facts:
        """Return what is known of a model, with what fetching it would take."""
        from openallen.sources.cells.shown import model_facts

        del options
        self._one(address)
        cell = self._cell(address, fresh=True)
        plan, notes = self._planned(cell, self.context.folder(address), _ALL)
        return model_facts(cell.models[0], plan=plan, notes=notes)

    def views(self, address: Address) -> list[View]:
        """Refuse: no page of a viewer shows a model."""
        return Source.views(self, address)

    def job(self, address: Address, to: Path, options: Any) -> Job:
        """Return the job that fetches a model into a folder; offline by the manifest there."""
        del options
        return super().job(address, to, _ALL)

    def open(self, address: Address, **options: Any) -> CellModel:  # type: ignore[override]
        """Open a model: what was fetched of it, the rest where it lies."""
        return super().open(address, **options).models[0]

    def _asked(self, address: Address) -> CellRecord:
        from openallen.sources.cells.search import describe_model

        return describe_model(self.context.client, address.id)

    @classmethod
    def recognise(cls, place: Place) -> int:
        """Leave folders to `CellSource`, which tells a cell and one model apart."""
        del place
        return 0


_ALL = Options(include=("models",))


def _query(conditions: Sequence[Condition]) -> Query:
    from dataclasses import replace

    from openallen.brainmap.builder import Search

    own = [c for c in conditions if c.field != "template"]
    named = [replace(c, field="name") for c in conditions if c.field == "template"]
    asked = Search.of("NeuronalModel").include(_TEMPLATE).where(*own)
    return (asked.where(_TEMPLATE, *named) if named else asked).query


def _row(row: Row) -> Row:
    template = row.get(_TEMPLATE) or {}
    return {
        "id": row.get("id"),
        "template": template.get("name"),
        "specimen_id": row.get("specimen_id"),
        "name": row.get("name"),
    }


def _none(client: Client, query: Query, conditions: Sequence[Condition]) -> NotFoundError:
    from openallen.brainmap.near import values_hint
    from openallen.near import nothing_matches

    found = values_hint(client, query, conditions, {"template": (_TEMPLATE, "name")})
    command = f"openallen list model:{client.source_option}"
    return nothing_matches("model:", conditions, found, command=command)
