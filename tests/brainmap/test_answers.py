from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openallen.archive.envelopes import csv_answer, json_answer, xml_answer
from openallen.archive.evaluate import Result
from openallen.brainmap.answers import read_answer
from openallen.brainmap.schema import Schema, schema
from openallen.errors import AnswerError, OpenAllenError


@pytest.mark.parametrize(
    ("name", "rows", "total"),
    [
        ("projectionimage_specimen_313862022.json", 4, 4),
        ("subimage_stack_specimen_313862022_page0.json", 50, 627),
        ("projectionimage_existence_filter_page0.json", 50, 2686),
        ("empty_result.json", 0, 0),
    ],
)
def test_recorded_answers(data, name, rows, total):
    answer = read_answer((data / "rma" / name).read_bytes(), "json")
    assert (len(answer.rows), answer.num_rows, answer.total_rows) == (rows, rows, total)
    assert answer.start_row == 0


def test_the_same_table_in_two_recorded_formats(data):
    xml = read_answer((data / "rma" / "tabular_response_head.xml").read_bytes(), "xml")
    csv = read_answer((data / "rma" / "tabular_response_head.csv").read_bytes(), "csv")
    assert xml.total_rows == 2994
    assert xml.rows == csv.rows[:2]
    assert xml.rows[0]["array_id"] == 472
    assert xml.rows[0]["rna_in_labeling_reaction"] == 27.69
    assert xml.rows[0]["rna_integrity_number"] is None
    assert xml.rows[0]["barcode"] == "252491510135_1_2"


def test_one_result_written_three_ways_reads_the_same(data):
    rows = json.loads((data / "rma" / "projectionimage_specimen_313862022.json").read_text())["msg"]
    result = Result(rows, 0, 4, "ProjectionImage")
    for body, form in (
        (json_answer(result), "json"),
        (xml_answer(result), "xml"),
        (csv_answer(result), "csv"),
    ):
        assert read_answer(body, form, model="ProjectionImage").rows == rows, form


def test_nested_rows_in_xml_keep_their_shape():
    files = [
        {"id": 1, "path": "/a<b>&c.swc", "well_known_file_type": {"id": 303941301, "name": "x"}},
        {"id": 2, "path": None, "well_known_file_type": None},
    ]
    rows = [
        {"id": 5, "specimen_id": 6, "well_known_files": files},
        {"id": 7, "specimen_id": 8, "well_known_files": []},
    ]
    body = xml_answer(Result(rows, 0, 2, "NeuronReconstruction"))
    assert read_answer(body, "xml", model="NeuronReconstruction").rows == rows


plain = st.one_of(st.none(), st.booleans(), st.integers(-(10**12), 10**12), st.floats(-1e9, 1e9))


@given(st.lists(st.fixed_dictionaries({"a": plain, "b_c": plain}), min_size=1, max_size=5))
def test_untyped_values_are_read_by_their_looks(rows):
    result = Result(rows, 0, len(rows))
    assert read_answer(xml_answer(result), "xml").rows == rows
    assert read_answer(csv_answer(result), "csv").rows == rows


@given(st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc"]), min_size=1))
def test_known_text_columns_stay_text_whatever_they_look_like(text):
    rows = [{"id": 1, "path": text.replace("\r", " ")}]
    for write, form in ((xml_answer, "xml"), (csv_answer, "csv")):
        body = write(Result(rows, 0, 1, "SubImage"))
        assert read_answer(body, form, model="SubImage").rows == rows


GOOD = {
    "success": True,
    "id": 0,
    "start_row": 0,
    "num_rows": 1,
    "total_rows": 1,
    "msg": [{"id": 1}],
}
BAD = {
    "an HTML page": b"<!DOCTYPE html><html>We're sorry",
    "XML": b"<Response success='true'></Response>",
    "nothing": b"",
    "cut JSON": json.dumps(GOOD).encode()[:-9],
    "a list": b"[1, 2]",
    "no msg": b'{"success": true}',
    "msg is a text": json.dumps(GOOD | {"msg": "busy"}).encode(),
    "it failed": json.dumps(GOOD | {"success": False, "msg": "no such column"}).encode(),
    "it failed with rows": json.dumps(GOOD | {"success": False}).encode(),
    "rows are no rows": json.dumps(GOOD | {"msg": [1, 2]}).encode(),
    "a count is no count": json.dumps(GOOD | {"total_rows": "many"}).encode(),
    "a count below zero": json.dumps(GOOD | {"start_row": -1}).encode(),
    "not UTF-8": b'{"msg": "\xff\xfe"}',
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD)
def test_what_is_no_json_answer(body):
    with pytest.raises(AnswerError) as caught:
        read_answer(body, "json", url="http://x/y")
    assert caught.value.address == "http://x/y"
    assert caught.value.retryable


def test_the_services_own_words_are_passed_on():
    with pytest.raises(AnswerError, match="no such column"):
        read_answer(BAD["it failed"], "json")
    with pytest.raises(AnswerError, match="busy"):
        read_answer(BAD["msg is a text"], "json")


@pytest.mark.parametrize(
    "body",
    [
        b"<Response success='false'>no</Response>",
        b"<Response success='true'><a>",
        b"<Other/>",
        b"<html></html>",
        b'<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><Response success=\'true\'>&b;</Response>',
        b"<Response success='true'>" + b"<a>" * 1000,
        b'{"success": true}',
    ],
)
def test_what_is_no_xml_answer(body):
    with pytest.raises(AnswerError):
        read_answer(body, "xml")


@pytest.mark.parametrize(
    "body", [b"<html>x</html>", b'{"success": false, "msg": "no"}', b"a,b\n1,2,3\n", b'a,b\n"1,2\n']
)
def test_what_is_no_csv_answer(body):
    with pytest.raises(AnswerError):
        read_answer(body, "csv")


@given(st.binary(max_size=300), st.sampled_from(["json", "xml", "csv"]))
def test_any_bytes_are_an_answer_or_an_answer_error(body, form):
    try:
        read_answer(body, form)
    except OpenAllenError as error:
        assert isinstance(error, AnswerError)


# --- schema hints ---------------------------------------------------------------------------------


def test_hints_know_models_tables_fields_and_associations():
    known = schema()
    assert len(known.models) > 100
    assert known.table_of("ProjectionImage") == known.table_of("SectionImage") == "sub_images"
    assert known.get("ApiCellTypesSpecimenDetail").field_type("si__path") == "string"
    assert len(known.get("ApiCellTypesSpecimenDetail").fields) == 54
    assert (
        known.get("Specimen").associations["neuron_reconstructions"].model == "NeuronReconstruction"
    )
    assert known.get("Nothing") is None
    assert known.table_of("StructureCategory") == "structure_categories"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("projectionimage", "ProjectionImage"),
        ("Specimens", "Specimen"),
        ("xyzzy", ""),
        ("Specimen", ""),
    ],
)
def test_what_was_meant(typed, meant):
    assert schema().meant(typed) == meant


def test_fields_that_were_meant():
    assert schema().field_meant("SubImage", "sectoin_number") == "section_number"
    assert schema().field_meant("SubImage", "section_number") == ""
    assert schema().field_meant("NoModel", "x") == ""


def test_hints_survive_their_compact_form():
    known = schema()
    again = Schema.from_compact(known.to_compact())
    assert again.models == known.models


def test_a_description_that_is_none_is_refused():
    for answer in ({}, {"msg": [{"X": {}}]}, {"msg": 5}):
        with pytest.raises(AnswerError):
            Schema.from_enumerate(answer)


@pytest.mark.parametrize("body", [b'{"msg":' + b"[" * 100_000, b"[" * 100_000, b'{"a":' * 100_000])
def test_an_answer_nested_too_deeply_is_refused(body):
    with pytest.raises(AnswerError, match="not valid JSON"):
        read_answer(body, "json")


HUGE = "9" * 5001
XML = (
    "<Response success='true' total_rows='{0}'><genes><gene><id>{1}</id></gene></genes></Response>"
)


@pytest.mark.parametrize(
    ("body", "form", "model"),
    [
        (XML.format(1, HUGE), "xml", "Gene"),
        (XML.format(HUGE, 1), "xml", ""),
        (XML.format("²", 1), "xml", ""),
        (XML.format("1_0", 1), "xml", ""),
        (f"id\n{HUGE}\n", "csv", "Gene"),
        (XML.format(1, "1e999"), "xml", "Gene"),
        ("<!DOCTYPE r [<!ENTITY e '5'>]>" + XML.format(1, "&e;"), "xml", ""),
        (XML.format(1, "<a>" * 70 + "</a>" * 70), "xml", ""),
        (json.dumps(GOOD | {"total_rows": HUGE}), "json", ""),
        (json.dumps(GOOD | {"total_rows": "²"}), "json", ""),
        (json.dumps(GOOD).replace('"total_rows": ', f'"total_rows": {HUGE}'), "json", ""),
        ('{"msg": [{"id": ' + HUGE + "}]}", "json", ""),
        ('{"msg": [{"id": 1e999}]}', "json", ""),
        ("[" * 3000, "json", ""),
        ('{"msg": ' + "[" * 3000 + "]" * 3000 + "}", "json", ""),
    ],
)
def test_numbers_and_nesting_that_python_refuses(body, form, model):
    with pytest.raises(AnswerError) as caught:
        read_answer(body.encode(), form, url="http://x/y", model=model)
    assert caught.value.address == "http://x/y"


@pytest.mark.parametrize("encoding", ["utd-8", "rot13", "shift_jis", "idna"])
def test_xml_is_utf_8_whatever_it_says(encoding):
    head = f'<?xml version="1.0" encoding="{encoding}"?>'
    assert read_answer((head + XML.format(1, 7)).encode(), "xml").rows == [{"id": 7}]


def test_a_number_too_large_for_any_column_stays_text_where_no_type_is_known():
    for body, form in ((XML.format(1, "-1e999"), "xml"), ("id\n-1e999\n", "csv")):
        assert read_answer(body.encode(), form).rows == [{"id": "-1e999"}]


MANY = """
import resource, sys
from openallen.brainmap.answers import read_answer
from openallen.errors import AnswerError
good = b"<Response success='true'><genes><gene><id>1</id></gene></genes></Response>"
assert read_answer(good, 'xml').rows == [{'id': 1}]
limit = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize() + (600 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
bodies = (
    b"<a/>" * 10_000_000, b"<a>" * 10_000_000, b"a<b/>" * 500_000, b"x" * (100 << 20),
    b"".join(b"<a%d/>" % n for n in range(1_000_000)),
)
for body in bodies:
    try:
        print(len(read_answer(b"<Response success='true'>" + body + b"</Response>", 'xml').rows))
    except AnswerError as error:
        print(error.what, error.why)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
def test_an_answer_of_millions_of_elements_takes_a_few_hundred_megabytes_at_most():
    done = subprocess.run(
        [sys.executable, "-c", MANY], capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr[-800:]
    many, deep, mixed, text, names = done.stdout.splitlines()
    assert many == "the answer is too large 2,000,001 elements of 2 names"
    assert deep.endswith("nested too deeply")
    assert (mixed, text) == ("0", "0")
    assert names.endswith("of 10,001 names")
