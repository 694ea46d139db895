"""Pictures the command line draws into files."""

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
    """See that a picture of this kind can be drawn, before anything is read for it.

    Raises
    ------
    UsageError
        If it cannot.
    """
    if picture is not None and picture.suffix.lower() not in _KINDS:
        raise UsageError(
            "pictures of this kind are not drawn", address=str(picture), hint=", ".join(_KINDS)
        )


def save(draw: Callable[[], Figure], picture: Path) -> Path:
    """Draw into a file, without a screen.

    Raises
    ------
    MissingExtraError
        Without matplotlib.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        raise MissingExtraError("atlas", "a picture") from None
    mpl.use("agg")
    figure = draw()
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=120)
    return picture
