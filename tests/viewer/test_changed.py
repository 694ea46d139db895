"""What another process changes while a page is open, and what is asked for while a service is slow."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import suppress

import pytest
from webpages import ask, ask_json

import openallen as oa
from openallen import maintenance
from openallen.archive.app import archive_app
from openallen.archive.faults import Fault
from openallen.errors import NotFoundError, OpenAllenError
from openallen.serving import serving
from openallen.settings import Settings
from openallen.viewer import viewer_app
from openallen.viewer.items import Items, to_key

STACK = "stack:313862022"


@pytest.fixture
def own(stored, tmp_path):
    """A store of its own with a stack, to be changed."""
    shutil.copytree(stored, tmp_path / "store")
    return Settings.load(store=tmp_path / "store", source="sample")


def until_changed(url: str, path: str, old: object) -> dict:
    deadline = time.monotonic() + 20
    found = ask_json(f"{url}{path}")
    while found == old and time.monotonic() < deadline:
        time.sleep(0.1)
        found = ask_json(f"{url}{path}")
    return found


def test_a_stack_fetched_again_at_another_size_is_opened_anew(view, own):
    url = view(own.store)
    path = f"/v/{to_key(STACK)}/planes/meta.json"
    before = ask_json(url + path)
    maintenance.prune([STACK], dry_run=False, settings=own)
    deadline = time.monotonic() + 20
    while ask(url + path).status == 200 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert ask(url + path).status == 404
    oa.fetch(STACK, settings=own, downsample=4)
    after = ask_json(url + path)
    assert after["width_px"] == before["width_px"] // 2
    assert after["pixel_um"][0] == pytest.approx(before["pixel_um"][0] * 2)
    assert ask_json(f"{url}/item/{STACK}.json")["visuals"]


def test_a_file_written_anew_is_read_anew(view, stored, tmp_path):
    table = tmp_path / "a.csv"
    table.write_text("a,b\n1,2\n")
    url = view(stored, places={"a": table})
    path = f"/v/{to_key('place/a')}/rows/rows.json"
    before = ask_json(url + path)
    table.write_text("a,b\n1,2\n3,4\n")
    assert until_changed(url, path, before)["all"] == before["all"] + 1


class Slowly(Items):
    """Things that are opened only when the test says so."""

    begun, go = threading.Event(), threading.Event()

    def _item(self, what):
        found = super()._item(what)
        self.begun.set()
        assert self.go.wait(30)
        return found


def test_what_is_forgotten_while_it_is_opened_is_opened_again(own):
    items = Slowly(own)
    first = []
    thread = threading.Thread(target=lambda: first.append(items.get(STACK)), daemon=True)
    thread.start()
    assert items.begun.wait(30)
    items.forget(STACK)  # a fetch has ended just now: what was opened may be of before
    items.go.set()
    thread.join(30)
    assert items.get(STACK) is not first[0]
    assert items.get(STACK) is items.get(STACK)


def test_nothing_is_kept_of_what_cannot_be_opened(own):
    items = Items(own)
    for n in range(50):
        with pytest.raises(OpenAllenError):
            items.get(f"asset:none-{n}")
    assert not items._locks


@pytest.mark.parametrize("what", ["x y", "compare/" * 3 + "x y", " ".join(["grid:1"] * 500)])
def test_keys_of_what_is_compared_are_those_that_pages_make(own, view, what):
    with pytest.raises(OpenAllenError):
        Items(own).get(f"compare/{what}")
    deep = "compare/" * 3000 + what
    key = base64.urlsafe_b64encode(deep.encode()).decode().rstrip("=")
    answer = ask(f"{view(own.store)}/v/{key}/slices/meta.json")
    assert answer.status in {400, 404}
    assert b"error" in answer.body


def held(app, go: threading.Event, most_s: float = 100):
    """A service that answers once it may, or after `most_s`."""

    async def answer(scope, receive, send) -> None:
        end = time.monotonic() + most_s
        while scope["type"] == "http" and not go.is_set() and time.monotonic() < end:  # noqa: ASYNC110 - it is of threads
            await asyncio.sleep(0.02)
        await app(scope, receive, send)

    return answer


def test_the_front_page_does_not_wait_for_a_slow_service(own):
    """Threads of requests that wait for a service are not those of what needs none."""
    ended, go = threading.Event(), threading.Event()
    with serving(held(archive_app("sample"), go)) as archive:
        settings = Settings.load(store=own.store, source=archive)
        with serving(viewer_app(settings), lifespan=True) as url:
            ask(f"{url}/")

            def wait(n: int) -> None:
                with urllib.request.urlopen(f"{url}/list/grid?id__gt={n}", timeout=120):
                    ended.set()

            threads = [threading.Thread(target=wait, args=(n,), daemon=True) for n in range(8)]
            for thread in threads:
                thread.start()
            time.sleep(0.5)
            assert ask(f"{url}/").status == 200
            assert ask(f"{url}/v/{to_key(STACK)}/planes/meta.json").status == 200
            assert not ended.is_set()
            go.set()
            for thread in threads:
                thread.join(120)
            assert ended.is_set()


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is a signal")
def test_ctrl_c_does_not_wait_for_a_slow_service(own):
    with serving(archive_app("sample", faults=(Fault.parse("delay=90"),))) as archive:
        command = (sys.executable, "-m", "openallen", "serve", "--source", archive)
        server = subprocess.Popen(
            [*command, "--store", str(own.store)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        url = server.stdout.readline().decode().strip().rstrip("/")

        def wait() -> None:
            with suppress(OSError), urllib.request.urlopen(f"{url}/list/grid?id__gt=1", timeout=80):
                pass

        threading.Thread(target=wait, daemon=True).start()
        time.sleep(1)  # it is waiting for the service now
        server.send_signal(signal.SIGINT)
        try:
            _, said = server.communicate(timeout=60)
        finally:
            server.kill()
        assert server.returncode == 0
        assert b"Traceback" not in said


def test_large_tables_are_searched_one_at_a_time_and_not_for_who_is_gone():
    from openallen.serving import GoneError
    from openallen.viewer.answers import Query
    from openallen.viewer.kinds.table import TableKind
    from openallen.visuals import TableVisual

    rows = [{"a": n} for n in range(30_000)]
    visual = TableVisual(name="t", title="t", table=lambda: rows, address=None)
    kind, asked = TableKind(), [0]

    def gone() -> bool:
        asked[0] += 1
        return False

    kind.answer(visual, "rows.json", Query({"sort": "a"}), gone)
    assert asked[0] > 1
    begun = threading.Event()

    def hold() -> bool:
        begun.set()
        return wait.wait(30) and False

    wait = threading.Event()
    first = threading.Thread(
        target=lambda: kind.answer(visual, "rows.json", Query({"q": "1"}), hold), daemon=True
    )
    first.start()
    assert begun.wait(30)
    with pytest.raises(GoneError):
        kind.answer(visual, "rows.json", Query({"q": "2"}), lambda: True)
    assert first.is_alive()
    wait.set()
    first.join(30)


def test_a_link_out_of_a_stack_is_not_followed(view, own, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("nobody's business")
    (swc,) = (own.store / "stacks/313862022/morphology").glob("*[0-9]_m.swc")
    swc.unlink()
    swc.symlink_to(secret)
    answer = ask(f"{view(own.store)}/v/{to_key(STACK)}/cell/cell.swc")
    assert answer.status == 403
    assert b"nobody" not in answer.body


def test_a_folder_adopted_in_place_is_never_pruned(stored, tmp_path):
    from openallen.errors import RefusedError
    from openallen.store import Store

    mine = tmp_path / "mine"
    shutil.copytree(stored / "stacks/313862022", mine)
    noted, linked = tmp_path / "noted", tmp_path / "linked"
    Store(noted).point("stacks", "313862022", mine)
    (linked / "stacks").mkdir(parents=True)
    (linked / "stacks/313862022").symlink_to(mine)
    files = sorted(mine.rglob("*"))
    for store in (noted, linked):
        settings = Settings.load(store=store, source="sample")
        for dry_run in (True, False):
            with pytest.raises(RefusedError, match="adopted in place") as refused:
                maintenance.prune([STACK], dry_run=dry_run, settings=settings)
            assert str(mine) in refused.value.why
        assert sorted(mine.rglob("*")) == files
        (store / refused.value.hint.split(" ")[1]).unlink()  # what the hint says
        with pytest.raises(NotFoundError):
            maintenance.prune([STACK], dry_run=False, settings=settings)
    assert sorted(mine.rglob("*")) == files
