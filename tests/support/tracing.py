"""An archive of made-up connectivity: experiments, unionizes, structure sets, grids, alignments."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from openallen.archive.holdings import SAMPLE

PLAIN, CRE, THALAMUS, BARE = 1001, 1002, 1003, 1004
"""Experiments: in VISp; in a layer of VISl, of a line; in LGd on the left; one without anything."""
SUMMARY = (170, 385, 409, 218)
STRUCTURES = (315, 669, 385, 409, 821, 549, 170, 218)
SHAPE = (6, 5, 4)
FIELD_SHAPE = (4, 3, 2)


def experiments() -> list[dict[str, Any]]:
    """Return rows of ``ApiConnectivity``, not in the order of their ids."""

    def row(number: int, main: tuple[int, str, str], reached: str, **more: Any) -> dict[str, Any]:
        return {
            "data_set_id": number, "gender": "M", "id": number, "injection_structures": reached,
            "injection_volume": 0.25, "injection_x": 9000, "injection_y": 1500,
            "injection_z": 8400, "product_id": 5, "specimen_name": f"made-up-{number}",
            "storage_directory": f"/made/up/{number}/", "strain": "C57BL/6J",
            "structure_abbrev": main[1], "structure_id": main[0], "structure_name": main[2],
            "transgenic_line": None, "transgenic_line_id": None,
        } | more  # fmt: skip

    visp, layer = (385, "VISp", "Primary visual area"), (973, "VISl2/3", "Lateral visual area")
    line = {"id": 7, "name": "Cux2-IRES-Cre"}
    cre = {"transgenic_line": line, "transgenic_line_id": 7, "product_id": 31, "gender": "F"}
    return [
        row(CRE, layer, "973/385/385", **cre),
        row(PLAIN, visp, "385/409"),
        row(THALAMUS, (170, "LGd", "Dorsal part of the LGC"), "170", injection_z=3100),
        row(BARE, visp, "385", injection_volume=None, injection_z=None),
    ]


def unionizes(left_out: tuple[int, int] = (218, 2)) -> list[dict[str, Any]]:
    """Return rows of ``ProjectionStructureUnionize``; one structure of one experiment has none."""
    chance = random.Random(18)
    found: list[dict[str, Any]] = []
    for number in (PLAIN, CRE, THALAMUS):
        for structure in STRUCTURES:
            for hemisphere in (1, 2, 3):
                for is_injection in (False, True):
                    if number == CRE and (structure, hemisphere) == left_out:
                        continue
                    share = chance.random() if chance.random() > 0.3 else 0.0
                    found.append(
                        {
                            "hemisphere_id": hemisphere, "id": len(found) + 500,
                            "is_injection": is_injection, "max_voxel_density": share,
                            "max_voxel_x": chance.randrange(13200),
                            "normalized_projection_volume": share * 1.7,
                            "projection_density": share,
                            "projection_energy": share * chance.uniform(1, 4000),
                            "projection_volume": share * 0.3, "section_data_set_id": number,
                            "structure_id": structure, "sum_pixels": 1e6 + len(found),
                            "volume": 0.3,
                        }
                    )  # fmt: skip
    return found


def write_archive(root: Path) -> Path:
    """Write the archive, with the ontology of the sample."""
    tables = root / "tables"
    tables.mkdir(parents=True)
    shutil.copy(SAMPLE / "tables" / "structures.jsonl", tables)
    kinds = ("DeformationFieldHeader", "DeformationFieldVoxels")
    files = [
        {"id": 61 + n, "attachable_id": PLAIN, "attachable_type": "SectionDataSet",
         "well_known_file_type_id": 41 + n, "path": f"/made/up/field.{end}"}
        for n, end in enumerate(("mhd", "raw"))
    ]  # fmt: skip
    affine = {f"{way}_{n:02d}": n / 7 + (way == "tvr") for way in ("trv", "tvr") for n in range(12)}
    every: dict[str, list[dict[str, Any]]] = {
        "api_connectivity": experiments(),
        "projection_structure_unionizes": unionizes(),
        "structure_sets": [{"id": 167587189, "name": "Summary"}, {"id": 12, "name": "Fine"}],
        "structure_sets_structures": [
            {"structure_set_id": 167587189, "structure_id": number} for number in SUMMARY
        ],
        "data_sets": [
            {"_type": "SectionDataSet", "id": n, "failed": False, "reference_space_id": 9,
             "specimen_id": None, "plane_of_section_id": None} for n in (PLAIN, CRE, THALAMUS)
        ],
        "data_sets_products": [{"data_set_id": n, "product_id": 5} for n in (PLAIN, CRE, THALAMUS)],
        "products": [{"id": 5, "abbreviation": None, "name": "Connectivity"}],
        "alignment3ds": [{"id": 3, "aligned_id": PLAIN, "aligned_type": "DataSet", **affine}],
        "well_known_file_types": [{"id": 41 + n, "name": kind} for n, kind in enumerate(kinds)],
        "well_known_files": files,
    }  # fmt: skip
    for name, rows in every.items():
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tables / f"{name}.jsonl").write_text(text, "utf-8")
    (root / "files").mkdir()
    write_field(root / "files" / "61.mhd", root / "files" / "62.raw")
    (root / "grids").mkdir()
    for kind, values in volumes().items():
        path = root / "grids" / f"{PLAIN}_{kind}_100.nrrd"
        path.write_bytes(nrrd(values))
    nothing = nrrd(np.zeros(SHAPE, "float32"))
    for kind in ("injection_density", "injection_fraction"):
        (root / "grids" / f"{THALAMUS}_{kind}_100.nrrd").write_bytes(nothing)
    return root


def volumes() -> dict[str, np.ndarray]:
    """Return the grids of one experiment, AP x DV x ML."""
    noise = np.random.default_rng(4).random((3, *SHAPE)).astype("float32")
    fraction = np.where(noise[0] > 0.6, noise[0], 0).astype("float32")
    mask = (noise[2] > 0.2).astype("float32")
    return {
        "injection_fraction": fraction,
        "injection_density": noise[1],
        "projection_density": noise[2],
        "data_mask": mask,
    }


def nrrd(values: np.ndarray) -> bytes:
    """Return a volume as the service sends it: the first axis fastest, raw."""
    sizes = " ".join(map(str, values.shape))
    head = (
        f"NRRD0004\ntype: float\ndimension: 3\nspace dimension: 3\nsizes: {sizes}\n"
        "space directions: (100,0,0) (0,100,0) (0,0,100)\nkinds: domain domain domain\n"
        "endian: little\nencoding: raw\nspace origin: (0,0,0)\n\n"
    )
    return head.encode() + values.astype("<f4").tobytes(order="F")


def field() -> np.ndarray:
    """Return a deformation field, AP x DV x ML x component."""
    return np.random.default_rng(5).normal(0, 40, (*FIELD_SHAPE, 3)).astype("float32")


def write_field(header: Path, values: Path, **other: str) -> None:
    """Write a deformation field as the service has it, in two files."""
    keys = {
        "ObjectType": "Image", "NDims": "3", "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False", "CompressedData": "False",
        "TransformMatrix": "1 0 0 0 1 0 0 0 1", "Offset": "0 0 0",
        "ElementSpacing": "25 25 25", "DimSize": " ".join(map(str, FIELD_SHAPE)),
        "ElementNumberOfChannels": "3", "ElementType": "MET_FLOAT",
    } | other | {"ElementDataFile": "dfmfld.raw"}  # fmt: skip
    header.write_text("".join(f"{key} = {value}\n" for key, value in keys.items()))
    values.write_bytes(field().transpose(2, 1, 0, 3).astype("<f4").tobytes())
