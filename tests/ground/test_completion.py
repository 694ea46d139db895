"""Shells complete commands, options and schemes, and are not kept waiting."""

from __future__ import annotations

import json
import os
import pty
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from openallen.cli.completion import SHELLS, VARIABLE, script
from openallen.sources.registry import SCHEMES

TYPED = {
    "openallen sho": ["openallen", "show"],
    "openallen show sta": ["openallen", "show", "stack:"],
    "openallen show stack:313862022 --pict": ["openallen", "show", "stack:313862022", "--picture"],
    # an option of the source that the address is of, behind a word that bash parts at its colon
    "openallen fetch stack:1 --downs": ["openallen", "fetch", "stack:1", "--downsample"],
    "openallen fetch stack:1 --source sa": ["openallen", "fetch", "stack:1", "--source", "sample"],
    "openallen list stack: --source some-fo": ["openallen", "list", "stack:", "--source", "some-folder/"],
    "openallen fetch stack:1 --to some-fo": ["openallen", "fetch", "stack:1", "--to", "some-folder/"],
    "openallen verify some-fo": ["openallen", "verify", "some-folder/"],
    "openallen completion f": ["openallen", "completion", "fish"],
    "openallen no-such-command sta": ["openallen", "no-such-command", "sta"],
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder with `openallen` in `bin`, and one whose name can be completed."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "some-folder").mkdir()
    (folder / "bin").mkdir()
    command = folder / "bin" / "openallen"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m openallen "$@"\n')
    command.chmod(0o755)
    return folder


def environment(home: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OPENALLEN_", "XDG_"))}
    return kept | {
        "PATH": f"{home / 'bin'}:{os.environ['PATH']}",
        "HOME": str(home),
        "ZDOTDIR": str(home),
        "TERM": "dumb",
        "OPENALLEN_STORE": str(home / "store"),
    }


def completed(command: list[str], setup: str, home: Path) -> list[list[str]]:
    """Type each line into an interactive shell, with a tab, and let it print what came of it."""
    to = home / f"{command[0]}.jsonl"
    to.unlink(missing_ok=True)
    printed = (
        f"{shlex.quote(sys.executable)} -c 'import json, sys; print(json.dumps(sys.argv[1:]))'"
    )
    typed = f'{setup}\nprinted() {{ {printed} "$@" >>{to}; }}\n'
    # Control-A goes to the begin of the line, where the name of a function is put in front.
    typed += "".join(f"{line}\t\x01printed \n" for line in TYPED) + "exit\n"
    main, other = pty.openpty()
    with subprocess.Popen(
        command, stdin=other, stdout=other, stderr=other, cwd=home, env=environment(home),
        start_new_session=True,
    ) as shell:  # fmt: skip
        os.close(other)
        os.write(main, typed.encode())
        try:
            while os.read(main, 65536):
                pass
        except OSError:
            pass  # it has ended
        finally:
            os.close(main)
        shell.wait(60)
    return [json.loads(line) for line in to.read_text().splitlines()]


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
def test_bash_completes(home):
    setup = 'bind "set enable-bracketed-paste off"; source <(openallen completion bash)'
    found = completed(["bash", "--noprofile", "--norc", "-i"], setup, home)
    assert found == list(TYPED.values())


@pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh here")
def test_zsh_completes(home):
    setup = (
        "unset zle_bracketed_paste; bindkey -e; autoload -U compinit; compinit -u -D; "
        "source <(openallen completion zsh)"
    )
    found = completed(["zsh", "-f", "-i"], setup, home)
    # zsh takes the slash behind a folder away again when the line is run
    assert found == [[word.removesuffix("/") for word in words] for words in TYPED.values()]


@pytest.mark.skipif(not shutil.which("fish"), reason="no fish here")
def test_fish_completes(home):
    """fish tells itself what it would complete, with what each means."""
    lines = [line for line in TYPED if "no-such" not in line]
    asked = "; ".join(f"complete -C {shlex.quote(line)}; echo ==" for line in lines)
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"openallen completion fish | source; {asked}"],
        capture_output=True, text=True, check=True, cwd=home, env=environment(home), timeout=120,
    )  # fmt: skip
    for line, answer in zip(lines, done.stdout.split("==\n"), strict=False):
        assert TYPED[line][-1] in [a.partition("\t")[0] for a in answer.splitlines()], line
    assert "Show facts about one item" in done.stdout


def answers(line: str, home: Path, shell: str = "fish") -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "openallen"], capture_output=True, text=True, check=True,
        env=environment(home) | {VARIABLE: f"{shell}_complete", "COMP_WORDS": line},
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1] if done.stdout.strip() else []


def test_every_scheme_is_offered_without_a_blank_behind_it(home):
    assert answers("openallen list ", home, "bash") == [f"open,{scheme}:" for scheme in SCHEMES]


@pytest.mark.parametrize(
    "line",
    ["", "openallen", "openallen show 'st", "openallen show stack:", "openallen fetch --bad stack:1 ",
     "openallen list \\", "openallen show stack:1 x y z ", "openallen fetch s3://bucket/../ --"],
)  # fmt: skip
def test_lines_that_make_no_sense_are_no_error(line, home):
    assert all(a.partition(",")[0] in {"plain", "open", "file", "dir"} for a in answers(line, home))


@pytest.mark.parametrize(
    ("line", "heavy"),
    [
        ("openallen sh", {"openallen.settings", "openallen.sources", "numpy", "ssl", "rich"}),
        ("openallen fetch stack:1 --do", {"numpy", "pandas", "h5py", "zarr", "pycurl", "duckdb"}),
        ("openallen show ", {"numpy", "pandas", "h5py", "zarr", "pycurl", "duckdb", "sqlite3"}),
    ],
)
def test_completing_loads_little(line, heavy, home):
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        "from openallen.cli.app import run; run([])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env=environment(home) | {VARIABLE: "bash_complete", "COMP_WORDS": line},
    )  # fmt: skip
    assert done.stdout
    assert not heavy & set(done.stderr.split())


@pytest.mark.parametrize("shell", SHELLS)
def test_scripts_are_printed_whole(shell):
    done = subprocess.run(
        [sys.executable, "-m", "openallen", "completion", shell],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == script(shell)
    assert f"{VARIABLE}={shell}_complete" in done.stdout
    if shutil.which(shell):
        checked = subprocess.run([shell, "-n"], input=done.stdout, text=True, check=False)
        assert checked.returncode == 0


def test_a_shell_that_there_is_no_script_for_is_refused():
    done = subprocess.run(
        [sys.executable, "-m", "openallen", "completion", "tcsh"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "'bash', 'zsh', 'fish'" in done.stderr
