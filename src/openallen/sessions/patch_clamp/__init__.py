"""Sweeps of patch-clamp recordings through one face: Cell Types (NWB 1), MIES, others (NWB 2)."""

from openallen.sessions.patch_clamp.data import SweepData
from openallen.sessions.patch_clamp.session import PatchClampSession

__all__ = ["PatchClampSession", "SweepData"]
