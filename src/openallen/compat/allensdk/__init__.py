"""AllenSDK's own names: change the imports, and a script runs.

::

    from allensdk.core.cell_types_cache import CellTypesCache
    from openallen.compat.allensdk.core.cell_types_cache import CellTypesCache

    from openallen.compat.allensdk import CellTypesCache        # the same class

Names, arguments and values are AllenSDK's; each call is one or two of openallen's. What is not here
says what to use in its place.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from openallen.compat.elsewhere import named, watch

if TYPE_CHECKING:
    from openallen.compat.allensdk.api.queries.grid_data_api import GridDataApi
    from openallen.compat.allensdk.api.queries.image_download_api import ImageDownloadApi
    from openallen.compat.allensdk.api.queries.rma_api import RmaApi
    from openallen.compat.allensdk.api.queries.synchronization_api import SynchronizationApi
    from openallen.compat.allensdk.api.queries.tree_search_api import TreeSearchApi
    from openallen.compat.allensdk.brain_observatory.behavior.behavior_project_cache import (
        VisualBehaviorNeuropixelsProjectCache,
        VisualBehaviorOphysProjectCache,
    )
    from openallen.compat.allensdk.brain_observatory.ecephys.ecephys_project_cache import (
        EcephysProjectCache,
    )
    from openallen.compat.allensdk.brain_observatory.ecephys.ecephys_session import EcephysSession
    from openallen.compat.allensdk.core.brain_observatory_cache import BrainObservatoryCache
    from openallen.compat.allensdk.core.brain_observatory_nwb_data_set import (
        BrainObservatoryNwbDataSet,
    )
    from openallen.compat.allensdk.core.cell_types_cache import CellTypesCache
    from openallen.compat.allensdk.core.mouse_connectivity_cache import MouseConnectivityCache
    from openallen.compat.allensdk.core.nwb_data_set import NwbDataSet
    from openallen.compat.allensdk.core.reference_space import ReferenceSpace
    from openallen.compat.allensdk.core.reference_space_cache import ReferenceSpaceCache
    from openallen.compat.allensdk.core.structure_tree import StructureTree
    from openallen.compat.allensdk.core.swc import read_swc

__all__ = [
    "BrainObservatoryCache",
    "BrainObservatoryNwbDataSet",
    "CellTypesCache",
    "EcephysProjectCache",
    "EcephysSession",
    "GridDataApi",
    "ImageDownloadApi",
    "MouseConnectivityCache",
    "NwbDataSet",
    "ReferenceSpace",
    "ReferenceSpaceCache",
    "RmaApi",
    "StructureTree",
    "SynchronizationApi",
    "TreeSearchApi",
    "VisualBehaviorNeuropixelsProjectCache",
    "VisualBehaviorOphysProjectCache",
    "read_swc",
]

_BEHAVIOR: Final = "brain_observatory.behavior.behavior_project_cache"
_MODULES: Final = {
    "BrainObservatoryCache": "core.brain_observatory_cache",
    "BrainObservatoryNwbDataSet": "core.brain_observatory_nwb_data_set",
    "CellTypesCache": "core.cell_types_cache",
    "EcephysProjectCache": "brain_observatory.ecephys.ecephys_project_cache",
    "EcephysSession": "brain_observatory.ecephys.ecephys_session",
    "GridDataApi": "api.queries.grid_data_api",
    "ImageDownloadApi": "api.queries.image_download_api",
    "MouseConnectivityCache": "core.mouse_connectivity_cache",
    "NwbDataSet": "core.nwb_data_set",
    "ReferenceSpace": "core.reference_space",
    "ReferenceSpaceCache": "core.reference_space_cache",
    "RmaApi": "api.queries.rma_api",
    "StructureTree": "core.structure_tree",
    "SynchronizationApi": "api.queries.synchronization_api",
    "TreeSearchApi": "api.queries.tree_search_api",
    "VisualBehaviorNeuropixelsProjectCache": _BEHAVIOR,
    "VisualBehaviorOphysProjectCache": _BEHAVIOR,
    "read_swc": "core.swc",
}
_unknown = named(__name__)
watch()


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        return _unknown(name)
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
