"""Image services, files and misbehaviour of an archive, over real HTTP."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from openallen.archive.faults import KINDS, Fault
from openallen.brainmap import Client, parse
from openallen.errors import (
    AnswerError,
    IntegrityError,
    NotFoundError,
    StalledError,
    StatusError,
    UnreachableError,
    UsageError,
)
from openallen.formats.jpeg import inspect
from openallen.formats.swc import read_swc
from openallen.transport import Http, Retry

PLANE = 321549654
FRONT = 323637357


@pytest.fixture
def http():
    with Http(silence_timeout_s=5) as client:
        yield client


def get(http, url):
    with http.get(url) as response:
        return response, response.read()


@pytest.mark.parametrize("service", ["image", "section_image", "atlas_image", "projection_image"])
def test_pictures_come_by_redirect_and_without_a_length(http, sample_url, service):
    response, body = get(http, f"{sample_url}/api/v2/{service}_download/{PLANE}?downsample=4")
    facts = inspect(body)
    assert (facts.width_px, facts.height_px, facts.components) == (360, 473, 3)
    assert "/cgi-bin/imageservice?mime=1&path=/external/" in response.url
    assert response.length_bytes is None
    assert response.headers["openallen-simulated"] == "true"


def test_the_redirect_is_protocol_relative(sample_url, loopback):
    import http.client
    from urllib.parse import urlsplit

    parts = urlsplit(sample_url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port)
    connection.request("GET", f"/api/v2/image_download/{PLANE}?downsample=4")
    answer = connection.getresponse()
    connection.close()
    assert answer.status == 302
    assert answer.headers["location"].startswith(f"//{parts.netloc}/cgi-bin/imageservice?")


def test_a_part_is_the_part_of_the_whole(http, sample_url):
    base = f"{sample_url}/api/v2/image_download/{FRONT}?downsample=3"
    whole = np.asarray(Image.open(io.BytesIO(get(http, base)[1]))).astype(int)
    part = get(http, base + "&left=1600&top=800&width=100&height=50")[1]
    cut = np.asarray(Image.open(io.BytesIO(part))).astype(int)
    assert cut.shape == (50, 100)
    assert np.abs(cut - whole[100:150, 200:300]).mean() < 3


def test_quality_makes_smaller_files(http, sample_url):
    base = f"{sample_url}/api/v2/image_download/{PLANE}?downsample=4"
    assert len(get(http, base + "&quality=20")[1]) < len(get(http, base)[1])


@pytest.mark.parametrize(
    "tail", ["", "?downsample=x", "?view=expression", "?downsample=2&left=99999"]
)
def test_what_cannot_be_shown_is_refused(http, sample_url, tail):
    image = PLANE if tail else 5
    with pytest.raises((NotFoundError, StatusError)):
        get(http, f"{sample_url}/api/v2/image_download/{image}{tail}")


def test_planes_differ_and_focus_moves_through_the_cell(http, sample_url):
    ids = [321549654, 321550126]
    pictures = [get(http, f"{sample_url}/api/v2/image_download/{i}?downsample=4")[1] for i in ids]
    first, second = (np.asarray(Image.open(io.BytesIO(p))).astype(int) for p in pictures)
    assert np.abs(first - second).max() > 60


def test_files_come_by_id(http, sample_url):
    response, body = get(http, f"{sample_url}/api/v2/well_known_file_download/9000000001")
    assert len(read_swc(body)) == 2191
    assert response.headers["openallen-simulated"] == "true"
    with pytest.raises(NotFoundError):
        get(http, f"{sample_url}/api/v2/well_known_file_download/5")


def test_an_archive_with_pictures_of_its_own(http, tmp_path, archive):
    folder = tmp_path / "mine"
    (folder / "tables").mkdir(parents=True)
    (folder / "images").mkdir()
    picture = Image.new("RGB", (64, 48), "red")
    picture.save(folder / "images" / "7.jpg")
    row = {"id": 7, "path": "/mine/7.aff", "x": 0, "y": 0, "width": 64, "height": 48}
    (folder / "tables" / "sub_images.jsonl").write_text(json.dumps(row) + "\n")
    url = archive(root=folder)
    response, body = get(http, f"{url}/api/v2/image_download/7?downsample=1")
    assert inspect(body).width_px == 32
    assert "openallen-simulated" not in response.headers
    about = json.loads(get(http, f"{url}/openallen/about.json")[1])
    held = {"tables": ["sub_images"], "buckets": [], "answers": 0}
    assert about == {"name": "mine", "simulated_pixels": False, **held}


# --- misbehaviour ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("delay=0.08", Fault("delay", 0.08)),
        ("cut@imageservice/5", Fault("cut", path="imageservice", every=5)),
        ("html", Fault("html")),
        ("cap=50@query", Fault("cap", 50, "query")),
    ],
)
def test_faults_as_they_are_typed(text, fault):
    assert Fault.parse(text) == fault


@pytest.mark.parametrize("text", ["", "nonsense", "delay=x", "cut/0", "=5"])
def test_what_is_no_fault(text):
    with pytest.raises(UsageError):
        Fault.parse(text)


IMAGE = f"/api/v2/image_download/{PLANE}?downsample=5"
ROWS = "/api/v2/data/ProjectionImage/query.json?num_rows=20"


@pytest.mark.parametrize(
    ("fault", "path", "error"),
    [
        ("cut@imageservice", IMAGE, UnreachableError),
        ("error", ROWS, StatusError),
        ("slow-down=3", ROWS, StatusError),
    ],
)
def test_faults_of_the_wire(http, archive, fault, path, error):
    with pytest.raises(error) as caught:
        get(http, archive(fault) + path)
    if fault.startswith("slow"):
        assert caught.value.retry_after_s == 3


def test_a_hanging_service_is_left_after_the_timeout(archive):
    url = archive("hang@imageservice")
    with Http(silence_timeout_s=0.3) as http, pytest.raises(StalledError):
        get(http, url + IMAGE)


def test_delays_add_up(http, archive):
    url = archive("delay=0.15")
    start = time.monotonic()
    get(http, url + IMAGE)
    assert time.monotonic() - start >= 0.3  # the redirect and the picture


@pytest.mark.parametrize("fault", ["truncate@imageservice", "corrupt@imageservice"])
def test_spoilt_pictures_are_well_formed_answers_and_no_pictures(http, archive, fault, tmp_path):
    from openallen.formats.jpeg import JpegCheck

    path = tmp_path / "a.jpg"
    path.write_bytes(get(http, archive(fault) + IMAGE)[1])
    with pytest.raises(IntegrityError):
        JpegCheck()(path)


@pytest.mark.parametrize("fault", ["html", "message", "short", "repeat"])
def test_spoilt_rows_are_refused(http, archive, fault):
    client = Client(http=http, base_url=archive(fault + "@query"), retry=Retry(attempts=1))
    with pytest.raises(AnswerError):
        [page for page in client.pages(parse("model::ProjectionImage"), 20)]  # noqa: C416


def test_a_cap_is_no_fault_of_the_rows(http, archive):
    client = Client(http=http, base_url=archive("cap=9"), retry=Retry(attempts=1))
    assert len(list(client.rows(parse("model::ProjectionImage")))) == 54


def test_every_so_often_and_so_many_times(http, archive):
    url = archive(Fault("error", path="query", every=2, times=2))
    outcomes = []
    for _ in range(8):
        try:
            get(http, url + ROWS)
            outcomes.append(True)
        except StatusError:
            outcomes.append(False)
    assert outcomes == [True, False, True, False, True, True, True, True]


def test_all_kinds_are_told_of():
    assert all(Fault(kind) and text for kind, text in KINDS.items())


# --- as a server of its own -----------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_starts_says_where_and_stops_when_told(http, how):
    command = [sys.executable, "-m", "openallen", "serve", "--archive", "sample", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    text = ""
    while not text.rstrip().endswith("}"):
        text += process.stdout.readline()
    url = json.loads(text)["url"]
    assert get(http, url + ROWS)[0].status == 200
    process.send_signal(how)
    _, errors = process.communicate(timeout=100)
    assert process.returncode in {0, 130}
    assert "Traceback" not in errors


def test_a_port_that_is_taken_is_named(sample_url):
    port = sample_url.rpartition(":")[2]
    command = [sys.executable, "-m", "openallen", "serve", "--archive", "sample", "--port", port]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert f"port {port} cannot be used" in done.stderr
