"""Interrupting a run from another thread, as Ctrl-C does from the terminal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Interruption"]


class Interruption:
    """Asks a run to end: nothing new is begun, what is under way is dropped and resumes later.

    One serves one run. It may be asked for before the run begins, and more than once.
    """

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._lock = threading.Lock()
        self._then: list[Callable[[], object]] = []

    @property
    def asked(self) -> bool:
        """Whether somebody asked."""
        return self._asked.is_set()

    def ask(self) -> None:
        """Ask the run to end; returns at once."""
        with self._lock:
            self._asked.set()
            then = list(self._then)
        for end in then:
            end()

    @contextmanager
    def calling(self, end: Callable[[], object]) -> Iterator[None]:
        """Call a function as soon as somebody asks, as long as the context lasts.

        Parameters
        ----------
        end
            Ends the work; called at once where somebody has asked already.
        """
        with self._lock:
            self._then.append(end)
            asked = self._asked.is_set()
        if asked:
            end()
        try:
            yield
        finally:
            with self._lock:
                self._then.remove(end)
