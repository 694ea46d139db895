"""The documentation tells the truth: its code runs, its links lead somewhere, its tables are whole."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from assetbucket import publish_assets
from buckets import empty_bucket
from farstores import publish_stores

from openallen.address import SCHEMES
from openallen.archive import KINDS, SAMPLE
from openallen.errors import ExitCode
from openallen.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"(<!-- not run: [^\n]+ -->\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

if not (ROOT / "docs").is_dir():
    pytest.skip("the documentation is not here", allow_module_level=True)


@dataclass(frozen=True)
class Block:
    language: str
    code: str
    line: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    return [
        Block(m[2], m[3], text.count("\n", 0, m.start()) + 1)
        for m in FENCE.finditer(text)
        if not m[1] and m[2] in {"bash", "python"}
    ]


def names(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="module")
def _assets(published, tmp_path_factory) -> None:
    """The buckets of AIND, on the same S3 server as the releases."""
    found = publish_assets(published.endpoint)
    publish_stores(found, ROOT / "tests" / "data", tmp_path_factory.mktemp("stores"))
    index = SAMPLE / "buckets" / "aind-open-data.jsonl"
    for row in map(json.loads, index.read_text("utf-8").splitlines()):
        found.put(row["key"], (SAMPLE / row["file"]).read_bytes())


@pytest.fixture(scope="module")
def _observatory(published) -> None:
    """The sample's bucket on the S3 server that pages are run against, beside the releases."""
    name = "allen-brain-observatory"
    empty_bucket(published.s3, name)
    folder = SAMPLE / "buckets" / name
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        key = path.relative_to(folder).as_posix()
        published.s3.upload_file(str(path), name, key, ExtraArgs={"ACL": "public-read"})


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=names)
@pytest.mark.usefixtures("_assets", "_observatory")
def test_the_code_of_a_page_runs(page, tmp_path, sample_url, release, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENALLEN_SOURCE", sample_url)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    namespace: dict[str, object] = {}
    for block in blocks(page):
        if block.language == "python":
            exec(compile("\n" * block.line + block.code, str(page), "exec"), namespace)
            continue
        done = subprocess.run(
            [shutil.which("bash") or "bash", "-euo", "pipefail", "-c", block.code],
            capture_output=True,
            text=True,
            check=False,
            timeout=150,
        )
        assert done.returncode == 0, f"line {block.line}: {done.stderr}"
        for code in re.findall(
            r'\|\| echo "exit code \$\?" +# (exit code \d+)$', block.code, re.MULTILINE
        ):
            assert code in done.stdout.splitlines(), f"line {block.line}: {done.stderr}"


def test_most_code_runs_and_what_does_not_says_why():
    run = sum(len(blocks(page)) for page in PAGES)
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    left_out = len(re.findall(r"^<!-- not run: \w", text, re.MULTILINE))
    assert run > 25
    assert left_out <= 10


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


def reference() -> dict[str, str]:
    path = ROOT / "tools" / "make_reference.py"
    spec = spec_from_file_location("make_reference", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.pages()


@pytest.mark.parametrize("name", ["cli.md", "manifest.md", "allensdk.md"])
def test_pages_made_from_the_code_are_up_to_date(name):
    page = (ROOT / "docs" / "reference" / name).read_text("utf-8")
    # Line breaks of help are click's affair.
    assert page.split() == reference()[name].split(), "run python tools/make_reference.py"


def test_tables_are_whole():
    trouble = (ROOT / "docs/how-to/trouble.md").read_text("utf-8")
    assert all(f"| {code.value} |" in trouble for code in ExitCode)
    settings = (ROOT / "docs/reference/settings.md").read_text("utf-8")
    assert all(
        f"| `{name}` | `OPENALLEN_{name.upper()}`" in settings for name in Settings().to_dict()
    )
    archive = (ROOT / "docs/how-to/archive.md").read_text("utf-8")
    assert all(f"`{kind}`" in archive for kind in KINDS)
    addresses = (ROOT / "docs/reference/addresses.md").read_text("utf-8")
    assert all(f"`{scheme}:" in addresses for scheme in SCHEMES)


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_a_page_says_first_what_it_is_for(page):
    title, _, rest = page.read_text("utf-8").partition("\n")
    assert re.fullmatch(r"# \S.*", title)
    rest = re.sub(r"^\n<!--[^\n]*-->\n", "", rest)
    assert re.match(r"\n[A-Z`][^\n|]{30,}", rest), "a sentence after the title"


def test_every_page_is_in_the_navigation():
    told = (ROOT / "zensical.toml").read_text("utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        assert str(page.relative_to(ROOT / "docs")) in told


def test_the_messages_of_the_page_on_problems_are_those_of_the_code():
    page = (ROOT / "docs/how-to/trouble.md").read_text("utf-8")
    table = page.partition("## Frequent messages")[2].partition("## ")[0]
    told = [
        m
        for row in re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
        for m in re.findall(r"`(.+?)`", row)
    ]
    source = "\n".join(p.read_text("utf-8") for p in (ROOT / "src").rglob("*.py"))
    assert len(told) > 5
    for part in (part for message in told for part in message.split("…")):
        assert part.strip("'( )").removesuffix(" extra") in source, part
