"""The local web view: pages of what the store holds and of what there is, on loopback."""

from openallen.viewer.app import ViewerOptions, viewer_app

__all__ = ["ViewerOptions", "viewer_app"]
