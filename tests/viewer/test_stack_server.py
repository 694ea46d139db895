"""What the web view serves of stacks and images, compared with independent decoders."""

from __future__ import annotations

import gzip
import http.client
import io
import json
import os
import shutil
import socket
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
import zarr
from PIL import Image

import openallen as oa
from openallen import maintenance
from openallen.formats.focus import focus_measure
from openallen.formats.objects import FolderObjects
from openallen.formats.omezarr import OmeZarr
from openallen.formats.overview import Sides, overview_factor, read_overview, scaled_jpeg
from openallen.planes.overviews import overviews_folder
from openallen.settings import Settings
from openallen.sources.stacks import ImageStack
from openallen.sources.stacks.coming import DRAFT_NAME
from openallen.viewer import app as viewer_module
from openallen.viewer.answers import Query
from openallen.viewer.depths import Depths
from openallen.viewer.items import to_key
from openallen.viewer.kinds.stack import StackKind
from openallen.viewer.overviews import Overviews
from openallen.viewer.planes import PlanePool
from openallen.visuals import visuals_of

STACK = "stack:313862022"
BASE = f"/v/{to_key(STACK)}/planes/"


def get(url: str) -> tuple[int, Any, bytes]:
    """Return status, headers and body."""
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def document(url: str) -> Any:
    status, headers, body = get(url)
    assert status == 200, body
    return json.loads(gzip.decompress(body) if headers["content-encoding"] == "gzip" else body)


def pixels(body: bytes) -> np.ndarray:
    """Decode a JPEG with Pillow."""
    return np.asarray(Image.open(io.BytesIO(body)))


def far_off(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mean difference of two pictures, in steps of 255."""
    assert a.shape == b.shape
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with some planes of the sample's stack, large enough for overviews of their own."""
    store = tmp_path_factory.mktemp("wide") / "store"
    settings = Settings.load(store=store, source="sample")
    oa.fetch(STACK, settings=settings, downsample=2, planes=slice(10, 16))
    return store


def focus_of(base: str) -> list[float | None]:
    """Return the focus of each plane once all are prepared."""
    for _ in range(60):
        told = document(base + "focus.json")
        if told["complete"]:
            return told["focus"]
    raise AssertionError("planes are not prepared")


def planes_of(store: Path) -> list[Path]:
    return sorted((store / "stacks" / "313862022" / "planes").glob("*.jpg"))


def here(meta: dict[str, Any]) -> list[str]:
    return [plane["key"] for plane in meta["planes"] if plane["key"]]


# --- values ---------------------------------------------------------------------------------------


def test_what_a_stack_says_of_itself(view, wide):
    meta = document(view(wide) + BASE + "meta.json")
    with Image.open(planes_of(wide)[0]) as first:
        assert (meta["width_px"], meta["height_px"]) == first.size
    assert meta["address"] == STACK
    assert meta["complete"] is True
    assert meta["levels"] == 3
    assert meta["tile_px"] == 512
    assert meta["overviews"] == [2]
    assert len(meta["planes"]) == 50
    assert [n for n, plane in enumerate(meta["planes"]) if plane["key"]] == list(range(10, 16))
    assert len(set(here(meta))) == 6


def test_overviews_are_planes_made_smaller(view, wide):
    base = view(wide) + BASE
    meta = document(base + "meta.json")
    for key, path in zip(here(meta)[:2], planes_of(wide), strict=False):
        status, headers, body = get(f"{base}over/2/0/{key}.jpg")
        assert (status, headers["content-type"]) == (200, "image/jpeg")
        assert "immutable" in headers["cache-control"]
        with Image.open(path) as plane:
            assert far_off(pixels(body), np.asarray(plane.reduce(2))) < 2.5


def test_tiles_are_parts_of_planes_at_each_level(view, wide):
    base = view(wide) + BASE
    key = here(document(base + "meta.json"))[2]
    with Image.open(planes_of(wide)[2]) as plane:
        levels = [np.asarray(plane.reduce(2**n) if n else plane) for n in range(3)]
    for level, whole in enumerate(levels):
        height, width = whole.shape[:2]
        found = np.zeros_like(whole)
        for y in range(-(-height // 512)):
            for x in range(-(-width // 512)):
                status, headers, body = get(f"{base}tile/0/{key}/{level}/{x}_{y}.jpg")
                assert status == 200
                assert "immutable" in headers["cache-control"]
                tile = pixels(body)
                found[y * 512 : y * 512 + 512, x * 512 : x * 512 + 512] = tile
        assert far_off(found, whole) < 2.5


def test_focus_and_projections_are_those_of_the_overviews(view, wide):
    base = view(wide) + BASE
    meta = document(base + "meta.json")
    focus = focus_of(base)
    small = {
        n: pixels(get(f"{base}over/2/0/{plane['key']}.jpg")[2])
        for n, plane in enumerate(meta["planes"])
        if plane["key"]
    }
    assert [v is not None for v in focus] == [n in small for n in range(50)]
    luminance = {n: np.asarray(Image.fromarray(p).convert("L")) for n, p in small.items()}
    for n, one in luminance.items():
        assert focus[n] == pytest.approx(focus_measure(one), rel=0.05)
    block = np.zeros((50, *small[10].shape), np.uint8)
    for n, one in small.items():
        block[n] = one
    cut = block[10:16]
    flat = {"min": np.min, "max": np.max, "mean": np.mean}
    for name, made in flat.items():
        xy = pixels(get(f"{base}projection/{name}_xy.jpg")[2])
        assert far_off(xy, np.rint(made(cut, axis=0))) < 2.5, name
        xz = pixels(get(f"{base}projection/{name}_xz.jpg")[2])
        assert xz.shape[:2] == (50, small[10].shape[1])
        yz = pixels(get(f"{base}projection/{name}_yz.jpg")[2])
        assert yz.shape[:2] == (small[10].shape[0], 50)


def test_a_stack_that_was_opened_anew_has_no_projection_of_fewer_planes_than_known(wide):
    first, gate = [True], threading.Event()

    def busy() -> bool:
        return not (first and first.pop()) and not gate.wait(60)

    settings = Settings.load(store=wide, source="sample", offline=True)
    [visual] = [v for v in visuals_of(oa.open(STACK, settings=settings)) if v.kind == "stack"]
    depths = Depths(Overviews(), busy)

    def sides(least: int, wait_s: float) -> Any:
        asked = {"wait_s": wait_s, "gone": lambda: False, "least": least}
        return depths.projection(visual, 0, "min", "xz", **asked)

    try:
        while not any(v is not None for v in depths.focus(visual, 0.1, lambda: False)):
            time.sleep(0.01)
        assert sides(1, 0.1) is not None
        assert sides(6, 0.1) is None
    finally:
        gate.set()
    assert sides(6, 60).any(axis=(1, 2)).sum() == 6
    assert sides(50, 1) is not None, "there are no more"


@pytest.mark.parametrize("colour", [False, True])
def test_projections_are_exact_before_they_are_pictures(colour):
    rng = np.random.default_rng(3)
    block = rng.integers(0, 256, (5, 23, 31, *((3,) if colour else ())), dtype=np.uint8)
    sides = Sides(5, 23, 31, colour=colour)
    for z in (3, 0, 4, 1, 2):
        sides.add(z, block[z])
    for name, made in {"min": np.min, "max": np.max, "mean": np.mean}.items():
        assert np.array_equal(sides.projection(name, "xy"), np.rint(made(block, axis=0)))
        assert np.array_equal(sides.projection(name, "xz"), np.rint(made(block, axis=1)))
        across = np.rint(made(block, axis=2)).swapaxes(0, 1)
        assert np.array_equal(sides.projection(name, "yz"), across)
    if not colour:
        assert sides.focus == [focus_measure(plane) for plane in block]


def test_a_picture_of_the_stack_for_lists_is_small(view, wide):
    status, headers, body = get(f"{view(wide)}/thumb/{to_key(STACK)}")
    assert (status, headers["content-type"]) == (200, "image/jpeg")
    assert max(Image.open(io.BytesIO(body)).size) <= 320


def test_every_picture_of_the_page_without_script_is_there(view, wide):
    url = view(wide)
    text = get(f"{url}/item/{STACK}")[2].decode()
    sources = [part.split('"')[0] for part in text.split('<img src="')[1:]]
    assert len(sources) == 6 + 3
    for source in sources:
        status, headers, _ = get(url + source)
        assert (status, headers["content-type"]) == (200, "image/jpeg"), source


# --- what nobody should ask -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "over/3/0/KEY.jpg",
        "over/1/0/KEY.jpg",
        "over/0/0/KEY.jpg",
        "over/2/1/KEY.jpg",
        "over/2/-1/KEY.jpg",
        "over/2/0/nothing.jpg",
        "over/2/0/..%2f..%2fmanifest.jpg",
        "over/2/0/KEY.png",
        "over/4294967296/0/KEY.jpg",
        "tile/0/KEY/3/0_0.jpg",
        "tile/0/KEY/-1/0_0.jpg",
        "tile/0/KEY/0/3_0.jpg",
        "tile/0/KEY/0/0_4.jpg",
        "tile/0/KEY/0/0_-1.jpg",
        "tile/0/KEY/0/0.jpg",
        "tile/0/KEY/0/1e3_0.jpg",
        "tile/0/KEY/0/0_0",
        "tile/0/KEY/0/0_0.jpg/more",
        "tile/5/KEY/0/0_0.jpg",
        "projection/sum_xy.jpg",
        "projection/min_zz.jpg",
        "projection/min_xy.jpg?channel=1",
        "projection/../meta.json",
        "nothing.json",
        "",
    ],
)
def test_wrong_paths_are_errors_of_ours(view, wide, path):
    base = view(wide) + BASE
    key = here(document(base + "meta.json"))[0]
    status, _, body = get(base + path.replace("KEY", key))
    assert status in {400, 404}
    assert b"Traceback" not in body
    assert json.loads(body)["error"]["what"]


# --- many requests --------------------------------------------------------------------------------


@pytest.fixture
def large(wide, tmp_path) -> Path:
    """A store with a stack of forty planes that take long to decode, all with the same pixels."""
    store = tmp_path / "large"
    shutil.copytree(wide / "stacks", store / "stacks")
    folder = store / "stacks" / "313862022"
    shutil.rmtree(folder / "planes")
    (folder / "planes").mkdir()
    noise = np.random.default_rng(1).integers(0, 256, (3000, 4000, 1), dtype=np.uint8)
    body = simplejpeg.encode_jpeg(noise, 90, "GRAY", "Gray")
    manifest = json.loads((folder / "manifest.json").read_text())
    for entry in manifest["planes"]:
        name = f"planes/{entry['section_number']:04}.jpg"
        wanted = entry["position"] < 40
        entry |= {
            "path": name if wanted else None,
            "size_bytes": len(body),
            "sha256": None,
            "file_width_px": 4000,
            "file_height_px": 3000,
        }
        if wanted:
            (folder / name).write_bytes(body)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return store


@pytest.fixture
def kinds(monkeypatch) -> list[Any]:
    """The kinds of views of the servers that a test starts: their counters."""
    found: list[Any] = []

    class Watched(viewer_module.Viewer):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            found.append(self)

    monkeypatch.setattr(viewer_module, "Viewer", Watched)
    return found


def leave(url: str, paths: list[str], after_s: float = 0.001) -> None:
    """Ask for each path on a connection of its own, and be gone before the answer."""
    host, port = url.removeprefix("http://").split(":")
    for path in paths:
        with socket.create_connection((host, int(port))) as line:
            line.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
            time.sleep(after_s)


def test_a_dragged_slider_decodes_few_planes(view, large, kinds):
    url = view(large)
    keys = here(document(url + BASE + "meta.json"))
    kind = kinds[0].kinds["stack"]
    paths = [f"{BASE}tile/0/{key}/0/0_0.jpg" for key in (*keys, *keys)][:60]
    leave(url, paths)
    status, _, body = get(f"{url}{BASE}tile/0/{keys[20]}/0/1_1.jpg")
    assert status == 200
    assert pixels(body).shape == (512, 512)
    gates = kinds[0]._heavy.dropped + kind.pool.dropped
    assert gates > 0
    assert kind.pool.decoded <= 30
    assert len(kind.pool) <= 4
    assert kind.pool.size_bytes <= 136 << 20


def test_a_plane_is_decoded_once_for_all_its_tiles(view, large, kinds):
    url = view(large)
    key = here(document(url + BASE + "meta.json"))[5]
    paths = [f"{url}{BASE}tile/0/{key}/0/{x}_{y}.jpg" for x in range(4) for y in range(3)]
    threads = [threading.Thread(target=get, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    get(f"{url}{BASE}tile/0/{key}/2/0_0.jpg")  # made of the one that is there
    assert kinds[0].kinds["stack"].pool.decoded == 1


def test_the_pool_stays_within_its_bounds():
    pool = PlanePool(most_bytes=1000, most=3)
    made = []

    def decode(n: int):
        made.append(n)
        return np.full((20, 20), n, np.uint8)

    for n in range(20):
        found = pool.plane(("stack", n), 0, 400, lambda n=n: decode(n), lambda: False)
        assert found[0, 0] == n
        assert pool.size_bytes <= 1000
        assert len(pool) <= 3
    assert made == list(range(20))
    pool.plane(("stack", 19), 1, 100, lambda: decode(99), lambda: False)
    assert made[-1] == 19


# --- overviews on the disk ------------------------------------------------------------------------


def test_overviews_are_kept_when_planes_come_and_disturb_nothing(wide):
    settings = Settings.load(store=wide, source="sample")
    folder = wide / "stacks" / "313862022"
    kept = sorted(overviews_folder(wide, folder).iterdir())
    stack = oa.open(STACK, settings=settings)
    assert len(kept) == len(stack.planes) == 6
    for plane in stack.planes:
        key = f"{plane.entry.position}-{plane.entry.sha256[:16]}"
        body = read_overview(stack.overviews, key)
        with Image.open(plane.path) as full:
            assert far_off(pixels(body), np.asarray(full.reduce(2))) < 2.5
    assert {p.name for p in folder.iterdir()} == {
        "manifest.json", "planes", "projections", "morphology",
    }  # fmt: skip
    (row,) = maintenance.held(settings)
    assert row["files"] == 6 + 4 + 3 + 1
    checked = [c for _, c in maintenance.verify(settings=settings)]
    assert {c.status for c in checked} == {"intact"}
    assert not any("overviews" in c.path.parts for c in checked)


def test_overviews_go_with_their_stack(wide, tmp_path):
    store = Path(shutil.copytree(wide, tmp_path / "store"))
    settings = Settings.load(store=store, source="sample")
    kept = overviews_folder(store, store / "stacks" / "313862022")
    assert kept.is_dir()
    (row,) = maintenance.prune([STACK], dry_run=True, settings=settings)
    assert kept.is_dir()
    assert row["files"] == 14
    maintenance.prune([STACK], dry_run=False, settings=settings)
    assert not kept.exists()


def test_a_plane_that_is_fetched_again_gets_its_overview_again(wide, tmp_path):
    store = Path(shutil.copytree(wide, tmp_path / "store"))
    settings = Settings.load(store=store, source="sample")
    kept = overviews_folder(store, store / "stacks" / "313862022")
    before = sorted(p.name for p in kept.iterdir())
    shutil.rmtree(kept)
    planes_of(store)[2].write_bytes(b"damaged")
    bad = [pair for pair in maintenance.verify(settings=settings) if pair[1].bad]
    assert maintenance.repair(bad, settings=settings) == []
    assert [p.name for p in kept.iterdir()] == [before[2]]


def test_folders_elsewhere_hold_the_stack_only(tmp_path):
    settings = Settings.load(store=tmp_path / "store", source="sample")
    given = {"downsample": 2, "planes": slice(0, 2)}
    oa.fetch(STACK, to=tmp_path / "cell", settings=settings, **given)
    assert {p.name for p in (tmp_path / "cell").iterdir()} == {
        "manifest.json", "planes", "projections", "morphology",
    }  # fmt: skip
    kept = overviews_folder(tmp_path / "store", tmp_path / "cell")
    assert len(list(kept.iterdir())) == 2


def test_a_fetch_succeeds_where_overviews_cannot_be_written(tmp_path):
    store = tmp_path / "store"
    store.mkdir()
    (store / "overviews").write_text("a file in the way")
    settings = Settings.load(store=store, source="sample")
    oa.fetch(STACK, settings=settings, downsample=2, planes=slice(0, 2))
    assert len(oa.open(STACK, settings=settings).planes) == 2


def test_older_folders_get_overviews_in_the_background(view, wide, tmp_path):
    store = Path(shutil.copytree(wide, tmp_path / "store"))
    shutil.rmtree(store / "overviews")
    base = view(store) + BASE
    keys = here(document(base + "meta.json"))
    kept = overviews_folder(store, store / "stacks" / "313862022")
    until = time.monotonic() + 60
    while time.monotonic() < until and len(list(kept.glob("*.jpg"))) < 6:
        time.sleep(0.05)
    assert {p.stem for p in kept.iterdir()} == set(keys)


def test_a_read_only_store_is_shown_from_memory(view, wide, frozen):
    root, freeze = frozen
    shutil.copytree(wide / "stacks", root / "stacks")
    freeze()
    base = view(root) + BASE
    keys = here(document(base + "meta.json"))
    assert len(keys) == 6
    assert get(f"{base}over/2/0/{keys[0]}.jpg")[0] == 200
    assert focus_of(base)
    assert get(f"{base}projection/min_xz.jpg")[0] == 200
    assert not (root / "overviews").exists()


# --- a stack that is still coming -----------------------------------------------------------------


def test_a_stack_still_coming_shows_what_is_there(view, archive, tmp_path):
    url = archive("delay=0.6@image_download")
    store = tmp_path / "store"
    settings = Settings.load(store=store, source=url)
    work = threading.Thread(
        target=lambda: oa.fetch(STACK, settings=settings, downsample=3, planes=slice(0, 40))
    )
    base = view(store, source=url) + BASE
    work.start()
    partly, shown = [], b""
    while work.is_alive():
        status, headers, body = get(base + "meta.json")
        if status == 200:
            meta = json.loads(
                gzip.decompress(body) if headers["content-encoding"] == "gzip" else body
            )
            keys = here(meta)
            if not meta["complete"] and keys and not shown:
                shown = get(f"{base}tile/0/{keys[0]}/0/0_0.jpg")[2]
                assert oa.open(STACK, settings=settings).planes
            partly.append((len(keys), meta["complete"]))
        time.sleep(0.1)
    work.join()
    counts = [count for count, complete in partly if not complete]
    assert counts == sorted(counts)
    assert 0 < counts[0] < 40
    assert pixels(shown).shape[:2] == (512, 512)
    meta = document(base + "meta.json")
    assert meta["complete"] is True
    assert len(here(meta)) == 40
    assert sum(value is not None for value in focus_of(base)) == 40
    assert not (store / "stacks" / "313862022" / DRAFT_NAME).exists()


def test_what_a_killed_fetch_left_is_opened_by_its_draft(wide, tmp_path):
    folder = Path(shutil.copytree(wide / "stacks" / "313862022", tmp_path / "cell"))
    manifest = json.loads((folder / "manifest.json").read_text())
    for entry in manifest["planes"]:
        for name in ("path", "sha256", "size_bytes", "file_width_px", "file_height_px"):
            entry.pop(name, None)
    (folder / DRAFT_NAME).write_text(json.dumps(manifest))
    (folder / "manifest.json").unlink()
    stack = oa.open(folder)
    assert isinstance(stack, ImageStack)
    assert [plane.section_number for plane in stack.planes] == [12, 13, 14, 15, 16, 17]
    old = time.time() - 3600
    os.utime(folder / DRAFT_NAME, (old, old))
    os.utime(folder / "planes", (old, old))
    (planes, _) = stack._visuals()
    assert planes.coming() is False
    assert sum(plane.key is not None for plane in planes.planes()) == 6


# --- OME-Zarr and single pictures -----------------------------------------------------------------


def image_url(view, folder: Path) -> str:
    url = view(folder.parent / "no-store", places={"it": folder})
    return f"{url}/v/{to_key('place/it')}/image/"


def make(folder: Path, levels: list[np.ndarray], axes: str, omero: Any = None, **given) -> Path:
    """Write an OME-Zarr 0.4 or 0.5 image by zarr-python."""
    group = zarr.open_group(folder, mode="w", zarr_format=given.pop("zarr_format", 3))
    datasets = []
    for n, array in enumerate(levels):
        made = group.create_array(str(n), shape=array.shape, dtype=array.dtype, **given)
        made[...] = array
        scale = [2.0**n if axis in "yx" else 1.0 for axis in axes]
        datasets.append(
            {"path": str(n), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        )
    kinds = {"t": "time", "c": "channel"}
    named = [{"name": a, "type": kinds.get(a, "space")} for a in axes]
    told: dict[str, Any] = {"multiscales": [{"axes": named, "datasets": datasets}]}
    if omero:
        told["omero"] = omero
    version = {"version": "0.5"} if group.metadata.zarr_format == 3 else {}
    group.attrs.update({"ome": told | version} if version else told)
    return folder


def test_a_conversion_is_shown_like_the_stack_it_is_of(view, wide, tmp_path):
    stack = oa.open(STACK, settings=Settings.load(store=wide, source="sample"))
    for keep in (False, True):
        folder = tmp_path / f"{keep}.ome.zarr"
        stack.zarr(folder, keep_jpeg=keep)
        base = image_url(view, folder)
        meta = document(base + "meta.json")
        assert (meta["width_px"], meta["height_px"]) == (1440, 1892)
        assert meta["simulated"] is True
        assert len(here(meta)) == 6
        key = here(meta)[1]
        with Image.open(stack.planes[1].path) as plane:
            levels = [np.asarray(plane.reduce(2**n) if n else plane) for n in range(3)]
        assert far_off(pixels(get(f"{base}over/2/0/{key}.jpg")[2]), levels[1]) < 3
        for level, whole in enumerate(levels):
            body = get(f"{base}tile/0/{key}/{level}/0_0.jpg")[2]
            assert far_off(pixels(body), whole[:512, :512]) < 3, level
        assert focus_of(base)
        assert get(f"{base}projection/min_yz.jpg")[0] == 200


def test_tiles_stored_as_jpeg_are_sent_as_they_are(view, wide, tmp_path):
    source = oa.open(STACK, settings=Settings.load(store=wide, source="sample"))
    folder = Path(shutil.copytree(source.folder, tmp_path / "gray"))
    manifest = json.loads((folder / "manifest.json").read_text())
    for entry in manifest["planes"]:
        if entry.get("path"):
            path = folder / entry["path"]
            gray = np.ascontiguousarray(scaled_jpeg(path.read_bytes(), 1, gray=True)[..., None])
            path.write_bytes(simplejpeg.encode_jpeg(gray, 90, "GRAY", "Gray"))
            entry["sha256"] = None
            entry["size_bytes"] = path.stat().st_size
    (folder / "manifest.json").write_text(json.dumps(manifest))
    image = ImageStack(folder).zarr(tmp_path / "gray.ome.zarr", keep_jpeg=True)
    base = image_url(view, tmp_path / "gray.ome.zarr")
    key = here(document(base + "meta.json"))[0]
    body = get(f"{base}tile/0/{key}/1/0_0.jpg")[2]
    shard = (tmp_path / "gray.ome.zarr" / "1" / "c" / "0" / "0" / "0").read_bytes()
    assert shard.startswith(body)
    assert far_off(pixels(body), image.levels[1][0, :512, :512]) == 0
    edge = pixels(get(f"{base}tile/0/{key}/1/1_1.jpg")[2])
    assert far_off(edge, image.levels[1][0, 512:, 512:]) < 2.5
    assert edge.shape == (946 - 512, 720 - 512)
    full = pixels(get(f"{base}tile/0/{key}/0/1_1.jpg")[2])
    assert far_off(full, image.levels[0][0, 512:1024, 512:1024]) < 2.5


WAYS = {
    "sharded": {"shards": (1, 1, 1024, 1024), "chunks": (1, 1, 256, 256)},
    "plain": {"chunks": (1, 1, 100, 130)},
    "version 2": {"chunks": (1, 1, 256, 256), "zarr_format": 2},
}


@pytest.mark.parametrize("way", WAYS)
def test_values_of_16_bits_are_shown_by_their_window(view, tmp_path, way):
    rng = np.random.default_rng(5)
    smooth = np.kron(rng.integers(0, 4000, (2, 3, 20, 24)), np.ones((1, 1, 45, 40)))
    levels = [smooth.astype(np.uint16)]
    levels.append(levels[0][..., ::2, ::2])
    omero = {
        "channels": [{"label": "one", "window": {"start": 100, "end": 2000}}, {"label": "two"}]
    }
    folder = make(tmp_path / "it.ome.zarr", levels, "czyx", omero, **WAYS[way])
    base = image_url(view, folder)
    meta = document(base + "meta.json")
    assert [c["name"] for c in meta["channels"]] == ["one", "two"]
    assert meta["channels"][0]["window"] == [100, 2000]
    assert meta["channels"][1]["window"][1] > 3000
    key = here(meta)[1]

    def shown(values: np.ndarray, low: float, high: float) -> np.ndarray:
        return np.clip((values.astype(float) - low) * 255 / (high - low), 0, 255)

    tile = pixels(get(f"{base}tile/0/{key}/0/1_1.jpg")[2])
    assert far_off(tile, shown(levels[0][0, 1, 512:900, 512:960], 100, 2000)) < 3
    tile = pixels(get(f"{base}tile/1/{key}/1/0_0.jpg?lo=500&hi=3000")[2])
    assert far_off(tile, shown(levels[1][1, 1, :450, :480], 500, 3000)) < 3
    for wrong in ("lo=3000&hi=500", "lo=nan", "hi=1e99", "lo=x"):
        assert get(f"{base}tile/1/{key}/1/0_0.jpg?{wrong}")[0] == 400


@pytest.mark.parametrize(
    ("axes", "shape", "dtype"),
    [
        ("yx", (700, 600), "uint8"),
        ("tzyx", (2, 3, 200, 600), "float32"),
        ("tczyx", (2, 1, 3, 200, 600), "uint8"),
        ("zyx", (3, 200, 1100), "int16"),
    ],
)
def test_images_of_other_axes_and_types(view, tmp_path, axes, shape, dtype):
    rng = np.random.default_rng(6)
    values = np.sort(rng.integers(0, 200, shape), axis=-1).astype(dtype)
    folder = make(
        tmp_path / "it.ome.zarr", [values], axes, chunks=tuple(min(n, 128) for n in shape)
    )
    base = image_url(view, folder)
    meta = document(base + "meta.json")
    assert len(here(meta)) == (3 if "z" in axes else 1)
    first = values.reshape(-1, *shape[-2:])[0].astype(float)
    low, high = meta["channels"][0]["window"] if meta["channels"] else (0, 255)
    tile = pixels(get(f"{base}tile/0/{here(meta)[0]}/0/0_0.jpg")[2])
    wanted = np.clip((first[:512, :512] - low) * 255 / (high - low), 0, 255)
    assert far_off(tile, wanted) < 3
    assert get(f"{base}over/{meta['overviews'][0]}/0/{here(meta)[0]}.jpg")[0] == 200
    assert ("first of 2 along t" in meta["title"]) == ("t" in axes)


class Far:
    """A store beyond a network, as far as a reader can tell; knows what was read of it."""

    def __init__(self, folder: Path) -> None:
        self._files = FolderObjects(folder)
        self.name = "s3://bucket/it.ome.zarr"
        self.read: list[str] = []

    def get(self, key: str, *given: Any, **more: Any) -> bytes | None:
        self.read.append(key)
        return self._files.get(key, *given, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._files, name)


def test_of_an_image_far_away_only_what_is_looked_at_is_read(tmp_path):
    values = np.random.default_rng(8).integers(0, 256, (4, 300, 300), dtype=np.uint8)
    folder = make(tmp_path / "it.ome.zarr", [values], "zyx", chunks=(1, 300, 300))
    far = Far(folder)
    (visual,) = visuals_of(OmeZarr(far))
    kind, nobody = StackKind(), (lambda: False)
    assert (
        json.loads(kind.answer(visual, "focus.json", Query(), nobody).body)["focus"] == [None] * 4
    )
    assert kind.thumbnail(visual) is None
    meta = json.loads(kind.answer(visual, "meta.json", Query(), nobody).body)
    assert not [key for key in far.read if "/c/" in key]
    tile = kind.answer(visual, f"tile/0/{here(meta)[2]}/0/0_0.jpg", Query(), nobody)
    assert far_off(pixels(tile.body), values[2]) < 12
    assert [key for key in far.read if "/c/" in key] == ["0/c/2/0/0"]


def test_a_damaged_chunk_is_an_error_of_ours(view, tmp_path):
    values = np.arange(512 * 512, dtype=np.uint16).reshape(1, 512, 512)
    folder = make(
        tmp_path / "it.ome.zarr", [values], "zyx", shards=(1, 512, 512), chunks=(1, 256, 256)
    )
    base = image_url(view, folder)
    key = here(document(base + "meta.json"))[0]
    shard = folder / "0" / "c" / "0" / "0" / "0"
    body = bytearray(shard.read_bytes())
    body[10:40] = b"\xff" * 30
    shard.write_bytes(bytes(body))
    status, _, answer = get(f"{base}tile/0/{key}/0/0_0.jpg")
    assert status == 422
    assert b"damaged" in answer
    assert b"Traceback" not in answer


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_single_picture_is_a_stack_of_one_plane(view, tmp_path, mode):
    rng = np.random.default_rng(7)
    blocks = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
    picture = Image.fromarray(np.kron(blocks, np.ones((80, 80, 1), np.uint8))).convert(mode)
    picture.save(tmp_path / "it.jpg", quality=95)
    base = image_url(view, tmp_path / "it.jpg")
    meta = document(base + "meta.json")
    assert (meta["width_px"], meta["height_px"], meta["colour"]) == (960, 720, mode == "RGB")
    (key,) = here(meta)
    tile = pixels(get(f"{base}tile/0/{key}/0/1_1.jpg")[2])
    assert far_off(tile, np.asarray(picture)[512:, 512:]) < 4


def test_a_reconstruction_alone_is_a_cell(view, data):
    path = min(data.rglob("*.swc"))
    url = view(path.parent / "no-store", places={"it": path})
    base = f"{url}/v/{to_key('place/it')}/cell/"
    assert document(base + "meta.json")["nodes"] == len(oa.read_swc(path))
    status, _, body = get(base + "cell.swc")
    assert status == 200
    assert oa.read_swc(body).nodes == oa.read_swc(path).nodes


@pytest.mark.parametrize(
    ("size", "factor"), [((10, 10), 1), ((1024, 5), 1), ((1025, 5), 2), ((5760, 7568), 8)]
)
def test_overviews_are_about_a_thousand_pixels(size, factor):
    assert overview_factor(*size) == factor


def test_pages_work_while_planes_are_decoded(view, large):
    url = view(large)
    keys = here(document(url + BASE + "meta.json"))
    threads = [
        threading.Thread(target=get, args=(f"{url}{BASE}tile/0/{key}/0/0_0.jpg",))
        for key in keys[:8]
    ]
    for thread in threads:
        thread.start()
    line = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    line.request("GET", BASE + "meta.json")
    assert line.getresponse().status == 200
    line.close()
    for thread in threads:
        thread.join()
