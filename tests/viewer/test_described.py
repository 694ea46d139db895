"""What OpenAPI says of the JSON routes, held against the server by schemathesis.

It runs in an environment of its own: ``OPENALLEN_TEST_SCHEMATHESIS`` names its program.
"""

import os
import subprocess

import pytest

PROGRAM = os.environ.get("OPENALLEN_TEST_SCHEMATHESIS", "")


@pytest.mark.slow
@pytest.mark.skipif(not PROGRAM, reason="OPENALLEN_TEST_SCHEMATHESIS names no schemathesis")
def test_every_route_answers_as_it_is_described(view, stored, tmp_path):
    url = view(stored, read_only=True)
    checks = (
        "not_a_server_error,status_code_conformance,content_type_conformance,"
        "response_schema_conformance"
    )
    done = subprocess.run(
        [PROGRAM, "run", f"{url}/openapi.json", "--checks", checks, "--max-examples", "25",
         "--seed", "1", "--workers", "2", "--phases", "examples,fuzzing"],
        capture_output=True, text=True, check=False, cwd=tmp_path, timeout=170,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
