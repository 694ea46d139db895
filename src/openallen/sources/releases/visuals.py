"""What a release looks like: the tables of it that are here, and what kinds of files it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from openallen.visuals import TableVisual, Visual

if TYPE_CHECKING:
    from openallen.sources.releases.read import Release

__all__ = ["visuals_of_release"]


def visuals_of_release(release: Release) -> tuple[Visual, ...]:
    """Return the views of a release; nothing is fetched for them.

    Parameters
    ----------
    release
        The release.
    """
    files = release.manifest.by_kind.get("table", {})
    here = [name for name, file in files.items() if release.has(file)]
    return (*(_table(release, name) for name in here), _contents(release))


def _table(release: Release, name: str) -> TableVisual:
    index = release.manifest.project.tables.get(name, "")
    kind = index.removesuffix("_id")
    files = release.manifest.by_kind.get(kind, {})

    def address(row: Mapping[str, Any]) -> str | None:
        value = str(row.get(index))
        return f"{release.address}/{kind}/{value}" if value in files else None

    return TableVisual(
        name=f"table-{name}",
        title=name.replace("_", " "),
        table=lambda: list(release.rows(name)),
        address=address,
    )


def _contents(release: Release) -> TableVisual:
    kinds = release.manifest.by_kind

    def rows() -> list[dict[str, Any]]:
        files = [
            {
                "kind": kind.replace("_", " "),
                "files": len(found),
                "here": sum(release.has(file) for file in found.values()),
                "address": f"{release.address}/{kind}",
            }
            for kind, found in kinds.items()
            if kind not in {"table", "resources"}
        ]
        tables = [
            {
                "kind": f"table {name}",
                "files": 1,
                "here": int(release.has(file)),
                "address": f"{release.address}/{name}",
            }
            for name, file in kinds.get("table", {}).items()
        ]
        asked = [  # rows of a service, in no file of the release
            {"kind": f"table {name}", "address": f"{release.address}/{name}"}
            for name in release.tables
            if name not in kinds.get("table", {})
        ]
        return [*tables, *asked, *files]

    return TableVisual(
        name="contents", title="What is in it", table=rows, address=lambda row: row["address"]
    )
