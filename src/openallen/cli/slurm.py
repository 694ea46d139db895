"""A job script for SLURM: dask's scheduler, workers on all nodes, and a command that uses them.

The body of the script never changes: what differs stands above it, as options of ``sbatch`` and as
quoted values of variables. So no value can become a part of the program.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from openallen.errors import UsageError
from openallen.harmless import harmless
from openallen.settings import parse_bytes
from openallen.version import __version__

__all__ = ["Job", "seconds_of", "slurm_time"]

ON_CLUSTERS: Final = ("fetch", "convert", "bench")
"""The commands that take ``--scheduler``."""
_MIB: Final = 1 << 20
_LEAD_BYTES: Final = 1 << 30
"""Memory of each node beside that of its workers: the first has the scheduler and the command."""
_UNITS: Final = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_LONGEST_WORD: Final = 200
"""More than any name has; the log is called after that of the job."""
_OURS: Final = frozenset({
    "--account", "--chdir", "--constraint", "--cpus-per-task", "--error", "--job-name", "--mem",
    "--mem-per-cpu", "--nodes", "--ntasks", "--ntasks-per-node", "--output", "--partition", "--qos",
    "--signal", "--time", "--wrap", "-A", "-C", "-D", "-J", "-N", "-c", "-e", "-n", "-o", "-p",
    "-q", "-t",
})  # fmt: skip
"""Options of sbatch that the script sets itself, or that would take away what it needs."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a job is made of.

    Parameters
    ----------
    words
        The command: of openallen, or ``python`` and its arguments.
    store, folder
        The store, and the folder of the log and of the scheduler's address; both shared by all
        nodes.
    nodes, workers, cores
        How many nodes, workers on each, and processors for each worker.
    memory
        Memory of each worker, as ``4GB``.
    time
        Wall time: as SLURM writes it, or as ``4h``.
    partition, account, qos, constraint, name
        Options of sbatch; None to leave one out.
    sbatch
        More options of sbatch, one each.
    modules, venv, setup
        What is loaded first: environment modules, a virtual environment, lines of bash.
    python
        The Python that has openallen on the nodes.
    interface
        Network interface of scheduler and workers; None for that of the host's name.
    scratch
        Local disk of each node; it may begin with a variable of the node, ``$TMPDIR``. None for
        ``$SLURM_TMPDIR``, ``$TMPDIR`` or ``/tmp``, whichever is there.
    source
        Where the services are; None for what the nodes are set to.
    """

    words: tuple[str, ...]
    store: Path
    folder: Path
    nodes: int = 1
    workers: int = 1
    cores: int = 2
    memory: str = "4GB"
    time: str = "4h"
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    name: str = "openallen"
    sbatch: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    venv: Path | None = None
    setup: tuple[str, ...] = ()
    python: str = "python"
    interface: str | None = None
    scratch: str | None = None
    source: str | None = None

    def __post_init__(self) -> None:
        for option in ("partition", "account", "qos", "constraint", "name", "interface"):
            _word(option, getattr(self, option))
        for option, value in self._texts():
            _line(option, value)
        for line in self.sbatch:
            _not_ours(line)
        _command(self.words)
        if self.memory_bytes < 256 * _MIB:
            raise UsageError("--memory is too little for a worker", why="less than 256 MiB")
        if self.time_s < 60:
            raise UsageError("--time is less than a minute", why="SLURM counts minutes")

    def _texts(self) -> Iterator[tuple[str, str]]:
        for option in ("sbatch", "modules", "setup", "words"):
            for value in getattr(self, option):
                yield option.removesuffix("s") if option == "modules" else option, value
        for option in ("store", "folder", "venv", "python", "scratch", "source"):
            value = getattr(self, option)
            if value is not None:
                yield option, str(value)

    @property
    def memory_bytes(self) -> int:
        """Memory of each worker, in bytes."""
        try:
            return parse_bytes(self.memory)
        except ValueError as error:
            raise UsageError("--memory is not a size", why=str(error), hint="4GB") from None

    @property
    def time_s(self) -> int:
        """Wall time, in seconds."""
        return seconds_of(self.time)

    @property
    def warning_s(self) -> int:
        """How long before its end SLURM tells the job, in seconds."""
        return max(1, min(120, self.time_s // 20))

    @property
    def stagger_s(self) -> int:
        """By how much the lives of workers differ at most, to either side, in seconds."""
        return max(1, self.warning_s // 2)

    @property
    def lifetime_s(self) -> int:
        """How long a worker takes work, in seconds.

        All have ended, and given back what they had, when the command is told to: that comes up
        to a minute early, as SLURM's manual says, so this leaves one in long jobs.
        """
        return self.time_s - 2 * self.warning_s - self.stagger_s

    @property
    def count(self) -> int:
        """How many workers there are in all."""
        return self.nodes * self.workers

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters, with those that follow from others."""
        told = {f.name: getattr(self, f.name) for f in fields(self)}
        told = {k: str(v) if isinstance(v, Path) else v for k, v in told.items()}
        told["command"] = list(told.pop("words"))
        return told | {
            "workers_in_all": self.count,
            "memory_bytes": self.memory_bytes,
            "time_s": self.time_s,
            "lifetime_s": self.lifetime_s,
            "lifetime_stagger_s": self.stagger_s,
            "warning_s": self.warning_s,
            "log": str(self.log("%j")),
            "scheduler_file": str(self.folder / f"{self.name}-%j.scheduler.json"),
        }

    def log(self, number: str) -> Path:
        """Return the path of the log of a job with a number."""
        return self.folder / f"{self.name}-{number}.log"

    def script(self) -> str:
        """Return the job script, whole."""
        return "\n".join((*self._head(), "", *self._values(), "", *self._setup(), _BODY))

    def _head(self) -> Iterator[str]:
        memory = -(-(self.workers * self.memory_bytes + _LEAD_BYTES) // _MIB)
        log = str(self.folder).replace("%", "%%") + f"/{self.name}-%j.log"
        told: dict[str, object] = {
            "job-name": self.name,
            "nodes": self.nodes,
            "ntasks": self.count,
            "ntasks-per-node": self.workers,
            "cpus-per-task": self.cores,
            "mem": f"{memory}M",
            "time": slurm_time(self.time_s),
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "constraint": self.constraint,
            "signal": f"B:TERM@{self.warning_s}",
            "output": _sbatch_quoted(log),
        }
        # A login shell, for `module`; without modules, the fewer files that are read the better.
        yield "#!/bin/bash -l" if self.modules else "#!/bin/bash"
        yield from (f"#SBATCH --{k}={v}" for k, v in told.items() if v is not None)
        yield from (f"#SBATCH {line}" for line in self.sbatch)
        yield "#"
        yield f"# Made by openallen {__version__}: the scheduler and the command on the first node,"
        yield f"# workers on each node: {self.workers}. The log's folder must exist beforehand."

    def _values(self) -> Iterator[str]:
        alone = self.words[0] == "python"
        values: dict[str, object] = {
            "name": self.name,
            "folder": self.folder,
            "store": self.store,
            "source": self.source or "",
            "python": self.python,
            "count": self.count,
            "per_node": self.workers,
            "cores": self.cores,
            "memory_bytes": self.memory_bytes,
            "lifetime_s": self.lifetime_s,
            "stagger_s": self.stagger_s,
            "interface": self.interface or "",
            "of_openallen": "" if alone else self.words[0],
        }
        yield from (f"{name}={shlex.quote(str(value))}" for name, value in values.items())
        # Looked up on each node, since its local disk may have a name of its own.
        yield f"scratch={shlex.quote(_scratch(self.scratch))}"
        yield f"words=({' '.join(shlex.quote(word) for word in self.words[1:])})"

    def _setup(self) -> Iterator[str]:
        yield from (f"module load {shlex.quote(name)}" for name in self.modules)
        if self.venv is not None:
            yield f". {shlex.quote(str(self.venv / 'bin' / 'activate'))}"
        yield from self.setup


def seconds_of(text: str) -> int:
    """Return a wall time in seconds.

    Parameters
    ----------
    text
        ``4h``, ``1h30m``, ``2d``; or as SLURM writes it: minutes, ``M:S``, ``H:M:S``, ``D-H``,
        ``D-H:M``, ``D-H:M:S``.

    Raises
    ------
    UsageError
        If it is neither.
    """
    word = text.strip().lower()
    if re.fullmatch(r"(\d{1,9}(d|h|min|m|s))+", word, re.ASCII):
        return sum(int(n) * _UNITS[u] for n, u in re.findall(r"(\d+)(d|h|min|m|s)", word))
    match = re.fullmatch(r"(?:(\d{1,6})-)?(\d{1,9}(?::\d{1,9}){0,2})", word, re.ASCII)
    if match is None:
        why = f"{harmless(text)!r} is neither of the form 4h nor of SLURM's D-HH:MM:SS"
        raise UsageError("--time is not a time", why=why, hint="4h")
    numbers = [int(n) for n in match[2].split(":")]
    if match[1] is not None:  # days-hours[:minutes[:seconds]]
        hours, minutes, seconds = (*numbers, 0, 0)[:3]
        return int(match[1]) * 86400 + hours * 3600 + minutes * 60 + seconds
    if len(numbers) == 3:
        return numbers[0] * 3600 + numbers[1] * 60 + numbers[2]
    return numbers[0] * 60 + (numbers[1] if len(numbers) == 2 else 0)


def slurm_time(seconds: int) -> str:
    """Return a time as SLURM writes it: ``D-HH:MM:SS``."""
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days}-{hours:02}:{minutes:02}:{seconds:02}"


def _word(option: str, value: str | None) -> None:
    """Refuse what is no single word of sbatch: these stand in the script as they are."""
    if value is not None and len(value) > _LONGEST_WORD:
        raise UsageError(
            f"--{option} cannot stand in a job script",
            why=f"it has {len(value):,} characters, more than {_LONGEST_WORD}",
        )
    more = "" if option in {"name", "interface"} else r",:@+&|*()\[\]/="
    if value is None or re.fullmatch(rf"[A-Za-z0-9_.{more}-]+", value):
        return
    raise UsageError(
        f"--{option} cannot stand in a job script",
        why=f"{harmless(value)!r} has blanks or characters that names do not have",
        hint=f"a name such as {_EXAMPLES.get(option, 'compute')}",
    )


_EXAMPLES: Final = {"interface": "ib0", "name": "openallen", "account": "lab-42", "qos": "normal"}


def _line(option: str, value: str) -> None:
    if value.isprintable() and (value or option == "words"):
        return
    shown = f"{harmless(value)!r} has a line break or another control character"
    raise UsageError(
        f"{'the command' if option == 'words' else f'--{option}'} cannot stand in a job script",
        why=shown if value else "it is empty",
    )


def _not_ours(line: str) -> None:
    match = re.match(r"(--[a-z][a-z0-9-]*|-[A-Za-z])(?=$|[ =])", line)
    if match is None:
        raise UsageError(
            f"--sbatch {shlex.quote(line)} is not an option of sbatch",
            hint="--sbatch=--exclusive",
        )
    for option in _options(line):
        # sbatch takes each beginning of a long name that only one name has.
        long = option.startswith("--") and len(option) > 3
        if option in _OURS or (long and any(ours.startswith(option) for ours in _OURS)):
            raise UsageError(
                f"--sbatch {shlex.quote(line)} is not free",
                why=f"{option} is set by the script",
                hint="openallen cluster slurm --help",
            )


def _options(line: str) -> list[str]:
    """Return the names of the options in a line: sbatch reads more than one from it."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UsageError(f"--sbatch {shlex.quote(line)} is no line", why=str(error)) from error
    return [
        word.partition("=")[0] if word.startswith("--") else word[:2]
        for word in words
        if word.startswith("-") and len(word) > 1
    ]


def _command(words: tuple[str, ...]) -> None:
    hint = "openallen cluster slurm --dry-run -- fetch atlas:P56"
    if not words:
        raise UsageError("a command is missing", why="what shall run on the cluster?", hint=hint)
    if words[0] == "python" and len(words) > 1:
        return
    if words[0] not in ON_CLUSTERS:
        can = f"those that can: {', '.join(ON_CLUSTERS)}, and python SCRIPT"
        raise UsageError(f"'{harmless(words[0])}' does not run on a cluster", why=can, hint=hint)
    taken = [w for w in words if w.partition("=")[0] == "--scheduler"]
    if taken:
        raise UsageError(
            "--scheduler stands in the command", why="the script adds that of the job", hint=hint
        )


def _sbatch_quoted(text: str) -> str:
    """Quote a value for a line of ``#SBATCH``."""
    if re.fullmatch(r"[\w./%+:@,=-]+", text):
        return text
    if '"' in text:
        raise UsageError(
            "--folder cannot stand in a job script", why=f"{text!r} has quotation marks"
        )
    return '"' + text.replace("\\", "\\\\") + '"'


def _scratch(given: str | None) -> str:
    """Return the word of bash that is a node's local disk."""
    if given is None:
        return '"${SLURM_TMPDIR:-${TMPDIR:-/tmp}}"'
    match = re.fullmatch(r"\$(?:(\w+)|\{(\w+)\})(/.*)?", given, re.ASCII)
    if match is None:
        return shlex.quote(given)
    name = match[1] or match[2]
    return f'"${{{name}:?is not set on this node}}"' + (shlex.quote(match[3]) if match[3] else "")


_BODY: Final = r"""
set -uo pipefail
export OPENALLEN_STORE="$store"
if [ -n "$source" ]; then export OPENALLEN_SOURCE="$source"; fi
export DASK_LOGGING__DISTRIBUTED=${DASK_LOGGING__DISTRIBUTED:-warning}
job=${SLURM_JOB_ID:-$$}
scheduler_file="$folder/$name-$job.scheduler.json"
network=(); if [ -n "$interface" ]; then network=(--interface "$interface"); fi
scheduler='' workers='' command='' told='' address=''

say() { printf '%s job %s: %s\n' "$(date +%T)" "$job" "$*" >&2; }
fail() { say "error: $*"; exit 1; }
alive() { [ -n "$1" ] && kill -0 "$1" 2>/dev/null; }

# Wait for a process at most so many seconds.
within() {
  local until=$((SECONDS + $1))
  while alive "$2"; do
    if [ "$SECONDS" -ge "$until" ]; then return 1; fi
    sleep 0.2
  done
}

# Whatever happened: nothing is left running, and the status is that of the command.
finish() {
  local status=$?
  trap '' TERM INT HUP
  trap - EXIT
  if alive "$command"; then kill -TERM "$command"; within 20 "$command" || kill -KILL "$command"; fi
  # The scheduler tells its workers to close as it ends. Those that do not hear it end by their
  # --death-timeout, or here, where srun kills them and leaves their folders.
  if alive "$scheduler"; then kill -TERM "$scheduler"; fi
  within 30 "$workers" || { kill -TERM "$workers"; within 10 "$workers" || kill -KILL "$workers"; }
  within 5 "$scheduler" || kill -KILL "$scheduler"
  rm -f -- "$scheduler_file"
  say "ended with status $status"
  exit "$status"
}
trap finish EXIT
# SLURM says so before the time is up, and at scancel: the command ends in order, to go on later.
told_to_end() {
  told=yes
  say 'told to end'
  if alive "$command"; then kill -TERM "$command"; else exit 143; fi
}
trap told_to_end TERM INT HUP

"$python" -c 'import distributed, openallen' ||
  fail "$python on $HOSTNAME lacks openallen or distributed: pip install 'openallen[cluster]'"
mkdir -p -- "$folder" || fail "$folder cannot be written"
rm -f -- "$scheduler_file"

"$python" -m distributed.cli.dask_scheduler --port 0 --dashboard-address :0 "${network[@]}" \
  --scheduler-file "$scheduler_file" &
scheduler=$!
until=$((SECONDS + 120))
while [ -z "$address" ]; do
  alive "$scheduler" || fail 'the scheduler ended at its start'
  if [ "$SECONDS" -ge "$until" ]; then fail 'the scheduler did not start within two minutes'; fi
  sleep 0.3
  # The file may be there and half written.
  if [ -s "$scheduler_file" ]; then
    address=$("$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["address"])' \
      "$scheduler_file" 2>/dev/null) || address=''
  fi
done
say "scheduler at $address"

# Workers get the address, not the file: a shared folder may show a new file late. One that ends
# leaves the others running. Each has a folder of its own on the local disk of its node.
srun --ntasks="$count" --ntasks-per-node="$per_node" --cpus-per-task="$cores" \
  --kill-on-bad-exit=0 --wait=0 --label bash -c '
    eval "own=$1/openallen-$SLURM_JOB_ID-$SLURM_PROCID" || exit 1
    shift
    trap "rm -rf -- \"\$own\"" EXIT
    trap : TERM INT
    mkdir -p -- "$own" || exit 1
    "$@" --local-directory "$own" --name "$SLURM_JOB_ID-$SLURM_PROCID" &
    worker=$!
    while kill -0 "$worker" 2>/dev/null; do wait "$worker" || kill -TERM "$worker" 2>/dev/null; done
    wait "$worker"' worker "$scratch" \
  "$python" -m distributed.cli.dask_worker "$address" --nworkers 1 --nthreads "$cores" \
  --memory-limit "$memory_bytes" --death-timeout 60 --no-dashboard "${network[@]}" \
  --lifetime "${lifetime_s}s" --lifetime-stagger "${stagger_s}s" &
workers=$!

# All workers if they come within a minute, else those that are there: a node may be slow or broken.
"$python" -c '
import sys
from distributed import Client
with Client(sys.argv[1]) as client:
    try:
        client.wait_for_workers(int(sys.argv[2]), timeout=60)
    except TimeoutError:
        client.wait_for_workers(1, timeout=240)
    print(len(client.scheduler_info(n_workers=-1)["workers"]), "workers", file=sys.stderr)
' "$address" "$count" &
command=$!
wait -n "$command" "$workers" "$scheduler"
if [ -n "$told" ]; then exit 143; fi
alive "$workers" || fail 'all workers ended at their start'
wait "$command" || fail 'no worker came'

export DASK_SCHEDULER_ADDRESS="$address"
if [ -n "$of_openallen" ]; then
  "$python" -m openallen "$of_openallen" --scheduler "$address" "${words[@]}" &
else
  "$python" "${words[@]}" &
fi
command=$!
while alive "$command"; do
  wait -n "$command" "$workers" "$scheduler"
  if alive "$command" && ! { alive "$workers" && alive "$scheduler"; }; then
    say 'error: the scheduler or all workers ended before the command'
    kill -TERM "$command"
    while alive "$command"; do wait "$command"; done
  fi
done
wait "$command"
"""
