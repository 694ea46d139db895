"""``openallen view``: where something can be looked at."""

from __future__ import annotations

import webbrowser
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from openallen import verbs
from openallen.address import Address
from openallen.cli.app import ExampleCommand
from openallen.cli.options import Call, common
from openallen.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from openallen.sources.assets.viewers import View

__all__ = ["command"]

EXAMPLES = (
    (
        "openallen view asset:SmartSPIM_620326_2022-09-20_11-20-22_stitched_2022-09-25_01-02-03",
        "links to its neuroglancer states",
    ),
)


@click.command(cls=ExampleCommand, examples=EXAMPLES)
@click.argument("address")
@click.option("--open", "in_browser", is_flag=True, help="Open the first in a browser.")
@common
def command(call: Call, address: str, in_browser: bool) -> int:
    """Say where ADDRESS can be looked at: an asset of AIND, or an image in one.

    States of neuroglancer that the asset holds come first. Where it holds none, one is made for
    each of its images, for the public viewer.
    """
    where = Address.parse(address)
    if where.scheme != "asset" or not where.name:
        raise UsageError(
            f"'{where.scheme}:' cannot be viewed yet",
            address=str(where),
            hint="openallen view asset:NAME; openallen show draws sessions, grids and atlases",
        )
    found = verbs.views_of(where, settings=call.settings)
    if not found:
        raise NotFoundError(
            "there is nothing in it that a viewer shows",
            address=str(where),
            why="no state of neuroglancer, no OME-Zarr image",
            hint=f"openallen show {where}",
        )
    document = {"address": str(where), "views": [asdict(view) for view in found]}
    call.out.document(document, "\n".join(map(_text, found)), ids=[view.url for view in found])
    if in_browser and not webbrowser.open(found[0].url):
        call.out.warn("there is no browser to open it with")
    return 0


def _text(view: View) -> str:
    made = " (made here: the asset holds no state)" if view.made else ""
    shows = f"\n  shows {', '.join(view.layers)}" if view.layers else ""
    return f"{view.path}{made}\n  {view.url}{shows}"
