"""Fetching from a page: plans, confirmation, pause and resume, errors of single files, removing."""

import json
import threading
import time
import urllib.request

import pytest
from webpages import Tags, ask, ask_json, post, token_of, until

from openallen.archive.app import archive_app
from openallen.archive.faults import Fault
from openallen.serving import serving
from openallen.settings import Settings
from openallen.viewer import ViewerOptions, viewer_app

STACK = "stack:313862022"
SMALL = {"downsample": "5"}


@pytest.fixture
def web(view, tmp_path):
    """A view of an empty store, with its token; the archive is the embedded sample."""
    url = view(tmp_path / "store")
    return url, token_of(url), tmp_path / "store"


def started(url: str, token: str, address: str = STACK, **options: str) -> dict:
    """Begin a fetch as the script of a page does."""
    body = json.dumps({"address": address, "options": options}).encode()
    answer = ask(f"{url}/fetch", body, content_type="application/json", x_openallen_token=token)
    assert answer.status == 202, answer.body
    return answer.document


def act(url: str, token: str, job: str, action: str):
    return ask(
        f"{url}/jobs/{job}/{action}", b"{}", content_type="application/json",
        x_openallen_token=token,
    )  # fmt: skip


@pytest.fixture
def slow(tmp_path):
    """A view whose service takes its time with every answer."""
    with (
        serving(archive_app("sample", faults=(Fault.parse("delay=0.15@imageservice"),))) as archive,
    ):
        settings = Settings.load(store=tmp_path / "store", source=archive, connections=2)
        with serving(viewer_app(settings), lifespan=True) as url:
            yield url, token_of(url), tmp_path / "store"


def test_a_page_fetches_without_script(web):
    url, token, store = web
    page = ask(f"{url}/item/{STACK}").text
    forms = [f for f in Tags.of(page).all("form") if f.get("action") == "/fetch"]
    assert forms[0]["method"] == "post"
    hidden = {
        i["name"]: i["value"] for i in Tags.of(page).all("input") if i.get("type") == "hidden"
    }
    assert hidden["token"] == token
    answer = post(f"{url}/fetch", {"token": token, "address": STACK, "back": "item", **SMALL})
    assert (answer.status, answer.headers["location"]) == (303, f"/item/{STACK}")
    job = ask_json(f"{url}/jobs.json")["jobs"][0]
    done = until(url, job["id"], "done", "failed", "incomplete")
    assert done["state"] == "done", done
    assert done["files"] == done["files_done"] > 50
    assert (store / "stacks/313862022/manifest.json").is_file()
    # The page was of what was not here: it is opened anew.
    assert 'data-kind="stack"' in ask(f"{url}/item/{STACK}").text
    assert "stack:313862022" in ask(f"{url}/").text


def test_a_plan_says_what_it_takes_and_fetches_nothing(web):
    url, _, store = web
    plan = ask_json(f"{url}/plan.json?address={STACK}&downsample=5&planes=:4")
    assert plan["address"] == STACK
    assert plan["files_missing"] == len(plan["files"])
    page = post(f"{url}/plan", {"address": STACK, "downsample": "5", "planes": ":4"}).text
    values = {i.get("name"): i.get("value") for i in Tags.of(page).all("input")}
    assert (values["downsample"], values["planes"]) == ("5", ":4")
    assert not (store / "stacks").exists()
    assert ask(f"{url}/plan.json?address={STACK}&downsample=99").status == 400


def test_a_large_fetch_asks_first(tmp_path):
    settings = Settings.load(store=tmp_path / "store", source="sample", confirm_bytes=1000)
    with serving(viewer_app(settings), lifespan=True) as url:
        token = token_of(url)
        job = started(url, token, **SMALL)
        asks = until(url, job["id"], "asks")
        assert asks["actions"] == ["confirm", "cancel"]
        assert "to fetch" in asks["plan"]
        assert not (tmp_path / "store/stacks").exists()
        assert act(url, token, job["id"], "confirm").status == 202
        assert until(url, job["id"], "done", "failed")["state"] == "done"


def test_a_paused_fetch_keeps_what_came_and_goes_on_from_there(slow):
    url, token, store = slow
    job = started(url, token, **SMALL)
    folder = store / "stacks/313862022"
    deadline = time.monotonic() + 60
    while len(list(folder.glob("planes/*.jpg"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert act(url, token, job["id"], "pause").status == 202
    paused = until(url, job["id"], "paused")
    assert paused["actions"] == ["resume", "cancel"]
    came = {p: p.stat().st_mtime_ns for p in folder.glob("planes/*.jpg")}
    assert 0 < len(came) < 50
    assert not list(folder.rglob("*.lease"))
    time.sleep(0.5)
    assert {p: p.stat().st_mtime_ns for p in folder.glob("planes/*.jpg")} == came
    # A stack that is still coming shows what is there.
    assert 'data-kind="stack"' in ask(f"{url}/item/{STACK}").text
    assert act(url, token, job["id"], "pause").status == 403
    assert act(url, token, job["id"], "resume").status == 202
    done = until(url, job["id"], "done", "failed")
    assert done["state"] == "done", done
    assert f"{len(came)} files already here" in done["message"]
    after = {p: p.stat().st_mtime_ns for p in came}
    assert after == came


def test_a_second_fetch_with_other_options_is_refused_while_the_first_runs(slow):
    url, token = slow[:2]
    job = started(url, token, downsample="4")
    assert started(url, token, downsample="4")["id"] == job["id"]
    body = json.dumps({"address": STACK, "options": {"downsample": "3"}}).encode()
    answer = ask(f"{url}/fetch", body, content_type="application/json", x_openallen_token=token)
    assert answer.status == 403
    assert "other options" in answer.text
    act(url, token, job["id"], "cancel")


def test_a_cancelled_fetch_ends_and_removes_nothing(slow):
    url, token, store = slow
    job = started(url, token, **SMALL)
    until(url, job["id"], "fetching")
    act(url, token, job["id"], "cancel")
    assert until(url, job["id"], "cancelled")["actions"] == ["resume"]
    assert not list(store.rglob("*.lease"))


def test_the_end_of_the_server_interrupts_what_runs(tmp_path):
    with serving(archive_app("sample", faults=(Fault.parse("delay=0.3"),))) as archive:
        settings = Settings.load(store=tmp_path / "store", source=archive, connections=2)
        with serving(viewer_app(settings), lifespan=True) as url:
            job = started(url, token_of(url), **SMALL)
            until(url, job["id"], "fetching")
        assert not [t for t in threading.enumerate() if t.name.startswith("job ")]
        assert not list((tmp_path / "store").rglob("*.lease"))


def test_files_that_fail_are_named_with_the_reason(tmp_path):
    wrong = Fault.parse("html@imageservice/4")
    with serving(archive_app("sample", faults=(wrong,))) as archive:
        settings = Settings.load(store=tmp_path / "store", source=archive, attempts=1)
        with serving(viewer_app(settings), lifespan=True) as url:
            token = token_of(url)
            job = started(url, token, **SMALL)
            found = until(url, job["id"], "incomplete", "done", "failed")
            assert found["state"] == "incomplete"
            assert found["errors"][0]["path"].startswith("planes/")
            assert found["errors"][0]["what"]
            page = ask(f"{url}/jobs/{job['id']}").text
            assert found["errors"][0]["path"] in Tags.of(page).text


def test_verifying_finds_damage_and_repair_mends_it(web):
    url, token, store = web
    job = started(url, token, **SMALL)
    until(url, job["id"], "done")
    victim = sorted((store / "stacks/313862022/planes").glob("*.jpg"))[3]
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-8] + b"damaged!")
    answer = post(f"{url}/verify", {"token": token, "address": STACK})
    check = answer.headers["location"].rpartition("/")[2]
    found = until(url, check, "failed", "done")
    assert (found["state"], found["errors"][0]["path"]) == ("failed", victim.name)
    assert "repair" in found["actions"]
    assert act(url, token, check, "repair").status == 202
    assert until(url, check, "done", "failed")["message"] == "1 file repaired"
    assert victim.read_bytes() == whole


def test_removing_asks_first_also_without_script(web):
    url, token, store = web
    until(url, started(url, token, **SMALL)["id"], "done")
    folder = store / "stacks/313862022"
    question = ask(f"{url}/remove?address={STACK}")
    assert question.status == 200
    assert "files are deleted" in question.text
    assert post(f"{url}/remove", {"token": token, "address": STACK}).status == 200
    assert post(f"{url}/remove", {"address": STACK, "sure": "yes"}).status == 403
    assert folder.is_dir()
    gone = post(f"{url}/remove", {"token": token, "address": STACK, "sure": "yes"})
    assert gone.status == 303
    assert not folder.exists()
    assert post(f"{url}/remove", {"token": token, "address": STACK, "sure": "yes"}).status == 404


def test_what_was_adopted_in_place_is_not_removed_from_a_page(view, tmp_path, stored):
    from openallen.store import Store

    elsewhere = tmp_path / "mine"
    elsewhere.mkdir()
    for path in (stored / "stacks/313862022").rglob("*"):
        target = elsewhere / path.relative_to(stored / "stacks/313862022")
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            target.write_bytes(path.read_bytes())
    store = tmp_path / "store"
    Store(store).point("stacks", "313862022", elsewhere)
    url = view(store)
    given = {"token": token_of(url), "address": STACK, "sure": "yes"}
    answer = post(f"{url}/remove", given)
    assert answer.status == 403
    assert (elsewhere / "manifest.json").is_file()


def test_a_read_only_server_writes_nothing(view, stored):
    url = view(stored, read_only=True)
    assert token_of(url) == ""
    for page in ("/", f"/item/{STACK}", "/item/grid:69855739", "/jobs"):
        found = Tags.of(ask(url + page).text)
        assert not [f for f in found.all("form") if f.get("method") == "post"], page
        assert "Remove…" not in found.text
    for path in ("/fetch", "/verify", "/remove", "/jobs/1/pause"):
        assert post(url + path, {"address": STACK, "sure": "yes", "token": ""}).status == 403, path
    assert ask(f"{url}/remove?address={STACK}").status == 403


def test_events_tell_every_listener_what_changes(web):
    url, token, _ = web
    heard: list[list[dict]] = [[] for _ in range(5)]
    ready = threading.Barrier(6)

    def listen(into: list[dict]) -> None:
        with urllib.request.urlopen(f"{url}/events", timeout=60) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            ready.wait(30)
            for line in answer:
                if line.startswith(b"data: "):
                    into.append(json.loads(line[6:]))
                    if into[-1]["state"] == "done":
                        return

    threads = [threading.Thread(target=listen, args=(into,), daemon=True) for into in heard]
    for thread in threads:
        thread.start()
    ready.wait(30)
    job = started(url, token, **SMALL)
    for thread in threads:
        thread.join(60)
    for into in heard:
        assert into[-1]["id"] == job["id"]
        assert into[-1]["state"] == "done"


def test_what_other_processes_fetch_is_told(view, stored):
    lease = stored / "grids/1/energy.zip.lease"
    lease.parent.mkdir(parents=True, exist_ok=True)
    lease.write_text(
        json.dumps({"pid": 7, "host": "elsewhere", "where": "elsewhere", "token": "x"})
    )
    try:
        url = view(stored)
        assert ask_json(f"{url}/index.json")["elsewhere"] == [
            {
                "address": "grid:1",
                "folder": str(stored / "grids/1"),
                "files": 1,
                "holder": "process 7 on elsewhere",
            }
        ]
        assert "process 7 on elsewhere" in Tags.of(ask(f"{url}/").text).text
    finally:
        lease.unlink()


def test_fetching_in_a_browser_shows_progress_and_what_came(view, tmp_path, page):
    url = view(tmp_path / "store")
    page.goto(f"{url}/item/{STACK}", wait_until="domcontentloaded")
    page.get_by_label("downsample").fill("5")
    page.get_by_role("button", name="Fetch", exact=True).click()
    page.locator(".job[data-state=done]").wait_for(timeout=60_000)
    assert "done" in page.locator(".spoken").inner_text()
    page.get_by_role("link", name="Show it").click()
    page.locator('section.visual[data-kind="stack"]').wait_for()
    page.goto(f"{url}/", wait_until="domcontentloaded")
    page.get_by_role("link", name="stack:313862022").first.wait_for()


def test_pause_and_resume_by_keyboard(slow, page):
    url, _, store = slow
    page.goto(f"{url}/item/{STACK}", wait_until="domcontentloaded")
    page.get_by_label("downsample").fill("5")
    page.get_by_role("button", name="Fetch", exact=True).press("Enter")
    page.get_by_role("button", name=f"pause {STACK}").press("Enter", timeout=60_000)
    page.locator(".job[data-state=paused]").wait_for(timeout=60_000)
    page.get_by_role("button", name=f"resume {STACK}").press("Enter")
    page.locator(".job[data-state=done]").wait_for(timeout=90_000)
    assert len(list((store / "stacks/313862022/planes").glob("*.jpg"))) == 50


def test_options_make_no_other_place_than_the_store(web, tmp_path):
    url, token, _ = web
    elsewhere = tmp_path / "elsewhere"
    job = started(url, token, to=str(elsewhere), store=str(elsewhere), **SMALL)
    assert until(url, job["id"], "done", "failed")["state"] == "done"
    assert not elsewhere.exists()
    assert ViewerOptions().read_only is False
