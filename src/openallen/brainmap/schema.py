"""The models, with their columns and associations: hints, never a reason to refuse a name.

The hints that come with the package were made from the service's own description of 2012-14 and
what public queries use beyond it; the service may know more. A newer description that
`openallen.brainmap.refresh` saved in the store takes precedence.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from openallen.brainmap.naming import model_of, plural, snake
from openallen.errors import AnswerError
from openallen.json_text import load_json
from openallen.settings import Settings

__all__ = ["Association", "Field", "Model", "Schema", "refreshed_file", "schema"]

_log = logging.getLogger("openallen.brainmap")

_TYPES: Final = {
    "i": "integer",
    "f": "float",
    "b": "boolean",
    "s": "string",
    "t": "text",
    "d": "datetime",
    "a": "array",
}
_TYPE_CODES: Final = {name: code for code, name in _TYPES.items()}
_KINDS: Final = {
    "1": "belongs_to",
    "o": "has_one",
    "n": "has_many",
    "m": "has_and_belongs_to_many",
}
_KIND_CODES: Final = {name: code for code, name in _KINDS.items()}


@dataclass(frozen=True, slots=True)
class Field:
    """A column: its name and its type (integer, float, boolean, string, text, datetime, array)."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Association:
    """A relation to another model.

    Parameters
    ----------
    name
        Its name in queries.
    kind
        belongs_to, has_one, has_many or has_and_belongs_to_many.
    model
        The model it leads to.
    """

    name: str
    kind: str
    model: str


@dataclass(frozen=True, slots=True)
class Model:
    """A model: one kind of rows at the service.

    Parameters
    ----------
    name
        As queries spell it.
    table
        Its table, as ``table.column`` spells it; several models may share one.
    fields, associations
        By name.
    """

    name: str
    table: str
    fields: Mapping[str, Field] = field(default_factory=lambda: MappingProxyType({}))
    associations: Mapping[str, Association] = field(default_factory=lambda: MappingProxyType({}))

    def field_type(self, name: str) -> str:
        """Return the type of a column, or empty where it is not known."""
        known = self.fields.get(name)
        return known.type if known else ""


class Schema:
    """Models by name.

    Parameters
    ----------
    models
        What is known.
    """

    def __init__(self, models: Iterable[Model]) -> None:
        self.models: Mapping[str, Model] = MappingProxyType(
            {m.name: m for m in sorted(models, key=lambda m: m.name)}
        )

    @classmethod
    def from_enumerate(cls, answer: Mapping[str, Any]) -> Schema:
        """Read the service's description of all models.

        Raises
        ------
        AnswerError
            If it is not such a description.
        """
        models: list[Model] = []
        try:
            for entry in answer["msg"]:
                for name, described in entry.get("DataDescription", entry).items():
                    fields = (
                        Field(_word(f["name"]), _plain(_word(f["type"])))
                        for f in described["fields"]
                    )
                    relations = (
                        Association(_word(a["name"]), _kind(_word(a["type"])), _word(a["class"]))
                        for a in described["associations"]
                    )
                    models.append(_model(name, _word(described["table"]), fields, relations))
        except (LookupError, TypeError, AttributeError) as error:
            raise AnswerError("this does not describe models", why=repr(error)) from error
        return cls(models)

    @classmethod
    def from_compact(cls, document: Mapping[str, list[str]]) -> Schema:
        """Read the form the package ships."""
        models: list[Model] = []
        for name, (table, fields, associations) in document.items():
            pairs = (text.rsplit(":", 1) for text in fields.split())
            triples = (text.split(":") for text in associations.split())
            models.append(
                _model(
                    name,
                    table,
                    (Field(n, _TYPES[code]) for n, code in pairs),
                    (Association(n, _KINDS[code], m or model_of(n)) for n, code, m in triples),
                )
            )
        return cls(models)

    def to_compact(self) -> dict[str, list[str]]:
        """Return the form the package ships: table, columns and associations as text."""
        return {
            model.name: [
                model.table,
                " ".join(f"{f.name}:{_TYPE_CODES[f.type]}" for f in model.fields.values()),
                " ".join(
                    f"{a.name}:{_KIND_CODES[a.kind]}:"
                    + ("" if a.model == model_of(a.name) else a.model)
                    for a in model.associations.values()
                ),
            ]
            for model in self.models.values()
        }

    def get(self, name: str) -> Model | None:
        """Return the model of that name, None where it is not known."""
        return self.models.get(name)

    def meant(self, name: str) -> str:
        """Return the known model nearest to a name, or empty where none is near."""
        folded = {known.lower(): known for known in self.models}
        near = get_close_matches(name.lower(), folded, n=1, cutoff=0.7)
        return folded[near[0]] if near and folded[near[0]] != name else ""

    def field_meant(self, model: str, name: str) -> str:
        """Return the column of a model nearest to a name it does not have, or empty."""
        known = self.models.get(model)
        if known is None or name in known.fields or not known.fields:
            return ""
        near = get_close_matches(name, known.fields, n=1, cutoff=0.7)
        return near[0] if near else ""

    def table_of(self, model: str) -> str:
        """Return the table of a model; for an unknown one the plural of its name."""
        known = self.models.get(model)
        return known.table if known else plural(snake(model))

    def joined(self, newer: Schema) -> Schema:
        """Return the models of both; where they differ, those of `newer`."""
        models = dict(self.models)
        for name, new in newer.models.items():
            old = models.get(name)
            models[name] = new if old is None else _joined(old, new)
        return Schema(models.values())


def refreshed_file(store: Path | None = None) -> Path:
    """Return the file of a refreshed description."""
    return (store or Settings.load().store) / "brainmap" / "schema-hints.json"


def _word(told: object) -> str:
    """Return a text; what should be one and is something else is a TypeError."""
    if not isinstance(told, str):
        raise TypeError(f"{repr(told)[:40]} is not a word")
    return told


@functools.cache
def schema() -> Schema:
    """Return the hints that come with the package, updated by a refresh if there was one."""
    file = resources.files("openallen.brainmap") / "schema-hints.json"
    shipped = Schema.from_compact(json.loads(file.read_text("utf-8")))
    refreshed = refreshed_file()
    try:
        return shipped.joined(Schema.from_compact(load_json(refreshed.read_text("utf-8"))))
    except FileNotFoundError:
        return shipped
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        _log.debug("hints in %s left out: %r", refreshed, error)  # hints are no reason to fail
        return shipped


def _joined(old: Model, new: Model) -> Model:
    return _model(
        new.name,
        new.table,
        {**old.fields, **new.fields}.values(),
        {**old.associations, **new.associations}.values(),
    )


def _model(
    name: str, table: str, fields: Iterable[Field], associations: Iterable[Association]
) -> Model:
    return Model(
        name,
        table,
        MappingProxyType({f.name: f for f in fields}),
        MappingProxyType({a.name: a for a in associations}),
    )


def _kind(name: str) -> str:
    return name if name in _KIND_CODES else "has_many"


def _plain(kind: str) -> str:
    if kind.endswith("_array"):
        return "array"
    return kind if kind in _TYPE_CODES else "string"
