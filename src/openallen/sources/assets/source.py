"""The door of AIND open data: ``asset:NAME``, ``asset:NAME/behavior/*.csv``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from openallen.address import Address, Condition
from openallen.errors import NotFoundError, OfflineError, UsageError
from openallen.sources.assets.options import SIDECARS, ListOptions, ShowOptions
from openallen.sources.base import (
    LIKELY,
    MAYBE,
    Example,
    Facts,
    NoOptions,
    Place,
    Row,
    Rows,
    View,
)
from openallen.sources.buckets.source import BucketSource, Root, parts_of

if TYPE_CHECKING:
    from openallen.sources.assets.read import Asset
    from openallen.transfer.job import Job
    from openallen.web_address import WebAddress

__all__ = ["AssetSource"]

_BUCKET = "aind-open-data"
_SIDECARS = ("data_description.json", "metadata.nd.json", "metadata.json")
_RAW = "ecephys_625749_2022-08-03_15-15-06"
_TILE = "exaSPIM_653431_2023-05-06_10-23-15/SPIM.ome.zarr/tile_000000_ch_561.zarr"


class AssetSource(BucketSource):
    """Assets of AIND open data."""

    scheme: ClassVar[str] = "asset"
    title: ClassVar[str] = "open data assets of AIND"
    folder: ClassVar[str] = "assets"
    bucket: ClassVar[str] = _BUCKET
    noun: ClassVar[str] = "asset"
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            f"asset:{_RAW}",
            "an asset: metadata, files, provenance",
            web=(
                f"s3://{_BUCKET}/{_RAW}",
                f"s3://{_BUCKET}/{_RAW}/",
                f"https://{_BUCKET}.s3.us-west-2.amazonaws.com/{_RAW}/",
                f"https://{_BUCKET}.s3.amazonaws.com/{_RAW}",
                f"https://s3.us-west-2.amazonaws.com/{_BUCKET}/{_RAW}/",
            ),
        ),
        Example(f"asset:{_RAW}/behavior/*.csv", "some of its files"),
        Example(
            f"asset:{_TILE}",
            "an image in an asset",
            web=(
                f"s3://{_BUCKET}/{_TILE}",
                f"zarr://s3://{_BUCKET}/{_TILE}",
                f"zarr2://s3://{_BUCKET}/{_TILE}/",
                f"https://{_BUCKET}.s3.us-west-2.amazonaws.com/{_TILE}/|zarr2:",
            ),
        ),
    )
    list_options: ClassVar[type] = ListOptions
    show_options: ClassVar[type] = ShowOptions
    columns: ClassVar[tuple[str, ...]] = (
        "name",
        "level",
        "modalities",
        "subject_id",
        "acquired",
        "project",
        "public",
    )

    # --- addresses --------------------------------------------------------------------------------

    @classmethod
    def from_web(cls, web: WebAddress) -> Address | None:
        """Read the address of anything in the bucket of AIND open data."""
        parts = parts_of(web, cls.bucket)
        if parts is None:
            return None
        return Address(cls.scheme, parts[0] if parts else "", path=parts[1:])

    @classmethod
    def root(cls, address: Address) -> Root:
        """Return the folder of the asset."""
        return Root(f"{address.name}/", Address(cls.scheme, address.name), address.path)

    def check(self, address: Address) -> None:
        """Check that an address can be of an asset.

        Raises
        ------
        UsageError
            If its name can be no folder's, or it has a version.
        """
        from openallen.plans import safe_name

        super().check(address)
        if address.name and safe_name(address.name, "") != address.name:
            raise UsageError(
                "this is not the name of an asset",
                address=str(address),
                hint=self.show_command(),
            )

    def gone(self, root: Root) -> NotFoundError:
        """Return the error that says that there is no such asset."""
        return self._asset(root.address).missing()

    def _asset(self, address: Address) -> Asset:
        from openallen.sources.assets.access import open_asset

        return open_asset(address.name, self.context.settings)

    # --- list -------------------------------------------------------------------------------------

    @classmethod
    def lists(cls, address: Address) -> tuple[Address, ...]:
        """Return the catalogue, or the files of an asset."""
        return () if address.path else (Address(address.scheme, address.name),)

    def rows(
        self,
        address: Address,
        conditions: Sequence[Condition],
        options: ListOptions,
        limit: int | None,
    ) -> Rows:
        """Return assets of the catalogue; of one asset its files, or those a pattern means."""
        from openallen.sources.assets.shown import catalogue_rows

        if address.name and options.refresh:
            raise UsageError(
                "only the catalogue is refreshed",
                address=str(address),
                hint="openallen list asset: --refresh",
            )
        if address.name:
            return self.file_rows(address, conditions, limit)
        wanted = [*address.conditions, *conditions]
        return catalogue_rows(
            self.context, wanted, limit, refresh=options.refresh, shown=self.columns
        )

    def held(self) -> Iterator[Row]:
        """Return a row for each asset in the store; metadata that were only read are none."""
        return (row for row in super().held() if row["address"] != f"{self.scheme}:{SIDECARS}")

    # --- show -------------------------------------------------------------------------------------

    def facts(self, address: Address, options: ShowOptions) -> Facts:
        """Return metadata, folders with sizes and what opens; of a part what it says of itself."""
        from openallen.sources.assets.shown import asset_facts

        self._one(address, "shown")
        if address.path:
            if options != ShowOptions():
                raise UsageError(
                    "these options are for whole assets",
                    address=str(address),
                    hint=f"openallen show asset:{address.name} --graph",
                )
            return self.part_facts(address)
        asset = self._asset(address)
        try:
            asset.record  # noqa: B018 - asked for here, to know whether it is there
        except OfflineError:
            here = self._local(address)
            if here is None:
                raise
            asset = here
        return asset_facts(self.context, asset, str(address), options)

    def _one(self, address: Address, done: str) -> None:
        if not address.name:
            raise self.cannot(f"{done} as a whole", address, f"openallen list {self.scheme}:")

    # --- fetch and open ---------------------------------------------------------------------------

    def job(self, address: Address, to: Path, options: Any) -> Job:
        """Return the job that fetches an asset, or the files a pattern means."""
        self._one(address, "fetched")
        return super().job(address, to, options)

    def open(self, address: Address, **options: Any) -> Any:
        """Open an asset; or a part of it by what it holds, with ``remote``, ``columns``, ``nrows``.

        Raises
        ------
        NotFoundError
            If there is none. Offline, an asset that is not in the store says so when it is asked.
        """
        _, plain = self.options(NoOptions, address, {})
        self._one(plain, "opened")
        if plain.path:
            return self.open_part(plain, **options)
        self.no_options(options, address)
        asset = self._asset(plain)
        try:
            if not asset.exists():
                raise asset.missing()
        except OfflineError:
            return self._local(plain) or asset
        return asset

    def _local(self, address: Address) -> Asset | None:
        """Return an asset as far as it is in the store; None where nothing of it is."""
        from openallen.sources.assets.local import local_asset

        folder = self.here(self.root(address))
        if not folder.is_dir():
            return None
        return local_asset(folder, self.context.settings, address.name)

    # --- folders that were fetched ----------------------------------------------------------------

    @classmethod
    def recognise(cls, place: Place) -> int:
        """Recognise a local folder of an asset by its sidecars or its name."""
        if place.path is None or not place.is_folder:
            return 0
        if place.has(*_SIDECARS):
            return LIKELY
        from openallen.sources.assets.names import parse_name

        return MAYBE if parse_name(place.path.name).level in {"raw", "derived"} else 0

    def open_place(self, place: Place, **options: Any) -> Asset:
        """Open the folder of an asset that was fetched, whole or in part."""
        from openallen.sources.assets.local import local_asset

        self.no_options(options, place.name)
        assert place.path is not None
        return local_asset(place.path, self.context.settings)

    def place_facts(self, place: Place, options: ShowOptions) -> Facts:
        """Return the metadata and files of a folder that was fetched."""
        from openallen.sources.assets.shown import asset_facts

        return asset_facts(self.context, self.open_place(place), place.name, options, here=True)

    # --- viewers ----------------------------------------------------------------------------------

    def views(self, address: Address) -> list[View]:
        """Return states of neuroglancer that are there; else one made for each image.

        Raises
        ------
        NotFoundError
            If there is nothing that a viewer shows.
        """
        from openallen.sources.assets.pages import pages

        _, plain = self.options(NoOptions, address, {})
        self._one(plain, "viewed")
        whole = replace(plain, path=())
        objects = self.context.remote_objects(self.bucket, f"{plain.name}/")
        if not any(objects.level()):
            raise self.gone(self.root(whole))
        found = pages(objects, self.bucket, "/".join(plain.path))
        if not found:
            raise NotFoundError(
                "nothing to view",
                address=str(address),
                why="no neuroglancer state, no OME-Zarr image",
                hint=f"openallen show {address}",
            )
        return found
