"""Archive folders, as a mirror writes them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from openallen.archive.answers import INDEX


def answer_line(path: str, body: bytes, query: str = "", **more: object) -> dict:
    """Return the line of an answer."""
    digest = hashlib.sha256(body).hexdigest()
    told = {"path": path, "query": query, "file": f"answers/{digest[:2]}/{digest[2:]}.bin"}
    told |= {"content_type": "image/jpeg", "size_bytes": len(body), "sha256": digest}
    return told | {"status": 200} | more


def keep(root: Path, path: str, body: bytes, query: str = "", **more: object) -> dict:
    """Keep an answer as a mirror does: the body, then its line."""
    told = answer_line(path, body, query, **more)
    place = root / told["file"]
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(body)
    keep_line(root, told)
    return told


def keep_line(root: Path, told: object) -> None:
    """Add a line to the index of answers, whatever it is."""
    with (root / INDEX).open("a") as index:
        index.write(json.dumps(told) + "\n")
