"""The RMA services of an archive, over real HTTP, through our own client."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from openallen.archive.evaluate import evaluate
from openallen.archive.holdings import Holdings
from openallen.brainmap import Client, parse
from openallen.brainmap.answers import read_answer
from openallen.brainmap.schema import Schema, schema
from openallen.errors import AnswerError, CorruptError, NotFoundError
from openallen.transport import Http, Retry


@pytest.fixture(scope="module")
def client(sample_url):
    with Http() as http:
        yield Client(http=http, base_url=sample_url, source="sample", retry=Retry(attempts=1))


def rows(client, text):
    return list(client.rows(parse(text)))


def test_recorded_answers_are_given_again_byte_for_byte_in_meaning(client, data):
    for name, query in (
        (
            "projectionimage_specimen_313862022",
            "model::ProjectionImage,rma::criteria,[specimen_id$eq313862022]",
        ),
        (
            "subimage_stack_specimen_313862022_page0",
            "model::SubImage,rma::criteria,data_set[specimen_id$eq313862022]",
        ),
    ):
        recorded = json.loads((data / "rma" / f"{name}.json").read_text())["msg"]
        given = client.answer(parse(query)).rows
        by_id = lambda row: row["id"]  # noqa: E731
        assert sorted(given, key=by_id) == sorted(recorded, key=by_id)


def test_the_natural_question_gives_the_projections_and_never_the_planes(client):
    assert len(rows(client, "model::SubImage[specimen_id$eq313862022]")) == 4


def test_the_default_page_is_50_rows_and_truncates_a_stack_silently(client):
    answer = client.answer(parse("model::SubImage"))
    assert (len(answer.rows), answer.num_rows, answer.total_rows) == (50, 50, 113)
    assert len(rows(client, "model::SubImage")) == 113


def test_a_subclass_sees_its_own_rows(client):
    assert client.count(parse("model::ProjectionImage")) == 54


@pytest.mark.parametrize(
    ("criteria", "is_wanted"),
    [
        ("[axes$eqxy]", lambda r: r["axes"] == "xy"),
        (
            "[axes$eq'xy'][projection_function$eqmin]",
            lambda r: (r["axes"], r["projection_function"]) == ("xy", "min"),
        ),
        ("[projection_function$inmin,max]", lambda r: True),
        ("[projection_function$nemin]", lambda r: r["projection_function"] != "min"),
        ("[width$gt9000]", lambda r: r["width"] > 9000),
        ("[width$ge5762][width$le5762]", lambda r: r["width"] == 5762),
        ("[width$lt1000]", lambda r: r["width"] < 1000),
        ("[image_type$li'Minimum*']", lambda r: r["image_type"].startswith("Minimum")),
        ("[image_type$li'minimum*']", lambda r: False),
        ("[image_type$il'minimum*']", lambda r: r["image_type"].startswith("Minimum")),
        ("[image_type$li'*Projection_-_xy']", lambda r: False),
        ("[annotated$eqfalse]", lambda r: not r["annotated"]),
        ("[annotated$eqt]", lambda r: r["annotated"]),
        ("[data_set_id]", lambda r: False),
        ("[data_set_id$eqnull]", lambda r: True),
        ("[data_set_id$nenull]", lambda r: False),
        ("[specimen_id]", lambda r: True),
        ("[resolution$eq0.1144]", lambda r: True),
        ("[id$in324089927,323637357,5]", lambda r: r["id"] in {324089927, 323637357}),
        ("[path$il'*HUMAN*']", lambda r: "human" in r["path"]),
    ],
)
def test_filters_of_every_kind(client, criteria, is_wanted):
    text = f"model::ProjectionImage,rma::criteria,{criteria}"
    expected = sorted(r["id"] for r in _recorded() if is_wanted(r))
    assert sorted(r["id"] for r in rows(client, text)) == expected
    assert client.count(parse(text)) == len(expected)


def _recorded() -> list[dict]:
    folder = Path(__file__).parents[1] / "data" / "rma"
    names = ("projectionimage_specimen_313862022", "projectionimage_existence_filter_page0")
    return [r for n in names for r in json.loads((folder / f"{n}.json").read_text())["msg"]]


def test_includes_nest_and_never_restrict(client):
    found = rows(
        client,
        "model::NeuronReconstruction,rma::include,specimen,"
        "well_known_files[well_known_file_type_id$eq303941301](well_known_file_type)",
    )
    assert len(found) == 1
    assert found[0]["specimen"]["id"] == 313862022
    assert [f["well_known_file_type"]["name"] for f in found[0]["well_known_files"]] == [
        "3DNeuronReconstruction"
    ]


def test_a_filter_of_what_is_nested_deeper_restricts_what_it_is_nested_in(client):
    # So AllenSDK asks for the file of one type: it takes the first that comes.
    for kind in ("3DNeuronMarker", "3DNeuronReconstruction"):
        found = rows(
            client,
            "model::Specimen,rma::criteria,[id$eq313862022],rma::include,neuron_reconstructions"
            f"(well_known_files(well_known_file_type[name$eq'{kind}']))",
        )
        files = found[0]["neuron_reconstructions"][0]["well_known_files"]
        assert [file["well_known_file_type"]["name"] for file in files] == [kind]
    found = rows(
        client,
        "model::Specimen,rma::criteria,[id$eq313862022],rma::include,neuron_reconstructions"
        "(well_known_files(well_known_file_type[name$eq'nothing']))",
    )
    assert [row["id"] for row in found] == [313862022]


def test_criteria_through_several_associations(client):
    text = "model::WellKnownFileType,rma::criteria,well_known_files[path$li'*_marker_m.swc']"
    assert [r["name"] for r in rows(client, text)] == ["3DNeuronMarker"]
    text = "model::Specimen,rma::criteria,neuron_reconstructions(well_known_files[well_known_file_type_id$eq480715721])"
    assert [r["id"] for r in rows(client, text)] == [313862022]


def test_order_only_except(client):
    text = "model::ProjectionImage,rma::criteria,[specimen_id$eq313862022],rma::options"
    widths = [r["width"] for r in rows(client, text + "[order$eq'sub_images.width$desc']")]
    assert widths == sorted(widths, reverse=True)
    assert rows(client, text + "[only$eq'id,axes'][order$eqid]")[0] == {
        "id": 323637357,
        "axes": "xy",
    }
    assert "path" not in rows(client, text + "[except$eqpath]")[0]


def test_tabular_answers(client):
    text = (
        "model::WellKnownFile,rma::criteria,well_known_file_type,rma::options"
        "[tabular$eq'well_known_files.id,well_known_file_types.name as kind']"
        "[order$eq'well_known_files.id$desc']"
    )
    found = rows(client, text)
    assert [r["kind"] for r in found[:5]] == [
        "NeuronalModelParameters",
        "NWBDownload",
        "MorphologyThumbnail",
        "3DNeuronMarker",
        "3DNeuronReconstruction",
    ]
    assert set(found[0]) == {"id", "kind"}
    distinct = rows(
        client, "model::ProjectionImage,rma::options[tabular$eq'distinct axes'][order$eqaxes]"
    )
    assert distinct == [{"axes": "xy"}, {"axes": "yz"}]


def test_pages_fit_together(client):
    query = parse("model::ProjectionImage,rma::options[order$eq'sub_images.id$asc']")
    parts = [r for page in client.pages(query, 7) for r in page]
    assert [r["id"] for r in parts] == sorted(r["id"] for r in parts)
    assert len({r["id"] for r in parts}) == 54


def test_pipes_carry_a_column_on(client):
    text = (
        "model::ProjectionImage,rma::criteria,[specimen_id$eq313862022],pipe::list[xids$eq'id'],"
        "model::SubImage[id$in$xids]"
    )
    assert len(client.answer(parse(text)).rows) == 4


def test_several_stages_give_all_their_rows(client):
    stages = ("model::Specimen", "model::WellKnownFileType")
    counts = [len(rows(client, stage)) for stage in stages]
    assert min(counts) > 3
    assert len(rows(client, ",".join(stages))) == sum(counts)


def test_path_forms(client):
    with client.http.get(f"{client.base_url}/api/v2/data/Specimen/313862022.json") as response:
        assert read_answer(response.read(), "json").rows[0]["id"] == 313862022
    with client.http.get(
        f"{client.base_url}/api/v2/data/ProjectionImage/query.csv?criteria=[axes$eqyz]&num_rows=2&only=id"
    ) as response:
        assert len(response.read().splitlines()) == 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("model::ProjectionImages", "is it ProjectionImage"),
        ("model::ProjectionImage[colour$eq1]", "column sub_images.colour does not exist"),
        ("model::ProjectionImage[genes.acronym$eq'x']", "missing FROM-clause"),
        ("model::Specimen,rma::include,nonsense", "Association named 'nonsense'"),
        ("service::mouse_correlation[row$eq1]", "not in this archive"),
        ("model::ProjectionImage[width$eqwide]", "invalid input syntax"),
        ("model::ProjectionImage[annotated$eqmaybe]", "boolean"),
        ("model::ProjectionImage[_type$eqx]", "does not exist"),
    ],
)
def test_what_cannot_be_answered_is_said_in_msg(client, text, says):
    with pytest.raises(AnswerError, match=says.replace("(", r"\(")):
        client.answer(parse(text))


def test_a_malformed_query_is_refused_by_the_service_too(client):
    with client.http.get(
        f"{client.base_url}/api/v2/data/query.json?criteria=model::X[a"
    ) as response:
        envelope = json.loads(response.read())
    assert envelope["success"] is False
    assert "never closed" in envelope["msg"]


def test_known_models_it_holds_nothing_of_are_empty(client):
    assert rows(client, "model::GeneAlias,rma::criteria,[name$eqPdyn]") == []
    assert rows(client, "model::Specimen,rma::criteria,donor[id$eq1]") == []
    assert rows(client, "model::Specimen,rma::include,donor,data_sets")[0]["donor"] is None


def test_text_cannot_reach_the_database(client):
    text = "model::ProjectionImage[path$eq'x\" OR 1=1 --']"
    assert rows(client, text) == []


def test_answers_come_without_a_length(client):
    with client.http.get(client.base_url + "/api/v2/data/Specimen/query.json") as response:
        assert response.length_bytes is None


def test_the_description_of_models_reads_back(client):
    with client.http.get(client.base_url + "/api/v2/data/enumerate.json") as response:
        described = Schema.from_enumerate(json.loads(response.read()))
    assert described.models == schema().models
    with client.http.get(client.base_url + "/api/v2/data/Specimen/describe.json") as response:
        whole = response.read()
    assert list(Schema.from_enumerate(json.loads(whole)).models) == ["Specimen"]
    with client.http.get(client.base_url + "/api/v2/data/Specimen.json") as response:
        assert response.read() == whole
    with client.http.get(client.base_url + "/api/v2/data.json") as response:
        assert Schema.from_enumerate(json.loads(response.read())).models == schema().models


def test_many_ask_at_once(client):
    got: list[int] = []
    threads = [
        threading.Thread(target=lambda: got.append(len(rows(client, "model::SubImage"))))
        for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [113] * 12


# --- folders of one's own -------------------------------------------------------------------------


def put(root: Path, name: str, text: str) -> Path:
    path = root / "tables" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return root


def test_tables_in_every_form(tmp_path):
    put(tmp_path, "genes.csv", "id,acronym,name\n1,Pdyn,prodynorphin\n2,Gad1,\n")
    put(tmp_path, "data_sets.json", '[{"id": 10, "day": "2015-06-18", "tags": [1, 2]}, {"id": 11}]')
    put(tmp_path, "genes_data_sets.jsonl", '{"gene_id": 1, "data_set_id": 10}\n')
    held = Holdings(tmp_path)
    found = evaluate(
        held, parse("model::Gene,rma::criteria,data_sets[id$eq10],rma::include,data_sets")
    )
    assert found.rows == [
        {
            "id": 1,
            "acronym": "Pdyn",
            "name": "prodynorphin",
            "data_sets": [{"id": 10, "day": "2015-06-18", "tags": [1, 2]}],
        }
    ]
    found = evaluate(held, parse("model::DataSet,rma::criteria,genes[acronym$eqGad1]"))
    assert found.rows == []


@pytest.mark.parametrize("text", ["{", "[1, 2]", "[]", ""])
def test_a_table_that_cannot_be_read_is_named(tmp_path, text):
    put(tmp_path, "genes.json", text)
    with pytest.raises(CorruptError, match="a table cannot be read") as caught:
        Holdings(tmp_path)
    assert caught.value.address.endswith("genes.json")


def test_a_folder_that_is_no_archive_is_named(tmp_path):
    with pytest.raises(NotFoundError, match="not an archive"):
        Holdings(tmp_path)
    (tmp_path / "archive.json").write_text("[]")
    with pytest.raises(CorruptError):
        Holdings(tmp_path)
