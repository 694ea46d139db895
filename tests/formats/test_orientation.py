"""Axes and units of volumes, with SimpleITK and nibabel as second readers."""

from __future__ import annotations

import gzip
import itertools
from contextlib import suppress

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st

from openallen.errors import (
    CorruptError,
    IntegrityError,
    NotFoundError,
    OpenAllenError,
    StoreError,
    TruncatedError,
    UsageError,
)
from openallen.formats import metaimage, nifti, nrrd
from openallen.formats.orientation import Frame, arranged, unit_um
from openallen.formats.zips import Zip
from openallen.sources.atlases.volumes import open_volume

VALUES = np.arange(24, dtype="uint16").reshape(4, 3, 2)
TURNS = [
    np.array(signs)[:, None] * np.eye(3)[list(order)]
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]
"""Every way three axes can lie along those of the brain: rows are directions."""


def as_simpleitk_turns_it(path, values_dtype="uint16"):
    """Read a file with SimpleITK, and let it turn the axes to posterior, inferior, right."""
    turned = SimpleITK.DICOMOrient(SimpleITK.ReadImage(str(path)), "PIR")
    return SimpleITK.GetArrayFromImage(turned).T, turned.GetSpacing()


@pytest.mark.parametrize("ending", ["nrrd", "nhdr", "mha", "mhd", "nii", "nii.gz"])
def test_axes_and_spacing_are_those_simpleitk_finds(ending, tmp_path):
    path = tmp_path / f"x.{ending}"
    for turn in TURNS:
        image = SimpleITK.GetImageFromArray(VALUES.T)
        image.SetSpacing((0.025, 0.05, 0.1))
        image.SetDirection(turn.T.ravel().tolist())
        SimpleITK.WriteImage(image, str(path))
        expected, spacing_mm = as_simpleitk_turns_it(path)
        found = open_volume(path)
        assert found.dims == ("AP", "DV", "ML")
        plain = np.array_equal(turn, np.eye(3)) and not ending.startswith("nii")
        if plain:  # what ITK writes where nothing is known: taken as the institute's order
            assert "orientation" not in found.attrs
            expected, spacing_mm = VALUES, (0.025, 0.05, 0.1)
        else:
            assert found.attrs["orientation"] == "PIR"
        assert np.array_equal(found, expected)
        um = 1000 if ending.startswith("nii") else 1  # NRRD and MetaImage of ITK name no unit
        assert found.attrs["spacing_um"] == pytest.approx([s * um for s in spacing_mm], rel=1e-5)


def test_units_come_from_the_header(tmp_path):
    head = (
        "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\nspace dimension: 3\n"
        "space directions: (0.025,0,0) (0,0.05,0) (0,0,0.1)\nspace origin: (1,0,0)\n"
    )
    (tmp_path / "a.nrrd").write_bytes(head.encode() + b'space units: "mm" "mm" "mm"\n\n' + bytes(8))
    found = open_volume(tmp_path / "a.nrrd")
    assert found.attrs["spacing_um"] == [25, 50, 100]
    assert found["DV"].to_numpy().tolist() == [25, 75]
    assert found.attrs["origin_um"] == [1000, 0, 0]
    (tmp_path / "b.nrrd").write_bytes(head.encode() + b'space units: "s" "s" "s"\n\n' + bytes(8))
    with pytest.raises(CorruptError, match="unit of length"):
        open_volume(tmp_path / "b.nrrd")
    meta = "NDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\nElementSpacing = 0.025 0.05 0.1\n"
    for unit, expected in (("mm", [25, 50, 100]), ("um", [0.025, 0.05, 0.1]), ("?", [0.025, 0.05, 0.1])):  # fmt: skip
        text = f"{meta}DistanceUnits = {unit}\nElementDataFile = LOCAL\n"
        (tmp_path / "c.MHA").write_bytes(text.encode() + bytes(8))
        assert open_volume(tmp_path / "c.MHA").attrs["spacing_um"] == expected
    for unit, um in (("mm", 1000), ("micron", 1), ("meter", 1e6), ("unknown", 1000)):
        image = nibabel.Nifti1Image(VALUES, np.diag([0.5, 0.25, 2, 1]))
        image.header.set_xyzt_units(unit)
        nibabel.save(image, str(tmp_path / "d.nii"))
        found = open_volume(tmp_path / "d.nii")  # right, anterior, superior in the file
        assert found.attrs["spacing_um"] == [0.25 * um, 2 * um, 0.5 * um]
    with pytest.raises(CorruptError):
        unit_um("parsec")


def test_volumes_that_lie_obliquely_are_refused(tmp_path):
    image = SimpleITK.GetImageFromArray(VALUES.T)
    c, s = np.cos(0.3), np.sin(0.3)
    image.SetDirection([c, -s, 0, s, c, 0, 0, 0, 1])
    for name in ("x.nrrd", "x.mha", "x.nii.gz"):
        SimpleITK.WriteImage(image, str(tmp_path / name))
        with pytest.raises(CorruptError, match="oblique volumes"):
            open_volume(tmp_path / name)
    with pytest.raises(CorruptError, match="same way"):
        arranged(VALUES, Frame(spacing_um=(1, 1, 1), directions=((1, 0, 0), (1, 0, 0), (0, 0, 1))))
    with pytest.raises(CorruptError, match="three axes"):
        arranged(VALUES[0], Frame(spacing_um=(1, 1)))


def test_the_origin_is_that_of_the_first_voxel_once_turned(tmp_path):
    image = nibabel.Nifti1Image(VALUES, [[0.1, 0, 0, -1], [0, 0.2, 0, 3], [0, 0, 0.3, 5], [0, 0, 0, 1]])  # fmt: skip
    image.header.set_xyzt_units("mm")
    nibabel.save(image, str(tmp_path / "x.nii"))
    # Anterior runs 3, 3.2, 3.4 mm: the most anterior voxel comes first, at -3.4 mm of posterior.
    found = open_volume(tmp_path / "x.nii")
    assert found.shape == (3, 2, 4)
    assert found.attrs["origin_um"] == pytest.approx([-3400, -5300, -1000], rel=1e-6)
    assert np.array_equal(found, VALUES.transpose(1, 2, 0)[::-1, ::-1])


def test_a_nifti_that_does_not_say_where_it_points_stays_in_its_order(tmp_path):
    image = nibabel.Nifti1Image(VALUES, None)
    image.header.set_zooms((25, 50, 100))
    image.header.set_xyzt_units("micron")
    nibabel.save(image, str(tmp_path / "x.nii.gz"))
    found = open_volume(tmp_path / "x.nii.gz")
    assert "orientation" not in found.attrs
    assert found.attrs["spacing_um"] == [25, 50, 100]
    assert np.array_equal(found, VALUES)


@pytest.mark.parametrize("kind", ["uint8", "int16", "uint32", "int64", "float32", "float64"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("version", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_nifti_of_any_type_is_what_nibabel_reads(kind, big, version):
    values = (np.random.default_rng(2).random((4, 3, 2)) * 100).astype(kind)
    header = version.header_class(endianness=">" if big else "<")
    image = version(values, np.eye(4), header, dtype=kind)
    for data in (image.to_bytes(), gzip.compress(image.to_bytes())):
        head, found = nifti.read_nifti(data)
        assert (found.dtype, found.shape) == (kind, (4, 3, 2))
        assert np.array_equal(found, values)
        assert head.frame.spacing_um == (1000, 1000, 1000)


def test_scaled_values_are_scaled_and_ids_stay_exact():
    image = nibabel.Nifti1Image(VALUES, np.eye(4))
    image.header.set_slope_inter(0.5, 10)
    raw = bytearray(image.to_bytes())
    raw[112:120] = np.array([0.5, 10], "<f4").tobytes()  # nibabel writes its own
    assert np.array_equal(nifti.read_nifti(bytes(raw))[1], VALUES * 0.5 + 10)
    small = nibabel.Nifti1Image(np.float32([16777216, 0.1]).reshape(2, 1, 1), np.eye(4))
    raw = bytearray(small.to_bytes())
    raw[112:120] = np.array([1, 1], "<f4").tobytes()
    read = nifti.read_nifti(bytes(raw))[1]
    assert read.dtype == "float64"
    assert read.reshape(-1).tolist() == [16777217, float(np.float32(0.1)) + 1]
    ids = np.array([385, 614454277, 2**31 + 5], "uint32").reshape(3, 1, 1)
    assert np.array_equal(nifti.read_nifti(nibabel.Nifti1Image(ids, np.eye(4)).to_bytes())[1], ids)


PLAIN = nibabel.Nifti1Image(VALUES, np.eye(4)).to_bytes()


def field(at: int, kind: str, *values: float) -> bytes:
    """Write other values into a field of the header."""
    body = np.array(values, kind).tobytes()
    return PLAIN[:at] + body + PLAIN[at + len(body) :]


HOSTILE = {
    "nothing": (b"", TruncatedError, "truncated header"),
    "a page": (b"<html>" + bytes(400), CorruptError, "not a NIfTI"),
    "a cut header": (PLAIN[:300], TruncatedError, "truncated header"),
    "cut data": (PLAIN[:-1], TruncatedError, "too few"),
    "more data": (PLAIN + b"x", CorruptError, "too many"),
    "cut gzip": (gzip.compress(PLAIN)[:-12], IntegrityError, "truncated data"),
    "more data in gzip": (gzip.compress(PLAIN + bytes(1 << 20)), CorruptError, "too many"),
    "a pair of files": (field(344, "S4", b"ni1"), CorruptError, "another file"),
    "no axes": (field(40, "<i2", 0), CorruptError, "invalid sizes"),
    "nine axes": (field(40, "<i2", 9), CorruptError, "no sense|offset 0"),
    "a size below zero": (field(42, "<i2", -4), CorruptError, "invalid sizes"),
    "petabytes": (field(40, "<i2", 3, 32767, 32767, 32767), CorruptError, "too large"),
    "colours": (field(70, "<i2", 128), CorruptError, "type"),
    "complex": (field(70, "<i2", 32), CorruptError, "type"),
    "an unknown type": (field(70, "<i2", 7777), CorruptError, "invalid NIfTI header"),
    "an offset into the header": (field(108, "<f4", 10), CorruptError, "offset"),
    "an offset beyond": (field(108, "<f4", 1e18), CorruptError, "offset"),
    "an offset that is not a number": (
        field(108, "<f4", np.nan),
        CorruptError,
        "invalid NIfTI header|without a direction",
    ),
    "an affine of NaN": (field(280, "<f4", np.nan), CorruptError, "affine"),
    "an affine of zeros": (
        field(280, "<f4", *[0] * 12),
        CorruptError,
        "invalid NIfTI header|without a direction",
    ),
    "a scale of NaN": (field(112, "<f4", 2, np.nan), CorruptError, "invalid scale"),
    "an unknown unit": (field(123, "u1", 7), CorruptError, "unit"),
}


@pytest.mark.parametrize(("data", "kind", "message"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_nifti_is_refused_by_name(data, kind, message, tmp_path):
    (tmp_path / "x.nii").write_bytes(data)
    with pytest.raises(kind, match=message) as caught:
        open_volume(tmp_path / "x.nii")
    assert str(tmp_path / "x.nii") in str(caught.value)


def test_suffixes_in_any_case_and_names_that_are_no_volume(tmp_path):
    for name in ("A.NII", "b.Nii.Gz"):
        data = PLAIN if name == "A.NII" else gzip.compress(PLAIN)
        (tmp_path / name).write_bytes(data)
        assert open_volume(str(tmp_path / name)).name == name[0]
    (tmp_path / "x.txt").write_text("x")
    with pytest.raises(UsageError, match=r"\.nii\.gz"):
        open_volume(tmp_path / "x.txt")
    with pytest.raises(NotFoundError):
        open_volume(tmp_path / "none.nii")
    (tmp_path / "folder.nrrd").mkdir()
    with pytest.raises(StoreError):
        open_volume(tmp_path / "folder.nrrd")


# --- damaged bytes --------------------------------------------------------------------------------

NRRD = (
    b"NRRD0004\ntype: unsigned short\ndimension: 3\nspace: right-anterior-superior\nsizes: 4 3 2\n"
    b"space directions: (0,-25,0) (0,0,-25) (25,0,0)\nkinds: domain domain domain\nendian: little\n"
    b'encoding: raw\nspace origin: (0,1,2)\nspace units: "mm" "mm" "mm"\n\n'
) + VALUES.tobytes()
META = (
    b"ObjectType = Image\nNDims = 3\nBinaryDataByteOrderMSB = False\nOffset = 1 2 3\n"
    b"TransformMatrix = 0 1 0 1 0 0 0 0 1\nDistanceUnits = mm\nElementSpacing = 2 2 2\n"
    b"DimSize = 4 3 2\nElementType = MET_USHORT\nElementDataFile = LOCAL\n"
) + VALUES.tobytes()
PIECES = st.one_of(
    st.binary(max_size=4),
    st.sampled_from([b"9" * 5000, b"-1", b"nan", b"1e999", b"none", b"(", b"\n", b" ", b"\xb3"]),
)


def read_nrrd_frame(data: bytes) -> np.ndarray:
    header, values = nrrd.read_nrrd(data)
    return arranged(values, nrrd.frame_of(header))[0]


def read_meta_frame(data: bytes) -> np.ndarray:
    header, values = metaimage.read_metaimage(data)
    return arranged(values.T, metaimage.frame_of(header))[0]


def read_nifti_frame(data: bytes) -> np.ndarray:
    header, values = nifti.read_nifti(data)
    return arranged(values, header.frame)[0]


@settings(max_examples=150)
@given(st.sampled_from([(read_nrrd_frame, NRRD), (read_meta_frame, META), (read_nifti_frame, PLAIN)]), st.data())  # fmt: skip
def test_damaged_headers_raise_our_errors_or_nothing(case, data):
    read, body = case
    spoilt = bytearray(body)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(len(spoilt), 400)))
        spoilt[at : at + data.draw(st.integers(0, 4))] = data.draw(PIECES)
    with suppress(OpenAllenError):
        assert read(bytes(spoilt)).ndim == 3


@settings(max_examples=150)
@given(st.data())
def test_damaged_zips_raise_our_errors_or_nothing(data):
    import io
    import zipfile

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a.mhd", META)
        made.writestr("folder/b.raw", b"x" * 300)
    spoilt = bytearray(packed.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(spoilt) - 1))
        spoilt[at : at + 1] = data.draw(st.binary(max_size=2))
    with suppress(OpenAllenError), Zip(bytes(spoilt)) as found:
        for name in found.names:
            found.read(name)


def test_an_encrypted_member_and_an_unknown_method_are_named():
    import io
    import zipfile

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as made:
        made.writestr("a.mhd", b"x")
    body = bytearray(packed.getvalue())
    local, central = body.index(b"PK\x03\x04"), body.index(b"PK\x01\x02")
    encrypted, method = bytearray(body), bytearray(body)
    encrypted[local + 6] |= 1
    encrypted[central + 8] |= 1
    method[local + 8], method[central + 10] = 99, 99
    for spoilt in (encrypted, method):
        with pytest.raises(CorruptError, match="damaged"), Zip(bytes(spoilt)) as found:
            found.read("a.mhd")
