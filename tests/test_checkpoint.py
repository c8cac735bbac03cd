"""A checkpoint is whole or absent, and a resumed run is the uninterrupted one."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import toy

import tfgan_ema as tg
from tfgan_ema import checkpoint
from tfgan_ema.errors import UsageError


def model(interval=2, **options):
    """Everything that has state: averages, leak, both optimizers, path length, spectral norm."""
    return toy.gan(
        averages=[tg.EMA(0.9), tg.UniformAverage(start_step=1)],
        leak=tg.LeakyEMA(0.5, start_step=2),
        penalties=[tg.penalties.R1(1.0, interval=2), tg.penalties.PathLength(interval=interval)],
        augment=[tg.InstanceNoise(0.1, steps=100)],
        **options,
    )


@pytest.mark.parametrize("classes", [pytest.param(None, marks=pytest.mark.slow), 3])
def test_resume_is_bit_equal(tmp_path, classes):
    whole = toy.fit(model(num_classes=classes), 5)
    first = model(num_classes=classes)
    toy.fit(first, 2)
    checkpoint.save(tmp_path, 2, first.state())
    second = model(num_classes=classes)
    assert checkpoint.restore(second, tmp_path) == 2
    assert second.steps_done == 2
    toy.assert_close(toy.fit(second, 3), whole, 0)


@pytest.mark.slow
def test_resume_under_two_replicas(tmp_path, two_replicas):
    whole = toy.fit(model(interval=1, strategy=two_replicas), 4)
    first = model(interval=1, strategy=two_replicas)
    checkpoint.save(tmp_path, 2, _state_after(first, 2))
    second = model(interval=1, strategy=two_replicas)
    checkpoint.restore(second, tmp_path)
    toy.assert_close(toy.fit(second, 2), whole, 0)


def test_a_lazy_branch_where_replicas_would_meet_is_refused(two_replicas):
    with pytest.raises(UsageError, match="path_length interval 2 on a generator with batch norm"):
        toy.fit(model(strategy=two_replicas), 1)


def _state_after(gan, steps):
    toy.fit(gan, steps)
    return gan.state()


def test_the_state_holds_every_variable_that_training_changes():
    gan = model(num_classes=3)
    names = [variable.path for variable in gan.state().values()]
    before = checkpoint.to_arrays(gan.state())
    every = {id(v): v for part in (gan, gan.d_optimizer, gan.g_optimizer) for v in part.variables}
    values = {key: np.array(v.numpy()) for key, v in every.items()}
    after = toy.fit(gan, 3)
    changed = [v for key, v in every.items() if not np.array_equal(values[key], v.numpy())]
    known = {id(v) for v in gan.state().values()}
    metrics = {id(v) for metric in gan.metrics for v in metric.variables}
    assert [v.path for v in changed if id(v) not in known | metrics] == []
    assert sum(not np.array_equal(before[k], after[k]) for k in before) > 0.8 * len(names)


def test_only_complete_files_count(tmp_path):
    (tmp_path / ".step_00000009.npz.123.tmp").write_bytes(b"half")
    assert checkpoint.checkpoints(tmp_path) == {}
    checkpoint.write(tmp_path / "step_00000003.npz", {"a": np.arange(3)}, step=3)
    checkpoint.write(tmp_path / "step_00000012.npz", {"a": np.arange(4)}, step=12)
    assert list(checkpoint.checkpoints(tmp_path)) == [3, 12]
    arrays, metadata = checkpoint.read(tmp_path / "step_00000012.npz")
    np.testing.assert_array_equal(arrays["a"], np.arange(4))
    assert metadata == {"step": 12}


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "step_00000001.npz"
    checkpoint.write(path, {"a": np.arange(3)}, step=1)

    def fail(file, **arrays):
        file.write(b"half a file")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.write(path, {"a": np.arange(4)}, step=1)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    monkeypatch.undo()
    np.testing.assert_array_equal(checkpoint.read(path)[0]["a"], np.arange(3))


def test_another_models_checkpoint_is_refused_by_name_and_shape(tmp_path):
    small = toy.gan("mlp")
    checkpoint.save(tmp_path, 1, small.state())
    big = toy.gan("conv")
    before = checkpoint.to_arrays(big.state())
    with pytest.raises(UsageError, match="generator/000/kernel has shape") as error:
        checkpoint.restore(big, tmp_path)
    assert "\n" not in str(error.value)
    toy.assert_close(before, checkpoint.to_arrays(big.state()), 0)


def test_damaged_and_missing_files_are_named(tmp_path):
    gan = toy.gan("mlp")
    assert checkpoint.restore(gan, tmp_path) is None
    (tmp_path / "step_00000005.npz").write_bytes(b"not a zip")
    with pytest.raises(UsageError, match=r"step_00000005\.npz is not a readable checkpoint"):
        checkpoint.restore(gan, tmp_path)
    with pytest.raises(UsageError, match=r"no checkpoint of step 7: there are \[5\]"):
        checkpoint.restore(gan, tmp_path, step=7)


def test_reading_never_unpickles(tmp_path):
    path = tmp_path / "step_00000001.npz"
    with path.open("wb") as file:
        np.savez(file, a=np.array([{"a": 1}], dtype=object), metadata=np.array("{}"))
    with pytest.raises(UsageError, match="not a readable checkpoint"):
        checkpoint.read(path)


def test_optimizer_slots_are_restored(tmp_path):
    first = toy.gan("mlp")
    toy.fit(first, 2, chosen=toy.points())
    checkpoint.save(tmp_path, 2, first.state())
    second = toy.gan("mlp")
    checkpoint.restore(second, tmp_path)
    for one, other in zip(first.d_optimizer.variables, second.d_optimizer.variables, strict=True):
        np.testing.assert_array_equal(tf.convert_to_tensor(one), tf.convert_to_tensor(other))


@pytest.fixture
def saved(tmp_path):
    """A GAN, its checkpoint of step 1, and a function that writes it with other arrays."""
    gan = toy.gan("mlp")
    path = checkpoint.save(tmp_path, 1, gan.state())

    def rewrite(**changes):
        arrays, metadata = checkpoint.read(path)
        checkpoint.write(path, arrays | changes, **metadata)

    return gan, path, rewrite


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda old: old * np.float32("nan"), "NaN or infinity in generator/000/kernel"),
        (lambda old: old.astype("f8"), "holds float64, expected float32"),
        (lambda old: old.astype("c8"), "holds complex64, expected float32"),
        (lambda old: old.astype("i4"), "holds int32, expected float32"),
        (lambda old: old.astype("U8"), "holds <U8, expected float32"),
        (lambda old: old > 0, "holds bool, expected float32"),
        (lambda old: old[:-1], "has shape"),
    ],
)
def test_arrays_of_other_kinds_are_refused(saved, tmp_path, value, message):
    gan, _, rewrite = saved
    name = "generator/000/kernel"
    before = checkpoint.to_arrays(gan.state())
    rewrite(**{name: value(before[name])})
    with pytest.raises(UsageError, match=message) as error:
        checkpoint.restore(gan, tmp_path)
    assert str(error.value).isprintable()
    toy.assert_close(before, checkpoint.to_arrays(gan.state()), 0)


def test_a_checkpoint_of_another_step_or_with_other_values_is_refused(saved, tmp_path):
    gan, path, _ = saved
    path.rename(checkpoint.path_of(tmp_path, 2))
    with pytest.raises(UsageError, match="is of step 1"):
        checkpoint.restore(gan, tmp_path)
    path = checkpoint.path_of(tmp_path, 2)
    with np.load(path) as file:
        arrays = dict(file)
    name = "generator/000/kernel"
    np.savez(path, **(arrays | {name: arrays[name] + 1}))
    with pytest.raises(UsageError, match="its checksum is another"):
        checkpoint.read(path)


def test_a_checkpoint_without_a_checksum_is_read(tmp_path):
    path = tmp_path / "old.npz"
    np.savez(path, metadata=np.array('{"step": 3}'), a=np.arange(3.0))
    arrays, metadata = checkpoint.read(path)
    assert (arrays["a"].tolist(), metadata) == ([0, 1, 2], {"step": 3})


def test_bfloat16_comes_back(tmp_path):
    keras.config.set_dtype_policy("bfloat16")
    gan = toy.gan("mlp")
    before = checkpoint.to_arrays(gan.state())
    assert {"bfloat16"} < {array.dtype.name for array in before.values()}
    checkpoint.save(tmp_path, 0, gan.state())
    toy.fit(gan, 1, chosen=toy.points())
    assert checkpoint.restore(gan, tmp_path) == 0
    after = checkpoint.to_arrays(gan.state())
    assert all((before[name] == after[name]).all() for name in before)
