"""Fetching a cell: its plan, and the manifest written from the result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from openallen import manifests
from openallen.brainmap.client import LIVE_URL, Client
from openallen.brainmap.parser import parse
from openallen.brainmap.plan import IMAGE_CONNECTIONS, check_for, expected
from openallen.errors import (
    NotFoundError,
    OfflineError,
    RefusedError,
    UnreachableError,
)
from openallen.formats.checks import ZipCheck
from openallen.manifests import QueryEntry
from openallen.plans import Plan, RemoteFile, Report, fetch_command
from openallen.sources.cells.manifest import FileEntry, Manifest, read_manifest
from openallen.sources.cells.options import Options, include_text
from openallen.sources.cells.record import CITATION, TERMS, CellFile, CellRecord
from openallen.sources.cells.recorded import known_manifest, record_of, why_none
from openallen.transfer.job import Means
from openallen.version import __version__

__all__ = ["CellJob", "repair_command", "repair_job"]

_NOUNS: Final = {
    "ephys": "recordings (NWB)",
    "morphology": "reconstruction",
    "models": "models",
}


@dataclass(frozen=True)
class CellJob:
    """One cell to be fetched.

    Parameters
    ----------
    plan
        What it takes.
    record
        What the service says of it.
    options
        The parts to fetch.
    simulated
        Whether the source says that it makes up what it sends.
    """

    plan: Plan
    record: CellRecord
    options: Options
    simulated: bool = False

    @classmethod
    def of(cls, client: Client, record: CellRecord, options: Options, to: Path) -> CellJob:
        """Plan a cell into a folder.

        Raises
        ------
        NotFoundError
            If it lacks a part that was asked for by name, or has none of those wanted.
        RefusedError
            If the folder holds something else.
        """
        plan = _plan(client, record, options, to, known_manifest(to))
        return cls(plan, record, options, client.simulated)

    @classmethod
    def prepare(
        cls,
        client: Client,
        address: str,
        ask: Callable[[], CellRecord],
        options: Options,
        to: Path,
    ) -> CellJob:
        """Plan a cell into a folder: by the rows of the service, offline by the manifest there.

        Parameters
        ----------
        client
            The service.
        address
            What names the cell, or a model of it.
        ask
            Asks the service for its rows.
        options
            The parts to fetch.
        to
            The folder.

        Raises
        ------
        NotFoundError
            If there is no such cell, or it lacks a part that was asked for by name.
        RefusedError
            If the folder holds something else.
        OfflineError, UnreachableError
            If the service cannot be asked, and the folder does not hold what is asked for.
        """
        if client.http.reaches(client.base_url):
            try:
                return cls.of(client, ask(), options, to)
            except (OfflineError, UnreachableError):
                recorded = cls.from_manifest(client, to, options, address)
                if recorded is None:
                    raise
                return recorded
        recorded = cls.from_manifest(client, to, options, address)
        if recorded is not None:
            return recorded
        raise OfflineError(
            "not here, and offline mode is on",
            address=address,
            why=f"{to} does not hold all of it" if known_manifest(to) else "",
            hint=_command(address, options, to, client.source),
        )

    @classmethod
    def from_manifest(
        cls, client: Client, folder: Path, options: Options, address: str
    ) -> CellJob | None:
        """Plan a cell by the manifest in its folder, without asking the service.

        Returns
        -------
        CellJob or None
            None if there is no readable manifest, it is of another cell, or it lacks a file that
            the options ask for.
        """
        known = known_manifest(folder)
        if known is None or record_of(known).address != address:
            return None
        record = replace(record_of(known), source=client.source)
        plan = _plan(client, record, options, folder, known)
        recorded = manifests.digests_of(known.files)
        if any(file.path not in recorded for file in plan.files):
            return None
        return cls(plan, record_of(known), options, known.simulated)

    def run(self, means: Means) -> Report:
        """Fetch, then write the manifest of all that is here, also when something failed.

        Raises
        ------
        Interrupted
            On Ctrl-C; the manifest is written first.
        """
        to = self.plan.to
        return manifests.run(self.plan, means, lambda r: self._manifest(r, known_manifest(to)))

    def result(self) -> object:
        """Open the cell that was fetched."""
        from openallen.sources.cells.read import open_cell

        cell = open_cell(self.plan.to)
        return cell if self.record.model_id is None else cell.models[0]

    def _manifest(self, report: Report, known: Manifest | None) -> Manifest:
        record = self.record
        before = known.files if known else ()
        arrived = manifests.Arrived(self.plan.to, report, before, simulated=self.simulated)
        files = tuple(
            FileEntry(
                id=file.known.id,
                part=file.part,
                type=file.type,
                server_path=file.known.path,
                attached_to=file.attached_to,
                url=file.url(LIVE_URL),
                **arrived.here(file.path),
            )
            for file in record.files
        )
        return Manifest(
            address=record.address,
            made_by=f"openallen {__version__}",
            source=record.source,
            simulated=any(file.simulated for file in files),
            notes=record.notes,
            cell_id=record.specimen_id,
            model_id=record.model_id,
            rows={name: [dict(row) for row in rows] for name, rows in record.rows.items()},
            citation=CITATION,
            terms=TERMS,
            queries=tuple(
                QueryEntry(wanted=name, rma=rma, url=parse(rma).url(LIVE_URL))
                for name, rma in record.queries.items()
            ),
            files=files,
        )


def repair_command(manifest: Manifest, folder: Path) -> str:
    """Return the command that fetches what is damaged or missing of a cell in a folder."""
    parts = include_text(file.part for file in manifest.files if file.path)
    options = Options(include=tuple(parts.split(","))) if parts else Options()
    return _command(manifest.address, options, folder.absolute(), manifest.source)


def repair_job(client: Client, folder: Path) -> CellJob:
    """Return the job that fetches damaged and missing files again, as the manifest has them.

    Raises
    ------
    NotFoundError
        If there is no cell in the folder.
    CorruptError
        If its manifest cannot be read.
    """
    known = read_manifest(folder)
    record = record_of(known)
    recorded = manifests.digests_of(known.files)
    parts = {file.part for file in known.files if file.path}
    options = Options(include=tuple(sorted(parts))) if parts else Options()
    plan = _plan(client, replace(record, source=client.source), options, folder, known)
    files = tuple(file for file in plan.files if file.path in recorded)
    return CellJob(replace(plan, files=files), record, options, known.simulated)


def _command(address: str, options: Options, to: Path | None, source: str) -> str:
    spelled = options.spelled if address.startswith("cell:") else ""  # a model has no parts
    return fetch_command(address, to=to, source=source, options=spelled)


def _plan(
    client: Client, record: CellRecord, options: Options, to: Path, known: Manifest | None
) -> Plan:
    _same(known, record, options, to)
    missing = [part for part in options.parts if not record.of(part)]
    if missing and (options.include is not None or missing == list(options.parts)):
        raise _lacking(record, missing)
    digests = manifests.digests_of(known.files) if known else {}
    sizes = manifests.sizes_of(known.files) if known else {}

    def file(one: CellFile) -> RemoteFile:
        alone = Options(include=(one.part,))
        return RemoteFile(
            address=record.address if one.is_zip else f"file:{one.known.id}",
            url=one.url(client.base_url),
            path=one.path,
            kind=one.part,
            expects=frozenset({"zip"}) if one.is_zip else expected(one.known),
            check=ZipCheck() if one.is_zip else check_for(one.known),
            retry=_command(record.address, alone, to, client.source),
            last_digest=digests.get(one.path, ""),
            last_bytes=sizes.get(one.path),
        )

    return Plan(
        address=record.address,
        title=_title(record),
        source=client.source,
        to=to,
        files=tuple(map(file, record.of(*options.parts))),
        notes=(*(_said(record, part) for part in missing), *record.notes),
        connections=IMAGE_CONNECTIONS,
        command=_command(record.address, options, to, client.source),
    )


def _title(record: CellRecord) -> str:
    if record.model_id is not None:
        return f"Model {record.model_id} of cell {record.specimen_id}"
    name = record.specimen.get("specimen__name")
    return f"Cell {record.specimen_id}" + (f", {name}" if name else "")


def _said(record: CellRecord, part: str) -> str:
    return f"no {_NOUNS[part]}: {why_none(record, part)}"


def _lacking(record: CellRecord, missing: Sequence[str]) -> NotFoundError:
    here = include_text(file.part for file in record.files)
    return NotFoundError(
        f"this cell has no {' and no '.join(_NOUNS[part] for part in missing)}",
        address=record.address,
        why="; ".join(why_none(record, part) for part in missing),
        hint=_command(record.address, Options(include=tuple(here.split(","))), None, record.source)
        if here
        else f"openallen show {record.address}",
    )


def _same(known: Manifest | None, record: CellRecord, options: Options, to: Path) -> None:
    """Check that a folder holds this cell, from this source.

    Raises
    ------
    RefusedError
        If it does not.
    """
    elsewhere = to.with_name(f"{to.name}-{record.model_id or record.specimen_id}")
    hint = _command(record.address, options, elsewhere, record.source)
    manifests.refuse_other(to, "cell", hint)
    if known is None:
        return
    if known.address != record.address:
        why = f"it holds {known.address}"
    elif known.source != record.source:
        why = f"it holds this cell from another source ({known.source}, not {record.source})"
        word = "archive" if "/" in record.source else record.source
        elsewhere = to.with_name(f"{to.name}-{word}")
    else:
        return
    raise RefusedError(
        "this folder holds something else",
        address=str(to),
        why=why,
        hint=_command(record.address, options, elsewhere, record.source),
    )
