"""``openallen demo``: the main job on the embedded sample, offline."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import click

from openallen import verbs
from openallen.address import Address
from openallen.cli.app import ExampleCommand
from openallen.cli.fetch_command import run_job
from openallen.cli.options import Call, common
from openallen.cli.pictures import save
from openallen.cli.progress import counting
from openallen.display import facts_text

__all__ = ["command"]

ADDRESS = Address.parse("stack:313862022")
GRID = Address.parse("grid:69855739")
ATLAS = Address.parse("atlas:P56/gridAnnotation")
DOWNSAMPLE = 3
EXAMPLES = (("openallen demo --to openallen-demo", "in under a minute, without a network"),)


@click.command(cls=ExampleCommand, examples=EXAMPLES)
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    default=Path("openallen-demo"),
    show_default=True,
    help="Folder it makes.",
)
@common
def command(call: Call, to: Path) -> int:
    """Do the main job on the embedded sample: find a cell, package its image stack, open it.

    The sample is served over HTTP on this machine, so this runs what the live service would see.
    Its rows are real; its pixels are simulated, and say so.
    """
    call = replace(call, settings=replace(call.settings, source="sample", offline=True))
    to = verbs.folder_for(to)
    call.out.say(f"1  find     openallen show {ADDRESS} --source sample")
    with verbs.connected(call.settings) as client:
        work = verbs.job(client, ADDRESS, to, downsample=DOWNSAMPLE)
        call.out.say(f"2  plan     {len(work.plan.files)} files at an eighth of their size")
        for note in client.notes:
            call.out.say(f"            {note}")
        options = f"--to {to} --downsample {DOWNSAMPLE} --source sample"
        call.out.say(f"3  fetch    openallen fetch {ADDRESS} {options}")
        report = run_job(call, client, work)
    report.raise_if_failed()
    stack = verbs.open(to)
    call.out.say(f"            {len(report.fetched)} fetched, {len(report.here)} here before")
    store = _convert(call, to)
    expression = _expression(call, to)
    kinds = {"planes": 0, "projections": 0, "morphology": 0}
    for outcome in (*report.fetched, *report.here):
        kinds[outcome.file.kind] += 1
    document = {
        "folder": str(to),
        "address": str(ADDRESS),
        "manifest": str(to / "manifest.json"),
        "fetched": len(report.fetched),
        "here": len(report.here),
        **kinds,
        "simulated": stack.manifest.simulated,
        "zarr": str(store) if store else None,
        "expression": expression,
        "elapsed_s": round(report.elapsed_s, 3),
    }
    text = facts_text(
        "Made",
        {
            f"{to.name}/planes/": f"{kinds['planes']} planes, named by section number",
            f"{to.name}/projections/": f"{kinds['projections']} projections",
            f"{to.name}/morphology/": "the reconstruction, its markers, a thumbnail",
            f"{to.name}/manifest.json": "what each file is, where it came from, its SHA-256",
            f"{to.name}/{store.name}/" if store else "": "an OME-Zarr 0.5 pyramid"
            if store
            else None,
            f"{to.name}/grid/": "expression of one gene, in cubes of 200 µm",
            f"{to.name}/atlas/": "the annotation that names their structures",
            f"{to.name}/grid.png" if expression else "": "three slices of it"
            if expression
            else None,
        },
    )
    following = facts_text(
        "Next",
        {
            "look": f"python -c \"import openallen as oa; print(oa.open('{to}'))\"",
            "or": f"python -c \"import openallen as oa; print(oa.open('{to}/grid').energy)\""
            if expression
            else None,
            "a real cell": f"openallen fetch {ADDRESS} --to cell --downsample 3",
            "which cells": "openallen list stack:",
            "all commands": "openallen --help",
        },
    )
    call.out.document(document, f"\n{text}\n\n{following}", ids=(to,))
    return 0


def _expression(call: Call, to: Path) -> dict[str, object] | None:
    """Fetch a grid and an annotation, and sum the one up by the other, where that can be done."""
    for step, (address, name) in enumerate(((GRID, "grid"), (ATLAS, "atlas")), 5):
        call.out.say(f"{step}  {name:<9}openallen fetch {address} --to {to / name} --source sample")
        with verbs.connected(call.settings) as client:
            work = verbs.job(client, address, to / name)
            run_job(call, client, work).raise_if_failed()
    if any(importlib.util.find_spec(name) is None for name in ("matplotlib", "pandas", "xarray")):
        call.out.say("            to open them: pip install 'openallen[atlas]'")
        return None
    from openallen.sources.atlases import Atlas, ExpressionGrid
    from openallen.sources.atlases.plots import plot_slices

    grid, atlas = ExpressionGrid(to / "grid"), Atlas(to / "atlas")
    means = atlas.unionizer()(grid.energy)["mean"].dropna().sort_values(ascending=False)
    most = {atlas.structures.by_id[i].acronym: round(float(v), 1) for i, v in means[:5].items()}
    told = ", ".join(f"{acronym} {mean:g}" for acronym, mean in most.items())
    call.out.say(f"            mean energy in {len(means)} structures, most in {told}")
    picture = save(lambda: plot_slices(grid.energy, atlas=atlas), to / "grid.png")
    return {"structures": len(means), "most": most, "picture": str(picture)}


def _convert(call: Call, to: Path) -> Path | None:
    """Convert the stack too, where that can be done; the main job does not depend on it."""
    from openallen.sources.stacks import ImageStack

    work = ImageStack(to).conversion(to)
    if work.to.exists():
        return work.to
    if any(importlib.util.find_spec(name) is None for name in ("simplejpeg", "zstandard", "zarr")):
        call.out.say("4  convert  needs the optional part: pip install 'openallen[images]'")
        return None
    call.out.say(f"4  convert  openallen convert {to} --to {to}")
    with counting(len(work.sources), "plane", quiet=call.out.quiet) as step:
        return work.run(step).path
