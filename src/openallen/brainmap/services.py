"""The connected services of brain-map.org, and what each takes.

The service describes its models, not these: the list is that of its documentation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final

from openallen.brainmap.builder import literal
from openallen.brainmap.language import Filter, Query, ServiceStage
from openallen.errors import UsageError

__all__ = ["SERVICES", "Service", "service_query"]

_PAGING: Final = ("start_row", "num_rows")


@dataclass(frozen=True, slots=True)
class Service:
    """One connected service.

    Parameters
    ----------
    name
        Its name: ``mouse_connectivity_correlation``.
    required, optional
        Names of its parameters. Structures are ids or acronyms, all other ids whole numbers.
    values
        The only values of a parameter, where they are known.
    """

    name: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def parameters(self) -> tuple[str, ...]:
        """All parameters, required ones first."""
        return (*self.required, *self.optional)

    def __repr__(self) -> str:
        told = [f"{name} (required)" for name in self.required] + list(self.optional)
        return f"service::{self.name}: {', '.join(told)}"


_Values = dict[str, tuple[str, ...]]
_ORDER: Final[_Values] = {"sort_order": ("asc", "desc")}
_CHANGE: Final[_Values] = {"sort_by": ("p-value", "fold-change")}
_RNA: Final[_Values] = {
    "set": (
        "rna_seq_genes", "rna_seq_exons", "exon_microarray_genes", "exon_microarray_exons",
    ),
}  # fmt: skip
_SIDES: Final = dict.fromkeys(
    ("hemisphere", "injection_hemisphere", "target_hemisphere"), ("left", "right")
)
_CHOSEN: Final = (
    "transgenic_lines", "injection_structures", "product_ids", "primary_structure_only",
)  # fmt: skip


def _services() -> Iterator[Service]:
    micro = ("human_microarray", "dev_human_microarray", "gbm")
    primate = ("nhp_lmd_microarray", "nhp_macro_microarray")
    groups = ("structures1", "structures2")
    for name in (*micro, *primate):
        donors = ("donors", "sort_order")
        yield Service(f"{name}_correlation", ("structures", "probes"), donors, _ORDER)
        compared = ("donors1", "donors2", "sort_by")
        yield Service(f"{name}_differential", groups, compared, _CHANGE)
        of = () if name in primate else ("donors", "structures")
        yield Service(f"{name}_expression", ("probes",), of)
    told: tuple[str, ...] = ("set", "donors", "sort_order")
    yield Service("dev_human_correlation", ("structures", "probes"), told, _ORDER | _RNA)
    told = ("donors1", "donors2", "sort_by")
    yield Service("dev_human_differential", ("set", *groups), told, _CHANGE | _RNA)
    yield Service("dev_human_expression", ("set", "probes"), ("donors", "structures"), _RNA)
    yield Service("gbm_ish_differential", groups, ("threshold1", "threshold2"))
    yield Service("gbm_ish_expression", ("structures",), ("threshold",))
    mouse: _Values = {"set": ("mouse", "mouse_coronal")}
    told = ("structures", "sort_order")
    yield Service("mouse_correlation", ("set", "row"), told, mouse | _ORDER)
    yield Service("mouse_differential", ("set", *groups), ("threshold1", "threshold2"), mouse)
    yield Service("dev_mouse_correlation", ("row",), ("structures", "ages", "sort_order"), _ORDER)
    yield Service(
        "mouse_agea",
        ("set", "seed_age", "map_age", "seed_point"),
        ("correlation_threshold1", "correlation_threshold2", "threshold1", "threshold2"),
    )
    yield Service(
        "dev_mouse_agea",
        ("seed_age", "map_age", "seed_point", "seed_threshold", "map_threshold"),
        ("contrast_threshold", "target_threshold"),
    )
    found: tuple[str, ...] = ("structures", "hemisphere", *_CHOSEN, "sort_order")
    yield Service("mouse_connectivity_correlation", ("row",), found, _SIDES | _ORDER)
    yield Service("mouse_connectivity_injection_coordinate", ("seed_point",), _CHOSEN)
    found = (
        "target_domain", "injection_hemisphere", "target_hemisphere", "transgenic_lines",
        "injection_domain", "product_ids", "primary_structure_only",
    )  # fmt: skip
    required = ("injection_structures",)
    yield Service("mouse_connectivity_injection_structure", required, found, _SIDES)
    found = ("section_data_set", *_CHOSEN)
    yield Service("mouse_connectivity_target_spatial", ("seed_point",), found)
    yield Service("text_search", ("query_string", "k"))


SERVICES: Final[Mapping[str, Service]] = MappingProxyType(
    {one.name: one for one in sorted(_services(), key=lambda s: s.name)}
)
"""Every connected service by its name."""


def service_query(name: str, parameters: Mapping[str, object]) -> Query:
    """Return the query that calls a connected service.

    Parameters
    ----------
    name
        The service.
    parameters
        Its parameters; a list or tuple becomes several values, and None is left out.

    Raises
    ------
    UsageError
        If there is no such service or parameter, a required one is missing, or a value is none
        that the parameter takes.
    """
    known = SERVICES.get(name)
    if known is None:
        near = get_close_matches(str(name), SERVICES, 1, 0.5)
        raise UsageError(
            f"no connected service '{name}'",
            why=f"near is {near[0]}" if near else "",
            hint="openallen list rma:services",
        )
    given = {key: value for key, value in parameters.items() if value is not None}
    _check(known, given)
    filters = []
    for key, value in given.items():
        several = tuple(value) if isinstance(value, (list, tuple)) else (value,)
        if not several:
            raise UsageError(f"'{key}' has no value", address=f"service::{name}")
        filters.append(Filter(key, "eq", tuple(map(literal, several))))
    return Query((ServiceStage(name, tuple(filters)),))


def _check(known: Service, given: Mapping[str, object]) -> None:
    where = f"service::{known.name}"
    paging = () if known.name == "text_search" else _PAGING
    for key, value in given.items():
        if key not in {*known.parameters, *paging}:
            near = get_close_matches(key, known.parameters, 1, 0.5)
            raise UsageError(
                f"no parameter '{key}'",
                address=where,
                why="it takes " + ", ".join(known.parameters),
                hint=near[0] if near else "",
            )
        allowed = known.values.get(key)
        several = value if isinstance(value, (list, tuple)) else (value,)
        if allowed and (len(several) != 1 or several[0] not in allowed):
            told = ", ".join(allowed)
            shown = ", ".join(map(str, several))
            raise UsageError(f"'{shown}' is no value of {key}", address=where, why=f"one of {told}")
    missing = [key for key in known.required if key not in given]
    if missing:
        raise UsageError(f"'{missing[0]}' is missing", address=where, why="it is required")
