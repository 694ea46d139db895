"""The arithmetic of the page on cost, beside sums done by hand."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "cluster_cost.py"
if not SCRIPT.exists():
    pytest.skip("the benchmarks are not here", allow_module_level=True)
_SPEC = spec_from_file_location("cluster_cost", SCRIPT)
cost = sys.modules["cluster_cost"] = module_from_spec(_SPEC)
_SPEC.loader.exec_module(cost)

RATES = cost.Rates(3.0, 1.0, 2.0, 500.0)
ASSUMED = cost.Assumed(
    cores=2, per_node=4, link_mb_per_s=1250, store_mb_per_s=None, request_bytes=1e6, prefixes=1,
    file_bytes=200e6, work_cpu_s_per_gb=0, start_s=60, node_price_per_h=0.5,
)  # fmt: skip


def test_one_worker_is_held_back_by_its_processors():
    # 5 s of CPU a GB on 2 cores: 400 MB/s; 1 TB in 2,500 s, and a minute to start.
    found = cost.row(1, 1e12, RATES, ASSUMED)
    assert (found.limit, found.mb_per_s, found.nodes) == ("processors", pytest.approx(400), 1)
    assert found.seconds == pytest.approx(2560)
    assert found.node_hours == pytest.approx(2560 / 3600)
    assert found.price == pytest.approx(2560 / 3600 / 2)


def test_each_limit_in_turn():
    # Sixteen workers on 4 nodes: processors 6,400, disks 4 x 500, links 4 x 1,250, bucket 5,500.
    assert cost.limits(16, RATES, ASSUMED) == pytest.approx(
        {"bucket": 5500, "link": 5000, "processors": 6400, "store": 2000}
    )
    fast = replace(RATES, disk_mb_per_s=9999.0)
    assert cost.row(16, 1e12, RATES, ASSUMED).limit == "store"
    assert cost.row(16, 1e12, fast, ASSUMED).limit == "link"
    assert cost.row(256, 1e12, fast, ASSUMED).limit == "bucket"
    assert cost.row(256, 1e12, fast, replace(ASSUMED, store_mb_per_s=100)).seconds == pytest.approx(
        10_060
    )
    # 200 MB are at least 1 s of CPU of one thread, however many workers there are.
    assert cost.row(10_000, 400e6, fast, ASSUMED).limit == "one file"
    assert cost.row(10_000, 400e6, fast, ASSUMED).seconds == pytest.approx(61)
    busy = replace(ASSUMED, work_cpu_s_per_gb=95)
    assert cost.limits(16, RATES, busy)["processors"] == pytest.approx(320)


@given(st.integers(1, 5000), st.floats(1e9, 1e16))
def test_more_workers_are_never_slower_and_never_cheaper_than_the_work(workers, size):
    one, more = (cost.row(n, size, RATES, ASSUMED) for n in (workers, workers + 1))
    assert more.seconds <= one.seconds * (1 + 1e-9)
    able = cost.limits(workers, RATES, ASSUMED)
    assert one.mb_per_s <= min(able.values()) * (1 + 1e-9)
    assert one.node_hours * 3600 * 8 >= size / 1e9 * 5 * (1 - 1e-9)  # 8 cores a node


@pytest.mark.parametrize("given", [(0, 1e12), (1, 0)])
def test_nothing_is_refused(given):
    with pytest.raises(ValueError, match="more than 0"):
        cost.row(*given, RATES, ASSUMED)


@pytest.mark.parametrize(
    ("seconds", "text"), [(61, "61 s"), (600, "10.0 min"), (7200, "2.0 h"), (172800, "2.0 days")]
)
def test_times_are_spoken(seconds, text):
    assert cost.spoken(seconds) == text


def tables() -> list[tuple[str, str]]:
    """The tables of the page, each with the options in the comment before it."""
    page = (ROOT / "docs" / "how-to" / "cost.md").read_text("utf-8")
    return re.findall(r"<!-- cluster_cost\.py (.*?)-->\n(\|.*?\n)\n", page, re.DOTALL)


@pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="the documentation is not here")
def test_the_tables_of_the_page_are_what_the_model_says(monkeypatch, capsys, tmp_path):
    page = (ROOT / "docs" / "how-to" / "cost.md").read_text("utf-8")
    rates = tmp_path / "rates.json"
    rates.write_text(re.search(r"```json\n(.*?)```", page, re.DOTALL)[1])
    found = tables()
    assert len(found) >= 3
    for options, table in found:
        monkeypatch.setattr(sys, "argv", ["x", "--rates", str(rates), *options.split()])
        cost.main()
        assert capsys.readouterr().out.endswith(table), options
