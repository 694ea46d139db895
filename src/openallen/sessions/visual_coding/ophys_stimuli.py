"""What was shown in a Visual Coding two-photon session, and when: tables by frame of the movie."""

from __future__ import annotations

import functools
import itertools
import logging
import math
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import CorruptError, NotFoundError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr

    from openallen.formats.nwb import Tree

__all__ = ["Stimuli", "Templates"]

_LOG: Final = logging.getLogger("openallen.sessions")
_SHOWN: Final = "stimulus/presentation"
_TEMPLATES: Final = "stimulus/templates"
_ENDING: Final = "_stimulus"
_STACK: Final = "_image_stack"
_SPONTANEOUS: Final = "spontaneous"
_MOVIE: Final = re.compile(r"natural_movie_")
_GAPS_FRAMES: Final = {
    "three_session_A": 39,
    "three_session_B": 15,
    "three_session_C": 7,
    "three_session_C2": 7,
}
"""Between two epochs of a stimulus there are more frames than so many, by type of session."""
_MOST_CUTS: Final = 2
_SHORT_OF_END: Final = 0.01
"""A presentation ends so much before the frame that the next one may begin at, in frames."""


class Templates(Mapping[str, "xr.DataArray"]):
    """Images of stimuli by name, ``frame`` x ``row`` x ``column``; read as they are sliced.

    Parameters
    ----------
    tree
        The file.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def _names(self) -> list[str]:
        there = self._tree.names(_TEMPLATES)
        return [name.removesuffix(_STACK) for name in there if name.endswith(_STACK)]

    def place(self, name: str) -> str:
        """Return where the images of a stimulus are.

        Raises
        ------
        NotFoundError
            If the file has none of it.
        """
        place = f"{_TEMPLATES}/{name}{_STACK}/data"
        if not self._tree.has(place):
            raise NotFoundError(
                f"no images of '{name}'",
                address=self._tree.name,
                why=f"there are those of {', '.join(self._names()) or 'no stimulus'}",
            )
        return place

    def __getitem__(self, name: str) -> xr.DataArray:
        from openallen.sessions.arrays import lazy_variable, xarray

        place = self.place(name)
        if len(self._tree.shape(place)) != 3:
            raise CorruptError("images that are not a stack", address=self._tree.name, why=place)
        dims = ("frame", "row", "column")
        made: xr.DataArray = xarray().Dataset({name: lazy_variable(dims, self._tree, place)})[name]
        return made

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def __contains__(self, name: object) -> bool:
        return name in self._names()

    def __repr__(self) -> str:
        return f"Templates of {', '.join(self._names()) or 'no stimulus'}"


class Stimuli:
    """Presentations of a file.

    Parameters
    ----------
    tree
        The file.
    session_type
        Type of the session; empty where the file names none.
    """

    def __init__(self, tree: Tree, session_type: str) -> None:
        self._tree = tree
        self._session_type = session_type
        self.templates = Templates(tree)

    @functools.cached_property
    def names(self) -> list[str]:
        """Names of the stimuli."""
        return [name.removesuffix(_ENDING) for name in self._tree.names(_SHOWN)]

    # --- one stimulus -----------------------------------------------------------------------------

    def table(self, name: str) -> pd.DataFrame:
        """Return the presentations of a stimulus in order of their begin.

        Returns
        -------
        DataFrame
            Parameters or ``frame``, ``start`` and ``end`` as frames of the two-photon movie, and
            ``repeat`` of movies. The index is the row in the file.

        Raises
        ------
        NotFoundError
            If it was not shown.
        CorruptError
            If its parts do not go together.
        """
        place = self._place(name)
        data = self._tree.array(f"{place}/data")
        frames = self._tree.array(f"{place}/frame_duration")
        if frames.ndim != 2 or frames.shape[1] != 2 or len(frames) != len(data):
            raise CorruptError(
                "presentations and their frames do not go together",
                address=self._tree.name,
                why=f"{place}: data {data.shape}, frame_duration {frames.shape}",
            )
        if name == _SPONTANEOUS:
            return self._spontaneous(place, data, frames)
        made = self._parameters(place, data)
        made["start"] = frames[:, 0].astype("int64")
        made["end"] = frames[:, 1].astype("int64")
        made = made.sort_values(["start", "end"], kind="stable")
        if _MOVIE.match(name):
            made["repeat"] = made.groupby("frame").cumcount().astype("int64")
        return made

    def _place(self, name: str) -> str:
        for place in (f"{_SHOWN}/{name}", f"{_SHOWN}/{name}{_ENDING}"):
            if name and self._tree.has(f"{place}/data"):
                return place
        raise NotFoundError(
            f"no stimulus '{name}' in this session",
            address=self._tree.name,
            why=f"there are {', '.join(self.names) or 'none'}",
        )

    def _parameters(self, place: str, data: np.ndarray[Any, Any]) -> pd.DataFrame:
        """Return the parameters of each presentation: those named, or the image that was shown."""
        import pandas as pd

        if not self._tree.has(f"{place}/features"):
            if data.ndim != 1:
                raise CorruptError(
                    "parameters without names", address=self._tree.name, why=f"no {place}/features"
                )
            return pd.DataFrame({"frame": data.astype("int64")})
        names = [str(name) for name in self._tree.array(f"{place}/features").reshape(-1)]
        if data.ndim != 2 or data.shape[1] != len(names) or len(set(names)) != len(names):
            raise CorruptError(
                "parameters and their names do not go together",
                address=self._tree.name,
                why=f"{place}: data {data.shape}, features {', '.join(names)}",
            )
        return pd.DataFrame(data, columns=names)

    def _spontaneous(
        self, place: str, data: np.ndarray[Any, Any], frames: np.ndarray[Any, Any]
    ) -> pd.DataFrame:
        import pandas as pd

        if data.ndim != 1:
            raise CorruptError(
                "begins and ends that are not one row",
                address=self._tree.name,
                why=f"{place}/data: {data.shape}",
            )
        starts, ends = frames[data == 1, 0], frames[data == -1, 0]
        if len(starts) != len(ends):
            raise CorruptError(
                "spontaneous activity that begins and does not end",
                address=self._tree.name,
                why=f"{place}: {len(starts)} begins, {len(ends)} ends",
            )
        made = pd.DataFrame({"start": starts.astype("int64"), "end": ends.astype("int64")})
        return made.sort_values(["start", "end"], kind="stable")

    # --- all of them ------------------------------------------------------------------------------

    @functools.cached_property
    def master(self) -> pd.DataFrame:
        """All presentations, stimulus by stimulus; columns in alphabetical order, NaN for none."""
        import pandas as pd

        tables = []
        for name in self.names:
            table = self.table(name)
            table["stimulus"] = pd.Series([name] * len(table), index=table.index, dtype=object)
            tables.append(table)
        if not tables:
            return pd.DataFrame(columns=["end", "start", "stimulus"])
        made = pd.concat(tables, ignore_index=True)
        return made[sorted(made.columns)]

    def presentations(self, times: np.ndarray[Any, Any]) -> pd.DataFrame:
        """Return all presentations in order of time.

        Parameters
        ----------
        times
            Time of each frame of the movie, in s.
        """
        import numpy as np
        import pandas as pd

        told = self.master.sort_values(["start", "end"], kind="stable").reset_index(drop=True)
        starts, ends = (told[n].to_numpy("int64") for n in ("start", "end"))
        made = pd.DataFrame(
            {
                "stimulus_block": _blocks(told, self._gap_frames(None)),
                "stimulus_name": told["stimulus"],
                "start_time": _times_of(starts, times),
                "stop_time": _times_of(ends, times),
                "start_frame": starts,
                "end_frame": ends,
            }
        )
        beyond = int(np.isnan(made[["start_time", "stop_time"]]).any(axis=1).sum())
        if beyond:
            notes = f"{beyond:,} presentations are outside of the movie, and have no times"
            made.attrs["notes"] = notes
            _LOG.warning("%s: %s", self._tree.name, notes)
        made.index.name = "stimulus_presentation_id"
        return made.join(told.drop(columns=["stimulus", "start", "end"]))

    # --- epochs -----------------------------------------------------------------------------------

    def _gap_frames(self, other: int | None) -> int | None:
        return _GAPS_FRAMES.get(self._session_type, other)

    @functools.cached_property
    def epochs(self) -> pd.DataFrame:
        """Stretches of one stimulus each: ``stimulus``, ``start``, ``end`` as frames.

        Raises
        ------
        NotFoundError
            If it is not known how long a gap ends an epoch in sessions of this type.
        CorruptError
            If a stimulus has more epochs than sessions have.
        """
        import numpy as np
        import pandas as pd

        gap = self._gap_frames(None)
        if gap is None:
            raise NotFoundError(
                "no epochs",
                address=self._tree.name,
                why=f"sessions of type '{self._session_type}' are not known",
                hint=".stimulus_epochs takes every change of the stimulus",
            )
        rows: list[tuple[str, int, int]] = []
        for name in self.names:
            table = self.table(name)
            starts, ends = table["start"].to_numpy(), table["end"].to_numpy()
            cuts = np.flatnonzero(starts[1:] - ends[:-1] > gap) + 1
            if len(cuts) > _MOST_CUTS:
                raise CorruptError(
                    "more epochs of a stimulus than a session has",
                    address=self._tree.name,
                    why=f"{name}: {len(cuts) + 1}, gaps of more than {gap} frames apart",
                )
            edges = [0, *cuts.tolist(), len(table)] if len(table) else []
            for first, last in itertools.pairwise(edges):
                rows.append((name, int(starts[first]), int(ends[last - 1])))
        made = pd.DataFrame(rows, columns=["stimulus", "start", "end"])
        made = made.astype({"stimulus": object, "start": "int64", "end": "int64"})
        return made.sort_values("start", kind="stable").reset_index(drop=True)

    def shown_at(self, frame: float) -> tuple[int, float, dict[str, Any]] | None:
        """Return what was shown at a frame: begin, end, and its row of `master`.

        Within an epoch that is the last presentation that began, also in the grey after it.
        None outside of epochs, and in spontaneous activity.
        """
        import numpy as np

        epochs = self.epochs
        inside = epochs[(epochs["start"] <= frame) & (frame <= epochs["end"] - _SHORT_OF_END)]
        if not len(inside) or inside["stimulus"].iloc[0] == _SPONTANEOUS:
            return None
        table = self.master[self.master["stimulus"] == inside["stimulus"].iloc[0]]
        at = int(np.searchsorted(table["start"].to_numpy(), frame, "right")) - 1
        row = {name: _plain(value) for name, value in table.iloc[at].to_dict().items()}
        return row["start"], row["end"] - _SHORT_OF_END, row

    def image_of(self, row: Mapping[str, Any]) -> np.ndarray[Any, Any] | None:
        """Return the image of a presentation; None for gratings, and where the screen was grey.

        Raises
        ------
        CorruptError
            If the file has no such image of a stimulus whose images it has.
        """
        frame, name = float(row.get("frame", math.nan)), row["stimulus"]
        if not frame >= 0 or name not in self.templates:
            return None
        place = self.templates.place(name)
        count = self._tree.shape(place)[0]
        if frame >= count:
            raise CorruptError(
                "an image was shown that is not there",
                address=self._tree.name,
                why=f"image {int(frame)} of {count} in {place}",
            )
        at = int(frame)
        found: np.ndarray[Any, Any] = self._tree.part(place, slice(at, at + 1))[0]
        return found

    def sparse_noise(
        self, name: str, *, mask_off_screen: bool
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Return the images of locally sparse noise, and which of their pixels are on the screen.

        Raises
        ------
        UsageError
            If the stimulus is none of locally sparse noise.
        """
        from openallen.sessions.visual_coding.ophys_screen import OFF_SCREEN, SPARSE, on_screen

        if name not in SPARSE:
            raise UsageError(
                f"'{name}' is no locally sparse noise",
                address=self._tree.name,
                hint=", ".join(SPARSE),
            )
        images = self._tree.array(self.templates.place(name))
        if images.ndim != 3 or images.shape[1:] != SPARSE[name]:
            raise CorruptError(
                "images of another size than this stimulus has",
                address=self._tree.name,
                why=f"{images.shape[1:]}, not {SPARSE[name]}",
            )
        mask = on_screen(*SPARSE[name])
        if mask_off_screen:
            images = images.copy()
            images[:, ~mask] = OFF_SCREEN
        return images, mask


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _blocks(told: pd.DataFrame, gap_frames: int | None) -> np.ndarray[Any, Any]:
    """Return the number of the stretch that each presentation is in, from 0."""
    import numpy as np

    names = told["stimulus"].to_numpy()
    starts, ends = told["start"].to_numpy(), told["end"].to_numpy()
    new = names[1:] != names[:-1]
    if gap_frames is not None:
        new = new | (starts[1:] - ends[:-1] > gap_frames)
    made: np.ndarray[Any, Any] = np.concatenate([[0], np.cumsum(new)]).astype("int64")
    return made[: len(told)]


def _times_of(frames: np.ndarray[Any, Any], times: np.ndarray[Any, Any]) -> Any:
    """Return the times of frames in s; the end of the last one is one frame after its begin."""
    import numpy as np

    made = np.full(len(frames), np.nan)
    inside = (frames >= 0) & (frames < len(times))
    made[inside] = times[frames[inside]]
    if len(times) > 1:
        made[frames == len(times)] = times[-1] + float(np.median(np.diff(times)))
    return made
