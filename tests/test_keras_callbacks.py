"""Keras's own callbacks in a GAN's training: they work, or one line says what does."""

import csv
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import keras
import numpy as np
import pytest
import toy
from keras import callbacks

import tfgan_ema as tg
from tfgan_ema import checkpoint
from tfgan_ema.errors import UsageError

POINTS = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")


def fit(model, *chosen, epochs=2, **options):
    """Epochs of four steps on arrays."""
    options = {"batch_size": 16, "verbose": 0} | options
    return model.fit(POINTS, epochs=epochs, callbacks=list(chosen), **options)


def rates(model):
    return [float(each.learning_rate) for each in (model.g_optimizer, model.d_optimizer)]


def two_time_scales(**options):
    model = toy.gan("mlp", **options)
    model.compile(keras.optimizers.Adam(4e-3), keras.optimizers.Adam(1e-3))
    return model


def test_one_learning_rate_moves_both_players_and_keeps_their_ratio():
    model = two_time_scales()
    history = fit(model, callbacks.LearningRateScheduler(lambda epoch, rate: 0.5 * rate))
    assert rates(model) == pytest.approx([2.5e-4, 1e-3])
    assert history.history["learning_rate"] == pytest.approx([5e-4, 2.5e-4])


def test_a_rate_of_zero_forgets_no_ratio():
    model = two_time_scales()
    fit(model, callbacks.LearningRateScheduler(lambda epoch, rate: 1e-3 * epoch))
    assert rates(model) == pytest.approx([1e-3, 4e-3])


@pytest.mark.parametrize(
    ("player", "expected"), [("generator", [5e-4, 4e-3]), ("discriminator", [1e-3, 2e-3])]
)
def test_a_callback_for_one_player(player, expected):
    model = two_time_scales()
    plateau = callbacks.ReduceLROnPlateau("g_loss", 0.5, patience=1, min_delta=1e9)
    history = fit(model, tg.ForPlayer(player, plateau))
    assert rates(model) == pytest.approx(expected)
    assert f"{player}_learning_rate" in history.history


def test_an_unknown_player_is_refused():
    with pytest.raises(UsageError, match="unknown player 'teacher'"):
        tg.ForPlayer("teacher", callbacks.ReduceLROnPlateau())


@pytest.mark.parametrize("for_one", [False, True])
def test_a_schedule_cannot_be_set(for_one):
    model = toy.gan("mlp")
    model.compile({"kind": "adam", "decay_steps": 10}, None)
    scheduler = callbacks.LearningRateScheduler(lambda epoch, rate: 0.5 * rate)
    chosen = tg.ForPlayer("discriminator", scheduler) if for_one else scheduler
    with pytest.raises(UsageError, match="the discriminator's learning rate is a schedule"):
        fit(model, chosen)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: callbacks.SwapEMAWeights(), r"give the GAN averages=\[tg.EMA"),
        (lambda: callbacks.TerminateOnNaN(), r"use tg.StopOnNaN\(\)"),
        (
            lambda: type("OrbaxCheckpoint", (callbacks.Callback,), {})(),
            r"use tg.Run or tg.Checkpoint",
        ),
        (lambda: callbacks.EarlyStopping(), "monitor 'val_loss': the logs are d_loss, g_loss"),
        (lambda: callbacks.EarlyStopping("val_g_loss", mode="min"), "validation_data adds"),
        (lambda: callbacks.EarlyStopping("d_accuracy"), "add mode='min' or mode='max'"),
        (lambda: callbacks.ReduceLROnPlateau("fid", mode="min"), "monitor 'fid': the logs are"),
        (lambda: callbacks.ModelCheckpoint("x.keras", save_best_only=True), "monitor 'val_loss'"),
    ],
)
def test_what_has_no_use_here_is_refused_in_one_line(made, words):
    with pytest.raises(UsageError, match=words) as error:
        fit(toy.gan("mlp"), made())
    assert "\n" not in str(error.value)


def test_losses_are_minimised_and_own_logs_may_be_monitored():
    model = toy.gan("mlp")
    own = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(fid=float(epoch)))
    by_loss = callbacks.EarlyStopping("val_g_loss", patience=9)
    by_fid = callbacks.EarlyStopping("fid", mode="min", patience=1)
    fit(model, own, by_loss, by_fid, epochs=9, validation_data=(POINTS,), validation_freq=2)
    assert (by_loss.mode, model.steps_done) == ("min", 8)


def test_the_best_weights_come_back_with_their_averages():
    model = toy.gan("mlp", averages=[tg.EMA(0.5)])
    states = []
    note = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: states.append(model.generate(np.ones((3, 2))))
    )
    stop = callbacks.EarlyStopping(
        "d_accuracy", mode="max", min_delta=1.0, patience=2, restore_best_weights=True
    )
    fit(model, note, stop, epochs=5)
    assert model.steps_done == 4
    np.testing.assert_array_equal(model.generate(np.ones((3, 2))), states[0])


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("{epoch}.keras", {}, ["1.keras", "2.keras"]),
        ("{epoch}.keras", {"save_freq": 3}, ["1.keras", "2.keras"]),
        ("best.keras", {"monitor": "g_loss", "save_best_only": True}, ["best.keras"]),
        ("{epoch}.weights.h5", {"save_weights_only": True}, ["1.weights.h5", "2.weights.h5"]),
    ],
)
def test_model_checkpoint_in_every_mode(tmp_path, name, options, expected):
    model = toy.gan("mlp", averages=[tg.EMA(0.5)])
    fit(model, callbacks.ModelCheckpoint(tmp_path / name, **options))
    assert sorted(path.name for path in tmp_path.iterdir()) == expected


def test_weights_that_a_checkpoint_saved_are_loaded_whole(tmp_path):
    penalties = [tg.penalties.PathLength()]
    model = toy.gan("mlp", averages=[tg.EMA(0.5)], penalties=penalties)
    path = tmp_path / "last.weights.h5"
    fit(model, callbacks.ModelCheckpoint(path, save_weights_only=True))
    again = toy.gan("mlp", averages=[tg.EMA(0.5)], penalties=[tg.penalties.PathLength()])
    again.load_weights(path)
    toy.assert_close(*(checkpoint.to_arrays(each.state()) for each in (model, again)), 0)


def killed_and_resumed(folder, make):
    """States of a run that was killed in its third epoch and resumed, and of one that was not."""

    def kill(epoch, logs):
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(
            make(), callbacks.BackupAndRestore(folder),
            callbacks.LambdaCallback(on_epoch_begin=kill), epochs=4,
        )  # fmt: skip
    resumed, whole = make(), make()
    fit(resumed, callbacks.BackupAndRestore(folder), epochs=4)
    fit(whole, epochs=4)
    return [checkpoint.to_arrays(each.state()) for each in (resumed, whole)]


def test_a_run_restored_from_a_backup_is_bit_equal_on_arrays(tmp_path):
    def make():
        parts = {"penalties": [tg.penalties.PathLength(interval=2)], "leak": tg.LeakyEMA(0.5)}
        return toy.gan("mlp", averages=[tg.EMA(0.5)], **parts)

    toy.assert_close(*killed_and_resumed(tmp_path / "backup", make), 0)


def test_tables_and_boards(tmp_path):
    model = toy.gan("mlp", penalties=[tg.penalties.R1(1.0)], averages=[tg.EMA(0.5)])
    board = callbacks.TensorBoard(
        tmp_path / "board", histogram_freq=1, write_steps_per_second=True, update_freq="batch"
    )
    table = callbacks.CSVLogger(tmp_path / "log.csv")
    fit(model, table, board, validation_data=(POINTS,))
    with (tmp_path / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert {"d_loss", "g_loss", "r1", "val_g_loss"} <= rows[0].keys()
    assert list((tmp_path / "board" / "train").iterdir())
    assert list((tmp_path / "board" / "validation").iterdir())


def test_the_progress_bar_shows_the_logs(capsys):
    fit(toy.gan("mlp"), callbacks.ProgbarLogger(), verbose=1)
    printed = capsys.readouterr().out
    assert "Epoch 2/2" in printed
    assert "4/4" in printed
    assert "d_loss" in printed


def test_remote_monitor_sends_the_logs():
    pytest.importorskip("requests")
    received = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    root = f"http://127.0.0.1:{server.server_port}"
    fit(toy.gan("mlp"), callbacks.RemoteMonitor(root, path="/", send_as_json=True))
    server.shutdown()
    assert [logs["epoch"] for logs in received] == [0, 1]
    assert "g_loss" in received[0]
