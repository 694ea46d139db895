"""Small whole inputs of every reader, made here or taken from the data of the tests."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from farstores import halved, ramp, unpacked, write_v2, write_v3

Seeds = list[dict[str, bytes]]
DATA = Path(__file__).parents[1] / "data"
STACK = "stack:313862022"


def tree(folder: Path, under: str = "x", *, most_bytes: int = 1 << 20) -> dict[str, bytes]:
    """Return the files of a folder, as below a folder of another name."""
    return {
        f"{under}/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.stat().st_size <= most_bytes
    }


def lines_of(path: Path, count: int) -> bytes:
    return b"\n".join(path.read_bytes().split(b"\n")[:count]) + b"\n"


def sample(do: Callable[[str], Any]) -> Any:
    from openallen.archive.app import archive_app
    from openallen.serving import serving

    with serving(archive_app("sample")) as url:
        return do(url)


def stack_folder(folder: Path) -> Path:
    import openallen as oa

    sample(lambda url: oa.fetch(STACK, to=folder, source=url, downsample=6))
    return next(folder.rglob("manifest.json")).parent


# --- files ----------------------------------------------------------------------------------------


def swc(_: Path) -> Seeds:
    return [{"x.swc": lines_of(path, 60)} for path in sorted((DATA / "swc").glob("*.swc"))]


def markers(_: Path) -> Seeds:
    return [{"x.marker": path.read_bytes()} for path in (DATA / "swc").glob("*.marker")]


def obj(_: Path) -> Seeds:
    plain = b"v 100 200 300\nv 200 200 300\nv 200 300 300\nv 1 2 3\nvn 0 0 1\nvt 0 1\nf 1//1 2//1 3//1\nf 1 2 3 4\nf -1 -2 -3\n"
    return [
        {"x.obj": plain},
        {"x.obj": b"# c\no a\ng b\ns off\nusemtl x\n" + plain.replace(b"//1", b"/1/1")},
    ]


def nrrd(_: Path) -> Seeds:
    def head(encoding: str, more: str = "") -> bytes:
        return (
            "NRRD0004\n# made\ntype: unsigned int\ndimension: 3\nspace: left-posterior-superior\nsizes: 4 3 2\n"
            "space directions: (25,0,0) (0,25,0) (0,0,25)\nkinds: domain domain domain\nendian: little\n"
            f"encoding: {encoding}\nspace origin: (0,0,0)\n{more}\n"
        ).encode()

    raw = np.arange(24, dtype="<u4").tobytes()
    import bz2

    return [
        {"x.nrrd": head("raw") + raw},
        {"x.nrrd": head("gzip") + gzip.compress(raw)},
        {"x.nrrd": head("bzip2") + bz2.compress(raw)},
        {"x.nhdr": head("raw", "data file: x.raw\n"), "x.raw": raw},
        {"x.nhdr": head("raw", "byte skip: 0\nline skip: 0\ndata file: x.raw\n"), "x.raw": raw},
    ]


def _mhd(data: str, more: str = "") -> bytes:
    return (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n"
        "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\nCenterOfRotation = 0 0 0\nAnatomicalOrientation = RAI\n"
        f"{more}ElementSpacing = 25 25 25\nDimSize = 4 3 2\nElementType = MET_FLOAT\nElementDataFile = {data}\n"
    ).encode()


_FLOATS = np.arange(24, dtype="<f4").tobytes()


def metaimage(_: Path) -> Seeds:
    import zlib

    packed = zlib.compress(_FLOATS)
    more = f"CompressedDataSize = {len(packed)}\n"
    return [
        {"x.mhd": _mhd("x.raw"), "x.raw": _FLOATS},
        {"x.mha": _mhd("LOCAL") + _FLOATS},
        {
            "x.mha": _mhd("LOCAL", more).replace(
                b"CompressedData = False", b"CompressedData = True"
            )
            + packed
        },
    ]


def _zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as packed:
        for name, body in files.items():
            packed.writestr(zipfile.ZipInfo(name), body, method)
    return out.getvalue()


def zipped_grid(_: Path) -> Seeds:
    files = {}
    for kind in ("energy", "density"):
        files |= {f"{kind}.mhd": _mhd(f"{kind}.raw"), f"{kind}.raw": _FLOATS}
    return [
        {"grid_1_energy.zip": _zipped(files)},
        {"grid_1_energy.zip": _zipped(files, zipfile.ZIP_STORED)},
        {"grid_1_energy.zip": _zipped(files, zipfile.ZIP_BZIP2)},
        {"grid_1_energy.zip": _zipped(files, zipfile.ZIP_LZMA)},
    ]


def grid_folder(_: Path) -> Seeds:
    files = {"energy.mhd": _mhd("energy.raw"), "energy.raw": _FLOATS}
    facts = {
        "id": 1,
        "source": "live",
        "row": {"id": 1, "name": "x", "genes": [{"acronym": "Pdyn"}]},
    }
    told = nrrd(Path())[1]["x.nrrd"].replace(b"unsigned int", b"float")
    return [
        {"x/grid_1_energy.zip": _zipped(files), "x/data_set_1.json": json.dumps(facts).encode()},
        {
            f"x/grid_1_{kind}_25.nrrd": told
            for kind in ("projection_density", "injection_fraction", "data_mask")
        }
        | {"x/data_set_1.json": json.dumps(facts).encode()},
    ]


def nifti(folder: Path) -> Seeds:
    import nibabel

    folder.mkdir(parents=True)
    found = []
    for name in ("x.nii", "x.nii.gz"):
        values = np.arange(24, dtype="<i2").reshape(4, 3, 2)
        picture = nibabel.Nifti1Image(values, np.diag([0.025, 0.025, 0.025, 1]))
        picture.header.set_xyzt_units("mm")
        nibabel.save(picture, folder / name)
        found.append({name: (folder / name).read_bytes()})
    return found


def _picture(form: str, mode: str = "L", **options: Any) -> bytes:
    from PIL import Image

    y, x = np.indices((24, 40))
    gray = Image.fromarray(((x * 5 + y * 3) % 256).astype("uint8"))
    out = io.BytesIO()
    gray.convert(mode).save(out, form, **options)
    return out.getvalue()


def pictures(_: Path) -> Seeds:
    return [
        {"x.jpg": _picture("JPEG")},
        {"x.png": _picture("PNG", "RGB")},
        {"x.tif": _picture("TIFF")},
        {"x.tif": _picture("TIFF", "RGB", compression="tiff_lzw")},
        {"x.tif": _picture("TIFF", compression="tiff_deflate")},
        {"x.tif": _picture("TIFF", "RGB", compression="jpeg")},
    ]


def jpeg(_: Path) -> Seeds:
    forms = [
        ("L", {}),
        ("RGB", {}),
        ("RGB", {"progressive": True}),
        ("L", {"restart_marker_blocks": 2}),
    ]
    return [{"x.jpg": _picture("JPEG", mode, **more)} for mode, more in forms]


def png(_: Path) -> Seeds:
    return [{"x.png": _picture("PNG")}, {"x.png": _picture("PNG", "RGB")}]


def svg(_: Path) -> Seeds:
    return [
        {
            "x.svg": b'<?xml version="1.0" encoding="utf-8"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="400" '
            b'height="300">\n <g id="28"><path structure_id="385" d="M10,10 L50,10 Z"/><path d="M60,60 Z"/></g>\n</svg>\n'
        }
    ]


def npy(_: Path) -> Seeds:
    found = []
    for kind in ("<f8", ">i4", "<U5", "?", "<M8[ns]", [("a", "<i4"), ("b", "<f8", (2,))]):
        out = io.BytesIO()
        np.save(out, np.zeros((3, 4), kind))
        found.append({"x.npy": out.getvalue()})
    return found


def csv(_: Path) -> Seeds:
    text = b'a,b,c\n1,2.5,"x, y"\n3,,"a ""q"" b"\n-4,1e3,\n2020-01-01,True,z\n'
    tables = [lines_of(path, 6) for path in sorted((DATA / "releases").glob("*.csv"))]
    return [{"x.csv": text}, {"x.tsv": text.replace(b",", b"\t")}, *({"x.csv": t} for t in tables)]


def json_files(_: Path) -> Seeds:
    told = {"a": [1, 2.5, None, True, {"b": "text"}], "c": {"d": [[1, 2], [3, 4]]}}
    return [{"x.json": json.dumps(told).encode()}, {"x.jsonl": b'{"a": 1}\n{"a": [2]}\n\n"x"\n'}]


def parquet(_: Path) -> Seeds:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({
        "a": [1, 2, None], "b": ["x", "y", None], "c": [[1], [], [2, 3]], "d": [1.5, 2.5, 3.5],
        "e": [True, False, None], "f": pa.array([0, 1, 2], pa.timestamp("us")), "g": [{"k": 1}] * 3,
    })  # fmt: skip
    found = []
    for compression in ("snappy", "zstd", "gzip", "none"):
        out = io.BytesIO()
        pq.write_table(table, out, compression=compression)
        found.append({"x.parquet": out.getvalue()})
    return found


def pickles(_: Path) -> Seeds:
    rows = np.empty((2, 2), object)
    rows[:] = [[{"path": "/a", "source": "."}, "text"], [np.arange(3), None]]
    told = [
        1,
        -(2**70),
        1.5,
        "text",
        b"bytes",
        (1, 2),
        {"a": [None, True]},
        np.arange(6.0).reshape(2, 3),
        rows,
    ]
    return [{"x.pkl": pickle.dumps(told, protocol)} for protocol in range(6)]


def wavpack(_: Path) -> Seeds:
    from openallen.formats import wavpack as reading
    from openallen.formats.wavpack_encode import encode

    if not reading.available():
        return [{"x.wv": b""}]
    values = np.random.default_rng(1).integers(-300, 300, (200, 3)).astype("int16")
    return [
        {"x.wv": encode(values)},
        {"x.wv": encode(values, bps=4.0)},
        {"x.wv": encode(values[:, :1], level=1)},
    ]


# --- HDF5 -----------------------------------------------------------------------------------------


def nwb_hdf5(folder: Path) -> Seeds:
    import h5py
    from nwbfiles import h5, put_series, put_table

    def fill(file: h5py.File) -> None:
        put_series(
            file, "acquisition/a", np.arange(30.0).reshape(10, 3), np.arange(10.0), conversion=2.0
        )
        put_series(file, "acquisition/b", np.arange(10))
        file["acquisition/b"].create_dataset("starting_time", data=1.0).attrs["rate"] = 30.0
        words = np.array(["x", "y", "z"], dtype=h5py.string_dtype())
        put_table(
            file,
            "intervals/trials",
            {"start_time": np.arange(3.0), "stop_time": np.arange(3.0) + 1, "word": words},
        )
        times = {"spike_times": np.arange(6.0), "spike_times_index": np.array([2, 4, 6])}
        put_table(file, "units", times)
        file["soft"] = h5py.SoftLink("/acquisition/a")
        file["acquisition/b"].attrs["refers"] = file["units"].ref
        packed = file.create_dataset(
            "acquisition/p", data=np.arange(400).reshape(20, 20), chunks=(5, 20), compression="gzip"
        )
        packed.attrs["words"] = words

    def late(file: h5py.File) -> None:
        fill(file)
        file["general/subject/age"] = "P90D"
        file["general/subject/species"] = "Mus musculus"

    first = h5(folder / "a.nwb", fill).read_bytes()
    with h5py.File(folder / "b.nwb", "w", libver="latest") as file:
        file.attrs["nwb_version"] = "2.7.0"
        for name in ("identifier", "session_description", "session_start_time"):
            file[name] = "x"
        late(file)
    return [{"x.nwb": first}, {"x.nwb": (folder / "b.nwb").read_bytes()}]


def mearec(folder: Path) -> Seeds:
    import h5py

    folder.mkdir(parents=True)
    path = folder / "m.h5"
    with h5py.File(path, "w") as file:
        values = np.random.default_rng(2).integers(-500, 500, (300, 4)).astype("int16")
        file.create_dataset("recordings", data=values).attrs["gain_to_uV"] = 0.195
        file.create_group("info/recordings")["fs"] = 32000.0
        file["channel_positions"] = np.zeros((4, 3))
        for unit in range(3):
            file[f"spiketrains/{unit}/times"] = np.array([0.001, 0.002])
    return [{"x.h5": path.read_bytes()}]


def visual_coding(folder: Path) -> Seeds:
    """Two-photon sessions of three pipelines, an analysis, and events, made up."""
    from visualcoding import write_analysis, write_ophys

    folder.mkdir(parents=True)
    made: Seeds = [
        {"x.nwb": write_ophys(folder / f"{kind}.nwb", pipeline=version, session_type=kind,
                              frames=300).read_bytes()}
        for version, kind in (("0.9", "three_session_C"), ("1.0", "three_session_B"),
                              ("2.0", "three_session_A"))
    ]  # fmt: skip
    np.savez(folder / "x.npz", ev=np.arange(12.0).reshape(3, 4))
    made.append({"x.h5": write_analysis(folder / "x.h5").read_bytes()})
    made.append({"x.npz": (folder / "x.npz").read_bytes()})
    return made


def sessions(folder: Path) -> Seeds:
    unpacked(DATA / "nwb" / "sessions.tar.xz", folder)
    names = ["behavior_session_883986743", "probe_probeA_lfp_1053941483"]
    return [{"x.nwb": (folder / "setA" / f"{name}.nwb").read_bytes()} for name in names]


def neuropixels(folder: Path) -> Seeds:
    from neuropixels import session_file

    return [{"x.nwb": session_file(folder / "x.nwb").read_bytes()}]


def patch_clamp(folder: Path) -> Seeds:
    from patchclamp import Made, cell_types, nwb2

    sweeps = [Made(4, 0, name="Test", epoch=None), Made(6, 100, 5)]
    packed = {"chunks": True, "compression": "gzip"}
    return [
        {"x.nwb": write(folder / "x.nwb", sweeps, **packed).read_bytes()}
        for write in (cell_types, nwb2)
    ]


# --- Zarr -----------------------------------------------------------------------------------------


def nwb_zarr(folder: Path) -> Seeds:
    unpacked(DATA / "assets" / "session.nwb.zarr.tar.xz", folder)
    return [tree(next(folder.iterdir()), "x.nwb.zarr")]


def ome_zarr(folder: Path) -> Seeds:
    volume = ramp((8, 16, 16))
    write_v2(folder / "v2", [volume, halved(volume)])
    write_v3(folder / "v3", [volume, halved(volume)])
    stacked = stack_folder(folder / "stack")
    from openallen.sources.stacks import ImageStack

    kept = [
        ImageStack(stacked).zarr(folder / f"made{n}", **options).group.store
        for n, options in enumerate(({}, {"keep_jpeg": True}))
        if n == 0
    ]
    del kept
    return [
        tree(folder / "v2", "x.zarr"),
        tree(folder / "v3", "x.zarr"),
        tree(next((folder / "made0").rglob("zarr.json")).parent, "x.zarr"),
    ]


def zarrs(folder: Path) -> Seeds:
    import numcodecs
    import zarr

    values = np.arange(300).reshape(20, 15)
    v2 = zarr.open_group(folder / "v2", mode="w", zarr_format=2)
    ways: dict[str, Any] = {
        "blosc": numcodecs.Blosc("lz4"), "zstd": numcodecs.Zstd(), "gzip": numcodecs.GZip(), "zlib": numcodecs.Zlib(),
        "bz2": numcodecs.BZ2(), "lzma": numcodecs.LZMA(), "lz4": numcodecs.LZ4(), "none": None,
    }  # fmt: skip
    for name, codec in ways.items():
        v2.create_array(
            name, shape=values.shape, chunks=(9, 8), dtype="<i4", compressors=codec, fill_value=0
        )[...] = values
    filters: dict[str, Any] = {
        "delta": [numcodecs.Delta("<i4")], "shuffle": [numcodecs.Shuffle(4)], "fletcher": [numcodecs.Fletcher32()],
        "scaled": [numcodecs.FixedScaleOffset(0, 1, "<i4", "<i2")], "packbits": [numcodecs.PackBits()],
    }  # fmt: skip
    for name, given in filters.items():
        kind = "bool" if name == "packbits" else "<i4"
        v2.create_array(
            name,
            shape=values.shape,
            chunks=(9, 8),
            dtype=kind,
            filters=given,
            compressors=numcodecs.Zlib(),
        )[...] = values
    for name, codec in {
        "texts": numcodecs.VLenUTF8(),
        "jsons": numcodecs.JSON(),
        "pickled": numcodecs.Pickle(),
    }.items():
        _objects(folder / "v2" / name, codec)
    v3 = zarr.open_group(folder / "v3", mode="w", zarr_format=3)
    from zarr import codecs

    for name, codec in {
        "zstd": codecs.ZstdCodec(),
        "gzip": codecs.GzipCodec(),
        "blosc": codecs.BloscCodec(),
    }.items():
        v3.create_array(name, shape=values.shape, chunks=(9, 8), dtype="int32", compressors=codec)[
            ...
        ] = values
    v3.create_array("shards", shape=values.shape, chunks=(4, 4), shards=(8, 8), dtype="int32")[
        ...
    ] = values
    return [tree(folder / "v2", "x.zarr"), tree(folder / "v3", "x.zarr")]


def _objects(place: Path, codec: Any) -> None:
    texts = np.array(["a", "bc", "", "é"], object)
    place.mkdir()
    told = {
        "zarr_format": 2, "shape": [4], "chunks": [4], "dtype": "|O", "order": "C", "fill_value": None,
        "filters": [codec.get_config()], "compressor": None,
    }  # fmt: skip
    (place / ".zarray").write_text(json.dumps(told))
    (place / "0").write_bytes(bytes(codec.encode(texts)))


# --- recordings -----------------------------------------------------------------------------------


def recordings(folder: Path) -> Seeds:
    unpacked(DATA / "ephys" / "recordings.tar.xz", folder)
    unpacked(DATA / "ephys" / "sortings.tar.xz", folder / "s")
    from openallen.formats import wavpack as reading

    forms = [
        "now/binary",
        "old/binary",
        "now/blosc.zarr",
        "now/zstd.zarr",
        "now/flac.zarr",
        "s/recording.zarr",
    ]
    if reading.available():
        forms += ["now/wavpack.zarr", "now/hybrid.zarr"]
    import importlib.util

    if importlib.util.find_spec("flac_numcodecs") is None:
        forms.remove("now/flac.zarr")
    return [tree(folder / form, "x.zarr" if "zarr" in form else "x") for form in forms]


def sortings(folder: Path) -> Seeds:
    unpacked(DATA / "ephys" / "sortings.tar.xz", folder)
    forms = ["numpy", "npz", "sorting.zarr", "analyzer", "analyzer.zarr"]
    return [tree(folder / form, "x.zarr" if "zarr" in form else "x") for form in forms]


# --- what is typed --------------------------------------------------------------------------------


def queries(_: Path) -> Seeds:
    from openallen.brainmap.parser import parse
    from openallen.errors import UsageError

    lines = []
    for line in (DATA / "rma" / "real_urls.txt").read_text().splitlines()[::3]:
        with suppress(UsageError):
            parse(line)
            lines.append(line.encode())
    return [{"x.txt": line} for line in lines[:60]] + [
        {
            "x.txt": b"model::Gene,rma::criteria,[acronym$in'Pdyn','Gad1'],organism[name$li'*Mus*'],rma::include,products,rma::options[num_rows$eq5][order$eq'genes.id']"
        },
        {
            "x.txt": b"service::mouse_connectivity_correlation[row$eq1][structures$eq'VISp'][hemisphere$eq'right']"
        },
        {"x.txt": b"pipe::list[xs$eq'id'],model::Gene,rma::criteria,[id$in$xs]"},
    ]


def addresses(_: Path) -> Seeds:
    return [
        {
            "x.txt": b"stack:313862022\ngrid:71717640/energy\natlas:ccf-2017/annotation/100\nstructures:1"
        },
        {
            "x.txt": b"release:visual-behavior-ophys@1.0.0/ophys_experiment/951980471\nasset:ecephys_625749_2022-08-03_15-15-06/x"
        },
        {
            "x.txt": b"rma:Gene?acronym=Pdyn&id__gt=3\nspecies=Mus musculus\nwidth_px__gt=6000\nimage:100960033\nfile:491459170"
        },
        {
            "x.txt": b"recording:mearec/mearec_NP1.h5\nhttps://api.brain-map.org/api/v2/data/Gene/1.json\ns3://b/k/x.zarr\n./a/b.nwb"
        },
        {
            "x.txt": b"http://127.0.0.1:1/x.nwb\nhttps://connectivity.brain-map.org/projection/experiment/1?x=%20#y\nC:\\x\n~/x"
        },
    ]
