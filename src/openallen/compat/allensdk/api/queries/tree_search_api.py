"""AllenSDK's ``TreeSearchApi``: what a structure or a specimen is part of, and its parts."""

from __future__ import annotations

from typing import Any

from openallen.compat.allensdk.api.api import Api
from openallen.compat.asking import ask_service
from openallen.errors import UsageError

__all__ = ["TreeSearchApi"]


class TreeSearchApi(Api):
    """Asks the service for trees of structures and specimens.

    Parameters
    ----------
    base_uri
        As for `Api`.
    """

    def get_tree(
        self,
        kind: str,
        db_id: int,
        ancestors: bool | None = None,
        descendants: bool | None = None,
    ) -> Any:
        """Return the rows of a tree.

        Parameters
        ----------
        kind
            ``Structure`` or ``Specimen``.
        db_id
            Id of the one.
        ancestors, descendants
            Whether what it is part of, and its parts, are returned.

        Raises
        ------
        UsageError
            If it is another kind.
        """
        if kind not in {"Structure", "Specimen"}:
            raise UsageError(f"no trees of '{kind}'", hint="Structure or Specimen")
        told = {"ancestors": ancestors, "descendants": descendants}
        options = "&".join(f"{k}={str(v).lower()}" for k, v in told.items() if v is not None)
        path = f"tree_search/{kind}/{int(db_id)}.json{'?' if options else ''}{options}"
        return ask_service(path, self._source)
