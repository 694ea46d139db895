"""Whether a worker of a cluster can fetch for us: asked before it is given any file.

The question is text that any Python answers, so that a worker without openallen, or with another
version of it, answers too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from openallen.errors import OpenAllenError, StoreError, UnreachableError, UsageError
from openallen.extras import requirement
from openallen.plans import RemoteFile
from openallen.transport.handles import is_loopback
from openallen.version import __version__

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Answer", "Question", "ask", "machine"]

_ANSWER_S: Final = 30.0
_NAMED: Final = 5

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

_ASK: Final = (
    _MACHINE
    + """
def answer(to, token, text):
    import os, platform, sys, time
    told = {"host": platform.node(), "pid": os.getpid(), "python": platform.python_version(),
            "machine": machine(), "version": "", "why": "", "sees": token == ""}
    try:
        import openallen
        told["version"] = str(openallen.__version__)
        import openallen.transfer.cluster_worker
    except Exception as error:
        told["why"] = type(error).__name__ + ": " + str(error)
    end = time.monotonic() + 2
    while token and not told["sees"]:
        try:
            with open(os.path.join(to, token)) as file:
                told["sees"] = file.read() == text
        except OSError:
            pass
        if told["sees"] or time.monotonic() > end:
            break
        time.sleep(0.2)
    return told
"""
)
_CALL: Final = "exec(source, space) or space['answer'](to, token, text)"


def machine() -> str:
    """Return what distinguishes this machine, as far as loopback addresses reach."""
    space: dict[str, Any] = {}
    exec(_MACHINE, space)  # noqa: S102 - the text above: workers run the same
    return str(space["machine"]())


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a worker answered.

    Parameters
    ----------
    worker
        Its address.
    host
        The name of its host.
    python
        The version of its Python.
    version
        The version of its openallen; empty where it has none.
    why
        Why it has none, or none that works.
    sees
        Whether it sees the destination.
    machine
        As for `machine`.
    """

    worker: str
    host: str
    python: str
    version: str
    why: str
    sees: bool
    machine: str

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"{self.worker} on {self.host}"


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
        for bad, error in (
            ([a for a in answers if a.version != __version__ or a.why], self._version),
            ([a for a in answers if not a.sees], self._unseen),
            ([a for a in answers if self.nearby and a.machine != machine()], self._elsewhere),
        ):
            if bad:
                return error(bad)
        return None

    @staticmethod
    def _version(bad: Sequence[Answer]) -> OpenAllenError:
        def has(answer: Answer) -> str:
            if not answer.version:
                return f"{answer.name} has none ({answer.why}; Python {answer.python})"
            broken = f" ({answer.why})" if answer.why and answer.version == __version__ else ""
            return f"{answer.name} has {answer.version}{broken}"

        return UsageError(
            f"workers need openallen {__version__}, as it is here",
            why=_named([has(a) for a in bad]),
            hint=f"on every worker: python -m pip install {requirement('cluster')}",
        )

    def _unseen(self, bad: Sequence[Answer]) -> OpenAllenError:
        return StoreError(
            "workers do not see this folder",
            address=str(self.to),
            why=_named([a.name for a in bad]),
            hint="choose a folder that all of them share with --to DIR, "
            "or have each fetch to its own disk with --own-disks",
        )

    @staticmethod
    def _elsewhere(bad: Sequence[Answer]) -> OpenAllenError:
        return UsageError(
            "the service is on a loopback address of this machine",
            why=f"not reachable from {_named([a.name for a in bad])}",
            hint="name a service that workers reach with --source URL, or use --scheduler local:2",
        )


def ask(client: Client, workers: Sequence[str], question: Question) -> list[Answer]:
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
    told = {
        "source": _ASK, "space": {}, "to": str(question.to), "token": question.token,
        "text": question.text,
    }  # fmt: skip
    try:
        found: Mapping[str, Any] = client.run(
            eval, _CALL, told, workers=list(workers), on_error="return", callback_timeout=_ANSWER_S
        )
    except (OSError, ValueError) as error:  # a TimeoutError is an OSError
        raise UnreachableError(
            "workers do not answer", address=", ".join(workers), why=str(error)
        ) from error
    return [_answer(worker, said) for worker, said in found.items() if _is_answer(said)]


def _is_answer(said: object) -> bool:
    # A worker that has gone meanwhile answers with the error of its connection.
    return not isinstance(said, OSError)


def _answer(worker: str, said: Any) -> Answer:
    told = said if isinstance(said, dict) else {"why": f"{type(said).__name__}: {said}"}
    return Answer(
        worker=worker,
        host=str(told.get("host", "an unknown host")),
        python=str(told.get("python", "unknown")),
        version=str(told.get("version", "")),
        why=str(told.get("why", "")),
        sees=told.get("sees") is True,
        machine=str(told.get("machine", "")),
    )


def _named(names: Sequence[str]) -> str:
    others = len(names) - _NAMED
    return "; ".join(names[:_NAMED]) + (f"; and {others:,} more" if others > 0 else "")


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
    told = {"source": _HELD, "space": {}, "to": str(to), "names": names}
    call = "exec(source, space) or space['answer'](to, names)"
    try:
        found: Mapping[str, Any] = client.run(
            eval, call, told, workers=list(workers), on_error="ignore", callback_timeout=_ANSWER_S
        )
    except (OSError, ValueError):
        return {}
    return {worker: frozenset(files[i].path for i in there) for worker, there in found.items()}
