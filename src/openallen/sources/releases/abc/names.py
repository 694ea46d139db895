"""The names by which abc_atlas_access's project cache gives what the ABC Atlas has.

Those that are properties there are properties here. A release is of one version: what loads another
manifest says how that is opened.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openallen.address import Address
from openallen.display import bytes_text
from openallen.errors import UsageError, requiring
from openallen.sources.releases.data_sets import (
    KINDS,
    MATRICES,
    METADATA,
    VOLUMES,
    directories,
    file_named,
    files_in,
    name_of,
    table_name,
)
from openallen.sources.releases.models import Manifest, ReleaseFile, Version
from openallen.sources.releases.read import Release

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AbcNames"]

_MAPMYCELLS = KINDS[-1]


class AbcNames(Release):
    """What the opened ABC Atlas answers to by the names of abc_atlas_access."""

    # --- what there is ----------------------------------------------------------------------------

    @property
    def list_directories(self) -> list[str]:
        """The data sets, in alphabetical order."""
        return directories(self.manifest)

    def list_metadata_files(self, directory: str) -> list[str]:
        """Return the names of the tables of a data set.

        Raises
        ------
        NotFoundError
            If there is no such data set.
        """
        return self._names(directory, METADATA)

    def list_expression_matrix_files(self, directory: str) -> list[str]:
        """Return the names of the matrices of a data set: ``WMB-10Xv2-TH/log2``."""
        return self._names(directory, MATRICES)

    def list_data_files(self, directory: str) -> list[str]:
        """Return what `list_expression_matrix_files` does, by its older name."""
        return self._names(directory, MATRICES)

    def list_image_volume_files(self, directory: str) -> list[str]:
        """Return the names of the volumes of a data set."""
        return self._names(directory, VOLUMES)

    def list_mapmycells_files(self, directory: str) -> list[str]:
        """Return the names of the files for MapMyCells of a data set."""
        return self._names(directory, _MAPMYCELLS)

    def _names(self, directory: str, kind: str) -> list[str]:
        return [name_of(file) for file in files_in(self.manifest, directory, kind)]

    # --- files ------------------------------------------------------------------------------------

    def get_file_path(self, directory: str, file_name: str, **options: bool) -> Path:
        """Return the path of a file, which is fetched and verified if it is not here.

        Parameters
        ----------
        directory
            The data set.
        file_name
            ``cell_metadata``, ``WMB-10Xv2-TH/log2``.
        **options
            ``force_download`` and ``skip_hash_check``, which make no difference: a file whose
            bytes are what was published needs neither.

        Raises
        ------
        NotFoundError
            If there is no such data set or file.
        """
        _options(options)
        return self._fetched(file_named(self.manifest, directory, file_name))

    def get_data_path(self, directory: str, file_name: str, **options: bool) -> Path:
        """Return the path of a matrix; parameters and errors as for `get_file_path`."""
        _options(options)
        return self._fetched(file_named(self.manifest, directory, file_name, MATRICES))

    def get_metadata_path(self, directory: str, file_name: str, **options: bool) -> Path:
        """Return the path of a table; parameters and errors as for `get_file_path`."""
        _options(options)
        return self._fetched(file_named(self.manifest, directory, file_name, METADATA))

    def get_metadata_dataframe(
        self,
        directory: str,
        file_name: str,
        dtype: Any = None,
        **kwargs: Any,
    ) -> pd.DataFrame:
        """Return a table as pandas; without further options by way of its kept copy.

        Parameters
        ----------
        directory
            The data set.
        file_name
            The name of the table.
        dtype
            As for `pandas.read_csv`. ``cell_label`` is text in any case.
        **kwargs
            As for `pandas.read_csv`; ``force_download`` and ``skip_hash_check`` make no difference.

        Raises
        ------
        NotFoundError
            If there is no such data set or table.
        CorruptError
            If it is damaged.
        MissingExtraError
            Without the extra ``tables``.
        """
        for name in ("force_download", "skip_hash_check"):
            kwargs.pop(name, None)
        file = file_named(self.manifest, directory, file_name, METADATA)
        if not kwargs and dtype in (None, {"cell_label": str}):
            return self.table(table_name(file))
        with requiring("a table of pandas", "tables"):
            from openallen.formats.csv_tables import read_csv
        path = self._fetched(file)
        if dtype is None:
            dtype = {"cell_label": str}
        return read_csv(path, str(path), dtype=dtype, **kwargs)

    def get_directory_metadata(self, directory: str, **options: bool) -> list[Path]:
        """Fetch every table of a data set, and return their paths."""
        return self._directory(directory, METADATA, options)

    def get_directory_expression_matrices(self, directory: str, **options: bool) -> list[Path]:
        """Fetch every matrix of a data set, and return their paths."""
        return self._directory(directory, MATRICES, options)

    def get_directory_data(self, directory: str, **options: bool) -> list[Path]:
        """Do what `get_directory_expression_matrices` does, by its older name."""
        return self._directory(directory, MATRICES, options)

    def get_directory_image_volumes(self, directory: str, **options: bool) -> list[Path]:
        """Fetch every volume of a data set, and return their paths."""
        return self._directory(directory, VOLUMES, options)

    def get_directory_mapmycells(self, directory: str, **options: bool) -> list[Path]:
        """Fetch every file for MapMyCells of a data set, and return their paths."""
        return self._directory(directory, _MAPMYCELLS, options)

    def _directory(self, directory: str, kind: str, options: dict[str, bool]) -> list[Path]:
        _options(options)
        files = files_in(self.manifest, directory, kind)
        if files:
            with self._connect() as (cache, fetch):
                fetch(cache, self.manifest, files)
        return [self._cache.path(self.manifest, file) for file in files]

    def get_directory_metadata_size(self, directory: str) -> str:
        """Return how large the tables of a data set are, in words."""
        return self._size(directory, METADATA)

    def get_directory_expression_matrix_size(self, directory: str) -> str:
        """Return how large the matrices of a data set are, in words."""
        return self._size(directory, MATRICES)

    def get_directory_data_size(self, directory: str) -> str:
        """Return what `get_directory_expression_matrix_size` does, by its older name."""
        return self._size(directory, MATRICES)

    def get_directory_image_volume_size(self, directory: str) -> str:
        """Return how large the volumes of a data set are, in words."""
        return self._size(directory, VOLUMES)

    def _size(self, directory: str, kind: str) -> str:
        files = files_in(self.manifest, directory, kind)
        return bytes_text(sum(file.size_bytes or 0 for file in files))

    # --- manifests --------------------------------------------------------------------------------

    @property
    def current_manifest(self) -> str:  # type: ignore[override] # a property there
        """The name of the manifest of this version: ``releases/20231215/manifest.json``."""
        return self.manifest.project.manifest_key(self.manifest.version)

    @property
    def list_manifest_file_names(self) -> list[str]:  # type: ignore[override]
        """The names of the manifests of all versions, in order."""
        return self._keys(self.versions())

    @property
    def list_all_downloaded_manifests(self) -> list[str]:  # type: ignore[override]
        """The names of the manifests that are here, in order."""
        return self._keys(self._cache.here())

    @property
    def latest_manifest_file(self) -> str:  # type: ignore[override]
        """The name of the manifest of the newest version."""
        return self.manifest.project.manifest_key(self.versions()[0])

    @property
    def latest_downloaded_manifest_file(self) -> str:  # type: ignore[override]
        """The name of the newest manifest that is here; empty where none is."""
        return next(reversed(self._keys(self._cache.here())), "")

    def _keys(self, versions: Iterable[Version]) -> list[str]:
        return [self.manifest.project.manifest_key(version) for version in sorted(versions)]

    def compare_manifests(
        self, manifest_newer_name: str, manifest_older_name: str
    ) -> dict[str, list[str]]:
        """Return which files a newer version has that an older one has not, and the reverse.

        Parameters
        ----------
        manifest_newer_name, manifest_older_name
            Names of manifests, as in `list_manifest_file_names`, or versions alone.

        Returns
        -------
        dict
            ``added``, ``removed`` and ``changed``: names as ``WMB-10X/cell_metadata``, in order.

        Raises
        ------
        NotFoundError
            If there is no such version.
        """
        newer = self._digests(manifest_newer_name)
        older = self._digests(manifest_older_name)
        return {
            "added": sorted(newer.keys() - older.keys()),
            "removed": sorted(older.keys() - newer.keys()),
            "changed": sorted(
                name for name in newer.keys() & older.keys() if newer[name] != older[name]
            ),
        }

    def _digests(self, name: str) -> dict[str, str]:
        version = self._version_named(name)
        if version == self.version:
            found: Manifest = self.manifest
        else:
            with self._connect() as (cache, _):
                found = cache.manifest(cache.resolve(str(version))[0])
        return {table_name(file): _content(file) for file in found.files}

    def _version_named(self, name: str) -> Version:
        found = self.manifest.project.version_of(name)
        return found if found is not None else Version(str(name))

    def load_manifest(self, manifest_name: str | None = None) -> None:
        """Do nothing where that is the manifest of this version, or none is named.

        Raises
        ------
        UsageError
            If it is another: a release is of one version, and that one is opened by its address.
        """
        wanted = self.version if manifest_name is None else self._version_named(manifest_name)
        if wanted == self.version:
            return
        other = Address("release", self.manifest.project.name, str(wanted))
        raise UsageError(
            "a release is of one version",
            address=self.address,
            why=f"this is {self.version}",
            hint=f"oa.open('{other}')",
        )

    def load_latest_manifest(self) -> None:
        """Do what `load_manifest` does for the newest version."""
        self.load_manifest(self.latest_manifest_file)


def _content(file: ReleaseFile) -> str:
    return file.digest or f"{file.path} {file.size_bytes}"


def _options(given: dict[str, bool]) -> None:
    for name in given:
        if name not in {"force_download", "skip_hash_check"}:
            raise UsageError(f"no such option '{name}'", hint="force_download, skip_hash_check")
