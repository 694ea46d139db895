"""``data_set.xml`` in the zips of grids: the data set and its alignment are known of a bare zip."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

import openallen as oa
from openallen.archive.volumes import _metaimage
from openallen.errors import CorruptError, NotFoundError
from openallen.sources.atlases import Atlas, ExpressionGrid
from openallen.sources.atlases.data_set_xml import alignment_in_xml, row_of_xml
from openallen.sources.atlases.models import DataSet

SHARED = Path(os.environ.get("OPENALLEN_TEST_SHARED", Path(__file__).parents[3] / "shared" / "data")) / "public"  # fmt: skip
PDYN = "grids/Pdyn_P56_coronal_71717084_200um.zip"
IMAGE = """<section-image><id type="integer">{id}</id><section-number type="integer">{n}</section-number>
<path>/external/production9/{gene}_05-2716_21613/zoomify/{n}.aff</path>
<alignment2d><tvs>1.0,0.0,0.0,1.0,-100.0,-200.0</tvs><tsv>1.0,0.0,0.0,1.0,100.0,200.0</tsv></alignment2d>
</section-image>"""
XML = """<?xml version="1.0" encoding="UTF-8"?>
<section-data-set>
  <failed>false</failed><id>70</id><name nil="true"/><reference-space-id>9</reference-space-id>
  <section-thickness>25.0</section-thickness><specimen-id>7</specimen-id>
  <products><product><id type="integer">1</id><abbreviation>Mouse</abbreviation></product></products>
  <specimen><id>7</id><name>05-2716</name></specimen>
  <alignment3d><trv>0,0,1,0,1,0,-1,0,0,0,0,5000</trv><tvr>{tvr}</tvr></alignment3d>
  <section-images>{images}</section-images>
  <plane_of_section/><age>P56</age>
</section-data-set>"""
CORONAL, SAGITTAL = "0,0,-1,0,1,0,1,0,0,5000,0,0", "1,0,0,0,1,0,0,0,1,0,0,0"


def xml(tvr: str = CORONAL, genes: tuple[str, ...] = ("Pdyn", "Pdyn"), **instead: str) -> bytes:
    images = "".join(IMAGE.format(id=100 + n, n=10 * n, gene=gene) for n, gene in enumerate(genes, 1))  # fmt: skip
    text = XML.format(tvr=tvr, images=images)
    for old, new in instead.items():
        text = text.replace(f"<{old}>", f"<{new}>")
    return text.encode()


def grid(folder: Path, about: bytes | None, name: str = "grid.zip", inside: str = "data_set.xml") -> Path:  # fmt: skip
    values = np.arange(60, dtype="<f4").reshape(5, 4, 3)  # ML, DV, AP as stored
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        if about is not None:
            packed.writestr(inside, about)
        head = _metaimage(values.T, 200.0, 1, "energy.raw")
        packed.writestr("energy.mhd", head)
        packed.writestr("energy.raw", values.tobytes())
    (folder / name).write_bytes(out.getvalue())
    return folder / name


@pytest.mark.parametrize("inside", ["data_set.xml", "image_series.xml", "in/data_set.xml"])
def test_a_bare_zip_says_what_it_is(tmp_path, inside):
    found = oa.open(grid(tmp_path, xml(), inside=inside))
    assert isinstance(found, ExpressionGrid)
    assert found.data_set_id == 70
    assert found.data_set == DataSet(
        id=70, gene="Pdyn", plane="coronal", product="Mouse", age="P56", reference_space_id=9,
        section_thickness_um=25.0, specimen_id=7, failed=False,
    )  # fmt: skip
    assert found.energy.attrs["gene"] == "Pdyn"
    assert found.energy.attrs["orientation"] == "PIR"
    assert found.energy.attrs["data_set_id"] == 70
    assert "coronal" in repr(found)
    # Section 10 lies 250 µm along the third axis, which runs from 5000 µm to the front.
    assert found.alignment.image(101).to_reference(0, 0).tolist() == [4750.0, 200.0, 100.0]
    assert len(found.alignment) == 2


def test_plane_and_gene_only_where_all_agrees():
    assert row_of_xml(xml(SAGITTAL))["plane_of_section"] == {"name": "sagittal"}
    assert row_of_xml(xml("0,0,0,0,1,1,1,0,0,5000,0,0"))["plane_of_section"] == {"name": "horizontal"}  # fmt: skip
    assert row_of_xml(xml(""))["plane_of_section"] == {"name": None}
    assert row_of_xml(xml("1,2,x"))["plane_of_section"] == {"name": None}
    assert row_of_xml(xml(genes=("Pdyn", "Adora2a")))["genes"] == []
    assert row_of_xml(xml(genes=()))["genes"] == []
    told = xml().replace(b"<plane_of_section/>", b"<plane_of_section>horizontal</plane_of_section>")
    assert row_of_xml(told)["plane_of_section"] == {"name": "horizontal"}
    told = xml().replace(b"</products>", b"</products><genes><gene><acronym>A</acronym></gene><gene><acronym>B</acronym></gene></genes>")  # fmt: skip
    assert DataSet.from_row(row_of_xml(told)).gene == "A,B"


def test_facts_kept_beside_a_zip_go_first(sample_url, tmp_path):
    oa.fetch("grid:72109410", to=tmp_path / "g", source=sample_url)
    kept = ExpressionGrid(tmp_path / "g")
    bare = tmp_path / "renamed.zip"
    bare.write_bytes(kept.files[0].read_bytes())
    found = oa.open(bare)
    assert (found.data_set_id, found.data_set.gene, found.data_set.plane) == (72109410, "Adora2a", "coronal")  # fmt: skip
    assert found.data_set.specimen_id == kept.data_set.specimen_id
    assert found.energy.attrs["plane_of_section"] == "coronal"
    with pytest.raises(NotFoundError, match="no alignment in this zip") as caught:
        _ = found.alignment
    assert caught.value.hint == "oa.alignment(72109410)"


def test_another_data_set_than_the_name_says(tmp_path):
    found = ExpressionGrid(grid(tmp_path, xml(), "grid_71_energy.zip"))
    assert (found.data_set_id, found.data_set) == (71, None)
    assert "of another data set (70)" in repr(found)
    assert found.energy.shape == (3, 4, 5)


ENTITY = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;">]><section-data-set><id>1</id>&b;</section-data-set>'  # fmt: skip
OUTSIDE = b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><section-data-set><id>&f;</id></section-data-set>'  # fmt: skip


@pytest.mark.parametrize(
    ("about", "match"),
    [
        (b"", "not the description"),
        (b"\x00\x01", "not the description"),
        (b"<section-data-set>", "not the description"),
        (b"<section-data-set/>", "not the description"),
        (b"<section-data-set><id>x</id></section-data-set>", "not the description"),
        (b"<section-data-set><id>" + b"9" * 30 + b"</id></section-data-set>", "not the description"),
        (b'<?xml version="1.0" encoding="no-such"?><a/>', "not the description"),
        (ENTITY, "document type"),
        (OUTSIDE, "document type"),
        (b"<a>" * 40 + b"</a>" * 40, "too many elements"),
        (b"<a>" + b"<b/>" * 500_001 + b"</a>", "too many elements"),
        (b"<a>" + b" " * (33 << 20) + b"</a>", "too large"),
    ],
    ids=range(12),
)  # fmt: skip
def test_damaged_descriptions_are_told_and_the_volumes_stay(tmp_path, about, match):
    with pytest.raises(CorruptError, match=match) as caught:
        row_of_xml(about, "a.zip/data_set.xml")
    assert caught.value.address == "a.zip/data_set.xml"
    if len(about) > 1 << 20:
        return
    found = oa.open(grid(tmp_path, about))
    assert found.energy.shape == (3, 4, 5)
    assert found.data_set is None
    assert match in repr(found)
    with pytest.raises(CorruptError, match=match):
        _ = found.alignment


def test_a_damaged_alignment_is_told():
    with pytest.raises(CorruptError, match="damaged alignment"):
        alignment_in_xml(xml().replace(b"<tvs>1.0,", b"<tvs>x,"))
    for strange in (b"nan", b"inf", b"1e999"):
        with pytest.raises(CorruptError, match="damaged alignment"):
            alignment_in_xml(xml().replace(b"<tvs>1.0,", b"<tvs>" + strange + b","))
        thick = xml().replace(b">25.0<", b">" + strange + b"<")
        assert row_of_xml(thick)["section_thickness"] is None
        assert alignment_in_xml(thick) is None
    with pytest.raises(CorruptError, match="damaged alignment"):
        alignment_in_xml(xml("1,2"))
    assert alignment_in_xml(xml(genes=())) is None
    assert ExpressionGrid is not None


def test_a_zip_without_a_description(tmp_path):
    found = oa.open(grid(tmp_path, None))
    assert (found.data_set, found.data_set_id) == (None, None)
    with pytest.raises(NotFoundError, match=r"no data_set\.xml"):
        _ = found.alignment


# --- the real ones --------------------------------------------------------------------------------


def real(path: str) -> Path:
    if not (SHARED / path).exists():
        pytest.skip(f"{path} is not in {SHARED} (OPENALLEN_TEST_SHARED names another folder)")
    return SHARED / path


@pytest.mark.shared
def test_the_real_zip_says_what_it_is():
    found = oa.open(real(PDYN))
    told = found.data_set
    assert (told.id, told.gene, told.plane, told.specimen_id) == (71717084, "Pdyn", "coronal", 70971025)  # fmt: skip
    assert (told.age, told.reference_space_id, told.section_thickness_um) == ("P56", 9, 25.0)
    assert len(found.alignment) == 112
    # Its images lie inside of the brain, front to back.
    places = [image.to_reference(4000, 3000) for image in found.alignment.images]
    fronts = [place[0] for place in places]
    assert fronts == sorted(fronts, reverse=True)
    assert -2000 < min(fronts) < max(fronts) < 15_000


@pytest.mark.shared
def test_the_real_grid_is_summed_by_the_real_annotation(tmp_path):
    (tmp_path / "P56").mkdir()
    (tmp_path / "P56" / "gridAnnotation.zip").write_bytes(real("grids/P56_Mouse_gridAnnotation.zip").read_bytes())  # fmt: skip
    (tmp_path / "P56" / "structure_graph_1.json").write_bytes(real("atlas/1_adult_mouse_brain_graph.json").read_bytes())  # fmt: skip
    atlas = Atlas(tmp_path / "P56")
    energy = oa.open(real(PDYN)).energy
    sums = atlas.unionizer()(energy)
    # By hand, from the bytes of the service's files alone.
    with zipfile.ZipFile(real(PDYN)) as packed:
        raw = np.frombuffer(packed.read("energy.raw"), "<f4")
    with zipfile.ZipFile(real("grids/P56_Mouse_gridAnnotation.zip")) as packed:
        ids = np.frombuffer(packed.read("gridAnnotation.raw"), "<u4")
    for acronym in ("STR", "TH", "HY", "CP", "ACB", "DG"):
        structure = atlas.structures[acronym]
        below = [structure.id, *(s.id for s in atlas.structures.descendants(structure))]
        here = np.isin(ids, below) & (raw != -1)
        assert sums.loc[structure.id, "voxels"] == here.sum() > 0
        assert np.isclose(sums.loc[structure.id, "mean"], raw[here].mean(dtype=float), rtol=1e-5)
    # Prodynorphin: strong in the nucleus accumbens, weak in the thalamus.
    mean = sums["mean"]
    assert mean[atlas.structures["ACB"].id] > 2 * mean[atlas.structures["TH"].id]


@pytest.mark.shared
def test_pictures_of_the_real_grid(tmp_path):
    figure = tmp_path / "pdyn.png"
    facts = oa.show(real(PDYN))
    told = {field.key or field.name: field.value for field in facts.fields}
    assert told["gene"] == "Pdyn"
    picture = facts.pictures[0].draw()
    picture.savefig(figure)
    assert figure.stat().st_size > 20_000
