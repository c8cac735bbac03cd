"""What running cells on Ray costs beside the pool of processes, on this machine.

python -m benchmarks.cluster --cells=200            # cells of one second: the pool, then Ray
python -m benchmarks.cluster --cells=10000 --empty  # empty cells on Ray: memory of the driver
"""

import resource
import tempfile
import time
from pathlib import Path

from absl import app, flags

from tfgan_ema import remote
from tfgan_ema.lab.experiments import cells

CELLS = flags.DEFINE_integer("cells", 200, "Number of cells.")
EMPTY = flags.DEFINE_bool("empty", False, "Cells that do nothing, on Ray alone.")
WORKERS = flags.DEFINE_integer("workers", 2, "Processes at a time.")


def measure(seconds, folder, progress):
    """A cell that only takes time."""
    time.sleep(seconds)
    return []


def timed(seconds: float, **options) -> float:
    """Seconds for all cells, with the start of what runs them."""
    name = "benchmarks.cluster:measure"
    made = [cells.Cell(f"c{i}", name, {"seconds": seconds}) for i in range(CELLS.value)]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        cells.run(made, Path(folder), workers=WORKERS.value, **options)
        return time.perf_counter() - start


def main(argv):
    """Prints the times, or the memory."""
    seconds = 0.0 if EMPTY.value else 1.0
    if not EMPTY.value:
        print(f"pool: {timed(seconds):.1f} s with its start", flush=True)
    start = time.perf_counter()
    with remote.connected("local", WORKERS.value):
        print(f"start of Ray: {time.perf_counter() - start:.1f} s", flush=True)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"Ray: {timed(seconds, cluster='local'):.1f} s after it")
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"driver's largest memory: {before / 1024:.0f} MiB before, {after / 1024:.0f} MiB after")


if __name__ == "__main__":
    app.run(main)
