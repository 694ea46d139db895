"""Mirrors: part of any source in a folder or an S3-compatible store, which an archive serves."""
