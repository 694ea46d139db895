"""A source of another package: installed beside openallen, and reached by every verb."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from loopback import file_handler

SOURCE = '''
from dataclasses import dataclass

from openallen.errors import NotFoundError
from openallen.plans import Plan, RemoteFile
from openallen.sources.base import SURE, Example, Facts, Field, Rows, Source, option
from openallen.transfer.job import FileJob

SERVER = "@SERVER@"
THINGS = {"alpha": 3, "beta": 5}


@dataclass(frozen=True, kw_only=True)
class FetchOptions:
    shout: bool = option(False, "Fetch the loud one.")


class Tiny(Source):
    """Numbers of a lab."""

    scheme = "tiny"
    title = "numbers of a lab"
    folder = "tiny"
    examples = (Example("tiny:alpha", "the first number"),)
    fetch_options = FetchOptions

    @classmethod
    def from_web(cls, web):
        from openallen.address import Address

        return Address("tiny", web.parts[0]) if web.bucket == "tiny-lab" and web.parts else None

    def rows(self, address, conditions, options, limit):
        rows = [{"name": name, "legs": legs} for name, legs in THINGS.items()]
        for condition in conditions:
            rows = [r for r in rows if str(r[condition.field]) == condition.value]
        return Rows(rows[:limit], ("name", "legs"), id_column="name", noun="number", total=len(rows))

    def facts(self, address, options):
        return Facts(
            address=str(address), title=f"Number {address.name}",
            fields=(Field("legs", self._one(address)),), ids=(address.name,),
        )

    def job(self, address, to, options):
        self._one(address)
        name = address.name.upper() if options.shout else address.name
        file = RemoteFile(address=str(address), url=f"{SERVER}/{name}.tiny", path=f"{name}.tiny", kind="numbers")
        plan = Plan(address=str(address), title=f"number {name}", source=SERVER, to=to, files=(file,))
        return FileJob(plan)

    def open(self, address, **options):
        folder = self.context.folder(address)
        if not folder.is_dir():
            raise self.not_here(address, NotFoundError("nothing was fetched"))
        return self.context.open_place(self.context.place(next(folder.glob("*.tiny"))))

    @classmethod
    def recognise(cls, place):
        return SURE if place.ends(".tiny") else 0

    def open_place(self, place, **options):
        return int(place.objects.get(place.file))

    def _one(self, address):
        if address.name not in THINGS:
            raise NotFoundError("no such number", address=str(address), hint="openallen list tiny:")
        return THINGS[address.name]
'''


PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "add-a-source.md"


def wheel(folder: Path, server: str) -> Path:
    """Write the package as a wheel: one module, one entry point."""
    path = folder / "tiny_lab-1.0-py3-none-any.whl"
    info = "tiny_lab-1.0.dist-info"
    files = {
        "tiny_lab.py": SOURCE.replace("@SERVER@", server),
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: tiny-lab\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[openallen.sources]\ntiny = tiny_lab:Tiny\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD"))
    with zipfile.ZipFile(path, "w") as packed:
        for name, text in files.items():
            packed.writestr(name, text)
    return path


@pytest.fixture
def lab(tmp_path, loopback):
    """Install the package into a folder of its own; give what runs Python with it."""
    server = loopback({"/alpha.tiny": file_handler(b"41"), "/ALPHA.tiny": file_handler(b"42")})
    target = tmp_path / "site"
    made = wheel(tmp_path, server.url)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--target", str(target), str(made)], check=True)
    assert sorted(p.name for p in target.glob("*.py")) == [
        "tiny_lab.py"
    ]  # all that a source touches
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(target), os.environ.get("PYTHONPATH", "")]).rstrip(
            os.pathsep
        )
    }

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words], capture_output=True, text=True, check=False, timeout=120,
            env=environment, cwd=tmp_path, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    return run


def test_every_verb_reaches_a_source_of_another_package(lab, tmp_path):
    def openallen(*words: str) -> subprocess.CompletedProcess[str]:
        return lab("-m", "openallen", *words)

    listed = openallen("list", "tiny:", "--json")
    assert [json.loads(line) for line in listed.stdout.splitlines()] == [
        {"name": "alpha", "legs": 3}, {"name": "beta", "legs": 5},
    ]  # fmt: skip
    assert "2 numbers" in openallen("list", "tiny:").stderr
    assert json.loads(openallen("show", "tiny:alpha", "--json").stdout)["legs"] == 3
    assert "--shout" in openallen("fetch", "tiny:", "--help").stdout
    assert openallen("fetch", "tiny:alpha").returncode == 0
    assert openallen("fetch", "tiny:alpha", "--shout", "--to", "loud").returncode == 0
    assert (tmp_path / "loud" / "ALPHA.tiny").read_bytes() == b"42"
    verified = openallen("store", "verify", "--json")
    assert json.loads(verified.stdout)["intact"] == 1
    assert "tiny:alpha" in openallen("store", "ls", "--ids").stdout
    code = (
        "import openallen as oa;"
        "print(oa.open('tiny:alpha'), oa.open('loud/ALPHA.tiny'),"
        "oa.Address.parse('s3://tiny-lab/beta'), len(oa.list('tiny:', legs=5)))"
    )
    assert lab("-c", code).stdout.split() == ["41", "42", "tiny:beta", "1"]


def test_what_it_does_not_know_is_told_as_everywhere(lab):
    unknown = lab("-m", "openallen", "show", "tiny:gamma")
    assert unknown.returncode == 3
    assert unknown.stderr == "error: tiny:gamma: no such number\n  try: openallen list tiny:\n"
    part = lab("-m", "openallen", "show", "tiny:alpha/more")
    assert part.returncode == 2
    option = lab("-m", "openallen", "fetch", "tiny:alpha", "--planes", "3")
    assert "--planes is for stack: and sections: addresses only" in option.stderr


def test_a_source_that_cannot_be_loaded_leaves_the_others_alone(tmp_path):
    info = tmp_path / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[openallen.sources]\nbroken = no_such_module:Source\nstack = tiny_lab:Tiny\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "openallen", "show", "rma:Specimen"],
        capture_output=True, text=True, check=False, timeout=120,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
    )  # fmt: skip
    assert done.returncode == 0
    done = subprocess.run(
        [sys.executable, "-m", "openallen", "show", "broken:1"],
        capture_output=True, text=True, check=False, timeout=120,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
    )  # fmt: skip
    assert done.returncode == 1
    assert "the source 'broken:' cannot be loaded" in done.stderr


@pytest.fixture
def weather(tmp_path, loopback):
    """Write the package of the page "Add a source", its server here; return a function that runs the CLI."""
    server = loopback({"/seattle/2024.csv": file_handler(b"month,rain_mm\n1,141\n2,89\n")})
    page = PAGE.read_text(encoding="utf-8")
    [entry] = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    [code] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    [(name, value)] = tomllib.loads(entry)["project"]["entry-points"]["openallen.sources"].items()
    module = value.partition(":")[0]
    file = tmp_path / "site" / Path(*module.split(".")).with_suffix(".py")
    info = tmp_path / "site" / "weather-1.0.dist-info"
    for folder in (file.parent, info):
        folder.mkdir(parents=True)
    file.write_text(code.replace("https://weather.example", server.url), encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: weather\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[openallen.sources]\n{name} = {value}\n")
    path = os.pathsep.join(filter(None, [str(tmp_path / "site"), os.environ.get("PYTHONPATH")]))

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words], capture_output=True, text=True, check=False, timeout=120,
            env=os.environ | {"PYTHONPATH": path}, cwd=tmp_path, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    return run


def test_the_source_of_the_page_works_with_every_verb(weather):
    def openallen(*words: str) -> subprocess.CompletedProcess[str]:
        return weather("-m", "openallen", *words)

    assert openallen("list", "weather:", "altitude_m__gt=50", "--ids").stdout == "seattle\n"
    assert openallen("show", "weather:seattle", "--json").returncode == 0
    planned = openallen("fetch", "weather:seattle", "--year", "2024", "--dry-run")
    assert "to fetch  1 file" in planned.stdout + planned.stderr
    assert openallen("fetch", "weather:seattle", "--year", "2024").returncode == 0
    assert openallen("verify", "weather:seattle").stdout.startswith("1 intact")
    opened = weather(
        "-c", "import openallen as oa; print(oa.open('weather:seattle')['rain_mm'].sum())"
    )
    assert opened.stdout == "230\n", opened.stderr


def test_the_source_of_the_page_never_leaves_out_a_filter(weather):
    none = weather("-m", "openallen", "list", "weather:", "altitude_m__gt=100")
    assert none.returncode == 3
    assert "nothing matches" in none.stderr
    mistyped = weather("-m", "openallen", "list", "weather:", "altitude=56")
    assert mistyped.returncode == 2
    assert "try: openallen list weather: altitude_m=56" in mistyped.stderr
    assert weather("-m", "openallen", "list", "weather:seattle").returncode == 2


def test_the_help_of_a_source_has_its_own_examples(weather):
    for verb, line in {
        "list": "openallen list weather:",
        "show": "openallen show weather:seattle",
        "fetch": "openallen fetch weather:seattle",
    }.items():
        shown = weather("-m", "openallen", verb, "weather:", "--help").stdout
        examples = shown.partition("Examples:")[2]
        assert line in examples
        assert "stack:" not in examples
        assert (
            f"(openallen {verb} SCHEME: --help)"
            in weather("-m", "openallen", verb, "--help").stdout
        )
