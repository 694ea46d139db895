"""What loads when: importing and light commands must stay light, and the face stays the face."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import openallen as oa

HEAVY = {
    "numpy", "pandas", "pyarrow", "duckdb", "PIL", "zarr", "simplejpeg", "zstandard", "starlette",
    "uvicorn", "rich", "msgspec", "asyncio", "ssl", "sqlite3", "pycurl",
}  # fmt: skip


def loaded(code: str) -> set[str]:
    script = f"import sys, json\n{code}\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_importing_loads_nothing_but_the_face():
    modules = loaded("import openallen as oa; dir(oa)")
    assert {m for m in modules if m.startswith("openallen")} == {"openallen", "openallen.version"}
    assert not modules & HEAVY


@pytest.mark.parametrize("arguments", [["--version"], ["--help"]])
def test_version_and_help_load_no_room(arguments):
    modules = loaded(f"from openallen.cli.app import run; run({arguments!r})")
    ours = {m for m in modules if m.startswith("openallen.")}
    assert ours <= {
        "openallen.cli", "openallen.cli.app", "openallen.errors", "openallen.harmless", "openallen.version",
    }  # fmt: skip
    assert not modules & HEAVY


def test_help_of_a_command_loads_no_library_of_its_work():
    modules = loaded("from openallen.cli.app import run; run(['fetch', '--help'])")
    assert not modules & (HEAVY - {"ssl"})


def test_asking_for_rows_loads_no_tables_or_pictures(sample_url):
    code = f"import openallen as oa; oa.query('ProjectionImage', source={sample_url!r}).count()"
    modules = loaded(code)
    assert not modules & {
        "numpy",
        "pandas",
        "pyarrow",
        "duckdb",
        "PIL",
        "zarr",
        "rich",
        "starlette",
    }


def test_the_face_is_pinned():
    assert oa.__all__ == [
        "Address", "Condition", "Facts", "ImageStack", "IncompleteError", "Morphology", "OpenAllenError", "Outcome", "Plan",
        "Query", "RemoteFile", "Report", "Rows", "Search", "Settings", "StackFacts", "__version__", "alignment", "assets",
        "doctor", "facts", "fetch", "grids", "human_microarray", "list", "mirror", "open", "plan", "query", "read_swc", "search", "show",
        "view",
    ]  # fmt: skip
    assert len(oa.__all__) <= 40
    for name in oa.__all__:
        assert getattr(oa, name) is not None
    assert set(dir(oa)) == set(oa.__all__)
    with pytest.raises(AttributeError):
        _ = oa.nothing


def test_rooms_do_not_hide_verbs(sample_url):
    oa.facts("stack:313862022", source=sample_url)
    assert callable(oa.fetch)
    assert callable(oa.plan)
    assert callable(oa.search)


def test_errors_tell_their_exit_codes():
    from openallen import errors

    leaves = [getattr(errors, name) for name in errors.__all__ if name.endswith("Error")]
    leaves.append(oa.IncompleteError)
    assert all(issubclass(leaf, oa.OpenAllenError) for leaf in leaves)
    assert {leaf.exit_code for leaf in leaves} == {1, 2, 3, 4, 5, 6, 7}
    assert issubclass(errors.NotFoundError, FileNotFoundError)
    assert issubclass(errors.StalledError, TimeoutError)
    assert issubclass(errors.UsageError, ValueError)
    for leaf in leaves:
        assert leaf.__name__ in (errors.__doc__ or "")
