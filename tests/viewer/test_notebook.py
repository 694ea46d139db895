"""`oa.view`: what a notebook keeps, and its live views over the messages of its widget."""

import base64
import io
import queue
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import openallen as oa
from openallen.errors import MissingExtraError, UsageError
from openallen.settings import Settings

ADDRESS = "stack:313862022"
STACK = '.openallen section[data-kind="stack"]'
CELL = '.openallen section[data-kind="cell"]'


@pytest.fixture
def settings(stored: Path) -> Settings:
    return Settings.load(store=stored, offline=True)


# --- in a real kernel -----------------------------------------------------------------------------


@pytest.mark.slow
def test_a_notebook_keeps_a_picture_and_has_a_widget(stored, monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("OPENALLEN_STORE", str(stored))
    code = f"import openallen as oa\noa.view({ADDRESS!r})"
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(book, timeout=120, kernel_name="python3").execute()
    card, live = [output["data"] for output in book.cells[0].outputs]
    assert "<img src=&quot;" not in card["text/html"]
    assert '<img src="data:image/jpeg;base64,' in card["text/html"]
    assert "313862022" in card["text/plain"]
    # an exported notebook shows the best form of an output: the card must not be beside the widget
    assert set(card) == {"text/html", "text/plain"}
    widget = live["application/vnd.jupyter.widget-view+json"]
    state = book.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    told = state[widget["model_id"]]["state"]
    assert [one["kind"] for one in told["visuals"]] == ["stack", "cell"]
    assert told["card"] in card["text/html"]


@pytest.mark.slow
def test_a_kernel_answers_over_its_own_channel(stored, monkeypatch):
    from jupyter_client.manager import start_new_kernel

    monkeypatch.setenv("OPENALLEN_STORE", str(stored))
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        code = f"import openallen as oa\nv = oa.view({ADDRESS!r})"
        reply = client.execute(
            code, reply=True, timeout=120, user_expressions={"id": "v.comm.comm_id"}
        )
        comm = reply["content"]["user_expressions"]["id"]["data"]["text/plain"].strip("'")
        asked = {"id": "1", "name": "planes", "path": "meta.json", "query": {}}
        data = {"method": "custom", "content": asked}
        client.shell_channel.send(client.session.msg("comm_msg", {"comm_id": comm, "data": data}))
        until = time.monotonic() + 60
        while time.monotonic() < until:
            message = client.get_iopub_msg(timeout=60)
            told = message["content"].get("data") or {}
            if message["msg_type"] == "comm_msg" and told.get("method") == "custom":
                break
        assert told["content"] == {"id": "1", "media": "application/json", "encoding": ""}
        assert b'"width_px"' in bytes(message["buffers"][0])
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


# --- in a real browser ----------------------------------------------------------------------------


class Notebook:
    """A page with one output, whose widget talks to the real one through a comm of this process.

    Between them stands what a notebook's front end and ZeroMQ do: a model with ``get``, ``on``,
    ``off`` and ``send``, and buffers that arrive as ``DataView``.
    """

    def __init__(self, page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        import comm
        from comm.base_comm import BaseComm

        sent: queue.Queue[tuple[str, Any, Any]] = queue.Queue()

        class Comm(BaseComm):  # type: ignore[misc]
            def publish_msg(self, msg_type, data=None, metadata=None, buffers=None, **keys):
                sent.put((msg_type, data, buffers))

        monkeypatch.setattr(comm, "create_comm", Comm)
        self.page = page
        self.sent = sent
        self.asked: list[Any] = []
        self.widget: Any = None

    def show(self, widget: Any) -> None:
        states = [d["state"] for kind, d, _ in self._taken() if kind == "comm_open"]
        (state,) = [state for state in states if "_esm" in state]
        if self.widget is None:
            self.page.expose_binding("toKernel", lambda _, content: self._to_kernel(content))
        self.widget = widget
        self.page.evaluate(
            """async ({ state, card }) => {
              document.body.insertAdjacentHTML('beforeend', card);
              document.head.append(Object.assign(document.createElement('style'), { textContent: state._css }));
              const url = URL.createObjectURL(new Blob([state._esm], { type: 'text/javascript' }));
              const { default: { render } } = await import(url);
              const hear = new Set();
              const model = {
                get: (name) => state[name],
                on: (name, then) => { if (name === 'msg:custom') hear.add(then); },
                off: (name, then) => hear.delete(then),
                send: (content) => void window.toKernel(content),
              };
              window.fromKernel = ({ content, buffers }) => {
                const views = buffers.map((text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer));
                for (const then of hear) then(content, views);
              };
              const el = document.body.appendChild(document.createElement('div'));
              window.remove = render({ model, el });
            }""",
            {"state": state, "card": widget._html},
        )

    def _to_kernel(self, content: Any) -> None:
        self.asked.append(content)
        data = {"method": "custom", "content": content}
        self.widget.comm.handle_msg({"content": {"data": data}, "buffers": []})

    def _taken(self) -> list[tuple[str, Any, Any]]:
        found = []
        while not self.sent.empty():
            found.append(self.sent.get())
        return found

    def pump(self) -> None:
        """Hand what the kernel has sent to the page, as a notebook does."""
        for kind, data, buffers in self._taken():
            if kind == "comm_msg" and data.get("method") == "custom":
                texts = [base64.b64encode(one).decode() for one in buffers or ()]
                told = {"content": data["content"], "buffers": texts}
                self.page.evaluate("(told) => window.fromKernel(told)", told)

    def wait(self, script: str, seconds: float = 60) -> None:
        until = time.monotonic() + seconds
        while not self.page.evaluate(script):
            assert time.monotonic() < until, script
            self.pump()
            time.sleep(0.02)

    def settled(self, which: str = STACK) -> None:
        self.wait(f"() => document.querySelector('{which}')?.dataset.state === 'whole'")


@pytest.fixture
def notebook(page, loopback, monkeypatch):
    """An empty page with a heading of its own, and what shows a widget on it."""
    pytest.importorskip("anywidget")
    html = (
        b"<!doctype html><title>notebook</title><link rel=icon href=data:,>"
        b"<body data-jp-theme-light=false style='background:#111'>"
        b"<h2>Mine</h2><p><a href='#x'>a link</a><table><tr><td>1</table>"
    )
    told = {"Content-Type": "text/html"}
    server = loopback({"/": lambda request, reply: reply.send(html, headers=told)})
    page.goto(server.url)
    return Notebook(page, monkeypatch)


def pixels(page, which: str) -> np.ndarray:
    shot = page.locator(which).first.screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(np.int16)


def styles(page) -> Any:
    return page.evaluate(
        "() => ['html', 'body', 'h2', 'p', 'a', 'table', 'td'].map((name) => "
        "({...getComputedStyle(document.querySelector(name))}).cssText ?? "
        "[...getComputedStyle(document.querySelector(name))].map((k) => "
        "k + getComputedStyle(document.querySelector(name)).getPropertyValue(k)).filter("
        "(t) => !/^(height|block-size|perspective|transform)/.test(t)))"
    )


def test_the_views_of_a_stack_are_live(notebook, page, settings):
    before = styles(page)
    notebook.show(oa.view(ADDRESS, settings=settings))
    notebook.settled()
    notebook.settled(CELL)
    assert pixels(page, f"{STACK} .plane canvas").std() > 10
    assert pixels(page, f"{CELL} canvas").std() > 2
    # beside each other
    stack, cell = (page.locator(one).bounding_box() for one in (STACK, CELL))
    assert cell["x"] >= stack["x"] + stack["width"]
    assert abs(cell["y"] - stack["y"]) < 2
    # the notebook is dark, and so is the view; the notebook's page is as it was
    assert page.locator(".openallen.dark").count() == 1
    assert styles(page) == before
    # the picture of the card is there twice now
    assert page.locator("[data-openallen] img").is_hidden()
    assert page.locator("[data-openallen] table").is_visible()

    page.locator(f"{STACK} .plane canvas").focus()
    old = pixels(page, f"{STACK} .plane canvas")
    plane = int(page.locator(STACK).get_attribute("data-plane"))
    page.keyboard.press("PageDown")
    notebook.wait(f"() => document.querySelector('{STACK}').dataset.plane !== '{plane}'")
    notebook.settled()
    assert np.abs(pixels(page, f"{STACK} .plane canvas") - old).max() > 20
    # The sides of the stack come once its planes are prepared.
    parts = {"meta.json", "focus.json", "over", "projection", "cell.swc"}
    until = time.monotonic() + 60
    while not parts <= {str(one.get("path", "")).partition("/")[0] for one in notebook.asked}:
        assert time.monotonic() < until, notebook.asked
        notebook.pump()
        page.wait_for_timeout(50)
    notebook.settled()
    page.evaluate("() => window.remove()")
    assert page.locator(".openallen").count() == 0


def test_a_light_notebook_and_a_narrow_one(notebook, page, settings):
    page.set_viewport_size({"width": 500, "height": 900})
    page.evaluate("() => { document.body.dataset.jpThemeLight = 'true'; }")
    notebook.show(oa.view(ADDRESS, settings=settings))
    notebook.settled()
    stack, cell = (page.locator(one).bounding_box() for one in (STACK, CELL))
    assert cell["y"] >= stack["y"] + stack["height"]
    assert page.locator(".openallen.light").count() == 1
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    page.evaluate("() => { document.body.dataset.jpThemeLight = 'false'; }")
    notebook.wait("() => document.querySelector('.openallen').classList.contains('dark')")


def test_an_opened_thing_and_what_goes_wrong_in_it(notebook, page, settings):
    opened = oa.open(ADDRESS, settings=settings)
    widget = oa.view(opened)
    notebook.show(widget)
    notebook.settled()
    page.evaluate("() => window.remove()")
    for name, path in (
        ("planes", "nothing"),
        ("nothing", "meta.json"),
        ("planes", "../../etc/passwd"),
    ):
        widget._channel.hear({"id": path, "name": name, "path": path, "query": {}})
        _, data, buffers = notebook.sent.get(timeout=60)
        while data.get("content", {}).get("id") != path:
            _, data, buffers = notebook.sent.get(timeout=60)
        assert data["content"]["status"] == 404
        assert not buffers
    for odd in (None, 3, [], {}, {"id": 1}, {"drop": {}}, {"id": "a", "name": "b", "path": None}):
        widget._channel.hear(odd)


def test_a_table_is_live_too(notebook, page):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"id": range(200), "name": [f"row {n}" for n in range(200)]})
    notebook.show(oa.view(table))
    notebook.wait(
        "() => document.querySelector('.openallen tbody tr td')?.textContent.trim() === '0'"
    )
    assert page.locator(".openallen section[data-kind=table] tbody tr").count() >= 50


def test_a_session_and_a_grid_are_live_too(notebook, page, sessions, tmp_path):
    here = Settings.load(store=tmp_path / "store", source="sample")
    oa.fetch("grid:69855739", settings=here)
    for what, kind in ((sessions["ophys"], "traces"), ("grid:69855739", "slices")):
        notebook.show(oa.view(what, settings=here))
        part = f".openallen section[data-kind={kind}]"
        notebook.wait(f"() => document.querySelector('{part} canvas')?.clientWidth > 100")
        until = time.monotonic() + 60
        # lines and voxels are in colour, axes and letters are gray
        while np.ptp(pixels(page, f"{part} canvas"), axis=2).std() < 5:
            assert time.monotonic() < until, kind
            notebook.pump()
        page.evaluate("() => window.remove()")


def test_tables_of_sessions_have_values_that_are_missing(sessions):
    from openallen.viewer.answers import Query
    from openallen.viewer.kinds import Kinds
    from openallen.visuals import visuals_of

    kinds = Kinds()
    tables = [v for v in visuals_of(oa.open(sessions["ophys"])) if v.kind == "table"]
    assert {"trials", "stimulus_presentations"} <= {table.name for table in tables}
    from openallen.viewer.ordering import is_missing

    pandas = pytest.importorskip("pandas")
    assert is_missing(pandas.NA)
    for table in tables:
        answer = kinds["table"].answer(table, "rows.json", Query({}), lambda: False)
        assert b'"total"' in answer.body or answer.encoding


# --- without --------------------------------------------------------------------------------------


def test_without_the_extra_the_command_that_installs_it_is_told(settings, monkeypatch):
    monkeypatch.setitem(sys.modules, "anywidget", None)
    monkeypatch.delitem(sys.modules, "openallen.viewer.notebook", raising=False)
    with pytest.raises(MissingExtraError, match="widget") as told:
        oa.view(ADDRESS, settings=settings)
    assert "install" in str(told.value)


def test_what_cannot_be_looked_at_says_so(notebook):
    with pytest.raises(UsageError, match="nothing to look at"):
        oa.view(3)
