"""Write the reference pages that are made: commands, manifest, calls of AllenSDK.

    python tools/make_reference.py

A test compares the pages with what this makes, so they cannot drift.
"""

from __future__ import annotations

import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from openallen.cli.app import COMMANDS
from openallen.cli.options import SourceCommand
from openallen.sources.cells import manifest as cells
from openallen.sources.options import describe
from openallen.sources.registry import source_classes
from openallen.sources.sections import manifest as sections
from openallen.sources.stacks.manifest import build_schema

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"
_MADE = "<!-- made by tools/make_reference.py -->\n"


def main() -> None:
    """Write the pages."""
    for name, text in pages().items():
        (REFERENCE / name).write_text(text, "utf-8")
        print(REFERENCE / name, file=sys.stderr)


def pages() -> dict[str, str]:
    """Return the text of each page by file name."""
    return {"cli.md": _commands(), "manifest.md": _manifest(), "allensdk.md": _allensdk()}


_STATES = {"same": "same values", "differs": "differs", "no": "not here"}


def _allensdk() -> str:
    """Return the page of AllenSDK's calls, from the list that a test runs."""
    told = tomllib.loads((REFERENCE / "allensdk.toml").read_text("utf-8"))
    parts = [
        f"# Calls of AllenSDK\n\n{_MADE}\n"
        "What does the same as a call of AllenSDK. A test runs the expressions on this page "
        "against the sample, those of Visual Behavior against a small release; not those "
        "whose note says what the sample lacks. A script that exists runs with its imports "
        "changed: [Coming from AllenSDK](../how-to/from-allensdk.md).\n"
    ]
    for area in told["area"]:
        parts.append(f"\n## {area['title']}\n")
        if area.get("setup"):
            # What the sample does not have runs with the calls, not with the pages.
            fence = "text" if area.get("needs") else "python"
            parts.append(f"\n```{fence}\n{area['setup'].strip()}\n```\n")
        parts.append("\n| AllenSDK | openallen | | note |\n|---|---|---|---|\n")
        for call in area["call"]:
            ours = f"`{call['ours']}`" if call.get("ours") else ""
            note = "; ".join(filter(None, (call.get("note"), _not_run(call))))
            cells = (f"`{call['allensdk']}`", ours, _STATES[call["state"]], note)
            parts.append("| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |\n")
    return "".join((*parts, _notebooks(told["notebook"])))


def _not_run(call: dict[str, Any]) -> str:
    return f"not run: {call['reason']}" if call.get("reason") else ""


def _notebooks(rows: list[dict[str, Any]]) -> str:
    """Return the table of AllenSDK's example notebooks, with sums."""
    steps, whole = (sum(row[name] for row in rows) for name in ("steps", "whole"))
    lines = [
        "\n## Notebooks\n",
        "Steps of AllenSDK's example notebooks are calls that get data, in order. Those that are",
        "whole give the same values in one call here.\n",
        "| notebook | steps | whole | the rest |\n|---|---|---|---|",
        *(f"| {r['name']} | {r['steps']} | {r['whole']} | {r.get('rest', '')} |" for r in rows),
    ]
    return "\n".join([*lines, f"| {len(rows)} notebooks | {steps} | {whole} | |"]) + "\n"


def _commands() -> str:
    parts = [f"# Commands\n\n{_MADE}\nWhat `openallen COMMAND --help` says.\n"]
    for name in COMMANDS:
        command = import_module(f"openallen.cli.{name}_command").command
        context = click.Context(
            command, info_name=f"openallen {name}", terminal_width=90,
            help_option_names=["-h", "--help"],
        )  # fmt: skip
        context.max_content_width = 90
        help_text = command.get_help(context)
        parts.append(f"\n## {name}\n\n```text\n{help_text}\n```\n")
        if isinstance(command, SourceCommand):
            parts += _options(name, command.kind)
    return "".join(parts)


def _options(command: str, kind: str) -> list[str]:
    """Return a table of the options each source adds to a command."""
    parts = []
    for source in source_classes():
        described = describe(getattr(source, kind))
        if not described:
            continue
        lines = [
            f"\n### {command} {source.scheme}:\n",
            "| option | in Python | what |",
            "|---|---|---|",
        ]
        for one in described:
            flags = ", ".join(f"`{flag}`" for flag in (one.flag, *one.option.flags))
            keyword = (
                f"`{one.name}={one.option.example}`" if one.option.example else f"`{one.name}`"
            )
            lines.append(f"| {flags} | {keyword} | {one.option.help} |".replace("||", "| |"))
        parts.append("\n".join(lines) + "\n")
    return parts


def _manifest() -> str:
    parts = [
        f"# The manifest\n\n{_MADE}\n"
        "`manifest.json` of a packaged stack follows the JSON Schema\n"
        "`openallen/sources/stacks/stack-manifest-1.schema.json`, which comes with the package.\n"
        "Readers may rely on these keys; the number grows when one of them changes its meaning.\n"
        "Pixels are counted from the upper left corner, x to the right, y down; z is 0 at\n"
        "the first section.\n",
        *_tables(build_schema(), "manifest.json"),
        "\n## manifest.json of a cell\n\n"
        "That of a patched cell follows\n"
        "`openallen/sources/cells/cell-manifest-1.schema.json`.\n",
        *_tables(cells.build_schema(), "Its keys"),
        "\n## manifest.json of section images\n\n"
        "That of the section images of a data set, or the plates of an atlas, follows\n"
        "`openallen/sources/sections/sections-manifest-1.schema.json`.\n",
        *_tables(sections.build_schema(), "Keys of section images"),
    ]
    return "\n".join(parts)


def _tables(schema: dict[str, Any], title: str) -> list[str]:
    named = schema["$defs"]
    order = [name for name in named if name != "Manifest"]
    return [_table(title, named.get("Manifest", schema)), *(_table(n, named[n]) for n in order)]


def _table(title: str, schema: dict[str, Any]) -> str:
    required = set(schema.get("required", ()))
    about = schema.get("description", "").partition("\n")[0]
    lines = [f"\n## {title}\n", about + "\n"] if about else [f"\n## {title}\n"]
    lines += ["| key | type | always | what |", "|---|---|---|---|"]
    for key, part in schema.get("properties", {}).items():
        told, kind = _description(part), _kind(part)
        lines.append(f"| `{key}` | {kind} | {'yes' if key in required else ''} | {told} |")
    return "\n".join(lines) + "\n"


def _description(part: dict[str, Any]) -> str:
    found = part.get("description", "")
    for option in part.get("anyOf", ()):
        found = found or option.get("description", "")
    return str(found).partition("\n")[0].replace("|", "\\|")


def _kind(part: dict[str, Any]) -> str:
    if "anyOf" in part:
        return " or ".join(_kind(option) for option in part["anyOf"])
    if "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if part.get("type") == "array":
        inner = part.get("items", {})
        return f"list of {_kind(inner)}" if isinstance(inner, dict) and inner else "list"
    return str(part.get("type", "any"))


if __name__ == "__main__":
    main()
