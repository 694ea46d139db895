"""Rows of brain-map.org, by model and filters."""
