"""Pages can be used by everybody: checked by axe-core, on a phone, in the dark, by keyboard alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from assetbucket import publish_assets
from webpages import ask, post, token_of, until

AXE = Path(__file__).parents[2] / "web/node_modules/axe-core/axe.min.js"
RAW = "asset:ecephys_625749_2022-08-03_15-15-06"
STACK = "stack:313862022"
PAGES = {
    "front page": "/",
    "search without a hit": "/?q=nothing-like-it",
    "list": "/list/grid",
    "list with filters": "/list/grid?plane=coronal&sort=id",
    "empty list": "/list/grid?gene=Nonsense",
    "list of parts": "/list/release:visual-behavior-ophys/files",
    "stack": f"/item/{STACK}",
    "not here": "/item/grid:69855739",
    "release": "/item/release:visual-behavior-ophys",
    "asset with a graph": f"/item/{RAW}",
    "model": "/item/rma:Specimen",
    "plan": "/plan?address=grid:69855739",
    "remove": f"/remove?address={STACK}",
    "jobs": "/jobs",
    "error": "/item/nonsense",
    "traces with cells": "/place/ophys",
    "spikes": "/place/ecephys",
    "recording of a field potential": "/place/lfp",
    "a table below traces": "/place/behavior?trials.sort=start_time",
}


@pytest.fixture(scope="module")
def url(stored: Path, published: Any, sessions: dict[str, Path]) -> Iterator[str]:
    """A view with jobs that are done and that failed."""
    from openallen.serving import serving
    from openallen.settings import Settings
    from openallen.viewer import ViewerOptions, viewer_app

    publish_assets(published.endpoint)
    settings = Settings.load(store=stored, source="sample", s3_endpoint=published.endpoint)
    with serving(viewer_app(settings, ViewerOptions(places=sessions)), lifespan=True) as found:
        ask(f"{found}/list/asset")
        ask(f"{found}/list/release:visual-behavior-ophys/ophys_experiment_table")
        for address in (STACK, "grid:1"):
            form = {"token": token_of(found), "address": address}
            where = post(f"{found}/verify", form).headers["location"]
            until(found, where.rpartition("/")[2], "done", "failed")
        yield found


def opened(chromium: Any, url: str, path: str, **look: Any) -> Any:
    page = chromium.new_context(**look).new_page()
    page.goto(url + path, wait_until="load")
    for view in page.locator("section.visual").all():
        folded = view.evaluate("view => !!view.closest('details:not([open])')")
        if view.get_attribute("data-kind") in {"table", "graph"} and not folded:
            view.and_(page.locator("[data-live]")).wait_for()
    for live in page.locator("section.visual:is([data-kind=traces], [data-kind=raster])").all():
        live.locator("[data-query]").wait_for()
    page.wait_for_timeout(300)
    return page


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(chromium, url, name, scheme):
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: npm ci in web/")
    page = opened(chromium, url, PAGES[name], color_scheme=scheme)
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    page.context.close()
    told = [
        f"{v['id']}: {v['help']}: {n['html'][:160]}"
        for v in found["violations"]
        for n in v["nodes"]
    ]
    assert not told, "\n".join(told)


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_cut_off_on_a_phone(chromium, url, name):
    page = opened(chromium, url, PAGES[name], viewport={"width": 360, "height": 720})
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    page.context.close()


@pytest.mark.parametrize("name", ["front page", "list", "not here", "release", "jobs"])
def test_every_control_is_reached_by_tab_and_seen(chromium, url, name):
    page = opened(chromium, url, PAGES[name])
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.className") == "skip"
    wanted = page.evaluate(
        "() => [...document.querySelectorAll('a[href], button:not(:disabled), select, summary,"
        " input:not([type=hidden])')].filter(e => e.checkVisibility()).slice(0, 60).length"
    )
    seen = 1
    for _ in range(wanted + 40):
        page.keyboard.press("Tab")
        told = page.evaluate(
            "() => { const e = document.activeElement; if (e === document.body) return null;"
            " const s = getComputedStyle(e); const r = e.querySelector('rect');"
            " return [s.outlineStyle !== 'none' || r !== null,"
            " e.matches('a[href], button, select, summary, input')]; }"
        )
        if told is None:
            break
        assert told[0], page.evaluate("() => document.activeElement.outerHTML")[:200]
        seen += told[1]
    assert seen >= min(wanted, 60)
    page.context.close()


def test_skipping_goes_to_the_content(chromium, url):
    page = opened(chromium, url, "/list/grid")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("() => document.activeElement.id") == "content"
    page.context.close()


def test_pages_work_without_script(chromium, url):
    page = chromium.new_context(java_script_enabled=False).new_page()
    for path in ("/item/release:visual-behavior-ophys", f"/item/{RAW}"):
        page.goto(url + path)
        assert page.locator("section.visual tbody tr").count() > 2
    assert page.locator("section.visual img").first.is_visible()
    page.context.close()
