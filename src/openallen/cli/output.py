"""Output of the command line: data on stdout, messages on stderr, printed in one place.

Four forms: for people (tables that fit the terminal), ``--json`` (one stable document, or JSON
lines for rows), ``--ids`` (what names each thing), and formats a command offers itself (CSV,
Parquet).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openallen.harmless import harmless, harmless_json
from openallen.sources.tables import cell_text

if TYPE_CHECKING:
    from rich.console import Console

    from openallen.sources.tables import Rows

__all__ = ["Output", "json_text"]

_WIDEST = 40


@dataclass
class Output:
    """How to print in this call.

    Parameters
    ----------
    as_json
        Write JSON: one document, or one line for each row.
    ids
        Print only ids, one per line.
    quiet
        No messages but warnings and errors.
    verbose
        0 by default; 1 and more for more messages.
    """

    as_json: bool = False
    ids: bool = False
    quiet: bool = False
    verbose: int = 0

    def document(
        self, document: Mapping[str, Any], text: str = "", *, ids: Iterable[object] = ()
    ) -> None:
        """Write one thing: the document as JSON, its ids, or its text."""
        if self.as_json:
            self.raw(json_text(document, indent=1))
        elif self.ids:
            for item in ids:
                self.raw(harmless(str(item)))
        else:
            self.raw(harmless(text, lines=True))

    def rows(self, rows: Rows, *, more: str = "") -> int:
        """Write rows, as they come where that can be done; return how many there were.

        Parameters
        ----------
        rows
            The rows.
        more
            The command that shows all of them.
        """
        if self.as_json or self.ids:
            count = 0
            for row in rows.stream():
                text = harmless(str(row.get(rows.id_column, ""))) if self.ids else _line(row)
                self.raw(text)
                count += 1
            return count
        shown = len(rows)
        if shown:
            self._table(rows.to_dicts(), rows.shown)
            self.say(rows.counted)
        if rows.total is not None and rows.total > shown and more:
            self.say(f"  all of them: {more}")
        for note in rows.notes if shown else ():
            self.say(f"  {harmless(note)}")
        return shown

    def _table(self, rows: list[dict[str, Any]], columns: Sequence[str]) -> None:
        from rich.table import Table

        console = self.console()
        fitting = _fitting(rows, columns, console.width)
        table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
        for name in fitting:
            numeric = all(_is_number(r.get(name)) for r in rows[:50])
            table.add_column(
                harmless(name),
                overflow="ellipsis",
                no_wrap=True,
                justify="right" if numeric else "left",
                min_width=_width(rows, name) if name == columns[0] else None,
            )
        for row in rows:
            table.add_row(*(_cell(row.get(name)) for name in fitting))
        console.print(table)
        left_out = [name for name in columns if name not in fitting]
        if left_out:
            self.say(f"columns left out: {', '.join(left_out)}; all of them with --json")

    def raw(self, text: str) -> None:
        """Write a line of data."""
        try:
            sys.stdout.write(text + "\n")
        except BrokenPipeError:
            # The reader (head, less) has seen enough: not a failure, and nothing more to say.
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
            raise SystemExit(0) from None

    def say(self, text: str) -> None:
        """Print a remark for people to stderr; data goes to stdout."""
        if not self.quiet:
            sys.stderr.write(harmless(text, lines=True) + "\n")

    def fail(self, text: str) -> None:
        """Print an error to stderr without ending the command."""
        sys.stderr.write(f"error: {harmless(text, lines=True)}\n")

    def warn(self, text: str) -> None:
        """Print a warning to stderr."""
        sys.stderr.write(f"warning: {harmless(text, lines=True)}\n")

    @staticmethod
    def console(*, stderr: bool = False) -> Console:
        """Return a console for tables."""
        from rich.console import Console

        stream = sys.stderr if stderr else sys.stdout
        width = None if stream.isatty() else 200
        return Console(stderr=stderr, width=width, highlight=False, emoji=False, markup=False)


def _width(rows: Sequence[Mapping[str, Any]], name: str) -> int:
    return max(len(name), *(len(_cell(row.get(name))) for row in rows))


def _fitting(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], width: int
) -> Sequence[str]:
    """Return the first columns that fit; the last may be shortened, the first never is."""
    found: list[str] = []
    used = 0
    for name in columns:
        needed = min(_width(rows, name), _WIDEST) + 2
        if found and used + needed > width + 2:
            continue
        found.append(name)
        used += needed
    return found


def json_text(document: Mapping[str, Any], indent: int | None = None) -> str:
    """Return JSON that a terminal can show: what it would act on is escaped, values are the same.

    Parameters
    ----------
    document
        What is written.
    indent
        Blanks for each level; None for one line.
    """
    return harmless_json(json.dumps(document, ensure_ascii=False, indent=indent, default=str))


def _line(row: Mapping[str, Any]) -> str:
    return json_text(row)


def _cell(value: object) -> str:
    return harmless(cell_text(value))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
