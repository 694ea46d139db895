"""Stores of many small objects, put into a bucket as AIND's writers do."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from assetbucket import fresh

BENCHMARK = "aind-benchmark-data"
SMART = "SmartSPIM_620326_2022-09-20_11-20-22_stitched_2022-09-25_01-02-03"
EXA = "exaSPIM_653431_2023-05-06_10-23-15"
NWB = "ecephys_625749_2022-08-03_15-15-06_nwb_2023-05-16_16-34-55"
SESSION = "nwb/ecephys_625749_2022-08-03_15-15-06.nwb.zarr"
RAW = "ecephys_661279_2023-03-23_15-31-18"
PROBE = "ecephys_compressed/experiment1_Record Node 101#Neuropix-PXI-100.ProbeA-AP.zarr"
OLD = "ephys-compression/aind-np2/612962_2022-04-13_19-18-04_ProbeB"


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


def publish_stores(found: Any, data: Path, to: Path) -> None:
    """Put stores of every kind into the bucket of assets, and a recording into the benchmark's."""
    unpacked(data / "assets" / "session.nwb.zarr.tar.xz", to)
    unpacked(data / "ephys" / "recordings.tar.xz", to)
    volume = ramp()
    write_v2(to / "v2.zarr", [volume, halved(volume), halved(halved(volume))])
    write_v3(to / "v3.zarr", [volume, halved(volume)])
    upload(found.put, to / "v2.zarr", f"{SMART}/image_tile_fusing/OMEZarr/Ex_639_Em_667.zarr")
    link = f"https://viewer.example#!s3://aind-open-data/{SMART}/neuroglancer_config.json"
    state = {"ng_link": link, "layers": [{"name": "a"}]}
    found.put(f"{SMART}/neuroglancer_config.json", json.dumps(state).encode())
    inner = f"{SMART}/image_cell_segmentation/Ex_639/visualization/neuroglancer_config.json"
    found.put(inner, b'{"ng_link": "https://viewer.example#!x"}')
    found.sidecar(SMART, "data_description", {"schema_version": "0.10.0", "name": SMART})
    for n in range(2):
        upload(found.put, to / "v3.zarr", f"{EXA}/SPIM.ome.zarr/tile_00000{n}_ch_561.zarr")
    found.put(f"{EXA}/SPIM.ome.zarr/.zgroup", b'{"zarr_format": 2}')
    upload(found.put, to / "session.nwb.zarr", f"{NWB}/{SESSION}")
    upload(found.put, to / "now" / "wavpack.zarr", f"{RAW}/{PROBE}")
    found.put(f"{RAW}/ecephys_clipped/settings.xml", b"<x/>")
    fresh(found.s3, BENCHMARK)
    upload(lambda k, b: found.put(k, b, BENCHMARK), to / "old" / "binary", OLD)


def halved(volume: np.ndarray) -> np.ndarray:
    """Return the means of two by two by two."""
    z, y, x = (n // 2 for n in volume.shape[-3:])
    cut = volume[..., : 2 * z, : 2 * y, : 2 * x]
    return (
        cut.reshape(*volume.shape[:-3], z, 2, y, 2, x, 2)
        .mean(axis=(-5, -3, -1))
        .astype(volume.dtype)
    )


def ramp(shape: tuple[int, int, int] = (16, 24, 32)) -> np.ndarray:
    """Return a volume whose values tell where they are: 1000 + 64 z + 4 y + x, in (t, c, z, y, x)."""
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
