"""Facts: what `show` returns of one thing, the same in text, HTML and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.display import card, facts_text, save_figure
from openallen.errors import OpenAllenError, UsageError
from openallen.harmless import harmless
from openallen.sources.tables import cell_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from openallen.plans import Plan

__all__ = ["NO_PICTURE", "Facts", "Field", "Picture", "Section", "View", "fields_of", "plain"]


NO_PICTURE: Final = "grids, atlases, volumes and sessions have pictures"
"""Why an item has none."""


@dataclass(frozen=True)
class Field:
    """One fact.

    Parameters
    ----------
    label
        Its name for people.
    value
        Its value, ready for JSON; a fact whose value is None is left out for people.
    text
        The value in words, with its unit; made from the value where left out. Empty for what is
        of use to programs only.
    key
        Its name in JSON; the label with underscores where left out.
    """

    label: str
    value: Any
    text: str | None = None
    key: str = ""

    @property
    def name(self) -> str:
        """Its name in JSON."""
        return self.key or self.label.lower().replace(" ", "_").replace("-", "_")

    @property
    def words(self) -> str | None:
        """What people read; None where there is nothing to say."""
        if self.text is not None:
            return harmless(self.text, lines=True) or None
        return None if self.value is None else harmless(cell_text(self.value), lines=True)


@dataclass(frozen=True)
class Section:
    """Facts below a heading of their own.

    Parameters
    ----------
    title
        The heading.
    key
        Its name in JSON.
    value
        What JSON holds under that name.
    text
        What people read below the heading.
    """

    title: str
    key: str
    value: Any
    text: str


@dataclass(frozen=True)
class Picture:
    """A picture that can be drawn of it.

    Parameters
    ----------
    name
        What it shows, in a word or two.
    draw
        Draws it; fetches what it needs first.
    """

    name: str
    draw: Callable[[], Figure]


@dataclass(frozen=True, kw_only=True)
class View:
    """A page of a viewer that shows an item.

    Parameters
    ----------
    title
        What it shows, or where its state lies.
    url
        The page.
    layers
        What is in it.
    made
        Whether the state was made by openallen, not found with the data.
    """

    title: str
    url: str
    layers: tuple[str, ...] = ()
    made: bool = False


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of one thing.

    Parameters
    ----------
    address
        What names it.
    title
        What it is, in words.
    kind
        What kind of thing it is, in a word or two: ``image stack``, ``session``.
    fields
        Its facts, the most telling first.
    sections
        More of them, below headings.
    pictures
        What can be drawn of it.
    plan
        What fetching it would take.
    notes
        Sentences people should read.
    citation, terms
        How to cite the data, and under which terms they are.
    ids
        What `-q` prints.
    thing
        The opened object itself, where one was opened to know this.
    exit_code
        What the command line ends with: not 0 where what is shown is a failure.
    thumbnail
        Makes the small picture of its card, as a ``data:`` URI; called when a notebook shows it.
    """

    address: str
    title: str
    kind: str = ""
    fields: tuple[Field, ...] = ()
    sections: tuple[Section, ...] = ()
    pictures: tuple[Picture, ...] = ()
    plan: Plan | None = None
    notes: tuple[str, ...] = ()
    citation: str = ""
    terms: str = ""
    ids: tuple[object, ...] = ()
    thing: Any = None
    exit_code: int = 0
    thumbnail: Callable[[], str] | None = None

    def __getitem__(self, name: str) -> Any:
        return self.to_dict()[name]

    @property
    def labelled(self) -> dict[str, object]:
        """Facts by label, in words."""
        told = {field.label: field.words for field in self.fields}
        told["cite"] = self.citation or None
        told["terms"] = self.terms or None
        return {label: words for label, words in told.items() if words is not None}

    def to_dict(self) -> dict[str, Any]:
        """Return the facts ready for JSON: one document, the same that the command line prints."""
        document: dict[str, Any] = {"address": self.address, "title": self.title}
        if self.kind:
            document["kind"] = self.kind
        document |= {field.name: field.value for field in self.fields}
        document |= {section.key: section.value for section in self.sections}
        if self.citation:
            document["citation"] = self.citation
        if self.terms:
            document["terms"] = self.terms
        if self.pictures:
            document["pictures"] = [picture.name for picture in self.pictures]
        document["notes"] = list(self.notes)
        if self.plan is not None:
            document["plan"] = self.plan.to_dict()
        plain: dict[str, Any] = json.loads(json.dumps(document, default=str))
        return plain

    @property
    def _own_notes(self) -> list[str]:
        """Notes that the plan does not print already."""
        planned = self.plan.notes if self.plan is not None else ()
        return [note for note in dict.fromkeys(self.notes) if note not in planned]

    def __str__(self) -> str:
        blocks = [facts_text(harmless(self.title), _indented(self.labelled))]
        texts = (f"{s.title}\n{s.text}" for s in self.sections if s.text)
        blocks += [harmless(text, lines=True) for text in texts]
        if self.plan is not None:
            blocks.append(str(self.plan))
        if self._own_notes:
            blocks.append("\n".join(harmless(note) for note in self._own_notes))
        return "\n\n".join(blocks)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        # With a colon, since a section may have the name of a fact: the structures of an ontology.
        told = self.labelled | {f"{s.title}:": s.text for s in self.sections if s.text}
        image = ""
        if self.thumbnail is not None:
            with suppress(OpenAllenError):  # a card without a picture says as much
                image = self.thumbnail()
        own = card(self.title, told, image=image, note=" ".join(self._own_notes), pre=True)
        return own if self.plan is None else f"{own}\n{self.plan._repr_html_()}"

    def save_picture(self, path: Path | str, name: str = "") -> Path:
        """Draw a picture of it into a file, without a screen.

        Parameters
        ----------
        path
            The file: png, svg or pdf.
        name
            Which of `pictures`; the first where empty.

        Raises
        ------
        UsageError
            If it has no such picture, or the file is of another kind.
        MissingExtraError
            Without matplotlib.
        """
        chosen = next((p for p in self.pictures if name in {"", p.name}), None)
        if chosen is None:
            names = ", ".join(p.name for p in self.pictures)
            raise UsageError(
                "no such picture" if names else "no picture available",
                address=self.address,
                why=f"pictures: {names}" if names else NO_PICTURE,
            )
        return save_figure(chosen.draw, path, self.address)


def _indented(told: Mapping[str, object]) -> dict[str, object]:
    """Align further lines of a fact below its first."""
    width = max((len(label) for label in told), default=0) + 4
    return {label: str(words).replace("\n", "\n" + " " * width) for label, words in told.items()}


def fields_of(told: Mapping[str, object], skip: Sequence[str] = ()) -> tuple[Field, ...]:
    """Make fields out of facts that are words already; those that are fields stay as they are.

    Parameters
    ----------
    told
        Values, or fields, by label.
    skip
        Labels to leave out.
    """
    return tuple(
        value
        if isinstance(value, Field)
        else Field(label, plain(value), None if value is None else str(value))
        for label, value in told.items()
        if label not in skip
    )


def plain(value: object) -> object:
    """Return a value as JSON holds it; times in ISO 8601, what JSON does not know as text.

    Parameters
    ----------
    value
        Any value.
    """
    if isinstance(value, datetime):
        return value.isoformat()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, (bytes, bytearray)):
        return [plain(v) for v in value]
    return str(value)
