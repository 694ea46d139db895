"""Make the archive that comes with the package from recorded answers of the service.

    python tools/make_sample.py ANSWERS

ANSWERS is a folder with recorded answers: ``responses/`` (planes and projections of specimen
313862022, and a page of projections of other cells), ``excerpts/`` (the head of the site's CSV
export, three well-known files), ``structures/`` (the adult mouse's ontology), ``atldld/`` (a
section image and its data set, with alignments) and ``swc/``. Rows
go in as they were recorded; what was never recorded is null. Pixels are not in it: they are drawn
when asked for.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import make_sample_cell
import make_sample_sets

from openallen.archive.holdings import SAMPLE
from openallen.archive.render import Scene, render
from openallen.brainmap.answers import read_answer
from openallen.formats.swc import Morphology, read_swc

Row = dict[str, Any]

SPECIMEN: Final = 313862022
DATA_SET: Final = 321549626
RECONSTRUCTION: Final = 397905347
SWC_OF: Final = "Rorb-IRES2-Cre-D_Ai14_IVSCC_-168053.05.01.01_325404214_m.swc"
Z_STEP_UM: Final = 0.28
# Made-up ids, far from any real one: the real ids of these three files were never recorded.
FILES: Final = {"swc": 9000000001, "marker": 9000000002, "thumbnail": 9000000003}
# The cell's own row of NeuronReconstruction, as the service gave it.
RECONSTRUCTION_ROW: Final[Row] = {
    "average_bifurcation_angle_local": 63.1755476141,
    "average_bifurcation_angle_remote": None,
    "average_contraction": 0.87877327191,
    "average_diameter": 0.316090869063,
    "average_fragmentation": 29.1538461538,
    "average_parent_daughter_ratio": 1.12236250671,
    "hausdorff_dimension": None,
    "id": RECONSTRUCTION,
    "max_branch_order": 9.0,
    "max_euclidean_distance": 488.514987082,
    "max_path_distance": 553.533744068,
    "neuron_reconstruction_type": "dendrite-only",
    "number_bifurcations": 39,
    "number_branches": 86,
    "number_nodes": 2635,
    "number_stems": 8,
    "number_tips": 47,
    "overall_depth": 117.5429,
    "overall_height": 585.602322084,
    "overall_width": 287.122627644,
    "scale_factor_x": 0.1144,
    "scale_factor_y": 0.1144,
    "scale_factor_z": Z_STEP_UM,
    "soma_surface": 268.777678582,
    "specimen_id": SPECIMEN,
    "tags": "3D Neuron Reconstruction morphology",
    "total_length": 3498.09003063,
    "total_surface": 3523.60684108,
    "total_volume": 306.290931113,
}


def _structures(answers: Path) -> list[Row]:
    """Return the recorded structures in the atlas's order, paths as the service writes them."""
    names = (
        "id", "atlas_id", "ontology_id", "graph_id", "acronym", "name", "color_hex_triplet",
        "graph_order", "st_level", "hemisphere_id", "parent_structure_id", "depth", "weight",
    )  # fmt: skip
    rows = json.loads((answers / "structures" / "structures_graph1.json").read_text("utf-8"))
    made = []
    for row in sorted(rows, key=lambda row: row["graph_order"]):
        path = "/" + "/".join(map(str, row["structure_id_path"])) + "/"
        made.append({name: row[name] for name in names} | {"structure_id_path": path})
    graph = answers / "excerpts" / "structure_graph_ontology12_trimmed.json"
    branch = json.loads(graph.read_text("utf-8"))["msg"]
    return [{"_type": "Structure"} | made[0], *made[1:], *_flat(branch, ())]


def _flat(nodes: list[Row], above: tuple[int, ...]) -> list[Row]:
    """Return the recorded branch of the developing mouse's ontology, graph 17, as rows."""
    found = []
    for node in nodes:
        path = (*above, node["id"])
        row = {k: v for k, v in node.items() if k != "children"}
        told = "/" + "/".join(map(str, path)) + "/"
        found.append(row | {"graph_id": 17, "depth": len(above), "structure_id_path": told})
        found += _flat(node.get("children") or [], path)
    return found


# Section images of 69855739: ids, sizes and alignments are made up, so that they show the simulated
# brain. One section failed, one is missing.
SECTION_SET: Final = 69855739
SECTION_NUMBERS: Final = (60, 100, 140, 180, 220, 260, 340, 380)
SECTION_FAILED: Final = 260
SECTION_UM: Final = 4.0


def section_tables() -> dict[str, list[Row]]:
    """Return rows of the section images that are made up, and of their alignments."""
    back = ((0.012, -0.021, 0.981), (0.018, 1.012, 0.009), (-0.973, 0.011, 0.021))
    shift = (310.0, 190.0, 12420.0)
    there, there_shift = _inverse(back, shift)
    three = {"id": 9000001299, "aligned_id": SECTION_SET, "aligned_type": "DataSet"}
    three |= _named("trv", back, shift) | _named("tvr", there, there_shift)
    images, twos = [], []
    for n, number in enumerate(SECTION_NUMBERS):
        tilt = 0.01 * (n % 3 - 1)
        plane = ((SECTION_UM, SECTION_UM * tilt), (-SECTION_UM * tilt, SECTION_UM))
        corner = (120.0 - 16 * n, 260.0 - 8 * n)
        inverse, inverse_shift = _inverse(plane, corner)
        two = {"id": 9000001280 + n, "section_image_id": 9000001200 + n}
        twos.append(two | _named("tsv", plane, corner) | _named("tvs", inverse, inverse_shift))
        failed = number == SECTION_FAILED
        folder = f"/external/simulated/{SECTION_SET}"
        images.append(
            {
                "_type": "SectionImage",
                "annotated": False,
                "bits_per_component": 8,
                "data_set_id": SECTION_SET,
                "expression_path": None if failed else f"{folder}/{number}_expression.aff",
                "failed": failed,
                "height": 2000 + 16 * (n % 3),
                "id": 9000001200 + n,
                "image_height": 2000 + 16 * (n % 3),
                "image_type": "Primary",
                "image_width": 2800 + 32 * (n % 4),
                "number_of_components": 3,
                "path": f"{folder}/{number}.aff",
                "resolution": SECTION_UM,
                "section_number": number,
                "tier_count": 5,
                "width": 2800 + 32 * (n % 4),
                "x": 0,
                "y": 0,
            }
        )
    return {"sub_images": images, "alignment2ds": twos, "alignment3ds": [three]}


def _inverse(
    factors: Sequence[Sequence[float]], shift: Sequence[float]
) -> tuple[list[list[float]], list[float]]:
    """Return the affine map back."""
    import numpy as np

    back = np.linalg.inv(np.array(factors))
    return back.tolist(), (-back @ np.array(shift)).tolist()


def _named(prefix: str, factors: Sequence[Sequence[float]], shift: Sequence[float]) -> Row:
    """Return an affine map as columns of a row: factors row by row, then the shift."""
    values = [value for row in factors for value in row] + list(shift)
    return {f"{prefix}_{n:02}": round(value, 12) for n, value in enumerate(values)}


AGES: Final = ("E11.5", "E13.5", "E15.5", "E18.5", "P4", "P14", "P28", "P56")
# Section data sets: id, gene, plane of section, product, reference space, age. Ids beginning with
# 9000000 are made up. 69855739 and 72109410 are the service's own; the gene of the first was never
# recorded. 123 is real, row and alignment.
GRIDS: Final = (
    (69855739, None, 1, 1, 9, "P56"),
    (72109410, "Adora2a", 1, 1, 9, "P56"),
    (9000000201, "Pdyn", 1, 1, 9, "P56"),
    (9000000202, "Pdyn", 2, 1, 10, "P56"),
    (9000000203, "Pdyn", 2, 3, 9000000303, "E15.5"),
    (181777177, None, 1, 5, 9, "P56"),
)
# Files of reference space 9, by their real ids; those of other spaces are made up.
P56_FILES: Final = {"atlasVolume": 113567585, "annotation": 197642854, "gridAnnotation": 197676381}


def _spaces() -> dict[int, str]:
    """Return reference spaces by id, with their age; the ids of developing ages are made up."""
    return {9: "P56", 10: "P56"} | {9000000301 + n: age for n, age in enumerate(AGES[:-1])}


def _atlases(answers: Path) -> dict[str, list[Row]]:
    """Return the tables that grids and reference spaces are found by."""
    image = json.loads((answers / "atldld" / "SectionImage.json").read_text("utf-8"))
    real = json.loads((answers / "atldld" / "SectionDataSet.json").read_text("utf-8"))
    genes = {name: 9000000400 + n for n, name in enumerate(("Adora2a", "Pdyn"))}
    ages = {age: 9000000500 + n for n, age in enumerate(AGES)}
    spaces = _spaces()
    kind: Row = {"_type": "SectionDataSet", "failed": False}
    data_sets: list[Row] = [{"_type": None, "id": DATA_SET, "specimen_id": SPECIMEN}]
    data_sets.append(kind | {k: v for k, v in real.items() if not isinstance(v, dict)})
    specimens: list[Row] = [{"id": SPECIMEN, "is_cell_specimen": True, "donor_id": None}]
    links: dict[str, list[Row]] = {"data_sets_genes": [], "data_sets_products": []}
    for number, gene, plane, product, space, age in GRIDS:
        animal = 9000000600 + len(specimens)
        specimens.append({"id": animal, "is_cell_specimen": False, "donor_id": ages[age] + 200})
        placed = {"plane_of_section_id": plane, "reference_space_id": space}
        cut = {"section_thickness": 25.0} if number == SECTION_SET else {}
        data_sets.append(kind | placed | cut | {"id": number, "specimen_id": animal})
        if gene:
            links["data_sets_genes"].append({"data_set_id": number, "gene_id": genes[gene]})
        links["data_sets_products"].append({"data_set_id": number, "product_id": product})
    return links | {
        "data_sets": data_sets,
        "specimens": specimens,
        "donors": [{"id": n + 200, "age_id": n} for n in ages.values()],
        "ages": [{"id": n, "name": age} for age, n in ages.items()],
        "genes": [{"id": n, "acronym": gene, "name": None} for gene, n in genes.items()],
        "plane_of_sections": [{"id": 1, "name": "coronal"}, {"id": 2, "name": "sagittal"}],
        "products": [
            {"id": 1, "abbreviation": "Mouse", "name": None},
            {"id": 3, "abbreviation": "DevMouse", "name": None},
            {"id": 5, "abbreviation": None, "name": None},
        ],
        "reference_spaces": [
            {"id": n, "name": age, "age_id": ages[age]} for n, age in spaces.items()
        ],
        "alignment3ds": [real["alignment3d"], *section_tables()["alignment3ds"]],
        "alignment2ds": [image["alignment2d"], *section_tables()["alignment2ds"]],
    }


def _atlas_files() -> list[Row]:
    """Return the well-known files of reference spaces; volumes themselves are made on request."""
    found = []
    for space in _spaces():
        for order, (name, number) in enumerate(P56_FILES.items()):
            file_id = number if space == 9 else 9000001000 + 10 * (space % 1000) + order
            found.append(
                {
                    "attachable_id": space,
                    "attachable_type": "ReferenceSpace",
                    "download_link": f"/api/v2/well_known_file_download/{file_id}",
                    "id": file_id,
                    "path": f"/external/reference_space_{space}/{name}.zip",
                    "well_known_file_type_id": None,
                }
            )
    return found


def main() -> None:
    """Write the sample archive."""
    answers = Path(sys.argv[1])
    tables, files = SAMPLE / "tables", SAMPLE / "files"
    for folder in (tables, files):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    planes = _recorded(answers, f"subimage_stack_specimen_{SPECIMEN}_page0")
    own = _recorded(answers, f"projectionimage_specimen_{SPECIMEN}")
    others = _recorded(answers, "projectionimage_existence_filter_page0")
    images = [row | {"_type": "SubImage"} for row in planes]
    images += [row | {"_type": "ProjectionImage"} for row in (*own, *others)]
    section = json.loads((answers / "atldld" / "SectionImage.json").read_text("utf-8"))
    told = {k: v for k, v in section.items() if not isinstance(v, dict)}
    images.append(told | {"_type": "SectionImage"})
    images += section_tables()["sub_images"]
    _write(tables / "sub_images.jsonl", images)
    _write(tables / "structures.jsonl", _structures(answers))
    for name, rows in _atlases(answers).items():
        _write(tables / f"{name}.jsonl", rows)
    _write(tables / "neuron_reconstructions.jsonl", [RECONSTRUCTION_ROW])
    _write(tables / "api_cell_types_specimen_details.jsonl", _details(answers, own, others))
    kinds = {303941301: "3DNeuronReconstruction", 486753749: "3DNeuronMarker"}
    kinds[480715721] = "MorphologyThumbnail"
    _write(tables / "well_known_file_types.jsonl", [{"id": k, "name": v} for k, v in kinds.items()])
    cell = read_swc(answers / "swc" / SWC_OF)
    attached = [*_files(files, answers, cell, own), *_atlas_files()]
    _write(tables / "well_known_files.jsonl", attached)
    _describe(cell)
    make_sample_cell.main()
    make_sample_sets.main()


def _recorded(answers: Path, name: str) -> list[Row]:
    body = (answers / "responses" / f"{name}.json").read_bytes()
    return read_answer(body, "json").rows


def _details(answers: Path, own: list[Row], others: list[Row]) -> list[Row]:
    """Return the detail rows: the recorded ones, and what the projections tell of their cells."""
    body = (answers / "excerpts" / "cell_types_specimen_details.csv").read_bytes()
    recorded = read_answer(body, "csv", model="ApiCellTypesSpecimenDetail").rows
    for row in recorded:
        row["structure__name"] = (row["structure__name"] or "").strip('"') or None
    nothing: Row = dict.fromkeys(recorded[0])
    made: list[Row] = []
    for row in (*own, *others):
        if (row["projection_function"], row["axes"]) != ("min", "xy"):
            continue
        human = "human" in row["path"]
        told: Row = {
            "specimen__id": row["specimen_id"],
            "si__path": row["path"],
            "si__height": row["height"],
            "si__width": row["width"],
            "donor__species": "Homo Sapiens" if human else "Mus musculus",
        }
        made.append(nothing | told)
    cell = RECONSTRUCTION_ROW
    made[0] |= {
        "nr__max_euclidean_distance": cell["max_euclidean_distance"],
        "nr__number_stems": cell["number_stems"],
        "nr__number_bifurcations": cell["number_bifurcations"],
        "nr__average_contraction": cell["average_contraction"],
        "nr__average_parent_daughter_ratio": cell["average_parent_daughter_ratio"],
        "nr__reconstruction_type": cell["neuron_reconstruction_type"],
        "nrwkf__id": FILES["swc"],
    }
    return [*made, *recorded]


def _files(folder: Path, answers: Path, cell: Morphology, own: list[Row]) -> list[Row]:
    """Write the well-known files and give their rows."""
    shutil.copyfile(answers / "swc" / SWC_OF, folder / f"{FILES['swc']}.swc")
    (folder / f"{FILES['swc']}.swc").chmod(0o644)
    ends = [tip for tip in cell.tips if tip.type == 3][:4]
    lines = ["##x,y,z,radius,shape,name,comment, color_r,color_g,color_b"]
    lines += [f"{n.x_um},{n.y_um},{n.z_um},0.0, 1, 10, , 19,247,59" for n in ends]
    (folder / f"{FILES['marker']}.marker").write_text("\n".join(lines) + "\n", "ascii")
    front = next(r for r in own if (r["projection_function"], r["axes"]) == ("min", "xy"))
    scene = Scene(cell, 0.0, Z_STEP_UM, 0)
    render(scene, front, 5).save(folder / f"{FILES['thumbnail']}.png", optimize=True)
    names = {
        "swc": ("specimen_397905347_m.swc", 303941301),
        "marker": ("specimen_397905347_marker_m.swc", 486753749),
        "thumbnail": ("morphology_summary_397905347.png", 480715721),
    }
    return [
        {
            "attachable_id": RECONSTRUCTION,
            "attachable_type": "NeuronReconstruction",
            "download_link": f"/api/v2/well_known_file_download/{FILES[kind]}",
            "id": FILES[kind],
            "path": f"/external/mousecelltypes/prod146/specimen_{SPECIMEN}/{name}",
            "well_known_file_type_id": type_id,
        }
        for kind, (name, type_id) in names.items()
    ]


def _describe(cell: Morphology) -> None:
    soma = cell.soma
    middle_um = soma.z_um if soma else 0.0
    about = {
        "name": "sample",
        "title": "the sample archive of openallen",
        "notes": [
            f"Sample data: metadata are real (50 of the 627 planes of specimen {SPECIMEN}); pixels"
            " and volumes are simulated, and the reconstruction is of another cell.",
        ],
        "terms": "Allen Institute Terms of Use; see TERMS.md beside this file",
        "simulated": [
            {
                "specimen_id": SPECIMEN,
                "data_set_id": DATA_SET,
                "swc": f"files/{FILES['swc']}.swc",
                "z_offset_um": round(middle_um - 25 * Z_STEP_UM, 4),
                "z_step_um": Z_STEP_UM,
                "first_section": 2,
            }
        ],
        "simulated_volumes": True,
        "simulated_files": sorted(p.name for p in (SAMPLE / "files").iterdir()),
    }
    (SAMPLE / "archive.json").write_text(json.dumps(about, indent=1) + "\n", "utf-8")


def _write(path: Path, rows: list[Row]) -> None:
    lines = (json.dumps(_sorted(row)) for row in rows)
    path.write_text("\n".join(lines) + "\n", "utf-8")


def _sorted(row: Mapping[str, Any]) -> Row:
    return dict(sorted(row.items()))


if __name__ == "__main__":
    main()
