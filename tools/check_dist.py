"""Build what is released, twice, and look at what is in it.

    python tools/check_dist.py --to dist    # needs hatchling and git

Wheel and sdist are built in two copies of the checkout that differ in place, times and rights, then
the wheel once more from the unpacked sdist: equal bytes each time. The wheel must be small and hold
what it should, and the sdist every file that git knows of those it takes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
WHEEL_LIMIT_BYTES = 5_000_000
NEEDED = (
    "openallen/py.typed",
    "openallen/archive/sample/TERMS.md",
    "openallen/archive/sample/tables/specimens.jsonl",
    "openallen/archive/sample/buckets/",
    "openallen/archive/sample/files/",
    "openallen/archive/sample/models/",
    "openallen/viewer/static/",
    "openallen/viewer/templates/",
    ".dist-info/licenses/LICENSE",
    ".dist-info/licenses/src/openallen/archive/sample/TERMS.md",
    ".dist-info/entry_points.txt",
)
UNWANTED = ("tests/", "__pycache__", ".pyc", ".part", "node_modules", ".cache", ".ts")
# What the checkout has for itself; everything else is in the sdist.
_NOT_IN_SDIST = (".github/",)


def main() -> None:
    """Build, compare, look, and leave wheel and sdist in a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=Path, default=ROOT / "dist", help="where they are left")
    to = parser.parse_args().to
    with tempfile.TemporaryDirectory(prefix="openallen-dist-") as folder:
        problems = check(Path(folder), to)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    sys.exit(bool(problems))


def check(work: Path, to: Path) -> list[str]:
    """Build and return what is wrong; nothing if all is well.

    Parameters
    ----------
    work
        An empty folder.
    to
        Where wheel and sdist are left.
    """
    files = tracked()
    here = build(_copied(files, work / "here", 0o022), work / "one", 0o022)
    there = build(_copied(files, work / "some" / "where else", 0o077), work / "two", 0o077)
    problems = [f"not built to the same bytes: {n}" for n in here if here[n] != there.get(n)]
    sdist, wheel = sorted(here, key=lambda name: name.endswith(".whl"))
    with tarfile.open(work / "one" / sdist) as tar:
        tar.extractall(work / "unpacked", filter="data")
        held = {name.partition("/")[2] for name in tar.getnames()}
    unpacked = work / "unpacked" / sdist.removesuffix(".tar.gz")
    if build(unpacked, work / "three", 0o022, "wheel").get(wheel) != here[wheel]:
        problems.append("the wheel of the sdist is not that of the checkout")
    wanted = {f for f in files if not f.startswith(_NOT_IN_SDIST)}
    problems += [f"not in the sdist: {name}" for name in sorted(wanted - held)]
    problems += wheel_problems(work / "one" / wheel)
    to.mkdir(parents=True, exist_ok=True)
    for name, body in here.items():
        (to / name).write_bytes(body)
        print(f"{to / name}  {len(body) / 1e6:.2f} MB")
    return problems


def tracked() -> list[str]:
    """Return the files that git knows, as they lie in the checkout."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def _copied(files: list[str], to: Path, umask: int) -> Path:
    before = os.umask(umask)
    try:
        for name in files:
            target = to / name
            target.parent.mkdir(parents=True, exist_ok=True)
            # Neither times nor rights of the checkout: those of a clone differ each time.
            shutil.copyfile(ROOT / name, target)
            if os.access(ROOT / name, os.X_OK):
                target.chmod(0o777 & ~umask)
    finally:
        os.umask(before)
    return to


def build(folder: Path, to: Path, umask: int, *kinds: str) -> dict[str, bytes]:
    """Return what hatchling builds of a folder: bytes by file name."""
    targets = [word for kind in kinds or ("sdist", "wheel") for word in ("-t", kind)]
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", to, *targets],
        cwd=folder,
        env=os.environ | {"SOURCE_DATE_EPOCH": epoch(), "TZ": "Asia/Tokyo" if umask else "UTC"},
        stdout=subprocess.DEVNULL,
        umask=umask,
        check=True,
    )
    return {path.name: path.read_bytes() for path in to.iterdir() if path.suffix in {".gz", ".whl"}}


def epoch() -> str:
    """Return the time that is written into archives: the environment's, or the last commit's."""
    if "SOURCE_DATE_EPOCH" in os.environ:
        return os.environ["SOURCE_DATE_EPOCH"]
    told = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return told.stdout.strip()


def wheel_problems(wheel: Path) -> list[str]:
    """Return what a wheel has that it should not have, and the other way round."""
    size = wheel.stat().st_size
    found = [] if size < WHEEL_LIMIT_BYTES else [f"the wheel has {size:,} bytes"]
    names = zipfile.ZipFile(wheel).namelist()
    found += [f"not in the wheel: {part}" for part in NEEDED if not any(part in n for n in names)]
    found += [f"in the wheel: {n}" for n in names if any(part in n for part in UNWANTED)]
    top = {name.partition("/")[0] for name in names}
    found += [f"in the wheel: {name}" for name in sorted(top) if not name.startswith("openallen")]
    return found


if __name__ == "__main__":
    main()
