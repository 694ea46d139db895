"""Whether a worker of a cluster can fetch for us: asked before it is given any file.

Versions are asked as for all work on a cluster; here also, whether a worker sees the destination,
and reaches the service.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from openallen.cluster.workers import Answer, ask, call_text, named, unfit
from openallen.errors import OpenAllenError, StoreError, UsageError
from openallen.plans import RemoteFile
from openallen.transport.handles import is_loopback

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Question", "ask_all", "held", "machine"]

_MACHINE: Final = """
def machine():
    import os, platform
    parts = [platform.node()]
    for path, link in (("/proc/sys/kernel/random/boot_id", False), ("/proc/self/ns/net", True)):
        try:
            if link:
                parts.append(os.readlink(path))
            else:
                with open(path) as file:
                    parts.append(file.read().strip())
        except OSError:
            pass
    return "|".join(parts)
"""
"""The machine as far as its loopback addresses reach."""

_MORE: Final = (
    _MACHINE
    + """
def more(to, token, text):
    import os, time
    sees = token == ""
    end = time.monotonic() + 2
    while token and not sees:
        try:
            with open(os.path.join(to, token)) as file:
                sees = file.read() == text
        except OSError:
            pass
        if sees or time.monotonic() > end:
            break
        time.sleep(0.2)
    return {"sees": sees, "machine": machine()}
"""
)


def machine() -> str:
    """Return what distinguishes this machine, as far as loopback addresses reach."""
    space: dict[str, Any] = {}
    exec(_MACHINE, space)  # noqa: S102 - the text above: workers run the same
    return str(space["machine"]())


@dataclass(frozen=True, kw_only=True)
class Question:
    """What every worker is asked.

    Parameters
    ----------
    to
        The destination.
    token, text
        Name and content of a file in it; no file where empty.
    nearby
        Whether files come from a service that only this machine reaches.
    """

    to: Path
    token: str = ""
    text: str = ""
    nearby: bool = False

    @staticmethod
    def of(to: Path, files: Sequence[RemoteFile], token: str = "", text: str = "") -> Question:
        """Return the question for files that go to a destination."""
        nearby = any(map(is_loopback, {urlsplit(f.url).hostname or "" for f in files}))
        return Question(to=to, token=token, text=text, nearby=nearby)

    def problem(self, answers: Sequence[Answer]) -> OpenAllenError | None:
        """Return the error that names workers that cannot fetch; None where all can."""
        problem = unfit(answers)
        if problem is not None:
            return problem
        unseen = [a for a in answers if a.more.get("sees") is not True]
        if unseen:
            return self._unseen(unseen)
        apart = [a for a in answers if self.nearby and a.more.get("machine") != machine()]
        return self._elsewhere(apart) if apart else None

    def _unseen(self, bad: Sequence[Answer]) -> OpenAllenError:
        return StoreError(
            "workers do not see this folder",
            address=str(self.to),
            why=named([a.name for a in bad]),
            hint="choose a folder that all of them share with --to DIR, "
            "or have each fetch to its own disk with --own-disks",
        )

    @staticmethod
    def _elsewhere(bad: Sequence[Answer]) -> OpenAllenError:
        return UsageError(
            "the service is on a loopback address of this machine",
            why=f"not reachable from {named([a.name for a in bad])}",
            hint="name a service that workers reach with --source URL, or use --scheduler local:2",
        )


def ask_all(client: Client, workers: Sequence[str], question: Question) -> list[Answer]:
    """Ask workers whether they can fetch.

    Parameters
    ----------
    client
        The client.
    workers
        Addresses of workers.
    question
        What they are asked.

    Returns
    -------
    list of Answer
        One for each worker that is still there.

    Raises
    ------
    UnreachableError
        If they do not answer.
    """
    return ask(
        client,
        workers,
        module="openallen.transfer.cluster_worker",
        more=_MORE,
        values={"to": str(question.to), "token": question.token, "text": question.text},
    )


_HELD: Final = """
def answer(to, names):
    import os
    there = []
    for number, (name, size) in enumerate(names):
        try:
            found = os.stat(os.path.join(to, name)).st_size
        except OSError:
            continue
        if found and size in (None, found):
            there.append(number)
    return there
"""


def held(
    client: Client, workers: Sequence[str], to: Path, files: Sequence[RemoteFile]
) -> dict[str, frozenset[str]]:
    """Return the paths of files that look whole on the disk of each worker.

    Parameters
    ----------
    client
        The client.
    workers
        Addresses of workers.
    to
        The folder on their disks.
    files
        The files.
    """
    names = [(file.path, file.size_bytes) for file in files]
    told = {"to": str(to), "names": names}
    try:
        found = call_text(client, workers, _HELD, told, on_error="ignore")
    except (OSError, ValueError):
        return {}
    return {worker: frozenset(files[i].path for i in there) for worker, there in found.items()}
