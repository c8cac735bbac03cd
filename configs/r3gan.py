"""R3GAN (Huang et al. 2024, arXiv 2501.05441): relativistic pairing, R1 and R2, no tricks.

    tfgan-ema train --config=r3gan:cifar10 --workdir=runs/r3gan_cifar10

Learning rate, beta_2, penalty, half-life of the average and probability of augmentation follow a
cosine over the first images of training, as in the authors' code; numbers behind rows are their
FIDs. The authors never end a run: ``steps`` here end it when the schedules do. Differences: one
batch of real images serves both players' updates; the penalties take the gradient at the augmented
images; what `tfgan_ema.ada` says of its interpolation.

``fashion_mnist`` is a network and a batch that one CPU core trains in a quarter of an hour, without
augmentation; it is not a recipe of the authors. ImageNet comes through TFDS, FFHQ as a folder.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from configs import base
from configs.published import FFHQ, IMAGENET_32
from configs.tables import change, choose, optimizers

GEOMETRY = (
    "flip", "rotate90", "integer_translation", "scale", "rotation", "anisotropy", "translation",
)  # fmt: skip
COLOUR = ("brightness", "contrast", "luma_flip", "hue", "saturation")
STRENGTHS = dict.fromkeys((*GEOMETRY, "cutout"), 1.0) | dict.fromkeys(COLOUR, 0.5)
IMAGENET_64 = "tfds:imagenet_resized/64x64"


class Row(NamedTuple):
    """What the recipes differ in.

    Attributes:
        network: of the zoo.
        images: over which the schedules run.
        batch_size: of one update.
        gamma: the penalties' weight at first; it falls to a tenth.
        half_life: of the average in the end, in images.
        probability: of augmentation in the end; 0: none.
        changes: of the configuration.
        learning_rate: at first; it falls to a quarter.
    """

    network: str
    images: int
    batch_size: int
    gamma: float
    half_life: float
    probability: float
    changes: Mapping[str, Any]
    learning_rate: float = 2e-4


FLIP, LABELS = {"data.flip": True}, {"data.labels": True}
SMALL = {
    "network.width": 1 / 48, "data.name": "fashion_mnist", "data.channels": 1,
    "precision": "float32",
}  # fmt: skip
ROWS = {
    "cifar10": Row("r3gan_32", 20_000_000, 512, 0.05, 5e6, 0.55, FLIP | LABELS),  # 1.96
    "cifar10_unconditional": Row("r3gan_32", 20_000_000, 512, 0.05, 5e6, 0.55, FLIP),
    "ffhq_64": Row(
        "r3gan_64", 20_000_000, 256, 2.0, 5e5, 0.3, FLIP | {"data.name": FFHQ}
    ),  # 1.95
    "ffhq_256": Row(
        "r3gan_256", 20_000_000, 256, 150.0, 5e5, 0.3, FLIP | {"data.name": FFHQ}
    ),  # 2.75
    "imagenet_32": Row(
        "r3gan_imagenet_32", 200_000_000, 4096, 0.5, 5e7, 0.5,
        FLIP | LABELS | {"data.name": IMAGENET_32, "accumulate": 8},
    ),  # 1.27
    "imagenet_64": Row(
        "r3gan_imagenet_64", 200_000_000, 4096, 1.0, 5e7, 0.4,
        FLIP | LABELS | {"data.name": IMAGENET_64, "accumulate": 8},
    ),  # 2.09
    "fashion_mnist": Row("r3gan_32", 112_000, 16, 1.0, 5600.0, 0.0, SMALL, 1e-3),
}  # fmt: skip


def get_config(row: str = "") -> ConfigDict:
    """The recipe of a row of `ROWS`.

    Raises:
        UsageError: no row was named, or an unknown one.
    """
    chosen = choose("r3gan", row, ROWS)

    def cosine(start: float, end: float) -> dict[str, Any]:
        return {"kind": "cosine", "start": start, "end": end, "images": chosen.images}

    recipe = {
        "network.kind": chosen.network,
        "batch_size": chosen.batch_size,
        "steps": chosen.images // chosen.batch_size,
        "loss.kind": "relativistic",
        "penalties.r1_r2.weight": cosine(chosen.gamma, chosen.gamma / 10),
        "averages": ConfigDict({"ema": {"half_life": cosine(0.0, chosen.half_life)}}),
        "precision": "bfloat16",
        **optimizers(
            "adam",
            learning_rate=cosine(chosen.learning_rate, chosen.learning_rate / 4),
            beta_1=0.0,
            beta_2=cosine(0.9, 0.99),
            epsilon=1e-8,
        ),
    }
    if chosen.probability:
        ada = {"strengths": STRENGTHS, "probability": cosine(0.0, chosen.probability)}
        recipe["augment.ada"] = ada
    return change(base.get_config(), recipe | chosen.changes)
