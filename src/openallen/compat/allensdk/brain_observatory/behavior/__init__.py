"""AllenSDK's modules below ``allensdk.brain_observatory.behavior``."""

from __future__ import annotations

from openallen.compat.elsewhere import named

__getattr__ = named(__name__)
