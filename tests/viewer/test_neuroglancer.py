"""States of neuroglancer: what they say, and what the real neuroglancer shows of them."""

import io
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

import openallen as oa
from openallen.cli.app import run
from openallen.formats.omezarr.neuroglancer import state_of
from openallen.viewer.files import neuroglancer_link, viewer_url

NEUROGLANCER = os.environ.get("OPENALLEN_TEST_NEUROGLANCER", "")
SITE = "https://neuroglancer-demo.appspot.com"
FOLDERS = {"colour": (), "gray": ("--gray",)}

# Serves one viewer; shows the state that is written to it, and says where.
SERVER = """
import json, sys
import neuroglancer
neuroglancer.set_server_bind_address("127.0.0.1")
viewer = neuroglancer.Viewer()
print(viewer.get_viewer_url(), flush=True)
for line in sys.stdin:
    viewer.set_state(json.loads(line))
    print("shown", flush=True)
"""


@pytest.fixture(scope="session")
def stores(stored: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The stack of the sample as OME-Zarr stores."""
    made = tmp_path_factory.mktemp("neuroglancer")
    for name, options in FOLDERS.items():
        folder = str(stored / "stacks" / "313862022")
        assert run(["convert", folder, "--to", str(made / f"{name}.ome.zarr"), *options]) == 0
    return {name: made / f"{name}.ome.zarr" for name in FOLDERS}


def get(url: str, method: str = "GET", **headers: str):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=names, method=method), timeout=60
        ) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


# --- states ---------------------------------------------------------------------------------------


def test_a_state_is_upright_whole_and_in_the_middle(stores):
    state = state_of(oa.open(stores["gray"]), "https://host/a.zarr", "a")
    assert list(state["dimensions"]) == ["x", "y", "z"]
    assert state["displayDimensions"] == ["x", "y", "z"]
    assert state["dimensions"]["z"] == [pytest.approx(0.28e-6), "m"]
    assert state["position"] == [360.5, 473.5, 25.5]
    # 946 px of 0.9152 µm, in voxels of 0.28 µm, on 700 px
    assert state["crossSectionScale"] == pytest.approx(946 * 0.9152 / 0.28 / 700, rel=1e-3)
    assert state["layers"][0]["source"] == "zarr://https://host/a.zarr"
    assert state["layout"] == "xy"


def test_a_picture_in_colour_has_a_layer_for_each_channel(stores):
    layers = state_of(oa.open(stores["colour"]), "https://host/a.zarr", "a")["layers"]
    assert [layer["name"] for layer in layers] == ["a red", "a green", "a blue"]
    assert [layer["localPosition"] for layer in layers] == [[0], [1], [2]]
    assert [layer["blend"] for layer in layers] == ["default", "additive", "additive"]
    assert all(layer["localDimensions"] == {"c'": [1, ""]} for layer in layers)


@pytest.mark.parametrize("name", FOLDERS)
def test_the_card_of_a_store_has_a_picture(stores, name):
    html = oa.open(stores[name])._repr_html_()
    assert '<img src="data:image/png;base64,' in html
    assert len(html) < 60_000


# --- files for a viewer elsewhere -----------------------------------------------------------------


def test_no_file_is_served_unless_it_was_asked_for(view, stored, stores):
    url = view(stored, places={"it": stores["gray"]})
    assert get(f"{url}/files/it/zarr.json")[0] == 404
    assert get(f"{url}/files/it/zarr.json", Origin=SITE)[0] == 403


def test_one_viewer_reads_files_of_one_store_and_nothing_else(view, stored, stores, tmp_path):
    root = stores["gray"]
    url = view(stored, places={"it": root}, neuroglancer=viewer_url("public"))
    status, headers, body = get(
        f"{url}/files/it/zarr.json", Origin=SITE, Sec_Fetch_Site="cross-site"
    )
    assert (status, body) == (200, (root / "zarr.json").read_bytes())
    assert headers["access-control-allow-origin"] == SITE
    part = get(f"{url}/files/it/zarr.json", Origin=SITE, Range="bytes=1-4")
    assert (part[0], part[2]) == (206, body[1:5])
    last = get(f"{url}/files/it/zarr.json", Origin=SITE, Range="bytes=-4")
    assert (last[0], last[2]) == (206, body[-4:])
    may = get(f"{url}/files/it/zarr.json", "OPTIONS", Origin=SITE)
    assert (may[0], may[1]["access-control-allow-private-network"]) == (204, "true")
    # what is not there is told to the viewer too
    assert get(f"{url}/files/it/none", Origin=SITE)[1]["access-control-allow-origin"] == SITE
    for path in ("it/../zarr.json", "it/%2e%2e/colour.ome.zarr/zarr.json", "it//etc/passwd",
                 "it/%2fetc/passwd", "it/.hidden", "it/a%00b", "other/zarr.json", "it/"):  # fmt: skip
        assert get(f"{url}/files/{path}", Origin=SITE)[0] == 404, path
    # other sites, other paths, other methods
    for origin in ("https://evil.example", f"{SITE}.evil.example", "null", f"{SITE}:444"):
        assert get(f"{url}/files/it/zarr.json", Origin=origin)[0] == 403, origin
    for path in ("/", "/index.json", "/place/it.json", "/filesystem"):
        assert get(f"{url}{path}", Origin=SITE)[0] == 403, path
        assert get(f"{url}{path}", Sec_Fetch_Site="cross-site")[0] == 403, path
    assert get(f"{url}/files/it/zarr.json", "POST", Origin=SITE)[0] == 403
    assert get(f"{url}/files/it/zarr.json", Sec_Fetch_Site="cross-site")[0] == 403


def test_a_link_out_of_a_store_is_not_followed(view, stored, tmp_path):
    (tmp_path / "secret").write_text("secret")
    root = tmp_path / "store"
    root.mkdir()
    (root / "out").symlink_to(tmp_path / "secret")
    url = view(stored, places={"it": root}, neuroglancer=SITE)
    assert get(f"{url}/files/it/out", Origin=SITE)[0] == 404


def test_the_command_says_how_to_let_neuroglancer_in(stores, tmp_path, capsys):
    assert run(["view", str(stores["gray"]), "--links"]) == 2
    assert "--neuroglancer public" in capsys.readouterr().err
    assert run(["view", str(tmp_path), "--neuroglancer", "public"]) != 0
    assert run(["view", str(stores["gray"]), "--neuroglancer", "file:///etc"]) == 2
    assert run(["view", "stack:313862022", "--neuroglancer", "public"]) == 2


# --- the real neuroglancer ------------------------------------------------------------------------


@contextmanager
def real():
    """Run neuroglancer's own server; yields its URL and what shows a state in it."""
    with subprocess.Popen(
        [NEUROGLANCER, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:

        def show(state: dict) -> None:
            server.stdin.write(json.dumps(state) + "\n")
            server.stdin.flush()
            assert server.stdout.readline().strip() == "shown"

        yield server.stdout.readline().strip(), show
        server.stdin.close()
        server.wait(30)


def planes(store: Path) -> np.ndarray:
    """The plane in the middle, as the mean of its channels; shape (y, x)."""
    image = oa.open(store)
    level = image.levels[0]
    z = image.axes.index("z")
    plane = np.asarray(level[(slice(None),) * z + (level.shape[z] // 2,)]).astype(np.float32)
    return plane.mean(axis=0) if plane.ndim == 3 else plane


def means(store: Path) -> np.ndarray:
    """The mean of red, green and blue in the middle plane."""
    image = oa.open(store)
    level = image.levels[0]
    z = image.axes.index("z")
    plane = np.asarray(level[(slice(None),) * z + (level.shape[z] // 2,)])
    return np.resize(plane.reshape(-1, *plane.shape[-2:]).mean(axis=(1, 2)), 3)


def alike(picture: np.ndarray, plane: np.ndarray) -> float:
    """Correlation of a plane with the part of a picture that is not background."""
    size = picture.shape[1], picture.shape[0]
    small = np.asarray(Image.fromarray(plane.astype(np.float32)).resize(size, Image.Resampling.BOX))
    return float(np.corrcoef(picture.ravel(), small.ravel())[0, 1])


@pytest.mark.slow
@pytest.mark.skipif(
    not NEUROGLANCER, reason="OPENALLEN_TEST_NEUROGLANCER names no python with neuroglancer"
)
@pytest.mark.parametrize("name", FOLDERS)
def test_the_real_neuroglancer_shows_the_plane_upright(name, view, stored, stores, chromium):
    store = stores[name]
    with real() as (where, show):
        url = view(stored, places={"it": store}, neuroglancer=where)
        link = neuroglancer_link(store, "it", url, where)
        state = json.loads(unquote(link.partition("#!")[2]))
        show({**state, "showAxisLines": False, "showScaleBar": False})
        context = chromium.new_context(viewport={"width": 1280, "height": 800})
        page = context.new_page()
        page.goto(where)
        plane = planes(store)
        until = time.monotonic() + 120
        best = {}
        while time.monotonic() < until and best.get("as it is", 0) < 0.75:
            time.sleep(1)
            shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            if folder := os.environ.get("OPENALLEN_TEST_PICTURES"):
                shot.save(Path(folder) / f"neuroglancer-{name}.png")
            picture = _shown(np.asarray(shot).astype(np.float32))
            if picture is None:
                continue
            found = picture.mean(axis=2)
            turned = {"as it is": plane, "upside down": plane[::-1], "mirrored": plane[:, ::-1],
                      "turned": plane[::-1, ::-1]}  # fmt: skip
            best = {how: alike(found, other) for how, other in turned.items()}
        context.close()
    # in its colours: the mean of each channel is that of the plane
    assert picture.mean(axis=(0, 1)) == pytest.approx(means(store), abs=8)
    # not 1, as neuroglancer takes the nearest pixel; noise of the plane is all that others share
    assert best.get("as it is", 0) >= 0.75, best
    assert max(value for how, value in best.items() if how != "as it is") < 0.2, best
    # whole: it has the shape of the plane
    assert found.shape[1] / found.shape[0] == pytest.approx(
        plane.shape[1] / plane.shape[0], rel=0.03
    )


def _shown(shot: np.ndarray) -> np.ndarray | None:
    """Return the image in a screenshot: what is bright below the bars."""
    bright = shot.mean(axis=2) > 60
    bright[:64] = False
    rows = np.flatnonzero(bright[:, 200:1100].mean(axis=1) > 0.3)
    columns = np.flatnonzero(bright[rows].mean(axis=0) > 0.5) if len(rows) > 200 else []
    if len(columns) < 150:
        return None
    edge = 3  # a line is drawn around it
    return shot[rows[0] + edge : rows[-1] + 1 - edge, columns[0] + edge : columns[-1] + 1 - edge]
