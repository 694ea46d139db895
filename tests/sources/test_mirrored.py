"""Every source answers from a mirror as it does from the service: same rows, facts and files."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import openallen as oa
from openallen import verbs
from openallen.archive import archive_app, serving
from openallen.errors import OpenAllenError
from openallen.mirroring.ledger import Ledger
from openallen.settings import Settings
from openallen.sources.registry import source_classes

FETCHED = {
    "stack:313862022": {"downsample": 5, "planes": ":2"},
    "sections:69855739": {"downsample": 5, "planes": ":2"},
    "cell:313862022": {},
    "model:9000000911": {},
    "grid:69855739": {},
    "grid:181777177?include=data_mask&resolution=100": {},
    "atlas:P56/gridAnnotation": {},
    "atlas:ccf-2017/annotation/100": {},
    "structures:1": {},
    "connectivity:181777177": {},
    "file:197676381": {},
    "image:321549654?downsample=5": {},
    "rma:ProjectionImage?specimen_id=313862022": {},
    "release:visual-behavior-ophys@1.0.0/ophys_experiment/951980471": {},
    "release:visual-behavior-ophys@0.1.0/behavior_session_table": {},
    "release:visual-behavior-ophys@0.2.0/tables": {},
    "release:visual-behavior-ophys": {},
    "asset:ecephys_625749_2022-08-03_15-15-06/behavior/*.csv": {},
    "recording:aind-np2/612962_2022-04-13_19-18-04_ProbeB": {},
    "cell:": {},
    "stack:": {},
    "grid:?gene=Pdyn": {},
}
"""What is mirrored: of each source something, with the options it is fetched with."""
NOT_FETCHED = frozenset({"release:visual-behavior-ophys"})
"""Of these the facts and rows are compared, and the files by other addresses."""


OTHERS = (
    "model::SubImage,rma::criteria,data_set[specimen_id$eq313862022]"
    ",rma::options[only$eq'sub_images.id,sub_images.path'][order$eqsub_images.id]",
    "model::SectionDataSet,rma::criteria,genes[acronym$eqPdyn],rma::include,genes,plane_of_section"
    ",rma::options[only$eqid,genes,acronym,name][order$eqid]",
    "model::Gene,rma::criteria,data_sets[id$eq69855739]",
    "model::ApiCellTypesSpecimenDetail,rma::criteria,[specimen__id$eq313862022]",
    "model::WellKnownFile,rma::criteria,well_known_file_type[name$eqNWBDownload]",
)


@dataclass(frozen=True)
class Side:
    """One of the two that are compared."""

    settings: Settings
    urls: tuple[str, ...]

    def told(self, value: object) -> str:
        """Return an answer as text, without what names this side."""
        text = json.dumps(value, default=str, indent=0, sort_keys=True)
        for url in (str(self.settings.store), *self.urls):
            text = text.replace(url, "HERE")
        return text


@pytest.fixture(scope="module")
def mirror(_buckets, published, sample_url, tmp_path_factory) -> Iterator[tuple[Side, Side, Path]]:
    root = tmp_path_factory.mktemp("mirrored") / "mirror"

    def side(name: str, url: str, endpoint: str = "") -> Side:
        store = tmp_path_factory.mktemp(name)
        found = Settings(store=store, source=url, s3_endpoint=endpoint, attempts=1)
        return Side(found, tuple(filter(None, (f"{url}/s3", url, endpoint))))

    first = side("first", sample_url, published.endpoint)
    oa.mirror(*FETCHED, to=root, settings=first.settings, downsample=5, planes=":2")
    with serving(archive_app(root)) as url:
        yield first, side("then", url), root


def answer(side: Side, work) -> str:
    try:
        return side.told(work())
    except OpenAllenError as error:
        return side.told(str(error))


def test_every_source_is_mirrored():
    schemes = {address.partition(":")[0] for address in FETCHED}
    assert schemes == {source.scheme for source in source_classes()}


def shown(value):
    if isinstance(value, oa.Rows):
        return value.to_dicts()
    return value.to_dict() if hasattr(value, "to_dict") else value


def fetched(side: Side, address: str, to: Path) -> str:
    def work():
        with verbs.preparing(address, to, settings=side.settings, **FETCHED[address]) as prepared:
            report = prepared.run()
        return {
            o.file.path: (o.status, o.size_bytes, o.digest, dict(o.facts)) for o in report.outcomes
        }

    return answer(side, work)


def unlike(first: Side, then: Side, to: Path):
    """Return what a mirror answers differently, as address, question, and both answers."""
    for number, address in enumerate(FETCHED):
        for verb in ("show", "list"):
            came, made = (asked(verb, address, side) for side in (first, then))
            if came != made:
                yield address, verb, came, made
        if address not in NOT_FETCHED:
            came, made = (
                fetched(side, address, at)
                for side, at in ((first, to / f"a{number}"), (then, to / f"b{number}"))
            )
            if came != made:
                yield address, "fetch", came, made


def asked(verb: str, address: str, side: Side):
    return answer(side, lambda: shown(getattr(oa, verb)(address, settings=side.settings)))


def test_a_mirror_answers_as_the_service_does_and_fetches_nothing_twice(mirror, tmp_path):
    first, then, root = mirror
    found = list(unlike(first, then, tmp_path))
    assert not found, "\n".join(
        f"{address} {verb}: " + " ".join(difflib.unified_diff(a.split("\n"), b.split("\n"), n=0))
        for address, verb, a, b in found
    )
    # Queries of others, which nobody asked when the mirror was made: rows are joined anew.
    for query in OTHERS:
        came, made = (oa.query(query, source=side.settings.source).rows() for side in (first, then))
        assert list(made) == list(came), query
    for entry in Ledger(root).entries.values():
        assert len(entry.sha256) == 64
        assert (root / entry.file).stat().st_size == entry.size_bytes
    before = {e.name: e.when for e in Ledger(root).entries.values()}
    report = oa.mirror(to=root, settings=first.settings)
    assert report.ok
    assert not report.fetched
    assert {e.name: e.when for e in Ledger(root).entries.values()} == before
