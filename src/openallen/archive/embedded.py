"""Archives served from this process for as long as it lasts: the sample, and folders."""

from __future__ import annotations

import atexit
import os
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from openallen.archive.buckets import Buckets
from openallen.archive.holdings import SAMPLE
from openallen.errors import NotFoundError

__all__ = ["folder_url", "sample_holds", "sample_url"]

_State = tuple[tuple[str, int, int], ...]

_running: Final = ExitStack()
_started: Final[dict[tuple[str, _State], str]] = {}
_lock: Final = threading.Lock()


def sample_url() -> str:
    """Serve the sample archive from this process, once, until it ends; return its URL.

    Raises
    ------
    MissingExtraError
        Without the extra ``web``.
    """
    return _served(SAMPLE, ())


def folder_url(root: Path, typed: str = "") -> str:
    """Serve the archive in a folder from this process until it ends; return its URL.

    A folder is served once, and once more after its tables have changed, which are read when an
    archive is opened; what else is added to it is found while it is served.

    Parameters
    ----------
    root
        The folder.
    typed
        What it was called, for messages.

    Raises
    ------
    NotFoundError, CorruptError
        If it is not an archive, or a part of it cannot be read.
    MissingExtraError
        Without the extra ``web``.
    """
    place = Path(os.path.realpath(root))
    try:
        return _served(place, _tables(place))
    except NotFoundError as error:
        error.address = typed or error.address
        error.hint = "openallen list stack: --source sample"
        raise


def _served(root: Path, state: _State) -> str:
    with _lock:
        if (str(root), state) not in _started:
            from openallen.archive.app import archive_app
            from openallen.serving.server import serving

            url = _running.enter_context(serving(archive_app(root)))
            if not _started:
                atexit.register(_running.close)
            _started[str(root), state] = url
        return _started[str(root), state]


def _tables(root: Path) -> _State:
    """Return names, sizes and times of what is read once: the description and the tables."""
    places = [root / "archive.json", *sorted((root / "tables").glob("*"))]
    told = [(place.name, place.stat()) for place in places if place.is_file()]
    return tuple((name, one.st_size, one.st_mtime_ns) for name, one in told)


def sample_holds(bucket: str, prefix: str = "") -> bool:
    """Return whether the sample has something of a bucket; asks nobody.

    Parameters
    ----------
    bucket
        The name of the bucket.
    prefix
        What keys begin with: a folder.
    """
    found = Buckets(SAMPLE).find(bucket)
    return found is not None and next(iter(found.cursor(prefix, "")), None) is not None
