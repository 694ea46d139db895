"""AllenSDK's caches of Visual Behavior, two-photon and Neuropixels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self

from openallen import verbs
from openallen.compat.asking import offline_settings
from openallen.compat.elsewhere import Mirrored, absent, refused

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from openallen.sessions import BehaviorEcephysSession, BehaviorOphysExperiment, BehaviorSession

__all__ = ["VisualBehaviorNeuropixelsProjectCache", "VisualBehaviorOphysProjectCache"]


class _ProjectCache(Mirrored):
    """A release of Visual Behavior in a folder, which has the layout of AllenSDK's cache."""

    PROJECT_NAME: ClassVar[str]
    BUCKET_NAME: ClassVar[str]

    def __init__(self, fetch_api: Any = None, fetch_tries: int = 2) -> None:
        del fetch_tries
        if fetch_api is not None:
            raise refused(
                type(self).__name__,
                "no other api is taken",
                "openallen asks the bucket",
                f"{type(self).__name__}.from_s3_cache(cache_dir)",
            )
        self._opened(None, offline=False)

    def _opened(self, folder: Path | None, *, offline: bool, version: str = "") -> None:
        self._folder, self._offline = folder, offline
        settings = offline_settings() if offline else None
        where = f"release:{self.PROJECT_NAME}{f'@{version}' if version else ''}"
        self._release = verbs.open(where, to=folder, settings=settings)

    @classmethod
    def from_s3_cache(cls, cache_dir: str | Path, bucket_name_override: str | None = None) -> Self:
        """Return the project in a folder; what is not there comes from its bucket.

        Parameters
        ----------
        cache_dir
            The folder; may be one that AllenSDK filled.
        bucket_name_override
            Not taken.
        """
        if bucket_name_override not in {None, cls.BUCKET_NAME}:
            raise refused(
                cls.__name__,
                f"no other bucket: {bucket_name_override}",
                "buckets of projects are settings",
                "[projects.NAME] in a settings file: docs/how-to/releases.md",
            )
        made = cls.__new__(cls)
        made._opened(Path(cache_dir), offline=False)  # noqa: SLF001 - made here
        return made

    @classmethod
    def from_local_cache(cls, cache_dir: str | Path, use_static_cache: bool = False) -> Self:
        """Return the project in a folder as it is; nothing is asked for.

        Parameters
        ----------
        cache_dir
            The folder.
        use_static_cache
            Taken, not needed: a folder laid out as the bucket is recognised.
        """
        del use_static_cache
        made = cls.__new__(cls)
        made._opened(Path(cache_dir), offline=True)  # noqa: SLF001 - made here
        return made

    # --- versions ---------------------------------------------------------------------------------

    def list_manifest_file_names(self) -> list[str]:
        """Return the file names of the manifests of all versions."""
        return list(self._release.list_manifest_file_names())

    def list_all_downloaded_manifests(self) -> list[str]:
        """Return the file names of the manifests that are here."""
        return list(self._release.list_all_downloaded_manifests())

    def current_manifest(self) -> str | None:
        """Return the file name of the manifest in use."""
        return str(self._release.current_manifest())

    def latest_manifest_file(self) -> str:
        """Return the file name of the newest manifest."""
        return str(self._release.latest_manifest_file())

    def latest_downloaded_manifest_file(self) -> str:
        """Return the file name of the newest manifest that is here."""
        return str(self._release.latest_downloaded_manifest_file())

    def load_manifest(self, manifest_name: str) -> None:
        """Use another version.

        Parameters
        ----------
        manifest_name
            One of `list_manifest_file_names`.

        Raises
        ------
        NotFoundError
            If there is no such version.
        """
        self._opened(self._folder, offline=self._offline, version=self._version(manifest_name))

    def load_latest_manifest(self) -> None:
        """Use the newest version."""
        self.load_manifest(self.latest_manifest_file())

    def compare_manifests(self, manifest_0_name: str, manifest_1_name: str) -> str:
        """Return what changed from one version to another, as text.

        Parameters
        ----------
        manifest_0_name, manifest_1_name
            Two of `list_manifest_file_names`.
        """
        older, newer = self._version(manifest_0_name), self._version(manifest_1_name)
        settings = offline_settings() if self._offline else None
        where = f"release:{self.PROJECT_NAME}@{older}"
        current = self._version(str(self._release.current_manifest()))
        try:
            return str(verbs.open(where, to=self._folder, settings=settings).compare(newer))
        finally:
            self._opened(self._folder, offline=self._offline, version=current)

    def _version(self, manifest: str) -> str:
        found = re.fullmatch(rf"{re.escape(self.PROJECT_NAME)}.*_v(.+)\.json", str(manifest))
        if found is None:
            raise refused(
                type(self).__name__,
                f"'{str(manifest)[:100]}' is no manifest of this project",
                "its name ends with the version",
                self.current_manifest() or "list_manifest_file_names()",
            )
        return found[1]

    # --- both projects ----------------------------------------------------------------------------

    def get_behavior_session(self, behavior_session_id: int) -> BehaviorSession:
        """Open a behavior session."""
        found: BehaviorSession = self._release.get_behavior_session(behavior_session_id)
        return found

    def _table(self, name: str, suppress: Sequence[str] | None, **others: tuple[Any, Any]) -> Any:
        """Return a table without some columns; arguments that cannot be honoured raise."""
        for argument, (given, usual) in others.items():
            if given != usual:
                raise refused(
                    type(self).__name__,
                    f"'{argument}={given!r:.60}' is not taken",
                    "the published table is returned as it is",
                    f"pandas: cache.{name}().drop(columns=...), .set_index(...)",
                )
        found = getattr(self._release, name)()
        dropped = [column for column in suppress or () if column in found.columns]
        return found.drop(columns=dropped) if dropped else found


class VisualBehaviorOphysProjectCache(_ProjectCache):
    """Visual Behavior, two-photon, under AllenSDK's names.

    Parameters
    ----------
    fetch_api
        Not taken: `from_s3_cache` and `from_local_cache` make one.
    fetch_tries, manifest, version, cache
        Taken, not used.
    """

    PROJECT_NAME: ClassVar[str] = "visual-behavior-ophys"
    BUCKET_NAME: ClassVar[str] = "visual-behavior-ophys-data"

    def __init__(
        self,
        fetch_api: Any = None,
        fetch_tries: int = 2,
        manifest: str | Path | None = None,
        version: str | None = None,
        cache: bool = True,
    ) -> None:
        del manifest, version, cache
        super().__init__(fetch_api, fetch_tries)

    @classmethod
    def from_lims(cls, *given: Any, **options: Any) -> NoReturn:
        """Refuse: it needs the institute's own network."""
        del given, options
        raise absent(cls.__name__, "from_lims")

    def get_behavior_session_table(
        self,
        suppress: list[str] | None = None,
        as_df: bool = True,
        include_ophys_data: bool = True,
        include_trial_metrics: bool = False,
    ) -> pd.DataFrame:
        """Return the behavior sessions, without the columns in `suppress`."""
        found: pd.DataFrame = self._table(
            "get_behavior_session_table",
            suppress,
            as_df=(as_df, True),
            include_ophys_data=(include_ophys_data, True),
            include_trial_metrics=(include_trial_metrics, False),
        )
        return found

    def get_ophys_session_table(
        self,
        suppress: list[str] | None = None,
        index_column: str = "ophys_session_id",
        as_df: bool = True,
        include_behavior_data: bool = True,
    ) -> pd.DataFrame:
        """Return the imaging sessions, without the columns in `suppress`."""
        found: pd.DataFrame = self._table(
            "get_ophys_session_table",
            suppress,
            index_column=(index_column, "ophys_session_id"),
            as_df=(as_df, True),
            include_behavior_data=(include_behavior_data, True),
        )
        return found

    def get_ophys_experiment_table(
        self, suppress: list[str] | None = None, as_df: bool = True
    ) -> pd.DataFrame:
        """Return the experiments, without the columns in `suppress`."""
        found: pd.DataFrame = self._table(
            "get_ophys_experiment_table", suppress, as_df=(as_df, True)
        )
        return found

    def get_ophys_cells_table(self) -> pd.DataFrame:
        """Return the imaged cells."""
        found: pd.DataFrame = self._release.get_ophys_cells_table()
        return found

    def get_behavior_ophys_experiment(self, ophys_experiment_id: int) -> BehaviorOphysExperiment:
        """Open an experiment."""
        found: BehaviorOphysExperiment = self._release.get_behavior_ophys_experiment(
            ophys_experiment_id
        )
        return found

    def get_raw_natural_movie(self) -> np.ndarray[Any, Any]:
        """Return the natural movie as it was made, before it was fitted to the screen."""
        found: np.ndarray[Any, Any] = self._release.get_raw_natural_movie()
        return found

    def get_natural_movie_template(self, n_workers: int | None = None) -> pd.DataFrame:
        """Refuse: the frames as the screen showed them are not made here."""
        found: pd.DataFrame = self._release.get_natural_movie_template(n_workers)
        return found


class VisualBehaviorNeuropixelsProjectCache(_ProjectCache):
    """Visual Behavior, Neuropixels, under AllenSDK's names.

    Parameters
    ----------
    fetch_api
        Not taken: `from_s3_cache` and `from_local_cache` make one.
    fetch_tries
        Taken, not used.
    """

    PROJECT_NAME: ClassVar[str] = "visual-behavior-neuropixels"
    BUCKET_NAME: ClassVar[str] = "visual-behavior-neuropixels-data"

    def __init__(self, fetch_api: Any, fetch_tries: int = 2) -> None:
        super().__init__(fetch_api, fetch_tries)

    def get_ecephys_session_table(self, filter_abnormalities: bool = True) -> pd.DataFrame:
        """Return the recorded sessions, by default without abnormal ones."""
        found: pd.DataFrame = self._release.get_ecephys_session_table(filter_abnormalities)
        return found

    def get_behavior_session_table(self) -> pd.DataFrame:
        """Return the behavior sessions."""
        found: pd.DataFrame = self._release.get_behavior_session_table()
        return found

    def get_probe_table(self) -> pd.DataFrame:
        """Return the probes."""
        found: pd.DataFrame = self._release.get_probe_table()
        return found

    def get_channel_table(self) -> pd.DataFrame:
        """Return the channels."""
        found: pd.DataFrame = self._release.get_channel_table()
        return found

    def get_unit_table(self) -> pd.DataFrame:
        """Return the units."""
        found: pd.DataFrame = self._release.get_unit_table()
        return found

    def get_ecephys_session(self, ecephys_session_id: int) -> BehaviorEcephysSession:
        """Open a recorded session."""
        found: BehaviorEcephysSession = self._release.get_ecephys_session(ecephys_session_id)
        return found
