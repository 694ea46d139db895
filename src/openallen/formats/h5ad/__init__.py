"""Annotated matrices (``.h5ad``): cells x genes, read a part at a time, without anndata."""

from openallen.formats.h5ad.file import H5ad, open_h5ad

__all__ = ["H5ad", "open_h5ad"]
