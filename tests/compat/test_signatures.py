"""Every name AllenSDK's classes have: the same arguments here, or an error that says what to use."""

from __future__ import annotations

import gzip
import importlib
import inspect
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from openallen.compat import allensdk, elsewhere
from openallen.errors import UsageError

PYTHON = os.environ.get("OPENALLEN_TEST_ALLENSDK", "")
ROOT = "openallen.compat.allensdk"
SCRIPT = Path(__file__).with_name("signatures_of_allensdk.py")
KEPT = Path(__file__).parents[1] / "data" / "allensdk_signatures.json.gz"
"""What AllenSDK 2.16.2 said: names, arguments and defaults, no code."""
MIRRORED = (
    "api.queries.grid_data_api.GridDataApi",
    "api.queries.image_download_api.ImageDownloadApi",
    "api.queries.rma_api.RmaApi",
    "api.queries.synchronization_api.SynchronizationApi",
    "api.queries.tree_search_api.TreeSearchApi",
    "brain_observatory.behavior.behavior_project_cache.VisualBehaviorNeuropixelsProjectCache",
    "brain_observatory.behavior.behavior_project_cache.VisualBehaviorOphysProjectCache",
    "brain_observatory.ecephys.ecephys_project_cache.EcephysProjectCache",
    "brain_observatory.ecephys.ecephys_session.EcephysSession",
    "core.brain_observatory_cache.BrainObservatoryCache",
    "core.brain_observatory_nwb_data_set.BrainObservatoryNwbDataSet",
    "core.cell_types_cache.CellTypesCache",
    "core.mouse_connectivity_cache.MouseConnectivityCache",
    "core.nwb_data_set.NwbDataSet",
    "core.reference_space.ReferenceSpace",
    "core.reference_space_cache.ReferenceSpaceCache",
    "core.structure_tree.StructureTree",
    "core.swc.Morphology",
    "core.swc.read_marker_file",
    "core.swc.read_swc",
)
CONSTANTS = {  # keys of AllenSDK's own manifests and layouts of files; nobody's script uses them
    "FILE_METADATA_MAPPING", "MOTION_CORRECTION_DATASETS", "PIPELINE_DATASET",
    "STIMULUS_TABLE_TYPES", "SUPPORTED_PIPELINE_VERSION", "DETAILED_STIMULUS_PARAMETERS",
    "MANIFEST_VERSION", "SUPPRESS_FROM_CHANNELS", "SUPPRESS_FROM_PROBES",
    "SUPPRESS_FROM_SESSION_TABLE", "SUPPRESS_FROM_UNITS", "rma_templates",
}  # fmt: skip
DIFFERS = {
    # numpy's type as the default: ours is loaded when it is wanted
    ("core.reference_space.ReferenceSpace", "export_itksnap_labels"),
    # needs the institute's own network, and is refused whatever is given
    (
        "brain_observatory.behavior.behavior_project_cache.VisualBehaviorOphysProjectCache",
        "from_lims",
    ),
}


def kept() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(gzip.decompress(KEPT.read_bytes()))
    return found


CASES = [
    (full, name)
    for full, told in kept().items()
    if isinstance(told, dict)
    for name, kind in told.items()
    if kind != "value"
]


def mirrored(full: str) -> Any:
    module, _, name = full.rpartition(".")
    return getattr(importlib.import_module(f"{ROOT}.{module}"), name)


def arguments(thing: Any) -> list[list[Any]]:
    return [
        [p.name, p.kind.name, None if p.default is p.empty else repr(p.default)]
        for p in inspect.signature(thing).parameters.values()
    ]


def test_all_of_them_are_looked_at():
    assert set(kept()) == set(MIRRORED)
    assert len(CASES) > 300


@pytest.mark.parametrize(("full", "name"), CASES)
def test_arguments_are_the_same_or_the_error_says_what_to_use(full, name):
    told, made = kept()[full][name], mirrored(full)
    there = made if name == "__init__" else getattr(made, name, None)
    if there is None:
        error = elsewhere.absent(full, name)
        assert "neither" not in error.why, f"{name} is not in the table of what to use"
        bare = made.__new__(made)
        if not isinstance(inspect.getattr_static(made, "__getattr__", None), property):
            with pytest.raises(UsageError, match=name) as caught:
                getattr(bare, name)
            assert caught.value.hint
            assert isinstance(caught.value, AttributeError)
        return
    if told == "property":
        assert not callable(inspect.getattr_static(made, name))
    elif (full, name) not in DIFFERS:
        assert arguments(there) == told


@pytest.mark.parametrize("name", ["read_swc", "read_marker_file"])
def test_arguments_of_functions_are_the_same(name):
    assert arguments(mirrored(f"core.swc.{name}")) == kept()[f"core.swc.{name}"]


def test_every_constant_a_script_may_use_is_there():
    for full, told in kept().items():
        values = (
            [n for n, kind in told.items() if kind == "value"] if isinstance(told, dict) else []
        )
        made = mirrored(full)
        missing = [n for n in values if not hasattr(made, n) and n not in CONSTANTS]
        assert [n for n in missing if not n.endswith("_KEY")] == [], full


def test_each_class_has_a_flat_name():
    for name in allensdk.__all__:
        assert getattr(allensdk, name).__name__ == name
    assert dir(allensdk) == sorted(allensdk.__all__)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("from {0}.model.glif.glif_neuron import GlifNeuron", "BMTK"),
        ("import {0}.ephys.ephys_extractor", "to_efel"),
        ("from {0}.brain_observatory.drifting_gratings import DriftingGratings", "analysis("),
        ("from {0}.brain_observatory.ecephys.stimulus_analysis import x", "responses"),
        ("from {0}.api.queries.ontologies_api import OntologiesApi", "structures:1"),
        ("from {0}.core import obj_utilities", "mesh"),
        ("from {0} import Nothing", "allensdk.md"),
        ("from {0}.core.swc import Nothing", "cannot import name"),
    ],
)
def test_an_import_of_what_is_not_here_says_what_to_use(line, says):
    with pytest.raises(ImportError) as caught:
        exec(line.format(ROOT), {})
    assert says in str(caught.value)
    assert line.split()[0] == "from" or isinstance(caught.value, UsageError)


def test_other_failing_imports_are_left_alone():
    with pytest.raises(ModuleNotFoundError, match="nothing_of_the_kind"):
        importlib.import_module("nothing_of_the_kind")
    assert importlib.util.find_spec("openallen.nothing") is None


@pytest.mark.allensdk
@pytest.mark.skipif(not PYTHON, reason="OPENALLEN_TEST_ALLENSDK names no python with AllenSDK")
def test_what_is_kept_is_what_allensdk_says():
    done = subprocess.run(
        [PYTHON, str(SCRIPT), *MIRRORED], capture_output=True, text=True, check=False, timeout=170
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == kept()
