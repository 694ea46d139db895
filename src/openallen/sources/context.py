"""What sources work with during one call: settings, clients, buckets, the store."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, Self

from openallen.address import Address
from openallen.errors import NotFoundError, OpenAllenError, RefusedError, UsageError
from openallen.paths import existing, expanded
from openallen.settings import Settings, service_name
from openallen.sources.place import Place, holdings
from openallen.sources.registry import SCHEMES, source_classes
from openallen.sources.service import bucket_endpoint, client_for, connected
from openallen.web_address import WebAddress

if TYPE_CHECKING:
    from openallen.brainmap import Client
    from openallen.formats.nwb import H5Tree
    from openallen.plans import Plan, Report
    from openallen.sources.base import Source
    from openallen.transfer import Cluster, Interruption, Observer
    from openallen.transfer.job import Job
    from openallen.transport import Http
    from openallen.transport.objects import RemoteObjects
    from openallen.transport.s3 import Bucket

__all__ = ["Context", "bucket_endpoint", "connected", "folder_for"]

_MOST_NAMED: Final = 8
_SAMPLE: Final = "the embedded sample"


class Context:
    """Settings, one HTTP client, buckets and the store, for as long as one call takes.

    Clients are made when they are first asked for, and closed with the context. What is opened to
    be read later, beyond the call, has a client of its own.

    Parameters
    ----------
    settings
        Settings to use; loaded from the environment and files if None.
    source
        Goes before the settings: ``live``, ``sample``, or the folder or URL of an archive.
    say
        Is told what a person may want to know meanwhile.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        source: str | None = None,
        say: Callable[[str], object] = lambda _: None,
    ) -> None:
        if not isinstance(settings, (Settings, NoneType)):
            raise UsageError(f"settings are a Settings, not {type(settings).__name__}")
        self.settings = settings or Settings.load(source=source)
        self.say = say
        self._stack = ExitStack()
        self._http: Http | None = None
        self._client: Client | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every client."""
        self._client = self._http = None
        self._stack.close()

    # --- sources ----------------------------------------------------------------------------------

    def source(self, address: Address, *, held: bool = False) -> Source:
        """Return the source an address is of, having checked the address.

        Parameters
        ----------
        address
            The address.
        held
            Whether only what the store holds of it is wanted, whatever service it came from.

        Raises
        ------
        UsageError, NotFoundError
            If the address can name nothing of it: see `openallen.sources.base.Source.check`
            and, unless `held`, `~openallen.sources.base.Source.check_service`.
        """
        found = SCHEMES[address.scheme](self)
        found.check(address)
        if not held:
            found.check_service(address)
        return found

    @property
    def source_flag(self) -> str:
        """The option that asks the same service again, a blank in front; empty for the live one."""
        if self.settings.source == "live":
            return ""
        return f" --source {shlex.quote(self.settings.source)}"

    # --- clients ----------------------------------------------------------------------------------

    @property
    def http(self) -> Http:
        """The HTTP client of this call."""
        from openallen.transport.configured import http_for

        if self._http is None:
            self._http = self._stack.enter_context(http_for(self.settings))
        return self._http

    @property
    def client(self) -> Client:
        """The client of brain-map.org, or of the archive that stands for it."""
        if self._client is None:
            self._client = client_for(self.http, self.settings, self.settings.source)
        return self._client

    def client_of(self, source: str) -> Client:
        """Return a client of another service than the settings name; it ends with the context.

        Parameters
        ----------
        source
            ``live`` (the default), ``sample``, or the folder or URL of an archive.

        Raises
        ------
        UsageError
            If the source is none of these.
        """
        if service_name(source) == self.settings.service:
            return self.client
        return client_for(self.http, self.settings, source)

    def bucket(self, name: str, *, region: str = "us-west-2") -> Bucket:
        """Return a bucket, where the settings say buckets are; it ends with the context.

        Parameters
        ----------
        name
            The name of the bucket.
        region
            Its AWS region.
        """
        from openallen.transport import Retry
        from openallen.transport.s3 import Bucket

        return Bucket(
            http=self.http,
            name=name,
            endpoint=bucket_endpoint(self.settings),
            region=region,
            retry=Retry(attempts=self.settings.attempts),
            place=self._place_of_buckets,
        )

    @property
    def in_sample(self) -> bool:
        """Whether buckets are those of the embedded sample."""
        return self.settings.source == "sample" and not self.settings.s3_endpoint

    @property
    def _place_of_buckets(self) -> str:
        """What an archive of this process is called in messages; empty for any other server."""
        if self.in_sample:
            return _SAMPLE
        here = self.settings.is_folder and not self.settings.s3_endpoint
        return f"the archive {self.settings.source}" if here else ""

    def remote_objects(
        self, bucket: str, prefix: str, *, region: str = "us-west-2", endpoint: str = ""
    ) -> RemoteObjects:
        """Return objects below a prefix, read where they lie; they live beyond the context.

        Parameters
        ----------
        bucket
            The name of the bucket.
        prefix
            The prefix, with its slash; empty for the whole bucket.
        region
            Its AWS region.
        endpoint
            The server, where it is neither S3 nor the one of the settings.
        """
        from openallen.store.objects import CachedObjects
        from openallen.transport import Retry
        from openallen.transport.configured import http_for
        from openallen.transport.objects import RemoteObjects
        from openallen.transport.s3 import Bucket

        http = http_for(self.settings)
        place = Bucket(
            http=http,
            name=bucket,
            endpoint=endpoint or bucket_endpoint(self.settings),
            region=region,
            retry=Retry(attempts=self.settings.attempts),
            place="" if endpoint else self._place_of_buckets,
        )
        # A server of its own is called what it was called in the address, not a bucket of S3.
        root = f"{endpoint}/{bucket}".rstrip("/") if endpoint else ""
        found = RemoteObjects(place, prefix, CachedObjects(self._ranges / "objects"), root=root)
        found.also_close(http.close)
        return found

    def h5(self, url: str, name: str, *, immutable: bool = False) -> H5Tree:
        """Open remote HDF5 by ranges, which stay in the store; its client closes with the tree.

        Parameters
        ----------
        url
            Where the file is.
        name
            What it is called in messages.
        immutable
            Whether the URL names one version for good.

        Raises
        ------
        NotFoundError
            If there is no such file.
        OfflineError
            If there is no network, and what is needed was not read before.
        CorruptError
            If it is not HDF5.
        """
        from openallen.sessions.remote import remote_tree
        from openallen.transport import Retry
        from openallen.transport.configured import http_for

        return remote_tree(
            http_for(self.settings),
            url,
            name,
            blocks=self._ranges,
            immutable=immutable,
            retry=Retry(attempts=self.settings.attempts),
        )

    @contextmanager
    def ranged(self, url: str, *, immutable: bool = False) -> Iterator[Any]:
        """Open any remote file as a file object that reads ranges, while the context lasts.

        Parameters
        ----------
        url
            Where the file is.
        immutable
            Whether the URL names one version for good.
        """
        from openallen.store.blocks import Blocks
        from openallen.transport import Retry
        from openallen.transport.configured import http_for
        from openallen.transport.ranges import BLOCK_BYTES, RangeFile

        with http_for(self.settings) as http:
            memory = Blocks(self._ranges, url, BLOCK_BYTES)
            file = RangeFile(
                http,
                url,
                memory=memory,
                immutable=immutable,
                retry=Retry(attempts=self.settings.attempts),
            )
            try:
                yield file
            finally:
                file.close()

    @property
    def _ranges(self) -> Path:
        return self.settings.store / "ranges"

    # --- the store, and running jobs --------------------------------------------------------------

    def folder(self, address: Address, to: Path | str | None = None) -> Path:
        """Return the folder a thing goes to: the one named, else the one of the store.

        Parameters
        ----------
        address
            The address.
        to
            The folder named; None for the store.

        Raises
        ------
        RefusedError
            If it, or what it would lie in, is a file.
        UsageError
            If the address names no single thing that is kept in a folder.
        """
        from openallen.store import Store

        if to is not None:
            return folder_for(to)
        source = SCHEMES[address.scheme]
        if not source.folder or not address.name:
            raise UsageError(
                "not a single item that can be fetched",
                address=str(address),
                hint=source.way_in(),
            )
        name = source.canonical(address).name
        return folder_for(Store(self.settings.store).folder(source.folder, name))

    def plan(self, work: Job) -> Plan:
        """Return the plan of a job with what is here already.

        Parameters
        ----------
        work
            The job.
        """
        from openallen.transfer import with_status

        return with_status(work.plan)

    def run(
        self,
        work: Job,
        observer: Observer | None = None,
        plan: Plan | None = None,
        interruption: Interruption | None = None,
        cluster: Cluster | None = None,
    ) -> Report:
        """Run a job: check the space, fetch, verify.

        Parameters
        ----------
        work
            The job.
        observer
            Receives progress.
        plan
            Its plan with what is here, where that is known already.
        interruption, cluster
            As for `openallen.transfer.run`.

        Raises
        ------
        SpaceError
            If the disk cannot hold what is missing.
        """
        from openallen.store import Store
        from openallen.transfer.job import Means, carry_out
        from openallen.transport import Retry

        with Store(self.settings.store).index() as index:
            means = Means(
                http=self.http,
                index=index,
                retry=Retry(attempts=self.settings.attempts),
                observer=observer,
                connections=self.settings.connections,
                verify=not self.settings.verify_later,
                processes=self.settings.processes,
                interruption=interruption,
                cluster=cluster,
            )
            return carry_out(work, means, self.plan(work) if plan is None else plan)

    # --- places -----------------------------------------------------------------------------------

    def place(self, what: str | Path) -> Place:
        """Return the place of a path or of a web address.

        Parameters
        ----------
        what
            The path or web address.

        Raises
        ------
        NotFoundError
            If no such file or folder.
        """
        text = str(what)
        if not isinstance(what, Path) and "://" in text:
            return self._remote(WebAddress.parse(text))
        path = existing(text)
        if path is None:
            raise NotFoundError("no such file or folder", address=text, hint=_near_file(text))
        return Place.here(path)

    def _remote(self, web: WebAddress) -> Place:
        bucket, key, endpoint = web.bucket, web.key, ""
        if not bucket:  # any server: its first folder stands where a bucket would
            bucket, slash, key = web.path.removeprefix("/").partition("/")
            bucket, key = (bucket, key) if slash else ("", bucket)
            endpoint = web.text.partition("://")[0].lower() + "://" + web.text.split("/")[2]
        folder, _, name = (key if web.bucket else key.rstrip("/")).rpartition("/")
        immutable = bool(web.version_id)
        region = web.region or "us-west-2"
        if not name or _is_store(name):
            prefix = f"{key.strip('/')}/" if key.strip("/") else ""
            objects = self.remote_objects(bucket, prefix, region=region, endpoint=endpoint)
            return Place(web.text, objects, url=web.text)
        objects = self.remote_objects(
            bucket, f"{folder}/" if folder else "", region=region, endpoint=endpoint
        )
        url = objects.url(name) if web.is_s3 else web.text
        return Place(web.text, objects, name, url=url, immutable=immutable)

    def recognise(self, place: Place) -> Source | None:
        """Return the source that is surest of a place; None where no source knows it.

        Parameters
        ----------
        place
            The file or folder, here or remote.
        """
        rated = [(kind.recognise(place), kind) for kind in source_classes()]
        sureness, best = max(rated, key=lambda pair: pair[0])
        return best(self) if sureness > 0 else None

    def open_place(self, place: Place, **options: Any) -> Any:
        """Open a file or folder, here or remote, by the source that is surest of it.

        Parameters
        ----------
        place
            The file or folder.
        **options
            What opening this kind of thing takes.

        Raises
        ------
        UsageError
            If no source knows it, with what it holds.
        """
        found = self.recognise(place)
        if found is None:
            raise self.unknown(place)
        return found.open_place(place, **options)

    def unknown(self, place: Place) -> UsageError | NotFoundError:
        """Return the error for a place that no source knows, with what it holds.

        Parameters
        ----------
        place
            The file or folder.
        """
        if place.path is None:
            return _unknown_remote(place)
        if not place.is_folder:
            return UsageError(
                f"'{place.path.suffix or place.file}' files cannot be opened",
                address=place.name,
                hint="openallen show --help",
            )
        if (place.path / "archive.json").is_file():
            return UsageError(
                "this is an archive: it answers as a service does, and is not one data set",
                address=place.name,
                why="commands that take an address ask it with --source",
                hint=f"openallen list stack: --source {shlex.quote(str(place.path))}",
            )
        inner = next((p for p in sorted(place.path.iterdir()) if self._opens(p)), None)
        return UsageError(
            "not a data set that can be opened",
            address=place.name,
            why=f"it holds {holdings(place)}",
            hint=f"openallen show {shlex.quote(str(inner))}" if inner is not None else "",
        )

    def _opens(self, path: Path) -> bool:
        return path.is_file() and self.recognise(Place.here(path)) is not None


def _unknown_remote(place: Place) -> UsageError | NotFoundError:
    """Return the error for a remote place of no known kind, with what is listed there."""
    level = getattr(place.objects, "level", None)
    names: list[str] = []
    with suppress(OpenAllenError):
        entries, folders = level() if level is not None and place.is_folder else ((), ())
        names = [f"{name}/" for name in folders]
        names += [entry.key.rpartition("/")[2] for entry in entries]
    if place.is_folder and not names:
        return NotFoundError("nothing to open", address=place.name)
    shown = ", ".join(names[:_MOST_NAMED]) + (", …" if len(names) > _MOST_NAMED else "")
    inner = next((n for n in names if _is_store(n) or n.lower().endswith((".nwb", ".h5"))), "")
    return UsageError(
        "cannot be opened",
        address=place.name,
        why=f"it holds {shown}" if shown else "no known kind of file or store",
        hint=f"openallen show {shlex.quote(place.name.rstrip('/') + '/' + inner)}" if inner else "",
    )


def _is_store(name: str) -> bool:
    from openallen.formats.kinds import STORE

    return STORE.search(name) is not None and not name.lower().endswith(".nwb")


def _near_file(text: str) -> str:
    """Return the nearest name in the same folder, where one looks meant."""
    from difflib import get_close_matches

    try:
        path = expanded(text)
        names = [p.name for p in path.parent.iterdir()]
    except (OSError, UsageError):
        return ""
    near = get_close_matches(path.name, names, 1)
    return f"openallen show {shlex.quote(str(path.with_name(near[0])))}" if near else ""


def folder_for(to: Path | str) -> Path:
    """Return a folder that things may go to, there or not yet.

    Parameters
    ----------
    to
        The folder.

    Raises
    ------
    RefusedError
        If it, or what it would lie in, is a file.
    """
    folder = expanded(to).absolute()
    for place in (folder, *folder.parents):
        if place.is_dir():
            break
        if place.exists():
            raise RefusedError(
                "this is a file, not a folder",
                address=str(place),
                hint="choose a folder with --to DIR",
            )
    return folder
