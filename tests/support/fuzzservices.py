"""Whole answers of services: brain-map.org, S3; and servers on loopback that give them."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from fuzzseeds import DATA, Seeds, sample
from loopback import Loopback


def answers(_: Path) -> Seeds:
    found = []
    for path in sorted((DATA / "rma").glob("*.json")):
        told = json.loads(path.read_bytes())
        if not isinstance(told, dict):
            continue
        if isinstance(told.get("msg"), list):
            told["msg"] = told["msg"][:3]
        found.append({"SubImage.json": json.dumps(told).encode()})
    xml = b"<Response success='true' start_row='0' num_rows='1' total_rows='1'><genes><gene><id>1</id><acronym nil='true'/></gene></genes></Response>"
    return [
        *found,
        {"Gene.xml": xml},
        {"Gene.xml": (DATA / "rma" / "tabular_response_head.xml").read_bytes()},
        {"Gene.csv": b'id,acronym,name\n1,Pdyn,"a, b"\n2,,\n'},
    ]


def model_descriptions(_: Path) -> Seeds:
    described = {
        "name": "Gene", "table": "genes", "fields": [{"name": "id", "type": "integer"}, {"name": "acronym", "type": "string"}],
        "associations": [{"name": "organism", "type": "belongs_to", "class": "Organism"}],
    }  # fmt: skip
    return [
        {
            "x.json": json.dumps(
                {
                    "success": True,
                    "msg": [
                        {"Gene": {"DataDescription": {"Gene": described}}},
                        {"DataDescription": {"Gene": described}},
                    ][1:],
                }
            ).encode()
        }
    ]


def schema_hints(_: Path) -> Seeds:
    from openallen.brainmap.schema import schema

    whole = schema().to_compact()
    return [
        {
            "x.json": json.dumps(
                {n: whole[n] for n in ("Gene", "SectionDataSet", "Product")}
            ).encode()
        }
    ]


class Answering:
    """A server on loopback that answers with what lies in a folder."""

    def __init__(self) -> None:
        self.folder = Path()
        self.names: dict[str, str] = {}

    @functools.cached_property
    def server(self) -> Loopback:
        """The server, started when it is first asked for."""
        return _Any(self._send)

    def _send(self, request: Any, reply: Any) -> None:
        name = self.names.get(request.target, "")
        path = self.folder / name
        if not name or not path.is_file():
            reply.send(b"not found", "404 Not Found")
        else:
            reply.send(path.read_bytes())


class _Listings:
    """Listings of a bucket."""

    def ask(self, folder: Path) -> None:
        """List a bucket whose pages lie in a folder."""
        from openallen.transport import Http
        from openallen.transport.retry import Retry
        from openallen.transport.s3 import Bucket

        page = (folder / "page.xml").read_bytes()
        server = Loopback({"/b/": lambda q, r: r.send(page)})
        try:
            with Http() as http:
                bucket = Bucket(http=http, name="b", endpoint=server.url, retry=Retry(attempts=1))
                for ask in (bucket.list, bucket.folders, bucket.versions):
                    _refused(
                        lambda ask=ask: [next(it, None) for it in [iter(ask())] for _ in range(50)]
                    )
        finally:
            server.close()


def _refused(do: Callable[[], Any]) -> None:
    from openallen.errors import OpenAllenError

    with suppress(OpenAllenError):
        do()


LISTINGS = _Listings()


def listings(_: Path) -> Seeds:
    plain = b"""<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name>
<Prefix></Prefix><KeyCount>2</KeyCount><MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>
<Contents><Key>a%20b</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified><ETag>&quot;0123&quot;</ETag><Size>5</Size></Contents>
<Contents><Key>k</Key><Size>7</Size></Contents><CommonPrefixes><Prefix>x/</Prefix></CommonPrefixes></ListBucketResult>"""
    versions = b"""<?xml version="1.0"?><ListVersionsResult><IsTruncated>false</IsTruncated><KeyMarker/><VersionIdMarker/>
<Version><Key>k</Key><VersionId>v1</VersionId><IsLatest>true</IsLatest><Size>5</Size><LastModified>2024-01-01T00:00:00Z</LastModified></Version>
<DeleteMarker><Key>d</Key><VersionId>v2</VersionId><IsLatest>true</IsLatest></DeleteMarker></ListVersionsResult>"""
    turned = plain.replace(
        b"<IsTruncated>false", b"<NextContinuationToken>t</NextContinuationToken><IsTruncated>true"
    )
    return [{"page.xml": plain}, {"page.xml": versions}, {"page.xml": turned}]


class _Service(Answering):
    """Answers of the sample archive to what stacks, grids and rows are asked for."""

    asked = (
        ("show", "stack:313862022"), ("list", "stack:"), ("list", "grid:"), ("show", "grid:71717640"),
        ("list", "rma:Gene"), ("show", "structures:1"), ("list", "structures:1"),
    )  # fmt: skip

    def ask(self, folder: Path) -> None:
        """Ask what answers in a folder are answers to."""
        import os
        import tempfile

        import openallen as oa

        self.folder = folder
        with tempfile.TemporaryDirectory(dir=folder.parent) as store:
            os.environ["OPENALLEN_STORE"] = store
            os.environ["OPENALLEN_ATTEMPTS"] = "1"
            os.environ["OPENALLEN_HEAD_TIMEOUT_S"] = "5"
            url = self.server.url
            self.server.seen.clear()
            for verb, address in self.asked:
                _refused(
                    lambda verb=verb, address=address: list(
                        map(str, [getattr(oa, verb)(address, source=url)])
                    )
                )

    def record(self, folder: Path) -> dict[str, bytes]:
        """Ask the sample, and return its answers by the name of their file."""
        import openallen as oa
        from openallen.errors import OpenAllenError

        found: dict[str, bytes] = {}

        def through(url: str) -> None:
            from urllib.request import urlopen

            def send(request: Any, reply: Any) -> None:
                with urlopen(url + request.target, timeout=20) as answer:
                    body = answer.read()
                name = self.names.setdefault(request.target, f"{len(self.names)}.json")
                found[name] = body
                reply.send(body)

            server = _Any(send)
            for verb, address in self.asked:
                try:
                    str(getattr(oa, verb)(address, source=server.url))
                except OpenAllenError:
                    continue
            server.close()

        sample(through)
        return found


class _Any(Loopback):
    """A server that answers every path alike."""

    def __init__(self, handler: Callable[[Any, Any], None]) -> None:
        super().__init__(_Everything(handler))


class _Everything(dict[str, Any]):
    def __init__(self, handler: Callable[[Any, Any], None]) -> None:
        super().__init__()
        self._handler = handler

    def get(self, key: str, default: Any = None) -> Any:
        return self._handler

    def __getitem__(self, key: str) -> Any:
        return self._handler

    def __contains__(self, key: object) -> bool:
        return True


SERVICE = _Service()


def service(folder: Path) -> Seeds:
    return [SERVICE.record(folder)]
