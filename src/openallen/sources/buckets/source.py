"""Doors whose things are folders of a public bucket: files listed, fetched, parts opened."""

from __future__ import annotations

import shlex
import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from openallen.address import Address, Condition
from openallen.display import bytes_text, count_text
from openallen.errors import (
    AddressError,
    NotFoundError,
    OfflineError,
    OpenAllenError,
    UsageError,
)
from openallen.paths import existing
from openallen.sources.base import Facts, Place, Row, Rows, Source

if TYPE_CHECKING:
    from openallen.sources.buckets.listing import Listing
    from openallen.transfer.job import Job
    from openallen.transport.s3 import Listed
    from openallen.web_address import WebAddress

__all__ = ["BucketSource", "Root", "parts_of", "quoted"]

_FILE_COLUMNS: Final = ("path", "size_bytes", "etag")
_SAY_EVERY_S = 5.0


@dataclass(frozen=True)
class Root:
    """The folder of a bucket that an address lies in.

    Parameters
    ----------
    prefix
        Its keys begin with this; it ends with a slash.
    address
        The address of the folder.
    below
        The parts of the address below it.
    """

    prefix: str
    address: Address
    below: tuple[str, ...]

    @property
    def pattern(self) -> str:
        """The parts below it as a pattern of keys."""
        return "/".join(self.below)


def parts_of(web: WebAddress, bucket: str) -> tuple[str, ...] | None:
    """Return the parts of the key that a web address names in a bucket; None where it names none.

    Read are S3 addresses of every spelling, pages of the S3 console, and links of neuroglancer to
    an object of the bucket. An address of one version of an object names no part: it would be
    dropped.
    """
    from openallen.web_address import WebAddress, is_web

    _, mark, state = web.text.partition("#!")
    if mark and is_web(state):
        web = WebAddress.parse(state)
    query = dict(web.query)
    if web.host.endswith("console.aws.amazon.com"):
        kind, _, name = web.path.removeprefix("/s3/").partition("/")
        if kind not in {"buckets", "object"} or name.strip("/") != bucket:
            return None
        key = query.get("prefix", "")
    elif web.bucket != bucket or query:
        return None
    else:
        key = web.key
    found = tuple(part for part in key.split("/") if part)
    return None if {".", ".."} & set(found) else found


def quoted(address: Address) -> str:
    """Return an address as a shell takes it."""
    return shlex.quote(str(address))


class BucketSource(Source):
    """A source whose things are folders of one public bucket.

    Attributes
    ----------
    bucket
        Name of the bucket.
    noun
        What a thing is, in the singular.
    """

    parts: ClassVar[bool] = True
    in_buckets: ClassVar[bool] = True
    bucket: ClassVar[str]
    noun: ClassVar[str]

    @classmethod
    @abstractmethod
    def root(cls, address: Address) -> Root:
        """Return the folder of the bucket that an address lies in."""

    def gone(self, root: Root) -> NotFoundError:
        """Return the error that says that there is no such thing at all."""
        return NotFoundError(
            f"no such {self.noun}",
            address=str(root.address),
            why=f"nothing below {root.prefix}",
            hint=f"openallen list {self.scheme}:",
        )

    def here(self, root: Root) -> Path:
        """Return the folder of the store that keeps a root."""
        return self.context.folder(root.address).joinpath(*root.address.path)

    # --- files ------------------------------------------------------------------------------------

    def file_rows(
        self, address: Address, conditions: Sequence[Condition], limit: int | None
    ) -> Rows:
        """Return the files an address means; counts and bytes are known when all were read.

        Offline, those that are in the store.
        """
        from openallen.sources.filters import check_columns, matches

        wanted = [*address.conditions, *conditions]
        plain = replace(address, conditions=())
        command = f"openallen list {quoted(plain)}"
        check_columns(_FILE_COLUMNS, wanted, str(plain), command, numbers={"size_bytes"})
        root = self.root(address)

        def read() -> Iterator[Row]:
            total = size = 0
            notes: list[str] = []
            for entry in self._counted(self._entries(root, notes)):
                path = entry.key.removeprefix(root.prefix)
                row: Row = {"path": path, "size_bytes": entry.size_bytes, "etag": entry.etag}
                if not matches(row, wanted):
                    continue
                total += 1
                size += entry.size_bytes
                if limit is None or total <= limit:
                    yield row
            rows.total = total
            if total:
                rows.notes = (f"{bytes_text(size)} in {count_text(total, 'file')}", *notes)

        rows = Rows(
            read(),
            _FILE_COLUMNS[:2],
            id_column="path",
            noun="file",
            empty=lambda: self._no_file(root, address, wanted),
            address=lambda row: _file_address(root, row["path"]),
        )
        return rows

    def _no_file(self, root: Root, address: Address, wanted: Sequence[Condition]) -> NotFoundError:
        if wanted:
            plain = replace(address, conditions=())
            return NotFoundError(
                "no file matches",
                address=str(plain),
                why=" ".join(map(str, wanted)),
                hint=f"openallen list {quoted(plain)}",
            )
        return self._nothing(root, "no file matches", "list")

    def _counted(self, entries: Iterator[Listed]) -> Iterator[Listed]:
        """Return the same entries; says now and then how many there were."""
        due = time.monotonic() + _SAY_EVERY_S
        for number, entry in enumerate(entries, 1):
            if time.monotonic() > due:
                self.context.say(f"{count_text(number, 'file')} so far")
                due = time.monotonic() + _SAY_EVERY_S
            yield entry

    def _entries(self, root: Root, notes: list[str]) -> Iterator[Listed]:
        """Return files of the bucket; offline those that are here, which is noted."""
        from openallen.sources.buckets.listing import listed

        try:
            yield from listed(self.context.bucket(self.bucket), root.prefix, root.pattern)
        except OfflineError:
            folder = self.here(root)
            if not folder.is_dir():
                raise
            notes.append(f"offline: the files that are here, in {folder}")
            yield from self._present(folder, root)

    @staticmethod
    def _present(folder: Path, root: Root) -> list[Listed]:
        """Return the files an address means that are in a folder; their tags are not known."""
        from openallen.sources.buckets.listing import FolderBucket, listed

        here = FolderBucket(folder, root.prefix)
        return [replace(entry, etag="") for entry in listed(here, root.prefix, root.pattern)]

    # --- fetch ------------------------------------------------------------------------------------

    def job(self, address: Address, to: Path, options: Any) -> Job:
        """Return the job that fetches all files, or those that the parts mean as a pattern.

        Offline, the listing of an earlier time is used; where none was kept, what is there already.
        """
        from openallen.sources.buckets.jobs import PrefixJob
        from openallen.sources.buckets.listing import listed
        from openallen.sources.buckets.listing_cache import CachedListings

        del options
        root = self.root(address)
        folder = to.joinpath(*root.address.path)
        bucket = self.context.bucket(self.bucket)
        kept = CachedListings(self.context.settings.store)
        url = bucket.url(root.prefix)
        notes: tuple[str, ...] = ()
        try:
            found = list(self._counted(listed(bucket, root.prefix, root.pattern)))
            kept.put(url, root.pattern, found)
        except OfflineError:
            known = kept.get(url, root.prefix, root.pattern)
            note = "offline: files as they were listed last"
            if known is None:
                known = self._present(folder, root)
                note = "offline: only the files that are here, others were never listed"
            if not known:
                raise
            found, notes = known, (note,)
        if not found:
            raise self._nothing(root, f"no file of this {self.noun} matches", "list")
        return PrefixJob.of(
            bucket,
            root.prefix,
            found,
            folder,
            address=address,
            root=root.address,
            retry_to=to,
            notes=notes,
        )

    # --- open and show a part ---------------------------------------------------------------------

    def open_part(self, address: Address, *, remote: bool | None = None, **options: Any) -> Any:
        """Open what lies at an address, by what it holds.

        Parameters
        ----------
        address
            One thing.
        remote
            True reads it where it lies, only the parts that are touched; False fetches it first;
            None takes a file that was fetched already, and what is made of many files only when
            offline, as nobody else can tell whether all of them are here.
        **options
            What its format takes: ``columns`` and ``nrows`` of tables.

        Raises
        ------
        NotFoundError
            If there is nothing.
        UsageError
            If it is of no kind that opens.
        """
        if remote not in {None, True, False}:
            raise UsageError(f"remote={remote!r} is not allowed", address=str(address))
        place = self._place(address, remote=remote)
        return self.opener(place, address).open_place(place, **options)

    def opener(self, place: Place, address: Address) -> Source:
        """Return the source that opens a place.

        Raises
        ------
        UsageError
            If no source does.
        """
        found = self.context.recognise(place)
        if found is None:
            raise UsageError(
                "cannot be opened",
                address=str(address),
                why="not an image, session, recording, table or Zarr store",
                hint=f"openallen list {quoted(address)}",
            )
        return found

    def part_facts(self, address: Address) -> Facts:
        """Return what a part says of itself when it is opened."""
        return self.facts_of(self.open_part(address), str(address))

    def _place(self, address: Address, *, remote: bool | None) -> Place:
        from openallen.sources.buckets.patterns import is_pattern

        root = self.root(address)
        here = self.here(root).joinpath(*root.below)
        if remote is False:
            self._fetch_now(root, address)
        # A folder that is here may lack files: only a fetch, or being offline, lets it count.
        there = existing(here)  # None also for a name that no disk takes
        is_file = there is not None and there.is_file()
        counts = remote is False or is_file or self.context.settings.offline
        if remote is not True and counts and there is not None:
            return self.context.place(here)
        try:
            return self._remote_place(root, address)
        except OfflineError:
            if is_pattern(root.pattern):  # which names a file only where it is asked for by name
                raise self._nothing(root, "", "open") from None
            raise

    def _fetch_now(self, root: Root, address: Address) -> None:
        from openallen.sources.buckets.patterns import is_pattern

        if is_pattern(root.pattern):
            raise self._nothing(root, "", "open")
        job = self.job(address, self.context.folder(address), None)
        self.context.run(job).raise_if_failed()

    def _remote_place(self, root: Root, address: Address) -> Place:
        """Return the place of a file or folder of the bucket, whichever it is."""
        from openallen.formats.kinds import STORE

        folder, _, last = (root.prefix + root.pattern).strip("/").rpartition("/")
        around = self.context.remote_objects(self.bucket, f"{folder}/" if folder else "")
        inside = around.within(last)
        file = Place(str(address), around, last, url=around.url(last))
        top, at = root.prefix.strip("/"), root.pattern.strip("/")
        within = self.context.remote_objects(self.bucket, f"{top}/") if top and at else None
        whole = Place(str(address), inside, url=inside.url(""), around=within, at=at)
        # Most names say which of the two it is: that is asked first.
        store = "." not in last or (STORE.search(last) and not last.lower().endswith(".nwb"))
        if not store and around.stat(last) is not None:
            return file
        if whole.kind:
            return whole
        if store and around.stat(last) is not None:
            return file
        if any(inside.level()):
            return whole
        raise self._nothing(root, "there is nothing there", "show")

    def _nothing(self, root: Root, what: str, verb: str) -> NotFoundError:
        """Return the error for an address with nothing at it, with the nearest that has."""
        from openallen.sources.buckets.patterns import is_pattern

        address = replace(root.address, path=(*root.address.path, *root.below))
        if verb in {"open", "show"} and is_pattern(root.pattern):
            return NotFoundError(
                "a pattern cannot be opened",
                address=str(address),
                why="patterns are for list and fetch",
                hint=f"openallen list {quoted(address)}",
            )
        bucket = self.context.bucket(self.bucket)
        if next(iter(bucket.list(root.prefix, page_keys=1)), None) is None:
            return self.gone(root)
        known, near = _nearest(bucket, root.prefix, root.below)
        path = (*root.address.path, *root.below[:known])
        if near:
            meant = replace(root.address, path=(*path, near, *root.below[known + 1 :]))
            hint = f"openallen {verb} {quoted(meant)}"
        else:
            hint = f"openallen list {quoted(replace(root.address, path=path))}"
        return NotFoundError(what, address=str(address), hint=hint)


def _nearest(bucket: Listing, prefix: str, below: Sequence[str]) -> tuple[int, str]:
    """Return how many parts of a path are there, and the name nearest to the first that is not."""
    from difflib import get_close_matches

    from openallen.formats.kinds import STORE
    from openallen.sources.buckets.patterns import is_pattern

    at = prefix
    for number, part in enumerate(below):
        if is_pattern(part) or STORE.search(at):
            return number, ""
        try:
            entries, folders = bucket.level(at)
        except OpenAllenError:
            return number, ""
        if f"{at}{part}/" in folders:
            at = f"{at}{part}/"
            continue
        names = [key.removeprefix(at).rstrip("/") for key in (*folders, *(e.key for e in entries))]
        near = get_close_matches(part, names, 1)
        return number, near[0] if near else ""
    return max(0, len(below) - 1), ""


def _file_address(root: Root, path: str) -> str | None:
    """Return the address of a file below a root; None for a key that no address can name."""
    try:
        return str(
            replace(root.address, path=(*root.address.path, *path.split("/")), conditions=())
        )
    except AddressError:
        return None
