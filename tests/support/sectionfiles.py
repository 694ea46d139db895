"""An archive of section images, written by the tests: rows as brain-map.org has them, made-up numbers.

Data set 501 (coronal, Pdyn): sections 10, 20, 20 again, 30, 50 (failed), 60; all but 60 aligned. 502
failed as a whole and is not aligned. 503 has no images, 504 an image whose row contradicts its
picture, 505 a row that lacks its size. Atlas 7 has two annotated plates, one with a drawing.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Row = dict[str, Any]

SVG = (
    b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="96" height="64">'
    b'<path structure_id="385" d="M 1 1 L 9 9 z"/></svg>'
)
SIZES = {1: (96, 64), 2: (96, 64), 3: (80, 64), 4: (96, 72), 5: (96, 64), 6: (64, 48)}
"""Width and height of the images of 501, at full size."""


def image(number: int, data_set: int, section: int, size: tuple[int, int], **told: Any) -> Row:
    usual = {
        "_type": "SectionImage", "id": number, "data_set_id": data_set, "section_number": section,
        "width": size[0], "height": size[1], "x": 0, "y": 0, "resolution": 2.0, "tier_count": 2,
        "path": f"/made/up/{number}.aff", "expression_path": None, "failed": False,
        "annotated": False, "image_type": "Primary", "number_of_components": 3,
    }  # fmt: skip
    return usual | told


def picture(number: int, size: tuple[int, int]) -> bytes:
    """Return a JPEG whose shade tells its number, darker to the right."""
    across = np.linspace(0, 60, size[0])[None, :, None]
    pixels = np.broadcast_to(250 - 20 * (number % 8) - across, (size[1], size[0], 3))
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "JPEG", quality=95)
    return file.getvalue()


def affine(prefix: str, factors: Any, shift: Any) -> Row:
    back = np.linalg.inv(np.asarray(factors, float))
    values = [*np.ravel(factors), *shift]
    inverse = [*np.ravel(back), *(-back @ np.asarray(shift, float))]
    other = prefix[0] + prefix[:0:-1]
    told = {f"{prefix}_{n:02}": float(value) for n, value in enumerate(values)}
    return told | {f"{other}_{n:02}": float(value) for n, value in enumerate(inverse)}


def tables() -> dict[str, list[Row]]:
    kind = {"_type": "SectionDataSet", "failed": False, "plane_of_section_id": 1}
    data_sets = [
        kind | {"id": 501, "specimen_id": 801, "section_thickness": 25.0,
                "reference_space_id": 9, "expression": True},
        kind | {"id": 502, "specimen_id": 801, "failed": True, "section_thickness": None,
                "plane_of_section_id": 2, "reference_space_id": 9, "expression": False},
        kind | {"id": 503, "specimen_id": 801}, kind | {"id": 504, "specimen_id": 801},
        kind | {"id": 505, "specimen_id": 801},
        {"_type": "AtlasDataSet", "id": 601, "failed": False, "specimen_id": 801},
    ]  # fmt: skip
    numbers = {1: 10, 2: 20, 3: 20, 4: 30, 5: 50, 6: 60}
    images = [
        image(n, 501, section, SIZES[n], failed=n == 5,
              expression_path=f"/made/up/{n}_expression.aff" if n < 3 else None)
        for n, section in numbers.items()
    ]  # fmt: skip
    images += [image(11, 502, 4, (40, 30)), image(21, 504, 1, (400, 300))]
    images += [image(22, 505, 1, (40, 30), width=None)]
    plate = {"_type": "AtlasImage", "annotated": True, "number_of_components": None}
    images += [image(31, 601, 1, (96, 64), **plate), image(32, 601, 2, (96, 64), **plate)]
    turn = [[0.98, 0.02, 0.01], [-0.02, 1.01, 0.03], [0.01, 0.02, -0.97]]
    three = {"id": 1, "aligned_id": 501, "aligned_type": "DataSet"}
    twos = [
        {"id": n, "section_image_id": n} | affine("tsv", [[2.0, 0.1], [-0.1, 2.0]], [5 * n, -n])
        for n in range(1, 6)
    ]
    return {
        "data_sets": data_sets,
        "sub_images": images,
        "alignment3ds": [three | affine("tvr", turn, [100.0, 200.0, 5000.0])],
        "alignment2ds": twos,
        "genes": [{"id": 701, "acronym": "Pdyn", "name": "prodynorphin", "entrez_id": 18610}],
        "data_sets_genes": [{"data_set_id": 501, "gene_id": 701}],
        "plane_of_sections": [{"id": 1, "name": "coronal"}, {"id": 2, "name": "sagittal"}],
        "products": [{"id": 1, "abbreviation": "Mouse", "name": None}],
        "data_sets_products": [{"data_set_id": 501, "product_id": 1}],
        "treatments": [{"id": 1, "name": "ISH"}],
        "data_sets_treatments": [{"data_set_id": 501, "treatment_id": 1}],
        "specimens": [{"id": 801, "donor_id": 811}],
        "donors": [{"id": 811, "age_id": 821}],
        "ages": [{"id": 821, "name": "P56"}],
        "stereotaxic_injections": [
            {"id": 831, "specimen_id": 801, "primary_injection_structure_id": 385}
        ],
        "structures": [{"id": 385, "acronym": "VISp", "graph_id": 1, "name": "Primary visual"}],
        "equalizations": [
            {"id": 841, "section_data_set_id": 501, "red_lower": 0, "red_upper": 932,
             "green_lower": 0, "green_upper": 1279, "blue_lower": 0, "blue_upper": 4095}
        ],
        "atlases": [{"id": 7, "name": "Made up, coronal"}],
        "atlases_data_sets": [{"data_set_id": 601, "atlas_id": 7}],
    }  # fmt: skip


def write_archive(root: Path) -> Path:
    """Write the archive into a new folder, and return it."""
    (root / "tables").mkdir(parents=True)
    (root / "images").mkdir()
    (root / "archive.json").write_text(json.dumps({"name": "sections", "notes": ["Made up."]}))
    for name, rows in tables().items():
        text = "\n".join(json.dumps(row) for row in rows) + "\n"
        (root / "tables" / f"{name}.jsonl").write_text(text)
    for number, size in SIZES.items():
        (root / "images" / f"{number}.jpg").write_bytes(picture(number, size))
    for number in (1, 2):
        data = picture(number + 5, SIZES[number])
        (root / "images" / f"{number}_expression.jpg").write_bytes(data)
    for number, size in ((11, (40, 30)), (21, (96, 64)), (31, (96, 64)), (32, (96, 64))):
        (root / "images" / f"{number}.jpg").write_bytes(picture(number, size))
    for number in (31, 32):
        (root / "images" / f"{number}.svg").write_bytes(SVG)
    return root
