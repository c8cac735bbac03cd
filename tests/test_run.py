"""A run from Python: one folder, resumed by the same call, read by the commands."""

import csv
import os
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import toy

import tfgan_ema as tg
import zoo
from tfgan_ema import checkpoint, losses, recorded, runs
from tfgan_ema.cli import sample
from tfgan_ema.errors import UsageError

POINTS = toy.points(96).samples  # 12 steps of 8 an epoch
LABELLED = toy.source(classes=3)


def made(**options):
    return toy.gan("mlp", **{"averages": [tg.EMA(0.9)], **options})


def run(folder, **options):
    return tg.Run(folder, **{"log_every": 5, "sample_every": 10, "checkpoint_every": 7, **options})


def fit(model, *callbacks, epochs=2, **options):
    options = {"batch_size": 8, "verbose": 0, **options}
    rows = (POINTS,) if model.num_classes is None else (LABELLED.samples, LABELLED.labels)
    model.fit(*rows, epochs=epochs, callbacks=list(callbacks), **options)
    return checkpoint.to_arrays(model.state())


class Killed(keras.callbacks.Callback):
    def __init__(self, step):
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch, logs=None):
        if self.model.steps_done == self.step:
            raise KeyboardInterrupt


def rows(folder):
    with (folder / "metrics.csv").open() as file:
        return [row for row in csv.DictReader(file) if row.pop("seconds_per_step")]


@pytest.mark.parametrize("step", [pytest.param(5, marks=pytest.mark.slow), 17])
def test_the_same_call_goes_on_bit_for_bit(tmp_path, step, capsys):
    whole = fit(made(), run(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        fit(made(), run(tmp_path / "cut"), Killed(step))
    model = made()
    toy.assert_close(whole, fit(model, run(tmp_path / "cut")), 0)
    assert model.last_step is None
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")
    assert ("goes on at step 14" in capsys.readouterr().err) == (step == 17)
    names = [sorted(p.name for p in (tmp_path / f / "samples").iterdir()) for f in ("cut", "whole")]
    assert names[0] == names[1] == ["step_00000010.png", "step_00000020.png"]


def test_a_finished_run_trains_on_with_more_epochs_only(tmp_path):
    whole = fit(made(), epochs=3)
    model = made()
    fit(model, run(tmp_path))
    for again in (model, made()):  # in this process, and in one that begins anew
        fit(again, run(tmp_path))
        assert again.steps_done == 24
    toy.assert_close(whole, fit(made(), run(tmp_path), epochs=3), 0)


def test_a_callbacks_average_is_restored(tmp_path):
    callbacks = [tg.EMACallback(0.5), run(tmp_path)]
    fit(made(averages=[]), *callbacks)
    model = made(averages=[])
    fit(model, tg.EMACallback(0.5), run(tmp_path))
    assert model.steps_done == 24


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"loss": "hinge"}, "loss"),
        ({"averages": [tg.EMA(0.8)]}, "averages"),
        ({"n_dis": 2}, r"n_dis \(was 1, now 2\); rows of a step \(was 8, now 16\)"),
    ],
)
def test_another_gan_is_refused_by_name(tmp_path, changed, said):
    fit(made(), run(tmp_path), epochs=1)
    before = (tmp_path / "run.json").read_text()
    with pytest.raises(UsageError, match=f"another configuration: .*{said}"):
        fit(made(**changed), run(tmp_path))
    assert (tmp_path / "run.json").read_text() == before


def test_networks_are_compared_whatever_their_layers_are_called():
    def described(**options):
        pair = zoo.build("mlp", g_hidden=(8, 8), d_hidden=(8,), **options)
        model = tg.GAN(*pair, latent=pair[0].inputs[0].shape[-1])
        model.compile()
        return recorded.describe(model)

    assert recorded.differences(described(), described()) == []
    assert recorded.differences(described(), described(d_slope=0.3)) == ["discriminator"]


def test_it_may_be_forced(tmp_path):
    fit(made(), run(tmp_path), epochs=1)
    model = made(loss="hinge")
    fit(model, run(tmp_path, force_config=True))
    assert model.steps_done == 24
    assert runs.load_run(tmp_path).loss_pair.get_config() == model.loss_pair.get_config()


def test_what_is_no_run_and_a_run_that_is_behind_are_refused(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(UsageError, match="holds no run"):
        fit(made(), run(tmp_path / "mine"))
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    fit(made(), run(tmp_path / "a"), epochs=1)
    model = made()
    fit(model, epochs=2)
    with pytest.raises(UsageError, match="until step 12, but the GAN is at step 24"):
        fit(model, run(tmp_path / "a"), epochs=3)


def test_epochs_of_unknown_length_are_refused(tmp_path):
    batches = (POINTS[:8] for _ in range(4))
    with pytest.raises(UsageError, match="set steps_per_epoch"):
        made().fit(batches, callbacks=[run(tmp_path / "a")], verbose=0)
    assert not (tmp_path / "a").exists()


def test_commands_read_its_folder(tmp_path, capsys):
    options = {"loss": "hinge", "penalties": [tg.penalties.R1(5.0)], "leak": tg.LeakyEMA(0.5)}
    model = toy.gan(num_classes=3, averages=[tg.EMA(0.9)], **options)
    fit(model, run(tmp_path / "a", class_names=["cat", "dog", "eel"]))
    again = runs.load_run(tmp_path / "a")
    np.testing.assert_array_equal(model.sample(5, 2), again.sample(5, 2))
    out = tmp_path / "dogs.npy"
    words = [f"--workdir={tmp_path / 'a'}", "--label=dog", "--count=3", f"--out={out}"]
    assert sample.main(["sample", *words]) == 0
    np.testing.assert_array_equal(np.load(out), model.sample(3, 0, labels=[1] * 3))
    assert sample.main(["sample", *words[:-1], f"--out={out}", "--average=raw"]) == 0
    assert runs.class_names(tmp_path / "a") == ["cat", "dog", "eel"]


class Own(losses.Hinge):
    """A class of this module, which another process may not find."""


class Unknown(losses.Hinge):
    def get_config(self):
        raise NotImplementedError("no configuration here")


def test_a_part_without_a_configuration_trains_and_is_named(tmp_path, capsys):
    fit(made(loss=Unknown()), run(tmp_path), epochs=1)
    assert "its loss (Unknown) has no configuration" in capsys.readouterr().err
    model = made(loss=Unknown())
    fit(model, run(tmp_path))
    assert model.steps_done == 24
    with pytest.raises(UsageError, match=r"its loss \(Unknown\) has no configuration"):
        runs.load_run(tmp_path)


def test_a_part_that_cannot_be_imported_is_one_line(tmp_path):
    fit(made(loss=Own()), run(tmp_path), epochs=1)
    text = (tmp_path / "run.json").read_text()
    (tmp_path / "run.json").write_text(text.replace("test_run:Own", "nowhere:Own"))
    with pytest.raises(UsageError, match=r"^the GAN of run.json cannot be made again: [^\n]*$"):
        runs.load_run(tmp_path)


SCRIPT = """
import numpy as np
import tfgan_ema as tg
import zoo
{imported}
pair = zoo.build("mlp", g_hidden=(8,), d_hidden=(8,))
gan = tg.GAN(*pair, latent=2, loss=Own())
gan.compile()
gan.fit(np.zeros((32, 2), "float32"), batch_size=8, verbose=0, callbacks=[tg.Run("a")])
np.save("expected.npy", gan.sample(3, average="raw"))
"""
OWN = "class Own(tg.losses.Hinge): pass"


@pytest.mark.slow
def test_classes_of_a_scripts_own_are_imported_from_beside_it(tmp_path):
    def python(*words):
        env = {**os.environ, "PYTHONPATH": os.getcwd()}
        run = subprocess.run([sys.executable, *words], capture_output=True, env=env, cwd=tmp_path)
        return run.returncode, run.stderr.decode()

    (tmp_path / "script.py").write_text(SCRIPT.format(imported=OWN))
    code, said = python("script.py")
    assert code == 0
    assert "Own is a class of the main script: move it to a module of its own" in said
    with pytest.raises(UsageError, match="is a class of the main script"):
        runs.load_run(tmp_path / "a")
    shutil.rmtree(tmp_path / "a")
    (tmp_path / "own.py").write_text(f"import tfgan_ema as tg\n{OWN}\n")
    (tmp_path / "script.py").write_text(SCRIPT.format(imported="from own import Own"))
    assert python("script.py")[0] == 0
    words = ["--workdir=a", "--count=3", "--average=raw", "--out=samples.npy"]
    assert python("-m", "tfgan_ema.cli.main", "sample", *words)[0] == 0
    np.testing.assert_array_equal(*map(np.load, tmp_path.glob("*.npy")))


@pytest.mark.parametrize("log_every", [5, 12])
def test_keras_logs_the_means_of_an_epoch(tmp_path, log_every):
    plain, watched = made(), made()
    options = {"batch_size": 8, "epochs": 2, "verbose": 0}
    expected = plain.fit(POINTS, **options).history
    seen = watched.fit(POINTS, **options, callbacks=[run(tmp_path, log_every=log_every)]).history
    for name, values in expected.items():
        np.testing.assert_allclose(seen[name], values, rtol=1e-5, err_msg=name)


def test_training_stops_where_a_value_is_not_finite(tmp_path, capsys):
    model = made()
    model.compile({"kind": "adam", "learning_rate": 1e30}, {"kind": "adam", "learning_rate": 1e30})
    fit(model, run(tmp_path, sample_every=None))
    assert model.steps_done < 24
    assert "is not finite at step" in capsys.readouterr().err
