"""The names by which AllenSDK's project caches give what a release has.

Each is one call of `openallen.sources.releases.Release`, with the values AllenSDK answers with. A
release is of one version: names that change the version of a cache are not among them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from openallen.errors import NotFoundError, RefusedError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from openallen.sessions import BehaviorEcephysSession, BehaviorOphysExperiment, BehaviorSession
    from openallen.sources.releases.cache import ReleaseCache
    from openallen.sources.releases.models import Manifest, Version

__all__ = ["CacheNames"]

_BEHAVIOR = ("behavior_session_table", "behavior_sessions")


class CacheNames:
    """What a release answers to by AllenSDK's names; `Release` has it."""

    manifest: Manifest
    _cache: ReleaseCache

    if TYPE_CHECKING:  # what these names stand for is in `Release`

        @property
        def address(self) -> str:
            """Its address."""
            ...

        @property
        def tables(self) -> tuple[str, ...]:
            """Names of the tables."""
            ...

        def table(self, name: str, **options: Any) -> pd.DataFrame:
            """Return a table."""
            ...

        def versions(self) -> tuple[Version, ...]:
            """Return the versions."""
            ...

        def _open(self, *path: str) -> Any: ...

    # --- tables ---------------------------------------------------------------------------------

    def get_behavior_session_table(self) -> pd.DataFrame:
        """Return the table of behavior sessions, of either Visual Behavior project."""
        return self.table(next((n for n in _BEHAVIOR if n in self.tables), _BEHAVIOR[0]))

    def get_ophys_session_table(self) -> pd.DataFrame:
        """Return the table of imaging sessions."""
        return self.table("ophys_session_table")

    def get_ophys_experiment_table(self) -> pd.DataFrame:
        """Return the table of experiments: one imaged plane of one session each."""
        return self.table("ophys_experiment_table")

    def get_ophys_cells_table(self) -> pd.DataFrame:
        """Return the table of imaged cells."""
        return self.table("ophys_cells_table")

    def get_ecephys_session_table(self, filter_abnormalities: bool = True) -> pd.DataFrame:
        """Return the table of recorded sessions.

        Parameters
        ----------
        filter_abnormalities
            Whether sessions with abnormal histology or activity are left out.
        """
        return self.table("ecephys_sessions", filter_abnormalities=filter_abnormalities)

    def get_probe_table(self) -> pd.DataFrame:
        """Return the table of probes."""
        return self.table("probes")

    def get_channel_table(self) -> pd.DataFrame:
        """Return the table of channels."""
        return self.table("channels")

    def get_unit_table(self) -> pd.DataFrame:
        """Return the table of units."""
        return self.table("units")

    # --- sessions and arrays --------------------------------------------------------------------

    def get_behavior_session(self, behavior_session_id: int) -> BehaviorSession:
        """Open a behavior session.

        Of one that was imaged or recorded, its behavior is read in the file of an experiment or of
        the recorded session.
        """
        found: BehaviorSession = self._open("behavior_session", str(behavior_session_id))
        return found

    def get_behavior_ophys_experiment(self, ophys_experiment_id: int) -> BehaviorOphysExperiment:
        """Open an experiment of Visual Behavior."""
        found: BehaviorOphysExperiment = self._open("ophys_experiment", str(ophys_experiment_id))
        return found

    def get_ecephys_session(self, ecephys_session_id: int) -> BehaviorEcephysSession:
        """Open a recorded session of Visual Behavior, with the LFP of its probes."""
        found: BehaviorEcephysSession = self._open("ecephys_session", str(ecephys_session_id))
        return found

    def get_session_data(self, session_id: int) -> Any:
        """Open a session of Visual Coding Neuropixels, with the LFP of its probes."""
        return self._open("ecephys_session", str(session_id))

    def get_ophys_experiment_data(self, ophys_experiment_id: int) -> Any:
        """Open an experiment of Visual Coding."""
        return self._open("ophys_experiment", str(ophys_experiment_id))

    def get_ophys_experiment_events(self, ophys_experiment_id: int) -> np.ndarray[Any, Any]:
        """Return the events of an experiment of Visual Coding: cells x frames."""
        import numpy as np

        return np.asarray(self._open("events", str(ophys_experiment_id)))

    def get_eye_tracking(self, ophys_experiment_id: int) -> np.ndarray[Any, Any]:
        """Return the eye tracking of an experiment of Visual Coding.

        Returns
        -------
        ndarray
            As it was published: a row for each frame; what its columns are was not.

        Raises
        ------
        NotFoundError
            If the experiment has none, or the release is another one than that of eye tracking.
        """
        if not any(kind.name == "eye_tracking" for kind in self.manifest.project.kinds):
            raise NotFoundError(
                "this release has no eye tracking",
                address=self.address,
                why="it is in a release of its own",
                hint=f"oa.open('release:visual-coding-ophys/eye_tracking/{ophys_experiment_id}')",
            )
        found: np.ndarray[Any, Any] = self._open("eye_tracking", str(ophys_experiment_id))
        return found

    def get_raw_natural_movie(self) -> np.ndarray[Any, Any]:
        """Return the natural movie as it was made, before it was fitted to the screen."""
        found: np.ndarray[Any, Any] = self._open("resources", "natural_movie")
        return found

    def get_natural_movie_template(self, *given: Any, **options: Any) -> Any:
        """Refuse: the frames as the screen showed them are not made here.

        Raises
        ------
        RefusedError
            Always.
        """
        del given, options
        raise RefusedError(
            "the frames of the natural movie as the screen showed them are not made",
            address=self.address,
            why="the release has the movie alone, not the geometry of the screen",
            hint="release.get_raw_natural_movie()",
        )

    # --- manifests ------------------------------------------------------------------------------

    def list_manifest_file_names(self) -> list[str]:
        """Return the file names of the manifests of all versions, in alphabetical order."""
        return self._manifests(self.versions())

    def list_all_downloaded_manifests(self) -> list[str]:
        """Return the file names of the manifests that are here, in alphabetical order."""
        return self._manifests(self._cache.here())

    def current_manifest(self) -> str:
        """Return the file name of the manifest of this version."""
        return self.manifest.project.manifest_name(self.manifest.version)

    def latest_manifest_file(self) -> str:
        """Return the file name of the manifest of the newest version."""
        return self.manifest.project.manifest_name(self.versions()[0])

    def latest_downloaded_manifest_file(self) -> str:
        """Return the file name of the newest manifest that is here; empty where none is."""
        here = self._cache.here()
        return self.manifest.project.manifest_name(here[0]) if here else ""

    def _manifests(self, versions: Iterable[Version]) -> list[str]:
        return sorted(map(self.manifest.project.manifest_name, versions))
