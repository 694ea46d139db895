"""Which gene a name is: an identifier, or a symbol, which several genes may share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Final

from openallen.errors import NotFoundError, UsageError

__all__ = ["SYMBOLS", "GeneNames"]

SYMBOLS: Final = ("gene_symbol", "gene_symbols", "symbol", "gene_name", "feature_name")
"""Columns that hold symbols; the first there is counts."""
_NAMED: Final = 8


class GeneNames:
    """The genes of a matrix, by identifier and by symbol.

    Parameters
    ----------
    identifiers
        The identifier of each gene, in order.
    symbols
        The symbol of each; empty where the file has none.
    where
        What has these genes, for messages.
    """

    def __init__(self, identifiers: Sequence[str], symbols: Sequence[object], where: str) -> None:
        self._where = where
        self._identifiers: dict[str, list[int]] = {}
        self._symbols: dict[str, list[int]] = {}
        for at, name in enumerate(identifiers):
            self._identifiers.setdefault(name, []).append(at)
        for at, symbol in enumerate(symbols):
            if isinstance(symbol, str) and symbol:
                self._symbols.setdefault(symbol, []).append(at)
        self._names = list(identifiers)

    def places(self, names: Iterable[str]) -> list[int]:
        """Return which gene each name is: its place in order.

        Raises
        ------
        NotFoundError
            If there is no such gene, with what is spelled alike.
        UsageError
            If several genes have that symbol, with their identifiers.
        """
        wanted = list(names)
        missing = [name for name in wanted if not self._found(name)]
        if missing:
            raise self._unknown(missing)
        return [self._one(name) for name in wanted]

    @property
    def by_symbol(self) -> bool:
        """Whether there are symbols at all."""
        return bool(self._symbols)

    def has(self, name: str) -> bool:
        """Return whether a gene has this identifier or symbol."""
        return bool(self._found(name))

    def _found(self, name: str) -> list[int]:
        return self._identifiers.get(name) or self._symbols.get(name) or []

    def _one(self, name: str) -> int:
        found = self._found(name)
        if len(found) == 1:
            return found[0]
        named = [self._names[at] for at in found]
        if len(set(named)) == 1:
            raise UsageError(
                f"the identifier '{name}' is that of {len(found)} genes", address=self._where
            )
        raise UsageError(
            f"{len(found)} genes have the symbol '{name}'",
            address=self._where,
            why=f"their identifiers: {', '.join(named[:_NAMED])}",
            hint=f"ask by identifier: '{named[0]}'",
        )

    def _unknown(self, missing: Sequence[str]) -> NotFoundError:
        names = ", ".join(f"'{name}'" for name in missing[:_NAMED])
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        near = self._near(missing[0])
        return NotFoundError(
            f"no gene {names}{more}",
            address=self._where,
            why=f"near '{missing[0]}': {', '.join(near)}"
            if near
            else f"it has {len(self._names):,} genes"
            + ("" if self._symbols else ", by identifier alone: the file has no symbols"),
            hint=f"'{near[0]}'" if near else "",
        )

    def _near(self, name: str) -> list[str]:
        """Return names that are spelled alike, whatever their case."""
        known = (*self._symbols, *self._identifiers)
        folded = {one.casefold(): one for one in reversed(known)}
        return [folded[n] for n in get_close_matches(name.casefold(), folded, 3, 0.7)]
