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

if TYPE_CHECKING:
    from openallen.sources.base import View

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
    """Print links to pages in which ADDRESS can be looked at.

    States of neuroglancer that come with the data are listed first. Where there are none, one is
    made for each image, for the public viewer.
    """
    where = Address.parse(address)
    found = verbs.views(where, settings=call.settings)
    document = {"address": str(where), "views": [asdict(view) for view in found]}
    call.out.document(document, "\n".join(map(_text, found)), ids=[view.url for view in found])
    if in_browser and not webbrowser.open(found[0].url):
        call.out.warn("there is no browser to open it with")
    return 0


def _text(view: View) -> str:
    made = " (made by openallen: the data come without a state)" if view.made else ""
    shows = f"\n  shows {', '.join(view.layers)}" if view.layers else ""
    return f"{view.title}{made}\n  {view.url}{shows}"
