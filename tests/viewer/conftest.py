"""Pages of the web view, served on loopback and opened in Debian's Chromium."""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import openallen as oa
from openallen.serving import serving
from openallen.settings import Settings
from openallen.viewer import ViewerOptions, viewer_app

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the stack of the embedded sample, at an eighth of the size."""
    store = tmp_path_factory.mktemp("viewed") / "store"
    settings = Settings.load(store=store, source="sample")
    oa.fetch("stack:313862022", settings=settings, downsample=3)
    return store


@pytest.fixture
def view() -> Iterator[Callable[..., str]]:
    """Serve the web view of a store: ``view(store, source="sample")`` returns its base URL."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def start(store: Path, source: str = "sample", **options: Any) -> str:
            settings = Settings.load(store=store, source=source)
            app = viewer_app(settings, ViewerOptions(**options))
            return stack.enter_context(serving(app, lifespan=True))

        yield start


@pytest.fixture(scope="session")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A session file of each kind; cut from published ones, see tests/data/nwb."""
    folder = tmp_path_factory.mktemp("sessions")
    packed = Path(__file__).parents[1] / "data" / "nwb" / "sessions.tar.xz"
    with tarfile.open(packed) as archive:
        safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(folder, **safe)
    return {
        "behavior": folder / "setA" / "behavior_session_883986743.nwb",
        "ophys": folder / "setA" / "behavior_ophys_experiment_957759562.nwb",
        "ecephys": folder / "setA" / "ecephys_session_1053941483.nwb",
        "lfp": folder / "setA" / "probe_probeA_lfp_1053941483.nwb",
    }


# Of a module, not of the session: while it is open, Playwright's event loop runs in this thread, and
# tests elsewhere that run one of their own could not.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A real browser without a window; skipped where none is installed."""
    if CHROMIUM is None:
        pytest.skip("no Chromium installed")
    from playwright.sync_api import sync_playwright

    os.environ.setdefault("DBUS_SESSION_BUS_ADDRESS", "disabled:")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A page that fails the test for an error in its console or a request that leaves loopback."""
    context = chromium.new_context(viewport={"width": 1400, "height": 860})
    found = context.new_page()
    wrong: list[str] = []
    found.on("console", lambda m: wrong.append(m.text) if m.type in {"error", "warning"} else None)
    found.on("pageerror", lambda error: wrong.append(str(error)))

    def left(request: Any) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "blob:", "data:")):
            wrong.append(f"left loopback: {request.url}")

    found.on("request", left)
    found.wrong = wrong
    yield found
    context.close()
    assert not wrong, wrong
