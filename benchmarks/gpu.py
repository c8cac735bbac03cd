"""Full-size SNGANs on an accelerator: ours under JAX beside mimicry's under PyTorch, in one run.

The machine needs PyTorch and JAX, not TensorFlow. What it lacks is carried there, made where there
is a network (``--python-version`` is that of the machine):

    pip wheel --no-deps -w wheels torch-mimicry
    pip download --no-deps --only-binary :all: --python-version 3.12 -d wheels \\
        keras ml_collections namex optree
    python -m benchmarks.gpu --packages=wheels [--only=sngan_32,sngan_128] [--limit=230]

Without ``--packages`` everything is taken from where pip installed it. Both train the published
recipe (hinge, spectral norm, n_dis 5, Adam) from a data set that lies on the device; ours keeps an
average as well. Every contender runs in a process of its own; the median of its repeats counts. A
share of the matrix rate is what PyTorch's own counter finds in a step of mimicry's networks, over
the time taken, over what one large product of the same precision reaches. Ours does less
arithmetic where convolutions are folded: its share says how fast the same function is computed.

Rows are measured in the order of the flags until ``--limit`` is over, which cuts the one that runs.
With the defaults a contender measures for 9 seconds; to start, import and compile takes it about
20 (PyTorch) to 60 (ours, and PyTorch compiled), so that four minutes hold one or two tables.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from benchmarks import mimicry
from tfgan_ema import command
from tfgan_ema.errors import UsageError, unknown

NETWORKS = {"sngan_32": 32, "sngan_128": 128}
PRECISIONS = ("bfloat16", "tf32", "float32")
LATENT, N_DIS, RATE, BETAS = 128, 5, 2e-4, (0.0, 0.9)
MATRIX = 8192  # rows of the product that tells the matrix rate; a CPU gets a quarter of them

OVER = "the limit is over"

FLAGS = command.new_flags()
flags.DEFINE_list("only", list(NETWORKS), "The networks.", flag_values=FLAGS)
flags.DEFINE_list("precisions", list(PRECISIONS), "bfloat16, tf32, float32.", flag_values=FLAGS)
flags.DEFINE_integer("batch_size", 64, "Images of a batch.", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_float("seconds", 3.0, "Length of a measurement.", flag_values=FLAGS)
flags.DEFINE_float("limit", 230.0, "Seconds in all.", flag_values=FLAGS)
flags.DEFINE_integer("repeats", 3, "Measurements of each contender.", flag_values=FLAGS)
flags.DEFINE_string(
    "packages", "", "A folder of wheels to use without a network.", flag_values=FLAGS
)


class Work(NamedTuple):
    """What a contender has to do."""

    network: str
    batch_size: int
    precision: str
    seconds: float
    repeats: int
    images: int = 10_000


class Result(NamedTuple):
    """Real images a second into D, peak bytes on the device, multiply-adds x 2 of a step."""

    rates: list[float]
    memory: float
    flops: float = 0.0


# Contenders: Work -> Result, each in a process of its own


def ours(work: Work) -> Result:
    """This package under JAX, many steps a dispatch."""
    import jax
    import keras
    import numpy as np

    import tfgan_ema as tg
    import zoo
    from tfgan_ema import losses
    from tfgan_ema.latents import Draws

    _jax_precision(work.precision)
    policy = "mixed_bfloat16" if work.precision == "bfloat16" else "float32"
    keras.mixed_precision.set_global_policy(policy)
    gan = tg.GAN(
        *zoo.build(work.network), latent=LATENT, loss=losses.get("hinge"), n_dis=N_DIS,
        averages=[tg.EMA(0.9999)],
    )  # fmt: skip
    adam = {"kind": "adam", "learning_rate": RATE, "beta_1": BETAS[0], "beta_2": BETAS[1]}
    gan.compile(adam, adam)
    size = NETWORKS[work.network]
    data = jax.device_put(
        np.random.default_rng(0).integers(0, 256, (work.images, size, size, 3), np.uint8)
    )

    def batch(step: Any) -> Any:
        rows = Draws(0, step).integers((N_DIS * work.batch_size,), work.images, "rows")
        return data[rows].astype("float32") / 127.5 - 1

    rates = _rates(lambda steps: gan.run(batch, steps), lambda: None, work)
    return Result(rates, (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0))


def pytorch(work: Work, channels_last: bool = False, compiled: bool = False) -> Result:
    """mimicry's networks in a loop of PyTorch, with its own counter of arithmetic."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    _torch_precision(work.precision)
    device = _torch_device()
    layout = torch.channels_last if channels_last else torch.contiguous_format
    nets = [net.to(device, memory_format=layout) for net in mimicry.sngan(NETWORKS[work.network])]
    generator, discriminator = nets
    g_adam, d_adam = (
        torch.optim.Adam(net.parameters(), lr=RATE, betas=BETAS, fused=device.type == "cuda")
        for net in nets
    )
    if compiled:
        generator, discriminator = (torch.compile(net) for net in nets)
    size = NETWORKS[work.network]
    data = torch.randint(0, 256, (work.images, 3, size, size), dtype=torch.uint8, device=device)
    half = torch.autocast(device.type, torch.bfloat16, enabled=work.precision == "bfloat16")
    relu = torch.nn.functional.relu

    def latents() -> Any:
        return torch.randn(work.batch_size, LATENT, device=device)

    def step() -> None:
        for _ in range(N_DIS):
            rows = torch.randint(0, work.images, (work.batch_size,), device=device)
            real = (data[rows].float() / 127.5 - 1).to(memory_format=layout)
            with half:
                with torch.no_grad():
                    fake = generator(latents())
                # In one call: mimicry's spectral norm, compiled, cannot be called twice.
                on_real, on_fake = discriminator(torch.cat([real, fake])).chunk(2)
                loss = relu(1 - on_real).mean() + relu(1 + on_fake).mean()
            d_adam.zero_grad()
            loss.backward()
            d_adam.step()
        with half:
            loss = -discriminator(generator(latents())).mean()
        g_adam.zero_grad()
        loss.backward()
        g_adam.step()

    def steps(count: int) -> None:
        for _ in range(count):
            step()

    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    flops = 0.0
    if not compiled:
        with FlopCounterMode(display=False) as counter:
            step()
        flops = counter.get_total_flops()
    rates = _rates(steps, wait, work)
    return Result(rates, torch.cuda.max_memory_allocated() if device.type == "cuda" else 0, flops)


def pytorch_channels_last(work: Work) -> Result:
    """The same with images laid out pixel by pixel."""
    return pytorch(work, channels_last=True)


def pytorch_compiled(work: Work) -> Result:
    """The same through torch.compile."""
    return pytorch(work, channels_last=True, compiled=True)


CONTENDERS = (ours, pytorch, pytorch_channels_last, pytorch_compiled)


def _jax_precision(precision: str) -> None:
    import jax

    names = {"float32": "highest", "tf32": "tensorfloat32", "bfloat16": "default"}
    jax.config.update("jax_default_matmul_precision", names[precision])


def _torch_precision(precision: str) -> None:
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision != "float32"
    torch.backends.cudnn.benchmark = True


def _torch_device() -> Any:
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _rates(run: Callable[[int], Any], wait: Callable[[], None], work: Work) -> list[float]:
    """Real images a second of ``run(steps)``, after two calls that compile and choose kernels."""
    run(2)
    wait()
    start = time.perf_counter()
    run(2)
    wait()
    steps = max(1, int(work.seconds / 4 / (time.perf_counter() - start) * 2))

    def rate() -> float:
        done, start = 0, time.perf_counter()
        while time.perf_counter() - start < work.seconds:
            run(steps)
            wait()
            done += steps
        return done * N_DIS * work.batch_size / (time.perf_counter() - start)

    return [rate() for _ in range(work.repeats)]


def matrix_rate(work: Work) -> Result:
    """Multiply-adds x 2 a second of one large product in PyTorch, of the work's precision."""
    import torch

    _torch_precision(work.precision)
    device = _torch_device()
    kind = torch.bfloat16 if work.precision == "bfloat16" else torch.float32
    size = MATRIX if device.type == "cuda" else MATRIX // 4
    a, b = (torch.randn(size, size, device=device).to(kind) for _ in range(2))
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    best = 0.0
    for _ in range(10):
        wait()
        start = time.perf_counter()
        a @ b
        wait()
        best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return Result([best], 0)


def machine() -> str:
    """The device by name, and the versions of what runs on it."""
    import torch

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    jax = subprocess.run(
        [sys.executable, "-c", "import jax; print(jax.__version__, jax.devices()[0].device_kind)"],
        capture_output=True, text=True, check=False,
    ).stdout.strip()  # fmt: skip
    return f"{name}; PyTorch {torch.__version__}, JAX {jax}"


def _call(function: Callable[[Work], Result], work: Work, queue: Any) -> None:
    try:
        queue.put(function(work))
    except Exception as error:
        queue.put(f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}")


def measure(function: Callable[[Work], Result], work: Work, end: float) -> Result | str:
    """The result of a new process, or one line that says why there is none.

    It is ended at the time ``end``.
    """
    if time.monotonic() > end:
        return OVER
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_call, args=(function, work, queue))
    process.start()
    result = None
    while result is None and (process.is_alive() or not queue.empty()):
        if time.monotonic() > end:
            process.kill()
            process.join()
            return OVER
        try:
            result = queue.get(timeout=1)
        except Exception:
            continue
    process.join()
    return result if result is not None else f"the process ended with {process.exitcode}"


def unpack(packages: Path, target: str) -> None:
    """Installs a folder's wheels into ``target`` without a network."""
    files = sorted(map(str, packages.glob("*.whl")))
    if not files:
        raise UsageError(f"--packages={packages} holds no wheels: see --help.")
    words = ["install", "--quiet", "--no-index", "--no-deps"]
    made = subprocess.run(
        [sys.executable, "-m", "pip", *words, f"--target={target}", *files],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if made.returncode:
        raise UsageError(f"--packages={packages}: pip says {made.stderr.strip().splitlines()[-1]}")


def _compare(work: Work, end: float) -> None:
    print(f"\n{work.network}, batch {work.batch_size}, {work.precision}", flush=True)
    limit = measure(matrix_rate, work, end)
    measured: dict[Any, Result] = {}
    for contender in CONTENDERS:
        result = measure(contender, work, end)
        if isinstance(result, str):
            print(f"  {contender.__name__:<22} no result: {result}", flush=True)
        else:
            measured[contender] = result
            print(f"  {contender.__name__:<22} {median(result):8.1f} images/s", flush=True)
    peers = [median(result) for contender, result in measured.items() if contender is not ours]
    best = max(peers, default=float("nan"))
    flops = max((result.flops for result in measured.values()), default=0.0)
    if measured:
        print("  together:")
    for contender, result in measured.items():
        line = f"{median(result):8.1f} ({min(result.rates):.1f} .. {max(result.rates):.1f})"
        line += f"  x{median(result) / best:.2f} of PyTorch's best"
        if flops and isinstance(limit, Result):
            share = median(result) / N_DIS / work.batch_size * flops / median(limit)
            line += f"  {share:4.0%} of the matrix rate"
        if result.memory:
            line += f"  {result.memory / 2**20:7.0f} MiB"
        print(f"  {contender.__name__:<22} {line}", flush=True)
    if flops and isinstance(limit, Result):
        rate = f"one large product: {median(limit) / 1e12:.2f} TFLOP/s"
        print(f"  a step: {flops / 1e9:.1f} GFLOP; {rate}")


def median(result: Result) -> float:
    """The median rate."""
    return statistics.median(result.rates)


def _run(values: flags.FlagValues, _: list[str]) -> None:
    end = time.monotonic() + values.limit
    for chosen, known, what in (
        (values.only, NETWORKS, "network"),
        (values.precisions, PRECISIONS, "precision"),
    ):
        for name in chosen:
            if name not in known:
                raise unknown(what, name, known)
    with tempfile.TemporaryDirectory() as target:
        if values.packages:
            unpack(Path(values.packages), target)
            sys.path.insert(0, target)
        for package in ("jax", "keras", "torch"):
            if importlib.util.find_spec(package) is None:
                raise UsageError(f"{package} is not installed: pip install {package}; see --help.")
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        os.environ["KERAS_BACKEND"] = "jax"
        print(machine(), flush=True)
        for network in values.only:
            for precision in values.precisions:
                if time.monotonic() < end:
                    work = Work(
                        network, values.batch_size, precision, values.seconds, values.repeats
                    )
                    _compare(work, end)
                else:
                    print(f"\n{network}, {precision}: not measured, {OVER}")


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    return command.run(_run, FLAGS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
