"""Running a job: space, transfer, report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from openallen.settings import Settings

if TYPE_CHECKING:
    from openallen.brainmap import Client
    from openallen.plans import Report
    from openallen.transfer import Observer
    from openallen.transfer.job import Job


__all__ = ["Fetched", "run"]


@dataclass(frozen=True)
class Fetched:
    """What a run gave: the report, and the job to open it with."""

    job: Job
    report: Report


def run(client: Client, work: Job, settings: Settings, observer: Observer | None = None) -> Fetched:
    """Run a job: check the space, fetch, verify.

    Raises
    ------
    SpaceError
        If the disk cannot hold what is missing.
    """
    from openallen.store import Store
    from openallen.transfer import check_space, with_status
    from openallen.transfer.job import Means
    from openallen.transport import Retry

    check_space(with_status(work.plan))
    with Store(settings.store).index() as index:
        means = Means(
            http=client.http,
            index=index,
            retry=Retry(attempts=settings.attempts),
            observer=observer,
            connections=settings.connections,
            verify=not settings.verify_later,
        )
        return Fetched(work, work.run(means))
