"""Facts kept beside the files they are of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from openallen.errors import StoreError
from openallen.store.disk import write_whole

__all__ = ["keep_facts"]


def keep_facts(path: Path, facts: Mapping[str, Any]) -> None:
    """Write facts beside the files they are of; a file that says the same is left alone."""
    told = json.dumps(facts, indent=1, ensure_ascii=False, default=str).encode()
    with suppress(OSError):
        if path.read_bytes() == told:
            return
    with suppress(StoreError):  # the files are there, and can be opened without
        write_whole(path, told)
