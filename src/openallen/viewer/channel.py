"""What the views of a notebook ask for, answered over its message channel by threads.

The messages are those of `web/src/channel.ts`. A view asks with ``{id, name, path, query,
priority}`` and gets ``{id, media, encoding}`` with the bytes, or ``{id, status, message}``; with
``{drop: id}`` it says that it does not wait any more.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from openallen.errors import NotFoundError, OpenAllenError, UsageError
from openallen.serving import GoneError
from openallen.viewer.answers import Answer, Query
from openallen.viewer.kinds import Kinds
from openallen.visuals import Visual

__all__ = ["Channel", "Send"]

Send = Callable[[Mapping[str, Any], Sequence[bytes]], object]
"""Sends a message with buffers to the front end; called from any thread."""

_THREADS: Final[Mapping[str, int]] = {"light": 2, "heavy": 2, "slow": 1}
"""How many requests are answered at once: pictures are decoded two at a time, as on pages."""

_MOST_WAITING: Final = 2000


@dataclass(frozen=True)
class _Asked:
    id: str
    name: str
    path: str
    query: Query
    first: bool


class Channel:
    """Answers what the views of one thing ask for.

    Parameters
    ----------
    visuals
        The views.
    kinds
        What answers.
    send
        Sends a reply.
    """

    def __init__(self, visuals: Sequence[Visual], kinds: Kinds, send: Send) -> None:
        self._visuals = {visual.name: visual for visual in visuals}
        self._kinds = kinds
        self._send = send
        self._lock = threading.Lock()
        self._wanted: set[str] = set()
        self._lanes = {name: _Lane(count, self._reply) for name, count in _THREADS.items()}

    def hear(self, message: object) -> None:
        """Take a message of the front end; returns at once.

        Parameters
        ----------
        message
            The message; one that makes no sense is ignored.
        """
        if not isinstance(message, Mapping):
            return
        dropped = message.get("drop")
        if isinstance(dropped, str):
            with self._lock:
                self._wanted.discard(dropped)
            return
        asked = _read(message)
        if asked is None:
            return
        with self._lock:
            if len(self._wanted) >= _MOST_WAITING:
                return
            self._wanted.add(asked.id)
        self._lanes[self._weight(asked)].put(asked)

    def _weight(self, asked: _Asked) -> str:
        visual = self._visuals.get(asked.name)
        if visual is None:
            return "light"
        try:
            kind = self._kinds[visual.kind]
        except OpenAllenError:
            return "light"
        weight = getattr(kind, "weight", None)
        told = weight(asked.path) if weight is not None else "heavy" if kind.heavy else "light"
        return told if told in self._lanes else "heavy"

    def _gone(self, asked: _Asked) -> bool:
        with self._lock:
            return asked.id not in self._wanted

    def _reply(self, asked: _Asked) -> None:
        if self._gone(asked):
            return
        told: dict[str, Any] = {"id": asked.id}
        buffers: list[bytes] = []
        try:
            answer = self._answer(asked)
            told |= {"media": answer.media, "encoding": answer.encoding}
            buffers.append(answer.body)
        except GoneError:
            return
        except OpenAllenError as error:
            told |= {"status": _status(error), "message": str(error)}
        except Exception as error:  # noqa: BLE001 - the view waits, and a thread has nobody to tell
            told |= {"status": 500, "message": f"{type(error).__name__}: {error}"}
        with self._lock:
            wanted = asked.id in self._wanted
            self._wanted.discard(asked.id)
        if wanted:
            self._send(told, buffers)

    def _answer(self, asked: _Asked) -> Answer:
        visual = self._visuals.get(asked.name)
        if visual is None:
            raise NotFoundError("no such view", address=asked.name[:80])
        kind = self._kinds[visual.kind]
        return kind.answer(visual, asked.path, asked.query, lambda: self._gone(asked))


class _Lane:
    """Some threads that take the newest request first, and end when there is none."""

    def __init__(self, most: int, reply: Callable[[_Asked], None]) -> None:
        self._most = most
        self._reply = reply
        self._waiting: deque[_Asked] = deque()
        self._running = 0
        self._lock = threading.Lock()

    def put(self, asked: _Asked) -> None:
        with self._lock:
            # What lies ahead of the reader waits until all that is on screen is there.
            (self._waiting.append if asked.first else self._waiting.appendleft)(asked)
            if self._running >= self._most:
                return
            self._running += 1
        threading.Thread(target=self._work, name="openallen-view", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._running -= 1
                    return
                asked = self._waiting.pop()
            self._reply(asked)


def _read(message: Mapping[Any, Any]) -> _Asked | None:
    """Return what a message asks for; None if it makes no sense."""
    texts = [message.get(key) for key in ("id", "name", "path")]
    query = message.get("query") or {}
    if not all(isinstance(text, str) for text in texts) or not isinstance(query, Mapping):
        return None
    named, name, path = map(str, texts)
    values = {str(key): str(value) for key, value in query.items()}
    return _Asked(named, name, path, Query(values), message.get("priority") != "low")


def _status(error: OpenAllenError) -> int:
    if isinstance(error, NotFoundError):
        return 404
    return 400 if isinstance(error, UsageError) else 500
