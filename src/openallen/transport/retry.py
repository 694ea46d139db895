"""When to try again, and how long to wait first."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from openallen.errors import OpenAllenError

__all__ = ["Retry"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Retry:
    """Bounded tries with growing, jittered waits.

    Parameters
    ----------
    attempts
        Tries in all.
    first_wait_s
        Upper bound of the wait after the first failure; it doubles each time.
    longest_wait_s
        Upper bound of any wait, a server's wish included.
    """

    attempts: int = 5
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0

    def wait_s(self, attempt: int, error: OpenAllenError) -> float:
        """Return the wait after failed try number `attempt` (from 1), in seconds.

        At least what the server asked for; otherwise anything up to the doubling bound, so that
        many clients which failed together do not come back together.
        """
        bound: float = min(self.longest_wait_s, self.first_wait_s * 2.0 ** (attempt - 1))
        asked: float | None = getattr(error, "retry_after_s", None)
        jittered = bound * (0.5 + random.random() / 2)  # noqa: S311 - spreads load, guards nothing
        return jittered if asked is None else min(self.longest_wait_s, asked + jittered / 2)

    def run(
        self,
        work: Callable[[], T],
        *,
        failed: Callable[[int, OpenAllenError, float], None] | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> T:
        """Call `work` until it succeeds, fails for good, or the tries are used up.

        Parameters
        ----------
        work
            What to do; errors that are not ``retryable`` end the tries at once.
        failed
            Told of each failure that is tried again: try number, error, wait in seconds.
        sleep
            How to wait; a wait that can be broken off where the caller must stay responsive.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                return work()
            except OpenAllenError as error:
                if not error.retryable or attempt >= self.attempts:
                    raise
                wait_s = self.wait_s(attempt, error)
                if failed is not None:
                    failed(attempt, error, wait_s)
                sleep(wait_s)
