"""Write the sample's rows of mouse connectivity: three experiments, all of them made up.

Ids, names and paths of structures are real; no tracer was injected. Rows agree with each other as
those of the service do: densities are pixels over pixels, both hemispheres the sum of the two.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

TABLES = Path(__file__).parents[1] / "src" / "openallen" / "archive" / "sample" / "tables"
PIXEL_MM3 = 0.35e-3 * 0.35e-3 * 0.1
"""Volume that one pixel of 0.35 µm in a section 100 µm apart stands for."""
EXPERIMENTS = (
    # id, acronym, reached, line, sex, injection at AP, DV, ML in µm, volume in mm³
    (181777177, "VISp", ("VISp", "VISl"), "", "M", (9120, 1410, 8300), 0.2318),
    (9000000801, "VISl", ("VISl", "VISp"), "Cux2-CreERT2", "F", (8930, 1680, 9060), 0.1147),
    (9000000802, "LGd", ("LGd", "LP"), "", "M", (7420, 3050, 3280), 0.0864),
)
TARGETS = ("Isocortex", "VIS", "VISp", "VISl", "VISp2/3", "VISp5", "TH", "LGd", "LP", "SCs")
LINES = {"": None, "Cux2-CreERT2": 900000043}


def experiment(row: tuple[Any, ...], structures: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return a row of ``ApiConnectivity`` as the service writes it."""
    number, acronym, reached, line, sex, (ap, dv, ml), volume = row
    main = structures[acronym]
    return {
        "data_set_id": number,
        "gender": sex,
        "id": number,
        "injection_structures": "/".join(str(structures[name]["id"]) for name in reached),
        "injection_volume": volume,
        "injection_x": ap,
        "injection_y": dv,
        "injection_z": ml,
        "product_id": 5,
        "specimen_name": f"simulated-{number}",
        "storage_directory": f"/simulated/image_series_{number}/",
        "strain": "C57BL/6J",
        "structure_abbrev": main["acronym"],
        "structure_id": main["id"],
        "structure_name": main["name"],
        "transgenic_line": {"id": LINES[line], "name": line} if line else None,
        "transgenic_line_id": LINES[line],
    }


def unionizes(row: tuple[Any, ...], structures: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows of ``ProjectionStructureUnionize`` of an experiment."""
    number, _, reached, _, _, (_, _, ml), injected = row
    chance = random.Random(number)  # noqa: S311 - made-up rows, the same each time
    side = 2 if ml > 5700 else 1
    found: list[dict[str, Any]] = []
    for name in TARGETS:
        for is_injection in (False, True):
            sides = [
                _pixels(chance, is_injection, here == side, name in reached) for here in (1, 2)
            ]
            both = [a + b for a, b in zip(*sides, strict=True)]
            for hemisphere, pixels in enumerate((*sides, both), 1):
                found.append(
                    _measured(
                        (number, structures[name]["id"], hemisphere, is_injection),
                        pixels, injected, chance,
                    )
                )  # fmt: skip
    return found


def _pixels(chance: random.Random, is_injection: bool, same: bool, inside: bool) -> list[float]:
    if is_injection and not (same and inside):
        return [0.0, 0.0, 0.0, 0.0]
    pixels = float(chance.randrange(20_000_000, 400_000_000))
    share = chance.uniform(0.2, 0.9) if inside and same else chance.uniform(0, 0.05)
    projecting = float(round(pixels * share))
    return [pixels, projecting, pixels * 190.0, projecting * chance.uniform(200, 4000)]


def _measured(
    key: tuple[int, int, int, bool], pixels: list[float], injected: float, chance: random.Random
) -> dict[str, Any]:
    number, structure, hemisphere, is_injection = key
    every, projecting, intensity, projected = pixels
    volume = projecting * PIXEL_MM3
    return {
        "hemisphere_id": hemisphere,
        "id": 0,
        "is_injection": is_injection,
        "max_voxel_density": round(min(1.0, 3 * projecting / every), 6) if every else 0.0,
        "max_voxel_x": chance.randrange(0, 13200, 100) if projecting else 0,
        "max_voxel_y": chance.randrange(0, 8000, 100) if projecting else 0,
        "max_voxel_z": chance.randrange(0, 11400, 100) if projecting else 0,
        "normalized_projection_volume": float(f"{volume / injected:.6g}"),
        "projection_density": float(f"{projecting / every:.6g}") if every else 0.0,
        "projection_energy": float(f"{projected / every:.6g}") if every else 0.0,
        "projection_intensity": float(f"{projected / projecting:.6g}") if projecting else 0.0,
        "projection_volume": float(f"{volume:.6g}"),
        "section_data_set_id": number,
        "structure_id": structure,
        "sum_pixel_intensity": float(f"{intensity:.7g}"),
        "sum_pixels": every,
        "sum_projection_pixel_intensity": float(f"{projected:.7g}"),
        "sum_projection_pixels": projecting,
        "volume": float(f"{every * PIXEL_MM3:.6g}"),
    }


def main() -> None:
    """Write both tables."""
    lines = (TABLES / "structures.jsonl").read_text("utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row.get("graph_id") == 1]
    structures = {row["acronym"].strip(): row for row in rows}
    measured = [one for row in EXPERIMENTS for one in unionizes(row, structures)]
    for at, one in enumerate(measured):
        one["id"] = 9000000810000 + at
    tables = {
        "api_connectivity": [experiment(row, structures) for row in EXPERIMENTS],
        "projection_structure_unionizes": measured,
    }
    for name, made in tables.items():
        text = "".join(json.dumps(row) + "\n" for row in made)
        (TABLES / f"{name}.jsonl").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
