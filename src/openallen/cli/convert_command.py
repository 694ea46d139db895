"""``openallen convert``: convert a fetched stack, or section images, to OME-Zarr."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openallen import verbs
from openallen.cli.app import ExampleCommand
from openallen.cli.completion import addresses
from openallen.cli.options import Call, common, same_command
from openallen.cli.progress import counting
from openallen.cli.schedulers import checked_scheduler, scheduler_option
from openallen.display import bytes_text, count_text, facts_text, seconds_text
from openallen.errors import RefusedError, SpaceError, UsageError
from openallen.sources.context import folder_for

if TYPE_CHECKING:
    from openallen.formats.omezarr import Converted

__all__ = ["command", "convert"]

EXAMPLES = (
    ("openallen convert cell", "the stack in the folder cell, to cell/<specimen>.ome.zarr"),
    ("openallen convert cell --to small --keep-jpeg", "level 0 as the original JPEGs, in small/"),
)


@click.command(cls=ExampleCommand, examples=EXAMPLES)
@click.argument("stack", shell_complete=addresses, metavar="ADDRESS|FOLDER")
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    help="Folder for <specimen>.ome.zarr, or the store itself if the name ends in .zarr.  "
    "[default: the folder of the stack]",
)
@click.option(
    "--keep-jpeg",
    is_flag=True,
    help="Store the JPEGs unchanged as level 0, and JPEG tiles at higher levels.",
)
@click.option("--gray", is_flag=True, help="Luminance only; a third of the size.")
@click.option("--chunk-px", type=int, default=512, show_default=True, help="Chunk side in pixels.")
@click.option(
    "--compression", type=int, default=1, show_default=True, help="Compression level of zstd."
)
@click.option(
    "--jobs",
    type=click.IntRange(0),
    default=0,
    help="Planes converted in parallel; 0 for one per core, within 1 GB of memory.",
    show_default=True,
)
@click.option("--overwrite", is_flag=True, help="Replace an existing store.")
@scheduler_option(
    "Convert on the workers of a dask cluster, which see the folders of stack and store."
)
@common
def command(
    call: Call,
    stack: str,
    to: Path | None,
    keep_jpeg: bool,
    gray: bool,
    chunk_px: int,
    compression: int,
    jobs: int,
    overwrite: bool,
    scheduler: str | None,
) -> int:
    """Convert a fetched image stack, or section images, to OME-Zarr 0.5.

    Writes a sharded Zarr 3 multiscale pyramid (factor 2 in x and y) with scales in micrometres, and
    min, max and mean projections along each axis. Opens in napari, vizarr and neuroglancer.
    """
    scheduler = checked_scheduler(call, scheduler)
    opened = verbs.open(stack, settings=call.settings)
    if not hasattr(opened, "conversion"):
        raise UsageError("not an image stack", address=stack, hint="openallen list stack:")
    work = opened.conversion(
        folder_for(to) if to is not None else None,
        gray=gray,
        keep_jpeg=keep_jpeg,
        chunk_px=chunk_px,
        compression_level=compression,
        overwrite=overwrite,
        jobs=jobs,
    )
    return convert(call, work, scheduler)


def convert(call: Call, work: Any, scheduler: str | None = None) -> int:
    """Run a conversion with progress, and print what it wrote."""
    _check_space(work)
    count = sum(source is not None for source in work.sources)
    start = time.monotonic()
    with counting(count, "plane", quiet=call.out.quiet or call.out.as_json) as step:
        made = _run(work, step, scheduler)
    elapsed = time.monotonic() - start
    size = sum(p.stat().st_size for p in made.path.rglob("*") if p.is_file())
    g = work.geometry
    document = {
        "path": str(made.path),
        "axes": "".join(g.axes),
        "shape": list(g.shape(0)),
        "levels": len(g.levels),
        "scale_um": list(g.scale_um(0)),
        "planes": count,
        "planes_missing": len(work.sources) - count,
        "size_bytes": size,
        "elapsed_s": round(elapsed, 3),
        "projections": sorted(made.projections),
    }
    text = facts_text(
        f"OME-Zarr 0.5 of {work.address}",
        {
            "path": made.path,
            "shape": f"{' x '.join(map(str, g.shape(0)))} ({''.join(g.axes)})",
            "levels": len(g.levels),
            "pixel": f"{g.x_um:g} µm (x, y), {g.z_um:g} µm (z)",
            "missing": count_text(len(work.sources) - count, "plane")
            if len(work.sources) > count
            else None,
            "size": f"{bytes_text(size)} in {seconds_text(elapsed)}",
            "open": f"python -c \"import openallen as oa; print(oa.open('{made.path}'))\"",
        },
    )
    call.out.document(document, text, ids=(made.path,))
    return 0


def _run(work: Any, step: Callable[[object], None], scheduler: str | None) -> Converted:
    try:
        made: Converted = work.run(step, client=scheduler)
    except RefusedError as error:
        # The library names the option; on the command line the whole command can be pasted.
        if error.hint == "--overwrite":
            error.hint = same_command(error.hint)
        raise
    return made


def _check_space(work: Any) -> None:
    here = work.to
    while not here.exists() and here != here.parent:
        here = here.parent
    free = shutil.disk_usage(here).free
    if work.likely_bytes > free:
        raise SpaceError(
            "not enough space",
            address=str(work.to),
            why=f"about {bytes_text(work.likely_bytes)} needed, {bytes_text(free)} free",
            hint=f"{same_command('--keep-jpeg')} (smaller), or another disk with --to DIR",
        )
