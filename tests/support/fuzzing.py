"""Readers opened on damaged input, in processes that a crash, a hang or a flood of memory may end.

Run as a program it is the worker: it mutates, opens, and writes down what was no answer and no
error of ours. The tests start it, and start it anew behind an input that ended it.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

SUPPORT = Path(__file__).parent
HANG_S = float(os.environ.get("OPENALLEN_TEST_FUZZ_HANG_S", "60"))
"""An input of a few kilobytes that is not done by then, on whatever machine, never will be."""
MOST_BYTES = 3 << 29
"""Address space that an input may take on top of what its reader takes for a whole one."""
MOST_RESIDENT_BYTES = 600 << 20
"""Memory that an input may fill."""
_MOST_FAILURES = 12


@dataclass
class Failure:
    """An input that a reader neither read nor refused.

    Parameters
    ----------
    what
        In a line: the kind of failure, and where.
    case
        Which input of the run it was.
    told
        The traceback.
    files
        Where the input is.
    """

    what: str
    case: int
    told: str
    files: Path


@dataclass
class Run:
    """What came of a run.

    Parameters
    ----------
    cases
        Inputs opened.
    read
        How many of them were read; the others were refused.
    seconds
        How long it took, without starting.
    failures
        Those that were neither.
    """

    cases: int = 0
    read: int = 0
    seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)


# --- the side of the tests ------------------------------------------------------------------------


def fuzz(reader: str, folder: Path, *, seed: str, seconds: float) -> Run:
    """Open mutated input until time is up.

    Parameters
    ----------
    reader
        Its name.
    folder
        An empty folder; failing inputs are left in it.
    seed
        What the mutations follow from.
    seconds
        How long.
    """
    found, first = Run(), 0
    known: set[str] = set()
    while seconds > found.seconds and len(found.failures) < _MOST_FAILURES:
        part = folder / str(first)
        ended = _work(
            part, reader, seed, str(first), str(seconds - found.seconds), json.dumps(sorted(known))
        )
        at = _state(part)
        found.cases, found.read = found.cases + at["cases"], found.read + at["read"]
        found.seconds += at["seconds"]
        for told in _lines(part / "failures.jsonl"):
            known.add(told["what"])
            found.failures.append(
                Failure(told["what"], told["case"], told["told"], Path(told["files"]))
            )
        if ended is None:
            break
        if at["case"] < first:
            raise AssertionError(f"{reader} does not read what is whole:\n{ended}")
        if ended:
            what = _what_ended(ended)
            if what not in known:
                found.failures.append(Failure(what, at["case"], ended[-4000:], part / "input"))
            known.add(what)
        first = at["case"] + 1
    return found


def replay(reader: str, folder: Path, inputs: list[Path]) -> list[Failure]:
    """Open inputs that failed once.

    Parameters
    ----------
    reader
        Its name.
    folder
        An empty folder.
    inputs
        Folders, of files to be put over the first input of the reader or in place of it.
    """
    failures: list[Failure] = []
    left = list(inputs)
    while left:
        part = folder / str(len(left))
        ended = _work(part, reader, "replay", *map(str, left))
        failures += (
            Failure(told["what"], told["case"], told["told"], left[told["case"]])
            for told in _lines(part / "failures.jsonl")
        )
        if ended is None:
            break
        case = _state(part)["case"]
        if case < 0:
            raise AssertionError(f"{reader} does not read what is whole:\n{ended}")
        if ended:
            failures.append(Failure(_what_ended(ended), case, ended[-4000:], left[case]))
        left = left[case + 1 :]
    return failures


def _work(part: Path, reader: str, *arguments: str) -> str | None:
    """Run a worker; return what it said where it did not come to its end, None where it did."""
    part.mkdir(parents=True)
    src = SUPPORT.parents[1] / "src"
    environment = dict(os.environ) | {
        "PYTHONPATH": os.pathsep.join((str(src), str(SUPPORT))),
        "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2",
        "NUMCODECS_BLOSC_THREADS": "1", "HOME": str(part), "XDG_CONFIG_HOME": str(part / "config"),
        "OPENALLEN_STORE": str(part / "store"), "OPENALLEN_OFFLINE": "1", "OPENALLEN_ATTEMPTS": "1",
    }  # fmt: skip
    command = [sys.executable, "-W", "ignore", str(Path(__file__)), str(part), reader, *arguments]
    with (part / "stderr").open("wb") as told:
        done = subprocess.run(
            command, stdout=told, stderr=told, env=environment, check=False, cwd=part
        )
    if done.returncode == 0:
        return None
    if done.returncode == _AGAIN:
        return ""
    return (part / "stderr").read_text("utf-8", "replace") + f"\nended with {done.returncode}"


def _what_ended(told: str) -> str:
    """Return a line that says how a process ended, and in which of our functions."""
    kind = "hang" if "Timeout (" in told else "crash"
    ours = [line.strip() for line in told.splitlines() if "src/openallen" in line]
    code = told.rpartition("ended with ")[2]
    return f"{kind} ({code}): {ours[0].rpartition('src/')[2] if ours else told.strip()[-200:]}"


def _state(part: Path) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads((part / "state").read_text())
    except (OSError, ValueError):
        return {"case": -1, "cases": 0, "read": 0, "seconds": 0.0}
    return told


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():
        yield from map(json.loads, path.read_text().splitlines())


# --- the worker -----------------------------------------------------------------------------------

_AGAIN = 77
"""How a worker ends that wants to be started anew, as it has taken too much memory."""


class _Worker:
    def __init__(self, part: Path, name: str) -> None:
        from fuzzreaders import READERS

        self.part = part
        self.reader = READERS[name]
        self.input = part / "input"
        self.seeds = self.reader.seeds(part / "made")
        assert self.seeds
        self.cases = self.read = 0
        self.began = time.monotonic()
        self.known: set[str] = set()
        self._lies, self._changed = -1, set[str]()
        self.laid: tuple[int, dict[str, bytes | None]] = (0, {})
        self._state = os.open(part / "state", os.O_RDWR | os.O_CREAT)
        for number in range(len(self.seeds)):
            self.put(number, {})
            self.reader.read(self.input)
        self.began = time.monotonic()
        self.peak_bytes = _peak_bytes()
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + MOST_BYTES, resource.RLIM_INFINITY))

    def put(self, number: int, changes: dict[str, bytes | None]) -> None:
        """Lay an input out, with some of its files changed; of one like it only what differs."""
        whole, self.laid = self.seeds[number], (number, changes)
        if self.reader.writes or self._lies != number:
            shutil.rmtree(self.input, ignore_errors=True)
            self._lies, self._changed = number, set(whole)
        self.input.mkdir(parents=True, exist_ok=True)
        for name in {*self._changed, *changes}:
            body = changes.get(name, whole.get(name))
            path = self.input / name
            path.unlink(
                missing_ok=True
            )  # HDF5 takes a file of the same inode for the one it has open
            if body is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(body)
        self._changed = set(changes)

    def note(self, case: int) -> None:
        """Write down which input comes, for whoever finds this process dead."""
        seconds = time.monotonic() - self.began
        told = json.dumps(
            {"case": case, "cases": self.cases, "read": self.read, "seconds": seconds}
        )
        os.pwrite(self._state, told.ljust(160).encode(), 0)

    def open(self, case: int, saved: Path | None) -> None:
        """Open what is laid out; write down what is wrong with how that ends."""
        from openallen.errors import OpenAllenError

        self.note(case)
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        wrong: BaseException | None = None
        try:
            self.reader.read(self.input)
            self.read += 1
        except OpenAllenError:
            pass  # where it stems from memory that was not to be had, none was filled: see below
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the finding
            wrong = error
        faulthandler.cancel_dump_traceback_later()
        self.cases += 1
        if wrong is not None:
            self.fail(_what(wrong), case, "".join(traceback.format_exception(wrong))[-4000:], saved)
        elif _peak_bytes() > self.peak_bytes + MOST_RESIDENT_BYTES:
            self.fail("took too much memory", case, "", saved)
            self.note(case)
            os._exit(_AGAIN)

    def fail(self, what: str, case: int, told: str, saved: Path | None) -> None:
        if what in self.known:
            return
        if saved is not None:
            self.known.add(what)
            self.put(*self.laid)
            shutil.copytree(self.input, saved, dirs_exist_ok=True)
        with (self.part / "failures.jsonl").open("a") as file:
            line = {"what": what, "case": case, "told": told, "files": str(saved)}
            file.write(json.dumps(line) + "\n")

    def fuzz(self, seed: str, first: int, seconds: float) -> None:
        from mutations import mutated

        case = first
        while time.monotonic() < self.began + seconds and len(self.known) < 40:
            rng = Random(f"{seed}/{self.reader.name}/{case}")
            number, changes = mutated(rng, self.seeds)
            self.put(number, changes)
            saved = self.part / f"failed-{case}"
            self.open(case, saved)
            if saved.exists():
                (self.part / f"failed-{case}.changed").write_text("\n".join(sorted(changes)))
            case += 1
        self.note(case)

    def replay(self, inputs: list[Path]) -> None:
        for case, saved in enumerate(inputs):
            over = {
                path.relative_to(saved).as_posix(): path.read_bytes()
                for path in saved.rglob("*")
                if path.is_file()
            }
            number = next((n for n, s in enumerate(self.seeds) if over.keys() <= s.keys()), 0)
            whole = dict.fromkeys(self.seeds[number]) if len(self.seeds[number]) == 1 else {}
            self.put(number, {**whole, **over})
            self.open(case, None)


def _peak_bytes() -> int:
    """Return the most memory this process has filled; `getrusage` counts that of its parent too."""
    told = Path("/proc/self/status").read_text()
    return int(told.partition("VmHWM:")[2].split(maxsplit=1)[0]) * 1024


def _wanted_memory(error: BaseException | None) -> bool:
    """Return whether an error stems from memory that was not to be had: a machine has more."""
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _what(error: BaseException) -> str:
    """Return a line that tells one fault from another: the error, and the last place of ours."""
    frames = traceback.extract_tb(error.__traceback__)
    cause = error.__cause__
    if _wanted_memory(error) and cause is not None:
        frames = traceback.extract_tb(cause.__traceback__) or frames
    ours = [f for f in frames if "/openallen/" in f.filename] or list(frames)
    last = ours[-1]
    where = f"{last.filename.rpartition('openallen/')[2]}:{last.lineno} {last.name}"
    return f"{type(error).__name__} in {where}{' (memory)' if _wanted_memory(error) else ''}"


def main() -> None:
    part, name, seed, *rest = sys.argv[1:]
    faulthandler.enable()
    worker = _Worker(Path(part), name)
    if seed == "replay":
        worker.replay([Path(one) for one in rest])
        return
    worker.known |= set(json.loads(rest[2]))
    worker.fuzz(seed, int(rest[0]), float(rest[1]))


if __name__ == "__main__":
    main()
