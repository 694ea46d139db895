"""AllenSDK's ``EcephysSession``: a Neuropixels session of Visual Coding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from openallen import verbs
from openallen.compat.asking import as_kind
from openallen.compat.elsewhere import absent, refused
from openallen.sessions.base import Opener
from openallen.sessions.visual_coding.ecephys import EcephysSession as OurSession

__all__ = ["EcephysSession"]

_OWN: Final = "EcephysSession"
_FILTERS: Final = (
    "amplitude_cutoff_maximum",
    "filter_by_validity",
    "filter_out_of_brain_units",
    "isi_violations_maximum",
    "presence_ratio_minimum",
)


class EcephysSession(OurSession):
    """A Neuropixels session: openallen's, opened as AllenSDK does (`from_nwb_path`).

    Parameters
    ----------
    api, test, **kwargs
        Not taken: AllenSDK's own readers.
    """

    def __init__(self, api: Any, test: bool = False, **kwargs: Any) -> None:
        if not isinstance(api, OurSession):
            raise refused(
                _OWN,
                "no api is taken",
                "openallen reads the file itself",
                "EcephysSession.from_nwb_path(path)",
            )
        del test, kwargs
        as_kind(api, EcephysSession, OurSession, lambda: self)

    @classmethod
    def from_nwb_path(
        cls,
        path: str | Path,
        nwb_version: int = 2,
        api_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> EcephysSession:
        """Open a session from its NWB file.

        Parameters
        ----------
        path
            The file; whatever `openallen.open` takes.
        nwb_version
            2.
        api_kwargs
            Which units there are (``filter_by_validity``, ``amplitude_cutoff_maximum``,
            ``presence_ratio_minimum``, ``isi_violations_maximum``,
            ``filter_out_of_brain_units``); ``probe_lfp_paths``, files by probe id;
            ``external_channel_columns``, which returns a table of channels.
        **kwargs
            Not taken.

        Raises
        ------
        UsageError
            For an argument that is not taken.
        """
        if nwb_version != 2:
            raise refused(_OWN, f"no NWB {nwb_version}", "sessions are NWB 2", "nwb_version=2")
        if kwargs:
            raise refused(_OWN, f"'{next(iter(kwargs))}' is not taken", "", "api_kwargs={...}")
        options: dict[str, Any] = {}
        for name, value in (api_kwargs or {}).items():
            if name in _FILTERS:
                options[name] = value
            elif name == "external_channel_columns":
                options["channels"] = value
            elif name == "probe_lfp_paths":
                options["lfp"] = _lfp_of(value)
            else:
                raise refused(
                    _OWN, f"'{name}' is not taken", "it is AllenSDK's own", ", ".join(_FILTERS)
                )
        opened = verbs.open(path, **options)
        return as_kind(opened, EcephysSession, OurSession, lambda: cls.__new__(cls))

    def __getattr__(self, name: str) -> Any:
        if name == "LazyProperty":
            raise absent(_OWN, name)
        return super().__getattr__(name)


def _lfp_of(files: Mapping[int, Any]) -> Callable[[int, str], Opener | None]:
    """Return what opens the LFP file of a probe, from paths or functions by its id."""

    def find(probe_id: int, name: str) -> Opener | None:
        del name
        told = files.get(probe_id)
        if told is None:
            return None
        path = told() if callable(told) else told
        if not isinstance(path, str | Path):
            raise refused(
                _OWN,
                f"the LFP of probe {probe_id} is no path",
                f"it is a {type(path).__name__}",
                "probe_lfp_paths={ID: path}",
            )

        def opener() -> Any:
            from openallen.formats.nwb import open_h5

            return open_h5(Path(path), str(path))

        return opener

    return find
