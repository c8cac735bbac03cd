"""One short run for each family of methods; ``--config=configs/methods.py:ROW``.

Most rows are the 2-D ring (8 Gaussians, Otstot et al. 2023) with its multilayer perceptrons, ten
minutes or so on two cores; what needs images runs on Fashion-MNIST as the quick start does.
``docs/methods.md`` says what each method is and where it comes from.
"""

from ml_collections import ConfigDict

from configs import base, quickstart
from configs._tables import adam, change, choose, optimizers


def ring() -> ConfigDict:
    """The ring: batch 128, Adam 1e-4 (.9, .999), 20k steps, an EMA to score beside the raw G."""
    config = base.get_config()
    config.steps, config.batch_size, config.steps_per_execution = 20_000, 128, 100
    config.data.name = "ring"
    config.network.name = "mlp"
    adam(config, 1e-4, 0.9, 0.999)
    config.evaluate_every = config.checkpoint_every = config.sample_every = 2000
    config.evaluate.update(metrics=("w1", "modes"), samples=2000)
    return config


_AVERAGES = {
    "ema_999": {"rule": "ema", "decay": 0.999},
    "ema_9999": {"rule": "ema", "decay": 0.9999},
    "half_life": {"rule": "ema", "half_life": 100_000.0, "ramp": 0.05},
    "uniform": {"rule": "uniform", "start_step": 5000},
}
_GAN_QP = {"name": "gan_qp", "distance": "l2"}
_ALPHA = {"name": "alpha", "alpha_d": 0.3, "alpha_g": 1.0, "saturating": True}

# row: where it runs, what it changes there
ROWS = {
    # losses
    "saturating": (ring, {"loss.name": "saturating"}),
    "alpha": (ring, {"loss": _ALPHA}),
    "least_squares": (ring, {"loss.name": "least_squares"}),
    "relativistic": (ring, {"loss.name": "relativistic"}),
    "relativistic_average": (ring, {"loss.name": "relativistic_average"}),
    "gan_qp": (ring, {"loss": _GAN_QP, "n_dis": 2}),
    # penalties
    "weight_clip": (
        ring,
        {
            "loss.name": "wasserstein",
            "n_dis": 5,
            "penalties": {"weight_clip": {"limit": 0.1}},
            **optimizers("rmsprop", learning_rate=5e-5),
        },
    ),
    "wgan_gp": (
        ring,
        {"loss.name": "wasserstein", "n_dis": 5, "penalties": {"wgan_gp": {"weight": 10.0}}},
    ),
    "dragan": (ring, {"penalties": {"dragan": {"weight": 10.0}}}),
    "r1": (ring, {"penalties": {"r1": {"weight": 10.0}}}),
    "r1_lazy": (ring, {"penalties": {"r1": {"weight": 10.0, "interval": 16}}}),
    "consensus": (
        ring,
        {
            "update_order": "simultaneous",
            "penalties": {"consensus": {"weight": 10.0}},
            **optimizers("rmsprop", learning_rate=1e-4),
        },
    ),
    # mixing
    "instance_noise": (ring, {"augment": {"instance_noise": {"stddev": 0.1, "steps": 10_000}}}),
    "leaky_ema": (ring, {"leak.beta": 0.5, "leak.start_step": 10_000}),
    "leaky_ema_ramp": (ring, {"leak.beta": 0.5, "leak.start_step": 5000, "leak.ramp": 5000}),
    "leaky_ema_auto": (
        ring,
        {"leak.beta": 0.5, "leak.auto": True, "evaluate_every": 500, "checkpoint_every": 500},
    ),
    "same_top_k": (ring, {"leak.beta": 0.5, "leak.mode": "same_top_k"}),
    "top_k": (ring, {"top_k": {"least": 0.5, "decay": 0.99, "every": 100}}),
    "diff_augment": (quickstart.get_config, {"augment": {"diff_augment": {}}}),
    # averages
    "averages": (ring, {"averages": _AVERAGES}),
    # optimizers and order of updates
    "optimistic_adam": (
        ring, optimizers("optimistic_adam", learning_rate=1e-4, beta_1=0.5, beta_2=0.9)
    ),
    "ttur": (ring, {"d_optimizer.learning_rate": 4e-4}),
    "schedules": (
        ring,
        optimizers(
            "adam", learning_rate=2e-4, beta_1=0.5, global_clipnorm=10.0,
            warm_up_steps=1000, decay_start=10_000, decay_steps=20_000,
        ),
    ),
    "accumulate": (ring, {"accumulate": 4}),
    "g_first": (ring, {"update_order": "g_first"}),
}  # fmt: skip


def get_config(row: str = "") -> ConfigDict:
    """The run of a row of `ROWS`.

    Raises:
        UsageError: no such row.
    """
    setting, changes = choose("methods", row, ROWS)
    config = change(setting(), changes)
    if row == "r1_lazy":  # StyleGAN2's rescaling: the penalty's step counts among the others
        from tfgan_ema.optimizers import lazy_rescaled

        config.d_optimizer = lazy_rescaled(config.d_optimizer, config.penalties.r1.interval)
    return config
