"""The catalogue as rows, and one asset as facts."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.address import Condition
from openallen.display import bytes_text, count_text
from openallen.errors import ExitCode, NotFoundError, OpenAllenError, StoreError
from openallen.paths import expanded
from openallen.sources.assets.catalogues import check_columns
from openallen.sources.base import Facts, Field, Row, Rows, Section, fields_of

if TYPE_CHECKING:
    from openallen.sources.assets.content import Content
    from openallen.sources.assets.options import ShowOptions
    from openallen.sources.assets.provenance import Family
    from openallen.sources.assets.read import Asset
    from openallen.sources.assets.record import Record
    from openallen.sources.context import Context

__all__ = ["asset_facts", "catalogue_rows"]

_NAMED: Final = 40
_SHOWN: Final = 8
_SAY_EVERY: Final = 50_000
_KEYS: Final = {
    "subject": "subject_id",
    "made from": "sources",
    "source assets": "sources",
    "processing": "steps",
}
"""Names in JSON of facts that people know by other words."""


# --- the catalogue --------------------------------------------------------------------------------


def catalogue_rows(
    context: Context,
    wanted: Sequence[Condition],
    limit: int | None,
    *,
    refresh: bool,
    shown: Sequence[str],
) -> Rows:
    """Return the assets that match, newest acquisition first.

    Raises
    ------
    UsageError
        For a filter on something else than the catalogue has, before it is asked for.
    """
    from openallen.sources.assets.access import catalogue

    check_columns(wanted)
    found = catalogue(refresh=refresh, settings=context.settings, tell=context.say)
    about = found.about
    return Rows(
        [_plain(row) for row in found.select(wanted, limit)],
        shown,
        id_column="name",
        noun="asset",
        total=None if limit is None else found.count(wanted),
        notes=(f"catalogue: {about.get('source')}, {str(about.get('asked'))[:10]}",),
        empty=lambda: found.no_assets(wanted),
    )


def _plain(row: Row) -> Row:
    plain = {k: v.isoformat() if hasattr(v, "isoformat") else v for k, v in row.items()}
    return plain | {"address": f"asset:{row['name']}"}


# --- one asset ------------------------------------------------------------------------------------


def asset_facts(
    context: Context, asset: Asset, address: str, options: ShowOptions, *, here: bool = False
) -> Facts:
    """Return what is known of an asset; or how its metadata follow their schema.

    Parameters
    ----------
    context
        Tells meanwhile how many files were listed.
    asset
        The asset, in the bucket or on this machine.
    address
        What names it.
    options
        What is wanted beside its metadata, folders and contents.
    here
        Whether it is a folder, which is not fetched.

    Raises
    ------
    NotFoundError
        If there is no such asset; for validation, if it has no core files.
    """
    record = asset.record
    if options.validate:
        return _validated(context, record, address)
    provenance: tuple[Section, ...] = ()
    if options.graph or options.dot:
        provenance = (_provenance(_family(context, str(asset.name), record.subject_id), options),)
    context.say(f"listing the files of {asset.name}")
    folders = asset.folders(seen=_Counter(context))
    opens = asset.contents()
    files = sum(count for count, _ in folders.values())
    size = sum(size_bytes for _, size_bytes in folders.values())
    fields, more = _record_facts(record)
    fetch = f"openallen fetch {shlex.quote(address)} --to {asset.name}{context.source_flag}"
    return Facts(
        address=address,
        title=record.name or "Asset",
        kind="asset",
        fields=(
            *fields,
            Field("files", files, count_text(files, "file")),
            Field("size", size, bytes_text(size), "size_bytes"),
        ),
        sections=(
            Section(
                "files by folder",
                "folders",
                {n: {"files": f, "size_bytes": s} for n, (f, s) in folders.items()},
                _folders_text(folders),
            ),
            Section(
                "opens without being fetched" if not here else "opens",
                "opens",
                [{"path": one.path, "kind": one.kind} for one in opens],
                _opens_text(opens),
            ),
            *provenance,
            *more,
        ),
        notes=(*asset.notes, *(() if here else (f"fetch it: {fetch}",))),
        ids=(str(asset.name),),
        thing=asset,
    )


def _provenance(family: Family, options: ShowOptions) -> Section:
    return Section(
        "provenance: derived assets below their sources, * is this one",
        "family",
        family.to_rows(),
        str(family) + (f"\n  {_written(family, options.dot)}" if options.dot else ""),
    )


class _Counter:
    """Is told of each file of a listing, and says now and then how many there were."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._count = 0

    def __call__(self, entry: object) -> None:
        del entry
        self._count += 1
        if self._count % _SAY_EVERY == 0:
            self._context.say(f"{count_text(self._count, 'file')} so far")


def _record_facts(record: Record) -> tuple[tuple[Field, ...], tuple[Section, ...]]:
    """Return what people read of a record, and what more of it JSON has, without text."""
    start = record.acquired[0]
    row = record.to_row() | {"acquired": start.isoformat() if start else None}
    told: dict[str, Any] = {
        **row,
        "versions": record.versions,
        "steps": [step.name for step in record.steps],
        "quality": record.quality or None,
        "problems": list(record.problems),
    }
    fields = []
    for field in fields_of(record._facts()):  # noqa: SLF001 - what its own card shows
        key = _KEYS.get(field.label, field.name)
        value = told.pop(key, field.value)
        if field.text is None:
            told[key] = value
        else:
            fields.append(Field(field.label, value, field.text, key))
    return tuple(fields), tuple(Section("", key, value, "") for key, value in told.items())


def _folders_text(found: dict[str, tuple[int, int]]) -> str:
    shown = dict(list(found.items())[:_NAMED])
    rest = list(found.values())[_NAMED:]
    if rest:
        shown[f"{len(rest)} more"] = sum(f for f, _ in rest), sum(s for _, s in rest)
    width = max((len(name) for name in shown), default=0)
    return "\n".join(
        f"  {name:<{width}}  {count_text(files, 'file')}, {bytes_text(size)}"
        for name, (files, size) in shown.items()
    )


def _opens_text(opens: Sequence[Content]) -> str:
    """Return paths by kind: the first of each, and how many more."""
    lines = []
    for kind in dict.fromkeys(one.kind for one in opens):
        paths = [one.path for one in opens if one.kind == kind]
        lines += [f"  {kind:<9}  {path}" for path in paths[:_SHOWN]]
        if len(paths) > _SHOWN:
            lines.append(f"  {'':<9}  and {len(paths) - _SHOWN} more")
    return "\n".join(lines)


# --- provenance and validation --------------------------------------------------------------------


def _family(context: Context, name: str, subject_id: str) -> Family:
    from openallen.sources.assets.access import catalogue, open_asset
    from openallen.sources.assets.provenance import family_of

    rows: list[Row] = []
    try:
        found = catalogue(settings=context.settings, tell=context.say)
        of_subject = Condition("subject_id", "eq", subject_id)
        rows = found.select([of_subject]) if subject_id else []
    except OpenAllenError as error:
        context.say(f"provenance from names only; no catalogue: {error.what}")
    family = family_of(name, rows)
    public = {member.name for member in family.members if member.row.get("public")}

    def inside(one: str) -> tuple[str, ...]:
        if one not in public:
            return ()
        try:
            return open_asset(one, context.settings).top()
        except OpenAllenError as error:
            context.say(f"what is in {one} cannot be listed: {error.what}")
            return ()

    return family.told_apart(inside)


def _written(family: Family, dot: Path) -> Path:
    path = expanded(dot)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(family.to_dot(), "utf-8")
    except OSError as error:
        raise StoreError(
            "the graph cannot be written", address=str(path), why=error.strerror or str(error)
        ) from error
    return path


def _validated(context: Context, record: Record, address: str) -> Facts:
    from openallen.sources.assets.validation import validate

    if not record.core_files:
        raise NotFoundError("no core files", address=address)
    found = validate(record, settings=context.settings)
    valid = not any(one.valid is False for one in found)
    return Facts(
        address=address,
        title=f"Metadata of {record.name}",
        kind="validation",
        fields=(Field("valid", valid),),
        sections=(
            Section(
                "core files",
                "validation",
                [one.to_dict() for one in found],
                "\n".join(f"  {one}" for one in found),
            ),
        ),
        ids=(record.name,),
        thing=found,
        exit_code=ExitCode.DONE if valid else ExitCode.INTEGRITY,
    )
