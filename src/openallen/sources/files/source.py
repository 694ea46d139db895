"""The door of well-known files, and of any file or store by what it holds: ``file:491120155``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from openallen.address import Address
from openallen.errors import NotFoundError
from openallen.sources.base import Example, Facts, Place, Source
from openallen.sources.files.contents import open_contents, sureness
from openallen.sources.files.rows import fetched_file, row_facts

if TYPE_CHECKING:
    from openallen.transfer.job import Job
    from openallen.web_address import WebAddress

__all__ = ["FileSource"]


class FileSource(Source):
    """Well-known files of brain-map.org; and whatever file or store says itself what it is."""

    scheme: ClassVar[str] = "file"
    title: ClassVar[str] = "well-known files of brain-map.org"
    numeric: ClassVar[bool] = True
    own_folder: ClassVar[bool] = False
    folder: ClassVar[str] = "files"
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            "file:197676381",
            "the annotation of the adult mouse's grids, by its id",
            sample=True,
            web=("http://api.brain-map.org/api/v2/well_known_file_download/197676381",),
        ),
    )

    @classmethod
    def from_web(cls, web: WebAddress) -> Address | None:
        """Read the address a well-known file is downloaded from."""
        found = re.fullmatch(r"/api/v2/well_known_file_download/(\d+)", web.path.rstrip("/"))
        return Address("file", found[1]) if found and is_service(web.host) else None

    def facts(self, address: Address, options: Any) -> Facts:
        """Return the row of a file."""
        del options
        return row_facts(self, address, "WellKnownFile", include="well_known_file_type")

    def job(self, address: Address, to: Path, options: Any) -> Job:
        """Return the job that fetches the file."""
        from openallen.brainmap.plan import plan_file

        del options
        return plan_file(self.context.client, address, to)

    def open(self, address: Address, **options: Any) -> Any:
        """Open a file that was fetched into the store, by what it holds."""
        return open_fetched(self, address, **options)

    @classmethod
    def recognise(cls, place: Place) -> int:
        """Return whether a place is a file or store of a standard format."""
        return sureness(place)

    def open_place(self, place: Place, **options: Any) -> Any:
        """Open a file or store of a standard format."""
        return open_contents(self.context, place, **options)


def is_service(host: str) -> bool:
    """Return whether a host is one of brain-map.org's."""
    return host.endswith(".brain-map.org") or host == "www.brainspan.org"


def open_fetched(source: Source, address: Address, **options: Any) -> Any:
    """Open the one file that was fetched for an address."""
    found = fetched_file(source, address)
    if found is None:
        raise source.not_here(address, NotFoundError("nothing was fetched"))
    return source.context.open_place(source.context.place(found), **options)
