"""Looking after the releases in the store and in folders: what is held, verify, adopt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from openallen.errors import StoreError
from openallen.paths import expanded
from openallen.sources.releases import retention
from openallen.sources.releases.access import cache_of, only_project, project_names, release_in
from openallen.sources.tables import Row
from openallen.store import Store

if TYPE_CHECKING:
    from openallen.sources.context import Context
    from openallen.store.checked import Checked

__all__ = ["adopt", "held_rows", "verify_folder"]


def held_rows(context: Context) -> Iterator[Row]:
    """Return one row for each version in the store, with its files and bytes.

    ``shared_bytes`` are those that have other names too: pruning this one alone does not free them.
    """
    for cache in (cache_of(context, name) for name in project_names(context)):
        held = retention.versions_held(cache)
        # Versions in a mirror share their places: it is one thing, of the version that is newest.
        for version in held[:1] if cache.mirror else held:
            if version.files:
                yield version.to_dict()


def verify_folder(context: Context, folder: Path, known: dict[Path, Checked]) -> Iterator[Checked]:
    """Read a folder that holds releases, or one version, through, wherever it is.

    Versions share bytes, so all of a project are read together; what was found of the others is
    noted, and taken from there when their turn comes.

    Parameters
    ----------
    context
        Settings and clients.
    folder
        The folder.
    known
        What was found before; what is found now is put there.

    Raises
    ------
    NotFoundError
        If it holds no manifest of a release.
    UsageError
        If it holds several projects.
    """
    cache, _ = release_in(context, folder)
    inside = [c for path, c in known.items() if path.is_relative_to(folder)]
    if inside:
        yield from inside
        return
    with Store(context.settings.store).index() as index:
        for checked in retention.verify(cache, index):
            known[checked.path] = checked
            if checked.path.is_relative_to(folder):
                yield checked


def adopt(
    context: Context,
    folder: Path,
    in_place: bool = False,
    step: Callable[[Checked], object] = lambda _: None,
) -> retention.Adopted:
    """Adopt a cache of AllenSDK, into the store or in place; fetches nothing.

    Parameters
    ----------
    context
        Settings and clients.
    folder
        The folder AllenSDK was given as its cache.
    in_place
        Whether it stays where it is, and the store points there.
    step
        Is told of each file.

    Raises
    ------
    NotFoundError
        If it holds no manifest of a release.
    UsageError
        If it holds several projects.
    StoreError, SpaceError
        If files cannot be shared.
    """
    source = expanded(folder).absolute()
    if source.exists() and not source.is_dir():
        raise StoreError("this is a file, not a folder", address=str(source))
    name, _ = only_project(source)
    store = Store(context.settings.store)
    cache = cache_of(context, name, source if in_place else None)
    with store.index() as index:
        found = retention.adopt(source, cache, index, step)
    if in_place:
        store.point("releases", name, source)
    return found
