"""``openallen bench``: measurements anybody can run again."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openallen import verbs
from openallen.cli.app import ExampleCommand
from openallen.cli.options import Call, common
from openallen.cli.pictures import checked, save
from openallen.display import bytes_text
from openallen.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from openallen.sources.recordings.compress import Measured

__all__ = ["command"]

EXAMPLES = (
    (
        "openallen bench compression NP2 --codecs blosc-zstd,blosc-lz4 --seconds 0.2 --channels 32",
        "a made-up Neuropixels 2.0 recording",
    ),
    ("openallen bench compression NP1 --codecs zlib --seconds 0.1 --channels 8 --json", "as JSON"),
    (
        "openallen bench compression NP1 --codecs zlib --levels low,high --deltas none,2d-time "
        "--seconds 0.1 --channels 8 --csv codecs.csv",
        "levels and differences, as a table",
    ),
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
@click.argument("place", metavar="PATH|ADDRESS|NP1|NP2")
@click.option("--codecs", help="Names with commas; all if left out.")
@click.option("--levels", help="low, medium, high, with commas; the published best if left out.")
@click.option("--shuffles", help="none, byte, bit; the published best if left out.")
@click.option("--deltas", default="none", help="none, 1d, 2d-time, 2d-space, 2d-time-space.")
@click.option("--bands", default="none", help="none, highpass-300, bandpass-300-6000, …")
@click.option("--lossy", is_flag=True, help="Also fewer bits, and WavPack that loses some.")
@click.option("--seconds", type=float, default=10.0, show_default=True, help="Of the recording.")
@click.option("--start", type=float, default=0.0, show_default=True, help="From here on, in s.")
@click.option("--chunk-s", type=float, default=1.0, show_default=True, help="Length of a chunk.")
@click.option("--channels", type=click.IntRange(1), default=384, help="Of what is made up.")
@click.option(
    "--lsb",
    is_flag=False,
    flag_value="auto",
    default="auto",
    metavar="[auto|off|N]",
    show_default=True,
    help="Take out the step first: found, left alone, or known.",
)
@click.option("--no-lsb", is_flag=True, help="The same as --lsb off.")
@click.option("--hours", type=float, help="Say what so many hours of it would take.")
@click.option("--csv", "table", type=click.Path(path_type=Path, dir_okay=False), help="Write all.")
@click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), help="Draw it (png, svg, pdf)."
)
@common
def command(
    call: Call, what: str, place: str, table: Path | None, plot: Path | None, **options: Any
) -> int:
    """Measure how small codecs make a recording, how fast, and what lossy ones lose.

    PATH is a recording (or its address); NP1 and NP2 make one up. Beside the ratios stand the
    medians of Buccino et al. (2023, doi 10.1088/1741-2552/acf5a4) on real recordings. Speeds are
    multiples of real time in one thread; the slow codecs take minutes for ten seconds.
    """
    del what
    from openallen.sources.recordings.compress import (
        lossy_ways,
        measure_all,
        out_of_order,
        settings_of,
    )

    checked(plot)
    words = {n: _words(options[n]) for n in ("codecs", "levels", "shuffles", "deltas", "bands")}
    lsb = _lsb("off" if options["no_lsb"] else options["lsb"])
    ways = [*settings_of(**words), *(lossy_ways() if options["lossy"] else [])]
    samples, rate, gain = _samples(call, place, options)
    found = measure_all(
        samples, rate, ways, chunk_s=options["chunk_s"], lsb=lsb, gain_uv=gain, tell=call.out.say
    )
    seconds = len(samples) / rate
    rows = [_row(one, seconds, options["hours"]) for one in found]
    columns = [*_COLUMNS, *(["rmse_uv"] if options["lossy"] else [])]
    columns += ["hours_take"] if options["hours"] else []
    call.out.rows(_shown(call, rows), columns, id_column="codec", noun="codec")
    call.out.say(f"  {seconds:g} s of {samples.shape[1]} channels")
    if place in _made_up():
        for line in out_of_order(found, place):
            call.out.say(f"  in another order than published: {line}")
    if table is not None:
        _write(table, rows)
        call.out.say(f"  {table}")
    if plot is not None:
        _draw(found, plot, f"{place}, {seconds:g} s of {samples.shape[1]} channels")
        call.out.say(f"  {plot}")
    return 0


def _words(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def _lsb(text: str) -> bool | int:
    if text in {"auto", "off"}:
        return text == "auto"
    if text.isdigit() and int(text):
        return int(text)
    raise UsageError("a step is a whole number", why=f"--lsb {text}", hint="auto, off, or a number")


def _made_up() -> tuple[str, ...]:
    from openallen.sources.recordings.generate import PROBES

    return tuple(PROBES)


def _samples(call: Call, place: str, options: dict[str, Any]) -> tuple[Any, float, float | None]:
    """Return samples x channels, samples a second, and µV of one of their units."""
    import numpy as np

    seconds, start = options["seconds"], options["start"]
    if seconds <= 0:
        raise UsageError("a part of no length", why=f"--seconds {seconds:g}")
    from openallen.sources.recordings.generate import PROBES, generate

    if place in PROBES and not Path(place).exists():
        return generate(place, seconds, options["channels"]), 30_000.0, PROBES[place].gain_uv
    if ":" not in place and not Path(place).exists():
        raise NotFoundError("there is no such recording", address=place, hint=", ".join(PROBES))
    if place.startswith(("asset:", "recording:")):
        recording = verbs.open_part(place, settings=call.settings)
    else:
        recording = verbs.open(place)
    if not hasattr(recording, "traces"):
        raise UsageError("this is no recording", address=place)
    part = recording.traces(start, start + seconds, scaled=False)
    gain = recording.gain_uv
    known = None if gain is None or not len(gain) else float(np.median(gain))
    return part.to_numpy(), recording.sampling_frequency_hz, known


def _row(one: Measured, seconds: float, hours: float | None) -> dict[str, Any]:
    told = one.to_dict()
    if hours is not None:
        told["hours_bytes"] = round(one.stored_bytes / seconds * 3600 * hours)
    return {k: round(v, 3) if isinstance(v, float) else v for k, v in told.items()}


def _shown(call: Call, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if call.out.as_json:
        return rows
    return [
        row | ({"hours_take": bytes_text(row["hours_bytes"])} if "hours_bytes" in row else {})
        for row in rows
    ]


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    from openallen.store.disk import write_whole

    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else ["codec"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue().encode())


def _draw(found: list[Measured], path: Path, title: str) -> None:
    from openallen.sources.recordings.plots import plot_compression

    save(lambda: plot_compression(found, title), path)
