"""What changed between two versions of a release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from openallen.display import bytes_text, card, count_text
from openallen.plans import Plan
from openallen.sources.releases.models import Manifest, ReleaseFile

__all__ = ["Change", "Comparison", "compare"]


@dataclass(frozen=True)
class Change:
    """One file that differs.

    Parameters
    ----------
    what
        ``added``, ``removed``, ``changed`` or ``renamed``.
    path
        Its path in the older version; of an added file, in the newer.
    before, after
        The file in each version.
    copied
        Whether the older version has the same bytes under another path: nothing to fetch.
    """

    what: str
    path: str
    before: ReleaseFile | None
    after: ReleaseFile | None
    copied: bool = False

    @property
    def size_bytes(self) -> int | None:
        """Bytes to fetch with the older version here; 0 where there is nothing to fetch."""
        if self.copied or self.what in {"removed", "renamed"}:
            return 0
        return self.after.size_bytes if self.after else None

    @property
    def file_bytes(self) -> int | None:
        """Size of the file: of the newer one, or of the one removed; None if unknown."""
        file = self.after or self.before
        return file.size_bytes if file else None

    def __str__(self) -> str:
        size = "size unknown" if self.file_bytes is None else bytes_text(self.file_bytes)
        if self.what == "renamed" and self.after is not None:
            return f"{self.path} renamed to {self.after.path}, {size}"
        return f"{self.path} {self.what}, {size}"


@dataclass(frozen=True)
class Comparison:
    """Two versions side by side.

    Parameters
    ----------
    older, newer
        The two manifests, in the order they were named.
    changes
        Every file that differs: tables first, by path.
    same
        How many files are equal in both.
    plan
        What fetching the newer one takes on this machine; None where that was not asked.
    """

    older: Manifest
    newer: Manifest
    changes: tuple[Change, ...] = field(repr=False)
    same: int
    plan: Plan | None = field(default=None, repr=False)

    def count(self, what: str) -> int:
        """Return the number of changes of one kind."""
        return sum(change.what == what for change in self.changes)

    @property
    def fetch_bytes(self) -> int | None:
        """Bytes to fetch with the older version here; None where a size is not known."""
        sizes = [c.size_bytes for c in self.changes]
        return None if None in sizes else sum(s or 0 for s in sizes)

    def __str__(self) -> str:
        old, new = self.older, self.newer
        if not self.changes:
            return f"{old.address} and {new.address} are equal"
        return "\n".join(
            [f"Changes from {old.address} to {new.address}\n", *map(str, self.changes)]
        )

    def _repr_html_(self) -> str:
        counts = {w: self.count(w) for w in ("added", "removed", "changed", "renamed")}
        facts: dict[str, object] = {w: n for w, n in counts.items() if n}
        facts |= {"same": self.same, "to fetch": self._to_fetch}
        return card(f"{self.older.address} to {self.newer.version}", facts)

    def to_dict(self) -> dict[str, object]:
        """Return the plain facts, ready for JSON."""
        return {
            "from": self.older.address,
            "to": self.newer.address,
            "same": self.same,
            "bytes_to_fetch": self.fetch_bytes,
            "bytes_missing": self.plan.missing_bytes if self.plan else None,
            "changes": [
                {
                    "change": c.what,
                    "path": c.path,
                    "new_path": c.after.path if c.what == "renamed" and c.after else None,
                    "kind": (c.after or c.before).kind if (c.after or c.before) else None,  # type: ignore[union-attr]
                    "size_bytes": c.size_bytes,
                    "file_bytes": c.file_bytes,
                }
                for c in self.changes
            ],
        }

    @property
    def summary(self) -> str:
        """The counts in one line: ``2 added, 1 changed, 48 files the same``."""
        words = ("added", "removed", "changed", "renamed")
        parts = [f"{self.count(w):,} {w}" for w in words if self.count(w)]
        return ", ".join([*parts, count_text(self.same, "file") + " the same"])

    @property
    def _to_fetch(self) -> str:
        size = "size unknown" if self.fetch_bytes is None else bytes_text(self.fetch_bytes)
        text = f"{size} with {self.older.version} here"
        if self.plan is not None:
            text += f"; now {self.plan.size_text or 'nothing'}"
        return text

    @property
    def size_summary(self) -> str:
        """What there is to fetch, in one line: with the older version here, and as it is now."""
        return f"to fetch: {self._to_fetch}"


def compare(older: Manifest, newer: Manifest) -> Comparison:
    """Compare two versions by path and digest.

    A file with another digest at the same path is changed; one that is gone from its path, but
    whose digest the other version has at a new path, is renamed.
    """
    before = {f.path: f for f in older.files}
    after = {f.path: f for f in newer.files}
    gone = [f for f in older.files if f.path not in after]
    fresh = [f for f in newer.files if f.path not in before]
    known = {f.digest for f in older.files if f.digest}
    moved = _moved(gone, fresh)
    targets = {f.path for f in moved.values()}
    changes = [
        Change("changed", path, f, after[path], after[path].digest in known)
        for path, f in before.items()
        if path in after and after[path].digest != f.digest
    ]
    for file in gone:
        target = moved.get(file.path)
        changes.append(Change("renamed" if target else "removed", file.path, file, target))
    changes += [
        Change("added", f.path, None, f, f.digest in known) for f in fresh if f.path not in targets
    ]
    same = sum(path in after and after[path].digest == f.digest for path, f in before.items())
    return Comparison(older, newer, tuple(sorted(changes, key=_place)), same)


def _moved(gone: Sequence[ReleaseFile], fresh: Sequence[ReleaseFile]) -> Mapping[str, ReleaseFile]:
    free: dict[str, list[ReleaseFile]] = {}
    for file in fresh:
        free.setdefault(file.digest, []).append(file)
    return {f.path: free[f.digest].pop(0) for f in gone if f.digest and free.get(f.digest)}


def _place(change: Change) -> tuple[bool, str]:
    file = change.after or change.before
    return (file is not None and file.kind != "table", change.path)
