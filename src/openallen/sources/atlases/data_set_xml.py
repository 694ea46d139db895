"""``data_set.xml`` in the zip of a grid: what the service says of the data set, its alignment too.

It is read by Expat with its bounds: no document types (so no entities), no more depth, elements or
text than such files have.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final
from xml.parsers import expat

from openallen.brainmap.alignment import ImageAlignment, SetAlignment
from openallen.errors import AnswerError, CorruptError

__all__ = ["NAMES", "alignment_in_xml", "row_of_xml"]

NAMES: Final = ("data_set.xml", "image_series.xml")
"""What it is called; the second in older zips of developing mice."""

_MOST_BYTES: Final = 32 << 20
_MOST_ELEMENTS: Final = 500_000
_MOST_DEPTH: Final = 32
_PLANES: Final = ("coronal", "horizontal", "sagittal")
"""Planes of section by the axis (AP, DV, ML) that lies across them."""


class _Reader:
    """Elements as nested lists of name, text and children."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._count = 0
        self._text: list[list[str]] = []
        self._stack: list[dict[str, list[Any]]] = [{}]
        self._names: list[str] = []

    def read(self, data: bytes) -> dict[str, list[Any]]:
        if len(data) > _MOST_BYTES:
            raise CorruptError(
                "the description of the data set is too large",
                address=self._where,
                why=f"{len(data):,} bytes",
            )
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._begin
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        try:
            parser.Parse(data, True)
        except CorruptError:
            raise
        except (expat.ExpatError, ValueError, LookupError) as error:  # encodings that are none
            raise CorruptError(
                "not the description of a data set", address=self._where, why=str(error)[:120]
            ) from error
        return self._stack[0]

    def _doctype(self, *_: object) -> None:
        raise CorruptError(
            "the description of a data set declares a document type", address=self._where
        )

    def _begin(self, name: str, _: Mapping[str, str]) -> None:
        self._count += 1
        if self._count > _MOST_ELEMENTS or len(self._names) >= _MOST_DEPTH:
            raise CorruptError(
                "too many elements in the description of a data set",
                address=self._where,
                why=f"{self._count} elements, {len(self._names)} deep",
            )
        self._names.append(name.replace("-", "_"))
        self._stack.append({})
        self._text.append([])

    def _characters(self, text: str) -> None:
        if self._text:
            self._text[-1].append(text)

    def _end(self, _: str) -> None:
        name, inner = self._names.pop(), self._stack.pop()
        text = "".join(self._text.pop()).strip()
        self._stack[-1].setdefault(name, []).append(inner or text)


def _read(data: bytes, where: str) -> dict[str, list[Any]]:
    """Return the elements of the data set.

    Raises
    ------
    CorruptError
        If it is not the description of one.
    """
    roots = _Reader(where).read(data)
    ((name, found),) = roots.items()
    if not isinstance(found[0], dict) or _whole(_text(found[0], "id")) is None:
        raise CorruptError(
            "not the description of a data set", address=where, why=f"<{name[:40]}> without an id"
        )
    root: dict[str, list[Any]] = found[0]
    return root


def _text(node: Mapping[str, Any], *path: str) -> str:
    """Return the text of the first element along a path; empty where there is none."""
    found: Any = node
    for name in path:
        found = found.get(name, [""])[0] if isinstance(found, Mapping) else ""
    return found if isinstance(found, str) else ""


def _nodes(node: Any, *path: str) -> list[Mapping[str, Any]]:
    """Return all elements along a path that have elements in them."""
    found = [node]
    for name in path:
        found = [one for up in found if isinstance(up, Mapping) for one in up.get(name, ())]
    return [one for one in found if isinstance(one, Mapping)]


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def _real(text: str) -> float | None:
    with suppress(ValueError):
        return found if math.isfinite(found := float(text)) else None
    return None


def row_of_xml(data: bytes, where: str = "") -> dict[str, Any]:
    """Return a description as a row of SectionDataSet, with what it hangs on nested in it.

    Parameters
    ----------
    data
        Content of ``data_set.xml``.
    where
        What it is called in messages.

    Returns
    -------
    dict
        As `openallen.sources.atlases.models.DataSet.from_row` takes it. Where the file leaves them
        empty (it does since 2020), the plane of section is the one across which the alignment
        stacks sections, and the gene is the one that all paths of its images begin with.

    Raises
    ------
    CorruptError
        If it is no such description.
    """
    root = _read(data, where)
    specimen = _text(root, "specimen", "name")
    plane = _text(root, "plane_of_section", "name") or _text(root, "plane_of_section")
    age = _text(root, "specimen", "donor", "age", "name") or _text(root, "age")
    row: dict[str, Any] = {
        "id": _whole(_text(root, "id")),
        "failed": {"true": True, "false": False}.get(_text(root, "failed")),
        "reference_space_id": _whole(_text(root, "reference_space_id")),
        "section_thickness": _real(_text(root, "section_thickness")),
        "specimen_id": _whole(_text(root, "specimen_id")),
        "products": [
            {"id": _whole(_text(one, "id")), "abbreviation": _text(one, "abbreviation")}
            for one in _nodes(root, "products", "product")
        ],
        "genes": [
            {"acronym": _text(one, "acronym"), "name": _text(one, "name")}
            for one in _nodes(root, "genes", "gene")
        ],
        "plane_of_section": {"name": plane or _plane(root)},
        "specimen": {"donor": {"age": {"name": age or None}}},
    }
    if not row["genes"] and (gene := _gene(root, specimen)):
        row["genes"] = [{"acronym": gene}]
    return row


def _gene(root: Mapping[str, Any], specimen: str) -> str | None:
    """Return the gene in the paths of all images, before the specimen: ``/Pdyn_05-2716_213/``."""
    if not specimen:
        return None
    named = re.compile(rf"/([^/]+)_{re.escape(specimen)}_\d+/")
    found = set()
    for image in _nodes(root, "section_images", "section_image"):
        match = named.search(_text(image, "path"))
        found.add(match[1] if match else "")
    return found.pop() or None if len(found) == 1 else None


def _plane(root: Mapping[str, Any]) -> str | None:
    """Return the plane across the axis that sections are stacked along, by the alignment."""
    numbers = _numbers(_text(root, "alignment3d", "tvr"), 12)
    if numbers is None:
        return None
    along = [abs(number) for number in numbers[2:9:3]]
    return _PLANES[along.index(max(along))] if max(along) > 0 else None


def _numbers(text: str, count: int) -> list[float] | None:
    found = [_real(word) for word in text.split(",")]
    kept = [number for number in found if number is not None]
    return kept if len(kept) == len(found) == count else None


def alignment_in_xml(data: bytes, where: str = "") -> SetAlignment | None:
    """Return where the images of the data set lie in the brain; None where the file does not say.

    Raises
    ------
    CorruptError
        If it is no description of a data set, or its numbers are damaged.
    """
    root = _read(data, where)
    volume = _row(root, "alignment3d", (("tvr", 12), ("trv", 12)))
    thickness = _real(_text(root, "section_thickness"))
    found = []
    for image in _nodes(root, "section_images", "section_image"):
        plane = _row(image, "alignment2d", (("tsv", 6), ("tvs", 6)))
        number, section = _whole(_text(image, "id")), _whole(_text(image, "section_number"))
        if not plane or not volume or number is None or section is None or thickness is None:
            continue
        try:
            found.append(ImageAlignment.of(plane, volume, section, thickness, number))
        except AnswerError as error:
            raise CorruptError("a damaged alignment", address=where, why=error.why) from error
    return SetAlignment(found) if found else None


def _row(
    node: Mapping[str, Any], name: str, parts: tuple[tuple[str, int], ...]
) -> dict[str, float | None]:
    """Return numbers as the columns of a row: ``tvr_00``, …; empty where there are none."""
    told = {part: _text(node, name, part) for part, _ in parts}
    if not any(told.values()):
        return {}
    return {
        f"{part}_{at:02}": _real(word)
        for part, text in told.items()
        for at, word in enumerate(text.split(","))
    }
