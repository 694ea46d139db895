"""What AllenSDK has and this package has not: why, and what to use in its place."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

from openallen.errors import UsageError

__all__ = ["MissingModuleError", "MissingNameError", "Mirrored", "absent", "named", "refused"]

ROOT: Final = "openallen.compat.allensdk"
_PAGE: Final = "docs/reference/allensdk.md lists what does the same as each call"


class MissingNameError(UsageError, AttributeError):
    """A name that AllenSDK has; says what to use in its place."""


class MissingModuleError(UsageError, ImportError):
    """A module that AllenSDK has; says what to use in its place."""


_SIMULATION: Final = (
    "openallen simulates nothing; the models' files can be fetched",
    "oa.fetch('cell:ID', include='models'), then run them with AllenSDK's own allensdk.model, BMTK"
    " or NEURON",
)
_FEATURES: Final = (
    "openallen extracts no features from voltage itself",
    "session.to_efel(n) gives a sweep as eFEL takes it, ipfx reads the file; the published features"
    " are oa.open('cell:ID').features",
)
_ANALYSIS: Final = (
    "analyses of responses are those of a session here",
    "experiment.analysis('drifting_gratings'), session.responses(...): docs/how-to/responses.md",
)
_QUERY: Final = (
    "every row of the service can be asked for by one language",
    "oa.query('MODEL').where(...), or RmaApi: docs/how-to/query.md",
)
_MODULES: Final[dict[str, tuple[str, str]]] = {
    "api.queries.annotated_section_data_sets_api": _QUERY,
    "api.queries.biophysical_api": _SIMULATION,
    "api.queries.brain_observatory_api": ("it is read as a release", "BrainObservatoryCache()"),
    "api.queries.cell_types_api": ("cells have an address", "CellTypesCache(), oa.list('cell:')"),
    "api.queries.connected_services": (
        "services are asked by name",
        "oa.query('service::NAME[parameter$eqvalue]'): docs/how-to/query.md",
    ),
    "api.queries.glif_api": _SIMULATION,
    "api.queries.mouse_atlas_api": (
        "grids have an address",
        "oa.list('grid:', gene='Pdyn'), oa.grids(gene='Pdyn'): docs/how-to/atlases.md",
    ),
    "api.queries.mouse_connectivity_api": (
        "experiments have an address",
        "MouseConnectivityCache(), oa.query('SectionDataSet')",
    ),
    "api.queries.ontologies_api": ("ontologies have an address", "oa.open('structures:1')"),
    "api.queries.reference_space_api": ("atlases have an address", "oa.open('atlas:ccf-2017')"),
    "api.queries.rma_pager": ("every query is paged", "oa.query(...).rows()"),
    "api.queries.rma_template": _QUERY,
    "api.queries.svg_api": (
        "drawings are images of another service",
        "oa.fetch('image:ID?service=svg')",
    ),
    "brain_observatory": _ANALYSIS,
    "brain_observatory.demixer": ("traces are published demixed", "get_demixed_traces()"),
    "brain_observatory.dff": ("traces are published as dF/F", "get_dff_traces()"),
    "brain_observatory.r_neuropil": ("it is published", "get_neuropil_r()"),
    "brain_observatory.roi_masks": ("masks are published", "get_roi_mask_array()"),
    "brain_observatory.circle_plots": (
        "there are no such plots here",
        "experiment.analysis('drifting_gratings') has their numbers",
    ),
    "config": _SIMULATION,
    "ephys": _FEATURES,
    "model": _SIMULATION,
    "morphology": (
        "reconstructions are checked when they are read",
        "oa.read_swc(path, strict=True)",
    ),
    "internal": ("it needs the institute's own network", _PAGE),
    "core.authentication": ("it needs the institute's own network", _PAGE),
    "core.json_utilities": ("Python has it", "json.loads(pathlib.Path(path).read_text())"),
    "core.obj_utilities": ("meshes open as they are", "oa.open('atlas:ccf-2017/mesh/VISp')"),
}
_CACHES: Final = (
    "files are kept and found by openallen's store",
    "openallen store --help; set the folder with OPENALLEN_STORE",
)
_RMA: Final = ("it is a helper of AllenSDK's requests", "json_msg_query(url), oa.query(rma)")
_WRITES: Final = ("openallen only reads", "h5py writes")
_NAMES: Final[dict[str, tuple[str, str]]] = {
    **dict.fromkeys(
        (
            "add_manifest_paths",
            "build_manifest",
            "cache_csv",
            "cache_csv_dataframe",
            "cache_csv_json",
            "cache_json",
            "cache_json_dataframe",
            "cacher",
            "csv_writer",
            "get_cache_path",
            "json_remove_keys",
            "json_rename_columns",
            "load_csv",
            "load_json",
            "load_manifest",
            "manifest",
            "manifest_dataframe",
            "nocache_dataframe",
            "nocache_json",
            "pathfinder",
            "remove_keys",
            "rename_columns",
            "wrap",
        ),
        _CACHES,
    ),
    **dict.fromkeys(
        (
            "cleanup_truncated_file",
            "do_query",
            "do_rma_query",
            "load_api_schema",
            "read_data",
            "retrieve_file_over_http",
            "retrieve_parsed_json_over_http",
            "retrieve_xml_over_http",
            "set_api_urls",
            "set_default_working_directory",
            "template_query",
            "to_filter_rhs",
        ),
        _RMA,
    ),
    **dict.fromkeys(
        (
            "fill_sweep_responses",
            "save_analysis_arrays",
            "save_analysis_dataframes",
            "set_spike_times",
            "set_sweep",
        ),
        _WRITES,
    ),
    **dict.fromkeys(
        (
            "append",
            "apply_affine",
            "change_parent",
            "convert_type",
            "delete_tree",
            "find",
            "sparsify",
            "strip_all_other_types",
            "strip_type",
            "stumpify_axon",
        ),
        (
            "reconstructions are not changed here",
            "oa.read_swc(path): of_type, subtree, resampled, points_um; docs/how-to/stacks.md",
        ),
    ),
    **dict.fromkeys(
        ("collect_sets", "data_transforms", "hex_to_rgb", "path_to_list", "renames", "whitelist"),
        ("a tree is made of rows as the service has them", "StructureTree(rows)"),
    ),
    "LazyProperty": ("it is AllenSDK's own machinery", _PAGE),
    "get_nwb_filepath": (
        "a file that was not fetched is read where it lies",
        "oa.open('release:visual-coding-2p').path('ophys_experiment', ID)",
    ),
    "get_ophys_pupil_data": (
        "gaze mapped to the screen is a file of its own",
        "oa.query('WellKnownFile').where(attachable_id=SESSION), oa.fetch('file:ID')",
    ),
    "get_schema": ("models are listed", "openallen list rma: and openallen show rma:MODEL"),
    "construct_local_manifest": (
        "a folder without records is opened as it is",
        "openallen store adopt FOLDER",
    ),
    "stimulus_search": ("what was shown at a frame is a call", "get_stimulus(frame)"),
    "from_lims": ("it needs the institute's own network", "from_warehouse, from_s3_cache"),
    "lims_api_class": ("it needs the institute's own network", "from_s3_cache"),
    "cloud_api_class": ("releases are read by openallen", "oa.open('release:NAME')"),
}


def absent(owner: str, name: str) -> MissingNameError:
    """Return the error for a name that an object does not have, with what to use in its place.

    Parameters
    ----------
    owner
        The class.
    name
        The name.
    """
    why, hint = _NAMES.get(name, ("neither AllenSDK's class nor this one has it", _PAGE))
    return MissingNameError(f"no '{name}' here", address=f"{owner}", why=why, hint=hint)


def refused(owner: str, what: str, why: str, hint: str) -> UsageError:
    """Return the error for an argument that AllenSDK takes and openallen cannot honour."""
    return UsageError(what, address=owner, why=why, hint=hint)


class Mirrored:
    """Answers names it does not have with what to use in their place."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        raise absent(type(self).__name__, name)


def named(module: str) -> Callable[[str], Any]:
    """Return a module's ``__getattr__`` that says what to use for a name it does not have."""

    def answer(name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"module '{module}' has no attribute '{name}'")
        raise _missing(f"{module}.{name}")

    return answer


def _missing(full: str) -> MissingModuleError:
    """Return the error for a module, or a name in one, by its whole dotted name."""
    path = full.removeprefix(f"{ROOT}.").split(".")
    told = ("openallen has no counterpart", _PAGE)
    for length in range(len(path), 0, -1):
        found = _MODULES.get(".".join(path[:length]))
        if found is not None:
            told = found
            break
    return MissingModuleError(f"no '{path[-1]}' here", address=full, why=told[0], hint=told[1])


class _Finder(MetaPathFinder):
    """Asked last: a module of AllenSDK that is not mirrored says what to use in its place."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        last = fullname.rpartition(".")[2]
        if fullname.startswith(f"{ROOT}.") and not last.startswith("_"):
            raise _missing(fullname)
        return None


def watch() -> None:
    """Have imports below this package that fail say what to use; others are left alone."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
