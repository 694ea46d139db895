"""The JSON file of facts beside the files it describes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from openallen.errors import SpaceError, StoreError
from openallen.store.disk import write_whole

__all__ = ["write_facts"]


def write_facts(path: Path, facts: Mapping[str, Any]) -> None:
    """Write facts beside the files they describe, unless they are written already."""
    told = json.dumps(facts, indent=1, ensure_ascii=False, default=str).encode()
    with suppress(OSError):
        if path.read_bytes() == told:
            return
    with suppress(StoreError, SpaceError):  # the files are there, and open without it
        write_whole(path, told)
