"""How many connections at once: more while that brings more, fewer when the service pushes back."""

from __future__ import annotations

import threading
import time
from typing import Final

from openallen.errors import OpenAllenError, StalledError, StatusError, UnreachableError

__all__ = ["RateLimiter"]

_START: Final = 16
_CALM_S: Final = 2.0


class RateLimiter:
    """A limit on connections that follows how the service responds.

    Doubles per round of completed files while throughput rises, then grows by one, and goes back
    to where it went best when more connections bring less; halves when the
    service says slow down, stalls or breaks off, at most once in two seconds (one overload makes
    many requests fail at once).

    Parameters
    ----------
    most
        The limit never goes above this.
    """

    def __init__(self, most: int) -> None:
        self.most = max(1, most)
        self.limit = min(_START, self.most)
        self._lock = threading.Lock()
        self._round_start = time.monotonic()
        self._round_files = 0
        self._best_rate = 0.0
        self._best_limit = self.limit
        self._climbing = True
        self._eased_at = -_CALM_S

    def done(self) -> None:
        """Count a file that went well."""
        with self._lock:
            self._round_files += 1
            if self._round_files < self.limit:
                return
            now = time.monotonic()
            rate = self._round_files / max(now - self._round_start, 1e-6)
            self._round_start, self._round_files = now, 0
            if rate > self._best_rate * 1.05:
                self._best_rate, self._best_limit = rate, self.limit
                step = self.limit if self._climbing else 1
                self.limit = min(self.most, self.limit + step)
            elif rate < self._best_rate * 0.8 and self.limit > self._best_limit:
                # More of them brought less: back to where it went best.
                self.limit, self._climbing = self._best_limit, False
            else:
                self._best_rate *= 0.95  # what was best a while ago may not be so now
                self._climbing = False
                self.limit = min(self.most, self.limit + 1)

    def failed(self, error: OpenAllenError) -> None:
        """Lower the limit where the error says that the service is overloaded."""
        pushed = isinstance(error, (StalledError, UnreachableError)) or (
            isinstance(error, StatusError) and error.status in {429, 500, 502, 503, 504}
        )
        with self._lock:
            now = time.monotonic()
            if pushed and now - self._eased_at >= _CALM_S:
                self._eased_at = now
                self.limit = max(1, self.limit // 2)
                self._climbing = False
                self._round_start, self._round_files, self._best_rate = now, 0, 0.0
