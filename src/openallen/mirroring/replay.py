"""Which answers an archive would give differently from the tables of a mirror: those are kept.

Rows that were taken apart answer many queries beside the one they came with. Whether they also
answer that one exactly is tried: the archive evaluates each query that was asked over the tables,
and where the rows or their number differ, the answer is kept as it came.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from openallen.brainmap.answers import Answer, read_answer
from openallen.errors import MissingExtraError, OpenAllenError
from openallen.mirroring.recorder import Kept

__all__ = ["unlike"]


def unlike(root: Path, answers: Iterable[Kept]) -> Iterator[Kept]:
    """Return the answers that the tables of a mirror do not give as they came.

    Without the extra ``web``, by which an archive evaluates queries, these are all.

    Parameters
    ----------
    root
        The folder of the mirror, its tables written.
    answers
        Answers with rows of models.
    """
    try:
        from openallen.archive.holdings import Holdings

        holdings = Holdings(root)
    except (MissingExtraError, OpenAllenError):
        yield from answers
        return
    from openallen.archive.evaluate import evaluate
    from openallen.archive.relations import Refusal

    for kept in answers:
        assert kept.query is not None
        came = read_answer(kept.path.read_bytes(), "json", url=kept.url)
        try:
            made = evaluate(holdings, kept.query)
        except (Refusal, OpenAllenError):
            yield kept
            continue
        if not _same(came, Answer(made.rows, made.start_row, len(made.rows), made.total_rows)):
            yield kept


def _same(came: Answer, made: Answer) -> bool:
    return (came.rows, came.total_rows) == (made.rows, made.total_rows)
