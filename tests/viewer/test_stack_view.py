"""The live view of a stack and its reconstruction, in Debian's Chromium with software GL."""

import io
import time
from pathlib import Path
from urllib.parse import parse_qs

import numpy as np
import pytest
from PIL import Image

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
STACK = 'section.visual[data-kind="stack"]'
CELL = 'section.visual[data-kind="cell"]'
ADDRESS = "stack:313862022"


@pytest.fixture
def opened(view, stored, page):
    """Open the page of the stack with a query; returns the page when all pictures are there."""
    base = view(stored)

    def open_(query: str = "", seen=page):
        seen.goto(f"{base}/item/{ADDRESS}{query}")
        settled(seen)
        return seen

    return open_


def wait(page, script: str, seconds: float = 60) -> None:
    """Wait for a condition; polled from here, since the pages forbid scripts in strings."""
    until = time.monotonic() + seconds
    while not page.evaluate(script):
        assert time.monotonic() < until, (script, data(page))
        time.sleep(0.05)


def settled(page) -> None:
    wait(page, f"() => document.querySelector('{STACK}')?.dataset.state === 'whole'")


def data(page, which: str = STACK) -> dict[str, str]:
    return page.evaluate(f"() => ({{...document.querySelector('{which}')?.dataset}})")


def query(page, *names: str) -> dict[str, str]:
    """Return the query of the address, which follows a moment later; wait for names."""
    until = time.monotonic() + 20
    time.sleep(0.4)
    while True:
        found = {
            k: v[0] for k, v in parse_qs(page.evaluate("() => location.search.slice(1)")).items()
        }
        if set(names) <= set(found) or time.monotonic() > until:
            return found
        time.sleep(0.05)


def pixels(page, which: str = ".plane canvas") -> np.ndarray:
    page.evaluate("() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))")
    shot = page.locator(which).screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(np.int16)


def go_to(page, plane: int) -> None:
    wait(page, f"() => document.querySelector('{STACK}').dataset.plane === '{plane}'")
    settled(page)


def test_it_starts_whole_on_the_sharpest_plane(opened):
    page = opened()
    asked = (
        f"() => fetch(document.querySelector('{STACK}').dataset.base + 'focus.json')"
        ".then((a) => a.json())"
    )
    # The curve is whole once every plane has been looked at.
    wait(page, f"() => ({asked})().then((told) => told.complete !== false)")
    curve = page.evaluate(asked)["focus"]
    go_to(page, int(np.argmax([-1 if v is None else v for v in curve])) + 1)
    assert pixels(page).std() > 10
    assert "plane" not in query(page)
    assert page.locator(".tag", has_text="simulated").is_visible()
    assert "µm" in page.locator(".scale").inner_text()


def test_keys_change_the_plane_and_a_reload_keeps_it(opened):
    page = opened("?plane=20&reconstruction=off")
    before = pixels(page)
    page.locator(".plane canvas").focus()
    page.keyboard.press("ArrowUp")
    go_to(page, 21)
    after = pixels(page)
    assert np.abs(after - before).max() > 20
    page.keyboard.press("PageDown")
    go_to(page, 11)
    page.keyboard.press("End")
    go_to(page, 50)
    page.keyboard.press("Home")
    go_to(page, 1)
    page.keyboard.press("ArrowRight")
    go_to(page, 2)
    assert query(page, "plane")["plane"] == "2"
    page.reload()
    go_to(page, 2)


def test_zoom_loads_tiles_and_stays_in_the_address(opened):
    page = opened("?plane=20")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    box = page.locator(".plane canvas").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.keyboard.down("Control")
    for _ in range(3):
        page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    wait(page, f"() => document.querySelector('{STACK}').dataset.level === '0'")
    settled(page)
    assert float(query(page, "zoom")["zoom"]) > 1
    page.mouse.wheel(0, 120)
    go_to(page, 21)
    assert any("/tile/0/" in url or "/over/1/" in url for url in asked), asked
    said = page.locator(".zoom").inner_text()
    page.reload()
    settled(page)
    assert page.locator(".zoom").inner_text() == said != "100 %"
    page.locator(".plane canvas").focus()
    page.keyboard.press("0")
    settled(page)
    assert "zoom" not in query(page)


def test_a_click_on_a_side_goes_to_that_plane(opened):
    page = opened("?plane=5")
    box = page.locator("canvas.xz").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.81)
    go_to(page, 41)
    assert "cross" in query(page, "cross")
    box = page.locator("canvas.yz").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.21, box["y"] + box["height"] / 2)
    go_to(page, 11)
    assert page.locator(".cross.down").is_visible()


def test_a_branch_that_is_clicked_shows_its_plane(opened):
    page = opened("?plane=5&turn=0,0,1")
    wait(page, f"() => document.querySelector('{CELL}')?.dataset.state === 'whole'")
    picture = pixels(page, ".cell canvas")
    ground = picture[2, 2]
    # the outermost branch on the left is no other's neighbour
    strange = np.abs(picture - np.median(picture, axis=(0, 1))).sum(axis=2) > 120
    rows, columns = np.nonzero(strange[4:-4, 4:-4])
    assert len(rows) > 50, ground
    at = int(np.argmin(columns))
    page.locator(".cell canvas").click(position={"x": int(columns[at]) + 5, "y": int(rows[at]) + 4})
    assert "µm, radius" in page.locator(".said").inner_text()
    assert "cross" in query(page, "cross")
    page.locator(".cell canvas").focus()
    page.keyboard.press("ArrowLeft")
    wait(page, "() => location.search.includes('turn=-0.1,')", 20)


def test_without_webgl_the_same_picture_is_painted(opened):
    page = opened("?plane=20&colours=viridis&contrast=10,90&reconstruction=off")
    assert data(page)["painter"] == "webgl"
    webgl = pixels(page)
    page = opened("?plane=20&colours=viridis&contrast=10,90&reconstruction=off&gl=0")
    assert data(page)["painter"] == "flat"
    wait(page, f"() => document.querySelector('{CELL}')?.dataset.state === 'whole'")
    assert data(page, CELL)["painter"] == "flat"
    assert np.abs(pixels(page) - webgl).mean() < 4
    assert pixels(page, ".cell canvas").std() > 2
    assert "no WebGL2" in page.locator(".said").inner_text()


def test_a_lost_context_comes_back_with_its_pictures(opened):
    page = opened("?plane=20")
    wait(page, f"() => document.querySelector('{CELL}')?.dataset.state === 'whole'")
    before, cell = pixels(page), pixels(page, ".cell canvas")
    page.evaluate(
        """async () => {
          for (const canvas of document.querySelectorAll('.plane canvas, .cell canvas')) {
            const lose = canvas.getContext('webgl2').getExtension('WEBGL_lose_context');
            const back = new Promise((r) => canvas.addEventListener('webglcontextrestored', r));
            lose.loseContext();
            await new Promise((r) => setTimeout(r, 100));
            lose.restoreContext();
            await back;
          }
        }"""
    )
    settled(page)
    time.sleep(1)
    assert np.abs(pixels(page) - before).mean() < 1
    assert np.abs(pixels(page, ".cell canvas") - cell).mean() < 1


def test_contrast_from_what_is_seen_and_by_hand(opened):
    page = opened("?plane=20&colours=gray&reconstruction=off")
    before = pixels(page).std()
    page.get_by_role("button", name="Auto").click()
    settled(page)
    low, high = (float(v) for v in query(page, "contrast")["contrast"].split(","))
    assert 0 < low < high < 100
    assert pixels(page).std() > before
    page.locator('select:has(option[value="inverted"])').select_option("inverted")
    wait(page, "() => location.search.includes('colours=inverted')", 20)
    page.get_by_label("What is shown").select_option("max")
    settled(page)
    told = query(page, "view", "projection")
    assert (told["view"], told["projection"]) == ("projection", "max")


def test_an_offset_moves_the_reconstruction(opened):
    page = opened("?plane=20")
    before = pixels(page)
    page.locator("summary", has_text="Offset").click()
    assert "not published" in page.locator(".pop p").inner_text()
    page.get_by_label("Offset along x in µm").fill("40")
    page.locator("summary", has_text="Offset").click()
    assert query(page, "offset")["offset"] == "40,0,0"
    assert np.abs(pixels(page) - before).max() > 20


def test_a_saved_picture_says_what_it_is(opened, tmp_path):
    page = opened("?plane=20")
    with page.expect_download() as told:
        page.get_by_role("button", name="PNG").click()
    told.value.save_as(tmp_path / "saved.png")
    assert told.value.suggested_filename == "stack-313862022-plane-20.png"
    saved = np.asarray(Image.open(tmp_path / "saved.png").convert("RGB"))
    box = page.locator(".plane canvas").bounding_box()
    assert saved.shape[1] == round(box["width"])
    assert saved.shape[0] > box["height"] + 30
    assert saved[: int(box["height"])].std() > 10
    caption = saved[int(box["height"]) + 2 :]
    assert (caption < 100).any()
    assert (caption > 250).mean() > 0.8


def test_two_fingers_zoom_on_a_phone(opened, chromium):
    context = chromium.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, device_scale_factor=2
    )
    page = opened("?plane=20", context.new_page())
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    box = page.locator(".plane canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = context.new_cdp_session(page)

    def send(kind: str, apart: float | None) -> None:
        points = (
            []
            if apart is None
            else [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
        )
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    before = page.locator(".zoom").inner_text()
    send("touchStart", 30)
    for apart in range(35, 120, 5):
        send("touchMove", apart)
    send("touchEnd", None)
    settled(page)
    assert float(query(page, "zoom")["zoom"]) * 100 > 2 * float(before.split()[0])
    context.close()


@pytest.mark.skipif(not AXE.is_file(), reason="needs `npm ci --ignore-scripts` in web/")
@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("path", ["/", "/list/stack", f"/item/{ADDRESS}?plane=20"])
def test_axe_finds_nothing(view, stored, page, path, scheme):
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{view(stored)}{path}")
    if "/item/" in path:
        settled(page)
        page.locator("summary", has_text="Offset").click()
    page.evaluate(AXE.read_text())
    found = page.evaluate(
        "() => axe.run().then((r) => r.violations.map((v) => [v.id, v.nodes[0].html]))"
    )
    assert found == []


def test_a_page_asks_at_once_for_what_its_views_need_and_for_no_picture_they_replace(opened, page):
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    opened("?plane=20")
    wait(page, f"() => document.querySelector('{CELL}')?.dataset.state === 'whole'")
    assert not [url for url in asked if url.endswith("projection/min_xy.jpg")], asked
    hinted = page.evaluate(
        "() => [...document.querySelectorAll('link[rel=modulepreload]')].map((one) => one.href)"
    )
    modules = [url for url in asked if url.endswith(".js") and "jobs" not in url]
    assert set(modules) <= set(hinted), modules


def test_a_view_that_does_not_start_leaves_the_pictures(view, stored, chromium):
    context = chromium.new_context(viewport={"width": 1400, "height": 860})
    page = context.new_page()
    page.route("**/stack.js", lambda route: route.abort())
    page.goto(f"{view(stored)}/item/{ADDRESS}")
    wait(page, "() => document.querySelector('.fallback img')?.naturalWidth > 0")
    assert page.locator(".fallback figure").first.is_visible()
    context.close()


def test_without_script_the_pictures_are_there(view, stored, chromium):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{view(stored)}/item/{ADDRESS}")
    page.locator(".fallback figure img").first.wait_for(state="visible", timeout=20_000)
    context.close()
