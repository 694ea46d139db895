"""Documents and answers as responses: HTML or JSON, errors with the status they mean."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from openallen.errors import (
    ExitCode,
    IntegrityError,
    NotFoundError,
    OpenAllenError,
    RefusedError,
    ServiceError,
    UsageError,
)
from openallen.serving import BusyError, Gate, GoneError
from openallen.viewer.answers import Answer, json_answer
from openallen.viewer.pages import Document, error_page, rendered
from openallen.viewer.security import Token

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["FAILURES", "Responder", "response_of", "split_json"]

_LOG = logging.getLogger("openallen.viewer")

FAILURES = (OpenAllenError, BusyError, GoneError)
"""What `Responder.failed` has an answer for."""


class Responder:
    """Makes responses.

    Parameters
    ----------
    token
        What pages send along with what they write.
    gate
        Where pages are made.
    """

    def __init__(self, token: Token, gate: Gate) -> None:
        self._token = token
        self._gate = gate

    async def page(
        self,
        request: Request,
        made: Callable[[Callable[[], bool]], Document],
        path: str,
        *,
        as_json: bool,
        gate: Gate | None = None,
    ) -> Response:
        """Return a page, made in a thread.

        Parameters
        ----------
        request
            The request.
        made
            Makes the document; is given what says whether the client is gone.
        path
            The path of the page, for the link to its JSON; empty where it has none.
        as_json
            Whether the JSON is wanted.
        gate
            Where it is made; by default where all pages are.
        """
        try:
            document = await (gate or self._gate).run(request, made)
        except FAILURES as error:
            return self.failed(request, error, as_json=as_json)
        except Exception as error:  # noqa: BLE001 - a fault of ours: the page and the log say so
            _LOG.exception("%s could not be made", request.url.path)
            return self.failed(request, _fault(error), as_json=as_json)
        return self.shown(request, document, path, as_json=as_json)

    def shown(self, request: Request, document: Document, path: str, *, as_json: bool) -> Response:
        """Return a document as HTML or JSON; parameters as for `page`."""
        from starlette.responses import HTMLResponse

        if as_json:
            return response_of(request, json_answer(document.data), document.status)
        text = rendered(document, token=self._token, path=path)
        return HTMLResponse(text, document.status, headers={"cache-control": "no-store"})

    def failed(self, request: Request, error: Exception, *, as_json: bool) -> Response:
        """Return what tells of an error; one that is not of `FAILURES` is raised."""
        from starlette.responses import Response

        if isinstance(error, GoneError):
            return Response(status_code=499)
        if isinstance(error, BusyError):
            return Response("busy", 503, headers={"retry-after": "1"}, media_type="text/plain")
        if not isinstance(error, OpenAllenError):
            raise error
        return self.shown(request, error_page(error, status_of(error)), "", as_json=as_json)


def _fault(error: Exception) -> OpenAllenError:
    return OpenAllenError(
        "this page could not be made", why=f"a fault of openallen: {type(error).__name__}: {error}"
    )


def split_json(path: str) -> tuple[str, bool]:
    """Return what a path names, and whether its JSON is wanted."""
    if path.endswith(".json"):
        return path.removesuffix(".json"), True
    return path.removesuffix(".html"), False


def status_of(error: OpenAllenError) -> int:
    """Return the status of HTTP that an error means."""
    if isinstance(error, NotFoundError):
        return 404
    if isinstance(error, UsageError):
        return 400
    if isinstance(error, RefusedError):
        return 403
    if isinstance(error, IntegrityError):
        return 422  # damaged, or a name that could lead out of the store
    if isinstance(error, ServiceError) or error.exit_code is ExitCode.OFFLINE:
        return 502
    return 500


def response_of(request: Request, answer: Answer, status: int = 200) -> Response:
    """Return an answer as a response, compressed as far as the client takes it.

    Parameters
    ----------
    request
        The request.
    answer
        The answer.
    status
        The status.
    """
    from starlette.responses import Response

    accepted = request.headers.get("accept-encoding", "")
    if answer.encoding and answer.encoding not in accepted:
        answer = replace(answer, body=gzip.decompress(answer.body), encoding="")
    kept = "max-age=31536000, immutable" if answer.immutable else "no-cache"
    headers = {"cache-control": kept if status == 200 else "no-store", "vary": "accept-encoding"}
    if answer.encoding:
        headers["content-encoding"] = answer.encoding
    return Response(answer.body, status, headers=headers, media_type=answer.media)
