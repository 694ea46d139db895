"""Where an archive listens, who is answered, and what leaves its folder: nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from archives import keep

from openallen.archive import archive_app, serving
from openallen.cli.serve_command import _Listening
from openallen.errors import CorruptError, StoreError, UsageError
from openallen.serving.server import _listen


def status(url: str, **headers: str) -> int:
    try:
        with urlopen(Request(url, headers=headers)) as answer:
            return answer.status
    except HTTPError as error:
        return error.code


def test_names_that_are_allowed_are_answered_with_any_port_and_others_are_not(tmp_path):
    keep(tmp_path, "/a", b"a")
    (tmp_path / "buckets" / "lab").mkdir(parents=True)
    (tmp_path / "buckets" / "lab" / "x").write_bytes(b"x")
    names = ("classroom.local", "10.0.0.7", "proxy:80", "[fd00::7]")
    with serving(archive_app(tmp_path, hosts=names)) as url:
        for host, wanted in {
            "classroom.local": 200, "Classroom.Local:8765": 200, "10.0.0.7:1": 200,
            "[fd00::7]:80": 200, "proxy:80": 200, "proxy": 421, "proxy:81": 421,
            "evil.example": 421, "classroom.local.evil.example": 421, "x.classroom.local": 421,
            "classroom.local:": 421, "classroom.local:123456": 421, "": 421, "127.0.0.1": 200,
        }.items():  # fmt: skip
            for path in ("/a", "/lab/x"):
                assert status(url + path, Host=host) == wanted, (host, path)
        assert status(f"{url}/a", Host="classroom.local", Origin="http://evil.example") == 403


@pytest.mark.parametrize(
    ("host", "names", "address", "answered"),
    [
        (None, (), "127.0.0.1", ()),
        (None, ("proxy",), "127.0.0.1", ("proxy",)),
        ("localhost", (), "127.0.0.1", ()),
        ("10.0.0.7", (), "10.0.0.7", ("10.0.0.7",)),
        ("10.0.0.7", ("classroom",), "10.0.0.7", ("10.0.0.7", "classroom")),
        ("0.0.0.0", ("classroom", "x:80"), "0.0.0.0", ("classroom", "x:80")),
        ("fd00::7", (), "fd00::7", ("[fd00::7]",)),
    ],
)
def test_where_it_listens(host, names, address, answered):
    found = _Listening.of(host, names)
    assert (found.address, found.names) == (address, answered)
    wanted = [f"http://{n}" if n.endswith(":80") else f"http://{n}:7" for n in answered]
    assert found.urls("7") == wanted


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "classroom.local", "", "1.2.3", "0.0.0.0:80"])
def test_what_nobody_could_reach_is_refused(host):
    with pytest.raises(UsageError) as caught:
        _Listening.of(host, ())
    assert str(caught.value).startswith(f"--host {host}")
    assert "--allow-host" in caught.value.hint


def test_an_address_of_another_machine_is_said():
    with pytest.raises(StoreError, match=r"address 192\.0\.2\.1 is not one of this machine"):
        _listen(0, "192.0.2.1")


def test_the_command_listens_at_all_addresses_and_warns(tmp_path):
    keep(tmp_path, "/a", b"a")
    words = ["--archive", str(tmp_path), "--host", "0.0.0.0", "--allow-host", "localhost", "--json"]
    with subprocess.Popen(
        [sys.executable, "-m", "openallen", "serve", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        assert server.stdout
        assert server.stderr
        try:
            text = ""
            while not text.rstrip().endswith("}"):
                line = server.stdout.readline()
                assert line, server.stderr.read()
                text += line
            told = json.loads(text)
            assert told["url"].startswith("http://localhost:")
            assert status(told["url"] + "/a") == 200
            warned = server.stderr.readline() + server.stderr.readline()
            assert "there is no password" in warned
        finally:
            server.terminate()
            assert server.wait(20) == 0


def test_no_file_of_an_archive_is_reached_by_a_link(tmp_path):
    secret = tmp_path / "secret.csv"
    secret.write_bytes(b"id,word\n1,SECRET\n")
    root = tmp_path / "archive"
    for folder in ("files", "models", "images", "grids", "informatics-archive"):
        (root / folder).mkdir(parents=True)
    for place in (
        "files/1.csv", "models/1.zip", "images/1.jpg", "images/1.svg", "grids/1.zip",
        "informatics-archive/x",
    ):  # fmt: skip
        (root / place).symlink_to(secret)
    (root / "informatics-archive" / "y").write_bytes(b"0123456789")
    (root / "files" / "5.csv").write_bytes(b"id\n5\n")
    told = {"files": {"2": "../secret.csv", "3": str(secret), "4": "files/1.csv"}}
    (root / "archive.json").write_text(json.dumps(told))
    with serving(archive_app(root)) as url:
        for path in (
            *(f"/api/v2/well_known_file_download/{n}" for n in range(1, 5)),
            "/neuronal_model/download/1", "/api/v2/svg/1", "/grid_data/download/1",
            "/informatics-archive/x",
        ):  # fmt: skip
            assert status(url + path) == 404, path
        place = f"{url}/informatics-archive/y"
        with urlopen(Request(place, headers={"Range": "bytes=2-4"})) as answer:
            assert (answer.status, answer.read()) == (206, b"234")
        with urlopen(f"{url}/api/v2/well_known_file_download/5") as answer:
            assert answer.headers["content-disposition"] == "attachment; filename*=utf-8''5.csv"
            assert answer.read() == b"id\n5\n"
            tag = answer.headers["etag"]
        asked = f"{url}/api/v2/well_known_file_download/5"
        assert status(asked, **{"If-None-Match": tag}) == 304
    (root / "tables").mkdir()
    (root / "tables" / "genes.csv").symlink_to(secret)
    with pytest.raises(CorruptError, match="a table is not a plain file"):
        archive_app(root)


def test_large_volumes_are_sent_in_bounded_memory(tmp_path):
    import tracemalloc

    (tmp_path / "informatics-archive").mkdir()
    size = 400 << 20
    with Path(tmp_path / "informatics-archive" / "large.nrrd").open("wb") as file:
        file.truncate(size)  # no bytes on the disk
    with serving(archive_app(tmp_path)) as url:
        tracemalloc.start()
        with urlopen(f"{url}/informatics-archive/large.nrrd") as answer:
            got = sum(len(piece) for piece in iter(lambda: answer.read(1 << 20), b""))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert got == size
    assert peak < 32 << 20
