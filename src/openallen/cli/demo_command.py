"""``openallen demo``: a tour of the main commands on the embedded sample, offline."""

from __future__ import annotations

import importlib.util
import shlex
from dataclasses import replace
from pathlib import Path

import click

from openallen import verbs
from openallen.address import Address
from openallen.cli.app import ExampleCommand
from openallen.cli.fetch_command import run_prepared
from openallen.cli.options import Call, common
from openallen.cli.progress import counting
from openallen.display import count_text, facts_text, save_figure
from openallen.extras import install_command
from openallen.sources.context import folder_for

__all__ = ["command"]

ADDRESS = Address.parse("stack:313862022")
GRID = Address.parse("grid:69855739")
ATLAS = Address.parse("atlas:P56/gridAnnotation")
DOWNSAMPLE = 3
EXAMPLES = (("openallen demo --to openallen-demo", "a tour in under a minute, offline"),)
_STEPS = 5


@click.command(cls=ExampleCommand, examples=EXAMPLES)
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    default=Path("openallen-demo"),
    show_default=True,
    help="Output folder.",
)
@common
def command(call: Call, to: Path) -> int:
    """Fetch, verify and convert sample data, offline: a tour of the main commands.

    A local server provides the embedded sample over HTTP, so that the commands do what they do with
    brain-map.org. Metadata and reconstruction are real; images and volumes are simulated.
    """
    call = replace(call, settings=replace(call.settings, source="sample", offline=True))
    to = folder_for(to)
    _step(call, 1, "Look up a neuron's image stack", f"openallen show {ADDRESS} --source sample")
    with verbs.preparing(ADDRESS, to, settings=call.settings, downsample=DOWNSAMPLE) as work:
        plan = work.job.plan
        files, part = count_text(len(plan.files), "file"), f"1/{2**DOWNSAMPLE}"
        call.out.say(f"     {files}, {plan.size_text} at {part} of the full resolution")
        for note in work.context.client.notes:
            call.out.say(f"     {note}")
        options = f"--to {to} --downsample {DOWNSAMPLE} --source sample"
        _step(call, 2, "Fetch and verify every file", f"openallen fetch {ADDRESS} {options}")
        report = run_prepared(call, work)
    report.raise_if_failed()
    stack = verbs.open(to)
    call.out.say(f"     {len(report.fetched)} fetched, {len(report.here)} already there")
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
    text = f"{_results(to, kinds, store, picture=bool(expression))}\n\n{_following(to)}"
    call.out.document(document, f"\n{text}", ids=(to,))
    return 0


def _step(call: Call, number: int, title: str, line: str) -> None:
    call.out.say(f"[{number}/{_STEPS}] {title}\n     $ {line}")


def _results(to: Path, kinds: dict[str, int], store: Path | None, *, picture: bool) -> str:
    shown = {
        "planes/": f"{kinds['planes']} JPEG planes, named by section number",
        "projections/": f"{kinds['projections']} projections (min and max, along z and x)",
        "morphology/": "reconstruction (SWC), markers, thumbnail",
        "manifest.json": "source URL, size and SHA-256 of each file",
    }
    if store:
        shown[f"{store.name}/"] = "OME-Zarr 0.5 pyramid for napari, vizarr, neuroglancer"
    shown["grid/"] = "expression of one gene on a 200 µm grid"
    shown["atlas/"] = "annotation volume with the structures of that grid"
    if picture:
        shown["grid.png"] = "three slices through the expression grid"
    return facts_text(f"Results in {to}", shown)


def _following(to: Path) -> str:
    python = f"python -c \"import openallen as oa; print(oa.open('{to}'))\""
    return facts_text(
        "Next steps",
        {
            "look at it": f"openallen view {shlex.quote(str(to))} --open",
            "open it in Python": python,
            "list cells": "openallen list stack:",
            "fetch real images": f"openallen fetch {ADDRESS} --to cell --downsample 3",
            "all commands": "openallen --help",
        },
    )


def _expression(call: Call, to: Path) -> dict[str, object] | None:
    """Fetch a grid and an annotation, and average the grid by structure if the extra is there."""
    titles = ("Fetch a gene's expression grid", "Fetch the atlas, average expression by structure")
    for title, (address, name) in zip(titles, ((GRID, "grid"), (ATLAS, "atlas")), strict=True):
        number = 4 if name == "grid" else 5
        _step(call, number, title, f"openallen fetch {address} --to {to / name} --source sample")
        with verbs.preparing(address, to / name, settings=call.settings) as work:
            run_prepared(call, work).raise_if_failed()
    if any(importlib.util.find_spec(name) is None for name in ("matplotlib", "pandas", "xarray")):
        call.out.say(f"     skipped the average; it needs: {install_command('atlas')}")
        return None
    grid, atlas = verbs.open(to / "grid"), verbs.open(to / "atlas")
    means = atlas.unionizer()(grid.energy)["mean"].dropna().sort_values(ascending=False)
    most = {atlas.structures[i].acronym: round(float(v), 1) for i, v in means[:5].items()}
    highest = ", ".join(f"{acronym} {mean:g}" for acronym, mean in most.items())
    call.out.say(f"     mean expression energy of {len(means)} structures; highest: {highest}")
    picture = save_figure(lambda: atlas.plot(volume=grid.energy), to / "grid.png")
    return {"structures": len(means), "most": most, "picture": str(picture)}


def _convert(call: Call, to: Path) -> Path | None:
    """Convert the stack where the extra is installed; the rest of the tour does not need it."""
    work = verbs.open(to).conversion(to)
    _step(call, 3, "Convert it to OME-Zarr", f"openallen convert {to}")
    if work.to.exists():
        call.out.say("     already converted")
        return Path(work.to)
    if any(importlib.util.find_spec(name) is None for name in ("simplejpeg", "zstandard", "zarr")):
        call.out.say(f"     skipped; it needs: {install_command('images')}")
        return None
    with counting(len(work.sources), "plane", quiet=call.out.quiet) as step:
        made: Path = work.run(step).path
    return made
