"""The list of checks, and the run through them that no failure of one of them ends."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from openallen.checkup import asking, given, installed, place
from openallen.checkup.findings import Checkup, Finding, problem
from openallen.checkup.scene import Scene

__all__ = ["CHECKS", "doctor"]

_PATIENCE_S: Final = 30.0
_LATER_S: Final = 5.0

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
        Which services are asked: ``live`` (the default), ``sample``, or the folder or URL of an
        archive.
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
            return Checkup(tuple(_findings(CHECKS, scene)))
        finally:
            if requests is not None:
                requests.close()


def _findings(names: Iterable[str], scene: Scene) -> Iterator[Finding]:
    """Return what checks find; where one fails, or waits for what never answers, that."""
    patience_s = _PATIENCE_S
    for name in names:
        said: queue.SimpleQueue[Finding | None] = queue.SimpleQueue()
        # A drive that is gone holds whoever looks at it for ever: no time limit reaches into that.
        arguments = (name, scene, said.put)
        threading.Thread(target=_check, args=arguments, name=name, daemon=True).start()
        end_s = time.monotonic() + patience_s
        try:
            # Imports have limits of their own, one for each library.
            while found := said.get(timeout=_wait_s(name, end_s)):
                yield found
        except queue.Empty:
            yield _public(replace(_stuck(patience_s), check=name), scene)
            patience_s = min(patience_s, _LATER_S)  # the next may wait for the same drive


def _wait_s(name: str, end_s: float) -> float | None:
    return None if name == "imports" else max(0.0, end_s - time.monotonic())


def _stuck(waited_s: float) -> Finding:
    return problem(
        f"this check had not ended after {waited_s:g} s: a disk or a network drive does not answer",
        "look at the drives of the store, the current folder and the certificates: mount",
    )


def _check(name: str, scene: Scene, say: Callable[[Finding | None], None]) -> None:
    """Say what a check finds, all of it without what is private; then None."""
    try:
        for found in CHECKS[name](scene):
            say(_public(replace(found, check=name), scene))
    except Exception as error:  # noqa: BLE001 - a page with a hole in it is better than none
        kind = type(error).__name__
        failed = problem(f"this check failed ({kind})", "report it as a bug, with this page")
        say(_public(replace(failed, check=name), scene))
    finally:
        say(None)


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
