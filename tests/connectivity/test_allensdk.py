"""AllenSDK, pointed at the same made-up archive, must get what our own client gets.

Runs it in its own virtual environment, whose python OPENALLEN_TEST_ALLENSDK names.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tracing import CRE, PLAIN, THALAMUS

PYTHON = os.environ.get("OPENALLEN_TEST_ALLENSDK", "")


def lacks() -> str:
    """Return why AllenSDK's cache cannot be run; empty where it can."""
    if not PYTHON:
        return "OPENALLEN_TEST_ALLENSDK names no python with AllenSDK"
    code = [PYTHON, "-c", "import nrrd, SimpleITK"]
    if subprocess.run(code, capture_output=True, check=False).returncode:
        return "that python lacks pynrrd or SimpleITK, which AllenSDK's cache needs"
    return ""


LACKS = lacks()
pytestmark = [
    pytest.mark.allensdk,
    pytest.mark.skipif(bool(LACKS), reason=LACKS),
]

# Calls its own cache; one JSON document on stdout.
SCRIPT = """
import json, sys
import numpy as np
import pandas as pd
from allensdk.core.mouse_connectivity_cache import MouseConnectivityCache
from allensdk.core.structure_tree import StructureTree
base, folder, ids = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
cache = MouseConnectivityCache(
    resolution=100, manifest_file=folder + "/manifest.json", base_uri=base)
plain, cre, thalamus = ids

def told(value):
    if isinstance(value, pd.DataFrame):
        return {
            "columns": list(value.columns), "index": [str(i) for i in value.index],
            "index_name": value.index.name,
            "kinds": {name: value[name].dtype.kind for name in value.columns},
            "rows": json.loads(value.to_json(orient="values", double_precision=15)),
        }
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {key: told(one) for key, one in value.items()}
    return value

calls = {
    "experiments": lambda: cache.get_experiments(dataframe=True),
    "experiments_list": lambda: cache.get_experiments(),
    "cre": lambda: cache.get_experiments(dataframe=True, cre=True),
    "no_cre": lambda: cache.get_experiments(dataframe=True, cre=False),
    "line": lambda: cache.get_experiments(dataframe=True, cre=["cux2-ires-cre"]),
    "cortex": lambda: cache.get_experiments(dataframe=True, injection_structure_ids=[315]),
    "two": lambda: cache.get_experiments(injection_structure_ids=[409, 170], cre=False),
    "default_structures": lambda: cache.default_structure_ids,
    "one_unionizes": lambda: cache.get_experiment_structure_unionizes(plain),
    "one_filtered": lambda: cache.get_experiment_structure_unionizes(
        plain, is_injection=False, structure_ids=[669], include_descendants=True,
        hemisphere_ids=[1, 3]),
    "unionizes": lambda: cache.get_structure_unionizes([thalamus, plain]),
    "unionizes_filtered": lambda: cache.get_structure_unionizes(
        [cre, plain], is_injection=True, structure_ids=[315], include_descendants=True,
        hemisphere_ids=[2]),
    "matrix": lambda: cache.get_projection_matrix([cre, plain, thalamus]),
    "matrix_some": lambda: cache.get_projection_matrix(
        [plain, cre], [218, 385], [2, 1], "projection_density"),
    "matrix_both": lambda: cache.get_projection_matrix(
        [plain], [385], [3], "normalized_projection_volume"),
    "ranked": lambda: cache.rank_structures([thalamus, plain], False),
    "ranked_some": lambda: cache.rank_structures(
        [plain], True, [385, 409, 170], [3], "projection_energy", 2, 100.0),
    "density": lambda: cache.get_projection_density(plain)[0],
    "centroid": lambda: cache.api.calculate_injection_centroid(
        cache.get_injection_density(plain)[0], cache.get_injection_fraction(plain)[0], 100),
    "field": lambda: cache.get_deformation_field(plain),
}
answers = {}
for name, call in calls.items():
    try:
        answers[name] = told(call())
    except Exception as error:
        answers[name] = {"failed": f"{type(error).__name__}: {error}"}
raw = cache.api.download_alignment3d(plain)
answers["affine_raw"] = {k: v for k, v in raw.items() if k[:3] in ("trv", "tvr")}
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def theirs(traced_url, tmp_path_factory) -> dict:
    folder: Path = tmp_path_factory.mktemp("allensdk")
    ids = json.dumps([PLAIN, CRE, THALAMUS])
    command = [PYTHON, "-W", "ignore", "-c", SCRIPT, traced_url, str(folder), ids]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=170)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    failed = {k: v["failed"] for k, v in found.items() if isinstance(v, dict) and "failed" in v}
    assert not failed
    return found


OURS = {
    "experiments": lambda c: c.experiments(),
    "experiments_list": lambda c: c.get_experiments(),
    "cre": lambda c: c.experiments(cre=True),
    "no_cre": lambda c: c.experiments(cre=False),
    "line": lambda c: c.experiments(cre=["cux2-ires-cre"]),
    "cortex": lambda c: c.experiments(injection_structures="Isocortex"),
    "two": lambda c: c.get_experiments(injection_structure_ids=[409, 170], cre=False),
    "default_structures": lambda c: c.default_structure_ids,
    "one_unionizes": lambda c: c.experiment(PLAIN).unionizes(),
    "one_filtered": lambda c: c.get_experiment_structure_unionizes(
        PLAIN, False, [669], True, [1, 3]
    ),
    "unionizes": lambda c: c.unionizes([THALAMUS, PLAIN]),
    "unionizes_filtered": lambda c: c.get_structure_unionizes([CRE, PLAIN], True, [315], True, [2]),
    "matrix": lambda c: c.get_projection_matrix([CRE, PLAIN, THALAMUS]),
    "matrix_some": lambda c: c.get_projection_matrix(
        [PLAIN, CRE], [218, 385], [2, 1], "projection_density"
    ),
    "matrix_both": lambda c: c.get_projection_matrix(
        [PLAIN], [385], [3], "normalized_projection_volume"
    ),
    "ranked": lambda c: c.rank_structures([THALAMUS, PLAIN], False),
    "ranked_some": lambda c: c.rank_structures(
        [PLAIN], True, [385, 409, 170], [3], "projection_energy", 2, 100.0
    ),
    "density": lambda c: c.get_projection_density(PLAIN, 100).to_numpy(),
    "centroid": lambda c: c.experiment(PLAIN).injection_centroid(100),
    # AllenSDK gives the axes as the library that reads the file has them: ML, DV, AP.
    "field": lambda c: c.get_deformation_field(PLAIN).transpose("ML", "DV", "AP", ...).to_numpy(),
}


def told(value: object) -> object:
    if isinstance(value, pd.DataFrame):
        return {
            "columns": list(value.columns),
            "index": [str(i) for i in value.index],
            "index_name": value.index.name,
            "kinds": {name: value[name].dtype.kind for name in value.columns},
            "rows": json.loads(value.to_json(orient="values", double_precision=15)),
        }
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {key: told(one) for key, one in value.items()}
    return value


def plain(value: object) -> object:
    """Return what JSON makes of it, with one spelling for the numbers that are none."""
    text = json.dumps(value)
    return json.loads(text.replace("NaN", "null"))


@pytest.mark.parametrize("name", OURS)
def test_the_same_answer(theirs, traced, name):
    want, got = plain(theirs[name]), plain(told(OURS[name](traced)))
    if name.startswith(("experiments", "cre", "no_cre", "cortex", "two")):
        want, got = by_id(want), by_id(got)
    assert not list(differences(want, got))


def differences(want: object, got: object, at: str = "") -> Iterator[str]:
    """Name what differs; numbers may by the last digit, which AllenSDK's own CSV rounds."""
    if isinstance(want, dict) and isinstance(got, dict):
        yield from [f"{at}: keys {set(want) ^ set(got)}"] if set(want) != set(got) else []
        for key in want.keys() & got.keys():
            yield from differences(want[key], got[key], f"{at}/{key}")
    elif isinstance(want, list) and isinstance(got, list) and len(want) == len(got):
        for index, pair in enumerate(zip(want, got, strict=True)):
            yield from differences(*pair, f"{at}[{index}]")
    elif isinstance(want, float) and isinstance(got, float):
        if not math.isclose(want, got, rel_tol=1e-14):
            yield f"{at}: {got!r}, not {want!r}"
    elif want != got or isinstance(want, bool) is not isinstance(got, bool):
        yield f"{at}: {got!r}, not {want!r}"


def by_id(found: object) -> object:
    """Return experiments in the order of their ids: the service promises none."""
    if isinstance(found, list):
        return sorted(found, key=lambda row: row["id"])
    assert isinstance(found, dict)
    at = found["columns"].index("id")
    rows = sorted(found["rows"], key=lambda row: row[at])
    return found | {"rows": rows, "index": sorted(found["index"])}


@pytest.mark.parametrize("direction", ["trv", "tvr"])
def test_affine_parameters(theirs, traced, direction):
    want = [theirs["affine_raw"][f"{direction}_{n:02d}"] for n in range(12)]
    assert traced.get_affine_parameters(PLAIN, direction).ravel().tolist() == want
