"""The job script: what it says, and that it runs; on real SLURM where there is one."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openallen.cli.slurm import Job, seconds_of, slurm_time
from openallen.errors import UsageError

ROOT = Path(__file__).parents[2]
SRUN = r"""#!/bin/bash
# Another program, emulated: runs a command once for each task, on this machine.
tasks=1
while [[ $1 == --* ]]; do [[ $1 == --ntasks=* ]] && tasks=${1#*=}; shift; done
for ((i = 0; i < tasks; i++)); do SLURM_PROCID=$i "$@" & done
trap 'kill -KILL $(jobs -p)' TERM
wait
"""
SBATCH = """#!/bin/bash
cat > "$0.got"; printf '%s\\n' "$@" > "$0.words"; echo '17;here'
"""
SQUARES = """
import os, signal, sys, time
from pathlib import Path
from distributed import Client
with Client() as client:
    print(client.gather(client.map(lambda x: x * x, range(4))), os.environ["OPENALLEN_STORE"], sys.argv[1:])
    Path(sys.argv[1]).write_text("here")
    if len(sys.argv) > 2:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(42))
        time.sleep(100)
sys.exit(3)
"""


def job(**given) -> Job:
    return Job(
        **{"words": ("fetch", "atlas:P56"), "store": Path("/s"), "folder": Path("/f")} | given
    )


def command(*words: object, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | ({} if path is None else {"PATH": f"{path}:/usr/bin:/bin"})
    return subprocess.run(
        [sys.executable, "-m", "openallen", "cluster", "slurm", *map(str, words)],
        capture_output=True, text=True, check=False, timeout=120, env=environment,
    )  # fmt: skip


def program(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    (folder / name).chmod(stat.S_IRWXU)
    return folder


def checked(script: str) -> str:
    """The script, which bash could read as a whole."""
    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return script


# --- what it says ---------------------------------------------------------------------------------


def test_the_script_asks_for_what_was_said():
    script = checked(
        job(
            nodes=4, workers=2, cores=3, memory="4GiB", time="1h30m", partition="compute",
            account="lab-42", qos="high", constraint="intel&ssd", sbatch=("--exclusive", "--gres=disk:1"),
            modules=("python/3.12",), venv=Path("/home/me/my env"), setup=("ulimit -n 4096",),
        ).script()
    )  # fmt: skip
    lines = script.splitlines()
    asked = [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH ")]
    assert asked == [
        "--job-name=openallen", "--nodes=4", "--ntasks=8", "--ntasks-per-node=2", "--cpus-per-task=3",
        "--mem=9216M", "--time=0-01:30:00", "--partition=compute", "--account=lab-42", "--qos=high",
        "--constraint=intel&ssd", "--signal=B:TERM@120", "--output=/f/openallen-%j.log", "--exclusive",
        "--gres=disk:1",
    ]  # fmt: skip
    # SLURM reads options up to the first line that is neither empty nor a comment.
    assert all(line.startswith("#") for line in lines[: len(asked) + 1])
    assert lines[0] == "#!/bin/bash -l"
    setup = [line for line in lines if line.startswith(("module ", ". ", "ulimit "))]
    assert setup == [
        "module load python/3.12",
        ". '/home/me/my env/bin/activate'",
        "ulimit -n 4096",
    ]
    assert "lifetime_s=5100" in lines  # two warnings and the stagger before 5,400
    assert '"$python" -m openallen "$of_openallen" --scheduler "$address" "${words[@]}" &' in script


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("4h", 14400), ("90min", 5400), ("90m", 5400), ("1h30m", 5400), ("2d", 172800), ("30", 1800),
     ("10:30", 630), ("04:00:00", 14400), ("1-12", 129600), ("1-12:30", 131400), ("2-00:00:01", 172801)],
)  # fmt: skip
def test_times_as_people_and_as_slurm_write_them(text, seconds):
    assert seconds_of(text) == seconds
    assert seconds_of(slurm_time(seconds)) == seconds


@pytest.mark.parametrize("minutes", [1, 2, 5, 40, 240, 10_000])
def test_workers_end_before_the_command_is_told_and_that_before_the_time_is_up(minutes):
    made = job(time=str(minutes))
    assert 0 < made.lifetime_s + made.stagger_s <= made.time_s - 2 * made.warning_s
    assert made.warning_s <= 120


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"partition": "a\n#SBATCH --uid=0"}, "--partition"),
        ({"partition": "a b"}, "--partition"),
        ({"partition": ""}, "--partition"),
        ({"account": "$(id)"}, "--account"),
        ({"qos": "`id`"}, "--qos"),
        ({"constraint": "a;b"}, "--constraint"),
        ({"name": "é"}, "--name"),
        ({"name": "../x"}, "--name"),
        ({"interface": "ib0 --x"}, "--interface"),
        ({"sbatch": ("--exclusive\nrm -rf /",)}, "--sbatch"),
        ({"sbatch": ("exclusive",)}, "--sbatch"),
        ({"sbatch": ("--time=1",)}, "--sbatch"),
        ({"sbatch": ("-n 5",)}, "--sbatch"),
        ({"sbatch": ("-n5",)}, "--sbatch"),
        ({"sbatch": ("--nta=5",)}, "--nta is set"),
        ({"sbatch": ("--exclusive --ntasks=5",)}, "--ntasks is set"),
        ({"sbatch": ("--exclusive -n5",)}, "-n is set"),
        ({"sbatch": ("--comment='open",)}, "--sbatch"),
        ({"name": "x" * 201}, "201 characters"),
        ({"modules": ("a\nb",)}, "--module"),
        ({"setup": ("a\rb",)}, "--setup"),
        ({"venv": Path("a\nb")}, "--venv"),
        ({"folder": Path("a\nb")}, "--folder"),
        ({"folder": Path('/a"b')}, "--folder"),
        ({"store": Path("a\x1bb")}, "--store"),
        ({"scratch": "a\nb"}, "--scratch"),
        ({"python": ""}, "--python"),
        ({"memory": "much"}, "--memory"),
        ({"memory": "1MB"}, "--memory"),
        ({"time": "soon"}, "--time"),
        ({"time": "10s"}, "--time"),
        ({"time": "9" * 400}, "--time"),
        ({"words": ()}, "a command"),
        ({"words": ("list", "stack:")}, "'list'"),
        ({"words": ("python",)}, "'python'"),
        ({"words": ("fetch", "a\nb")}, "the command"),
        ({"words": ("fetch", "--scheduler=x")}, "--scheduler"),
    ],
)
def test_what_cannot_stand_in_a_script_is_refused_by_name(given, named):
    with pytest.raises(UsageError, match=re.escape(named)):
        job(**given).script()


@given(st.lists(st.text(st.characters(codec="utf-8")).filter(str.isprintable), max_size=4))
@settings(max_examples=8)
def test_bash_reads_the_words_that_were_given(words):
    script = checked(job(words=("fetch", *words), folder=Path("/a %j'b")).script())
    values = script.partition("set -uo")[0] + 'printf \'%s\\0\' "$folder" "${words[@]}"'
    done = subprocess.run(["bash"], input=values.encode(), capture_output=True, check=True)
    expected = "".join(f"{word}\0" for word in ("/a %j'b", *words))
    assert done.stdout.decode() == expected


def test_the_log_of_a_folder_with_blanks_and_per_cent():
    script = job(folder=Path("/a %j'b")).script()
    assert '#SBATCH --output="/a %%j\'b/openallen-%j.log"\n' in script


@pytest.mark.parametrize(
    ("scratch", "found"),
    [("$NODE_DISK/a b", "/disk 1/a b"), ("${NODE_DISK}", "/disk 1"), ("/local/$X", "/local/$X"), (None, "/disk 1")],
)  # fmt: skip
def test_the_local_disk_is_looked_up_on_the_node(scratch, found):
    line = re.search("^scratch=.*$", job(scratch=scratch).script(), re.MULTILINE)[0]
    code = f'{line}; eval "own=$scratch"; printf %s "$own"'
    environment = {"NODE_DISK": "/disk 1", "TMPDIR": "/disk 1", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        ["bash", "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == found


# --- the command ----------------------------------------------------------------------------------


def test_dry_run_prints_it_and_json_gives_its_parameters(tmp_path):
    told = (
        "--dry-run",
        "--nodes",
        2,
        "--workers",
        3,
        "--folder",
        tmp_path,
        "--store",
        "/scratch/allen",
    )
    plain = command(*told, "--", "fetch", "atlas:P56", "--to", "x y")
    assert (plain.returncode, plain.stderr) == (0, "")
    found = json.loads(command(*told, "--json", "--", "fetch", "atlas:P56", "--to", "x y").stdout)
    assert found["script"].rstrip("\n") == checked(plain.stdout).rstrip("\n")
    parameters = found["parameters"]
    assert (parameters["workers_in_all"], parameters["time_s"], parameters["store"]) == (
        6,
        14400,
        "/scratch/allen",
    )
    assert parameters["command"] == ["fetch", "atlas:P56", "--to", "x y"]
    assert f"python={sys.executable}" in plain.stdout


def test_it_is_handed_to_sbatch(tmp_path):
    programs = program(tmp_path / "bin", "sbatch", SBATCH)
    told = ("--folder", tmp_path / "new", "--", "fetch", "atlas:P56")
    done = command(*told, path=programs)
    assert done.returncode == 0, done.stderr
    assert "submitted as job 17" in done.stdout
    assert str(tmp_path / "new" / "openallen-17.log") in done.stdout
    assert (tmp_path / "new").is_dir()
    assert (programs / "sbatch.words").read_text() == "--parsable\n"
    assert (programs / "sbatch.got").read_text().rstrip() == command(
        "--dry-run", *told
    ).stdout.rstrip()
    assert command("--ids", *told, path=programs).stdout == "17\n"


def test_without_sbatch_and_with_one_that_refuses(tmp_path):
    absent = command("--", "fetch", "atlas:P56", path=tmp_path)
    if shutil.which("sbatch", path="/usr/bin:/bin") is None:
        assert absent.returncode == 3
        assert "there is no sbatch on this machine" in absent.stderr
        assert "openallen cluster slurm --dry-run -- fetch atlas:P56" in absent.stderr
    programs = program(
        tmp_path, "sbatch", "#!/bin/sh\necho 'sbatch: error: invalid partition' >&2; exit 1\n"
    )
    refused = command("--folder", tmp_path, "--", "fetch", "atlas:P56", path=programs)
    assert refused.returncode == 1
    assert "sbatch refused the job (sbatch: error: invalid partition)" in refused.stderr


# --- it runs --------------------------------------------------------------------------------------


def started(tmp_path: Path, name: str, workers: int, *more: str) -> subprocess.Popen[str]:
    programs = program(tmp_path / "bin", "srun", SRUN)
    program_file = tmp_path / "squares.py"
    program_file.write_text(SQUARES)
    made = job(
        words=("python", str(program_file), str(tmp_path / f"{name} came"), *more), workers=workers, cores=1,
        memory="500MB", time="10min", name=name, python=sys.executable, interface="lo",
        store=tmp_path / "my store", folder=tmp_path / "log", scratch="$NODE_DISK/of $me",
    )  # fmt: skip
    # The Python of the tests may find openallen by its path only.
    path = os.pathsep.join((str(ROOT / "src"), os.environ.get("PYTHONPATH", "")))
    environment = os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}", "SLURM_JOB_ID": "17", "PYTHONPATH": path,
        "NODE_DISK": str(tmp_path / name),
    }  # fmt: skip
    (tmp_path / f"{name}.sh").write_text(checked(made.script()))
    return subprocess.Popen(
        ["bash", str(tmp_path / f"{name}.sh")], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env=environment,
    )  # fmt: skip


def test_it_runs_to_its_end_with_the_status_of_the_command_or_ends_when_told(tmp_path):
    ends, told = started(tmp_path, "ends", 2), started(tmp_path, "told", 1, "wait")
    came = time.monotonic() + 100
    while not (tmp_path / "told came").exists() and time.monotonic() < came and told.poll() is None:
        time.sleep(0.1)
    time.sleep(0.5)  # until it listens to signals
    told.send_signal(signal.SIGTERM)
    for one, workers, status in ((ends, 2, 3), (told, 1, 42)):
        out, err = one.communicate(timeout=120)
        assert one.returncode == status, err
        assert f"[0, 1, 4, 9] {tmp_path / 'my store'}" in out
        assert f"{workers} workers\n" in err
        assert f"ended with status {status}" in err
    assert "told to end" in err
    assert list((tmp_path / "log").iterdir()) == []  # files of the scheduler
    for name in ("ends", "told"):
        assert list((tmp_path / name).rglob("openallen-17-*")) == []


def test_a_python_without_openallen_is_named(tmp_path):
    script = job(python="/bin/false", folder=tmp_path).script()
    done = subprocess.run(["bash"], input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "/bin/false on" in done.stderr
    assert "openallen[cluster]" in done.stderr


@pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="the documentation is not here")
def test_the_recipe_with_dask_jobqueue_makes_a_script(tmp_path):
    # Not imported here: it has Ctrl-C raise SystemExit from then on.
    if find_spec("dask_jobqueue") is None:
        pytest.skip("dask-jobqueue is not installed")
    page = (ROOT / "docs" / "how-to" / "slurm.md").read_text("utf-8")
    code = next(b for b in re.findall(r"```py\n(.*?)```", page, re.DOTALL) if "SLURMCluster(" in b)
    done = subprocess.run(
        [sys.executable, "-c", code + "cluster.close()"], cwd=tmp_path, capture_output=True, text=True,
        check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    script = checked(done.stdout)
    for line in ("-p compute", "-A lab-42", "--cpus-per-task=2", "--mem=4G", "-t 04:00:00"):
        assert f"#SBATCH {line}\n" in script
    assert "export OPENALLEN_STORE=/scratch/allen\n" in script
    for option in ("--death-timeout 60", "--lifetime 225m", "--lifetime-stagger 5m"):
        assert option in script


# --- on real SLURM --------------------------------------------------------------------------------

CONF = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0
ReturnToService=2
SlurmctldPort={ctld}
SlurmdPort={d}
StateSaveLocation={folder}/ctld
SlurmdSpoolDir={folder}/d
SlurmctldPidFile={folder}/ctld.pid
SlurmdPidFile={folder}/d.pid
SlurmctldLogFile={folder}/ctld.log
SlurmdLogFile={folder}/d.log
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=3000 State=UNKNOWN
PartitionName=compute Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A cluster of one node: this machine."""
    lacking = [n for n in ("slurmctld", "slurmd", "sbatch", "srun") if shutil.which(n) is None]
    if lacking or os.geteuid():
        pytest.skip(f"needs root and SLURM (Debian: slurm-wlm): {', '.join(lacking) or 'not root'}")
    folder = tmp_path / "slurm"
    for name in ("ctld", "d"):
        (folder / name).mkdir(parents=True)
    values = {"host": socket.gethostname().partition(".")[0], "ctld": free_port(), "d": free_port()}
    text = CONF.format(**values, folder=folder, cpus=os.cpu_count())
    (folder / "slurm.conf").write_text(text)
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n")
    monkeypatch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
    running = [
        subprocess.Popen([name, "-D"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for name in ("slurmctld", "slurmd")
    ]
    until = time.monotonic() + 30
    while said("sinfo", "-h", "-o", "%T") != "idle":
        if time.monotonic() > until or any(one.poll() is not None for one in running):
            pytest.skip(f"SLURM does not start here: {(folder / 'd.log').read_text()[-300:]}")
        time.sleep(0.5)
    yield
    for one in running:
        one.terminate()
    for one in running:
        one.wait(30)


def said(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)
    return done.stdout.strip()


def logs(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.glob("*.log"))


@pytest.mark.slow
@pytest.mark.usefixtures("slurm")
def test_a_fetch_runs_to_its_end_on_slurm(tmp_path, sample_url):
    done = command(
        "--workers", 2, "--cores", 1, "--memory", "500MB", "--time", "10min", "--partition", "compute",
        "--store", tmp_path / "store", "--source", sample_url, "--folder", tmp_path / "my %j log",
        "--setup", f"export PYTHONPATH={ROOT / 'src'}", "--ids", "--",
        "fetch", "stack:313862022", "--downsample", "5", "--planes", "::10", "--no-projections", "--to", tmp_path / "a cell",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    number = done.stdout.strip()
    until = time.monotonic() + 150
    while "JobState=COMPLETED" not in (state := said("scontrol", "show", "job", number)):
        assert "JobState=FAILED" not in state, logs(tmp_path / "my %j log")
        assert time.monotonic() < until, state
        time.sleep(0.5)
    log = (tmp_path / "my %j log" / f"openallen-{number}.log").read_text()
    assert "2 workers" in log
    assert "ended with status 0" in log
    assert len(list((tmp_path / "a cell" / "planes").glob("*.jpg"))) == 5
    assert [p.name for p in (tmp_path / "my %j log").iterdir()] == [f"openallen-{number}.log"]
