"""Meshes, masks of several structures, points to names, pictures; volumes by their file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import openallen as oa
from openallen.errors import CorruptError, MissingExtraError, NotFoundError, UsageError
from openallen.formats.obj import Mesh
from openallen.sources.atlases import Atlas, Structures
from openallen.sources.atlases.frames import label, um_of
from openallen.sources.atlases.plots import plot_slices
from openallen.sources.atlases.volumes import open_mesh, open_volume

SHARED = Path(os.environ.get("OPENALLEN_TEST_SHARED", Path(__file__).parents[3] / "shared" / "data"))  # fmt: skip
PUBLIC = SHARED / "public"
OBJ = (
    b"v 100 200 300\nv 200 200 300\nv 200 300 300\nvn 0 0 1\nvn 0 0 1\nvn 0 0 1\nf 1//1 2//2 3//3\n"
)


def shared(path: str) -> Path:
    if not (PUBLIC / path).exists():
        pytest.skip(f"{path} is not in {PUBLIC} (OPENALLEN_TEST_SHARED names another folder)")
    return PUBLIC / path


@pytest.fixture(scope="module")
def ccf(sample_url, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("atlas") / "ccf-2017"
    for part in ("annotation/100", "template/100", "mask/VISp/100"):
        oa.fetch(f"atlas:ccf-2017/{part}", to=folder, source=sample_url)
    (folder / "structure_meshes").mkdir()
    (folder / "structure_meshes" / "385.obj").write_bytes(OBJ)
    return folder


# --- meshes ---------------------------------------------------------------------------------------


def test_the_mesh_of_a_structure(ccf):
    atlas = Atlas(ccf)
    assert "mesh/385" in atlas.parts
    for what in (385, "385", "VISp", "Primary visual area", atlas.structures["VISp"]):
        mesh = atlas.mesh(what)
        assert isinstance(mesh, Mesh)
        assert (mesh.name, mesh.vertices_um.shape, mesh.faces.tolist()) == ("VISp", (3, 3), [[0, 1, 2]])  # fmt: skip
    assert np.array_equal(atlas.find("mesh", "385").vertices_um, mesh.vertices_um)
    assert atlas.find("mesh", "VISp").name == "VISp"
    assert len(open_mesh(ccf / "structure_meshes" / "385.obj").faces) == 1
    with pytest.raises(NotFoundError, match="mesh/997") as caught:
        atlas.mesh("root")
    assert caught.value.hint == f"openallen fetch atlas:ccf-2017/mesh/997 --to {ccf}"
    with pytest.raises(NotFoundError, match="similar: VISp"):
        atlas.mesh("VISpp")
    with pytest.raises(UsageError, match="not a volume"):
        atlas.volume("mesh/385")
    with pytest.raises(UsageError, match="axes"):
        plot_slices(mesh)


def test_a_folder_of_meshes_alone_is_an_atlas(tmp_path):
    (tmp_path / "structure_meshes").mkdir()
    (tmp_path / "structure_meshes" / "385.obj").write_bytes(OBJ)
    (tmp_path / "structure_meshes" / "315.obj").write_bytes(b"<html>")
    atlas = Atlas(tmp_path)
    assert atlas.parts == ("mesh/315", "mesh/385")
    assert atlas.mesh(385).name == "of structure 385"  # there is no ontology to name it by
    with pytest.raises(CorruptError, match=r"315\.obj"):
        atlas.mesh(315)


def test_a_mesh_is_checked_as_it_is_fetched(loopback, tmp_path, monkeypatch):
    from loopback import file_handler

    monkeypatch.setenv("OPENALLEN_ATTEMPTS", "1")
    graph = json.dumps({"msg": [{"id": 385, "acronym": "VISp", "name": "Primary visual area", "parent_structure_id": None}]})  # fmt: skip
    meshes = "/informatics-archive/current-release/mouse_ccf/annotation/ccf_2017/structure_meshes"
    server = loopback(
        {
            f"{meshes}/385.obj": file_handler(OBJ, ranges=False),
            f"{meshes}/315.obj": file_handler(OBJ[:20], ranges=False),
            "/api/v2/structure_graph_download/1.json": file_handler(graph.encode(), ranges=False),
        }
    )
    atlas = oa.fetch("atlas:ccf-2017/mesh/385", to=tmp_path / "a", source=server.url)
    assert atlas.mesh("VISp").faces.shape == (1, 3)
    with pytest.raises(oa.OpenAllenError, match=r"mesh without|cut off|could not be fetched"):
        oa.fetch("atlas:ccf-2017/mesh/315", to=tmp_path / "a", source=server.url)
    assert not (tmp_path / "a" / "structure_meshes" / "315.obj").exists()


# --- masks and points -----------------------------------------------------------------------------


def test_a_mask_of_several_structures_is_their_union(ccf):
    atlas = Atlas(ccf)
    visp, th = atlas.structures["VISp"], atlas.structures["TH"]
    union = atlas.mask(["VISp", th.id, th])
    assert np.array_equal(union, atlas.mask("VISp") | atlas.mask("TH"))
    assert union.attrs["structure_id"] == [385, 549, 549]
    assert union.attrs["acronym"] == "VISp, TH, TH"
    for one in (visp, [visp], ("VISp",), np.array([385]), iter(["VISp"]), np.int64(385)):
        assert np.array_equal(atlas.mask(one), atlas.mask("VISp"))
    assert atlas.mask(visp).attrs["structure_id"] == 385
    whole = atlas.mask(s for s in atlas.structures.children("root"))
    assert np.array_equal(whole, atlas.mask("root") & ~atlas.mask("root", parts=False))
    with pytest.raises(UsageError, match="no structure"):
        atlas.mask([])
    for wrong in (["VISp", "NOPE"], "NOPE"):
        with pytest.raises(NotFoundError, match="NOPE"):
            atlas.mask(wrong)
    for wrong in ([None], None, 1.5, [["VISp"]]):
        with pytest.raises(UsageError, match="id, acronym or name"):
            atlas.mask(wrong)


def test_points_have_acronyms_and_names(ccf):
    atlas = Atlas(ccf)
    inside = um_of(np.argwhere(atlas.mask("TH").to_numpy())[7], (100.0,) * 3)
    points = np.array([[inside, [-5, 0, 0]], [[0, 0, 0], [float("nan")] * 3]])
    found = atlas.structure_at(inside)
    assert atlas.acronyms_at(points).tolist() == [[found.acronym, ""], ["", ""]]
    assert atlas.names_at(points).tolist() == [[found.name, ""], ["", ""]]
    assert atlas.acronyms_at(inside).shape == ()
    assert atlas.acronyms_at(np.zeros((0, 3))).shape == (0,)
    with pytest.raises(UsageError, match="one point"):
        atlas.structure_at(points)
    ids = atlas.ids_at(points)
    assert [atlas.structures[i].acronym for i in ids.ravel() if i] == [found.acronym]


# --- pictures -------------------------------------------------------------------------------------


def test_a_figure_is_shown_once_and_not_kept_by_pyplot(ccf):
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

    before = plt.get_fignums()
    figure = Atlas(ccf).plot()
    assert isinstance(figure, Figure)
    assert plt.get_fignums() == before  # else a notebook shows it as the cell's output, and again
    assert figure._repr_png_()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_picture_needs_no_pyplot(ccf):
    code = (
        "import sys; from openallen.sources.atlases import Atlas\n"
        "Atlas(sys.argv[1]).plot().savefig(sys.argv[2])\n"
        "print('matplotlib.pyplot' in sys.modules)\n"
    )
    picture = ccf.parent / "x.png"
    done = subprocess.run([sys.executable, "-c", code, str(ccf), str(picture)], capture_output=True, text=True, check=True)  # fmt: skip
    assert done.stdout.strip() == "False"
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_title_says_where_the_point_was_moved_to(ccf):
    atlas = Atlas(ccf)
    title = atlas.plot((6012, 3000, 5700)).get_suptitle()
    assert "point 6012, 3000, 5700 µm, shown at its voxel centre 6050, 3050, 5750 µm" in title
    assert "simulated" in title
    exact = atlas.plot((6050, 3050, 5750)).get_suptitle()
    assert "shown at" not in exact
    assert "voxel centre 6050, 3050, 5750 µm (AP, DV, ML)" in exact
    named = atlas.structure_at((6050, 3050, 5750))
    assert f"in {named.name} ({named.acronym})" in exact


def test_the_colour_bar_says_what_and_in_which_unit(ccf, sample_url, tmp_path):
    def bar(figure) -> str:
        return figure.axes[3].get_ylabel()

    energy = oa.fetch("grid:69855739", to=tmp_path / "g", source=sample_url).energy
    assert bar(plot_slices(energy)) == "expression energy (grey level)"
    energy.attrs.update(long_name="expression density: share of pixels", units="1")
    assert bar(plot_slices(energy)) == "expression density (0 to 1)"
    atlas = Atlas(ccf)
    assert bar(atlas.plot()) == "template (grey level)"
    plain = label(np.ones((3, 3, 3)), (100,) * 3, name="mine", attrs={})
    assert bar(plot_slices(plain)) == "mine"
    figure = atlas.plot()
    sizes = [text.get_fontsize() for axis in figure.axes[:3] for text in (axis.title, axis.xaxis.label, *axis.get_xticklabels())]  # fmt: skip
    assert min(sizes) >= 9
    assert all(axis.collections[0].get_linewidth()[0] >= 0.6 for axis in figure.axes[:3])


# --- BrainGlobe -----------------------------------------------------------------------------------


def test_brainglobe_wants_an_environment_of_its_own(ccf, tmp_path):
    pytest.importorskip("zarr")
    try:
        import brainglobe_atlasapi  # noqa: F401
    except ImportError:
        with pytest.raises(MissingExtraError, match="environment of its own") as caught:
            Atlas(ccf).to_brainglobe(tmp_path / "bg")
        assert caught.value.hint.startswith("python -m venv ")
    else:
        pytest.skip("BrainGlobe is installed here")


# --- files ----------------------------------------------------------------------------------------


def test_volumes_called_as_the_institute_calls_them(ccf, tmp_path):
    assert open_volume(ccf / "annotation_100.nrrd").attrs["units"] == "structure id"
    published = ccf / "structure_masks_100" / "structure_385.nrrd"
    assert open_volume(published).name == "mask"
    # AllenSDK keeps them elsewhere; the name alone says what it is.
    away = tmp_path / "structure_masks" / "resolution_100" / "structure_385.nrrd"
    away.parent.mkdir(parents=True)
    shutil.copy(published, away)
    mask = open_volume(away)
    assert (mask.name, mask.attrs["structure_id"]) == ("mask", 385)
    assert mask.attrs["spacing_um"] == [100.0] * 3
    assert np.array_equal(mask, Atlas(ccf).mask("VISp"))
    assert np.array_equal(oa.open(away), mask)


@pytest.mark.shared
def test_the_real_annotation_and_template_in_nifti():
    template = open_volume(shared("atlas/average_template_100.nii"))
    assert (template.shape, template.dtype, template.dims) == ((132, 80, 114), "uint16", ("AP", "DV", "ML"))  # fmt: skip
    assert template.attrs["spacing_um"] == [100.0] * 3
    assert template.attrs["orientation"] == "PIR"
    assert float(template["AP"][0]) == 50.0
    path = shared("atlas/annotation_25.nii.gz")
    annotation = open_volume(path)
    assert (annotation.shape, annotation.attrs["spacing_um"]) == ((528, 320, 456), [25.0] * 3)
    import nibabel

    assert np.array_equal(annotation, np.asanyarray(nibabel.load(path).dataobj))


@pytest.mark.shared
def test_the_real_mask_is_where_the_real_annotation_says():
    mask = open_volume(shared("atlas/structure_721.nrrd"))
    assert (mask.name, mask.attrs["structure_id"], mask.attrs["spacing_um"]) == ("mask", 721, [25.0] * 3)  # fmt: skip
    import pandas as pd

    numbers = pd.read_csv(shared("atlas/1_adult_mouse_brain_graph_mapping.csv"))
    ids = numbers.set_index("parcellation_index")["id"]
    annotation = open_volume(shared("atlas/annotation_25.nii.gz")).to_numpy()
    assert np.array_equal(mask.to_numpy() > 0, np.isin(annotation, ids.index[ids == 721]))


@pytest.mark.shared
@pytest.mark.parametrize(
    ("path", "count"),
    [
        ("atlas/1_adult_mouse_brain_graph.json", 1327),
        ("atlas/allen_mouse_100um_v1.2/structures.json", 840),
    ],
)
def test_ontologies_as_other_tools_keep_them(path, count):
    found = Structures.from_graph(shared(path).read_bytes(), 1)
    assert len(found) == count
    assert [s.acronym for s in found.ancestors("VISp")][:2] == ["VIS", "Isocortex"]
    assert found["VISp"].color == "08858C"


@pytest.mark.shared
def test_a_real_reconstruction_by_its_path_as_text():
    path = shared("celltypes/cell_types/specimen_485931158/reconstruction.swc")
    assert oa.read_swc(str(path)) == oa.read_swc(path)
