"""What fetching a release takes."""

from __future__ import annotations

from dataclasses import dataclass

from openallen.sources.options import option

__all__ = ["FetchOptions"]


@dataclass(frozen=True, kw_only=True)
class FetchOptions:
    """What fetching a release, or a part of it, takes.

    Parameters
    ----------
    mirror
        Whether the folder gets the layout of the bucket.
    """

    mirror: bool = option(
        False,
        "Use the layout of the bucket in the folder: a static cache for AllenSDK and web servers.",
    )
