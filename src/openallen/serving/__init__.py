"""Servers on loopback, for whatever app: bounds, time limits, and no answers to strangers."""

from openallen.serving.asgi import App
from openallen.serving.gate import BusyError, Gate, GoneError
from openallen.serving.guard import Policy, guarded
from openallen.serving.server import serve, serving

__all__ = ["App", "BusyError", "Gate", "GoneError", "Policy", "guarded", "serve", "serving"]
