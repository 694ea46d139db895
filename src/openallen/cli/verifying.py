"""Verifying and repairing, as ``openallen verify`` and ``openallen store`` share it."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from openallen import maintenance
from openallen.cli.options import Call
from openallen.cli.progress import counting, progress_for
from openallen.display import bytes_text
from openallen.errors import ExitCode

__all__ = ["verified"]

_BAD = ("damaged", "unreadable", "missing")


def verified(call: Call, what: Sequence[str | Path], *, repair: bool) -> ExitCode:
    """Verify, repair what is bad where that is wanted, and say what was found."""
    quiet = call.out.quiet or call.out.as_json
    found = []
    with counting(None, "file", quiet=quiet, every=1) as step:
        for pair in maintenance.verify(what, settings=call.settings):
            found.append(pair)
            step(pair)
    bad = [pair for pair in found if pair[1].status in _BAD]
    failed = []
    if repair and bad:
        failed = maintenance.repair(
            bad,
            settings=call.settings,
            observer=lambda: progress_for(quiet=quiet, verbose=call.out.verbose),
        )
    counts: Counter[str] = Counter(checked.status for _, checked in found)
    size = sum(checked.size_bytes for _, checked in found)
    document = {
        "files": len(found),
        **{status: counts[status] for status in ("intact", *_BAD, "unknown")},
        "size_bytes": size,
        "repaired": len(bad) - len(failed) if repair else 0,
        "bad": [
            {"path": str(c.path), "address": c.address or None, "status": c.status, "in": t.address}
            for t, c in bad
        ],
    }
    lines = [f"{checked.status}: {checked.path}" for _, checked in bad]
    lines += [f"not repaired: {checked.path}: {error}" for checked, error in failed]
    told = ", ".join(f"{n:,} {status}" for status, n in counts.items()) or "nothing to verify"
    told += f" ({bytes_text(size)})" if found else ""
    told += f"; {len(bad) - len(failed):,} repaired" if repair and bad else ""
    call.out.document(document, "\n".join([*lines, told]), ids=(c.path for _, c in bad))
    if bad and not repair:
        names = " ".join(shlex.quote(str(w)) for w in what)
        call.out.say(f"  repair: openallen store repair {names}".rstrip())
    if repair:
        return ExitCode.INCOMPLETE if failed else ExitCode.DONE
    return ExitCode.INTEGRITY if bad else ExitCode.DONE
