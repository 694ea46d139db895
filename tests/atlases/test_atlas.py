"""Atlases, connectivity grids and many grids at once, by way of the archive's own services."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback import file_handler

import openallen as oa
from openallen.errors import CorruptError, IntegrityError, NotFoundError, UsageError
from openallen.sources.atlases import Atlas, ConnectivityGrid, Structures, Unionizer
from openallen.sources.atlases.catalogue import ATLASES, find_atlas, nrrd_part, zip_named
from openallen.sources.atlases.collection import stack_grids
from openallen.sources.atlases.frames import index_of, label, um_of


@pytest.fixture
def source(sample_url, monkeypatch):
    monkeypatch.setenv("OPENALLEN_SOURCE", sample_url)
    return sample_url


@pytest.fixture(scope="module")
def p56(sample_url, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("atlas") / "P56"
    oa.fetch("atlas:P56", to=folder, source=sample_url)
    return folder


@pytest.fixture(scope="module")
def ccf(sample_url, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("atlas") / "ccf-2017"
    for part in ("annotation/100", "annotation/50", "template/100", "nissl/100", "mask/VISp/100"):
        oa.fetch(f"atlas:ccf-2017/{part}", to=folder, source=sample_url)
    return folder


def run(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "openallen", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


# --- names ----------------------------------------------------------------------------------------


def test_every_atlas_has_an_address_and_its_parts_a_published_path():
    for name, atlas in ATLASES.items():
        assert find_atlas(name.upper()) is atlas
        assert str(oa.Address.parse(f"atlas:{name}")) == f"atlas:{name}"
        if atlas.annotation:
            part = nrrd_part(atlas, ("annotation", "10"))
            assert (
                part.path
                == f"current-release/mouse_ccf/annotation/{atlas.annotation}/annotation_10.nrrd"
            )
    ccf = ATLASES["ccf-2017"]
    tree = "current-release/mouse_ccf"
    assert (
        nrrd_part(ccf, ("template", "50")).path
        == f"{tree}/average_template/average_template_50.nrrd"
    )
    assert nrrd_part(ccf, ("nissl",)).path == f"{tree}/ara_nissl/ara_nissl_25.nrrd"
    mask = nrrd_part(ccf, ("mask", "385", "100"))
    assert (
        mask.path
        == f"{tree}/annotation/ccf_2017/structure_masks/structure_masks_100/structure_385.nrrd"
    )
    assert nrrd_part(ccf, ("mesh", "385")).file == "structure_meshes/385.obj"
    assert find_atlas("9").reference_space_id == 9


@pytest.mark.parametrize(
    ("parts", "message"),
    [(("annotaton", "25"), "no part"), (("annotation", "26"), "no such voxel size"), (("annotation", "25", "3"), "no such voxel size|no part"), (("mask",), "no part"), (("mesh", "VISp", "x"), "no such voxel size|no part")],
)  # fmt: skip
def test_parts_there_are_not(parts, message):
    with pytest.raises(UsageError, match=message):
        nrrd_part(ATLASES["ccf-2017"], parts)


def test_a_zip_is_chosen_by_its_own_name_and_never_by_its_place():
    files = [{"id": n, "path": f"/x/{name}.zip"} for n, name in enumerate(
        ["P56_DevMouse2012_gridAnnotation", "annotation", "gridAnnotation_fiber", "P56_atlasVolume"]
    )]  # fmt: skip
    assert zip_named(files, "annotation", "P56")["id"] == 1
    assert zip_named(files[::-1], "atlasVolume", "P56")["id"] == 3
    assert zip_named(files, "gridAnnotation", "P56")["id"] == 0
    files.append({"id": 9, "path": "/x/P56_Mouse_gridAnnotation.zip"})
    with pytest.raises(NotFoundError, match="several"):
        zip_named(files, "gridAnnotation", "P56")
    assert zip_named(files, "P56_Mouse_gridAnnotation", "P56")["id"] == 9
    with pytest.raises(NotFoundError, match="no file"):
        zip_named(files, "nissl", "P56")
    with pytest.raises(NotFoundError, match="files: none"):
        zip_named([], "nissl", "P56")


# --- frames ---------------------------------------------------------------------------------------


@given(
    st.tuples(*[st.integers(0, 10_000)] * 3),
    st.tuples(*[st.sampled_from([10.0, 25.0, 50.0, 80.0, 100.0, 200.0])] * 3),
)
def test_a_voxel_s_middle_lies_in_it(index, spacing):
    assert tuple(index_of(um_of(index, spacing), spacing)) == index
    corner = np.array(index) * spacing
    assert tuple(index_of(corner, spacing)) == index


def test_frames_that_make_no_sense():
    with pytest.raises(CorruptError, match="three axes"):
        label(np.zeros((2, 2)), (1, 1), name="x", attrs={})
    for wrong in ((0, 1, 1), (float("nan"), 1, 1), (-25, 25, 25)):
        with pytest.raises(CorruptError, match="spacing"):
            label(np.zeros((2, 2, 2)), wrong, name="x", attrs={})


# --- atlases of a reference space -----------------------------------------------------------------


def test_the_atlas_of_the_adult_mouse(p56):
    atlas = oa.open(p56)
    assert isinstance(atlas, Atlas)
    assert atlas.parts == ("atlasVolume", "gridAnnotation")
    grid = atlas.annotation()
    assert (grid.dims, grid.shape, grid.dtype) == (("AP", "DV", "ML"), (67, 41, 58), "uint32")
    assert float(grid["AP"][0]) == 100.0
    template = atlas.template()
    assert (template.shape, template.dtype, template.attrs["spacing_um"]) == ((528, 320, 456), "uint8", [25.0] * 3)  # fmt: skip
    assert grid.attrs["simulated"]
    assert "simulated" in repr(atlas)
    assert len(atlas.structures) == 1198
    told = json.loads((p56 / "atlas.json").read_text())
    assert told["reference_space_id"] == 9
    assert sorted(p.name for p in p56.iterdir()) == ["atlas.json", "atlasVolume.zip", "gridAnnotation.zip", "structure_graph_1.json"]  # fmt: skip


def test_masks_points_and_sums_agree_with_the_annotation(p56):
    atlas = Atlas(p56)
    annotation = atlas.annotation().to_numpy()
    visp = atlas.structures.find("VISp")
    ids = [visp.id, *(s.id for s in atlas.structures.descendants("VISp"))]
    mask = atlas.mask("VISp")
    assert np.array_equal(mask, np.isin(annotation, ids))
    assert mask.sum() > 0
    assert mask.attrs["acronym"] == "VISp"
    assert np.array_equal(atlas.mask(ids[1], parts=False), annotation == ids[1])
    with pytest.raises(NotFoundError, match="VISp"):
        atlas.mask("VISpp")
    index = np.argwhere(mask.to_numpy())[5]
    point = um_of(index, (200.0,) * 3)
    assert atlas.structure_at(point) in atlas.structures.descendants("VISp")
    assert atlas.structure_at((-5, 0, 0)) is None
    far = np.array([[1e9, 0, 0], [float("nan")] * 3, point])
    assert list(atlas.ids_at(far)) == [0, 0, annotation[tuple(index)]]
    with pytest.raises(UsageError, match="three coordinates"):
        atlas.ids_at([1, 2])
    volume = atlas.annotation().astype("float32") * 0 + 2.0
    table = atlas.unionizer()(volume)
    assert table.loc[visp.id, "mean"] == 2.0
    assert table.loc[visp.id, "voxels"] == int(mask.sum())
    assert table.loc[997, "voxels"] == int((annotation > 0).sum())


def test_ids_the_ontology_does_not_have(p56):
    atlas = Atlas(p56)
    annotation = atlas.annotation().copy()
    annotation[0, 0, :3] = 424242
    with pytest.raises(UsageError, match="424242"):
        Unionizer(annotation, atlas.structures)
    passed = Unionizer(annotation, atlas.structures, strict=False)
    assert passed.unknown == (424242,)
    same = atlas.unionizer()(annotation.astype("float32"))
    assert passed(annotation.astype("float32")).equals(same)
    with pytest.raises(UsageError, match="whole numbers"):
        Unionizer(annotation.astype("float32"), atlas.structures)


def test_the_order_of_axes_does_not_matter_where_they_are_named(p56):
    atlas = Atlas(p56)
    values = np.random.default_rng(1).random((67, 41, 58)).astype("float32")
    volume = atlas.annotation().copy(data=values)
    plain = atlas.unionizer()(volume)
    assert plain.equals(atlas.unionizer()(volume.transpose("ML", "AP", "DV")))
    assert plain.equals(
        Unionizer(np.ascontiguousarray(atlas.annotation()), atlas.structures)(values)
    )
    several = volume.expand_dims({"gene": ["a", "b"]})
    found = atlas.unionizer()(several)
    assert found.index.names == ["gene", "id"]
    assert found.loc["b"].equals(plain)
    assert plain.loc[385, "acronym"] == "VISp"
    with pytest.raises(UsageError, match="differ in shape"):
        atlas.unionizer()(values[:5])


def test_developing_ages_are_found_by_age(source, tmp_path):
    for address, shape, um in (("atlas:E15.5/gridAnnotation", (94, 132, 65), 100.0), ("atlas:P28/gridAnnotation", (73, 41, 53), 200.0)):  # fmt: skip
        atlas = oa.fetch(address, to=tmp_path / address[6:9])
        volume = atlas.annotation()
        assert (volume.shape, volume.attrs["spacing_um"][0]) == (shape, um)
        assert set(np.unique(volume)) - {0} <= {s.id for s in atlas.structures}
        assert atlas.structures.find("mouse").id == 15564
    found = oa.fetch("atlas:P56-sagittal/gridAnnotation", to=tmp_path / "s")
    assert found.orientation == found.annotation().attrs["orientation"] == "PIL"


def test_a_reference_space_by_number_and_what_there_is_not(source, tmp_path):
    assert oa.fetch("atlas:9/gridAnnotation", to=tmp_path / "a").annotation().shape == (67, 41, 58)
    with pytest.raises(NotFoundError, match="no such reference space"):
        oa.plan("atlas:77", to=tmp_path)
    with pytest.raises(NotFoundError, match="files: annotation") as caught:
        oa.plan("atlas:P56/nissl", to=tmp_path)
    assert "gridAnnotation" in str(caught.value)
    with pytest.raises(UsageError, match="no such option"):
        oa.plan("atlas:P56?include=energy", to=tmp_path)
    with pytest.raises(NotFoundError, match="not in the store") as caught:
        oa.open("atlas:ccf-2017/annotation/25")
    assert "openallen fetch atlas:ccf-2017/annotation/25" in str(caught.value)


# --- the Common Coordinate Framework --------------------------------------------------------------


def test_the_framework(ccf):
    atlas = Atlas(ccf)
    assert atlas.parts == ("annotation/50", "annotation/100", "mask/385/100", "nissl/100", "template/100")  # fmt: skip
    annotation = atlas.annotation(100)
    assert (annotation.shape, annotation.dtype) == ((132, 80, 114), "uint32")
    assert atlas.annotation(50).shape == (264, 160, 228)
    assert (atlas.template().dtype, atlas.nissl().dtype) == ("uint16", "float32")
    with pytest.raises(UsageError, match="several voxel sizes of annotation"):
        atlas.annotation()
    with pytest.raises(NotFoundError, match="no annotation/25 here"):
        atlas.annotation(25)
    with pytest.raises(NotFoundError, match="annotation/50") as caught:
        atlas.volume("annotation/25")
    assert "openallen fetch atlas:ccf-2017/annotation/25" in str(caught.value)
    published = atlas.find("mask", "VISp", "100")
    assert published.dtype == "uint8"
    assert np.array_equal(published.astype(bool), atlas.mask("VISp", 100))
    assert np.array_equal(atlas.find("mask", "VISp", "50"), atlas.mask("VISp", 50))


def test_a_volume_by_its_address(source, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path))
    oa.fetch("atlas:ccf-2017/annotation/100")
    volume = oa.open("atlas:ccf-2017/annotation/100")
    assert volume.dims == ("AP", "DV", "ML")
    assert volume.equals(oa.open("atlas:ccf-2017/annotation"))
    assert oa.open("atlas:ccf-2017").annotation().equals(volume)


def test_an_atlas_that_is_damaged(ccf, tmp_path):
    import shutil

    folder = tmp_path / "ccf-2017"
    shutil.copytree(ccf, folder)
    path = folder / "annotation_100.nrrd"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(IntegrityError):
        Atlas(folder).annotation(100)
    (folder / "structure_graph_1.json").unlink()
    with pytest.raises(NotFoundError, match="ontology") as caught:
        assert Atlas(folder).structures is None
    assert "openallen fetch atlas:ccf-2017" in str(caught.value)
    path.write_bytes((ccf / "annotation_50.nrrd").read_bytes())  # called 100, of 50 µm
    with pytest.raises(CorruptError, match="another voxel size"):
        Atlas(folder).annotation(100)
    (folder / "atlas.json").write_text("{")
    assert Atlas(folder).name == "ccf-2017"
    (tmp_path / "none").mkdir()
    with pytest.raises(NotFoundError, match="no atlas"):
        Atlas(tmp_path / "none")


def test_a_page_where_a_volume_was_asked(loopback, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENALLEN_ATTEMPTS", "1")
    page = file_handler(b"<html><body>unavailable</body></html>", ranges=False)
    path = "/informatics-archive/current-release/mouse_ccf/annotation/ccf_2017/annotation_25.nrrd"
    server = loopback({path: page, "/api/v2/structure_graph_download/1.json": page})
    with pytest.raises(oa.IncompleteError) as caught:
        oa.fetch("atlas:ccf-2017/annotation/25", to=tmp_path / "x", source=server.url)
    assert len(caught.value.report.failed) == 2
    assert not [p for p in (tmp_path / "x").rglob("*") if p.is_file()]


# --- connectivity ---------------------------------------------------------------------------------


def test_connectivity_grids(source, tmp_path):
    address = "grid:181777177?include=projection_density,data_mask&resolution=100"
    found = oa.fetch(address, to=tmp_path / "c")
    assert isinstance(found, ConnectivityGrid)
    density = found.projection_density
    assert (density.shape, density.dtype, density.dims) == ((132, 80, 114), "float32", ("AP", "DV", "ML"))  # fmt: skip
    assert density.attrs["units"] == "1"
    assert density.attrs["reference_space_id"] == 9
    assert set(np.unique(found.data_mask)) <= {0.0, 1.0}
    assert 0 <= float(density.min()) <= float(density.max()) <= 1
    oa.fetch("grid:181777177?include=projection_density&resolution=50", to=tmp_path / "c")
    both = oa.open(tmp_path / "c")
    assert both.resolutions_um == (50, 100)
    with pytest.raises(UsageError, match="50, 100"):
        both.volume("projection_density")
    assert both.volume("projection_density", 50).shape == (264, 160, 228)
    with pytest.raises(NotFoundError, match="has no injection_density"):
        assert both.injection_density is None
    web = (
        "http://api.brain-map.org/grid_data/download_file/181777177?image=data_mask&resolution=100"
    )
    assert str(oa.Address.parse(web)) == "grid:181777177?include=data_mask&resolution=100"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("grid:1?include=energy,data_mask", "not of both"),
        ("grid:1?include=data_mask&resolution=30", "no such resolution"),
        ("grid:1?include=energy&resolution=25", "one size"),
        ("grid:1?image=data_mask", "no such option 'image'"),
        ("grid:1?include=", "is empty"),
    ],
)
def test_what_grids_do_not_have(address, message, source, tmp_path):
    with pytest.raises(UsageError, match=message):
        oa.plan(address, to=tmp_path)


# --- many grids -----------------------------------------------------------------------------------


def test_data_sets_are_found_by_gene_plane_and_product(source):
    assert [r["id"] for r in oa.search("grid:", gene="Pdyn", plane="coronal")] == [9000000201]
    assert len(oa.search("grid:", "gene=Pdyn", product="Mouse")) == 2
    assert [r["age"] for r in oa.search("grid:?product=DevMouse")] == ["E15.5"]
    assert {r["gene"] for r in oa.search("grid:", gene=["Pdyn", "Adora2a"])} == {"Pdyn", "Adora2a"}
    assert oa.search("grid:", gene="Nosuch") == []
    with pytest.raises(UsageError, match="no column 'gen'"):
        oa.search("grid:", gen="Pdyn")
    done = run("list", "grid:", "gene=Pdyn", "plane=coronal", "product=Mouse", "--json")
    assert json.loads(done.stdout)["plane"] == "coronal"


def test_many_grids_are_one_lazy_array(source, tmp_path):
    energy = oa.grids(gene=["Pdyn", "Adora2a"], to=tmp_path)
    assert (energy.dims, energy.shape) == (("data_set", "AP", "DV", "ML"), (3, 67, 41, 58))
    assert list(energy["gene"].to_numpy()) == ["Adora2a", "Pdyn", "Pdyn"]
    assert energy.data_set.to_numpy().tolist() == [72109410, 9000000201, 9000000202]
    for number in energy["data_set"].to_numpy():
        one = oa.open(tmp_path / str(number)).energy
        if number == 9000000202:  # cut sagittally: from right to left in its own space
            assert one.attrs["orientation"] == "PIL"
            one = one.isel(ML=slice(None, None, -1))
        assert np.array_equal(energy.sel(data_set=number), one, equal_nan=True)
    assert np.array_equal(energy[::2, 3:9, 20, [4, 1]], energy.to_numpy()[::2, 3:9, 20][:, :, [4, 1]], equal_nan=True)  # fmt: skip
    assert energy[0:0].shape == (0, 67, 41, 58)
    sections = energy.mean(("AP", "DV", "ML"))
    assert float(sections[0]) == pytest.approx(float(np.nanmean(energy[0])), rel=1e-5)
    assert int(energy[0].isnull().sum()) > 0
    chunked = oa.grids(gene=["Pdyn", "Adora2a"], to=tmp_path, chunks=1)
    assert chunked.chunks[0] == (1, 1, 1)
    assert np.array_equal(chunked.mean("data_set").compute(), energy.mean("data_set"), equal_nan=True)  # fmt: skip


def test_many_grids_read_by_threads_are_those_read_one_by_one(source, tmp_path, monkeypatch):
    oa.grids(gene=["Pdyn", "Adora2a"], to=tmp_path)
    places = sorted(p for p in tmp_path.iterdir() if p.is_dir()) * 8
    energy = stack_grids(places)
    for cores in (1, 5):
        monkeypatch.setattr("openallen.sources.atlases.collection.cores", lambda n=cores: n)
        found = energy[::-1, 3:9].to_numpy()
        assert found.shape[0] == 24
        for number in range(24):
            assert np.array_equal(found[23 - number], energy[number, 3:9], equal_nan=True)
    damaged = next(places[1].glob("*.zip"))
    damaged.write_bytes(damaged.read_bytes()[:1000])
    with pytest.raises(IntegrityError):
        energy.to_numpy()


def test_nothing_is_read_before_it_is_looked_at(source, tmp_path):
    energy = oa.grids(gene="Pdyn", to=tmp_path)
    second = tmp_path / "9000000202" / "grid_9000000202_energy.zip"
    whole = second.read_bytes()
    second.write_bytes(whole[: len(whole) // 2])
    assert energy[0, 30].shape == (41, 58)
    with pytest.raises(IntegrityError):
        energy[1].to_numpy()
    again = oa.grids(gene="Pdyn", to=tmp_path)  # what is damaged is fetched again
    assert second.read_bytes()[:4] == whole[:4]
    assert again[1].notnull().any()


def test_grids_that_cannot_be_stacked(source, tmp_path):
    with pytest.raises(UsageError, match="different frames"):
        oa.grids(gene="Pdyn", product=None, to=tmp_path)
    with pytest.raises(NotFoundError, match="values of gene: Adora2a, Pdyn"):
        oa.grids(gene="Nosuch", to=tmp_path)
    with pytest.raises(UsageError, match="no such volume of expression 'data_mask'"):
        oa.grids(gene="Pdyn", kind="data_mask", to=tmp_path)
    with pytest.raises(UsageError, match="no grids"):
        stack_grids([])


def test_sums_of_many_grids_know_their_data_sets(source, tmp_path, p56):
    energy = oa.grids(gene="Pdyn", plane="coronal", to=tmp_path)
    table = Atlas(p56).unionizer()(energy)
    assert table.index.names == ["data_set", "id"]
    one = energy[0].to_numpy()[Atlas(p56).mask("CP").to_numpy()]
    assert table.loc[(9000000201, 672), "mean"] == pytest.approx(np.nanmean(one.astype(float)))


def test_all_missing_is_no_number(source, tmp_path, p56):
    volume = Atlas(p56).annotation().astype("float32") * 0 - 1
    table = Atlas(p56).unionizer()(volume)
    assert table["mean"].isna().all()
    assert (table["voxels"] == 0).all()


# --- the archive's own services -------------------------------------------------------------------


def test_the_graph_and_the_tree(source, tmp_path):
    from openallen.sources.context import connected

    def ask(path: str):
        with connected(source=source) as client, client.http.get(client.base_url + path) as answer:
            return answer.read()

    graph = Structures.from_graph(ask("/api/v2/structure_graph_download/1.json"), 1)
    assert list(graph) == list(oa.open("structures:1"))
    tree = "/api/v2/tree_search/Structure/385"
    above = json.loads(ask(f"{tree}.json?ancestors=true"))["msg"]
    assert [r["acronym"] for r in above] == [*(s.acronym for s in reversed(graph.ancestors("VISp"))), "VISp"]  # fmt: skip
    below = json.loads(ask(f"{tree}.json?descendants=true"))["msg"]
    assert {r["acronym"] for r in below} == {"VISp", *(s.acronym for s in graph.descendants("VISp"))}  # fmt: skip
    assert len(json.loads(ask(f"{tree}.json"))["msg"]) == 1
    assert b"<acronym>VISp</acronym>" in ask(f"{tree}.xml")
    assert json.loads(ask("/api/v2/tree_search/Gene/1.json"))["success"] is False
    assert json.loads(ask("/api/v2/structure_graph_download/99.json"))["success"] is False


def test_volumes_that_are_held_are_given_as_they_are(tmp_path):
    from openallen.archive.app import archive_app
    from openallen.serving.server import serving
    from openallen.transport import Http

    (tmp_path / "grids").mkdir()
    (tmp_path / "grids" / "5.zip").write_bytes(b"PK\x03\x04 held")
    (tmp_path / "grids" / "5_data_mask_25.nrrd").write_bytes(b"NRRD0004 held")
    deep = tmp_path / "informatics-archive" / "a" / "b.nrrd"
    deep.parent.mkdir(parents=True)
    deep.write_bytes(b"NRRD0004 held too")
    with serving(archive_app(tmp_path)) as url, Http() as http:

        def get(path: str) -> tuple[bytes, str]:
            with http.get(url + path) as answer:
                return answer.read(), answer.headers.get("openallen-simulated", "")

        assert get("/grid_data/download/5?include=energy") == (b"PK\x03\x04 held", "")
        assert get("/grid_data/download_file/5?image=data_mask") == (b"NRRD0004 held", "")
        assert get("/informatics-archive/a/b.nrrd")[0] == b"NRRD0004 held too"
        for wrong in ("/grid_data/download/6", "/informatics-archive/a/..%2f..%2fb", "/informatics-archive/", "/grid_data/download_file/5?image=..%2f..%2fx"):  # fmt: skip
            with pytest.raises(oa.OpenAllenError):
                get(wrong)


# --- by the command line, and pictures ------------------------------------------------------------


def test_two_downloads_under_one_command(source, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path / "store"))
    done = run("fetch", "atlas:P56", "grid:69855739", "--json")
    assert done.returncode == 0, done.stderr
    names = {f["path"] for r in json.loads(done.stdout)["reports"] for f in r["files"]}
    assert names == {"atlasVolume.zip", "gridAnnotation.zip", "structure_graph_1.json", "grid_69855739_energy.zip"}  # fmt: skip
    again = json.loads(run("fetch", "atlas:P56", "grid:69855739", "--json").stdout)
    assert [r["fetched"] for r in again["reports"]] == [0, 0]
    done = run("fetch", "grid:69855739", "--include", "energy,density", "--to", str(tmp_path / "g"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "g" / "grid_69855739_energy_density.zip").exists()


def test_pictures(source, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path / "store"))
    for address in ("grid:69855739", "atlas:P56/gridAnnotation", "grid:181777177?include=projection_density&resolution=100"):  # fmt: skip
        picture = tmp_path / "out" / "x.png"
        done = run("show", address, "--plot", str(picture))
        assert done.returncode == 0, done.stderr
        assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        picture.unlink()
    told = json.loads(run("show", "atlas:ccf-2017/annotation/100", "--json").stdout)
    assert told["plan"]["files"][0]["url"].endswith("ccf_2017/annotation_100.nrrd")
    assert [json.loads(line)["atlas"] for line in run("list", "atlas:", "--json").stdout.splitlines()] == list(ATLASES)  # fmt: skip


def test_slices_are_where_they_should_be(p56):
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    atlas = Atlas(p56)
    volume = atlas.annotation().astype("float32") * 0
    volume[10, 20, 30] = 7.0
    figure = atlas.plot(volume=volume)
    titles = [axis.get_title() for axis in figure.axes[:3]]
    assert titles == ["coronal, AP 2.10 mm", "sagittal, ML 6.10 mm", "horizontal, DV 4.10 mm"]
    coronal = figure.axes[0].images[0].get_array()
    assert coronal.shape == (41, 58)
    assert coronal[20, 30] == 7.0
    assert figure.axes[1].images[0].get_array()[20, 10] == 7.0
    assert figure.axes[2].images[0].get_array()[10, 30] == 7.0
    assert figure.axes[0].collections, "no outlines"
    with pytest.raises(UsageError, match="outside"):
        atlas.plot((1e6, 0, 0), volume=volume)
    with pytest.raises(UsageError, match="three coordinates"):
        atlas.plot((1, 2), volume=volume)
    painted = atlas.plot(volume=atlas.annotation()).axes[0].images[0].get_array()
    assert painted.shape == (41, 58, 3)
    visp = atlas.structures.find("VISp1").color
    coloured = atlas.plot(um_of(np.argwhere(atlas.mask("VISp1").to_numpy())[0], (200.0,) * 3), volume=atlas.annotation())  # fmt: skip
    flat = coloured.axes[0].images[0].get_array().reshape(-1, 3)
    assert any("".join(f"{c:02X}" for c in pixel) == visp for pixel in flat)
    plt.close("all")


# --- what strangers stumbled over -----------------------------------------------------------------


def test_connectivity_and_expression_are_not_mixed_up(source, tmp_path):
    usual = oa.fetch("grid:181777177", to=tmp_path / "c", resolution=100)
    assert usual.kinds == ("projection_density",)
    with pytest.raises(UsageError, match="shows connectivity"):
        oa.fetch("grid:181777177?include=energy", to=tmp_path / "c")
    with pytest.raises(UsageError, match="the expression of Adora2a"):
        oa.fetch("grid:72109410", to=tmp_path / "e", include="projection_density")
    assert 181777177 not in oa.grids(product=None, age="P56", to=tmp_path / "g").data_set
    both = oa.fetch("grid:72109410", to=tmp_path / "e", include=["energy", "density"])
    assert both.kinds == ("density", "energy")


def test_an_address_means_what_it_says(source, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path))
    for size in (50, 100):
        oa.fetch("grid:181777177", include="data_mask", resolution=size)
    assert oa.open("grid:181777177?include=data_mask&resolution=50").data_mask.shape == (264, 160, 228)  # fmt: skip
    with pytest.raises(NotFoundError, match="has no injection_density"):
        oa.open("grid:181777177?include=injection_density")
    with pytest.raises(NotFoundError, match="no grid of 25"):
        oa.open("grid:181777177?resolution=25")
    with pytest.raises(UsageError, match="no such grid volume 'bogus'"):
        oa.open("grid:181777177?include=bogus")
    assert oa.open("structures:1/VISp").id == 385
    with pytest.raises(NotFoundError, match="no such structure"):
        oa.open("structures:1/NOPE")
    oa.fetch("atlas:p56/gridAnnotation")
    assert oa.open("atlas:P56").parts == oa.open("atlas:p56").parts == ("gridAnnotation",)
    with pytest.raises(NotFoundError, match="ccf-2017"):
        oa.open("atlas:ccf2017")
    with pytest.raises(UsageError, match="sizes: 10, 25, 50, 100"):
        oa.open("atlas:ccf-2017/annotation/30")


def test_a_folder_holds_one_thing(source, tmp_path):
    from openallen.errors import RefusedError

    oa.fetch("grid:72109410", to=tmp_path / "a")
    oa.fetch("atlas:P56/gridAnnotation", to=tmp_path / "b")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "manifest.json").write_text("{}")
    for address, folder in (("grid:69855739", "a"), ("atlas:P56/gridAnnotation", "a"), ("grid:69855739", "b"), ("atlas:E15.5/gridAnnotation", "b"), ("grid:69855739", "c"), ("atlas:P56", "c")):  # fmt: skip
        with pytest.raises(RefusedError, match="holds something else"):
            oa.fetch(address, to=tmp_path / folder)


def test_the_frame_of_a_volume_counts(source, tmp_path, p56):
    atlas = Atlas(p56)
    ids = np.array(atlas.annotation())
    one_sided = np.where(np.arange(58) < 29, 1.0, 5.0)[None, None, :] * (ids > 0)
    right = atlas.annotation().copy(data=one_sided.astype("float32"))
    left = right.isel(ML=slice(None, None, -1)).assign_coords(ML=right["ML"])
    left.attrs["orientation"] = "PIL"
    sums = atlas.unionizer()
    assert sums(left).equals(sums(right))
    assert sums(right.isel(ML=slice(None, None, -1))).equals(sums(right))
    embryo = oa.fetch("grid:9000000203", to=tmp_path / "e").energy
    with pytest.raises(UsageError, match="differ in shape or place"):
        sums(embryo)
    with pytest.raises(UsageError, match="another space"):
        atlas.plot(volume=embryo)
    for wrong in ("x", [1, 2], object()):
        with pytest.raises(UsageError):
            atlas.ids_at(wrong)


def test_what_is_here_needs_no_network(tmp_path, monkeypatch):
    from openallen.archive.app import archive_app
    from openallen.serving.server import serving

    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path))
    from openallen.sources import service

    with serving(archive_app("sample")) as url:
        monkeypatch.setattr(service, "service_url", lambda source: url)
        for address in ("atlas:P56/gridAnnotation", "grid:72109410"):
            oa.fetch(address)
    monkeypatch.setattr(service, "service_url", lambda source: "https://api.brain-map.org")
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    for address in ("atlas:P56/gridAnnotation", "grid:72109410"):
        assert oa.fetch(address) is not None


def test_damage_is_found_and_mended(source, tmp_path, monkeypatch):
    import os

    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path))
    oa.fetch("grid:72109410")
    (packed,) = tmp_path.rglob("*.zip")
    before = packed.stat()
    whole = packed.read_bytes()
    spoilt = bytearray(whole)
    spoilt[len(spoilt) // 2] ^= 255
    packed.write_bytes(bytes(spoilt))
    os.utime(packed, ns=(before.st_atime_ns, before.st_mtime_ns))
    done = run("store", "verify", "--json")
    assert done.returncode == 7, done.stdout
    assert json.loads(done.stdout)["bad"][0]["address"] == "grid:72109410"
    assert run("store", "repair").returncode == 0
    assert packed.read_bytes() == whole
    assert run("store", "verify").returncode == 0
    listed = run("store", "ls", "--json").stdout
    assert json.loads(listed.splitlines()[0])["address"] == "grid:72109410"


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow")  # by pynrrd, while it writes
def test_ids_stay_exact_however_a_file_is_opened(p56, ccf, tmp_path):
    import nrrd

    from openallen.sources.atlases import ConnectivityGrid

    ids = np.array([0, 385, 312782547, 614454277], "uint32").reshape(2, 2, 1)
    assert not np.array_equal(ids.astype("float32").astype("uint32"), ids)  # float32 loses some
    for name in ("annotation_100.nrrd", "mine.nrrd"):
        nrrd.write(str(tmp_path / name), ids, {"spacings": [100.0] * 3})
    assert np.array_equal(oa.open(tmp_path / "annotation_100.nrrd"), ids)
    assert np.array_equal(ConnectivityGrid(tmp_path / "mine.nrrd").volume("mine"), ids)
    for path, expected in (
        (ccf / "structure_masks_100" / "structure_385.nrrd", Atlas(ccf).volume("mask/385/100")),
        (p56 / "gridAnnotation.zip", Atlas(p56).annotation()),
    ):
        assert oa.open(path).equals(expected)


def test_a_grid_in_millimetres_and_turned_axes_is_taken_at_its_word(tmp_path):
    """Read as µm, a grid of 0.1 mm came out a thousand times too small."""
    import nrrd

    from openallen.errors import CorruptError
    from openallen.sources.atlases import ConnectivityGrid

    values = np.arange(24, dtype="float32").reshape(2, 3, 4)
    told = {"space": "RAS", "space units": ["mm"] * 3, "space origin": [0.0, 0.0, 0.0]}
    told["space directions"] = [[0, -0.1, 0], [0, 0, -0.1], [0.1, 0, 0]]
    nrrd.write(str(tmp_path / "mine.nrrd"), values, told)
    grid = ConnectivityGrid(tmp_path / "mine.nrrd").volume("mine")
    assert grid["AP"].to_numpy().tolist() == [50.0, 150.0]
    assert np.array_equal(grid, values)
    told["space directions"] = [[0.1, 0, 0], [0, 0.1, 0], [0, 0, 0.1]]
    nrrd.write(str(tmp_path / "turned.nrrd"), values, told)
    turned = ConnectivityGrid(tmp_path / "turned.nrrd").volume("turned")
    assert turned.shape == (3, 4, 2)
    assert float(turned[0, 0, 0]) == values[0, -1, -1]
    nrrd.write(str(tmp_path / "grid_5_data_mask_25.nrrd"), values, told)
    with pytest.raises(CorruptError, match="another voxel size"):
        ConnectivityGrid(tmp_path / "grid_5_data_mask_25.nrrd").volume("data_mask")


def test_a_sample_never_passes_for_the_service(source, tmp_path, monkeypatch):
    from openallen.errors import RefusedError

    oa.fetch("grid:72109410", to=tmp_path / "g")
    oa.fetch("atlas:P56/gridAnnotation", to=tmp_path / "a")
    oa.grids(gene="Pdyn", to=tmp_path / "many")
    other = source.replace("127.0.0.1", "localhost")
    for address, folder in (("grid:72109410", "g"), ("atlas:P56/gridAnnotation", "a")):
        with pytest.raises(RefusedError, match="from another source"):
            oa.plan(address, to=tmp_path / folder, source=other)
    with pytest.raises(RefusedError, match="from another source"):
        oa.grids(gene="Pdyn", to=tmp_path / "many", source=other)


def test_hundreds_of_grids_need_no_hundreds_of_open_files(source, tmp_path):
    import shutil

    oa.fetch("grid:72109410", to=tmp_path / "72109410")
    for number in range(200):
        shutil.copytree(tmp_path / "72109410", tmp_path / f"c{number}")
    places = sorted(tmp_path.glob("c*"))
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from openallen.sources.atlases.collection import stack_grids\n"
        "places = sorted(Path(sys.argv[1]).glob('c*'))\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "print(stack_grids(places)[:, 30, 20].notnull().sum().item())\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    one = stack_grids(places[:1])[:, 30, 20].notnull().sum().item()
    assert int(done.stdout) == 200 * one > 0


def test_two_ontologies_that_share_acronyms(source):
    adult, developing = oa.open("structures:1/RSP"), oa.open("structures:17/RSP")
    assert (adult.id, developing.id) == (254, 15568)
    structures = oa.open("structures:17")
    with pytest.raises(UsageError, match="254"):
        Unionizer(np.full((2, 2, 2), 254), structures)
