"""Bytes over the wire: one HTTP client on libcurl. Knows nothing of Allen."""

from openallen.transport.http import Http, Response
from openallen.transport.retry import Retry
from openallen.transport.sniff import Kind, sniff

__all__ = ["Http", "Kind", "Response", "Retry", "sniff"]
