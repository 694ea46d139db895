"""Marker files: points an annotator set beside a reconstruction.

CSV with the header ``##x,y,z,radius,shape,name,comment, color_r,color_g,color_b``; coordinates in
µm in the frame of the reconstruction. Names are codes: 10 a cut dendrite, 20 no reconstruction.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from openallen.errors import CorruptError

__all__ = ["MARKER_NAMES", "Marker", "MarkerCheck", "read_markers"]

MARKER_NAMES: Final = {10: "cut dendrite", 20: "no reconstruction"}
"""What the codes of markers mean; 30 occurs too, and no source tells what it means."""


class Marker(NamedTuple):
    """One marker: a point in µm, and its code (see `MARKER_NAMES`)."""

    x_um: float
    y_um: float
    z_um: float
    radius_um: float
    code: int
    comment: str


def read_markers(source: Path | bytes | str) -> list[Marker]:
    """Read a marker file.

    Parameters
    ----------
    source
        A path, or the text itself as bytes or str.

    Raises
    ------
    CorruptError
        With the number of the line that is wrong.
    """
    name = source.name if isinstance(source, Path) else ""
    data = source.read_bytes() if isinstance(source, Path) else source
    text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
    markers: list[Marker] = []
    for number, fields in enumerate(_lines(text, name), 1):
        if not fields or fields[0].lstrip().startswith("#"):
            continue
        try:
            markers.append(_marker([field.strip() for field in fields]))
        except (ValueError, IndexError, OverflowError) as error:
            raise CorruptError(
                "not a marker file", address=name, why=f"line {number}: {error}"
            ) from error
    return markers


def _lines(text: str, name: str) -> Iterator[list[str]]:
    try:
        yield from csv.reader(io.StringIO(text))
    except csv.Error as error:
        raise CorruptError("not a marker file", address=name, why=str(error)) from error


def _marker(fields: list[str]) -> Marker:
    x, y, z, radius = (float(field) for field in fields[:4])
    if not all(map(math.isfinite, (x, y, z))):
        raise ValueError("a coordinate that is no number")
    return Marker(x, y, z, radius, int(float(fields[5] or 0)), fields[6])


@dataclass(frozen=True)
class MarkerCheck:
    """Looks at a downloaded marker file before it gets its name; a `openallen.plans.Check`."""

    def __call__(self, path: Path) -> Mapping[str, Any]:
        """Read the file.

        Raises
        ------
        CorruptError
            If it is no marker file.
        """
        return {"markers": len(read_markers(path))}
