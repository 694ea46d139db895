"""The contract of a source: what every system of the institute answers, each in its own folder.

A source is a class. It says what its addresses look like, and answers five questions about them:
which rows there are, what one thing is, what fetching it takes, how it opens, and whether a file or
folder is one of its own. Faces know no source by name; they ask the registry.
"""

from __future__ import annotations

import shlex
from abc import ABC
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, final

from openallen.address import Address, Condition
from openallen.errors import NotFoundError, UsageError
from openallen.sources.example import Example
from openallen.sources.facts import Facts, Field, Picture, Section, View, fields_of
from openallen.sources.options import NoOptions, option, read_options
from openallen.sources.place import LIKELY, MAYBE, SURE, Place
from openallen.sources.tables import Row, Rows

if TYPE_CHECKING:
    from openallen.plans import Report
    from openallen.sources.context import Context
    from openallen.store.checked import Checked
    from openallen.transfer.job import Job
    from openallen.web_address import WebAddress

__all__ = [
    "LIKELY",
    "MAYBE",
    "SURE",
    "Example",
    "Facts",
    "Field",
    "NoOptions",
    "Picture",
    "Place",
    "Row",
    "Rows",
    "Section",
    "Source",
    "View",
    "fields_of",
    "option",
    "read_options",
]


class Source(ABC):
    """One system of the institute.

    Attributes
    ----------
    scheme
        What its addresses begin with.
    title
        What they name, in words.
    examples
        Addresses that work; the first is shown in hints.
    numeric
        Whether names are ids of digits.
    versions, parts
        Whether addresses have a version, and parts after the name.
    folder
        The folder of the store that keeps what was fetched; empty where nothing is kept.
    own_folder
        Whether each thing wants a folder of its own, so that several go to several.
    list_options, show_options, fetch_options
        Dataclasses of what these take, made with `option`.
    columns
        Columns that `list` shows first.
    no_sample
        That the embedded sample has nothing of it, in words; empty where it has.
    draws
        Whether `show` can draw pictures of its things.
    in_buckets
        Whether its things lie in buckets: where `s3_endpoint` names others, the sample is asked
        for nothing.

    Parameters
    ----------
    context
        Settings, clients and the store, for as long as one call takes.
    """

    scheme: ClassVar[str]
    title: ClassVar[str]
    examples: ClassVar[tuple[Example, ...]]
    numeric: ClassVar[bool] = False
    versions: ClassVar[bool] = False
    parts: ClassVar[bool] = False
    folder: ClassVar[str] = ""
    own_folder: ClassVar[bool] = True
    list_options: ClassVar[type] = NoOptions
    show_options: ClassVar[type] = NoOptions
    fetch_options: ClassVar[type] = NoOptions
    columns: ClassVar[tuple[str, ...]] = ()
    no_sample: ClassVar[str] = ""
    draws: ClassVar[bool] = False
    in_buckets: ClassVar[bool] = False

    def __init__(self, context: Context) -> None:
        self.context = context

    @classmethod
    @final
    def example(cls) -> str:
        """Return an address that works."""
        return cls.examples[0].address

    @classmethod
    @final
    def show_command(cls) -> str:
        """Return the command that shows the example, quoted for a shell: zsh expands ``?``."""
        return f"openallen show {shlex.quote(cls.example())}"

    @classmethod
    @final
    def way_in(cls) -> str:
        """Return a command that shows what there is: a list where it lists, else an example."""
        listed = cls.rows is not Source.rows
        return f"openallen list {cls.scheme}:" if listed else cls.show_command()

    # --- addresses --------------------------------------------------------------------------------

    @classmethod
    def from_web(cls, web: WebAddress) -> Address | None:
        """Return the address a web address means; None where it means nothing of this source.

        Parameters
        ----------
        web
            The web address, taken apart.
        """
        del web
        return None

    @classmethod
    def canonical(cls, address: Address) -> Address:
        """Return the address as it is usually written: one spelling for one thing.

        Parameters
        ----------
        address
            The address.
        """
        return address

    def check(self, address: Address) -> None:
        """Check that an address can name something of this source; makes no request.

        Parameters
        ----------
        address
            The address.

        Raises
        ------
        UsageError
            If it has parts or a version that mean nothing here: nothing is ever left out silently.
        """
        if address.path and not self.parts:
            raise UsageError(
                f"'{self.scheme}:' addresses have no parts",
                address=str(address),
                why=f"found '{'/'.join(address.path)}'",
                hint=self.way_in(),
            )
        if address.version and not self.versions:
            raise UsageError(
                f"'{self.scheme}:' addresses have no version",
                address=str(address),
                hint=self.way_in(),
            )

    def check_service(self, address: Address) -> None:
        """Check that the service of the settings has such things at all; makes no request.

        Parameters
        ----------
        address
            The address, for the error.

        Raises
        ------
        NotFoundError
            If it is the embedded sample, which has nothing of this.
        """
        settings = self.context.settings
        elsewhere = self.in_buckets and settings.s3_endpoint
        if self.no_sample and settings.source == "sample" and not elsewhere:
            raise NotFoundError(
                self.no_sample,
                address=str(address),
                why="the live service has them",
                hint=f"openallen list {self.scheme}: --source live",
            )

    def options(
        self, kind: type, address: Address, given: Mapping[str, Any]
    ) -> tuple[Any, Address]:
        """Read options from keywords and from the conditions of an address.

        Parameters
        ----------
        kind
            The dataclass of options.
        address
            The address, whose conditions are options.
        given
            Keywords; they go before the conditions.

        Returns
        -------
        options, address
            The options, and the address without the conditions that were options.

        Raises
        ------
        UsageError
            If there is no such option, a value is not allowed, or a condition is no option.
        """
        told = {c.field: c.value for c in address.conditions if c.op == "eq"}
        strange = [c for c in address.conditions if c.op != "eq"]
        if strange:
            raise UsageError(
                f"'{strange[0]}' is not an option",
                address=str(address),
                hint=self.way_in(),
            )
        plain = Address(address.scheme, address.name, address.version, address.path)
        return read_options(kind, {**told, **given}, str(address)), plain

    # --- the five questions -----------------------------------------------------------------------

    def rows(
        self,
        address: Address,
        conditions: Sequence[Condition],
        options: Any,
        limit: int | None,
    ) -> Rows:
        """Return rows of what there is; read lazily, while the context is open.

        Parameters
        ----------
        address
            What is listed: the scheme alone, or a thing that has rows.
        conditions
            Filters, beside those of the address.
        options
            Of the class `list_options`.
        limit
            Rows at most; all where None.

        Raises
        ------
        UsageError
            If the address names nothing that can be listed, or a condition is on no column.
        """
        del conditions, options, limit
        raise self.cannot("listed", address, self.show_command())

    @classmethod
    def lists(cls, address: Address) -> tuple[Address, ...]:
        """Return what `rows` can be asked for of an address: the scheme, or what is in a thing.

        Parameters
        ----------
        address
            The address; makes no request.
        """
        listed = cls.rows is not Source.rows and not address.name
        return (Address(address.scheme),) if listed else ()

    def facts(self, address: Address, options: Any) -> Facts:
        """Return what is known of one thing, without fetching it.

        Parameters
        ----------
        address
            The address.
        options
            Of the class `show_options`.

        Raises
        ------
        NotFoundError
            If there is no such thing.
        """
        del options
        raise self.cannot("shown", address, self.way_in())

    def job(self, address: Address, to: Path, options: Any) -> Job:
        """Return the job that fetches a thing into a folder; only plans are made here.

        Parameters
        ----------
        address
            The address.
        to
            The folder, which may not exist yet.
        options
            Of the class `fetch_options`.

        Raises
        ------
        NotFoundError
            If there is no such thing.
        RefusedError
            If the folder holds something else.
        """
        del to, options
        raise self.cannot("fetched", address, self.way_in())

    def open(self, address: Address, **options: Any) -> Any:
        """Open a thing: what is here, or what can be read where it lies.

        Parameters
        ----------
        address
            The address.
        **options
            What opening this kind of thing takes.

        Raises
        ------
        NotFoundError
            If it is neither here nor readable remotely, with the command that fetches it.
        """
        del options
        raise self.cannot("opened", address, f"openallen show {address}")

    @classmethod
    def recognise(cls, place: Place) -> int:
        """Return how sure this source is that a file or folder is one of its own: 0 to `SURE`.

        Parameters
        ----------
        place
            The file or folder, here or remote.
        """
        del place
        return 0

    def open_place(self, place: Place, **options: Any) -> Any:
        """Open a place it recognised.

        Parameters
        ----------
        place
            The file or folder.
        **options
            What opening this kind of thing takes.

        Raises
        ------
        UsageError
            If it cannot be opened, or an option does not go with it.
        """
        del options
        raise UsageError("cannot be opened", address=place.name)

    def place_facts(self, place: Place, options: Any) -> Facts:
        """Return what is known of a place it recognised; opens it.

        Parameters
        ----------
        place
            The file or folder.
        options
            Of the class `show_options`.

        Raises
        ------
        UsageError
            If it cannot be opened.
        """
        del options
        opened = self.open_place(place)
        return self.facts_of(opened, place.name)

    def views(self, address: Address) -> list[View]:
        """Return pages of viewers that show an item; empty where there are none.

        Parameters
        ----------
        address
            The address.

        Raises
        ------
        UsageError
            If things of this source have none.
        """
        raise UsageError(
            "no viewer on the web shows this",
            address=str(address),
            hint=f"openallen show {shlex.quote(str(address))}",
        )

    def written(self, report: Report, options: Any) -> dict[str, Path]:
        """Return files a fetch wrote beside the fetched ones, by what they are; may write them.

        Parameters
        ----------
        report
            The report of the fetch.
        options
            Of the class `fetch_options`.
        """
        del report, options
        return {}

    # --- what is here -----------------------------------------------------------------------------

    def held(self) -> Iterator[Row]:
        """Return a row for each thing of this source that is in the store."""
        from openallen.store.checked import file_sizes

        root = self.context.settings.store / self.folder if self.folder else None
        for folder in sorted(root.glob("*/")) if root is not None and root.is_dir() else ():
            sizes = file_sizes(folder)
            if sizes:
                yield {
                    "address": str(Address(self.scheme, folder.name)),
                    "files": len(sizes),
                    "size_bytes": sum(sizes.values()),
                    "folder": str(folder),
                }

    def verify(self, folder: Path) -> Iterator[Checked]:
        """Read a folder through and compare every file with its digest; needs no network.

        By default the digests are those that were written down when the files were fetched.

        Parameters
        ----------
        folder
            The folder, in the store or elsewhere.
        """
        from openallen.store import Store
        from openallen.store.checked import verify_remembered

        with Store(self.context.settings.store).index() as index:
            yield from verify_remembered(folder, index)

    def repair_job(self, folder: Path) -> Job | None:
        """Return the job that restores a folder as its own manifest has it; None without one.

        Parameters
        ----------
        folder
            The folder, in the store or elsewhere.
        """
        del folder
        return None

    def prune(self, address: Address, *, dry_run: bool) -> Row:
        """Remove a thing from the store; return its address, ``files`` and ``freed_bytes``.

        Parameters
        ----------
        address
            The address.
        dry_run
            Whether to remove nothing.

        Raises
        ------
        NotFoundError
            If nothing of it is in the store.
        UsageError
            If it cannot be removed by itself.
        StoreError
            If the disk refuses.
        """
        import shutil

        from openallen.store.checked import file_sizes
        from openallen.store.disk import disk_error

        folder = self.context.folder(address)
        sizes = file_sizes(folder)
        if not sizes:
            raise NotFoundError("not in the store", address=str(address), hint="openallen store ls")
        try:
            if not dry_run:
                shutil.rmtree(folder)
        except OSError as error:
            raise disk_error(error, folder) from error
        return {"address": str(address), "files": len(sizes), "freed_bytes": sum(sizes.values())}

    def adopt(
        self, folder: Path, *, in_place: bool, step: Callable[[object], None]
    ) -> Facts | None:
        """Adopt the folder of another tool; return None if it is of another kind.

        Parameters
        ----------
        folder
            The folder.
        in_place
            Whether it stays where it is, and the store points there.
        step
            Called with each file that was examined.
        """
        del folder, in_place, step
        return None

    # --- for sources ------------------------------------------------------------------------------

    @staticmethod
    def no_options(options: Mapping[str, Any], address: Address | str) -> None:
        """Check that no options were given.

        Parameters
        ----------
        options
            What was given.
        address
            What names the thing, for the error.

        Raises
        ------
        UsageError
            If there are some.
        """
        if options:
            raise UsageError(f"no such option '{next(iter(options))}' here", address=str(address))

    def not_here(self, address: Address, error: NotFoundError) -> NotFoundError:
        """Return the error for what is not in the store, with the command that fetches it.

        Parameters
        ----------
        address
            The address.
        error
            What is missing.
        """
        return NotFoundError(
            "not in the store",
            address=str(address),
            why=error.what if not error.why else f"{error.what}; {error.why}",
            hint=f"openallen fetch {shlex.quote(str(address))}{self.context.source_flag}",
        )

    def nothing(self, address: Address, why: str = "", hint: str = "") -> NotFoundError:
        """Return the error for a list without rows.

        Parameters
        ----------
        address
            The address.
        why
            The reason.
        hint
            A command that works; the list of everything where empty.
        """
        return NotFoundError(
            "nothing matches",
            address=str(address),
            why=why,
            hint=hint or f"openallen list {self.scheme}:{self.context.source_flag}",
        )

    @staticmethod
    def facts_of(opened: Any, address: str) -> Facts:
        """Return the facts of an opened object: of a session what it holds, else its card's.

        Parameters
        ----------
        opened
            The object.
        address
            What names it: an address or a path.
        """
        from openallen.sources.opened import facts_of_opened

        return facts_of_opened(opened, address)

    def cannot(self, done: str, address: Address, hint: str) -> UsageError:
        """Return the error for what addresses of this source are not made for.

        Parameters
        ----------
        done
            What cannot be done, as a participle: ``listed``.
        address
            The address.
        hint
            A command that works.
        """
        return UsageError(f"cannot be {done}", address=str(address), hint=hint)
