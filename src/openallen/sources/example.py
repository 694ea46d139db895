"""Addresses that work, as help and the conformance suite use them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Example"]


@dataclass(frozen=True)
class Example:
    """An address that works, and what it names; the conformance suite tries each.

    Parameters
    ----------
    address
        The address.
    meaning
        What it names, in a few words.
    sample
        Whether the embedded sample has it.
    web
        Web addresses that mean the same thing.
    """

    address: str
    meaning: str
    sample: bool = False
    web: tuple[str, ...] = ()
