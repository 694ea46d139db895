"""Tables: pages of rows, sorted and filtered on the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from openallen.sources.tables import cell_text
from openallen.viewer.answers import Answer, Query, json_answer, no_such
from openallen.visuals import TableVisual

__all__ = ["TableKind"]

_FIRST: Final = 50
_MOST: Final = 1000


class TableKind:
    """Answers of tables."""

    heavy = False

    def answer(
        self, visual: TableVisual, path: str, query: Query, gone: Callable[[], bool]
    ) -> Answer:
        """Return ``rows.json``; see `openallen.viewer.kinds.Kind.answer`."""
        del gone
        if path != "rows.json":
            raise no_such(path)
        offset = query.whole("offset", 0, 0, 1 << 40)
        limit = query.whole("limit", _FIRST, 1, _MOST)
        columns, rows, total = _page(visual.table(), offset, limit)
        return json_answer(
            {
                "columns": [{"name": name} for name in columns],
                "rows": [[cell_text(value) for value in row] for row in rows],
                "total": total,
                "offset": offset,
            }
        )

    def fallback(self, visual: TableVisual, base: str) -> dict[str, Any]:
        """Return the first rows."""
        del base
        columns, rows, total = _page(visual.table(), 0, _FIRST)
        cells = [[cell_text(value) for value in row] for row in rows]
        more = f"{len(rows):,} of {total:,} rows" if total > len(rows) else f"{total:,} rows"
        return {"columns": columns, "rows": cells, "text": more}

    def thumbnail(self, visual: TableVisual) -> Answer | None:
        """Return None: tables have no picture."""
        del visual
        return None


def _page(table: Any, offset: int, limit: int) -> tuple[list[str], list[list[Any]], int]:
    """Return names of columns, some rows, and how many rows there are."""
    if hasattr(table, "iloc"):
        if table.index.name is not None or table.index.nlevels > 1:
            table = table.reset_index()
        part = table.iloc[offset : offset + limit]
        names = [str(name) for name in table.columns]
        return names, part.astype(object).to_numpy().tolist(), len(table)
    rows = list(table)
    names = list(dict.fromkeys(name for row in rows[:_MOST] for name in row))
    part = rows[offset : offset + limit]
    return names, [[row.get(name) for name in names] for row in part], len(rows)
