"""AIND assets: names, the catalogue, listing a bucket; beside peers in the same run.

    python benchmarks/assets.py

Names are the real ones of the tests, repeated; the catalogue is made of 100,000 such. The peer of
the parser is the four published patterns, as they are described, compiled and tried in turn (which
answers wrongly for most names); that of the catalogue is pandas over the same file; that of the
listing is boto3.
"""

from __future__ import annotations

import gzip
import logging
import re
import tempfile
from pathlib import Path
from typing import Any

from openallen.address import Condition
from openallen.sources.assets.catalogues import Catalogue, row_of_name
from openallen.sources.assets.names import parse_name
from timing import timed

DATA = Path(__file__).parents[1] / "tests" / "data" / "assets"
STAMP = r"\d{4}-\d{2}-\d{2}_\d{2}-\d{2}-\d{2}"
PATTERNS = [
    re.compile(rf"^(?P<input>.+?_{STAMP})_(?P<process>.+?)_({STAMP})"),
    re.compile(rf"^(?P<platform>.+?)_(?P<subject>.+?)_({STAMP})$"),
    re.compile(rf"^(?P<subject>.+?)_({STAMP})$"),
    re.compile(rf"^.+?_({STAMP})$"),
]


def names() -> list[str]:
    """Give the real names."""
    return gzip.decompress((DATA / "names.txt.gz").read_bytes()).decode().split()


def parse_a_million() -> None:
    """Parse a million names."""
    known = names()
    many = (known * (1_000_000 // len(known) + 1))[:1_000_000]
    ours = timed(lambda: [parse_name(name) for name in many], 1)

    def patterns() -> None:
        for name in many:
            next((m for p in PATTERNS if (m := p.match(name))), None)

    peer = timed(patterns, 1)
    print(f"parse 1,000,000 names: ours {ours:.2f} s ({1e6 / ours:,.0f} a second)")
    print(f"    published patterns in turn   {peer:.2f} s   {peer / ours:.2f}x ours")


def catalogue(folder: Path) -> None:
    """Filter 100,000 assets."""
    import pandas as pd

    known = names()
    rows = []
    for n in range(100_000):
        row = row_of_name(known[n % len(known)], public=n % 3 > 0)
        rows.append(row | {"name": f"{row['name']}-{n}"})
    Catalogue.write(folder, rows, {"source": "a benchmark"})
    wanted = [Condition.parse(t) for t in ("modality=ecephys", "level=derived", "date>=2023-01-01")]
    warm = Catalogue(folder)
    warm_s = timed(lambda: warm.select(wanted))
    cold_s = timed(lambda: Catalogue(folder).select(wanted))
    table = pd.read_parquet(folder / "catalogue.parquet")

    def peer() -> Any:
        there = table["modalities"].map(lambda words: "ecephys" in words)
        found = table[there & (table["level"] == "derived") & (table["acquired"] >= "2023-01-01")]
        return found.to_dict("records")

    assert len(peer()) == len(warm.select(wanted))
    peer_s = timed(peer)
    peer_cold_s = timed(lambda: pd.read_parquet(folder / "catalogue.parquet")) + peer_s
    count = len(warm.select(wanted))
    print(f"filter 100,000 assets ({count:,} match):")
    print(f"    ours     {warm_s * 1e3:.0f} ms warm, {cold_s * 1e3:.0f} ms cold")
    print(f"    pandas   {peer_s * 1e3:.0f} ms warm, {peer_cold_s * 1e3:.0f} ms cold")
    print(f"    ratio    {peer_s / warm_s:.1f}x warm, {peer_cold_s / cold_s:.1f}x cold")
    limited = timed(lambda: warm.select(wanted, 50))
    print(f"    the first 50 of them: ours {limited * 1e3:.0f} ms")


def prefixes() -> None:
    """List 20,000 folders of a bucket, a thousand to a page."""
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config
    from moto.server import ThreadedMotoServer

    from openallen.transport import Http
    from openallen.transport.s3 import Bucket

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    signed = boto3.client(
        "s3", endpoint_url=url, region_name="us-west-2", aws_access_key_id="x",
        aws_secret_access_key="x",
    )  # fmt: skip
    region = {"LocationConstraint": "us-west-2"}
    signed.create_bucket(Bucket="many", ACL="public-read", CreateBucketConfiguration=region)
    from moto.s3.models import s3_backends

    held = s3_backends["123456789012"]["aws"]
    for n in range(20_000):
        held.put_object("many", f"{n:06}_2024-01-01_00-00-00/x", b"")
    theirs = boto3.client(
        "s3", endpoint_url=url, region_name="us-west-2", config=Config(signature_version=UNSIGNED)
    )

    def peer() -> int:
        pages = theirs.get_paginator("list_objects_v2").paginate(Bucket="many", Delimiter="/")
        return sum(len(page.get("CommonPrefixes", [])) for page in pages)

    with Http() as http:
        bucket = Bucket(http=http, name="many", endpoint=url)
        assert len(list(bucket.folders())) == peer() == 20_000
        ours_s = timed(lambda: list(bucket.folders()), 1)
    peer_s = timed(peer, 1)
    server.stop()
    print(f"list 20,000 folders (the test server takes most of it): ours {ours_s:.2f} s")
    print(f"    boto3   {peer_s:.2f} s   {peer_s / ours_s:.2f}x ours")


def main() -> None:
    """Run all."""
    parse_a_million()
    with tempfile.TemporaryDirectory() as room:
        catalogue(Path(room))
    prefixes()


if __name__ == "__main__":
    main()
