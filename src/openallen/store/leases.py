"""Leases on files being written: a file beside each, created exclusively, with a heartbeat.

File locks fail silently on many cluster file systems, so none is used. A lease is a hint that
saves work, never the proof: each writer has a part file of its own, and bytes are verified before
they get their name. Leases of one process are names of one file, as far as the file system allows:
a name costs less than a file that is made and deleted for each of thousands of small ones. A lease
goes stale when its process is known to be gone, or when its
heartbeat has stood still for a while on the observer's own clock (clocks of hosts differ).
"""

from __future__ import annotations

import functools
import glob
import json
import os
import platform
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from openallen.json_text import load_json
from openallen.store.disk import disk_error, is_alive

__all__ = ["BEAT_S", "STALE_S", "Lease", "Leases", "Seen", "leased_by_others", "look_at"]

BEAT_S: Final = 10.0
"""Seconds between two heartbeats of a lease."""

STALE_S: Final = 60.0
"""Seconds a heartbeat may stand still before its lease is taken over."""


def _new_token() -> str:
    return os.urandom(4).hex()


@dataclass
class _Beat:
    """The content of a lease file, which several leases may share by hard links."""

    token: str = field(default_factory=_new_token)
    count: int = 0


_UNWRITTEN: Final = _Beat("")
"""The beat of a lease that is not on disk yet."""


@dataclass
class Lease:
    """The right to write one file.

    Attributes
    ----------
    target : Path
        The file it is for.
    token : str
        Distinguishes this holder's part file from any other's.
    inherited : bool
        Whether it was taken over from a holder that is gone, and may have left a part file.
    asleep : bool
        Whether that holder is only silent: a process that was stopped, or on another host, may
        wake up and write on before it notices.
    lost : bool
        Whether another process took it over meanwhile; the holder must stop writing.
    """

    target: Path
    token: str = field(default_factory=_new_token)
    beat: _Beat = field(default_factory=lambda: _UNWRITTEN)
    inherited: bool = False
    asleep: bool = False
    lost: bool = False
    taken_at: float = field(default_factory=time.time)

    @functools.cached_property
    def path(self) -> Path:
        """The path of the lease."""
        return lease_path(self.target)


def lease_path(target: Path) -> Path:
    """Return the path of the lease for `target`."""
    return target.with_name(target.name + ".lease")


class Leases:
    """The leases this process holds, and their heartbeat.

    Parameters
    ----------
    beat_s, stale_s
        See `BEAT_S` and `STALE_S`; tests shorten them.
    """

    def __init__(self, *, beat_s: float = BEAT_S, stale_s: float = STALE_S) -> None:
        self._beat_s = beat_s
        self._stale_s = stale_s
        self._held: dict[Path, Lease] = {}
        self._latest: Lease | None = None
        self._seen: dict[Path, tuple[bytes, float]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def take(self, target: Path) -> Lease | None:
        """Lease `target`; None while another live process holds it.

        Raises
        ------
        StoreError, SpaceError
            If the folder cannot be written to.
        """
        lease = Lease(target)
        if not self._create(lease):
            stale = self._stale(lease.path)
            if stale is None:
                return None
            self._break(lease.path, stale)
            if not self._create(lease):
                return None
            lease.inherited = True
            lease.asleep = not _is_gone(_state(stale))
        self._held[target] = lease
        if self._thread is None:
            self._start_beating()
        return lease

    def _start_beating(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._beat, name="leases", daemon=True)
                self._thread.start()

    def release(self, lease: Lease) -> None:
        """Release a lease."""
        self._held.pop(lease.target, None)
        # A lease this young cannot have been found stale, so it is still ours: no need to look.
        young = 0 <= time.time() - lease.taken_at < self._beat_s
        if not lease.lost and (young or _token_in(lease.path) == lease.beat.token):
            with suppress(OSError):
                os.unlink(f"{lease.target}.lease")  # noqa: PTH108 - thousands of these in a run

    def sweep(self, target: Path) -> bool:
        """Remove a stale lease of a file that is complete; return whether none is left."""
        self._clear_aside(target)
        if not lease_path(target).exists():
            return True
        lease = self.take(target)
        if lease is not None:
            self.release(lease)
        return lease is not None

    @staticmethod
    def _clear_aside(target: Path) -> None:
        """Remove stale leases that a process set aside and was killed before it removed them."""
        for aside in target.parent.glob(f"{glob.escape(target.name)}.lease.*"):
            state = _state(_read(aside))
            if state.get("where") == _where() and not _is_alive(
                state.get("pid"), state.get("started")
            ):
                with suppress(OSError):
                    aside.unlink()

    def close(self) -> None:
        """Release every lease and stop the heartbeat."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        for lease in list(self._held.values()):
            self.release(lease)

    def holder(self, target: Path) -> str:
        """Return who holds `target`, in words."""
        state = _state(_read(lease_path(target)))
        return f"process {state.get('pid', '?')} on {state.get('host', 'another host')}"

    def _create(self, lease: Lease) -> bool:
        found = self._name_another(lease)
        if found is None:
            found = self._write(lease)
        if found:
            self._latest = lease
        return found

    def _name_another(self, lease: Lease) -> bool | None:
        """Link a lease that is held under one more name; None where that is not possible."""
        known = self._latest
        if known is None or known.lost or known.target not in self._held:
            return None
        try:
            os.link(f"{known.target}.lease", f"{lease.target}.lease")
        except FileExistsError:
            return False
        except OSError:
            return None  # released meanwhile, another disk, too many links, or none supported
        lease.beat = known.beat
        return True

    @staticmethod
    def _write(lease: Lease) -> bool:
        try:
            handle = os.open(f"{lease.target}.lease", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            return False
        except OSError as error:
            raise disk_error(error, lease.path.parent) from error
        lease.beat = _Beat()
        try:
            os.write(handle, _text(lease))
        except OSError as error:
            lease.path.unlink(missing_ok=True)
            raise disk_error(error, lease.path.parent) from error
        finally:
            os.close(handle)
        return True

    def _stale(self, path: Path) -> bytes | None:
        """Return the text of a stale lease; None for one that is alive, or gone meanwhile."""
        text = _read(path)
        if text is None:
            return None
        state = _state(text)
        if _is_gone(state):
            return text
        now = time.monotonic()
        first, since = self._seen.get(path, (None, now))
        if first != text:
            self._seen[path] = (text, now)
            return None
        # An empty lease is one whose holder died between making and writing it: wait less.
        patience_s = self._stale_s if text else self._stale_s / 20
        return text if now - since > patience_s else None

    def _break(self, path: Path, stale: bytes) -> None:
        # Of several that find it stale only one renames it away. One that comes late may catch the
        # winner's new lease instead: the text tells, and it is put back.
        aside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        with suppress(OSError):
            path.rename(aside)
            if _read(aside) != stale:
                with suppress(OSError):
                    os.link(aside, path)
            aside.unlink()
        self._seen.pop(path, None)

    def _beat(self) -> None:
        while not self._stop.wait(self._beat_s):
            beaten: set[str] = set()
            for lease in list(self._held.values()):
                self._refresh(lease, beaten)

    def _refresh(self, lease: Lease, beaten: set[str]) -> None:
        """Check that a lease is still ours; write the next beat where no other link of it did."""
        try:
            with lease.path.open("r+b") as file:
                if _state(file.read()).get("token") != lease.beat.token:
                    lease.lost = True
                    return
                if lease.beat.token in beaten:
                    return
                beaten.add(lease.beat.token)
                lease.beat.count += 1
                file.seek(0)
                file.write(_text(lease))
                file.truncate()
        except FileNotFoundError:
            lease.lost = lease.target in self._held
        except OSError:
            return  # a full or flaky disk: the lease ages, nothing else


def _text(lease: Lease) -> bytes:
    beat = lease.beat
    return f'{{"token": "{beat.token}", "beat": {beat.count}, {_self(os.getpid())}'.encode()


@functools.cache
def _self(pid: int) -> str:
    """Return the identity of this process: the end of each of its leases."""
    state = {
        "host": platform.node(),
        "where": _where(),
        "pid": pid,
        "started": _started(pid),
    }
    return json.dumps(state)[1:]


def leased_by_others(root: Path, *, most: int = 20_000) -> Iterator[tuple[Path, str]]:
    """Return the files below a folder that other processes write now, and who does.

    Parameters
    ----------
    root
        The folder.
    most
        How many files and folders are looked at: this is a glance, not an inventory.
    """
    waiting, seen = [root], 0
    while waiting and seen < most:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:
            continue
        seen += len(entries)
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))
            elif entry.name.endswith(".lease"):
                state = _state(_read(Path(entry.path)))
                mine = state.get("where") == _where() and state.get("pid") == os.getpid()
                if state and not mine and not _is_gone(state):
                    who = f"process {state.get('pid', '?')} on {state.get('host', 'another host')}"
                    yield Path(entry.path.removesuffix(".lease")), who


@dataclass(frozen=True, slots=True)
class Seen:
    """What a lease says of its holder.

    Parameters
    ----------
    pid
        The number of the process; None where it is not told.
    here
        Whether that process is, or was, one of this machine.
    gone
        Whether it is known to have ended.
    """

    pid: int | None
    here: bool
    gone: bool


def look_at(path: Path) -> Seen:
    """Return what a lease says of its holder, and change nothing."""
    state = _state(_read(path))
    pid = state.get("pid")
    number = pid if type(pid) is int else None
    return Seen(number, state.get("where") == _where(), _is_gone(state))


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _is_gone(state: dict[str, object]) -> bool:
    """Return whether the process of a lease is known to have ended."""
    here = state.get("where") == _where()
    return here and not _is_alive(state.get("pid"), state.get("started"))


def _token_in(path: Path) -> str:
    return str(_state(_read(path)).get("token", ""))


def _state(text: bytes | None) -> dict[str, object]:
    try:
        state = load_json(text or b"{}")
    except ValueError:
        return {}  # caught between create and write, or a damaged lease: it ages like any other
    return state if isinstance(state, dict) else {}


@functools.cache
def _where() -> str:
    """Return the set of processes whose ids are comparable: host, boot, container."""
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return "|".join(parts)


def _started(pid: int) -> str:
    """Return when a process started, so that a reused process id is not mistaken for it."""
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[19]
    return ""


def _is_alive(pid: object, started: object) -> bool:
    # What no process has, or is no word, was not written by a holder.
    if type(pid) is not int or not 0 < pid < 1 << 31 or not isinstance(started, str | None):
        return True  # unknown: leave it to the heartbeat
    return is_alive(pid) and (not started or _started(pid) in {"", started})
