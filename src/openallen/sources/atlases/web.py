"""Web addresses of the institute that mean a grid, a volume of an atlas, or an ontology."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from openallen.address import Address, Condition

if TYPE_CHECKING:
    from openallen.web_address import WebAddress

__all__ = ["atlas_address", "grid_address", "structures_address"]

_DOWNLOADS: Final = "download.alleninstitute.org"
_GRID: Final = re.compile(r"/grid_data/download(?:_file)?/(\d+)(?:\.zip|\.nrrd)?")
_GRAPH: Final = re.compile(r"/api/v2/structure_graph_download/(\d+)(?:\.\w+)?")
_PAGES: Final = {
    "mouse.brain-map.org": re.compile(r"/experiment/(?:show|thumbnails)/(\d+)"),
    "developingmouse.brain-map.org": re.compile(r"/experiment/(?:show|thumbnails)/(\d+)"),
    "connectivity.brain-map.org": re.compile(r"/projection/experiment/(?:cortical_map/)?(\d+)"),
}
"""Pages of the portals that show one section data set."""

_RELEASED: Final = re.compile(
    r"/informatics-archive/(?:current-release|[a-z]+-(?P<year>\d{4}))/mouse_ccf/(?P<rest>.+)"
)
_ANNOTATED: Final = re.compile(r"annotation/(?P<folder>\w+_\d{4})(?:/(?P<file>.+))?")
_FILES: Final = (
    (re.compile(r"annotation_(\d+)\.nrrd"), "annotation/{0}"),
    (
        re.compile(r"structure_masks/structure_masks_(\d+)/structure_(\d+)\.nrrd"),
        "mask/{1}/{0}",
    ),
    (re.compile(r"structure_meshes/(\d+)\.obj"), "mesh/{0}"),
)
_COMMON: Final = (
    (re.compile(r"average_template/average_template_(\d+)\.nrrd"), "template/{0}"),
    (re.compile(r"ara_nissl/ara_nissl_(\d+)\.nrrd"), "nissl/{0}"),
)
_FIRST_TEMPLATE: Final = 2015
"""The template of today's framework; an older release has another one."""


def grid_address(web: WebAddress) -> Address | None:
    """Return the address of a grid: of its download, or of the page of its data set."""
    path = web.path.rstrip("/")
    page = _PAGES.get(web.host)
    if page is not None and (found := page.fullmatch(path)):
        return Address("grid", found[1])  # what follows is the state of the page
    found = _GRID.fullmatch(path)
    if found is None or not _is_service(web.host):
        return None
    # The service's own word for what a connectivity grid holds is "image".
    told = (("include" if name == "image" else name, value) for name, value in web.query)
    conditions = tuple(Condition(name, "eq", value) for name, value in told)
    return Address("grid", found[1], conditions=conditions)


def structures_address(web: WebAddress) -> Address | None:
    """Return the address of the ontology that is downloaded there."""
    found = _GRAPH.fullmatch(web.path.rstrip("/"))
    if found is None or not _is_service(web.host):
        return None
    told = tuple(Condition(name, "eq", value) for name, value in web.query)
    return Address("structures", found[1], conditions=told)


def atlas_address(web: WebAddress) -> Address | None:
    """Return the address of a file of the Common Coordinate Framework, or of its folder.

    Files of a dated release are those of the current one: annotations have their year in their
    path, and the template has stayed since 2015.
    """
    if web.host != _DOWNLOADS or (released := _RELEASED.fullmatch(web.path.rstrip("/"))) is None:
        return None
    annotated = _ANNOTATED.fullmatch(released["rest"])
    if annotated is not None:
        name = _atlas_of(annotated["folder"])
        if not name or annotated["file"] is None:
            return Address("atlas", name) if name else None
        part = _part(_FILES, annotated["file"])
    else:
        name, part = "ccf-2017", _part(_COMMON, released["rest"])
        if int(released["year"] or _FIRST_TEMPLATE) < _FIRST_TEMPLATE:
            return None
    return Address("atlas", name, path=tuple(part.split("/"))) if part else None


def _part(files: tuple[tuple[re.Pattern[str], str], ...], path: str) -> str:
    """Return the part of an address that a published path is; empty where it is none."""
    for pattern, part in files:
        if found := pattern.fullmatch(path):
            return part.format(*found.groups())
    return ""


def _atlas_of(folder: str) -> str:
    """Return the atlas whose annotation lies in a folder; empty where there is none."""
    from openallen.sources.atlases.catalogue import ATLASES

    return next((a.name for a in ATLASES.values() if a.annotation == folder), "")


def _is_service(host: str) -> bool:
    return host.endswith(".brain-map.org") or host == "www.brainspan.org"
