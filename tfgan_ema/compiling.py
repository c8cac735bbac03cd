"""What a GAN is compiled with: an optimizer for each player, and how steps are executed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

from tfgan_ema import optimizers, saving, validation
from tfgan_ema.engines import devices
from tfgan_ema.errors import UsageError, whole
from tfgan_ema.rates import PlayerOptimizers

if TYPE_CHECKING:
    from tfgan_ema.gan import GAN


# Methods of `GAN`


def compile(
    gan: GAN,
    d_optimizer: Any = None,
    g_optimizer: Any = None,
    *,
    steps_per_execution: int = 1,
    jit_compile: bool | str = "auto",
    run_eagerly: bool = False,
    **others: Any,
) -> None:
    """Gives each player its optimizer and builds both.

    A player that computes in float16 has its loss scaled (Micikevicius et al. 2018).

    Args:
        gan: the GAN.
        d_optimizer: a Keras optimizer, or a dictionary for `optimizers.get`; Adam(2e-4,
            beta_1=0.5) unless given, and for ``"adam"``.
        g_optimizer: the same for the generator.
        steps_per_execution: generator steps in one call of the compiled function.
        jit_compile: whether XLA compiles the step.
        run_eagerly: for debugging.
        **others: refused; the GAN itself is given its loss.

    Raises:
        UsageError: an unknown optimizer, or what strategy, backend or precision rule out.
    """
    for name, value in others.items():
        raise UsageError(
            f"compile({name}={value!r}): a GAN takes d_optimizer= and g_optimizer= here, its loss "
            "in tg.GAN(loss=...), and logs metrics of its own."
        )
    devices.check_strategy(jit_compile)
    validation.check_precision(gan)
    if isinstance(d_optimizer, keras.optimizers.Optimizer) and d_optimizer is g_optimizer:
        raise UsageError("one optimizer for both players: give each its own.")
    gan.execution = {
        "steps_per_execution": whole("steps_per_execution", steps_per_execution),
        "jit_compile": jit_compile,
        "run_eagerly": run_eagerly,
    }
    keras.Model.compile(gan, optimizer=None, **gan.execution)
    with devices.scope(gan):
        gan.d_optimizer = optimizers.build_for(gan.discriminator, d_optimizer, gan.n_dis)
        gan.g_optimizer = optimizers.build_for(gan.generator, g_optimizer)
    players = {"generator": gan.g_optimizer, "discriminator": gan.d_optimizer}
    gan.optimizer = PlayerOptimizers(players)


def get_compile_config(gan: GAN) -> dict[str, Any]:
    """The arguments of `compile`; empty for a GAN that was not compiled.

    Raises:
        UsageError: an optimizer that has no configuration.
    """
    if not gan.compiled:
        return {}
    return {name: saving.written(name, value) for name, value in saving.compiled_with(gan).items()}


def compile_from_config(gan: GAN, config: dict[str, Any]) -> None:
    """Compiles with what `get_compile_config` gave."""
    gan.compile(**keras.saving.deserialize_keras_object(config))
