"""What of a stack is wanted."""

from __future__ import annotations

from dataclasses import dataclass

from openallen.errors import UsageError
from openallen.planes.selection import parse_planes
from openallen.sources.options import option

__all__ = ["ListOptions", "Options", "ShowOptions", "parse_planes"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What of a stack is wanted.

    Parameters
    ----------
    downsample
        Halvings of both sides of every picture; 0 is full size.
    planes
        Which planes, by position, as a Python slice; all by default.
    quality
        JPEG quality from 0 to 100; the service's best where None.
    projections, morphology
        Whether these are fetched too.
    format
        Also write the table of planes: ``json``, ``csv`` or ``parquet``.
    """

    downsample: int = option(
        0,
        "Halve width and height this many times; 0 is full size.",
        minimum=0,
        maximum=20,
        example="3",
    )
    planes: slice = option(
        help="Planes by position, as a Python slice: 100:200:2, ::4, 7.",
        metavar="SLICE",
        parse=parse_planes,
        factory=lambda: slice(None),
        example="::4",
    )
    quality: int | None = option(
        None,
        "JPEG quality; the best one by default.",
        minimum=0,
        maximum=100,
        example="80",
    )
    projections: bool = option(True, "Also fetch the projections of the service.")
    morphology: bool = option(True, "Also fetch the files of the reconstruction.")
    format: str | None = option(
        None, "Also write the table of planes.", choices=("json", "csv", "parquet"), example="csv"
    )

    def __post_init__(self) -> None:
        # Asked here, a wrong value fails before any request, from Python too.
        for name, value, most in (
            ("downsample", self.downsample, 20),
            ("quality", self.quality, 100),
        ):
            if value is not None and not 0 <= value <= most:
                raise UsageError(f"{name}={value} is not allowed", why=f"allowed: 0 to {most}")
        try:
            self.planes.indices(0)
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"planes={self.planes} is not allowed", why=str(error), hint="--planes ::2"
            ) from None


@dataclass(frozen=True, kw_only=True)
class ShowOptions:
    """What the plan that `show` prints is made for."""

    downsample: int | None = option(
        None,
        "Plan for this size: halve width and height this many times.",
        minimum=0,
        maximum=20,
        example="3",
    )


@dataclass(frozen=True, kw_only=True)
class ListOptions:
    """What listing cells takes."""

    accept_short: bool = option(False, "Accept fewer rows than the service announces.")
