"""Batches by step: order, resume, flips, shards."""

import gc
import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tfgan_ema import data
from tfgan_ema.data import store
from tfgan_ema.errors import UsageError


def numbered(count):
    """Points whose coordinates are their own index, so that a batch shows its indices."""
    return data.Source("numbered", np.arange(count, dtype=np.float32)[:, None].repeat(2, 1))


def order(count, batch_size, batches, **arguments):
    stream = data.pipeline(numbered(count), batch_size, **arguments).take(batches)
    return np.concatenate([batch[:, 0] for batch in stream.as_numpy_iterator()]).astype(int)


@pytest.fixture(scope="module")
def pictures():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (50, 4, 6, 3), dtype=np.uint8)
    images[0, 0, 0], images[0, 0, 1] = 0, 255
    return data.Source("pictures", images, np.arange(50, dtype=np.int32), 50)


@settings(max_examples=5, deadline=None)
@given(st.integers(1, 40), st.integers(1, 17), st.integers(-(2**63), 2**63 - 1))
def test_each_epoch_is_a_permutation_and_nothing_is_dropped(count, batch_size, seed):
    epochs = 3
    batches = -(-epochs * count // batch_size)
    places = order(count, batch_size, batches, seed=seed)[: epochs * count].reshape(epochs, count)
    assert (np.sort(places, axis=1) == np.arange(count)).all()


def test_orders_differ_between_epochs_and_seeds():
    one = order(100, 50, 4, seed=1)
    assert (one[:100] != one[100:]).any()
    assert (order(100, 50, 2, seed=2) != one[:100]).any()


def test_each_place_is_uniform_over_the_samples():
    epochs = order(8, 8, 2000, seed=0).reshape(2000, 8)
    for place in range(8):
        assert stats.chisquare(np.bincount(epochs[:, place], minlength=8)).pvalue > 1e-4
    neighbours = np.bincount((epochs[:, 0] * 8 + epochs[:, 1]), minlength=64).reshape(8, 8)
    assert stats.chisquare(neighbours[~np.eye(8, dtype=bool)]).pvalue > 1e-4


def test_the_order_is_what_it_always_was():
    # A checkpoint from another version, machine or process resumes on the same stream.
    assert order(20, 8, 1, seed=3).tolist() == [2, 17, 9, 0, 5, 7, 14, 8]


@pytest.mark.parametrize("start", [1, 3, 7, 50])
def test_start_is_skip(pictures, start):
    arguments = {"seed": 4, "flip": True, "labels": True}
    whole = data.pipeline(pictures, 16, **arguments).skip(start).take(4)
    resumed = data.pipeline(pictures, 16, start=start, **arguments).take(4)
    pairs = zip(whole.as_numpy_iterator(), resumed.as_numpy_iterator(), strict=True)
    for (a, labels_a), (b, labels_b) in pairs:
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(labels_a, labels_b)


def test_images_are_scaled_exactly_and_labels_stay_with_them(pictures):
    stream = data.pipeline(pictures, 16, seed=0, labels=True)
    assert [spec.shape.as_list() for spec in stream.element_spec] == [[16, 4, 6, 3], [16]]
    assert [spec.dtype.name for spec in stream.element_spec] == ["float32", "int32"]
    for images, labels in stream.take(4).as_numpy_iterator():
        expected = pictures.samples[labels].astype(np.float32) / np.float32(127.5) - 1
        np.testing.assert_array_equal(images, expected)
        np.testing.assert_array_equal(data.png.to_uint8(images), pictures.samples[labels])
        assert images.min() >= -1
        assert images.max() <= 1


def test_half_of_the_images_are_mirrored_anew_in_each_epoch(pictures):
    stream = data.pipeline(pictures, 50, seed=0, labels=True, flip=True).take(40)
    mirrored = np.zeros((40, 50), bool)
    for epoch, (images, labels) in enumerate(stream.as_numpy_iterator()):
        plain = pictures.samples[labels]
        shown = data.png.to_uint8(images)
        same = (shown == plain).all(axis=(1, 2, 3))
        turned = (shown == plain[:, :, ::-1]).all(axis=(1, 2, 3))
        assert (same ^ turned).all()
        mirrored[epoch, labels] = turned
    assert stats.binomtest(int(mirrored.sum()), mirrored.size).pvalue > 1e-4
    assert mirrored.mean(axis=0).min() > 0
    assert mirrored.mean(axis=0).max() < 1


def test_shards_are_the_slices_of_the_global_batch(pictures):
    arguments = {"seed": 9, "flip": True, "start": 2}
    whole = data.pipeline(pictures, 12, **arguments).take(5).as_numpy_iterator()
    parts = [
        data.pipeline(pictures, 12, shard=(worker, 3), **arguments).take(5).as_numpy_iterator()
        for worker in range(3)
    ]
    for batch, *slices in zip(whole, *parts, strict=True):
        np.testing.assert_array_equal(batch, np.concatenate(slices))


def test_a_mapped_set_gives_the_batches_of_a_resident_one(pictures, tmp_path):
    records = zip(pictures.samples, pictures.labels.tolist(), strict=True)
    store.write(tmp_path / "set", records, 50, (4, 6, 3), {})
    mapped = data.Source("mapped", *store.read(tmp_path / "set")[:2])
    part = data.Source("part", mapped.samples[10:])  # no longer the whole file
    for source, twin in ((mapped, pictures), (part, data.Source("p", pictures.samples[10:]))):
        a, b = (next(iter(data.pipeline(s, 40, seed=1))).numpy() for s in (source, twin))
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"batch_size": 0}, "batch_size 0"),
        ({"batch_size": 5, "shard": (0, 2)}, "multiple of 2"),
        ({"batch_size": 4, "shard": (2, 2)}, "shard"),
        ({"batch_size": 4, "start": -1}, "start -1"),
        ({"batch_size": 4, "flip": True}, "mirrored"),
        ({"batch_size": 4, "labels": True}, "no labels"),
    ],
)
def test_bad_arguments_are_named(arguments, words):
    with pytest.raises(UsageError, match=words):
        data.pipeline(numbered(10), seed=0, **arguments)


def test_an_empty_set_is_refused():
    with pytest.raises(UsageError, match="empty"):
        data.pipeline(numbered(0), 4, seed=0)


PROGRAM = """
import sys
import numpy as np, tensorflow as tf
from tfgan_ema import data
from tfgan_ema.engines import devices
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
if sys.argv[1] in ("mirrored", "train"):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
else:
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
source = data.Source("n", np.arange(20, dtype=np.float32)[:, None].repeat(2, 1))
if sys.argv[1] == "train":
    stream = devices.distribute(
        strategy, lambda shard: data.pipeline(source, 8, seed=3, shard=shard))
elif sys.argv[1] == "function":
    stream = strategy.distribute_datasets_from_function(lambda context: data.pipeline(
        source, 8, seed=3, shard=(context.input_pipeline_id, context.num_input_pipelines)))
else:
    stream = strategy.experimental_distribute_dataset(data.pipeline(source, 8, seed=3))
iterator = iter(stream)
for _ in range(3):
    rows = strategy.experimental_local_results(next(iterator))
    print("ROWS", *(int(x) for part in rows for x in part[:, 0].numpy()))
"""


def distributed(mode, workers):
    """The indices [worker, batch, row] that each worker's replicas receive."""
    ports = []
    for _ in range(workers):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    running = []
    for worker in range(workers):
        task = {"cluster": cluster, "task": {"type": "worker", "index": worker}}
        environment = dict(os.environ, CUDA_VISIBLE_DEVICES="")
        if workers > 1:
            environment["TF_CONFIG"] = json.dumps(task)
        running.append(
            subprocess.Popen(
                [sys.executable, "-c", PROGRAM, mode], env=environment,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
        )  # fmt: skip
    try:
        # Each program ends with a live iterator: it must not hang at exit either.
        outputs = [process.communicate(timeout=180) for process in running]
    finally:
        for process in running:
            process.kill()
    for process, (_, err) in zip(running, outputs, strict=True):
        assert process.returncode == 0, err[-2000:]
    return [
        [[int(n) for n in line.split()[1:]] for line in out.splitlines() if line[:4] == "ROWS"]
        for out, _ in outputs
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "workers"), [("mirrored", 1), ("train", 1), ("fit", 2), ("function", 2)]
)
def test_every_worker_gets_its_slice_of_the_global_batch(mode, workers):
    whole = order(20, 8, 3, seed=3).reshape(3, workers, 8 // workers)
    np.testing.assert_array_equal(distributed(mode, workers), whole.transpose(1, 0, 2))


def test_a_pipeline_that_is_gone_leaves_no_graph():
    """`Dataset.counter` would leave two."""

    def graphs():
        gc.collect()
        return sum(type(thing).__name__ == "FuncGraph" for thing in gc.get_objects())

    source = numbered(64)
    next(iter(data.pipeline(source, 8, seed=0, start=0)))
    before = graphs()
    next(iter(data.pipeline(source, 8, seed=0, start=1)))
    assert graphs() == before
