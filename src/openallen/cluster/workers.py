"""Whether the workers of a cluster can do the work, asked before they are given any.

The question is text that any Python answers, so that a worker without openallen, or with another
version of it, answers too.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from openallen.cluster.connecting import CONNECT_S, reach, scheduler_errors
from openallen.cluster.naming import address_of
from openallen.errors import OpenAllenError, UnreachableError, UsageError
from openallen.extras import requirement
from openallen.version import __version__

if TYPE_CHECKING:
    from distributed import Client

__all__ = [
    "PATIENCE_S", "Answer", "ask", "call_text", "check_workers", "connect", "named", "no_workers",
    "unfit",
]  # fmt: skip

PATIENCE_S: Final = 60.0
"""How long a worker, or a scheduler that was lost, is waited for, in seconds."""

_ANSWER_S: Final = 30.0
_NAMED: Final = 5
_ASK: Final = """
def answer(module, values):
    import importlib, os, platform
    told = {"host": platform.node(), "pid": os.getpid(), "python": platform.python_version(),
            "version": "", "why": ""}
    try:
        told["version"] = str(importlib.import_module("openallen.version").__version__)
        importlib.import_module(module)
    except Exception as error:
        told["why"] = type(error).__name__ + ": " + str(error)
    if "more" in globals():
        told["more"] = more(**values)
    return told
"""


@contextmanager
def connect(
    where: Any, *, patience_s: float = PATIENCE_S, timeout_s: float = CONNECT_S
) -> Iterator[Client]:
    """Connect to a scheduler and check its workers, as long as the context lasts.

    Parameters
    ----------
    where
        The address of a scheduler (``tcp://10.0.0.1:8786``), its file (``scheduler.json``),
        ``local:N`` for N workers on this machine, or a client or cluster of ``dask.distributed``,
        which stays open.
    patience_s
        How long the first worker is waited for, in seconds.
    timeout_s
        How long the scheduler may take to answer, in seconds.

    Yields
    ------
    distributed.Client
        Whose workers have this version of openallen.

    Raises
    ------
    MissingExtraError
        Without the extra ``cluster``.
    UsageError
        If `where` is none of these, or a worker has another version of openallen or of Python, or
        no openallen.
    UnreachableError
        If no scheduler answers, or it has no workers.
    ServiceError
        If a cluster of this machine does not start.
    """
    with reach(where, timeout_s=timeout_s) as client:
        check_workers(client, patience_s=patience_s)
        yield client


def check_workers(client: Client, *, patience_s: float = PATIENCE_S) -> tuple[str, ...]:
    """Return the addresses of the workers, all of which have this version of openallen.

    Those that come later are not seen here: each task looks for itself.

    Parameters
    ----------
    client
        The client.
    patience_s
        How long the first worker is waited for, in seconds.

    Raises
    ------
    UsageError
        If a worker has another version of openallen or of Python, or no openallen.
    UnreachableError
        If the scheduler has no workers, or is gone.
    """
    import distributed

    with scheduler_errors(client):
        try:
            client.wait_for_workers(1, timeout=patience_s)
        except (TimeoutError, distributed.TimeoutError) as error:
            raise no_workers(client, patience_s) from error
        answers = ask(client, None)
    if not answers:
        raise no_workers(client, patience_s)
    problem = unfit(answers)
    if problem is not None:
        raise problem
    return tuple(answer.worker for answer in answers)


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
    more
        What else it was asked.
    """

    worker: str
    host: str
    python: str
    version: str
    why: str
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"{self.worker} on {self.host}"


def ask(
    client: Client,
    workers: Sequence[str] | None,
    *,
    module: str = "openallen.cluster.tasks",
    more: str = "",
    values: Mapping[str, Any] | None = None,
) -> list[Answer]:
    """Ask workers what they have.

    Parameters
    ----------
    client
        The client.
    workers
        Addresses of workers; None for all.
    module
        What they need to be able to import.
    more
        The text of a function ``more``, which is called with `values` and returns a dict.
    values
        What it is called with.

    Returns
    -------
    list of Answer
        One for each worker that is still there.

    Raises
    ------
    UnreachableError
        If they do not answer.
    """
    told = {"module": module, "values": dict(values or {})}
    try:
        found = call_text(client, workers, more + _ASK, told, on_error="return")
    except (OSError, ValueError) as error:  # a TimeoutError is an OSError
        raise UnreachableError(
            "workers do not answer",
            address=address_of(client) if workers is None else ", ".join(workers),
            why=str(error).partition("\n")[0],
        ) from error
    # A worker that has gone meanwhile answers with the error of its connection.
    return [
        _answer(worker, said) for worker, said in found.items() if not isinstance(said, OSError)
    ]


def call_text(
    client: Client,
    workers: Sequence[str] | None,
    source: str,
    values: Mapping[str, Any],
    *,
    on_error: str,
) -> Mapping[str, Any]:
    """Call ``answer``, a function given as text, on workers; return what each said.

    Parameters
    ----------
    client
        The client.
    workers
        Addresses of workers; None for all.
    source
        The text.
    values
        What it is called with.
    on_error
        As for ``Client.run``.
    """
    call = "exec(source, space) or space['answer'](**values)"
    told = {"source": source, "space": {}, "values": dict(values)}
    chosen = None if workers is None else list(workers)
    found: Mapping[str, Any] = client.run(
        eval, call, told, workers=chosen, on_error=on_error, callback_timeout=_ANSWER_S
    )
    return found


def _answer(worker: str, said: Any) -> Answer:
    told: dict[str, Any] = {"why": f"{type(said).__name__}: {said}"}
    if isinstance(said, dict):
        told = said
    return Answer(
        worker=worker,
        host=str(told.get("host", "an unknown host")),
        python=str(told.get("python", "unknown")),
        version=str(told.get("version", "")),
        why=str(told.get("why", "")),
        more=told.get("more") or {},
    )


def unfit(answers: Sequence[Answer]) -> OpenAllenError | None:
    """Return the error that names workers of another version; None where all have ours.

    Parameters
    ----------
    answers
        What they answered.
    """
    here = platform.python_version()
    other = [a for a in answers if a.version != __version__ or a.why]
    if other:
        return UsageError(
            f"workers need openallen {__version__}, as it is here",
            why=named([_what_it_has(a) for a in other]),
            hint=f"on every worker: python -m pip install {requirement('cluster', __version__)}",
        )
    # What is sent, functions of a user among it, is read by the same Python only.
    other = [a for a in answers if _minor(a.python) != _minor(here)]
    if other:
        return UsageError(
            f"workers need Python {_minor(here)}, as it is here",
            why=named([f"{a.name} has {a.python}" for a in other]),
            hint=f"start workers with Python {_minor(here)}",
        )
    return None


def _what_it_has(answer: Answer) -> str:
    if not answer.version:
        return f"{answer.name} has none ({answer.why}; Python {answer.python})"
    broken = f" ({answer.why})" if answer.why and answer.version == __version__ else ""
    return f"{answer.name} has {answer.version}{broken}"


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def named(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are.

    Parameters
    ----------
    names
        The names.
    """
    others = len(names) - _NAMED
    return "; ".join(names[:_NAMED]) + (f"; and {others:,} more" if others > 0 else "")


def no_workers(where: Any, patience_s: float, *, any_more: bool = False) -> UnreachableError:
    """Return the error for a scheduler without workers.

    Parameters
    ----------
    where
        What names the scheduler.
    patience_s
        How long they were waited for, in seconds.
    any_more
        Whether it had some.
    """
    address = address_of(where)
    return UnreachableError(
        f"the scheduler has no workers{' any more' if any_more else ''}",
        address=address,
        why=f"none came {'back ' if any_more else ''}within {patience_s:g} s",
        hint=f"dask worker {address}",
    )
