"""The door of the recordings of the compression benchmark: ``recording:aind-np2/NAME``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from openallen.address import Address, Condition
from openallen.errors import NotFoundError, OfflineError, UsageError
from openallen.formats.kinds import H5
from openallen.sources.base import SURE, Example, Facts, NoOptions, Place, Row, Rows, Source
from openallen.sources.buckets.source import BucketSource, Root, parts_of, quoted

if TYPE_CHECKING:
    from openallen.sources.recordings.analyzer import Analyzer
    from openallen.sources.recordings.recording import Recording
    from openallen.sources.recordings.sorting import Sorting
    from openallen.transfer.job import Job
    from openallen.web_address import WebAddress

__all__ = ["RecordingSource"]

_BUCKET = "aind-benchmark-data"
_TOP = "ephys-compression"
_PROBE = "aind-np2/612962_2022-04-13_19-18-04_ProbeB"


class RecordingSource(BucketSource):
    """Recordings of the benchmark of Buccino et al. 2023, and any that SpikeInterface wrote."""

    scheme: ClassVar[str] = "recording"
    title: ClassVar[str] = "ephys recordings of the compression benchmark"
    folder: ClassVar[str] = "recordings"
    bucket: ClassVar[str] = _BUCKET
    noun: ClassVar[str] = "recording"
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            f"recording:{_PROBE}",
            "a recording of a Neuropixels 2.0 probe",
            web=(
                f"s3://{_BUCKET}/{_TOP}/{_PROBE}",
                f"https://{_BUCKET}.s3.us-west-2.amazonaws.com/{_TOP}/{_PROBE}/",
                f"https://s3.amazonaws.com/{_BUCKET}/{_TOP}/{_PROBE}",
            ),
        ),
        Example("recording:mearec/mearec_NP1.h5", "a simulated recording, with its true spikes"),
    )
    no_sample: ClassVar[str] = "the embedded sample has no recordings"

    # --- addresses --------------------------------------------------------------------------------

    @classmethod
    def from_web(cls, web: WebAddress) -> Address | None:
        """Read the address of anything below ``ephys-compression/`` in the benchmark's bucket."""
        parts = parts_of(web, cls.bucket)
        if not parts or parts[0] != _TOP:
            return None
        return Address(cls.scheme, parts[1] if parts[1:] else "", path=parts[2:])

    @classmethod
    def root(cls, address: Address) -> Root:
        """Return the folder of the recording; of its kind, for simulated ones are single files."""
        kind = Root(f"{_TOP}/{address.name}/", Address(cls.scheme, address.name), address.path)
        if not address.path or address.path[0].lower().endswith(H5):
            return kind
        name, *below = address.path
        return Root(f"{kind.prefix}{name}/", replace(kind.address, path=(name,)), tuple(below))

    def gone(self, root: Root) -> NotFoundError:
        """Return the error that says that no such recording, or no such kind."""
        from difflib import get_close_matches

        kind = root.address.name
        known = self._names("")
        if kind not in known:
            near = get_close_matches(kind, known, 1)
            return NotFoundError(
                "no such kind of recording",
                address=str(root.address),
                why=f"kinds: {', '.join(known)}" if known else "",
                hint=f"openallen list recording:{near[0] if near else ''}",
            )
        near = (
            get_close_matches(root.address.path[0], self._names(kind), 1)
            if root.address.path
            else []
        )
        meant = f"show recording:{kind}/{near[0]}" if near else f"list recording:{kind}"
        return NotFoundError(
            "no such recording", address=str(root.address), hint=f"openallen {meant}"
        )

    # --- list -------------------------------------------------------------------------------------

    @classmethod
    def lists(cls, address: Address) -> tuple[Address, ...]:
        """Return kinds, recordings of a kind, or files of a recording."""
        return (replace(address, conditions=()),)

    def rows(
        self, address: Address, conditions: Sequence[Condition], options: Any, limit: int | None
    ) -> Rows:
        """Return kinds of recordings; recordings of one kind; files of one recording."""
        from openallen.sources.filters import check_columns, matches

        del options
        if address.path:
            return self.file_rows(address, conditions, limit)
        wanted = [*address.conditions, *conditions]
        noun = "recording" if address.name else "kind"
        plain = replace(address, conditions=())
        check_columns((noun, "address"), wanted, str(plain), f"openallen list {quoted(plain)}")
        at = f"recording:{address.name}/" if address.name else "recording:"
        notes: list[str] = []
        names = self._names(address.name, notes)
        every: list[Row] = [{noun: name, "address": f"{at}{name}"} for name in names]
        rows = [row for row in every if matches(row, wanted)]
        return Rows(
            rows[:limit],
            (noun, "address"),
            id_column="address",
            noun=noun,
            total=len(rows),
            notes=notes,
            empty=lambda: self._none(address, names),
        )

    def _none(self, address: Address, names: Sequence[str]) -> NotFoundError:
        if not names:
            return self.gone(self.root(replace(address, conditions=())))
        return self.nothing(address, f"there are {', '.join(names)}" if len(names) <= 24 else "")

    def _names(self, kind: str, notes: list[str] | None = None) -> list[str]:
        """Return the kinds there are, or the recordings of one; offline those that are here."""
        from openallen.sources.buckets.listing import FolderBucket

        prefix = f"{_TOP}/{kind}/" if kind else f"{_TOP}/"
        try:
            entries, folders = self.context.bucket(self.bucket).level(prefix)
        except OfflineError:
            here = self.context.settings.store / self.folder / kind
            if not here.is_dir():
                raise
            if notes is not None:
                notes.append(f"offline: what is here, in {here}")
            entries, folders = FolderBucket(here, prefix).level(prefix)
        files = [e.key for e in entries if kind and e.key.lower().endswith(H5)]
        return sorted(key.removeprefix(prefix).rstrip("/") for key in (*folders, *files))

    # --- show, fetch, open ------------------------------------------------------------------------

    def facts(self, address: Address, options: Any) -> Facts:
        """Return what a recording says of itself; it is opened where it lies."""
        del options
        self._one(address)
        told = self.part_facts(address)
        fetch = f"fetch it: openallen fetch {address}{self.context.source_flag}"
        return replace(told, notes=(*told.notes, fetch))

    def job(self, address: Address, to: Path, options: Any) -> Job:
        """Return the job that fetches a recording, a part of it, or all of one kind."""
        if not address.name:
            raise self.cannot("fetched as a whole", address, "openallen list recording:")
        return super().job(address, to, options)

    def open(self, address: Address, **options: Any) -> Any:
        """Open a recording, or a part of it by what it holds; with ``remote``."""
        _, plain = self.options(NoOptions, address, {})
        self._one(plain)
        return self.open_part(plain, **options)

    def _one(self, address: Address) -> None:
        """Check that an address names a recording.

        Raises
        ------
        NotFoundError
            If there is not even such a kind.
        UsageError
            If it names all of them, or all of one kind.
        """
        if address.path:
            return
        try:
            known = not address.name or address.name in self._names("")
        except OfflineError:
            known = True
        if not known:
            raise self.gone(self.root(address))
        raise UsageError(
            "not a single recording",
            address=str(address),
            hint=f"openallen list recording:{address.name}",
        )

    def opener(self, place: Place, address: Address) -> Source:
        """Return the source that opens a place: simulated recordings are ours by their address."""
        return self if place.ends(*H5) else super().opener(place, address)

    # --- places -----------------------------------------------------------------------------------

    @classmethod
    def recognise(cls, place: Place) -> int:
        """Recognise a recording or sorting by the files at its root, or what is in an HDF5 file."""
        if place.is_folder:
            return SURE if place.kind in {"recording", "sorting", "analyzer"} else 0
        if not place.ends(".h5", ".hdf5"):
            return 0
        from openallen.sources.recordings.recognition import holds_mearec

        return SURE if holds_mearec(place) else 0

    def open_place(self, place: Place, **options: Any) -> Recording | Sorting | Analyzer:
        """Open a recording (folder, Zarr, HDF5 file of MEArec), a sorting or an analyzer."""
        from openallen.sources.recordings.mearec import open_mearec
        from openallen.sources.recordings.read import open_recording

        self.no_options(options, place.name)
        if place.is_folder and place.kind in {"sorting", "analyzer"}:
            from openallen.sources.recordings.analyzer import open_sorting

            return open_sorting(place.objects)
        if place.is_folder:
            return open_recording(place.objects if place.path is None else place.path)
        if place.path is not None:
            return open_mearec(place.path, str(place.path))
        name = f"{place.objects.name}/{place.file}"
        return open_mearec(self.context.h5(place.url, name, immutable=place.immutable), name)
