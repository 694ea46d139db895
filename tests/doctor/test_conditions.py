"""`openallen doctor` where something is wrong: each is told with what mends it, and nothing changes."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from email.utils import formatdate
from hashlib import sha256
from pathlib import Path

import pytest

import openallen as oa
from openallen.checkup import CHECKS, run
from openallen.checkup.findings import ok
from openallen.store import Index, Leases

NOBODY = "http://127.0.0.1:9"
LISTING = (
    b'<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    b"<KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>"
)


def openallen(*arguments: object, environ: dict[str, str] | None = None, **options):
    return subprocess.run(
        [sys.executable, "-m", "openallen", *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL,
        env={**os.environ, **(environ or {})}, **options,
    )  # fmt: skip


def tree(root: Path) -> dict[str, tuple[object, ...]]:
    """What is in a folder: bytes, sizes and times of files."""
    return {
        str(p.relative_to(root)): (sha256(p.read_bytes()).hexdigest(), p.stat().st_mtime_ns)
        if p.is_file()
        else ()
        for p in root.rglob("*")
    }


def states(found, check: str) -> list[str]:
    return [finding.state for finding in found.of(check)]


def one(found, check: str, state: str):
    """The one finding of that state; its words are in the message where there is another number."""
    there = [finding for finding in found.of(check) if finding.state == state]
    assert len(there) == 1, list(map(str, found.of(check)))
    return there[0]


@pytest.fixture
def store(tmp_path, monkeypatch) -> Path:
    root = tmp_path / "store"
    root.mkdir()
    monkeypatch.setenv("OPENALLEN_STORE", str(root))
    return root


def answering(loopback, headers=None):
    """A server that answers as brain-map.org and S3 do."""
    server = loopback()
    server.routes["/api/v2/data/query.json"] = lambda q, r: r.send(
        b'{"success": true}', headers=headers
    )
    for bucket in ("allen-brain-observatory", "aind-open-data", "allen-data-views"):
        server.routes[f"/s3/{bucket}/"] = lambda q, r: r.send(LISTING, headers=headers)
    return server


# --- the whole page -------------------------------------------------------------------------------


def test_a_place_where_all_is_well(sample_url, store):
    with Index(store) as index:
        (store / "a").write_bytes(b"a")
        index.remember(store / "a", digest="sha256:00", source="", address="")
    before = tree(store)
    done = openallen("doctor", "--source", sample_url)
    assert done.returncode == 0, done.stdout
    assert "Traceback" not in done.stderr
    assert done.stdout.startswith("openallen doctor: no problem, ")
    assert "API of brain-map.org: answers in " in done.stdout
    assert "index intact, 1 record" in done.stdout
    assert "writable, with hard links" in done.stdout
    told = json.loads(openallen("doctor", "--offline", "--json").stdout)
    assert told["problems"] == 0
    assert {f["check"] for f in told["findings"]} == set(CHECKS) - {"imports"}
    assert {f["state"] for f in told["findings"]} <= {"ok", "note"}
    assert tree(store) == before


def test_nothing_heavy_is_loaded_and_the_function_is_not_hidden():
    code = (
        "import sys, openallen.checkup.run, openallen as oa; found = oa.doctor(offline=True); "
        "assert callable(oa.doctor); assert 'extras' in found.to_dict()['findings'][-1]['check'] or found;"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {
        "numpy",
        "pandas",
        "h5py",
        "xarray",
        "pyarrow",
        "duckdb",
        "PIL",
        "zarr",
        "matplotlib",
        "dask",
    }
    assert not heavy & set(done.stdout.split())


def test_a_check_that_fails_is_a_finding(monkeypatch):
    def broken(scene):
        yield from ()
        raise RuntimeError("/home/somebody/secret")

    monkeypatch.setitem(CHECKS, "disk", broken)
    found = oa.doctor(offline=True)
    assert one(found, "disk", "problem").text == "this check failed (RuntimeError)"
    assert "terminal" in str(found)
    assert found.exit_code == 1


def test_a_drive_that_does_not_answer_is_a_finding(monkeypatch, tmp_path):
    os.mkfifo(tmp_path / "pipe")

    def held(scene):
        yield ok("before")
        (tmp_path / "pipe").read_bytes()  # nobody writes into it

    monkeypatch.setitem(CHECKS, "store", held)
    monkeypatch.setattr(run, "_PATIENCE_S", 1.0)
    found = oa.doctor(offline=True)
    assert states(found, "store") == ["ok", "problem"]
    assert "does not answer" in one(found, "store", "problem").text
    assert "terminal" in str(found)
    (tmp_path / "pipe").write_bytes(b"")  # the thread ends


def test_pipes_are_not_waited_for(store, monkeypatch, tmp_path):
    os.mkfifo(store / "index.sqlite")
    os.mkfifo(store / "x.lease")
    os.mkfifo(tmp_path / "ca.pem")
    monkeypatch.setenv("CURL_CA_BUNDLE", str(tmp_path / "ca.pem"))
    monkeypatch.setattr(run, "_PATIENCE_S", 20.0)
    found = oa.doctor(offline=True)
    assert "damaged (not a file)" in one(found, "store", "problem").text
    assert "cannot be read (not a file)" in one(found, "certificates", "problem").text
    assert states(found, "locks") == ["ok"]


def test_a_store_that_cannot_be_looked_at_is_a_finding(monkeypatch, tmp_path):
    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path / ("long-name " * 40)))
    found = oa.doctor(offline=True)
    assert "cannot be looked at (File name too long)" in one(found, "store", "problem").text
    assert "check failed" not in str(found)


def test_quiet_ids_and_html(store):
    store.rmdir()
    store.write_bytes(b"")
    done = openallen("doctor", "--offline", "--ids")
    assert (done.stdout.split(), done.returncode) == (["store"], 1)
    quiet = openallen("doctor", "--offline", "-q").stdout
    assert "is a file, not a folder" in quiet
    assert not [line for line in quiet.splitlines() if line.startswith("  ok ")]
    assert "is a file, not a folder" in oa.doctor(offline=True)._repr_html_()


# --- services, proxies, certificates, clock -------------------------------------------------------


def test_offline_asks_nobody_and_says_so(loopback):
    server = answering(loopback)
    found = oa.doctor(source=server.url, offline=True)
    assert one(found, "endpoints", "ok").text == "not asked: --offline"
    assert not server.seen


@pytest.mark.parametrize(
    ("source", "says"), [("nonsense", "neither live, sample"), (5, "'source' from argument")]
)
def test_a_source_that_is_none_is_a_problem_without_asking(source, says):
    found = one(oa.doctor(source=source, offline=True), "settings", "problem")
    assert says in found.text


def test_each_service_is_asked_once(loopback):
    server = answering(loopback, {"Date": formatdate(usegmt=True)})
    found = oa.doctor(source=server.url)
    assert states(found, "endpoints") == ["ok"] * 4
    assert states(found, "clock") == ["ok"]
    assert len(server.seen) == 4


def test_nobody_there_is_one_problem(sample_url):
    found = oa.doctor(source=NOBODY)
    told = one(found, "endpoints", "problem")
    assert "UnreachableError, no connection" in told.text
    assert told.facts["services"] == [
        "API of brain-map.org", "buckets of releases", "bucket of AIND's assets", "catalogue of AIND",
    ]  # fmt: skip
    assert told.action == "openallen list stack: --source sample"


def test_a_page_of_somebody_between_is_told(loopback):
    server = answering(loopback)
    for path in server.routes:
        server.routes[path] = lambda q, r: r.send(b"<html>please log in</html>")
    told = oa.doctor(source=server.url).of("endpoints")
    assert {f.facts["error"] for f in told} == {"AnswerError"}


@pytest.mark.parametrize(
    ("off_s", "state"), [(7200, "problem"), (-7200, "problem"), (90, "note"), (1, "ok")]
)
def test_the_clock_is_compared_with_the_services(loopback, off_s, state):
    server = answering(loopback, {"Date": formatdate(time.time() - off_s, usegmt=True)})
    told = one(oa.doctor(source=server.url), "clock", state)
    assert abs(told.facts["seconds_ahead"] - off_s) <= 3
    if state != "ok":
        assert ("ahead of" if off_s > 0 else "behind") in told.text
        assert told.action


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_refuses_is_told(loopback, monkeypatch, scheme):
    proxy = loopback()

    def refuse(request, reply):
        reply.send(b"", "407 Proxy Authentication Required")

    for path in ("http://brain-map.test/api/v2/data/query.json", "brain-map.test:443"):
        proxy.routes[path] = refuse
    monkeypatch.setenv(f"{scheme}_proxy", proxy.url.replace("//", "//me:hunter22@"))
    found = oa.doctor(source=f"{scheme}://brain-map.test")
    assert f"http proxy at {proxy.url[7:]}, with credentials" in one(found, "proxies", "ok").text
    told = [f for f in found.of("endpoints") if "407" in f.text]
    assert told, list(map(str, found.of("endpoints")))
    assert told[0].action.startswith(f"unset {scheme}_proxy")
    assert "hunter22" not in str(found)


def test_a_ca_file_that_is_not_there_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    found = oa.doctor(offline=True)
    told = one(found, "certificates", "problem")
    assert "none.pem (SSL_CERT_FILE): there is no such file, TLS fails" in told.text
    assert told.action == "unset SSL_CERT_FILE"
    (tmp_path / "none.pem").write_text("not a certificate")
    assert "no certificates in it" in one(oa.doctor(offline=True), "certificates", "problem").text
    monkeypatch.delenv("SSL_CERT_FILE")
    assert "problem" not in states(oa.doctor(offline=True), "certificates")


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'attempts = "hunter22"', "invalid value of setting 'attempts'"),
        (b"hunter22 = 1", "unknown setting '…'"),
        (b"a = [[[hunter22", "settings cannot be read"),
        (b"\xff\xfe\x00", "not UTF-8|settings cannot be read"),
        (b"a = " + b"[" * 20_000, "settings cannot be read"),
    ],
    ids=["value", "name", "broken", "bytes", "deep"],
)
def test_settings_that_cannot_be_read_are_a_finding(monkeypatch, tmp_path, body, words):
    folder = tmp_path / "config" / "openallen"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_bytes(body)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    found = oa.doctor(offline=True)
    told = one(found, "settings", "problem")
    assert any(word in told.text for word in words.split("|")), told.text
    assert "defaults are used below" in told.text
    assert "hunter22" not in str(found)
    if body.endswith(b"hunter22"):
        done = openallen("doctor", "--offline", "--debug")
        assert done.returncode == 1
        assert "hunter22" not in done.stdout + done.stderr


def test_a_variable_that_sets_nothing_is_told(monkeypatch):
    monkeypatch.setenv("OPENALLEN_STOER", "/hunter22")
    told = one(oa.doctor(offline=True), "settings", "problem")
    assert "unknown setting 'OPENALLEN_STOER'" in told.text
    assert told.action == "unset OPENALLEN_STOER"


def test_no_home_no_current_folder_and_a_strange_locale(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    code = f"cd '{gone}' && rmdir '{gone}' && '{sys.executable}' -m openallen doctor --offline"
    environ = {"HOME": "/none/ü", "LC_ALL": "xx_XX.ISO-8859-15", "PYTHONIOENCODING": "ascii",
               "OPENALLEN_STORE": "/none/ü/store", "TMPDIR": "/none", "TERM": ""}  # fmt: skip
    source = str(Path(oa.__file__).parents[1])
    done = subprocess.run(
        ["sh", "-c", code], capture_output=True, text=True, check=False,
        env={**os.environ, **environ, "PYTHONPATH": source},
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "the current folder is gone" in done.stdout
    assert "output in ascii" in done.stdout
    assert "this check failed" not in done.stdout
    assert "~/store" in done.stdout


# --- the store ------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"no database" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_index_is_told_and_mended_by_what_it_says(tmp_path, monkeypatch, body):
    monkeypatch.setenv("HOME", str(tmp_path))
    store = tmp_path / "my data" / "store"
    store.mkdir(parents=True)
    (store / "index.sqlite").write_bytes(body)
    before = tree(store)
    found = oa.doctor(offline=True, store=store)
    assert tree(store) == before
    told = one(found, "store", "problem")
    assert "the index is damaged" in told.text
    assert str(tmp_path) not in told.action
    subprocess.run(["sh", "-c", told.action], check=True)
    assert (store / "index.sqlite.damaged").is_file()
    assert "problem" not in states(oa.doctor(offline=True, store=store), "store")


def test_an_index_is_not_changed_of_an_older_version_or_in_another_mode(store):
    (store / "index.sqlite").touch()
    assert "problem" not in states(oa.doctor(offline=True), "store")
    for mode in ("delete", "wal"):
        db = sqlite3.connect(store / "index.sqlite")
        db.execute(f"PRAGMA journal_mode={mode}")
        db.execute(
            "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, digest TEXT, size_bytes INTEGER,"
            " mtime_ns INTEGER, source TEXT, address TEXT, verified_at REAL)"
        )
        db.close()
        before = tree(store)
        assert "problem" not in states(oa.doctor(offline=True), "store")
        assert tree(store) == before


def test_a_read_only_store_is_looked_at(frozen):
    root, freeze = frozen
    with Index(root):
        pass
    (root / "index.sqlite").write_bytes(b"damaged" * 1000)
    freeze()
    before = tree(root)
    found = oa.doctor(offline=True, store=root)
    assert "read-only" in one(found, "store", "note").text
    assert "the index is damaged" in one(found, "store", "problem").text
    assert [f.facts["file_system"] for f in found.of("store") if "file_system" in f.facts] == [
        "tmpfs"
    ]
    assert tree(root) == before


def test_leases_and_parts_are_told(store):
    code = (
        "import os, sys; from pathlib import Path; from openallen.store import Leases\n"
        "Leases().take(Path(sys.argv[1])); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(store / "stale")], check=True)
    (store / "big.0123abcd.part").write_bytes(b"x" * 1500)
    found = oa.doctor(offline=True)
    texts = [f.text for f in found.of("locks")]
    assert texts == [
        "1 lease left by processes that ended",
        "1 file begun and not finished, 1.50 kB",
    ]
    leases = Leases()
    lease = leases.take(store / "held")
    try:
        told = oa.doctor(offline=True).of("locks")[0]
        assert told.text == f"1 file being written by process {os.getpid()} on this machine"
    finally:
        leases.release(lease)
        leases.close()
    elsewhere = store / "far.lease"
    elsewhere.write_text('{"token": "x", "host": "lab-7", "where": "lab-7|b|p", "pid": 12}')
    text = str(oa.doctor(offline=True))
    assert "process 12 on another machine" in text
    assert "lab-7" not in text
    os.utime(elsewhere, (1, 1))
    assert "2 leases left by processes that ended or fell silent" in str(oa.doctor(offline=True))


# --- what is installed ----------------------------------------------------------------------------


@pytest.fixture
def packages(tmp_path) -> dict[str, str]:
    """Packages of which each has something wrong, and metadata of openallen that name them."""
    folder = tmp_path / "packages"

    def distribution(name: str, version: str, *lines: str, module: str | None = None) -> None:
        info = folder / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        told = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *lines]
        (info / "METADATA").write_text("\n".join(told) + "\n")
        if module is not None:
            (folder / f"{name}.py").write_text(module)

    distribution(
        "openallen", "0.1.0",
        "Requires-Dist: click>=8",
        "Requires-Dist: fine_one>=1.2; extra == 'tables'",
        "Requires-Dist: old_one>=2.10; extra == 'images'",
        "Requires-Dist: hollow_one; extra == 'nwb'",
        "Requires-Dist: raising_one>=1; extra == 'atlas'",
        "Requires-Dist: missing_one>=1; extra == 'web'",
        "Requires-Dist: openallen[tables]; extra == 'polars'",
        "Requires-Dist: never_one; (python_version < '3.0') and extra == 'schema'",
    )  # fmt: skip
    distribution("fine_one", "1.2.0rc1", module="")
    distribution("old_one", "2.9", module="")
    distribution("hollow_one", "1")
    distribution(
        "raising_one", "1.0", module="open('loaded', 'w').close()\nraise RuntimeError('no GPU')\n"
    )
    source = str(Path(oa.__file__).parents[1])
    return {"PYTHONPATH": f"{folder}{os.pathsep}{source}"}


def test_packages_that_are_old_missing_or_broken(packages, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    done = openallen("doctor", "--offline", "--json", environ=packages, cwd=work)
    told = [f for f in json.loads(done.stdout)["findings"] if f["check"] == "extras"]
    texts = {f["text"]: f["state"] for f in told}
    assert texts == {
        "atlas: raising_one 1.0": "ok",
        "images: old_one 2.9": "ok",
        "nwb: hollow_one is installed, but its module is not there": "problem",
        "old_one 2.9 is older than 2.10, the least that works": "problem",
        "polars: fine_one 1.2.0rc1": "ok",
        "tables: fine_one 1.2.0rc1": "ok",
        "web: without missing_one": "note",
    }
    actions = {f["text"].split()[0]: f["action"] for f in told if f["action"]}
    assert "install 'old_one>=2.10'" in actions["old_one"]
    assert actions["web:"].endswith("openallen[web]'")
    assert done.returncode == 1
    assert not list(work.iterdir())  # nothing was imported


def test_libcurl_that_cannot_be_loaded_is_a_finding(tmp_path):
    (tmp_path / "pycurl.py").write_text("raise ImportError('libcurl.so.4: version mismatch')\n")
    source = str(Path(oa.__file__).parents[1])
    environ = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{source}", "OPENALLEN_SOURCE": NOBODY}
    done = openallen("doctor", environ=environ)
    assert "pycurl cannot be imported (ImportError: libcurl.so.4: version mismatch)" in done.stdout
    assert "this check failed" not in done.stdout
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)


def test_settings_that_cannot_be_read_do_not_send_anybody_online(monkeypatch, tmp_path):
    (tmp_path / "openallen.toml").write_text("attempts = ")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    assert one(oa.doctor(), "endpoints", "ok").text == "not asked: --offline"


def test_imports_are_tried_where_that_is_asked_for(packages, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    done = openallen("doctor", "--offline", "--imports", "--json", environ=packages, cwd=work)
    told = [f for f in json.loads(done.stdout)["findings"] if f["check"] == "imports"]
    assert [f["text"] for f in told] == [
        "raising_one 1.0 cannot be imported (RuntimeError: no GPU)"
    ]
    assert told[0]["action"].endswith("--force-reinstall raising_one")
