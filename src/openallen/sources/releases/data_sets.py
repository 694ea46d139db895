"""What a version of the ABC Atlas holds, by the names its users know: data set, then name.

A file is called ``metadata/WMB-10X/cell_metadata/csv`` by its kind. People call it
``WMB-10X/cell_metadata``, and a matrix ``WMB-10Xv2/WMB-10Xv2-TH/log2``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Final

from openallen.errors import NotFoundError
from openallen.sources.releases.models import Manifest, ReleaseFile

__all__ = [
    "KINDS",
    "METADATA",
    "MATRICES",
    "VOLUMES",
    "directories",
    "file_named",
    "files_in",
    "is_abc",
    "name_of",
    "named",
    "table_names",
]

METADATA: Final = "metadata"
MATRICES: Final = "expression_matrices"
VOLUMES: Final = "image_volumes"
KINDS: Final = (METADATA, MATRICES, VOLUMES, "mapmycells")
"""Kinds of files that there have been so far, in the order they are shown in."""
_CSV: Final = ".csv"
_NAMED: Final = 12


def is_abc(manifest: Manifest) -> bool:
    """Return whether a version is of the ABC Atlas, or published as that is."""
    return manifest.project.form == "abc-atlas"


def directory_of(file: ReleaseFile) -> str:
    """Return the data set that a file belongs to."""
    return file.id.partition("/")[0]


def name_of(file: ReleaseFile) -> str:
    """Return what a file is called in its data set: ``cell_metadata``, ``WMB-10Xv2-TH/log2``."""
    parts = file.id.split("/")[1:]
    return "/".join(parts[:-1] if len(parts) > 1 else parts)


def directories(manifest: Manifest) -> list[str]:
    """Return the data sets, in alphabetical order."""
    return sorted({directory_of(file) for file in manifest.files})


def files_in(manifest: Manifest, directory: str, kind: str = "") -> list[ReleaseFile]:
    """Return the files of a data set, of one kind or of all, by name.

    Parameters
    ----------
    manifest
        The version.
    directory
        The data set.
    kind
        ``metadata``, ``expression_matrices``, ``image_volumes``, ``mapmycells``; all where empty.

    Raises
    ------
    NotFoundError
        If there is no such data set, with the nearest.
    """
    inside = [file for file in manifest.files if directory_of(file) == directory]
    if not inside:
        raise no_directory(manifest, directory)
    return sorted((f for f in inside if kind in {"", f.kind}), key=name_of)


def no_directory(manifest: Manifest, directory: str) -> NotFoundError:
    """Return the error for a data set that there is not."""
    known = directories(manifest)
    near = get_close_matches(directory, known, 1)
    return NotFoundError(
        f"this release has no data set '{directory}'",
        address=manifest.address,
        why=f"it has {some(known)}",
        hint=f"openallen list {manifest.address}" + (f"/{near[0]}" if near else ""),
    )


def some(names: Iterable[str]) -> str:
    """Return the first names with commas, and how many more there are."""
    known = list(names)
    more = f" and {len(known) - _NAMED:,} more" if len(known) > _NAMED else ""
    return ", ".join(known[:_NAMED]) + more


def named(manifest: Manifest, path: Sequence[str]) -> tuple[ReleaseFile, ...]:
    """Return the files that a path of an address names; none where it is no such path.

    Parameters
    ----------
    manifest
        The version.
    path
        ``(directory, name…)``, ``(directory, kind)``, or the same with the kind in front; the name
        may be that of the file.

    Raises
    ------
    NotFoundError
        If the data set has nothing of that name, with the nearest.
    """
    kinds = {file.kind for file in manifest.files}
    kind, rest = (path[0], tuple(path[1:])) if path[0] in kinds else ("", tuple(path))
    if not rest:
        return ()
    inside = [f for f in manifest.files if directory_of(f) == rest[0] and kind in {"", f.kind}]
    if not inside:
        return ()
    if len(rest) == 1:
        return tuple(inside)
    if not kind and len(rest) == 2 and rest[1] in kinds:
        return tuple(f for f in inside if f.kind == rest[1]) or _nothing(manifest, rest, inside)
    wanted = "/".join(rest[1:])
    found = tuple(
        f
        for f in inside
        if f.id.partition("/")[2] == wanted
        or f"{name_of(f)}/".startswith(f"{wanted}/")
        or f.path.rpartition("/")[2] == wanted
    )
    return found or _nothing(manifest, rest, inside)


def _nothing(
    manifest: Manifest, rest: Sequence[str], inside: Iterable[ReleaseFile]
) -> tuple[ReleaseFile, ...]:
    wanted, names = "/".join(rest[1:]), list(dict.fromkeys(map(name_of, inside)))
    near = get_close_matches(wanted, names, 1)
    where = f"{manifest.address}/{rest[0]}"
    raise NotFoundError(
        f"the data set '{rest[0]}' has no '{wanted}'",
        address=f"{where}/{wanted}",
        why=f"it has {some(names)}",
        hint=f"openallen show {where}/{near[0]}" if near else f"openallen list {where}",
    )


def file_named(manifest: Manifest, directory: str, name: str, kind: str = "") -> ReleaseFile:
    """Return the one file of a data set that has a name.

    Parameters
    ----------
    manifest, directory, kind
        As for `files_in`.
    name
        ``cell_metadata``, ``WMB-10Xv2-TH/log2``, or the name of the file itself.

    Raises
    ------
    NotFoundError
        If there is no such data set or file; or several, with their names.
    """
    inside = files_in(manifest, directory, kind)
    wanted = tuple(part for part in str(name).split("/") if part)
    path = (kind, directory, *wanted) if kind in {f.kind for f in inside} else (directory, *wanted)
    found = named(manifest, path) if wanted else ()
    exact = [f for f in found if name_of(f) == name] or list(found)
    if len(exact) == 1:
        return exact[0]
    raise NotFoundError(
        f"the data set '{directory}' has {len(found)} files '{name}', not one",
        address=manifest.address,
        why=some(name_of(f) for f in found or inside),
        hint=f"openallen list {manifest.address}/{directory}",
    )


def is_table(file: ReleaseFile) -> bool:
    """Return whether a file is a table of metadata."""
    return file.kind == METADATA and file.path.lower().endswith(_CSV)


def table_name(file: ReleaseFile) -> str:
    """Return what a table is called: ``WMB-10X/cell_metadata``."""
    return f"{directory_of(file)}/{name_of(file)}"


def table_names(manifest: Manifest) -> dict[str, ReleaseFile]:
    """Return every table of metadata by its name, ``WMB-10X/cell_metadata``, in order."""
    found = {table_name(file): file for file in manifest.files if is_table(file)}
    return dict(sorted(found.items()))


def no_table(manifest: Manifest, wanted: str) -> NotFoundError:
    """Return the error for a table that there is not, with the nearest."""
    known = list(table_names(manifest))
    # Whoever leaves the data set out may mean any that has one of that name.
    same = [name for name in known if name.partition("/")[2] == wanted]
    near = same or get_close_matches(wanted, known, 3)
    return NotFoundError(
        f"this release has no table '{wanted}'",
        address=manifest.address,
        why=f"near: {some(near)}" if near else f"it has {some(known)}" if known else "it has none",
        hint=f"openallen list {manifest.address}/{near[0]}"
        if near
        else f"openallen list {manifest.address}",
    )
