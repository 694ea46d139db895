from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openallen.address import OPERATORS, SCHEMES, Address, Condition
from openallen.errors import AddressError

PRINTED = [
    "rma:ProjectionImage?specimen_id=313862022",
    "stack:313862022",
    "stack:",
    "image:321549654?downsample=3",
    "file:491120155",
    "grid:69855739?include=energy,density",
    "atlas:ccf-2017/annotation/25",
    "structures:1",
    "release:visual-behavior-ophys@1.0.1/ophys_experiment/951980471",
    "release:visual-behavior-ophys/behavior_session_table",
    "asset:ecephys_625749_2022-08-03_15-15-06_nwb_2023-05-16_16-34-55/ecephys/*",
    "recording:aind-np2/612962_2022-04-13_19-18-04_ProbeB",
]


@pytest.mark.parametrize("text", PRINTED)
def test_addresses_of_the_design_print_as_they_are_written(text):
    assert str(Address.parse(text)) == text
    assert Address.parse(Address.parse(text)) == Address.parse(text)


def test_examples_in_the_scheme_table_work():
    for name, scheme in SCHEMES.items():
        assert Address.parse(scheme.example()).scheme == name


names = st.text(min_size=1, max_size=20)
fields = st.from_regex(r"[A-Za-z_][\w.-]{0,15}", fullmatch=True)
plain_ops = st.sampled_from([op for op in OPERATORS if op not in {"in", "exists"}])
conditions = st.one_of(
    st.builds(Condition, fields, plain_ops, names),
    st.builds(Condition, fields, st.just("in"), st.lists(names, min_size=1, max_size=4).map(tuple)),
    st.builds(Condition, fields.filter(lambda f: not f.endswith("__exists")), st.just("exists")),
)
parts = names.filter(lambda t: t not in {".", ".."})
texts = st.builds(
    Address,
    st.sampled_from([name for name, s in SCHEMES.items() if not s.numeric]),
    names,
    st.one_of(st.just(""), names),
    st.lists(parts, max_size=3).map(tuple),
    st.lists(conditions, max_size=4).map(tuple),
)


@given(texts)
def test_every_address_reads_back_as_an_equal_one(address):
    assert Address.parse(str(address)) == address
    assert pickle.loads(pickle.dumps(address)) == address


@given(texts)
def test_no_address_needs_a_dollar_or_holds_a_blank(address):
    text = str(address)
    assert not any(c.isspace() for c in text)
    assert "#" not in text


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("specimen_id=313862022", Condition("specimen_id", "eq", "313862022")),
        ("imaging_depth<200", Condition("imaging_depth", "lt", "200")),
        ("date>=2022-04-01", Condition("date", "ge", "2022-04-01")),
        ("id__gt=5", Condition("id", "gt", "5")),
        ("a!=b", Condition("a", "ne", "b")),
        ("name__ilike=*Vis*", Condition("name", "ilike", "*Vis*")),
        ("id__in=1,2,3", Condition("id", "in", ("1", "2", "3"))),
        ("specimen__id=5", Condition("specimen__id", "eq", "5")),
        ("nr__reconstruction_type", Condition("nr__reconstruction_type", "exists")),
        ("si__path__exists", Condition("si__path", "exists")),
        ("a=b=c", Condition("a", "eq", "b=c")),
        ("a=", Condition("a", "eq", "")),
        ("name = x y ", Condition("name", "eq", "x y")),
    ],
)
def test_filters_as_people_type_them(text, condition):
    assert Condition.parse(text) == condition


@pytest.mark.parametrize("text", ["", "=5", "5=a", "a b", "<5", "$eq5"])
def test_what_is_no_filter_is_refused(text):
    with pytest.raises(AddressError):
        Condition.parse(text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("stak:313862022", "stack:313862022"),
        ("313862022", "stack:313862022, file:313862022"),
        ("nonsense", "one of stack:, cell:, "),
        ("stack:Pvalb", "stack:313862022"),
        ("releases:x", "release:"),
    ],
)
def test_a_wrong_address_is_told_what_was_meant(text, hint):
    with pytest.raises(AddressError) as caught:
        Address.parse(text)
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("text", ["stack:1/../2", "release:@1", "asset:x//y", "atlas:./x/.", ""])
def test_paths_that_climb_or_are_empty_are_refused(text):
    with pytest.raises(AddressError):
        Address.parse(text)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://celltypes.brain-map.org/experiment/morphology/313862022", "stack:313862022"),
        (
            "https://celltypes.brain-map.org/mouse/experiment/morphology/485909730",
            "stack:485909730",
        ),
        ("http://api.brain-map.org/api/v2/well_known_file_download/491120155", "file:491120155"),
        ("http://api.brain-map.org/api/v2/data/Structure/4005.xml", "rma:Structure?id=4005"),
        (
            "http://api.brain-map.org/grid_data/download/69855739?include=energy",
            "grid:69855739?include=energy",
        ),
        ("https://api.brain-map.org/api/v2/structure_graph_download/1.json", "structures:1"),
        (
            "http://api.brain-map.org/api/v2/section_image_download/321549675?downsample=3",
            "image:321549675?service=section_image&downsample=3",
        ),
    ],
)
def test_the_institutes_own_web_addresses_are_read(url, address):
    assert str(Address.parse(url)) == address


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/experiment/morphology/1",
        "http://evil-brain-map.org/api/v2/image_download/1",
        "http://api.brain-map.org/",
    ],
)
def test_other_web_addresses_are_not(url):
    with pytest.raises(AddressError):
        Address.parse(url)


def test_ids_and_options():
    address = Address.parse("image:5?downsample=3&downsample=4")
    assert address.id == 5
    assert address.option("downsample") == "4"
    assert address.option("quality") is None
    with pytest.raises(AddressError):
        _ = Address.parse("stack:").id
