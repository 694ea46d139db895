"""What the service itself says of where structures are on images."""

from __future__ import annotations

from collections.abc import Mapping

from openallen.brainmap.answers import read_answer
from openallen.brainmap.builder import Search
from openallen.brainmap.client import Client
from openallen.errors import AnswerError, NotFoundError

__all__ = ["image_of_structure", "structure_id"]

_ADULT_MOUSE = 1


def structure_id(client: Client, structure: str) -> int:
    """Return the id of a structure of the adult mouse by its acronym; an id stays as it is.

    Raises
    ------
    NotFoundError
        If there is no such structure.
    """
    if structure.isdigit():
        return int(structure)
    query = Search.of("Structure").where(acronym=structure, graph_id=_ADULT_MOUSE).query
    row = next(client.rows(query, 1), None)
    if row is None:
        raise NotFoundError(
            f"no structure '{structure}'",
            address=f"structures:{_ADULT_MOUSE}",
            hint=f"openallen list structures:{_ADULT_MOUSE}",
        )
    return int(row["id"])


def image_of_structure(client: Client, data_set_id: int, structure: int) -> int:
    """Return the id of the section image of a data set that shows a structure best.

    The service computes it: ``structure_to_image``.

    Raises
    ------
    NotFoundError
        If the service names none.
    AnswerError
        If it answers something else.
    """
    path = f"/api/v2/structure_to_image/{data_set_id}.json?structure_ids={structure}"
    url = client.base_url + path

    def ask() -> bytes:
        with client.http.get(url, compressed=True) as response:
            return response.read(1 << 20)

    nothing = NotFoundError(
        f"no image shows structure {structure}",
        address=f"sections:{data_set_id}",
        hint="--near AP,DV,ML takes the image nearest to a point, without this service",
    )
    try:
        answer = read_answer(client.retry.run(ask), "json", url=url)
    except NotFoundError as error:
        nothing.why = f"{url}: {error.why or error.what}"
        raise nothing from error
    for row in answer.rows:
        told = row.get("image_sync", row)
        found = told.get("section_image_id") if isinstance(told, Mapping) else None
        if isinstance(found, int) and not isinstance(found, bool):
            return found
    if answer.rows:
        raise AnswerError("no section image in the answer", address=url, why=str(answer.rows)[:100])
    raise nothing
