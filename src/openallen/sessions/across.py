"""One function applied to many sessions."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.display import bytes_text, card, count_text, facts_text
from openallen.errors import OpenAllenError, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from openallen.sessions.behavior import BehaviorSession

__all__ = ["Answers", "Sessions"]

_MOST_SHOWN: Final = 5
_MOST_SENT_BYTES: Final = 16 << 20

Open = Callable[[str], Any]
"""Opens a session by its address; a plain function, so that other processes can have it."""


@dataclass(frozen=True)
class Answers:
    """What a function returned for each session.

    Parameters
    ----------
    values
        By session id, in the order of the sessions.
    errors
        What went wrong, by session id, with where.
    name
        What the ids are: ``ophys_experiment_id``.
    """

    values: dict[int, Any]
    errors: dict[int, str]
    name: str = "id"

    def table(self) -> pd.DataFrame:
        """Return one table: dictionaries and Series become columns, anything else ``value``.

        Tables are put below each other, the id as the outer index. ``error`` is there where
        something went wrong.
        """
        import pandas as pd

        if any(isinstance(v, pd.DataFrame) for v in self.values.values()):
            frames = {i: v for i, v in self.values.items() if isinstance(v, pd.DataFrame)}
            return pd.concat(frames, names=[self.name])
        rows = {}
        for number in (*self.values, *self.errors):
            found = self.values.get(number)
            if isinstance(found, pd.Series):
                found = found.to_dict()
            rows[number] = dict(found) if isinstance(found, dict) else {"value": found}
            if number in self.errors:
                rows[number] = {"error": self.errors[number].partition("\n")[0]}
        made = pd.DataFrame.from_dict(rows, orient="index")
        made.index.name = self.name
        return made

    def raise_if_failed(self) -> None:
        """Raise where any session failed.

        Raises
        ------
        OpenAllenError
            Naming the first, and how many.
        """
        if self.errors:
            number, why = next(iter(self.errors.items()))
            raise OpenAllenError(
                f"{len(self.errors)} of {len(self.errors) + len(self.values)} sessions failed",
                address=str(number),
                why=why.partition("\n")[0],
            )

    def _facts(self) -> dict[str, object]:
        return {
            "results": f"{count_text(len(self.values), 'session')}, by {self.name}",
            "failed": count_text(len(self.errors), "session") if self.errors else None,
            "first failure": next((_first(i, why) for i, why in self.errors.items()), None),
        }

    def __repr__(self) -> str:
        return facts_text("Answers", self._facts())

    def _repr_html_(self) -> str:
        return card("Answers", self._facts(), note=".table(), .values, .errors")


def _first(number: int, why: str) -> str:
    return f"{number}: {why.partition(chr(10))[0]}"


@dataclass(frozen=True, repr=False)
class Sessions:
    """Sessions of a release, opened one by one when they are wanted.

    Parameters
    ----------
    addresses
        By id, in order.
    opening
        Opens one by its address.
    name
        What the ids are.
    """

    addresses: dict[int, str]
    opening: Open
    name: str = "id"

    def _facts(self) -> dict[str, object]:
        shown = ", ".join(str(i) for i in list(self.addresses)[:_MOST_SHOWN])
        more = len(self.addresses) - _MOST_SHOWN
        return {
            "sessions": f"{len(self.addresses):,}, none open yet",
            self.name: (f"{shown}, and {more:,} more" if more > 0 else shown) or None,
        }

    def __repr__(self) -> str:
        return facts_text("Sessions", self._facts())

    def _repr_html_(self) -> str:
        return card("Sessions", self._facts(), note=".map(function), or iterate over them")

    def __len__(self) -> int:
        return len(self.addresses)

    def __iter__(self) -> Iterator[BehaviorSession]:
        for address in self.addresses.values():
            yield self.opening(address)

    @property
    def ids(self) -> Sequence[int]:
        """The ids, in order."""
        return tuple(self.addresses)

    def map(
        self,
        fn: Callable[[BehaviorSession], Any],
        *,
        workers: int | None = None,
        processes: bool = False,
        client: Any = None,
        store: Path | str | None = None,
        progress: Callable[[int, int, int], object] | None = None,
    ) -> Answers:
        """Call ``fn(session)`` for each; one that fails does not stop the others.

        Parameters
        ----------
        fn
            What to ask. With processes a function other processes can import; with a client any
            function, whose modules the workers have.
        workers
            How many at once; eight threads, or a process for each core, where None.
        processes
            Use processes: for functions that compute, where threads would wait for each other.
        client
            A cluster, named as for `openallen.fetch`: address or file of a scheduler, ``local:N``,
            client, or cluster (needs the extra ``cluster``). Each worker opens sessions by their
            addresses, from its store or by ranges, and sends back what `fn` returned; sessions of a
            worker that is lost are done again by others.
        store
            The store on the workers, where it is not that of the settings: ``/scratch/openallen``.
        progress
            Called after each session: how many are done, how many there are, how many failed.

        Returns
        -------
        Answers
            Values and errors by id. After Ctrl-C nothing that waits is begun.

        Raises
        ------
        UsageError
            If `fn` is no function, cannot be sent to other processes, or carries more than 16 MiB;
            if a worker has no openallen, or another version of it.
        UnreachableError
            If no scheduler answers, or it has no workers.
        MissingExtraError
            If a client is given without the extra ``cluster``.

        Examples
        --------
        >>> import openallen as oa
        >>> sessions = oa.open("release:visual-coding-2p", source="sample").sessions()
        >>> answers = sessions.map(lambda session: len(session.cell_specimen_ids))
        >>> answers.name
        'ophys_experiment_id'
        """
        if not callable(fn):
            raise UsageError(
                f"'fn' is {type(fn).__name__}, not a function", hint="map(lambda session: ...)"
            )
        if client is not None:
            if processes or workers is not None:
                raise UsageError(
                    "a cluster has its own workers", hint="client= without workers= or processes="
                )
            return self._on_cluster(fn, client, store, progress)
        if store is not None:
            raise UsageError("a store of the workers needs a client", hint='client="local:4"')
        if processes:
            _check_sendable(fn)
        pool = _pool(workers, processes=processes)
        values: dict[int, Any] = {}
        errors: dict[int, str] = {}
        with pool:
            jobs: dict[Future[Any], int] = {
                pool.submit(_ask, self.opening, address, fn): number
                for number, address in self.addresses.items()
            }
            try:
                for done, job in enumerate(as_completed(jobs), 1):
                    _settle(jobs[job], job, values, errors)
                    if progress is not None:
                        progress(done, len(jobs), len(errors))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return self._answers(values, errors)

    def _on_cluster(
        self,
        fn: Callable[[Any], Any],
        client: Any,
        store: Path | str | None,
        progress: Callable[[int, int, int], object] | None,
    ) -> Answers:
        from openallen.cluster import connect, each

        opening: Any = self.opening
        if store is not None:
            opening = opening.with_store(Path(store))
        values: dict[int, Any] = {}
        errors: dict[int, str] = {}
        with connect(client) as connected:
            tasks = {number: (address,) for number, address in self.addresses.items()}
            work = _sendable(opening, fn)
            with closing(each(connected, ask_there, tasks, shared=work, label="session")) as found:
                for done, (number, answer, error) in enumerate(found, 1):
                    value, why = (None, _told(error)) if error is not None else _received(answer)
                    if why:
                        errors[number] = why
                    else:
                        values[number] = value
                    if progress is not None:
                        progress(done, len(tasks), len(errors))
        return self._answers(values, errors)

    def _answers(self, values: dict[int, Any], errors: dict[int, str]) -> Answers:
        return Answers(
            {n: values[n] for n in self.addresses if n in values},
            {n: errors[n] for n in self.addresses if n in errors},
            self.name,
        )


def _pool(workers: int | None, *, processes: bool) -> ThreadPoolExecutor | ProcessPoolExecutor:
    if not processes:
        return ThreadPoolExecutor(workers or 8, thread_name_prefix="session")
    from openallen.formats.parallel import cores

    # Not forked: threads of this process may hold locks.
    return ProcessPoolExecutor(workers or cores(), mp_context=get_context("spawn"))


def _ask(opening: Open, address: str, fn: Callable[[Any], Any]) -> Any:
    with opening(address) as session:
        return fn(session)


def _settle(number: int, job: Future[Any], values: dict[int, Any], errors: dict[int, str]) -> None:
    error = job.exception()
    if error is None:
        values[number] = job.result()
    else:
        errors[number] = _told(error)


def _told(error: BaseException) -> str:
    where = traceback.format_exception(error)
    try:
        said = str(error)
    except Exception:  # noqa: BLE001 (whatever a user's exception does)
        said = "(it cannot say what is wrong)"
    return f"{type(error).__name__}: {said}\n{''.join(where[-3:])}"


def _check_sendable(fn: Callable[..., Any]) -> None:
    try:
        pickle.dumps(fn)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise UsageError(
            "this function cannot be sent to other processes",
            why=str(error),
            hint="define it in a module, or leave processes=True out",
        ) from error


# --- on a cluster ---------------------------------------------------------------------------------


def _sendable(opening: Open, fn: Callable[[Any], Any]) -> bytes:
    """Return what every worker needs once: how sessions are opened, and what is asked of them."""
    import cloudpickle

    try:
        work: bytes = cloudpickle.dumps((opening, fn))
    except Exception as error:  # (whatever the objects it holds raise)
        raise UsageError(
            "this function cannot be sent to other machines",
            why=f"{type(error).__name__}: {error}",
            hint="open what it needs inside the function",
        ) from error
    if len(work) > _MOST_SENT_BYTES:
        raise UsageError(
            "this function carries too much",
            why=f"{bytes_text(len(work))} would go to every worker, more than 16 MiB",
            hint="read what it needs inside the function, by address",
        )
    return work


def ask_there(work: bytes, address: str) -> tuple[bytes, str]:
    """Open a session on a worker, ask, and return the pickled value, or what went wrong.

    Both are plain bytes and text: so a value or an error of a class that only one side has stays
    with its session.
    """
    import cloudpickle

    try:
        opening, fn = pickle.loads(work)  # noqa: S301 (from the caller, through the scheduler)
    except Exception as error:  # noqa: BLE001 (whatever importing raises)
        return b"", _told(_not_here(address, error))
    try:
        with opening(address) as session:
            value = fn(session)
            try:
                return cloudpickle.dumps(value), ""
            except Exception as error:  # noqa: BLE001 (whatever an object raises)
                return b"", _told(_not_sendable(address, value, error))
    # Whatever a user's function raises: for a KeyboardInterrupt dask would wait for ever.
    except BaseException as error:  # noqa: BLE001
        return b"", _told(error)


def _not_here(address: str, error: Exception) -> UsageError:
    return UsageError(
        "the function cannot be loaded on the worker",
        address=address,
        why=f"{type(error).__name__}: {error}",
        hint="install its module there, or send it: client.upload_file('module.py')",
    )


def _not_sendable(address: str, value: object, error: Exception) -> UsageError:
    return UsageError(
        f"what the function returned cannot be sent back: a {type(value).__name__}",
        address=address,
        why=f"{type(error).__name__}: {error}",
        hint="return numbers, arrays or tables",
    )


def _received(answer: tuple[bytes, str]) -> tuple[Any, str]:
    sent, why = answer
    if why:
        return None, why
    try:
        return pickle.loads(sent), ""  # noqa: S301 (from a worker that runs our own function)
    except Exception as error:  # noqa: BLE001 (whatever importing raises)
        return None, _told(
            UsageError("what the function returned cannot be read here", why=str(error))
        )
