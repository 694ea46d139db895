"""``openallen bench``: measurements anybody can run again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openallen import verbs
from openallen.cli.app import ExampleCommand
from openallen.cli.options import Call, common
from openallen.errors import UsageError

if TYPE_CHECKING:
    from openallen.recordings.compress import Measured

__all__ = ["command"]

EXAMPLES = (
    (
        "openallen bench compression NP2 --codecs blosc-zstd,blosc-lz4 --seconds 0.2 --channels 32",
        "a made-up Neuropixels 2.0 recording",
    ),
    ("openallen bench compression NP1 --codecs zlib --seconds 0.1 --channels 8 --json", "as JSON"),
)
_COLUMNS = (
    "codec",
    "ratio",
    "pack_x_realtime",
    "unpack_x_realtime",
    "published_np1",
    "published_np2",
)


@click.command(cls=ExampleCommand, examples=EXAMPLES)
@click.argument("what", type=click.Choice(("compression",)))
@click.argument("place", metavar="PATH|NP1|NP2")
@click.option("--codecs", help="Names with commas; all if left out.")
@click.option("--seconds", type=float, default=10.0, show_default=True, help="Of the recording.")
@click.option("--start", type=float, default=0.0, show_default=True, help="From here on, in s.")
@click.option("--chunk-s", type=float, default=1.0, show_default=True, help="Length of a chunk.")
@click.option("--channels", type=click.IntRange(1), default=384, help="Of what is made up.")
@click.option("--lsb/--no-lsb", default=True, show_default=True, help="Take out the step first.")
@common
def command(
    call: Call,
    what: str,
    place: str,
    codecs: str | None,
    seconds: float,
    start: float,
    chunk_s: float,
    channels: int,
    lsb: bool,
) -> int:
    """Measure how small lossless codecs make a recording, and how fast.

    PATH is a recording (or its address); NP1 and NP2 make one up. Beside the ratios stand the
    medians of Buccino et al. (2023, doi 10.1088/1741-2552/acf5a4) on real recordings. Speeds are
    multiples of real time in one thread; the slow codecs take minutes for ten seconds.
    """
    del what
    from openallen.recordings.compress import measure_all

    samples, rate = _samples(place, start, seconds, channels)
    names = [name.strip() for name in (codecs or "").split(",") if name.strip()]
    found = measure_all(samples, rate, names, chunk_s=chunk_s, lsb=lsb, tell=call.out.say)
    rows = [_row(one) for one in found]
    call.out.rows(rows, _COLUMNS, id_column="codec", noun="codec")
    call.out.say(f"  {len(samples) / rate:g} s of {samples.shape[1]} channels")
    return 0


def _samples(place: str, start: float, seconds: float, channels: int) -> tuple[Any, float]:
    if seconds <= 0:
        raise UsageError("a part of no length", why=f"--seconds {seconds:g}")
    from openallen.recordings.generate import PROBES, generate

    if place in PROBES and not Path(place).exists():
        return generate(place, seconds, channels), 30_000.0
    recording = verbs.open(place)
    if not hasattr(recording, "traces"):
        raise UsageError("this is no recording", address=place)
    part = recording.traces(start, start + seconds, scaled=False)
    return part.to_numpy(), recording.sampling_frequency_hz


def _row(one: Measured) -> dict[str, Any]:
    told = one.to_dict()
    return {k: round(v, 3) if isinstance(v, float) else v for k, v in told.items()}
