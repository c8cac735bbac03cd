"""Seeds in a stack beside one seed at a time, on the same cores, in one run.

    pip install 'tfgan_ema[peers]'          # for PyTorch; without it these lines are missing
    python -m benchmarks.toy [--seconds=10] [--repeats=3]

The GAN is the baseline of `tfgan-ema reproduce grid` (non-saturating loss, WGAN-GP, Adam, one EMA).
Every contender runs in processes of its own, turn by turn; the median rate counts. A share of the
matrix rate is the step's matrix products (what XLA cannot leave out) over what one large product
reaches on all cores.
"""

from __future__ import annotations

import importlib.util
import itertools
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from absl import flags

from tfgan_ema import command

FLAGS = command.new_flags()
flags.DEFINE_float("seconds", 10.0, "Length of a measurement.", flag_values=FLAGS)
flags.DEFINE_integer("repeats", 3, "Measurements of each contender.", flag_values=FLAGS)

CORES = os.cpu_count() or 1
BATCH = 64
LEARNING_RATE, DECAY = 2e-4, 0.999


class Networks(NamedTuple):
    """Hidden layers of both players, and how many seeds a stack holds."""

    hidden: tuple[int, ...]
    seeds: int


NETWORKS = {"4 x 256 units": Networks((256,) * 4, 5), "4 x 32 units": Networks((32,) * 4, 16)}


def flops(hidden: Sequence[int]) -> float:
    """Matrix products of a step of one seed: 4 passes of G and 14 of D, 6 of them the penalty's."""
    sizes = [2, *hidden]
    inner = sum(a * b for a, b in itertools.pairwise(sizes))
    generator, discriminator = inner + 2 * hidden[-1], inner + hidden[-1]
    return 2.0 * BATCH * (4 * generator + 14 * discriminator)


# Contenders: networks, seconds -> (seeds * steps, seconds they took), after a warm-up


def _time(run: Callable[[int], Any], seconds: float, barrier: Any) -> tuple[int, float]:
    """Calls ``run(steps)`` until the time is over; all processes start together."""
    run(20)
    start = time.perf_counter()
    run(20)
    steps = max(20, int(seconds / 4 / (time.perf_counter() - start) * 20))
    barrier.wait()
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        run(steps)
        done += steps
    return done, time.perf_counter() - start


def stacked(networks: Networks, seconds: float, barrier: Any) -> tuple[float, float]:
    """A stack of seeds in the resident loop."""
    from tfgan_ema.data import mixtures
    from tfgan_ema.lab.experiments import grid, points
    from tfgan_ema.latents import Normal

    sizes = {"g_hidden": networks.hidden, "d_hidden": networks.hidden, "d_slope": 0.0}
    gan = points.stack(
        grid.METHODS["baseline"], range(networks.seeds), networks=sizes, latent=Normal(2),
        averages={"ema": {"rule": "ema", "decay": DECAY}}, leak=None,
    )  # fmt: skip
    real = points.mixture(mixtures.grid_centers(), grid.SIGMA)

    def batch(step: Any) -> Any:
        return real(networks.seeds * BATCH, gan.draws("data/", step))

    done, took = _time(lambda steps: gan.run(batch, steps), seconds, barrier)
    return done * networks.seeds, took


def fit(networks: Networks, seconds: float, barrier: Any) -> tuple[float, float]:
    """One seed through plain ``fit``, one step a call."""
    import tensorflow as tf

    import tfgan_ema as tg
    import zoo
    from tfgan_ema.data import mixtures
    from tfgan_ema.lab.experiments import grid

    method = grid.METHODS["baseline"]
    pair = zoo.build("mlp", g_hidden=networks.hidden, d_hidden=networks.hidden, d_slope=0.0)
    gan = tg.GAN(
        *pair, latent=2, averages=[tg.EMA(DECAY)],
        penalties=[tg.penalties.get(name, **options) for name, options in method.penalty],
    )  # fmt: skip
    gan.compile(method.optimizer, method.optimizer)
    points = mixtures.grid(50_000, seed=0)[0].astype("float32")
    data = tf.data.Dataset.from_tensor_slices(points).repeat().batch(BATCH, drop_remainder=True)
    options = tf.data.Options()
    options.autotune.enabled = False  # the end of `fit` waits for the thread that tunes
    data = data.prefetch(8).with_options(options)
    return _time(lambda steps: gan.fit(data, steps_per_epoch=steps, verbose=0), seconds, barrier)


def pytorch(networks: Networks, seconds: float, barrier: Any) -> tuple[float, float]:
    """One seed in an eager loop of PyTorch."""
    import torch

    torch.set_num_threads(max(1, CORES // barrier.parties))

    def perceptron(outputs: int) -> torch.nn.Sequential:
        layers: list[torch.nn.Module] = []
        size = 2
        for units in networks.hidden:
            layers += [torch.nn.Linear(size, units), torch.nn.ReLU()]
            size = units
        return torch.nn.Sequential(*layers, torch.nn.Linear(size, outputs))

    generator, discriminator, average = perceptron(2), perceptron(1), perceptron(2)
    average.load_state_dict(generator.state_dict())
    optimizers = [
        torch.optim.Adam(net.parameters(), lr=LEARNING_RATE, betas=(0.0, 0.9))
        for net in (discriminator, generator)
    ]
    centers = torch.cartesian_prod(*[torch.arange(4.0) - 1.5] * 2)
    softplus = torch.nn.functional.softplus

    def penalty(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        share = torch.rand(BATCH, 1)
        between = (share * real + (1 - share) * fake).requires_grad_()
        logits = discriminator(between).sum()
        (gradient,) = torch.autograd.grad(logits, between, create_graph=True)
        return ((gradient.norm(dim=1) - 1) ** 2).mean()

    def step() -> None:
        real = centers[torch.randint(16, (BATCH,))] + 0.2 * torch.randn(BATCH, 2)
        fake = generator(torch.randn(BATCH, 2)).detach()
        optimizers[0].zero_grad()
        loss = softplus(-discriminator(real)).mean() + softplus(discriminator(fake)).mean()
        (loss + penalty(real, fake)).backward()
        optimizers[0].step()
        optimizers[1].zero_grad()
        softplus(-discriminator(generator(torch.randn(BATCH, 2)))).mean().backward()
        optimizers[1].step()
        with torch.no_grad():
            averaged, source = list(average.parameters()), list(generator.parameters())
            torch._foreach_lerp_(averaged, source, 1 - DECAY)

    return _time(lambda steps: [step() for _ in range(steps)], seconds, barrier)


def product(_: Networks, seconds: float, barrier: Any) -> tuple[float, float]:
    """GFLOP of products of float32 matrices, 1,024 x 1,024."""
    import tensorflow as tf

    a = tf.random.normal((1024, 1024))
    square = tf.function(lambda: tf.matmul(a, a))
    done, took = _time(lambda n: [square() for _ in range(n)][-1].numpy(), seconds, barrier)
    return done * 2 * 1024**3 / 1e9, took


# Contender -> processes and what runs in them; each process has its share of the cores.
CONTENDERS: dict[str, tuple[int, Callable]] = {
    f"stacked, {CORES} processes": (CORES, stacked),
    "one seed, plain fit": (1, fit),
    "one seed, PyTorch eager": (1, pytorch),
    f"one seed a process, PyTorch eager, {CORES} processes": (CORES, pytorch),
}


def _worker(
    function: Callable, networks: Networks, seconds: float, barrier: Any, threads: int, queue: Any
) -> None:
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if function is not pytorch:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    try:
        done, took = function(networks, seconds, barrier)
    except BaseException as error:
        barrier.abort()
        queue.put(error)
        raise
    queue.put(done / took)


def rate(function: Callable, networks: Networks, processes: int, seconds: float) -> float:
    """What all processes do in a second, together."""
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(processes), context.Queue()
    threads = max(1, CORES // processes)
    arguments = (function, networks, seconds, barrier, threads, queue)
    workers = [context.Process(target=_worker, args=arguments) for _ in range(processes)]
    for worker in workers:
        worker.start()
    rates = [queue.get() for _ in workers]
    for worker in workers:
        worker.join()
    for failure in (r for r in rates if isinstance(r, BaseException)):
        raise failure
    return sum(rates)


def _run(values: flags.FlagValues, _: list[str]) -> None:
    contenders = dict(CONTENDERS)
    if not importlib.util.find_spec("torch"):
        contenders = {k: v for k, v in contenders.items() if v[1] is not pytorch}
        print("PyTorch is not installed: pip install 'tfgan_ema[peers]' for its lines.")
    first = next(iter(NETWORKS.values()))
    peak = max(rate(product, first, CORES, values.seconds / 2) for _ in range(values.repeats))
    print(f"matrix products on {CORES} cores: {peak:.0f} GFLOP/s", flush=True)
    for name, networks in NETWORKS.items():
        print(f"\n{name}, batch {BATCH}, {networks.seeds} seeds a stack", flush=True)
        measured: dict[str, list[float]] = {contender: [] for contender in contenders}
        for _ in range(values.repeats):
            for contender, (processes, function) in contenders.items():
                measured[contender].append(rate(function, networks, processes, values.seconds))
        ours = statistics.median(next(iter(measured.values())))
        for contender, rates in measured.items():
            middle = statistics.median(rates)
            share = middle * flops(networks.hidden) / 1e9 / peak
            print(
                f"  {contender:<52} {middle:9.0f} seed-steps/s"
                f" ({min(rates):.0f} .. {max(rates):.0f})  stacked is x{ours / middle:.1f}"
                f"  {100 * share:.0f} % of the matrix rate",
                flush=True,
            )


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    return command.run(_run, FLAGS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
