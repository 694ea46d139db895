"""Planes as the service lists them: rows of the model SubImage, or of those that derive from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openallen.errors import AnswerError

__all__ = ["Plane", "RowReader", "planes_from_rows"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Plane:
    """One brightfield plane: a row of the model SubImage.

    Parameters
    ----------
    id
        Id of the image.
    position
        Index in the stack, from 0.
    section_number
        Section number in the data set.
    file_name
        File name: the section number, with the id where a section has two planes.
    z_um
        Depth below the first section, in µm: difference of section numbers times the z step.
    width_px, height_px
        Size at full resolution.
    x_px, y_px
        Top left corner in the scanned image (a border of about a pixel).
    resolution_um_per_px
        Size of a full-resolution pixel, in µm.
    tier_count
        Number of levels of the pyramid on the server.
    server_path
        Path on the server; for reference only.
    components
        Colour channels.
    """

    id: int
    position: int
    section_number: int
    file_name: str
    z_um: float
    width_px: int
    height_px: int
    x_px: int
    y_px: int
    resolution_um_per_px: float
    tier_count: int
    server_path: str
    components: int = 3

    def __repr__(self) -> str:
        return (
            f"plane {self.position}, section {self.section_number}, {self.z_um:g} µm, "
            f"{self.width_px} x {self.height_px} px"
        )


def planes_from_rows(
    rows: Sequence[Mapping[str, Any]], z_step_um: float, model: str = "SubImage"
) -> tuple[Plane, ...]:
    """Read rows of a model of images as planes, in the order of their sections.

    Raises
    ------
    AnswerError
        If a field is missing or of the wrong type, or a plane is listed twice.
    """
    readers = sorted((RowReader(row, model) for row in rows), key=RowReader.order)
    planes: list[Plane] = []
    for position, read in enumerate(readers):
        section = read.whole("section_number")
        first = planes[0].section_number if planes else section
        again = bool(planes) and section == planes[-1].section_number
        name = f"{section:04}_{read.whole('id')}.jpg" if again else f"{section:04}.jpg"
        planes.append(
            Plane(
                id=read.whole("id"),
                position=position,
                section_number=section,
                file_name=name,
                z_um=round((section - first) * z_step_um, 6),
                width_px=read.whole("width"),
                height_px=read.whole("height"),
                x_px=read.whole("x"),
                y_px=read.whole("y"),
                resolution_um_per_px=read.number("resolution"),
                tier_count=read.whole("tier_count"),
                server_path=read.text("path"),
                components=read.whole("number_of_components"),
            )
        )
    if len({plane.id for plane in planes}) != len(planes):
        raise AnswerError("a plane is listed twice", why="two rows have the same id")
    return tuple(planes)


class RowReader:
    """Reads typed fields of a row; an error names the row.

    Parameters
    ----------
    row
        The row.
    model
        The model it is of.
    """

    def __init__(self, row: Mapping[str, Any], model: str) -> None:
        self._row = row
        self._model = model

    def order(self) -> tuple[int, int]:
        """Return the place of an image among others."""
        return self.whole("section_number"), self.whole("id")

    def whole(self, name: str) -> int:
        """Return a whole number, 0 or more."""
        value = self._row.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self._wrong(name, value)
        return value

    def number(self, name: str) -> float:
        """Return a number above 0."""
        value = self._row.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
            raise self._wrong(name, value)
        return float(value)

    def text(self, name: str) -> str:
        """Return a text."""
        value = self._row.get(name)
        if not isinstance(value, str):
            raise self._wrong(name, value)
        return value

    def _wrong(self, name: str, value: object) -> AnswerError:
        return AnswerError(
            f"unexpected '{name}' in a {self._model} row",
            address=f"rma:{self._model}?id={self._row.get('id')}",
            why=repr(value)[:80],
        )
