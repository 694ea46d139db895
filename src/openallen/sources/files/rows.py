"""The facts of what is one row of brain-map.org: an image, a well-known file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openallen.errors import NotFoundError
from openallen.sources.base import Facts, fields_of

if TYPE_CHECKING:
    from openallen.address import Address
    from openallen.brainmap import Client

__all__ = ["row_facts"]


def row_facts(client: Client, address: Address, model: str, include: str = "") -> Facts:
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
        raise NotFoundError(f"the service has no such {address.scheme}", address=str(address))
    return Facts(
        address=str(address),
        title=f"{address.scheme} {address.id}",
        kind=model,
        fields=fields_of(rows[0]),
        notes=client.notes,
        ids=(address.id,),
    )
