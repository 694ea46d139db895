"""Modules stay small enough to be read at once."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
LIMIT = 600


def test_no_module_is_long():
    folders = [
        ROOT / "src" / "openallen",
        ROOT / "tests" / "support",
        ROOT / "benchmarks",
        ROOT / "tools",
    ]
    long = {
        str(path.relative_to(ROOT)): lines
        for folder in folders
        for path in folder.rglob("*.py")
        if (lines := len(path.read_text("utf-8").splitlines())) > LIMIT
    }
    assert not long
