"""The list of checks, and the run through them that no failure of one of them ends."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from openallen.checkup import asking, given, installed, place
from openallen.checkup.findings import Checkup, Finding, problem
from openallen.checkup.scene import Scene

__all__ = ["CHECKS", "doctor"]

Check = Callable[[Scene], Iterable[Finding]]

CHECKS: Final[dict[str, Check]] = {
    "versions": installed.versions,
    "extras": installed.extras,
    "imports": installed.imports,
    "settings": given.settings,
    "store": place.store,
    "locks": place.locks,
    "disk": place.disk,
    "proxies": given.proxies,
    "certificates": given.certificates,
    "endpoints": asking.endpoints,
    "clock": asking.clock,
    "terminal": given.terminal,
}
"""The checks, in the order they are told: a new one is a function, and a line here."""


def doctor(
    *,
    source: str | None = None,
    store: object = None,
    offline: bool | None = None,
    imports: bool = False,
) -> Checkup:
    """Return what works here and what does not, with what mends it; changes nothing.

    Versions, extras, settings, store, disk, proxies, certificates, services, clock and terminal are
    looked at. Services are asked one small question each. The page can be pasted in public: the
    home folder is ``~``, and it has no names of the user or the machine, no credentials, and of
    web addresses the server alone.

    Parameters
    ----------
    source
        ``live`` (the default), ``sample``, or the URL of an archive: which services are asked.
    store
        Folder of the store; the one of the settings where None.
    offline
        Ask no service.
    imports
        Import each installed library, in a process of its own, to see whether it is broken. Takes
        some seconds.

    Returns
    -------
    Checkup
        The findings: each ``ok``, ``note`` or ``problem``.
    """
    with _silent():
        scene = Scene.look(imports=imports, source=source, store=store, offline=offline)
        requests = None if scene.settings.offline else asking.Asking(scene.settings)
        scene.asking = requests
        try:
            return Checkup(tuple(f for name in CHECKS for f in _findings(name, scene)))
        finally:
            if requests is not None:
                requests.close()


def _findings(name: str, scene: Scene) -> Iterator[Finding]:
    """Return what a check finds, all of it without what is private; where it fails, that."""
    try:
        for found in CHECKS[name](scene):
            yield _public(replace(found, check=name), scene)
    except Exception as error:  # noqa: BLE001 - a page with a hole in it is better than none
        kind = type(error).__name__
        failed = problem(f"this check failed ({kind})", "report it as a bug, with this page")
        yield _public(replace(failed, check=name), scene)


def _public(found: Finding, scene: Scene) -> Finding:
    private = scene.private
    return replace(
        found,
        text=private.text(found.text),
        action=private.text(found.action),
        facts=private.data(found.facts),
    )


@contextmanager
def _silent() -> Iterator[None]:
    """Log nothing meanwhile: messages name files; what matters of them is among the findings."""
    log = logging.getLogger("openallen")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)
