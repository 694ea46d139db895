"""HTTP with a time limit for requests that do not come to an end, and files sent by the system."""

from __future__ import annotations

import asyncio
import os
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from openallen.serving.asgi import SEND_FILE

__all__ = ["Timed"]

_HEAD_S: Final = 20.0
_SEND_S: Final = 60.0
_AT_ONCE_BYTES: Final = 4 << 20


class _Blank:
    """Stands for bytes that the system sends itself: only their number is known here."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count


class Timed(H11Protocol):
    """Closes a connection whose request is not whole within some seconds."""

    _late: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if hasattr(os, "sendfile"):
            self.app = self._with_files(self.app)

    def _with_files(self, app: Any) -> Any:
        async def offering(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                scope.setdefault("extensions", {})[SEND_FILE] = self._send_file
            await app(scope, receive, send)

        return offering

    async def _send_file(self, file: int, begin: int, end: int) -> None:
        """Send a part of a file without reading it.

        Raises
        ------
        ConnectionAbortedError
            If the file has become shorter: the connection ends, so that the client sees a cut body.
        TimeoutError
            If the client does not read.
        """
        with os.fdopen(file, "rb", buffering=0, closefd=False) as body:
            while begin < end and not self.cycle.disconnected and not self.transport.is_closing():
                count = min(_AT_ONCE_BYTES, end - begin)
                # Counted by h11 as what it is told to send; nothing is written of it.
                event = h11.Data(data=_Blank(count))  # type: ignore[arg-type]
                self.conn.send_with_data_passthrough(event)
                sending = self.loop.sendfile(self.transport, body, begin, count)
                sent = await asyncio.wait_for(sending, _SEND_S)
                if sent < count:
                    raise ConnectionAbortedError("a file became shorter while it was read")
                begin += count

    def connection_made(self, transport: Any) -> None:
        """Begin to count."""
        super().connection_made(transport)
        self._count()

    def data_received(self, data: bytes) -> None:
        """Stop counting once a request is whole; begin where another one begins."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop()
        elif self._late is None:
            self._count()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting."""
        self._stop()
        super().connection_lost(exc)

    def _count(self) -> None:
        self._late = self.loop.call_later(_HEAD_S, self.transport.close)

    def _stop(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
