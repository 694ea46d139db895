"""A local server with the interface of brain-map.org, over a folder of tables and files.

::

    from openallen.archive import archive_app, serving

    with serving(archive_app("sample")) as url:
        ...                                   # any client can use url
"""

from openallen.archive.app import archive_app
from openallen.archive.faults import KINDS, Fault
from openallen.archive.holdings import SAMPLE
from openallen.serving import serve, serving

__all__ = ["KINDS", "SAMPLE", "Fault", "archive_app", "serve", "serving"]
