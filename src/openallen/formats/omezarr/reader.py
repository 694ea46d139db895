"""Read OME-Zarr images, local or remote: levels as arrays with coordinates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from openallen.again import Again, Handle
from openallen.display import card, count_text, facts_text
from openallen.errors import CorruptError, NotFoundError, UsageError, requiring
from openallen.formats.chunks import decoding
from openallen.formats.objects import FolderObjects, Objects
from openallen.formats.omezarr.multiscale import Level, read_multiscale, scaled_by_sizes

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    import zarr
    from numpy.typing import NDArray

    from openallen.visuals import Visual

__all__ = ["OmeZarr"]


class _LevelReader:
    """Reads parts of a level; in another process by the address of the image."""

    def __init__(self, image: Handle[OmeZarr], path: str, array: Any = None) -> None:
        self._image = image
        self._path = path
        self._array = array

    def __call__(self, key: tuple[Any, ...]) -> Any:
        image = self._image.get()
        if self._array is None:
            self._array = image.array_at(self._path)
        return image.read_part(self._array, self._path, key)

    def __reduce__(self) -> tuple[Any, ...]:
        return _LevelReader, (self._image, self._path)


class OmeZarr(Again):
    """One multiscale image, OME-Zarr 0.1 to 0.6, in Zarr 2 or 3.

    Parameters
    ----------
    place
        The store: a local folder, or remote objects.

    Attributes
    ----------
    axes : tuple of str
        Names of the axes, in the order of the arrays.
    scales_um : tuple of tuple of float
        Pixel size at each level along each axis: µm in space, s in time.
    origins_um : tuple of tuple of float
        Centre of the first pixel of each level, in a common frame.
    attributes : dict
        Attributes of the group.
    notes : list of str
        Assumptions made about missing metadata.

    Raises
    ------
    NotFoundError
        If it is not a Zarr group.
    CorruptError
        If it is not an OME-Zarr image.
    MissingExtraError
        Without the extra ``images``.
    """

    def __init__(self, place: Path | str | Objects) -> None:
        with requiring("reading OME-Zarr", "images"):
            from openallen.formats.zarrs import Hierarchy
        if isinstance(place, (str, Path)):
            place = FolderObjects(Path(place))
        if isinstance(place, FolderObjects):
            self.path = place.folder
            self.opened_by(OmeZarr, place.folder.absolute())
        try:
            # Writers of images may omit chunks with nothing but background.
            self._hierarchy = Hierarchy(place, holes="usual")
        except NotFoundError as error:
            raise NotFoundError(
                "not an OME-Zarr store",
                address=place.name,
                why="no Zarr group",
                hint="openallen convert FOLDER",
            ) from error
        self.place = place.name
        self.attributes: dict[str, Any] = self._hierarchy.attributes
        self.multiscale = read_multiscale(self.attributes, place.name)
        if not all(level.told for level in self.multiscale.levels[1:]):
            shapes = [self._shape(level.path) for level in self.multiscale.levels]
            self.multiscale = scaled_by_sizes(self.multiscale, shapes)
        self.axes: tuple[str, ...] = tuple(axis.name for axis in self.multiscale.axes)
        self.scales_um = tuple(level.scale for level in self.multiscale.levels)
        self.origins_um = tuple(level.origin for level in self.multiscale.levels)
        self.notes = list(self.multiscale.notes)

    @property
    def group(self) -> zarr.Group:
        """The group as a `zarr.Group`."""
        import zarr

        from openallen.formats.zarr3 import ObjectStore

        return zarr.open_group(
            ObjectStore(self._hierarchy.chunks),
            mode="r",
            zarr_format=self._hierarchy.format,  # type: ignore[arg-type]
        )

    @property
    def levels(self) -> list[zarr.Array[Any]]:
        """The arrays, largest first, with the axes in `axes`; y down, x to the right."""
        return [self._array(level.path) for level in self.multiscale.levels]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Size of the largest level along each of `axes`, in pixels.

        Raises
        ------
        CorruptError
            If it does not match the axes.
        """
        return self._shape(self.multiscale.levels[0].path)

    @property
    def affine_um(self) -> NDArray[np.float64] | None:
        """Affine map from z, y, x in µm to another space, 4 x 4; None where none is written.

        Section images that were converted have one: to AP, DV, ML of reference space. It is what
        napari takes as ``affine`` beside scale and translation.

        Raises
        ------
        CorruptError
            If it is not such a map.
        """
        import numpy as np

        own = self.attributes.get("openallen")
        told = own.get("to_reference") if isinstance(own, dict) else None
        if told is None:
            return None
        try:
            (step,) = told["coordinateTransformations"]
            rows = np.array(step["affine"], float)
        except (LookupError, TypeError, ValueError) as error:
            raise CorruptError("not an affine map", address=self.place, why=repr(error)) from error
        if rows.shape != (3, 4) or not np.isfinite(rows).all():
            raise CorruptError("not an affine map", address=self.place, why=f"shape {rows.shape}")
        return np.concatenate([rows, [[0.0, 0.0, 0.0, 1.0]]])

    @property
    def missing_chunks(self) -> tuple[str, ...]:
        """Missing chunks that were read so far; they read as the fill value."""
        return tuple(sorted(self._hierarchy.chunks.missing))

    def _array(self, path: str) -> Any:
        return self._hierarchy.array(path)

    def _shape(self, path: str) -> tuple[int, ...]:
        told = (self._hierarchy.described(path) or {}).get("shape")
        shape = tuple(told) if isinstance(told, list) else ()
        if len(shape) != len(self.multiscale.axes) or not all(type(n) is int for n in shape):
            raise CorruptError(
                "this level does not match the axes",
                address=f"{self.place}/{path}",
                why=f"shape {shape}, axes {' '.join(a.name for a in self.multiscale.axes)}",
            )
        return shape

    def _must_hold(self, path: str) -> None:
        """Refuse a level without a single chunk: it was lost, or never written."""
        if path not in self._hierarchy.chunks.found and not self._hierarchy.holds_chunks(path):
            raise CorruptError(
                "this level has no chunk at all",
                address=f"{self.place}/{path}",
                why="nothing was stored, or it lies elsewhere",
            )

    def level(self, number: int = 0, *, origin: str = "centre", chunks: Any = None) -> xr.DataArray:
        """Return a level as a lazy labelled array.

        Parameters
        ----------
        number
            Index of the level; 0 is full size, -1 the smallest.
        origin
            ``centre``: coordinates are centres of pixels in a frame common to all levels, even if
            the metadata omit the shift by (n - 1) / 2 pixels of a mean of n pixels. ``stored``:
            coordinates as in the metadata.
        chunks
            For a dask array (needs the extra ``dask``): ``{}`` for chunks as they are stored,
            ``auto``, or a mapping by axis. Its tasks carry where the image is, not pixels: each
            process opens it for itself.

        Returns
        -------
        DataArray
            Axes as in `axes`; coordinates in µm for space, s for time, names of channels where
            known. ``attrs`` has ``scale``, ``origin`` and ``units`` by axis, and ``level``.

        Raises
        ------
        UsageError
            If the level does not exist.
        CorruptError
            If its shape does not match the axes; when read, if not one of its chunks is there.
        MissingExtraError
            Without xarray, or the package of a codec; without dask, where chunks are wanted.
        """
        with requiring("labelled arrays", "atlas"):
            from openallen.formats.lazy import in_chunks, lazy_array
        count = len(self.multiscale.levels)
        if not isinstance(number, int) or not -count <= number < count:
            raise UsageError(
                f"no level {number!r}",
                address=self.place,
                why=f"levels are 0 to {count - 1}; -1 is the smallest",
            )
        if origin not in {"centre", "stored"}:
            raise UsageError(f"no origin '{origin}'", why="centre or stored")
        level = self.multiscale.levels[number]
        self._shape(level.path)
        array = self._array(level.path)
        starts = level.stored if origin == "stored" else level.origin
        attrs = {
            "level": number % len(self.multiscale.levels),
            "scale": dict(zip(self.axes, level.scale, strict=True)),
            "origin": dict(zip(self.axes, starts, strict=True)),
            "units": {axis.name: axis.unit for axis in self.multiscale.axes},
        }

        found = lazy_array(
            _LevelReader(Handle(self), level.path, array),
            array.shape,
            array.dtype,
            self.axes,
            self._coordinates(array.shape, level, starts),
            name=self.multiscale.name or "image",
            attrs=attrs,
            chunks=array.chunks,
        )
        return found if chunks is None else in_chunks(found, chunks, self.axes[0], self.axes[0])

    def read_part(self, array: Any, path: str, key: tuple[Any, ...]) -> Any:
        """Read a part of a level.

        Parameters
        ----------
        array
            Its array, as in `levels`.
        path
            Its path.
        key
            An integer or a slice for each axis.
        """
        with decoding("a chunk of this image is damaged", f"{self.place}/{path}"):
            found = array[key]
        self._must_hold(path)
        return found

    def array_at(self, path: str) -> Any:
        """Return an array of the store by its path."""
        return self._array(path)

    def _coordinates(
        self, shape: tuple[int, ...], level: Level, starts: tuple[float, ...]
    ) -> dict[Any, Any]:
        import numpy as np

        found: dict[Any, Any] = {}
        for axis, size, scale, start in zip(
            self.multiscale.axes, shape, level.scale, starts, strict=True
        ):
            if axis.unit:
                values = start + scale * np.arange(size)
                found[axis.name] = (axis.name, values, {"units": axis.unit})
            elif axis.kind == "channel" and len(self.multiscale.channels) == size:
                found[axis.name] = (axis.name, list(self.multiscale.channels))
        return found

    def level_for(self, pixel_um: float) -> int:
        """Return the smallest level with pixels of at most `pixel_um` in x and y; else 0."""
        fine = [
            n
            for n, level in enumerate(self.multiscale.levels)
            if all(
                abs(s) <= pixel_um * 1.0001
                for s, axis in zip(level.scale, self.multiscale.axes, strict=True)
                if axis.name in {"y", "x"}
            )
        ]
        return fine[-1] if fine else 0

    def projection(self, function: str = "min", axes: str = "xy") -> Any:
        """Read a projection computed by the conversion.

        Parameters
        ----------
        function
            ``min``, ``max`` or ``mean``.
        axes
            ``xy``, shape (y, x); ``xz``, shape (z, x); ``yz``, shape (y, z).

        Raises
        ------
        NotFoundError
            If it does not exist.
        """
        name = f"projections/{function}_{axes}/0"
        if not self._hierarchy.has(name):
            raise NotFoundError(f"no {function} {axes} projection", address=self.place)
        return self._array(name)[...]

    def _visuals(self) -> tuple[Visual, ...]:
        from openallen.formats.omezarr.looks import visuals_of_image

        return visuals_of_image(self)

    def _facts(self) -> dict[str, object]:
        first = self.levels[0]
        um = ", ".join(
            f"{axis.name} {size:g} {axis.unit}"
            for axis, size in zip(self.multiscale.axes, self.scales_um[0], strict=True)
            if axis.kind == "space"
        )
        return {
            "axes": " ".join(self.axes),
            "levels": len(self.multiscale.levels),
            "shape": " x ".join(map(str, first.shape)),
            "type": str(first.dtype),
            "pixel": um,
            "channels": ", ".join(self.multiscale.channels) or None,
            "assumed": "; ".join(self.notes) or None,
            "missing": count_text(len(self.missing_chunks), "chunk")
            if self.missing_chunks
            else None,
            "path": self.place,
        }

    def __repr__(self) -> str:
        return facts_text("OME-Zarr image", self._facts())

    def _repr_html_(self) -> str:
        from openallen.formats.omezarr.looks import picture_of_image

        return card("OME-Zarr image", self._facts(), image=picture_of_image(self))
