"""AllenSDK's caches and services, pointed at the sample and at kept answers, unchanged.

It runs in its own virtual environment, whose python OPENALLEN_TEST_ALLENSDK names. Libraries that
AllenSDK imports at its top and this does not need are stood for by empty ones where they are not
installed beside it; pynrrd, which is pure Python, is lent to it.
"""

from __future__ import annotations

import json
import os
import subprocess
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from archives import keep

import openallen as oa
from openallen.archive import archive_app, serving
from openallen.formats.jpeg import inspect

PYTHON = os.environ.get("OPENALLEN_TEST_ALLENSDK", "")
pytestmark = [
    pytest.mark.allensdk,
    pytest.mark.skipif(not PYTHON, reason="OPENALLEN_TEST_ALLENSDK names no python with AllenSDK"),
]

BEGIN = """
import importlib.abc, importlib.machinery, importlib.util, json, os, sys, types
from unittest.mock import MagicMock
base, folder = sys.argv[1:3]
sys.path.append(folder + "/lent")
ABSENT = {name for name in ("skimage", "statsmodels", "sklearn", "matplotlib", "mpl_toolkits",
    "seaborn", "ipywidgets", "argschema", "ndx_events", "xmltodict", "tables")
    if importlib.util.find_spec(name) is None}
class Stand(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ABSENT:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
    def create_module(self, spec):
        made = MagicMock()
        made.__spec__, made.__path__, made.__name__ = spec, [], spec.name
        return made
    def exec_module(self, module):
        pass
sys.meta_path.append(Stand())
import allensdk.api.api
# What has no argument for it, such as volumes of the download host, is asked of the archive, too.
allensdk.api.api.Api.default_api_url = allensdk.api.api.Api.download_url = base
at = lambda name: os.path.join(folder, name)
told = {}
"""
SAMPLE = (
    BEGIN
    + """
from allensdk.core.cell_types_cache import CellTypesCache
cells = CellTypesCache(manifest_file=at("ct/manifest.json"), base_uri=base)
told["cells"] = sorted(cell["id"] for cell in cells.get_cells())
told["nodes"] = len(cells.get_reconstruction(313862022).compartment_list)
told["markers"] = len(cells.get_reconstruction_markers(313862022))
told["sweeps"] = sorted(s["sweep_number"] for s in cells.get_ephys_sweeps(313862022))
data = cells.get_ephys_data(313862022)
told["recorded"] = sorted(data.get_sweep_numbers())
told["rate"] = float(data.get_sweep(told["recorded"][0])["sampling_rate"])
told["features"] = len(cells.get_ephys_features()), len(cells.get_morphology_features())
from allensdk.core.reference_space_cache import ReferenceSpaceCache
space = ReferenceSpaceCache(100, "annotation/ccf_2017", manifest=at("rs/manifest.json"), base_uri=base)
tree = space.get_structure_tree(structure_graph_id=1)
told["structures"] = len(tree.nodes())
told["ancestors"] = [n["acronym"] for n in tree.ancestors([385])[0]]
told["annotation"] = list(space.get_annotation_volume()[0].shape)
told["mask"] = int(space.get_structure_mask(385)[0].sum())
from allensdk.core.mouse_connectivity_cache import MouseConnectivityCache
wired = MouseConnectivityCache(resolution=100, manifest_file=at("mc/manifest.json"), base_uri=base)
told["experiments"] = sorted(e["id"] for e in wired.get_experiments())
told["unionizes"] = len(wired.get_structure_unionizes([told["experiments"][0]]))
told["density"] = list(wired.get_projection_density(told["experiments"][0])[0].shape)
from allensdk.core.brain_observatory_cache import BrainObservatoryCache
seen = BrainObservatoryCache(manifest_file=at("bo/manifest.json"), base_uri=base)
told["containers"] = [c["id"] for c in seen.get_experiment_containers()]
told["imaged"] = [int(i) for i in
                  seen.get_ophys_experiment_data(900000001).get_cell_specimen_ids()]
told["specimens"] = len(seen.get_cell_specimens())
from allensdk.api.queries.image_download_api import ImageDownloadApi
images = ImageDownloadApi(base)
images.download_section_image(321549654, at("section.jpg"), downsample=5)
images.download_image(321549654, at("image.jpg"), downsample=5)
images.download_projection_image(323637357, at("projection.jpg"), downsample=4)
from allensdk.api.queries.rma_api import RmaApi
rma = RmaApi(base)
told["piped"] = [row["id"] for row in rma.json_msg_query(rma.build_query_url([
    rma.model_stage("Structure", criteria="[acronym$eq'VISp']"),
    rma.pipe_stage("list", parameters=[("x", "id")]),
    rma.model_stage("Structure", criteria="[id$in$x]")]))]
told["schema"] = sorted(rma.get_schema("Structure")[0]["DataDescription"])
told["models"] = len(rma.get_schema())
from allensdk.api.queries.ontologies_api import OntologiesApi
told["graph"] = len(OntologiesApi(base).get_structures(1))
from allensdk.api.queries.tree_search_api import TreeSearchApi
told["path"] = [r["acronym"] for r in TreeSearchApi(base).get_tree("Structure", 385, ancestors=True)]
from allensdk.api.queries.glif_api import GlifApi
from allensdk.api.queries.biophysical_api import BiophysicalApi
told["biophysical"] = [m["id"] for m in BiophysicalApi(base).get_neuronal_models(313862022)]
told["glif"] = len(GlifApi(base).get_neuronal_models([313862022]))
print(json.dumps(told))
"""
)
KEPT = (
    BEGIN
    + """
from allensdk.api.queries.rma_api import RmaApi
from allensdk.api.queries.mouse_connectivity_api import MouseConnectivityApi
from allensdk.api.queries.image_download_api import ImageDownloadApi
from allensdk.api.queries.svg_api import SvgApi
from allensdk.api.queries.grid_data_api import GridDataApi
service = "mouse_connectivity_injection_structure"
asked = []
rma = RmaApi(base)
def query():
    return rma.service_query(service, parameters=[("injection_structures", [385, 409])])
if sys.argv[3] == "urls":
    # What AllenSDK would ask, for whoever keeps the answers.
    def stop(url, *_, **__):
        asked.append(url)
        raise SystemExit
    import allensdk.api.api as api
    api.stream_file_over_http = stop
    api.json_utilities.read_url_get = stop
    api.json_utilities.read_url_post = stop
    rma.json_msg_query = stop
    for call in (query,
                 lambda: ImageDownloadApi(base).download_image(7, at("x.jpg"), downsample=3),
                 lambda: SvgApi(base).download_svg(7, file_path=at("x.svg"))):
        try:
            call()
        except SystemExit:
            pass
    print(json.dumps(asked))
else:
    told["service"] = query()
    ImageDownloadApi(base).download_image(7, at("kept.jpg"), downsample=3)
    SvgApi(base).download_svg(7, file_path=at("kept.svg"))
    print(json.dumps(told))
"""
)


def theirs(script: str, *words: object) -> object:
    folder = Path(str(words[1]))
    (folder / "lent").mkdir(exist_ok=True)
    nrrd = find_spec("nrrd")
    if nrrd is not None and nrrd.origin is not None and not (folder / "lent" / "nrrd").exists():
        (folder / "lent" / "nrrd").symlink_to(Path(nrrd.origin).parent)
    done = subprocess.run(
        [PYTHON, "-W", "ignore", "-c", script, *map(str, words)],
        capture_output=True, text=True, check=False, timeout=170,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_its_caches_read_the_sample(sample_url, tmp_path):
    told = theirs(SAMPLE, sample_url, tmp_path)
    assert isinstance(told, dict)
    ask = lambda query: oa.query(query, source=sample_url)  # noqa: E731
    cells = ask("ApiCellTypesSpecimenDetail").rows()
    assert told["cells"] == sorted(row["specimen__id"] for row in cells)
    swc = Path(oa.__file__).parent / "archive" / "sample" / "files"
    lines = (swc / "9000000001.swc").read_text().splitlines()
    assert told["nodes"] == sum(not line.startswith("#") for line in lines if line.strip())
    lines = (swc / "9000000002.marker").read_text().splitlines()
    assert told["markers"] == sum(not line.startswith("#") for line in lines if line.strip())
    assert set(told["recorded"]) <= set(told["sweeps"])
    assert told["rate"] > 0
    structures = list(ask("Structure").where(graph_id=1).rows())
    assert told["structures"] == told["graph"] == len(structures)
    assert told["ancestors"][0] == "VISp"
    assert sorted(told["path"]) == sorted(told["ancestors"])
    assert told["annotation"] == told["density"] == [132, 80, 114]
    assert told["mask"] > 0
    assert len(told["experiments"]) == 3
    assert told["unionizes"] > 0
    assert told["containers"] == [900000011]
    assert told["imaged"] == [900000101 + n for n in range(20)]
    assert told["specimens"] == 20
    assert told["piped"] == [385]
    assert told["schema"] == ["Structure"]
    assert told["models"] > 90
    assert told["biophysical"]
    assert told["glif"] == 1
    sizes = [inspect((tmp_path / n).read_bytes()).width_px for n in ("section.jpg", "image.jpg")]
    assert sizes[0] == sizes[1]


def test_kept_answers_are_what_it_gets(tmp_path):
    root, folder = tmp_path / "archive", tmp_path / "theirs"
    (root / "tables").mkdir(parents=True)
    folder.mkdir()
    rows = [{"id": 181777177, "sum": 0.5}]
    answer = {"success": True, "id": 0, "start_row": 0, "num_rows": 1, "total_rows": 1}
    bodies = [json.dumps(answer | {"msg": rows}).encode(), b"\xff\xd8picture\xff\xd9", b"<svg/>"]
    with serving(archive_app(root)) as url:
        asked = theirs(KEPT, url, folder, "urls")
        assert isinstance(asked, list)
        for one, body in zip(asked, bodies, strict=True):
            place = urlsplit(one)
            keep(root, place.path, body, place.query, content_type="application/octet-stream")
        told = theirs(KEPT, url, folder, "read")
    assert told == {"service": rows}
    assert (folder / "kept.jpg").read_bytes() == bodies[1]
    assert (folder / "kept.svg").read_bytes() == bodies[2]
