"""``openallen bench``: reproducible measurements of codecs on recordings."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openallen import verbs
from openallen.cli.app import ExampleCommand
from openallen.cli.completion import addresses
from openallen.cli.options import Call, common
from openallen.cli.schedulers import checked_scheduler, scheduler_option
from openallen.cluster import connect
from openallen.display import bytes_text, count_text, picture_path, save_figure
from openallen.errors import NotFoundError, UsageError, requiring
from openallen.paths import existing
from openallen.settings import Settings
from openallen.sources.tables import Rows

if TYPE_CHECKING:
    from openallen.sources.recordings.compress import Measured

__all__ = ["command"]

EXAMPLES = (
    (
        "openallen bench compression NP2 --codecs blosc-zstd,blosc-lz4 --seconds 0.2 --channels 32",
        "two codecs on a simulated Neuropixels 2.0 recording",
    ),
    (
        "openallen bench compression NP1 --codecs zlib --seconds 0.1 --channels 8 --json",
        "JSON lines",
    ),
    (
        "openallen bench compression NP1 --codecs zlib --levels low,high --deltas none,2d-time "
        "--seconds 0.1 --channels 8 --csv codecs.csv",
        "two compression levels and two delta filters, all results as CSV",
    ),
)
_COLUMNS = {
    "codec": "codec",
    "compression_ratio": "compression ratio",
    "compression_speed_x_real_time": "compression speed",
    "decompression_speed_x_real_time": "decompression speed",
    "published_ratio_np1": "published NP1",
    "published_ratio_np2": "published NP2",
}
"""What people see of the keys of a row."""


@click.command(cls=ExampleCommand, examples=EXAMPLES)
@click.argument("what", type=click.Choice(("compression",)))
@click.argument("place", shell_complete=addresses, metavar="PATH|ADDRESS|NP1|NP2")
@click.option("--codecs", help="Codecs, comma-separated.  [default: all]")
@click.option("--levels", help="low, medium, high, comma-separated.  [default: published best]")
@click.option("--shuffles", help="none, byte, bit, comma-separated.  [default: published best]")
@click.option(
    "--deltas",
    default="none",
    show_default=True,
    help="Delta filters: none, 1d, 2d-time, 2d-space, 2d-time-space.",
)
@click.option(
    "--bands",
    default="none",
    show_default=True,
    help="Frequency filters: none, highpass-300, bandpass-300-6000, bandpass-500-14999, "
    "bandpass-0.5-14999.",
)
@click.option("--lossy", is_flag=True, help="Also measure bit truncation and WavPack hybrid.")
@click.option("--seconds", type=float, default=10.0, show_default=True, help="Duration to read.")
@click.option("--start", type=float, default=0.0, show_default=True, help="Start, in seconds.")
@click.option(
    "--chunk-s", type=float, default=1.0, show_default=True, help="Chunk length, in seconds."
)
@click.option(
    "--channels",
    type=click.IntRange(1),
    default=384,
    show_default=True,
    help="Channels of a simulated recording.",
)
@click.option(
    "--lsb",
    is_flag=False,
    flag_value="auto",
    default="auto",
    metavar="[auto|off|N]",
    show_default=True,
    help="LSB correction before compression: estimate the LSB, no correction, or a known LSB.",
)
@click.option("--no-lsb", is_flag=True, help="Same as --lsb off.")
@scheduler_option("Measure on the workers of a dask cluster, which read the recording themselves.")
@click.option("--hours", type=float, help="Also estimate the compressed size of this many hours.")
@click.option(
    "--csv", "table", type=click.Path(path_type=Path, dir_okay=False), help="Write all results."
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Plot the results (.png, .svg, .pdf).",
)
@common
def command(
    call: Call, what: str, place: str, table: Path | None, plot: Path | None, **options: Any
) -> int:
    """Measure compression ratio, speed and error of codecs on a recording.

    The recording is a path or an address; NP1 and NP2 simulate one with the statistics of
    Neuropixels 1.0 and 2.0. The published values are from Buccino et al. (2023, doi
    10.1088/1741-2552/acf5a4). Speeds are multiples of real time in one thread; lzma, zstd and zlib
    take minutes for ten seconds of 384 channels.
    """
    del what
    from openallen.sources.recordings.compress import (
        lossy_ways,
        measure_all,
        measure_on,
        settings_of,
    )

    scheduler = checked_scheduler(call, options["scheduler"])
    if plot is not None:
        picture_path(plot)
    words = {n: _words(options[n]) for n in ("codecs", "levels", "shuffles", "deltas", "bands")}
    lsb = _lsb("off" if options["no_lsb"] else options["lsb"])
    ways = [*settings_of(**words), *(lossy_ways() if options["lossy"] else [])]
    read = _Samples.of(call, place, options)
    chunk_s, tell = options["chunk_s"], call.out.say
    with requiring("measuring codecs", "ephys"):
        if scheduler is not None:
            with connect(scheduler) as client:
                found, shape, rate = measure_on(
                    client, read, ways, chunk_s=chunk_s, lsb=lsb, tell=tell
                )
        else:
            samples, rate, gain = read()
            shape = samples.shape
            found = measure_all(
                samples, rate, ways, chunk_s=chunk_s, lsb=lsb, gain_uv=gain, tell=tell
            )
    seconds, channels = shape[0] / rate, shape[1]
    rows = [_row(one, seconds, options["hours"]) for one in found]
    _print(call, rows, lossy=options["lossy"], hours=options["hours"])
    call.out.say(
        f"  {seconds:g} s of {count_text(channels, 'channel')}; "
        "speeds are multiples of real time (x), one thread"
    )
    for line in _notes(found, place):
        call.out.say(f"  {line}")
    if table is not None:
        _write(table, rows)
        call.out.say(f"  wrote {table}")
    if plot is not None:
        _draw(found, plot, f"{place}, {seconds:g} s of {channels} channels")
        call.out.say(f"  wrote {plot}")
    return 0


def _print(call: Call, rows: list[dict[str, Any]], *, lossy: bool, hours: float | None) -> None:
    """Print rows: every key as JSON, the chosen ones under their titles for people."""
    titles = dict(_COLUMNS)
    if lossy:
        titles["rmse_uv"] = "RMSE (µV)"
    if hours is not None:
        titles["estimated_size"] = f"compressed size of {hours:g} h"
    if call.out.as_json:
        call.out.rows(Rows(rows, tuple(titles), id_column="codec", noun="codec"))
        return
    shown = [
        {
            title: bytes_text(row["estimated_bytes"]) if key == "estimated_size" else row[key]
            for key, title in titles.items()
        }
        for row in rows
    ]
    call.out.rows(Rows(shown, tuple(titles.values()), id_column="codec", noun="codec"))


def _notes(found: list[Measured], place: str) -> Iterator[str]:
    """Return notes on the published values, and where the order of codecs differs from them."""
    from openallen.sources.recordings.compress import out_of_order

    lossless = {m.published_source for m in found if not m.settings.lossy} - {""}
    lossy = {m.published_source for m in found if m.settings.lossy} - {""}
    for kind, sources in (("lossless", lossless), ("lossy", lossy)):
        if sources:
            yield f"published, {kind}: {', '.join(sorted(sources))}"
    if lossy:
        yield "RMSE of lossy methods: after a band-pass filter of 300 to 6000 Hz"
    if lossless and lossy:
        yield "so blosc-zstd and blosc-zstd with 0 bits truncated have two published ratios"
    if place in _simulated():
        for line in out_of_order(found, place):
            yield f"order differs from the published one: {line}"


def _words(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def _lsb(text: str) -> bool | int:
    if text in {"auto", "off"}:
        return text == "auto"
    if text.isdigit() and int(text):
        return int(text)
    raise UsageError("--lsb must be auto, off or a positive integer", why=f"not {text}")


def _simulated() -> tuple[str, ...]:
    from openallen.sources.recordings.generate import PROBES

    return tuple(PROBES)


@dataclass(frozen=True)
class _Samples:
    """Where samples are, and which; what workers get in place of them."""

    place: str
    start_s: float
    seconds: float
    channels: int
    settings: dict[str, Any]

    @classmethod
    def of(cls, call: Call, place: str, options: dict[str, Any]) -> _Samples:
        """Return what the options ask for, having checked it."""
        seconds = options["seconds"]
        if seconds <= 0:
            raise UsageError("--seconds must be more than 0", why=f"not {seconds:g}")
        path = existing(place)
        if path is None and place not in _simulated() and ":" not in place:
            raise NotFoundError(
                "no such file or folder",
                address=place,
                why=f"simulated recordings: {', '.join(_simulated())}",
                hint="openallen bench compression NP2 --codecs blosc-zstd",
            )
        named = place if path is None else str(path.absolute())
        known = call.settings.to_dict()
        return cls(named, options["start"], seconds, options["channels"], known)

    def __call__(self) -> tuple[Any, float, float | None]:
        """Return samples (samples, channels), sampling frequency in Hz, and µV per unit."""
        import numpy as np

        from openallen.sources.recordings.generate import PROBES, generate

        if self.place in PROBES:
            made = generate(self.place, self.seconds, self.channels)
            return made, 30_000.0, PROBES[self.place].gain_uv
        recording = verbs.open(self.place, settings=Settings(**self.settings))
        if not hasattr(recording, "traces"):
            raise UsageError(
                "not a recording", address=self.place, hint="openallen list recording:"
            )
        end_s = self.start_s + self.seconds
        part = recording.traces(self.start_s, end_s, scaled=False, clock="segment")
        gain = recording.gain_uv
        known = None if gain is None or not len(gain) else float(np.median(gain))
        return part.to_numpy(), recording.sampling_frequency_hz, known


def _row(one: Measured, seconds: float, hours: float | None) -> dict[str, Any]:
    found = one.to_dict()
    if hours is not None:
        found["estimated_hours"] = hours
        found["estimated_bytes"] = round(one.compressed_bytes / seconds * 3600 * hours)
    return {k: round(v, 3) if isinstance(v, float) else v for k, v in found.items()}


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    from openallen.store.disk import write_whole

    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else ["codec"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue().encode())


def _draw(found: list[Measured], path: Path, title: str) -> None:
    from openallen.sources.recordings.plots import plot_compression

    save_figure(lambda: plot_compression(found, title), path)
