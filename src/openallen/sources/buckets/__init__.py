"""Folders of public buckets, for sources that keep their things in one: list, fetch, open."""
