"""AllenSDK's ``Api``: what every class that asks the service has."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from openallen.compat.asking import answer_of, source_of
from openallen.compat.elsewhere import Mirrored
from openallen.errors import requiring

__all__ = ["Api"]

_LIVE: Final = "http://api.brain-map.org"


class Api(Mirrored):
    """Asks brain-map.org.

    Parameters
    ----------
    base_uri
        Another service than brain-map.org: ``sample``, or the folder or URL of an archive.
    """

    default_api_url: ClassVar[str] = _LIVE
    download_url: ClassVar[str] = "http://download.alleninstitute.org"

    def __init__(self, base_uri: str | None = None) -> None:
        self._source = source_of(base_uri)
        self._base = (base_uri or _LIVE).rstrip("/")

    def json_msg_query(self, url: str, dataframe: bool = False) -> Any:
        """Return the rows that a request's URL names.

        Parameters
        ----------
        url
            As `build_query_url` makes it.
        dataframe
            Whether a DataFrame is returned; else a list of dicts.
        """
        own = url.replace(self._base, _LIVE, 1) if url.startswith(self._base) else url
        rows = answer_of(own, self._source)
        if not dataframe:
            return rows
        with requiring("a DataFrame", "tables"):
            import pandas as pd
        return pd.DataFrame(rows)

    def construct_well_known_file_download_url(self, well_known_file_id: int) -> str:
        """Return the URL of a well-known file."""
        return f"{self._base}/api/v2/well_known_file_download/{well_known_file_id}"
