"""Every reader of outside bytes: what whole input looks like, and the door it is opened by."""

from __future__ import annotations

import functools
import inspect
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fuzzfolders
import fuzzseeds
import fuzzservices
from fuzzseeds import Seeds

from openallen.errors import OpenAllenError

READERS: dict[str, Reader] = {}
"""The readers by name, which is that of their folder in the corpus too."""


@dataclass(frozen=True)
class Reader:
    """One reader.

    Parameters
    ----------
    name
        What it is called.
    seeds
        Makes whole input, given an empty folder to work in.
    read
        Opens a folder of input, and whatever is in it, as a user would.
    writes
        Whether it changes what lies in the folder.
    """

    name: str
    seeds: Callable[[Path], Seeds]
    read: Callable[[Path], object]
    writes: bool = False


def reader(
    seeds: Callable[[Path], Seeds], name: str = "", *, writes: bool = False
) -> Callable[[Any], Any]:
    """Enter a function as a reader."""

    def enter(read: Callable[[Path], object]) -> Callable[[Path], object]:
        called = name or read.__name__
        READERS[called] = Reader(called, seeds, read, writes)
        return read

    return enter


# --- whatever is opened is used -------------------------------------------------------------------

_LEFT_ALONE = (
    "close", "fetch", "plot", "to_", "save", "nwb", "h5", "tree", "view", "zarr", "conversion", "versions",
    "compare", "sized", "list_data", "write", "put", "begin", "group", "mro", "sessions", "find",
)  # fmt: skip
"""What draws, writes, asks the network, or hands objects of other libraries out."""


def attempt(do: Callable[[], Any]) -> Any:
    """Return what a call gives; None where it is refused by an error of ours."""
    with suppress(OpenAllenError):
        return do()
    return None


def use(value: Any, depth: int = 2) -> None:
    """Ask an object for everything it has; its refusals are fine, and nothing else is."""
    attempt(lambda: repr(value))
    module = type(value).__module__
    if isinstance(value, BaseException):
        return
    if module.startswith("openallen"):
        attempt(getattr(value, "_repr_html_", str))
        if depth:
            for name in dir(type(value)):
                if not name.startswith(("_", *_LEFT_ALONE)):
                    use(attempt(functools.partial(_asked, value, name)), depth - 1)
    elif module.startswith("xarray"):
        attempt(lambda: value[tuple(slice(0, 4) for _ in getattr(value, "shape", ()))].values)
    elif isinstance(value, Iterator):
        attempt(lambda: list(itertools.islice(value, 2000)))


def _asked(value: Any, name: str) -> Any:
    declared = inspect.getattr_static(type(value), name)
    if isinstance(declared, (staticmethod, classmethod, type)):
        return None
    found = getattr(value, name)
    if not inspect.ismethod(found):
        return found
    needed = [
        p for p in inspect.signature(found).parameters.values()
        if p.default is p.empty and p.kind not in {p.VAR_KEYWORD, p.VAR_POSITIONAL}
    ]  # fmt: skip
    return None if needed else found()


def opened(path: Path) -> Any:
    """Open a path as a user does, show it, and use all it has."""
    import openallen as oa

    attempt(lambda: oa.show(path))
    found = oa.open(path)
    try:
        use(found)
    finally:
        close = getattr(found, "close", None)
        if close is not None:
            close()
    return found


def _one(folder: Path) -> Path:
    files = sorted(folder.iterdir(), key=lambda p: (p.suffix == ".raw", p.name))
    return files[0] if files else folder / "gone"


def _first(folder: Path) -> Path:
    return next(folder.iterdir(), folder / "gone")


def _file(folder: Path) -> object:
    return opened(_one(folder))


def _folder(folder: Path) -> object:
    return opened(_first(folder))


for _name, _seeds in {
    "swc": fuzzseeds.swc, "obj": fuzzseeds.obj, "nrrd": fuzzseeds.nrrd, "metaimage": fuzzseeds.metaimage,
    "nifti": fuzzseeds.nifti, "pictures": fuzzseeds.pictures, "npy": fuzzseeds.npy, "csv": fuzzseeds.csv,
    "json": fuzzseeds.json_files, "parquet": fuzzseeds.parquet, "zipped-grid": fuzzseeds.zipped_grid,
    "nwb-hdf5": fuzzseeds.nwb_hdf5, "mearec": fuzzseeds.mearec, "structure-graph": fuzzfolders.structure_graph,
    "visual-coding": fuzzseeds.visual_coding, "neuropixels": fuzzseeds.neuropixels,
}.items():  # fmt: skip
    reader(_seeds, _name)(_file)
for _name, _seeds in {
    "nwb-zarr": fuzzseeds.nwb_zarr, "ome-zarr": fuzzseeds.ome_zarr, "recordings": fuzzseeds.recordings,
    "sortings": fuzzseeds.sortings, "stack": fuzzfolders.stack, "release-folder": fuzzfolders.release_folder,
    "atlas-folder": fuzzfolders.atlas_folder, "grid-folder": fuzzseeds.grid_folder,
}.items():  # fmt: skip
    reader(_seeds, _name)(_folder)


# --- files ----------------------------------------------------------------------------------------


@reader(fuzzseeds.sessions, "sessions")
def _sessions(folder: Path) -> object:
    """Sessions of megabytes: what is in them is changed by name, mostly."""
    return opened(_one(folder))


@reader(fuzzseeds.patch_clamp, "patch-clamp")
def _patch_clamp(folder: Path) -> object:
    cell = opened(_one(folder))
    for number in getattr(cell, "sweep_numbers", ())[:3]:
        for call in ("sweep", "get_sweep", "spike_times", "get_sweep_metadata", "to_efel"):
            attempt(functools.partial(getattr(cell, call), number))
    return cell


@reader(fuzzseeds.jpeg)
def jpeg(folder: Path) -> None:
    from openallen.formats.jpeg import decode, inspect

    body = _one(folder).read_bytes()
    attempt(lambda: inspect(body))
    attempt(lambda: decode(body, gray=True))
    decode(body)


@reader(fuzzseeds.svg)
def svg(folder: Path) -> None:
    from openallen.formats.svg import inspect_svg

    inspect_svg(_one(folder).read_bytes())


@reader(fuzzseeds.png)
def png(folder: Path) -> None:
    from openallen.formats.png import inspect_png

    inspect_png(_one(folder).read_bytes())


@reader(fuzzseeds.markers)
def markers(folder: Path) -> None:
    from openallen.formats.marker import read_markers

    read_markers(_one(folder))


@reader(fuzzseeds.pickles)
def pickles(folder: Path) -> None:
    from openallen.formats.pickles import values

    with suppress(ValueError):  # as it says; those who call it make CorruptErrors of them
        values(_one(folder).read_bytes())


@reader(fuzzseeds.wavpack)
def wavpack(folder: Path) -> None:
    from openallen.formats import wavpack

    with suppress(ValueError):
        wavpack.decode(_one(folder).read_bytes())


@reader(fuzzseeds.zarrs)
def zarrs(folder: Path) -> None:
    """Every codec of chunks, in both versions of the format."""
    from openallen.formats.objects import FolderObjects
    from openallen.formats.zarrs import Hierarchy

    tree = Hierarchy(FolderObjects(_first(folder)))
    use(tree, 1)
    for name in itertools.islice(tree.members(""), 50):
        attempt(lambda name=name: tree.attrs(name))
        array = attempt(lambda name=name: tree.array(name)) if tree.has(name) else None
        if array is not None:
            # As all who read through it do: what is handed out is an array of zarr.
            attempt(functools.partial(_decoded, array, name))


def _decoded(array: Any, name: str) -> Any:
    from openallen.formats.chunks import decoding

    with decoding("a chunk is damaged", name):
        return array[tuple(slice(0, 9) for _ in array.shape)]


# --- services -------------------------------------------------------------------------------------


@reader(fuzzservices.answers)
def answers(folder: Path) -> None:
    from openallen.brainmap.answers import read_answer

    path = _one(folder)
    body = path.read_bytes()
    form: Any = path.suffix[1:]
    read_answer(body, form, url="http://x", model=path.stem)


@reader(fuzzservices.model_descriptions)
def model_descriptions(folder: Path) -> None:
    from openallen.brainmap.schema import Schema
    from openallen.errors import AnswerError
    from openallen.json_text import load_json

    try:
        told = load_json(_one(folder).read_bytes())
    except ValueError as error:
        raise AnswerError("no JSON") from error
    Schema.from_enumerate(told).to_compact()


@reader(fuzzservices.schema_hints)
def schema_hints(folder: Path) -> None:
    """The description that a refresh left in the store."""
    import shutil

    from openallen.brainmap.parser import parse
    from openallen.brainmap.schema import refreshed_file, schema

    place = refreshed_file()
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_one(folder), place)
    schema.cache_clear()
    try:
        parse("model::SectionDataSet,rma::criteria,[id$eq1],products")
        schema().meant("SectionDataset")
    finally:
        place.unlink()
        schema.cache_clear()


@reader(fuzzservices.service)
def service(folder: Path) -> None:
    """Answers of brain-map.org, as stacks, grids and rows are made of them."""
    fuzzservices.SERVICE.ask(folder)


@reader(fuzzservices.listings)
def listings(folder: Path) -> None:
    """Listings of S3, through a bucket."""
    fuzzservices.LISTINGS.ask(folder)


@reader(fuzzfolders.manifests)
def manifests(folder: Path) -> None:
    from openallen.errors import AnswerError
    from openallen.json_text import load_json
    from openallen.sources.releases.models import Manifest
    from openallen.sources.releases.projects import PROJECTS

    path = _one(folder)
    try:
        told = load_json(path.read_bytes())
    except ValueError as error:
        raise AnswerError("no JSON") from error
    found = Manifest.read(told, PROJECTS[path.stem], address="x")
    _ = (
        found.by_path,
        found.by_kind,
        found.by_file_id,
        repr(found),
        [f.versioned_url for f in found.files],
    )


@reader(fuzzfolders.release_tables)
def release_tables(folder: Path) -> None:
    from openallen.sources.releases.rows import read_rows
    from openallen.sources.releases.tables import arrow_table, read_table

    path = _one(folder)
    attempt(lambda: list(read_rows(path)))
    own = path.stem.replace("_table", "_id")
    for project in ("visual-behavior-ophys", "visual-behavior-neuropixels"):
        frame = attempt(functools.partial(read_table, path, project, own))
        if frame is not None:
            attempt(functools.partial(arrow_table, frame))


@reader(fuzzfolders.asset_folder)
def asset_folder(folder: Path) -> None:
    found = opened(_first(folder))
    use(found.record)
    for content in found.contents():
        attempt(functools.partial(found.open, content.path))


@reader(fuzzfolders.records)
def records(folder: Path) -> None:
    from openallen.errors import AnswerError
    from openallen.json_text import load_json
    from openallen.sources.assets.record import Record

    try:
        told = load_json(_one(folder).read_bytes())
    except ValueError as error:
        raise AnswerError("no JSON") from error
    if isinstance(told, dict):
        use(Record(told, "x"))
        Record(told, "x").to_row()


@reader(fuzzfolders.names)
def names(folder: Path) -> None:
    from openallen.sources.assets.names import parse_name

    for line in _one(folder).read_text("utf-8", "replace").split("\n"):
        use(parse_name(line[:5000]), 1)


@reader(fuzzfolders.catalogue)
def catalogue(folder: Path) -> None:
    from openallen.sources.assets.catalogues import Catalogue

    found = Catalogue(_first(folder))
    use(found, 1)
    attempt(found.count)
    attempt(lambda: list(found.select([])))
    attempt(lambda: found.sql("SELECT * FROM assets"))


@reader(fuzzfolders.brainglobe)
def brainglobe(folder: Path) -> None:
    """What BrainGlobe's library read from its folder: values of its JSON, arrays of its TIFF."""
    from types import SimpleNamespace

    import numpy as np

    from openallen.errors import AnswerError
    from openallen.json_text import load_json
    from openallen.sources.atlases.brainglobe_layout import read_brainglobe

    try:
        told = load_json(_one(folder).read_bytes())
    except ValueError as error:
        raise AnswerError("no JSON") from error
    if isinstance(told, dict):
        voxels = np.ones((4, 3, 2), "uint32")
        given = {
            "orientation": "asr", "resolution": (25, 25, 25), "metadata": {}, "structures_list": [],
            "annotation": voxels, "template": voxels,
        }  # fmt: skip
        use(read_brainglobe(SimpleNamespace(**{**given, **told}))[2])


@reader(fuzzfolders.archive_folder)
def archive_folder(folder: Path) -> None:
    """A folder that ``openallen serve`` is told to serve."""
    from openallen.archive.holdings import Holdings

    use(Holdings(_first(folder)), 1)


# --- what the store keeps -------------------------------------------------------------------------


@reader(fuzzfolders.store_index, writes=True)
def store_index(folder: Path) -> None:
    from openallen.store import Index, digest_of
    from openallen.store.checked import verify_remembered

    root = _first(folder)
    with Index(root) as index:
        _ = list(index.everything()), list(verify_remembered(root, index))
        new = root / "new.txt"
        new.write_bytes(b"new")
        index.remember(new, digest=digest_of(new), source="http://x", address="file:new")
        attempt(lambda: index.recall(root / "0.txt"))


@reader(fuzzfolders.blocks, writes=True)
def blocks(folder: Path) -> None:
    from openallen.store.blocks import Blocks

    place = _first(folder)
    memory = Blocks(place, fuzzfolders.BLOCKS_URL, 64)
    for number in range(-1, 12):
        found = memory.get(number)
        assert found is None or found == fuzzfolders.BLOCKS[number * 64 :][:64]
    memory.begin('"v"', len(fuzzfolders.BLOCKS), 64)
    memory.put(3, fuzzfolders.BLOCKS[192:256])
    assert memory.get(3) == fuzzfolders.BLOCKS[192:256]
    memory.close()


@reader(fuzzfolders.parts, writes=True)
def parts(folder: Path) -> None:
    """Leases and parts that other processes left."""
    from openallen.store import Leases, Leftovers, Part

    target = _first(folder) / "a.nwb"
    leases = Leases(beat_s=0.05, stale_s=0.1)
    try:
        leases.holder(target)
        lease = leases.take(target)
        leases.sweep(target)
        if lease is not None:
            part = Part(lease, resumable=True, left=Leftovers().of(target))
            if part.progress is not None:
                assert part.progress.done_bytes >= 0
                assert isinstance(part.progress.url, str)
                assert isinstance(part.progress.validator, str)
            leases.release(lease)
    finally:
        leases.close()


@reader(fuzzfolders.cached_listing, writes=True)
def cached_listing(folder: Path) -> None:
    from openallen.sources.buckets.listing_cache import CachedListings

    CachedListings(_first(folder)).get("http://x", "", "a/")


@reader(fuzzfolders.settings, writes=True)
def settings(folder: Path) -> None:
    import shutil

    from openallen.settings import Settings, user_file

    place = user_file()
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_one(folder), place)
    try:
        attempt(lambda: repr(Settings.load()))
    finally:
        place.unlink()
    here = Path.cwd()
    shutil.copyfile(_one(folder), folder / "openallen.toml")
    os.chdir(folder)
    try:
        attempt(Settings.load)
    finally:
        os.chdir(here)


# --- what is typed --------------------------------------------------------------------------------


@reader(fuzzseeds.queries)
def queries(folder: Path) -> None:
    from openallen.brainmap.parser import parse

    text = _one(folder).read_text("utf-8", "surrogateescape")
    found = parse(text)
    use(found, 1)
    assert str(found) is not None


@reader(fuzzseeds.addresses)
def addresses(folder: Path) -> None:
    import openallen as oa
    from openallen.address import Address, Condition
    from openallen.web_address import is_web

    for line in _one(folder).read_text("utf-8", "surrogateescape").split("\n")[:20]:
        attempt(lambda line=line: str(Address.parse(line)))
        attempt(lambda line=line: str(Condition.parse(line)))
        attempt(lambda line=line: is_web(line))
        attempt(lambda line=line: oa.open(line))
        attempt(lambda line=line: oa.show(line))


# --- the net itself -------------------------------------------------------------------------------

if os.environ.get("OPENALLEN_TEST_FUZZ_TRAPS"):

    @reader(lambda _: [{"x.txt": b"fine"}])
    def trap(folder: Path) -> None:
        """Fail in the way that the input says."""
        import ctypes
        import time

        match _one(folder).read_text():
            case "raise":
                raise KeyError("foreign")
            case "crash":
                ctypes.string_at(0)
            case "hang":
                time.sleep(3600)
            case "fill":
                b"x" * (800 << 20)
            case "leave":
                raise SystemExit(0)
