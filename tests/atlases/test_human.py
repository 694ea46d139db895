"""Microarrays of the human brain, from a server that answers as the service did."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import pytest

import openallen as oa
from openallen.errors import AnswerError, NotFoundError, OpenAllenError, UsageError
from openallen.sources.atlases.human import microarray_dataset

PROBES = {"PDYN": [1001, 1000], "DRD2": [1002]}
STRUCTURES = [(4249, "Hip", "hippocampal formation"), (4277, "Str", "striatum")]
TVR = [0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 2.0, 10.0, 20.0, 30.0]


def sample(number: int) -> dict:
    structure = dict(zip(("id", "abbreviation", "name"), STRUCTURES[number % 2], strict=True))
    donor = (
        {"id": 9861, "name": "H0351.2001"} if number < 3 else {"id": 10021, "name": "H0351.2002"}
    )
    return {
        "donor": {**donor, "age": "24 years"},
        "sample": {"well": 100 + number, "polygon": 7, "mri": [number, 2, 3]},
        "structure": structure,
        "top_level_structure": structure,
    }


def probe(number: int, samples: int = 4) -> dict:
    symbol = next(gene for gene, ids in PROBES.items() if number in ids)
    return {
        "id": number, "name": f"A_{number}", "gene-symbol": symbol,
        "expression_level": [str(number + at / 10) for at in range(samples)],
        "z-score": [str(at - 1.5) for at in range(samples)],
    }  # fmt: skip


class Service:
    """Answers of one server; counts of the envelope are as bad as they may be."""

    def __init__(self, loopback, **instead) -> None:
        self.instead = {"counts": {"num_rows": 0, "total_rows": 0}, **instead}
        self.server = loopback({"/api/v2/data/query.json": self.answer})
        self.url = self.server.url

    def answer(self, request, reply) -> None:
        (criteria,) = parse_qs(urlsplit(request.target).query).get("criteria") or parse_qs(urlsplit(request.target).query)["q"]  # fmt: skip
        criteria = unquote(criteria)
        counts: dict = {}
        if "human_microarray_expression" in criteria:
            counts = self.instead["counts"]
            ids = [int(word) for word in criteria.partition("[probes$in")[2].partition("]")[0].split(",")]  # fmt: skip
            msg = self.instead.get("msg") or {"probes": [probe(number) for number in ids], "samples": [sample(n) for n in range(4)]}  # fmt: skip
        elif "model::Probe" in criteria:
            gene = criteria.partition("acronym$eq")[2].partition("]")[0].strip("'")
            msg = [{"id": number} for number in PROBES.get(gene, [])]
            counts = {"num_rows": len(msg), "total_rows": len(msg)}
        else:
            assert "model::Specimen" in criteria
            row = {f"tvr_{n:02}": part for n, part in enumerate(TVR)}
            msg = [{"id": 1, "name": "H0351.2001", "alignment3d": row}]
            counts = {"num_rows": 1, "total_rows": 1}
        body = {"success": True, "id": 0, "start_row": 0, **counts, "msg": msg}
        reply.send(json.dumps(self.instead.get("body") if "body" in self.instead and "service" in criteria else body).encode(), headers={"Content-Type": "application/json"})  # fmt: skip


@pytest.fixture(autouse=True)
def _store(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path))
    monkeypatch.setenv("OPENALLEN_ATTEMPTS", "1")


@pytest.mark.parametrize("counts", [{}, {"num_rows": 0, "total_rows": 0}, {"num_rows": 1, "total_rows": 1}, {"num_rows": 2, "total_rows": 2}])  # fmt: skip
def test_probes_by_samples(loopback, counts):
    service = Service(loopback, counts=counts)
    found = oa.human_microarray(["PDYN", "DRD2"], source=service.url)
    assert found.sizes == {"probe": 3, "sample": 4, "xyz": 3}
    assert found.expression.dtype == found.z_score.dtype == "float64"
    assert found["probe"].to_numpy().tolist() == [1000, 1001, 1002]
    assert found["gene"].to_numpy().tolist() == ["PDYN", "PDYN", "DRD2"]
    assert found.expression.sel(probe=1002).to_numpy().tolist() == [1002.0, 1002.1, 1002.2, 1002.3]
    assert found.z_score[0].to_numpy().tolist() == [-1.5, -0.5, 0.5, 1.5]
    assert found["structure"].to_numpy().tolist() == ["Hip", "Str", "Hip", "Str"]
    assert found["donor_id"].to_numpy().tolist() == [9861, 9861, 9861, 10021]
    assert found["well"].to_numpy().tolist() == [100, 101, 102, 103]
    # x, y, z of MNI by the donor's map; the second donor has none here.
    assert found["mni"][1].to_numpy().tolist() == [12.0, 19.0, 36.0]
    assert np.isnan(found["mni"][3]).all()
    assert found["mri"][3].to_numpy().tolist() == [3.0, 2.0, 3.0]
    means = found.expression.groupby("structure").mean()
    assert means.sel(probe=1000, structure="Str").item() == pytest.approx(1000.2)
    asked = [r for r in service.server.seen if "/data/query" in r.target]
    assert len(asked) == 4  # two genes, one answer, the donors' maps


def test_filters_and_lots_of_probes(loopback):
    service = Service(loopback)
    oa.human_microarray(probes=[1000], donors=[9861], structures=["Hip", 4277], source=service.url)
    asked = next(unquote(r.target) for r in service.server.seen if "microarray" in r.target)
    assert "[donors$in9861]" in asked
    assert "[structures$inHip,4277]" in asked
    PROBES["MANY"] = list(range(2000, 2250))
    try:
        found = oa.human_microarray(probes=PROBES["MANY"], source=service.url)
    finally:
        del PROBES["MANY"]
    assert found["probe"].to_numpy().tolist() == list(range(2000, 2250))
    lots = [r for r in service.server.seen if "microarray" in r.target]
    assert len(lots) == 1 + 3


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({}, UsageError, "genes or probes"),
        ({"gene": "PDYN", "probes": [1]}, UsageError, "genes or probes"),
        ({"gene": ""}, UsageError, "acronyms"),
        ({"gene": []}, UsageError, "acronyms"),
        ({"gene": [1]}, UsageError, "acronyms"),
        ({"probes": []}, UsageError, "probes= is empty"),
        ({"probes": ["a"]}, UsageError, "by their ids"),
        ({"probes": [1000], "donors": ["H0351.2001"]}, UsageError, "by their ids"),
        ({"probes": [1000], "structures": []}, UsageError, "structures"),
        ({"probes": [1000], "structures": ["x]"]}, UsageError, "no structure is called"),
        ({"gene": "pdyn"}, NotFoundError, "no probe of 'pdyn'"),
        ({"gene": ["PDYN", "NOPE"]}, NotFoundError, "no probe of 'NOPE'"),
    ],
)
def test_what_makes_no_sense(loopback, given, error, match):
    with pytest.raises(error, match=match) as caught:
        oa.human_microarray(**given, source=Service(loopback).url)
    if given.get("gene") == "pdyn":
        assert caught.value.hint == "human_microarray('PDYN')"


@pytest.mark.parametrize(
    ("instead", "error", "match"),
    [
        ({"msg": {"probes": [], "samples": []}}, NotFoundError, "no sample"),
        ({"msg": {"probes": [probe(1000, 3)], "samples": [sample(n) for n in range(4)]}}, AnswerError, "3 of expression_level, 4 samples"),
        ({"msg": {"probes": [{"id": 1}], "samples": [sample(0)]}}, AnswerError, "without its expression_level"),
        ({"msg": {"probes": ["x"], "samples": [sample(0)]}}, AnswerError, "without its expression_level"),
        ({"msg": {"probes": {"a": 1}, "samples": [sample(0)]}}, AnswerError, "not an answer of the microarray"),
        ({"msg": [{"id": 1}, {"id": 2}]}, AnswerError, "not an answer of the microarray"),
        ({"body": {"success": False, "id": 0, "start_row": 0, "num_rows": 0, "total_rows": 0, "msg": "service down"}}, OpenAllenError, "service down"),
        ({"body": "<html>unavailable</html>"}, OpenAllenError, "object|JSON|answer"),
    ],
)  # fmt: skip
def test_damaged_answers(loopback, instead, error, match):
    with pytest.raises(error, match=match):
        oa.human_microarray(probes=[1000], source=Service(loopback, **instead).url)


def test_samples_without_places_or_names():
    found = microarray_dataset(
        {"probes": [probe(1000, 2)], "samples": [{}, {"sample": {"mri": [1]}}]}
    )
    assert np.isnan(found["mri"]).all()
    assert found["structure"].to_numpy().tolist() == ["", ""]
    with pytest.raises(AnswerError, match="not whole"):
        microarray_dataset({"probes": [probe(1000, 1)], "samples": [sample(0)]}, {"H0351.2001": {"tvr_00": 1}})  # fmt: skip
