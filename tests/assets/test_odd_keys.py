"""Keys of buckets that cannot be files: the rest is fetched, these are named."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from assetbucket import ASSETS, RAW, publish_assets
from buckets import serving_s3

import openallen as oa
from openallen.errors import IntegrityError
from openallen.harmless import harmless

NAME = "ecephys_111111_2024-01-01_00-00-00"
ODD = [
    f"{NAME}/a\x01b.txt", f"{NAME}/esc\x1b]0;owned\x07.txt", f"{NAME}/ leading.txt", f"{NAME}/C:evil.txt",
    f"{NAME}/dir", f"{NAME}/sub/dir", f"{NAME}/aux.txt",
]  # fmt: skip
GOOD = [
    f"{NAME}/dir/file.txt", f"{NAME}/sub/dir/deep/x.txt", f"{NAME}/plain.txt", f"{NAME}/a+b c%20d&e.txt",
    f"{NAME}/ümlaut.txt", f"{NAME}/100% 'quoted' \"x\".csv".replace('"', ""), f"{NAME}/dir.txt",
]  # fmt: skip


@pytest.fixture(scope="module")
def published():
    with serving_s3() as endpoint:
        made = publish_assets(endpoint)
        for key in (*ODD, *GOOD):
            made.put(key, key.encode())
        made.put("ecephys_222222_2024-01-01_00-00-00/ only.txt", b"x")
        yield made


def test_every_key_is_listed_as_it_is(bucket):
    rows = [row["path"] for row in oa.list(f"asset:{NAME}/*")] + [
        row["path"] for row in oa.list(f"asset:{NAME}")
    ]
    listed = {f"{NAME}/{path}" for path in rows}
    assert listed >= {*GOOD, *ODD}


def test_the_rest_is_fetched_and_odd_keys_are_named(bucket, tmp_path):
    plan = oa.plan(f"asset:{NAME}", to=tmp_path)
    (note,) = [note for note in plan.notes if "left out" in note]
    assert note.startswith(f"{len(ODD)} keys left out, not safe as file names: ")
    report = oa.fetch(f"asset:{NAME}", to=tmp_path)
    assert report is not None
    found = {p.relative_to(tmp_path).as_posix(): p for p in tmp_path.rglob("*") if p.is_file()}
    for key in GOOD:
        assert found[key.removeprefix(f"{NAME}/")].read_bytes() == key.encode()
    assert not {f"{NAME}/{path}" for path in found} & {*ODD}
    assert "\x1b" not in str(plan)
    assert harmless("\x1b]0;owned") in str(plan) or "more" in note


def test_the_command_names_them_and_succeeds(bucket, tmp_path):
    command = [sys.executable, "-m", "openallen", "fetch", f"asset:{NAME}", "--to", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "left out" in done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    told = subprocess.run(
        [*command, "--json", "--dry-run"], capture_output=True, text=True, check=True, timeout=120
    )
    assert "left out" in json.dumps(json.loads(told.stdout))


def test_nothing_but_odd_keys_is_an_error(bucket, tmp_path):
    with pytest.raises(IntegrityError, match="unsafe file names"):
        oa.fetch("asset:ecephys_222222_2024-01-01_00-00-00", to=tmp_path)


def test_usual_assets_leave_nothing_out(bucket, tmp_path):
    assert not oa.plan(f"asset:{RAW}", to=tmp_path).notes
    assert ASSETS
