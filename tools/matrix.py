"""Try the wheel on each Python there is: installed, its tests, the demo, by uvx and by pipx.

    python tools/matrix.py                  # every interpreter of this machine
    python tools/matrix.py 3.13 --tests tests/formats
    python tools/matrix.py --wheel dist/openallen-0.2.0-py3-none-any.whl

Interpreters are those of PATH, of pyenv and of uv, the newest of each minor version. For a version
without an interpreter it is asked whether the wheels of all dependencies are there. Needs uv; pipx
is tried where it is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
QUICK = ("tests/ground", "tests/formats", "tests/brainmap")
_TOLD_LINES = 15


@dataclass
class Row:
    """One Python, and what became of it."""

    version: str
    python: str = ""
    told: dict[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Return whether something that was tried did not work."""
        return any(said.startswith("FAILS") for said in self.told.values())


def main() -> None:
    """Try them all and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("versions", nargs="*", default=VERSIONS, help="such as 3.12")
    parser.add_argument("--wheel", type=Path, help="a wheel that is built already")
    parser.add_argument("--tests", nargs="*", default=QUICK, help="which tests are run")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="openallen-matrix-") as folder:
        work = Path(folder)
        wheel = asked.wheel.resolve() if asked.wheel else _built(work)
        found = interpreters()
        rows = []
        for version in asked.versions:
            row = Row(version, found.get(version, ""))
            print(f"== Python {version}: {row.python or 'none here'}", file=sys.stderr, flush=True)
            if row.python:
                _try(row, wheel, asked.tests, work / version)
            else:
                row.told["wheels"] = _wheels(version, wheel)
            rows.append(row)
    print(table(rows))
    sys.exit(any(row.failed for row in rows))


def interpreters() -> dict[str, str]:
    """Return a Python for each minor version that has one here, the newest."""
    found: dict[str, tuple[tuple[int, ...], str]] = {}
    for python in _candidates():
        asked = subprocess.run(
            [python, "-c", "import ssl, sqlite3, sys; print(*sys.version_info[:3])"],
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.returncode:
            continue  # a shim of pyenv without its version, or a build without its libraries
        version = tuple(map(int, asked.stdout.split()))
        name = f"{version[0]}.{version[1]}"
        if name not in found or found[name][0] < version:
            found[name] = (version, python)
    return {name: python for name, (_, python) in found.items()}


def _candidates() -> Iterator[str]:
    for version in VERSIONS:
        on_path = shutil.which(f"python{version}")
        if on_path:
            yield on_path
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    yield from map(str, sorted(versions.glob("3.*/bin/python")))
    listed = subprocess.run(
        [_uv(), "python", "list", "--only-installed", "--output-format", "json"],
        capture_output=True,
        text=True,
        check=False,
    )
    for one in json.loads(listed.stdout or "[]"):
        if one.get("path"):
            yield one["path"]


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if not found:
        sys.exit("uv is needed: pip install uv")
    return found


def _built(work: Path) -> Path:
    subprocess.run([_uv(), "build", "-q", "--wheel", "-o", work / "dist", ROOT], check=True)
    return next((work / "dist").glob("*.whl"))


def _try(row: Row, wheel: Path, tests: list[str], work: Path) -> None:
    venv = work / "venv"
    python = str(venv / "bin" / "python")
    constraints = ["-c", str(ROOT / ".ci" / "constraints.txt")] if row.version != "3.14" else []
    subprocess.run([_uv(), "venv", "-q", "--python", row.python, venv], check=True)
    _step(row, "install", [
        _uv(), "pip", "install", "-q", "--python", python, *constraints, f"{wheel}[test]",
    ])  # fmt: skip
    if row.failed:
        return
    there = [t for t in tests if (ROOT / t).exists()]
    # From the checkout, where the tests and their data are; the package is that of the wheel.
    _step(row, "tests", [
        python, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", *there,
    ])  # fmt: skip
    demo = ["openallen", "demo", "--to", str(work / "demo")]
    _step(row, "demo", [str(venv / "bin" / demo[0]), *demo[1:]], work)
    _step(row, "uvx", [
        _uv(), "tool", "run", "-q", "--python", row.python, "--from", f"{wheel}[all]",
        *demo[:-1], str(work / "demo-uvx"),
    ], work)  # fmt: skip
    _pipx(row, wheel, work)


def _pipx(row: Row, wheel: Path, work: Path) -> None:
    beside = Path(sys.executable).with_name("pipx")
    pipx = str(beside) if beside.exists() else shutil.which("pipx")
    if not pipx:
        row.told["pipx run"] = row.told["pipx install"] = "no pipx"
        return
    homes = {"PIPX_HOME": str(work / "pipx"), "PIPX_BIN_DIR": str(work / "bin")}
    homes |= {"PIPX_MAN_DIR": str(work / "man")}
    given = [pipx, "run", "--python", row.python, "--spec", str(wheel), "openallen", "--version"]
    _step(row, "pipx run", given, work, homes)
    given = [pipx, "install", "-q", "--python", row.python, f"{wheel}[web,images,atlas]"]
    _step(row, "pipx install", given, work, homes)
    if row.told["pipx install"].startswith("FAILS"):
        return
    given = [str(work / "bin" / "openallen"), "demo", "--to", str(work / "demo-pipx")]
    _step(row, "pipx demo", given, work, homes)


def _step(
    row: Row, name: str, command: list[str], cwd: Path = ROOT, more: dict[str, str] | None = None
) -> None:
    """Run one step, and write down how it went and how long it took."""
    environment = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1"} | (more or {})
    cwd.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    took_s = time.monotonic() - begun
    last = (done.stdout.strip().splitlines() or [""])[-1].strip("= ")
    result = last.rpartition(" in ")[0] if name == "tests" else "works"
    row.told[name] = f"{result or last} ({took_s:.0f} s)" if not done.returncode else "FAILS"
    print(f"   {name}: {row.told[name]}", file=sys.stderr, flush=True)
    if done.returncode:
        print("\n".join(done.stdout.splitlines()[-_TOLD_LINES:]), file=sys.stderr, flush=True)


def _wheels(version: str, wheel: Path) -> str:
    """Say whether everything could be installed from wheels on a Python that is not here."""
    done = subprocess.run(
        [_uv(), "pip", "compile", "-q", "--python-version", version, "--only-binary", ":all:", "-"],
        input=f"openallen[test] @ {wheel.as_uri()}\n",
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return "all there"
    return "not all: " + " ".join(done.stderr.split())[:200]


def table(rows: list[Row]) -> str:
    """Return rows as a table of Markdown."""
    names = list(dict.fromkeys(name for row in rows for name in row.told))
    lines = [["Python", *names], ["---"] * (len(names) + 1)]
    for row in rows:
        label = row.version if row.python else f"{row.version} (no interpreter here)"
        lines.append([label, *(row.told.get(name, "") for name in names)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    main()
