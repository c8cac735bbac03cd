"""Adversarial losses: pairs of pure functions of the discriminator's logits, found by name.

Every loss is minimised by its player. Logits of any float dtype come in with shape ``[n]`` and are
computed in float32; a float32 scalar goes out. A logit is high where the discriminator believes in
a real sample. ``get("hinge")`` or ``Hinge()`` both give an object with two methods,
``discriminator`` and ``generator``.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from keras import ops

from tfgan_ema.alpha import alpha_loss, minimises_a_divergence
from tfgan_ema.errors import UsageError, number, one_of
from tfgan_ema.parts import Part
from tfgan_ema.relativistic import PAIRS, margins, pair_of

BatchMean = Callable[[Any], Any]


class Loss(Part):
    """What the engine asks of a loss. A new one subclasses this and fills in both methods."""

    #: The loss reads the samples too, and is given ``samples=(real_images, fake_images)``.
    needs_samples: ClassVar[bool] = False
    #: The generator's objective reads the logits of real samples, which otherwise are ``None``.
    generator_needs_real: ClassVar[bool] = False
    #: A row's term depends on the other rows of the global batch.
    needs_whole_batch: ClassVar[bool] = False

    def discriminator(self, real, fake, *, samples=None, batch_mean: BatchMean = ops.mean):
        """What the discriminator minimises.

        Args:
            real: logits ``[n]`` of real samples.
            fake: logits ``[n]`` of generated samples.
            samples: ``(real_images, fake_images)`` behind the logits, if ``needs_samples``.
            batch_mean: mean of logits over the global batch. Only the means inside relativistic
                average losses use it; the outer mean is over the logits given, so that a caller
                with several replicas averages the replicas' losses.

        Returns:
            A float32 scalar.
        """
        raise NotImplementedError

    def generator(self, real, fake, *, samples=None, batch_mean: BatchMean = ops.mean):
        """What the generator minimises; arguments as for :meth:`discriminator`.

        ``real`` may be ``None`` unless ``generator_needs_real``.
        """
        raise NotImplementedError


class _Separable(Loss):
    """D: E on_real(r) + E on_fake(f). G: E on_generated(f), where fakes shall pass as real.

    A subclass fills in ``_on_real`` and ``_on_fake``, and ``_on_generated`` if it differs.
    """

    def _on_generated(self, logits):
        return self._on_real(logits)

    def discriminator(self, real, fake, *, samples=None, batch_mean: BatchMean = ops.mean):
        """The mean over real samples plus the mean over generated ones."""
        return ops.mean(self._on_real(_float32(real))) + ops.mean(self._on_fake(_float32(fake)))

    def generator(self, real, fake, *, samples=None, batch_mean: BatchMean = ops.mean):
        """The mean over generated samples; ``real`` is not read."""
        return ops.mean(self._on_generated(_float32(fake)))


@dataclass(frozen=True)
class NonSaturating(_Separable):
    """D: E sp(-r) + E sp(f). G: E sp(-f). With sp = softplus (Goodfellow et al. 2014)."""

    def _on_real(self, logits):
        return ops.softplus(-logits)

    def _on_fake(self, logits):
        return ops.softplus(logits)


@dataclass(frozen=True)
class Saturating(NonSaturating):
    """The minimax game. D as in :class:`NonSaturating`; G: -E sp(f) = E log(1 - sigmoid(f))."""

    def _on_generated(self, logits):
        return -ops.softplus(logits)


@dataclass(frozen=True)
class Hinge(_Separable):
    """D: E relu(1 - r) + E relu(1 + f). G: -E f (Lim and Ye 2017; Miyato et al. 2018)."""

    def _on_real(self, logits):
        return ops.relu(1.0 - logits)

    def _on_fake(self, logits):
        return ops.relu(1.0 + logits)

    def _on_generated(self, logits):
        return -logits


@dataclass(frozen=True)
class Wasserstein(_Separable):
    """D: E f - E r. G: -E f (Arjovsky et al. 2017). Nothing here bounds D's slope."""

    def _on_real(self, logits):
        return -logits

    def _on_fake(self, logits):
        return logits


@dataclass(frozen=True)
class LeastSquares(_Separable):
    """D: E (r - real)^2/2 + E (f - fake)^2/2. G: E (f - target)^2/2.

    The halves are those of Mao et al. 2017, equations 2 to 9; D's last layer is linear. The default
    is the 0-1 coding; (real, fake, target) = (1, -1, 0) makes the generator minimise the Pearson
    chi-squared divergence.
    """

    real: float = 1.0
    fake: float = 0.0
    target: float = 1.0

    def __post_init__(self):
        for option in ("real", "fake", "target"):
            _make_number(self, option, "(-inf, inf)")
        if self.real == self.fake:
            raise UsageError(
                f"least_squares: real and fake are both {self.real}, so the discriminator has "
                "nothing to tell apart; give two different targets."
            )

    def _on_real(self, logits):
        return ops.square(logits - self.real) / 2.0

    def _on_fake(self, logits):
        return ops.square(logits - self.fake) / 2.0

    def _on_generated(self, logits):
        return ops.square(logits - self.target) / 2.0


@dataclass(frozen=True)
class Alpha(_Separable):
    """The (alpha_D, alpha_G)-GAN of Welfert, Otstot, Kurri and Sankar (arXiv 2302.14320).

    With k = (alpha - 1)/alpha, l1(s) = (1 - sigmoid(s)^k)/k and l0(s) = l1(-s).
    D: E l1(r) + E l0(f) with ``alpha_d``. G: E l1(f), or, saturating, -E l0(f), with ``alpha_g``.
    alpha = 1/2 is the Hellinger GAN, 1 the classic one, ``inf`` the total variation GAN.

    Value and gradient are right to float32's precision for all logits, up to the point where
    float32 itself would end: from sigmoid(s)^k = e^80 on, which only alpha < 1 meets (alpha = .2 at
    s = -20), the loss goes on along its tangent in log sigmoid(s).

    Args:
        alpha_d: the discriminator's alpha in (0, inf]; the string ``"inf"`` is understood.
        alpha_g: the generator's.
        saturating: the generator's form.

    Raises:
        UsageError: an alpha is not in (0, inf]. A pair for which the generator is not known to
            minimise a divergence at the optimal discriminator draws a warning instead.
    """

    alpha_d: float
    alpha_g: float
    saturating: bool = False

    def __post_init__(self):
        for option in ("alpha_d", "alpha_g"):
            _make_number(self, option, "(0, inf]", "; 1 is the usual GAN")
        if not isinstance(self.saturating, bool):
            raise UsageError(f"alpha: saturating={self.saturating!r} is not True or False.")
        if not minimises_a_divergence(self.alpha_d, self.alpha_g, self.saturating):
            region = (
                "(alpha_d <= 1 and alpha_g > alpha_d/(alpha_d + 1)) or "
                "(alpha_d > 1 and alpha_d/2 < alpha_g <= alpha_d)"
                if self.saturating
                else "alpha_d + alpha_g > alpha_d*alpha_g"
            )
            warnings.warn(
                f"{self!r} is outside the region where the generator provably minimises a "
                f"divergence: {region}",
                stacklevel=3,
            )

    def _on_real(self, logits):
        return alpha_loss(logits, self.alpha_d)

    def _on_fake(self, logits):
        return alpha_loss(-logits, self.alpha_d)

    def _on_generated(self, logits):
        if self.saturating:
            return -alpha_loss(-logits, self.alpha_g)
        return alpha_loss(logits, self.alpha_g)


@dataclass(frozen=True)
class Relativistic(Loss):
    """RSGAN, over pairs. D: E sp(-(r - f)). G: r and f exchanged (Jolicoeur-Martineau 2018)."""

    generator_needs_real: ClassVar[bool] = True
    _pair: ClassVar[str] = "logistic"

    def discriminator(self, real, fake, *, samples=None, batch_mean: BatchMean = ops.mean):
        """E sp(-(r - f)); siblings have batch means and other prices."""
        mean = batch_mean if self.needs_whole_batch else None
        return margins(PAIRS[self._pair], _float32(real), _float32(fake), mean) / 2.0

    def generator(self, real, fake, *, samples=None, batch_mean: BatchMean = ops.mean):
        """The discriminator's loss with real and fake exchanged."""
        return self.discriminator(fake, real, batch_mean=batch_mean)


@dataclass(frozen=True)
class RelativisticAverage(Relativistic):
    """RaSGAN. With r_, f_ the batch means (not detached) and phi(t) = sp(-t):

    D: [E phi(r - f_) + E phi(r_ - f)]/2. G: r and f exchanged (Jolicoeur-Martineau 2018).
    """

    needs_whole_batch: ClassVar[bool] = True


@dataclass(frozen=True)
class RelativisticAverageLeastSquares(RelativisticAverage):
    """RaLSGAN: :class:`RelativisticAverage` with phi(t) = (t - 1)^2."""

    _pair: ClassVar[str] = "least_squares"


@dataclass(frozen=True)
class RelativisticAverageHinge(RelativisticAverage):
    """RaHingeGAN: :class:`RelativisticAverage` with phi(t) = relu(1 - t)."""

    _pair: ClassVar[str] = "hinge"


@dataclass(frozen=True)
class RelativisticF(Loss):
    """Any relativistic GAN (Jolicoeur-Martineau 2018, equations 11 and 12; 15 and 16 on average).

    D: E f1(r - f) + E f2(f - r). G: E g1(r - f) + E g2(f - r). With ``average`` a logit is compared
    with the batch mean of the others. The logistic pair gives twice :class:`Relativistic`.

    Args:
        pair: (f1, f2), functions of margins [n], or a name in `relativistic.PAIRS`.
        generator_pair: (g1, g2), likewise; (f2, f1) unless given, which does not saturate.
        average: whether the others' mean is taken.

    Raises:
        UsageError: an unknown pair.
    """

    pair: Any = "logistic"
    generator_pair: Any = None
    average: bool = False

    generator_needs_real: ClassVar[bool] = True
    needs_whole_batch = property(lambda self: self.average)

    def __post_init__(self):
        self._functions()

    def _functions(self):
        """(f1, f2) and (g1, g2)."""
        pair = pair_of(self.pair)
        return pair, pair_of(self.generator_pair or pair[::-1])

    def discriminator(self, real, fake, *, samples=None, batch_mean: BatchMean = ops.mean):
        """E f1(r - f) + E f2(f - r)."""
        mean = batch_mean if self.average else None
        return margins(self._functions()[0], _float32(real), _float32(fake), mean)

    def generator(self, real, fake, *, samples=None, batch_mean: BatchMean = ops.mean):
        """E g1(r - f) + E g2(f - r)."""
        mean = batch_mean if self.average else None
        return margins(self._functions()[1], _float32(real), _float32(fake), mean)


@dataclass(frozen=True)
class GANQP(Loss):
    """GAN-QP (Su 2018): a quadratic potential of D's difference over a pair of samples.

    With d = r - f and n = weight * distance(x_r, x_f), D: E (d^2/(2 n) - d). G: E d.

    Args:
        distance: ``"l1"``, the mean absolute difference of two samples, or ``"l2"``, the root of
            their mean squared difference.
        weight: lambda > 0.

    Raises:
        UsageError: an unknown distance, a weight that is not positive and finite.
    """

    distance: str = "l1"
    weight: float = 10.0

    needs_samples: ClassVar[bool] = True
    generator_needs_real: ClassVar[bool] = True

    def __post_init__(self):
        one_of("distance of gan_qp", self.distance, ("l1", "l2"))
        _make_number(self, "weight", "(0, inf)", "; 10 is usual")

    def discriminator(self, real, fake, *, samples=None, batch_mean: BatchMean = ops.mean):
        """E (d^2/(2 n) - d)."""
        if samples is None:
            raise UsageError("gan_qp reads the samples; pass samples=(real_images, fake_images).")
        difference = _float32(real) - _float32(fake)
        # A pair of equal samples has d = 0 too; the floor makes its term 0 instead of 0/0.
        norm = ops.maximum(self.weight * self._distances(*samples), 1e-12)
        return ops.mean(ops.square(difference) / (2.0 * norm) - difference)

    def generator(self, real, fake, *, samples=None, batch_mean: BatchMean = ops.mean):
        """E d."""
        return ops.mean(_float32(real) - _float32(fake))

    def _distances(self, real_images, fake_images):
        pixels = _float32(real_images) - _float32(fake_images)
        axes = tuple(range(1, len(pixels.shape)))
        if self.distance == "l1":
            return ops.mean(ops.abs(pixels), axis=axes)
        return ops.sqrt(ops.mean(ops.square(pixels), axis=axes))


_LOSSES: dict[str, type[Loss]] = {
    "non_saturating": NonSaturating,
    "saturating": Saturating,
    "hinge": Hinge,
    "wasserstein": Wasserstein,
    "least_squares": LeastSquares,
    "alpha": Alpha,
    "relativistic": Relativistic,
    "relativistic_average": RelativisticAverage,
    "relativistic_average_least_squares": RelativisticAverageLeastSquares,
    "relativistic_average_hinge": RelativisticAverageHinge,
    "relativistic_f": RelativisticF,
    "gan_qp": GANQP,
}


def names() -> list[str]:
    """The names that :func:`get` knows."""
    return list(_LOSSES)


def get(loss: str | Loss, **options) -> Loss:
    """The loss of a name, e.g. ``get("alpha", alpha_d=0.6, alpha_g=1)``; a loss passes through.

    Args:
        loss: one of :func:`names`, or a :class:`Loss`.
        **options: of the named loss, as in its class.

    Raises:
        UsageError: unknown name; an option that is unknown, missing or out of range.
    """
    if isinstance(loss, Loss):
        if options:
            raise UsageError(
                f"loss options {', '.join(options)} came with {loss!r}, which is already built; "
                "name the loss, or set them there."
            )
        return loss
    one_of("loss", loss, _LOSSES)
    fields = dataclasses.fields(_LOSSES[loss])
    known = [field.name for field in fields]
    takes = f"it takes {', '.join(known) or 'none'}"
    for option in options:
        if option not in known:
            raise UsageError(f"unknown option {option!r} of loss {loss!r}: {takes}.")
    for field in fields:
        if field.default is dataclasses.MISSING and field.name not in options:
            raise UsageError(f"loss {loss!r} needs {field.name}; {takes}.")
    return _LOSSES[loss](**options)


def _float32(values):
    return ops.cast(values, "float32")


def _make_number(loss: Loss, option: str, interval: str, also: str = "") -> None:
    """Makes an option of a frozen loss a float; raises `UsageError` unless it is one."""
    value = math.inf if getattr(loss, option) == "inf" else getattr(loss, option)
    value = number(f"{type(loss).__name__} {option}", value, interval, also)
    object.__setattr__(loss, option, value)
