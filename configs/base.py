"""The keys of an experiment and their defaults. A config file starts from these and changes a few.

Steps count generator updates. ``batch_size`` is the global batch of one discriminator update, so a
step reads ``n_dis * batch_size`` real images.

Each part is a label with a dictionary of options, which are the arguments of its Python class;
``kind`` says which class where the label does not. ``None`` switches a part off, or leaves an
option at its default. ``kind`` may also name a class or a function of your own, as
``"my_module:MyLoss"``: a module beside the configuration or in the current folder.
"""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from tfgan_ema.errors import UsageError, one_of, unknown, whole

COUNTS = ("steps", "batch_size", "n_dis", "accumulate", "steps_per_execution", "keep_checkpoints")
INTERVALS = (  # None: never
    "log_every", "sample_every", "checkpoint_every", "evaluate_every", "snapshot_every",
)  # fmt: skip
SNAPSHOT_DTYPES = ("float32", "float16")
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
# Their options are open: those of the class that `kind`, or the label, names.
PARTS = (
    "network", "latent", "loss", "penalties", "averages", "leak", "augment", "top_k", "lookahead",
    "d_optimizer", "g_optimizer",
)  # fmt: skip


def get_config() -> ConfigDict:
    """The defaults."""
    return ConfigDict(
        {
            "steps": 100_000,
            "batch_size": 64,
            "n_dis": 1,
            "seed": 0,
            "data": {
                "name": "cifar10",  # see `tfgan-ema data list`, or folder:PATH, or tfds:NAME
                "split": "train",  # or a slice, as in "train[:90%]"
                "image_size": placeholder(int),  # None: what the network expects
                "channels": placeholder(int),  # None: as many as the data have
                "flip": False,
                "labels": False,
                "data_dir": placeholder(str),  # None: the cache
                "fallback": placeholder(str),  # used, with a notice, if `name` is not available
                "count": placeholder(int),  # None: all; else only so many of them
                "seed": placeholder(int),  # chooses which; None: 0
            },
            "network": {"kind": "sngan_32"},
            "latent": {"kind": "normal"},
            "loss": {"kind": "non_saturating"},
            "penalties": {},  # for example {"r1": {"weight": 10.0}}
            "averages": {"power_ema": {"sigma": 0.05}},
            "leak": None,  # for example {"beta": 0.5, "start_step": 10_000}
            "augment": {},  # for example {"diff_augment": {}}
            "top_k": None,  # for example {"least": 0.5}
            "lookahead": None,  # for example {"k": 5, "alpha": 0.5}
            "update_order": "alternating",
            "accumulate": 1,
            "d_optimizer": {"kind": "adam", "learning_rate": 2e-4, "beta_1": 0.5, "beta_2": 0.999},
            "g_optimizer": {"kind": "adam", "learning_rate": 2e-4, "beta_1": 0.5, "beta_2": 0.999},
            "track_gradients": False,
            "callbacks": placeholder(tuple),  # your own, for example ("my_module:MyCallback",)
            "log_every": 100,
            "sample_every": 1000,
            "checkpoint_every": 1000,
            "keep_checkpoints": 3,
            "snapshot_every": placeholder(int),  # of averages of the kind power_ema; None: never
            "snapshot_dtype": placeholder(str),  # None: float32; float16 is half as large
            "evaluate_every": placeholder(int),  # None: never
            "evaluate": {
                "metrics": ("fid",),
                "samples": 10_000,
                "reference": placeholder(str),  # None: the data set of training
                "split": placeholder(str),  # of it; None: the images of training, or "train"
                "best_metric": placeholder(str),  # None: the first score of the metrics
                "smaller_is_better": True,
            },
            "steps_per_execution": 1,
            "jit": False,
            "precision": "float32",  # auto: bfloat16 for images where the device is faster in it
        }
    )


def papers_config() -> ConfigDict:
    """The same with the papers' average, an EMA that begins from the first weights."""
    config = get_config()
    config.averages = {"ema": {"decay": 0.999}}
    return config


def check(config: ConfigDict) -> None:
    """Checks the keys and values of a configuration, except the options of its parts.

    Raises:
        UsageError: an unknown key, a value of a wrong type or out of range.
    """
    _check_types(config, get_config())
    for part in ("network", "latent", "loss", "d_optimizer", "g_optimizer"):
        if not isinstance(config[part].get("kind"), str):
            given = dict(config[part])
            raise UsageError(f"{part} {given}: expected a kind, as in config.{part}.kind=NAME.")
    data, evaluate = config.data, config.evaluate
    counts = {key: config[key] for key in (*COUNTS, *INTERVALS)}
    counts |= {"data.count": data.count, "data.image_size": data.image_size}
    for key, value in counts.items():
        if value is not None:
            whole(key, value)
    whole("seed", config.seed, 0, most=2**32 - 1)
    whole("data.seed", data.seed or 0, 0, most=2**32 - 1)
    whole("evaluate.samples", evaluate.samples, 2)
    if data.channels not in (None, 1, 3):
        raise UsageError(f"data.channels {data.channels}: expected 1 (grey) or 3 (colour).")
    one_of("precision", config.precision, PRECISIONS)
    if config.snapshot_dtype is not None:
        one_of("snapshot_dtype", config.snapshot_dtype, SNAPSHOT_DTYPES)
    if config.leak and config.leak.get("start_step") == "auto" and not config.evaluate_every:
        raise UsageError(
            "leak.start_step 'auto' waits until the evaluated metric is flat, but evaluate_every "
            "is not set: set it, for example to 1000."
        )


def check_recorded(config: Mapping[str, Any]) -> None:
    """As `check`, of a configuration that was read from JSON.

    Only parts that are off by default may be missing: the run may be older than they are.

    Raises:
        ValueError: a key that is missing, unknown or of a wrong type or range.
    """
    try:
        _check_complete(config, get_config())
        check(ConfigDict(_with_tuples(config)))
    except UsageError as error:
        raise ValueError(f"config: {str(error).rstrip('.')}") from error


def _check_complete(config: Mapping[str, Any], known: ConfigDict, prefix: str = "") -> None:
    for key, default in known.items():
        if key not in config and not (key in PARTS and default is None):
            raise UsageError(f"{prefix + key} is missing.")
        if isinstance(default, ConfigDict) and key not in PARTS:
            _check_complete(config[key], default, f"{key}.")


def _with_tuples(tree: Any) -> Any:
    """JSON has lists where a configuration has tuples."""
    if isinstance(tree, Mapping):
        return {key: _with_tuples(value) for key, value in tree.items()}
    return tuple(map(_with_tuples, tree)) if isinstance(tree, list) else tree


def _check_types(config: ConfigDict, known: ConfigDict, prefix: str = "") -> None:
    for key, value in config.items():
        name = prefix + key
        if key not in known:
            raise unknown("config key", name, [prefix + other for other in known])
        optional = not known[key] and known[key] is not False
        if value is None and (optional or name in (*INTERVALS, "averages")):
            continue
        kind = ConfigDict if name in PARTS else known.get_type(key)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            options = f"options, as in config.{name}.KEY=VALUE"
            one = f"{kind.__name__} (default: {known[key]!r})"
            expected = options if kind is ConfigDict else one
            raise UsageError(f"{name} {value!r}: expected {expected}.")
        if kind is ConfigDict and name not in PARTS:
            _check_types(value, known[key], f"{name}.")
