"""Visual Behavior Neuropixels: what is abnormal, numbers of mice, sessions, AllenSDK's names."""

from __future__ import annotations

import json
import logging
import os
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from vbncache import NAME, SESSION, TABLES, write_cache

import openallen as oa
from openallen.address import Condition
from openallen.cli.app import root
from openallen.errors import NotFoundError, RefusedError, UsageError
from openallen.sessions import BehaviorEcephysSession, BehaviorSession
from openallen.sources.filters import matches
from openallen.sources.releases.rows import read_rows
from openallen.sources.releases.tables import read_table

AT = f"release:{NAME}"
PYTHON = os.environ.get("OPENALLEN_TEST_ALLENSDK", "")
NORMAL, ALL = [1053941483, 1047977240], [1053941483, 1044594870, 1047969464, 1047977240]


@pytest.fixture
def cache(monkeypatch) -> Path:
    """A cache in the store, and no network."""
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    folder = Path(os.environ["OPENALLEN_STORE"]) / "releases" / NAME
    folder.mkdir(parents=True)
    return write_cache(folder)


# --- what is abnormal -----------------------------------------------------------------------------


def test_abnormal_sessions_are_left_out_by_default_and_that_is_told(cache, caplog):
    release = oa.open(AT)
    with caplog.at_level(logging.INFO, "openallen.releases"):
        table = release.table("ecephys_sessions")
    assert table.index.tolist() == NORMAL
    (note,) = table.attrs["notes"]
    assert note.startswith("2 of 4 sessions have abnormal histology or activity")
    assert "filter_abnormalities=False" in note
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert note in record.getMessage()
    assert oa.open(f"{AT}/ecephys_sessions").index.tolist() == NORMAL


def test_who_asks_for_the_filter_is_not_warned(cache, caplog):
    release = oa.open(AT)
    with caplog.at_level(logging.INFO, "openallen.releases"):
        kept = release.table("ecephys_sessions", filter_abnormalities=True)
    assert kept.index.tolist() == NORMAL
    assert [r.levelno for r in caplog.records] == [logging.INFO]
    whole = release.table("ecephys_sessions", filter_abnormalities=False)
    assert whole.index.tolist() == ALL
    assert "notes" not in whole.attrs
    assert oa.open(f"{AT}/ecephys_sessions", filter_abnormalities=False).equals(whole)
    assert release.to_arrow("ecephys_sessions").num_rows == 2
    assert release.to_arrow("ecephys_sessions", filter_abnormalities=False).num_rows == 4
    assert release.to_polars("ecephys_sessions", filter_abnormalities=False).height == 4


@pytest.mark.parametrize("wanted", [True, False])
def test_tables_that_say_nothing_of_it_refuse_the_option(cache, wanted):
    with pytest.raises(UsageError, match="does not say what is abnormal") as caught:
        oa.open(AT).table("probes", filter_abnormalities=wanted)
    assert "abnormal_histology" in caught.value.why
    assert len(oa.open(AT).table("probes")) == 1


def test_lists_have_every_row_and_say_how_many_are_abnormal(cache):
    rows = oa.list(f"{AT}/ecephys_sessions")
    assert [row["ecephys_session_id"] for row in rows] == ALL
    (note,) = oa.list(f"{AT}/ecephys_sessions").notes
    assert note.startswith("2 of these 4 sessions have abnormal histology or activity")
    command = note.partition(": ")[2].split()[2:]
    told = dict(word.split("=") for word in command[1:])
    assert command[0] == f"{AT}/ecephys_sessions"
    some = oa.list(command[0], **told)
    assert [row["ecephys_session_id"] for row in some] == NORMAL
    assert not oa.list(command[0], **told).notes
    done = CliRunner().invoke(root, ["list", f"{AT}/ecephys_sessions"])
    assert "2 of these 4 sessions" in done.output
    assert not oa.list(f"{AT}/ecephys_sessions", unit_count=2179).notes
    assert len(list(oa.open(AT).rows("ecephys_sessions"))) == 4


# --- mice -----------------------------------------------------------------------------------------


def test_a_mouse_is_a_number_as_in_allensdk(cache):
    release = oa.open(AT)
    for name in ("ecephys_sessions", "behavior_sessions"):
        table = release.table(name)
        assert str(table.dtypes["mouse_id"]) == "int64"
        assert len(table[table.mouse_id == 533537]) == (1 if name == "ecephys_sessions" else 2)
    rows = oa.list(f"{AT}/behavior_sessions").to_pandas()
    assert len(rows[rows.mouse_id == 533537]) == 2


@pytest.mark.parametrize("mouse", [533537, "533537"])
def test_a_filter_takes_a_mouse_as_number_or_text(cache, mouse):
    assert len(list(oa.list(f"{AT}/behavior_sessions", mouse_id=mouse))) == 2
    (path,) = oa.open(AT).fetch("ecephys_session", mouse_id=mouse)
    assert path.name == f"ecephys_session_{SESSION}.nwb"
    done = CliRunner().invoke(
        root, ["list", f"{AT}/ecephys_sessions", f"mouse_id={mouse}", "--json"]
    )
    assert [json.loads(line)["mouse_id"] for line in done.stdout.splitlines()] == [533537]


def test_a_mouse_of_visual_behavior_ophys_stays_text_as_in_allensdk(data):
    path = data / "releases/ophys_session_table.csv"
    table = read_table(path, "visual-behavior-ophys", "ophys_session_id")
    assert (table.mouse_id == "457841").any()
    assert all(isinstance(mouse, str) for mouse in table.mouse_id)
    rows = list(read_rows(path, "visual-behavior-ophys"))
    for mouse in (457841, "457841"):
        given = [Condition.parse(f"mouse_id={mouse}")]
        assert any(matches(row, given) for row in rows)


def test_numbers_with_gaps_are_whole_in_tables_of_sessions_alone(cache):
    release = oa.open(AT)
    assert str(release.table("probes").dtypes["unit_count"]) == "int64"
    assert str(release.table("units").dtypes["ecephys_session_id"]) == "int64"
    assert str(release.table("behavior_sessions").dtypes["ecephys_session_id"]) == "Int64"


def test_cells_keep_the_order_of_their_columns(tmp_path):
    path = tmp_path / "ophys_cells_table.csv"
    path.write_text("cell_roi_id,cell_specimen_id,ophys_experiment_id\n1,,5\n2,7,5\n")
    table = read_table(path, "visual-behavior-ophys", "cell_roi_id")
    assert table.columns.tolist() == ["cell_specimen_id", "ophys_experiment_id"]
    assert str(table.dtypes["cell_specimen_id"]) == "Int64"


# --- sessions -------------------------------------------------------------------------------------


def test_the_behavior_of_a_recorded_session_is_in_its_file(cache):
    with oa.open(f"{AT}/behavior_session/1053960987") as session:
        assert type(session) is BehaviorSession
        assert len(session.trials)
    path = oa.fetch(f"{AT}/behavior_session/1053960987")
    assert path.name == f"ecephys_session_{SESSION}.nwb"
    with oa.open(f"{AT}/behavior_session/1022") as session:
        assert type(session) is BehaviorSession
    for missing in (1048009327, 5):  # recorded in a session without a file; in no table
        for verb in (oa.open, oa.plan):
            with pytest.raises(NotFoundError, match=f"no behavior_session '{missing}'"):
                verb(f"{AT}/behavior_session/{missing}")


# --- AllenSDK's names -----------------------------------------------------------------------------


def test_allensdks_names_give_the_tables_and_sessions(cache):
    release = oa.open(AT)
    assert release.get_ecephys_session_table().index.tolist() == NORMAL
    assert release.get_ecephys_session_table(filter_abnormalities=False).index.tolist() == ALL
    for name, table in {
        "behavior_sessions": release.get_behavior_session_table(),
        "probes": release.get_probe_table(),
        "channels": release.get_channel_table(),
        "units": release.get_unit_table(),
    }.items():
        assert table.equals(release.table(name))
    with release.get_ecephys_session(int(SESSION)) as session:
        assert isinstance(session, BehaviorEcephysSession)
    with release.get_behavior_session(1053960987) as session:
        assert type(session) is BehaviorSession
    with pytest.raises(NotFoundError, match="no table 'ophys_experiment_table'"):
        release.get_ophys_experiment_table()
    with pytest.raises(NotFoundError, match="no 'ophys_experiment'"):
        release.get_behavior_ophys_experiment(1)
    with pytest.raises(NotFoundError):
        release.get_raw_natural_movie()
    with pytest.raises(RefusedError, match="are not made"):
        release.get_natural_movie_template(n_workers=2)


def test_allensdks_names_of_manifests(cache):
    write_cache(cache, "0.10.0")
    names = [f"{NAME}_project_manifest_v{v}.json" for v in ("0.10.0", "0.4.0")]
    older = oa.open(f"{AT}@0.4.0")
    assert older.list_manifest_file_names() == names
    assert older.list_all_downloaded_manifests() == names
    assert older.current_manifest() == names[1]
    assert older.latest_manifest_file() == names[0]
    assert older.latest_downloaded_manifest_file() == names[0]


# --- against AllenSDK itself ----------------------------------------------------------------------

ASK = """
import json, pathlib, sys
from allensdk.brain_observatory.behavior.behavior_project_cache import (
    VisualBehaviorNeuropixelsProjectCache as Cache)
cache = Cache.from_local_cache(cache_dir=sys.argv[1])
to = pathlib.Path(sys.argv[2])
for name, table in {
    "ecephys_sessions": cache.get_ecephys_session_table(),
    "all": cache.get_ecephys_session_table(filter_abnormalities=False),
    "behavior_sessions": cache.get_behavior_session_table(),
    "probes": cache.get_probe_table(),
    "channels": cache.get_channel_table(),
    "units": cache.get_unit_table(),
}.items():
    table.to_csv(to / f"{name}.csv")
    (to / f"{name}.json").write_text(json.dumps({
        "dtypes": {str(n): str(t) for n, t in table.dtypes.items()}, "index": table.index.name}))
(to / "names.json").write_text(json.dumps([
    cache.list_manifest_file_names(), cache.list_all_downloaded_manifests(),
    cache.current_manifest(), cache.latest_manifest_file(),
    cache.latest_downloaded_manifest_file()]))
"""


@pytest.mark.allensdk
@pytest.mark.skipif(not PYTHON, reason="OPENALLEN_TEST_ALLENSDK names no python with AllenSDK")
def test_tables_and_names_are_allensdks(cache, tmp_path):
    for name in TABLES:
        oa.fetch(f"{AT}/{name}")  # which records what AllenSDK looks for
    done = subprocess.run(
        [PYTHON, "-W", "ignore", "-c", ASK, str(cache), str(tmp_path)],
        capture_output=True, text=True, check=False, timeout=170,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    release = oa.open(AT)
    for name in ("all", *TABLES):
        told = {"filter_abnormalities": False} if name == "all" else {}
        mine = release.table("ecephys_sessions" if name == "all" else name, **told)
        theirs = json.loads((tmp_path / f"{name}.json").read_text())
        assert {n: str(t) for n, t in mine.dtypes.items()} == theirs["dtypes"], name
        assert (list(mine.columns), mine.index.name) == (list(theirs["dtypes"]), theirs["index"])
        mine.to_csv(tmp_path / "mine.csv")
        assert (tmp_path / "mine.csv").read_text() == (tmp_path / f"{name}.csv").read_text()
    assert json.loads((tmp_path / "names.json").read_text()) == [
        release.list_manifest_file_names(), release.list_all_downloaded_manifests(),
        release.current_manifest(), release.latest_manifest_file(),
        release.latest_downloaded_manifest_file(),
    ]  # fmt: skip
    assert pd.api.types.is_integer_dtype(release.table("ecephys_sessions").mouse_id)
