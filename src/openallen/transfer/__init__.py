"""Plan to files: the engine that runs a plan, verified and resumable."""

from openallen.transfer.engine import Interrupted, run
from openallen.transfer.interruption import Interruption
from openallen.transfer.progress import Meter, Observer
from openallen.transfer.sharing import Cluster
from openallen.transfer.space import check_space
from openallen.transfer.status import with_status

__all__ = [
    "Cluster",
    "Interrupted",
    "Interruption",
    "Meter",
    "Observer",
    "check_space",
    "run",
    "with_status",
]
