"""The services themselves, on loopback: brain-map.org answered from a folder of tables and files.

::

    from openallen.archive import archive_app, serving

    with serving(archive_app("sample")) as url:
        ...                                   # any client may ask url
"""

from openallen.archive.app import archive_app
from openallen.archive.faults import KINDS, Fault
from openallen.archive.holdings import SAMPLE
from openallen.archive.server import serve, serving

__all__ = ["KINDS", "SAMPLE", "Fault", "archive_app", "serve", "serving"]
