"""One small request to each service, all at once, while the other checks are made."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from openallen.checkup.findings import Finding, note, ok, problem, unset
from openallen.checkup.scene import Scene
from openallen.errors import (
    AnswerError,
    MissingExtraError,
    NotFoundError,
    OpenAllenError,
    StalledError,
)
from openallen.settings import Settings

if TYPE_CHECKING:
    from openallen.sources.services import Service

__all__ = ["Asking", "clock", "endpoints"]

_WAIT_S: Final = 5.0
_WHOLE_S: Final = 10.0
_BODY_BYTES: Final = 1 << 20
_NOTED_S: Final = 30.0
_WRONG_S: Final = 300.0
_BY_PROXY: Final = ("proxy", "connect", "tunnel", "resolve", "407")
_TIMES: Final = re.compile(r"\d+ ms")
_NO_NETWORK: Final = "openallen list stack: --source sample"


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a service said, or the error; and by how much the clock here is ahead of its own."""

    service: Service
    error: Exception | None = None
    took_s: float = 0.0
    ahead_s: float | None = None


class Asking:
    """Requests under way.

    Parameters
    ----------
    settings
        The settings.
    """

    def __init__(self, settings: Settings) -> None:
        wait_s = min(_WAIT_S, settings.connect_timeout_s)
        self._settings = replace(
            settings, connect_timeout_s=wait_s, silence_timeout_s=_WAIT_S, head_timeout_s=_WAIT_S
        )
        self.trouble: Exception | None = None
        self._pool = ThreadPoolExecutor(8, thread_name_prefix="doctor")
        self._waiting: list[Future[_Answer]] = []
        try:
            from openallen.sources.services import services

            self._waiting = [self._pool.submit(self._ask, one) for one in services(self._settings)]
        except Exception as error:  # noqa: BLE001 - no extra, no libcurl: a finding, too
            self.trouble = error

    def answers(self) -> list[_Answer]:
        """Return the answers; waits for them."""
        return [each.result() for each in self._waiting]

    def close(self) -> None:
        """Wait for no more answers."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _ask(self, service: Service) -> _Answer:
        from openallen.transport.configured import http_for

        began_s = time.time()
        ahead_s: float | None = None
        try:
            with http_for(self._settings) as http, http.get(service.url) as response:
                ahead_s = _ahead(response.headers.get("date", ""), (began_s + time.time()) / 2)
                body = bytearray()
                for piece in response.chunks():
                    body += piece
                    if len(body) > _BODY_BYTES:
                        raise AnswerError("response too large", address=service.url)
                    if time.time() - began_s > _WHOLE_S:
                        raise StalledError("too slow", address=service.url)
            _check(service, bytes(body))
        except Exception as error:  # noqa: BLE001 - whatever it is, the page is made
            return _Answer(service, error, ahead_s=ahead_s)
        return _Answer(service, None, time.time() - began_s, ahead_s)


def _ahead(date: str, here_s: float) -> float | None:
    try:
        told = parsedate_to_datetime(date)
    except (TypeError, ValueError):
        return None
    return here_s - (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()


def _check(service: Service, body: bytes) -> None:
    """Check that an answer is what the service answers with, not a page of somebody between."""
    if service.kind == "xml":
        if b"<ListBucketResult" not in body[:2000]:
            raise AnswerError("no listing of a bucket", address=service.url)
        return
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        raise AnswerError("no JSON", address=service.url) from None


def endpoints(scene: Scene) -> Iterator[Finding]:
    """Return whether each service can be reached."""
    asking = scene.asking
    if asking is None:
        yield ok("not asked: --offline", asked=False)
        return
    if asking.trouble is not None:
        yield _not_asked(scene, asking.trouble)
    for answers in _alike(asking.answers()):
        yield _reached(scene, *answers)


def _not_asked(scene: Scene, error: Exception) -> Finding:
    what = error.what if isinstance(error, OpenAllenError) else type(error).__name__
    hint = error.hint if isinstance(error, OpenAllenError) else ""
    if not isinstance(error, MissingExtraError):  # what was typed is quoted otherwise
        what, hint = f"no service can be asked ({type(error).__name__})", ""
    return problem(scene.private.names(what), scene.private.path(hint) or _NO_NETWORK)


def _alike(answers: list[_Answer]) -> Iterator[list[_Answer]]:
    """Put together services that fail in the same words: without a network that is all of them."""
    groups: dict[object, list[_Answer]] = {}
    for at, one in enumerate(answers):
        error = one.error
        told: object = at
        if isinstance(error, OpenAllenError):  # how many milliseconds it took says nothing
            told = (type(error), error.what, _TIMES.sub("", error.why))
        groups.setdefault(told, []).append(one)
    yield from groups.values()


def _reached(scene: Scene, answer: _Answer, *alike: _Answer) -> Finding:
    error = answer.error
    names = [each.service.name for each in (answer, *alike)]
    where = scene.private.text(answer.service.url.partition("?")[0])
    told = ", ".join(names)
    if error is None:
        words = f"{told}: answers in {answer.took_s * 1000:.0f} ms"
        return ok(words, services=names, reached=True, url=where)
    kind = type(error).__name__
    elsewhere = scene.settings.source != "live" or bool(scene.settings.s3_endpoint)
    if isinstance(error, NotFoundError) and elsewhere:
        return note(f"{told}: not in this archive", services=names, reached=True, error=kind)
    what = error.what if isinstance(error, OpenAllenError) else "failed"
    why = error.why if isinstance(error, OpenAllenError) else ""
    said = scene.private.names(f"{what} ({why[:200]})" if why else what)
    action = _mend(scene, what, why)
    return problem(f"{told}: {kind}, {said}", action, services=names, reached=False, error=kind)


def _mend(scene: Scene, what: str, why: str) -> str:
    """Return what is most likely to help."""
    if what == "TLS failed":
        from openallen.transport.handles import TRUST_VARIABLES

        if any(word in why for word in ("expired", "not yet valid")):
            return "set the clock of this machine (see clock)"
        named = next((name for name in TRUST_VARIABLES if scene.environ.get(name)), "")
        if named:
            return unset(named)
        return "name the certificate of your institution's authority: SSL_CERT_FILE"
    proxies = [n for n in scene.environ if n.lower() in {"https_proxy", "all_proxy", "http_proxy"}]
    if proxies and any(word in why.lower() for word in _BY_PROXY):
        return unset(*sorted(proxies))
    if "does not resolve" in why or what == "no connection":
        return _NO_NETWORK  # a network is needed; this works without one
    return "the service, or a proxy before it, answers wrongly: try again later"


def clock(scene: Scene) -> Iterator[Finding]:
    """Return how far the clock here is from those of the services."""
    if time.time() < datetime(2025, 1, 1, tzinfo=UTC).timestamp():
        yield problem("the clock says a year that is past: TLS fails", _set_clock())
        return
    told = [] if scene.asking is None else scene.asking.answers()
    ahead = sorted(a.ahead_s for a in told if a.ahead_s is not None)
    if not ahead:
        yield ok("not compared: no service was asked, or none said the time", compared=False)
        return
    off_s = ahead[len(ahead) // 2]
    size_s = abs(off_s)
    facts = {"seconds_ahead": round(off_s), "compared": True}
    # Services say whole seconds, and an answer may be on its way for some.
    if size_s < _NOTED_S:
        yield ok("the clock agrees with the services", **facts)
        return
    text = f"the clock is {size_s:,.0f} s {'ahead of' if off_s > 0 else 'behind'} the services'"
    if size_s < _WRONG_S:
        yield note(text, _set_clock(), **facts)
    else:
        yield problem(f"{text}: TLS may fail", _set_clock(), **facts)


def _set_clock() -> str:
    import sys

    if sys.platform == "win32":
        return "w32tm /resync"
    return (
        "sudo sntp -sS time.apple.com" if sys.platform == "darwin" else "sudo timedatectl set-ntp 1"
    )
