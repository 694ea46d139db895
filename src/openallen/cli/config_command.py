"""``openallen config``: all settings with the origin of each value."""

from __future__ import annotations

import click

from openallen.cli.app import ExampleCommand
from openallen.cli.options import Call, common
from openallen.settings import project_file, untrusted, user_file
from openallen.sources.tables import Rows

__all__ = ["command"]


@click.command(
    cls=ExampleCommand, examples=(("openallen config", "all settings and their origins"),)
)
@common
def command(call: Call) -> int:
    """Show all settings with their values and origins.

    Precedence: command-line option, environment variable (OPENALLEN_*), openallen.toml in this
    folder or the nearest parent (if you own it; it cannot name programs or services), user
    settings file, default.
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
    call.out.rows(Rows(rows, ("setting", "value", "from"), id_column="setting", noun="setting"))
    call.out.say(f"  user settings file: {user_file()}")
    project = project_file()
    ignored = untrusted(project) if project else ""
    note = f" (not read: {ignored})" if ignored else ""
    call.out.say(f"  project settings file: {project or 'none'}{note}")
    return 0
