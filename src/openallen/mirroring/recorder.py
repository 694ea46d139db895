"""What is heard while a source is asked, sorted: rows, objects of buckets, listings, other answers.

The recorder knows no source: it hears the whole answers that clients receive, and the URL says what
each is. Bodies wait in a folder until the mirror takes them, as there may be many.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from openallen.brainmap.answers import Answer, read_answer
from openallen.brainmap.language import ModelStage, Query
from openallen.brainmap.parser import parse
from openallen.errors import AnswerError, OpenAllenError
from openallen.mirroring.rows import Tables
from openallen.mirroring.wanted import Asked, Origin
from openallen.store.disk import disk_error
from openallen.transport.heard import Heard
from openallen.transport.s3 import Listed, listed_in
from openallen.transport.sniff import sniff

__all__ = ["Kept", "Recorder"]

_NOT_KEPT: Final = ("/openallen/", "/s3/")
"""Pages of an archive itself, which stand for nothing of the institute."""
_TYPE: Final = re.compile(r"[A-Za-z0-9.+-]{1,60}/[A-Za-z0-9.+-]{1,100}")
_QUERY: Final = "/api/v2/data/"


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer that waits to be taken.

    Parameters
    ----------
    asked, url
        What was asked for.
    path
        Where its body is.
    content_type, etag, modified
        What its head says.
    query
        The query, where it asked for rows of a model that were taken apart.
    simulated
        Whether the service said so.
    """

    asked: Asked
    url: str
    path: Path
    content_type: str = ""
    etag: str = ""
    modified: str = ""
    query: Query | None = None
    simulated: bool = False


@dataclass
class Recorder:
    """Hears answers, and sorts them.

    Parameters
    ----------
    origin
        The services.
    tables
        Takes rows.
    folder
        Where bodies wait.

    Attributes
    ----------
    kept
        Answers and objects by name, the newest of each.
    listed
        What listings say of objects, by `Asked.name`.
    heard
        How many answers there were.
    rows_only
        Whether only rows are taken of answers: of questions that nobody else will ask.
    """

    origin: Origin
    tables: Tables
    folder: Path
    kept: dict[str, Kept] = field(default_factory=dict)
    listed: dict[str, Listed] = field(default_factory=dict)
    heard: int = 0
    rows_only: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, heard: Heard) -> None:
        """Take an answer."""
        self.heard += 1
        asked = self.origin.asked(heard.url)
        if asked is None or asked.path.startswith(_NOT_KEPT):
            return
        if asked.listing:
            self._listing(asked, heard)
        elif asked.bucket:
            self._object(asked, heard)
        else:
            self._answer(asked, heard)

    def listings(self) -> Iterator[tuple[str, Listed]]:
        """Return what was listed so far."""
        with self._lock:
            yield from list(self.listed.items())

    def queries(self) -> list[Query]:
        """Return the queries whose rows were taken apart."""
        with self._lock:
            return [kept.query for kept in self.kept.values() if kept.query is not None]

    # --- buckets ----------------------------------------------------------------------------------

    def _listing(self, asked: Asked, heard: Heard) -> None:
        try:
            found = listed_in(heard.body, heard.url)
        except OpenAllenError:
            return  # whoever asked says so
        with self._lock:
            for entry in found:
                self.listed[Asked(asked.bucket, entry.key).name] = entry
                if entry.version_id:
                    version = Asked(asked.bucket, entry.key, entry.version_id)
                    self.listed[version.name] = entry

    def _object(self, asked: Asked, heard: Heard) -> None:
        if not asked.key or asked.key.endswith("/"):
            return
        version = heard.headers.get("x-amz-version-id", "") or asked.version_id
        version = "" if version == "null" else version
        self._keep(Asked(asked.bucket, asked.key, version), heard)

    # --- services ---------------------------------------------------------------------------------

    def _answer(self, asked: Asked, heard: Heard) -> None:
        query = None
        if asked.path.startswith(_QUERY):
            try:
                query = parse(heard.url)
                answer = _read(asked, heard)
            except AnswerError:
                return  # a failure, or a page in place of an answer: whoever asked says so
            except OpenAllenError:
                query = None  # not a query but a description of models
            else:
                stage = query.stages[-1]
                rows = isinstance(stage, ModelStage) and len(query.stages) == 1
                if rows and answer is not None and isinstance(stage, ModelStage):
                    query = query if self._take(stage, answer) else None
                else:
                    query = None
        elif sniff(heard.body) == "html":
            return
        if not self.rows_only:
            self._keep(asked, heard, query)

    def _take(self, stage: ModelStage, answer: Answer) -> bool:
        if answer.is_object:
            return False
        if not stage.options.tabular:  # whose columns are of several tables
            self.tables.take(stage, answer.rows)
        return True

    def _keep(self, asked: Asked, heard: Heard, query: Query | None = None) -> None:
        digest = hashlib.sha256(asked.name.encode("utf-8", "surrogatepass")).hexdigest()
        path = self.folder / digest
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(heard.body)
        except OSError as error:
            raise disk_error(error, path) from error
        kept = Kept(
            asked=asked,
            url=heard.url,
            path=path,
            content_type=_type_of(heard),
            etag=heard.headers.get("etag", "").strip('"'),
            modified=heard.headers.get("last-modified", ""),
            query=query,
            simulated=heard.headers.get("openallen-simulated") == "true",
        )
        with self._lock:
            self.kept[asked.name] = kept


def _type_of(heard: Heard) -> str:
    told = heard.headers.get("content-type", "").partition(";")[0].strip()
    return told if _TYPE.fullmatch(told) else ""


def _read(asked: Asked, heard: Heard) -> Answer | None:
    """Return the rows of an answer in JSON; None for other forms, which are read as they are."""
    if not asked.path.endswith(".json"):
        return None
    return read_answer(heard.body, "json", url=heard.url)
