"""Who is writing a file: a claim beside it, made by exclusive create, kept alive by heartbeat.

File locks fail silently on many cluster file systems, so none is used. A claim is a hint that
saves work, never the proof: each writer has a part file of its own, and bytes are verified before
they get their name. Claims of one process are names of one file, as far as the file system allows:
a name costs less than a file that is made and deleted for each of thousands of small ones. A claim
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
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from openallen.store.disk import disk_error

__all__ = ["BEAT_S", "STALE_S", "Claim", "Claims"]

BEAT_S: Final = 10.0
"""Seconds between two heartbeats of a claim."""

STALE_S: Final = 60.0
"""Seconds a heartbeat may stand still before its claim is taken over."""


@dataclass
class _Beat:
    """What is written to a file that is one claim or many, by its names."""

    token: str = field(default_factory=lambda: secrets.token_hex(4))
    count: int = 0


@dataclass
class Claim:
    """The right to write one file, as far as anybody knows.

    Attributes
    ----------
    target : Path
        The file it is for.
    token : str
        Distinguishes this holder's part file from any other's.
    inherited : bool
        Whether it was taken over from a holder that is gone, which may have left a part.
    lost : bool
        Whether somebody else took it over meanwhile; the holder must stop writing.
    """

    target: Path
    token: str = field(default_factory=lambda: secrets.token_hex(4))
    beat: _Beat = field(default_factory=_Beat)
    inherited: bool = False
    lost: bool = False
    taken_at: float = field(default_factory=time.time)

    @functools.cached_property
    def path(self) -> Path:
        """Where the claim lies."""
        return claim_path(self.target)


def claim_path(target: Path) -> Path:
    """Give the path of the claim for `target`."""
    return target.with_name(target.name + ".claim")


class Claims:
    """The claims this process holds, and the heartbeat that keeps them.

    Parameters
    ----------
    beat_s, stale_s
        See `BEAT_S` and `STALE_S`; tests shorten them.
    """

    def __init__(self, *, beat_s: float = BEAT_S, stale_s: float = STALE_S) -> None:
        self._beat_s = beat_s
        self._stale_s = stale_s
        self._held: dict[Path, Claim] = {}
        self._latest: Claim | None = None
        self._seen: dict[Path, tuple[bytes, float]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def take(self, target: Path) -> Claim | None:
        """Claim `target`; None while another live process holds it.

        Raises
        ------
        StoreError, SpaceError
            If the folder cannot be written to.
        """
        claim = Claim(target)
        if not self._create(claim):
            stale = self._stale(claim.path)
            if stale is None:
                return None
            self._break(claim.path, stale)
            if not self._create(claim):
                return None
            claim.inherited = True
        self._held[target] = claim
        if self._thread is None:
            self._start_beating()
        return claim

    def _start_beating(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._beat, name="claims", daemon=True)
                self._thread.start()

    def release(self, claim: Claim) -> None:
        """Give a claim back."""
        self._held.pop(claim.target, None)
        # A claim this young cannot have been found stale, so it is still ours: no need to look.
        young = 0 <= time.time() - claim.taken_at < self._beat_s
        if not claim.lost and (young or _token_in(claim.path) == claim.beat.token):
            with suppress(OSError):
                os.unlink(f"{claim.target}.claim")  # noqa: PTH108 - thousands of these in a run

    def sweep(self, target: Path) -> bool:
        """Remove a stale claim of a file that needs none any more; tell whether none is left."""
        self._clear_aside(target)
        if not claim_path(target).exists():
            return True
        claim = self.take(target)
        if claim is not None:
            self.release(claim)
        return claim is not None

    @staticmethod
    def _clear_aside(target: Path) -> None:
        """Remove stale claims that somebody put aside and was killed before he removed them."""
        for aside in target.parent.glob(f"{glob.escape(target.name)}.claim.*"):
            state = _state(_read(aside))
            if state.get("where") == _where() and not _is_alive(
                state.get("pid"), state.get("started")
            ):
                with suppress(OSError):
                    aside.unlink()

    def close(self) -> None:
        """Give every claim back and stop the heartbeat."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        for claim in list(self._held.values()):
            self.release(claim)

    def holder(self, target: Path) -> str:
        """Say who holds `target`, in words."""
        state = _state(_read(claim_path(target)))
        return f"process {state.get('pid', '?')} on {state.get('host', 'another host')}"

    def _create(self, claim: Claim) -> bool:
        found = self._name_another(claim)
        if found is None:
            found = self._write(claim)
        if found:
            self._latest = claim
        return found

    def _name_another(self, claim: Claim) -> bool | None:
        """Give a claim that is held one more name; None where that cannot be."""
        known = self._latest
        if known is None or known.lost or known.target not in self._held:
            return None
        try:
            os.link(f"{known.target}.claim", f"{claim.target}.claim")
        except FileExistsError:
            return False
        except OSError:
            return None  # given back meanwhile, another disk, too many names, or no such thing
        claim.beat = known.beat
        return True

    @staticmethod
    def _write(claim: Claim) -> bool:
        try:
            handle = os.open(f"{claim.target}.claim", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            return False
        except OSError as error:
            raise disk_error(error, claim.path.parent) from error
        try:
            os.write(handle, _text(claim))
        except OSError as error:
            claim.path.unlink(missing_ok=True)
            raise disk_error(error, claim.path.parent) from error
        finally:
            os.close(handle)
        return True

    def _stale(self, path: Path) -> bytes | None:
        """Give the text of a stale claim, None for one that is alive or gone meanwhile."""
        text = _read(path)
        if text is None:
            return None
        state = _state(text)
        if state.get("where") == _where() and not _is_alive(state.get("pid"), state.get("started")):
            return text
        now = time.monotonic()
        first, since = self._seen.get(path, (None, now))
        if first != text:
            self._seen[path] = (text, now)
            return None
        # An empty claim is one whose holder died between making and writing it: wait less.
        patience_s = self._stale_s if text else self._stale_s / 20
        return text if now - since > patience_s else None

    def _break(self, path: Path, stale: bytes) -> None:
        # Of several that find it stale only one renames it away. One that comes late may catch the
        # winner's new claim instead: the text tells, and it is put back.
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
            for claim in list(self._held.values()):
                self._refresh(claim, beaten)

    def _refresh(self, claim: Claim, beaten: set[str]) -> None:
        """See that a claim is still ours; write the next beat where no other name of it did."""
        try:
            with claim.path.open("r+b") as file:
                if _state(file.read()).get("token") != claim.beat.token:
                    claim.lost = True
                    return
                if claim.beat.token in beaten:
                    return
                beaten.add(claim.beat.token)
                claim.beat.count += 1
                file.seek(0)
                file.write(_text(claim))
                file.truncate()
        except FileNotFoundError:
            claim.lost = claim.target in self._held
        except OSError:
            return  # a full or flaky disk: the claim ages, nothing else


def _text(claim: Claim) -> bytes:
    beat = claim.beat
    return f'{{"token": "{beat.token}", "beat": {beat.count}, {_self(os.getpid())}'.encode()


@functools.cache
def _self(pid: int) -> str:
    """Write down who this process is: the end of each of its claims."""
    state = {
        "host": platform.node(),
        "where": _where(),
        "pid": pid,
        "started": _started(pid),
    }
    return json.dumps(state)[1:]


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _token_in(path: Path) -> str:
    return str(_state(_read(path)).get("token", ""))


def _state(text: bytes | None) -> dict[str, object]:
    try:
        state = json.loads(text or b"{}")
    except ValueError:
        return {}  # caught between create and write, or a damaged claim: it ages like any other
    return state if isinstance(state, dict) else {}


@functools.cache
def _where() -> str:
    """Name the set of processes whose ids mean the same: host, boot, container."""
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return "|".join(parts)


def _started(pid: int) -> str:
    """Tell when a process started, so that a reused process id is not taken for it."""
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[19]
    return ""


def _is_alive(pid: object, started: object) -> bool:
    if not isinstance(pid, int) or sys.platform == "win32":
        return True  # unknown: leave it to the heartbeat
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not started or _started(pid) in {"", started}
