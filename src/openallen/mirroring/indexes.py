"""What an archive reads of a mirror beside files and tables, made from the ledger.

``archive.json`` says what it is, ``answers.jsonl`` which answers are kept, ``buckets/NAME.jsonl``
which versions of objects there are. All follow from the ledger, so that a killed run leaves none
that names what is not there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from openallen.mirroring.ledger import Entry, Ledger
from openallen.mirroring.places import is_answer, is_bucket
from openallen.store.disk import read_object, write_whole

__all__ = ["about_of", "write_indexes"]


def about_of(told: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return what a mirror says of itself: what the service said, and which service it was.

    Parameters
    ----------
    told
        The service's own words; empty for the live one.
    source
        ``live``, ``sample``, or its URL.
    """
    names = ("title", "notes", "terms", "simulated_pixels")
    kept = {name: told[name] for name in names if name in told}
    return {"name": "mirror", "title": "a mirror made by openallen", **kept, "mirror_of": source}


def write_indexes(ledger: Ledger, about: Mapping[str, Any]) -> None:
    """Write the indexes of a mirror, each whole or not at all.

    Parameters
    ----------
    ledger
        The ledger.
    about
        What `about_of` returns.

    Raises
    ------
    StoreError, SpaceError
        If one cannot be written.
    """
    root = ledger.root
    whole = [e for e in ledger.entries.values() if e.sha256]
    simulated = sorted({e.file for e in whole if e.simulated})
    before = read_object(root / "archive.json")
    document = {**before, **about}
    if before.get("mirror_of") not in {None, about.get("mirror_of")}:
        document["notes"] = list(dict.fromkeys([*before.get("notes", ()), *about.get("notes", ())]))
    if simulated:
        document["simulated_files"] = simulated
    _write(root / "archive.json", json.dumps(document, ensure_ascii=False, indent=1) + "\n")
    answers = sorted((e for e in whole if is_answer(e.file)), key=lambda e: e.name)
    if answers or (root / "answers.jsonl").exists():
        _write(root / "answers.jsonl", _lines(map(_answer, answers)))
    for name, entries in _by_bucket(whole).items():
        _write(root / "buckets" / f"{name}.jsonl", _lines(map(_version, entries)))


def _answer(entry: Entry) -> dict[str, Any]:
    path, _, query = entry.name.partition("?")
    return {
        "path": path,
        "query": query,
        "file": entry.file,
        "content_type": entry.content_type or "application/octet-stream",
        "size_bytes": entry.size_bytes,
        "sha256": entry.sha256,
        "status": 200,
        **({"simulated": True} if entry.simulated else {}),
    }


def _by_bucket(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.name.startswith("s3://") and is_bucket(entry.name.split("/")[2]):
            found.setdefault(entry.name.split("/")[2], []).append(entry)
    # The oldest first, and the newest last: it is the one that a key without a version means.
    return {
        name: sorted(of, key=lambda e: (e.name.partition("?")[0], e.latest, _moment(e), e.when))
        for name, of in sorted(found.items())
    }


def _version(entry: Entry) -> dict[str, Any]:
    key = unquote(entry.name.partition("?versionId=")[0].split("/", 3)[3])
    told = {"key": key, "version_id": entry.version_id, "etag": entry.etag}
    told |= {"modified": _moment(entry), "file": entry.file}
    return {name: value for name, value in told.items() if value}


def _moment(entry: Entry) -> str:
    """Return when an object was last modified: ISO 8601 in UTC; empty where nobody said."""
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        with suppress(ValueError, TypeError):
            found = read(entry.modified)
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).isoformat()
    return ""


def _lines(documents: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(d, ensure_ascii=False) + "\n" for d in documents)


def _write(path: Path, text: str) -> None:
    body = text.encode()
    with suppress(OSError):
        if path.read_bytes() == body:
            return
    write_whole(path, body)
