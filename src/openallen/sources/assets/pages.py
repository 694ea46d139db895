"""Pages of viewers for an asset, an image or a state in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openallen.formats.kinds import kind_of
from openallen.sources.assets import viewers
from openallen.sources.assets.content import contents
from openallen.sources.base import View

if TYPE_CHECKING:
    from openallen.transport.objects import RemoteObjects

__all__ = ["pages"]


def pages(whole: RemoteObjects, bucket: str, path: str = "") -> list[View]:
    """Return states of neuroglancer below a path; where there are none, one for each image.

    Parameters
    ----------
    whole
        The asset.
    bucket
        Name of its bucket.
    path
        An image, a state or a folder in it; all of it where empty.
    """
    if path.endswith(".json"):
        return _pages(list(viewers.view_of(whole, path, f"{whole.name}/{path}")))
    place = whole.within(path) if path else whole
    if path and kind_of(place) == "image":
        return _pages([_made(place, path)])
    found = list(viewers.views(place, bucket))
    if not found:
        images = [one.path for one in contents(place, []) if one.kind == "image"]
        found = [_made(place.within(one), f"{path}/{one}".lstrip("/")) for one in images]
    return _pages(found)


def _made(place: RemoteObjects, path: str) -> viewers.View:
    from openallen.formats.omezarr import OmeZarr

    return viewers.image_view(OmeZarr(place), path, place.name)


def _pages(found: list[viewers.View]) -> list[View]:
    return [View(title=v.path, url=v.url, layers=v.layers, made=v.made) for v in found]
