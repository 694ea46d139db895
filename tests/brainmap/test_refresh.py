from __future__ import annotations

import json

import pytest

from openallen.brainmap import Client, Schema, schema
from openallen.brainmap.refresh import refresh
from openallen.brainmap.schema import refreshed_file
from openallen.errors import AnswerError
from openallen.settings import Settings
from openallen.transport import Http, Retry


@pytest.fixture(autouse=True)
def _own_hints():
    schema.cache_clear()
    yield
    schema.cache_clear()


def told(loopback, body: object):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()

    return loopback(
        {"/api/v2/data/enumerate.json": lambda request, reply: reply.send(data)},
    )


def description(**models):
    return {
        "success": True,
        "msg": [
            {
                "DataDescription": {
                    name: {
                        "table": name.lower() + "s",
                        "fields": [{"name": f, "type": t} for f, t in fields.items()],
                        "associations": [{"name": "donors", "type": "has_some", "class": "Donor"}],
                    }
                }
            }
            for name, fields in models.items()
        ],
    }


def ask(server):
    with Http() as http:
        client = Client(http=http, base_url=server.url, retry=Retry(attempts=1))
        return refresh(client, Settings.load().store)


def test_new_models_and_fields_join_the_hints_also_in_later_processes(loopback):
    before = schema()
    assert before.get("Novelty") is None
    server = told(loopback, description(Novelty={"id": "integer"}, Specimen={"mood": "string"}))
    assert list(ask(server).models) == ["Novelty", "Specimen"]
    assert schema().get("Novelty").associations["donors"].model == "Donor"
    known = schema().get("Specimen")
    assert known.field_type("mood") == "string"
    assert set(before.get("Specimen").fields) < set(known.fields)
    assert set(before.models) < set(schema().models)
    assert Schema.from_compact(json.loads(refreshed_file().read_text())).get("Novelty")


@pytest.mark.parametrize(
    "body",
    [b"<!DOCTYPE html><html></html>", b"{", {"msg": "no"}, {"success": True, "msg": []}, [1]],
)
def test_an_answer_that_describes_nothing_leaves_what_was_kept(loopback, body):
    ask(told(loopback, description(Novelty={"id": "integer"})))
    kept = refreshed_file().read_bytes()
    with pytest.raises(AnswerError):
        ask(told(loopback, body))
    assert refreshed_file().read_bytes() == kept
    assert [p.name for p in refreshed_file().parent.iterdir()] == ["schema-hints.json"]


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"A": 5}', '{"A": ["a", "b:zz", ""]}'])
def test_spoilt_hints_are_left_out(text):
    refreshed_file().parent.mkdir(parents=True)
    refreshed_file().write_text(text)
    assert schema().get("Specimen") is not None


def test_the_archive_describes_itself(sample_url):
    with Http() as http:
        found = refresh(Client(http=http, base_url=sample_url), Settings.load().store)
    assert found.get("ProjectionImage") is not None
