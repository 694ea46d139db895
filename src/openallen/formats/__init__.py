"""Bytes to arrays, tables and trees. Knows no network."""
