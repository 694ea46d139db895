"""AllenSDK's ``EcephysProjectCache``: Visual Coding, Neuropixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from openallen import verbs
from openallen.compat.allensdk.brain_observatory.ecephys.ecephys_session import EcephysSession
from openallen.compat.asking import offline_settings, project
from openallen.compat.elsewhere import Mirrored, absent, refused

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = ["EcephysProjectCache"]

_NAME = "visual-coding-neuropixels"


class EcephysProjectCache(Mirrored):
    """Visual Coding, Neuropixels, under AllenSDK's names; made by `from_warehouse` or `fixed`.

    Parameters
    ----------
    fetch_api
        Not taken.
    fetch_tries, stream_writer, version, cache
        Taken, not used.
    manifest
        In the folder of files: one that AllenSDK filled is opened as it is. The store where None.
    """

    def __init__(
        self,
        fetch_api: Any = None,
        fetch_tries: int = 2,
        stream_writer: Callable[..., Any] | None = None,
        manifest: str | Path | None = None,
        version: str | None = None,
        cache: bool = True,
    ) -> None:
        del fetch_tries, stream_writer, version, cache
        if fetch_api is not None:
            raise refused(
                "EcephysProjectCache",
                "no other api is taken",
                "openallen asks the bucket",
                "EcephysProjectCache.from_warehouse(manifest=...)",
            )
        self._release = project(_NAME, manifest, None)

    @classmethod
    def from_warehouse(
        cls,
        scheme: str | None = None,
        host: str | None = None,
        asynchronous: bool = False,
        manifest: str | Path | None = None,
        version: str | None = None,
        cache: bool = True,
        fetch_tries: int = 2,
        timeout: int = 1200,
    ) -> EcephysProjectCache:
        """Return the project; what is not here comes from its bucket.

        Parameters
        ----------
        scheme, host, asynchronous, version, cache, fetch_tries, timeout
            Taken, not used; see `openallen.Settings`.
        manifest
            As for the class.
        """
        del scheme, host, asynchronous, timeout
        return cls(None, fetch_tries, None, manifest, version, cache)

    @classmethod
    def fixed(
        cls, manifest: str | Path | None = None, version: str | None = None
    ) -> EcephysProjectCache:
        """Return the project as it is here; nothing is asked for.

        Parameters
        ----------
        manifest, version
            As for the class.
        """
        del version
        made = cls.__new__(cls)
        folder = None if manifest is None else Path(manifest).parent.absolute()
        what = f"release:{_NAME}" if folder is None else folder
        made._release = verbs.open(what, settings=offline_settings())  # noqa: SLF001
        return made

    @classmethod
    def from_lims(
        cls,
        lims_credentials: Any = None,
        scheme: str | None = None,
        host: str | None = None,
        asynchronous: bool = False,
        manifest: str | Path | None = None,
        version: str | None = None,
        cache: bool = True,
        fetch_tries: int = 2,
    ) -> NoReturn:
        """Refuse: it needs the institute's own network."""
        del lims_credentials, scheme, host, asynchronous, manifest, version, cache, fetch_tries
        raise absent(cls.__name__, "from_lims")

    # --- tables -----------------------------------------------------------------------------------

    def get_session_table(self, suppress: Sequence[str] | None = None) -> pd.DataFrame:
        """Return the sessions."""
        found: pd.DataFrame = self._release.get_session_table(suppress)
        return found

    def get_probes(self, suppress: Sequence[str] | None = None) -> pd.DataFrame:
        """Return the probes."""
        found: pd.DataFrame = self._release.get_probes(suppress)
        return found

    def get_channels(self, suppress: Sequence[str] | None = None) -> pd.DataFrame:
        """Return the channels."""
        found: pd.DataFrame = self._release.get_channels(suppress)
        return found

    def get_units(
        self,
        suppress: Sequence[str] | None = None,
        filter_by_validity: bool = True,
        **unit_filter_kwargs: Any,
    ) -> pd.DataFrame:
        """Return the units that pass the default filters, or those given."""
        found: pd.DataFrame = self._release.get_units(
            suppress, filter_by_validity, **unit_filter_kwargs
        )
        return found

    def get_unit_analysis_metrics_for_session(
        self,
        session_id: int,
        annotate: bool = True,
        filter_by_validity: bool = True,
        **unit_filter_kwargs: Any,
    ) -> pd.DataFrame:
        """Return the analysis metrics of one session, by unit."""
        found: pd.DataFrame = self._release.get_unit_analysis_metrics_for_session(
            session_id, annotate, filter_by_validity, **unit_filter_kwargs
        )
        return found

    def get_unit_analysis_metrics_by_session_type(
        self,
        session_type: str,
        annotate: bool = True,
        filter_by_validity: bool = True,
        **unit_filter_kwargs: Any,
    ) -> pd.DataFrame:
        """Return the analysis metrics of all sessions of a type, by unit."""
        found: pd.DataFrame = self._release.get_unit_analysis_metrics_by_session_type(
            session_type, annotate, filter_by_validity, **unit_filter_kwargs
        )
        return found

    def get_all_session_types(self, **session_kwargs: Any) -> list[str]:
        """Return the types of sessions."""
        return list(self._release.get_all_session_types(**session_kwargs))

    def get_all_ages(self, **session_kwargs: Any) -> list[float]:
        """Return the ages of the mice in days."""
        return list(self._release.get_all_ages(**session_kwargs))

    def get_all_sexes(self, **session_kwargs: Any) -> list[str]:
        """Return the sexes of the mice."""
        return list(self._release.get_all_sexes(**session_kwargs))

    def get_all_full_genotypes(self, **session_kwargs: Any) -> list[str]:
        """Return the genotypes of the mice."""
        return list(self._release.get_all_full_genotypes(**session_kwargs))

    def get_structure_acronyms(self, **channel_kwargs: Any) -> list[str]:
        """Return the structures of the channels."""
        return list(self._release.get_structure_acronyms(**channel_kwargs))

    # --- files ------------------------------------------------------------------------------------

    def get_session_data(
        self, session_id: int, filter_by_validity: bool = True, **unit_filter_kwargs: Any
    ) -> EcephysSession:
        """Open a session; read by ranges where it was not fetched.

        Parameters
        ----------
        session_id
            The session.
        filter_by_validity, **unit_filter_kwargs
            Which units it has.
        """
        return EcephysSession(
            self._release.get_session_data(
                session_id, filter_by_validity=filter_by_validity, **unit_filter_kwargs
            )
        )

    def get_natural_movie_template(self, number: int) -> np.ndarray[Any, Any]:
        """Return the frames of a natural movie: frame x row x column, grey values."""
        found: np.ndarray[Any, Any] = self._release.get_natural_movie_template(number)
        return found

    def get_natural_scene_template(self, number: int) -> np.ndarray[Any, Any]:
        """Return the pixels of a natural scene: row x column, grey values."""
        found: np.ndarray[Any, Any] = self._release.get_natural_scene_template(number)
        return found
