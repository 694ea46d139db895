"""What of a stack is wanted."""

from __future__ import annotations

import re
from dataclasses import dataclass

from openallen.errors import UsageError
from openallen.sources.options import option

__all__ = ["ListOptions", "Options", "ShowOptions", "parse_planes"]


def parse_planes(text: str) -> slice:
    """Read ``100:200:2``, ``:10``, ``::4``, ``-1`` or ``7`` as positions in the stack.

    Raises
    ------
    UsageError
        If it is not a slice.
    """
    parts = text.strip().split(":")
    if not (1 <= len(parts) <= 3 and all(re.fullmatch(r"-?\d{1,9}|", p.strip()) for p in parts)):
        dashed = re.fullmatch(r"(\d{1,9})-(\d{1,9})", text.strip())
        meant = f"{dashed[1]}:{int(dashed[2]) + 1}" if dashed else "100:200:2"
        raise UsageError(f"'{text}' selects no planes", hint=f"--planes {meant}")
    numbers = [int(p) if p.strip() else None for p in parts]
    if len(parts) == 1:
        if numbers[0] is None:
            raise UsageError("no planes selected", hint="--planes 100:200:2")
        return slice(numbers[0], None if numbers[0] == -1 else numbers[0] + 1)
    if len(parts) == 3 and numbers[2] == 0:
        raise UsageError("planes cannot be taken in steps of 0", hint="--planes ::2")
    return slice(*numbers)


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
