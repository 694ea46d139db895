"""The real rows of all cells, as the site exports them: what lists choose is what pandas chooses."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

import openallen as oa

SHARED = Path(os.environ.get("OPENALLEN_TEST_SHARED", Path(__file__).parents[3] / "shared" / "data"))  # fmt: skip
TABLE = SHARED / "public/celltypes/cell_types_specimen_details.csv"
TEXTS = ("structure__layer", "donor__years_of_seizure_history", "donor__name", "donor__age")
CHOSEN: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "species=Homo Sapiens": lambda t: t.donor__species == "Homo Sapiens",
    "line=Sst-IRES-Cre": lambda t: t.line_name == "Sst-IRES-Cre",
    "area=VISp": lambda t: t.structure_parent__acronym == "VISp",
    "layer=2/3": lambda t: t.structure__layer == "2/3",
    "layer__in=5,6a": lambda t: t.structure__layer.isin(["5", "6a"]),
    "hemisphere=left": lambda t: t.specimen__hemisphere == "left",
    "dendrite_type=sparsely spiny": lambda t: t.tag__dendrite_type == "sparsely spiny",
    "reporter_status=negative": lambda t: t.cell_reporter_status == "negative",
    "has_reconstruction": lambda t: t.nr__reconstruction_type.notna(),
    "has_reconstruction=no": lambda t: t.nr__reconstruction_type.isna(),
    "has_images": lambda t: t.si__path.notna(),
    "has_models": lambda t: (t.m__glif > 0) | (t.m__biophys > 0),
    "has_models=no": lambda t: (t.m__glif == 0) & (t.m__biophys == 0),
    "has_models=glif": lambda t: t.m__glif > 0,
    "has_models=all-active": lambda t: t.m__biophys_all_active > 0,
    "has_models!=biophysical": lambda t: t.m__biophys == 0,
    "donor=312883165": lambda t: t.donor__id == 312883165,
    "ri_mohm>400": lambda t: t.ef__ri > 400,
}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    if not TABLE.exists():
        pytest.skip(f"{TABLE} is not here (OPENALLEN_TEST_SHARED names another folder)")
    return pd.read_csv(
        TABLE, dtype=dict.fromkeys(TEXTS, str), keep_default_na=False, na_values=[""]
    )


@pytest.fixture(scope="module")
def real_url(table, tmp_path_factory) -> Iterator[str]:
    from openallen.archive.app import archive_app
    from openallen.serving.server import serving

    root = tmp_path_factory.mktemp("real")
    (root / "tables").mkdir()
    whole = table.astype(object).where(table.notna(), None).to_dict("records")
    ids = ("donor__id", "structure__id", "nrwkf__id", "erwkf__id", "m__glif", "m__biophys")
    rows = [
        row | {name: None if row[name] is None else int(row[name]) for name in ids} for row in whole
    ]
    text = "\n".join(json.dumps(row) for row in rows)
    (root / "tables/api_cell_types_specimen_details.jsonl").write_text(text + "\n")
    (root / "archive.json").write_text("{}")
    with serving(archive_app(root)) as url:
        yield url


@pytest.mark.shared
@pytest.mark.parametrize("condition", CHOSEN)
def test_filters_choose_the_cells_that_pandas_chooses(table, real_url, condition):
    wanted = sorted(table.specimen__id[CHOSEN[condition](table)])
    assert 0 < len(wanted) < len(table)
    found = oa.list("cell:", condition, source=real_url)
    assert [row["specimen_id"] for row in found] == wanted


@pytest.mark.shared
def test_all_cells_have_all_columns(table, real_url):
    found = oa.list("cell:", source=real_url, service_names=True).to_pandas()
    assert len(found) == len(table) == 2333
    assert set(found.columns) == set(table.columns)
    mine = found.set_index("specimen__id").sort_index()
    theirs = table.set_index("specimen__id").sort_index()
    for name in ("ef__ri", "line_name", "structure__layer", "donor__name"):
        equal = (mine[name] == theirs[name]) | (mine[name].isna() & theirs[name].isna())
        assert equal.all(), name
