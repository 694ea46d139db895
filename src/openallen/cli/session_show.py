"""``openallen show`` of a session: its facts, what it holds, a picture."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from openallen import verbs
from openallen.address import Address
from openallen.cli.options import Call
from openallen.cli.pictures import checked, save
from openallen.errors import AddressError, OpenAllenError, UsageError

__all__ = ["names_session", "show_session"]

_SUFFIXES = (".nwb", ".h5", ".hdf5", ".nwb.zarr")


def names_session(text: str) -> bool:
    """Tell whether this names a session: a file here, a web address of one, one of a release."""
    if text.partition("?")[0].lower().endswith(_SUFFIXES):
        return not text.startswith(("s3://", "asset:", "recording:"))
    try:
        where = Address.parse(text)
    except AddressError:
        return False
    return where.scheme == "release" and len(where.path) == 2 and where.path[0] in verbs.KINDS


def show_session(call: Call, text: str, picture: Path | None) -> int:
    """Show a session; of a far-away one only what is needed is read.

    Raises
    ------
    NotFoundError
        If there is no such file or session.
    """
    checked(picture)
    with _opened(call, text) as session:
        document: dict[str, Any] = {
            "address": text,
            "kind": session.kind,
            "file": session.name,
            "here": session.path is not None,
            "metadata": {k: _plain(v) for k, v in session.metadata.items()},
            "attributes": session.list_data_attributes_and_methods(),
        }
        lines = [repr(session)]
        if call.out.verbose:
            lines += ["", *(f"  {name}" for name in document["attributes"])]
        if picture is not None:
            if not hasattr(session, "plot_overview"):
                raise UsageError("sessions of this kind have no picture", address=text)
            document["picture"] = str(save(session.plot_overview, picture))
            lines.append(f"  picture {picture}")
    call.out.document(document, "\n".join(lines), ids=(text,))
    return 0


def _opened(call: Call, text: str) -> Any:
    where = _address(text)
    if where is not None:
        return verbs.open_session(where, settings=call.settings)
    return verbs.open(text)


def _address(text: str) -> Address | None:
    try:
        return Address.parse(text) if not Path(text).exists() else None
    except OpenAllenError:
        return None


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if value is None or isinstance(value, (bool, int, float, str, list)):
        return value
    return str(value)
