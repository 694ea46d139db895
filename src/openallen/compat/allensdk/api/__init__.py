"""AllenSDK's modules below ``allensdk.api``."""

from __future__ import annotations

from openallen.compat.elsewhere import named

__getattr__ = named(__name__)
