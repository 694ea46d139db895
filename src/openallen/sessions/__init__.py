"""Behavior, ophys and ecephys sessions in NWB files, local or remote."""

from openallen.sessions.behavior import BehaviorSession
from openallen.sessions.ecephys import BehaviorEcephysSession
from openallen.sessions.general import NwbTables
from openallen.sessions.lfp import ProbeLfp
from openallen.sessions.ophys import BehaviorOphysExperiment
from openallen.sessions.read import open_nwb, open_session
from openallen.sessions.visual_coding.ecephys import EcephysSession

__all__ = [
    "BehaviorEcephysSession",
    "BehaviorOphysExperiment",
    "BehaviorSession",
    "EcephysSession",
    "NwbTables",
    "ProbeLfp",
    "open_nwb",
    "open_session",
]
