"""Refreshing the description of models from the service."""

from __future__ import annotations

import json
from pathlib import Path

from openallen.brainmap.client import Client
from openallen.brainmap.schema import Schema, refreshed_file, schema
from openallen.errors import AnswerError
from openallen.json_text import load_json
from openallen.store.disk import write_whole

__all__ = ["refresh"]

_MOST_BYTES = 64 << 20


def refresh(client: Client, store: Path) -> Schema:
    """Return the service's own description of all models, and save it in the store.

    Parameters
    ----------
    client
        The client that asks for ``/api/v2/data/enumerate.json``.
    store
        The store's folder.

    Returns
    -------
    Schema
        What the service described.

    Raises
    ------
    AnswerError
        If the answer is not a description of models; the one saved before stays.
    StoreError, SpaceError
        If it cannot be written.
    """
    described = client.retry.run(lambda: _described(client))
    write_whole(refreshed_file(store), json.dumps(described.to_compact()).encode())
    schema.cache_clear()
    return described


def _described(client: Client) -> Schema:
    url = f"{client.base_url}/api/v2/data/enumerate.json"
    with client.http.get(url, compressed=True) as response:
        body = response.read(_MOST_BYTES)
    try:
        described = Schema.from_enumerate(load_json(body))
    except ValueError as error:
        raise AnswerError("this does not describe models", address=url, why=str(error)) from error
    if not described.models:
        raise AnswerError("the description has no models", address=url)
    return described
