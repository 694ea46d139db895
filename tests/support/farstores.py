"""Stores of many small objects, put into a bucket as AIND's writers do."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np


def unpacked(archive: Path, to: Path) -> Path:
    """Unpack an archive of the tests' data."""
    with tarfile.open(archive) as packed:
        safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        packed.extractall(to, **safely)
    return to


def upload(put: Any, folder: Path, key: str) -> int:
    """Put all files of a folder into a bucket; gives how many."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    for path in files:
        put(f"{key}/{path.relative_to(folder).as_posix()}", path.read_bytes())
    return len(files)


def halved(volume: np.ndarray) -> np.ndarray:
    """Give the means of two by two by two."""
    z, y, x = (n // 2 for n in volume.shape[-3:])
    cut = volume[..., : 2 * z, : 2 * y, : 2 * x]
    return (
        cut.reshape(*volume.shape[:-3], z, 2, y, 2, x, 2)
        .mean(axis=(-5, -3, -1))
        .astype(volume.dtype)
    )


def ramp(shape: tuple[int, int, int] = (16, 24, 32)) -> np.ndarray:
    """Give a volume whose values tell where they are: 1000 + 64 z + 4 y + x, in (t, c, z, y, x)."""
    z, y, x = np.indices(shape)
    return (1000 + 64 * z + 4 * y + x).astype("uint16")[None, None]


def write_v2(
    folder: Path,
    levels: list[np.ndarray],
    *,
    translation: Any = "same",
    unit: str = "micrometer",
    more: dict | None = None,
) -> None:
    """Write OME-Zarr 0.4 as the pipelines of 2023 do: Zarr 2, blosc, nested chunks."""
    import zarr
    from numcodecs import Blosc

    root = zarr.open_group(folder, mode="w", zarr_format=2)
    datasets = []
    for n, level in enumerate(levels):
        array = root.create_array(
            str(n), shape=level.shape, chunks=(1, 1, 8, 16, 16), dtype=level.dtype,
            compressors=Blosc("zstd", 1), chunk_key_encoding={"name": "v2", "separator": "/"}, fill_value=0,
            config={"write_empty_chunks": False},
        )  # fmt: skip
        array[...] = level
        scale = [1.0, 1.0, 2.0 * 2**n, 1.8 * 2**n, 1.8 * 2**n]
        steps = [{"type": "scale", "scale": scale}]
        if translation == "same":
            steps.append({"type": "translation", "translation": [0, 0, 100.0, 200.0, 300.0]})
        elif translation == "centres":
            shift = [(s - b) / 2 for s, b in zip(scale, [1, 1, 2.0, 1.8, 1.8], strict=True)]
            steps.append(
                {
                    "type": "translation",
                    "translation": [
                        0,
                        0,
                        *(p + s for p, s in zip((100.0, 200.0, 300.0), shift[2:], strict=True)),
                    ],
                }
            )
        datasets.append({"path": str(n), "coordinateTransformations": steps})
    axes = [{"name": "t", "type": "time", "unit": "millisecond"}, {"name": "c", "type": "channel"}]
    axes += [{"name": a, "type": "space", "unit": unit} for a in "zyx"]
    root.attrs.update(
        {
            "multiscales": [
                {"version": "0.4", "name": "Ex_639_Em_667", "axes": axes, "datasets": datasets}
            ],
            **(more or {}),
        }
    )


def write_v3(folder: Path, levels: list[np.ndarray]) -> None:
    """Write OME-Zarr 0.5: Zarr 3, sharded, consolidated."""
    import zarr

    root = zarr.open_group(folder, mode="w", zarr_format=3)
    datasets = []
    for n, level in enumerate(levels):
        array = root.create_array(
            str(n),
            shape=level.shape,
            chunks=(1, 1, 4, 8, 8),
            shards=(1, 1, 8, 16, 16),
            dtype=level.dtype,
        )
        array[...] = level
        datasets.append(
            {
                "path": str(n),
                "coordinateTransformations": [
                    {"type": "scale", "scale": [1, 1, 2e3 * 2**n, 1.8e3 * 2**n, 1.8e3 * 2**n]}
                ],
            }
        )
    axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}]
    axes += [{"name": a, "type": "space", "unit": "nanometer"} for a in "zyx"]
    root.attrs.update(
        {
            "ome": {
                "version": "0.5",
                "multiscales": [{"axes": axes, "datasets": datasets}],
                "omero": {"channels": [{"label": "561"}]},
            }
        }
    )


def reread(folder: Path, key: str, change: Any) -> None:
    """Rewrite a JSON document of a store."""
    path = folder / key
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told))
