"""BrainGlobe's folders: what is written and read there, as arrays and structures; knows no atlas.

BrainGlobe's volumes begin at anterior, superior, right (``asr`` in its words); the Allen
Institute's frame begins at anterior, superior, left (its axes point to PIR). So the third axis is
reversed on the way, in both directions.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import CorruptError, MissingExtraError, RefusedError, UsageError
from openallen.sources.atlases.frames import label, spacing_of
from openallen.sources.atlases.models import CITATION
from openallen.sources.atlases.structures import Structure, Structures

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["read_brainglobe", "ready", "write_brainglobe"]

_VERSION: Final = "1_0"


def write_brainglobe(
    folder: Path,
    name: str,
    annotation: xr.DataArray,
    template: xr.DataArray,
    structures: Structures,
) -> Any:
    """Write an annotation and a template as BrainGlobe 3 lays its atlases out, and open them there.

    Parameters
    ----------
    folder
        A folder that is made; it becomes BrainGlobe's root.
    name
        Name of the atlas: ``ccf-2017``.
    annotation, template
        ``AP`` x ``DV`` x ``ML`` with the same voxels.
    structures
        The ontology of the annotation.

    Returns
    -------
    brainglobe_atlasapi.core.Atlas
        Reading `folder`, without a network. There are no meshes in it.

    Raises
    ------
    RefusedError
        If the folder is not empty.
    UsageError
        If annotation and template differ in shape.
    MissingExtraError
        If BrainGlobe is not installed.
    """
    zarr, brainglobe = ready(folder)
    if template.shape != annotation.shape:
        raise UsageError(
            "annotation and template differ in shape",
            why=f"{annotation.shape}, {template.shape}",
        )
    spacing = spacing_of(annotation)
    name = f"allen_{name.lower().replace('.', '_').replace('-', '_')}_{spacing[0]:g}um"
    places = {
        "terminology": f"/terminologies/{name}/{_VERSION}",
        "annotation_set": f"/annotation-sets/{name}/{_VERSION}",
        "template": f"/templates/{name}/{_VERSION}",
    }
    for volume, place, kind in (
        (annotation, f"{places['annotation_set']}/annotations_compressed.ome.zarr", "uint32"),
        (template, f"{places['template']}/template.ome.zarr", "uint16"),
    ):
        _write_zarr(zarr, folder / place[1:], _turned(volume), spacing, kind)
    _write_terms(folder / places["terminology"][1:] / "terminology.csv", structures)
    manifest = folder / "atlases" / name / _VERSION / "manifest.json"
    manifest.parent.mkdir(parents=True)
    told = _manifest(name, annotation, spacing, places)
    manifest.write_text(json.dumps(told, indent=1), "utf-8")
    return brainglobe(manifest)


def ready(folder: Path) -> tuple[Any, Any]:
    """Return the module zarr and BrainGlobe's class Atlas, before any volume is read.

    Raises
    ------
    RefusedError
        If the folder is not empty.
    MissingExtraError
        If BrainGlobe is not installed.
    """
    try:
        import zarr
        from brainglobe_atlasapi.core import Atlas
    except ImportError:
        missing = MissingExtraError("brainglobe-atlasapi", "an atlas for BrainGlobe")
        # Its pins contradict those of the extra `all`: installed beside it, it would downgrade.
        missing.why = "it is not installed; it needs an environment of its own"
        missing.hint = (
            "python -m venv brainglobe && brainglobe/bin/pip install"
            " 'openallen[atlas,images]' brainglobe-atlasapi"
        )
        raise missing from None
    if folder.exists() and any(folder.iterdir()):
        raise RefusedError("this folder is not empty", address=str(folder))
    return zarr, Atlas


def _manifest(
    name: str, annotation: xr.DataArray, spacing: tuple[float, ...], places: dict[str, str]
) -> dict[str, Any]:
    return {
        "name": name,
        "citation": CITATION,
        "atlas_link": "https://atlas.brain-map.org",
        "species": "Mus musculus",
        "symmetric": True,
        "resolution": list(spacing),
        "orientation": "asr",
        "shape": list(annotation.shape),
        "version": _VERSION.replace("_", "."),
        "terminology": {"name": name, "version": "1.0", "location": places["terminology"]},
        "annotation_set": {
            "name": name,
            "version": "1.0",
            "location": places["annotation_set"],
            "template": {"name": name, "version": "1.0", "location": places["template"]},
        },
        "additional_references": [],
    }


def _turned(volume: xr.DataArray) -> xr.DataArray:
    """Turn the third axis round, where it begins at the left."""
    return (
        volume
        if volume.attrs.get("orientation") == "PIL"
        else volume.isel(ML=slice(None, None, -1))
    )


def _write_zarr(
    zarr: Any, path: Path, volume: xr.DataArray, spacing: tuple[float, ...], kind: str
) -> None:
    import numpy as np

    values = volume.to_numpy()
    if values.dtype.kind == "f":
        values = np.rint(np.nan_to_num(values))
    steps = [step / 1000 for step in spacing]
    ome = {
        "version": "0.5",
        "multiscales": [
            {
                "name": str(volume.name),
                "axes": [{"name": a, "type": "space", "unit": "millimeter"} for a in "zyx"],
                "datasets": [
                    {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": steps}]}
                ],
            }
        ],
    }
    path.mkdir(parents=True)
    root = zarr.open_group(str(path), mode="w", zarr_format=3, attributes={"ome": ome})
    made = root.create_array(
        "0",
        shape=values.shape,
        dtype=kind,
        chunks=tuple(min(128, size) for size in values.shape),
        dimension_names=("z", "y", "x"),
    )
    made[:] = values.astype(kind)


def _write_terms(path: Path, structures: Structures) -> None:
    path.parent.mkdir(parents=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(
            ("identifier", "parent_identifier", "annotation_value", "name", "abbreviation",
             "color_hex_triplet", "root_identifier_path")
        )  # fmt: skip
        for structure in structures:
            above = [s.id for s in reversed(structures.ancestors(structure.id))]
            parent = structure.parent_id
            # BrainGlobe reads parents as 16 bits; it takes the tree from the path.
            shown = parent if parent is not None and parent < 1 << 16 else ""
            table.writerow(
                (structure.id, shown, structure.id, structure.name, structure.acronym,
                 f"#{structure.color}", [*above, structure.id])
            )  # fmt: skip


def read_brainglobe(brainglobe: Any) -> tuple[str, dict[str, xr.DataArray], Structures]:
    """Read an atlas that BrainGlobe has opened.

    Parameters
    ----------
    brainglobe
        A ``BrainGlobeAtlas``; its annotation and template are read now.

    Returns
    -------
    str, dict of DataArray, Structures
        Its name; its volumes by part (``annotation/25``), AP x DV x ML, PIR; its ontology.

    Raises
    ------
    UsageError
        If its volumes do not begin at anterior, superior, right.
    CorruptError
        If its structures or its resolution make no sense.
    """
    if str(brainglobe.orientation) != "asr":
        raise UsageError(
            "an atlas of another orientation", why=f"{brainglobe.orientation}, not asr"
        )
    try:
        name = str(brainglobe.metadata["name"])
        rows = _structures(brainglobe.structures_list)
        spacing = tuple(float(step) for step in brainglobe.resolution)
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise CorruptError("not an atlas of BrainGlobe", why=repr(error)) from error
    about = {"atlas": name, "orientation": "PIR"}
    volumes = {
        kind: label(
            values[:, :, ::-1],
            spacing,
            name=kind,
            attrs={**about, "units": "structure id" if kind == "annotation" else None},
            where=name,
        )
        for kind, values in (
            ("annotation", brainglobe.annotation),
            ("template", brainglobe.template),
        )
    }
    named = {f"{kind}/{spacing[0]:g}": volume for kind, volume in volumes.items()}
    return name, named, Structures(rows)


def _structures(listed: Iterable[Mapping[str, Any]]) -> list[Structure]:
    rows = []
    for order, told in enumerate(listed):
        path = [int(number) for number in told["structure_id_path"]]
        red, green, blue = (int(part) for part in told["rgb_triplet"])
        rows.append(
            Structure(
                int(told["id"]),
                str(told["acronym"]),
                str(told["name"]),
                path[-2] if len(path) > 1 else None,
                f"{red:02X}{green:02X}{blue:02X}",
                order,
            )
        )
    return rows
