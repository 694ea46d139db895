from __future__ import annotations

import io
import pickle
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from openallen.errors import CorruptError, IntegrityError, TruncatedError
from openallen.formats import jpeg
from openallen.formats.jpeg import JpegCheck, decode, decode_into, inspect
from openallen.formats.png import PngCheck, inspect_png


def picture(width: int = 97, height: int = 61, *, mode: str = "RGB", **options) -> bytes:
    rng = np.random.default_rng(width * height)
    shape = (height, width, 3) if mode == "RGB" else (height, width)
    image = Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))
    file = io.BytesIO()
    image.save(file, "JPEG", **({"quality": 80} | options))
    return file.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"optimize": True}]
)
def test_whole_pictures_are_whole(mode, options):
    facts = inspect(picture(mode=mode, **options))
    assert (facts.width_px, facts.height_px) == (97, 61)
    assert facts.components == (3 if mode == "RGB" else 1)
    assert facts.progressive == options.get("progressive", False)


@settings(max_examples=60, deadline=None)
@given(st.floats(0.001, 0.999), st.booleans())
def test_a_picture_cut_anywhere_is_cut_off(share, progressive):
    data = picture(progressive=progressive)
    with pytest.raises(IntegrityError):
        inspect(data[: max(1, int(len(data) * share))])


def test_a_cut_in_the_coded_data_is_named_a_cut():
    data = picture()
    with pytest.raises(TruncatedError, match="truncated picture"):
        inspect(data[:-500])
    with pytest.raises(TruncatedError):
        inspect(data[:-2])


@given(st.binary(max_size=300))
def test_noise_is_no_jpeg(data):
    with pytest.raises(IntegrityError):
        inspect(data)


@given(st.binary(max_size=300))
def test_noise_behind_a_start_marker_is_no_jpeg(data):
    with pytest.raises(IntegrityError):
        inspect(b"\xff\xd8" + data)


def test_padding_behind_the_end_is_fine_and_a_second_picture_is_not():
    data = picture()
    assert inspect(data + b"\x00\x00\r\n").width_px == 97
    with pytest.raises(CorruptError, match="after the end"):
        inspect(data + data)


@pytest.mark.parametrize("behind", [b"", b"\n<html>", b"\xff\xd8\xff\xe0"])
def test_much_padding_behind_the_end_is_an_answer_that_did_not_end(behind):
    data = picture()
    assert inspect(data + bytes(4096)).width_px == 97
    with pytest.raises(CorruptError, match="after the end"):
        inspect(data + bytes(4097) + behind)


def write(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    return path


def test_the_check_tells_the_size_and_holds_to_the_one_expected(tmp_path):
    path = write(tmp_path, picture())
    assert JpegCheck()(path) == {"width_px": 97, "height_px": 61}
    assert JpegCheck(96, 61, tolerance_px=1)(path)["width_px"] == 97
    with pytest.raises(CorruptError, match="97 x 61 pixels, not 90 x 61"):
        JpegCheck(90, 61, tolerance_px=1)(path)


def test_an_empty_file_is_no_picture(tmp_path):
    with pytest.raises(TruncatedError):
        JpegCheck()(write(tmp_path, b""))


def test_a_hole_of_zeros_in_the_coded_data_is_found_by_decoding(tmp_path):
    data = bytearray(picture(400, 300, restart_marker_rows=1))
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    with pytest.raises(CorruptError):
        JpegCheck(400, 300)(write(tmp_path, bytes(data)))


def test_overwritten_stretches_are_nearly_always_found(tmp_path):
    data = picture(400, 300)
    noise = random.Random(3)
    found = 0
    for _ in range(40):
        broken = bytearray(data)
        at = noise.randrange(2000, len(data) - 600)
        broken[at : at + 512] = noise.randbytes(512)
        try:
            JpegCheck(400, 300)(write(tmp_path, bytes(broken)))
        except IntegrityError:
            found += 1
    assert found >= 38


def test_checks_travel_between_processes():
    assert pickle.loads(pickle.dumps(JpegCheck(1, 2))) == JpegCheck(1, 2)


def test_decoding_gives_the_pixels_pillow_gives():
    data = picture()
    ours = decode(data)
    theirs = np.asarray(Image.open(io.BytesIO(data)))
    assert ours.shape == (61, 97, 3)
    assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 3
    assert decode(data, gray=True).shape == (61, 97)
    assert decode(picture(mode="L")).shape == (61, 97)


def test_decoding_what_is_cut_is_an_error():
    with pytest.raises(IntegrityError):
        decode(picture()[:-800])


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (7, 5), "red").save(file, "PNG")
    return file.getvalue()


def test_png_is_walked_to_its_end(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png())
    assert PngCheck()(path) == {"width_px": 7, "height_px": 5}


@given(st.integers(0, 200), st.integers(0, 7))
def test_every_flipped_bit_of_a_png_is_found(at, bit):
    data = bytearray(png())
    data[at % len(data)] ^= 1 << bit
    with pytest.raises(IntegrityError):
        inspect_png(bytes(data))


def test_png_cut_anywhere_is_cut_off():
    data = png()
    for end in range(8, len(data)):
        with pytest.raises(TruncatedError):
            inspect_png(data[:end])


@given(
    st.lists(st.sampled_from([0, 1, 0xFF, 0xD0, 0xD7, 0xD8, 0xD9]), max_size=40),
    st.integers(0, 5),
    st.integers(1, 9),
)
def test_markers_are_found_in_blocks_where_a_pattern_finds_them(codes, start, block):
    data = bytes(codes)
    found = jpeg._MARKER_IN_SCAN.search(data, start)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jpeg, "_SEARCHED_BYTES", block)
        assert jpeg._marker_in_scan(data, start) == (found.start() if found else None)


def test_decoding_into_memory_that_is_there():
    data = picture()
    memory = np.empty(decode(data).size + 7, np.uint8)
    for gray in (False, True):
        pixels = decode_into(data, memory, gray=gray)
        assert np.shares_memory(pixels, memory)
        assert (pixels == decode(data, gray=gray)).all()
    with pytest.raises(CorruptError):
        decode_into(data, memory[:100], gray=True)
    assert decode_into(picture(mode="L"), memory, gray=False).shape[-1] == 3
