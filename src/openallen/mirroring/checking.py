"""Verifying a mirror by its ledger, and fetching again what is damaged."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from openallen.errors import OpenAllenError
from openallen.formats.parallel import sized_map
from openallen.mirroring.folders import alone
from openallen.mirroring.homes import FolderHome
from openallen.mirroring.ledger import Entry, Ledger
from openallen.mirroring.run import Wanted, running
from openallen.plans import Report
from openallen.settings import Settings
from openallen.store.checked import Checked, compare_digest

if TYPE_CHECKING:
    from openallen.transfer import Observer

__all__ = ["repair_mirror", "verify_mirror"]


def verify_mirror(root: Path) -> Iterator[Checked]:
    """Read every file of a mirror through, tables and indexes too; needs no network.

    Parameters
    ----------
    root
        The folder.

    Raises
    ------
    CorruptError
        If the ledger itself is damaged.
    """
    ledger = Ledger(root)
    repair = f"openallen store repair {shlex.quote(str(root))}"

    def checked(item: tuple[str, str, str, int]) -> Checked:
        file, address, sha256, _ = item
        path = root / file
        try:
            size = path.stat().st_size
            if not sha256:
                return Checked(path, address, "unknown", size, repair)
            found = compare_digest(path, f"sha256:{sha256}")
        except FileNotFoundError:
            return Checked(path, address, "missing", 0, repair)
        except OSError:
            return Checked(path, address, "unreadable", 0, repair)
        return Checked(path, address, found, size, repair)

    named = [(e.file, _address(e), e.sha256, e.size_bytes) for e in ledger.entries.values()]
    made = [(file, "", sha256, 0) for file, sha256 in ledger.made.items()]
    yield from sized_map(checked, sorted([*named, *made]), lambda item: item[3])


def _address(entry: Entry) -> str:
    return next(iter(entry.addresses), entry.name)


def repair_mirror(
    root: Path, bad: Iterable[Checked], settings: Settings, observer: Observer | None = None
) -> Report:
    """Ask again for all that was mirrored, and fetch what is damaged or missing.

    Parameters
    ----------
    root
        The folder.
    bad
        What `verify_mirror` found.
    settings
        Settings; the service is that of the mirror, unless they name another than the live one.
    observer
        Receives progress.

    Raises
    ------
    OpenAllenError
        If the service cannot be asked, or the folder not be written.
    """
    paths = {str(checked.path) for checked in bad}
    with alone(root):
        ledger = Ledger(root)
        damaged = {e.name for e in ledger.entries.values() if str(root / e.file) in paths}
        for file in ledger.made:
            if str(root / file) in paths and file.startswith("tables/"):
                with suppress(FileNotFoundError):  # its rows come again
                    (root / file).unlink()
        addresses = tuple(ledger.addresses.values())
        if settings.source == "live" and addresses:
            settings = replace(settings, source=addresses[-1].source)
        wanted = Wanted(addresses, damaged=frozenset(damaged))
        with running(FolderHome(root), settings, wanted) as run:
            return run.run(observer)


def left_bad(root: Path, bad: Iterable[Checked]) -> Iterator[tuple[Checked, OpenAllenError]]:
    """Return what is still damaged or missing after a repair.

    Parameters
    ----------
    root
        The folder.
    bad
        What was.
    """
    from openallen.errors import NotFoundError

    now = {str(c.path): c for c in verify_mirror(root) if c.bad}
    for checked in bad:
        if str(checked.path) in now:
            yield checked, NotFoundError("the service did not send it again")
