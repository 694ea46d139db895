"""``openallen store``: what is kept, and where."""

from __future__ import annotations

import click

from openallen.cli.app import ExampleCommand
from openallen.cli.options import Call, common
from openallen.display import bytes_text

__all__ = ["command"]

EXAMPLES = (("openallen store path", "the folder"), ("openallen store ls", "what is in it"))


@click.command(cls=ExampleCommand, examples=EXAMPLES)
@click.argument("what", type=click.Choice(["path", "ls"]))
@common
def command(call: Call, what: str) -> int:
    """Show the store: its path, or what it keeps."""
    root = call.settings.store
    if what == "path":
        call.out.document({"path": str(root)}, str(root), ids=(root,))
        return 0
    rows = [
        {
            "address": f"{system.name.removesuffix('s')}:{folder.name}",
            "files": len(sizes),
            "size": bytes_text(sum(sizes)),
            "size_bytes": sum(sizes),
            "folder": str(folder),
        }
        for system in sorted(root.glob("*/"))
        for folder in sorted(system.glob("*/"))
        for sizes in [[p.stat().st_size for p in folder.rglob("*") if p.is_file()]]
    ]
    call.out.rows(rows, ("address", "files", "size", "folder"), id_column="address", noun="thing")
    return 0
