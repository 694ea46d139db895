"""Grids, centroids and deformation fields of made-up experiments."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tracing import BARE, FIELD_SHAPE, PLAIN, THALAMUS, field, volumes, write_field

import openallen as oa
from openallen.errors import CorruptError, NotFoundError, TruncatedError, UsageError
from openallen.sources.connectivity.deformation import read_field
from openallen.sources.connectivity.experiment import centroid


def test_grids_are_those_of_their_own_source(traced):
    one = traced.experiment(PLAIN)
    for kind, want in volumes().items():
        found = one.grid(kind, 100)
        assert found.dims == ("AP", "DV", "ML")
        assert (found.to_numpy() == want).all()
    with pytest.raises(UsageError, match="no_such"):
        one.grid("no_such", 100)
    with pytest.raises(NotFoundError):
        one.grid("projection_energy", 100)
    assert (traced.get_data_mask(PLAIN, 100).to_numpy() == volumes()["data_mask"]).all()


def test_an_experiment_without_grids_says_so_and_the_rest_works(traced):
    bare = traced.experiment(BARE)
    with pytest.raises(NotFoundError, match=str(BARE)):
        bare.grid(resolution_um=100)
    assert bare.facts["structure_abbrev"] == "VISp"


def test_a_centroid_is_weighted_by_density(traced):
    density, fraction = volumes()["injection_density"], volumes()["injection_fraction"]
    weights = (density * fraction).astype(float)
    places = np.indices(weights.shape)
    want = [(places[axis] * weights).sum() / weights.sum() * 100 for axis in range(3)]
    assert np.allclose(traced.experiment(PLAIN).injection_centroid(100), want, rtol=1e-6)


def test_no_injection_has_no_centroid(traced):
    with pytest.raises(NotFoundError, match="no injection in its grids"):
        traced.experiment(THALAMUS).injection_centroid(100)


def test_voxels_without_data_do_not_count():
    fraction, density = np.zeros((3, 3, 3), "float32"), np.ones((3, 3, 3), "float32")
    fraction[1, 2, 0], fraction[0, 0, 0], fraction[2, 2, 2] = 0.5, np.nan, 0.5
    density[2, 2, 2] = np.nan
    assert centroid(density, fraction, 25).tolist() == [25, 50, 0]
    assert centroid(np.full_like(density, np.nan), fraction, 25) is None
    with pytest.raises(UsageError, match="different grids"):
        centroid(density, fraction[:2], 25)


@given(st.tuples(*[st.integers(0, 3)] * 3), st.floats(0.1, 1), st.sampled_from([10, 25, 100]))
def test_the_centroid_of_one_voxel_is_its_place(at, value, size):
    fraction = np.zeros((4, 4, 4), "float32")
    fraction[at] = value
    found = centroid(np.ones_like(fraction), fraction, size)
    assert found is not None
    assert np.allclose(found, np.array(at) * size, rtol=1e-6)


def test_masks_are_those_of_the_atlas(sample_url, monkeypatch):
    monkeypatch.setenv("OPENALLEN_SOURCE", sample_url)
    every = oa.open("connectivity:")
    mask = every.structure_mask("VISp", 100)
    assert mask.dims == ("AP", "DV", "ML")
    assert mask.equals(oa.open("atlas:ccf-2017/mask/385/100"))
    with pytest.raises(NotFoundError, match="VISX"):
        every.structure_mask("VISX", 100)
    with pytest.raises(oa.OpenAllenError, match="mesh/385"):  # the sample has none
        every.structure_mesh(385)


# --- deformation fields ---------------------------------------------------------------------------


def test_a_deformation_field_is_fetched_once(traced, monkeypatch):
    found = traced.experiment(PLAIN).deformation_field
    assert found.dims == ("AP", "DV", "ML", "component")
    assert found.shape == (*FIELD_SHAPE, 3)
    assert (found.to_numpy() == field()).all()
    assert found["component"].values.tolist() == ["AP", "DV", "ML"]
    assert found["DV"].values.tolist() == [12.5, 37.5, 62.5]
    assert found.attrs["units"] == "µm"
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    again = traced.experiment(PLAIN).deformation_field
    assert again.equals(found)


def test_an_experiment_without_a_field_says_so(traced):
    with pytest.raises(NotFoundError, match="DeformationFieldHeader"):
        traced.experiment(THALAMUS).deformation_field  # noqa: B018
    with pytest.raises(NotFoundError, match="no alignment"):
        traced.experiment(THALAMUS).affine()
    with pytest.raises(UsageError, match="trv or tvr"):
        traced.experiment(PLAIN).affine("rtv")


@pytest.fixture
def pair(tmp_path):
    return tmp_path / "field.mhd", tmp_path / "field.raw"


def test_a_field_in_mm_becomes_um(pair):
    write_field(*pair, ElementSpacing="0.025 0.025 0.025", DistanceUnits="mm")
    found = read_field(*pair, {})
    assert np.allclose(found.to_numpy(), field() * 1000)
    assert np.allclose(found["AP"].values, [12.5, 37.5, 62.5, 87.5])


def test_a_packed_field_is_the_same(pair):
    write_field(*pair, CompressedData="True")
    pair[1].write_bytes(zlib.compress(pair[1].read_bytes()))
    assert (read_field(*pair, {}).to_numpy() == field()).all()


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"ElementNumberOfChannels": "1"}, "not a field of vectors"),
        ({"NDims": "2", "DimSize": "4 3", "ElementSpacing": "25 25"}, "not a field of vectors"),
        ({"DimSize": "9 9 9"}, "too few bytes"),
        ({"DimSize": "1 1 1"}, "too many bytes"),
        ({"DimSize": "99999 99999 99999"}, "too large"),
        ({"ElementType": "MET_OTHER"}, "ElementType"),
        ({"ElementSpacing": "0 25 25"}, "no size"),
        ({"CompressedData": "True"}, "field.mhd"),
    ],
)
def test_fields_that_make_no_sense(pair, keys, told):
    write_field(*pair, **keys)
    with pytest.raises((CorruptError, TruncatedError), match=told):
        read_field(*pair, {})


def test_a_truncated_field_is_an_error(pair):
    write_field(*pair)
    pair[1].write_bytes(pair[1].read_bytes()[:-4])
    with pytest.raises(TruncatedError, match="too few bytes"):
        read_field(*pair, {})
    pair[1].unlink()
    with pytest.raises(NotFoundError, match="cannot be read"):
        read_field(*pair, {})
