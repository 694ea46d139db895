"""How long nothing takes: version, help, import, beside the bare interpreter.

python benchmarks/startup.py [--runs 15]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import openallen": [sys.executable, "-c", "import openallen"],
    "openallen --version": [sys.executable, "-m", "openallen", "--version"],
    "openallen --help": [sys.executable, "-m", "openallen", "--help"],
    "openallen fetch --help": [sys.executable, "-m", "openallen", "fetch", "--help"],
    "import openallen.brainmap": [sys.executable, "-c", "import openallen.brainmap"],
    "import requests": [sys.executable, "-c", "import requests"],
}


def main() -> None:
    """Time each in turn, several times over, and print medians."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=15)
    runs = options.parse_args().runs
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for turn in range(runs + 1):
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
            if turn:  # the first warms the caches
                times[name].append((time.perf_counter() - start) * 1000)
    bare = statistics.median(times["python -c pass"])
    for name, found in times.items():
        middle = statistics.median(found)
        print(f"{name:28} {middle:7.0f} ms   +{middle - bare:.0f} ms over the bare interpreter")


if __name__ == "__main__":
    main()
