"""Volumes in the web view: the bytes that the page gets, and the page itself in a browser."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shutil
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import openallen as oa
from openallen.errors import NotFoundError, OpenAllenError, UsageError
from openallen.formats.png import inspect_png
from openallen.settings import Settings
from openallen.viewer.answers import Query
from openallen.viewer.compared import compared
from openallen.viewer.items import to_key
from openallen.viewer.kinds.slices import SlicesKind
from openallen.viewer.kinds.volumes import cache_path
from openallen.visuals import SlicesVisual, Structure, TableVisual, TreeVisual, Volume, visuals_of

SHARED = Path(os.environ.get("OPENALLEN_TEST_SHARED", Path(__file__).parents[3] / "shared" / "data"))  # fmt: skip
GRID, OTHER, CCF = "grid:69855739", "grid:72109410", "atlas:ccf-2017"


@pytest.fixture(scope="session")
def volumes(tmp_path_factory) -> Path:
    """A store with two grids, the annotation on their grid, and another with a template."""
    store = tmp_path_factory.mktemp("volumes") / "store"
    settings = Settings.load(store=store, source="sample")
    for address in (f"{GRID}?include=energy,density", OTHER, "atlas:P56/gridAnnotation", f"{CCF}/annotation/100", f"{CCF}/template/100", "structures:1"):  # fmt: skip
        oa.fetch(address, settings=settings)
    return store


@pytest.fixture
def opened(volumes):
    """Open something of that store."""
    settings = Settings.load(store=volumes, source="sample", offline=True)
    return lambda address: oa.open(address, settings=settings)


def ask(visual, path: str, kind: SlicesKind | None = None, **query: str):
    return (kind or SlicesKind()).answer(visual, path, Query(query), lambda: False)


def get(url: str) -> tuple[int, bytes]:
    """Return status and body."""
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def body_of(answer) -> bytes:
    return gzip.decompress(answer.body) if answer.encoding else answer.body


def meta_of(visual, kind: SlicesKind | None = None) -> dict:
    return json.loads(body_of(ask(visual, "meta.json", kind)))


def ids_sent(visual, name: str) -> np.ndarray:
    """Return the ids that the numbers of labels mean, as the page reads them."""
    by_index = {s["index"]: s["id"] for s in meta_of(visual)["structures"]}
    sent = np.frombuffer(body_of(ask(visual, f"volume/{name}.bin")), "<u2").reshape(visual.shape)
    return np.vectorize(by_index.__getitem__, otypes=[np.int64])(sent)


def made_up(values: np.ndarray, **more) -> SlicesVisual:
    labels = values.dtype.kind in "iu" and values.dtype.itemsize >= 4
    one = Volume(name="v", title="v", labels=labels, read=lambda: values, stamp=more.pop("stamp", ""))  # fmt: skip
    shape = (values.shape[0], values.shape[1], values.shape[2])
    return SlicesVisual(name="s", title="s", shape=shape, voxel_um=(10, 20, 30), volumes=(one,), **more)  # fmt: skip


# --- bytes ----------------------------------------------------------------------------------------


def test_values_are_sent_as_they_are_with_nan_where_there_is_none(opened):
    grid = opened(GRID)
    (visual,) = visuals_of(grid)
    sent = np.frombuffer(body_of(ask(visual, "volume/energy.bin")), "<f4").reshape(visual.shape)
    np.testing.assert_array_equal(sent, grid.energy.to_numpy())
    assert np.isnan(sent).any()
    assert visual.voxel_um == (200, 200, 200)
    assert visual.first == ("energy",)


def test_labels_come_back_as_the_ids_they_are(opened):
    annotation = opened(f"{CCF}/annotation/100")
    (visual,) = visuals_of(annotation)
    np.testing.assert_array_equal(ids_sent(visual, "annotation-100"), annotation.to_numpy())
    structures = {s["id"]: s for s in meta_of(visual)["structures"]}
    known = opened("structures:1")
    assert structures[385]["acronym"] == known[385].acronym
    assert bytes(structures[385]["rgb"]).hex() == known[385].color.lower()
    assert structures[385]["parent"] == known[385].parent_id


def test_a_grid_has_the_outlines_of_the_atlas_on_its_own_grid(opened):
    (visual,) = visuals_of(opened(GRID))
    annotation = opened("atlas:P56/gridAnnotation")
    np.testing.assert_array_equal(ids_sent(visual, "gridAnnotation"), annotation.to_numpy())


def test_an_atlas_has_labels_and_template_of_one_size_together(opened):
    (visual,) = visuals_of(opened(CCF))
    assert [v.title for v in visual.volumes] == ["annotation/100", "template/100"]
    template = opened(f"{CCF}/template/100").to_numpy()
    sent = np.frombuffer(body_of(ask(visual, "volume/template-100.bin")), template.dtype)
    np.testing.assert_array_equal(sent.reshape(template.shape), template)


@pytest.mark.parametrize(("last", "named"), [(58, False), (59, True)])
def test_labels_that_are_running_numbers_have_no_names_of_an_ontology(last, named):
    values = np.resize(np.arange(60, dtype=np.uint32), (6, 5, 4))
    known = [
        Structure(id=n, acronym=f"a{n}", name=f"area {n}", rgb=(255, 0, 0))
        for n in range(1, last + 1)
    ]
    visual = made_up(values, structures=lambda: known)
    np.testing.assert_array_equal(ids_sent(visual, "v"), values)
    told = {s["id"]: s["name"] for s in meta_of(visual)["structures"]}
    assert told[3] == ("area 3" if named else "label 3")


def test_an_ontology_is_a_tree_and_a_table(opened):
    tree, table = visuals_of(opened("structures:1"))
    assert isinstance(tree, TreeVisual)
    assert isinstance(table, TableVisual)
    assert len(tree.structures()) == len(table.table()) == len(opened("structures:1"))


@pytest.mark.parametrize("dtype", ["<u4", ">u4", "<i8", "<i4"])
def test_labels_that_no_ontology_has_are_numbered_too(dtype):
    rng = np.random.default_rng(0)
    values = rng.choice([0, 7, 40_000, 2**31 - 1], (5, 4, 3)).astype(dtype)
    visual = made_up(values, structures=lambda: [Structure(id=7, acronym="A", name="a", rgb=(1, 2, 3))])  # fmt: skip
    np.testing.assert_array_equal(ids_sent(visual, "v"), values)
    names = {s["id"]: s["name"] for s in meta_of(visual)["structures"]}
    assert names == {7: "a", 0: "outside", 40_000: "label 40000", 2**31 - 1: "label 2147483647"}


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "?", "<i2", "<f8", ">f4"])
def test_every_type_of_values_is_sent_as_one_that_browsers_read(dtype):
    values = np.arange(60).reshape(3, 4, 5).astype(dtype)
    sent = body_of(ask(made_up(values), "volume/v.bin"))
    found = np.frombuffer(sent, {1: "u1", 2: "<u2", 4: "<f4"}[len(sent) // 60]).reshape(3, 4, 5)
    np.testing.assert_array_equal(found, values.astype(found.dtype))


def test_too_many_labels_are_refused_by_an_error_of_ours():
    values = np.arange(70_000, dtype=np.uint32).reshape(70, 100, 10)
    with pytest.raises(UsageError, match="too many different labels"):
        ask(made_up(values), "meta.json")


@pytest.mark.parametrize("cached", [False, True])
def test_what_is_too_large_is_sent_slice_by_slice(tmp_path, cached):
    values = np.random.default_rng(1).integers(0, 9, (6, 5, 4)).astype(np.uint32)
    visual = made_up(values, cache=tmp_path if cached else None, stamp="1" if cached else "")
    kind = SlicesKind(most_voxels=10)
    meta = meta_of(visual, kind)
    assert meta["sliced"]
    by_index = {s["index"]: s["id"] for s in meta["structures"]}
    for axis, name in enumerate(("AP", "DV", "ML")):
        for at in range(values.shape[axis]):
            sent = np.frombuffer(body_of(ask(visual, f"slice/v/{name}/{at}.bin", kind)), "<u2")
            whole = np.vectorize(by_index.__getitem__)(sent)
            np.testing.assert_array_equal(whole, values.take(at, axis).ravel())
    with pytest.raises(NotFoundError):
        ask(visual, "volume/v.bin", kind)
    assert not list(tmp_path.iterdir())  # what it needs on disk goes when it does


def test_values_that_are_too_large_have_a_range():
    values = np.linspace(-2, 7, 60, dtype=np.float32).reshape(3, 4, 5)
    values[0, 0, 1] = np.nan
    (volume,) = meta_of(made_up(values), SlicesKind(most_voxels=10))["volumes"]
    assert volume["range"] == [-2, 7]


def test_numbered_labels_are_kept_on_disk_and_read_back(tmp_path):
    values = np.random.default_rng(2).integers(0, 9, (6, 5, 4)).astype(np.uint32)
    reads = []

    def read() -> np.ndarray:
        reads.append(1)
        return values

    def visual(stamp: str) -> SlicesVisual:
        one = Volume(name="v", title="v", labels=True, read=read, stamp=stamp)
        return SlicesVisual(name="s", title="s", shape=(6, 5, 4), voxel_um=(1, 1, 1), volumes=(one,), cache=tmp_path)  # fmt: skip

    first = visual("a")
    np.testing.assert_array_equal(ids_sent(first, "v"), values)
    before = len(reads)
    again = visual("a")
    np.testing.assert_array_equal(ids_sent(again, "v"), values)
    assert ask(again, "picture/v/coronal.png").body == ask(first, "picture/v/coronal.png").body
    assert len(reads) == before
    # Another file, and a damaged one, are read anew.
    np.testing.assert_array_equal(ids_sent(visual("b"), "v"), values)
    path = cache_path(first, first.volumes[0], "labels")
    assert path is not None
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    np.testing.assert_array_equal(ids_sent(visual("a"), "v"), values)
    assert len(reads) > before + 1


def test_a_cache_that_cannot_be_written_does_not_matter(tmp_path):
    place = tmp_path / "file"
    place.write_text("not a folder")
    values = np.ones((2, 2, 2), np.uint32)
    np.testing.assert_array_equal(ids_sent(made_up(values, cache=place, stamp="1"), "v"), values)


def test_the_same_file_is_immutable_under_its_own_key(opened):
    (visual,) = visuals_of(opened(GRID))
    key = visual.volumes[0].stamp
    assert ask(visual, f"volume/{visual.volumes[0].name}.bin", key=key).immutable
    assert not ask(visual, f"volume/{visual.volumes[0].name}.bin", key="other").immutable


def test_the_centre_of_a_structure_lies_in_it_or_in_its_parts(opened):
    atlas = opened(CCF)
    (visual,) = visuals_of(atlas)
    kind = SlicesKind()
    for acronym in ("Isocortex", "CP", "TH"):
        structure = atlas.structures[acronym]
        found = json.loads(ask(visual, "centre.json", kind, id=str(structure.id)).body)
        mask = atlas.mask(structure).to_numpy()
        assert mask[tuple(found["voxel"])]
        assert found["voxels"] == mask.sum()
        assert found["mm3"] == pytest.approx(mask.sum() * 1e-3)
    with pytest.raises(NotFoundError):
        ask(visual, "centre.json", kind, id="123456789")


def test_pictures_are_whole_and_in_the_colours_of_the_ontology(opened):
    (visual,) = visuals_of(opened(f"{CCF}/annotation/100"))
    annotation = opened(f"{CCF}/annotation/100").to_numpy()
    body = ask(visual, "picture/annotation-100/coronal.png").body
    inspect_png(body)
    pixels = np.asarray(Image.open(io.BytesIO(body)).convert("RGB"))
    times = pixels.shape[0] // annotation.shape[1]
    ids = annotation[annotation.shape[0] // 2]
    rgb = {s["id"]: s["rgb"] for s in meta_of(visual)["structures"]}
    wanted = np.array([rgb[int(i)] for i in ids.ravel()]).reshape(*ids.shape, 3)
    np.testing.assert_array_equal(pixels[::times, ::times], wanted)
    for plane in ("horizontal", "sagittal"):
        inspect_png(ask(visual, f"picture/template-100/{plane}.png").body)


HOSTILE = ("", "volume/../meta.json.bin", "volume/nope.bin", "volume/energy", "volume/energy.bin/x", "slice/energy/AP/0.bin", "slice/energy/XX/0.bin", "slice/energy/AP/-1.bin", "slice/energy/AP/99999.bin", "slice/energy/AP/1e3.bin", "slice/energy/AP/٣.bin", "picture/energy/axial.png", "picture/energy/../../etc.png", "meta.json/", "//etc/passwd", "volume/%2e%2e/x.bin", "centre.json")  # fmt: skip


def test_other_paths_are_errors_of_ours(opened):
    (visual,) = visuals_of(opened(GRID))
    kind = SlicesKind()
    for path in HOSTILE:
        with pytest.raises(OpenAllenError):
            ask(visual, path, kind, id="-1")


def test_other_paths_are_no_pages(view, volumes):
    url = f"{view(volumes)}/v/{to_key(GRID)}/grid-200/"
    for path in HOSTILE[1:]:
        assert get(url + urllib.request.quote(path, safe="/%."))[0] in {400, 404}, path


# --- several things -------------------------------------------------------------------------------


def test_grids_of_one_frame_are_compared_and_others_are_not(opened):
    both = compared([(a, visuals_of(opened(a))) for a in (GRID, OTHER)])
    assert both.first == ("0-energy", "1-energy")
    energy = opened(OTHER).energy.to_numpy()
    sent = np.frombuffer(body_of(ask(both, "volume/1-energy.bin")), "<f4").reshape(both.shape)
    np.testing.assert_array_equal(sent, energy)
    with pytest.raises(UsageError, match="different grids"):
        compared([(a, visuals_of(opened(a))) for a in (GRID, CCF)])
    with pytest.raises(UsageError, match="no grid of values"):
        compared([(a, visuals_of(opened(a))) for a in ("atlas:P56/gridAnnotation", GRID)])


@pytest.mark.parametrize("query", ["", f"of={GRID}", "of=nonsense&of=nonsense", f"of={GRID}&of=/etc/passwd", "&".join(["of=" + GRID] * 7)])  # fmt: skip
def test_a_comparison_of_nothing_is_an_error_of_ours(view, volumes, query):
    status, body = get(f"{view(volumes)}/compare.json?{query}")
    assert status == 400
    assert "error" in json.loads(body)


# --- pages ----------------------------------------------------------------------------------------


def shown(page, url: str):
    """Open a page and wait until its slices are drawn."""
    page.goto(url, wait_until="load")
    page.wait_for_selector('section.visual[data-state="whole"]', timeout=60_000)
    return page


def pixels(page, selector: str) -> np.ndarray:
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")  # fmt: skip
    picture = Image.open(io.BytesIO(page.locator(selector).screenshot()))
    return np.asarray(picture.convert("RGB"), np.int16)


def changed(one: np.ndarray, two: np.ndarray) -> float:
    """Return the share of the pixels that differ."""
    return float((np.abs(one - two).max(axis=-1) > 8).mean())


def has_state(page, *parts: str, without: str = "\0") -> None:
    """Wait until the page's address has what was changed; it is written a little later."""
    page.wait_for_function(
        """([parts, without]) => { const query = decodeURIComponent(location.search);
        return parts.every(part => query.includes(part)) && !query.includes(without); }""",
        arg=[parts, without],
        polling=50,
    )


@pytest.mark.parametrize("painter", ["webgl", "flat"])
def test_slices_are_drawn_in_the_colours_of_their_structures(view, volumes, page, painter):
    gl = "&gl=0" if painter == "flat" else ""
    shown(page, f"{view(volumes)}/item/{CCF}/annotation/100?at=60,30,70&lines=0{gl}")
    assert page.locator("section.visual").get_attribute("data-painter") == painter
    settings = Settings.load(store=volumes, source="sample", offline=True)
    atlas = oa.open(CCF, settings=settings)
    structure = atlas.structures.by_id[int(atlas.annotation()[60, 30, 70])]
    for plane in ("coronal", "sagittal", "horizontal"):
        picture = pixels(page, f".cut.{plane}")
        wanted = np.array(list(bytes.fromhex(structure.color)))
        found = (np.abs(picture - wanted).max(axis=-1) <= 2).mean()
        assert found > 0.005, plane
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 6


def test_the_name_under_the_crosshair_and_under_the_cursor_is_right(view, volumes, page):
    shown(page, f"{view(volumes)}/item/{GRID}?at=30,20,40")
    settings = Settings.load(store=volumes, source="sample", offline=True)
    annotation = oa.open("atlas:P56/gridAnnotation", settings=settings).to_numpy()
    structures = oa.open("structures:1", settings=settings)
    energy = oa.open(GRID, settings=settings).energy.to_numpy()

    def is_right(voxel: tuple[int, int, int]) -> None:
        told = page.locator(".here").inner_text()
        number = int(annotation[voxel])
        assert (structures[number].name if number else "outside of all") in told
        value = re.search(r"energy\s+([\d.e+-]+|no value)", told)
        assert value, told
        if value[1] != "no value":
            assert float(value[1]) == pytest.approx(float(energy[voxel]), rel=1e-3)
        else:
            assert np.isnan(energy[voxel])

    is_right((30, 20, 40))
    box = page.locator(".cut.coronal").bounding_box()
    before = page.locator("section.visual").get_attribute("data-voxel")
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.6)
    page.wait_for_timeout(100)
    assert page.locator("section.visual").get_attribute("data-voxel") == before
    place = page.locator(".here").inner_text()
    ap, dv, ml = (float(n) for n in re.search(r"AP ([\d.]+)\s+DV ([\d.]+)\s+ML ([\d.]+)", place).groups())  # fmt: skip
    assert ap == pytest.approx(6.1)
    is_right((30, round(dv / 0.2 - 0.5), round(ml / 0.2 - 0.5)))
    page.mouse.down()
    page.mouse.up()
    assert page.locator("section.visual").get_attribute("data-voxel") == f"30,{round(dv / 0.2 - 0.5)},{round(ml / 0.2 - 0.5)}"  # fmt: skip


def test_the_crosshair_moves_by_keys_drag_wheel_and_slider(view, volumes, page):
    shown(page, f"{view(volumes)}/item/{CCF}?at=60,30,70")
    visual = page.locator("section.visual")
    coronal, sagittal = pixels(page, ".cut.coronal"), pixels(page, ".cut.sagittal")
    page.locator(".cut.coronal").focus()
    page.keyboard.press("Shift+ArrowRight")
    assert visual.get_attribute("data-voxel") == "60,30,80"
    assert changed(sagittal, pixels(page, ".cut.sagittal")) > 0.05
    page.keyboard.press("PageDown")
    page.keyboard.press("ArrowDown")
    assert visual.get_attribute("data-voxel") == "61,31,80"
    box = page.locator(".cut.sagittal").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.wheel(0, 100)
    page.wait_for_timeout(100)
    assert visual.get_attribute("data-voxel") == "61,31,81"
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.4, steps=5)
    page.mouse.up()
    ap, dv, ml = map(int, visual.get_attribute("data-voxel").split(","))
    assert (ap < 61, dv < 40, ml) == (True, True, 81)
    assert changed(coronal, pixels(page, ".cut.coronal")) > 0.05
    page.get_by_label("Slice along DV").fill("50")
    assert visual.get_attribute("data-voxel") == f"{ap},50,81"
    has_state(page, f"at={ap},50,81")


def test_searching_a_structure_highlights_it_and_goes_there(view, volumes, page):
    shown(page, f"{view(volumes)}/item/{CCF}/annotation/100")
    before = pixels(page, ".cut.coronal")
    page.get_by_label("Search the structures").fill("caudoputamen")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('.told:not([hidden])').textContent.includes('mm³')", polling=100)  # fmt: skip
    settings = Settings.load(store=volumes, source="sample", offline=True)
    atlas = oa.open(CCF, settings=settings)
    voxel = tuple(map(int, page.locator("section.visual").get_attribute("data-voxel").split(",")))
    assert atlas.structures.by_id[int(atlas.annotation().to_numpy()[voxel])].acronym == "CP"
    assert "Caudoputamen" in page.locator(".here").inner_text()
    assert changed(before, pixels(page, ".cut.coronal")) > 0.1
    has_state(page, "structure=672")
    page.get_by_label("Search the structures").fill("")
    current = page.locator('.tree [aria-current="true"]')
    assert current.inner_text().startswith("CP")
    current.click()
    has_state(page, without="structure")


def test_the_state_of_a_page_survives_a_reload(view, volumes, page):
    shown(page, f"{view(volumes)}/item/{GRID}")
    page.get_by_label("Colours").select_option("magma")
    page.get_by_label("Value that is shown brightest").fill("20")
    page.keyboard.press("Enter")
    page.get_by_label("Smooth").check()
    page.get_by_label("Outlines").fill("0.2")
    page.locator(".cut.horizontal").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("+")
    has_state(page, "map=magma", ",20", "smooth=1", "lines=0.2", "at=", "zoom=1.5")
    page.evaluate("() => document.activeElement.blur()")
    before = pixels(page, ".cuts")
    page.reload()
    page.wait_for_selector('section.visual[data-state="whole"]')
    assert changed(before, pixels(page, ".cuts")) < 0.002
    assert page.get_by_label("Colours").input_value() == "magma"
    assert float(page.get_by_label("Value that is shown brightest").input_value()) == 20


def test_several_genes_are_side_by_side_with_one_crosshair(view, volumes, page):
    shown(page, f"{view(volumes)}/compare?of={GRID}&of={OTHER}&at=30,20,40")
    assert page.locator(".cut").count() == 6
    one, two = (pixels(page, f".cut.sagittal >> nth={n}") for n in (0, 1))
    assert changed(one[:, : two.shape[1]], two[:, : one.shape[1]]) > 0.02
    page.locator(".cut.coronal >> nth=1").focus()
    page.keyboard.press("Shift+ArrowRight")
    for n, before in enumerate((one, two)):
        assert changed(before, pixels(page, f".cut.sagittal >> nth={n}")) > 0.02
    page.get_by_text("Side by side").click()
    page.locator(".choices label").filter(has_text=f"density, {GRID}").click()
    page.wait_for_function("() => document.querySelectorAll('.cut').length === 9", polling=100)
    has_state(page, "show=0-density,0-energy,1-energy")


def test_a_lost_context_comes_back_with_the_same_picture(view, volumes, page):
    shown(page, f"{view(volumes)}/item/{CCF}")
    before = pixels(page, ".cuts")
    page.evaluate(
        """() => new Promise(done => {
        const canvas = document.querySelector('.cuts canvas');
        const lose = canvas.getContext('webgl2').getExtension('WEBGL_lose_context');
        canvas.addEventListener('webglcontextrestored', () => setTimeout(done, 100), {once: true});
        canvas.addEventListener('webglcontextlost', () => setTimeout(() => lose.restoreContext(), 100), {once: true});
        lose.loseContext(); })"""
    )
    assert changed(before, pixels(page, ".cuts")) < 0.002
    page.wrong[:] = [line for line in page.wrong if "CONTEXT_LOST" not in line]


def test_two_views_of_a_page_share_the_crosshair_in_space(view, volumes, page, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(volumes, store)
    folder = store / "atlases" / "ccf-2017"
    finer = np.repeat(np.repeat(np.repeat(oa.open(folder).template().to_numpy(), 2, 0), 2, 1), 2, 2)
    nrrd = pytest.importorskip("nrrd")
    nrrd.write(str(folder / "average_template_50.nrrd"), finer, {"space directions": np.eye(3) * 50, "space units": ["microns"] * 3, "space dimension": 3})  # fmt: skip
    page.goto(f"{view(store)}/item/{CCF}")
    page.wait_for_function("() => document.querySelectorAll('section.visual[data-state=whole]').length === 2", polling=100)  # fmt: skip
    first, second = page.locator("section.visual").all()
    first.locator(".cut.coronal").focus()
    page.keyboard.press("Shift+ArrowRight")
    coarse = [int(n) for n in first.get_attribute("data-voxel").split(",")]
    fine = [int(n) for n in second.get_attribute("data-voxel").split(",")]
    assert all(abs(b - 2 * a) <= 1 for a, b in zip(coarse, fine, strict=True))


def test_an_ontology_can_be_searched(view, volumes, page):
    page.goto(f"{view(volumes)}/item/structures:1", wait_until="load")
    page.get_by_label("Search the structures").fill("visp")
    page.locator(".found button").first.click()
    assert "Primary visual area" in page.locator(".ontology .here").inner_text()
    has_state(page, "structure=385")


def test_a_page_of_volumes_works_without_script(view, volumes):
    text = get(f"{view(volumes)}/item/{GRID}")[1].decode()
    assert text.count("picture/energy/") == 3
    assert "Basic cell groups and regions" in text


def test_a_narrow_page_scrolls_down_only(view, volumes, chromium):
    context = chromium.new_context(viewport={"width": 390, "height": 844}, has_touch=True, device_scale_factor=2)  # fmt: skip
    page = shown(context.new_page(), f"{view(volumes)}/item/{CCF}")
    assert page.evaluate("() => document.documentElement.scrollWidth") == 390
    page.locator(".cut.coronal").tap(position={"x": 100, "y": 100})
    assert page.locator("section.visual").get_attribute("data-voxel") != "66,40,57"
    context.close()


# --- real files -----------------------------------------------------------------------------------


@pytest.mark.shared
def test_the_real_annotation_of_the_common_coordinate_framework(tmp_path):
    public = SHARED / "public" / "atlas"
    if not (public / "annotation_25.nii.gz").exists():
        pytest.skip(f"{public} is not here (OPENALLEN_TEST_SHARED names another folder)")
    nrrd = pytest.importorskip("nrrd")
    # That file has running numbers in place of ids; every other voxel makes one of 50 µm.
    table = pd.read_csv(public / "1_adult_mouse_brain_graph_mapping.csv")
    ids = np.zeros(table.parcellation_index.max() + 1, np.uint32)
    ids[table.parcellation_index] = table.id
    values = ids[oa.open(public / "annotation_25.nii.gz").to_numpy()[::2, ::2, ::2]]
    about = {"space dimension": 3, "space directions": np.eye(3) * 50, "encoding": "raw"}
    nrrd.write(str(tmp_path / "annotation_50.nrrd"), values, about)
    graph = (public / "1_adult_mouse_brain_graph.json").read_bytes()
    (tmp_path / "structure_graph_1.json").write_bytes(graph)
    for opened in (oa.open(tmp_path), oa.open(tmp_path / "annotation_50.nrrd")):
        (visual,) = visuals_of(opened)
        name = visual.volumes[0].name
        np.testing.assert_array_equal(ids_sent(visual, name), values)
        structures = {s["id"]: s for s in meta_of(visual)["structures"]}
        assert structures[385]["name"] == "Primary visual area"
        ap, dv, ml = json.loads(ask(visual, "centre.json", id="385").body)["voxel"]
        # Behind the middle, below the surface, to the right.
        assert (ap > 132, dv < 60, ml > 114) == (True, True, True)
        assert structures[int(values[ap, dv, ml])]["acronym"].startswith("VISp")
