"""The metadata of an asset, in any version of the schema.

A record is a dict of core files (``data_description``, ``subject``, ``session`` or ``acquisition``,
``rig`` or ``instrument``, ``procedures``, ``processing``, ``quality_control``), as in DocDB and in
``metadata.nd.json``. Nearly half of the real records mix schema versions, so version numbers are
not relied on: each attribute looks in every place where any version stored it. Values that cannot
be read are listed in ``problems``; nothing raises. The dict itself is available as ``raw``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Any, Final

from openallen.display import card, facts_text
from openallen.sources.assets.contradictions import contradictions
from openallen.sources.assets.names import AssetName, parse_name

__all__ = ["CORE_FILES", "PUBLIC_BUCKET", "Metric", "Record", "Step", "read_time"]

CORE_FILES: Final = (
    "data_description",
    "subject",
    "procedures",
    "session",
    "acquisition",
    "rig",
    "instrument",
    "processing",
    "quality_control",
    "model",
)
"""Names of the sidecar files of all schema versions, without ``.json``."""

PUBLIC_BUCKET: Final = "aind-open-data"
_MODALITY_OF: Final[Mapping[str, str]] = {
    "smartspim": "SPIM", "exaspim": "SPIM", "mesospim": "SPIM", "dispim": "SPIM", "hcr": "SPIM",
    "multiplane-ophys": "pophys", "single-plane-ophys": "pophys", "ophys": "pophys",
    "slap": "slap2", "fip": "fib", "hsfp": "fib",
}  # fmt: skip
"""Platforms and former names that are found where a modality belongs."""

_REPR: Final = re.compile(r"abbreviation=['\"]([^'\"]+)['\"]")
_LEVELS: Final = {"raw": "raw", "raw data": "raw", "derived": "derived", "derived data": "derived"}


def read_time(text: object, day: object = None) -> datetime | None:
    """Read a time in any of the notations found in records; None for anything else.

    With an offset, ``Z``, microseconds or without a zone; a blank in place of the ``T``; dashes
    between hours, minutes and seconds; or a time of day alone, with its date in `day`.

    Examples
    --------
    >>> read_time("15-17-45", "2023-02-28").isoformat()
    '2023-02-28T15:17:45'
    """
    if not isinstance(text, str):
        return None
    value = text.strip()
    if re.match(r"\d{2}[:-]\d{2}[:-]\d{2}", value) and isinstance(day, str):
        value = f"{day.strip()[:10]}T{value}"
    value = re.sub(r"^(\d{4}-\d{2}-\d{2})[ _T](\d{2})-(\d{2})-(\d{2})", r"\1T\2:\3:\4", value)
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of processing.

    Parameters
    ----------
    name
        Name of the process, in the vocabulary of the schema (``Spike sorting``).
    started, ended
        Start and end, where recorded.
    version
        Version of the software.
    code_url
        URL of the code.
    parameters
        Parameters it ran with.
    inputs, outputs
        Input and output locations.
    notes
        Notes.
    """

    name: str
    started: datetime | None = None
    ended: datetime | None = None
    version: str = ""
    code_url: str = ""
    parameters: Mapping[str, Any]
    inputs: str = ""
    outputs: str = ""
    notes: str = ""

    @property
    def duration_s(self) -> float | None:
        """Duration in seconds; None where start or end is not recorded."""
        if self.started is None or self.ended is None:
            return None
        if (self.started.tzinfo is None) != (self.ended.tzinfo is None):
            return None
        return (self.ended - self.started).total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One quality-control metric.

    Parameters
    ----------
    name
        Name of the metric.
    status
        ``Pass``, ``Fail`` or ``Pending``: the latest status; empty where there is none.
    value
        Measured value.
    group
        Name of its evaluation, or its tags.
    stage, modality
        Stage of the data (raw, processing, analysis), and modality.
    given
        Time of the latest status.
    reference
        File that documents it.
    """

    name: str
    status: str = ""
    value: Any = None
    group: str = ""
    stage: str = ""
    modality: str = ""
    given: datetime | None = None
    reference: str = ""


class Record:
    """The metadata of one asset.

    Parameters
    ----------
    raw
        A record of DocDB, the content of ``metadata.nd.json``, or core files by name.
    name
        Name of the asset, where `raw` does not have it.

    Attributes
    ----------
    raw : mapping
        The dict, unchanged.
    """

    def __init__(self, raw: Mapping[str, Any], name: str = "") -> None:
        self.raw = raw
        self._name = name

    # --- where things are -----------------------------------------------------------------------

    def core(self, name: str) -> Mapping[str, Any]:
        """Return a core file as it is; an empty mapping where there is none."""
        found = self.raw.get(name)
        return found if isinstance(found, Mapping) else {}

    @property
    def core_files(self) -> tuple[str, ...]:
        """Names of the core files it has."""
        return tuple(name for name in CORE_FILES if self.core(name))

    @property
    def versions(self) -> dict[str, str]:
        """Schema version of each core file; empty where it has none."""
        return {n: _text(self.core(n).get("schema_version")) for n in self.core_files}

    def _first(self, *places: tuple[str, str]) -> Any:
        """Return the first value that is not empty, of (core file, field)."""
        for core, field in places:
            found = (self.core(core) if core else self.raw).get(field)
            if found not in (None, "", [], {}):
                return found
        return None

    # --- what it is -----------------------------------------------------------------------------

    @cached_property
    def name(self) -> str:
        """Name of the asset: from the record, else its folder, else its data description."""
        if self._name:
            return self._name
        value = _text(self.raw.get("name"))
        folder = self.location.rstrip("/").rpartition("/")[2]
        return value or folder or _text(self.core("data_description").get("name"))

    @cached_property
    def parsed(self) -> AssetName:
        """The parsed name."""
        return parse_name(self.name)

    @property
    def location(self) -> str:
        """URI of its folder; empty where unknown."""
        return _text(self.raw.get("location"))

    @property
    def public(self) -> bool | None:
        """Whether it is in the public bucket; None where its location is unknown."""
        if not self.location:
            return None
        return self.location.startswith(f"s3://{PUBLIC_BUCKET}/")

    @property
    def level(self) -> str:
        """``raw``, ``derived``, ``simulated``, …: from the metadata, else from the name."""
        value = _text(self.core("data_description").get("data_level")).lower()
        found = _LEVELS.get(value, value) or self.parsed.level
        # Descriptions of raw assets are sometimes copied into derived assets.
        return "derived" if found == "raw" and self.parsed.level == "derived" else found

    @property
    def subject_id(self) -> str:
        """Id of the subject; empty where unknown."""
        value = self._first(
            ("subject", "subject_id"),
            ("data_description", "subject_id"),
            ("session", "subject_id"),
            ("acquisition", "subject_id"),
            ("procedures", "subject_id"),
        )
        return _text(value) or self.parsed.subject_id

    @cached_property
    def modalities(self) -> tuple[str, ...]:
        """Abbreviations of the modalities, in the current spelling where it is known.

        From the first word of the name where the metadata have none.
        """
        value = self._first(("data_description", "modalities"), ("data_description", "modality"))
        found = [_modality(item) for item in _listed(value) or [self.parsed.platform]]
        return tuple(dict.fromkeys(word for word in found if word))

    @property
    def platform(self) -> str:
        """The platform or type of experiment; current records have it in their name only."""
        value = self._first(
            ("data_description", "platform"), ("data_description", "experiment_type")
        )
        return _abbreviation(value) or self.parsed.platform

    @property
    def institution(self) -> str:
        """Abbreviation of the institution."""
        return _abbreviation(self.core("data_description").get("institution"))

    @property
    def funders(self) -> tuple[str, ...]:
        """Abbreviations of the funders."""
        value = _listed(self.core("data_description").get("funding_source"))
        found = [_abbreviation(item.get("funder")) for item in value if isinstance(item, Mapping)]
        return tuple(dict.fromkeys(word for word in found if word))

    @property
    def investigators(self) -> tuple[str, ...]:
        """Names of the investigators."""
        value = _listed(self.core("data_description").get("investigators"))
        return tuple(dict.fromkeys(name for item in value if (name := _person(item))))

    @property
    def experimenters(self) -> tuple[str, ...]:
        """Names of the experimenters."""
        value = self._first(
            ("acquisition", "experimenters"),
            ("acquisition", "experimenter_full_name"),
            ("session", "experimenter_full_name"),
        )
        return tuple(dict.fromkeys(name for item in _listed(value) if (name := _person(item))))

    @property
    def project(self) -> str:
        """Name of the project."""
        return _text(self.core("data_description").get("project_name"))

    @property
    def license(self) -> str:
        """Licence of the data."""
        return _text(self.core("data_description").get("license"))

    @property
    def summary(self) -> str:
        """Summary in the data description."""
        return _text(self.core("data_description").get("data_summary"))

    @property
    def instrument_id(self) -> str:
        """Id of the rig or instrument."""
        value = self._first(
            ("instrument", "instrument_id"),
            ("rig", "rig_id"),
            ("acquisition", "instrument_id"),
            ("session", "rig_id"),
        )
        return _text(value)

    # --- when -----------------------------------------------------------------------------------

    @cached_property
    def created(self) -> datetime | None:
        """Creation time: from the data description, else from the name."""
        value = self.core("data_description")
        found = read_time(value.get("creation_time"), value.get("creation_date"))
        return found or self.parsed.created or self.parsed.acquired

    @cached_property
    def acquired(self) -> tuple[datetime | None, datetime | None]:
        """Start and end of the acquisition; the start from the name where nothing else has it."""
        start = self._first(
            ("acquisition", "acquisition_start_time"),
            ("acquisition", "session_start_time"),
            ("session", "session_start_time"),
        )
        end = self._first(
            ("acquisition", "acquisition_end_time"),
            ("acquisition", "session_end_time"),
            ("session", "session_end_time"),
        )
        return read_time(start) or self.parsed.acquired, read_time(end)

    # --- the animal -----------------------------------------------------------------------------

    def _of_subject(self, field: str) -> Any:
        subject = self.core("subject")
        details = subject.get("subject_details")
        inner = details.get(field) if isinstance(details, Mapping) else None
        return subject.get(field) if inner is None else inner

    @property
    def species(self) -> str:
        """Scientific name of the species."""
        value = self._of_subject("species")
        return _text(value.get("name")) if isinstance(value, Mapping) else _text(value)

    @property
    def sex(self) -> str:
        """``Male`` or ``Female``."""
        return _text(self._of_subject("sex"))

    @property
    def genotype(self) -> str:
        """The genotype, as written."""
        return _text(self._of_subject("genotype"))

    @property
    def date_of_birth(self) -> date | None:
        """Day of birth."""
        value = _text(self._of_subject("date_of_birth"))
        try:
            return date.fromisoformat(value[:10])
        except ValueError:
            return None

    # --- what was done --------------------------------------------------------------------------

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Names of its source assets: from the metadata, else from the beginning of its own name.

        Empty for raw assets: what else is related to them (``related_data``) is no source.
        """
        if self.level == "raw":
            return ()
        description = self.core("data_description")
        value = [*_listed(description.get("source_data")), description.get("input_data_name")]
        related = [
            _text(r.get("related_data_path")) for r in _mappings(description.get("related_data"))
        ]
        value += [path for path in related if parse_name(path).acquired is not None]
        found = [parse_name(_text(item)).text for item in value if _text(item)]
        found = [name for name in found if name != self.name]
        if not found and self.parsed.source:
            found = [self.parsed.source]
        return tuple(dict.fromkeys(found))

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """The processing steps, in the order they are listed.

        Where both generations of lists are there, those of the pipeline come first.
        """
        processing = self.core("processing")
        pipeline = processing.get("processing_pipeline")
        value = _listed(pipeline.get("data_processes")) if isinstance(pipeline, Mapping) else []
        listed = [*_flat(value)]
        listed += [
            item for item in _flat(_listed(processing.get("data_processes"))) if item not in listed
        ]
        return tuple(_step(item) for item in listed if isinstance(item, Mapping))

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """The quality-control metrics."""
        quality = self.core("quality_control")
        found = [_metric(m, "") for m in _mappings(quality.get("metrics"))]
        for evaluation in _mappings(quality.get("evaluations")):
            group = _text(evaluation.get("name"))
            found += [
                _metric({"stage": evaluation.get("stage"), **m}, group, evaluation.get("modality"))
                for m in _mappings(evaluation.get("metrics"))
            ]
        return tuple(found)

    @property
    def quality(self) -> str:
        """``Fail`` if any metric failed, else ``Pending`` if any is pending, else ``Pass``."""
        value = {metric.status for metric in self.metrics}
        status = self.core("quality_control").get("status")
        value |= {_text(s) for s in status.values()} if isinstance(status, Mapping) else set()
        return next((word for word in ("Fail", "Pending", "Pass") if word in value), "")

    @property
    def links(self) -> dict[str, tuple[str, ...]]:
        """Ids in other systems, by system (``Code Ocean``)."""
        value = self.raw.get("other_identifiers") or self.raw.get("external_links")
        if not isinstance(value, Mapping):
            return {}
        return {str(k): tuple(map(_text, _listed(v))) for k, v in value.items()}

    # --- problems -------------------------------------------------------------------------------

    @cached_property
    def problems(self) -> tuple[str, ...]:
        """Metadata that are missing, contradictory, or not as the schema has them."""
        found = list(self.parsed.problems)
        description = self.core("data_description")
        if not description:
            found.append("no data_description")
        value = _text(description.get("name"))
        if value and value != self.name:
            found.append(f"data_description has another name: {value}")
        folder = self.location.rstrip("/").rpartition("/")[2]
        if folder and folder != self.name:
            found.append(f"folder has another name: {folder}")
        majors = {v.partition(".")[0] for v in self.versions.values() if v}
        if len(majors) > 1:
            found.append(
                f"core files mix schema versions {', '.join(f'{m}.x' for m in sorted(majors))}"
            )
        modality = self._first(("data_description", "modalities"), ("data_description", "modality"))
        if description and not _listed(modality):
            found.append("no modality")
        elif isinstance(modality, str) or any(isinstance(m, str) for m in _listed(modality)):
            found.append(f"modality is plain text: {str(modality)[:60]}")
        time = description.get("creation_time")
        if time and read_time(time, description.get("creation_date")) is None:
            found.append(f"creation_time is not a time: {time}")
        if self.level == "derived" and not any(
            description.get(n) for n in ("source_data", "input_data_name", "related_data")
        ):
            found.append("source known from its name only")
        return (*found, *contradictions(self))

    def to_row(self) -> dict[str, Any]:
        """Return the row of the catalogue."""
        start = self.acquired[0]
        return {
            "name": self.name,
            "level": self.level,
            "modalities": list(self.modalities),
            "platform": self.platform or None,
            "subject_id": self.subject_id or None,
            "acquired": start.isoformat() if start else None,
            "created": self.created.isoformat() if self.created else None,
            "label": self.parsed.label or None,
            "project": self.project or None,
            "sources": list(self.sources),
            "location": self.location or None,
            "public": self.public,
        }

    def _facts(self) -> dict[str, object]:
        start = self.acquired[0]
        return {
            "level": self.level,
            "modalities": ", ".join(self.modalities) or None,
            "platform": self.platform or None,
            "subject": ", ".join(w for w in (self.subject_id, self.sex, self.species) if w) or None,
            "genotype": self.genotype or None,
            "acquired": start.isoformat(" ", "minutes") if start else None,
            "project": self.project or None,
            "summary": self.summary or None,
            "investigators": ", ".join(self.investigators) or None,
            "source assets": ", ".join(self.sources) or None,
            "processing": ", ".join(dict.fromkeys(step.name for step in self.steps)) or None,
            "quality": self.quality or None,
            "location": self.location or None,
            "public": {True: "yes", False: "no", None: None}[self.public],
            "licence": self.license or None,
            "problems": "; ".join(self.problems) or None,
        }

    def __repr__(self) -> str:
        return facts_text(self.name or "an asset", self._facts())

    def _repr_html_(self) -> str:
        return card(self.name or "an asset", self._facts())


# --- reading values of any form -----------------------------------------------------------------


def _text(value: object) -> str:
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else ""


def _listed(value: object) -> list[Any]:
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _flat(values: Sequence[Any]) -> Iterator[Any]:
    """Iterate over the items of nested lists, as some pipelines nest their steps."""
    for value in values:
        if isinstance(value, list):
            yield from _flat(value)
        else:
            yield value


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [item for item in _listed(value) if isinstance(item, Mapping)]


def _abbreviation(value: object) -> str:
    if isinstance(value, Mapping):
        return _text(value.get("abbreviation")) or _text(value.get("name"))
    text = _text(value)
    match = _REPR.search(text)
    return match[1] if match else text


def _modality(value: object) -> str:
    name = _abbreviation(value)
    return _MODALITY_OF.get(name.lower(), name)


def _person(value: object) -> str:
    return _text(value.get("name")) if isinstance(value, Mapping) else _text(value)


def _step(data: Mapping[str, Any]) -> Step:
    code = data.get("code")
    code = code if isinstance(code, Mapping) else {}
    parameters = data.get("parameters") or code.get("parameters")
    versions = (code.get("version"), data.get("software_version"), data.get("code_version"))
    return Step(
        name=_text(data.get("process_type")) or _text(data.get("name")),
        started=read_time(data.get("start_date_time")),
        ended=read_time(data.get("end_date_time")),
        version=next((v for v in map(_text, versions) if v), _text(data.get("version"))),
        code_url=_text(code.get("url")) or _text(data.get("code_url")),
        parameters=parameters if isinstance(parameters, Mapping) else {},
        inputs=_text(data.get("input_location")),
        outputs=_text(data.get("output_location")) or _text(data.get("output_path")),
        notes=_text(data.get("notes")),
    )


def _metric(data: Mapping[str, Any], group: str, modality: object = None) -> Metric:
    history = _mappings(data.get("status_history"))
    last = history[-1] if history else {}
    tags = data.get("tags")
    named = list(tags.values()) if isinstance(tags, Mapping) else _listed(tags)
    return Metric(
        name=_text(data.get("name")),
        status=_text(last.get("status")),
        value=data.get("value"),
        group=group or ", ".join(_text(tag) for tag in named if _text(tag)),
        stage=_text(data.get("stage")),
        modality=_modality(data.get("modality") or modality),
        given=read_time(last.get("timestamp")),
        reference=_text(data.get("reference")),
    )
