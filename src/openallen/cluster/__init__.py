"""Work on a dask cluster: connecting, whether its workers can do the work, tasks and their results.

A task is a function of openallen and the few values it needs, addresses rather than data. What a
worker that was lost had taken is done again by another one.
"""

from __future__ import annotations

from openallen.cluster.naming import address_of, check_scheduler
from openallen.cluster.tasks import each
from openallen.cluster.workers import check_workers, connect

__all__ = ["address_of", "check_scheduler", "check_workers", "connect", "each"]
