"""What changed between two versions of a release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from openallen.display import bytes_text, card, count_text
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
        Where it is: in the older version, or, of an added file, in the newer.
    before, after
        The file in each version.
    """

    what: str
    path: str
    before: ReleaseFile | None
    after: ReleaseFile | None

    @property
    def size_bytes(self) -> int | None:
        """Bytes to fetch for it: those of the newer file; 0 where there is nothing to fetch."""
        if self.what in {"removed", "renamed"}:
            return 0
        return self.after.size_bytes if self.after else None

    def __str__(self) -> str:
        if self.what == "renamed" and self.after is not None:
            return f"{self.path} renamed {self.after.path}"
        word = {"added": "created", "removed": "deleted"}.get(self.what, self.what)
        return f"{self.path} {word}"


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
    """

    older: Manifest
    newer: Manifest
    changes: tuple[Change, ...] = field(repr=False)
    same: int

    def count(self, what: str) -> int:
        """Count the changes of one kind."""
        return sum(change.what == what for change in self.changes)

    @property
    def fetch_bytes(self) -> int | None:
        """Bytes to fetch for who has the older one; None where a size is not known."""
        sizes = [c.size_bytes for c in self.changes]
        return None if None in sizes else sum(s or 0 for s in sizes)

    def __str__(self) -> str:
        old, new = self.older, self.newer
        names = [m.project.manifest_name(m.version) for m in (old, new)]
        if not self.changes:
            return f"{names[0]} and {names[1]} are equal"
        return "\n".join(
            [f"Changes going from\n{names[0]}\nto\n{names[1]}\n", *map(str, self.changes)]
        )

    def _repr_html_(self) -> str:
        counts = {w: self.count(w) for w in ("added", "removed", "changed", "renamed")}
        size = self.fetch_bytes
        facts = {w: n for w, n in counts.items() if n} | {"same": self.same}
        facts_text = {**facts, **({"to fetch": bytes_text(size)} if size is not None else {})}
        return card(f"{self.older.address} to {self.newer.version}", facts_text)

    def to_dict(self) -> dict[str, object]:
        """Give the plain facts, ready for JSON."""
        return {
            "from": self.older.address,
            "to": self.newer.address,
            "same": self.same,
            "bytes_to_fetch": self.fetch_bytes,
            "changes": [
                {
                    "change": c.what,
                    "path": c.path,
                    "new_path": c.after.path if c.what == "renamed" and c.after else None,
                    "kind": (c.after or c.before).kind if (c.after or c.before) else None,  # type: ignore[union-attr]
                    "size_bytes": c.size_bytes,
                }
                for c in self.changes
            ],
        }

    @property
    def summary(self) -> str:
        """The counts in one line."""
        words = ("added", "removed", "changed", "renamed")
        parts = [f"{self.count(w):,} {w}" for w in words if self.count(w)]
        return ", ".join([*parts, count_text(self.same, "file") + " the same"])


def compare(older: Manifest, newer: Manifest) -> Comparison:
    """Compare two versions by path and digest.

    A file with another digest at the same path is changed; one that is gone from its path, but
    whose digest the other version has somewhere new, is renamed.
    """
    before = {f.path: f for f in older.files}
    after = {f.path: f for f in newer.files}
    gone = [f for f in older.files if f.path not in after]
    fresh = [f for f in newer.files if f.path not in before]
    moved = _moved(gone, fresh)
    targets = {f.path for f in moved.values()}
    changes = [
        Change("changed", path, f, after[path])
        for path, f in before.items()
        if path in after and after[path].digest != f.digest
    ]
    for file in gone:
        target = moved.get(file.path)
        changes.append(Change("renamed" if target else "removed", file.path, file, target))
    changes += [Change("added", f.path, None, f) for f in fresh if f.path not in targets]
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
