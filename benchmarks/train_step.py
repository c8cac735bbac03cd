"""A training step of ours beside PyTorch's and a tutorial's, turn by turn, in one run.

    pip install 'tfgan_ema[peers]' && pip install --no-deps torch-mimicry
    python -m benchmarks.train_step [--repeats=7] [--seconds=10] [--only=sngan_32,dcgan_64]
        [--precisions=float32,bfloat16]

A step is one discriminator and one generator update on batches of equal size. SNGAN is compared
with mimicry's networks (which upsample bilinearly), DCGAN with the same layers in PyTorch and with
the `train_step` of the usual Keras tutorial. In bfloat16 ours and the tutorial compute under
Keras's mixed policy, PyTorch under its autocast. Every contender lives in a process of its own,
which starts, warms up and then waits for its turns; medians count. Memory is the peak over what the
process held once its framework was imported. A share of the matrix rate is the products that our
step cannot do without over what one large matrix product reaches at its turns.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import multiprocessing
import statistics
import sys
import time
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from benchmarks import mimicry
from tfgan_ema import command

FLAGS = command.new_flags()
flags.DEFINE_integer("repeats", 7, "Turns of each contender.", flag_values=FLAGS)
flags.DEFINE_float("seconds", 10.0, "Length of a turn.", flag_values=FLAGS)
flags.DEFINE_list("only", [], "Some of the networks; all.", flag_values=FLAGS)
flags.DEFINE_list("precisions", ["float32"], "float32, bfloat16, or both.", flag_values=FLAGS)

LEARNING_RATE = 2e-4
Run = Callable[[int], Any]


class Network(NamedTuple):
    """A network of the zoo, rows of a batch, sizes of latent and image, Adam's two decays."""

    name: str
    batch: int
    latent: int
    size: int
    betas: tuple[float, float]
    precision: str = "float32"


NETWORKS = {
    "sngan_32": Network("sngan_32", 16, 128, 32, (0.0, 0.9)),
    "sngan_128": Network("sngan_128", 4, 128, 128, (0.0, 0.9)),
    "dcgan_64": Network("dcgan_64", 64, 128, 64, (0.5, 0.999)),
}


# Contenders: a network -> run(steps)


def _images(network: Network) -> Any:
    import numpy as np

    shape = (network.batch, network.size, network.size, 3)
    return np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")


def _keras_loop(model: Any, network: Network) -> Run:
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False  # the end of `fit` waits for the thread that tunes
    data = tf.data.Dataset.from_tensors(_images(network)).cache().repeat().with_options(options)
    return lambda steps: model.fit(data, steps_per_epoch=steps, verbose=0, shuffle=False)


def _set_policy(network: Network) -> None:
    import keras

    mixed = network.precision == "bfloat16"
    keras.mixed_precision.set_global_policy("mixed_bfloat16" if mixed else "float32")


def _adams(network: Network, adam: Callable[..., Any]) -> list[Any]:
    first, second = network.betas
    return [adam(LEARNING_RATE, beta_1=first, beta_2=second) for _ in range(2)]


def ours(network: Network) -> Run:
    """`GAN.fit` on a network of the zoo."""
    import tfgan_ema as tg
    import zoo

    _set_policy(network)
    loss = "hinge" if network.name.startswith("sngan") else "non_saturating"
    gan = tg.GAN(*zoo.build(network.name), latent=network.latent, loss=loss)
    gan.compile(*_adams(network, tg.optimizers.Adam))
    return _keras_loop(gan, network)


def tutorial(network: Network) -> Run:
    """A Keras model whose `train_step` is the usual one for a DCGAN."""
    import keras
    import tensorflow as tf

    import zoo

    _set_policy(network)
    cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)

    class Tutorial(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.generator, self.discriminator = zoo.build(network.name)

        def train_step(self, real: tf.Tensor) -> dict[str, tf.Tensor]:
            rows = tf.shape(real)[0]
            fake = self.generator(tf.random.normal((rows, network.latent)), training=True)
            both = tf.concat([fake, real], axis=0)
            labels = tf.concat([tf.zeros((rows, 1)), tf.ones((rows, 1))], axis=0)
            with tf.GradientTape() as tape:
                d_loss = cross_entropy(labels, self.discriminator(both, training=True))
            weights = self.discriminator.trainable_weights
            gradients = tape.gradient(d_loss, weights)
            d_optimizer.apply_gradients(zip(gradients, weights, strict=True))
            with tf.GradientTape() as tape:
                fake = self.generator(tf.random.normal((rows, network.latent)), training=True)
                logits = self.discriminator(fake, training=True)
                g_loss = cross_entropy(tf.ones((rows, 1)), logits)
            weights = self.generator.trainable_weights
            gradients = tape.gradient(g_loss, weights)
            g_optimizer.apply_gradients(zip(gradients, weights, strict=True))
            return {"d_loss": d_loss, "g_loss": g_loss}

    d_optimizer, g_optimizer = _adams(network, keras.optimizers.Adam)
    model = Tutorial()
    model.compile()
    return _keras_loop(model, network)


def mimicry_as_it_is(network: Network) -> Run:
    """Mimicry's networks and its own steps."""
    import torch

    generator, discriminator = mimicry.sngan(network.size)
    d_optimizer, g_optimizer = _torch_adams(generator, discriminator, network)
    images = torch.from_numpy(_images(network)).permute(0, 3, 1, 2).contiguous()
    log = types.SimpleNamespace(add_metric=lambda *args, **kwargs: None)

    def run(steps: int) -> None:
        for _ in range(steps):
            discriminator.train_step((images, None), generator, d_optimizer, log)
            generator.train_step((images, None), discriminator, g_optimizer, log)

    return _under_autocast(run, network)


def _under_autocast(run: Run, network: Network) -> Run:
    import torch

    mixed = network.precision == "bfloat16"

    def under(steps: int) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            run(steps)

    return under


def _torch_adams(generator: Any, discriminator: Any, network: Network) -> list[Any]:
    import torch

    return [
        torch.optim.Adam(net.parameters(), lr=LEARNING_RATE, betas=network.betas)
        for net in (discriminator, generator)
    ]


def _torch_dcgan(network: Network) -> tuple[Any, Any]:
    """The layers of our dcgan_64."""
    from torch import nn

    widths = (512, 256, 128, 64)
    up = []
    for width, following in zip(widths, (*widths[1:], 3), strict=True):
        last = following == 3
        up += [nn.BatchNorm2d(width), nn.ReLU(True)]
        up += [nn.ConvTranspose2d(width, following, 5, 2, 2, 1, bias=last)]
    generator = nn.Sequential(
        nn.Linear(network.latent, 4 * 4 * 512, bias=False),
        nn.Unflatten(1, (512, 4, 4)),
        *up,
        nn.Tanh(),
    )
    down = []
    for width, following in zip((3, *widths[:0:-1]), widths[::-1], strict=True):
        first = width == 3
        down += [nn.Conv2d(width, following, 5, 2, 2, bias=first)]
        down += [] if first else [nn.BatchNorm2d(following)]
        down += [nn.LeakyReLU(0.2, True)]
    return generator, nn.Sequential(*down, nn.Flatten(), nn.Linear(4 * 4 * 512, 1))


def _pytorch(network: Network, *, channels_last: bool, compiled: bool = False) -> Run:
    """A lean loop: no gradients for the fakes of D's update, none of D's weights in G's."""
    import torch

    softplus, relu = torch.nn.functional.softplus, torch.nn.functional.relu
    if network.name.startswith("sngan"):
        nets = mimicry.sngan(network.size)
        real_loss, fake_loss = (lambda x: relu(1 - x)), (lambda x: relu(1 + x))
        g_loss = torch.neg
    else:
        nets = _torch_dcgan(network)
        real_loss, fake_loss, g_loss = (lambda x: softplus(-x)), softplus, (lambda x: softplus(-x))
    layout = torch.channels_last if channels_last else torch.contiguous_format
    generator, discriminator = (net.to(memory_format=layout) for net in nets)
    images = torch.from_numpy(_images(network)).permute(0, 3, 1, 2).contiguous()
    images = images.to(memory_format=layout)
    d_optimizer, g_optimizer = _torch_adams(generator, discriminator, network)
    generate, discriminate = generator, discriminator
    if compiled:
        generate, discriminate = torch.compile(generator), torch.compile(discriminator)

    def draw() -> Any:
        return torch.randn(network.batch, network.latent)

    def run(steps: int) -> None:
        for _ in range(steps):
            with torch.no_grad():
                fake = generate(draw())
            d_optimizer.zero_grad()
            loss = real_loss(discriminate(images)).mean() + fake_loss(discriminate(fake)).mean()
            loss.backward()
            d_optimizer.step()
            g_optimizer.zero_grad()
            discriminator.requires_grad_(False)
            g_loss(discriminate(generate(draw()))).mean().backward()
            discriminator.requires_grad_(True)
            g_optimizer.step()

    return _under_autocast(run, network)


def pytorch(network: Network) -> Run:
    """PyTorch in its own layout."""
    return _pytorch(network, channels_last=False)


def pytorch_channels_last(network: Network) -> Run:
    """PyTorch with channels last."""
    return _pytorch(network, channels_last=True)


def pytorch_compiled(network: Network) -> Run:
    """PyTorch with channels last, compiled."""
    return _pytorch(network, channels_last=True, compiled=True)


def products(network: Network) -> Run:
    """Products of two matrices, 2,048 x 2,048."""
    import tensorflow as tf

    a = tf.cast(tf.random.normal((PRODUCT, PRODUCT)), network.precision)
    square = tf.function(lambda: tf.matmul(a, a))
    return lambda steps: [square() for _ in range(steps)][-1][0, 0].numpy()


PRODUCT = 2048
MATRICES = "matrix products"
SNGAN = {
    "ours": ("tensorflow", ours),
    "mimicry as it is": ("torch", mimicry_as_it_is),
    "mimicry's networks, channels last": ("torch", pytorch_channels_last),
    "mimicry's networks, channels last, compiled": ("torch", pytorch_compiled),
    MATRICES: ("tensorflow", products),
}
DCGAN = {
    "ours": ("tensorflow", ours),
    "Keras tutorial": ("tensorflow", tutorial),
    "PyTorch": ("torch", pytorch),
    "PyTorch, channels last": ("torch", pytorch_channels_last),
    "PyTorch, channels last, compiled": ("torch", pytorch_compiled),
    MATRICES: ("tensorflow", products),
}


# What a step has to multiply


def flops(name: str) -> tuple[float, float]:
    """Products of a step for one row of the batch: with resampling folded, and without.

    G runs forward for D's fakes, and forward and back for its own update; D runs forward and back
    on a real and a fake row, and forward and, as far as the image, back in G's. Going back costs
    two forward passes, or one where weights get no gradient.
    """
    import zoo

    generator, discriminator = zoo.build(name)
    passes = {generator: 1 + 3, discriminator: 2 * 3 + 2}
    folded, plain = (
        sum(passes[net] * _flops(layer, fold) for net in passes for layer in net.layers)
        for fold in (True, False)
    )
    return folded, plain


def _flops(layer: Any, folded: bool) -> float:
    """Products of a layer's forward pass on one row."""
    if not hasattr(layer, "kernel"):
        return 0.0
    taps = 2.0 * math.prod(layer.kernel.shape)
    inside, outside = (math.prod(x.shape[1:-1]) for x in (layer.input, layer.output))
    if type(layer).__name__ == "Conv2DTranspose":
        return taps * inside
    resample = getattr(layer, "resample", None)
    if resample is None:
        return taps * outside
    share = {3: 4 / 9, 1: 1 / 4}[layer.kernel.shape[0]] if folded else 1.0
    return taps * max(inside, outside) * share


# Turns


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


def _serve(contender: Callable[[Network], Run], library: str, network: Network, link: Any) -> None:
    """In a process of its own: builds, warms up, then answers numbers of steps with seconds."""
    try:
        importlib.import_module(library)
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        before = _status("VmRSS")
        run = contender(network)
        run(2)
    except Exception as error:
        link.send(f"{type(error).__name__}: {error}")
        return
    link.send(None)
    while steps := link.recv():
        start = time.perf_counter()
        run(steps)
        link.send(((time.perf_counter() - start) / steps, _status("VmHWM") - before))


class Contender:
    """The end of a contender's process that asks for turns."""

    def __init__(self, library: str, function: Callable, network: Network) -> None:
        context = multiprocessing.get_context("spawn")
        self.link, other = context.Pipe()
        arguments = (function, library, network, other)
        self.process = context.Process(target=_serve, args=arguments, daemon=True)
        self.process.start()
        self.failure = self.link.recv()
        self.seconds: list[float] = []
        self.peak = 0.0

    def ask(self, steps: int) -> float:
        """Seconds of each of so many steps."""
        self.link.send(steps)
        seconds, self.peak = self.link.recv()
        return seconds

    def turn(self, seconds: float) -> None:
        """Measures for about so many seconds."""
        last = self.seconds[-1] if self.seconds else self.ask(1)
        self.seconds.append(self.ask(max(1, round(seconds / last))))

    def stop(self) -> None:
        """Ends the process."""
        with contextlib.suppress(BrokenPipeError):
            self.link.send(0)
        self.process.join()


def _report(network: Network, contenders: dict[str, Contender]) -> float:
    """Prints a line for each contender; returns the seconds of ours."""
    folded, plain = (network.batch * x / 1e9 for x in flops(network.name))
    rate = 2 * PRODUCT**3 / 1e9 / statistics.median(contenders[MATRICES].seconds)
    print(
        f" {network.precision}; a step multiplies {folded:.0f} GFLOP, {plain:.0f} without folding;"
        f" matrix rate {rate:.0f} GFLOP/s: at least {folded / rate:.3f} s",
        flush=True,
    )
    ours = statistics.median(contenders["ours"].seconds)
    for name, contender in contenders.items():
        if name == MATRICES:
            continue
        if contender.failure:
            print(f"  {name:<44} does not run: {contender.failure.splitlines()[0]}")
            continue
        middle = statistics.median(contender.seconds)
        print(
            f"  {name:<44} {middle:7.3f} s"
            f" ({min(contender.seconds):.3f} .. {max(contender.seconds):.3f})"
            f"  {network.batch / middle:6.1f} images/s  ours is x{middle / ours:.2f}"
            f"  {100 * folded / rate / middle:3.0f} % of the matrix rate"
            f"  peak {contender.peak:5.0f} MB",
            flush=True,
        )
    return ours


def _run(values: flags.FlagValues, _: list[str]) -> None:
    for name in values.only or NETWORKS:
        network = NETWORKS[name]
        print(f"\n{name}, batch {network.batch}, one D and one G update", flush=True)
        table = SNGAN if name.startswith("sngan") else DCGAN
        networks = [network._replace(precision=precision) for precision in values.precisions]
        contenders = [
            {key: Contender(*row, each) for key, row in table.items()} for each in networks
        ]
        running = [c for group in contenders for c in group.values() if not c.failure]
        for _ in range(values.repeats):
            for contender in running:
                contender.turn(values.seconds)
        for contender in running:
            contender.stop()
        ours = [_report(*pair) for pair in zip(networks, contenders, strict=True)]
        for precision, seconds in zip(values.precisions[1:], ours[1:], strict=True):
            share = seconds / ours[0]
            print(f"  ours in {precision}: {share:.2f} of the time in {values.precisions[0]}")


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    return command.run(_run, FLAGS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
