"""``openallen config``: every setting, and where its value comes from."""

from __future__ import annotations

import click

from openallen.cli.app import ExampleCommand
from openallen.cli.options import Call, common
from openallen.settings import project_file, user_file

__all__ = ["command"]


@click.command(cls=ExampleCommand, examples=(("openallen config", "all settings"),))
@common
def command(call: Call) -> int:
    """Show every setting, and where its value comes from.

    Order: option, environment (OPENALLEN_*), openallen.toml here or above, user file, default.
    """
    settings = call.settings
    rows = [
        {
            "setting": name,
            "value": value if isinstance(value, (int, float, type(None))) else str(value),
            "from": settings.origins.get(name, "default"),
        }
        for name, value in settings.to_dict().items()
    ]
    call.out.rows(rows, ("setting", "value", "from"), id_column="setting", noun="setting")
    call.out.say(f"  user file: {user_file()}")
    call.out.say(f"  project file: {project_file() or 'none'}")
    return 0
