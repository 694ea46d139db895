"""The sample archive, served from this process for as long as it lasts."""

from __future__ import annotations

import atexit
import threading
from contextlib import ExitStack
from typing import Final

from openallen.archive.buckets import Buckets
from openallen.archive.holdings import SAMPLE

__all__ = ["sample_holds", "sample_url"]

_running: Final = ExitStack()
_started: Final[list[str]] = []
_lock: Final = threading.Lock()


def sample_url() -> str:
    """Serve the sample archive from this process, once, until it ends; return its URL.

    Raises
    ------
    MissingExtraError
        Without the extra ``web``.
    """
    with _lock:
        if not _started:
            from openallen.archive.app import archive_app
            from openallen.serving.server import serving

            _started.append(_running.enter_context(serving(archive_app("sample"))))
            atexit.register(_running.close)
        return _started[0]


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
