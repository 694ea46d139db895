"""Grids, atlases and ontologies by way of the five verbs: addresses, rows, facts, files."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from loopback import file_handler

import openallen as oa
from openallen.archive.app import archive_app
from openallen.errors import (
    AddressError,
    CorruptError,
    IntegrityError,
    NotFoundError,
    OfflineError,
    UsageError,
)
from openallen.serving.server import serving
from openallen.settings import Settings
from openallen.sources.atlases import Atlas, ConnectivityGrid, ExpressionGrid, Structures
from openallen.sources.atlases.catalogue import ATLASES, nrrd_part
from openallen.sources.atlases.grid_source import GridSource
from openallen.sources.atlases.source import AtlasSource
from openallen.sources.atlases.structures_source import StructuresSource
from openallen.sources.context import Context
from openallen.sources.place import Place
from openallen.verbs import listing

NOWHERE = "http://127.0.0.1:9"
DOORS = (GridSource, AtlasSource, StructuresSource)
CCF = "http://download.alleninstitute.org/informatics-archive/current-release/mouse_ccf"
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def store(sample_url, monkeypatch, tmp_path) -> Path:
    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("OPENALLEN_SOURCE", sample_url)
    return tmp_path / "store"


@pytest.fixture(scope="module")
def fetched(sample_url, tmp_path_factory) -> Path:
    """A store that holds a bit of everything."""
    store = tmp_path_factory.mktemp("door") / "store"
    settings = Settings(source=sample_url, store=store)
    for address in ("grid:72109410", "grid:181777177?include=data_mask&resolution=100", "atlas:P56/gridAnnotation", "atlas:ccf-2017/annotation/100", "structures:17"):  # fmt: skip
        oa.fetch(address, settings=settings)
    return store


def hint_of(error: BaseException) -> str:
    return str(error).partition("\n  try: ")[2]


# --- addresses ------------------------------------------------------------------------------------


def test_every_example_is_an_address_and_so_are_its_web_addresses():
    for door in DOORS:
        for example in door.examples:
            address = oa.Address.parse(example.address)
            assert str(address) == example.address
            assert door.canonical(address) == address
            for web in example.web:
                assert oa.Address.parse(web) == address


@pytest.mark.parametrize(
    ("web", "address"),
    [
        ("http://api.brain-map.org/grid_data/download/69855739.zip", "grid:69855739"),
        ("http://api.brain-map.org/grid_data/download/69855739?include=energy,density", "grid:69855739?include=energy,density"),
        ("http://api.brain-map.org/grid_data/download_file/5?image=injection_fraction&resolution=50", "grid:5?include=injection_fraction&resolution=50"),
        ("https://mouse.brain-map.org/experiment/show/69782969", "grid:69782969"),
        ("https://mouse.brain-map.org/experiment/thumbnails/71587929?image_type=ish", "grid:71587929"),
        ("https://developingmouse.brain-map.org/experiment/show/100055044", "grid:100055044"),
        ("https://connectivity.brain-map.org/projection/experiment/181777177", "grid:181777177"),
        ("http://connectivity.brain-map.org/projection/experiment/cortical_map/181777177/", "grid:181777177"),
        ("http://api.brain-map.org/api/v2/structure_graph_download/17.xml", "structures:17"),
        (f"{CCF}/annotation/ccf_2017/annotation_25.nrrd", "atlas:ccf-2017/annotation/25"),
        (f"{CCF}/annotation/ccf_2015/structure_masks/structure_masks_50/structure_385.nrrd", "atlas:ccf-2015/mask/385/50"),
        (f"{CCF}/annotation/ccf_2017/structure_meshes/997.obj", "atlas:ccf-2017/mesh/997"),
        (f"{CCF}/average_template/average_template_10.nrrd", "atlas:ccf-2017/template/10"),
        (f"{CCF}/ara_nissl/ara_nissl_100.nrrd".replace("http:", "https:"), "atlas:ccf-2017/nissl/100"),
        (f"{CCF}/annotation/mouse_2011/".replace("current-release", "october-2014"), "atlas:mouse-2011"),
        (f"{CCF}/annotation/ccf_2016/annotation_10.nrrd".replace("current-release", "october-2016"), "atlas:ccf-2016/annotation/10"),
        (f"{CCF}/average_template/average_template_25.nrrd".replace("current-release", "september-2017"), "atlas:ccf-2017/template/25"),
    ],
)  # fmt: skip
def test_web_addresses_that_mean_one_of_these(web, address):
    assert str(oa.Address.parse(web)) == address


@pytest.mark.parametrize(
    "web",
    [
        "https://evil-brain-map.org/grid_data/download/1",
        "https://mouse.brain-map.org/experiment/show/",
        "https://mouse.brain-map.org/experiment/siv/1",
        "https://celltypes.brain-map.org/projection/experiment/1",
        f"{CCF}/annotation/ccf_1999/annotation_25.nrrd",
        f"{CCF}/annotation/ccf_2017/annotation_25.txt",
        f"{CCF}/average_template/",
        # The template of 2014 is another one than today's.
        f"{CCF}/average_template/average_template_25.nrrd".replace("current-release", "may-2014"),
        CCF.replace("download.", "evil.") + "/annotation/ccf_2017/annotation_25.nrrd",
    ],
)
def test_other_web_addresses_mean_none_of_these(web):
    with pytest.raises(AddressError):
        oa.Address.parse(web)


def test_every_published_path_reads_back_as_the_part_it_is():
    root = CCF.removesuffix("/current-release/mouse_ccf")
    for atlas in ATLASES.values():
        if not atlas.annotation:
            continue
        for part in ("annotation/10", "mask/385/100", "mesh/997"):
            url = f"{root}/{nrrd_part(atlas, tuple(part.split('/'))).path}"
            assert str(oa.Address.parse(url)) == f"atlas:{atlas.name}/{part}"


def test_one_spelling_for_one_thing():
    parse = oa.Address.parse
    assert (
        str(AtlasSource.canonical(parse("atlas:p56/gridAnnotation"))) == "atlas:P56/gridAnnotation"
    )
    assert str(AtlasSource.canonical(parse("atlas:CCF-2017"))) == "atlas:ccf-2017"
    assert str(AtlasSource.canonical(parse("atlas:nosuch"))) == "atlas:nosuch"
    one, other = parse("structures:1/VISp2/3"), parse("structures:1/VISp2%2F3")
    assert StructuresSource.canonical(one) == StructuresSource.canonical(other) == other


@pytest.mark.parametrize("address", ["grid:69855739/energy", "grid:69855739@2", "atlas:P56@1", "structures:1@2", "structures:1?depth=2", "atlas:P56?include=energy", "grid:69855739?image=energy", "grid:1?include__in=a,b"])  # fmt: skip
def test_nothing_of_an_address_is_left_out_in_silence(address):
    for verb in (oa.show, oa.open, oa.plan):
        with pytest.raises(UsageError):
            verb(address, source=NOWHERE)


# --- grids: list ----------------------------------------------------------------------------------


def test_section_data_sets_as_rows(store):
    rows = oa.list("grid:", product="Mouse", limit=2)
    assert rows.shown == ("id", "gene", "plane", "product", "age", "reference_space_id", "specimen_id")  # fmt: skip
    assert (len(rows), rows.total, rows.counted) == (2, 4, "2 section data sets of 4")
    assert set(rows[0]) >= {"gene_name", "section_thickness_um", "failed", "connectivity"}
    assert [r["id"] for r in oa.list("grid:?gene=Pdyn", "plane=sagittal", product="Mouse")] == [9000000202]  # fmt: skip
    with pytest.raises(UsageError, match="cannot be listed"):
        oa.list("grid:69855739")


def test_columns_and_planes_are_checked_before_anything_is_asked():
    with pytest.raises(UsageError, match="no column 'gen'") as caught:
        oa.list("grid:", gen="Pdyn", source=NOWHERE)
    assert "gene" in hint_of(caught.value)
    with pytest.raises(UsageError, match="plane of section"):
        oa.list("grid:", plane="sagital", source=NOWHERE)


def test_a_gene_in_another_case_is_told_how_to_be_found(store, sample_url):
    with listing("grid:", gene="pdyn", plane="coronal") as rows:
        assert not rows
        hint = rows.empty().hint  # asks for the genes there are
    assert hint.startswith("openallen list grid:")
    assert f" --source {sample_url}" in hint
    filters = [word for word in shlex.split(hint) if "=" in word]
    assert "plane=coronal" in filters
    assert [r["gene"] for r in oa.list("grid:", *filters)] == ["Pdyn"]
    assert oa.list("grid:", age="P99").empty().hint.startswith("openallen list grid:")


# --- grids: show, plan, fetch, open ---------------------------------------------------------------


def test_the_facts_of_a_section_data_set(store):
    facts = oa.show("grid:72109410")
    told = facts.to_dict()
    known = {"address": "grid:72109410", "id": 72109410, "gene": "Adora2a", "gene_name": None, "plane": "coronal", "product": "Mouse", "age": "P56", "reference_space_id": 9, "connectivity": False, "failed": False, "here": [], "pictures": ["slices"]}  # fmt: skip
    assert {name: told[name] for name in known} == known
    assert "72109410" in told["query"]
    assert told["plan"]["files"][0]["path"] == "grid_72109410_energy.zip"
    assert facts.ids == (72109410,)
    assert "Section data set 72109410" in str(facts)
    oa.fetch("grid:72109410")
    again = oa.show("grid:72109410")
    assert again["here"] == ["energy"]
    assert not again.plan.missing
    with pytest.raises(NotFoundError, match="no such section data set"):
        oa.show("grid:1")
    with pytest.raises(UsageError, match="as a whole"):
        oa.show("grid:")


def test_options_of_a_grid_are_in_what_is_planned(store, sample_url):
    told = oa.show("grid:181777177", include=["data_mask", "projection_energy"], resolution=50)
    assert told["address"] == "grid:181777177?include=data_mask,projection_energy&resolution=50"
    assert [f["path"] for f in told["plan"]["files"]] == ["grid_181777177_data_mask_50.nrrd", "grid_181777177_projection_energy_50.nrrd"]  # fmt: skip
    plan = oa.plan("grid:181777177?include=data_mask&resolution=50", resolution=100)
    assert plan.address == "grid:181777177?include=data_mask&resolution=100"
    assert oa.plan("grid:72109410", include="energy,density").files[0].url == f"{sample_url}/grid_data/download/72109410?include=energy,density"  # fmt: skip


@pytest.mark.parametrize(
    ("address", "options", "message"),
    [
        ("grid:1", {"include": "energie"}, "no such grid volume 'energie'"),
        ("grid:1", {"include": []}, "is empty"),
        ("grid:1?include=", {}, "is empty"),
        ("grid:1", {"resolution": "fine"}, "not a value of 'resolution'"),
        ("grid:1", {"include": "data_mask", "resolution": 30}, "no such resolution '30'"),
        ("grid:1", {"include": "energy", "resolution": 25}, "one size"),
        ("grid:1", {"includ": "energy"}, "no such option 'includ'"),
        ("atlas:P56", {"resolution": 25}, "no such option 'resolution'"),
        ("structures:1", {"include": "energy"}, "no such option 'include'"),
    ],
)
def test_options_that_make_no_sense_fail_before_anything_is_asked(address, options, message):
    with pytest.raises(UsageError, match=message):
        oa.plan(address, source=NOWHERE, **options)


@pytest.mark.parametrize("at", ["1,2", "a,b,c", "1,2,nan", (1, 2), (1, 2, "x")])
def test_a_point_that_is_none(at):
    for address in ("grid:1", "atlas:P56"):
        with pytest.raises(UsageError):
            oa.show(address, at=at, source=NOWHERE)


def test_a_grid_is_opened_as_its_address_says(fetched, sample_url):
    settings = Settings(source=sample_url, store=fetched)
    mask = oa.open("grid:181777177?include=data_mask&resolution=100", settings=settings)
    assert isinstance(mask, ConnectivityGrid)
    assert oa.open("grid:181777177", include="data_mask", settings=settings).kinds == ("data_mask",)
    assert isinstance(oa.open("grid:72109410", settings=settings), ExpressionGrid)
    with pytest.raises(NotFoundError, match="has no density") as caught:
        oa.open("grid:72109410?include=density", settings=settings)
    assert hint_of(caught.value) == f"openallen fetch 'grid:72109410?include=density' --source {sample_url}"  # fmt: skip
    with pytest.raises(UsageError, match="one size"):
        oa.open("grid:72109410?resolution=25", settings=settings)
    with pytest.raises(UsageError, match="is empty"):
        oa.open("grid:72109410?include=", settings=settings)
    with pytest.raises(UsageError, match="not a single item"):
        oa.open("grid:", settings=settings)


def test_pictures_fetch_what_they_need(store, tmp_path):
    facts = oa.show("grid:72109410", picture=tmp_path / "a.png", at="6000,3000,5700")
    assert (tmp_path / "a.png").read_bytes().startswith(PNG)
    assert facts.notes[-1] == f"picture: {tmp_path / 'a.png'}"
    assert (store / "atlases" / "P56" / "gridAnnotation.zip").exists()  # the outlines
    oa.show("grid:181777177", picture=tmp_path / "b.png", include="data_mask", resolution=100)
    oa.fetch("grid:181777177?include=data_mask&resolution=50")
    oa.show("grid:181777177", picture=tmp_path / "c.svg", include="data_mask")  # the coarsest
    oa.show("atlas:ccf-2017/annotation/100", picture=tmp_path / "d.png", at=(6000, 3000, 5700))
    oa.show("atlas:P56", picture=tmp_path / "e.pdf")
    assert all((tmp_path / name).stat().st_size > 1000 for name in ("b.png", "c.svg", "d.png", "e.pdf"))  # fmt: skip
    with pytest.raises(UsageError, match="no picture available"):
        oa.show("atlas:ccf-2017/mesh/997", picture=tmp_path / "x.png")
    with pytest.raises(UsageError, match="unsupported picture format"):
        oa.show("grid:72109410", picture=tmp_path / "x.gif")


def test_a_grid_is_drawn_without_outlines_rather_than_not_at_all(fetched, tmp_path, sample_url):
    from openallen.sources.atlases.pictures import draw_grid

    shutil.copytree(fetched / "grids", tmp_path / "store" / "grids")
    taken = tmp_path / "store" / "atlases" / "P56"
    taken.mkdir(parents=True)
    (taken / "manifest.json").write_text("{}")  # no atlas goes there
    settings = Settings(source=sample_url, store=tmp_path / "store")
    said: list[str] = []
    with Context(settings, say=said.append) as context:
        grid = oa.open("grid:72109410", settings=settings)
        assert draw_grid(context, grid, GridSource.show_options()).axes
    assert said == ["drawn without outlines of structures: this folder holds something else"]


# --- atlases --------------------------------------------------------------------------------------


def test_atlases_as_rows():
    rows = oa.list("atlas:", source=NOWHERE)
    assert [r["atlas"] for r in rows] == list(ATLASES)
    assert rows.shown == ("atlas", "title", "parts")
    assert rows[0]["ontology"] == 1
    assert [r["atlas"] for r in oa.list("atlas:", "atlas__ilike=CCF*", limit=2, source=NOWHERE)] == ["ccf-2017", "ccf-2016"]  # fmt: skip
    with pytest.raises(UsageError, match="no column 'ontolgy'") as caught:
        oa.list("atlas:", ontolgy=17, source=NOWHERE)
    assert hint_of(caught.value) == f"openallen list atlas: --source {NOWHERE} ontology=17"
    assert "values of ontology: 1, 17" in str(oa.list("atlas:", ontology=2, source=NOWHERE).empty())
    with pytest.raises(UsageError, match="cannot be listed"):
        oa.list("atlas:P56", source=NOWHERE)


def test_the_facts_of_an_atlas(store, sample_url):
    told = oa.show("atlas:p56").to_dict()
    known = {"address": "atlas:P56", "name": "P56", "title": "Adult mouse P56, coronal", "graph_id": 1, "reference_space_id": 9, "parts": ["atlasVolume", "gridAnnotation"], "here": []}  # fmt: skip
    assert {name: told[name] for name in known} == known
    assert [f["path"] for f in told["plan"]["files"]] == ["atlasVolume.zip", "gridAnnotation.zip", "structure_graph_1.json"]  # fmt: skip
    oa.fetch("atlas:p56/gridAnnotation")
    assert oa.show("atlas:P56")["here"] == ["gridAnnotation"]
    assert (store / "atlases" / "P56").is_dir()
    with pytest.raises(UsageError, match="as a whole"):
        oa.show("atlas:")
    # What the sample brought is not the live service's: said, and shown all the same.
    other = oa.show("atlas:P56", source=sample_url.replace("127.0.0.1", "localhost"))
    assert other.plan is None
    assert "from another source" in other.notes[0]


def test_what_is_known_of_an_atlas_needs_no_network(tmp_path):
    offline = Settings(source="live", store=tmp_path, offline=True)
    told = oa.show("atlas:P56", settings=offline)
    assert (told["name"], told.plan) == ("P56", None)
    assert told.notes[0].startswith("no plan: ")
    assert len(oa.show("atlas:ccf-2017/mask/385/25", settings=offline).plan.files) == 2
    with pytest.raises(NotFoundError, match="not in the store"):
        oa.open("atlas:P56", settings=offline)


@pytest.mark.parametrize(
    ("address", "error", "message", "hint"),
    [
        ("atlas:ccf2017", NotFoundError, "no (such )?atlas", "openallen show atlas:ccf-2017"),
        ("atlas:ccf-2017/anotation/25", UsageError, "no part", "openallen show atlas:ccf-2017/annotation/25"),
        ("atlas:ccf-2017/tempalte", UsageError, "no part", "openallen show atlas:ccf-2017/template/25"),
        ("atlas:ccf-2017/nissl/30", UsageError, "sizes: 10, 25, 50, 100", "openallen show atlas:ccf-2017/nissl/25"),
        ("atlas:ccf-2017/annotation/25/7", UsageError, "no such voxel size '7'", "annotation/25"),
        ("atlas:ccf-2017/mask/VISp/7/25", UsageError, "no part", "mask/VISp/25"),
        ("atlas:ccf-2017/mask/VISp/26", UsageError, "sizes: 10, 25, 50, 100", "mask/VISp/25"),
        ("atlas:ccf-2017/mesh", UsageError, "no part", "mesh/385"),
        ("atlas:P56/gridAnnotation/200", UsageError, "one name", "atlas:P56/gridAnnotation"),
    ],
)  # fmt: skip
def test_parts_there_are_not_are_named(address, error, message, hint):
    for verb in (oa.show, oa.open, oa.plan):
        with pytest.raises(error, match=message) as caught:
            verb(address, source=NOWHERE)
        assert hint in hint_of(caught.value)


def test_an_atlas_is_opened_whole_or_in_part(fetched, sample_url):
    settings = Settings(source=sample_url, store=fetched)
    assert oa.open("atlas:P56", settings=settings).parts == ("gridAnnotation",)
    volume = oa.open("atlas:CCF-2017/annotation/100", settings=settings)
    assert volume.dims == ("AP", "DV", "ML")
    mask = oa.open("atlas:ccf-2017/mask/VISp/100", settings=settings)
    assert 0 < int(mask.sum()) < mask.size
    assert mask.equals(oa.open("atlas:P56/mask/VISp", settings=settings)) is False
    with pytest.raises(NotFoundError, match="structure") as caught:
        oa.open("atlas:ccf-2017/mask/NOPE/100", settings=settings)
    assert "not in the store" not in str(caught.value)
    with pytest.raises(NotFoundError, match="not in the store") as caught:
        oa.open("atlas:ccf-2017/template/25", settings=settings)
    assert hint_of(caught.value) == f"openallen fetch atlas:ccf-2017/template/25 --source {sample_url}"  # fmt: skip
    with pytest.raises(UsageError, match="no such option 'remote'"):
        oa.open("atlas:P56", remote=True, settings=settings)


# --- ontologies -----------------------------------------------------------------------------------


def test_ontologies_and_structures_as_rows(store):
    graphs = oa.list("structures:", source=NOWHERE)
    assert [r["graph_id"] for r in graphs] == [1, 10, 16, 17]
    assert [r["title"] for r in oa.list("structures:", title__like="*mouse", source=NOWHERE)] == ["adult mouse", "developing mouse"]  # fmt: skip
    rows = oa.list("structures:1", limit=5)
    assert rows.shown == ("id", "acronym", "name", "parent_id", "depth")
    assert (len(rows), rows.total) == (5, 1198)
    assert (rows[0]["acronym"], rows[0]["parent_id"], rows[0]["depth"]) == ("root", None, 0)
    (visp,) = oa.list("structures:1", acronym="VISp")
    assert (visp["id"], visp["depth"], visp["address"]) == (385, 7, "structures:1/385")
    found = oa.list("structures:1", parent_id=385, depth__ge=8, name__ilike="*LAYER 6?")
    assert {r["acronym"] for r in found} == {"VISp6a", "VISp6b"}
    assert len(oa.list("structures:1", id__in=[385, 997])) == 2
    assert len(oa.list("structures:1", "id<100", "acronym!=root")) == len([s for s in oa.open("structures:1") if s.id < 100])  # fmt: skip
    assert {r["acronym"] for r in oa.list("structures:1/VISp")} >= {"VISp", "VISp2/3"}
    assert len(oa.list("structures:1/VISp", "parent_id")) == 7


def test_structures_that_nothing_matches(store, sample_url):
    with pytest.raises(UsageError, match="no column 'akronym'") as caught:
        oa.list("structures:1", akronym="VISp", source=NOWHERE)
    assert hint_of(caught.value) == f"openallen list structures:1 --source {NOWHERE} acronym=VISp"
    error = oa.list("structures:1", acronym="VISpp").empty()
    assert "values of acronym: VISp," in error.why
    assert error.hint == f"openallen list structures:1 --source {sample_url} acronym=VISp"
    with pytest.raises(NotFoundError, match="no such ontology"):
        oa.list("structures:99").loaded()


def test_the_facts_of_an_ontology_and_of_a_structure(store):
    whole = oa.show("structures:1")
    assert (whole["graph_id"], len(whole["structures"]), whole["count"]) == (1, 1198, 1198)
    assert whole["structures"][0] == {"id": 997, "acronym": "root", "name": "root", "parent_id": None, "color": "FFFFFF"}  # fmt: skip
    assert "    CH  Cerebrum  (567)" in str(whole)
    assert whole.ids[0] == 997
    layer = oa.show("structures:1/VISp2/3")
    assert layer["address"] == "structures:1/VISp2%2F3"
    assert layer["ancestors"] == ["VISp", "VIS", "Isocortex", "CTXpl", "CTX", "CH", "grey", "root"]
    assert [s["id"] for s in layer["structures"]] == [821]
    assert oa.open("structures:1/VISp2/3") == oa.open("structures:1/VISp2%2F3") == layer.thing
    with pytest.raises(NotFoundError, match="structures:1/VISpp") as caught:
        oa.show("structures:1/VISpp")
    assert "VISp" in str(caught.value)
    assert hint_of(caught.value).startswith("openallen ")
    with pytest.raises(UsageError, match="as a whole"):
        oa.show("structures:")


def test_an_ontology_is_fetched_as_a_file(store, tmp_path, sample_url):
    found = oa.fetch("structures:1", to=tmp_path / "o")
    assert isinstance(found, Structures)
    assert sorted(p.name for p in (tmp_path / "o").iterdir()) == ["ontology_1.json", "structure_graph_1.json"]  # fmt: skip
    assert not oa.plan("structures:1", to=tmp_path / "o").missing
    for place in (tmp_path / "o", tmp_path / "o" / "structure_graph_1.json"):
        assert list(oa.open(place)) == list(found) == list(oa.open("structures:1"))
        assert oa.show(place)["graph_id"] == 1
    with pytest.raises(UsageError, match="fetched whole") as caught:
        oa.fetch("structures:1/VISp", to=tmp_path / "o")
    assert hint_of(caught.value) == f"openallen fetch structures:1 --source {sample_url}"
    with pytest.raises(NotFoundError, match="no such ontology"):
        oa.plan("structures:99", to=tmp_path / "p")
    with pytest.raises(oa.OpenAllenError, match="from another source"):
        oa.plan("structures:1", to=tmp_path / "o", source=sample_url.replace("127.0.0.1", "localhost"))  # fmt: skip
    oa.fetch("structures:17", to=tmp_path / "o")
    with pytest.raises(UsageError, match="several ontologies"):
        oa.open(tmp_path / "o")


def test_what_is_no_ontology_never_gets_its_name(loopback, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENALLEN_ATTEMPTS", "1")
    server = loopback({"/api/v2/structure_graph_download/1.json": file_handler(b'{"msg": []}', ranges=False)})  # fmt: skip
    with pytest.raises(CorruptError, match=r"(no|not an) ontology"):
        oa.fetch("structures:1", to=tmp_path / "x", source=server.url)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]
    for body in (b"{", b'{"msg": [1]}', b'{"msg": [{"id": 1}]}', b"\xff\xfe"):
        (tmp_path / "structure_graph_5.json").write_bytes(body)
        with pytest.raises(CorruptError, match="not an ontology"):
            oa.open(tmp_path / "structure_graph_5.json")


# --- files and folders ----------------------------------------------------------------------------


def door_of(path: Path) -> str:
    with Context() as context:
        found = context.recognise(Place.here(path))
        return found.scheme if found is not None else ""


def test_folders_of_the_store_are_what_they_are(fetched, tmp_path):
    for system, scheme in (("grids", "grid"), ("atlases", "atlas"), ("structures", "structures")):
        for folder in (fetched / system).iterdir():
            assert door_of(folder) == scheme
    bare = tmp_path / "bare"
    shutil.copytree(fetched / "atlases" / "ccf-2017", bare)
    (bare / "atlas.json").unlink()
    assert door_of(bare) == "atlas"
    assert oa.open(bare).parts == ("annotation/100",)
    (bare / "atlas.json").write_text("{")
    assert door_of(bare) == "atlas"
    facts = oa.show(bare, at="6000,3000,5700")
    assert facts["holds"] == "annotation/100"
    assert facts.save_picture(tmp_path / "x.png").read_bytes().startswith(PNG)


def test_a_grid_in_a_folder_is_shown_with_its_facts(fetched, tmp_path, sample_url):
    settings = Settings(source=sample_url, store=tmp_path / "store")
    facts = oa.show(fetched / "grids" / "72109410", picture=tmp_path / "x.png", settings=settings)
    assert (facts["data_set"], facts["holds"]) == (72109410, "energy")
    assert (tmp_path / "x.png").read_bytes().startswith(PNG)
    with pytest.raises(NotFoundError, match="has no density"):
        oa.show(fetched / "grids" / "72109410", include="density", settings=settings)
    assert oa.open(fetched / "grids" / "72109410", include="energy").kinds == ("energy",)


@pytest.fixture
def voxels(fetched) -> np.ndarray:
    return Atlas(fetched / "atlases" / "ccf-2017").volume("annotation/100").to_numpy()


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow")  # by pynrrd, while it writes
def test_lone_volumes_open_by_their_ending_in_any_case(fetched, tmp_path, voxels):
    import nrrd

    shutil.copy(fetched / "atlases" / "ccf-2017" / "annotation_100.nrrd", tmp_path / "Mine.NRRD")
    nrrd.write(str(tmp_path / "other.nhdr"), voxels, {"spacings": [100.0] * 3})
    head = f"ObjectType = Image\nNDims = 3\nDimSize = {' '.join(map(str, voxels.shape))}\nElementSpacing = 100 100 100\nElementType = MET_UINT\n"  # fmt: skip
    raw = np.ascontiguousarray(voxels.T).astype("<u4").tobytes()
    (tmp_path / "a.mha").write_bytes(f"{head}ElementDataFile = LOCAL\n".encode() + raw)
    (tmp_path / "b.mhd").write_text(f"{head}ElementDataFile = b.raw\n")
    (tmp_path / "b.raw").write_bytes(raw)
    for name in ("Mine.NRRD", "other.nhdr", "a.mha", "b.mhd"):
        volume = oa.open(tmp_path / name)
        assert volume.dims == ("AP", "DV", "ML"), name
        assert np.array_equal(volume, voxels), name
        assert float(volume["AP"][0]) == 50.0, name
    facts = oa.show(tmp_path / "a.mha", picture=tmp_path / "x.png", at="6000,3000,5700")
    assert (facts["shape"], facts["voxel_um"], facts["dtype"]) == ([132, 80, 114], [100.0] * 3, "uint32")  # fmt: skip
    assert (tmp_path / "x.png").read_bytes().startswith(PNG)
    for name in ("brain.nii", "brain.NII.GZ"):
        (tmp_path / name).write_bytes(b"\0" * 400)
        assert door_of(tmp_path / name) == "atlas"
        with pytest.raises(oa.OpenAllenError):
            oa.open(tmp_path / name)


def test_what_is_no_grid_is_not_taken_for_one(fetched, tmp_path):
    import zipfile

    volume = fetched / "atlases" / "ccf-2017" / "annotation_100.nrrd"
    (tmp_path / "theirs").mkdir()
    for name in ("brain1.nrrd", "grid_of_mine.nrrd"):
        shutil.copy(volume, tmp_path / "theirs" / name)
    assert door_of(tmp_path / "theirs") == ""
    with pytest.raises(UsageError, match=r"2 \.nrrd files") as caught:
        oa.open(tmp_path / "theirs")
    assert "brain1.nrrd" in hint_of(caught.value)
    shutil.copy(volume, tmp_path / "structure_385.nrrd")
    assert door_of(tmp_path / "structure_385.nrrd") == "atlas"
    assert oa.open(tmp_path / "structure_385.nrrd").dims == ("AP", "DV", "ML")
    with pytest.raises(NotFoundError, match="not one of a connectivity grid"):
        ConnectivityGrid(tmp_path / "structure_385.nrrd").volume("structure_385")
    with zipfile.ZipFile(tmp_path / "papers.zip", "w") as packed:
        packed.writestr("paper.pdf", b"x")
    assert door_of(tmp_path / "papers.zip") == ""
    (tmp_path / "notes.json").write_text("{}")
    assert door_of(tmp_path / "notes.json") == "file"
    (grid,) = (fetched / "grids" / "72109410").glob("*.zip")
    shutil.copy(grid, tmp_path / "renamed.ZIP")
    assert door_of(tmp_path / "renamed.ZIP") == "grid"
    assert oa.open(tmp_path / "renamed.ZIP").kinds == ("energy",)
    (tmp_path / "cut.zip").write_bytes(grid.read_bytes()[:1000])
    with pytest.raises(IntegrityError):
        oa.open(tmp_path / "cut.zip")
    shutil.copy(fetched / "atlases" / "P56" / "gridAnnotation.zip", tmp_path)
    assert door_of(tmp_path / "gridAnnotation.zip") == "atlas"
    assert oa.open(tmp_path / "gridAnnotation.zip").shape == (67, 41, 58)


def test_asking_what_a_place_is_never_raises(tmp_path):
    odd = {"atlas.json": b"\xff", "structures.json": b"[", "grid_1_energy.zip": b"", "structure_graph_1.json": b"\0", "x.nrrd": b"NRRD", "data_set_1.json": b"{"}  # fmt: skip
    (tmp_path / "grid_2_energy.zip").mkdir()
    (tmp_path / "odd").mkdir()
    for name, body in odd.items():
        (tmp_path / "odd" / name).write_bytes(body)
    (tmp_path / "odd" / "dangling.nrrd").symlink_to(tmp_path / "nowhere")
    places = [*tmp_path.rglob("*"), tmp_path]
    for path in places:
        for door in DOORS:
            assert 0 <= door.recognise(Place.here(path)) <= 100
    remote = Place("https://x.org/a.nrrd", Place.here(tmp_path).objects, "a.nrrd")
    assert [door.recognise(remote) for door in DOORS] == [0, 0, 0]


def test_a_door_loads_nothing_heavy():
    code = (
        "import sys, json; from pathlib import Path\n"
        "from openallen.sources.place import Place\n"
        "from openallen.sources.atlases.grid_source import GridSource\n"
        "from openallen.sources.atlases.source import AtlasSource\n"
        "from openallen.sources.atlases.structures_source import StructuresSource\n"
        "from openallen.web_address import WebAddress\n"
        "for door in (GridSource, AtlasSource, StructuresSource):\n"
        "    door.recognise(Place.here(Path('.')))\n"
        "    door.from_web(WebAddress.parse('https://example.org/x'))\n"
        "print(json.dumps(sorted(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert not loaded & {"numpy", "pandas", "xarray", "ssl", "sqlite3", "msgspec", "matplotlib"}
    assert not any(name.startswith("openallen.transport") for name in loaded)


# --- offline, and stores that cannot be written to ------------------------------------------------


def everything(settings: Settings) -> None:
    """Whatever is here, is listed, shown, opened and fetched (nothing is left to be)."""
    assert oa.show("grid:72109410", settings=settings)["gene"] == "Adora2a"
    assert oa.show("atlas:ccf-2017/mask/VISp/100", settings=settings).plan is not None
    assert oa.show("atlas:P56/gridAnnotation", settings=settings).plan.missing == ()
    assert len(oa.list("structures:17", settings=settings)) > 10
    assert oa.show("structures:17", settings=settings)["graph_id"] == 17
    assert oa.open("structures:1/VISp", settings=settings).id == 385  # it came with the atlas
    for address in ("grid:72109410", "grid:181777177?include=data_mask&resolution=100", "atlas:P56/gridAnnotation", "structures:17"):  # fmt: skip
        assert oa.open(address, settings=settings) is not None
        assert not oa.plan(address, settings=settings).missing
        assert oa.fetch(address, settings=settings) is not None


@pytest.fixture
def gone(tmp_path, monkeypatch) -> Settings:
    """A store that was filled from a service there is no network to any more."""
    from openallen.sources import service

    store = tmp_path / "store"
    with serving(archive_app("sample")) as url:
        monkeypatch.setattr(service, "service_url", lambda source: url)
        for address in ("grid:72109410", "grid:181777177?include=data_mask&resolution=100", "atlas:P56/gridAnnotation", "atlas:ccf-2017/annotation/100", "structures:17"):  # fmt: skip
            oa.fetch(address, settings=Settings(store=store))
    monkeypatch.setattr(service, "service_url", lambda source: "https://api.brain-map.org")
    return Settings(store=store, offline=True)


def test_what_is_here_needs_no_network(gone, tmp_path):
    everything(gone)
    with pytest.raises(OfflineError):
        oa.show("grid:69855739", settings=gone)
    with pytest.raises(OfflineError):
        oa.open("structures:10", settings=gone)
    oa.show("grid:72109410", picture=tmp_path / "x.png", settings=gone)
    assert (tmp_path / "x.png").read_bytes().startswith(PNG)
    shutil.rmtree(gone.store / "atlases")
    oa.show("grid:72109410", picture=tmp_path / "y.png", settings=gone)  # without outlines
    assert (tmp_path / "y.png").read_bytes().startswith(PNG)
    (gone.store / "grids" / "72109410" / "data_set_72109410.json").unlink()
    assert oa.show("grid:72109410", settings=gone)["holds"] == "energy"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_store_that_cannot_be_written_to(gone):
    places = [gone.store, *gone.store.rglob("*")]
    for place in places:
        place.chmod(0o555 if place.is_dir() else 0o444)
    try:
        everything(gone)
    finally:
        for place in places:
            place.chmod(0o755 if place.is_dir() else 0o644)


# --- many at once ---------------------------------------------------------------------------------


def test_grids_and_alignment_take_settings(store, sample_url, tmp_path):
    settings = Settings(source=sample_url, store=tmp_path / "other")
    assert oa.grids(gene="Pdyn", settings=settings).sizes["data_set"] == 2
    assert sorted(p.name for p in (tmp_path / "other" / "grids").iterdir()) == ["9000000201", "9000000202"]  # fmt: skip
    assert oa.alignment("grid:123", settings=settings).image(101945191) is not None
    assert (tmp_path / "other" / "grids" / "123" / "alignment_123.json").exists()
    with pytest.raises(UsageError, match="not a section data set"):
        oa.alignment("stack:313862022", settings=settings)
    with pytest.raises(NotFoundError) as caught:
        oa.grids(gene="pdyn", settings=settings)
    assert hint_of(caught.value) == f"openallen list grid: --source {sample_url} gene=Pdyn product=Mouse"  # fmt: skip
    (tmp_path / "file").write_text("")
    with pytest.raises(oa.OpenAllenError, match="a file, not a folder"):
        oa.grids(gene="Pdyn", to=tmp_path / "file")
