"""What works here and what does not: the checks of ``openallen doctor``."""

from __future__ import annotations

from openallen.checkup.findings import Checkup, Finding
from openallen.checkup.run import CHECKS, doctor

__all__ = ["CHECKS", "Checkup", "Finding", "doctor"]
