"""The algorithm: two players, mixed batches, averaged generators, as one Keras model."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from tfgan_ema import (
    averaging,
    compiling,
    engines,
    fitting,
    latents,
    layers,
    losses,
    sampling,
    saving,
    validation,
)
from tfgan_ema.adapt import Batch, Form, step_batches
from tfgan_ema.checkpoint import state_of
from tfgan_ema.controllers import started
from tfgan_ema.engines import Report, Tensor, devices
from tfgan_ema.errors import UsageError, checked_seed, whole
from tfgan_ema.evaluation import LOGS, logit_report, test_step
from tfgan_ema.latents import Draws
from tfgan_ema.lookahead import Lookahead
from tfgan_ema.mixing import LeakyEMA, TopK
from tfgan_ema.penalties import Consensus, Constraint, Penalty, PenaltyInputs, by_kind
from tfgan_ema.players import Players, draw_inputs
from tfgan_ema.teacher import appoint_teacher

Objective = tuple[Tensor, Report]  # what is differentiated, and what is logged


@keras.saving.register_keras_serializable("tfgan_ema")
class GAN(keras.Model):
    """A generator and a discriminator trained against each other, with averages of the generator.

    A step reads ``n_dis * batch_size`` real images [., h, w, c] in [-1, 1] (or points [., d]), with
    labels beside them when ``num_classes`` is given; see `fit`. Steps count generator updates.
    Build it, and the networks, inside the strategy's scope.

    Attributes:
        averages: the averages, in the order given; see `ready_generator`.
        last_step: training ends at this generator step, also in the middle of an execution of
            several steps; ``None`` sets no end.
    """

    _join = Players

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        *,
        latent: int | Any,
        loss: str | losses.Loss = "non_saturating",
        penalties: Sequence[Penalty | Constraint | Consensus] = (),
        averages: Sequence[averaging.Rule] = (),
        leak: LeakyEMA | None = None,
        augment: Sequence[Callable[[Tensor, Draws], Tensor]] = (),
        top_k: TopK | None = None,
        lookahead: Lookahead | None = None,
        n_dis: int = 1,
        update_order: str = "alternating",
        accumulate: int = 1,
        num_classes: int | None = None,
        seed: int = 0,
        track_gradients: bool = False,
        name: str = "gan",
    ) -> None:
        """Joins the players.

        Args:
            generator: latents [n, d] (and labels [n]) -> images in [-1, 1]; built.
            discriminator: images (and labels) -> logits [n, 1]; built.
            latent: a prior from `tfgan_ema.latents`; a number d means ``Normal(d)``.
            loss: a name or an object from `tfgan_ema.losses`.
            penalties: objects from `tfgan_ema.penalties`, for either player.
            averages: rules from `tfgan_ema.averaging`; the first is what `sample` draws from.
            leak: replaces part of the real batches by samples of an average.
            augment: applied in order to all that the discriminator sees; see `tfgan_ema.augment`.
            top_k: trains the generator on its most real fakes only.
            lookahead: returns both players to slow weights from time to time.
            n_dis: discriminator updates per generator update.
            update_order: ``"alternating"`` (discriminator first), ``"g_first"`` or
                ``"simultaneous"``.
            accumulate: micro-batches that one update's gradient is summed from.
            num_classes: for conditional networks; ``None`` for unconditional ones.
            seed: of every random draw in training.
            track_gradients: whether gradient norms are logged.
            name: the model's name.

        Raises:
            UsageError: parts that do not fit together.
        """
        # The networks have their own precision; Keras must not round what passes through here.
        super().__init__(name=name, dtype="float32")
        validation.check_kinds(averages, penalties, leak, augment, top_k, lookahead)
        self.engine = engines.current()
        self.generator, self.discriminator = generator, discriminator
        self.latent = latent if hasattr(latent, "draw") else latents.get("normal", latent)
        self.loss_pair, self.penalties = losses.get(loss), penalties
        self.regularisation = by_kind(penalties)
        self._penalty_state = [v for term in self.regularisation.terms for v in term.state]
        self.leak, self.augment, self.top_k = leak, tuple(augment), top_k
        self.n_dis, self.accumulate = whole("n_dis", n_dis), whole("accumulate", accumulate)
        self.num_classes = None if num_classes is None else whole("num_classes", num_classes)
        self.update_order, self.track_gradients = update_order, track_gradients
        self.seed = self._checked_seed(seed)
        self.last_step, self.epoch_end = None, None
        self.players = self._join(self.engine, generator, discriminator)
        self.form, self.rows = Form(self.players.sample_shape, num_classes), None
        self._check_parts()
        counter = {"shape": (), "dtype": "int32", "trainable": False, "initializer": "zeros"}
        self.step = self.add_weight(**counter, name="step")
        self.test_batch = self.add_weight(**counter, name="test_step")
        self.averages: list[averaging.Average] = []
        self._shadows: list[keras.Model] = []  # where Keras finds the averages' variables
        self.samplers, self._loop = {}, None
        for rule in averages:
            self.add_average(rule)
        self.controllers = started(getattr(x, "controller", None) for x in (leak, *self.augment))
        self.lookahead = lookahead
        if lookahead is not None:
            lookahead.follow(self.players.trained)
        self._teacher = appoint_teacher(self)
        names = [*LOGS, *(penalty.name for penalty in self.regularisation.terms)]
        names += [controller.name for controller in self.controllers]
        names += ["d_gradient_norm", "g_gradient_norm"] if track_gradients else []
        self.trackers = {key: keras.metrics.Mean(name=key) for key in names}
        self.built = True

    _checked_seed = staticmethod(checked_seed)

    def _check_parts(self) -> None:
        validation.check_parts(self)

    # The algorithm

    def train_step(self, data: Any) -> Report:
        """One generator update with its discriminator updates; returns the running logs."""
        real = step_batches(data, self.n_dis, self.accumulate, self.form, self.rows)
        if self._teacher is not None:
            self._teacher.refresh(self.engine, self.step.value, self.players.run)
        if self.update_order == "simultaneous":
            self._update_both(real[0])
        else:
            if self.update_order == "g_first":
                self._update_generator(real[0])
            for k in range(self.n_dis):
                self._update_discriminator(k, real[k])
            if self.update_order == "alternating":
                self._update_generator(real[-1])
        self.step.assign_add(1)
        images = real[0].images.shape[0] * self.engine.replicas()
        for controller in self.controllers:
            self.log({controller.name: controller.move(self.step.value, self.n_dis * images)})
        followed = {}
        if self.lookahead is not None:
            self.lookahead.move(self.engine, self.step.value, self.players.trained)
            followed = self.lookahead.followed(self.players.trained)
        for average in self.averages:
            average.move(self.step.value, images, followed)
        return {name: tracker.result() for name, tracker in self.trackers.items()}

    def _update_discriminator(self, k: int, real: Batch) -> None:
        draws = self.draws(f"d{k}/")
        layers.power_iterate(self.discriminator)
        fake = self.players.fakes(*self._latents(real, draws))
        real = self._mixed(real, fake, draws)

        def objective(j: int) -> Objective:
            rows = [batch.strided(j, self.accumulate) for batch in (real, fake)]
            return self.discriminator_objective(*rows, draws.fold_in(f"part{j}"))

        self._apply("discriminator", *self._gradients(objective, self.discriminator))

    def _update_generator(self, real: Batch) -> None:
        draws = self.draws("g/")
        layers.power_iterate(self.generator)
        latents_and_labels = Batch(*self._latents(real, draws))

        def objective(j: int) -> Objective:
            rows, inputs = (x.strided(j, self.accumulate) for x in (real, latents_and_labels))
            fake = self.players.fakes(*inputs[:2])
            return self.generator_objective(rows, fake, draws.fold_in(f"part{j}"))

        self._apply("generator", *self._gradients(objective, self.generator))

    def _update_both(self, real: Batch) -> None:
        draws = self.draws("both/")
        for player in (self.generator, self.discriminator):
            layers.power_iterate(player)
        latent, labels = self._latents(real, draws)

        def objectives() -> tuple[tuple[Tensor, Tensor], Report]:
            fake = self.players.fakes(latent, labels)
            mixed = self._mixed(real, fake._replace(images=ops.stop_gradient(fake.images)), draws)
            d_loss, d_report = self.discriminator_objective(mixed, fake, draws.fold_in("d"))
            g_loss, g_report = self.generator_objective(real, fake, draws.fold_in("g"))
            return (d_loss, g_loss), d_report | g_report

        (d_gradients, g_gradients), report = self.engine.game_gradients(
            objectives,
            [self.discriminator.trainable_variables, self.generator.trainable_variables],
            self.regularisation.consensus,
        )
        self._apply("discriminator", d_gradients, report)
        self._apply("generator", g_gradients, {})

    def _gradients(
        self, objective: Callable[[int], Objective], network: keras.Model
    ) -> tuple[list[Tensor | None], Report]:
        """The gradient over all micro-batches, and the mean of what they report."""
        micro_batches = [functools.partial(objective, j) for j in range(self.accumulate)]
        return self.engine.gradients(micro_batches, network.trainable_variables)

    def discriminator_objective(self, real: Batch, fake: Batch, draws: Draws) -> Objective:
        """The discriminator's loss with its penalties, and what is logged."""
        real, fake = self._augmented(real, draws, "real"), self._augmented(fake, draws, "fake")
        logits, gradients = self.players.judged(real, fake, self.regularisation.reads_gradients)
        for controller in self.controllers:
            controller.observe(self.engine, logits[0])
        loss = self.loss_pair.discriminator(*logits, **self.loss_inputs(real, fake))
        forward = functools.partial(self.players.logits, training=True)
        inputs = PenaltyInputs(self.discriminator, forward, real, fake, *logits, draws, gradients)
        terms = self.regularisation.of("discriminator", inputs)
        report = {"d_loss": loss, **logit_report(*logits), **terms}
        return self._scaled(self.d_optimizer, loss + sum(terms.values())), report

    def generator_objective(self, real: Batch, fake: Batch, draws: Draws) -> Objective:
        """The generator's loss with its penalties, and what is logged."""
        fake = self._augmented(fake, draws, "fake")
        fake_logits = self.players.logits(*fake[:2], training=True)
        real_logits, factor = None, 1.0
        if self.loss_pair.generator_needs_real:
            real = self._augmented(real, draws, "real")
            real_logits = self.players.logits(*real[:2], training=True)
        if self.top_k is not None:
            fake_logits, factor = self.top_k(self.engine, fake_logits, self.step.value)
        loss = self.loss_pair.generator(real_logits, fake_logits, **self.loss_inputs(real, fake))
        forward = functools.partial(self.players.run, self.generator, training=True)
        inputs = PenaltyInputs(self.generator, forward, None, fake, None, None, draws)
        terms = self.regularisation.of("generator", inputs)
        total = factor * loss + sum(terms.values())
        return self._scaled(self.g_optimizer, total), {"g_loss": loss, **terms}

    def _mixed(self, real: Batch, fake: Batch, draws: Draws) -> Batch:
        """The real batch with the leak's samples in it."""
        leak = self.leak
        if leak is None:
            return real
        latents_and_labels = Batch(fake.latent, fake.labels)
        if leak.own_latents:
            latents_and_labels = Batch(*self._latents(real, draws.fold_in("leak")))

        def teacher(rows: Tensor) -> tuple[Tensor, Tensor | None]:
            latent, labels, _ = latents_and_labels.taken(rows)
            model = leak.model or self._teacher.generator
            return self.players.run(model, latent, labels), labels

        images, labels = leak(
            *real[:2],
            *fake[:2],
            engine=self.engine,
            step=self.step.value,
            draws=draws.fold_in("leak"),
            teacher=teacher,
            discriminator=self.players.logits,
        )
        return Batch(ops.stop_gradient(images), labels)

    def _apply(self, player: str, gradients: list[Tensor | None], report: Report) -> None:
        """One optimizer step of a player, its constraints, its logs."""
        network, letter = getattr(self, player), player[0]
        optimizer = getattr(self, f"{letter}_optimizer")
        if self.track_gradients:
            present = self.engine.replica_mean([g for g in gradients if g is not None])
            norm = ops.sqrt(sum(ops.sum(ops.square(g)) for g in present)) * self.engine.replicas()
            report = report | {f"{letter}_gradient_norm": norm / optimizer.scale_loss(1.0)}
        self.engine.apply(optimizer, gradients, network.trainable_variables)
        self.regularisation.constrain(player, network)
        self.log(report)

    def draws(self, scope: str, step: Tensor | None = None) -> Draws:
        """The random draws of a part of a step, the current one unless given."""
        return Draws(self.seed, self.step.value if step is None else step, scope, self.engine)

    def _latents(self, real: Batch, draws: Draws) -> tuple[Tensor, Tensor | None]:
        return draw_inputs(real.images.shape[0], draws, self.latent, self.num_classes)

    def _augmented(self, batch: Batch, draws: Draws, name: str) -> Batch:
        images = batch.images
        for i, augmentation in enumerate(self.augment):
            images = augmentation(images, draws.fold_in(f"{name}/augment{i}"))
        return batch._replace(images=images)

    def loss_inputs(self, real: Batch, fake: Batch) -> dict[str, Any]:
        samples = (real.images, fake.images) if self.loss_pair.needs_samples else None
        return {"samples": samples, "batch_mean": self.players.batch_mean}

    def _scaled(self, optimizer: keras.optimizers.Optimizer, loss: Tensor) -> Tensor:
        """What is differentiated: float16 needs a scale, by which the optimizer divides again."""
        return optimizer.scale_loss(loss)

    def log(self, report: Report, rows: Tensor | None = None) -> None:
        """Adds to the running means; a batch counts once, or by its rows."""
        for name, value in report.items():
            self.trackers[name].update_state(ops.stop_gradient(value), rows)

    # Averages

    def add_average(self, rule: averaging.Rule | dict[str, Any]) -> None:
        """Adds an average, or one for `averaging.get`, from the current weights; before `fit`."""
        rule = averaging.get(**rule) if isinstance(rule, dict) else rule
        validation.check_kinds([rule])
        if any(average.name == rule.name for average in self.averages):
            raise UsageError(f"two averages are named {rule.name!r}: give one of them a `name`.")
        with devices.scope(self):
            self.averages.append(averaging.Average(rule, self.generator))
        self._shadows.append(self.averages[-1].shadow)
        self.train_function = self._loop = None

    def average(self, average: int | str) -> averaging.Average | None:
        """The average of an index or a name; ``None`` for the raw generator."""
        index = validation.average_index(average, [a.name for a in self.averages])
        return None if index is None else self.averages[index]

    @property
    def steps_done(self) -> int:
        """Generator steps so far, as a Python number."""
        return int(ops.convert_to_numpy(self.step))

    def load_weights(self, *args: Any, **kwargs: Any) -> None:
        super().load_weights(*args, **kwargs)
        self.weights_were_set()

    def set_weights(self, weights: Sequence[Any]) -> None:
        super().set_weights(weights)
        self.weights_were_set()

    def weights_were_set(self) -> None:
        """To be called after weights were set from outside: ready generators are made anew."""
        for average in self.averages:
            average.forget()

    # Keras

    def make_train_function(self, force: bool = False) -> None:
        def steps_left() -> int | None:
            ends = [end for end in (self.last_step, self.epoch_end) if end is not None]
            return min(ends) - self.steps_done if ends else None

        if self.train_function is None or force:
            self.train_function = self.engine.compile_step(self, self.train_step, steps_left)

    def make_test_function(self, force: bool = False) -> None:
        if self.test_function is None or force:
            reads = self.ready_generator().variables
            self.test_function = self.engine.compile_step(self, self.test_step, reads=reads)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, from which `from_config` makes a GAN with new weights."""
        return saving.configuration(self, inspect.signature(GAN).parameters)

    def _maybe_symbolic_build(self, *args: Any, **kwargs: Any) -> None:
        pass  # Keras has no public way to say that nothing is left to build

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(self.trackers.values())

    from_config, save = classmethod(saving.from_config), saving.save
    export, quantize = saving.export, saving.quantize
    compile, compile_from_config = compiling.compile, compiling.compile_from_config
    get_compile_config = compiling.get_compile_config
    fit, evaluate, predict, call = fitting.fit, fitting.evaluate, fitting.predict, fitting.call
    run = fitting.run
    train_on_batch, test_on_batch = fitting.train_on_batch, fitting.test_on_batch
    predict_on_batch = fitting.predict_on_batch
    __call__, compute_output_shape = fitting.call_checked, fitting.compute_output_shape
    compute_loss = stateless_compute_loss = compute_loss_and_updates = fitting.refused(
        "loss of predictions", "evaluate gives the losses of its players"
    )
    add_loss = add_metric = fitting.refused(
        "further losses or metrics", "write a penalty, or a callback that logs a number"
    )
    get_state_tree = set_state_tree = fitting.refused(
        "state tree, as its averages' variables have the paths of the generator's", "use state()"
    )
    test_step, state = test_step, state_of
    sample, generate, discriminate = sampling.sample, sampling.generate, sampling.discriminate
    ready_generator = sampling.ready_generator
