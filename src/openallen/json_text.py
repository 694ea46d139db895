"""JSON from elsewhere, where every fault of the text is a ValueError."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["load_json"]


def load_json(text: bytes | str) -> Any:
    """Return what JSON text holds.

    Raises
    ------
    ValueError
        If it is not JSON, or nested so deeply that Python gives up with a RecursionError.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise json.JSONDecodeError("nested too deeply", "", 0) from None
