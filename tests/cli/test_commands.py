"""The command line as people and scripts meet it: real processes, real output, exit codes."""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest
from assetbucket import publish_assets
from farstores import publish_stores

from openallen.cli.app import COMMANDS
from openallen.errors import ExitCode
from openallen.store import digest_of

STACK = "stack:313862022"
DATA = Path(__file__).parents[1] / "data"


def openallen(*arguments: object, cwd: Path | None = None, **options):
    command = [sys.executable, "-m", "openallen", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, cwd=cwd,
        stdin=subprocess.DEVNULL, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def live(sample_url):
    """Options that make the sample archive the source, without starting it in each process."""
    return ("--source", sample_url)


# --- help -----------------------------------------------------------------------------------------


def test_help_lists_every_command():
    done = openallen("--help")
    assert done.returncode == 0
    assert all(re.search(rf"^  {name} ", done.stdout, re.MULTILINE) for name in COMMANDS)
    assert openallen().returncode in {0, 2}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself_with_examples(name):
    done = openallen(name, "--help")
    assert done.returncode == 0
    assert "Examples:" in done.stdout
    assert done.stdout.startswith(f"Usage: openallen {name} ")


def examples() -> list[str]:
    found = []
    for name in COMMANDS:
        command = import_module(f"openallen.cli.{name}_command").command
        # What serves pages ends with Ctrl-C only.
        serves = {"serve": True, "view": True}.get(name, False)
        found += [line for line, _ in command.examples if not serves or "--links" in line]
    return found


@pytest.fixture(scope="module")
def _assets(published, tmp_path_factory) -> None:
    """The buckets of AIND, on the same S3 server as the releases."""
    found = publish_assets(published.endpoint)
    publish_stores(found, DATA, tmp_path_factory.mktemp("stores"))


@pytest.mark.parametrize("line", examples())
@pytest.mark.usefixtures("_assets")
def test_the_examples_of_help_run(line, tmp_path_factory, example_folder, release):
    arguments = shlex.split(line)[1:]
    done = openallen(*arguments, cwd=example_folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout or done.stderr


@pytest.fixture(scope="module")
def example_folder(tmp_path_factory, sample_url):
    """A folder with the stack the examples of convert speak of."""
    folder = tmp_path_factory.mktemp("examples")
    done = openallen(
        "fetch", STACK, "--to", "cell", "--downsample", "3", "--source", "sample", cwd=folder
    )
    assert done.returncode == 0
    return folder


def test_version():
    from openallen import __version__

    assert openallen("--version").stdout == f"openallen {__version__}\n"


# --- the main job ---------------------------------------------------------------------------------


def test_demo_does_it_all_offline_and_says_what_to_type_next(tmp_path):
    done = openallen("demo", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "openallen-demo" / "planes").glob("*.jpg"))) == 50
    assert (tmp_path / "openallen-demo" / "313862022.ome.zarr" / "zarr.json").exists()
    assert "openallen fetch stack:313862022 --to cell --downsample 3" in done.stdout
    assert "simulated" in done.stderr
    shown = re.search(r'python -c "(.*)"', done.stdout)[1]
    look = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True)
    assert "50 of 50" in look.stdout
    again = json.loads(openallen("demo", "--json", cwd=tmp_path).stdout)
    assert (again["fetched"], again["here"], again["planes"], again["simulated"]) == (
        0,
        57,
        50,
        True,
    )


def test_fetch_prints_its_report_and_a_table_beside_the_manifest(tmp_path, live):
    done = openallen("fetch", STACK, "--to", tmp_path / "c", "--downsample", 5, "--planes", "::10",
                     "--no-projections", "--no-morphology", "--format", "csv", *live)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "5 files" in done.stdout
    rows = list(csv.DictReader((tmp_path / "c" / "planes.csv").read_text().splitlines()))
    assert [r["section_number"] for r in rows if r["path"]] == ["2", "12", "22", "32", "42"]
    assert "planes" in done.stderr  # the plan is talk


def test_fetch_as_json_is_one_document(tmp_path, live):
    to = tmp_path / "c"
    done = openallen("fetch", "image:321549654?downsample=6", "--to", to, "--json", *live,
                     "--planes", 6)  # fmt: skip
    assert done.returncode == 2  # an option of stacks with an image
    done = openallen("fetch", STACK, "--to", to, "--json", "--downsample", 6, *live)
    report = json.loads(done.stdout)["reports"][0]
    assert report["fetched"] == 57
    assert report["failed"] == 0
    assert Path(report["manifest"]) == to / "manifest.json"
    assert all(f["status"] == "fetched" and f["digest"] for f in report["files"])
    assert done.stderr == ""
    again = json.loads(
        openallen("fetch", STACK, "--to", to, "--json", "--downsample", 6, *live).stdout
    )
    assert again["reports"][0]["here"] == 57


def test_a_dry_run_prints_the_plan_and_makes_nothing(tmp_path, live):
    done = openallen("fetch", STACK, "--to", tmp_path / "c", "--dry-run", *live)
    assert done.returncode == 0
    assert "57 files, at least about" in done.stdout
    assert not (tmp_path / "c").exists()
    plan = json.loads(
        openallen("fetch", STACK, "--to", tmp_path / "c", "--dry-run", "--json", *live).stdout
    )
    assert plan["plans"][0]["files_missing"] == 57
    quiet = openallen("fetch", STACK, "--to", tmp_path / "c", "--dry-run", "--ids", *live).stdout
    assert quiet.split()[0] == "planes/0002.jpg"


def test_several_addresses_go_to_a_folder_each(tmp_path, live):
    done = openallen(
        "fetch", "image:321549654?downsample=6", "file:9000000001", "--to", tmp_path, *live
    )
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "321549654_downsample-6.jpg", "specimen_397905347_m.swc",
    ]  # fmt: skip


def test_above_the_threshold_it_asks_and_without_anybody_it_refuses(tmp_path, live):
    where = ("--to", tmp_path / "c", "--downsample", 6, *live)
    small = {**os.environ, "OPENALLEN_CONFIRM_BYTES": "10kB"}
    done = openallen("fetch", STACK, *where, env=small)
    assert done.returncode == ExitCode.REFUSED
    assert "--yes" in done.stderr
    assert not (tmp_path / "c").exists()
    assert openallen("fetch", STACK, "--yes", *where, env=small).returncode == 0


def terminal(arguments: list[str], answer: str, env: dict[str, str]) -> tuple[str, int]:
    """Run on a terminal of its own and answer its question."""
    pid, handle = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, "-m", "openallen", *arguments], env)
    seen = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([handle], [], [], 0.2)[0]:
            try:
                piece = os.read(handle, 4096)
            except OSError:
                break
            if not piece:
                break
            seen += piece
            if answer and b"[y/N]" in seen:
                os.write(handle, answer.encode())
                answer = ""
    _, status = os.waitpid(pid, 0)
    return seen.decode(), os.waitstatus_to_exitcode(status)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 6)])
def test_on_a_terminal_the_question_is_asked(tmp_path, live, answer, code):
    env = {**os.environ, "OPENALLEN_CONFIRM_BYTES": "10kB", "TERM": "xterm"}
    arguments = ["fetch", STACK, "--to", str(tmp_path / "c"), "--downsample", "6", *live]
    seen, returned = terminal(arguments, answer, env)
    assert "Fetch at least about" in seen
    assert returned == code
    assert (tmp_path / "c" / "manifest.json").exists() == (code == 0)


# --- trouble --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["fetch", "stack:1", "--to", "x"], 3, "openallen list stack:"),
        (["fetch", "stack:525011903", "--to", "x"], 3, "no image stack"),
        (["fetch", "stak:1", "--to", "x"], 2, "stack:313862022"),
        (["fetch"], 2, "fetch --help"),
        (["fecth", "stack:1"], 2, "openallen fetch stack:1"),
        (["fetch", "rma:Specimen", "--to", "x"], 2, "cannot be"),
        (["fetch", "grid:5", "--to", "x"], 3, "no such section data set"),
        (["fetch", STACK, "downsample=3"], 2, f"openallen fetch '{STACK}?downsample=3'"),
        (["list", "grid:", "plane=sagital"], 2, "plane=sagittal"),
        (["show", STACK, "--at", "1,2,3"], 2, "--at is for grid: and atlas: addresses only"),
        (
            ["fetch", "atlas:ccf-2017/annotation/30", "--to", "x"],
            2,
            "no such voxel size '30' (sizes: 10, 25, 50, 100",
        ),
        (["fetch", "atlas:cff-2017", "--to", "x"], 3, "atlas:ccf-2017"),
        (
            ["fetch", STACK, "--to", "x", "--include", "energy"],
            2,
            "--include is for cell: and grid: addresses only",
        ),
        (["show", "grid:1", "--source", "sample"], 3, "no such section data set"),
        (["show", STACK, "--plot", "x.png"], 2, "no picture available"),
        (["show", "grid:69855739", "--plot", "x.gif"], 2, ".png, .svg, .pdf"),
        (["list", "grid:", "gen=Pdyn"], 2, "gene"),
        (["fetch", STACK, "--to", "x", "--downsample", "99"], 2, "99 is not in the range"),
        (["fetch", STACK, "--to", "x", "--planes", "a:b"], 2, "--planes 100:200:2"),
        (["fetch", STACK, "--to", "x", "--planes", "90:"], 3, "planes 0 to 49"),
        (["list", "stack:", "width_px__gt=999999"], 3, "nothing matches"),
        (["list", "stack:", "=5"], 2, "not a filter"),
        (["show", "rma:Specimn"], 3, "openallen show rma:Specimen"),
        (["query", "model::X[a"], 2, "^"),
        (["query", "http://api.brain-map.org/api/v2/image_download/5"], 2, "fetch image:ID"),
        (["convert", "stack:5", "--to", "x"], 3, "openallen fetch stack:5"),
        (["serve", "--fault", "delay=1"], 2, "--archive sample"),
        (["serve", "--archive", "sample", "--read-only"], 2, "--read-only does not go with"),
        (["view", "no-such-folder"], 2, "neither an address nor a file or folder"),
        (["serve", "--archive", "/nowhere"], 3, "not an archive"),
        (["fetch", STACK, "--source", "nonsense"], 2, "live, sample"),
    ],
)
def test_what_goes_wrong_has_its_code_and_says_what_to_do(tmp_path, live, arguments, code, says):
    given = (
        arguments
        if "--source" in arguments or arguments[0] in {"serve", "fecth"}
        else [*arguments, *live]
    )
    done = openallen(*given, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x").exists()


def test_errors_as_json_go_to_stdout(live):
    done = openallen("fetch", "stack:1", "--to", "x", "--json", *live)
    error = json.loads(done.stdout)["error"]
    assert (error["kind"], error["exit_code"], error["address"]) == ("NotFoundError", 3, "stack:1")


def test_offline_says_so(tmp_path):
    done = openallen("fetch", STACK, "--to", tmp_path / "x", "--offline")
    assert done.returncode == ExitCode.OFFLINE
    assert "offline" in done.stderr
    assert openallen("show", STACK, "--source", "sample", "--offline").returncode == 0


def test_an_unreachable_service_is_named(tmp_path):
    done = openallen(
        "show",
        STACK,
        "--source",
        "http://127.0.0.1:9",
        env={**os.environ, "OPENALLEN_ATTEMPTS": "1"},
    )
    assert done.returncode == ExitCode.FAILED
    assert "no connection" in done.stderr


def test_some_failed_is_5_with_a_command_for_each(tmp_path, archive):
    url = archive("corrupt@0500304445-0016_")
    env = {**os.environ, "OPENALLEN_ATTEMPTS": "1"}
    done = openallen(
        "fetch", STACK, "--to", tmp_path / "c", "--downsample", 5, "--source", url, env=env
    )
    assert done.returncode == ExitCode.INCOMPLETE
    assert "planes/0017.jpg" in done.stdout
    retry = re.search(r"try: openallen (.*--planes 15)", done.stdout)[1]
    assert openallen(*shlex.split(retry), "--source", url, env=env).returncode != 0
    document = json.loads(openallen("fetch", STACK, "--to", tmp_path / "c", "--downsample", 5,
                                    "--source", url, "--json", env=env).stdout)  # fmt: skip
    failed = [f for f in document["reports"][0]["files"] if f["status"] == "failed"]
    assert [f["path"] for f in failed] == ["planes/0017.jpg"]
    assert failed[0]["retry"].endswith("--planes 15")


def test_many_failures_are_counted_and_their_urls_left_to_json(tmp_path, archive):
    url = archive("corrupt@imageservice")
    env = {**os.environ, "OPENALLEN_ATTEMPTS": "1"}
    done = openallen(
        "fetch", STACK, "--to", tmp_path / "c", "--downsample", 5, "--source", url, env=env
    )
    assert done.returncode == ExitCode.INCOMPLETE
    named = re.findall(r"^  (?:planes|projections)/\S+: (.*)$", done.stdout, re.MULTILINE)
    assert len(named) == 10
    assert not any(url in why for why in named)
    failed = int(re.search(r"failed +(\d+) files", done.stdout)[1])
    assert f"  and {failed - 10} more; all of them with --json" in done.stdout
    assert done.stderr.count("error: ") == 1


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_says_how_to_go_on_and_goes_on(tmp_path, archive, live, how):
    to = tmp_path / "c"
    url = archive("delay=2@imageservice")  # a few at a time: far from all when the signal comes
    command = [sys.executable, "-m", "openallen", "fetch", STACK, "--to", str(to)]
    command += ["--downsample", "5", "--source", url]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 100
    while len(list(to.glob("planes/*.jpg"))) < 10 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(how)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED
    assert "Traceback" not in errors
    assert re.search(r"interrupted: \d+ of 57 files are here and verified", errors)
    assert f"openallen fetch {STACK} --to {to}" in errors
    told = json.loads((to / "manifest.json").read_text())
    here = {p["path"]: p["sha256"] for p in told["planes"] if p["path"]}
    assert 10 <= len(here) < 50
    assert all(digest_of(to / path) == f"sha256:{sha}" for path, sha in here.items())
    assert {p.name for p in to.glob("planes/*")} == {Path(p).name for p in here}


@pytest.mark.slow
def test_killed_at_random_moments_the_stack_is_whole_in_the_end(tmp_path, archive):
    to, url = tmp_path / "c", archive("delay=0.03")
    command = [sys.executable, "-m", "openallen", "fetch", STACK, "--to", str(to)]
    command += ["--downsample", "5", "--source", url, "--json"]
    for wait_s in (0.4, 0.6, 0.5, 0.7, 0.55):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(wait_s)
        process.kill()
        process.communicate()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["reports"][0]["failed"] == 0
    command[6] = str(tmp_path / "whole")
    subprocess.run(command, capture_output=True, check=True)
    files = sorted(p.relative_to(to).as_posix() for p in to.rglob("*") if p.is_file())
    assert files == sorted(
        p.relative_to(tmp_path / "whole").as_posix()
        for p in (tmp_path / "whole").rglob("*")
        if p.is_file()
    )
    for name in files:
        if name != "manifest.json":
            assert (to / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_two_processes_on_one_stack(tmp_path, archive):
    to, url = tmp_path / "c", archive("delay=0.05")
    command = [sys.executable, "-m", "openallen", "fetch", STACK, "--to", str(to)]
    command += ["--downsample", "5", "--source", url, "--json"]
    pair = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    reports = [json.loads(p.communicate(timeout=60)[0])["reports"][0] for p in pair]
    assert [r["failed"] for r in reports] == [0, 0]
    assert sum(r["fetched"] for r in reports) == 57
    assert json.loads((to / "manifest.json").read_text())["plane_count"]["received"] == 50
    assert not [p for p in to.rglob("*") if p.suffix in {".part", ".lease"}]


# --- rows -----------------------------------------------------------------------------------------


def test_the_query_of_the_first_seed(live):
    done = openallen("query", "ProjectionImage", "specimen_id=313862022", "--json", *live)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {r["specimen_id"] for r in rows} == {313862022}
    assert len(rows) == 4
    assert done.stderr == ""


def test_a_filter_without_an_operator_is_warned_of(live):
    done = openallen("query", "model::ProjectionImage,rma::criteria,[specimen_id]", *live)
    assert done.returncode == 0
    assert "has no value" in done.stderr
    assert "50 rows of 54" in done.stderr


def test_what_looks_mistyped_is_doubted_and_asked_all_the_same(live):
    done = openallen("query", "ProjectionImage", "specimn_id=5", *live)
    assert "did you mean specimen_id?" in done.stderr
    assert done.returncode == 1
    assert "does not exist" in done.stderr


@pytest.mark.parametrize("form", ["csv", "xml", "json", "parquet"])
def test_rows_in_every_form(tmp_path, live, form):
    to = tmp_path / f"rows.{form}"
    done = openallen(
        "query", "ProjectionImage", "specimen_id=313862022", "--format", form, "--to", to, *live
    )
    assert done.returncode == 0, done.stderr
    if form == "parquet":
        import pyarrow.parquet as pq

        ids = pq.read_table(to)["id"].to_pylist()
    elif form == "xml":
        ids = [int(i) for i in re.findall(r"<id>(\d+)</id>", to.read_text())]
    elif form == "csv":
        ids = [int(r["id"]) for r in csv.DictReader(to.read_text().splitlines())]
    else:
        ids = [json.loads(line)["id"] for line in to.read_text().splitlines()]
    assert sorted(ids) == [323637357, 323637359, 324089927, 324089932]


def test_parquet_needs_a_file(live):
    assert openallen("query", "ProjectionImage", "--format", "parquet", *live).returncode == 2


def test_includes_orders_columns_counts_and_urls(live):
    done = openallen(
        "query", "NeuronReconstruction", "--include", "well_known_files", "--json", *live
    )
    assert len(json.loads(done.stdout)["well_known_files"]) == 3
    done = openallen("query", "SubImage", "data_set.specimen_id=313862022", "--order", "-section_number",
                     "--only", "id,section_number", "--limit", 2, "--json", *live)  # fmt: skip
    assert [json.loads(line)["section_number"] for line in done.stdout.splitlines()] == [51, 50]
    assert int(openallen("query", "SubImage", "--count", *live).stdout) > 100
    url = openallen("query", "ProjectionImage", "specimen_id=313862022", "--url").stdout.strip()
    assert url.startswith(
        "https://api.brain-map.org/api/v2/data/query.json?criteria=model::ProjectionImage"
    )
    assert "$" in url


def test_all_means_all(live):
    few = openallen("query", "SubImage", "--ids", *live)
    assert len(few.stdout.split()) == 50
    every = openallen("query", "SubImage", "--ids", "--all", *live)
    count = int(openallen("query", "SubImage", "--count", *live).stdout)
    assert len(set(every.stdout.split())) == count > 100


def test_cells_models_and_what_is_in_the_store(live):
    done = openallen("list", "stack:", "--json", "--all", *live)
    assert 313862022 in {json.loads(line)["specimen_id"] for line in done.stdout.splitlines()}
    assert "323865917" in openallen("list", "stack:", "line=Scnn1a-Tg3-Cre", "--ids", *live).stdout
    models = openallen("list", "rma:", "--ids", "--all").stdout.split()
    assert "ProjectionImage" in models
    told = json.loads(openallen("show", "rma:Specimen", "--json").stdout)
    assert told["associations"]["donor"] == {"kind": "belongs_to", "model": "Donor"}


def test_show_tells_facts_sizes_and_a_plan(live):
    told = json.loads(openallen("show", STACK, "--json", *live).stdout)
    assert told["planes"] == 50
    assert told["z_step_um"] == 0.28
    assert told["decoded_bytes"] == 50 * 5760 * 7568 * 3
    assert told["plan"]["files_missing"] == 57
    text = openallen("show", STACK, *live).stdout
    assert "5,760 px, 659 µm" in text
    assert "7,568 px, 866 µm" in text
    assert "6.54 GB" in text


def test_a_damaged_reconstruction_is_named(tmp_path):
    (tmp_path / "bad.swc").write_text("bad\n")
    done = openallen("show", "bad.swc", cwd=tmp_path)
    assert done.returncode == ExitCode.INTEGRITY
    assert done.stderr.startswith("error: bad.swc: not an SWC file (line 1: ")


def test_a_note_is_printed_once(live):
    done = openallen("show", STACK, *live)
    assert done.stdout.count("Sample data: metadata are real") == 1


def test_settings_and_their_origins(tmp_path):
    (tmp_path / "openallen.toml").write_text("attempts = 7\n")
    rows = [
        json.loads(line)
        for line in openallen("config", "--json", "--offline", cwd=tmp_path).stdout.splitlines()
    ]
    told = {r["setting"]: r for r in rows}
    assert told["attempts"]["value"] == 7
    assert told["attempts"]["from"].startswith("project file")
    assert told["offline"]["from"] == "argument"
    assert told["store"]["from"] == "environment OPENALLEN_STORE"


def test_convert_tells_what_it_made(tmp_path, live):
    openallen("fetch", STACK, "--to", tmp_path / "c", "--downsample", 5, "--planes", ":4", *live)
    told = json.loads(
        openallen("convert", tmp_path / "c", "--to", tmp_path, "--gray", "--json").stdout
    )
    assert told["axes"] == "zyx"
    assert told["shape"] == [4, 237, 180]
    assert told["scale_um"] == [0.28, pytest.approx(3.6608), pytest.approx(3.6608)]
    assert len(told["projections"]) == 9
    again = openallen("convert", tmp_path / "c", "--to", tmp_path, "--gray")
    assert again.returncode == ExitCode.REFUSED


def test_convert_puts_the_store_into_the_folder_of_the_stack(tmp_path, live):
    openallen("fetch", STACK, "--to", tmp_path / "c", "--downsample", 6, "--planes", ":2", *live)
    done = openallen("convert", "c", "--gray", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "c" / "313862022.ome.zarr" / "zarr.json").exists()
    shown = re.search(r'python -c "(.*)"', done.stdout)[1]
    look = subprocess.run(
        [sys.executable, "-c", shown], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert "OME-Zarr image" in look.stdout
    again = openallen("convert", "c", "--gray", cwd=tmp_path)
    assert again.returncode == ExitCode.REFUSED
    command = re.search(r"try: openallen (.*)", again.stderr)[1]
    assert openallen(*shlex.split(command), cwd=tmp_path).returncode == 0


def test_a_reader_that_has_seen_enough_is_no_failure(live):
    command = (
        f"{sys.executable} -m openallen query SubImage --all --json {' '.join(live)} | head -2"
    )
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    assert len(done.stdout.splitlines()) == 2


def test_talk_never_goes_to_stdout(tmp_path, live):
    done = openallen(
        "fetch", STACK, "--to", tmp_path / "c", "--downsample", 6, "-q", "--ids", *live
    )
    assert done.stdout == f"{tmp_path / 'c'}\n"
    assert done.stderr == ""


def test_a_copy_of_which_no_digest_is_known_is_not_called_intact(live, tmp_path):
    openallen("fetch", "grid:69855739", "--to", tmp_path / "grid", *live)
    assert openallen("verify", tmp_path / "grid").stdout.startswith("1 intact (")
    (tmp_path / "grid").rename(tmp_path / "moved")
    for command in (("verify",), ("store", "repair")):
        done = openallen(*command, tmp_path / "moved")
        assert done.returncode == ExitCode.NOT_FOUND
        assert "nothing here can be verified (it has no manifest" in done.stderr
