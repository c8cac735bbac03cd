"""One GAN, two backends: the same steps, whatever runs them. JAX runs in processes of its own."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import programs
import pytest
import toy

from tfgan_ema import checkpoint, export, philox
from tfgan_ema.cli import train

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="needs JAX: pip install jax"
)
HERE = Path(__file__).parent
PATHS = os.pathsep.join(map(str, (HERE.parent.parent, HERE.parent)))


def under_jax(*words, **environment):
    """A started process with the JAX backend; its output is in ``stdout``."""
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        env=os.environ | {"KERAS_BACKEND": "jax", "PYTHONPATH": PATHS} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finished(process):
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output[-4000:]


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """What makes JAX keep the programs that it compiles, and compile with less care."""
    return {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("cache")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
    }


def run_both(folder, names):
    """The folder of `programs.steps` after both backends have run it."""
    programs.begin(folder, names)
    process = under_jax(HERE / "programs.py", "steps", folder, *names)
    programs.steps(folder, *names)
    finished(process)
    return folder


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """What default tests need: a folder with the results of both backends."""
    folder = tmp_path_factory.mktemp("both")
    process = under_jax(HERE / "programs.py", "numbers", folder)
    programs.numbers(folder)
    finished(process)
    return run_both(folder, programs.SHARED)


@pytest.fixture(scope="module")
def all_cases(tmp_path_factory):
    """A folder with the results of all cases under both backends."""
    return run_both(tmp_path_factory.mktemp("cases"), programs.CASES)


def results(folder, name):
    return [checkpoint.read(folder / f"{name}_{end}.npz")[0] for end in ("tensorflow", "jax")]


def assert_close(one, other, tolerance=1e-5):
    """As many digits as rounding leaves; uint8 images may fall on either side of a half."""
    pixels = {key for key in one if one[key].dtype == "uint8"}
    toy.assert_close(
        *({k: v for k, v in arrays.items() if k not in pixels} for arrays in (one, other)),
        tolerance,
    )
    for key in pixels:
        assert other[key].dtype == "uint8"
        assert np.abs(one[key].astype(int) - other[key]).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", programs.CASES)
def test_some_steps_agree(all_cases, name):
    reference, found = results(all_cases, name)
    assert_close(reference, found)
    assert reference["step/000/step"] == programs.LENGTHS[name]
    first = checkpoint.read(all_cases / f"{name}_first.npz")[0]
    for player in ("generator", "discriminator"):
        moved = np.abs(reference[f"{player}/000/kernel"] - first[f"{player}/000/kernel"]).max()
        assert moved > 5e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["test_fit", "test_keras_methods", "test_keras_callbacks", "test_saving"]
)
def test_what_keras_users_call_does_the_same(quick, name):
    """The tests that docs/keras.md names, all of them, under JAX."""
    options = ("-q", "-p", "no:cacheprovider")
    finished(under_jax("-m", "pytest", *options, HERE.parent / f"{name}.py", **quick))


def test_folded_convolutions_agree(both):
    with (
        np.load(both / "folded_tensorflow.npz") as reference,
        np.load(both / "folded_jax.npz") as found,
    ):
        assert len(reference.files) == 8
        for key in reference:
            np.testing.assert_allclose(found[key], reference[key], atol=1e-5, err_msg=key)


def test_draws_and_batches_are_the_same_numbers(both):
    for name in ("draws", "batches"):
        with np.load(both / f"{name}_tensorflow.npz") as a, np.load(both / f"{name}_jax.npz") as b:
            assert set(a) == set(b)
            for key in a:
                if key == "normal":  # two implementations of erfinv
                    np.testing.assert_allclose(b[key], a[key], atol=3e-5)
                else:
                    np.testing.assert_array_equal(b[key], a[key])


@pytest.mark.parametrize("seed", [(0, 0), (3, 5), (-1, 2**56 - 1), (2**63 - 1, -7)])
def test_philox_in_numpy_is_tensorflows(seed):
    import tensorflow as tf

    key = tf.constant(seed, tf.int64)
    for count in (1, 4, 1001):
        expected = tf.random.stateless_uniform([count], key, None, None, tf.uint32, alg="philox")
        found = philox.bits(np, count, tuple(philox.words(part) for part in seed))
        np.testing.assert_array_equal(found, expected)


def test_a_jax_checkpoint_is_exported_under_tensorflow(both, tmp_path):
    _, found = results(both, "hinge_sn")
    model = programs.gan("hinge_sn")
    state = {key: value for key, value in found.items() if key in model.state()}
    checkpoint.assign(model.state(), state, "jax")
    served = programs.served(model)
    assert_close(served, {key: found[key] for key in served}, 1e-4)
    exported = export.load_generator(export.saved_model(model, tmp_path / "model"))
    sample = exported.sample(70, seed=2**33 + 1)
    assert np.abs(sample.astype(int) - found["served/sample"]).max() <= 1


@pytest.mark.slow
def test_two_devices_equal_one(all_cases, quick):
    flags = quick["XLA_FLAGS"] + " --xla_force_host_platform_device_count=2"
    finished(under_jax(HERE / "programs.py", "devices", all_cases, **quick | {"XLA_FLAGS": flags}))
    for name in ("hinge_sn", "relativistic_average"):
        spread = checkpoint.read(all_cases / f"{name}_devices.npz")[0]
        assert_close(spread, results(all_cases, name)[1])


@pytest.mark.slow
def test_the_engine_in_a_process_without_tensorflow(quick):
    words = ["-m", "pytest", "--noconftest", "-p", "no:cacheprovider", HERE / "under_jax.py"]
    finished(under_jax(*words, **quick))


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_a_backend_that_is_not_installed_is_one_line(backend, tmp_path):
    program = (
        f"import sys; sys.modules[{backend!r}] = None; from tfgan_ema.cli import train;"
        f"sys.exit(train.main(['train', '--config=quickstart', '--workdir={tmp_path}/w']))"
    )
    process = under_jax("-c", program, KERAS_BACKEND=backend)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 2
    assert output.splitlines()[-1].startswith(f"train: {backend} is not installed: pip install")


CONFIG = """
from configs import base

def get_config():
    config = base.get_config()
    config.steps = 400
    config.batch_size = 16
    config.n_dis = 2
    config.data.name = "ring"
    config.network = {"kind": "mlp", "g_hidden": (16,), "d_hidden": (16,)}
    config.loss = {"kind": "hinge"}
    config.penalties = {"r1": {"weight": 1.0}}
    config.averages = {"slow": {"kind": "ema", "decay": 0.9}, "mean": {"kind": "uniform"}}
    config.leak = {"beta": 0.5, "start_step": 20}
    config.checkpoint_every = 5
    config.sample_every = config.log_every = 200
    return config
"""


def last_state(workdir):
    found = checkpoint.checkpoints(workdir / "checkpoints")
    return checkpoint.read(found[max(found)])[0]


@pytest.mark.slow
def test_a_killed_run_goes_on_bit_for_bit_and_under_tensorflow(tmp_path):
    config = tmp_path / "tiny.py"
    config.write_text(CONFIG)

    def start(workdir):
        words = [f"--config={config}", f"--workdir={tmp_path / workdir}"]
        return under_jax("-m", "tfgan_ema.cli.train", *words)

    finished(start("whole"))
    for workdir in ("jax", "tensorflow"):
        process = start(workdir)
        while process.poll() is None:
            if any((tmp_path / workdir / "checkpoints").glob("step_000000[1-9]*")):
                break
            time.sleep(0.0005)
        assert process.poll() is None, "the run ended before it could be killed"
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert max(checkpoint.checkpoints(tmp_path / workdir / "checkpoints")) < 400
    finished(start("jax"))
    toy.assert_close(last_state(tmp_path / "jax"), last_state(tmp_path / "whole"), 0)
    words = [f"--config={config}", f"--workdir={tmp_path / 'tensorflow'}"]
    assert train.main(["tfgan-ema train", *words]) == 0
    toy.assert_close(last_state(tmp_path / "tensorflow"), last_state(tmp_path / "whole"), 1e-3)
