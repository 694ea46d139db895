"""The store and its disk: where it is, whether it can be used, what is left in it. Read only."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from openallen.checkup.findings import Finding, note, ok, problem
from openallen.checkup.scene import Scene
from openallen.display import bytes_text, count_text
from openallen.store.leases import STALE_S, look_at

__all__ = ["disk", "file_system", "locks", "store"]

_GLANCE_S: Final = 0.5
_GLANCE_FILES: Final = 50_000
_INDEX: Final = "index.sqlite"
_INDEX_S: Final = 0.5
_SHOWN: Final = 300
_LOW_BYTES: Final = 5_000_000_000
_NONE_BYTES: Final = 200_000_000
_NETWORK: Final = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "fuse.rclone",
    "fuse.s3fs", "fuse.sshfs", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4",
    "ocfs2", "orangefs", "panfs", "pvfs2", "smb3", "smbfs", "webdav", "wekafs",
})  # fmt: skip
"""Types of file systems on other machines."""


def store(scene: Scene) -> Iterator[Finding]:
    """Return where the store is, and whether it can be read and written."""
    root = scene.settings.store
    shown = scene.private.path(root)
    came = scene.private.path(scene.settings.origins.get("store", "default"))
    try:
        there, is_folder = root.exists(), root.is_dir()
    except OSError as error:  # no permission, a name too long, a drive that is gone
        why = error.strerror or "unknown"
        yield problem(
            f"{shown[:_SHOWN]} ({came}) cannot be looked at ({why})",
            _ELSEWHERE, path=shown[:_SHOWN], origin=came,
        )  # fmt: skip
        return
    if not there:
        yield _not_there(scene, root, shown, came)
        return
    if not is_folder:
        yield problem(f"{shown} ({came}) is a file, not a folder", _ELSEWHERE, path=shown)
        return
    size, files, whole = _size(root)
    about = "" if whole else "at least "
    yield ok(
        f"{shown} ({came}): {about}{count_text(files, 'file')}, {about}{bytes_text(size)}",
        path=shown, origin=came, files=files, size_bytes=size, counted_all=whole,
    )  # fmt: skip
    yield from _usable(root)
    yield from _kind(root)
    yield from index(scene)


_ELSEWHERE: Final = "choose another folder with --store DIR, or OPENALLEN_STORE"


def _not_there(scene: Scene, root: Path, shown: str, came: str) -> Finding:
    parent = _existing(root)
    if os.access(parent, os.W_OK) and parent.is_dir():
        return ok(f"{shown} ({came}): made by the first fetch", path=shown, origin=came, files=0)
    return problem(
        f"{shown} ({came}) is not there and cannot be made: {scene.private.path(parent)} is "
        f"{'read-only' if parent.is_dir() else 'no folder'}",
        _ELSEWHERE, path=shown, origin=came,
    )  # fmt: skip


def _existing(path: Path) -> Path:
    for place in (path, *path.parents):
        with suppress(OSError):
            if place.exists():
                return place
    return Path(path.anchor or ".")


def _usable(root: Path) -> Iterator[Finding]:
    """Try a file and a second name of it in a folder that is removed again."""
    try:
        trial = Path(tempfile.mkdtemp(prefix=".doctor-", dir=root))
    except OSError as error:
        why = error.strerror or "unknown"
        yield note(
            f"read-only ({why}): what is in it can be used, a fetch into it cannot",
            _ELSEWHERE, writable=False,
        )  # fmt: skip
        return
    try:
        (trial / "a").write_bytes(b"a")
        try:
            (trial / "b").hardlink_to(trial / "a")
            yield ok("writable, with hard links", writable=True, hard_links=True)
        except OSError:
            text = "writable, without hard links: files that versions share are copied"
            yield note(text, writable=True, hard_links=False)
    except OSError as error:
        why = error.strerror or "unknown"
        yield problem(f"files cannot be written ({why})", _ELSEWHERE, writable=False)
    finally:
        shutil.rmtree(trial, ignore_errors=True)


def _kind(root: Path) -> Iterator[Finding]:
    kind = file_system(root)
    if kind in _NETWORK:
        yield note(
            f"on a network file system ({kind}): slow with many small files",
            "a store on a local disk is faster: openallen fetch ADDRESS --to DIR",
            file_system=kind, network=True,
        )  # fmt: skip
    elif kind:
        yield ok(f"file system {kind}", file_system=kind, network=False)


def file_system(path: Path) -> str:
    """Return the type of the file system of a path; empty where it cannot be told.

    Parameters
    ----------
    path
        The path.
    """
    with suppress(OSError, ValueError, IndexError, subprocess.SubprocessError):
        place = str(path.resolve())
        system = platform.system()
        if system == "Linux":
            return _of_mounts(place)
        return _of_mount_command(place) if system == "Darwin" else ""
    return ""


def _of_mount_command(place: str) -> str:
    """Read ``/dev/disk3s5 on /System/Volumes/Data (apfs, local, journaled)``."""
    told = subprocess.run(["/sbin/mount"], capture_output=True, text=True, check=True, timeout=2)
    found = [line.partition(" on ")[2].rpartition(" (") for line in told.stdout.splitlines()]
    inside = [(at, rest) for at, _, rest in found if _is_below(place, at)]
    return max(inside, key=lambda pair: len(pair[0]))[1].split(",")[0].strip("()")


def _of_mounts(place: str) -> str:
    best, kind = "", ""
    for line in Path("/proc/self/mountinfo").read_text("utf-8", "replace").splitlines():
        left, _, right = line.partition(" - ")
        at = left.split(" ")[4].replace("\\040", " ")
        if _is_below(place, at) and len(at) >= len(best):
            best, kind = at, right.split(" ")[0]
    return kind


def _is_below(place: str, at: str) -> bool:
    return place == at or place.startswith(at.rstrip("/") + "/")


@dataclass
class _Glance:
    """A walk over a folder that ends after a while: a glance, not an inventory."""

    root: Path
    whole: bool = True
    began: float = field(default_factory=time.monotonic)

    def files(self) -> Iterator[os.DirEntry[str]]:
        waiting, seen = [str(self.root)], 0
        while waiting:
            if seen > _GLANCE_FILES or time.monotonic() - self.began > _GLANCE_S:
                self.whole = False
                return
            try:
                with os.scandir(waiting.pop()) as entries:
                    found = list(entries)
            except OSError:
                continue
            seen += len(found)
            for entry in found:
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        yield entry


def _size(root: Path) -> tuple[int, int, bool]:
    glance, size, files = _Glance(root), 0, 0
    for entry in glance.files():
        files += 1
        with suppress(OSError):
            size += entry.stat(follow_symlinks=False).st_size
    return size, files, glance.whole


# --- the index ------------------------------------------------------------------------------------


def index(scene: Scene) -> Iterator[Finding]:
    """Return whether the index is intact; it is opened so that nothing can be written."""
    path = scene.settings.store / _INDEX
    if not path.exists():
        return
    try:
        if not path.is_file():  # whoever opened a pipe would wait for ever
            raise ValueError("not a file")
        rows, whole = _read_index(path)
    except (sqlite3.Error, OSError, UnicodeError, ValueError, TypeError, IndexError) as error:
        why = scene.private.names(error)[:120]
        if "no such table" in str(error):  # made, and never written to
            yield ok("index without records", index="intact", records=0)
            return
        if isinstance(error, sqlite3.OperationalError) and "lock" in str(error):
            yield note("the index is being written by another process: not looked at")
            return
        yield problem(
            f"the index is damaged ({why}): nothing else is lost",
            _put_aside(scene, path),
            index="damaged",
        )
        return
    if whole:
        yield ok(f"index intact, {count_text(rows, 'record')}", index="intact", records=rows)
    else:
        yield note("the index is large: not read to its end", index="not read to its end")


def _put_aside(scene: Scene, path: Path) -> str:
    """Return the command that puts the index aside: the next fetch begins a new one."""
    if sys.platform == "win32":
        return f'ren "{scene.private.path(path)}" {_INDEX}.damaged'
    names = (shlex.quote(str(path)), shlex.quote(f"{path}.damaged"))
    return scene.private.path(f"mv {' '.join(names)}")


def _read_index(path: Path) -> tuple[int, bool]:
    """Return the number of records, and whether all of it was read."""
    with path.open("rb") as file:
        head = file.read(20)
    journals = any(path.with_name(path.name + end).exists() for end in ("-journal", "-wal"))
    # SQLite would make files beside a database in WAL mode, and replay a journal that is left.
    still = journals or head[18:20] == b"\x02\x02" or not os.access(path.parent, os.W_OK)
    where = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if still else ''}"
    db = sqlite3.connect(where, uri=True, timeout=0.3, isolation_level=None)
    began = time.monotonic()
    db.set_progress_handler(lambda: time.monotonic() - began > _INDEX_S, 10_000)
    try:
        rows = int(db.execute("SELECT count(*) FROM files").fetchone()[0])
        db.execute("SELECT path, digest, size_bytes, mtime_ns FROM files LIMIT 1").fetchall()
        said = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            return 0, False
        raise
    finally:
        db.close()
    if said != "ok":
        raise sqlite3.DatabaseError(said)
    return rows, True


# --- leases and parts -----------------------------------------------------------------------------


@dataclass
class _Left:
    """Leases and parts in a store."""

    held: int = 0
    gone: int = 0
    silent: int = 0
    parts: int = 0
    size: int = 0
    holders: set[str] = field(default_factory=set)

    def see(self, entry: os.DirEntry[str]) -> None:
        if entry.name.endswith(".lease"):
            who, state = _holder(Path(entry.path))
            self.held += state == "held"
            self.gone += state == "gone"
            self.silent += state == "silent"
            self.holders.update({who} - {""})
        elif entry.name.endswith(".part"):
            self.parts += 1
            self.size += entry.stat(follow_symlinks=False).st_size


def locks(scene: Scene) -> Iterator[Finding]:
    """Return leases that are held or left over, and parts of files with their size."""
    root = scene.settings.store
    with suppress(OSError):
        if root.is_dir():
            yield from _left_in(root)


def _left_in(root: Path) -> Iterator[Finding]:
    left, glance = _Left(), _Glance(root)
    for entry in glance.files():
        with suppress(OSError):
            if entry.is_file(follow_symlinks=False):
                left.see(entry)
    if left.held:
        holders = sorted(left.holders)
        text = f"{count_text(left.held, 'file')} being written by {', '.join(holders[:5])}"
        yield ok(text, held=left.held, holders=holders)
    if left.gone or left.silent:
        count = count_text(left.gone + left.silent, "lease")
        yield note(
            f"{count} left by processes that ended" + (" or fell silent" if left.silent else ""),
            "nothing: the next fetch of the same files takes them over",
            gone=left.gone, silent=left.silent,
        )  # fmt: skip
    if left.parts and not left.held:
        yield note(
            f"{count_text(left.parts, 'file')} begun and not finished, {bytes_text(left.size)}",
            "run the same fetch again: it continues from them",
            parts=left.parts, size_bytes=left.size,
        )  # fmt: skip
    if not (left.held or left.gone or left.silent or left.parts):
        words = "no leases, no files begun" + ("" if glance.whole else " in what was looked at")
        yield ok(words, held=0, gone=0, parts=0)


def _holder(path: Path) -> tuple[str, str]:
    """Return who holds a lease, without the name of a machine, and what became of it."""
    seen = look_at(path)
    if seen.gone:
        return "", "gone"
    if time.time() - path.stat().st_mtime > 2 * STALE_S:  # a heartbeat writes it anew
        return "", "silent"
    number = "?" if seen.pid is None else str(seen.pid)
    return f"process {number} on {'this' if seen.here else 'another'} machine", "held"


# --- disks ----------------------------------------------------------------------------------------


def disk(scene: Scene) -> Iterator[Finding]:
    """Return the free space for the store, the temporary and the current folder, and the quota."""
    seen: set[int] = set()
    for name, place in (("store", scene.settings.store), ("current folder", _here())):
        if place is None:
            yield problem("the current folder is gone", "cd")
            continue
        with suppress(OSError):
            where = _existing(place)
            device = where.stat().st_dev
            if device not in seen:
                yield from _free(name, where)
            seen.add(device)
    yield from _temporary(scene, seen)
    yield from _quota()


def _here() -> Path | None:
    try:
        return Path.cwd()
    except OSError:
        return None


def _free(name: str, where: Path) -> Iterator[Finding]:
    told = shutil.disk_usage(where)
    text = f"{name}: {bytes_text(told.free)} of {bytes_text(told.total)} free"
    facts = {"place": name, "free_bytes": told.free, "total_bytes": told.total}
    # A file system that is computed (of containers, of clouds) says 0 of 0.
    if told.free < _NONE_BYTES and told.total:
        yield problem(text, "openallen store prune ranges", **facts)
    elif told.free < _LOW_BYTES and told.total:
        yield note(text, "a fetch says before it begins what it needs", **facts)
    else:
        yield ok(text, **facts)
    if hasattr(os, "statvfs"):
        files = os.statvfs(where)
        if files.f_files and not files.f_favail:
            yield problem(f"{name}: no more files can be made (no inodes)", "delete files there")


def _temporary(scene: Scene, seen: set[int]) -> Iterator[Finding]:
    try:
        place = Path(tempfile.gettempdir())
        shown = scene.private.path(place)
        if place.stat().st_dev not in seen:
            yield from _free(f"temporary folder {shown}", place)
        else:
            yield ok(f"temporary folder {shown}: on the same disk", place="temporary folder")
    except OSError:
        name = "TMP" if sys.platform == "win32" else "TMPDIR"
        yield problem("there is no temporary folder", f"name one that can be written to: {name}")


def _quota() -> Iterator[Finding]:
    """Return what ``quota`` says, where there is such a command: which limits are reached."""
    command = shutil.which("quota")
    if command is None:
        return
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(  # noqa: S603 - a command of the system, without arguments of others
            [command, "-q"], capture_output=True, check=False, stdin=subprocess.DEVNULL, timeout=1
        )
        if done.returncode and done.stdout.strip():
            yield problem("the quota of a disk is reached", "quota -s")
