"""The screenshots of the documentation are what the pages look like, and its pictures are used."""

from __future__ import annotations

import re
import shutil
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"


def _tool():
    spec = spec_from_file_location("make_screenshots", ROOT / "tools" / "make_screenshots.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclass looks itself up
    spec.loader.exec_module(module)
    return module


@pytest.mark.timeout(240)
def test_screenshots_show_what_the_pages_look_like(tmp_path):
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no Chromium installed")
    from playwright.sync_api import sync_playwright

    tool = _tool()
    with tool.sample_view(tmp_path / "openallen") as url, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=list(tool.FLAGS))
        made = {name: tool.shoot(browser, url, shot) for name, shot in tool.SHOTS.items()}
        browser.close()
    for name, png in made.items():
        committed = (IMAGES / f"{name}.png").read_bytes()
        # Fonts and graphics differ a little from machine to machine; other pages, by far more.
        assert tool.difference(png, committed) < 4, f"run python tools/make_screenshots.py {name}"
    for one, other in (("view", "view-front"), ("view-slices", "view-session")):
        assert tool.difference(made[one], made[other]) > 8


def test_every_picture_is_on_a_page():
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    text = "\n".join(page.read_text("utf-8") for page in pages)
    used = {Path(target).name for target in re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", text)}
    assert {path.name for path in IMAGES.glob("*.png")} <= used
