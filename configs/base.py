"""The keys that all experiments share. A config file starts from these and changes a few.

Steps count generator updates. ``batch_size`` is the global batch of one discriminator update, so a
step reads ``n_dis * batch_size`` real images.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The defaults."""
    return ConfigDict(
        {
            "steps": 100_000,
            "batch_size": 64,
            "n_dis": 1,
            "seed": 0,
            # Where the images come from; `fallback` is used, and named, where `name` cannot be had.
            # image_size 0 is the network's; channels 0 the set's.
            "data": {
                "name": "cifar10",
                "split": "train",
                "image_size": 0,
                "channels": 0,
                "flip": False,
                "labels": False,
                "data_dir": "",
                "fallback": "",
            },
            "network": {"name": "sngan_32", "width": 1.0},
            "latent": "normal",
            "loss": {"name": "non_saturating"},
            "penalties": ConfigDict(),  # name -> options, e.g. {"r1": {"weight": 10.0}}
            "averages": {"ema": {"rule": "ema", "decay": 0.999, "start_step": 0}},
            # beta 0 is no leak; auto starts it where the evaluated metric flattens.
            "leak": {
                "beta": 0.0,
                "start_step": 0,
                "auto": False,
                "mode": "sync",
                "average": 0,
                "ramp": 0,
                "model": "",
            },
            "augment": ConfigDict(),  # name -> options, e.g. {"diff_augment": {}}
            "top_k": ConfigDict(),  # e.g. {"least": 0.5}
            "update_order": "alternating",
            "accumulate": 1,
            "d_optimizer": {"name": "adam", "learning_rate": 2e-4, "beta_1": 0.5, "beta_2": 0.999},
            "g_optimizer": {"name": "adam", "learning_rate": 2e-4, "beta_1": 0.5, "beta_2": 0.999},
            "track_gradients": False,
            "checkpoint_every": 1000,
            "keep_checkpoints": 3,
            "sample_every": 1000,
            "log_every": 100,
            "evaluate_every": 0,  # 0 is never
            # reference "" is the training set; best_metric "" is the first metric.
            "evaluate": {
                "metrics": ("fid",),
                "samples": 10_000,
                "reference": "",
                "best_metric": "",
                "smaller_is_better": True,
            },
            "steps_per_execution": 1,
            "jit": False,
            "precision": "float32",
        }
    )
