"""The algorithm: two players, mixed batches, averaged generators, as one Keras model."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from tfgan_ema import averaging, engines, latents, layers, losses, mixing, optimizers, penalties
from tfgan_ema.errors import UsageError
from tfgan_ema.latents import Draws

Tensor = Any

UPDATES = ("alternating", "g_first", "simultaneous")
SAMPLE_CHUNK = 64
REFERENCE, REFRESH = 128, 20  # latents, and steps between their uses, behind a leak's statistics


class Batch(NamedTuple):
    """Some rows: images (or points), their labels, and for fakes the latents they came from."""

    images: Tensor
    labels: Tensor | None = None
    latent: Tensor | None = None

    def every(self, count: int, first: int) -> Batch:
        """The rows first, first + count, first + 2 count, ..."""
        return Batch(*(None if part is None else part[first::count] for part in self))


class GAN(keras.Model):
    """A generator and a discriminator trained against each other, with averages of the generator.

    ``fit`` takes batches of ``n_dis * batch_size`` real images [., h, w, c] in [-1, 1] (or points
    [., d]), with int32 labels beside them when ``num_classes`` is given. Steps count generator
    updates. Build it, and the networks, inside the strategy's scope.
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        *,
        latent: int | Any,
        loss: Any = "non_saturating",
        penalties: Sequence[penalties.Penalty] = (),
        averages: Sequence[averaging.EMA | averaging.UniformAverage] = (),
        leak: mixing.LeakyEMA | None = None,
        augment: Sequence[Callable[[Tensor, Draws], Tensor]] = (),
        top_k: mixing.TopK | None = None,
        n_dis: int = 1,
        update: str = "alternating",
        accumulate: int = 1,
        num_classes: int | None = None,
        seed: int | Sequence[int] = 0,
        track_gradients: bool = False,
        name: str = "gan",
    ) -> None:
        """Joins the players.

        Args:
            generator: latents [n, d] (and labels [n]) -> images in [-1, 1]; built.
            discriminator: images (and labels) -> logits [n, 1]; built.
            latent: a prior from `tfgan_ema.latents`; a number d means ``Normal(d)``.
            loss: a name or an object from `tfgan_ema.losses`.
            penalties: terms from `tfgan_ema.penalties`, for either player.
            averages: rules from `tfgan_ema.averaging`; the first is what `sample` draws from.
            leak: replaces part of the real batches by samples of an average.
            augment: applied, in order, to all that the discriminator sees.
            top_k: trains the generator on its most real fakes only.
            n_dis: discriminator updates per generator update.
            update: ``"alternating"`` (discriminator first), ``"g_first"``, or ``"simultaneous"``.
            accumulate: micro-batches that one update's gradient is summed from.
            num_classes: for conditional networks; ``None`` for unconditional ones.
            seed: of every random draw in training. Several seeds train as many GANs at once: the
                networks are stacks (``zoo.build("mlp", seeds=...)``), the rows of a batch are
                those of the first seed, then those of the second, and so on, and every seed's
                GAN moves as it would alone.
            track_gradients: whether gradient norms are logged.
            name: the model's name.

        Raises:
            UsageError: parts that do not fit together.
        """
        super().__init__(name=name)
        self.generator, self.discriminator = generator, discriminator
        self.latent = latents.Normal(latent) if isinstance(latent, int) else latent
        self.loss_pair = losses.get(loss)
        self.penalties = tuple(penalties)
        self.leak, self.augment, self.top_k = leak, tuple(augment), top_k
        self.n_dis, self.update, self.accumulate = n_dis, update, accumulate
        self.num_classes = num_classes
        self.seed = seed if isinstance(seed, int) else tuple(int(s) for s in seed)
        self.track_gradients = track_gradients
        self.shadows: list[averaging.Shadow] = []
        self.averaged: list[keras.Model] = []
        self._samplers: dict = {}
        self._reference: tuple | None = None  # latents and labels
        self._standing: dict = {}  # average -> (digest of its weights, statistics)
        self._loop: tuple | None = None
        self._shares_calls = layers.independent_rows(discriminator)
        self._check()
        self._check_pairs()
        if self.stack:
            self._check_stack(averages)
        if leak is not None and leak.mode == "async_model":
            self._check_guide()
        self.step = self.add_weight(
            shape=(), dtype="int32", trainable=False, initializer="zeros", name="step"
        )
        self._test_step = self.add_weight(
            shape=(), dtype="int32", trainable=False, initializer="zeros", name="test_step"
        )
        for rule in averages:
            self.add_average(rule)
        if leak is not None and leak.needs_average and leak.average >= len(averages):
            raise UsageError(
                f"LeakyEMA follows average {leak.average}, but the GAN has {len(averages)}: give "
                "the GAN averages=[EMA(...)], or the leak another `average`."
            )
        names = ["d_loss", "g_loss", "real_logit", "fake_logit", "d_accuracy"]
        names += [penalty.name for penalty in self._added]
        names += ["d_gradient_norm", "g_gradient_norm"] if track_gradients else []
        self._trackers = {key: keras.metrics.Mean(name=key) for key in names}
        self.built = True

    def _check(self) -> None:
        if self.update not in UPDATES:
            raise UsageError(f"update {self.update!r}: expected one of {', '.join(UPDATES)}.")
        for key in ("n_dis", "accumulate"):
            if not (isinstance(getattr(self, key), int) and getattr(self, key) >= 1):
                raise UsageError(f"{key} {getattr(self, key)!r}: expected a whole number >= 1.")
        names = [penalty.name for penalty in self.penalties]
        for key in names:
            if names.count(key) > 1:
                raise UsageError(f"two penalties are named {key!r}: give one of them a `name`.")
        if self.update == "simultaneous" and (self.n_dis > 1 or self.accumulate > 1):
            raise UsageError(
                f"update='simultaneous' with n_dis {self.n_dis}, accumulate {self.accumulate}: "
                "both players move once from one point; use 1 and 1."
            )
        consensus = [p for p in self.penalties if isinstance(p, penalties.Consensus)]
        if consensus and self.update != "simultaneous":
            raise UsageError(
                f"consensus with update={self.update!r}: it regularises the field of both players "
                "at one point; use update='simultaneous'."
            )
        self._consensus = sum(p.weight for p in consensus)
        inputs = [len(getattr(net, "inputs", None) or [0]) for net in self._players]
        expected = 1 if self.num_classes is None else 2
        if inputs != [expected, expected]:
            raise UsageError(
                f"num_classes {self.num_classes} with a generator of {inputs[0]} and a "
                f"discriminator of {inputs[1]} inputs: conditional networks take two inputs (with "
                "labels) and need num_classes; unconditional ones take one and need none."
            )

    def _check_pairs(self) -> None:
        """Refuses methods that make no sense together."""
        for penalty in self.penalties:
            if self._consensus and penalty.interval > 1:
                raise UsageError(
                    f"consensus with {penalty.name} at interval {penalty.interval}: it squares the "
                    "gradients of every single step; use interval 1."
                )
        averaging_loss = isinstance(self.loss_pair, losses.RelativisticAverage)
        if self.accumulate > 1 and (averaging_loss or self.top_k):
            what = "a relativistic average loss" if averaging_loss else "top_k"
            raise UsageError(
                f"accumulate {self.accumulate} with {what}: it looks at the whole batch, which no "
                "micro-batch holds; use accumulate 1."
            )
        if self.loss_pair.needs_samples and self.leak and self.leak.mode.startswith("same_"):
            raise UsageError(
                f"leak mode {self.leak.mode!r} with {self.loss_pair!r}: the loss divides by the "
                "distance of a real row and a fake one, which are the same there; use 'sync'."
            )
        points = len(getattr(self.generator, "output_shape", None) or ()) == 2
        if points and any(isinstance(a, mixing.DiffAugment) for a in self.augment):
            raise UsageError(
                f"DiffAugment on data of shape {self.generator.output_shape}: it needs images "
                "[n, h, w, c]; use InstanceNoise for points."
            )

    def _check_stack(self, averages: Sequence[Any]) -> None:
        """Refuses what would mix the seeds of a stack."""
        shapes = [tuple(net.input_shape) for net in self._players]
        if any(len(shape) != 3 or shape[0] != self.stack for shape in shapes):
            raise UsageError(
                f"{self.stack} seeds with networks on {shapes[0]} and {shapes[1]}: expected stacks "
                f"on ({self.stack}, None, d), as from zoo.build('mlp', seeds=...)."
            )
        mixing_penalties = (penalties.L2, penalties.Orthogonal, penalties.PathLength)
        around = [getattr(p, "points", "") == "around" for p in self.penalties]
        refused = {
            "augment": any(not isinstance(a, mixing.InstanceNoise) for a in self.augment),
            "top_k": self.top_k is not None,
            "a ramped or same_top_k leak": self.leak is not None
            and (self.leak.ramp or self.leak.mode == "same_top_k"),
            "such a penalty": any(around)
            or any(isinstance(p, mixing_penalties) for p in self.penalties),
            "an average by half_life": any(getattr(a, "half_life", None) for a in averages),
        }
        for what, found in refused.items():
            if found:
                raise UsageError(
                    f"{self.stack} seeds with {what}: it looks at the whole batch or at all "
                    "weights, across the seeds; train these seeds one by one."
                )

    def _check_guide(self) -> None:
        """Runs a fixed guide on one latent: it must make what the generator makes."""
        latent = ops.ones((self.stack or 1, self.latent.dim))
        labels = None if self.num_classes is None else ops.zeros((1,), "int32")
        try:
            shape = tuple(self._run(self.leak.model, latent, labels, training=False).shape[1:])
        except Exception as error:
            raise UsageError(
                f"the leak's fixed guide does not run on latents of length {self.latent.dim} "
                f"{'without' if labels is None else 'with'} labels ({type(error).__name__}): give "
                "a generator of the same kind as this GAN's."
            ) from error
        if shape != tuple(self.generator.output_shape[1:]):
            raise UsageError(
                f"the leak's fixed guide makes samples of shape {shape}, the generator "
                f"{tuple(self.generator.output_shape[1:])}: give one of the same shape."
            )

    @property
    def stack(self) -> int:
        """How many seeds train at once; 0 for one GAN of plain networks."""
        return 0 if isinstance(self.seed, int) else len(self.seed)

    @property
    def _players(self) -> tuple[keras.Model, keras.Model]:
        return self.generator, self.discriminator

    # The algorithm

    def train_step(self, data: Any) -> dict[str, Tensor]:
        """One generator step with its discriminator updates; returns the running logs."""
        real = self._split(data)
        if self._leak_stands():
            self._refresh()
        if self.update == "simultaneous":
            self._update_both(real[0])
        elif self.update == "g_first":
            self._update_generator(real[0])
            for k in range(self.n_dis):
                self._update_discriminator(k, real[k])
        else:
            for k in range(self.n_dis):
                self._update_discriminator(k, real[k])
            self._update_generator(real[-1])
        self.step.assign_add(1)
        batch_size = real[0].images.shape[0] * engines.current().replicas()
        for i, shadow in enumerate(self.shadows):
            leaks = self._leak_stands() and i == self.leak.average
            keep = self.step.value > self.leak.start if leaks else None
            shadow.move(self.step.value, batch_size, keep)
        return {name: tracker.result() for name, tracker in self._trackers.items()}

    def _leak_stands(self) -> bool:
        """Whether the leak follows an average whose batch statistics are to be re-estimated."""
        leak = self.leak
        follows = leak is not None and leak.needs_average and leak.average < len(self.shadows)
        return follows and self._stands(leak.average)

    def _refresh(self) -> None:
        """Every `REFRESH` steps, the leaking average gets the reference batch's statistics."""
        model = self.averaged[self.leak.average]
        old = averaging.statistics(model)
        since = self.step.value - self.leak.start
        latent, labels = (_tensor(x, x.dtype) if x is not None else x for x in self._reference)

        def new() -> list[Tensor]:
            return averaging.batch_statistics(
                model, lambda: self._run(model, latent, labels, training=False)
            )

        due = ops.logical_and(since >= 0, since % REFRESH == 0)
        values = engines.current().lazy(due, new, lambda: [variable.value for variable in old])
        for variable, value in zip(old, values, strict=True):
            variable.assign(value)

    def _update_discriminator(self, k: int, real: Batch) -> None:
        draws = Draws(self.seed, self.step.value, f"d{k}/")
        layers.power_iterate(self.discriminator)
        fake = self._fakes(*self._latents(real, draws))
        real = self._mixed(real, fake, draws)
        grads, report = engines.current().gradients(
            [
                functools.partial(
                    self.discriminator_objective,
                    real.every(self.accumulate, j),
                    fake.every(self.accumulate, j),
                    draws.at(f"part{j}"),
                )
                for j in range(self.accumulate)
            ],
            self.discriminator.trainable_variables,
        )
        self._move("d", grads, report)

    def _update_generator(self, real: Batch) -> None:
        draws = Draws(self.seed, self.step.value, "g/")
        layers.power_iterate(self.generator)
        latent, labels = self._latents(real, draws)

        def part(j: int) -> tuple[Tensor, dict[str, Tensor]]:
            rows = Batch(latent, labels).every(self.accumulate, j)
            fake = self._fakes(rows.images, rows.labels)
            return self.generator_objective(
                real.every(self.accumulate, j), fake, draws.at(f"part{j}")
            )

        grads, report = engines.current().gradients(
            [functools.partial(part, j) for j in range(self.accumulate)],
            self.generator.trainable_variables,
        )
        self._move("g", grads, report)

    def _update_both(self, real: Batch) -> None:
        draws = Draws(self.seed, self.step.value, "both/")
        for player in self._players:
            layers.power_iterate(player)
        latent, labels = self._latents(real, draws)

        def objective() -> tuple[tuple[Tensor, Tensor], dict[str, Tensor]]:
            fake = self._fakes(latent, labels)
            still = fake._replace(images=ops.stop_gradient(fake.images))
            mixed = self._mixed(real, still, draws)
            d_loss, d_report = self.discriminator_objective(mixed, fake, draws.at("d"))
            g_loss, g_report = self.generator_objective(real, fake, draws.at("g"))
            return (d_loss, g_loss), d_report | g_report

        players = [net.trainable_variables for net in (self.discriminator, self.generator)]
        (d_grads, g_grads), report = engines.current().game_gradients(
            objective, players, self._consensus
        )
        self._move("d", d_grads, report)
        self._move("g", g_grads, {})

    def discriminator_objective(
        self, real: Batch, fake: Batch, draws: Draws
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The discriminator's loss with its penalties, and what is logged."""
        real_images = self._augmented(real.images, draws.at("real"))
        fake_images = self._augmented(fake.images, draws.at("fake"))
        real_logits, fake_logits = self._logit_pair(
            real._replace(images=real_images), fake._replace(images=fake_images)
        )
        loss = self.loss_pair.discriminator(
            real_logits,
            fake_logits,
            samples=(real_images, fake_images) if self.loss_pair.needs_samples else None,
            batch_mean=self._batch_mean,
        )
        scene = penalties.Scene(
            network=self.discriminator,
            respond=functools.partial(self.logits, training=True),
            real=real_images,
            fake=fake_images,
            real_labels=real.labels,
            fake_labels=fake.labels,
            real_logits=real_logits,
            latent=fake.latent,
            step=self.step.value,
            draws=draws,
        )
        terms = self._terms("discriminator", scene)
        right = ops.mean(ops.cast(real_logits > 0, "float32")) + ops.mean(
            ops.cast(fake_logits < 0, "float32")
        )
        report = {
            "d_loss": loss,
            "real_logit": ops.mean(real_logits),
            "fake_logit": ops.mean(fake_logits),
            "d_accuracy": right / 2,
        }
        return self._objective(self.d_optimizer, loss + sum(terms.values())), report | terms

    def generator_objective(
        self, real: Batch, fake: Batch, draws: Draws
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The generator's loss with its penalties, and what is logged."""
        fake_images = self._augmented(fake.images, draws.at("fake"))
        fake_logits = self.logits(fake_images, fake.labels, training=True)
        real_images = real_logits = None
        if self.loss_pair.generator_needs_real:
            real_images = self._augmented(real.images, draws.at("real"))
            real_logits = self.logits(real_images, real.labels, training=True)
        factor = 1.0
        if self.top_k is not None:
            fake_logits, factor = self.top_k(fake_logits, self.step.value)
        loss = self.loss_pair.generator(
            real_logits,
            fake_logits,
            samples=(real_images, fake_images) if self.loss_pair.needs_samples else None,
            batch_mean=self._batch_mean,
        )
        scene = penalties.Scene(
            network=self.generator,
            respond=lambda z, y: self._fakes(z, y).images,
            real=None,
            fake=fake_images,
            real_labels=None,
            fake_labels=fake.labels,
            real_logits=None,
            latent=fake.latent,
            step=self.step.value,
            draws=draws,
        )
        terms = self._terms("generator", scene)
        total = factor * loss + sum(terms.values())
        return self._objective(self.g_optimizer, total), {"g_loss": loss} | terms

    def _objective(self, optimizer: keras.optimizers.Optimizer, mean: Tensor) -> Tensor:
        """What is differentiated: the sum over seeds of what is a mean over them, so that each has
        its own gradient, times the scale that the optimizer divides by again (float16)."""
        return optimizer.scale_loss((self.stack or 1) * mean)

    def _batch_mean(self, logits: Tensor) -> Tensor:
        """Mean over the global batch; in a stack, each row is given the mean of its own seed."""
        if not self.stack:
            return engines.current().global_mean(logits)
        means = ops.mean(ops.reshape(logits, (self.stack, -1)), axis=1)
        return ops.repeat(means, logits.shape[0] // self.stack)

    def logits(
        self, images: Tensor, labels: Tensor | None = None, training: bool = False
    ) -> Tensor:
        """The discriminator's logits, float32 [n]; differentiable."""
        inputs = self._stacked(images) if self.num_classes is None else [images, labels]
        return ops.cast(
            ops.reshape(self.discriminator(inputs, training=training), (-1,)), "float32"
        )

    def _logit_pair(self, real: Batch, fake: Batch) -> tuple[Tensor, Tensor]:
        """The logits of two batches of one size, in one call where that makes no difference."""
        if not self._shares_calls:
            return tuple(self.logits(x.images, x.labels, training=True) for x in (real, fake))

        def paired(one: Tensor, other: Tensor) -> Tensor:
            # Real, fake, real, fake: rows stay with the devices and the seeds that they belong to.
            return ops.reshape(ops.stack([one, other], axis=1), (-1, *one.shape[1:]))

        labels = None if real.labels is None else paired(real.labels, fake.labels)
        logits = self.logits(paired(real.images, fake.images), labels, training=True)
        return logits[0::2], logits[1::2]

    def _stacked(self, rows: Tensor) -> Tensor:
        """The rows as the networks take them: [S n, ...] -> [S, n, ...] for a stack of S seeds."""
        return ops.reshape(rows, (self.stack, -1, *rows.shape[1:])) if self.stack else rows

    def _run(
        self, generator: Callable, latent: Tensor, labels: Tensor | None, *, training: bool
    ) -> Tensor:
        """What a generator makes, rows first."""
        inputs = self._stacked(latent) if labels is None else [latent, labels]
        images = generator(inputs, training=training)
        return ops.reshape(images, (-1, *images.shape[2:])) if self.stack else images

    def _fakes(self, latent: Tensor, labels: Tensor | None) -> Batch:
        images = self._run(self.generator, latent, labels, training=True)
        return Batch(images, labels, latent)

    def _latents(self, real: Batch, draws: Draws) -> tuple[Tensor, Tensor | None]:
        """Latents and labels of as many fakes as there are real images."""
        rows = real.images.shape[0]
        labels = None
        if self.num_classes is not None:
            labels = draws.integers((rows,), self.num_classes, "label")
        return self.latent.draw(rows, draws), labels

    def _mixed(self, real: Batch, fake: Batch, draws: Draws) -> Batch:
        """The real batch with the leak's samples in it."""
        leak = self.leak
        if leak is None:
            return real
        guide_latent, guide_labels = fake.latent, fake.labels
        if leak.mode in ("async_noise", "async_model"):
            guide_latent, guide_labels = self._latents(real, draws.at("leak"))
        model = self.averaged[leak.average] if leak.needs_average else leak.model

        def guide(rows: Tensor) -> tuple[Tensor, Tensor | None]:
            latent = ops.take(guide_latent, rows, axis=0)
            labels = None if guide_labels is None else ops.take(guide_labels, rows, axis=0)
            return self._run(model, latent, labels, training=False), labels

        images, labels = leak(
            real.images,
            real.labels,
            fake.images,
            fake.labels,
            step=self.step.value,
            guide=guide,
            judge=self.logits,
        )
        return Batch(ops.stop_gradient(images), labels)

    def _augmented(self, images: Tensor, draws: Draws) -> Tensor:
        for i, augmentation in enumerate(self.augment):
            images = augmentation(images, draws.at(f"augment{i}"))
        return images

    def _terms(self, player: str, scene: penalties.Scene) -> dict[str, Tensor]:
        return {p.name: p(scene) for p in self._added if p.player == player}

    @property
    def _added(self) -> list[penalties.Penalty]:
        """The penalties that are a term of a loss."""
        apart = penalties.Consensus  # formed from both gradients
        return [p for p in self.penalties if p.weight and not isinstance(p, apart)]

    def _move(self, player: str, grads: list[Tensor], report: dict[str, Tensor]) -> None:
        """One optimizer step of a player, its constraints, its logs."""
        network = self.discriminator if player == "d" else self.generator
        optimizer = self.d_optimizer if player == "d" else self.g_optimizer
        if self.track_gradients:
            norm = engines.current().gradient_norm(grads) / optimizer.scale_loss(1.0)
            report = report | {f"{player}_gradient_norm": norm}
        engines.current().apply(optimizer, grads, network.trainable_variables)
        for penalty in self.penalties:
            if penalty.player.startswith(player):
                penalty.constrain(network)
        for name, value in report.items():
            self._trackers[name].update_state(ops.stop_gradient(value))

    def _split(self, data: Any) -> list[Batch]:
        """The real batches of the n_dis discriminator updates.

        Row i of update k is row ``i * n_dis + k``: strided, so that the contiguous parts that
        replicas receive split into the same batches as the whole.
        """
        images, labels = data if isinstance(data, tuple) and len(data) == 2 else (data, None)
        if isinstance(images, tuple):
            (images,) = images
        if (labels is None) != (self.num_classes is None):
            given = "without" if labels is None else "with"
            raise UsageError(
                f"batches {given} labels for num_classes {self.num_classes}: conditional networks "
                "need (images, labels), unconditional ones images alone."
            )
        rows = images.shape[0]
        if rows is None or rows % self.n_dis or (rows // self.n_dis) % self.accumulate:
            raise UsageError(
                f"a batch of {rows} rows a replica for n_dis {self.n_dis} and accumulate "
                f"{self.accumulate}: expected a fixed number divisible by both (batch the data "
                "with drop_remainder=True, n_dis * batch_size rows a batch; under several workers "
                "through engines.tensorflow.distribute)."
            )
        return [Batch(images, labels).every(self.n_dis, k) for k in range(self.n_dis)]

    # Averages and state

    @property
    def steps_done(self) -> int:
        """Generator steps so far, as a Python number."""
        return int(ops.convert_to_numpy(self.step))

    def add_average(self, rule: averaging.EMA | averaging.UniformAverage) -> None:
        """Adds an average, starting from the current weights; before training starts."""
        if any(shadow.rule.name == rule.name for shadow in self.shadows):
            raise UsageError(f"two averages are named {rule.name!r}: give one of them a `name`.")
        shadow = averaging.Shadow(rule, self.generator)
        self.shadows.append(shadow)
        self.averaged.append(shadow.generator)
        if self._reference is None and self._leak_stands():
            drawn = self._latents(Batch(np.empty(REFERENCE)), Draws(self.seed, 0, "reference/"))
            self._reference = tuple(x if x is None else ops.convert_to_numpy(x) for x in drawn)
        self.train_function = self._loop = None

    def state(self) -> dict[str, Any]:
        """Every variable that training changes, by role; what a checkpoint holds."""
        groups = {
            "generator": self.generator.variables,
            "discriminator": self.discriminator.variables,
            "d_optimizer": self.d_optimizer.variables,
            "g_optimizer": self.g_optimizer.variables,
            "step": [self.step],
        }
        for shadow in self.shadows:
            groups[f"average/{shadow.rule.name}"] = [average for average, _ in shadow.pairs]
        if self.leak is not None:
            groups["leak"] = [self.leak.start]
        for penalty in self.penalties:
            if isinstance(penalty, penalties.PathLength):
                groups[f"penalty/{penalty.name}"] = [penalty.mean]
        # An optimizer's names count the layers of the whole process, so a place must do for them.
        return {
            f"{role}/{i:03d}" + ("" if "optimizer" in role else f"/{variable.name}"): variable
            for role, variables in groups.items()
            for i, variable in enumerate(variables)
        }

    # Keras

    def compile(
        self,
        d_optimizer: Any = None,
        g_optimizer: Any = None,
        *,
        steps_per_execution: int = 1,
        jit_compile: bool | str = "auto",
        run_eagerly: bool = False,
    ) -> None:
        """Gives each player its optimizer and builds both.

        A player with layers that compute in float16 has its loss scaled (Micikevicius et al.
        2018): a step whose gradients are not finite is left out and halves the scale, which
        doubles after 2,000 steps without one.

        Args:
            d_optimizer: a Keras optimizer, a name, or a dict for `tfgan_ema.optimizers.get`;
                Adam(2e-4, beta_1=0.5) unless given.
            g_optimizer: the same for the generator.
            steps_per_execution: generator steps in one call of the compiled function.
            jit_compile: whether XLA compiles the step.
            run_eagerly: for debugging.

        Raises:
            UsageError: XLA under several replicas, an unknown optimizer, or float16 with consensus
                or under a backend other than TensorFlow.
        """
        engines.current().check_strategy(jit_compile)
        super().compile(
            optimizer=None,
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile,
            run_eagerly=run_eagerly,
        )
        default = {"name": "adam", "learning_rate": 2e-4, "beta_1": 0.5}
        with engines.current().scope(self):
            self.d_optimizer = optimizers.get(d_optimizer or default, updates_per_step=self.n_dis)
            self.g_optimizer = optimizers.get(g_optimizer or default)
            if self.d_optimizer is self.g_optimizer:
                raise UsageError("one optimizer for both players: give each its own.")
            if self._needs_scaling(self.discriminator):
                self.d_optimizer = keras.optimizers.LossScaleOptimizer(self.d_optimizer)
            if self._needs_scaling(self.generator):
                self.g_optimizer = keras.optimizers.LossScaleOptimizer(self.g_optimizer)
            self.d_optimizer.build(self.discriminator.trainable_variables)
            self.g_optimizer.build(self.generator.trainable_variables)

    def _needs_scaling(self, network: keras.Model) -> bool:
        if not any(layer.compute_dtype == "float16" for layer in network.layers):
            return False
        engines.require_tensorflow("float16 with loss scaling")
        if self._consensus:
            raise UsageError(
                "consensus with float16: it squares gradients, which loss scaling has scaled; use "
                "float32 or bfloat16."
            )
        return True

    def make_train_function(self, force: bool = False) -> None:
        """Compiles `train_step`; see the engine."""
        if self.train_function is None or force:
            self.train_function = engines.current().make_function(self, self.train_step)

    def run(self, batch: Callable[[Tensor], Tensor], steps: int) -> dict[str, float]:
        """Trains on batches that are made in the graph, many steps in one call.

        For networks so small that handing over batches costs more than the steps. It is
        `train_step` in a loop, and equals `fit` on the same batches.

        Args:
            batch: generator step (int32 scalar, from 0) -> the real rows of that step, a pure
                function of it.
            steps: how many generator steps.

        Returns:
            The means of the logs over these steps.

        Raises:
            UsageError: under several replicas or devices.
        """
        if self._loop is None or self._loop[0] is not batch:
            self._loop = (batch, engines.current().make_loop(self, batch))
        self.reset_metrics()
        self._loop[1](steps)
        return {name: float(tracker.result()) for name, tracker in self._trackers.items()}

    def make_test_function(self, force: bool = False) -> None:
        """Compiles `test_step`; see the engine."""
        if self.test_function is None or force:
            self.test_function = engines.current().make_function(self, self.test_step)

    def _maybe_symbolic_build(self, *args: Any, **kwargs: Any) -> None:
        """Nothing is left to build."""

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The running means behind the logs."""
        return list(self._trackers.values())

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Losses and logits on held-out data, with averaged fakes; the same draws every time."""
        self._test_step.assign(0)
        with self.evaluation_weights(0):
            return super().evaluate(*args, **kwargs)

    def test_step(self, data: Any) -> dict[str, Tensor]:
        """Losses, logits and accuracy of one batch; fakes come from the first average."""
        images, labels = data if isinstance(data, tuple) and len(data) == 2 else (data, None)
        draws = Draws(self.seed, self._test_step.value, "test/")
        real = Batch(images[0] if isinstance(images, tuple) else images, labels)
        latent, fake_labels = self._latents(real, draws)
        fake = self._run(self._source(0), latent, fake_labels, training=False)
        real_logits = self.logits(real.images, real.labels)
        fake_logits = self.logits(fake, fake_labels)
        pair, mean = self.loss_pair, self._batch_mean
        samples = (real.images, fake) if pair.needs_samples else None
        right = ops.mean(ops.cast(real_logits > 0, "float32")) + ops.mean(
            ops.cast(fake_logits < 0, "float32")
        )
        report = {
            "d_loss": pair.discriminator(
                real_logits, fake_logits, samples=samples, batch_mean=mean
            ),
            "g_loss": pair.generator(real_logits, fake_logits, samples=samples, batch_mean=mean),
            "real_logit": ops.mean(real_logits),
            "fake_logit": ops.mean(fake_logits),
            "d_accuracy": right / 2,
        }
        self._test_step.assign_add(1)
        for name, value in report.items():
            self._trackers[name].update_state(value)
        return {name: self._trackers[name].result() for name in report}

    def call(self, latent: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images of the first average for given latents, by the batch statistics it has now.

        `predict`, `generate` and `sample` re-estimate them first where the average asks for it.
        """
        return self._run(self._source(0), latent, labels, training=False)

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """As Keras's, with the first average ready to be evaluated."""
        with self.evaluation_weights(0):
            return super().predict(*args, **kwargs)

    # Serving

    def _source(self, average: int | None) -> keras.Model:
        """The generator behind an index of `averages`; ``None`` is the raw one."""
        if average is None or (average == 0 and not self.averaged):
            return self.generator
        if not (isinstance(average, int) and 0 <= average < len(self.averaged)):
            names = [shadow.rule.name for shadow in self.shadows]
            raise UsageError(
                f"average {average!r}: expected an index into {names}, or None for the raw "
                "generator."
            )
        return self.averaged[average]

    def evaluation_weights(self, average: int | None) -> contextlib.AbstractContextManager:
        """A context in which a generator is ready to be evaluated.

        With ``statistics="standing"`` an average's batch statistics are re-estimated, once for the
        same weights, and put back on leaving; otherwise nothing happens.
        """
        if not self._stands(average):
            return contextlib.nullcontext()
        model = self.averaged[average]

        def forward(i: int) -> None:
            draws = Draws(self.seed, i, "standing/")
            self._run(model, *self._latents(Batch(np.empty(SAMPLE_CHUNK)), draws), training=True)

        weights = averaging.digest(model)
        if self._standing.get(average, (None,))[0] != weights:
            self._standing[average] = weights, averaging.standing_statistics(model, forward)
        return averaging.replaced(averaging.statistics(model), self._standing[average][1])

    def _stands(self, average: int | None) -> bool:
        """Whether a generator has batch statistics that are to be re-estimated."""
        model = self._source(average)
        return (
            model is not self.generator
            and not self.stack
            and self.shadows[average].rule.statistics == "standing"
            and bool(averaging.batch_norms(model))
        )

    def sample_chunk(
        self,
        index: Tensor,
        rows: Tensor,
        seed: Tensor,
        *,
        average: int | None = 0,
        truncation: float | None = None,
        labels: Tensor | None = None,
    ) -> Tensor:
        """The first ``rows`` of the ``index``-th chunk of `SAMPLE_CHUNK` samples, as served.

        Labels are drawn for conditional networks unless given ([rows]).
        """
        draws = Draws(seed, index, "sample/")
        latent = self.latent.draw(SAMPLE_CHUNK, draws, truncation)[:rows]
        if labels is None and self.num_classes is not None:
            labels = draws.integers((SAMPLE_CHUNK,), self.num_classes, "label")[:rows]
        images = self._run(self._source(average), latent, labels, training=False)
        return to_uint8(images) if len(images.shape) == 4 else images

    def sample(
        self,
        count: int,
        seed: int = 0,
        *,
        average: int | None = 0,
        truncation: float | None = None,
        labels: Any = None,
    ) -> np.ndarray:
        """Samples of an averaged generator; a pure function of the weights and the arguments.

        Args:
            count: how many, >= 0.
            seed: any integer below 2^63.
            average: index into the averages; ``None`` for the raw generator. Without averages, 0
                is the raw generator too.
            truncation: threshold of a truncated normal latent, or ``None``.
            labels: int [count], for conditional networks; drawn uniformly unless given.

        Returns:
            uint8 [count, h, w, c], or float32 [count, d] for points.

        Raises:
            UsageError: a value out of range.
        """
        self._check_single("sample")
        if count < 0:
            raise UsageError(f"count {count}: expected 0 or more samples.")
        latents.check_truncation(truncation)
        labels = self._checked_labels(labels, count)
        key = (average, truncation, labels is not None)
        if key not in self._samplers:
            self._samplers[key] = engines.current().make_sampler(
                self._source(average),
                functools.partial(self.sample_chunk, average=average, truncation=truncation),
                SAMPLE_CHUNK,
            )
        with self.evaluation_weights(average):
            return self._samplers[key](count, seed, labels)

    def _check_single(self, what: str) -> None:
        if self.stack:
            raise UsageError(
                f"{what} with a stack of {self.stack} seeds: it serves one GAN; use generate, or "
                "copy one seed into plain networks with stacked.slice_weights."
            )

    def _checked_labels(self, labels: Any, count: int) -> np.ndarray | None:
        if labels is None:
            return None
        if self.num_classes is None:
            raise UsageError("labels for an unconditional generator: leave them out.")
        labels = np.asarray(labels, "int32")
        if labels.shape != (count,):
            raise UsageError(f"labels of shape {labels.shape}: expected ({count},), one a sample.")
        if count and not (labels.min() >= 0 and labels.max() < self.num_classes):
            raise UsageError(
                f"labels from {labels.min()} to {labels.max()}: expected 0 to "
                f"{self.num_classes - 1}."
            )
        return labels

    def generate(self, latent: Any, labels: Any = None, *, average: int | None = 0) -> np.ndarray:
        """Images in [-1, 1], float32, for latents [n, d] (and labels [n]).

        A stack of S seeds takes [S n, d], the rows of one seed after those of another.
        """
        labels = _tensor(self._checked_labels(labels, len(latent)), "int32")
        with self.evaluation_weights(average):
            images = self._run(
                self._source(average), _tensor(latent, "float32"), labels, training=False
            )
        return ops.convert_to_numpy(images)

    def discriminate(self, images: Any, labels: Any = None) -> np.ndarray:
        """Logits, float32 [n], for images as uint8 or in [-1, 1]."""
        self._check_single("discriminate")
        images = np.asarray(images)
        if images.dtype == np.uint8:
            images = images.astype("float32") / 127.5 - 1
        labels = self._checked_labels(labels, len(images))
        chunks = [slice(i, i + SAMPLE_CHUNK) for i in range(0, len(images), SAMPLE_CHUNK)]
        logits = [
            self.logits(
                _tensor(images[rows], "float32"),
                None if labels is None else _tensor(labels[rows], "int32"),
            )
            for rows in chunks
        ]
        return np.concatenate([np.zeros(0, "float32"), *map(ops.convert_to_numpy, logits)])


def to_uint8(images: Tensor) -> Tensor:
    """Images in [-1, 1] as uint8: round(127.5 (x + 1)), clipped."""
    return ops.cast(ops.clip(ops.round(127.5 * (images + 1.0)), 0.0, 255.0), "uint8")


def _tensor(values: Any, dtype: str) -> Tensor | None:
    return None if values is None else ops.convert_to_tensor(values, dtype)
