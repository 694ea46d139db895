"""Which images of a data set are wanted, and what of them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from openallen.errors import UsageError
from openallen.planes.selection import parse_planes, planes_text
from openallen.sources.options import option

__all__ = ["ListOptions", "Options", "parse_point", "parse_range", "parse_sections"]

_MOST_UM = 1e6


def parse_sections(text: str) -> slice:
    """Read ``100:200``, ``:120`` or ``171`` as section numbers; the last one is not included.

    Raises
    ------
    UsageError
        If it is none of these.
    """
    if "-" in text:
        raise UsageError(f"'{text}' names no sections", hint="--sections 100:200")
    try:
        return parse_planes(text)
    except UsageError as error:
        raise UsageError(f"'{text}' names no sections", hint="--sections 100:200") from error


def parse_point(text: str) -> tuple[float, ...]:
    """Read ``5300,3000,6100`` as a point of reference space in µm: AP, DV, ML.

    Raises
    ------
    UsageError
        If it is not three numbers.
    """
    try:
        given = tuple(float(part) for part in re.split(r"[,\s]+", text.strip()))
    except ValueError as error:
        raise UsageError(
            f"'{text}' is no point", why="three numbers in µm are", hint="--near 5300,3000,6100"
        ) from error
    return _point(given)


def _point(given: tuple[float, ...]) -> tuple[float, ...]:
    if len(given) != 3 or not all(math.isfinite(v) and abs(v) <= _MOST_UM for v in given):
        raise UsageError(
            "a point is three numbers in µm: AP, DV, ML",
            why=", ".join(f"{value:g}" for value in given),
            hint="near=(5300, 3000, 6100)",
        )
    return given


def parse_range(text: str) -> tuple[int, ...]:
    """Read ``0,932,0,1279,0,4095`` as black and white points of red, green and blue.

    Raises
    ------
    UsageError
        If it is not six whole numbers.
    """
    try:
        given = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(
            f"'{text}' is no intensity range", hint="--intensity-range 0,932,0,1279,0,4095"
        ) from error
    return _six(given)


def _six(given: tuple[int, ...]) -> tuple[int, ...]:
    if len(given) != 6 or not all(0 <= value <= 4095 for value in given):
        raise UsageError(
            "an intensity range is six numbers from 0 to 4095",
            why="black and white point of red, green and blue",
            hint="intensity_range=(0, 932, 0, 1279, 0, 4095)",
        )
    return given


@dataclass(frozen=True, kw_only=True)
class Options:
    """What of a data set is wanted.

    Parameters
    ----------
    downsample
        Halvings of both sides of every picture; 0 is full size.
    planes
        Which images, by position in the order of the sections, as a Python slice.
    sections
        Which images, by section number, as a slice; all by default.
    structure
        Acronym or id of a structure: the image that shows it best, as the service has it.
    near
        A point of reference space, AP, DV, ML in µm: the image nearest to it.
    within_um
        With `near`, all images within this distance of the point; the nearest alone where None.
    quality
        JPEG quality from 0 to 100; the service's best where None.
    intensity_range
        Black and white point of red, green and blue; those of the data set where None.
    expression, projection
        Whether the pictures of segmented expression or projection are fetched too.
    svg
        Whether the drawings of structures on annotated images are fetched too.
    failed
        Whether images that failed quality control are fetched too.
    """

    downsample: int = option(
        0,
        "Halve width and height this many times; 0 is full size.",
        minimum=0,
        maximum=20,
        example="4",
    )
    planes: slice = option(
        help="Images by position, as a Python slice: 10:20, ::4, 7.",
        metavar="SLICE",
        parse=parse_planes,
        factory=lambda: slice(None),
        example="::4",
    )
    sections: slice = option(
        help="Images by section number: 100:200, 171.",
        metavar="FROM:TO",
        parse=parse_sections,
        factory=lambda: slice(None),
        example="100:200",
    )
    structure: str | None = option(
        None,
        "The image that shows a structure best, by its acronym or id.",
        metavar="NAME",
        example="VISp",
    )
    near: tuple[float, ...] | None = option(
        None,
        "The image nearest to a point of reference space, in µm.",
        metavar="AP,DV,ML",
        parse=parse_point,
        example="5300,3000,6100",
    )
    within_um: float | None = option(
        None,
        "With --near, all images within this many µm of the point.",
        minimum=0,
        example="500",
    )
    quality: int | None = option(
        None, "JPEG quality; the best one by default.", minimum=0, maximum=100, example="80"
    )
    intensity_range: tuple[int, ...] | None = option(
        None,
        "Black and white point of red, green, blue, 0 to 4095; those of the data set by default.",
        metavar="NUMBERS",
        parse=parse_range,
        example="0,932,0,1279,0,4095",
    )
    expression: bool = option(False, "Also fetch the pictures of segmented expression.")
    projection: bool = option(False, "Also fetch the pictures of segmented projection.")
    svg: bool = option(False, "Also fetch the structures drawn on annotated images, as SVG.")
    failed: bool = option(False, "Also fetch images that failed quality control.")

    def __post_init__(self) -> None:
        # Asked here, a wrong value fails before any request, from Python too.
        for name, value, most in (
            ("downsample", self.downsample, 20),
            ("quality", self.quality, 100),
        ):
            if value is not None and not 0 <= value <= most:
                raise UsageError(f"{name}={value} is not allowed", why=f"allowed: 0 to {most}")
        for name, chosen in (("planes", self.planes), ("sections", self.sections)):
            try:
                chosen.indices(0)
            except (AttributeError, TypeError, ValueError) as error:
                raise UsageError(
                    f"{name}={chosen} is not allowed", why=str(error), hint=f"--{name} 10:20"
                ) from None
        if self.near is not None:
            _point(tuple(self.near))
        if self.intensity_range is not None:
            _six(tuple(self.intensity_range))

    def check(self, address: str) -> None:
        """Check that options go together; makes no request.

        Parameters
        ----------
        address
            What they are for.

        Raises
        ------
        UsageError
            If they do not.
        """
        if self.within_um is not None and self.near is None:
            hint = "near=5300,3000,6100"
            raise UsageError("within_um goes with near", address=address, hint=hint)
        if self.near is not None and self.structure is not None:
            raise UsageError("near and structure exclude each other", address=address)

    @property
    def spelled(self) -> str:
        """The options as the command line takes them; defaults are left out."""
        parts = [f"--downsample {self.downsample}"] if self.downsample else []
        parts += [f"--quality {self.quality}"] if self.quality is not None else []
        for name, chosen in (("planes", self.planes), ("sections", self.sections)):
            text = planes_text(chosen)
            parts += [f"--{name}={text}"] if text != ":" else []
        parts += [f"--structure {self.structure}"] if self.structure is not None else []
        if self.near is not None:
            parts.append(f"--near={','.join(f'{value:g}' for value in self.near)}")
        parts += [f"--within-um {self.within_um:g}"] if self.within_um is not None else []
        if self.intensity_range is not None:
            parts.append(f"--intensity-range {','.join(map(str, self.intensity_range))}")
        for name in ("expression", "projection", "svg", "failed"):
            parts += [f"--{name}"] if getattr(self, name) else []
        return " ".join(parts)


@dataclass(frozen=True, kw_only=True)
class ListOptions:
    """What listing data sets takes."""

    accept_short: bool = option(False, "Accept fewer rows than the service announces.")
