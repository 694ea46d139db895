"""Behavior, ophys and ecephys sessions in NWB files, local or remote."""

from openallen.sessions.behavior import BehaviorSession
from openallen.sessions.ecephys import BehaviorEcephysSession
from openallen.sessions.general import NwbTables
from openallen.sessions.lfp import ProbeLfp
from openallen.sessions.ophys import BehaviorOphysExperiment
from openallen.sessions.patch_clamp import PatchClampSession, SweepData
from openallen.sessions.read import open_nwb, open_session
from openallen.sessions.visual_coding.ecephys import EcephysSession
from openallen.sessions.visual_coding.ophys import VisualCodingOphysExperiment
from openallen.sessions.visual_coding.ophys_files import AnalysisFile

__all__ = [
    "AnalysisFile",
    "BehaviorEcephysSession",
    "BehaviorOphysExperiment",
    "BehaviorSession",
    "EcephysSession",
    "NwbTables",
    "PatchClampSession",
    "ProbeLfp",
    "SweepData",
    "VisualCodingOphysExperiment",
    "open_nwb",
    "open_session",
]
