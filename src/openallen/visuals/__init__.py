"""What an opened thing looks like: a few kinds of views, and what each needs to be drawn.

An opened thing that can be looked at has a method ``_visuals``, which returns these. The web view
and the notebook draw them; neither knows what kind of thing it was. Nothing is read before it is
drawn: what costs something is a function.
"""

from openallen.visuals.base import Visual
from openallen.visuals.images import CellVisual, Channel, PlaneKey, StackVisual
from openallen.visuals.looks import look, visuals_of
from openallen.visuals.rows import GraphVisual, Link, Node, TableVisual
from openallen.visuals.time import (
    EventTrack,
    IntervalTrack,
    RasterVisual,
    Rois,
    TracesVisual,
    Track,
    channel_tracks,
)
from openallen.visuals.volumes import (
    SlicesVisual,
    Structure,
    TreeVisual,
    Volume,
    is_labels,
    slices_of_volume,
)

__all__ = [
    "CellVisual",
    "Channel",
    "EventTrack",
    "GraphVisual",
    "IntervalTrack",
    "Link",
    "Node",
    "PlaneKey",
    "RasterVisual",
    "Rois",
    "SlicesVisual",
    "StackVisual",
    "Structure",
    "TableVisual",
    "TracesVisual",
    "Track",
    "TreeVisual",
    "Visual",
    "Volume",
    "channel_tracks",
    "is_labels",
    "look",
    "slices_of_volume",
    "visuals_of",
]
