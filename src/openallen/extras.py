"""The command that installs an optional extra, from wherever this openallen was installed."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

__all__ = ["install_command", "requirement"]


def install_command(extra: str) -> str:
    """Return the command that adds an extra to this environment, quoted for the shell.

    Before the first release, and in a checkout, ``pip install 'openallen[images]'`` finds nothing
    or another version; so the command names what the installed distribution came from (PEP 610).

    Parameters
    ----------
    extra
        Name of the extra, such as ``images``.
    """
    return f"{_installer()} {requirement(extra)}"


def requirement(extra: str, version: str = "") -> str:
    """Return the arguments of ``pip install`` for an extra, quoted for the shell.

    Parameters
    ----------
    extra
        Name of the extra.
    version
        The version that is needed, where openallen comes from a package index.
    """
    told = _direct_url()
    url = str(told.get("url", ""))
    vcs = told.get("vcs_info")
    if isinstance(vcs, dict) and url:
        commit = vcs.get("commit_id") or vcs.get("requested_revision") or ""
        at = f"@{commit}" if commit else ""
        return _quoted(f"openallen[{extra}] @ {vcs.get('vcs', 'git')}+{url}{at}")
    path = _local(url)
    if path is not None:
        folder = told.get("dir_info")
        editable = isinstance(folder, dict) and folder.get("editable") is True
        return f"{'-e ' if editable else ''}{_quoted(f'{path}[{extra}]')}"
    if url and not url.lower().startswith("file:"):
        return _quoted(f"openallen[{extra}] @ {url}")
    return _quoted(f"openallen[{extra}]{f'=={version}' if version else ''}")


def _direct_url() -> dict[str, object]:
    """Return where the installed distribution came from; nothing for one from an index."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        told = json.loads(distribution("openallen").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _local(url: str) -> Path | None:
    """Return the folder or file a ``file:`` URL names, None where it no longer exists."""
    if not url.lower().startswith("file:"):
        return None
    path = Path(url2pathname(urlsplit(url).path))
    return path if path.exists() else None


def _installer() -> str:
    """Return ``pip install`` as it must be typed to reach this environment."""
    from importlib.util import find_spec

    pip = shutil.which("pip")
    # The folder is compared, not the file: the python of an environment links to another one.
    if pip and Path(pip).parent == Path(sys.executable).parent:
        return "pip install"
    python = _quoted(sys.executable)
    if find_spec("pip") is None and shutil.which("uv"):
        return f"uv pip install --python {python}"
    return f"{python} -m pip install"


def _quoted(text: str) -> str:
    if os.name == "nt":
        return subprocess.list2cmdline([text])
    return shlex.quote(text)
