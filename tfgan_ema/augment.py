"""What is done to all that the discriminator sees: instance noise, DiffAugment, ADA's pipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from tfgan_ema.ada import ADA
from tfgan_ema.controllers import ByChance
from tfgan_ema.engines import Tensor
from tfgan_ema.errors import UsageError, build, number, one_of, whole
from tfgan_ema.latents import Draws
from tfgan_ema.parts import Part
from tfgan_ema.schedules import Number


class InstanceNoise(Part):
    """Adds N(0, stddev^2) to all that the discriminator sees (Sonderby et al. 2017).

    With ``steps``, the standard deviation falls linearly to 0 over that many generator steps.
    """

    def __init__(self, stddev: float = 0.1, *, steps: int | None = None) -> None:
        """Creates the noise.

        Args:
            stddev: standard deviation at the start, in the units of the images ([-1, 1]).
            steps: generator steps until it is 0; ``None`` keeps it constant.

        Raises:
            UsageError: a value out of range.
        """
        self.stddev = number("InstanceNoise stddev", stddev, "[0, inf)")
        self.steps = None if steps is None else whole("InstanceNoise steps", steps)

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Noisy images, same shape."""
        stddev = self.stddev
        if self.steps is not None:
            left = 1.0 - ops.cast(draws.step, "float32") / self.steps
            stddev = stddev * ops.maximum(left, 0.0)
        noise = draws.normal(images.shape, "instance_noise")
        return images + ops.cast(stddev * noise, images.dtype)


class DiffAugment(ByChance):
    """Differentiable augmentation of all that the discriminator sees (Zhao et al. 2020).

    Each row has draws of its own. ``color``: brightness in +-1/2, saturation x [0, 2), contrast
    x [1/2, 3/2); ``translation``: up to 1/8 of the size, zeros shifted in; ``cutout``: a square of
    half the size set to 0.

    With a probability below 1 each row is augmented by chance. An adaptive probability starts at 0
    and follows how far the discriminator overfits (`controllers.Controller`), as in adaptive
    discriminator augmentation (Karras et al. 2020a).
    """

    POLICIES = ("color", "translation", "cutout")
    needs_images = True

    def __init__(
        self,
        policy: Sequence[str] = POLICIES,
        *,
        probability: Number = 1.0,
        adaptive: bool = False,
        target: float = 0.6,
    ) -> None:
        """Creates the augmentation.

        Args:
            policy: which of `POLICIES` are applied, in order.
            probability: of each row, in [0, 1], possibly scheduled; the most of an adaptive one.
            adaptive: whether the probability follows how far the discriminator overfits.
            target: of an adaptive one: the mean sign of the real batch's logits, in (-1, 1).

        Raises:
            UsageError: an unknown policy, or a number out of range.
        """
        names = policy.split(",") if isinstance(policy, str) else policy
        if not isinstance(names, Sequence):
            raise UsageError(f"DiffAugment policy {policy!r}: expected names, e.g. ['color'].")
        self.policy = tuple(one_of("DiffAugment policy", name, self.POLICIES) for name in names)
        super().__init__("diff_augment", probability, adaptive, target)

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Augmented images [n, h, w, c].

        Raises:
            UsageError: the input is not images.
        """
        if len(images.shape) != 4:
            raise UsageError(
                f"DiffAugment on data of shape {tuple(images.shape)}: it needs images [n, h, w, c]."
            )
        augmented = images
        for name in self.policy:
            augmented = getattr(self, f"_{name}")(augmented, draws.fold_in(name))
        if self.probability == 1 and not self.adaptive:
            return augmented
        chance = ops.reshape(draws.uniform((images.shape[0],), "chance"), (-1, 1, 1, 1))
        return ops.where(chance < self.share(draws), augmented, images)

    @staticmethod
    def _color(images: Tensor, draws: Draws) -> Tensor:
        n = images.shape[0]
        random = draws.uniform((n, 3), "color")
        brightness, saturation, contrast = (
            ops.cast(ops.reshape(random[:, i], (n, 1, 1, 1)), images.dtype) for i in range(3)
        )
        images = images + (brightness - 0.5)
        grey = ops.mean(images, axis=3, keepdims=True)
        images = (images - grey) * (2.0 * saturation) + grey
        mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
        return (images - mean) * (contrast + 0.5) + mean

    @staticmethod
    def _translation(images: Tensor, draws: Draws) -> Tensor:
        n, *size, _ = images.shape
        for axis, length in enumerate(size, start=1):
            reach = int(length / 8 + 0.5)
            shift = draws.integers((n,), 2 * reach + 1, f"shift{axis}") - reach
            source = ops.arange(length, dtype="int32")[None, :] - shift[:, None]
            inside = ops.logical_and(source >= 0, source < length)
            pick = ops.one_hot(ops.clip(source, 0, length - 1), length, dtype=images.dtype)
            pick = pick * ops.cast(inside, images.dtype)[:, :, None]  # [n, to, from]
            images = ops.einsum("nab,nb...->na..." if axis == 1 else "nab,nhb...->nha...",
                                pick, images)  # fmt: skip
        return images

    @staticmethod
    def _cutout(images: Tensor, draws: Draws) -> Tensor:
        n, *size, _ = images.shape
        covered = None
        for axis, length in enumerate(size, start=1):
            side = int(length / 2 + 0.5)
            centre = draws.integers((n,), length + (1 - side % 2), f"centre{axis}")
            place = ops.arange(length, dtype="int32")[None, :] - (centre - side // 2)[:, None]
            inside = ops.logical_and(place >= 0, place < side)
            inside = ops.reshape(inside, (n, length, 1, 1) if axis == 1 else (n, 1, length, 1))
            covered = inside if covered is None else ops.logical_and(covered, inside)
        return images * ops.cast(ops.logical_not(covered), images.dtype)


_AUGMENTATIONS = {"instance_noise": InstanceNoise, "diff_augment": DiffAugment, "ada": ADA}


def get(name: str, **options: Any) -> InstanceNoise | DiffAugment | ADA:
    """The augmentation of that name.

    Raises:
        UsageError: unknown name or option, or a value out of range.
    """
    return build("augmentation", name, _AUGMENTATIONS, options)
