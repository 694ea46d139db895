"""Plan to files: the engine that runs a plan, verified and resumable."""

from openallen.fetch.engine import Interrupted, run
from openallen.fetch.progress import Meter, Observer
from openallen.fetch.space import check_space
from openallen.fetch.survey import survey

__all__ = ["Interrupted", "Meter", "Observer", "check_space", "run", "survey"]
