"""What is released says one version everywhere, and needs the same things everywhere."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from openallen import __version__

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
RECIPE = yaml.safe_load((ROOT / "packaging" / "conda" / "recipe.yaml").read_text("utf-8"))
CONDA_NAMES = {"duckdb": "python-duckdb", "matplotlib": "matplotlib-base"}
"""Packages that conda-forge calls otherwise."""


def tool(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_one_version_and_one_date_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    newest = re.search(r"^## (\S+) \((\S+)\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert citation["version"] == RECIPE["context"]["version"] == newest[1] == __version__
    assert str(citation["date-released"]) == newest[2]


# --- the recipe for conda-forge -------------------------------------------------------------------


def as_conda(requirements: list[str]) -> dict[str, str]:
    """Return versions by conda's names; the highest where extras name several."""
    found: dict[str, str] = {}
    for one in requirements:
        name, version = re.fullmatch(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)", one).groups()
        name = CONDA_NAMES.get(name, name)
        found[name] = max(version, found.get(name, "0"), key=lambda v: [*map(int, v.split("."))])
    return found


def of_recipe(package: str) -> dict[str, str]:
    output = next(o for o in RECIPE["outputs"] if o["package"]["name"] == package)
    run = output["requirements"]["run"]
    pairs = [line.split(" >=") for line in run if "pin_subpackage" not in line]
    return dict(pairs)


def extras(*names: str) -> list[str]:
    found: list[str] = []
    for name in names:
        for one in PYPROJECT["optional-dependencies"][name]:
            inner = re.fullmatch(r"openallen\[(.+)\]", one)
            found += extras(*inner[1].split(",")) if inner else [one]
    return found


def test_the_recipe_needs_what_the_bare_install_needs():
    needed = of_recipe("openallen")
    assert needed.pop("python") == "${{ python_min }}"
    assert RECIPE["context"]["python_min"] == PYPROJECT["requires-python"].removeprefix(">=")
    assert needed == as_conda(PYPROJECT["dependencies"])


def test_the_second_package_of_the_recipe_needs_what_the_extra_all_needs():
    assert of_recipe("openallen-all") == as_conda(extras("all"))


def test_the_recipe_has_the_command_and_the_licences_of_pyproject():
    output = RECIPE["outputs"][0]
    points = [f"{name} = {place}" for name, place in PYPROJECT["scripts"].items()]
    assert output["build"]["python"]["entry_points"] == points
    assert RECIPE["about"]["license_file"] == PYPROJECT["license-files"]
    assert RECIPE["about"]["license"] == PYPROJECT["license"]


def test_rattler_build_reads_the_recipe():
    pytest.importorskip("rattler_build")
    names = [variant.recipe.package.name for variant in tool("check_recipe").rendered()]
    assert names == ["openallen", "openallen-all"]


# --- what is built --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checks():
    return tool("check_dist")


def made(path: Path, names: list[str], more: int = 0) -> Path:
    with zipfile.ZipFile(path, "w") as wheel:
        for name in names:
            wheel.writestr(name if not name.endswith("/") else f"{name}a", b"x")
        wheel.writestr("openallen/data", bytes(more))
    return path


def whole(checks) -> list[str]:
    return [n if n.startswith("openallen") else f"openallen-1{n}" for n in checks.NEEDED]


def test_a_wheel_with_everything_has_no_problems(checks, tmp_path):
    assert checks.wheel_problems(made(tmp_path / "a.whl", whole(checks))) == []


@pytest.mark.parametrize(
    "stray", ["tests/test_a.py", "openallen/__pycache__/a.pyc", "docs/index.md", "openallen/x.ts"]
)
def test_what_does_not_belong_into_a_wheel_is_named(checks, tmp_path, stray):
    problems = checks.wheel_problems(made(tmp_path / "a.whl", [*whole(checks), stray]))
    assert any(stray.split("/")[0] in p for p in problems)


def test_what_a_wheel_lacks_and_its_weight_are_named(checks, tmp_path):
    some = [n for n in whole(checks) if "py.typed" not in n]
    wheel = made(tmp_path / "a.whl", some, checks.WHEEL_LIMIT_BYTES)
    problems = checks.wheel_problems(wheel)
    assert "not in the wheel: openallen/py.typed" in problems
    assert any("bytes" in p for p in problems)


# --- what is known of what is installed -----------------------------------------------------------


def test_an_audit_that_could_not_ask_is_no_all_clear():
    audited = tool("bill_of_materials").audited
    assert audited("")[0].endswith("nothing is known")
    skipped = {"name": "a", "skip_reason": "not found"}
    asked = {"name": "b", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["1.1"]}]}
    told, found = audited(json.dumps({"dependencies": [skipped, asked]}))
    assert told.startswith("1 vulnerabilities known in 1 packages; 1 could not be asked about")
    assert found == ["b 1: CVE-1, fixed in 1.1"]


@pytest.mark.parametrize(
    ("licence", "free"),
    [
        ("MIT License", True), ("BSD-3-Clause", True), ("LGPL-2.1-only OR MIT", True),
        ("MPL-2.0", True), ("GPL-3.0-only", False), ("AGPL-3.0", False), ("UNKNOWN", False),
    ],
)  # fmt: skip
def test_licences_that_do_not_go_with_ours_are_named(licence, free):
    assert bool(tool("bill_of_materials").FREE.search(licence)) == free


# --- what CI tries --------------------------------------------------------------------------------


def test_the_lowest_versions_are_tried_with_every_extra():
    run = (ROOT / ".ci" / "run").read_text("utf-8")
    tried = set(re.findall(r"--extra (\w+)", run))
    every = set(PYPROJECT["optional-dependencies"]) - {"test"}
    inside = set(re.search(r"\[(.+)\]", PYPROJECT["optional-dependencies"]["all"][0])[1].split(","))
    # schema pins an old pydantic, and has an environment of its own
    assert tried | inside == every - {"schema"}


def test_python_versions_are_those_of_the_matrix():
    told = {c.rpartition(" ")[2] for c in PYPROJECT["classifiers"] if "Python :: 3." in c}
    assert told <= set(tool("matrix").VERSIONS)


# --- the repository's host ------------------------------------------------------------------------


@pytest.mark.skipif(not (ROOT / ".github").exists(), reason="not in the sdist")
@pytest.mark.parametrize("name", ["bug", "feature", "data-question"])
def test_issue_templates_are_forms_that_the_host_takes(name):
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml").read_text("utf-8"))
    assert {"name", "description", "body"} <= set(form)
    kinds = {"markdown", "textarea", "input", "dropdown", "checkboxes"}
    assert all(part["type"] in kinds for part in form["body"])
    asked = [part for part in form["body"] if part["type"] != "markdown"]
    assert len({part["id"] for part in asked}) == len(asked)
    assert all(part["attributes"]["label"] for part in asked)
    assert any(part.get("validations", {}).get("required") for part in asked)
    # what to paste is made by a command, and has no secrets
    assert name == "feature" or any("openallen doctor" in str(part) for part in asked)


def test_the_supported_versions_have_this_one():
    series = ".".join(__version__.split(".")[:2])
    assert f"| {series}.x | yes" in (ROOT / "SECURITY.md").read_text("utf-8")
