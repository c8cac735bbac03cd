"""Our metrics beside other packages' on the same arrays, in one run.

    pip install 'tfgan_ema[peers]'
    python -m benchmarks.metrics [--repeats=3] [--only=frechet,formula,manifold,kernel,ring]

Every contender runs in a process of its own, turn by turn, so that neither caches nor peaks of
memory mix; the median time and the largest peak count. Peaks are over the arrays themselves.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from absl import flags

from tfgan_ema import command

PEERS = Path(__file__).parents[1] / "tests" / "metrics"  # how the peers are called: in the tests

FLAGS = command.new_flags()
flags.DEFINE_integer("repeats", 3, "Number of runs of each contender.", flag_values=FLAGS)
flags.DEFINE_list("only", [], "Comparisons to run (default: all).", flag_values=FLAGS)


def frechet_ours(a, b):
    """Frechet distance from features."""
    from tfgan_ema import metrics

    return metrics.frechet_distance(a, b)


def frechet_ours_streamed(a, b):
    """Frechet distance from streamed moments, as the evaluator does it."""
    from tfgan_ema.metrics import frechet

    moments = frechet.Moments(), frechet.Moments()
    for moment, samples in zip(moments, (a, b), strict=True):
        for start in range(0, len(samples), 500):
            moment.update(samples[start : start + 500])
    return frechet.distance(*(moment.gaussian() for moment in moments))


def frechet_pytorch_fid(a, b):
    """pytorch-fid: sample moments, then its formula."""
    import metric_peers

    return metric_peers.pytorch_fid(a, b)


def formula_ours(a, b):
    """Our distance from means and covariances."""
    from tfgan_ema.metrics import frechet

    return frechet.distance(*(frechet.from_covariance(x[0], x[1:]) for x in (a, b)))


def formula_pytorch_fid(a, b):
    """pytorch-fid's formula on the same means and covariances."""
    import metric_peers

    return metric_peers.pytorch_fid_formula(a[0], a[1:], b[0], b[1:])


def frechet_tfgan(a, b):
    """TF-GAN, in float32."""
    from tfgan_ema.interop import tfgan

    return tfgan.frechet_distance(a, b)


def manifold_ours(a, b):
    """Precision, recall, density and coverage, k = 5."""
    from tfgan_ema import metrics

    return metrics.manifold_scores(a, b, k=5)


def manifold_prdc(a, b):
    """The same by prdc."""
    import metric_peers

    return metric_peers.prdc(a, b)


def kernel_ours(a, b):
    """Unbiased KID over all pairs."""
    from tfgan_ema import metrics

    return metrics.kernel_distance(a, b)


def kernel_tfgan(a, b):
    """The same by TF-GAN, in float32."""
    from tfgan_ema.interop import tfgan

    return tfgan.kernel_distance(a, b, max_block_size=len(a))


def ring_ours(a, _):
    """Modes, high quality and KL of 25,000 points on the ring."""
    from tfgan_ema import metrics
    from tfgan_ema.data import mixtures

    return metrics.mode_coverage(a, mixtures.ring_centers(), 0.01)


def activations(rows: int, width: int, dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """Two sets like rectified activations: a falling spectrum, full rank."""
    random = np.random.default_rng(0)
    mixing = random.standard_normal((width, width)) / np.sqrt(width) * np.geomspace(1, 0.05, width)

    def draw(shift: float) -> np.ndarray:
        return np.maximum(random.standard_normal((rows, width)) @ mixing + shift, 0).astype(dtype)

    return draw(0.0), draw(0.02)


def moments(rows: int, width: int, dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """Mean (first row) and covariance of two sets like rectified activations."""
    return tuple(
        np.vstack([x.mean(axis=0), np.cov(x, rowvar=False)])
        for x in activations(rows, width, dtype)
    )


def ring(_: int, __: int, ___: type) -> tuple[np.ndarray, np.ndarray]:
    """25,000 points of the ring, twice."""
    from tfgan_ema.data import mixtures

    return mixtures.ring(25_000, seed=1)[0], np.zeros((1, 2))


COMPARISONS: dict[str, tuple[tuple, list[Callable]]] = {
    "frechet": (
        (activations, 5_000, 2_048, np.float64),
        [frechet_ours, frechet_ours_streamed, frechet_pytorch_fid, frechet_tfgan],
    ),
    "formula": ((moments, 5_000, 2_048, np.float64), [formula_ours, formula_pytorch_fid]),
    "manifold": ((activations, 10_000, 2_048, np.float32), [manifold_ours, manifold_prdc]),
    "kernel": ((activations, 5_000, 2_048, np.float32), [kernel_ours, kernel_tfgan]),
    "ring": ((ring, 0, 0, np.float32), [ring_ours]),
}


def measure(function: Callable, folder: str, queue) -> None:
    """In a process of its own: seconds, peak MB over the inputs, and the result."""
    sys.path.insert(0, str(PEERS))
    a, b = (np.load(Path(folder) / f"{name}.npy") for name in "ab")
    small = slice(0, 65), slice(0, 64)  # imports and compilation stay out of the measurement
    function(a[small], b[small])
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = _status("VmRSS")
    start = time.perf_counter()
    result = function(a, b)
    seconds = time.perf_counter() - start
    queue.put((seconds, (_status("VmHWM") - before) / 1024, result))


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def _run(values: flags.FlagValues, _: list[str]) -> None:
    context = multiprocessing.get_context("spawn")
    for name in values.only or COMPARISONS:
        (make, *arguments), contenders = COMPARISONS[name]
        measured: dict[Callable, list[tuple]] = {contender: [] for contender in contenders}
        with tempfile.TemporaryDirectory() as folder:
            for file, array in zip("ab", make(*arguments), strict=True):
                np.save(Path(folder) / f"{file}.npy", array)
            for _ in range(values.repeats):
                for contender in contenders:
                    queue = context.Queue()
                    process = context.Process(target=measure, args=(contender, folder, queue))
                    process.start()
                    measured[contender].append(queue.get())
                    process.join()
        shape = "" if make is ring else f" {arguments[0]} x {arguments[1]} {arguments[2].__name__}"
        print(f"\n{name}{shape}", flush=True)
        ours = measured[contenders[0]]
        base = statistics.median(run[0] for run in ours), max(run[1] for run in ours)
        for contender, runs in measured.items():
            seconds = sorted(run[0] for run in runs)
            middle, peak = statistics.median(seconds), max(run[1] for run in runs)
            print(
                f"  {contender.__name__:<22} {middle:8.3f} s"
                f" ({seconds[0]:.3f} .. {seconds[-1]:.3f})"
                f"  peak {peak:6.0f} MB  time x{middle / base[0]:.2f}"
                f"  memory x{peak / max(base[1], 1):.2f}  {_short(runs[0][2])}",
                flush=True,
            )


def _short(result: float | dict) -> str:
    if isinstance(result, dict):
        return " ".join(f"{name}={value:.6g}" for name, value in result.items())
    return f"{result:.8g}"


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    return command.run(_run, FLAGS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
