"""Local field potentials of a Neuropixels probe, and the file that holds them."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from openallen.display import seconds_text
from openallen.errors import CorruptError, NotFoundError
from openallen.formats.nwb.values import number, whole
from openallen.sessions.base import NwbSession, Opener
from openallen.sessions.channels import ELECTRODES, PROBES, channel_table, places_text

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr
    from matplotlib.figure import Figure

    from openallen.formats.nwb import Tree
    from openallen.visuals import Visual

__all__ = ["ProbeLfp", "csd_array", "lfp_array", "lfp_probe"]

_SERIES: Final = re.compile(r"probe_(\d+)_lfp")
_CSD: Final = "processing/current_source_density/ecephys_csd"
_SUBJECT: Final = {
    "mouse_id": "general/subject/subject_id",
    "sex": "general/subject/sex",
    "full_genotype": "general/subject/genotype",
}


def lfp_probe(tree: Tree) -> int | None:
    """Return the id of the probe whose LFP a file holds; None for a file of another kind."""
    for name in tree.names("acquisition"):
        found = _SERIES.fullmatch(name)
        if found and tree.has(f"{_place(int(found[1]))}/data"):
            return int(found[1])
    return None


def _place(probe_id: int) -> str:
    return f"acquisition/probe_{probe_id}_lfp/probe_{probe_id}_lfp_data"


def lfp_array(
    tree: Tree,
    probe_id: int,
    *,
    lazy: bool = False,
    blank: Sequence[tuple[float, float]] = (),
) -> xr.DataArray:
    """Return the local field potential of a probe.

    Parameters
    ----------
    tree
        The probe's LFP file.
    probe_id
        Id of the probe.
    lazy
        Read samples as they are sliced; else all of them, at once.
    blank
        From and to, in s: samples in these times, edges included, are not numbers. With `lazy`.

    Returns
    -------
    DataArray
        In V; ``time`` (s) x ``channel`` (channel ids).

    Raises
    ------
    NotFoundError
        If the file has none of this probe.
    CorruptError
        If samples, times and channels do not fit together.
    """
    from openallen.sessions.arrays import lazy_variable, xarray

    place = _place(probe_id)
    shape, times = tree.shape(f"{place}/data"), tree.array(f"{place}/timestamps")
    rows, ids = tree.array(f"{place}/electrodes"), tree.array(f"{ELECTRODES}/id")
    if shape != (len(times), len(rows)) or (
        len(rows) and not 0 <= rows.min() <= rows.max() < len(ids)
    ):
        raise CorruptError(
            "samples, times and channels differ in number",
            address=tree.name,
            why=f"data {shape}, {len(times)} times, {len(rows)} of {len(ids)} channels",
        )
    told = tree.attrs(f"{place}/data").get("conversion", 1.0)
    scale = number(told, "conversion", f"{tree.name}/{place}") or 1.0
    dims = ("time", "channel")
    if lazy:
        data = lazy_variable(dims, tree, f"{place}/data", scale, _inside(times, blank))
    else:
        whole = tree.array(f"{place}/data")
        data = (dims, whole if scale == 1.0 else whole * scale)
    made: xr.DataArray = xarray().Dataset(
        {"LFP": data}, coords={"time": ("time", times, {"units": "s"}), "channel": ids[rows]}
    )["LFP"]
    made.attrs = {"units": "V"}
    return made


def _inside(
    times: np.ndarray[Any, Any], spans: Sequence[tuple[float, float]]
) -> np.ndarray[Any, Any] | None:
    """Return which times lie in any of some spans; None where there are no spans."""
    import numpy as np

    if not spans:
        return None
    found = np.zeros(len(times), dtype=bool)
    for from_s, to_s in spans:
        found |= (times >= from_s) & (times <= to_s)
    return found


def csd_array(tree: Tree, *, rounded: bool = True) -> xr.DataArray:
    """Return the current source density of a probe after a flash.

    Parameters
    ----------
    tree
        The probe's LFP file.
    rounded
        Positions in whole µm, as Visual Behavior has them; else as they are stored.

    Returns
    -------
    DataArray
        In V/cm²; ``virtual_channel_index`` x ``time`` (s after the flash), with positions on the
        probe in µm.

    Raises
    ------
    NotFoundError
        If the file has none.
    CorruptError
        If samples, times and positions do not fit together.
    """
    import numpy as np

    from openallen.sessions.arrays import xarray

    data = tree.array(f"{_CSD}/current_source_density/data").T
    times = tree.array(f"{_CSD}/current_source_density/timestamps")
    at = "virtual_channel_index"
    across, along = (tree.array(f"{_CSD}/virtual_electrode_{a}_positions") for a in "xy")
    if data.shape != (len(along), len(times)) or len(across) != len(along):
        raise CorruptError(
            "samples, times and positions differ in number",
            address=tree.name,
            why=f"data {data.T.shape}, {len(times)} times, {len(along)} positions",
        )
    um = {"units": "µm"}
    if rounded:
        across, along = across.astype(int), along.astype(int)
    made: xr.DataArray = xarray().DataArray(
        data,
        dims=(at, "time"),
        coords={
            at: np.arange(len(data)),
            "time": ("time", times, {"units": "s"}),
            "vertical_position": (at, along, um),
            "horizontal_position": (at, across, um),
        },
        name="CSD",
        attrs={"units": "V/cm²"},
    )
    return made


class ProbeLfp(NwbSession):
    """The LFP file of one Neuropixels probe: ``probe_probeA_lfp.nwb``.

    Times are seconds on the clock of the session that it was recorded in.

    Parameters
    ----------
    opener, name, path
        As for `NwbSession`.
    """

    _names: ClassVar[tuple[str, ...]] = (
        "channels",
        "csd",
        "lfp",
        "metadata",
        "probe_id",
        "probe_name",
    )
    kind: ClassVar[str] = "probe_lfp"

    @classmethod
    def knows(cls, tree: Tree) -> bool:
        """Return whether a file holds the LFP of a probe."""
        return lfp_probe(tree) is not None

    def __init__(self, opener: Opener, name: str, path: Path | None = None) -> None:
        super().__init__(opener, name, path)

    @functools.cached_property
    def probe_id(self) -> int:
        """Id of the probe.

        Raises
        ------
        NotFoundError
            If the file is not a probe's LFP file.
        """
        found = lfp_probe(self.tree)
        if found is None:
            raise NotFoundError(
                "not the LFP file of a probe",
                address=self.name,
                why="acquisition/probe_ID_lfp is not in it",
            )
        return found

    @functools.cached_property
    def probe_name(self) -> str | None:
        """Name of the probe, ``probeA``; None where the file does not say it."""
        return next((name for name, told in self._groups() if told == self.probe_id), None)

    def _groups(self) -> Iterator[tuple[str, int]]:
        for name in self.tree.groups(PROBES) if self.tree.has(PROBES) else ():
            told = self.tree.attrs(f"{PROBES}/{name}")
            if "probe_id" in told:
                yield name, whole(told["probe_id"], "probe_id", name)

    @functools.cached_property
    def lfp(self) -> xr.DataArray:
        """Local field potential in V; ``time`` (s) x ``channel`` (channel ids).

        Samples are read as they are sliced, so slice before you compute:
        ``probe.lfp.sel(time=slice(100, 110))``. ``.load()`` reads all of them into memory.
        """
        return lfp_array(self.tree, self.probe_id, lazy=True)

    @functools.cached_property
    def csd(self) -> xr.DataArray | None:
        """Current source density after a flash in V/cm²; None where the file has none.

        ``virtual_channel_index`` x ``time`` (s after the flash), with positions on the probe in µm.
        """
        return csd_array(self.tree) if self.tree.has(_CSD) else None

    @functools.cached_property
    def channels(self) -> pd.DataFrame:
        """Channels of the LFP, as `BehaviorEcephysSession.get_channels` has them.

        Index ``id``, which is ``channel`` of `lfp`; positions on the probe and CCF coordinates in
        µm, ``structure_acronym`` None outside the brain.
        """
        return channel_table(self.tree)

    @functools.cached_property
    def metadata(self) -> dict[str, Any]:
        """Which probe, of which session, of which mouse; None where the file does not say it.

        ``lfp_sampling_rate`` and ``sampling_rate`` in Hz. ``ecephys_session_id`` is in the name of
        the file only, and None where it was renamed.
        """
        from openallen.sessions.metadata import behavior_metadata

        probe = {
            "probe_id": self.probe_id,
            "probe_name": self.probe_name,
            "lfp_sampling_rate": self._rate("lfp_sampling_rate", PROBES),
            "sampling_rate": self._rate("sampling_rate", "general/devices"),
            "ecephys_session_id": self._session_id(),
        }
        if self.tree.has("general/metadata"):
            return probe | behavior_metadata(self.tree)
        there = {n: p for n, p in _SUBJECT.items() if self.tree.has(p)}
        return probe | {name: str(self.tree.value(place)) for name, place in there.items()}

    def plot_overview(
        self, window_s: tuple[float, float] | None = None, channels: int = 16
    ) -> Figure:
        """Return a picture of the LFP, and of the current source density where there is one.

        Parameters
        ----------
        window_s
            From and to, in s on the session's clock; the first second where None.
        channels
            Most channels to draw, evenly over the probe.

        Raises
        ------
        UsageError
            If the window holds no samples.
        """
        from openallen.sessions.lfp_plots import draw_lfp

        return draw_lfp(self, window_s, channels)

    def _rate(self, name: str, folder: str) -> float | None:
        place = f"{folder}/{self.probe_name}"
        told = self.tree.attrs(place).get(name) if self.tree.has(place) else None
        return None if told is None else float(told)

    def _session_id(self) -> int | None:
        found = re.search(r"_lfp_(\d+)\.nwb$", self.path.name if self.path else self.name)
        return int(found[1]) if found else None

    def _visuals(self) -> tuple[Visual, ...]:
        from openallen.sessions.unit_visuals import lfp_visuals

        return lfp_visuals(self)

    def _facts(self) -> dict[str, object]:
        told, shape = self.metadata, self.tree.shape(f"{_place(self.probe_id)}/data")
        rate = told["lfp_sampling_rate"]
        return {
            "probe": f"{self.probe_name or 'unnamed'}, id {self.probe_id}",
            "ecephys session": told["ecephys_session_id"],
            "behavior session": told.get("behavior_session_id"),
            "mouse": told.get("mouse_id"),
            "LFP": f"{shape[0]:,} samples x {shape[1]} channels, V",
            "sampling rate": None if rate is None else f"{rate:,.1f} Hz",
            "duration": self._duration_text(),
            "structures": places_text(self.channels["structure_acronym"]),
            "CSD": "yes" if self.tree.has(_CSD) else "none",
            "file": self.name,
        }

    def _duration_text(self) -> str | None:
        place = f"{_place(self.probe_id)}/timestamps"
        if not self.tree.shape(place)[0]:
            return None
        first, last = (float(self.tree.item(place, at)) for at in (0, -1))
        return f"{seconds_text(last - first)}, from {first:.1f} to {last:.1f} s"
