"""The facts of what is one row of brain-map.org: an image, a well-known file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openallen.display import bytes_text
from openallen.errors import NotFoundError, OfflineError, UnreachableError
from openallen.sources.base import Facts, Field, Source, fields_of

if TYPE_CHECKING:
    from pathlib import Path

    from openallen.address import Address
    from openallen.brainmap import Client

__all__ = ["fetched_file", "row_facts"]


def fetched_file(source: Source, address: Address) -> Path | None:
    """Return the one file that was fetched for an address into the store; None where none was."""
    folder = source.context.folder(address)
    found = sorted(
        p
        for p in folder.glob("*")
        if p.is_file() and p.suffix not in {".part", ".lease", ".json", ".folder"}
    )
    return found[0] if found else None


def row_facts(source: Source, address: Address, model: str, include: str = "") -> Facts:
    """Return the facts of one row; without a network those of the file that is here.

    Raises
    ------
    NotFoundError
        If the service has no such row.
    OfflineError, UnreachableError
        If the service cannot be asked, and nothing was fetched.
    """
    if not address.name:
        raise source.cannot("shown as a whole", address, source.show_command())
    try:
        return _row_facts(source.context.client, address, model, include)
    except (OfflineError, UnreachableError):
        here = fetched_file(source, address)
        if here is None:
            raise
    size = here.stat().st_size
    return Facts(
        address=str(address),
        title=f"{address.scheme.capitalize()} {address.id}",
        kind=model,
        fields=(Field("file", str(here)), Field("size", size, bytes_text(size), "size_bytes")),
        notes=("the service is not available; this is the local file",),
        ids=(address.id,),
    )


def _row_facts(client: Client, address: Address, model: str, include: str) -> Facts:
    """Return the facts of one row.

    Raises
    ------
    NotFoundError
        If the service has no such row.
    """
    from openallen.brainmap import Search

    search = Search.of(model).where(id=address.id)
    if include:
        search = search.include(include)
    rows = list(client.rows(search.query, 1))
    if not rows:
        raise NotFoundError(f"no such {address.scheme}", address=str(address))
    return Facts(
        address=str(address),
        title=f"{address.scheme.capitalize()} {address.id}",
        kind=model,
        fields=fields_of(rows[0]),
        notes=client.notes,
        ids=(address.id,),
    )
