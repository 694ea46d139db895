"""The door of atlases: ``atlas:ccf-2017/annotation/25``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from openallen.address import Address, Condition
from openallen.errors import NotFoundError, OfflineError, OpenAllenError, RefusedError, UsageError
from openallen.sources.atlases.options import AtlasShowOptions
from openallen.sources.base import (
    Example,
    Facts,
    Field,
    NoOptions,
    Picture,
    Place,
    Rows,
    Source,
)
from openallen.visuals import look

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from openallen.plans import Plan
    from openallen.sources.atlases.atlas import Atlas
    from openallen.sources.atlases.catalogue import AtlasFacts
    from openallen.transfer.job import Job
    from openallen.web_address import WebAddress

__all__ = ["AtlasSource"]

_ARCHIVE = "https://download.alleninstitute.org/informatics-archive/current-release/mouse_ccf"


class AtlasSource(Source):
    """Volumes of a reference space: annotations, templates, masks, meshes."""

    scheme: ClassVar[str] = "atlas"
    title: ClassVar[str] = "volumes and meshes of reference spaces"
    parts: ClassVar[bool] = True
    folder: ClassVar[str] = "atlases"
    draws: ClassVar[bool] = True
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            "atlas:ccf-2017/annotation/100",
            "an annotation of the Common Coordinate Framework, in voxels of 100 µm",
            sample=True,
            web=(f"{_ARCHIVE}/annotation/ccf_2017/annotation_100.nrrd",),
        ),
        Example("atlas:P56", "the adult mouse's atlas", sample=True),
        Example("atlas:P56/gridAnnotation", "one of its volumes", sample=True),
    )
    show_options: ClassVar[type] = AtlasShowOptions
    columns: ClassVar[tuple[str, ...]] = ("atlas", "title", "parts")

    @classmethod
    def from_web(cls, web: WebAddress) -> Address | None:
        """Read the published path of a volume or mesh of the Common Coordinate Framework."""
        from openallen.sources.atlases.web import atlas_address

        return atlas_address(web)

    @classmethod
    def canonical(cls, address: Address) -> Address:
        """Write the name of an atlas as it is usually written: ``P56`` for ``p56``."""
        from openallen.sources.atlases.catalogue import find_atlas

        try:
            return replace(address, name=find_atlas(address.name).name)
        except NotFoundError:
            return address

    # --- list -------------------------------------------------------------------------------------

    def rows(
        self, address: Address, conditions: Sequence[Condition], options: Any, limit: int | None
    ) -> Rows:
        """Return the atlases that are known."""
        from openallen.sources.atlases.catalogue import ATLASES
        from openallen.sources.filters import check_columns, matches, no_rows

        del options
        if address.name:
            raise self.cannot("listed", address, f"openallen show {address}")
        rows = [
            {
                "atlas": atlas.name,
                "title": atlas.title,
                "ontology": atlas.graph_id,
                "parts": ", ".join(atlas.parts),
                "address": f"atlas:{atlas.name}",
            }
            for atlas in ATLASES.values()
        ]
        wanted = [*address.conditions, *conditions]
        whole = f"{self.scheme}:"
        command = f"openallen list {whole}{self.context.source_flag}"
        check_columns(tuple(rows[0]), wanted, whole, command)
        found = [row for row in rows if matches(row, wanted)]
        return Rows(
            found[:limit],
            self.columns,
            id_column="atlas",
            noun="reference space",
            total=len(found),
            notes=(f"one of them: openallen show atlas:ccf-2017{self.context.source_flag}",),
            empty=lambda: no_rows(rows, wanted, whole, command),
        )

    # --- show -------------------------------------------------------------------------------------

    def facts(self, address: Address, options: AtlasShowOptions) -> Facts:
        """Return what an atlas is, what of it is here, and the plan of what is asked for."""
        from openallen.sources.atlases.models import CITATION, TERMS

        if not address.name:
            raise self.cannot("shown as a whole", address, f"openallen list {self.scheme}:")
        address = self.canonical(address)
        known = self._known(address)
        folder = self.context.folder(address)
        here = _here(folder)
        plan: Plan | None = None
        notes: tuple[str, ...] = ()
        try:
            plan = self.context.plan(self.job(address, folder, NoOptions()))
        except (OfflineError, RefusedError) as error:  # what is known here is said all the same
            notes = (f"no plan: {error.what}" + (f" ({error.why})" if error.why else ""),)
        drawn = address.path[:1] != ("mesh",)
        slices = Picture("slices", lambda: self._draw(address, options))
        return Facts(
            address=str(address),
            title=known.title,
            kind="atlas",
            fields=_fields(known, () if here is None else here.parts),
            pictures=(slices,) if drawn else (),
            plan=plan,
            notes=notes,
            citation=CITATION,
            terms=TERMS,
            ids=(known.name,),
            thing=here,
        )

    def _known(self, address: Address) -> AtlasFacts:
        """Return the atlas an address names, having seen that it can have such a part.

        Raises
        ------
        NotFoundError
            If there is no such atlas, with what was perhaps meant.
        UsageError
            If it has no such part, or no such voxel size.
        """
        from openallen.sources.atlases.catalogue import find_atlas, nrrd_part

        atlas, path = find_atlas(address.name), address.path
        if path[:1] in {("mask",), ("mesh",)} and len(path) > 1:
            path = (path[0], "0", *path[2:])  # any structure: which there are, the ontology knows
        if atlas.annotation and path:
            nrrd_part(atlas, path)
        elif len(path) > 1 and (path[0] != "mask" or len(path) > 3 or not path[-1].isdigit()):
            raise UsageError(
                "files of a reference space have one name",
                address=str(address),
                hint=f"openallen show atlas:{atlas.name}/{path[0]}",
            )
        return atlas

    def _draw(self, address: Address, options: AtlasShowOptions) -> Figure:
        """Draw a volume, fetched first where it is not here."""
        from openallen.sources.atlases.atlas import Atlas
        from openallen.sources.atlases.pictures import fetch_missing

        folder = self.context.folder(address)
        atlas = _here(folder)
        volume = _part_of(atlas, address)
        if atlas is None or (address.path and volume is None):
            fetch_missing(self.context, self.job(address, folder, NoOptions()))
            atlas = Atlas(folder)
            volume = atlas.find(*address.path) if address.path else None
        figure: Figure = atlas.plot(options.at, volume=volume)
        return figure

    # --- fetch and open ---------------------------------------------------------------------------

    def job(self, address: Address, to: Path, options: Any) -> Job:
        """Return the job that fetches volumes of an atlas, with its ontology."""
        from openallen.sources.atlases.plan import plan_atlas

        del options
        if not address.name:
            raise self.cannot("fetched as a whole", address, f"openallen list {self.scheme}:")
        self._known(address)
        return plan_atlas(self.context.client, address, to)

    def open(self, address: Address, **options: Any) -> Atlas | xr.DataArray:
        """Open an atlas that was fetched into the store, or one volume of it."""
        from openallen.sources.atlases.atlas import Atlas
        from openallen.sources.atlases.looks import look_of_part

        _, plain = self.options(NoOptions, address, options)
        folder = self.context.folder(plain)
        self._known(plain)
        structure = plain.path[1] if plain.path[:1] == ("mask",) and plain.path[1:] else ""
        try:
            atlas = Atlas(folder)
            structures = atlas.structures if structure else None
        except NotFoundError as error:
            raise self.not_here(self.canonical(plain), error) from error
        if structures is not None:
            structures.find(structure)  # its own error: no fetch brings a structure there is not
        atlas.cache = self.context.settings.store / "views"
        try:
            found = atlas.find(*plain.path) if plain.path else atlas
        except NotFoundError as error:
            raise self.not_here(self.canonical(plain), error) from error
        if plain.path and plain.path[0] != "mesh":
            part = atlas.part_of(found)
            look(found, partial(look_of_part, folder=folder, part=part, cache=atlas.cache))
        return found

    @classmethod
    def recognise(cls, place: Place) -> int:
        """Recognise an atlas by its record, the names of files, or the suffix of a single file."""
        from openallen.sources.atlases.places import atlas_sureness

        return atlas_sureness(place)

    def open_place(self, place: Place, **options: Any) -> Atlas | xr.DataArray:
        """Open a folder that was fetched, or the volume of one file."""
        from openallen.sources.atlases.atlas import Atlas
        from openallen.sources.atlases.looks import look_of_volume
        from openallen.sources.atlases.places import open_lone

        self.no_options(options, place.name)
        assert place.path is not None
        if place.is_folder:
            return Atlas(place.path)
        volume = open_lone(place.path)
        look(volume, partial(look_of_volume, folder=place.path.parent))
        return volume

    def place_facts(self, place: Place, options: AtlasShowOptions) -> Facts:
        """Return what a folder or file holds, with a picture."""
        from openallen.sources.atlases.atlas import Atlas

        opened = self.open_place(place)
        if not isinstance(opened, Atlas):
            return self._volume_facts(opened, place, options)
        slices = Picture("slices", lambda: opened.plot(options.at))
        return replace(self.facts_of(opened, place.name), pictures=(slices,))

    def _volume_facts(self, volume: xr.DataArray, place: Place, options: AtlasShowOptions) -> Facts:
        from openallen.sources.atlases.frames import spacing_of
        from openallen.sources.atlases.pictures import draw_volume

        slices = Picture("slices", lambda: draw_volume(self.context, volume, options.at))
        shape, spacing = list(volume.shape), list(spacing_of(volume))
        known = {k: v for k, v in volume.attrs.items() if isinstance(v, (str, int, float, bool))}
        fields = (
            Field("axes", list(map(str, volume.dims)), " x ".join(map(str, volume.dims))),
            Field("shape", shape, " x ".join(map(str, shape))),
            Field("voxel", spacing, " x ".join(f"{um:g}" for um in spacing) + " µm", "voxel_um"),
            Field("type", str(volume.dtype), key="dtype"),
            *(Field(name.replace("_", " "), value, key=name) for name, value in known.items()),
        )
        return Facts(
            address=place.name,
            title=f"Volume {volume.name}",
            kind="volume",
            fields=fields,
            pictures=(slices,),
            ids=(place.name,),
            thing=volume,
        )


def _here(folder: Path) -> Atlas | None:
    from openallen.sources.atlases.atlas import Atlas

    try:
        return Atlas(folder)
    except OpenAllenError:
        return None


def _part_of(atlas: Atlas | None, address: Address) -> Any:
    """Return the volume an address names, where it is here; None where it is not."""
    if atlas is None or not address.path:
        return None
    try:
        return atlas.find(*address.path)
    except NotFoundError:
        return None


def _fields(known: AtlasFacts, here: Sequence[str]) -> tuple[Field, ...]:
    return (
        Field("name", known.name),
        Field("reference space", known.reference_space_id, key="reference_space_id"),
        Field("age", known.age or None),
        Field("ontology", known.graph_id, f"structures:{known.graph_id}", "graph_id"),
        Field("annotation", known.annotation or None),
        Field("parts", list(known.parts), ", ".join(known.parts)),
        Field("here", list(here), ", ".join(here) or "nothing"),
    )
