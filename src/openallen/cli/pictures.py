"""Write figures to files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from openallen.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["checked", "save"]

_KINDS = (".png", ".svg", ".pdf")


def checked(picture: Path | None) -> None:
    """Check the file name of a figure before any data are read.

    Raises
    ------
    UsageError
        If its format is not supported.
    """
    if picture is not None and picture.suffix.lower() not in _KINDS:
        raise UsageError(
            "unsupported picture format", address=str(picture), why=f"use {', '.join(_KINDS)}"
        )


def save(draw: Callable[[], Figure], picture: Path) -> Path:
    """Write a figure to a file, without a display, and return the path.

    Raises
    ------
    MissingExtraError
        Without matplotlib.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        raise MissingExtraError("atlas", "plotting") from None
    mpl.use("agg")
    figure = draw()
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=120)
    return picture
