"""Every test process sees two logical CPUs, so that strategies with two replicas can be tested."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import settings

# The same examples in every run: whether the suite passes is not a matter of luck.
settings.register_profile("reproducible", derandomize=True, deadline=None)
settings.load_profile("reproducible")

_CPU = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(_CPU, [tf.config.LogicalDeviceConfiguration()] * 2)


@pytest.fixture(autouse=True)
def _float32():
    """Each test starts from the float32 policy."""
    import keras

    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(autouse=True, scope="module")
def _no_layers_left():
    """A test file leaves no layers behind."""
    import keras

    yield
    keras.backend.clear_session()


@pytest.fixture(scope="session")
def two_replicas() -> tf.distribute.Strategy:
    """The one strategy of the process: a second one would reuse the keys of its reductions."""
    return tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"])


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
