"""The connected services: which there are, what they take, and how they are called."""

from __future__ import annotations

import json
from urllib.parse import unquote

import pytest

import openallen as oa
from openallen.brainmap import parse
from openallen.brainmap.services import SERVICES, service_query
from openallen.errors import UsageError


def test_thirty_services_are_listed_with_their_parameters(sample_url):
    rows = oa.list("rma:services", source=sample_url)
    assert len(rows) == 30
    one = next(row for row in rows if row["service"] == "mouse_connectivity_target_spatial")
    assert one["required"] == ["seed_point"]
    assert "section_data_set" in one["optional"]
    agea = oa.list("rma:services", "required=seed_age", source=sample_url)
    assert [row["service"] for row in agea] == ["dev_mouse_agea", "mouse_agea"]
    for row in rows:
        shown = oa.show(row["address"], source=sample_url)
        assert set(shown.to_dict()["parameters"]) == {*row["required"], *row["optional"]}


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_can_be_called(name):
    known = SERVICES[name]
    given = {key: (known.values.get(key) or (5,))[0] for key in known.required}
    query = service_query(name, given)
    assert parse(str(query)) == query
    with pytest.raises(UsageError, match="is missing"):
        service_query(name, dict(list(given.items())[1:]))
    with pytest.raises(UsageError, match="no parameter 'nonsense'"):
        service_query(name, given | {"nonsense": 1})


def test_a_service_that_does_not_exist_names_the_nearest():
    with pytest.raises(UsageError, match="mouse_correlation"):
        service_query("mouse_corelation", {})


def test_a_service_is_listed_by_its_parameters(loopback, monkeypatch):
    def answer(request, reply):
        told = {"success": True, "id": 0, "start_row": 0, "num_rows": 1, "total_rows": 1}
        reply.send(json.dumps(told | {"msg": [{"id": 7}]}).encode())

    server = loopback({"/api/v2/data/query.json": answer})
    where = "rma:mouse_connectivity_correlation?row=112670853&structures=TH,HY"
    assert [row["id"] for row in oa.list(where, source=server.url)] == [7]
    assert "[row$eq112670853][structures$eqTH,HY]" in unquote(server.seen[-1].target)
    with pytest.raises(UsageError, match="not comparisons"):
        oa.list("rma:mouse_connectivity_correlation", "row__gt=1", source=server.url)
    words = "rma:text_search?query_string=visual&k=5"
    assert [row["id"] for row in oa.list(words, source=server.url)] == [7]
    assert "start_row" not in server.seen[-1].target
