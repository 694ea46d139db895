"""How the mirrored classes ask openallen: by verb, of the service they were told to ask."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from openallen import verbs
from openallen.brainmap.answers import read_answer
from openallen.errors import NotFoundError, UsageError
from openallen.settings import Settings
from openallen.sources.atlases.many import alignment
from openallen.sources.context import connected
from openallen.sources.rows.query import query as asked_for

__all__ = [
    "alignment_of",
    "answer_of",
    "as_kind",
    "ask_service",
    "offline_settings",
    "opened_or_fetched",
    "placed",
    "project",
    "row_of",
    "rows_of",
    "source_of",
]

_MOST_BYTES: Final = 64 << 20

_LIVE: Final = frozenset({"http://api.brain-map.org", "https://api.brain-map.org"})
_Kind = TypeVar("_Kind")


def source_of(base_uri: str | None) -> str | None:
    """Return the source that AllenSDK's ``base_uri`` means; None for that of the settings."""
    return None if base_uri is None or base_uri.rstrip("/") in _LIVE else base_uri


def rows_of(query: str, source: str | None, limit: int | None = None) -> list[dict[str, Any]]:
    """Return rows of the service, asked for by RMA or by the URL of a request."""
    return list(asked_for(query, source=source).rows(limit))


def answer_of(query: str, source: str | None) -> Any:
    """Return what the service answers to one request, in its own order, as AllenSDK does."""
    search = asked_for(query, source=source)
    with connected(source=source) as client:
        answer = client.answer(search.query)
    return answer.rows[0] if answer.is_object else list(answer.rows)


def project(name: str, manifest: Path | str | None, source: str | None) -> Any:
    """Return a release, in the folder of the manifest AllenSDK's cache is told.

    A folder that AllenSDK filled is opened as it is; an empty one is filled by openallen. Without a
    manifest it is the store.
    """
    address = f"release:{name}"
    if manifest is None:
        return verbs.open(address, source=source)
    folder = Path(manifest).parent.absolute()
    if Path(manifest).is_file():
        return verbs.open(folder, source=source)
    return verbs.open(address, source=source, to=folder)


def opened_or_fetched(address: str, source: str | None) -> Any:
    """Return what an address names, opened; fetched first where it is not here."""
    try:
        return verbs.open(address, source=source)
    except NotFoundError:
        verbs.fetch(address, source=source)
        return verbs.open(address, source=source)


def placed(address: str, path: Path | str | None, source: str | None) -> Path:
    """Fetch one file, and return its path: where it is told, else in the store.

    A file that is there already is left as it is, as AllenSDK does.
    """
    wanted = None if path is None else Path(path)
    if wanted is not None and wanted.exists():
        return wanted
    found = Path(verbs.fetch(address, source=source))
    if wanted is None:
        return found
    wanted.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(found, wanted))


def as_kind(session: Any, kind: type[_Kind], of: type, make: Callable[[], _Kind]) -> _Kind:
    """Return an opened session as the class of that name, which has its state.

    Raises
    ------
    UsageError
        If the file holds something else.
    """
    if not isinstance(session, of):
        raise UsageError(
            f"this is no file for {kind.__name__}",
            address=str(getattr(session, "name", session))[:200],
            why=f"it opens as {type(session).__name__}",
            hint="oa.open(path)",
        )
    made = make()
    made.__dict__.update(session.__dict__)
    return made


def offline_settings() -> Settings:
    """Return the settings, with no connection made."""
    return Settings.load(offline=True)


def ask_service(path: str, source: str | None) -> list[dict[str, Any]]:
    """Return what the service answers to a request below ``/api/v2/``."""
    with connected(source=source) as client:
        url = f"{client.base_url}/api/v2/{path}"

        def ask() -> bytes:
            with client.http.get(url, compressed=True) as response:
                return response.read(_MOST_BYTES)

        return list(read_answer(client.retry.run(ask), "json", url=url).rows)


def row_of(model: str, number: int, source: str | None) -> dict[str, Any]:
    """Return the row of a model with an id.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    query = f"model::{model},rma::criteria,[id$eq{int(number)}]"
    found = rows_of(query, source, 1)
    if not found:
        raise NotFoundError(f"no {model} {number}", hint=f"openallen show rma:{model}")
    return found[0]


def alignment_of(data_set: int, source: str | None) -> Any:
    """Return where the images of a data set lie in the brain."""
    return alignment(int(data_set), source=source)
