"""Files of OME-Zarr stores for a neuroglancer elsewhere: off unless somebody asks for it.

A viewer on the web reads a store on this machine through the browser, which asks first whether it
may. The answer is yes for one viewer only, for files only of the stores that the command line
named, and for reading only.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from openallen.errors import UsageError
from openallen.formats.omezarr import OmeZarr
from openallen.formats.omezarr.neuroglancer import VIEWER, state_link, state_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["FILES", "Files", "neuroglancer_link", "origin_of", "viewer_url"]

FILES: Final = "/files/"
"""Where the files are."""

_HIDDEN: Final = frozenset({".zarray", ".zattrs", ".zgroup", ".zmetadata"})


def viewer_url(told: str) -> str:
    """Return the URL of a neuroglancer: the public one for ``public``.

    Parameters
    ----------
    told
        ``public``, or a URL.

    Raises
    ------
    UsageError
        If it is neither.
    """
    url = VIEWER if told == "public" else told
    origin_of(url)
    return url


def origin_of(url: str) -> str:
    """Return the origin of a URL, as browsers write it.

    Raises
    ------
    UsageError
        If it is not the URL of a site.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    protocol = parts.scheme if host else ""
    if protocol not in {"http", "https"} or parts.username is not None:
        raise UsageError("not the URL of a viewer", address=url, hint="--neuroglancer public")
    name = f"[{host}]" if ":" in str(host) else host
    usual = port is None or port == {"http": 80, "https": 443}[protocol]
    return f"{protocol}://{name}" + ("" if usual else f":{port}")


def neuroglancer_link(folder: Path, name: str, base: str, viewer: str) -> str:
    """Return the URL that opens a served store in neuroglancer.

    Parameters
    ----------
    folder
        The store.
    name
        Its name among the places that are served.
    base
        URL of the server.
    viewer
        Where neuroglancer is served.

    Raises
    ------
    NotFoundError, CorruptError
        If it is not an OME-Zarr image.
    """
    source = f"{base}{FILES}{quote(name, safe='')}"
    return state_link(state_of(OmeZarr(folder), source, name), viewer)


class Files:
    """Answers requests of one viewer for files of some stores.

    Parameters
    ----------
    places
        The folders, by name.
    origin
        The origin of the viewer.
    """

    def __init__(self, places: Mapping[str, Path], origin: str) -> None:
        self._roots = {name: path.resolve() for name, path in places.items()}
        self._headers = {
            "access-control-allow-origin": origin,
            "access-control-allow-methods": "GET, HEAD",
            "access-control-allow-headers": "range",
            "access-control-expose-headers": "accept-ranges, content-length, content-range, etag",
            "vary": "origin",
        }

    def route(self) -> Any:
        """Return the route of all files."""
        from starlette.routing import Route

        methods = ["GET", "HEAD", "OPTIONS"]
        return Route(FILES + "{name}/{path:path}", self.answer, methods=methods)

    async def answer(self, request: Request) -> Response:
        """Return a file, or a part of it; whether the viewer may ask, where a browser asks that."""
        from starlette.responses import FileResponse, Response

        if request.method == "OPTIONS":
            # Browsers ask separately whether a site may read from this machine.
            near = {"access-control-allow-private-network": "true"}
            return Response(status_code=204, headers=self._headers | near)
        path = self._path(request.path_params["name"], request.path_params["path"])
        if path is None:
            return Response("no such file", 404, headers=self._headers, media_type="text/plain")
        headers = self._headers | {"cache-control": "no-cache"}
        return FileResponse(path, headers=headers, media_type="application/octet-stream")

    def _path(self, name: str, path: str) -> Path | None:
        """Return a file below a root; None for what is elsewhere, hidden, or no file."""
        root = self._roots.get(name)
        parts = path.split("/")
        if root is None or any(
            (part.startswith(".") and part not in _HIDDEN) or not part or "\0" in part
            for part in parts
        ):
            return None
        try:
            found = root.joinpath(*parts).resolve()
            return found if found.is_relative_to(root) and found.is_file() else None
        except OSError:
            return None
