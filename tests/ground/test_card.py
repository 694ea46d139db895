"""Cards as a browser lays them out."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess

import pytest

from openallen.display import card
from openallen.formats.png import gray_png

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("width_px", [1000, 420])
def test_a_picture_keeps_its_shape_and_labels_stay_in_one_line(tmp_path, width_px):
    png = gray_png([bytes(64)] * 64)
    image = "data:image/png;base64," + base64.b64encode(png).decode("ascii")
    facts = {"ophys experiment": 957759562, "file": "/a/long/folder" * 30 + " with spaces" * 9}
    page = tmp_path / "card.html"
    page.write_text(
        f'<meta charset="utf-8"><body style="width:{width_px}px">'
        f"{card('BehaviorOphysExperiment', facts, image=image)}"
        "<script>const i=document.querySelector('img'), h=document.querySelector('th');"
        "document.title=[i.width,i.height,h.getClientRects()[0].height,"
        "document.querySelector('body>div').scrollWidth].join(' ');"
        "</script>",
        "utf-8",
    )
    assert CHROMIUM is not None
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu",
            f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1100,900", "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    told = re.search(r"<title>([\d. ]+)</title>", done.stdout)
    assert told is not None
    width, height, label, whole = (float(n) for n in told[1].split())
    assert (width, height) == (64, 64)
    assert label < 30  # one line of 13 px type
    assert whole <= width_px
