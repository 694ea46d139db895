"""Which atlases there are, what each holds, and where it lies.

Two sorts. Those of the Common Coordinate Framework are NRRD volumes under published paths of the
informatics archive. Those of a reference space (the adult P56 and the developing ages) are zips
among the space's well-known files, found by their own name and never by their place in an answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Final

from openallen.errors import NotFoundError, UsageError
from openallen.sources.atlases.models import RESOLUTIONS_UM

__all__ = ["ATLASES", "AtlasFacts", "NrrdPart", "find_atlas", "nrrd_part", "zip_named"]

_MOUSE_CCF: Final = "current-release/mouse_ccf"


@dataclass(frozen=True, slots=True, kw_only=True)
class AtlasFacts:
    """One atlas.

    Parameters
    ----------
    name
        Its name in addresses.
    title
        What it is, in words.
    graph_id
        The ontology its ids are of.
    annotation
        Folder of its annotation in the informatics archive; empty for atlases of a reference space.
    reference_space_id
        Its reference space, where it is known by number.
    age
        The age its reference space is found by, where it is not.
    parts
        What is fetched when no part is named.
    """

    name: str
    title: str
    graph_id: int = 1
    annotation: str = ""
    reference_space_id: int | None = None
    age: str = ""
    parts: tuple[str, ...] = field(default=("atlasVolume", "gridAnnotation"))


_CCF_PARTS: Final = ("annotation/25", "template/25")
_KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "annotation": "annotation/25",
        "template": "template/25",
        "nissl": "nissl/25",
        "mask": "mask/VISp/25",
        "mesh": "mesh/385",
    }
)
"""Kinds of parts in the informatics archive, each with one that exists."""


def _known() -> dict[str, AtlasFacts]:
    found = [
        AtlasFacts(
            name=f"ccf-{year}",
            title=f"Allen Mouse Brain Common Coordinate Framework, annotation of {year}",
            annotation=f"ccf_{year}",
            reference_space_id=9,
            parts=_CCF_PARTS,
        )
        for year in (2017, 2016, 2015)
    ]
    found += [
        AtlasFacts(
            name="mouse-2011",
            title="Allen Mouse Brain Atlas, annotation of 2011, in the Common Coordinate Framework",
            annotation="mouse_2011",
            reference_space_id=9,
            parts=("annotation/25",),
        ),
        AtlasFacts(
            name="devmouse-2012",
            title="Allen Developing Mouse Brain Atlas, annotation of 2012 at P56",
            graph_id=17,
            annotation="devmouse_2012",
            reference_space_id=9,
            parts=("annotation/25",),
        ),
        AtlasFacts(name="P56", title="Adult mouse P56, coronal", reference_space_id=9),
        AtlasFacts(name="P56-sagittal", title="Adult mouse P56, sagittal", reference_space_id=10),
    ]
    found += [
        AtlasFacts(name=age, title=f"Developing mouse {age}", graph_id=17, age=age)
        for age in ("E11.5", "E13.5", "E15.5", "E18.5", "P4", "P14", "P28")
    ]
    return {atlas.name: atlas for atlas in found}


ATLASES: Final[Mapping[str, AtlasFacts]] = MappingProxyType(_known())
"""Every atlas, by name."""


def find_atlas(name: str) -> AtlasFacts:
    """Return an atlas by its name in any case, or by the number of a reference space.

    Raises
    ------
    NotFoundError
        If there is none of that name, with what was perhaps meant.
    """
    by_name = {known.casefold(): atlas for known, atlas in ATLASES.items()}
    found = by_name.get(name.casefold())
    if found is None and name.isdigit():
        title = f"reference space {name}"
        return AtlasFacts(name=name, title=title, reference_space_id=int(name))
    if found is None:
        near = get_close_matches(name.casefold(), by_name, 1)
        raise NotFoundError(
            "no such atlas",
            address=f"atlas:{name}",
            why="known: " + ", ".join(ATLASES),
            hint=f"openallen show atlas:{by_name[near[0]].name}"
            if near
            else "openallen list atlas:",
        )
    return found


@dataclass(frozen=True, slots=True)
class NrrdPart:
    """One file of the informatics archive.

    Parameters
    ----------
    part
        Its part of an address: ``annotation/25``.
    path
        Where it lies, below the archive's root.
    file
        Where it goes, below the atlas's folder: its published name.
    """

    part: str
    path: str
    file: str


def nrrd_part(atlas: AtlasFacts, parts: tuple[str, ...]) -> NrrdPart:
    """Find the file that a part of an address names.

    ``annotation/25``, ``template/25`` (the average template), ``nissl/25``, ``mask/385/25`` (one
    structure, by id), ``mesh/385``.

    Raises
    ------
    UsageError
        If there is no such part, or no such voxel size.
    """
    kind, *rest = parts
    tree = f"{_MOUSE_CCF}/annotation/{atlas.annotation}"
    if kind == "mesh" and len(rest) == 1 and rest[0].isdigit():
        name = f"structure_meshes/{rest[0]}.obj"
        return NrrdPart(f"mesh/{rest[0]}", f"{tree}/{name}", name)
    um = _resolution(atlas, kind, rest)
    if kind == "annotation" and len(rest) <= 1:
        name = f"annotation_{um}.nrrd"
        return NrrdPart(f"annotation/{um}", f"{tree}/{name}", name)
    if kind == "template" and len(rest) <= 1:
        name = f"average_template_{um}.nrrd"
        return NrrdPart(f"template/{um}", f"{_MOUSE_CCF}/average_template/{name}", name)
    if kind == "nissl" and len(rest) <= 1:
        name = f"ara_nissl_{um}.nrrd"
        return NrrdPart(f"nissl/{um}", f"{_MOUSE_CCF}/ara_nissl/{name}", name)
    if kind == "mask" and rest[:1] and len(rest) <= 2 and rest[0].isdigit():
        name = f"structure_masks_{um}/structure_{rest[0]}.nrrd"
        return NrrdPart(f"mask/{rest[0]}/{um}", f"{tree}/structure_masks/{name}", name)
    raise _no_part(atlas, "/".join(parts))


def _resolution(atlas: AtlasFacts, kind: str, rest: list[str]) -> int:
    told = rest[-1] if rest and not (kind == "mask" and len(rest) == 1) else "25"
    if not told.isdigit() or int(told) not in RESOLUTIONS_UM:
        sizes = ", ".join(map(str, RESOLUTIONS_UM))
        raise UsageError(
            f"no such voxel size '{told}'",
            address=f"atlas:{atlas.name}/{kind}",
            why=f"sizes: {sizes} µm",
            hint=f"openallen show atlas:{atlas.name}/{_KINDS.get(kind, 'annotation/25')}",
        )
    return int(told)


def _no_part(atlas: AtlasFacts, part: str) -> UsageError:
    kind = part.partition("/")[0]
    near = (get_close_matches(kind, _KINDS, 1) or ["annotation"])[0]
    return UsageError(
        f"this atlas has no part '{part}'",
        address=f"atlas:{atlas.name}",
        why="parts: annotation, template, nissl, mask/ID, mesh/ID",
        hint=f"openallen show atlas:{atlas.name}/{_KINDS[near]}",
    )


def zip_named(files: list[Mapping[str, Any]], part: str, atlas: str) -> Mapping[str, Any]:
    """Choose, among well-known files of a reference space, the one a part names.

    Its own name decides: ``gridAnnotation`` is the file called so, else the one whose name ends in
    it (``P56_Mouse_gridAnnotation.zip``).

    Raises
    ------
    NotFoundError
        If there is none, or more than one, with the names there are.
    """
    stems = {re.sub(r"\.zip$", "", str(f.get("path", "")).rpartition("/")[2]): f for f in files}
    if part in stems:
        return stems[part]
    ending = [stem for stem in stems if re.search(rf"(^|[_\W]){re.escape(part)}$", stem)]
    if len(ending) != 1:
        raise NotFoundError(
            f"{'several files are' if ending else 'no file is'} called {part}",
            address=f"atlas:{atlas}",
            why="files: " + (", ".join(sorted(ending or stems)) or "none"),
            hint=f"openallen show atlas:{atlas}/{min(ending or stems)}" if stems else "",
        )
    return stems[ending[0]]
