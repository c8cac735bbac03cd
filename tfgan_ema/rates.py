"""Learning rates of a GAN for Keras's callbacks: of both players at once, or of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from tfgan_ema.errors import UsageError, unknown
from tfgan_ema.penalties import PLAYERS

if TYPE_CHECKING:
    from tfgan_ema.gan import GAN

_HOOKS = (
    "on_train_begin", "on_train_end", "on_epoch_begin", "on_train_batch_begin",
    "on_train_batch_end",
)  # fmt: skip


class ForPlayer(keras.callbacks.Callback):
    """A callback that sets learning rates, such as Keras's ``ReduceLROnPlateau``, for one player.

    Without it, such a callback sets the generator's rate and multiplies the discriminator's by the
    same factor. The rate is logged as ``generator_learning_rate`` or
    ``discriminator_learning_rate``.

    Args:
        player: ``"generator"`` or ``"discriminator"``.
        callback: the callback, which sees that player's optimizer as the model's.

    Raises:
        UsageError: another player.

    Example::

        slower = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.9 * rate)
        gan.fit(images, epochs=100, callbacks=[tg.ForPlayer("discriminator", slower)])
    """

    def __init__(self, player: str, callback: keras.callbacks.Callback) -> None:
        super().__init__()
        if player not in PLAYERS:
            raise unknown("player", player, PLAYERS)
        self.player, self.callback = player, callback
        for hook in _HOOKS:
            setattr(self, hook, getattr(callback, hook))

    def set_params(self, params: Mapping) -> None:
        self.callback.set_params(params)

    def set_model(self, model: GAN) -> None:
        super().set_model(model)
        self.callback.set_model(_OfPlayer(model, self.player))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        seen = dict(logs or {})
        self.callback.on_epoch_end(epoch, seen)
        if logs is not None and "learning_rate" in seen:
            logs[f"{self.player}_learning_rate"] = seen["learning_rate"]


class _OfPlayer:
    """A GAN whose optimizer is that of one player."""

    def __init__(self, gan: GAN, player: str) -> None:
        optimizers = {"generator": gan.g_optimizer, "discriminator": gan.d_optimizer}
        self._gan, self.optimizer = gan, PlayerOptimizers({player: optimizers[player]})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gan, name)


class PlayerOptimizers:
    """Optimizers of players as one, for what asks a Keras model for its optimizer.

    The first is the leader: ``learning_rate`` reads its rate. Setting it multiplies the rates of
    the others by the same factor, so that the ratio of a two-time-scale rule is kept.
    """

    built = True

    def __init__(self, players: Mapping[str, keras.optimizers.Optimizer]) -> None:
        """Joins built optimizers by the names of their players."""
        self._players, self._ratios = dict(players), dict.fromkeys(players, 1.0)

    @property
    def variables(self) -> list[keras.Variable]:
        """Those of all optimizers."""
        return [v for optimizer in self._players.values() for v in optimizer.variables]

    @property
    def iterations(self) -> keras.Variable:
        """The updates that the leader has made."""
        return next(iter(self._players.values())).iterations

    @property
    def learning_rate(self) -> float:
        """The leader's rate now."""
        return next(iter(self._rates().values()))

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        old = self.learning_rate
        if old:  # from a rate of 0, the ratios are those of the last other one
            self._ratios = {name: each / old for name, each in self._rates().items()}
        for name, optimizer in self._players.items():
            try:
                optimizer.learning_rate = rate * self._ratios[name]
            except (TypeError, AttributeError):  # Keras's, for a schedule and for a function
                raise UsageError(
                    f"the {name}'s learning rate is a schedule, which cannot be set: give "
                    "compile() a number for it, or leave out the callback that sets it."
                ) from None

    def _rates(self) -> dict[str, float]:
        rates = {name: optimizer.learning_rate for name, optimizer in self._players.items()}
        return {name: float(ops.convert_to_numpy(rate)) for name, rate in rates.items()}
