"""Write down what is installed with openallen: components, licences, known vulnerabilities.

    pip install uv cyclonedx-bom pip-licenses pip-audit
    python tools/bill_of_materials.py dist/openallen-0.2.0-py3-none-any.whl --to dist

For the bare install and for the extra `all`, each in an environment of its own: a document of
CycloneDX (`openallen-0.2.0-all.cdx.json`), a table of licences (`…-all.licences.md`), and what the
database of vulnerabilities says. Where that cannot be asked it says so, which is no all-clear. Ends
with 1 where a vulnerability is known, or where a licence is none that goes with BSD-3-Clause.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
INSTALLS = {"bare": "", "all": "[all]"}
# Copyleft of files or of libraries goes with ours, as long as these are installed and not copied.
FREE = re.compile(
    r"\b(BSD|0BSD|MIT|Apache|ISC|PSF|Python Software Foundation|Zlib|HPND|MPL|Mozilla|Unlicense|"
    r"CC0|Public Domain|LGPL|MIT-CMU|BlueOak)",
    re.IGNORECASE,
)


def main() -> None:
    """Write both bills and say what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--to", type=Path, default=Path("dist"))
    given = parser.parse_args()
    given.to.mkdir(parents=True, exist_ok=True)
    wrong: list[str] = []
    for name, extra in INSTALLS.items():
        stem = given.to / f"openallen-{given.wheel.name.split('-')[1]}-{name}"
        with tempfile.TemporaryDirectory() as folder:
            python = _installed(f"{given.wheel.resolve()}{extra}", Path(folder) / "venv")
            _components(python, stem.with_name(f"{stem.name}.cdx.json"))
            wrong += _licences(python, stem.with_name(f"{stem.name}.licences.md"))
            told, vulnerable = audited(_audit(python))
            print(f"{name}: {told}")
            wrong += vulnerable
    for line in dict.fromkeys(wrong):
        print(f"error: {line}", file=sys.stderr)
    sys.exit(bool(wrong))


def _tool(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else name


def _installed(what: str, venv: Path) -> Path:
    python = venv / "bin" / "python"
    subprocess.run([_tool("uv"), "venv", "-q", "--python", sys.executable, venv], check=True)
    subprocess.run([_tool("uv"), "pip", "install", "-q", "--python", python, what], check=True)
    return python


def _components(python: Path, to: Path) -> None:
    command: list[str | Path] = [
        _tool("cyclonedx-py"), "environment", "--output-reproducible", "--validate",
        "--sv", "1.6", "--of", "JSON", "--pyproject", ROOT / "pyproject.toml", "-o", to, python,
    ]  # fmt: skip
    subprocess.run(command, check=True)
    told = json.loads(to.read_text("utf-8"))
    told["metadata"]["component"]["version"] = to.name.split("-")[1]  # pyproject has it elsewhere
    for part in told["components"]:
        # The wheel's own place on this machine is nobody's business.
        references = part.get("externalReferences", [])
        references[:] = [r for r in references if not r["url"].startswith("file:")]
    to.write_text(json.dumps(told, indent=2, sort_keys=True) + "\n", "utf-8")
    print(f"{to}: {len(told['components'])} components")


def _licences(python: Path, to: Path) -> list[str]:
    done = subprocess.run(
        [_tool("pip-licenses"), "--python", python, "--format", "json", "--from", "mixed"],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = json.loads(done.stdout)
    lines = ["| package | version | licence |", "|---|---|---|"]
    lines += [f"| {r['Name']} | {r['Version']} | {_short(r['License'])} |" for r in rows]
    to.write_text("\n".join(lines) + "\n", "utf-8")
    print(f"{to}: {len(rows)} packages")
    refused = [r for r in rows if not FREE.search(r["License"])]
    return [f"{r['Name']}: licence {_short(r['License'])}" for r in refused]


def _short(licence: str) -> str:
    """Return the first line: some packages have their whole licence in this field."""
    return (licence.strip().splitlines() or ["unknown"])[0][:80]


def _audit(python: Path) -> str:
    packages = next(python.parents[1].glob("lib/python*/site-packages"))
    done = subprocess.run(
        [_tool("pip-audit"), "--path", packages, "--format", "json", "--progress-spinner", "off"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"NO_COLOR": "1"},
    )
    return done.stdout


def audited(answer: str) -> tuple[str, list[str]]:
    """Return what pip-audit found, in a sentence, and each vulnerability.

    Parameters
    ----------
    answer
        Its JSON; nothing where it could not ask.
    """
    try:
        packages = json.loads(answer)["dependencies"]
    except (ValueError, KeyError):
        return "the database of vulnerabilities could not be asked: nothing is known", []
    asked = [p for p in packages if "skip_reason" not in p]
    found = [
        f"{p['name']} {p['version']}: {v['id']}, fixed in {', '.join(v['fix_versions']) or 'none'}"
        for p in asked
        for v in p["vulns"]
    ]
    told = f"{len(found)} vulnerabilities known in {len(asked)} packages"
    if len(asked) < len(packages):
        told += (
            f"; {len(packages) - len(asked)} could not be asked about: nothing is known of these"
        )
    return told, found


if __name__ == "__main__":
    main()
