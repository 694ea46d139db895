"""What is shown of a cell: facts, key features with units, sweeps by stimulus, models, files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from openallen.brainmap.client import LIVE_URL
from openallen.brainmap.files import RECONSTRUCTION_TYPE
from openallen.display import bytes_text, count_text
from openallen.sources.cells.record import CITATION, PORTAL, TERMS, CellRecord
from openallen.sources.facts import Facts, Field, Picture, Section

if TYPE_CHECKING:
    from openallen.plans import Plan
    from openallen.sources.cells.read import Cell, CellModel

__all__ = ["FEATURES", "cell_facts", "links_of", "model_facts"]

FEATURES: Final[tuple[tuple[str, str, str, str], ...]] = (
    ("vrest", "ef__vrest", "resting potential", "mV"),
    ("ri", "ef__ri", "input resistance", "MΩ"),
    ("tau", "ef__tau", "membrane time constant", "ms"),
    ("threshold_i_long_square", "ef__threshold_i_long_square", "rheobase, long square", "pA"),
    ("f_i_curve_slope", "ef__f_i_curve_slope", "F/I curve slope", "spikes/s per pA"),
    ("avg_isi", "ef__avg_isi", "mean interspike interval", "ms"),
    ("adaptation", "ef__adaptation", "adaptation index", ""),
    ("sag", "", "sag", ""),
    ("latency", "", "latency to the first spike", "s"),
    (
        "upstroke_downstroke_ratio_long_square",
        "ef__upstroke_downstroke_ratio_long_square",
        "upstroke/downstroke ratio",
        "",
    ),
)
"""Key features: the service's name in EphysFeature, that in the cell's own row, words, unit."""


def cell_facts(
    cell: Cell, *, plan: Plan | None, notes: Iterable[str] = (), draw: Callable[[], Any]
) -> Facts:
    """Return what is known of a cell.

    Parameters
    ----------
    cell
        The cell, fetched or not.
    plan
        What fetching it would take; None where that is not known.
    notes
        Sentences people should read.
    draw
        Draws it.
    """
    record = cell.record
    name = record.specimen.get("specimen__name")
    return Facts(
        address=record.address,
        title=f"Cell {record.specimen_id}" + (f", {name}" if name else ""),
        kind="cell",
        fields=_fields(cell),
        sections=tuple(_sections(cell)),
        pictures=(Picture("cell", draw),),
        plan=plan,
        notes=tuple(dict.fromkeys((*notes, *record.notes))),
        citation=CITATION,
        terms=TERMS,
        ids=tuple(file.known.id for file in record.files),
        thing=cell,
        thumbnail=cell.thumbnail if record.file(RECONSTRUCTION_TYPE.name) is not None else None,
    )


def model_facts(model: CellModel, *, plan: Plan | None, notes: Iterable[str] = ()) -> Facts:
    """Return what is known of one model.

    Parameters
    ----------
    model
        The model, fetched or not.
    plan
        What fetching it would take; None where that is not known.
    notes
        Sentences people should read.
    """
    cell = model.cell
    row = {k: v for k, v in model.row.items() if not isinstance(v, (dict, list))}
    runs = model.row.get("neuronal_model_runs")
    return Facts(
        address=cell.address,
        title=f"Model {model.id}",
        kind="model of a cell",
        fields=(
            Field("model", model.id, key="model_id"),
            Field("name", model.name),
            Field("template", model.template),
            Field("cell", f"cell:{cell.specimen_id}"),
            Field("here", str(cell.folder) if cell.manifest is not None else None, key="folder"),
            Field("runs", runs, "" if runs is None else None),
            Field("row", row, ""),
        ),
        sections=(Section("Files", "files", _files(cell), _lines(_file_words(cell))),),
        plan=plan,
        notes=tuple(dict.fromkeys((*notes, *cell.record.notes))),
        citation=CITATION,
        terms=TERMS,
        ids=tuple(file.known.id for file in model.files),
        thing=model,
    )


def links_of(record: CellRecord) -> list[str]:
    """Return pages of the portal that show a cell."""
    kinds = ["electrophysiology"]
    if record.reconstruction or record.specimen.get("si__path"):
        kinds.append("morphology")
    return [f"{PORTAL}/{kind}/{record.specimen_id}" for kind in kinds]


def _fields(cell: Cell) -> tuple[Field, ...]:
    told, record = cell.facts, cell.record
    row = record.specimen
    area = told["structure"] or told["area"]
    depth = told["normalized_depth"]
    reconstruction = (
        record.reconstruction.get("neuron_reconstruction_type") or told["reconstruction_type"]
    )
    here = cell.folder if cell.manifest is not None else None
    return (
        Field("specimen", record.specimen_id, key="specimen_id"),
        Field("cell", told["name"], key="name"),
        Field("species", told["species"]),
        Field("line", told["line"]),
        Field("donor", told["donor"], _donor(told)),
        Field("donor id", told["donor_id"], "" if told["donor"] else None),
        Field("area", area, _area(row, area)),
        Field("layer", told["layer"]),
        Field("hemisphere", told["hemisphere"]),
        Field(
            "depth",
            depth,
            None if depth is None else f"{depth:.3g} of the cortex, from the pia",
            "normalized_depth",
        ),
        Field("dendrite type", told["dendrite_type"]),
        Field("apical", told["apical"]),
        Field("reporter", told["reporter_status"], key="reporter_status"),
        Field("reconstruction", reconstruction, reconstruction or "none"),
        Field("images", told["has_images"], _images(cell), "has_images"),
        Field("links", links_of(record)),
        Field("here", None if here is None else str(here), key="folder"),
        Field("row", dict(row), ""),
        Field("queries", dict(record.queries), ""),
    )


def _donor(told: Mapping[str, Any]) -> str | None:
    words = (told["donor"], told["age"], told["sex"], told["disease_state"])
    return ", ".join(str(word) for word in words if word) or None


def _area(row: Mapping[str, Any], area: Any) -> str | None:
    name = str(row.get("structure__name") or "").strip('"')
    return ", ".join(str(word) for word in (area, name) if word) or None


def _images(cell: Cell) -> str | None:
    return f"yes: stack:{cell.specimen_id}" if cell.facts["has_images"] else None


def _sections(cell: Cell) -> Iterable[Section]:
    record = cell.record
    features = _features(record)
    yield Section("Key features", "features", dict(record.features), _lines(features) or "  none")
    sweeps = _by_stimulus(record.sweeps)
    yield Section(
        "Sweeps by stimulus",
        "sweeps",
        sweeps,
        _lines([(name, _sweeps_text(one)) for name, one in sweeps.items()]) or "  none",
    )
    models = [
        {"id": m.id, "name": m.name, "template": m.template, "files": len(m.files)}
        for m in cell.models
    ]
    yield Section("Models", "models", models, _models_text(cell))
    yield Section("Files", "files", _files(cell), _lines(_file_words(cell)) or "  none")


def _features(record: CellRecord) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, column, words, unit in FEATURES:
        value = record.features.get(name, record.specimen.get(column))
        if isinstance(value, (int, float)):
            found.append((words, f"{value:.4g} {unit}".rstrip() + f"  ({name})"))
    return found


def _by_stimulus(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return sweeps by stimulus: their numbers and amplitudes; a null amplitude counts as none."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        name = str(row.get("stimulus_name") or "not told")
        one = found.setdefault(name, {"count": 0, "numbers": [], "amplitudes": [], "unit": ""})
        one["count"] += 1
        one["numbers"].append(row.get("sweep_number"))
        amplitude = row.get("stimulus_absolute_amplitude")
        if isinstance(amplitude, (int, float)):
            one["amplitudes"].append(amplitude)
            one["unit"] = {"Amps": "pA", "Volts": "mV"}.get(str(row.get("stimulus_units")), "")
    return found


def _sweeps_text(one: Mapping[str, Any]) -> str:
    text = count_text(one["count"], "sweep")
    amplitudes = one["amplitudes"]
    if not amplitudes:
        return text
    low, high = min(amplitudes), max(amplitudes)
    between = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
    return f"{text}, {between} {one['unit']}".rstrip()


def _models_text(cell: Cell) -> str:
    if cell.models:
        return _lines([(str(m.id), m.template or m.name) for m in cell.models])
    row = cell.record.specimen
    counts = {"GLIF": row.get("m__glif"), "biophysical": row.get("m__biophys")}
    told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    return f"  none listed here; the cell's row counts {told}" if told else "  none"


def _files(cell: Cell) -> list[dict[str, Any]]:
    return [
        {
            "id": file.known.id,
            "part": file.part,
            "type": file.type,
            "path": file.path,
            "url": file.url(LIVE_URL),
            "here": cell.path_of(file) is not None,
        }
        for file in cell.record.files
    ]


def _file_words(cell: Cell) -> list[tuple[str, str]]:
    found = []
    for file in cell.record.files:
        path = cell.path_of(file)
        here = "not here" if path is None else bytes_text(path.stat().st_size)
        address = f"model {file.known.id}" if file.is_zip else f"file:{file.known.id}"
        found.append((file.path, f"{file.type}, {address}, {here}"))
    return found


def _lines(pairs: Sequence[tuple[str, str]]) -> str:
    width = max((len(name) for name, _ in pairs), default=0)
    return "\n".join(f"  {name:<{width}}  {words}" for name, words in pairs)
