"""Figures that a notebook shows once; imports matplotlib, so import it where one is drawn."""

from __future__ import annotations

import io

from matplotlib.figure import Figure

__all__ = ["NotebookFigure"]


class NotebookFigure(Figure):
    """A figure that pyplot does not know of.

    A notebook shows every figure of pyplot at the end of a cell, and the value of the last line as
    well: one that is returned would appear twice. This one is shown as a value only, whether or
    not pyplot was ever imported; `savefig` writes it to a file.
    """

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()
