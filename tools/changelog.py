"""Gather the fragments of `changes/` into `CHANGELOG.md`, and remove them.

    python tools/changelog.py --check     # are the fragments well formed?
    python tools/changelog.py 0.2.0       # gather; again for those that came later

What breaks goes to the version's section "Breaks", everything else to "More", from where it is
edited into the area it belongs to. What has been edited is left as it is.
"""

from __future__ import annotations

import argparse
import datetime as dt
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
KINDS = ("breaks", "new", "better", "fixed")
NAMED = re.compile(rf"(?P<name>[a-z0-9]+(?:-[a-z0-9]+)*)\.(?P<kind>{'|'.join(KINDS)})\.md")
MORE = "More"
_TITLE = re.compile(r"(?P<version>\d+\.\d+\.\d+\S*) \((?P<date>\d{4}-\d\d-\d\d)\)")


@dataclass
class Version:
    """One released version: its date, and its lines by area in order."""

    version: str
    date: str
    areas: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class Changelog:
    """The whole file: what stands at its top, and the versions, newest first."""

    top: str
    versions: list[Version]

    @classmethod
    def parse(cls, text: str) -> Changelog:
        """Read a changelog.

        Raises
        ------
        ValueError
            If a line is none that this tool writes.
        """
        top, *parts = re.split(r"^## ", text, flags=re.MULTILINE)
        return cls(top, [_version(part) for part in parts])

    def render(self) -> str:
        """Return the text of the file."""
        parts = [self.top]
        for version in self.versions:
            parts.append(f"## {version.version} ({version.date})\n\n")
            for area, lines in version.areas.items():
                parts.append(f"### {area}\n\n" + "".join(f"- {x}\n" for x in lines) + "\n")
        return "".join(parts).rstrip("\n") + "\n"

    def add(self, name: str, date: str, fragments: dict[str, str]) -> None:
        """Add fragments to a version, which is made if there is none of that name.

        Parameters
        ----------
        name
            The version.
        date
            Its date, if it is new.
        fragments
            Text by file name.
        """
        version = next((v for v in self.versions if v.version == name), None)
        if version is None:
            version = Version(name, date)
            self.versions.insert(0, version)
        for kind in KINDS:
            for file, text in sorted(fragments.items()):
                if NAMED.fullmatch(file)["kind"] == kind:  # type: ignore[index]
                    area = "Breaks" if kind == "breaks" else MORE
                    lines = version.areas.setdefault(area, [])
                    lines += [f"Fixed: {x}" if kind == "fixed" else x for x in _lines(text)]
        if "Breaks" in version.areas:
            version.areas = {"Breaks": version.areas.pop("Breaks")} | version.areas


def _version(part: str) -> Version:
    title, _, body = part.partition("\n")
    told = _TITLE.fullmatch(title)
    if told is None:
        raise ValueError(f"not VERSION (YYYY-MM-DD): {title!r}")
    found = Version(told["version"], told["date"])
    lines: list[str] | None = None
    for line in filter(str.strip, body.splitlines()):
        if line.startswith("### "):
            lines = found.areas.setdefault(line.removeprefix("### "), [])
        elif line.startswith("- ") and lines is not None:
            lines.append(line.removeprefix("- "))
        else:
            raise ValueError(f"neither an area nor one line of one: {line!r}")
    return found


def _lines(text: str) -> list[str]:
    """Return a line for each paragraph: fragments are wrapped, the changelog is not."""
    return [" ".join(x.split()) for x in re.split(r"\n\s*\n", text) if x.strip()]


def problems(file: str, text: str) -> list[str]:
    """Return what is wrong with a fragment.

    Parameters
    ----------
    file
        Its file name.
    text
        What it says.
    """
    found = []
    if not NAMED.fullmatch(file):
        found.append(f"{file}: not NAME.KIND.md with a kind of {', '.join(KINDS)}")
    if not text.strip():
        found.append(f"{file}: says nothing")
    if re.search(r"^\s*(#|[-*] |```)", text, re.MULTILINE):
        found.append(f"{file}: sentences only, no headings, lists or blocks of code")
    if text.strip() and text.strip()[-1] not in ".`)":
        found.append(f"{file}: the last sentence has no end")
    return found


def fragments(folder: Path) -> dict[str, str]:
    """Return the text of each fragment by file name."""
    paths = sorted(p for p in folder.iterdir() if p.name != "README.md")
    return {path.name: path.read_text("utf-8") for path in paths}


def main() -> None:
    """Check the fragments, and gather them if a version is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("version", nargs="?", help="gather into this version")
    asked.add_argument("--check", action="store_true", help="only check the fragments")
    parser.add_argument("--date", default=dt.datetime.now(dt.UTC).date().isoformat())
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout")
    given = parser.parse_args()
    found = fragments(given.root / "changes")
    wrong = [problem for file, text in found.items() for problem in problems(file, text)]
    if wrong:
        sys.exit("\n".join(wrong))
    if given.check:
        return
    path = given.root / "CHANGELOG.md"
    log = Changelog.parse(path.read_text("utf-8"))
    log.add(given.version, given.date, found)
    path.write_text(log.render(), "utf-8")
    for file in found:
        (given.root / "changes" / file).unlink()
    print(f"{len(found)} fragments gathered into {path}")


if __name__ == "__main__":
    main()
