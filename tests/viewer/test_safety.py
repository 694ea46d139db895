"""No other site, no path outside the store, and no text from elsewhere that a browser acts on."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from webpages import Tags, ask, ask_json, post, token_of

from openallen.address import SCHEMES
from openallen.errors import NotFoundError, UsageError
from openallen.sources.facts import Facts, Field, Section
from openallen.viewer.item_pages import Around, item_page, plan_page, remove_page
from openallen.viewer.items import Item, to_key
from openallen.viewer.kinds import Kinds
from openallen.viewer.lists import Asked, Listing, list_page
from openallen.viewer.pages import Held, error_page, home_page, jobs_page, rendered
from openallen.viewer.security import Token
from openallen.visuals import GraphVisual, Link, Node, TableVisual

STACK = "stack:313862022"
SECRET = "nobody outside may read this"


# --- text from elsewhere --------------------------------------------------------------------------

PIECES = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", '"', "'", "<", ">", "&", "&lt;",
    '" onfocus="alert(1)" autofocus x="', "</title>", "</textarea>", "-->", "<!--", "]]>", "{{ 7 }}",
    "{% raw %}", "javascript:alert(1)", "\x00", "\x1b[31m", "\u202e", "\u2028", "\r\n", "\x7f", "é", " ",
    "</a>", "<svg/onload=alert(1)>", "`", "=", "\\", "/", "x", "<base href=//evil>", "\ud800".encode(
        "utf-8", "surrogatepass").decode("utf-8", "replace"),
)  # fmt: skip
HOSTILE = st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map(lambda p: "x" + "".join(p))


def shape(page: str) -> tuple[list[tuple[str, tuple[str, ...]]], list[str]]:
    """The elements and the names of their attributes, and comments: what is not text."""
    found = Tags.of(page)
    return [(tag, tuple(sorted(attrs))) for tag, attrs in found.tags], found.comments


def pages_with(text: str) -> list[str]:
    """Every kind of page, with one text wherever text from elsewhere can stand."""
    error = UsageError(text, address=text, why=text, hint=text)
    table = TableVisual(
        name="t", title=text, table=lambda: [{text: text, "b": 1}], address=lambda _: None
    )
    graph = GraphVisual(
        name="g",
        title=text,
        nodes=(Node(id="1", label=text, kind=text), Node(id="2", label="b")),
        links=(Link(start="1", end="2", label=text),),
    )
    facts = Facts(
        address=text,
        title=text,
        fields=(Field(text, text), Field("list", [text, text]), Field("words", 1, text)),
        sections=(Section(text, "s", text, text),),
        notes=(text,),
        citation=text,
        terms=text,
    )
    job = {
        "id": "1", "address": STACK, "kind": "fetch", "state": "asks", "files_done": 1, "files": 2,
        "bytes_done": 3, "bytes": 4, "rate": 5, "message": text, "plan": text,
        "errors": [{"path": text, "what": text, "hint": text}], "actions": ["confirm"],
        "options": {},
    }  # fmt: skip
    held = {"address": STACK, "files": 2, "size_bytes": 9, "size": text, "folder": text}
    other = {"address": STACK, "folder": text, "files": 1, "holder": text}
    asked = Asked.of("grid", {"gene": text, "name__ilike": text})
    listing = Listing(
        rows=[{text: text, "b": text}], addresses=[STACK], shown=(text, "b"), columns=(text, "b"),
        total=5, notes=(text,), noun=text, empty=None, limit=100, at=0.0,
    )  # fmt: skip
    nothing = Listing(
        rows=[], addresses=[], shown=(), columns=(), total=0, notes=(text,), noun=text,
        empty=NotFoundError(text, why=text, hint=text), limit=100, at=0.0,
    )  # fmt: skip
    around = Around(held=[held], jobs=[job])
    store = Held(rows=[held], notes=[text], elsewhere=[other], folder=text, source=text)
    documents = [
        home_page(store, "", [job]),
        home_page(store, text, []),
        list_page(asked, listing),
        list_page(asked, nothing),
        item_page(STACK, facts, Item(STACK, None, (table, graph)), Kinds(), around),
        item_page(STACK, facts, error, Kinds(), around),
        jobs_page([job]),
        remove_page(STACK, {"files": 1, "freed_bytes": 2}),
        error_page(error, 400),
    ]
    return [rendered(d, token=Token(read_only=False), path="/x") for d in documents]


PLAIN = [shape(page) for page in pages_with("xplain")]


@given(HOSTILE)
@settings(max_examples=150)
def test_no_element_and_no_attribute_comes_from_data(text):
    for plain, page in zip(PLAIN, pages_with(text), strict=True):
        assert shape(page) == plain
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e\u2028]", page)


@given(st.text(max_size=40))
def test_any_text_at_all_is_only_text(text):
    tags = {tag for plain in PLAIN for tag, _ in plain[0]}
    for page in pages_with("x" + text):
        assert {tag for tag, _ in shape(page)[0]} <= tags


def test_scripts_make_no_element_of_data_either(view, stored, tmp_path, page):
    evil = tmp_path / "evil.csv"
    name = '<img src=x onerror="window.hacked=1">'
    evil.write_text(
        f'"{name.replace(chr(34), chr(34) * 2)}",b\n"<svg onload=window.hacked=1>",1\n' * 1
    )
    url = view(stored, places={"evil": evil})
    page.goto(f"{url}/place/evil", wait_until="domcontentloaded")
    page.locator("section.visual[data-live]").wait_for()
    page.locator("td", has_text="<svg onload").wait_for()
    assert page.evaluate("() => window.hacked") is None
    assert page.locator("section.visual img, section.visual svg").count() == 0


# --- paths ----------------------------------------------------------------------------------------


@pytest.fixture
def guarded(view, tmp_path):
    """A view of a store beside a file that is nobody's business."""
    (tmp_path / "secret.txt").write_text(SECRET)
    (tmp_path / "secret.json").write_text(json.dumps({"title": SECRET}))
    return view(tmp_path / "store"), tmp_path


OUTSIDE = (
    "/etc/passwd", "//etc/passwd", "../secret.txt", "../../secret.txt", "%2e%2e/secret.txt",
    "file:/etc/passwd", "file:///etc/passwd", "file:../secret.txt", "file:%2e%2e%2fsecret.txt",
    "asset:..", "asset:../..", "asset:%2e%2e", "asset:..%2f..%2fsecret.txt", "asset:.", "asset:a/../b",
    "recording:..", "recording:../../secret.txt", "release:..", "release:../x", "atlas:..", "atlas:/etc",
    "structures:../1", "stack:..", "grid:/etc/passwd", "image:..", "rma:../..", "secret.txt", "place/x",
    "place/../secret.txt", "\\\\server\\share", "C:\\secret.txt", "asset:C:\\x", "asset:a\x00b",
)  # fmt: skip


@pytest.mark.parametrize("what", OUTSIDE)
def test_no_path_leaves_the_store(guarded, what):
    url, folder = guarded
    token = token_of(url)
    before = sorted(p for p in folder.rglob("*") if "store" not in p.relative_to(folder).parts)
    encoded = quote(what, safe="/:%")
    paths = [f"/item/{encoded}", f"/item/{encoded}.json", f"/list/{encoded}", f"/place/{encoded}",
             f"/item/{quote(what, safe='')}", f"/remove?address={quote(what, safe='')}",
             f"/plan.json?address={quote(what, safe='')}"]  # fmt: skip
    paths += [f"/v/{to_key(what)}/rows/rows.json", f"/picture/{to_key(what)}/x.png"]
    answers = [ask(url + path) for path in paths] + [ask(f"{url}/thumb/{to_key(what)}")]
    given = {"token": token, "address": what, "sure": "yes"}
    answers += [post(f"{url}/remove", given), post(f"{url}/verify", given)]
    for answer in answers:
        assert SECRET.encode() not in answer.body
        assert b"root:" not in answer.body
        assert b"Traceback" not in answer.body
    for answer in answers[: len(paths)]:
        assert answer.status in {400, 403, 404, 422, 502}, answer.text[:300]
    after = sorted(p for p in folder.rglob("*") if "store" not in p.relative_to(folder).parts)
    assert after == before


def test_a_place_is_what_the_command_line_named(view, stored, tmp_path):
    (tmp_path / "named").mkdir()
    (tmp_path / "named/a.csv").write_text("a,b\n1,2\n")
    (tmp_path / "secret.csv").write_text("a,b\n3,4\n")
    url = view(stored, places={"named": tmp_path / "named/a.csv"})
    assert 'data-kind="table"' in ask(f"{url}/place/named").text
    for path in (
        "named/../secret.csv",
        "named/secret.csv",
        "secret.csv",
        "named%2f..%2fsecret.csv",
    ):
        assert ask(f"{url}/place/{path}").status == 404, path


@given(st.text(max_size=30))
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_address_is_answered_by_us(guarded, text):
    url, _ = guarded
    for path in ("/item/", "/item/asset:", "/list/", "/list/rma:"):
        if path.endswith(":") and not text:
            continue
        answer = ask(f"{url}{path}{quote(text, safe='')}")
        assert answer.status in {200, 400, 403, 404, 422, 502}, (path, text, answer.text[:300])
        assert b"Traceback" not in answer.body


# --- writes ---------------------------------------------------------------------------------------

WRITES = ("/fetch", "/verify", "/remove", "/jobs/1/pause", "/jobs/1/confirm")


@pytest.mark.parametrize("path", WRITES)
def test_writes_need_the_token_and_this_origin(view, tmp_path, path):
    url = view(tmp_path / "store")
    port = url.rsplit(":", 1)[1]
    token = token_of(url)
    form = {"address": STACK, "sure": "yes"}
    assert post(url + path, form).status == 403
    assert post(url + path, {**form, "token": token[:-1]}).status == 403
    assert post(url + path, {**form, "token": "é"}).status == 403
    good = {**form, "token": token}
    for wrong in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": f"http://127.0.0.1:{int(port) + 1}"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"host": "evil.example"},
    ):
        assert post(url + path, good, **wrong).status in {403, 421}, wrong
    assert ask(url + path).status in {200, 400, 404, 405}
    assert ask_json(f"{url}/jobs.json") == {"jobs": []}
    assert not (tmp_path / "store/stacks").exists()


def test_a_form_of_ours_may_write_as_a_browser_sends_it(view, tmp_path, chromium):
    """Without script: the browser says Origin and Sec-Fetch-Site by itself."""
    url = view(tmp_path / "store")
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{url}/item/{STACK}")
    page.get_by_label("downsample").fill("5")
    page.get_by_label("planes").fill(":2")
    page.get_by_role("button", name="Fetch", exact=True).click()
    page.wait_for_url(f"{url}/item/{STACK}")
    assert ask_json(f"{url}/jobs.json")["jobs"][0]["address"] == STACK
    context.close()


def test_tokens_are_not_those_of_another_server(view, tmp_path):
    one, other = view(tmp_path / "a"), view(tmp_path / "b")
    assert token_of(one) != token_of(other)
    assert post(f"{one}/fetch", {"address": STACK, "token": token_of(other)}).status == 403


def test_a_proxy_is_answered_only_where_it_was_allowed(view, tmp_path):
    closed = view(tmp_path / "store")
    open_ = view(tmp_path / "store", allow_hosts=("hub.example:8443",))
    assert ask(f"{closed}/", host="hub.example:8443").status == 421
    assert ask(f"{open_}/", host="hub.example:8443").status == 200
    assert ask(f"{open_}/", host="hub.example").status == 421
    assert ask(f"{open_}/", host="hub.example:8443", origin="https://evil.example").status == 403
    assert (
        ask(f"{open_}/", host="hub.example:8443", origin="https://hub.example:8443").status == 200
    )


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"address": 5}', b'{"options": [1]}', b"\xff",
                                  b'{"address": "stack:1", "options": {"planes": {"a": []}}}',
                                  b"[" * 5000, b" " * (1 << 17)])  # fmt: skip
def test_bodies_that_are_no_request_are_errors_of_ours(view, tmp_path, body):
    url = view(tmp_path / "store")
    answer = ask(
        f"{url}/fetch", body, content_type="application/json", x_openallen_token=token_of(url)
    )
    assert answer.status in {202, 400}
    assert b"Traceback" not in answer.body
    answer = post(f"{url}/fetch", {"token": token_of(url), "address": "x" * (1 << 17)})
    assert answer.status == 400


def test_headers_of_every_page_are_strict(view, stored):
    url = view(stored)
    for path in ("/", "/list/grid", f"/item/{STACK}", "/jobs", "/item/nonsense", "/jobs.json"):
        headers = ask(url + path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        found = Tags.of(ask(url + path).text) if not path.endswith(".json") else Tags()
        assert not [attrs for _, attrs in found.tags if "style" in attrs], path
        assert not [n for _, attrs in found.tags for n in attrs if n.startswith("on")], path


def test_plan_page_has_what_was_asked(tmp_path):
    import openallen as oa

    plan = oa.plan(STACK, to=tmp_path, source="sample", downsample=5, planes=":2")
    document = plan_page(STACK, plan, {"downsample": '5" onfocus="x'}, 1)
    page = rendered(document, token=Token(read_only=False), path="")
    assert (
        shape(page)[0]
        == shape(
            rendered(
                plan_page(STACK, plan, {"downsample": "5"}, 1),
                token=Token(read_only=False),
                path="",
            )
        )[0]
    )


# --- the description of the JSON routes -----------------------------------------------------------


def resolved(schema: Any, document: dict[str, Any]) -> Any:
    """A schema with its references replaced."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return resolved(
                document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document
            )
        return {k: resolved(v, document) for k, v in schema.items()}
    return [resolved(v, document) for v in schema] if isinstance(schema, list) else schema


def values_of(parameter: dict[str, Any]) -> st.SearchStrategy[str]:
    """Values of a parameter: such as the schema has, and some that it has not."""
    schema = parameter["schema"]
    wild = st.text(min_size=1, max_size=12)
    if parameter["name"] == "address":
        known = [kind.example() for kind in SCHEMES.values()]
        return st.sampled_from([STACK, "grid:69855739", "rma:Gene", *known]) | wild
    if "enum" in schema:
        return st.sampled_from([*schema["enum"], "nonsense"])
    if schema["type"] == "integer":
        return st.integers(-2, schema.get("maximum", 50) + 2).map(str) | wild
    if "pattern" in schema:
        wild = wild.filter(re.compile(schema["pattern"]).search)
    return st.sampled_from(["id", "1", "name"]) | wild


@given(st.data())
@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_json_routes_answer_as_they_are_described(guarded, data):
    url, _ = guarded
    document = ask_json(f"{url}/openapi.json")
    assert document["openapi"].startswith("3.1")
    path = data.draw(st.sampled_from(sorted(document["paths"])))
    method = next(iter(document["paths"][path]))
    told = document["paths"][path][method]
    query, headers, where = {}, {}, path
    for parameter in told["parameters"]:
        if not parameter["required"] and data.draw(st.booleans()):
            continue
        value = data.draw(values_of(parameter))
        if parameter["in"] == "path":
            where = where.replace(f"{{{parameter['name']}}}", quote(value, safe=":"))
        elif parameter["in"] == "query":
            query[parameter["name"]] = value
    text = "&".join(f"{k}={quote(v, safe='')}" for k, v in query.items())
    body = None
    if method == "post":
        headers = {"content_type": "application/json", "x_openallen_token": token_of(url)}
        address = data.draw(st.sampled_from(["stack:0", "grid:1", "nonsense"]))
        body = json.dumps({"address": address, "options": {}}).encode()
    answer = ask(f"{url}{where}?{text}", body, **headers)
    assert str(answer.status) in told["responses"], (where, text, answer.body[:300])
    schema = told["responses"][str(answer.status)]["content"]["application/json"]["schema"]
    assert answer.headers["content-type"].startswith("application/json")
    Draft202012Validator(resolved(schema, document)).validate(answer.document)


def test_the_front_end_has_no_address_of_elsewhere():
    import openallen.viewer

    for path in (Path(openallen.viewer.__file__).parent / "static").glob("*.js"):
        hosts = set(re.findall(r"https?://[\w.-]+", path.read_text("utf-8")))
        assert hosts <= {"http://www.w3.org"}, path.name
