"""Published recipes, network by data set.

    tfgan-ema train --config=published:sngan_cifar10 --workdir=runs/sngan_cifar10

LSUN, CelebA, STL-10 and ImageNet come through TFDS; ``--config.data.name=folder:PATH`` takes a
folder of images instead, FFHQ's only way. Numbers behind rows are published FIDs (50k samples),
where known, of the reference whose recipe it is: mimicry for SNGAN, cGAN-PD and WGAN-GP,
compare_gan for DCGAN and SNDCGAN, BigGAN-PyTorch, stylegan2-ada-pytorch. Where a reference keeps
no average of the generator, the EMA here is an addition; score the raw generator to compare.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

from configs import base
from configs.tables import change, choose, optimizers

CELEBA = "tfds:celeb_a"
BEDROOM, CHURCH = "tfds:lsun/bedroom", "tfds:lsun/church_outdoor"
CLASSROOM = "tfds:lsun/classroom"
STL10 = {"data.name": "tfds:stl10", "data.split": "unlabelled"}
IMAGENET_32 = "tfds:imagenet_resized/32x32"
IMAGENET = "tfds:imagenet2012"
FFHQ = "folder:ffhq"


def sngan() -> dict[str, Any]:
    """Miyato et al. 2018: hinge, n_dis 5, Adam 2e-4 (0, 0.9), batch 64, 100k steps."""
    adam = optimizers("adam", learning_rate=2e-4, beta_1=0.0, beta_2=0.9)
    return {"loss.kind": "hinge", "n_dis": 5, **adam}


def sngan_decay() -> dict[str, Any]:
    """SNGAN with learning rates that fall linearly to 0."""
    return sngan() | {f"{player}_optimizer.decay_steps": 100_000 for player in "dg"}


def wgan_gp() -> dict[str, Any]:
    """Gulrajani et al. 2017: penalty 10, n_dis 5, Adam 2e-4 (0, 0.9), falling linearly to 0."""
    return sngan_decay() | {"loss.kind": "wasserstein", "penalties.wgan_gp.weight": 10.0}


def dcgan() -> dict[str, Any]:
    """Radford et al. 2015: Adam 2e-4 (0.5, 0.999), batch 64, one D step, 100k steps."""
    return optimizers("adam", learning_rate=2e-4, beta_1=0.5, beta_2=0.999)


def biggan() -> dict[str, Any]:
    """Brock et al. 2019 as in BigGAN-PyTorch: 1e-4 and 4e-4, one D step, batch 2048, 150k steps."""
    return {
        "loss.kind": "hinge",
        "steps": 150_000,
        "batch_size": 2048,
        "accumulate": 8,
        "data.labels": True,
        **optimizers("adam", learning_rate=1e-4, beta_1=0.0, beta_2=0.999, epsilon=1e-6),
        "d_optimizer.learning_rate": 4e-4,
        "averages.ema": {"decay": 0.9999, "start_step": 20_000},
    }


def biggan_cifar() -> dict[str, Any]:
    """BigGAN-PyTorch's CIFAR-10 recipe: 2e-4, 4 D steps, batch 50, 500 epochs."""
    return {
        "loss.kind": "hinge",
        "steps": 125_000,
        "batch_size": 50,
        "n_dis": 4,
        "data.labels": True,
        "data.flip": True,
        **optimizers("adam", learning_rate=2e-4, beta_1=0.0, beta_2=0.999),
        "averages.ema": {"decay": 0.9999, "start_step": 1000},
    }


def stylegan2() -> dict[str, Any]:
    """Karras et al. 2020 without augmentation: batch 64, Adam 2.5e-3 (0, 0.99), 100M images.

    Each optimizer is rescaled for the interval of its player's penalty (appendix B). The noise and
    the second latent of style mixing are parts of the latent.
    """
    from tfgan_ema.optimizers import lazy_rescaled  # loads Keras

    adam = {
        "kind": "adam", "learning_rate": 2.5e-3, "beta_1": 0.0, "beta_2": 0.99, "epsilon": 1e-8,
    }  # fmt: skip
    return {
        "batch_size": 64,
        "penalties.r1": {"weight": 0.01, "interval": 16},
        "d_optimizer": lazy_rescaled(adam, 16),
        "g_optimizer": lazy_rescaled(adam, 4),
        "network.noise": "input",
        # Half-life 500k images, at most 5 % of those seen.
        "averages.ema": {"half_life": 500_000.0, "ramp": 0.05},
        "steps": 1_562_500,
    }


def stylegan2_256() -> dict[str, Any]:
    """The paper256 configuration: R1 1, path length 2, style mixing 0.9; 25M images."""
    return stylegan2() | {
        "penalties.r1.weight": 1.0,
        "penalties.path_length": {"weight": 2.0, "interval": 4},
        "network.style_mixing": 0.9,
        "averages.ema": {"half_life": 20_000.0},
        "steps": 390_625,
        "data.flip": True,
    }


# row: network, recipe, changes
ROWS: dict[str, tuple[str, Callable[[], dict[str, Any]], Mapping[str, Any]]] = {
    "sngan_cifar10": ("sngan_32", sngan_decay, {}),  # 16.77
    "sngan_stl10": ("sngan_48", sngan_decay, STL10),  # 39.56
    "sngan_celeba_64": ("sngan_64", sngan_decay, {"data.name": CELEBA}),  # 5.71
    "sngan_celeba_128": ("sngan_128", sngan, {"data.name": CELEBA, "n_dis": 2}),  # 12.93
    "sngan_lsun_bedroom": ("sngan_128", sngan_decay, {"data.name": BEDROOM, "n_dis": 2}),  # 25.87
    "sngan_lsun_church": ("sngan_128", sngan_decay, {"data.name": CHURCH, "n_dis": 2}),
    "sngan_imagenet_32": ("sngan_32", sngan_decay, {"data.name": IMAGENET_32}),  # 23.04
    "sngan_imagenet_128": (
        "sngan_128", sngan, {"data.name": IMAGENET, "steps": 450_000}
    ),  # 65.74
    "cgan_pd_cifar10": ("sngan_32", sngan_decay, {"data.labels": True}),  # 10.84
    "cgan_pd_imagenet_32": (
        "sngan_32", sngan_decay, {"data.name": IMAGENET_32, "data.labels": True}
    ),  # 21.17
    "wgan_gp_cifar10": ("wgan_gp_32", wgan_gp, {}),  # 22.29
    "wgan_gp_stl10": ("wgan_gp_48", wgan_gp, STL10),  # 43.01
    "wgan_gp_celeba_64": ("wgan_gp_64", wgan_gp, {"data.name": CELEBA}),
    "wgan_gp_lsun_bedroom": ("wgan_gp_128", wgan_gp, {"data.name": BEDROOM}),
    "dcgan_cifar10": ("dcgan_32", dcgan, {}),
    "dcgan_celeba_64": ("dcgan_64", dcgan, {"data.name": CELEBA}),
    "dcgan_lsun_bedroom_64": ("dcgan_64", dcgan, {"data.name": BEDROOM}),
    "sndcgan_cifar10": ("sndcgan_32", dcgan, {}),
    "biggan_cifar10": ("biggan_32", biggan_cifar, {}),
    "biggan_imagenet_128": ("biggan_128", biggan, {"data.name": IMAGENET}),  # 10.14 in the thesis
    "stylegan2_cifar10": ("stylegan2_32", stylegan2, {}),  # 5.59
    "stylegan2_cifar10_conditional": ("stylegan2_32", stylegan2, {"data.labels": True}),
    "stylegan2_ffhq_256": ("stylegan2_256", stylegan2_256, {"data.name": FFHQ}),
    "stylegan2_lsun_church": ("stylegan2_256", stylegan2_256, {"data.name": CHURCH}),
    "stylegan2_lsun_bedroom": ("stylegan2_256", stylegan2_256, {"data.name": BEDROOM}),
}  # fmt: skip


def get_config(row: str = "") -> ConfigDict:
    """The recipe of a row of `ROWS`.

    Raises:
        UsageError: no such row.
    """
    network, recipe, changes = choose("published", row, ROWS)
    config = base.papers_config()
    config.network.kind = network
    config.checkpoint_every = config.sample_every = 5000
    config.evaluate_every = 10_000
    return change(config, {**recipe(), **changes})
