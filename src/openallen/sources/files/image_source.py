"""The door of single images: ``image:321549654?downsample=3``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from openallen.address import Address, Condition
from openallen.sources.base import Example, Facts, Source, option
from openallen.sources.files.rows import row_facts
from openallen.sources.files.source import is_service, open_fetched
from openallen.sources.options import read_options

if TYPE_CHECKING:
    from openallen.transfer.job import Job
    from openallen.web_address import WebAddress

__all__ = ["ImageSource"]


@dataclass(frozen=True, kw_only=True)
class FetchOptions:
    """What the image services are asked for; the address takes every option they have."""

    downsample: int | None = option(
        None, "Halve width and height this many times.", minimum=0, maximum=20, example="3"
    )
    quality: int | None = option(
        None,
        "JPEG quality; the best one by default.",
        minimum=0,
        maximum=100,
        example="80",
    )


class ImageSource(Source):
    """Single images of brain-map.org, by their id."""

    scheme: ClassVar[str] = "image"
    title: ClassVar[str] = "single images of brain-map.org"
    numeric: ClassVar[bool] = True
    own_folder: ClassVar[bool] = False
    folder: ClassVar[str] = "images"
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            "image:321549654?downsample=3",
            "one image at an eighth of its size",
            sample=True,
            web=("http://api.brain-map.org/api/v2/image_download/321549654?downsample=3",),
        ),
    )
    fetch_options: ClassVar[type] = FetchOptions

    @classmethod
    def from_web(cls, web: WebAddress) -> Address | None:
        """Read the address of an image service."""
        if not is_service(web.host):
            return None
        given = tuple(Condition(name, "eq", value) for name, value in web.query)
        plain = re.fullmatch(r"/api/v2/image_download/(\d+)(?:\.jpg)?", web.path.rstrip("/"))
        if plain:
            return Address("image", plain[1], conditions=given)
        other = re.fullmatch(
            r"/api/v2/(\w+_image(?=_)|svg)(?:_download)?/(\d+)(?:\.\w+)?", web.path
        )
        if other is None:
            return None
        return Address("image", other[2], conditions=(Condition("service", "eq", other[1]), *given))

    def options(
        self, kind: type, address: Address, given: Mapping[str, Any]
    ) -> tuple[Any, Address]:
        """Read options from keywords; they join those of the address, which the services read."""
        read: Any = read_options(kind, given, str(address))
        more = {name: value for name, value in given.items() if value is not None}
        kept = [c for c in address.conditions if c.field not in more]
        told = tuple(Condition(name, "eq", str(value)) for name, value in more.items())
        return read, replace(address, conditions=(*kept, *told))

    def facts(self, address: Address, options: Any) -> Facts:
        """Return the row of an image."""
        del options
        return row_facts(self, address, "SubImage")

    def job(self, address: Address, to: Path, options: Any) -> Job:
        """Return the job that fetches the image."""
        from openallen.brainmap.plan import plan_image

        del options
        return plan_image(self.context.client, address, to)

    def open(self, address: Address, **options: Any) -> Any:
        """Open an image that was fetched into the store, as pixels."""
        return open_fetched(self, address, **options)
