"""Imports run one way, those inside functions and for types only counted too."""

from __future__ import annotations

import pytest

ROOMS = ("openallen.sources.atlases.", "openallen.formats.")


def circles(imports: dict[str, set[str]]) -> list[list[str]]:
    """Return what is left once modules that import nothing (left) are taken away, in one go each."""
    left = {name: set(found) for name, found in imports.items()}
    while True:
        ends = [name for name, found in left.items() if not found]
        if not ends:
            return [sorted(left)] if left else []
        for name in ends:
            del left[name]
        for found in left.values():
            found.difference_update(ends)


def test_a_circle_is_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert circles({"a": {"b"}, "b": {"a"}, "c": set()}) == [["a", "b"]]


def test_no_module_imports_what_imports_it():
    grimp = pytest.importorskip("grimp")
    graph = grimp.build_graph("openallen", exclude_type_checking_imports=False, cache_dir=None)
    rooms = {name for name in graph.modules if name.startswith(ROOMS)}
    assert {"openallen.sources.atlases.plots", "openallen.formats.swc"} <= rooms
    assert circles({name: graph.find_modules_directly_imported_by(name) & rooms for name in rooms}) == []  # fmt: skip
