"""The analysis of one stimulus of a two-photon session of Visual Coding."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import NotFoundError
from openallen.sessions.responses.gratings import drifting_gratings, static_gratings
from openallen.sessions.responses.movies import natural_movie
from openallen.sessions.responses.noise import locally_sparse_noise
from openallen.sessions.responses.scenes import natural_scenes

if TYPE_CHECKING:
    from openallen.sessions.responses.gratings import DriftingGratings, StaticGratings
    from openallen.sessions.responses.movies import NaturalMovie
    from openallen.sessions.responses.noise import LocallySparseNoise
    from openallen.sessions.responses.scenes import NaturalScenes

    Analysis = DriftingGratings | StaticGratings | NaturalScenes | NaturalMovie | LocallySparseNoise

__all__ = ["Analysing", "analysis"]

_BY_SWEEP: Final[dict[str, Callable[..., Any]]] = {
    "drifting_gratings": drifting_gratings,
    "static_gratings": static_gratings,
    "natural_scenes": natural_scenes,
}
_NOISE: Final = "locally_sparse_noise"
_MOVIE: Final = "natural_movie_"


class Analysing:
    """Two-photon sessions of Visual Coding; see `analysis`."""

    def analysis(self, stimulus_name: str) -> Analysis:
        """Return AllenSDK's analysis of the responses to a stimulus; see `analysis`."""
        return analysis(self, stimulus_name)


def analysis(session: Any, stimulus_name: str) -> Analysis:
    """Return the analysis of the responses to a stimulus, with AllenSDK's names and values.

    Parameters
    ----------
    session
        A session that answers AllenSDK's calls: ``list_stimuli``, ``get_stimulus_table``,
        ``get_dff_traces``, ``get_corrected_fluorescence_traces``, ``get_running_speed``.
    stimulus_name
        ``drifting_gratings``, ``static_gratings``, ``natural_scenes``, ``natural_movie_one`` and
        the other movies, ``locally_sparse_noise`` and its kinds of 4 and 8 degrees.

    Returns
    -------
    DriftingGratings, StaticGratings, NaturalScenes, NaturalMovie or LocallySparseNoise
        ``stim_table``, ``sweep_response`` and, by the stimulus, ``mean_sweep_response``, ``pval``,
        ``response``, ``peak``, ``mean_response`` and correlations; each is worked out when it is
        first used.

    Raises
    ------
    NotFoundError
        If the session did not show it, or there is no analysis of it.
    """
    shown = [name for name in session.list_stimuli() if _known(name)]
    if stimulus_name not in shown:
        raise NotFoundError(
            f"no analysis of '{stimulus_name}'",
            address=getattr(session, "name", ""),
            hint=", ".join(shown),
        )
    table = session.get_stimulus_table(stimulus_name)
    ids = session.get_cell_specimen_ids()
    if stimulus_name.startswith(_MOVIE):
        times, traces = session.get_dff_traces()
        return natural_movie(traces, times, table, stimulus_name, cell_specimen_ids=ids)
    times, traces = session.get_corrected_fluorescence_traces()
    running = session.get_running_speed()[0]
    if stimulus_name.startswith(_NOISE):
        images, mask = session.get_locally_sparse_noise_stimulus_template(
            stimulus_name, mask_off_screen=False
        )
        return locally_sparse_noise(
            traces, times, table, running, images, mask=mask, cell_specimen_ids=ids
        )
    found: Analysis = _BY_SWEEP[stimulus_name](traces, times, table, running, cell_specimen_ids=ids)
    return found


def _known(name: str) -> bool:
    return name in _BY_SWEEP or name.startswith((_NOISE, _MOVIE))
