"""``openallen cluster``: a job that starts dask on a cluster and runs a command there."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from openallen.cli.app import ExampleCommand
from openallen.cli.options import Call, common
from openallen.cli.slurm import Job
from openallen.errors import NotFoundError, ServiceError, StalledError, StoreError
from openallen.paths import expanded

__all__ = ["command"]

EXAMPLES = (
    (
        "openallen cluster slurm --dry-run --nodes 4 --workers 2 --time 4h --partition compute "
        "--store /scratch/allen -- fetch atlas:P56",
        "print the job script: 8 workers on 4 nodes fetch into a shared store",
    ),
    (
        "openallen cluster slurm --dry-run --venv /home/me/env --sbatch=--exclusive -- "
        "python analysis.py",
        "a script of your own, in whose Python `distributed.Client()` finds the workers",
    ),
)


@click.command(cls=ExampleCommand, examples=EXAMPLES)
@click.argument("system", type=click.Choice(("slurm",)))
@click.argument("words", nargs=-1, metavar="-- COMMAND...")
@click.option("--dry-run", is_flag=True, help="Print the job script and submit nothing.")
@click.option("--nodes", type=click.IntRange(1), default=1, show_default=True, help="Nodes.")
@click.option(
    "--workers", type=click.IntRange(1), default=1, show_default=True, help="Workers on each node."
)
@click.option(
    "--cores", type=click.IntRange(1), default=2, show_default=True, help="Processors of a worker."
)
@click.option(
    "--memory", default="4GB", show_default=True, metavar="SIZE", help="Memory of a worker."
)
@click.option(
    "--time",
    default="4h",
    show_default=True,
    metavar="TIME",
    help="Wall time: 90min, 4h, 2d, or as SLURM writes it.",
)
@click.option("--partition", metavar="NAME", help="Partition.")
@click.option("--account", metavar="NAME", help="Account that is charged.")
@click.option("--qos", metavar="NAME", help="Quality of service.")
@click.option("--constraint", metavar="FEATURES", help="Features that nodes must have.")
@click.option("--name", default="openallen", show_default=True, help="Name of the job.")
@click.option(
    "--sbatch",
    multiple=True,
    metavar="OPTION",
    help="One more option of sbatch, as --sbatch=--exclusive. Repeatable.",
)
@click.option(
    "--module", "modules", multiple=True, metavar="NAME", help="Module to load. Repeatable."
)
@click.option(
    "--venv",
    type=click.Path(path_type=Path),
    help="Virtual environment on the nodes.  [default: that of this openallen]",
)
@click.option(
    "--setup",
    multiple=True,
    metavar="LINE",
    help="Line of bash to run before anything is started. Repeatable.",
)
@click.option(
    "--python", metavar="PATH", help="Python with openallen on the nodes.  [default: this one]"
)
@click.option("--interface", metavar="NAME", help="Network interface of the workers, as ib0.")
@click.option(
    "--scratch",
    metavar="DIR",
    help="Local disk of a node; may begin with a variable, as '$TMPDIR/me'.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Shared folder of the log and of the scheduler's file.  [default: the current one]",
)
@common
def command(call: Call, system: str, words: tuple[str, ...], dry_run: bool, **options: Any) -> int:
    """Run a COMMAND on a SLURM cluster: one job with dask's scheduler and workers.

    COMMAND is fetch, convert or bench with its arguments, or `python SCRIPT`. It stands after `--`,
    as if typed after openallen; the job adds --scheduler. Store, folder and Python must be the same
    on all nodes. The job ends with the exit code of the command; submitted again, a fetch goes on.
    """
    del system
    job = _job(call, words, options)
    script = job.script()
    if dry_run:
        document = {"script": script, "parameters": job.to_dict()}
        # As it is: each character of what was given was looked at, and escapes would change it.
        if call.out.as_json:
            call.out.document(document)
        else:
            call.out.raw(script.rstrip("\n"))
        return 0
    number = _submitted(job, script)
    log = str(job.log(number))
    call.out.document(
        {"job": number, "log": log, "script": script, "parameters": job.to_dict()},
        f"submitted as job {number}\n  log: {log}\n  end it: scancel {number}",
        ids=(number,),
    )
    return 0


def _job(call: Call, words: tuple[str, ...], options: dict[str, Any]) -> Job:
    venv, python, folder = (options.pop(n) for n in ("venv", "python", "folder"))
    source = call.settings.source
    return Job(
        words=words,
        store=call.settings.store,
        folder=expanded(folder).absolute() if folder else Path.cwd(),
        venv=expanded(venv).absolute() if venv else None,
        python=python or ("python" if venv else sys.executable),
        source=None if source == "live" else source,
        **options,
    )


def _submitted(job: Job, script: str) -> str:
    """Hand a script to sbatch; return the number of the job."""
    program = shutil.which("sbatch")
    if program is None:
        raise NotFoundError(
            "there is no sbatch on this machine",
            why="jobs are submitted from a login node of the cluster",
            hint=_dry(),
        )
    try:
        job.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            "the folder of the log cannot be made", address=str(job.folder), why=str(error.strerror)
        ) from error
    try:
        done = subprocess.run(  # noqa: S603 - SLURM's own program
            [program, "--parsable"],
            input=script,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env=dict(os.environ),
        )
    except subprocess.TimeoutExpired as error:
        raise StalledError("sbatch did not answer within two minutes", hint="sinfo") from error
    except OSError as error:
        raise ServiceError("sbatch cannot be run", why=str(error)) from error
    number = done.stdout.strip().partition(";")[0]
    if done.returncode or not number.isdigit():
        said = (done.stderr or done.stdout).strip() or f"exit code {done.returncode}"
        raise ServiceError("sbatch refused the job", why=said, hint=_dry())
    return number


def _dry() -> str:
    """Return the command that was typed, which prints the script instead."""
    words = sys.argv[1:]
    at = words.index("slurm") + 1 if "slurm" in words else len(words)
    return shlex.join(["openallen", *words[:at], "--dry-run", *words[at:]])
