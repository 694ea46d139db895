"""The real AllenSDK as a reference: a script run by its own python, one JSON document back.

OPENALLEN_TEST_ALLENSDK names that python. AllenSDK's reference space imports ``nrrd`` at its top;
where that is not installed beside it, an empty module stands in: nothing compared here needs it.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

PYTHON = os.environ.get("OPENALLEN_TEST_ALLENSDK", "")


def with_allensdk(test: Any) -> Any:
    """Mark a test that runs the real AllenSDK, and skip it where there is none."""
    why = "OPENALLEN_TEST_ALLENSDK names no python with AllenSDK"
    return pytest.mark.allensdk(pytest.mark.skipif(not PYTHON, reason=why)(test))


_BEGIN = """
import importlib.util, json, sys, types
if importlib.util.find_spec("nrrd") is None:
    sys.modules["nrrd"] = types.ModuleType("nrrd")
import numpy as np
from allensdk.core.structure_tree import StructureTree
from allensdk.core.reference_space import ReferenceSpace
told = json.load(sys.stdin)
def plain(value):
    if isinstance(value, set):
        return sorted(value)
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item()
"""
_END = "\njson.dump(answers, sys.stdout, default=plain)\n"


def theirs(script: str, told: Any) -> Any:
    """Run a script that fills ``answers`` from ``told``; return the answers."""
    done = subprocess.run(
        [PYTHON, "-W", "ignore", "-c", _BEGIN + script + _END],
        input=json.dumps(told), capture_output=True, text=True, check=False, timeout=170,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)
