"""Published recipes, network by data set; ``--config=configs/published.py:ROW``.

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
from configs._tables import adam, change, choose

CELEBA = "tfds:celeb_a"
BEDROOM, CHURCH = "tfds:lsun/bedroom", "tfds:lsun/church_outdoor"
CLASSROOM = "tfds:lsun/classroom"
STL10 = {"data.name": "tfds:stl10", "data.split": "unlabelled"}
IMAGENET_32 = "tfds:imagenet_resized/32x32"
IMAGENET = "tfds:imagenet2012"
FFHQ = "folder:ffhq"


def linear_decay(config: ConfigDict) -> None:
    """Learning rates that fall linearly to 0 at the last step."""
    for name in ("d_optimizer", "g_optimizer"):
        config[name]["decay_steps"] = config.steps


def sngan(config: ConfigDict) -> None:
    """Miyato et al. 2018: hinge, n_dis 5, Adam 2e-4 (0, .9), batch 64, 100k steps."""
    config.loss.name = "hinge"
    config.n_dis = 5
    adam(config, 2e-4, 0.0, 0.9)


def wgan_gp(config: ConfigDict) -> None:
    """Gulrajani et al. 2017: penalty 10, n_dis 5, Adam 2e-4 (0, .9)."""
    sngan(config)
    config.loss.name = "wasserstein"
    config.penalties = {"wgan_gp": {"weight": 10.0}}


def dcgan(config: ConfigDict) -> None:
    """Radford et al. 2015: Adam 2e-4 (.5, .999), batch 64, one D step, 100k steps."""
    adam(config, 2e-4, 0.5, 0.999)


def biggan(config: ConfigDict) -> None:
    """Brock et al. 2019 as in BigGAN-PyTorch: 1e-4 and 4e-4, one D step, batch 2048, 150k steps."""
    config.loss.name = "hinge"
    config.steps, config.batch_size = 150_000, 2048
    config.accumulate = 8
    config.data.labels = True
    adam(config, 1e-4, 0.0, 0.999, epsilon=1e-6)
    config.d_optimizer["learning_rate"] = 4e-4
    config.averages = {
        "ema": {"rule": "ema", "decay": 0.9999, "start_step": 20_000, "statistics": "standing"}
    }


def biggan_cifar(config: ConfigDict) -> None:
    """BigGAN-PyTorch's CIFAR-10 recipe: 2e-4, 4 D steps, batch 50, 500 epochs."""
    config.loss.name = "hinge"
    config.steps, config.batch_size, config.n_dis = 125_000, 50, 4
    config.data.labels = True
    config.data.flip = True
    adam(config, 2e-4, 0.0, 0.999)
    config.averages = {
        "ema": {"rule": "ema", "decay": 0.9999, "start_step": 1000, "statistics": "standing"}
    }


def stylegan2(config: ConfigDict) -> None:
    """Karras et al. 2020 without augmentation: batch 64, Adam 2.5e-3 (0, .99).

    The optimizers' rates and betas are rescaled for lazy regularisation as in appendix B: c =
    k/(k+1) with k the interval of the player's penalty. The noise and the second latent of style
    mixing are parts of the latent.
    """
    config.batch_size = 64
    config.penalties = {"r1": {"weight": 0.01, "interval": 16}}
    rescaled_adam(config.d_optimizer, 16)
    rescaled_adam(config.g_optimizer, 4)
    config.network["noise"] = "input"
    # Half-life 500k images, at most 5 % of those seen; 100M images.
    config.averages = {"ema": {"rule": "ema", "half_life": 500_000.0, "ramp": 0.05}}
    config.steps = 1_562_500


def rescaled_adam(optimizer: ConfigDict, interval: int) -> None:
    """Adam 2.5e-3 (0, .99) for a player that is regularised every ``interval`` steps."""
    c = interval / (interval + 1)
    optimizer.update(learning_rate=2.5e-3 * c, beta_1=0.0, beta_2=0.99**c, epsilon=1e-8)


def stylegan2_256(config: ConfigDict) -> None:
    """The paper256 configuration: R1 1, path length 2, style mixing .9; 25M images."""
    stylegan2(config)
    config.penalties = {
        "r1": {"weight": 1.0, "interval": 16},
        "path_length": {"weight": 2.0, "interval": 4},
    }
    config.network["style_mixing"] = 0.9
    config.averages = {"ema": {"rule": "ema", "half_life": 20_000.0}}
    config.steps = 390_625
    config.data.flip = True


# row: network, recipe, changes
ROWS: dict[str, tuple[str, Callable[[ConfigDict], None], Mapping[str, Any]]] = {
    "sngan_cifar10": ("sngan_32", sngan, {"decay": True}),  # 16.77
    "sngan_stl10": ("sngan_48", sngan, {**STL10, "decay": True}),  # 39.56
    "sngan_celeba_64": ("sngan_64", sngan, {"data.name": CELEBA, "decay": True}),  # 5.71
    "sngan_celeba_128": ("sngan_128", sngan, {"data.name": CELEBA, "n_dis": 2}),  # 12.93
    "sngan_lsun_bedroom": (
        "sngan_128", sngan, {"data.name": BEDROOM, "n_dis": 2, "decay": True}
    ),  # 25.87
    "sngan_lsun_church": ("sngan_128", sngan, {"data.name": CHURCH, "n_dis": 2, "decay": True}),
    "sngan_imagenet_32": ("sngan_32", sngan, {"data.name": IMAGENET_32, "decay": True}),  # 23.04
    "sngan_imagenet_128": (
        "sngan_128", sngan, {"data.name": IMAGENET, "steps": 450_000}
    ),  # 65.74
    "cgan_pd_cifar10": ("sngan_32", sngan, {"data.labels": True, "decay": True}),  # 10.84
    "cgan_pd_imagenet_32": (
        "sngan_32", sngan, {"data.name": IMAGENET_32, "data.labels": True, "decay": True}
    ),  # 21.17
    "wgan_gp_cifar10": ("wgan_gp_32", wgan_gp, {"decay": True}),  # 22.29
    "wgan_gp_stl10": ("wgan_gp_48", wgan_gp, {**STL10, "decay": True}),  # 43.01
    "wgan_gp_celeba_64": ("wgan_gp_64", wgan_gp, {"data.name": CELEBA, "decay": True}),
    "wgan_gp_lsun_bedroom": ("wgan_gp_128", wgan_gp, {"data.name": BEDROOM, "decay": True}),
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
    config = base.get_config()
    config.network.name = network
    config.checkpoint_every = config.sample_every = 5000
    config.evaluate_every = 10_000
    recipe(config)
    change(config, {key: value for key, value in changes.items() if key != "decay"})
    if changes.get("decay"):
        linear_decay(config)
    return config
