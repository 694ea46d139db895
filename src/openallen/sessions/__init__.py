"""Behavior, ophys and ecephys sessions in NWB files, local or remote."""

from openallen.sessions.behavior import BehaviorSession
from openallen.sessions.ecephys import BehaviorEcephysSession
from openallen.sessions.general import NwbTables
from openallen.sessions.lfp import ProbeLfp
from openallen.sessions.ophys import BehaviorOphysExperiment
from openallen.sessions.patch_clamp import PatchClampSession, SweepData
from openallen.sessions.read import open_nwb, open_session

__all__ = [
    "BehaviorEcephysSession",
    "BehaviorOphysExperiment",
    "BehaviorSession",
    "NwbTables",
    "PatchClampSession",
    "ProbeLfp",
    "SweepData",
    "open_nwb",
    "open_session",
]
