"""What of a cell is wanted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, Literal

from openallen.errors import UsageError
from openallen.sources.options import option

__all__ = ["DEFAULT", "PARTS", "ListOptions", "Options", "Part", "include_text"]

Part = Literal["ephys", "morphology", "models"]
PARTS: Final[tuple[Part, ...]] = ("ephys", "morphology", "models")
DEFAULT: Final = ("ephys", "morphology")


def include_text(parts: Iterable[str]) -> str:
    """Return parts as the option takes them, in the order they have."""
    chosen = set(parts)
    return ",".join(part for part in PARTS if part in chosen)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What of a cell is wanted.

    Parameters
    ----------
    include
        Parts by name: ``ephys``, ``morphology``, ``models``; None for the first two, as far as
        the cell has them.
    """

    include: tuple[str, ...] | None = option(
        None,
        "Parts: ephys (NWB), morphology (SWC, markers), models; ephys,morphology by default.",
        metavar="WORDS",
        example="ephys,models",
    )

    def __post_init__(self) -> None:
        if self.include is None:
            return
        if not self.include:
            raise UsageError("include= is empty", hint="include=ephys")
        for word in self.include:
            if word not in PARTS:
                near = get_close_matches(str(word), PARTS, 1, 0.5)
                raise UsageError(
                    f"a cell has no part '{word}'",
                    why="parts: " + ", ".join(PARTS),
                    hint=f"include={near[0] if near else 'ephys'}",
                )

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that are wanted."""
        chosen = DEFAULT if self.include is None else self.include
        return tuple(part for part in PARTS if part in chosen)

    @property
    def spelled(self) -> str:
        """The option as the command line takes it; empty where it was not given."""
        return "" if self.include is None else f"--include {include_text(self.include)}"


@dataclass(frozen=True, kw_only=True)
class ListOptions:
    """What listing cells takes."""

    service_names: bool = option(
        False, "All 54 columns of the service, by the names it gives them."
    )
    accept_short: bool = option(False, "Accept fewer rows than the service announces.")
