"""Losses and logits on held-out data, for ``evaluate`` and validation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keras import ops

from tfgan_ema.adapt import Batch, images_and_labels
from tfgan_ema.engines import Report, Tensor
from tfgan_ema.players import draw_inputs

if TYPE_CHECKING:
    from tfgan_ema.gan import GAN


LOGS = ("d_loss", "g_loss", "real_logit", "fake_logit", "d_accuracy")


def logit_report(real_logits: Tensor, fake_logits: Tensor) -> Report:
    """Mean logits, and the share of rows on the right side of 0."""
    right = [real_logits > 0, fake_logits < 0]
    return {
        "real_logit": ops.mean(real_logits),
        "fake_logit": ops.mean(fake_logits),
        "d_accuracy": sum(ops.mean(ops.cast(x, "float32")) for x in right) / 2,
    }


def test_step(gan: GAN, data: Any) -> Report:
    """Losses, logits and accuracy of one batch; fakes come from the first average."""
    real = images_and_labels(data, gan.form)
    rows = ops.shape(real.images)[0]
    draws = gan.draws("test/", gan.test_batch.value)
    latent, labels = draw_inputs(rows, draws, gan.latent, gan.num_classes)
    fake = Batch(gan.players.run(gan.ready_generator(), latent, labels), labels)
    logits = gan.players.logits(*real[:2]), gan.players.logits(*fake[:2])
    inputs = gan.loss_inputs(real, fake)
    report = {
        "d_loss": gan.loss_pair.discriminator(*logits, **inputs),
        "g_loss": gan.loss_pair.generator(*logits, **inputs),
        **logit_report(*logits),
    }
    gan.test_batch.assign_add(1)
    # A replica that gets none of the last rows has means of nothing.
    gan.log({name: ops.where(rows > 0, value, 0.0) for name, value in report.items()}, rows)
    return {name: gan.trackers[name].result() for name in report}


def running_means(gan: GAN) -> dict[str, list[float]]:
    """The sum and the count behind each of the running logs."""
    return {
        metric.name: [float(ops.convert_to_numpy(variable)) for variable in metric.variables]
        for metric in gan.metrics
    }
