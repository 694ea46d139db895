"""An OME-Zarr image opened: its levels as zarr arrays, with their scales."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from openallen.display import card, facts_text
from openallen.errors import CorruptError, MissingExtraError, NotFoundError

if TYPE_CHECKING:
    import zarr

__all__ = ["OmeZarr"]


class OmeZarr:
    """One multiscale image.

    Parameters
    ----------
    path
        The store: a local folder.

    Raises
    ------
    NotFoundError
        If there is no Zarr group.
    CorruptError
        If it is no OME-Zarr image of version 0.5.
    MissingExtraError
        Without the extra ``images``.
    """

    def __init__(self, path: Path | str) -> None:
        try:
            import zarr
        except ImportError:
            raise MissingExtraError("images", "reading OME-Zarr") from None
        self.path = Path(path)
        if not (self.path / "zarr.json").is_file():
            raise NotFoundError("no OME-Zarr here", address=str(path), hint="openallen convert")
        self.group: zarr.Group = zarr.open_group(str(self.path), mode="r")
        ome: Any = self.group.attrs.get("ome", {})
        try:
            multiscale = ome["multiscales"][0]
            self.axes: tuple[str, ...] = tuple(axis["name"] for axis in multiscale["axes"])
            self._datasets: list[dict[str, Any]] = multiscale["datasets"]
            self.scales_um: tuple[tuple[float, ...], ...] = tuple(
                tuple(dataset["coordinateTransformations"][0]["scale"])
                for dataset in self._datasets
            )
        except (KeyError, IndexError, TypeError) as error:
            raise CorruptError("no OME-Zarr image", address=str(path), why=repr(error)) from error

    @property
    def levels(self) -> list[zarr.Array[Any]]:
        """The arrays, largest first; uint8, axes as `axes` names them, z then y down, x right."""
        return [self._array(dataset["path"]) for dataset in self._datasets]

    def _array(self, path: str) -> Any:
        return self.group[path]

    def projection(self, function: str = "min", axes: str = "xy") -> Any:
        """Read a projection made during conversion.

        Parameters
        ----------
        function
            ``min``, ``max`` or ``mean``.
        axes
            ``xy``, shape (y, x); ``xz``, shape (z, x); ``yz``, shape (y, z).

        Raises
        ------
        NotFoundError
            If there is none of that name.
        """
        name = f"projections/{function}_{axes}/0"
        if name not in self.group:
            raise NotFoundError(f"no projection {function} {axes}", address=str(self.path))
        return self._array(name)[...]

    def _facts(self) -> dict[str, object]:
        levels = self.levels
        um = ", ".join(
            f"{axis} {size:g}"
            for axis, size in zip(self.axes, self.scales_um[0], strict=True)
            if axis != "c"
        )
        return {
            "axes": " ".join(self.axes),
            "levels": len(levels),
            "shape": " x ".join(map(str, levels[0].shape)),
            "pixel": f"{um} µm",
            "path": self.path,
        }

    def __repr__(self) -> str:
        return facts_text("OME-Zarr image", self._facts())

    def _repr_html_(self) -> str:
        return card("OME-Zarr image", self._facts())
