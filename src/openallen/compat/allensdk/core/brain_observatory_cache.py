"""AllenSDK's ``BrainObservatoryCache``: Visual Coding, two-photon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openallen import verbs
from openallen.compat.allensdk.core.brain_observatory_nwb_data_set import BrainObservatoryNwbDataSet
from openallen.compat.asking import project, source_of
from openallen.compat.elsewhere import Mirrored, refused

if TYPE_CHECKING:
    import numpy as np

__all__ = ["BrainObservatoryCache"]

Row = dict[str, Any]


class BrainObservatoryCache(Mirrored):
    """Visual Coding, two-photon, under AllenSDK's names.

    Parameters
    ----------
    cache
        Taken, not used: rows are kept.
    manifest_file
        In the folder of files: one that AllenSDK filled is opened as it is. The store where None.
    base_uri
        Another service than brain-map.org: ``sample``, or the folder or URL of an archive.
    api
        Not taken.
    """

    def __init__(
        self,
        cache: bool = True,
        manifest_file: str | Path | None = None,
        base_uri: str | None = None,
        api: Any = None,
    ) -> None:
        del cache
        if api is not None:
            raise refused(
                "BrainObservatoryCache", "no other api is taken", "openallen asks", "base_uri=..."
            )
        self._source = source_of(base_uri)
        self._release = project("visual-coding-2p", manifest_file, self._source)

    # --- rows -------------------------------------------------------------------------------------

    def get_experiment_containers(
        self,
        file_name: str | None = None,
        ids: Sequence[int] | None = None,
        targeted_structures: Sequence[str] | None = None,
        imaging_depths: Sequence[int] | None = None,
        cre_lines: Sequence[str] | None = None,
        reporter_lines: Sequence[str] | None = None,
        transgenic_lines: Sequence[str] | None = None,
        include_failed: bool = False,
        simple: bool = True,
    ) -> list[Row]:
        """Return experiment containers; see `openallen` ``release:visual-coding-2p``."""
        del file_name
        found: list[Row] = self._release.get_experiment_containers(
            simple=simple,
            ids=ids,
            targeted_structures=targeted_structures,
            imaging_depths=imaging_depths,
            cre_lines=cre_lines,
            reporter_lines=reporter_lines,
            transgenic_lines=transgenic_lines,
            include_failed=include_failed,
        )
        return found

    def get_ophys_experiments(
        self,
        file_name: str | None = None,
        ids: Sequence[int] | None = None,
        experiment_container_ids: Sequence[int] | None = None,
        targeted_structures: Sequence[str] | None = None,
        imaging_depths: Sequence[int] | None = None,
        cre_lines: Sequence[str] | None = None,
        reporter_lines: Sequence[str] | None = None,
        transgenic_lines: Sequence[str] | None = None,
        stimuli: Sequence[str] | None = None,
        session_types: Sequence[str] | None = None,
        cell_specimen_ids: Sequence[int] | None = None,
        include_failed: bool = False,
        require_eye_tracking: bool = False,
        simple: bool = True,
    ) -> list[Row]:
        """Return experiments; see `openallen` ``release:visual-coding-2p``."""
        del file_name
        found: list[Row] = self._release.get_ophys_experiments(
            simple=simple,
            ids=ids,
            experiment_container_ids=experiment_container_ids,
            targeted_structures=targeted_structures,
            imaging_depths=imaging_depths,
            cre_lines=cre_lines,
            reporter_lines=reporter_lines,
            transgenic_lines=transgenic_lines,
            stimuli=stimuli,
            session_types=session_types,
            cell_specimen_ids=cell_specimen_ids,
            include_failed=include_failed,
            require_eye_tracking=require_eye_tracking,
        )
        return found

    def get_cell_specimens(
        self,
        file_name: str | None = None,
        ids: Sequence[int] | None = None,
        experiment_container_ids: Sequence[int] | None = None,
        include_failed: bool = False,
        simple: bool = True,
        filters: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[Row]:
        """Return cells with their metrics; see `openallen` ``release:visual-coding-2p``."""
        del file_name
        found: list[Row] = self._release.get_cell_specimens(
            ids, experiment_container_ids, include_failed, simple, filters
        )
        return found

    def get_all_targeted_structures(self) -> list[str]:
        """Return the structures that were imaged, sorted."""
        return list(self._release.get_all_targeted_structures())

    def get_all_cre_lines(self) -> list[str]:
        """Return the Cre lines, sorted."""
        return list(self._release.get_all_cre_lines())

    def get_all_reporter_lines(self) -> list[str]:
        """Return the reporter lines, sorted."""
        return list(self._release.get_all_reporter_lines())

    def get_all_imaging_depths(self) -> list[int]:
        """Return the imaging depths in µm, sorted."""
        return list(self._release.get_all_imaging_depths())

    def get_all_session_types(self) -> list[str]:
        """Return the types of sessions, sorted."""
        return list(self._release.get_all_session_types())

    def get_all_stimuli(self) -> list[str]:
        """Return every stimulus, sorted."""
        return list(self._release.get_all_stimuli())

    def get_ophys_experiment_stimuli(self, experiment_id: int) -> list[str]:
        """Return what was shown in an experiment."""
        return list(self._release.get_ophys_experiment_stimuli(experiment_id))

    # --- files ------------------------------------------------------------------------------------

    def get_ophys_experiment_data(
        self, ophys_experiment_id: int, file_name: str | None = None
    ) -> BrainObservatoryNwbDataSet:
        """Open an experiment.

        Parameters
        ----------
        ophys_experiment_id
            The experiment.
        file_name
            Its file, where it is there already.
        """
        if file_name is not None and Path(file_name).exists():
            return BrainObservatoryNwbDataSet(file_name)
        return BrainObservatoryNwbDataSet(
            self._release.get_ophys_experiment_data(ophys_experiment_id)
        )

    def get_ophys_experiment_events(
        self, ophys_experiment_id: int, file_name: str | None = None
    ) -> np.ndarray[Any, Any]:
        """Return the events of an experiment: cells x frames.

        Parameters
        ----------
        ophys_experiment_id, file_name
            As for `get_ophys_experiment_data`.
        """
        if file_name is not None and Path(file_name).exists():
            import numpy as np

            return np.asarray(verbs.open(Path(file_name)))
        found: np.ndarray[Any, Any] = self._release.get_ophys_experiment_events(ophys_experiment_id)
        return found

    def get_ophys_experiment_analysis(
        self, ophys_experiment_id: int, stimulus_type: str, file_name: str | None = None
    ) -> Any:
        """Return the analysis of a stimulus of an experiment.

        Parameters
        ----------
        ophys_experiment_id
            The experiment.
        stimulus_type
            The stimulus: ``drifting_gratings``.
        file_name
            Taken, not used: the analysis is made from the session.
        """
        del file_name
        return self.get_ophys_experiment_data(ophys_experiment_id).analysis(stimulus_type)

    def get_eye_tracking(self, ophys_experiment_id: int) -> np.ndarray[Any, Any]:
        """Return the eye tracking of an experiment, as it was published.

        Parameters
        ----------
        ophys_experiment_id
            The experiment.
        """
        other = verbs.open("release:visual-coding-ophys", source=self._source)
        found: np.ndarray[Any, Any] = other.get_eye_tracking(ophys_experiment_id)
        return found
