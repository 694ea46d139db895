"""The types of ASGI, named so that nobody needs a server installed to read them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

__all__ = ["SEND_FILE", "App", "Message", "Receive", "Scope", "Send"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SEND_FILE: Final = "openallen.file"
"""The extension that sends a part of a file, as ``extensions`` of a scope name it.

``await send_file(descriptor, begin, end)`` after the head, which must say the length.
"""
