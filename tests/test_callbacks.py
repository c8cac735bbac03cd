"""Callbacks under plain fit: what they write, what they leave alone."""

import csv
import struct

import keras
import numpy as np
import pytest
import toy
from PIL import Image

import tfgan_ema as tg
from tfgan_ema import callbacks, checkpoint, data, records
from tfgan_ema.errors import UsageError


def fit(model, steps, epochs=1, **options):
    batches = data.pipeline(
        toy.points() if model.generator.output_shape[1:] == (2,) else toy.source(),
        8 * model.n_dis,
        seed=1,
        start=model.steps_done,
    )
    return model.fit(
        batches, steps_per_epoch=steps, epochs=epochs, verbose=0, shuffle=False, **options
    )


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_ema_callback_attaches_an_average_to_a_plain_gan():
    model = toy.gan("mlp")
    history = fit(model, 3, callbacks=[tg.EMACallback(0.5)])
    assert [average.name for average in model.averages] == ["ema_0.5"]
    assert history.history["distance/ema_0.5"][0] == pytest.approx(model.averages[0].distance())
    given = toy.gan("mlp", averages=[tg.EMA(0.5)])
    fit(given, 3)
    toy.assert_close(*(checkpoint.to_arrays(each.state()) for each in (model, given)), 0)


@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_ema_callback_saves_the_averaged_generator_at_its_steps(tmp_path, network):
    model = toy.gan(network, averages=[tg.EMA(0.9)])
    save = tg.EMACallback(save_to=tmp_path / "ema_{step}.keras", every=2)
    fit(model, 5, callbacks=[save])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ema_2.keras", "ema_4.keras"]
    at_4 = toy.gan(network, averages=[tg.EMA(0.9)])
    fit(at_4, 4)
    latent = np.random.default_rng(0).normal(size=(5, model.latent.dim)).astype("float32")
    saved = keras.models.load_model(tmp_path / "ema_4.keras")
    np.testing.assert_allclose(saved(latent), at_4.generate(latent), atol=1e-5)
    untouched = toy.gan(network, averages=[tg.EMA(0.9)])
    fit(untouched, 5)
    toy.assert_close(*(checkpoint.to_arrays(each.state()) for each in (model, untouched)), 0)


def test_ema_callback_saves_a_saved_model_at_the_end(tmp_path):
    model = toy.gan("mlp")
    fit(model, 3, callbacks=[tg.EMACallback(0.5, save_to=tmp_path / "model")])
    served = tg.export.load_generator(tmp_path / "model")
    np.testing.assert_array_equal(served.sample(9, 3), model.sample(9, 3))


@pytest.mark.parametrize(
    "options",
    [
        {"save_to": "ema.h5"},
        {"save_to": "ema.weights.h5", "every": 5},
        {"save_to": "ema.keras", "every": 5},
        {"save_to": "model", "every": 5},
        {"every": 5},
        {"save_to": "ema_{step}.keras", "every": 0},
    ],
)
def test_where_ema_callback_saves_is_checked_in_one_line(options):
    with pytest.raises(UsageError, match=r"save_to|expected a whole number") as error:
        tg.EMACallback(0.9, **options)
    assert "\n" not in str(error.value)


def test_ema_callback_refuses_what_it_cannot_drive():
    with pytest.raises(UsageError, match="give it a decay"):
        fit(toy.gan("mlp"), 1, callbacks=[tg.EMACallback()])
    with pytest.raises(UsageError, match="leave the decay out"):
        fit(toy.gan("mlp", averages=[tg.EMA(0.9)]), 1, callbacks=[tg.EMACallback(0.5)])
    with pytest.raises(UsageError, match="AverageWeights"):
        tg.EMACallback(0.5).set_model(keras.Sequential([keras.Input((1,))]))
    with pytest.raises(UsageError, match="decay 1"):
        tg.EMACallback(1.0)


def test_sample_grid_draws_the_same_latents_side_by_side(tmp_path):
    model = toy.gan(averages=[tg.EMA(0.9)])
    fit(model, 4, callbacks=[tg.SampleGrid(tmp_path, every=2, count=4, seed=5)])
    names = sorted(p.name for p in (tmp_path / "samples").iterdir())
    assert names == ["step_00000002.png", "step_00000004.png"]
    picture = np.asarray(Image.open(tmp_path / "samples" / names[-1]))
    raw, mean = (data.png.grid(model.sample(4, 5, average=a)) for a in ("raw", 0))
    width = raw.shape[1]
    np.testing.assert_array_equal(picture[:, :width], raw)
    np.testing.assert_array_equal(picture[:, -width:], mean)


@pytest.mark.parametrize("leak", [None, 1])
def test_callbacks_do_not_disturb_training(tmp_path, leak):
    def gan():
        options = {} if leak is None else {"leak": tg.LeakyEMA(0.5, start_step=leak)}
        return toy.gan(averages=[tg.EMA(0.9, statistics="standing")], **options)

    plain, watched = gan(), gan()
    fit(plain, 4)
    fit(
        watched, 4, callbacks=[
            tg.Checkpoint(tmp_path, every=2), tg.SampleGrid(tmp_path, every=1, count=4),
            tg.EMACallback(save_to=tmp_path / "{step}.keras", every=1),
            tg.Evaluate(FakeEvaluator(), tmp_path, every=2),
            callbacks.MetricsLog(tmp_path, every=3),
        ],
    )  # fmt: skip
    toy.assert_close(*(checkpoint.to_arrays(each.state()) for each in (plain, watched)), 0)


def test_checkpoint_keeps_the_last_and_refuses_nan(tmp_path):
    model = toy.gan("mlp")
    fit(model, 7, callbacks=[tg.Checkpoint(tmp_path, every=2, keep=2)])
    assert list(checkpoint.checkpoints(tmp_path / "checkpoints")) == [6, 7]
    model.generator.weights[0].assign(np.full(model.generator.weights[0].shape, np.nan))
    fit(model, 3, callbacks=[tg.Checkpoint(tmp_path, every=1, keep=2)])
    assert list(checkpoint.checkpoints(tmp_path / "checkpoints")) == [6, 7]


def test_a_folder_of_another_run_is_refused(tmp_path):
    fit(toy.gan("mlp"), 4, callbacks=[tg.Checkpoint(tmp_path)])
    other = toy.gan("mlp")
    with pytest.raises(UsageError, match="checkpoint of step 4, but the GAN is at step 0"):
        fit(other, 2, callbacks=[tg.Checkpoint(tmp_path)])
    assert checkpoint.restore(other, tmp_path / "checkpoints") == 4
    fit(other, 2, callbacks=[tg.Checkpoint(tmp_path)])
    assert list(checkpoint.checkpoints(tmp_path / "checkpoints")) == [4, 6]


def test_a_callbacks_average_comes_back_with_its_checkpoint(tmp_path):
    fit(toy.gan("mlp"), 2, callbacks=[tg.EMACallback(0.9), tg.Checkpoint(tmp_path)])
    whole, model = toy.gan("mlp"), toy.gan("mlp")
    fit(whole, 4, callbacks=[tg.EMACallback(0.9)])
    assert checkpoint.restore(model, tmp_path / "checkpoints") == 2
    assert model.averages[0].rule.decay == 0.9
    fit(model, 2, callbacks=[tg.EMACallback(0.9), tg.Checkpoint(tmp_path)])
    toy.assert_close(*(checkpoint.to_arrays(m.state()) for m in (whole, model)), 0)


def test_other_averages_than_those_of_the_checkpoint_are_named(tmp_path):
    fit(toy.gan("mlp"), 2, callbacks=[tg.EMACallback(0.9), tg.Checkpoint(tmp_path)])
    model = toy.gan("mlp", averages=[tg.EMA(0.5)])
    with pytest.raises(UsageError, match=r"holds the averages ema_0\.9, the GAN lacks"):
        checkpoint.restore(model, tmp_path / "checkpoints")


def test_nan_stops_training_and_names_the_last_good_checkpoint(tmp_path):
    model = toy.gan("mlp")
    guard = tg.StopOnNaN(tmp_path)
    poison = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: (
            batch == 4 and model.generator.weights[-1].assign([np.nan, np.nan])
        )
    )
    fit(model, 50, callbacks=[guard, tg.Checkpoint(tmp_path, every=2), poison])
    assert model.steps_done == 5
    assert "step_00000004.npz" in guard.message
    assert "not finite at step 5" in guard.message


def test_metrics_csv_drops_rows_beyond_the_restored_step(tmp_path):
    model = toy.gan("mlp")
    fit(model, 6, callbacks=[callbacks.MetricsLog(tmp_path, every=2)])
    rows = read(tmp_path / "metrics.csv")
    assert [row["step"] for row in rows] == ["2", "4", "6"]
    assert float(rows[0]["d_loss"]) > 0
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("8,0.3")  # a run was killed while it wrote
    again = toy.gan("mlp")
    fit(again, 4)
    fit(again, 2, callbacks=[callbacks.MetricsLog(tmp_path, every=2)])
    assert [row["step"] for row in read(tmp_path / "metrics.csv")] == ["2", "4", "6"]


def without_times(rows):
    return [{key: row[key] for key in row if key != "seconds_per_step"} for row in rows]


def test_a_row_holds_the_means_since_the_last_row(tmp_path):
    every_step = toy.gan("mlp", averages=[tg.EMA(0.9)])
    fit(every_step, 9, callbacks=[callbacks.MetricsLog(tmp_path / "each", every=1)])
    each = read(tmp_path / "each" / "metrics.csv")
    model = toy.gan("mlp", averages=[tg.EMA(0.9)])
    fit(model, 9, callbacks=[callbacks.MetricsLog(tmp_path / "fourth", every=4)])
    rows = read(tmp_path / "fourth" / "metrics.csv")
    assert [row["step"] for row in rows] == ["4", "8"]
    for row, first in zip(rows, (0, 4), strict=True):
        mean = np.mean([float(each[i]["d_loss"]) for i in range(first, first + 4)])
        assert float(row["d_loss"]) == pytest.approx(mean, rel=1e-5)
    assert rows[1]["distance/ema_0.9"] == each[7]["distance/ema_0.9"]


def logged_run(folder, steps, model):
    log = callbacks.MetricsLog(folder, every=4)
    toy.fit(model, steps, chosen=toy.points(), callbacks=[log, tg.Checkpoint(folder, every=3)])


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_resumed_run_writes_the_rows_of_an_undisturbed_one(tmp_path, replicas, request):
    """It resumes from step 6, two steps after a row."""
    strategy = request.getfixturevalue("two_replicas") if replicas == 2 else None

    def gan():
        return toy.gan("mlp", averages=[tg.EMA(0.9)], strategy=strategy)

    logged_run(tmp_path / "whole", 10, gan())
    logged_run(tmp_path / "parts", 6, gan())
    resumed = gan()
    assert checkpoint.restore(resumed, tmp_path / "parts" / "checkpoints") == 6
    logged_run(tmp_path / "parts", 4, resumed)
    rows, expected = (read(tmp_path / name / "metrics.csv") for name in ("parts", "whole"))
    assert [row["step"] for row in rows] == ["4", "8"]
    assert without_times(rows) == without_times(expected)


def test_a_checkpoint_without_running_means_is_read_too(tmp_path):
    model = toy.gan("mlp")
    fit(model, 2)
    checkpoint.save(tmp_path / "checkpoints", 2, model.state())
    resumed = toy.gan("mlp")
    assert checkpoint.restore(resumed, tmp_path / "checkpoints") == 2
    fit(resumed, 2, callbacks=[callbacks.MetricsLog(tmp_path, every=4)])
    assert [row["step"] for row in read(tmp_path / "metrics.csv")] == ["4"]


def test_a_line_for_each_row_where_it_is_asked_for(tmp_path, capsys):
    fit(toy.gan("mlp"), 4, callbacks=[tg.Run(tmp_path / "run", log_every=2)])
    assert capsys.readouterr().out == ""  # a progress bar, also that of a notebook, stays whole
    fit(toy.gan("mlp"), 4, callbacks=[callbacks.MetricsLog(tmp_path, every=2, lines=True)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["step 2", "step 4"]
    assert all("d_loss" in line and len(line) < 80 for line in lines)


def test_a_table_takes_new_columns(tmp_path):
    table = records.Table(tmp_path / "t.csv", 0)
    table.append({"step": 1, "a": 1})
    table.append({"step": 2, "b": 2})
    assert read(tmp_path / "t.csv") == [
        {"step": "1", "a": "1", "b": ""},
        {"step": "2", "a": "", "b": "2"},
    ]


class FakeEvaluator:
    """Gives a metric that falls to a plateau, and notes what it was asked."""

    def __init__(self, curve=(9.0, 5.0, 7.0, 6.0)):
        self.curve, self.calls = list(curve), []

    def __call__(self, sample_fn):
        self.calls.append(sample_fn(4, 3))
        return {"fid": self.curve[min((len(self.calls) - 1) // 2, len(self.curve) - 1)]}


def test_evaluate_scores_raw_and_averaged_on_the_same_latents(tmp_path):
    model = toy.gan(averages=[tg.EMA(0.0)])
    evaluator = FakeEvaluator()
    fit(model, 8, callbacks=[tg.Evaluate(evaluator, tmp_path, every=2)])
    rows = read(tmp_path / "evaluation.csv")
    assert [(r["step"], r["generator"]) for r in rows[:3]] == [
        ("2", "raw"), ("2", "ema_0.0"), ("4", "raw"),
    ]  # fmt: skip
    _, metadata = checkpoint.read(tmp_path / "checkpoints" / "best.npz")
    assert metadata["step"] == 4


def test_evaluate_goes_on_with_an_interrupted_history(tmp_path):
    model = toy.gan("mlp", averages=[tg.EMA(0.5)])
    fit(model, 4, callbacks=[tg.Evaluate(FakeEvaluator([5.0, 4.0]), tmp_path, every=2)])
    fit(model, 2, callbacks=[tg.Evaluate(FakeEvaluator([4.5]), tmp_path, every=2)])
    assert len(read(tmp_path / "evaluation.csv")) == 6
    assert checkpoint.read(tmp_path / "checkpoints" / "best.npz")[1]["step"] == 4


def test_a_flat_metric_starts_an_automatic_leak(tmp_path):
    model = toy.gan("mlp", averages=[tg.EMA(0.5)], leak=tg.LeakyEMA(0.5, start_step="auto"))
    curve = [100 * 0.5**i for i in range(12)]
    fit(model, 14, callbacks=[tg.Evaluate(FakeEvaluator(curve), tmp_path, every=1)])
    start = int(keras.ops.convert_to_numpy(model.leak.start))
    assert 8 <= start <= 12
    assert not model.leak.waiting


def test_tensorboard_reads_scalars_and_pictures(tmp_path):
    events = records.Events(tmp_path)
    model = toy.gan(averages=[tg.EMA(0.5)])
    fit(
        model, 2, callbacks=[
            tg.SampleGrid(tmp_path, every=2, count=4, events=events),
            callbacks.MetricsLog(tmp_path, every=2, events=events),
        ],
    )  # fmt: skip
    events.close()
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read_back = EventAccumulator(str(tmp_path))
    read_back.Reload()
    assert "train/d_loss" in read_back.Tags()["scalars"]
    assert read_back.Scalars("train/d_loss")[0].step == 2
    picture = read_back.Images("samples/raw_and_averaged")[0]
    assert struct.unpack(">II", picture.encoded_image_string[16:24]) == (
        picture.width, picture.height,
    )  # fmt: skip


def test_intervals_are_checked():
    for every in (0, -1, 2.5):
        with pytest.raises(UsageError, match="expected a whole number >= 1"):
            tg.SampleGrid("x", every=every)
    with pytest.raises(UsageError, match="keep 0"):
        tg.Checkpoint("x", keep=0)
