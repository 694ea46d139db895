"""Arrays and tables that SpikeInterface keeps: ``.npy`` and ``.csv`` in folders, or Zarr."""

from __future__ import annotations

import io
import logging
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final, Protocol

from openallen.errors import CorruptError, NotFoundError, StatusError, requiring
from openallen.formats.chunks import decoding
from openallen.formats.npy import check_texts, read_npy, read_npz
from openallen.json_text import load_json

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from openallen.formats.objects import Objects

__all__ = ["InFolder", "InZarr", "Kept"]

_LOG: Final = logging.getLogger("openallen.sources")


class Kept(Protocol):
    """Arrays, tables and facts below one root, whichever way they are stored.

    Attributes
    ----------
    name : str
        Where they are, for messages.
    """

    name: str

    def array(self, path: str) -> np.ndarray[Any, Any] | None:
        """Return an array; None where there is none."""
        ...

    def table(self, path: str) -> pd.DataFrame | None:
        """Return a table, its index as text; None where there is none."""
        ...

    def told(self, path: str, name: str) -> dict[str, Any]:
        """Return a document that belongs to a folder or group; empty where there is none."""
        ...

    def members(self, path: str) -> tuple[str, ...]:
        """Name what is in a folder or group, without endings."""
        ...

    def within(self, path: str) -> Kept:
        """Return what is below a folder or group."""
        ...


class InFolder:
    """Arrays in ``.npy``, tables in ``.csv``, facts in ``.json``.

    Parameters
    ----------
    place
        The folder.
    """

    def __init__(self, place: Objects) -> None:
        self._place = place
        self.name = place.name

    def array(self, path: str) -> np.ndarray[Any, Any] | None:
        """Return an array; None where there is none."""
        body = self._place.get(f"{path}.npy")
        return None if body is None else read_npy(body, f"{self.name}/{path}.npy")

    def archive(self, path: str) -> dict[str, np.ndarray[Any, Any]] | None:
        """Return the arrays of an ``.npz``; None where there is none."""
        body = self._place.get(f"{path}.npz")
        return None if body is None else read_npz(body, f"{self.name}/{path}.npz")

    def table(self, path: str) -> pd.DataFrame | None:
        """Return a table; None where there is none."""
        body = self._place.get(f"{path}.csv")
        if body is None:
            return None
        with requiring("a table of metrics", "tables"):
            import pandas as pd
        with decoding("this table is damaged", f"{self.name}/{path}.csv"):
            found = pd.read_csv(io.BytesIO(body), index_col=0)
        found.index = found.index.astype(str)
        return found

    def told(self, path: str, name: str) -> dict[str, Any]:
        """Return ``NAME.json`` of a folder; empty where there is none."""
        key = f"{path}/{name}.json".lstrip("/")
        body = self._place.get(key)
        if body is None:
            return {}
        try:
            found = load_json(body)
        except ValueError as error:
            where = f"{self.name}/{key}"
            raise CorruptError("not valid JSON", address=where, why=str(error)) from error
        return found if isinstance(found, dict) else {}

    def members(self, path: str) -> tuple[str, ...]:
        """Name the folders in a folder."""
        return self._place.folders(path)

    def arrays(self, path: str) -> tuple[str, ...]:
        """Name the arrays in a folder; none where its files cannot be listed, which is logged."""
        from openallen.formats.objects import FolderObjects

        if isinstance(self._place, FolderObjects):
            return tuple(sorted(found.stem for found in (self._place.folder / path).glob("*.npy")))
        level = getattr(self._place, "level", None)
        if level is None:
            return ()
        try:
            keys = [PurePosixPath(entry.key) for entry in level(path)[0]]
        except StatusError as error:
            _LOG.warning("%s/%s: files are not listed: %s", self.name, path, error.what)
            return ()
        return tuple(sorted(key.stem for key in keys if key.suffix == ".npy"))

    def within(self, path: str) -> InFolder:
        """Return what is below a folder."""
        return InFolder(self._place.within(path))


class InZarr:
    """Arrays of a Zarr hierarchy, tables as groups of columns, facts as attributes.

    Parameters
    ----------
    hierarchy
        An `openallen.formats.zarrs.Hierarchy`.
    path
        The group in it.
    """

    def __init__(self, hierarchy: Any, path: str = "") -> None:
        self._hierarchy = hierarchy
        self._path = path.strip("/")
        self.name = f"{hierarchy.name}/{self._path}".rstrip("/")

    def _at(self, path: str) -> str:
        return f"{self._path}/{path}".strip("/")

    def array(self, path: str) -> np.ndarray[Any, Any] | None:
        """Return an array; None where there is none."""
        import numpy as np

        try:
            array = self._hierarchy.array(self._at(path))
        except NotFoundError:
            return None
        with decoding("a chunk is damaged", f"{self.name}/{path}"):
            return check_texts(np.asarray(array[...]), f"{self.name}/{path}")

    def table(self, path: str) -> pd.DataFrame | None:
        """Return a table; None where there is none."""
        names = self.members(path)
        if not names:
            return None
        with requiring("a table of metrics", "tables"):
            import pandas as pd
        columns = {name: self.array(f"{path}/{name}") for name in names}
        index = columns.pop("index", None)
        sizes = {_rows(values) for values in (*columns.values(), index)}
        if index is None or len(sizes) != 1:
            why = "no index" if index is None else f"columns of {sorted(sizes)} values"
            raise CorruptError("this table is damaged", address=f"{self.name}/{path}", why=why)
        return pd.DataFrame(columns, index=pd.Index([str(one) for one in index.tolist()]))

    def told(self, path: str, name: str) -> dict[str, Any]:
        """Return a mapping among the attributes of a group; empty where there is none."""
        found = self._hierarchy.attrs(self._at(path)).get(name)
        return found if isinstance(found, dict) else {}

    def attributes(self) -> dict[str, Any]:
        """Return all attributes of the group."""
        found: dict[str, Any] = self._hierarchy.attrs(self._path)
        return found

    def members(self, path: str) -> tuple[str, ...]:
        """Name what is in a group."""
        return tuple(self._hierarchy.members(self._at(path)))

    def within(self, path: str) -> InZarr:
        """Return what is below a group."""
        return InZarr(self._hierarchy, self._at(path))


def _rows(values: Any) -> int:
    """Return the number of rows of a column; -1 where it is no column."""
    return -1 if values is None or values.ndim != 1 else int(values.shape[0])
