"""The networks that the papers train: `build` makes a generator and a discriminator by name.

Each family is one file with its channel table at the top. Nothing heavy is imported before `build`.
`load` gives a pretrained generator (see `shipped`).
"""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tfgan_ema.errors import UsageError, check_memory, number, one_of, unknown, whole
from zoo.shipped import load as load

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Entry:
    """A row of the catalogue.

    Attributes:
        family: the module of the zoo that builds it.
        image_size: the recipe's resolution; ``None`` for 2-D data.
        paper: the source of network and recipe.
        reference: the public implementation that is followed where the paper is silent, and its
            licence. No code is taken from it.
        parameters: how many parameters of generator and discriminator are trained, at full width.
        options: what is passed to the family's builder.
        num_classes: the recipe's classes, for networks that exist only in a conditional form.
    """

    family: str
    image_size: int | None
    paper: str
    reference: str
    parameters: tuple[int, int]
    options: dict[str, Any] = field(default_factory=dict)
    num_classes: int | None = None


_SNGAN = ("Miyato et al. 2018, arXiv 1802.05957", "mimicry (MIT)")
_WGAN_GP = ("Gulrajani et al. 2017, arXiv 1704.00028", "mimicry (MIT)")
_DCGAN = ("Radford et al. 2015, arXiv 1511.06434", "compare_gan (Apache-2.0)")
_SNDCGAN = (_SNGAN[0], _DCGAN[1])
_ALPHA = ("Otstot et al. 2023, arXiv 2302.14320", "alphaGAN (MIT)")
_AVERAGING = ("Yazici et al. 2019, arXiv 1806.04498", "EMA_GAN (MIT)")
_BIGGAN = ("Brock et al. 2019, arXiv 1809.11096", "BigGAN-PyTorch (MIT)")
_R3GAN = ("Huang et al. 2024, arXiv 2501.05441", "R3GAN (no licence stated)")
_STYLEGAN2 = (
    "Karras et al. 2020, arXiv 1912.04958",
    "stylegan2-ada-pytorch (NVIDIA, non-commercial)",
)

_PLAIN = {"spectral_norm": False, "pooling": "mean"}
CATALOGUE = {
    "averaging_resnet_32": Entry(
        "resnet",
        32,
        *_AVERAGING,
        (1_204_483, 1_053_825),
        {"table": "averaging", "spectral_norm": False, "tanh": False},
    ),
    "averaging_resnet_sn_32": Entry(
        "resnet", 32, *_AVERAGING, (4_276_739, 4_204_801), {"table": "averaging_sn", "tanh": False}
    ),
    "biggan_32": Entry(
        "biggan", 32, *_BIGGAN, (4_304_387, 4_207_361), {"table": "32"}, num_classes=10
    ),
    "biggan_128": Entry(
        "biggan", 128, *_BIGGAN, (70_433_988, 87_982_370), {"table": "128"}, num_classes=1000
    ),
    "conventional_32": Entry(
        "conventional", 32, *_AVERAGING, (8_880_067, 8_879_169), {"table": "32"}
    ),
    "conventional_64": Entry(
        "conventional", 64, *_AVERAGING, (13_600_707, 13_598_785), {"table": "64"}
    ),
    "dcgan_32": Entry("dcgan", 32, *_DCGAN, (1_553_987, 1_033_729), {"table": "32"}),
    "dcgan_64": Entry("dcgan", 64, *_DCGAN, (5_356_099, 4_315_649), {"table": "64"}),
    "dcgan_alpha_64": Entry("dcgan", 64, *_ALPHA, (3_576_704, 2_765_568), {"table": "alpha"}),
    "dcgan_alpha_112": Entry("dcgan", 112, *_ALPHA, (5_266_304, 2_782_464), {"table": "alpha"}),
    "mlp": Entry("mlp", None, *_ALPHA, (483_202, 121_401), {}),
    "r3gan_32": Entry("r3gan", 32, *_R3GAN, (20_732_160, 20_683_776), {"table": "small"}),
    "r3gan_64": Entry("r3gan", 64, *_R3GAN, (22_429_824, 22_381_440), {"table": "small"}),
    "r3gan_256": Entry("r3gan", 256, *_R3GAN, (23_057_952, 23_009_568), {"table": "256"}),
    "r3gan_imagenet_32": Entry(
        "r3gan", 32, *_R3GAN, (82_752_000, 82_655_232), {"table": "imagenet"}
    ),
    "r3gan_imagenet_64": Entry(
        "r3gan", 64, *_R3GAN, (103_408_128, 103_311_360), {"table": "imagenet"}
    ),
    "sndcgan_32": Entry("sndcgan", 32, *_SNDCGAN, (3_804_739, 5_860_865), {}),
    "sngan_32": Entry("resnet", 32, *_SNGAN, (4_276_739, 1_053_825), {"table": "32"}),
    "sngan_48": Entry("resnet", 48, *_SNGAN, (4_878_083, 10_141_441), {"table": "48"}),
    "sngan_64": Entry("resnet", 64, *_SNGAN, (12_220_675, 10_141_441), {"table": "64"}),
    "sngan_128": Entry("resnet", 128, *_SNGAN, (32_150_787, 29_017_857), {"table": "128"}),
    "stylegan2_32": Entry(
        "stylegan2", 32, *_STYLEGAN2, (19_947_539, 20_720_641), {"table": "cifar"}
    ),
    "stylegan2_256": Entry(
        "stylegan2", 256, *_STYLEGAN2, (24_767_458, 24_001_089), {"table": "paper256"}
    ),
    "wgan_gp_32": Entry("resnet", 32, *_WGAN_GP, (4_276_739, 1_053_825), {"table": "32", **_PLAIN}),
    "wgan_gp_48": Entry(
        "resnet", 48, *_WGAN_GP, (4_878_083, 10_141_441), {"table": "48", **_PLAIN}
    ),
    "wgan_gp_64": Entry(
        "resnet", 64, *_WGAN_GP, (12_220_675, 10_141_441), {"table": "64", **_PLAIN}
    ),
    "wgan_gp_128": Entry(
        "resnet", 128, *_WGAN_GP, (32_150_787, 29_017_857), {"table": "128", **_PLAIN}
    ),
}


def names() -> list[str]:
    """Every name that `build` knows."""
    return list(CATALOGUE)


def entry(name: str) -> Entry:
    """The catalogue's row for ``name``; raises `UsageError` if there is none."""
    return CATALOGUE[one_of("network", name, CATALOGUE)]


def _check_size(row: Entry, image_size: int | None, width: float) -> None:
    """Refuses networks, and images, that the machine has no memory for."""
    check_memory(f"width {width:g}", 4 * sum(row.parameters) * width**2)
    if image_size is not None:  # the layer after the latent alone takes about a kilobyte a pixel
        check_memory(f"image_size {image_size}", 1024 * image_size**2 * width)


def build(
    name: str,
    *,
    image_size: int | None = None,
    channels: int = 3,
    width: float = 1.0,
    num_classes: int | None = None,
    **family_options: Any,
) -> tuple[keras.Model, keras.Model]:
    """Builds a generator and a discriminator.

    Args:
        name: one of `names`.
        image_size: height and width of the images; ``None`` means the recipe's. Other sizes keep
            the blocks and change the grid that the generator starts from.
        channels: channels of the images, 1 or 3; ignored for 2-D data.
        width: multiplies every hidden width; 1 is the recipe's.
        num_classes: class-conditional networks for that many classes; ``None``: unconditional.
        **family_options: further arguments of the family's own ``build``, see its docstring.

    Returns:
        ``(generator, discriminator)``, both built. Generator: latent float [n, d] (conditional:
        ``[latent, label]``, label int32 [n]) -> float32 images [n, h, w, c], or points [n, 2].
        Discriminator: images (conditional: ``[images, label]``) -> float32 logits [n, 1].

    Raises:
        UsageError: unknown name or option, a size that the network cannot have, classes for a
            network without a conditional form.
    """
    row = entry(name)
    width = number("width", width, "(0, inf)", "; 1 is the recipe's width")
    num_classes = None if num_classes is None else whole("num_classes", num_classes)
    image_size = None if image_size is None else whole("image_size", image_size)
    if row.image_size is None and image_size is not None:
        raise UsageError(f"image_size {image_size!r}: {name} makes points, not images.")
    _check_size(row, image_size, width)
    if row.image_size is not None and channels not in (1, 3):
        raise UsageError(f"channels {channels!r}: expected 1 (grey) or 3 (RGB).")
    builder = importlib.import_module(f"zoo.{row.family}").build
    takes = inspect.signature(builder).parameters.keys()
    if num_classes is not None and "num_classes" not in takes:
        raise UsageError(
            f"num_classes {num_classes!r}: {name} has no class-conditional form; leave "
            "num_classes out, or take a sngan or biggan network."
        )
    shared = {
        "image_size": row.image_size if image_size is None else image_size,
        "channels": channels,
        "width": width,
        "num_classes": num_classes,
    }
    known = takes - shared.keys() - row.options.keys()
    for option in family_options:
        if option not in known:
            raise unknown(f"option of {name}", option, known)
    taken = {key: value for key, value in shared.items() if key in takes}
    return builder(**taken, **row.options, **family_options)
