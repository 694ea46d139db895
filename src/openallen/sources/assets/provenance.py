"""Provenance of assets, by names and metadata: sources and derived assets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from openallen.sources.assets.names import parse_name

__all__ = ["Family", "Member", "family_of"]


@dataclass(frozen=True, slots=True)
class Member:
    """One asset of a family.

    Parameters
    ----------
    name
        Name of the asset.
    sources
        Names of its source assets.
    how
        Origin of that information: ``metadata`` or ``name``; empty for assets without a source.
    row
        Its row of the catalogue; empty where it has none.
    inside
        Its content, for assets that do not differ in name otherwise.
    """

    name: str
    sources: tuple[str, ...]
    how: str
    row: Mapping[str, Any]
    inside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Family:
    """The assets derived from one acquisition, as a graph.

    Parameters
    ----------
    name
        The asset in question.
    members
        All assets, raw ones first, then by name.
    """

    name: str
    members: tuple[Member, ...]

    def sources(self, name: str = "") -> tuple[str, ...]:
        """Return the direct sources of an asset."""
        wanted = name or self.name
        return next((m.sources for m in self.members if m.name == wanted), ())

    def derived(self, name: str = "") -> tuple[str, ...]:
        """Return the assets derived directly from an asset."""
        wanted = name or self.name
        return tuple(m.name for m in self.members if wanted in m.sources)

    def to_rows(self) -> list[dict[str, Any]]:
        """Return a row for each asset: name, level, label, sources, and how they are known."""
        return [
            {
                "name": member.name,
                "level": member.row.get("level") or parse_name(member.name).level,
                "label": parse_name(member.name).label or None,
                "made_from": list(member.sources),
                "known_by": member.how or None,
                "public": member.row.get("public"),
                "in_catalogue": bool(member.row),
                "inside": list(member.inside) or None,
            }
            for member in self.members
        ]

    def told_apart(self, look: Callable[[str], tuple[str, ...]]) -> Family:
        """Return the same family with the content of assets that share label and source.

        A session may have several ``_processed_`` assets whose names differ in the time only.

        Parameters
        ----------
        look
            Returns the content of an asset.
        """
        alike = Counter((m.sources, parse_name(m.name).label) for m in self.members)
        members = tuple(
            replace(m, inside=look(m.name))
            if parse_name(m.name).label and alike[m.sources, parse_name(m.name).label] > 1
            else m
            for m in self.members
        )
        return replace(self, members=members)

    def __str__(self) -> str:
        """Return the graph as indented text, derived assets below their source."""
        names = {member.name for member in self.members}
        roots = [m for m in self.members if not set(m.sources) & names]
        lines: list[str] = []
        drawn: set[str] = set()

        def draw(member: Member, level: int) -> None:
            mark = "*" if member.name == self.name else " "
            absent = "" if member.row else "  (not in the catalogue)"
            hidden = "  (private)" if member.row.get("public") is False else ""
            again = "  (see above)" if member.name in drawn else ""
            lines.append(f"{mark} {'   ' * level}{member.name}{absent}{hidden}{again}")
            if member.inside and member.name not in drawn:
                lines.append(f"  {'   ' * level}  contains {_some(member.inside)}")
            if member.name in drawn:
                return
            drawn.add(member.name)
            for child in self.members:
                if member.name in child.sources:
                    draw(child, level + 1)

        for root in roots or self.members[:1]:
            draw(root, 0)
        return "\n".join(lines)

    def to_dot(self) -> str:
        """Return the graph in the DOT language of Graphviz."""

        def quoted(text: str) -> str:
            return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

        lines = ["digraph provenance {", "  rankdir=LR; node [shape=box];"]
        for member in self.members:
            style = " [penwidth=2]" if member.name == self.name else ""
            style = style or ("" if member.row else " [style=dashed]")
            lines.append(f"  {quoted(member.name)}{style};")
            lines += (
                f"  {quoted(source)} -> {quoted(member.name)}"
                f"{' [style=dashed]' if member.how == 'name' else ''};"
                for source in member.sources
            )
        return "\n".join([*lines, "}"]) + "\n"


def _some(names: tuple[str, ...], most: int = 8) -> str:
    text = ", ".join(names[:most])
    return f"{text}, and {len(names) - most} more" if len(names) > most else text


def family_of(name: str, rows: Iterable[Mapping[str, Any]]) -> Family:
    """Return all assets connected with one by provenance.

    Parameters
    ----------
    name
        The asset.
    rows
        Rows of the catalogue: at least those of the same subject and acquisition.
    """
    known = {str(row["name"]): row for row in rows}
    wanted = parse_name(name)
    links = {n: _sources(n, row) for n, row in known.items()}
    links.setdefault(wanted.text, _sources(wanted.text, {}))
    found: set[str] = set()
    waiting = [wanted.text]
    below: dict[str, list[str]] = {}
    for child, (sources, _) in links.items():
        for source in sources:
            below.setdefault(source, []).append(child)
    while waiting:
        at = waiting.pop()
        if at in found:
            continue
        found.add(at)
        waiting += links.get(at, _sources(at, {}))[0]
        waiting += below.get(at, [])
    members = [
        Member(n, *(links.get(n) or _sources(n, {})), known.get(n, {})) for n in sorted(found)
    ]
    return Family(wanted.text, tuple(sorted(members, key=lambda m: (len(m.sources) > 0, m.name))))


def _sources(name: str, row: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    listed = tuple(str(source) for source in row.get("sources") or () if source != name)
    by_name = parse_name(name).source
    if listed and listed != (by_name,):
        return listed, "metadata"
    return ((by_name,), "name") if by_name else ((), "")
