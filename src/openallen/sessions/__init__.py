"""Behavior, ophys and ecephys sessions in NWB files, here or far away."""

from openallen.sessions.behavior import BehaviorSession
from openallen.sessions.ecephys import BehaviorEcephysSession
from openallen.sessions.general import NwbTables
from openallen.sessions.ophys import BehaviorOphysExperiment
from openallen.sessions.read import open_nwb, open_session

__all__ = [
    "BehaviorEcephysSession",
    "BehaviorOphysExperiment",
    "BehaviorSession",
    "NwbTables",
    "open_nwb",
    "open_session",
]
