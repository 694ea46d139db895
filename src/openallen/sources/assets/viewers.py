"""Links to views of an asset: neuroglancer states in the asset, and states made for its images.

The pipelines of AIND write ``neuroglancer_config.json`` (or ``process_output.json``) beside their
results: a state, with a link to a viewer that loads it in ``ng_link``. Ephys assets have links to
figures in ``visualization_output.json``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from openallen.formats.kinds import STORE
from openallen.formats.omezarr.neuroglancer import VIEWER, state_link, state_of
from openallen.json_text import load_json
from openallen.transport.objects import RemoteObjects

if TYPE_CHECKING:
    from openallen.formats.omezarr import OmeZarr

__all__ = ["VIEWER", "View", "image_view", "view_of", "views"]

_STATE: Final = re.compile(
    r"(.*neuroglancer.*|process_output|visualization_output)\.json", re.IGNORECASE
)
_MOST_FOLDERS: Final = 200
_LARGEST_BYTES: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class View:
    """One view of an asset.

    Parameters
    ----------
    url
        URL for a browser.
    path
        File in the asset with the state, or the image it was generated for.
    layers
        Names of its layers, where known.
    made
        Whether the state was generated, as the asset has none.
    """

    url: str
    path: str
    layers: tuple[str, ...] = ()
    made: bool = False


def views(place: RemoteObjects, bucket: str) -> Iterator[View]:
    """Iterate over the states in an asset, by depth.

    Parameters
    ----------
    place
        The asset.
    bucket
        Name of its bucket.
    """
    waiting, seen = [""], 0
    while waiting and seen < _MOST_FOLDERS:
        path = waiting.pop(0)
        seen += 1
        entries, folders = place.level(path)
        for entry in entries:
            name = entry.key.rpartition("/")[2]
            if _STATE.fullmatch(name) and entry.size_bytes <= _LARGEST_BYTES:
                yield from view_of(
                    place, f"{path}/{name}".lstrip("/"), f"s3://{bucket}/{entry.key}"
                )
        waiting += [f"{path}/{n}".lstrip("/") for n in folders if not STORE.search(n)]


def view_of(place: RemoteObjects, path: str, address: str) -> Iterator[View]:
    """Iterate over the views of one document: none if it is not a state and has no links.

    Parameters
    ----------
    place
        The asset.
    path
        Path of the document in the asset.
    address
        Its address for viewers: ``s3://…``.
    """
    try:
        document = load_json(place.get(path) or b"")
    except ValueError:
        return
    if not isinstance(document, dict):
        return
    layers = document.get("layers")
    names = tuple(str(one.get("name", "")) for one in layers or () if isinstance(one, dict))
    link = document.get("ng_link")
    if isinstance(link, str) and _is_link(link):
        yield View(link, path, names)
    elif isinstance(layers, list):
        yield View(f"{VIEWER}/#!{quote(address, safe=':/')}", path, names)
    else:
        for name, url in _links(document):
            yield View(url, path, (name,) if name else ())


def _is_link(text: str) -> bool:
    return text.startswith(("https://", "http://"))


def _links(document: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Iterate over the URLs in a document, with their names."""
    if isinstance(document, str) and _is_link(document):
        yield name, document
    elif isinstance(document, dict):
        for key, value in document.items():
            yield from _links(value, f"{name}/{key}".lstrip("/"))
    elif isinstance(document, list):
        for value in document:
            yield from _links(value, name)


def image_view(image: OmeZarr, path: str, source: str) -> View:
    """Return a view of one image.

    Parameters
    ----------
    image
        The image.
    path
        Path in the asset.
    source
        Address of the image, ``s3://…`` or ``https://…``.
    """
    name = path.rpartition("/")[2]
    return View(state_link(state_of(image, source, name)), path, (name,), made=True)
