"""Visual Coding by address: sessions, events, LFP, channels, in every spelling of an address."""

from __future__ import annotations

import importlib
import io
import json
import os
import pickle
import re
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
from buckets import Published, connect, empty_bucket, serving_s3
from nwbfiles import h5, put_series

import openallen as oa
from openallen.address import Address
from openallen.errors import CorruptError, NotFoundError, TruncatedError, UsageError
from openallen.sessions import NwbTables, ProbeLfp
from openallen.sessions.base import NwbSession, Offer
from openallen.sessions.read import any_session_of
from openallen.settings import Settings
from openallen.sources.context import Context
from openallen.sources.releases import PROJECTS
from openallen.sources.releases.access import release_of
from openallen.sources.releases.offers import offered

BUCKET = "allen-brain-observatory"
WEB = f"https://{BUCKET}.s3.us-west-2.amazonaws.com"
PIXELS = "release:visual-coding-neuropixels"
TWO_PHOTON = "release:visual-coding-2p"
SESSION, PROBE = 715093703, 810755797
FOLDER = f"session_{SESSION}"
CACHE = "visual-coding-neuropixels/ecephys-cache"
CHANNELS = (
    "id,ecephys_probe_id,local_index,anterior_posterior_ccf_coordinate,"
    "dorsal_ventral_ccf_coordinate,left_right_ccf_coordinate,ecephys_structure_id,"
    "ecephys_structure_acronym\n"
    f"850249267,{PROBE},0,8445.0,4013.0,6753.0,215.0,APN\n"
    f"850249269,{PROBE},1,,,,,\n"
)


def lfp_file(path: Path, probe: int = PROBE) -> bytes:
    """Write a file as the LFP of a probe is published: 6 samples of 2 channels."""

    def fill(file: h5py.File) -> None:
        place = f"acquisition/probe_{probe}_lfp"
        put_series(
            file, f"{place}/probe_{probe}_lfp_data", np.arange(12.0).reshape(6, 2), np.arange(6.0)
        )
        file[f"{place}/probe_{probe}_lfp_data/electrodes"] = [0, 1]
        file["general/extracellular_ephys/electrodes/id"] = [850249267, 850249269]

    return h5(path, fill).read_bytes()


def session_file(path: Path) -> bytes:
    return h5(path, lambda f: put_series(f, "processing/running/speed", [1.0, 2.0], [0.5, 1.5]))


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """The bucket of Visual Coding as it is laid out, with made-up content, on a server of its own."""
    with serving_s3() as endpoint:
        yield filled(Published(endpoint, connect(endpoint)), tmp_path_factory.mktemp("files"))


def filled(published: Published, made: Path) -> Published:
    empty_bucket(published.s3, BUCKET)
    events = io.BytesIO()
    np.savez(events, ev=np.arange(6.0).reshape(2, 3))
    session = session_file(made / "session.nwb").read_bytes()
    for key, body in {
        f"{CACHE}/channels.csv": CHANNELS.encode(),
        f"{CACHE}/sessions.csv": f"id,session_type\n{SESSION},brain_observatory_1.1\n".encode(),
        f"{CACHE}/{FOLDER}/{FOLDER}.nwb": session,
        f"{CACHE}/{FOLDER}/{FOLDER}_analysis_metrics.csv": b"unit_id,on_screen_rf\n5,0.5\n",
        f"{CACHE}/{FOLDER}/probe_{PROBE}_lfp.nwb": lfp_file(made / "lfp.nwb"),
        f"{CACHE}/natural_scene_templates/natural_scene_1.tiff": b"not read here",
        "visual-coding-2p/ophys_experiments.json": b"[]",
        "visual-coding-2p/ophys_experiment_data/501940850.nwb": session,
        "visual-coding-2p/ophys_experiment_events/501940850_events.npz": events.getvalue(),
        "visual-coding-2p/ophys_experiment_events/2_events.npz": events.getvalue()[:60],
        "visual-coding-2p/ophys_experiment_analysis/501940850_three_session_A_analysis.h5": b"x",
        "visual-coding-2p/ophys_movies/ophys_experiment_501940850.h5": b"x",
    }.items():
        published.s3.put_object(Bucket=BUCKET, Key=key, Body=body, ACL="public-read")
    return published


@pytest.fixture
def coding(bucket, monkeypatch):
    monkeypatch.setenv("OPENALLEN_S3_ENDPOINT", bucket.endpoint)
    return bucket


NEUROPIXELS = [
    f"{PIXELS}/ecephys_session/{SESSION}",
    f"{PIXELS}/{FOLDER}",
    f"{PIXELS}/{FOLDER}/{FOLDER}.nwb",
    f"{PIXELS}/files/{FOLDER}/{FOLDER}.nwb",
    f"s3://{BUCKET}/{CACHE}/{FOLDER}/{FOLDER}.nwb",
    f"{WEB}/{CACHE}/{FOLDER}/{FOLDER}.nwb",
]
EXPERIMENT = [
    f"{TWO_PHOTON}/ophys_experiment/501940850",
    f"{TWO_PHOTON}/ophys_experiment_data/501940850.nwb",
    f"{TWO_PHOTON}/files/ophys_experiment_data/501940850.nwb",
    f"s3://{BUCKET}/visual-coding-2p/ophys_experiment_data/501940850.nwb",
    f"{WEB}/visual-coding-2p/ophys_experiment_data/501940850.nwb",
]


@pytest.mark.parametrize("address", NEUROPIXELS + EXPERIMENT)
def test_every_spelling_of_a_session_opens_shows_and_fetches_it(coding, address):
    with oa.open(address) as remote:
        assert isinstance(remote, NwbSession)
        assert remote.series("speed").values.tolist() == [1.0, 2.0]
        with pickle.loads(pickle.dumps(remote)) as again:
            assert again.series("speed").equals(remote.series("speed"))
    told = oa.show(address)
    assert "speed" in str(told.to_dict() if hasattr(told, "to_dict") else told)
    assert oa.plan(address).missing_bytes > 0
    path = oa.fetch(address)
    assert path.suffix == ".nwb"
    with oa.open(address) as local:
        assert local.path == path
    assert "speed" in str(oa.show(address))


def test_a_probes_lfp_opens_by_its_id(coding):
    with oa.open(f"{PIXELS}/probe/{PROBE}") as probe:
        assert isinstance(probe, ProbeLfp)
    with oa.open(f"{PIXELS}/{FOLDER}/probe_{PROBE}_lfp.nwb") as probe:
        assert isinstance(probe, ProbeLfp)
    metrics = oa.open(f"{PIXELS}/analysis_metrics/{SESSION}")
    assert metrics.on_screen_rf.tolist() == [0.5]


def test_events_are_the_array_of_their_archive(coding):
    for address in (
        f"{TWO_PHOTON}/events/501940850",
        f"{TWO_PHOTON}/ophys_experiment_events/501940850_events.npz",
        f"s3://{BUCKET}/visual-coding-2p/ophys_experiment_events/501940850_events.npz",
    ):
        assert np.asarray(oa.open(address)).tolist() == [[0, 1, 2], [3, 4, 5]]
    path = oa.fetch(f"{TWO_PHOTON}/events/501940850")
    assert path.name == "501940850_events.npz"
    assert oa.open(TWO_PHOTON).get_ophys_experiment_events(501940850).shape == (2, 3)
    assert oa.show(f"{TWO_PHOTON}/events/501940850")
    with pytest.raises(TruncatedError):
        oa.open(f"{TWO_PHOTON}/events/2")


def test_kinds_of_visual_coding_and_what_they_are_not(coding):
    kinds = oa.open(TWO_PHOTON).manifest.by_kind
    assert {kind: list(files) for kind, files in kinds.items()} == {
        "analysis": ["501940850"],
        "events": ["2", "501940850"],
        "movie": ["501940850"],
        "ophys_experiment": ["501940850"],
        "file": ["ophys_experiments.json"],
    }
    assert len(oa.plan(f"{TWO_PHOTON}/ophys_experiment_events").files) == 2  # as the folder is
    for wrong in ("ophys_experiment/5", "ophys_experiment_data/5.nwb", "session_5", "events/x"):
        for verb in (oa.open, oa.plan, oa.show):
            with pytest.raises(NotFoundError):
                verb(f"{TWO_PHOTON}/{wrong}")
    with pytest.raises(NotFoundError, match="no ecephys_session '5'"):
        oa.open(f"{PIXELS}/session_5")
    with pytest.raises(UsageError):
        oa.open(f"{PIXELS}/{FOLDER}?id=5")


# --- what is offered ------------------------------------------------------------------------------


class Taker(NwbSession):
    takes = ("channels", "lfp")

    def __init__(self, *args, channels=None, lfp=None):
        super().__init__(*args)
        self.channels, self.lfp = channels, lfp


def of_session(context):
    cache, release = release_of(context, Address.parse(PIXELS))
    file = release.file("ecephys_session", SESSION)
    return offered(context.settings, release, cache, file)


def test_a_session_is_offered_its_lfp_and_its_channels(coding):
    with Context(Settings.load()) as context:
        offers = of_session(context)
    # Used when the context is long gone, as an open session is.
    lfp, channels = offers["lfp"].value, offers["channels"].value
    tree = lfp(PROBE, "probeA")()
    assert tree.array(f"acquisition/probe_{PROBE}_lfp/probe_{PROBE}_lfp_data/data").shape == (6, 2)
    tree.close()
    assert lfp(1, "probeB") is None
    frame = channels()
    assert frame.index.tolist() == [850249267, 850249269]
    assert frame.ecephys_structure_acronym.tolist()[0] == "APN"
    assert frame.anterior_posterior_ccf_coordinate.tolist()[0] == 8445.0
    assert frame.isna().iloc[1].all()
    oa.fetch(f"{PIXELS}/probe/{PROBE}")
    tree = lfp(PROBE, "probeA")()
    assert Path(tree.name).is_file()
    tree.close()


def test_what_a_kind_of_file_does_not_take_is_not_pressed_on_it(coding, tmp_path, monkeypatch):
    path = h5(tmp_path / "a.nwb")
    from openallen.formats.nwb import open_h5

    opened = partial(open_h5, path, "a")
    offers = {"lfp": Offer(1), "channels": Offer(2)}
    with any_session_of(opened, "a", **offers) as plain:
        assert type(plain) is NwbTables
    with pytest.raises(UsageError, match="'lfp' is not an option"):
        any_session_of(opened, "a", lfp=1, channels=Offer(2))
    monkeypatch.setattr(Taker, "knows", classmethod(lambda cls, tree: True))
    monkeypatch.setattr("openallen.sessions.read._KINDS", ((__name__, "Taker"),))
    with any_session_of(opened, "a", **offers) as taken:
        assert (taken.lfp, taken.channels) == (1, 2)
    with any_session_of(opened, "a", lfp=5, channels=Offer(2)) as taken:
        assert (taken.lfp, taken.channels) == (5, 2)
    with oa.open(f"{PIXELS}/{FOLDER}") as taken:
        assert type(taken).__name__ == "Taker"
        assert taken.channels().shape == (2, 5)
    with oa.open(f"{PIXELS}/{FOLDER}", lfp=None) as taken:
        assert taken.lfp is None


def test_channels_that_are_no_such_table_are_told(coding, monkeypatch):
    for key, body in {"channels.csv": b"id,x\n1,2\n", "s/5.nwb": b"x"}.items():
        coding.s3.put_object(Bucket=BUCKET, Key=f"odd/{key}", Body=body, ACL="public-read")
    told = {"bucket": BUCKET, "form": "listing", "tables": {"channels": "id"}}
    told["kinds"] = {"ecephys_session": r"s/(?P<id>\d+)\.nwb"}
    monkeypatch.setenv("OPENALLEN_PROJECTS", json.dumps({"odd": told}))
    with Context(Settings.load()) as context:
        cache, release = release_of(context, Address.parse("release:odd"))
        file = release.file("ecephys_session", 5)
        offers = offered(context.settings, release, cache, file)
    with pytest.raises(CorruptError, match="structures"):
        offers["channels"].value()
    assert offers["lfp"].value(1, "probeA") is None


# --- AllenSDK's names on the other releases -------------------------------------------------------


def test_the_natural_movie_is_an_array(release):
    key = "visual-behavior-ophys/resources/Movie_TOE1.npy"
    before = release.s3.get_object(Bucket=release.bucket, Key=key)["Body"].read()
    movie, body = np.arange(24, dtype="uint8").reshape(2, 3, 4), io.BytesIO()
    np.save(body, movie)
    release.put(key, body.getvalue())
    try:
        found = oa.open("release:visual-behavior-ophys/resources/natural_movie")
        assert np.array_equal(found, movie)
        opened = oa.open("release:visual-behavior-ophys@1.0.0")
        assert np.array_equal(opened.get_raw_natural_movie(), movie)
    finally:
        release.put(key, before)


def test_names_of_visual_behavior_ophys_give_its_tables_and_sessions(release):
    opened = oa.open("release:visual-behavior-ophys@1.0.0")
    for name in ("behavior_session", "ophys_session", "ophys_experiment"):
        table = getattr(opened, f"get_{name}_table")()
        assert table.equals(opened.table(f"{name}_table"))
    assert len(opened.get_ophys_cells_table()) == 2
    with opened.get_behavior_ophys_experiment(951980471) as experiment:
        assert len(experiment.dff_traces)
    with opened.get_behavior_session(883986743) as session:
        assert len(session.trials)
    names = opened.list_manifest_file_names()
    assert names == sorted(names)
    assert opened.latest_manifest_file() == opened.current_manifest() == names[-1]


def test_names_of_visual_coding_open_its_sessions(coding):
    with oa.open(PIXELS).get_session_data(SESSION) as session:
        assert isinstance(session, NwbSession)
    with oa.open(TWO_PHOTON).get_ophys_experiment_data(501940850) as session:
        assert isinstance(session, NwbSession)
    with pytest.raises(NotFoundError, match="no eye tracking") as caught:
        oa.open(TWO_PHOTON).get_eye_tracking(501940850)
    assert "release:visual-coding-ophys/eye_tracking/501940850" in caught.value.hint
    for wrong in ("get_ophys_session_table", "get_unit_table"):
        with pytest.raises(NotFoundError):
            getattr(oa.open(TWO_PHOTON), wrong)()


# --- the layout of the real files -----------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.parametrize("session_id", [721123822, 766640955])
def test_a_session_read_remotely_has_allensdks_units_channels_and_lfp(
    bucket, monkeypatch, session_id
):
    usual = Path(__file__).parents[3] / "shared" / "data"
    folder = Path(os.environ.get("OPENALLEN_TEST_SHARED", usual)) / "nwb_observatory"
    if not folder.is_dir():
        pytest.skip("no such files here (OPENALLEN_TEST_SHARED names their folder)")
    cache, own = folder / "ecephys_cache", f"real/{session_id}"
    for path in (*cache.glob("*.csv"), *(cache / f"session_{session_id}").iterdir()):
        key = f"{own}/{path.relative_to(cache).as_posix()}"
        bucket.s3.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes(), ACL="public-read")
    known = PROJECTS["visual-coding-neuropixels"]
    told = {"bucket": BUCKET, "form": "listing", "prefix": f"{own}/", "tables": dict(known.tables)}
    told["kinds"] = {kind.name: kind.pattern for kind in known.kinds}
    monkeypatch.setenv("OPENALLEN_PROJECTS", json.dumps({"real": told}))
    monkeypatch.setenv("OPENALLEN_S3_ENDPOINT", bucket.endpoint)
    monkeypatch.syspath_prepend(str(folder))
    oracle = importlib.import_module("oracle_io").Oracle(
        str(folder / "oracle" / f"ecephys_session_{session_id}")
    )
    with oa.open(f"release:real/ecephys_session/{session_id}") as session:
        if "channels" not in type(session).takes:
            pytest.skip("sessions of Visual Coding Neuropixels have no class of their own")
        for name in ("units", "channels", "structurewise_unit_counts"):
            assert oracle.compare(name, getattr(session, name)) == []
        fields = [n for n in oracle.names() if re.fullmatch(r"get_lfp@\d+", n)]
        assert fields
        for name in fields:
            assert oracle.compare(name, session.get_lfp(int(name.partition("@")[2]))) == []
