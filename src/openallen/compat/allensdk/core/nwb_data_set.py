"""AllenSDK's ``NwbDataSet``: the sweeps of a cell of the Cell Types Database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from openallen import verbs
from openallen.compat.asking import as_kind
from openallen.compat.elsewhere import absent
from openallen.sessions.patch_clamp.session import PatchClampSession

if TYPE_CHECKING:
    import numpy as np

__all__ = ["NwbDataSet"]


class NwbDataSet(PatchClampSession):
    """The sweeps of a cell: openallen's session, opened as AllenSDK does.

    Parameters
    ----------
    file_name
        The NWB file; whatever `openallen.open` takes.
    spike_time_key
        Where in ``analysis`` the file keeps spike times; found where None.
    """

    SPIKE_TIMES: ClassVar[str] = "spike_times"
    DEPRECATED_SPIKE_TIMES: ClassVar[str] = "aibs_spike_times"

    def __init__(self, file_name: Any, spike_time_key: str | None = None) -> None:
        opened = verbs.open(file_name) if isinstance(file_name, str | Path) else file_name
        as_kind(opened, NwbDataSet, PatchClampSession, lambda: self)
        self.file_name = file_name if isinstance(file_name, str | Path) else opened.name
        self.spike_time_key = spike_time_key

    def get_spike_times(self, sweep_number: int, key: str | None = None) -> np.ndarray[Any, Any]:
        """Return the spike times of a sweep in s.

        Parameters
        ----------
        sweep_number
            Number of the sweep.
        key
            Where in ``analysis`` they are; found where None.
        """
        return super().get_spike_times(sweep_number, key or self.spike_time_key)

    def __getattr__(self, name: str) -> Any:
        if name in {"set_sweep", "set_spike_times", "fill_sweep_responses"}:
            raise absent("NwbDataSet", name)
        return super().__getattr__(name)
