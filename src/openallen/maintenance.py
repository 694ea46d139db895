"""Looking after the local store: what it holds, whether it is intact, repair, prune, adopt.

As in `openallen.verbs`, nothing here knows a source by name.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.address import Address
from openallen.display import bytes_text
from openallen.errors import NotFoundError, OpenAllenError, RefusedError, UsageError
from openallen.mirroring.ledger import is_mirror
from openallen.paths import existing
from openallen.settings import Settings
from openallen.sources.context import Context
from openallen.sources.place import Place
from openallen.sources.registry import SCHEMES, source_classes
from openallen.sources.tables import Row, Rows
from openallen.store import Store
from openallen.store.checked import file_sizes, repair_commands

if TYPE_CHECKING:
    from openallen.sources.base import Facts, Source
    from openallen.store.checked import Checked
    from openallen.transfer import Observer

__all__ = [
    "CACHES",
    "Target",
    "adopt",
    "clear_cache",
    "held",
    "prune",
    "repair",
    "targets",
    "under_way",
    "verify",
]

RANGES: Final = "ranges"
"""The folder of the store that caches what was read remotely, by ranges and chunks."""
CACHES: Final = {
    RANGES: "remote reads",
    "overviews": "small pictures of planes",
    "tables": "copies of large tables",
}
"""Folders of the store with what can be had or made again, and what that is."""


@dataclass(frozen=True)
class Target:
    """A folder to be verified, and the source that knows how.

    Parameters
    ----------
    source
        The source.
    folder
        The folder.
    address
        What names it; its path where it is not in the store.
    where
        The address, where it was named by one.
    mirror
        Whether it is a mirror, which has a ledger of its own.
    """

    source: Source
    folder: Path
    address: str
    where: Address | None = None
    mirror: bool = False

    def verify(self) -> Iterator[Checked]:
        """Read the folder through.

        Raises
        ------
        NotFoundError
            If there is nothing to verify, with what fetches it where an address names it.
        """
        if self.mirror:
            from openallen.mirroring.checking import verify_mirror

            yield from verify_mirror(self.folder)
            return
        try:
            yield from self.source.verify(self.folder)
        except NotFoundError as error:
            if self.where is None:
                raise
            nothing = NotFoundError("nothing to verify")
            raise self.source.not_here(self.where, nothing) from error


def held(settings: Settings | None = None) -> Rows:
    """Return what the store holds: a row for each thing, with files and bytes.

    Parameters
    ----------
    settings
        Settings to use; loaded from the environment and files if None.
    """
    with Context(settings) as context:
        rows = [
            row | {"size": bytes_text(row["size_bytes"])}
            for kind in source_classes()
            for row in kind(context).held()
        ]
        cached = {name: sum(file_sizes(context.settings.store / name).values()) for name in CACHES}
    shared = "files with two names (shared by versions) are counted once in each row"
    notes = [shared] if any("@" in str(row["address"]) for row in rows) else []
    notes += (
        f"{bytes_text(size)} of {CACHES[name]} are cached; "
        f"openallen store prune {name} removes them"
        for name, size in cached.items()
        if size
    )
    return Rows(
        rows, ("address", "files", "size", "folder"), id_column="address", noun="item", notes=notes
    )


def under_way(settings: Settings | None = None) -> list[Row]:
    """Return what other processes are fetching into the store now, as far as a glance tells.

    Parameters
    ----------
    settings
        Settings to use; loaded from the environment and files if None.

    Returns
    -------
    list of dict
        ``address``, ``folder``, ``files`` being written, and ``holder`` in words.
    """
    from openallen.store.leases import leased_by_others

    root = (settings or Settings.load()).store
    schemes = {kind.folder: kind.scheme for kind in source_classes() if kind.folder}
    found: dict[tuple[str, str], Row] = {}
    for path, holder in leased_by_others(root):
        system, name = [*path.relative_to(root).parts, "", ""][:2]
        if system not in schemes:
            continue
        address = str(Address(schemes[system], name))
        row = found.setdefault(
            (address, holder),
            {"address": address, "folder": str(root / system / name), "files": 0, "holder": holder},
        )
        row["files"] += 1
    return list(found.values())


def targets(context: Context, what: Sequence[str | Path]) -> Iterator[Target]:
    """Return the folders that addresses and paths mean; the whole store where none is named.

    Parameters
    ----------
    context
        Settings and clients.
    what
        Addresses, folders or files; everything in the store where empty.

    Raises
    ------
    NotFoundError
        If an address or a path is not here.
    """
    if not what:
        for kind in source_classes():
            source = kind(context)
            for row in source.held():
                yield Target(source, Path(row["folder"]), str(row["address"]))
    for one in what:
        yield _target(context, one)


def _target(context: Context, what: str | Path) -> Target:
    path = existing(what)
    if path is not None:
        if is_mirror(path):
            return Target(SCHEMES["file"](context), path, str(path), mirror=True)
        source = context.recognise(Place.here(path)) or SCHEMES["file"](context)
        return Target(source, path, str(path))
    where = Address.parse(str(what)) if ":" in str(what) else None
    if where is None:
        raise NotFoundError("no such file or folder", address=str(what), hint="openallen store ls")
    source = context.source(where, held=True)
    folder = context.folder(where)
    if not folder.exists():
        raise source.not_here(where, NotFoundError("nothing to verify"))
    if where.version and f"{where.scheme}:{where.name}@{where.version}" not in {
        str(row["address"]) for row in source.held()
    }:
        raise source.not_here(where, NotFoundError("nothing of this version to verify"))
    return Target(source, folder, str(where), where)


def verify(
    what: Sequence[str | Path] = (), *, settings: Settings | None = None
) -> Iterator[tuple[Target, Checked]]:
    """Read folders through and compare every file with its digest; needs no network.

    Parameters
    ----------
    what
        Addresses, folders or files; everything in the store where empty.
    settings
        Settings to use; loaded from the environment and files if None.

    Returns
    -------
    iterator of (Target, Checked)
        One for each file, also for those that are missing.

    Raises
    ------
    NotFoundError
        If what is named is not here, or no digest of anything in it is known.
    """
    with Context(settings) as context:
        for target in targets(context, what):
            known = False
            for checked in target.verify():
                known = True
                yield target, checked
            if what and not known:
                raise NotFoundError(
                    "nothing here can be verified",
                    address=target.address,
                    why="it has no manifest, and the store has no record of its files",
                )


def repair(
    bad: Sequence[tuple[Target, Checked]],
    *,
    settings: Settings | None = None,
    observer: Callable[[], Observer] | None = None,
) -> list[tuple[Checked, OpenAllenError]]:
    """Fetch damaged and missing files again, each thing with the options and source it has.

    Parameters
    ----------
    bad
        What `verify` found damaged or missing.
    settings
        Settings to use; loaded from the environment and files if None.
    observer
        Makes what receives the progress of one fetch.

    Returns
    -------
    list of (Checked, OpenAllenError)
        What could not be repaired, and why.
    """
    failed: list[tuple[Checked, OpenAllenError]] = []
    for folder in dict.fromkeys(target.folder for target, _ in bad):
        found = [(t, c) for t, c in bad if t.folder == folder]
        failed += _repair_folder(found, settings, observer)
    return failed


def _repair_folder(
    found: list[tuple[Target, Checked]],
    settings: Settings | None,
    observer: Callable[[], Observer] | None,
) -> list[tuple[Checked, OpenAllenError]]:
    target = found[0][0]
    if target.mirror:
        return _repair_mirror(target.folder, [c for _, c in found], settings, observer)
    with Context(settings) as context:
        source = type(target.source)(context)
        try:
            job = source.repair_job(target.folder)
            if job is not None:
                context.run(job, observer() if observer else None).raise_if_failed()
                return []
        except OpenAllenError as error:
            return [(checked, error) for _, checked in found]
    return _repair_files([checked for _, checked in found], settings, observer)


def _repair_mirror(
    folder: Path,
    bad: list[Checked],
    settings: Settings | None,
    observer: Callable[[], Observer] | None,
) -> list[tuple[Checked, OpenAllenError]]:
    from openallen.mirroring.checking import left_bad, repair_mirror

    try:
        chosen = settings or Settings.load()
        repair_mirror(folder, bad, chosen, observer() if observer else None)
    except OpenAllenError as error:
        return [(checked, error) for checked in bad]
    return [*left_bad(folder, bad)]


def _repair_files(
    found: list[Checked], settings: Settings | None, observer: Callable[[], Observer] | None
) -> list[tuple[Checked, OpenAllenError]]:
    """Fetch files again, each command once."""
    failed: list[tuple[Checked, OpenAllenError]] = []
    for command, files in repair_commands(found).items():
        try:
            if not command:
                raise NotFoundError("its origin is not recorded")
            _run_again(command, settings, observer)
        except OpenAllenError as error:
            failed += [(checked, error) for checked in files]
    return failed


def _run_again(
    command: str, settings: Settings | None, observer: Callable[[], Observer] | None
) -> None:
    """Do what a recorded command does: ``openallen fetch ADDRESS --to DIR --source sample …``."""
    from openallen.verbs import preparing

    address, given = _read_command(command)
    to, source = given.pop("to", None), given.pop("source", "live")
    chosen = replace(settings or Settings.load(), source=str(source))
    with preparing(address, to, settings=chosen, **given) as work:
        # A damaged file stays until the right one takes its name.
        work.run(observer() if observer else None).raise_if_failed()


def _read_command(command: str) -> tuple[Address, dict[str, Any]]:
    words = shlex.split(command)[2:]
    given: dict[str, Any] = {}
    address = ""
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            address = word
            continue
        name = word.removeprefix("--").replace("-", "_")
        switch = not words or words[0].startswith("--")
        given[name.removeprefix("no_")] = (
            not name.startswith("no_") if switch or name.startswith("no_") else words.pop(0)
        )
    return Address.parse(address), given


def prune(addresses: Sequence[str], *, dry_run: bool, settings: Settings | None = None) -> Rows:
    """Remove things, or versions of them, from the store; bytes that others share stay.

    Parameters
    ----------
    addresses
        What to remove.
    dry_run
        Whether to remove nothing.
    settings
        Settings to use; loaded from the environment and files if None.

    Raises
    ------
    UsageError
        If nothing is named, or something that cannot be removed by itself.
    NotFoundError
        If it is not in the store.
    RefusedError
        If it was adopted in place: what is outside the store is not removed.
    """
    if not addresses:
        raise UsageError("no address given", hint="openallen store ls")
    wanted = [Address.parse(text) for text in addresses]
    with Context(settings) as context:
        for address in wanted:
            _check_own(context, address)
        rows: list[Row] = [context.source(a, held=True).prune(a, dry_run=dry_run) for a in wanted]
    return Rows(
        rows, ("address", "files", "freed_bytes"), id_column="address", noun="item"
    ).loaded()


def _check_own(context: Context, address: Address) -> None:
    """Refuse to remove what lies outside the store: it was there before, and others may use it."""
    source = SCHEMES[address.scheme]
    if not source.folder or not address.name:
        return
    name = source.canonical(address).name
    note = Store(context.settings.store).adopted(source.folder, name)
    if note is not None:
        raise RefusedError(
            "adopted in place, and only what is in the store itself is removed",
            address=str(address),
            why=f"its files are in {context.folder(address).resolve()}",
            hint=f"remove {note} for the store to forget them, and they stay",
        )


def clear_cache(name: str, *, dry_run: bool, settings: Settings | None = None) -> dict[str, Any]:
    """Clear a cache; what is wanted again is read or made again.

    Parameters
    ----------
    name
        One of `CACHES`.
    dry_run
        Whether to remove nothing.
    settings
        Settings to use; loaded from the environment and files if None.
    """
    chosen = settings or Settings.load()
    folder = chosen.store / name
    sizes = file_sizes(folder)
    if not dry_run:
        shutil.rmtree(folder, ignore_errors=True)
    return {"folder": str(folder), "files": len(sizes), "freed_bytes": sum(sizes.values())}


def adopt(
    folder: Path,
    *,
    in_place: bool = False,
    settings: Settings | None = None,
    step: Callable[[object], None] = lambda _: None,
) -> Facts:
    """Adopt the folder of another tool, into the store or in place; fetches nothing.

    Parameters
    ----------
    folder
        The folder.
    in_place
        Whether it stays where it is, and the store points there.
    settings
        Settings to use; loaded from the environment and files if None.
    step
        Called with each file that was examined.

    Raises
    ------
    NotFoundError
        If no source knows the folder.
    """
    if not folder.is_dir():
        raise NotFoundError("no such folder", address=str(folder))
    with Context(settings) as context:
        for kind in source_classes():
            found = kind(context).adopt(folder, in_place=in_place, step=step)
            if found is not None:
                return found
    raise NotFoundError(
        "not a cache that can be adopted",
        address=str(folder),
        why="no …_project_manifest_v….json, as caches of AllenSDK have",
        hint="the cache_dir of AllenSDK",
    )
