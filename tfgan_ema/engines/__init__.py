"""How a training step runs: one module for each Keras backend, all with the same few verbs.

The rest of the package is written once, in Keras operations. What Keras leaves to the backend
(gradients, replicas, branches, compiled loops) is a verb of the `Engine`; a computation that one
backend does faster in its own way is one of the `Kernels`; which machine it runs on is the matter
of `tfgan_ema.engines.devices`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import keras

from tfgan_ema.errors import UsageError

Tensor = Any  # a tensor of the backend, or what converts to one

Report = dict[str, Tensor]  # scalars by name, for the logs
Objective = Callable[[], tuple[Tensor, Report]]


class Engine(Protocol):
    """The verbs that a step needs.

    They are called inside a replica. A batch of the whole step is the *global* batch, of which each
    replica sees a contiguous part. Draws and masks are made for the global batch and then cut, so
    that any number of replicas computes the same step.
    """

    def replicas(self) -> int:
        """How many replicas share the global batch."""

    def rows(self, count: int) -> Tensor:
        """Indices, within the global batch, of this replica's ``count`` rows: int32 [count]."""

    def replica_mean(self, values: Any) -> Any:
        """A tensor, or a list of them, averaged over the replicas element by element.

        Differentiable: gradients flow to every replica's part.
        """

    def gather(self, x: Tensor) -> Tensor:
        """The rows of all replicas, in the order of the global batch; no gradient."""

    def random_bits(
        self, shape: Sequence[int], count: int, seed: Any, stream: str, step: int | Tensor
    ) -> Tensor:
        """The ``count`` highest bits of Philox outputs for this replica's rows, int32.

        A pure function of its arguments and of the row within the global batch, the same under
        every backend, on every device, in every graph.

        Args:
            shape: of the result; ``shape[0]`` counts the rows of this replica.
            count: from 1 to 31.
            seed: a Python int below 2^63, or what a compiled sampler hands on.
            stream: different names give independent draws.
            step: the counter.
        """

    def gradients(
        self, objectives: Sequence[Objective], variables: Sequence[keras.Variable]
    ) -> tuple[list[Tensor | None], Report]:
        """This replica's part of the gradient of the mean objective, and the mean report.

        Several objectives are micro-batches of one update. The replicas' parts add up to the
        gradient of the mean over the global batch.
        """

    def game_gradients(
        self,
        objective: Callable[[], tuple[tuple[Tensor, Tensor], Report]],
        players: Sequence[Sequence[keras.Variable]],
        consensus: float = 0.0,
    ) -> tuple[list[list[Tensor]], Report]:
        """Gradients of each player's loss over its own variables, at the same point.

        With ``consensus`` > 0 each gradient v_i gains ``consensus`` times the gradient of
        R = 1/2 sum_i |v_i|^2 over all players' variables (Mescheder et al. 2017), which is J^T v
        for the Jacobian J of v. R belongs to the gradients of the global batch.
        """

    def watched(
        self, function: Callable[[Tensor], Tensor], x: Tensor
    ) -> tuple[Tensor, Callable[[], Tensor]]:
        """``function(x)``, and what gives the gradient of its sum with respect to ``x``.

        The gradient is differentiable once more, and may be asked for in a branch of `lazy`.
        """

    def input_gradient(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """Gradient of ``sum(function(x))`` with respect to ``x``; differentiable once more."""

    def apply(
        self,
        optimizer: keras.optimizers.Optimizer,
        gradients: Sequence[Tensor | None],
        variables: Sequence[keras.Variable],
    ) -> None:
        """One optimizer step on the sum of the replicas' parts; clipping acts on the sum."""

    def lazy(self, predicate: Tensor, then: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
        """Runs one of two branches; the other costs nothing. Replicas cannot meet inside."""

    def is_traced(self, x: Tensor) -> bool:
        """Whether ``x`` has no value yet, because a function is being compiled."""

    def compile_step(
        self,
        model: Any,
        step_function: Callable[[Any], Report],
        steps_left: Callable[[], int | None] = lambda: None,
        reads: Sequence[keras.Variable] = (),
    ) -> Callable:
        """The function that Keras's trainer calls.

        Args:
            model: a compiled GAN.
            step_function: its training or test step.
            steps_left: called before each execution of ``model.steps_per_execution`` steps, which
                is shortened to what it returns; ``None`` shortens nothing.
            reads: variables that the step reads and that are not the model's.
        """

    def compile_loop(self, model: Any, batch: Callable[[Tensor], Tensor]) -> Callable[[int], None]:
        """``loop(steps)``: that many of the model's steps on ``batch(step)``, in one program.

        Raises:
            UsageError: several replicas or devices.
        """

    def compile_sampler(
        self, generator: keras.Model, chunk: Callable[..., Tensor], size: int
    ) -> Callable[..., Any]:
        """``sampler(first, count, seed, labels) -> array`` that joins chunks of ``size`` rows.

        The samples begin with those of chunk ``first``.

        Args:
            generator: the network that ``chunk`` runs.
            chunk: ``chunk(index, rows, seed, labels=)`` -> the first ``rows`` samples of a chunk.
            size: rows of a full chunk.
        """


class Kernels(Protocol):
    """Computations that a backend may do faster in its own way, all equal to rounding."""

    BATCH_NORM: dict[str, Any]  # arguments with which Keras's layer sees the global batch

    def batch_norm(
        self, x: Tensor, gamma: Tensor, beta: Tensor, epsilon: float
    ) -> tuple[Tensor, Tensor, Tensor] | None:
        """Normalised images, mean and biased variance [c]; ``None``: leave it to Keras."""

    def adam(
        self,
        variables: Sequence[Any],
        gradient: Tensor,
        *,
        rate: Tensor,
        step: Tensor,
        beta_1: float,
        beta_2: float,
        epsilon: float,
    ) -> bool:
        """Moves a variable, its momentum and its velocity; ``False``: leave it to Keras.

        Args:
            variables: the three.
            gradient: of the first.
            rate: the learning rate.
            step: updates so far, this one included.
            beta_1: decay of the momentum.
            beta_2: decay of the velocity.
            epsilon: added to the root of the velocity.
        """

    def upsampled_convolution(self, x: Tensor, turned: Tensor) -> Tensor:
        """Nearest-neighbour upsampling and a 3x3 convolution, zero-padded, as one.

        Args:
            x: [n, h, w, c].
            turned: the folded kernel [4, 4, c, d] of `tfgan_ema.layers.resampling`, turned by 180
                degrees.
        """

    def grouped_convolution(self, x: Tensor, kernel: Tensor) -> Tensor:
        """A zero-padded convolution in groups: [n, h, w, g c] with [k, k, c, g d] -> [., g d]."""


def current() -> Engine:
    """The engine of Keras's backend.

    Raises:
        UsageError: there is no engine for this backend.
    """
    return importlib.import_module(f"{__name__}.{_backend()}")


def kernels() -> Kernels:
    """The kernels of Keras's backend; raises as `current` does."""
    return importlib.import_module(f"{__name__}.{_backend()}_kernels")


def _backend() -> str:
    backend = keras.config.backend()
    if backend not in ("tensorflow", "jax"):
        raise UsageError(
            f"Keras runs on the backend {backend!r}, which has no training engine here: "
            "set KERAS_BACKEND=tensorflow, or jax."
        )
    return backend


def require_tensorflow(what: str) -> None:
    """Refuses what only the TensorFlow backend can do.

    Raises:
        UsageError: Keras runs on another backend.
    """
    backend = keras.config.backend()
    if backend != "tensorflow":
        raise UsageError(
            f"{what} under KERAS_BACKEND={backend}: it needs TensorFlow; run it with "
            "KERAS_BACKEND=tensorflow, which reads the same checkpoints."
        )
