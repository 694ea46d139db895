from __future__ import annotations

import os

import pytest

from openallen.store import Lease, Leases, Leftovers, Part, Progress


@pytest.fixture
def leases():
    held = Leases()
    yield held
    held.close()


def write(part: Part, data: bytes, progress: Progress) -> None:
    handle = part.start(progress)
    os.write(handle, data)
    part.checkpoint(handle, progress.done_bytes + len(data))
    os.close(handle)


def test_finished_part_has_its_name_and_nothing_else_is_left(tmp_path, leases):
    lease = leases.take(tmp_path / "a.nwb")
    part = Part(lease, resumable=True)
    write(part, b"whole", Progress("u", '"v1"', 5))
    part.finish()
    leases.release(lease)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a.nwb": b"whole"}


def test_the_next_holder_goes_on_behind_what_was_recorded(tmp_path, leases):
    target = tmp_path / "a.nwb"
    lease = leases.take(target)
    part = Part(lease, resumable=True)
    write(part, b"0123456789", Progress("u", '"v1"', 20))
    with part.path.open("ab") as file:
        file.write(b"written but never recorded")
    leases.release(lease)

    lease = leases.take(target)
    part = Part(lease, resumable=True, left=Leftovers().of(target))
    assert part.progress == Progress("u", '"v1"', 20, 10)
    write(part, b"abcdefghij", part.progress)
    part.finish()
    assert target.read_bytes() == b"0123456789abcdefghij"


def test_of_several_leftovers_the_longest_is_taken_and_the_rest_thrown_away(tmp_path, leases):
    target = tmp_path / "a.nwb"
    for data in (b"12345", b"1234567", b"1"):
        lease = leases.take(target)
        write(Part(lease, resumable=True), data, Progress("u", '"v"', 9))
        leases.release(lease)
    part = Part(leases.take(target), resumable=True, left=Leftovers().of(target))
    assert part.progress.done_bytes == 7
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".json", ".lease", ".part"]


@pytest.mark.parametrize("damage", ["no record", "not json", "wrong keys", "longer than the part"])
def test_a_part_whose_record_cannot_be_trusted_is_thrown_away(tmp_path, leases, damage):
    target = tmp_path / "a.nwb"
    lease = leases.take(target)
    old = Part(lease, resumable=True)
    write(old, b"12345", Progress("u", '"v"', 9))
    leases.release(lease)
    texts = {"not json": "{", "wrong keys": '{"a": 1}', "longer than the part": None}
    if damage == "no record":
        old.record.unlink()
    elif damage == "longer than the part":
        os.truncate(old.path, 2)
    else:
        old.record.write_text(texts[damage])
    part = Part(leases.take(target), resumable=True, left=Leftovers().of(target))
    assert part.progress is None
    assert not old.path.exists()


def test_what_cannot_be_gone_on_with_is_thrown_away(tmp_path, leases):
    target = tmp_path / "a.jpg"
    lease = leases.take(target)
    write(Part(lease, resumable=False), b"12345", Progress("u"))
    leases.release(lease)
    part = Part(leases.take(target), resumable=False, left=Leftovers().of(target))
    assert part.progress is None
    assert [p.name for p in tmp_path.iterdir()] == ["a.jpg.lease"]


def test_leftovers_belong_to_their_own_target(tmp_path, leases):
    for name in ("a.jpg", "a.jpg.b"):
        lease = leases.take(tmp_path / name)
        write(Part(lease, resumable=True), b"1", Progress("u", '"v"'))
        leases.release(lease)
    left = Leftovers()
    assert [p.name[:6] for p in left.of(tmp_path / "a.jpg")] == ["a.jpg."]
    assert len(left.of(tmp_path / "a.jpg.b")) == 1
    assert left.of(tmp_path / "a.jpg") == []


def test_a_target_that_stands_is_replaced_only_at_the_end(tmp_path, leases):
    target = tmp_path / "a.jpg"
    target.write_bytes(b"old")
    part = Part(leases.take(target), resumable=False)
    write(part, b"new", Progress("u"))
    assert target.read_bytes() == b"old"
    part.finish()
    assert target.read_bytes() == b"new"


def test_a_holder_that_wakes_up_does_not_write_into_the_next_ones_file(tmp_path):
    """A process that was stopped still has its part open when another has taken it over."""
    target = tmp_path / "a.nwb"
    before = Part(Lease(target), resumable=True)
    handle = before.start(Progress("u", '"v"', 20))
    os.write(handle, b"0123456789")
    before.checkpoint(handle, 10)
    lease = Lease(target, inherited=True, asleep=True)
    part = Part(lease, resumable=True, left=Leftovers().of(target))
    assert part.progress == Progress("u", '"v"', 20, 10)
    write(part, b"abcdefghij", part.progress)
    part.finish()
    os.write(handle, b"WRONGWRONG")
    os.close(handle)
    assert target.read_bytes() == b"0123456789abcdefghij"
    assert [p.name for p in tmp_path.iterdir()] == ["a.nwb"]


def test_where_a_part_cannot_be_copied_the_file_is_begun_anew(tmp_path, monkeypatch):
    target = tmp_path / "a.nwb"
    write(Part(Lease(target), resumable=True), b"0123456789", Progress("u", '"v"', 20))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    lease = Lease(target, inherited=True, asleep=True)
    part = Part(lease, resumable=True, left=Leftovers().of(target))
    assert part.progress is None
    assert not list(tmp_path.iterdir())
