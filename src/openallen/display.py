"""How objects show themselves: aligned text, compact HTML, sizes in words, figures.

HTML is escaped, carries no script and no remote asset, and follows light and dark pages.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openallen.errors import UsageError, requiring
from openallen.harmless import harmless
from openallen.paths import expanded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "bytes_text",
    "card",
    "count_text",
    "facts_text",
    "harmless",
    "new_figure",
    "picture_path",
    "save_figure",
    "seconds_text",
    "table_html",
]

_PICTURES = (".png", ".svg", ".pdf")
_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


def bytes_text(size_bytes: float) -> str:
    """Write a size the way people say it: ``1.25 GB`` (decimal units, three digits)."""
    size = float(size_bytes)
    unit = 0
    while size >= 999.5 and unit < len(_UNITS) - 1:
        size /= 1000
        unit += 1
    if unit == 0:
        return f"{size:.0f} {'byte' if size == 1 else 'bytes'}"
    digits = 2 if size < 9.995 else 1 if size < 99.95 else 0
    return f"{size:.{digits}f} {_UNITS[unit]}"


def count_text(count: int, noun: str, plural: str = "") -> str:
    """Write a count with its noun: ``1 file``, ``3,021 files``."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def seconds_text(duration_s: float) -> str:
    """Write a duration the way people say it: ``0.4 s``, ``12 s``, ``3 min 20 s``."""
    if duration_s < 10 or not math.isfinite(duration_s):
        return f"{duration_s:.1f} s"
    whole = round(duration_s)
    if whole < 120:
        return f"{whole} s"
    minutes, seconds = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"


def new_figure(extra: str, what: str, **options: Any) -> Figure:
    """Return an empty figure that a notebook shows once; pyplot does not know of it.

    Parameters
    ----------
    extra
        The optional part that brings matplotlib, for the error.
    what
        What is to be drawn, for the error: ``pictures of sessions``.
    **options
        As for `matplotlib.figure.Figure`.

    Raises
    ------
    MissingExtraError
        Without matplotlib.
    """
    with requiring(what, extra):
        from openallen.figures import NotebookFigure
    return NotebookFigure(**options)


def picture_path(path: Path | str, address: str = "") -> Path:
    """Return the path of a picture, if pictures of its kind can be drawn.

    Raises
    ------
    UsageError
        If they cannot.
    """
    found = expanded(path)
    if found.suffix.lower() not in _PICTURES:
        raise UsageError(
            f"unsupported picture format '{found.suffix or found.name}'",
            address=address,
            why="formats: " + ", ".join(_PICTURES),
            hint=f"--picture {shlex.quote(str(found.with_suffix('.png')))}",
        )
    return found


def save_figure(draw: Callable[[], Figure], path: Path | str, address: str = "") -> Path:
    """Draw a figure into a file, without a screen; return the path.

    Raises
    ------
    UsageError
        If the file is of another kind than png, svg or pdf.
    MissingExtraError
        Without matplotlib.
    """
    found = picture_path(path, address)
    with requiring("a picture", "atlas"):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    figure = draw()
    FigureCanvasAgg(figure)
    found.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(found, dpi=120)
    return found


def facts_text(title: str, facts: Mapping[str, object]) -> str:
    """Lay facts out below a title, names aligned; facts that are None are left out.

    Both come from files and services: control characters are spelled out.
    """
    shown = {harmless(n): harmless(str(v), lines=True) for n, v in facts.items() if v is not None}
    width = max((len(name) for name in shown), default=0)
    lines = [f"  {name:<{width}}  {value}" for name, value in shown.items()]
    return "\n".join([harmless(title, lines=True), *lines])


def card(
    title: str, facts: Mapping[str, object], *, image: str = "", note: str = "", pre: bool = False
) -> str:
    """Lay facts out as an HTML card.

    Parameters
    ----------
    title
        Heading, plain text.
    facts
        Rows of name and value, plain text; None is left out.
    image
        A ``data:`` URI shown beside the facts, or empty.
    note
        A sentence below the facts, plain text.
    pre
        Keep line breaks and alignment of values.
    """
    space = ";white-space:pre-wrap" if pre else ""
    # A long path breaks anywhere, a label never: labels are short, and read at a glance.
    rows = "".join(
        f'<tr><th style="text-align:left;padding:0 1em 0 0;font-weight:normal;opacity:.7;'
        f'vertical-align:top;white-space:nowrap">{escape(str(name))}</th>'
        f'<td style="text-align:left;padding:0;overflow-wrap:anywhere{space}">'
        f"{escape(str(value))}</td></tr>"
        for name, value in facts.items()
        if value is not None
    )
    # In a row of boxes a picture is stretched to the row's height and squeezed by long text.
    picture = (
        f'<img src="{escape(image, quote=True)}" alt="" style="max-height:160px;max-width:220px;'
        "flex-shrink:0;align-self:flex-start;object-fit:contain;"
        'margin:0 1em 0 0;border-radius:4px">'
        if image.startswith("data:image/")
        else ""
    )
    foot = f'<p style="margin:.4em 0 0;opacity:.7">{escape(note)}</p>' if note else ""
    return (
        '<div style="display:flex;font:13px/1.5 system-ui,sans-serif">'
        f'{picture}<div style="min-width:0"><strong>{escape(title)}</strong>'
        f'<table style="border-collapse:collapse;margin:.2em 0 0">{rows}</table>{foot}</div></div>'
    )


def table_html(columns: Sequence[str], rows: Iterable[Sequence[object]], *, note: str = "") -> str:
    """Lay rows out as an HTML table; `note` stands below it, plain text."""
    head = "".join(f'<th style="text-align:left">{escape(name)}</th>' for name in columns)
    body = "".join(
        "<tr>"
        + "".join(
            f'<td style="text-align:left">{escape("" if v is None else str(v))}</td>' for v in row
        )
        + "</tr>"
        for row in rows
    )
    foot = f'<p style="margin:.4em 0 0;opacity:.7">{escape(note)}</p>' if note else ""
    return (
        '<div style="font:13px/1.5 system-ui,sans-serif;overflow-x:auto">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{foot}</div>"
    )
