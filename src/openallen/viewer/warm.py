"""What the first page needs, imported while nobody waits for it yet."""

from __future__ import annotations

import threading
from contextlib import suppress
from importlib import import_module
from typing import Final

from openallen.sources.registry import source_classes
from openallen.viewer.kinds import Kinds
from openallen.viewer.pages import templates

__all__ = ["warm"]

_LIBRARIES: Final = ("numpy", "simplejpeg", "PIL.Image", "openallen.transport.http")


def warm(kinds: Kinds) -> threading.Thread:
    """Import what pages and pictures need, in a thread; half a second of a first page is that.

    Parameters
    ----------
    kinds
        The kinds of views of the server.

    Returns
    -------
    threading.Thread
        The thread, begun; nobody has to wait for it.
    """

    def work() -> None:
        templates()
        for name in _LIBRARIES:
            with suppress(ImportError):  # an extra that is missing is told where it is needed
                import_module(name)
        list(source_classes())
        with suppress(ImportError):
            _ = kinds["stack"]

    thread = threading.Thread(target=work, name="warm", daemon=True)
    thread.start()
    return thread
