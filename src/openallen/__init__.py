"""One fast, typed, verified client for everything the Allen Institute publishes.

``import openallen as oa`` costs next to nothing: every name loads its room when first used.
"""

__version__ = "0.1.0"
