"""The built front end that is committed: made of the sources, small, and asking nobody else."""

import gzip
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"
BUILT = ROOT / "src" / "openallen" / "viewer" / "static"
BUDGET_BYTES = 100_000


def built() -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in BUILT.iterdir() if p.suffix in {".js", ".css", ".svg"}}


def test_the_whole_front_end_is_under_100_kb_gzipped():
    sizes = {name: len(gzip.compress(body, 9)) for name, body in built().items()}
    assert {"page.js", "page.css", "stack.js", "cell.js", "favicon.svg"} <= set(sizes)
    # A notebook gets the same modules again in one file, and no page loads that.
    widget = {name: sizes.pop(name) for name in ("widget.js", "widget.css")}
    assert sum(sizes.values()) < BUDGET_BYTES, sizes
    assert sum(widget.values()) < BUDGET_BYTES, widget


def test_the_look_of_a_notebook_s_output_ends_where_it_does():
    text = re.sub(r"@[\w-]+[^{;]*\{", "", built()["widget.css"].decode())
    rules = re.findall(r"([^{}]+)\{[^{}]*\}", text)
    assert len(rules) > 100
    assert all(
        one.strip().startswith(".openallen")
        for rule in rules
        for one in re.split(r",(?![^(]*\))", rule)
    )


def test_nothing_of_it_comes_from_elsewhere():
    for name, body in built().items():
        text = body.decode()
        # the name of the language is no address that anyone asks
        assert not re.search(r"https?://(?!www\.w3\.org/)", text), name
        assert "sourceMappingURL" not in text, name
        assert not re.search(r"\beval\(|new Function\(", text), name


def test_chunks_that_are_imported_are_there():
    files = built()
    for name, body in files.items():
        for other in re.findall(r'(?:from|import)"\./([^"]+)"', body.decode()):
            assert other in files, (name, other)


def test_the_lock_file_names_no_host():
    text = (WEB / "package-lock.json").read_text()
    assert "://" not in text
    packages = json.loads(text)["packages"]
    assert all("integrity" in told for path, told in packages.items() if path)


def test_only_one_module_asks_the_server_and_none_is_long():
    for path in (WEB / "src").glob("*.ts"):
        text = path.read_text()
        assert len(text.splitlines()) < 400, path.name
        # A notebook has no server: views ask through a parameter. Jobs are no view; only pages have them.
        if path.name not in {"get.ts", "jobs.ts"}:
            assert not re.search(r"\b(fetch|XMLHttpRequest|EventSource)\(", text), path.name
        assert "innerHTML" not in text, path.name


@pytest.mark.skipif(
    shutil.which("node") is None or not (WEB / "node_modules").is_dir(),
    reason="needs node, and `npm ci --ignore-scripts` in web/",
)
def test_a_rebuild_gives_the_same_bytes(tmp_path):
    done = subprocess.run(
        ["node", "build.mjs", "--to", str(tmp_path)], cwd=WEB, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == built()
