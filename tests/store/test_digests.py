"""Digests: whichever library computes them, they are the same."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openallen.store import digests
from openallen.store.digests import SodiumBlake2b, digest_of, new_hasher


@given(st.lists(st.binary(max_size=5000), max_size=12), st.booleans())
def test_libsodium_computes_the_digest_of_hashlib(pieces, as_views):
    ours, theirs = SodiumBlake2b(), hashlib.blake2b()
    for piece in pieces:
        ours.update(memoryview(piece) if as_views else piece)
        theirs.update(piece)
        assert ours.hexdigest() == theirs.hexdigest()  # asking for it in between changes nothing


@pytest.mark.parametrize("algorithm", ["blake2b", "sha256", "md5", "sha1", "sha512"])
@pytest.mark.parametrize("size_bytes", [0, 1 << 40])
def test_every_algorithm_at_every_size(algorithm, size_bytes):
    hasher = new_hasher(algorithm, size_bytes=size_bytes)
    hasher.update(b"bytes")
    assert hasher.hexdigest() == hashlib.new(algorithm, b"bytes").hexdigest()


def test_without_libsodium_hashlib_is_used(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "nacl.bindings", None)
    digests._has_sodium.cache_clear()
    try:
        assert not isinstance(new_hasher("blake2b", size_bytes=1 << 40), SodiumBlake2b)
    finally:
        digests._has_sodium.cache_clear()


def test_a_large_file_is_read_through(tmp_path, monkeypatch):
    monkeypatch.setattr(digests, "_WORTH_SODIUM_BYTES", 1000)
    body = bytes(range(256)) * 3001
    (tmp_path / "file").write_bytes(body)
    assert digest_of(tmp_path / "file", "blake2b") == f"blake2b:{hashlib.blake2b(body).hexdigest()}"
