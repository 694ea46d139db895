"""Simulated recordings of MEArec: HDF5, with ground-truth spikes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from openallen.errors import CorruptError, OpenAllenError
from openallen.formats.nwb import open_h5
from openallen.sources.recordings.recording import Recording, Spikes

if TYPE_CHECKING:
    from openallen.formats.nwb import H5Tree

__all__ = ["is_mearec", "open_mearec"]


def is_mearec(path: Path) -> bool:
    """Return whether an HDF5 file was written by MEArec, by its content."""
    try:
        tree = open_h5(path, str(path))
    except OpenAllenError:
        return False
    try:
        return tree.has("recordings") and tree.has("info")
    finally:
        tree.close()


class _Traces:
    """Traces of an open file, shape (samples, channels); keeps the file open."""

    def __init__(self, tree: H5Tree) -> None:
        self._tree = tree
        self.shape = tree.shape("recordings")
        self.dtype = self._tree.lazy("recordings").dtype

    def __getitem__(self, key: Any) -> Any:
        return self._tree.lazy("recordings")[key]


def open_mearec(source: Path | H5Tree, name: str) -> Recording:
    """Open an HDF5 file of MEArec.

    Parameters
    ----------
    source
        Its path, or the file as a tree, local or remote.
    name
        Name for messages.

    Raises
    ------
    CorruptError
        If it is not a MEArec file.
    TruncatedError
        If it is truncated.
    MissingExtraError
        Without h5py.
    """
    try:
        tree = open_h5(source, name) if isinstance(source, Path) else source
    except CorruptError as error:
        raise _none(name, error.why or error.what) from error
    if not (tree.has("recordings") and tree.has("info")) or len(tree.shape("recordings")) != 2:
        raise _none(name, f"it contains {', '.join(tree.names('/')) or 'nothing'}")
    try:
        return _recording(tree, name)
    except (ValueError, TypeError, LookupError, ZeroDivisionError) as error:
        raise _none(name, str(error)) from error


def _none(name: str, why: str) -> CorruptError:
    return CorruptError("not a MEArec file", address=name, why=why)


def _recording(tree: H5Tree, name: str) -> Recording:
    import numpy as np

    if tree.has("info/recordings/fs"):
        rate = float(tree.value("info/recordings/fs"))
    else:
        first, second = tree.lazy("timestamps")[:2]
        rate = 1 / float(second - first)
    gain = tree.attrs("recordings").get("gain_to_uV")
    if gain is None and tree.has("info/gain_to_uV"):
        gain = tree.value("info/gain_to_uV")
    width = tree.shape("recordings")[1]
    places = tree.array("channel_positions") if tree.has("channel_positions") else None
    units = sorted(tree.names("spiketrains"), key=int)
    return Recording(
        place=name,
        form="MEArec",
        segments=(_Traces(tree),),
        sampling_frequency_hz=rate,
        channel_ids=tuple(map(str, range(width))),
        gain_uv=np.full(width, float(gain)) if gain is not None else None,
        offset_uv=np.zeros(width),
        locations_um=places[:, -2:] if places is not None else None,
        annotations={},
        spikes=Spikes({n: tree.array(f"spiketrains/{n}/times").astype(float) for n in units}),
    )
