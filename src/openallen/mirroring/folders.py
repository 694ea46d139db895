"""Folders that are mirrors, or may become one; one process at each at a time."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from openallen.errors import RefusedError
from openallen.mirroring.ledger import LEDGER, Ledger, is_mirror
from openallen.settings import Settings
from openallen.store import Leases

__all__ = ["WORK", "alone", "check_folder", "check_source"]

WORK: Final = ".openallen-work-"
"""What names of folders begin with in which a run keeps what it has not sorted yet."""


def check_folder(root: Path, settings: Settings) -> None:
    """Check that a folder is a mirror, or may become one.

    Parameters
    ----------
    root
        The folder, there or not yet.
    settings
        Settings, for the store.

    Raises
    ------
    RefusedError
        If it holds something else, or is part of the store.
    """
    store = Path(os.path.realpath(settings.store))
    real = Path(os.path.realpath(root))
    if real == store or store in real.parents or real in store.parents:
        raise RefusedError(
            "a mirror cannot be part of the store, nor the store part of a mirror",
            address=str(root),
            why=f"the store is {settings.store}",
            hint="choose another folder with --to DIR",
        )
    if not root.is_dir() or is_mirror(root):
        return
    inside = [p.name for p in root.iterdir() if not _is_ours(p.name)]
    if inside:
        raise RefusedError(
            "this folder is no mirror, and not empty",
            address=str(root),
            why=f"it holds {inside[0]}, and no {LEDGER}",
            hint="choose another folder with --to DIR",
        )


def _is_ours(name: str) -> bool:
    return name.startswith((WORK, LEDGER))


def check_source(ledger: Ledger, settings: Settings) -> None:
    """Refuse to mix services: what they answer to one question differs.

    Parameters
    ----------
    ledger
        The ledger of the mirror.
    settings
        Settings, with the service.

    Raises
    ------
    RefusedError
        If it was made from another one.
    """
    before = {_kind(a.source) for a in ledger.addresses.values()}
    if before and _kind(settings.source) not in before:
        named = next(iter(ledger.addresses.values())).source
        raise RefusedError(
            "this is a mirror of another service",
            address=str(ledger.root),
            why=f"it was made from {named}, not from {settings.source}",
            hint=f"--source {named}, or another folder with --to DIR",
        )


def _kind(source: str) -> str:
    """Return the kind of a service; the address of an archive may be another one each time."""
    return source if source == "live" else "an archive"


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Hold the lease on a mirror, and clear what killed runs left in it.

    Parameters
    ----------
    root
        The folder.

    Raises
    ------
    RefusedError
        If another process is at it.
    StoreError
        If it cannot be written.
    """
    from openallen.transfer.space import prepare

    was_there = root.exists()
    prepare(root)
    leases = Leases()
    try:
        target = root / LEDGER
        lease = leases.take(target)
        if lease is None:
            raise RefusedError(
                "another process is at this mirror",
                address=str(root),
                why=leases.holder(target),
                hint="wait for it to end",
            )
        for left in root.glob(f"{WORK}*"):
            shutil.rmtree(left, ignore_errors=True)
        yield
        leases.release(lease)
    finally:
        leases.close()
        if not was_there:
            with suppress(OSError):  # an empty folder says nothing: it was made for naught
                root.rmdir()
