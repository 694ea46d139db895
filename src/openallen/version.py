"""Which openallen this is."""

# Read by the build too, as it stands here: no annotation.
__version__ = "0.2.0"
