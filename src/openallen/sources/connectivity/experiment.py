"""One experiment: where a tracer was injected, and where it went."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from openallen.address import Address
from openallen.display import card, facts_text
from openallen.errors import NotFoundError, OpenAllenError, UsageError, requiring
from openallen.sources.connectivity.frames import chosen_unionizes, unionizes_frame
from openallen.sources.connectivity.records import side_of
from openallen.sources.connectivity.tables import Tables

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr

    from openallen.visuals import Visual

__all__ = ["Experiment"]


class Experiment:
    """One experiment of the Mouse Brain Connectivity Atlas.

    What is asked of it is asked of the service once, then stays in the store. A part that cannot
    be had raises and says why; the others still work.

    Parameters
    ----------
    row
        The experiment, as `openallen.sources.connectivity.records.experiment_row` returns it.
    tables
        Where its rows come from.
    """

    def __init__(self, row: Mapping[str, Any], tables: Tables) -> None:
        self._row = dict(row)
        self._tables = tables
        self.id = int(self._row["id"])

    @property
    def address(self) -> str:
        """Its address: ``connectivity:181777177``."""
        return f"connectivity:{self.id}"

    @property
    def facts(self) -> Mapping[str, Any]:
        """What is known of it, under AllenSDK's names."""
        return MappingProxyType(self._row)

    @property
    def hemisphere(self) -> Literal["left", "right"] | None:
        """The side of its injection; None where the service has no coordinates of it."""
        side = side_of(self._row)
        return "left" if side == "left" else "right" if side == "right" else None

    @property
    def injection_um(self) -> tuple[float, float, float]:
        """AP, DV, ML of its injection site in µm, as the service has it.

        Raises
        ------
        NotFoundError
            If the service has none.
        """
        found = tuple(self._row.get(f"injection_{axis}") for axis in "xyz")
        if not all(isinstance(part, (int, float)) for part in found):
            raise self._absent("no injection coordinates", "the service has none of it")
        ap, dv, ml = (float(part) for part in found if part is not None)
        return ap, dv, ml

    def _absent(self, what: str, why: str) -> NotFoundError:
        return NotFoundError(what, address=self.address, why=why)

    # --- what it projects to ----------------------------------------------------------------------

    @functools.cached_property
    def _unionizes(self) -> pd.DataFrame:
        return unionizes_frame(self._tables.unionizes([self.id])[self.id])

    def unionizes(
        self,
        structures: Sequence[int | str] | int | str | None = None,
        *,
        include_descendants: bool = False,
        hemisphere_ids: Collection[int] | None = None,
        is_injection: bool | None = None,
        threshold: float | None = None,
    ) -> pd.DataFrame:
        """Return what was measured in each structure, as AllenSDK does.

        Parameters
        ----------
        structures
            Ids, acronyms or names; all where None.
        include_descendants
            Whether parts of these are taken too.
        hemisphere_ids
            1 left, 2 right, 3 both; all where None.
        is_injection
            True: pixels of the injection site alone. False: all but those.
        threshold
            Only rows whose ``normalized_projection_volume`` is above it.

        Returns
        -------
        DataFrame
            A row for each structure, hemisphere and kind of pixels, in the order of ids. Volumes
            in mm³, ``max_voxel_x``, ``_y``, ``_z`` in µm. Empty where nothing is left.

        Raises
        ------
        NotFoundError
            If a structure is none of the adult mouse, or the service has no rows.
        """
        ids = None
        if structures is not None:
            ids = self._tables.ids_of(structures, descendants=include_descendants)
        return chosen_unionizes(
            self._unionizes,
            structure_ids=ids,
            hemisphere_ids=hemisphere_ids,
            is_injection=is_injection,
            threshold=threshold,
        ).copy()

    # --- volumes ----------------------------------------------------------------------------------

    def grid(self, kind: str = "projection_density", resolution_um: int = 25) -> xr.DataArray:
        """Return one of its grids, fetched where it is not here: ``grid:ID?include=…``.

        Parameters
        ----------
        kind
            ``projection_density``, ``projection_energy``, ``injection_density``,
            ``injection_energy``, ``injection_fraction``, ``data_mask``.
        resolution_um
            10, 25, 50 or 100.

        Returns
        -------
        DataArray
            ``AP`` x ``DV`` x ``ML``, NaN where there are no data.

        Raises
        ------
        NotFoundError
            If the service has no such grid.
        UsageError
            If it is no kind, or no size.
        """
        volumes = self._grids((kind,), resolution_um)
        found: xr.DataArray = volumes.volume(kind, resolution_um)
        return found

    def _grids(self, kinds: Sequence[str], resolution_um: int) -> Any:
        """Return the grids of a source of its own, which knows how they are fetched."""
        told = {"include": ",".join(kinds), "resolution": resolution_um}
        return self._tables.opened(Address("grid", str(self.id)), **told)

    def injection_centroid(self, resolution_um: int = 25) -> np.ndarray[Any, Any]:
        """Return the middle of the injection, weighted by density, as AllenSDK computes it.

        Parameters
        ----------
        resolution_um
            Voxel size of the grids it is computed from.

        Returns
        -------
        array
            AP, DV, ML in µm: the weighted mean of the voxels' indices times their size, so that it
            counts from the first voxel's middle. Voxels without data do not count.

        Raises
        ------
        NotFoundError
            If there is no injection in the grids, or the service has none.
        """
        grids = self._grids(("injection_density", "injection_fraction"), resolution_um)
        found = centroid(
            grids.volume("injection_density", resolution_um).to_numpy(),
            grids.volume("injection_fraction", resolution_um).to_numpy(),
            resolution_um,
        )
        if found is None:
            raise self._absent("no centroid", "there is no injection in its grids")
        return found

    @functools.cached_property
    def deformation_field(self) -> xr.DataArray:
        """Where voxels of the reference space lie in its images, fetched where it is not here.

        ``AP`` x ``DV`` x ``ML`` x ``component``, displacement in µm from the reference space to
        the images after their affine alignment. Some 900 MB.

        Raises
        ------
        NotFoundError
            If the service has none.
        IntegrityError
            If the files are damaged.
        """
        from openallen.sources.connectivity.deformation import (
            HEADER_NAME,
            VALUES_NAME,
            field_plan,
            read_field,
        )
        from openallen.transfer.job import FileJob

        folder = self._tables.folder / str(self.id)
        header, values = folder / HEADER_NAME, folder / VALUES_NAME
        if not (header.is_file() and values.is_file()):
            with self._tables.context() as context:
                plan = field_plan(context.client, self.id, folder)
                context.run(FileJob(plan)).raise_if_failed()
        return read_field(header, values, {"data_set_id": self.id})

    def affine(self, direction: str = "trv") -> np.ndarray[Any, Any]:
        """Return its affine alignment, as AllenSDK does.

        Parameters
        ----------
        direction
            ``trv``: from the reference space to its images; ``tvr``: back.

        Returns
        -------
        array
            4 x 3; the last row is the shift.

        Raises
        ------
        NotFoundError
            If the service has none.
        UsageError
            If it is no direction.
        """
        import numpy as np

        if direction not in {"trv", "tvr"}:
            raise UsageError(f"no direction '{direction}'", hint="trv or tvr")
        told = self._tables.alignment(self.id)
        found = np.zeros((4, 3))
        for at in range(12):
            value = told.get(f"{direction}_{at:02d}")
            if not isinstance(value, (int, float)):
                raise self._absent("no alignment", f"the service has no {direction}_{at:02d}")
            found.flat[at] = value
        return found

    # --- looks ------------------------------------------------------------------------------------

    def _facts(self) -> dict[str, object]:
        row = self._row
        where = [row.get(f"injection_{axis}") for axis in "xyz"]
        known = all(part is not None for part in where)
        return {
            "injection in": f"{row.get('structure_name')} ({row.get('structure_abbrev')})",
            "hemisphere": self.hemisphere,
            "at": f"AP {where[0]}, DV {where[1]}, ML {where[2]} µm" if known else None,
            "volume": None
            if row.get("injection_volume") is None
            else f"{row['injection_volume']:.4g} mm³",
            "transgenic line": row.get("transgenic_line"),
            "strain": row.get("strain"),
            "specimen": row.get("specimen_name"),
        }

    @property
    def title(self) -> str:
        """What it is, in words."""
        return f"Connectivity experiment {self.id}"

    def __repr__(self) -> str:
        return facts_text(self.title, self._facts())

    def _repr_html_(self) -> str:
        return card(self.title, self._facts())

    def _visuals(self) -> tuple[Visual, ...]:
        from openallen.visuals import TableVisual, visuals_of

        table: Visual = TableVisual(
            name="unionizes", title="What it projects to", table=self.unionizes
        )
        where = Address("grid", str(self.id))
        with suppress(OpenAllenError), self._tables.context() as context:
            return (table, *visuals_of(context.source(where).open(where)))
        return (table,)

    @property
    def folder(self) -> Path:
        """The folder of the store that keeps what was asked of it."""
        return self._tables.folder / str(self.id)


@requiring("a centroid", "atlas")
def centroid(
    density: np.ndarray[Any, Any], fraction: np.ndarray[Any, Any], resolution_um: float
) -> np.ndarray[Any, Any] | None:
    """Return the middle of an injection in µm; None where there is no injection.

    Parameters
    ----------
    density, fraction
        Injection density and fraction, on the same grid.
    resolution_um
        Size of a voxel.

    Raises
    ------
    UsageError
        If the grids have different shapes.
    """
    import numpy as np

    if density.shape != fraction.shape:
        why = f"{density.shape} and {fraction.shape}"
        raise UsageError("density and fraction are of different grids", why=why)
    at = np.nonzero(np.nan_to_num(fraction))
    weights = density[at] * fraction[at]
    known = np.isfinite(weights)
    weights, places = weights[known], np.stack(at, axis=1)[known]
    # Summed in the precision of the grids, as the published centroids were.
    total = weights.sum()
    if not total > 0:
        return None
    found: np.ndarray[Any, Any] = weights @ places / total * resolution_um
    return found
