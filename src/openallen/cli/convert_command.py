"""``openallen convert``: a fetched stack to OME-Zarr."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from openallen import verbs
from openallen.cli.app import ExampleCommand
from openallen.cli.options import Call, common
from openallen.cli.progress import counting
from openallen.display import bytes_text, facts_text, seconds_text
from openallen.errors import SpaceError, UsageError

if TYPE_CHECKING:
    from openallen.sources.stacks.convert import Conversion

__all__ = ["command", "convert"]

EXAMPLES = (
    ("openallen convert cell --to cell", "the stack in the folder cell, to cell/<id>.ome.zarr"),
    ("openallen convert cell --to small --keep-jpeg", "the JPEGs as they are, JPEG tiles above"),
)


@click.command(cls=ExampleCommand, examples=EXAMPLES)
@click.argument("stack", metavar="ADDRESS|FOLDER")
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder for <specimen>.ome.zarr, or the store itself if it ends in .zarr.",
)
@click.option("--keep-jpeg", is_flag=True, help="Keep the JPEGs as level 0, JPEG tiles above.")
@click.option("--gray", is_flag=True, help="Luminance alone, a third of the size.")
@click.option("--chunk-px", type=int, default=512, show_default=True, help="Side of a chunk.")
@click.option("--compression", type=int, default=1, show_default=True, help="Level of zstd.")
@click.option(
    "--jobs",
    type=click.IntRange(0),
    default=0,
    help="Planes at once; by default one on each core, as far as they fit in 1 GB.",
)
@click.option("--overwrite", is_flag=True, help="Replace a store that is there.")
@common
def command(
    call: Call,
    stack: str,
    to: Path,
    keep_jpeg: bool,
    gray: bool,
    chunk_px: int,
    compression: int,
    jobs: int,
    overwrite: bool,
) -> int:
    """Convert a fetched stack to OME-Zarr 0.5.

    Zarr 3, sharded, a pyramid by halves, scales in micrometres, and min, max and mean projections
    along each axis. Opens in napari, vizarr and neuroglancer. One pass, on all cores.
    """
    opened = verbs.open(stack)
    if not hasattr(opened, "conversion"):
        raise UsageError("this is no image stack", address=stack, hint="openallen list stack:")
    work = opened.conversion(
        verbs.folder_for(to),
        gray=gray,
        keep_jpeg=keep_jpeg,
        chunk_px=chunk_px,
        compression_level=compression,
        overwrite=overwrite,
        jobs=jobs,
    )
    return convert(call, work)


def convert(call: Call, work: Conversion) -> int:
    """Run a conversion with progress, and say what it made."""
    _check_space(work)
    count = sum(source is not None for source in work.sources)
    start = time.monotonic()
    with counting(count, "plane", quiet=call.out.quiet or call.out.as_json) as step:
        made = work.run(step)
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
        f"OME-Zarr 0.5 of {work.manifest.address}",
        {
            "path": made.path,
            "shape": f"{' x '.join(map(str, g.shape(0)))} ({''.join(g.axes)})",
            "levels": len(g.levels),
            "pixel": f"{g.x_um:g} µm (x, y), {g.z_um:g} µm (z)",
            "missing": f"{len(work.sources) - count} planes" if len(work.sources) > count else None,
            "size": f"{bytes_text(size)} in {seconds_text(elapsed)}",
            "open it": "in napari, vizarr or neuroglancer, or with openallen.formats.omezarr",
        },
    )
    call.out.document(document, text, ids=(made.path,))
    return 0


def _check_space(work: Conversion) -> None:
    here = work.to
    while not here.exists() and here != here.parent:
        here = here.parent
    free = shutil.disk_usage(here).free
    if work.likely_bytes > free:
        raise SpaceError(
            "not enough space",
            address=str(work.to),
            why=f"about {bytes_text(work.likely_bytes)} to come, {bytes_text(free)} free",
            hint="--gray, --keep-jpeg, or another disk with --to DIR",
        )
