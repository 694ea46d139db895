"""Filters that match nothing say what there is, asked of a real archive over HTTP."""

from __future__ import annotations

import shlex

import pytest

from openallen.address import Condition
from openallen.brainmap import Client, Search
from openallen.brainmap.near import values_hint
from openallen.errors import UsageError
from openallen.sources.atlases.search import no_grids, search_grids
from openallen.sources.stacks.search import (
    cells_with_planes,
    describe,
    no_cells,
    planes_note,
    search_cells,
)
from openallen.transport import Http, Retry

CELL = 313862022
WITHOUT = 525011903


@pytest.fixture
def client(sample_url):
    with Http() as http:
        yield Client(http=http, base_url=sample_url, source=sample_url, retry=Retry(attempts=1))


def conditions(text: str) -> list[Condition]:
    return [Condition.parse(part) for part in shlex.split(text)]


@pytest.mark.parametrize(
    ("typed", "why", "better"),
    [
        ("species='Homo sapiens'", "values of species: Homo Sapiens, Mus musculus", "species='Homo Sapiens'"),
        ("species=human", "values of species: Homo Sapiens, Mus musculus", ""),
        ("line__like=cux2*", "values of line: ", "line=Cux2-CreERT2"),
        ("donor__species='homo sapiens'", "values of donor__species: ", "donor__species='Homo Sapiens'"),
        (
            "species='homo sapiens' width_px__gt=100",
            "values of species: ", "species='Homo Sapiens' 'width_px__gt=100'",
        ),
        ("width_px__gt=999999", "width_px__gt=999999", ""),
    ],
)  # fmt: skip
def test_cells(client, typed, why, better):
    given = conditions(typed)
    assert list(client.rows(search_cells(given))) == []
    error = no_cells(client, given)
    assert why in error.why
    command = f"openallen list stack: --source {client.base_url} {better}".split()
    assert shlex.split(error.hint) == shlex.split(" ".join(command))
    if better:  # what is suggested is there
        assert list(client.rows(search_cells(conditions(better))))


@pytest.mark.parametrize(
    ("typed", "why", "better"),
    [
        ("gene=pdyn", "values of gene: Adora2a, Pdyn", "gene=Pdyn"),
        ("gene=Pdym plane=coronal", "values of gene: ", "gene=Pdyn plane=coronal"),
        ("product=mous", "values of product: DevMouse, Mouse", "product=Mouse"),
        ("age=p56", "values of age: ", "age=P56"),
        ("reference_space_id=4", "values of reference_space_id: ", ""),
    ],
)
def test_data_sets(client, typed, why, better):
    given = conditions(typed)
    assert list(client.rows(search_grids(given))) == []
    error = no_grids(client, given)
    assert why in error.why
    assert error.hint == f"openallen list grid: --source {client.base_url} {better}".rstrip()
    if better:
        assert list(client.rows(search_grids(conditions(better))))


def test_a_column_with_many_values_says_the_similar_ones(client):
    query = Search.of("Structure").where(*conditions("acronym=visp")).query
    found = values_hint(client, query, conditions("acronym=visp"))
    assert not found.complete
    assert found.values[0] == "VISp"
    assert found.instead == "acronym=VISp"


def test_fields_of_related_rows(client):
    given = conditions("genes.acronym=pdyn")
    (condition,) = given
    inner = Condition("acronym", condition.op, condition.value)
    query = Search.of("SectionDataSet").where("genes", inner).query
    assert values_hint(client, query, given).instead == "genes.acronym=Pdyn"


def test_what_is_right_by_itself_and_what_cannot_be_asked_have_no_hint(client, archive):
    given = conditions("axes=xy projection_function=max id=1")
    query = Search.of("ProjectionImage").where(*given).query
    assert values_hint(client, query, given[:2]) is None
    failing = Client(
        http=client.http, base_url=archive("error@query"), source="x", retry=Retry(attempts=1)
    )
    assert (
        values_hint(failing, search_cells(conditions("species=x")), conditions("species=x")) is None
    )


@pytest.mark.parametrize(
    ("search", "typed", "says"),
    [
        (search_cells, "spcies=x", "openallen list stack: species=x"),
        (search_cells, "Species=x", "openallen list stack: species=x"),
        (search_cells, "nothing_like_it", ""),
        (search_grids, "gen=Pdyn", "openallen list grid: gene=Pdyn"),
        (search_grids, "plane=sagital", "openallen list grid: plane=sagittal"),
    ],
)
def test_unknown_columns_are_refused_before_the_service_is_asked(search, typed, says):
    with pytest.raises(UsageError) as caught:
        search(conditions(typed))
    assert caught.value.hint == says
    assert caught.value.address in {"stack:", "grid:"}
    assert "columns: " in caught.value.why or "values of plane: " in caught.value.why


def test_the_services_own_names_are_columns_too():
    assert "ef__tau$lt20" in str(search_cells(conditions("ef__tau__lt=20")))


# --- which cells have their planes in an archive --------------------------------------------------


def test_which_cells_have_planes_is_one_request(loopback, client):
    assert cells_with_planes(client, [CELL, WITHOUT, 1, CELL]) == {CELL}
    body = b'{"success": true, "total_rows": 627, "msg": [{"specimen_id": 5}, {"specimen_id": 7}]}'
    server = loopback({"/api/v2/data/query.json": lambda q, r: r.send(body)})
    asked = Client(http=client.http, base_url=server.url, retry=Retry(attempts=1))
    assert cells_with_planes(asked, range(400)) == {5, 7}  # the total counts planes, not cells
    assert len(server.seen) == 1
    assert cells_with_planes(asked, []) == set()
    assert len(server.seen) == 1


def test_a_note_says_which_cells_of_an_archive_have_their_images(client):
    listed = [row["specimen__id"] for row in client.rows(search_cells())]
    note = planes_note(client, listed)
    assert note == f"this archive has the images of 1 of these {len(listed)} cells: {CELL}"
    assert planes_note(client, [CELL]) == ""
    assert planes_note(client, [WITHOUT]) == "this archive has the images of 0 of these 1 cells"
    live = Client(http=client.http, base_url="http://127.0.0.1:9", source="live")
    assert planes_note(live, listed) == ""  # asks nobody


def test_a_cell_without_planes_leads_to_one_that_has_them(client):
    from openallen.errors import NotFoundError

    with pytest.raises(NotFoundError, match="no image stack") as caught:
        describe(client, WITHOUT)
    assert caught.value.why == f"this archive has the planes of {CELL} only"
    assert caught.value.hint == f"openallen show stack:{CELL} --source {client.base_url}"
    assert describe(client, CELL).planes_expected == 50
    with pytest.raises(NotFoundError, match="no such cell"):
        describe(client, 1)
