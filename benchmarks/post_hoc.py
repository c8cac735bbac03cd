"""Averages made of snapshots against averages tracked in training.

    python -m benchmarks.post_hoc --out=runs/post_hoc [--steps=5000] [--every=100]

SNGAN-32 at a quarter of its width trains on CIFAR-10, or on noise where the set is not on disk,
with averages of ten widths. Snapshots of two of them (0.05 and 0.1) are all that the synthesis
reads; the others tell how far it is off. An interrupted run goes on when the command is repeated.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from absl import flags

from tfgan_ema import command, files

WIDTHS = (0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.13, 0.17, 0.21, 0.25)
KEPT = ("power_ema_0.05", "power_ema_0.1")

FLAGS = command.new_flags(("out", str, "runs/post_hoc", "The folder of the run."))
flags.DEFINE_integer("steps", 5000, "Generator steps.", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer("every", 100, "Steps between snapshots.", lower_bound=1, flag_values=FLAGS)


def main(values: command.Flags, words: list[str]) -> None:
    """Trains, makes the averages and prints a table."""
    command.start_engine()
    import keras

    import tfgan_ema as tg
    import zoo
    from tfgan_ema import checkpoint, data, posthoc

    out = Path(values.out)
    name = "cifar10" if data.on_disk("cifar10") else "noise"
    images = data.load(name).samples if name == "cifar10" else _noise()
    keras.utils.set_random_seed(0)
    generator, discriminator = zoo.build("sngan_32", width=0.25)
    averages = [tg.PowerEMA(sigma) for sigma in WIDTHS]
    gan = tg.GAN(generator, discriminator, latent=128, loss="hinge", averages=averages)
    gan.compile()
    run = tg.Run(out, snapshot_every=values.every, sample_every=None, checkpoint_every=500)
    gan.fit(images, batch_size=16, steps_per_epoch=values.steps, callbacks=[run], verbose=0)
    for path in checkpoint.checkpoints(out / "snapshots").values():
        arrays, facts = checkpoint.read(path)
        arrays = {key: value for key, value in arrays.items() if key.split("/")[0] in KEPT}
        facts["exponents"] = {kept: facts["exponents"][kept] for kept in KEPT}
        checkpoint.write(out / "two" / "snapshots" / path.name, arrays, **facts)
    first = np.concatenate([np.ravel(w) for w in generator.trainable_weights])
    rows = ["width,residual,difference,share_of_the_way"]
    for sigma, average in zip(WIDTHS, gan.averages, strict=True):
        direct = _weights(average)
        made = posthoc.synthesise(out / "two", sigma)
        posthoc.set_weights(average, made, out)
        off = np.linalg.norm(_weights(average) - direct)
        way = np.linalg.norm(first - direct)  # from the average to the raw weights
        rows.append(
            f"{sigma},{made.residual:.2e},{off / np.linalg.norm(direct):.2e},{off / way:.2e}"
        )
    files.write_text(out / "post_hoc.csv", "\n".join(rows) + "\n")
    print(f"data: {name}, {values.steps} steps, snapshots every {values.every}")
    print("\n".join(rows))


def _noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (4096, 32, 32, 3), dtype=np.uint8)


def _weights(average: object) -> np.ndarray:
    pairs = [shadow for shadow, weight in average.pairs if weight.trainable]
    return np.concatenate([np.ravel(shadow.numpy()) for shadow in pairs])


if __name__ == "__main__":
    sys.exit(command.run(main, FLAGS, __doc__, sys.argv))
