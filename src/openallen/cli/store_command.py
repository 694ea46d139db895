"""``openallen store``: what is kept and where; verify, repair, prune, adopt."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openallen import verbs
from openallen.address import Address
from openallen.cli.app import ExampleCommand
from openallen.cli.options import Call, common
from openallen.cli.progress import counting
from openallen.display import bytes_text, count_text
from openallen.errors import ExitCode, NotFoundError, RefusedError, UsageError
from openallen.store.layout import FOLDERS

if TYPE_CHECKING:
    from openallen.sources.releases import ReleaseCache
    from openallen.store.checked import Checked

__all__ = ["command"]

EXAMPLES = (
    ("openallen store path", "the folder"),
    ("openallen store ls", "what is in it"),
    ("openallen store verify", "read every byte through, on all cores"),
)
_SCHEMES = {folder: scheme for scheme, folder in FOLDERS.items()}
REMEMBERED = "ranges"
_SIDECARS = "assets/sidecars"
_WHAT = ("path", "ls", "verify", "repair", "prune", "adopt")


@click.command(cls=ExampleCommand, examples=EXAMPLES)
@click.argument("what", type=click.Choice(_WHAT))
@click.argument("given", nargs=-1, metavar="[ADDRESS|FOLDER]...")
@click.option("--in-place", is_flag=True, help="Adopt a folder where it is.")
@click.option("--dry-run", is_flag=True, help="Say what prune would remove.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@common
def command(
    call: Call, what: str, given: tuple[str, ...], in_place: bool, dry_run: bool, yes: bool
) -> int:
    """Look after what is kept.

    path and ls show it. verify reads what is kept through and compares every digest; repair fetches
    what is damaged again. prune removes versions (release:NAME@VERSION); bytes that other versions
    share stay; prune ranges forgets what was read from afar. adopt takes over a cache folder that
    AllenSDK made, without downloading anything.
    """
    if what == "path":
        root = call.settings.store
        call.out.document({"path": str(root)}, str(root), ids=(root,))
        return 0
    if what == "ls":
        return _ls(call)
    if what == "adopt":
        return _adopt(call, given, in_place=in_place)
    if what == "prune":
        return _prune(call, given, dry_run=dry_run, yes=yes)
    return _verify(call, given, repair=what == "repair")


def _ls(call: Call) -> int:
    root = call.settings.store
    rows = [
        {
            "address": f"{_SCHEMES.get(system.name, system.name)}:{folder.name}",
            "files": len(sizes),
            "size": bytes_text(sum(sizes.values())),
            "size_bytes": sum(sizes.values()),
            "folder": str(folder),
        }
        for system in sorted(root.glob("*/"))
        for folder in sorted(system.glob("*/"))
        if system.name in _SCHEMES and folder.relative_to(root).as_posix() != _SIDECARS
        for sizes in [_sizes(folder)]
        if sizes
    ]
    call.out.rows(rows, ("address", "files", "size", "folder"), id_column="address", noun="thing")
    remembered = sum(_sizes(root / REMEMBERED).values())
    if remembered:
        call.out.say(
            f"  {bytes_text(remembered)} of what was read from afar are remembered in "
            f"{root / REMEMBERED}; openallen store prune {REMEMBERED} forgets them"
        )
    return 0


def _sizes(folder: Path) -> dict[tuple[int, int], int]:
    """Give sizes by file; one that has two names counts once."""
    stats = (p.stat() for p in folder.rglob("*") if p.is_file())
    return {(s.st_dev, s.st_ino): s.st_size for s in stats}


@contextmanager
def _shelves(call: Call, given: tuple[str, ...]) -> Iterator[list[ReleaseCache]]:
    """Open the projects named, or all that are in the store."""
    from openallen.sources.releases.projects import PROJECTS

    addresses = [Address.parse(text) for text in given]
    names = [a.name for a in addresses if a.scheme == "release"]
    if not addresses:
        names = [*PROJECTS, *call.settings.projects]
    with verbs.connected(call.settings) as client:
        found = [verbs.cache(client, name, call.settings) for name in dict.fromkeys(names)]
        yield [cache for cache in found if cache.folder.is_dir()]


def _verify(call: Call, given: tuple[str, ...], *, repair: bool) -> int:
    from openallen.sources.releases.retention import verify
    from openallen.store import Store
    from openallen.store.checked import verify_remembered

    checked: list[Checked] = []
    others = _others(call, given)
    with _shelves(call, given) as caches, Store(call.settings.store).index() as index:
        quiet = call.out.quiet or call.out.as_json
        total = sum(1 for cache in caches for _ in cache.folder.glob("*-*/**/*.*"))
        total += sum(1 for folder in others for path in folder.rglob("*") if path.is_file())
        with counting(total, "file", quiet=quiet) as step:
            results = [verify(cache, index) for cache in caches]
            results += [verify_remembered(folder, index) for folder in others]
            for number, result in enumerate(chain.from_iterable(results)):
                checked.append(result)
                step(number)
    bad = [c for c in checked if c.status in {"damaged", "unreadable"}]
    code = ExitCode.INTEGRITY if bad else ExitCode.DONE
    if repair and bad:
        code = _fetch_again(call, bad)
    counts = {s: sum(c.status == s for c in checked) for s in ("right", "damaged", "unknown")}
    document = {
        "files": len(checked),
        **counts,
        "size_bytes": sum(c.size_bytes for c in checked),
        "repaired": repair and code is ExitCode.DONE,
        "bad": [{"path": str(c.path), "address": c.address, "status": c.status} for c in bad],
    }
    lines = [f"{c.status}: {c.path}" for c in bad]
    told = ", ".join(f"{n:,} {word}" for word, n in counts.items() if n) or "nothing to verify"
    told += "; all mended" if document["repaired"] and bad else ""
    call.out.document(document, "\n".join([*lines, told]), ids=(c.path for c in bad))
    if bad and not repair:
        call.out.say("  mend it: openallen store repair")
    return code


def _others(call: Call, given: tuple[str, ...]) -> list[Path]:
    """Give the folders of what is kept besides releases: those named, or all."""
    addresses = [Address.parse(text) for text in given]
    if addresses:
        named = [a for a in addresses if a.scheme != "release"]
        return [verbs.destination(a, None, call.settings) for a in named]
    folders = (call.settings.store / folder for folder in FOLDERS.values() if folder != "releases")
    return [folder for folder in folders if folder.is_dir()]


def _whole(call: Call, result: Checked) -> str:
    """Give the address of the thing a file lies in, by the folder of the store it is in."""
    system, name, *_ = result.path.relative_to(call.settings.store).parts
    return f"{_SCHEMES.get(system, system)}:{name}"


def _fetch_again(call: Call, bad: list[Checked]) -> ExitCode:
    from openallen.cli.fetch_command import run_job
    from openallen.store.link import share

    code = ExitCode.DONE
    mended: dict[str, Path] = {}  # by digest: names that shared bytes share them again
    with verbs.connected(call.settings) as client:
        for result in bad:
            address = Address.parse(result.address)
            folder = verbs.destination(address, None, call.settings)
            if not result.path.is_relative_to(folder):
                call.out.warn(f"{result.path} comes with: openallen fetch {_whole(call, result)}")
                code = ExitCode.INCOMPLETE
                continue
            work = verbs.job(client, address, folder)
            digest = work.plan.files[0].digest
            if digest and digest in mended:
                share(mended[digest], result.path)
                continue
            # The damaged file stays until the right one takes its name.
            if run_job(call, client, work).ok:
                mended[digest] = result.path
            else:
                code = ExitCode.INCOMPLETE
    return code


def _prune(call: Call, given: tuple[str, ...], *, dry_run: bool, yes: bool) -> int:
    from openallen.sources.releases import Version
    from openallen.sources.releases.retention import prune

    if given == (REMEMBERED,):
        return _forget(call, dry_run=dry_run)
    wanted: dict[str, list[Version]] = {}
    for text in given:
        address = Address.parse(text)
        if address.scheme != "release" or not address.version:
            raise UsageError(
                "which version?", address=text, hint="release:visual-behavior-ophys@1.0.0"
            )
        wanted.setdefault(address.name, []).append(Version(address.version))
    if not wanted:
        raise UsageError("which versions?", hint="openallen list release:visual-behavior-ophys")
    with verbs.connected(call.settings) as client:
        caches = [(verbs.cache(client, n, call.settings), v) for n, v in wanted.items()]
    planned = [(cache, p) for cache, v in caches for p in prune(cache, v, dry_run=True)]
    freed = sum(p.freed_bytes for _, p in planned)
    if not dry_run and not yes:
        raise RefusedError(
            f"{count_text(sum(p.files for _, p in planned), 'file')} are not removed unasked",
            why=f"{bytes_text(freed)} would be freed",
            hint="the same command with --yes, or with --dry-run",
        )
    if not dry_run:
        for cache, versions in caches:
            prune(cache, versions)
    rows = [
        {
            "address": f"release:{cache.project.name}@{p.version}",
            "files": p.files,
            "freed_bytes": p.freed_bytes,
        }
        for cache, p in planned
    ]
    call.out.rows(rows, ("address", "files", "freed_bytes"), id_column="address", noun="version")
    call.out.say(f"{bytes_text(freed)} {'would be ' if dry_run else ''}freed")
    return 0


def _forget(call: Call, *, dry_run: bool) -> int:
    """Forget what was read from afar: it is asked for again when it is wanted."""
    folder = call.settings.store / REMEMBERED
    sizes = _sizes(folder)
    if not dry_run:
        shutil.rmtree(folder, ignore_errors=True)
    freed = sum(sizes.values())
    document = {"folder": str(folder), "files": len(sizes), "freed_bytes": freed}
    text = f"{bytes_text(freed)} {'would be ' if dry_run else ''}freed"
    call.out.document(document, text, ids=(folder,))
    return 0


def _adopt(call: Call, given: tuple[str, ...], *, in_place: bool) -> int:
    from openallen.sources.releases.retention import adopt
    from openallen.store import Store

    if len(given) != 1:
        raise UsageError("which folder?", hint="openallen store adopt DIR")
    source = Path(given[0]).expanduser().absolute()
    name = _project_in(call, source)
    store = Store(call.settings.store)
    with verbs.connected(call.settings) as client, store.index() as index:
        cache = verbs.cache(client, name, call.settings, source if in_place else None)
        quiet = call.out.quiet or call.out.as_json
        total = sum(1 for _ in source.glob("*-*/**/*.*"))
        with counting(total, "file", quiet=quiet) as step:
            found = adopt(source, cache, index, lambda _: step(0))
    if in_place:
        store.point(Address("release", name), source)
    bad = [c for c in found.checked if c.status != "right"]
    document: dict[str, Any] = {
        "project": name,
        "folder": str(cache.folder),
        "versions": [str(v) for v in found.versions],
        "files": len(found.checked),
        "how": found.how,
        "left_behind": [{"path": str(c.path), "status": c.status} for c in bad],
    }
    ways = ", ".join(f"{n:,} by {way}" for way, n in found.how.items())
    lines = [f"{c.status}, left behind: {c.path}" for c in bad]
    text = f"{count_text(len(found.checked), 'file')} of {name} in {cache.folder}: {ways}"
    call.out.document(document, "\n".join([*lines, text]), ids=(cache.folder,))
    return ExitCode.INTEGRITY if bad else ExitCode.DONE


def _project_in(call: Call, source: Path) -> str:
    from openallen.sources.releases.projects import PROJECTS

    for name in (*call.settings.projects, *PROJECTS):
        if any(source.glob(f"{name}_project_manifest_v*.json")):
            return name
    raise NotFoundError(
        "no cache of a release is here",
        address=str(source),
        why="there is no …_project_manifest_v….json",
        hint="the folder that AllenSDK was given as cache_dir",
    )
