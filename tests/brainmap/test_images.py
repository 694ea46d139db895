from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openallen.address import Address
from openallen.brainmap.files import (
    MARKER_TYPE,
    MORPHOLOGY_THUMBNAIL_TYPE,
    RECONSTRUCTION_TYPE,
    WellKnownFile,
    of_type,
)
from openallen.brainmap.images import DrawingRequest, ImageRequest, tier_size_px
from openallen.errors import AnswerError, UsageError

BASE = "http://api.brain-map.org"

# Request URLs recorded in public code and documentation.
RECORDED = [
    "/api/v2/atlas_image_download/100883869?downsample=4&quality=50",
    "/api/v2/image_download/102146167?range=0,923,0,987,0,4095&downsample=4",
    "/api/v2/image_download/100960033?top=0&left=0&width=1000&height=1000&downsample=3",
    "/api/v2/image_download/69750516?downsample=4&view=expression",
    "/api/v2/image_download/70679088",
    "/api/v2/projection_image_download/126862583?downsample=4&projection=true",
    "/api/v2/section_image_download/126862575?downsample=6&downsample_dimensions=false",
    "/api/v2/section_image_download/126862575?downsample=6&tumor_feature_annotation=false",
    "/api/v2/section_image_download/126862575?downsample=6&tumor_feature_boundary=true",
    "/api/v2/section_image_download/126862575?range=0,932,0,1279,0,4095&left=19045&top=11684&width=1000&height=1000",
    "/api/v2/section_image_download/70636013?downsample=4&colormap=0.5,0.9,0,256,4&view=expression",
    "/api/v2/section_image_download/70636013?downsample=4&colormap=expression&view=expression",
    "/api/v2/section_image_download/70636013?downsample=4&contrast=0.5,1&view=expression",
    "/api/v2/section_image_download/70636013?downsample=4&rgb=0.25,0.5,1&view=expression",
]


@pytest.mark.parametrize("path", RECORDED)
def test_recorded_requests_are_read_and_asked_again(path):
    address = Address.parse(BASE + path)
    request = ImageRequest.from_address(Address.parse(str(address)))
    asked = request.url(BASE)
    assert asked.partition("?")[0] == BASE + path.partition("?")[0]
    assert set(re.split("[?&]", asked)[1:]) == set(re.split("[?&]", path)[1:])


def test_options_come_in_the_documented_order():
    request = ImageRequest(
        image_id=1, service="section_image", top_px=3, view="projection", downsample=2, quality=7,
        intensity_range=(0, 1, 2, 3, 4, 4095), expression=True,
    )  # fmt: skip
    assert request.url(BASE) == (
        f"{BASE}/api/v2/section_image_download/1?downsample=2&quality=7&expression=true"
        "&range=0,1,2,3,4,4095&view=projection&top=3"
    )


@pytest.mark.parametrize(
    "options",
    [
        {"downsample": -1}, {"quality": 101}, {"width_px": 0}, {"rgb": (0.0, 0.0, 1.5)},
        {"intensity_range": (0, 0, 0, 0, 0, 4096)}, {"colormap": "viridis"}, {"view": "front"},
        {"service": "movie"},
    ],
)  # fmt: skip
def test_values_the_service_does_not_know_are_refused(options):
    with pytest.raises(UsageError):
        ImageRequest(image_id=1, **options)


@pytest.mark.parametrize(
    "text",
    [
        "image:1?downsample=x", "image:1?zoom=2", "image:1?downsample__gt=2", "image:1?range=1,2",
        "image:1?expression=maybe", "image:1?rgb=a,b,c", "image:",
    ],
)  # fmt: skip
def test_addresses_that_make_no_request_are_refused(text):
    with pytest.raises(UsageError):
        ImageRequest.from_address(Address.parse(text))


@given(st.integers(1, 200_000), st.integers(1, 200_000), st.integers(0, 12))
def test_tiers_halve_and_never_vanish(width, height, downsample):
    w, h = tier_size_px(width, height, downsample)
    assert w >= 1
    assert h >= 1
    assert abs(w - width / 2**downsample) < 1
    assert abs(h - height / 2**downsample) < 1


def test_a_plane_of_the_first_seed_at_an_eighth():
    assert tier_size_px(5760, 7568, 3) == (720, 946)


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("/api/v2/svg/100960033", "/api/v2/svg/100960033"),
        ("/api/v2/svg/100960033?groups=28", "/api/v2/svg/100960033?groups=28"),
        ("/api/v2/svg_download/21889", "/api/v2/svg/21889"),
        ("/api/v2/svg/21889?groups=1,2&downsample=3", "/api/v2/svg/21889?groups=1,2&downsample=3"),
    ],
)
def test_web_addresses_of_drawings_are_read_and_asked_again(url, canonical):
    address = Address.parse(BASE + url)
    assert address.scheme == "image"
    assert DrawingRequest.from_address(Address.parse(str(address))).url(BASE) == BASE + canonical


@pytest.mark.parametrize("wrong", ["quality=50", "groups=a", "downsample=99", "groups__gt=5"])
def test_drawings_know_groups_and_downsampling_alone(wrong):
    with pytest.raises(UsageError):
        DrawingRequest.from_address(Address.parse(f"image:21889?service=svg&{wrong}"))


# The three files of one reconstruction, as the service told them.
ROWS = [
    (492413274, 303941301, "Scnn1a-Tg3-Cre_Ai14-172530.06.01.01_492413272_m.swc"),
    (496604572, 486753749, "Scnn1a-Tg3-Cre_Ai14-172530.06.01.01_492413272_marker_m.swc"),
    (487660934, 480715721, "morphology_summary_492413272.png"),
]


def test_files_are_told_apart_by_type_though_two_end_in_swc():
    files = [
        WellKnownFile.from_row(
            {"id": i, "well_known_file_type_id": t, "path": f"/external/x/{name}"}
        )
        for i, t, name in ROWS
    ]
    kinds = (RECONSTRUCTION_TYPE, MARKER_TYPE, MORPHOLOGY_THUMBNAIL_TYPE)
    assert [[f.id for f in of_type(files, kind)] for kind in kinds] == [
        [492413274], [496604572], [487660934],
    ]  # fmt: skip
    assert files[0].url(BASE) == f"{BASE}/api/v2/well_known_file_download/492413274"


def test_files_are_told_apart_by_the_name_of_a_nested_type():
    row = {"id": 5, "well_known_file_type": {"name": "3DNeuronMarker"}}
    assert WellKnownFile.from_row(row).is_a(MARKER_TYPE)
    assert not WellKnownFile.from_row(row).is_a(RECONSTRUCTION_TYPE)


def test_a_file_without_an_id_is_no_file():
    with pytest.raises(AnswerError):
        WellKnownFile.from_row({"path": "/x"})
