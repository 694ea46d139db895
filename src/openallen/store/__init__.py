"""Bytes at rest: layout, index, claims, parts."""
