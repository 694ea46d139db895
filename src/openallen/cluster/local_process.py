"""The process that has a cluster of this machine: a scheduler, and workers; see `local`."""

from __future__ import annotations

import os
import sys
from typing import Final

__all__ = ["SAYS", "main"]

SAYS: Final = b"\0openallen "
"""What comes before the address of the scheduler."""


def main(workers: int) -> None:
    """Start a cluster, say its address on standard output, and end when standard input does.

    Parameters
    ----------
    workers
        Number of worker processes.
    """
    to_parent = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what anything else prints is no address
    import logging

    from distributed import LocalCluster

    logging.disable(logging.CRITICAL)  # where the parent is killed, nobody is there to be told
    with LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",  # None takes 8787, or complains of it
        silence_logs=logging.CRITICAL,
    ) as cluster:
        to_parent.write(SAYS + cluster.scheduler_address.encode() + b"\n")
        to_parent.flush()
        sys.stdin.buffer.read()
