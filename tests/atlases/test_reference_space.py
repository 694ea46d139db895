"""Masks, counts, coverage, coarser labels, colours, ITK-SNAP; files that other tools read."""

from __future__ import annotations

import math
import os
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import sdkoracle
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import openallen as oa
from openallen.errors import IntegrityError, NotFoundError, StoreError, UsageError
from openallen.formats.labels import few_ids
from openallen.formats.volume_bytes import to_nifti, to_nrrd
from openallen.sources.atlases import Atlas, ConnectivityGrid, ReferenceSpace, Structures
from openallen.sources.atlases.frames import label, oriented
from openallen.sources.atlases.reference_space import mask_of
from openallen.sources.atlases.unionize import Labels, Unionizer
from openallen.sources.atlases.volumes import open_volume
from openallen.sources.atlases.write_volumes import write_nifti, write_nrrd

SHARED = Path(os.environ.get("OPENALLEN_TEST_SHARED", Path(__file__).parents[3] / "shared" / "data")) / "public"  # fmt: skip
ROWS = [
    {"id": 1, "acronym": "root", "name": "root", "structure_id_path": "/1/", "color_hex_triplet": "FFFFFF"},
    {"id": 2, "acronym": "b", "name": "big", "structure_id_path": "/1/2/", "color_hex_triplet": "00FF10"},
    {"id": 312782, "acronym": "Ab", "name": "left", "structure_id_path": "/1/2/312782/", "color_hex_triplet": "20FF10"},
    {"id": 4, "acronym": "aB", "name": "right", "structure_id_path": "/1/2/4/", "color_hex_triplet": "2010FF"},
    {"id": 5, "acronym": "c", "name": "empty", "structure_id_path": "/1/5/", "color_hex_triplet": "010203"},
    {"id": 6, "acronym": "d", "name": "also empty", "structure_id_path": "/1/5/6/", "color_hex_triplet": "040506"},
]  # fmt: skip
for order, row in enumerate(ROWS):
    row |= {"graph_id": 1, "graph_order": order, "structure_sets": []}
IDS = [0, 1, 2, 312782, 4]


def ids_of(seed: int, shape: tuple[int, int, int] = (8, 6, 5)) -> np.ndarray:
    return np.random.default_rng(seed).choice(IDS, shape).astype(np.uint32)


def space_of(values: np.ndarray, um: float = 25.0) -> ReferenceSpace:
    about = {"orientation": "PIR", "units": "structure id"}
    volume = label(values, (um,) * 3, name="annotation", attrs=about)
    return ReferenceSpace(volume, Structures.from_rows(ROWS, 1))


@pytest.fixture
def space() -> ReferenceSpace:
    return space_of(ids_of(1))


# --- masks and counts -----------------------------------------------------------------------------


def test_masks_with_parts_and_without(space):
    values = space.annotation.to_numpy()
    assert np.array_equal(space.mask("b"), np.isin(values, [2, 312782, 4]))
    assert np.array_equal(space.mask("b", parts=False), values == 2)
    assert np.array_equal(space.mask(["b", 1], parts=False), np.isin(values, [1, 2]))
    assert not space.mask("c").any()
    with pytest.raises(NotFoundError, match="bigg"):
        space.mask(["b", "bigg"])
    with pytest.raises(UsageError, match="no structure given"):
        space.mask([])


def test_many_masks_are_written_one_by_one(space, tmp_path):
    folder = tmp_path / "masks"
    folder.mkdir()
    found = space.masks(["b", 312782], folder=folder)
    structure, mask = next(found)
    assert (structure.id, [p.name for p in folder.iterdir()]) == (2, ["structure_2.nrrd"])
    assert np.array_equal(open_volume(folder / "structure_2.nrrd"), mask)
    assert open_volume(folder / "structure_2.nrrd").attrs["structure_id"] == 2
    (folder / "structure_312782.nrrd").write_bytes(b"mine")
    assert [one.id for one, _ in found] == [312782]
    assert (folder / "structure_312782.nrrd").read_bytes() == b"mine"
    with pytest.raises(NotFoundError, match="nope"):  # before anything is made
        space.masks(["b", "nope"], folder=folder)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError):
        next(space.masks(["b"], folder=tmp_path / "file"))


def test_counts_coverage_and_tilings(space):
    values = space.annotation.to_numpy()
    direct, total = space.direct_voxel_counts(), space.total_voxel_counts()
    assert direct[2] == (values == 2).sum()
    assert total[2] == np.isin(values, [2, 312782, 4]).sum()
    assert total[1] == (values > 0).sum()
    assert total[5] == total[6] == 0
    kept = space.remove_unassigned()
    assert [s.id for s in kept.structures] == [1, 2, 312782, 4]
    domain = np.isin(values, [2, 1])
    coverage = space.check_coverage(["Ab", "aB"], domain)
    assert (coverage.dtype, coverage.dims) == ("int8", ("AP", "DV", "ML"))
    assert np.array_equal(coverage == 1, domain)
    assert np.array_equal(coverage == -1, np.isin(values, [312782, 4]))
    overlaps, left = space.validate_structures(["b", "Ab"], values > 1)
    assert overlaps == {2}
    assert not left.any()
    assert space.validate_structures(["aB", "Ab"], space.mask(["aB", "Ab"]))[0] == set()
    with pytest.raises(UsageError, match="another shape"):
        space.check_coverage("b", domain[1:])
    with pytest.raises(UsageError, match="0 and 1"):
        space.check_coverage("b", values)
    with pytest.raises(UsageError, match="no structure of the ontology has a voxel"):
        space_of(np.zeros((2, 2, 2), np.uint16)).remove_unassigned()


def test_what_is_no_annotation():
    tree = Structures.from_rows(ROWS, 1)
    with pytest.raises(UsageError, match="whole numbers"):
        ReferenceSpace(label(np.zeros((2, 2, 2)), (1, 1, 1), name="a", attrs={}), tree)
    with pytest.raises(UsageError, match="not a labelled volume"):
        ReferenceSpace(xr.DataArray(np.zeros((2, 2, 2), int)), tree)


# --- coarser --------------------------------------------------------------------------------------


@given(
    hnp.arrays(np.uint32, hnp.array_shapes(min_dims=3, max_dims=3, max_side=7), elements=st.sampled_from(IDS)),
    st.tuples(*[st.integers(1, 4)] * 3),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_the_majority_is_the_commonest_label_of_each_block(values, times):
    made = space_of(values).downsample([25.0 * n for n in times], "majority").annotation
    assert made.shape == tuple(math.ceil(size / n) for size, n in zip(values.shape, times, strict=True))  # fmt: skip
    for at in np.ndindex(made.shape):
        block = values[tuple(slice(i * n, (i + 1) * n) for i, n in zip(at, times, strict=True))]
        ids, counts = np.unique(block, return_counts=True)
        assert made.to_numpy()[at] == ids[counts.argmax()]


@given(st.integers(1, 40), st.floats(1.0, 9.0))
@settings(max_examples=80, deadline=None)
def test_the_nearest_is_the_label_in_the_middle(size, factor):
    values = np.arange(size, dtype=np.uint32).reshape(size, 1, 1)
    made = space_of(values, 10.0).downsample([10.0 * factor, 10.0, 10.0]).annotation
    middles = made["AP"].to_numpy()
    expected = np.minimum(np.floor(middles / 10.0), size - 1)
    assert np.abs(made.to_numpy()[:, 0, 0] - expected).max() <= (0 if float(factor).is_integer() else 1)  # fmt: skip
    assert abs(len(middles) * 10.0 * factor - size * 10.0) <= 10.0 * factor


def test_labels_are_never_mixed(space):
    for how in ("nearest", "majority", "corners"):
        made = space.downsample(50, how)
        assert set(np.unique(made.annotation)) <= set(IDS)
        assert made.annotation.attrs["spacing_um"] == [50.0] * 3
        assert made.annotation.attrs["orientation"] == "PIR"
    for target, how, match in [
        (50, "linear", "ways: nearest, majority, corners"),
        (10, "nearest", "smaller"),
        (60, "majority", "whole multiples"),
        ((50, 50), "nearest", "for each axis"),
        (float("nan"), "nearest", "for each axis"),
        (("a", 1, 2), "nearest", "numbers"),
        (1e9, "corners", "no voxel is left"),
    ]:
        with pytest.raises(UsageError, match=match):
            space.downsample(target, how)


# --- colours --------------------------------------------------------------------------------------


def test_a_slice_in_colours(space):
    values = space.annotation.to_numpy()
    image = space.colour_slice("AP", 60)
    assert (image.dtype, image.shape) == ("uint8", (6, 5, 3))
    assert (image[values[2] == 312782] == [0x20, 0xFF, 0x10]).all()
    assert (image[values[2] == 0] == 0).all()
    assert np.array_equal(space.colour_slice(1, 0), space.colour_slice("dv", 24.9))
    mine = space.colour_slice("ML", 10, {2: (1, 2, 3), 0: "0A0B0C"})
    assert (mine[values[:, :, 0] == 2] == [1, 2, 3]).all()
    assert (mine[values[:, :, 0] == 0] == [10, 11, 12]).all()
    assert (mine[values[:, :, 0] == 4] == 170).all()
    for axis, place, colours, match in [
        ("XY", 0, None, "axes: AP"),
        (3, 0, None, "axes: AP"),
        (True, 0, None, "axes: AP"),
        ("AP", 200, None, "0 to 200 µm"),
        ("AP", -1, None, "outside"),
        ("AP", float("nan"), None, "outside"),
        ("AP", "middle", None, "outside"),
        ("AP", 0, {2: (1, 2)}, "no colour of 2"),
        ("AP", 0, {2: (1, 2, 256)}, "no colour of 2"),
        ("AP", 0, {2: "blue"}, "no colour of 2"),
    ]:
        with pytest.raises(UsageError, match=match):
            space.colour_slice(axis, place, colours)


def test_an_atlas_gives_its_reference_space(sample_url, tmp_path):
    atlas = oa.fetch("atlas:P56/gridAnnotation", to=tmp_path / "P56", source=sample_url)
    space = atlas.reference_space()
    assert np.array_equal(space.mask("TH"), atlas.mask("TH"))
    assert np.array_equal(atlas.mask("TH", parts=False), atlas.annotation() == 549)
    image = atlas.colour_slice("AP", 6000)
    assert image.shape == (41, 58, 3)
    assert np.array_equal(image, space.colour_slice(0, 6000))
    with pytest.raises(NotFoundError, match="annotation"):
        Atlas(tmp_path / "P56").colour_slice("AP", 0, resolution_um=10)


# --- ITK-SNAP -------------------------------------------------------------------------------------


def test_labels_for_itksnap(space, tmp_path):
    space.write_itksnap_labels(tmp_path / "labels.nrrd", tmp_path / "labels.txt")
    small = open_volume(tmp_path / "labels.nrrd")
    assert small.dtype == "uint16"
    lines = (tmp_path / "labels.txt").read_text().splitlines()
    named = {line.split('"')[1]: line.split() for line in lines}
    assert named["Ab"][1:7] == ["32", "255", "16", "1.0", "1", "1"]
    values = space.annotation.to_numpy()
    for structure in space.structures:
        number = int(named[structure.acronym][0])
        assert 0 < number < 7
        assert np.array_equal(small == number, values == structure.id)
    annotation, table = space.export_itksnap_labels("uint32", label_key="name")
    assert np.array_equal(annotation, values)
    assert table["IDX"].tolist() == [row["id"] for row in ROWS]
    for kind, match in [("float32", "whole numbers"), ("no type", "not a type"), (None, "whole numbers")]:  # fmt: skip
        with pytest.raises(UsageError, match=match):
            space.export_itksnap_labels(kind)
    strange = space_of(np.full((2, 2, 2), 77))
    with pytest.raises(UsageError, match="the ontology does not have"):
        strange.export_itksnap_labels()
    assert strange.unknown == {77: 8}


# --- written volumes ------------------------------------------------------------------------------

TYPES = ("uint8", "int16", "uint16", "uint32", "int32", "int64", "uint64", "float32", "float64", "bool")  # fmt: skip


@st.composite
def volumes(draw):
    kind = draw(st.sampled_from(TYPES))
    shape = draw(hnp.array_shapes(min_dims=3, max_dims=3, max_side=5))
    values = draw(hnp.arrays(kind, shape, elements=hnp.from_dtype(np.dtype(kind), allow_nan=False)))
    steps = draw(st.tuples(*[st.sampled_from([10.0, 16.752, 25.0, 39.0625, 200.0])] * 3))
    about = {"orientation": draw(st.sampled_from(["PIR", "PIL"]))}
    origin = draw(st.tuples(*[st.sampled_from([0.0, 12.5, -5000.0])] * 3))
    if any(origin):
        about["origin_um"] = list(origin)
    return label(values, steps, name="made", attrs=about)


@given(volume=volumes(), ending=st.sampled_from([".nrrd", ".nii", ".nii.gz"]))
@settings(max_examples=80, deadline=None)
def test_what_is_written_reads_back(volume, ending, tmp_path_factory):
    path = tmp_path_factory.mktemp("volumes") / f"made{ending}"
    write = write_nrrd if ending == ".nrrd" else write_nifti
    assert write(volume.transpose("ML", "AP", "DV"), path) == path
    back = open_volume(path)
    turned = oriented(volume)
    assert np.array_equal(back, turned)
    assert back.dtype == ("uint8" if volume.dtype == bool else volume.dtype)
    assert back.attrs["orientation"] == "PIR"
    assert np.allclose(back.attrs["spacing_um"], volume.attrs["spacing_um"], rtol=1e-5)
    origin = volume.attrs.get("origin_um", [0.0] * 3)
    if volume.attrs["orientation"] == "PIL":  # the first voxel is the last one, turned round
        last = origin[2] + (volume.sizes["ML"] - 1) * volume.attrs["spacing_um"][2]
        origin = [origin[0], origin[1], -last]
    assert np.allclose(back.attrs.get("origin_um", [0.0] * 3), origin, atol=0.01)


@pytest.mark.parametrize(("orientation", "axes"), [("PIR", ("P", "I", "R")), ("PIL", ("P", "I", "L"))])  # fmt: skip
def test_other_tools_read_the_same_orientation(orientation, axes, tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    values = np.arange(60, dtype="uint32").reshape(3, 4, 5)
    about = {"orientation": orientation, "origin_um": [100.0, 200.0, 300.0]}
    volume = label(values, (25, 50, 100), name="a", attrs=about)
    nifti = nibabel.load(write_nifti(volume, tmp_path / "a.nii.gz"))
    assert nibabel.aff2axcodes(nifti.affine) == axes
    assert np.array_equal(np.asanyarray(nifti.dataobj), values)
    right = 1 if orientation == "PIR" else -1
    assert np.allclose(nifti.affine @ [1, 1, 1, 1], [right * 0.4, -0.125, -0.25, 1])
    nrrd = sitk.ReadImage(str(write_nrrd(volume, tmp_path / "a.nrrd")))
    other = sitk.ReadImage(str(tmp_path / "a.nii.gz"))
    for image, um in ((nrrd, 1.0), (other, 1000.0)):
        assert np.array_equal(sitk.GetArrayFromImage(image).T, values)
        place = np.array(image.TransformIndexToPhysicalPoint((1, 1, 1))) * um
        assert np.allclose(place, [-right * 400, 125, -250])  # left, posterior, superior


@pytest.mark.parametrize("ending", [".nrrd", ".nii.gz"])
@pytest.mark.parametrize("part", [
    {"AP": slice(1, 3)},
    {"ML": slice(None, None, -1)},
    {"ML": slice(None, None, 2), "DV": slice(3, 0, -1)},
    {"DV": slice(2, 3)},
])  # fmt: skip
def test_a_part_is_written_where_it_lies(part, ending, tmp_path):
    """Cut or turned round, each voxel keeps its place: left does not become right."""
    sitk = pytest.importorskip("SimpleITK")
    values = np.arange(60, dtype="uint32").reshape(3, 4, 5)
    volume = label(values, (25, 50, 100), name="a", attrs={"origin_um": [100.0, 200.0, 300.0]})
    write, scale = (write_nrrd, 1.0) if ending == ".nrrd" else (write_nifti, 1000.0)
    whole = sitk.ReadImage(str(write(volume, tmp_path / f"whole{ending}")))
    found = sitk.ReadImage(str(write(volume.isel(part), tmp_path / f"part{ending}")))
    for at in (tuple(map(int, one)) for one in np.ndindex(*found.GetSize())):
        value = found.GetPixel(*at)
        before = tuple(int(n) for n in np.argwhere(values == value)[0])
        places = [
            np.array(image.TransformIndexToPhysicalPoint(where)) * scale
            for image, where in ((found, at), (whole, before))
        ]
        assert np.allclose(*places, atol=0.01)
    assert found.GetNumberOfPixels() == volume.isel(part).size


def test_voxels_of_several_sizes_are_no_file(tmp_path):
    volume = label(np.zeros((2, 4, 2)), (1, 1, 1), name="a", attrs={})
    for bad, match in [
        (volume.isel(DV=[0, 1, 3]), "not equally far apart along DV"),
        (volume.isel(DV=[1, 1]), "not equally far apart along DV"),
        (volume.assign_coords(AP=["a", "b"]), "along AP are numbers"),
    ]:
        with pytest.raises(UsageError, match=match):
            write_nrrd(bad, tmp_path / "a.nrrd")
    assert not list(tmp_path.iterdir())


def test_coarser_labels_stay_where_they_are():
    """Cut, turned round, or with an origin of its own: the same place has the same label."""
    values = np.zeros((8, 4, 4), "uint32")
    values[4:6, :2], values[6:] = 2, 4
    about = {"origin_um": [100.0, 200.0, 300.0], "orientation": "PIR"}
    volume = label(values, (25, 25, 25), name="annotation", attrs=about)
    structures = Structures.from_rows(ROWS)
    whole = ReferenceSpace(volume, structures).downsample(50).annotation
    assert whole.attrs["origin_um"] == [112.5, 212.5, 312.5]
    for part in ({"AP": slice(4, 8)}, {"AP": slice(None, None, -1)}, {"DV": slice(None, None, -1)}):
        made = ReferenceSpace(volume.isel(part), structures).downsample(50).annotation
        assert made["AP"].attrs == whole["AP"].attrs
        assert np.array_equal(made, whole.sel({axis: made[axis] for axis in made.dims}))
    ends = ReferenceSpace(volume, structures).downsample(50, "corners").annotation
    assert ends.attrs["origin_um"] == [100.0, 200.0, 300.0]


def test_sizes_are_along_ap_dv_ml_whatever_the_order_of_the_axes(space):
    for how in ("nearest", "majority", "corners"):
        expected = space.downsample((100, 50, 25), how).annotation
        turned = ReferenceSpace(space.annotation.transpose("ML", "AP", "DV"), space.structures)
        made = turned.downsample((100, 50, 25), how).annotation
        assert made.transpose(*expected.dims).identical(expected)


def test_what_cannot_be_written(tmp_path):
    volume = label(np.zeros((2, 2, 2)), (1, 1, 1), name="a", attrs={})
    for bad, match in [
        (volume.astype(complex), "these are complex"),
        (volume.astype(str), "these are <U"),
        (volume.isel(AP=0), "not a labelled volume"),
        (volume.assign_attrs(orientation="XYZ"), "no orientation"),
        (volume.assign_attrs(orientation="PPR"), "no orientation"),
        (volume.assign_attrs(origin_um=[0, float("inf"), 0]), "invalid origin"),
        (volume.assign_attrs(spacing_um=[1, 0, 1]), "invalid spacing"),
        (volume.expand_dims("data_set"), "one volume at a time"),
    ]:
        for write, name in ((write_nrrd, "a.nrrd"), (write_nifti, "a.nii")):
            with pytest.raises(UsageError, match=match):
                write(bad, tmp_path / name)
    with pytest.raises(UsageError, match=r"must end in \.nrrd"):
        write_nrrd(volume, tmp_path / "a.tif")
    with pytest.raises(UsageError, match=r"must end in \.nii"):
        write_nifti(volume, tmp_path / "a.nrrd")
    (tmp_path / "a.nrrd").mkdir()
    with pytest.raises(StoreError):
        write_nrrd(volume, tmp_path / "a.nrrd")
    with pytest.raises(UsageError, match="too many voxels"):
        to_nifti(np.zeros((40_000, 1, 1), np.uint8), (1, 1, 1))
    with pytest.raises(UsageError, match="three axes"):
        to_nrrd(np.zeros((0, 1, 1)), (1, 1, 1))
    assert not [p for p in tmp_path.iterdir() if p.is_file()]


# --- the real AllenSDK ----------------------------------------------------------------------------

SCRIPT = """
tree = StructureTree(StructureTree.clean_structures(told["rows"]))
answers = []
for values, um in told["volumes"]:
    values = np.array(values, np.uint32)
    space = ReferenceSpace(tree, values, [um] * 3)
    domain = np.isin(values, [1, 2]).astype(float)  # its subtraction wraps unsigned ones
    labels, table = space.export_itksnap_labels()
    found = {
        "direct": space.direct_voxel_map, "total": space.total_voxel_map,
        "mask": space.make_structure_mask([2, 5]),
        "only": space.make_structure_mask([2, 5], direct_only=True),
        "coverage": space.check_coverage([312782, 4], domain),
        "tiling": list(space.validate_structures([2, 4, 1], domain)),
        "slices": [[space.get_slice_image(axis, at * um) for at in range(size)]
                   for axis, size in enumerate(values.shape)],
        "labels": labels, "table": table.to_dict("list"),
        "coarser": [space.downsample([t * um] * 3).annotation for t in (2, 1.5, 3)],
        "axes": space.downsample([um, 2 * um, 3 * um]).annotation,
    }
    found["kept"] = [node["id"] for node in space.remove_unassigned(update_self=False)]
    answers.append(found)
"""
VOLUMES = [(ids_of(seed, shape), um) for seed, (shape, um) in enumerate([((8, 6, 5), 25.0), ((7, 9, 11), 10.0), ((3, 4, 5), 100.0)])]  # fmt: skip


@pytest.fixture(scope="module")
def answers():
    told = {"rows": ROWS, "volumes": [(values.tolist(), um) for values, um in VOLUMES]}
    return sdkoracle.theirs(SCRIPT, told)


@sdkoracle.with_allensdk
@pytest.mark.parametrize("number", range(len(VOLUMES)))
def test_the_same_as_allensdk(answers, number):
    (values, um), theirs = VOLUMES[number], answers[number]
    space = space_of(values, um)
    by_text = {key: {int(k): v for k, v in theirs[key].items()} for key in ("direct", "total")}
    assert space.direct_voxel_counts() == by_text["direct"]
    assert space.total_voxel_counts() == by_text["total"]
    assert np.array_equal(space.mask([2, 5]), theirs["mask"])
    assert np.array_equal(space.mask([2, 5], parts=False), theirs["only"])
    domain = np.isin(values, [1, 2])
    assert np.array_equal(space.check_coverage([312782, 4], domain), theirs["coverage"])
    overlaps, left = space.validate_structures([2, 4, 1], domain)
    assert sorted(overlaps) == theirs["tiling"][0]
    assert np.array_equal(left, theirs["tiling"][1])
    for axis, slices in enumerate(theirs["slices"]):
        for at, image in enumerate(slices):
            assert np.array_equal(space.colour_slice(axis, at * um, {**{s.id: s.color for s in space.structures}}), image)  # fmt: skip
    labels, table = space.export_itksnap_labels()
    assert np.array_equal(labels, theirs["labels"])
    assert table.to_dict("list") == theirs["table"]
    for times, coarse in zip((2, 1.5, 3), theirs["coarser"], strict=True):
        assert np.array_equal(space.downsample(times * um, "corners").annotation, coarse)
    assert np.array_equal(space.downsample([um, 2 * um, 3 * um], "corners").annotation, theirs["axes"])  # fmt: skip
    assert [s.id for s in space.remove_unassigned().structures] == theirs["kept"]


# --- the real volumes -----------------------------------------------------------------------------


def real(path: str) -> Path:
    if not (SHARED / path).exists():
        pytest.skip(f"{path} is not in {SHARED} (OPENALLEN_TEST_SHARED names another folder)")
    return SHARED / path


@pytest.mark.shared
def test_the_real_mask_is_written_as_it_was(tmp_path):
    mask = open_volume(real("atlas/structure_721.nrrd"))
    back = open_volume(write_nrrd(mask, tmp_path / "structure_721.nrrd"))
    assert np.array_equal(back, mask)
    assert back.attrs["structure_id"] == 721
    assert back.attrs["spacing_um"] == mask.attrs["spacing_um"] == [25.0] * 3
    template = open_volume(real("atlas/average_template_100.nii"))
    again = open_volume(write_nifti(template, tmp_path / "t.nii.gz"))
    assert np.array_equal(again, template)
    assert again.attrs == template.attrs


@pytest.mark.shared
def test_a_real_mask_is_no_connectivity_grid_and_real_volumes_keep_their_place():
    path = real("atlas/structure_721.nrrd")
    with pytest.raises(NotFoundError, match="not one of a connectivity grid"):
        ConnectivityGrid(path)
    assert isinstance(oa.open(path), xr.DataArray)
    for name in ("annotation_25.nii.gz", "average_template_100.nii"):
        volume = oa.open(real(f"atlas/{name}"))
        assert volume.attrs["orientation"] == "PIR"
        assert np.allclose(volume.attrs["origin_um"], [-5350, -5220, -5695], atol=0.01)
    labels = oa.open(real("grids/P56_Mouse_gridAnnotation.zip"))
    assert (labels.dtype, labels.shape, labels.attrs["units"]) == ("uint32", (67, 41, 58), "structure id")  # fmt: skip
    graph = Structures.from_graph(real("atlas/1_adult_mouse_brain_graph.json").read_bytes(), 1)
    space = ReferenceSpace(labels, graph)
    assert space.unknown == {}
    assert space.total_voxel_counts()[997] == int((labels > 0).sum())
    coarse = space.downsample(400, "majority").annotation
    assert coarse.shape == (34, 21, 29)
    assert set(np.unique(coarse)) <= set(np.unique(labels))


def test_a_frame_that_cannot_be_kept_is_refused_by_name(tmp_path):
    values = np.zeros((2, 3, 4), np.uint8)
    good = to_nrrd(values, (25, 25, 25))
    for old, new, match in [
        (b"um", b"pc", "not a unit of length"),
        (b"left-posterior-superior", b"scanner-xyz", "the space is not named"),
        (b"(0.0,25.0,0.0)", b"(25.0,25.0,0.0)", "oblique"),
        (b"(0.0,25.0,0.0)", b"(0.0,0.0,25.0)", "two axes point the same way"),
        (b"(0.0,25.0,0.0)", b"(0.0,0.0,0.0)", "no size"),
    ]:
        head, rest = good.split(b"\n\n", 1)
        changed = _with(head, old, new)
        (tmp_path / "bad.nrrd").write_bytes(changed + b"\n\n" + rest)
        with pytest.raises(IntegrityError, match=match):
            open_volume(tmp_path / "bad.nrrd")


def _with(head: bytes, old: bytes, new: bytes) -> bytes:
    """Change a header; how numbers are written there is pynrrd's own business."""
    plain = head.replace(b".0,", b",").replace(b".0)", b")")
    old, new = (part.replace(b".0,", b",").replace(b".0)", b")") for part in (old, new))
    assert old in plain
    return plain.replace(old, new)


@pytest.mark.parametrize("part", [
    {"AP": slice(4, 8)}, {"ML": slice(None, None, -1)},
    {"DV": slice(1, None), "AP": slice(6, 2, -1)},
])  # fmt: skip
def test_slices_and_middles_of_a_part_lie_where_its_coordinates_say(part):
    values = np.zeros((8, 4, 4), "uint32")
    values[4:6, 1:3, :3], values[6:, 1:, 2:] = 2, 4
    volume = label(values, (25, 50, 100), name="annotation", attrs={"orientation": "PIR"})
    structures = Structures.from_rows(ROWS)
    whole, cut = (ReferenceSpace(one, structures) for one in (volume, volume.isel(part)))
    inside = {"AP": 137.0, "DV": 60.0, "ML": 130.0}
    for axis, place_um in inside.items():
        shown = [
            space.annotation.transpose("AP", "DV", "ML").sel({axis: place_um}, method="nearest")
            for space in (whole, cut)
        ]
        assert np.array_equal(shown[0].sel({d: shown[1][d] for d in shown[1].dims}), shown[1])
        painted = cut.colour_slice(axis, place_um, {2: (2, 0, 0), 4: (4, 0, 0)})
        assert np.array_equal(painted[..., 0], shown[1])
    places = cut.annotation.where(cut.annotation == 4, drop=True)  # 4 has no parts
    expected = [float(places[axis].mean()) for axis in ("AP", "DV", "ML")]
    assert cut.centroid_um(4) == pytest.approx(expected)


def test_a_part_has_no_halves(space):
    first = space.annotation.isel(ML=slice(1, None))
    named = next(int(i) for i in np.unique(first) if i in space.structures)
    with pytest.raises(UsageError, match="halves"):
        ReferenceSpace(first, space.structures).centroid_um(named, "left")


# --- running numbers ------------------------------------------------------------------------------


def ontology(numbers) -> Structures:
    rows = [
        {"id": n, "acronym": f"a{n}", "name": f"area {n}", "structure_id_path": f"/{n}/",
         "color_hex_triplet": "FF0000", "graph_id": 1, "graph_order": n, "structure_sets": []}
        for n in numbers
    ]  # fmt: skip
    return Structures.from_rows(rows, 1)


@pytest.mark.parametrize(
    ("labels", "known", "refused"),
    [
        (range(60), range(1, 59), True),  # 59 is no structure: they are numbered, one by one
        (range(60), range(1, 60), False),  # an ontology of one's own
        (range(40), range(1, 39), False),  # too few to say
        ([*range(59), 70], range(1, 59), False),  # an id that is unknown, among others left out
        (range(0, 300, 3), range(1, 280), True),  # positions in an ontology, of which it has most
        ([*range(60), 614454277], range(1, 59), False),
    ],
)
def test_running_numbers_are_not_taken_for_ids(tmp_path, labels, known, refused):
    values = np.resize(np.array(labels, np.uint32), (9, 4, 3))
    volume = label(values, (25.0,) * 3, name="annotation", attrs={"orientation": "PIR"})
    known = ontology(known)
    for use in (
        lambda: ReferenceSpace(volume, known),
        lambda: ReferenceSpace(volume, known, Labels(volume)),
        lambda: Unionizer(volume, known, strict=False),
        lambda: mask_of(volume, Labels(volume), known, known.find(3)),
    ):
        if refused:
            with pytest.raises(UsageError, match="not ids of this ontology"):
                use()
        else:
            use()


@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.int16, np.uint32, np.int64, np.float32, bool]),
        hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=6),
    )
)
def test_labels_of_any_numbers_are_found_or_left_alone(values):
    found = few_ids(values)
    if values.dtype.kind == "b" or not values.size or not (values >= 0).all():
        assert not len(found)
    elif values.max() <= 65_535:
        assert found.tolist() == sorted(set(values.astype(np.int64).ravel().tolist()))
    else:
        assert not len(found)


@pytest.mark.shared
def test_the_real_annotation_that_was_numbered_is_known_by_its_labels():
    folder = SHARED / "atlas"
    if not (folder / "annotation_25.nii.gz").exists():
        pytest.skip(f"{folder} is not here (OPENALLEN_TEST_SHARED names another folder)")
    graph = Structures.from_graph((folder / "1_adult_mouse_brain_graph.json").read_bytes())
    numbered = oa.open(folder / "annotation_25.nii.gz")[::2, ::2, ::2]
    with pytest.raises(UsageError, match=r"not ids.*lacks 8\d of them: 5, 13, "):
        ReferenceSpace(numbered, graph)
    table = pd.read_csv(folder / "1_adult_mouse_brain_graph_mapping.csv")
    ids = np.zeros(table.parcellation_index.max() + 1, np.uint32)
    ids[table.parcellation_index] = table.id
    assert ReferenceSpace(numbered.copy(data=ids[numbered.to_numpy()]), graph).mask("VISp").any()


def test_a_folder_with_an_annotation_of_running_numbers_names_nothing(tmp_path):
    atlas = oa.fetch("atlas:P56/gridAnnotation", to=tmp_path / "atlas", source="sample")
    real = atlas.annotation().to_numpy()
    numbered = np.searchsorted(np.unique(real), real).astype(np.uint32)
    assert numbered.max() >= 50
    changed = atlas.annotation().copy(data=numbered)
    atlas._volumes[atlas.parts[0]] = changed
    at = tuple(int(n) for n in np.argwhere(numbered)[0])
    point = [float(changed[axis][n]) for axis, n in zip(changed.dims, at, strict=True)]
    assert int(atlas.ids_at(point)) == numbered[at]
    for ask in (atlas.structure_at, atlas.names_at, atlas.acronyms_at):
        with pytest.raises(UsageError, match="running numbers"):
            ask(point)
    with pytest.raises(UsageError, match="running numbers"):
        atlas.mask(997)
