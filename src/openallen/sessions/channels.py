"""Channels of Neuropixels probes: where they lie on the probe and in the brain."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from openallen.errors import CorruptError
from openallen.formats.nwb import frame
from openallen.formats.nwb.tables import as_series
from openallen.formats.nwb.values import number, whole
from openallen.sessions.lengths import same_length

if TYPE_CHECKING:
    import pandas as pd

    from openallen.formats.nwb import Tree

__all__ = ["ELECTRODES", "PROBES", "channel_table", "places_text", "probe_table"]

PROBES: Final = "general/extracellular_ephys"
ELECTRODES: Final = f"{PROBES}/electrodes"
_SKIPPED: Final = ("group", "group_name", "imp", "location", "filtering")
_NAMES: Final = {
    "x": "anterior_posterior_ccf_coordinate",
    "y": "dorsal_ventral_ccf_coordinate",
    "z": "left_right_ccf_coordinate",
    "local_index": "probe_channel_number",
}
_PROBE_COLUMNS: Final = ("name", "location", "sampling_rate", "lfp_sampling_rate", "has_lfp_data")
_ALLENSDK_FILTERING: Final = "AP band: 500 Hz high-pass; LFP band: 1000 Hz low-pass"


def channel_table(tree: Tree, *, allensdk_compatible: bool = False) -> pd.DataFrame:
    """Return the channels of a file, in its own order.

    Returns
    -------
    DataFrame
        Index ``id``, columns in alphabetical order; positions on the probe and CCF coordinates in
        µm, ``structure_acronym`` None outside the brain. ``filtering`` is what AllenSDK says of all
        channels where the file does not say it.

    Raises
    ------
    CorruptError
        If channels have two numbers on their probe.
    """
    import numpy as np
    import pandas as pd

    made = frame(tree, ELECTRODES, _SKIPPED, "id")
    if {"local_index", "probe_channel_number"} <= set(made.columns):
        why = "both local_index and probe_channel_number"
        raise CorruptError("channels with two numbers", address=tree.name, why=why)
    made = made.rename(columns=_NAMES)
    places = np.atleast_1d(tree.array(f"{ELECTRODES}/location"))
    told = {"ids": made, "places": places}
    if tree.has(f"{ELECTRODES}/filtering"):
        told["filters"] = np.atleast_1d(tree.array(f"{ELECTRODES}/filtering"))
    same_length(tree, ELECTRODES, told)
    acronyms = [_acronym(str(place)) for place in places]
    made["structure_acronym"] = pd.Series(acronyms, made.index, dtype=object)
    if allensdk_compatible or "filters" not in told:
        made["filtering"] = _ALLENSDK_FILTERING
    else:
        made["filtering"] = as_series(told["filters"]).to_numpy()
    made["filtering"] = made["filtering"].astype(object)
    return made[sorted(made.columns)]


def probe_table(tree: Tree) -> pd.DataFrame:
    """Return the probes of a file, by name.

    Returns
    -------
    DataFrame
        Index ``id``; ``name``, ``location``, ``sampling_rate`` and ``lfp_sampling_rate`` in Hz,
        ``has_lfp_data``.
    """
    import numpy as np
    import pandas as pd

    rows, ids = [], []
    for name in tree.names(PROBES):
        told = tree.attrs(f"{PROBES}/{name}")
        if "probe_id" not in told:
            continue
        rate = number(told.get("lfp_sampling_rate", np.nan), "lfp_sampling_rate", tree.name)
        ids.append(whole(told["probe_id"], "probe_id", tree.name))
        rows.append(
            {
                "name": name,
                "location": told.get("location"),
                "sampling_rate": tree.attrs(f"general/devices/{name}")["sampling_rate"],
                "lfp_sampling_rate": rate,
                "has_lfp_data": bool(told.get("has_lfp_data", False)),
            }
        )
    index = pd.Index(ids, name="id", dtype="int64")
    made = pd.DataFrame(rows, index=index, columns=list(_PROBE_COLUMNS))
    return made.astype({"name": object, "location": object})


def _acronym(location: str) -> str | None:
    text = location.partition("-")[0].strip()
    return None if text in {"", "None"} else text


def places_text(acronyms: Iterable[object], most: int = 8) -> str | None:
    """Return structures as text, each once, in their order: ``VISp, CA1``; None for none."""
    found = [name for name in dict.fromkeys(acronyms) if isinstance(name, str)]
    text = ", ".join(found[:most])
    return (f"{text}, and {len(found) - most} more" if len(found) > most else text) or None
