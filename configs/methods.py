"""One short run for each family of methods.

    tfgan-ema train --config=methods:r1 --workdir=runs/r1

Most rows are the 2-D ring (8 Gaussians, Otstot et al. 2023) with its multilayer perceptrons, ten
minutes or so on two cores; what needs images runs on Fashion-MNIST as the quick start does.
``docs/methods.md`` says what each method is and where it comes from.
"""

from ml_collections import ConfigDict

from configs import base, quickstart
from configs.tables import change, choose, optimizers


def ring() -> ConfigDict:
    """The ring: batch 128, Adam 1e-4 (0.9, 0.999), 20k steps, an EMA to score beside the raw G."""
    config = base.papers_config()
    config.steps, config.batch_size, config.steps_per_execution = 20_000, 128, 100
    config.data.name = "ring"
    config.network.kind = "mlp"
    config.evaluate_every = config.checkpoint_every = config.sample_every = 2000
    config.evaluate.update(metrics=("w1", "modes"), samples=2000)
    adam = optimizers("adam", learning_rate=1e-4, beta_1=0.9, beta_2=0.999)
    return change(config, adam)


def lazy_ring() -> ConfigDict:
    """The ring with R1 at every 16th step, for which Adam is rescaled as in StyleGAN2."""
    from tfgan_ema.optimizers import lazy_rescaled  # loads Keras

    config = ring()
    config.penalties.r1 = {"weight": 10.0, "interval": 16}
    config.d_optimizer = lazy_rescaled(config.d_optimizer, 16)
    return config


_AVERAGES = {
    "ema_999": {"kind": "ema", "decay": 0.999},
    "ema_9999": {"kind": "ema", "decay": 0.9999},
    "half_life": {"kind": "ema", "half_life": 100_000.0, "ramp": 0.05},
    "uniform": {"start_step": 5000},
}

# row: where it runs, what it changes there
ROWS = {
    # losses
    "saturating": (ring, {"loss.kind": "saturating"}),
    "alpha": (
        ring, {"loss": {"kind": "alpha", "alpha_d": 0.3, "alpha_g": 1.0, "saturating": True}}
    ),
    "least_squares": (ring, {"loss.kind": "least_squares"}),
    "relativistic": (ring, {"loss.kind": "relativistic"}),
    "relativistic_average": (ring, {"loss.kind": "relativistic_average"}),
    "gan_qp": (ring, {"loss": {"kind": "gan_qp", "distance": "l2"}, "n_dis": 2}),
    # penalties
    "weight_clip": (
        ring,
        {
            "loss.kind": "wasserstein",
            "n_dis": 5,
            "penalties.weight_clip.limit": 0.1,
            **optimizers("rmsprop", learning_rate=5e-5),
        },
    ),
    "wgan_gp": (
        ring, {"loss.kind": "wasserstein", "n_dis": 5, "penalties.wgan_gp.weight": 10.0}
    ),
    "dragan": (ring, {"penalties.dragan.weight": 10.0}),
    "r1": (ring, {"penalties.r1.weight": 10.0}),
    "r1_lazy": (lazy_ring, {}),
    "consensus": (
        ring,
        {
            "update_order": "simultaneous",
            "penalties.consensus.weight": 10.0,
            **optimizers("rmsprop", learning_rate=1e-4),
        },
    ),
    # mixing
    "instance_noise": (ring, {"augment.instance_noise": {"stddev": 0.1, "steps": 10_000}}),
    "leaky_ema": (ring, {"leak": {"beta": 0.5, "start_step": 10_000}}),
    "leaky_ema_ramp": (ring, {"leak": {"beta": 0.5, "start_step": 5000, "ramp": 5000}}),
    "leaky_ema_auto": (
        ring,
        {
            "leak": {"beta": 0.5, "start_step": "auto"},
            "evaluate_every": 500,
            "checkpoint_every": 500,
        },
    ),
    "same_top_k": (ring, {"leak": {"beta": 0.5, "mode": "same_top_k"}}),
    "top_k": (ring, {"top_k": {"least": 0.5, "decay": 0.99, "every": 100}}),
    "diff_augment": (quickstart.get_config, {"augment": {"diff_augment": {}}}),
    # averages
    "averages": (ring, {"averages": _AVERAGES}),
    "power_ema": (
        ring,
        {
            "averages.narrow": {"kind": "power_ema", "sigma": 0.05},
            "averages.wide": {"kind": "power_ema", "sigma": 0.1},
            "snapshot_every": 1000,
        },
    ),
    # optimizers and order of updates
    "lookahead": (ring, {"lookahead": {"k": 5, "alpha": 0.5}}),
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
    return change(setting(), changes)
