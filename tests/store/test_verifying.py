"""Reading files through: in order, for any number of threads, whatever else is recorded."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from openallen.formats import parallel
from openallen.formats.parallel import sized_map
from openallen.store.checked import verify_remembered
from openallen.store.digests import digest_of
from openallen.store.index import Index

LARGE = 5 << 20


def recorded(root: Path, sizes: list[int]) -> tuple[Index, list[Path]]:
    """Files of these sizes in folders of ten, with records in a new index."""
    index, paths = Index(root), []
    for number, size in enumerate(sizes):
        path = root / "grids" / f"{number // 10:03}" / f"{number % 10}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
        index.remember(path, digest=digest_of(path), source="https://a/b", address=f"grid:{number}")
        paths.append(path)
    return index, paths


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_damage_is_found_and_results_are_in_order_with_any_number_of_threads(
    tmp_path, monkeypatch, workers
):
    monkeypatch.setattr(parallel, "cores", lambda: workers)
    sizes = [10, 0, LARGE, 4096, 70_000, *[100] * 200, LARGE, 5, LARGE]
    index, paths = recorded(tmp_path, sizes)
    with index:
        for damaged in (paths[2], paths[100]):
            data = bytearray(damaged.read_bytes())
            data[len(data) // 2] ^= 1
            damaged.write_bytes(data)
        paths[7].unlink()
        found = list(verify_remembered(tmp_path, index))
    assert [c.path for c in found] == sorted(paths)
    status = {c.path: c.status for c in found if c.status != "intact"}
    assert status == {paths[2]: "damaged", paths[100]: "damaged", paths[7]: "missing"}
    assert [c.size_bytes for c in found if c.status != "missing"] == [
        p.stat().st_size for p in sorted(paths) if p.exists()
    ]


def test_only_what_is_below_a_folder_is_read_from_the_index(tmp_path):
    index, paths = recorded(tmp_path / "store", [10] * 25)
    elsewhere = tmp_path / "elsewhere" / "a.bin"
    elsewhere.parent.mkdir()
    # "001!" and "0010" sort on either side of "001/".
    beside = [tmp_path / "store" / "grids" / name / "a.bin" for name in ("001!", "0010")]
    with index:
        for path in (elsewhere, *beside):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"x")
            index.remember(path, digest=digest_of(path), source="", address="")

        def below(folder: Path) -> list[Path]:
            return sorted(map(Path, index.everything(folder)))

        for _ in range(2):
            everything = sorted([*paths, *beside, elsewhere])
            assert set(below(tmp_path / "store" / "grids" / "001")) >= set(paths[10:20])
            assert below(tmp_path) == below(tmp_path / "store") == everything
            assert set(below(elsewhere.parent)) >= {elsewhere}
            index.close()
            index = Index(tmp_path / "store")  # the second time nothing is pending
        assert below(tmp_path / "store" / "grids" / "001") == paths[10:20]
        assert below(paths[3]) == [paths[3]]
        assert below(elsewhere.parent) == [elsewhere]
        assert below(tmp_path / "nothing") == []
        index.close()


def test_small_items_are_taken_together_and_all_of_them(monkeypatch):
    monkeypatch.setattr(parallel, "_BATCH_BYTES", 10)
    monkeypatch.setattr(parallel, "_BATCH_ITEMS", 3)
    sizes = [1, 1, 1, 1, 9, 1, 50, 0, 0, 0, 0]
    assert [len(b) for b in parallel._batches(sizes, int)] == [3, 2, 2, 3, 1]
    for workers in (1, 4):
        assert list(sized_map(lambda n: n * 2, sizes, int, workers=workers)) == [
            n * 2 for n in sizes
        ]
    assert list(sized_map(int, [], int)) == []


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_digests_of_files_of_any_size(tmp_path, size):
    data = os.urandom(size)
    (tmp_path / "a").write_bytes(data)
    assert digest_of(tmp_path / "a") == f"sha256:{hashlib.sha256(data).hexdigest()}"
