"""Which planes are wanted: a Python slice, read from text and written as text."""

from __future__ import annotations

import re

from openallen.errors import UsageError

__all__ = ["parse_planes", "planes_text"]


def parse_planes(text: str) -> slice:
    """Read ``100:200:2``, ``:10``, ``::4``, ``-1`` or ``7`` as positions in the stack.

    Raises
    ------
    UsageError
        If it is not a slice.
    """
    parts = text.strip().split(":")
    if not (1 <= len(parts) <= 3 and all(re.fullmatch(r"-?\d{1,9}|", p.strip()) for p in parts)):
        dashed = re.fullmatch(r"(\d{1,9})-(\d{1,9})", text.strip())
        meant = f"{dashed[1]}:{int(dashed[2]) + 1}" if dashed else "100:200:2"
        raise UsageError(f"'{text}' selects no planes", hint=f"--planes {meant}")
    numbers = [int(p) if p.strip() else None for p in parts]
    if len(parts) == 1:
        if numbers[0] is None:
            raise UsageError("no planes selected", hint="--planes 100:200:2")
        return slice(numbers[0], None if numbers[0] == -1 else numbers[0] + 1)
    if len(parts) == 3 and numbers[2] == 0:
        raise UsageError("planes cannot be taken in steps of 0", hint="--planes ::2")
    return slice(*numbers)


def planes_text(planes: slice) -> str:
    """Return a slice of planes as `parse_planes` reads it: ``100:200:2``, ``:`` for all."""
    start, stop, step = (
        "" if n is None else str(n) for n in (planes.start, planes.stop, planes.step)
    )
    return f"{start}:{stop}" + (f":{step}" if step else "")
