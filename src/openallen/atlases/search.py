"""Finding structures: the rows of an ontology, asked for once and kept."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from openallen.atlases.structures import Structures
from openallen.errors import NotFoundError, StoreError
from openallen.store.disk import write_whole

if TYPE_CHECKING:
    from openallen.brainmap import Client

__all__ = ["GRAPHS", "load_structures"]

GRAPHS: Final = {
    1: "adult mouse",
    10: "human",
    16: "developing human",
    17: "developing mouse",
}
"""Ontologies of brain-map.org by their graph id."""

_NAME: Final = "structures.json"


def load_structures(client: Client, graph_id: int, folder: Path) -> Structures:
    """Give an ontology: the one that is kept in `folder`, else asked for and kept there.

    Raises
    ------
    NotFoundError
        If the service has no such ontology.
    OfflineError
        If it is not here, and there is no network.
    """
    path = folder / _NAME
    try:
        kept = json.loads(path.read_text("utf-8"))
        if kept["source"] == client.source:
            return Structures.from_rows(kept["rows"], graph_id)
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not here, or damaged: asked for anew
    from openallen.brainmap import Search

    rows = [dict(row) for row in client.rows(Search.of("Structure").where(graph_id=graph_id).query)]
    if not rows:
        known = ", ".join(f"{number} {name}" for number, name in GRAPHS.items())
        raise NotFoundError(
            "there is no such ontology", address=f"structures:{graph_id}", why=f"known are {known}"
        )
    found = Structures.from_rows(rows, graph_id)
    with suppress(StoreError):  # a store that cannot be written to: asked for again next time
        write_whole(path, json.dumps({"source": client.source, "rows": rows}).encode())
    return found
