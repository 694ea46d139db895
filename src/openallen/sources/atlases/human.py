"""Gene expression in the adult human brain: the microarray service as one labelled table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from openallen.brainmap.builder import Search
from openallen.brainmap.language import Query
from openallen.brainmap.parser import parse
from openallen.errors import AnswerError, NotFoundError, UsageError, requiring
from openallen.sources.context import Context

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from openallen.brainmap import Client
    from openallen.settings import Settings

__all__ = ["human_microarray", "microarray_dataset"]

_SERVICE: Final = "human_microarray_expression"
_PRODUCT: Final = "HumanMA"
_ONE_REQUEST: Final = 100
"""Probes of one request: a gene has a few, a request some hundreds of samples for each."""


def human_microarray(
    gene: str | Sequence[str] | None = None,
    *,
    probes: Iterable[int] | None = None,
    donors: Iterable[int] | None = None,
    structures: Iterable[int | str] | None = None,
    source: str | None = None,
    settings: Settings | None = None,
) -> xr.Dataset:
    """Return the expression of genes in the samples of the Allen Human Brain Atlas.

    Parameters
    ----------
    gene
        Acronym of a gene, or several: all their probes.
    probes
        Ids of probes instead.
    donors
        Ids of donors; all six where None.
    structures
        Ids or acronyms of structures whose samples are wanted; all where None.
    source
        ``live`` (the default) or the folder or URL of an archive.
    settings
        Settings to use; loaded from the environment and files if None.

    Returns
    -------
    Dataset
        ``expression`` (log2 intensity, as the service normalised it) and ``z_score``, float64,
        ``probe`` x ``sample``; ``gene`` along ``probe``; along ``sample`` ``donor_id``,
        ``donor``, ``well``, ``structure_id``, ``structure``, ``structure_name``, ``mri`` (voxel of
        the donor's own scan) and ``mni`` (mm, by the donor's published affine map; NaN where there
        is none), both with the axis ``xyz``.

    Raises
    ------
    NotFoundError
        If a gene has no probe, or no sample matches.
    UsageError
        If neither genes nor probes are given, or both are.
    AnswerError
        If the answer contradicts itself, or the service failed.
    """
    if (gene is None) == (probes is None):
        raise UsageError("genes or probes, and not both", hint="human_microarray('PDYN')")
    with Context(settings, source=source) as context:
        client = context.client
        ids = _probes(client, gene) if gene is not None else _ids(probes or (), "probes")
        if not ids:
            raise UsageError("no probe given", hint="probes=[1058685]")
        wanted: dict[str, Sequence[Any]] = {
            "donors": _ids(donors, "donors"),
            "structures": _words(structures),
        }
        answers = [
            _answer(client, ids[at : at + _ONE_REQUEST], wanted)
            for at in range(0, len(ids), _ONE_REQUEST)
        ]
        told = _joined(answers)
        names = {str(_at(one, "donor", "name")) for one in told["samples"]}
        rows = client.rows(_maps(sorted(names))) if names else ()
        maps = {str(row.get("name")): row.get("alignment3d") for row in rows}
    if not told["samples"]:
        raise NotFoundError(
            "no sample of the human brain matches", why=f"donors, structures: {wanted}"
        )
    return microarray_dataset(told, maps)


def _maps(names: Sequence[str]) -> Query:
    """Return the query for the brains of donors, with the maps of their scans to MNI."""
    return Search.of("Specimen").where(name__in=names).include("alignment3d").query


def _ids(given: Iterable[int] | None, what: str) -> list[int]:
    try:
        found = [] if given is None else [int(one) for one in given]
    except (TypeError, ValueError):
        raise UsageError(f"{what} are named by their ids", why=f"{given!r:.60}") from None
    if given is not None and not found:
        raise UsageError(f"{what}= is empty")
    return found


def _words(given: Iterable[int | str] | None) -> list[str]:
    if given is None:
        return []
    found = [str(one) for one in ([given] if isinstance(given, (str, int)) else given)]
    if not found or not all(word and word.isascii() and word.isprintable() for word in found):
        raise UsageError("structures are named by id or acronym", why=f"{found!r:.60}")
    for word in found:
        if set(word) & set("[]$,'"):
            raise UsageError(f"no structure is called '{word[:40]}'")
    return found


def _probes(client: Client, gene: str | Sequence[str]) -> list[int]:
    """Return the ids of the probes of genes, by gene and id.

    Raises
    ------
    NotFoundError
        If a gene has none.
    """
    genes = [gene] if isinstance(gene, str) else list(gene)
    if not genes or not all(isinstance(one, str) and one for one in genes):
        raise UsageError("genes are named by their acronyms", why=f"{gene!r:.60}", hint="'PDYN'")
    found: list[int] = []
    for one in genes:
        search = Search.of("Probe").where(probe_type="DNA")
        search = search.where("products", abbreviation=_PRODUCT).where("gene", acronym=one)
        ids = sorted(int(row["id"]) for row in client.rows(search.query))
        if not ids:
            elsewhere = "this archive may have no microarrays" if client.source_option else ""
            raise NotFoundError(
                f"no probe of '{one[:40]}' in the Allen Human Brain Atlas",
                why="acronyms of human genes are in capitals" if one != one.upper() else elsewhere,
                hint=f"human_microarray('{one.upper()[:40]}')" if one != one.upper() else "",
            )
        found += ids
    return list(dict.fromkeys(found))


def _answer(
    client: Client, probes: Sequence[int], wanted: Mapping[str, Sequence[Any]]
) -> Mapping[str, Any]:
    text = f"service::{_SERVICE}[probes$in{','.join(map(str, probes))}]"
    for name, values in wanted.items():
        if values:
            quoted = (f"'{value}'" if isinstance(value, str) else str(value) for value in values)
            text += f"[{name}$in{','.join(quoted)}]"
    # An object has no rows to be counted: what the service says of their number is not looked at.
    rows = client.answer(parse(text)).rows
    if len(rows) != 1 or not all(isinstance(rows[0].get(k), list) for k in ("probes", "samples")):
        raise AnswerError("not an answer of the microarray service", why=f"{rows!r:.80}")
    return rows[0]


def _joined(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return answers for several lots of probes as one; all must be of the same samples."""
    first = answers[0]
    if any(other["samples"] != first["samples"] for other in answers[1:]):
        raise AnswerError("the microarray service gave other samples for other probes")
    return {"samples": first["samples"], "probes": [p for one in answers for p in one["probes"]]}


def _at(node: Any, *path: str) -> Any:
    for name in path:
        node = node.get(name) if isinstance(node, Mapping) else None
    return node


@requiring("expression in the human brain", "atlas")
def microarray_dataset(
    answer: Mapping[str, Any], maps: Mapping[str, Mapping[str, Any] | None] | None = None
) -> xr.Dataset:
    """Return an answer of the service (its ``msg``) as a Dataset; see `human_microarray`.

    Parameters
    ----------
    answer
        ``probes`` and ``samples``.
    maps
        Rows of ``Alignment3d`` by the name of the donor: from the voxels of the scan to MNI, in mm.

    Raises
    ------
    AnswerError
        If a probe has not a number for each sample.
    """
    import numpy as np
    import xarray as xr

    samples, probes = answer["samples"], answer["probes"]
    shape = (len(probes), len(samples))
    values = {"expression": np.empty(shape), "z_score": np.empty(shape)}
    for at, probe in enumerate(probes):
        for name, key in (("expression", "expression_level"), ("z_score", "z-score")):
            values[name][at] = _numbers(probe, key, len(samples))
    along = {
        "donor_id": [_at(s, "donor", "id") for s in samples],
        "donor": [str(_at(s, "donor", "name") or "") for s in samples],
        "well": [_at(s, "sample", "well") for s in samples],
        "structure_id": [_at(s, "structure", "id") for s in samples],
        "structure": [str(_at(s, "structure", "abbreviation") or "") for s in samples],
        "structure_name": [str(_at(s, "structure", "name") or "") for s in samples],
    }
    mri = np.array([_place(sample) for sample in samples], float).reshape(len(samples), 3)
    coords: dict[str, Any] = {name: ("sample", found) for name, found in along.items()}
    coords |= {
        "probe": [_at(probe, "id") for probe in probes],
        "gene": ("probe", [str(_at(probe, "gene-symbol") or "") for probe in probes]),
        "probe_name": ("probe", [str(_at(probe, "name") or "") for probe in probes]),
        "xyz": list("xyz"),
        "mri": (("sample", "xyz"), mri),
        "mni": (("sample", "xyz"), _mni(mri, along["donor"], maps or {}), {"units": "mm"}),
    }
    told = {name: (("probe", "sample"), found) for name, found in values.items()}
    made = xr.Dataset(told, coords=coords)
    made["expression"].attrs = {"long_name": "normalised expression", "units": "log2 intensity"}
    made["z_score"].attrs = {"long_name": "z score over the samples", "units": "1"}
    return made


def _numbers(probe: Any, key: str, count: int) -> list[float]:
    told = _at(probe, key)
    try:
        found = [float(one) for one in told]
    except (TypeError, ValueError) as error:
        raise AnswerError(f"a probe without its {key}", why=str(error)[:80]) from error
    if len(found) != count:
        raise AnswerError(
            "a probe and the samples contradict each other",
            why=f"{len(found)} of {key}, {count} samples",
        )
    return found


def _place(sample: Any) -> list[float]:
    told = _at(sample, "sample", "mri")
    try:
        found = [float(one) for one in told]
    except (TypeError, ValueError):
        found = []
    return found if len(found) == 3 else [float("nan")] * 3


def _mni(
    mri: np.ndarray[Any, Any], donors: Sequence[str], maps: Mapping[str, Mapping[str, Any] | None]
) -> np.ndarray[Any, Any]:
    """Return samples in MNI space, each by its donor's map; NaN where there is none."""
    import numpy as np

    found = np.full_like(mri, np.nan)
    for donor in set(donors):
        row = maps.get(donor)
        if not row:
            continue
        try:
            told = [float(row[f"tvr_{n:02}"]) for n in range(12)]
        except (KeyError, TypeError, ValueError) as error:
            raise AnswerError("an alignment row is not whole", why=f"{donor}: {error}") from error
        here = np.array([name == donor for name in donors])
        found[here] = mri[here] @ np.array(told[:9]).reshape(3, 3).T + told[9:]
    return found
