"""What running cells on Ray costs beside the pool of processes, on this machine.

python -m benchmarks.cluster --cells=200            # cells of one second: the pool, then Ray
python -m benchmarks.cluster --cells=10000 --empty  # empty cells on Ray: memory of the driver
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

from tfgan_ema import remote
from tfgan_ema.lab.experiments import cells


def measure(seconds, folder, progress):
    """A cell that only takes time."""
    time.sleep(seconds)
    return []


def timed(count: int, workers: int, seconds: float, **options) -> float:
    """Seconds for all cells."""
    name = "benchmarks.cluster:measure"
    made = [cells.Cell(f"c{i}", name, {"seconds": seconds}) for i in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        cells.run(made, Path(folder), workers=workers, **options)
        return time.perf_counter() - start


def main() -> None:
    """Prints the times, and the memory of this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2, help="processes at a time")
    parser.add_argument("--empty", action="store_true", help="cells that do nothing, on Ray alone")
    given = parser.parse_args()
    work = given.cells, given.workers, 0.0 if given.empty else 1.0
    if not given.empty:
        print(f"pool: {timed(*work):.1f} s with its start", flush=True)
    start = time.perf_counter()
    with remote.connected("local", given.workers):
        print(f"start of Ray: {time.perf_counter() - start:.1f} s", flush=True)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"Ray: {timed(*work, cluster='local'):.1f} s after it")
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"largest memory here: {before / 1024:.0f} MiB before, {after / 1024:.0f} MiB after")


if __name__ == "__main__":
    main()
