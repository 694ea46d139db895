"""Make the screenshots of the documentation: pages of the web view, from the embedded sample.

Run ``python tools/make_screenshots.py`` in an environment with the extra ``test`` and Chromium; no
network is used. A test makes them again and compares.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import openallen as oa
from openallen.serving import serving
from openallen.settings import Settings
from openallen.viewer import ViewerOptions, viewer_app

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

IMAGES: Final = Path(__file__).parents[1] / "docs" / "images"
SIZE_PX: Final = (1280, 760)
MOST_BYTES: Final = 200_000
FLAGS: Final = (
    "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--disable-background-networking", "--no-first-run", "--force-color-profile=srgb",
)  # fmt: skip
_PATIENCE_S: Final = 90.0
_FACTS_PX: Final = 944


@dataclass(frozen=True)
class Shot:
    """A screenshot.

    Parameters
    ----------
    path
        Which page, with the query that says what it shows.
    ready
        A condition in JavaScript: the page is drawn.
    """

    path: str
    ready: str


def _is(kind: str, state: str = "whole") -> str:
    return (
        f"document.querySelector('section.visual[data-kind={kind}]')?.dataset.state === '{state}'"
    )


SHOTS: Final = {
    "view": Shot(
        "/item/stack:313862022?view=projection&plane=31",
        f"{_is('stack')} && {_is('cell')}",
    ),
    "view-front": Shot(
        "/", "document.images.length > 0 && [...document.images].every((i) => i.complete)"
    ),
    "view-slices": Shot("/item/atlas:P56", _is("slices")),
    "view-session": Shot(
        "/item/release:visual-coding-neuropixels/ecephys_session/900000002",
        "document.querySelectorAll('section.visual canvas').length > 0",
    ),
}  # fmt: skip
ADDRESSES: Final[dict[str, dict[str, Any]]] = {
    "stack:313862022": {"downsample": 3},
    "cell:313862022": {},
    "grid:69855739": {},
    "atlas:P56": {},
    "release:visual-coding-neuropixels/ecephys_session/900000002": {},
}
"""What is in the store that is looked at, with the options it is fetched with."""


@contextmanager
def sample_view(store: Path) -> Iterator[str]:
    """Fetch a few things of the sample into a store, and serve the web view of it."""
    settings = Settings.load(store=store, source="sample")
    for address, options in ADDRESSES.items():
        oa.fetch(address, settings=settings, **options)
    with serving(viewer_app(settings, ViewerOptions()), lifespan=True) as url:
        yield url


def shoot(browser: Browser, url: str, shot: Shot) -> bytes:
    """Return a screenshot as PNG; dark, without motion, when everything of it is drawn."""
    width, height = SIZE_PX
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark", reduced_motion="reduce"
    )
    try:
        page = context.new_page()
        page.goto(url + shot.path, wait_until="load")
        _wait(page, shot.ready)
        time.sleep(1.0)  # what follows the first drawing: small curves, names
        return page.screenshot()
    finally:
        context.close()


def _wait(page: Page, ready: str) -> None:
    until = time.monotonic() + _PATIENCE_S
    while not page.evaluate(f"() => {ready}"):
        if time.monotonic() > until:
            raise TimeoutError(f"{page.url} is not drawn: {ready}")
        time.sleep(0.1)


def difference(one: bytes, other: bytes) -> float:
    """Return by how much two pictures differ: the mean of all colours at an eighth of the size.

    Not compared is the column on the right, which names the folder: that is another one each time.
    """
    import numpy as np
    from PIL import Image

    small = [
        np.asarray(
            Image.open(BytesIO(png)).convert("RGB").crop((0, 0, _FACTS_PX, SIZE_PX[1])).reduce(8)
        ).astype(float)
        for png in (one, other)
    ]
    return 255.0 if small[0].shape != small[1].shape else float(np.abs(small[0] - small[1]).mean())


def packed(png: bytes) -> bytes:
    """Return a picture with a palette: a page has few colours."""
    from PIL import Image

    out = BytesIO()
    Image.open(BytesIO(png)).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(
        out, "png", optimize=True
    )
    return out.getvalue()


def main() -> int:
    """Make every screenshot, or those that are named."""
    from playwright.sync_api import sync_playwright

    wanted = sys.argv[1:] or list(SHOTS)
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    with (
        tempfile.TemporaryDirectory() as folder,
        sample_view(Path(folder) / "openallen") as url,
        sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(executable_path=program, args=list(FLAGS))
        for name in wanted:
            made = packed(shoot(browser, url, SHOTS[name]))
            if len(made) > MOST_BYTES:
                raise ValueError(f"{name} has {len(made):,} bytes")
            (IMAGES / f"{name}.png").write_bytes(made)
            print(f"docs/images/{name}.png: {len(made):,} bytes")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
