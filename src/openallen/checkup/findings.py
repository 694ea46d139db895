"""What a check finds, and all findings together: as text, HTML and JSON."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from openallen.display import count_text, harmless, table_html
from openallen.errors import ExitCode, hint_line

__all__ = ["Checkup", "Finding", "note", "ok", "problem", "unset"]

State = Literal["ok", "note", "problem"]
_STATES: Final = ("ok", "note", "problem")
_SHELL: Final = re.compile(r"(unset|set|mv|ren|sudo|cd|quota|apt|w32tm)\b")
"""What commands begin with that are not ours."""
_WIDTH: Final = max(map(len, _STATES))


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Parameters
    ----------
    state
        ``ok``; ``note``, what may be meant so; or ``problem``, what does not work.
    text
        What was found, in words.
    action
        The command that mends it, or what to do in words; empty where nothing is to be done.
    facts
        The same for programs.
    check
        The check that found it.
    """

    state: State
    text: str
    action: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    check: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the finding ready for JSON."""
        return {
            "check": self.check,
            "state": self.state,
            "text": self.text,
            "action": self.action or None,
            "facts": dict(self.facts),
        }

    def __str__(self) -> str:
        said = f"try: {self.action}" if _SHELL.match(self.action) else hint_line(self.action)
        action = f"\n{'':{_WIDTH}}  {said}" if self.action else ""
        return f"{self.state:{_WIDTH}}  {self.text}{action}"


def ok(text: str, **facts: Any) -> Finding:
    """Return the finding that something is as it should be."""
    return Finding("ok", text, "", facts)


def note(text: str, action: str = "", **facts: Any) -> Finding:
    """Return the finding of something that may be meant so."""
    return Finding("note", text, action, facts)


def problem(text: str, action: str, **facts: Any) -> Finding:
    """Return the finding of something that does not work, with what mends it."""
    return Finding("problem", text, action, facts)


def unset(*names: str) -> str:
    """Return the command that takes variables out of the environment."""
    if sys.platform == "win32":
        return " & ".join(f"set {name}=" for name in names)
    return f"unset {' '.join(names)}"


@dataclass(frozen=True)
class Checkup:
    """All findings, in the order of the checks.

    Parameters
    ----------
    findings
        The findings.
    """

    findings: tuple[Finding, ...]

    def of(self, check: str) -> tuple[Finding, ...]:
        """Return the findings of one check.

        Parameters
        ----------
        check
            Its name: ``store``.
        """
        return tuple(f for f in self.findings if f.check == check)

    @property
    def problems(self) -> tuple[Finding, ...]:
        """What does not work."""
        return tuple(f for f in self.findings if f.state == "problem")

    @property
    def notes(self) -> tuple[Finding, ...]:
        """What may be meant so."""
        return tuple(f for f in self.findings if f.state == "note")

    @property
    def exit_code(self) -> ExitCode:
        """What the command line ends with: 1 if there is a problem."""
        return ExitCode.FAILED if self.problems else ExitCode.DONE

    @property
    def title(self) -> str:
        """The sum, in words."""
        problems = count_text(len(self.problems), "problem") if self.problems else "no problem"
        return f"openallen doctor: {problems}, {count_text(len(self.notes), 'note')}"

    def to_dict(self) -> dict[str, Any]:
        """Return the findings ready for JSON: one document, the same that the command prints."""
        return {
            "problems": len(self.problems),
            "notes": len(self.notes),
            "findings": [finding.to_dict() for finding in self.findings],
        }

    def __str__(self) -> str:
        blocks = [self.title]
        for check in dict.fromkeys(finding.check for finding in self.findings):
            lines = "\n".join(str(finding) for finding in self.of(check))
            blocks.append(f"{check}\n  " + lines.replace("\n", "\n  "))
        return harmless("\n\n".join(blocks), lines=True)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [
            (harmless(f.check), f.state, harmless(f.text), harmless(f.action))
            for f in self.findings
        ]
        return table_html(("check", "state", "found", "what to do"), rows, note=self.title)
