"""Wrong command lines of every command: one line, exit code 2, and nothing is written or started.

A row names a right command line and some of its flags; what is wrong for that kind of flag makes
the cases, which are appended to it.
"""

import os
import re
import shutil
import subprocess
import sys

import keras
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configs import base
from tfgan_ema import runs
from tfgan_ema.cli import main, train

BIG, LONG = str(10**20), "n" * 300
WORDS = ["x", "", "nan", "[1]"]
KINDS = {
    "whole": ["0", "-1", "1.5", "1e3", BIG, *WORDS],
    "step": ["-1", "1.5", BIG, *WORDS],
    "seed": ["1.5", str(2**63), str(-(2**63) - 1), *WORDS],
    "number": ["0", "-1", "inf", *WORDS],
    "name": ["nope", "", "3"],
    "file": ["", "file/x", "folder", LONG, f"{LONG}/x", "/dev/null", "/dev/null/x"],
    "folder": ["", "file", "file/x", LONG, f"{LONG}/x", "/dev/null/x"],
    "switch": ["maybe", "2", ""],
}
CONFIG = """
from configs import base

def get_config():
    config = base.get_config()
    config.steps, config.batch_size, config.data.name = 2, 8, "ring"
    config.network = {"kind": "mlp", "width": 0.05}
    config.checkpoint_every = 2
    return config
"""
FILES = {  # configurations that are none
    "syntax.py": "def get_config(:",
    "raises.py": "1 / 0",
    "later.py": "def get_config():\n    return {}['x']",
    "imports.py": "import no_such_sibling",
    "empty.py": "",
    "number.py": "get_config = 3",
    "dictionary.py": "def get_config():\n    return {'steps': 3}",
    "rows.py": "def get_config(row):\n    return {}[row]",
}
TRAIN = "train --config=tiny.py --workdir=w"
EVALUATED = ["--config.evaluate_every=10", "--config.evaluate.metrics=('w1',)"]
RUN = "--workdir=run"
MODEL = "--model=ring_mlp"
COMMANDS = {
    TRAIN: {
        "config": ["", "nope", "no/such.py", "nope:x", "tiny.py:x", "folder", *FILES, "rows.py:a",
                   "leaky", "leaky:nope", LONG],
        "workdir": "folder",
        "strategy": ["nope", "", "tpu", "multiworker", "gpu"], "tpu": [""], "dry_run": "switch",
        "worker_timeout": ["nope", "0", "-1", "nan", "inf"],
        "force_config": "switch",
    },
    f"sample {RUN} --out=o.npy": {
        "workdir": ["", "nowhere", "folder", "file", LONG], "count": "whole", "seed": "seed",
        "out": ["file/x.png", "folder.npy/", f"{LONG}.png", f"{LONG}/x", "a.jpg", "a.tiff", "",
                "/dev/null/x"],
        "average": ["nope", "9", "-1", ""], "truncation": "number", "step": [*KINDS["step"], "7"],
        "label": ["0", "cat", ""], "model": ["", "ring_mlp"],
    },
    f"sample {MODEL} --out=o.png": {
        "model": ["", "nope", "./none", "folder", "file", LONG], "count": [*KINDS["whole"], "5000"],
        "average": ["0", "raw", "nope"], "truncation": ["0.5", "-1"], "step": ["1"],
        "label": ["0", "cat", ""], "workdir": ["run", ""],
    },
    f"export {RUN} --out=o": {
        "workdir": ["", "nowhere", "folder", "file", LONG],
        "out": [*KINDS["folder"], "folder", "run"],
        "average": ["nope", "9", "-1", ""], "truncation": "number", "step": [*KINDS["step"], "7"],
        "overwrite": "switch", "format": "name", "quantize": ["", "maybe", "true"],
    },
    f"export {MODEL} --out=o": {
        "model": ["", "nope", "./none", "folder"], "average": ["0"], "truncation": ["0.5"],
        "step": ["1"], "out": [*KINDS["folder"], "folder"],
    },
    "serve ring_mlp": {
        "name": [""], "host": [""], "rest_port": ["-1", "65536", *WORDS], "grpc_port": ["x"],
        "batch": "whole", "timeout": "number",
    },
    "figure run --out=o.png": {
        "out": ["", "o.txt", "file/x.png", "folder", f"{LONG}.pdf"], "kind": "name",
        "rows": [*KINDS["whole"], "65"], "columns": [*KINDS["whole"], "65"], "seed": "seed",
        "width": [*KINDS["number"], "51"], "dpi": [*KINDS["whole"], "1201"],
        "step": [*KINDS["step"], "7"],
    },
    "report run": {"out": "file"},
    "evaluate --samples=run --reference=ring --metrics=w1 --count=10": {
        "samples": ["", "nowhere", "digits:", "folder", LONG],
        "reference": ["", "nope", "folder:nowhere", "nowhere.npz", "file", "idx:nowhere", LONG],
        "held_out": ["", "ring"],
        "metrics": ["", "nope", "w1,", ",", "w1,nope", "fdi"], "count": ["1", *KINDS["whole"]],
        "reference_count": ["1", *KINDS["whole"]], "split": ["nope", "", "test"],
        "samples_split": ["train"], "image_size": ["32", *KINDS["whole"]],
        "channels": ["3", "2", *KINDS["whole"]], "batch": "whole",
        "seed": ["-1", *KINDS["seed"]], "average": ["nope", "9", "-1", ""],
        "step": [*KINDS["step"], "7"], "truncation": ["0", "x", "1,x", "nan", "inf", "-1", "1,"],
        "device": ["nope", "", "gpu:x", "cpu:99", ":"], "out": "file", "save_reference": "file",
        "plot": [*KINDS["file"], "p.png"],
    },
    "evaluate --samples=ring --samples_split=train --metrics=modes --reference=ring": {
        "average": ["0"], "step": ["1"], "truncation": ["1"],
        "reference": ["digits", "folder", ""], "samples_split": ["test", "nope", ""],
    },
    "average run --sigma=0.1 --out=a": {
        "sigma": [*KINDS["number"], "0.3"], "at": ["", "x", "-1", "1,2", "1,"], "out": [""],
        "overwrite": "switch", "sweep": ["0.1..0.2", ""],
    },
    "average run --sweep=0.1..0.2": {
        "sweep": ["", "0.1", "0.2..0.1", "x..1", "0..1", "0.1..nan"], "samples": "whole",
        "widths": "whole", "metrics": [""], "reference": [""], "plot": "file",
    },
    "data list": {"data_dir": [""]},
    "zoo list": {"width": ["1"], "out": ["x"], "samples": ["5"]},
    "zoo show mlp": {
        "image_size": [*KINDS["whole"], "32"], "channels": ["2", "0", *WORDS],
        "width": [*KINDS["number"], "1e9"], "num_classes": [*KINDS["whole"], "3"], "out": ["x"],
    },
    "zoo show dcgan_32": {"image_size": ["33", "1000000"], "width": ["1e9"], "num_classes": ["3"]},
    "zoo gallery": {"out": "file", "width": ["1"]},
    "zoo check ring_mlp": {"out": ["x"]},
    "zoo add ring_mlp": {
        "workdir": ["", "nowhere", "folder"], "samples": ["1", *KINDS["whole"]],
        "metrics": ["", "w1,"], "average": [""],
    },
    "zoo convert sngan_32 --checkpoint=file --out=o.keras": {
        "checkpoint": ["", "nowhere", "folder", "file"], "part": "name",
        "out": ["", "o.h5", "file/x.keras", f"{LONG}.keras", "folder.keras"], "prefix": [""],
        "mapping_layers": "whole",
    },
    "dynamics --out=o": {
        "methods": ["", "nope", "gan,", "gan+nope", "gan,nope"], "out": "folder",
        "start": ["", "1", "x,1", "nan,1", "1,2,3", "inf,1"], "rule": "name", "step": "number",
        "steps": "whole", "n_dis": "whole", "first": "name", "beta": ["-0.1", "1.1", *WORDS],
        "decay": ["0", "1", *WORDS],
    },
    "reproduce dynamics --out=o": {"out": "folder", "budget": "name"},
    "reproduce ring --out=o": {"out": "folder", "budget": "name"},
}  # fmt: skip
OTHERS = [
    "", "trian", "--version x", "train", TRAIN + " extra", TRAIN + " --nope", TRAIN + " --workdir",
    f"sample {RUN} --out=o.png extra", f"sample {RUN}", "sample", "sample --out=o.png",
    f"sample {MODEL} --out=o.png --count=5000", f"sample {RUN} --out=o.png --count=5000",
    f"export {RUN}", f"export {RUN} --out=o extra", "export", "report run extra", "report nowhere",
    "report folder", "report file", "report run --nope", "evaluate", "evaluate extra",
    "evaluate run run --metrics=w1", "evaluate run --samples=run --metrics=w1",
    "evaluate --samples=folder --metrics=fid",
    "data", "data nope", "data list extra", "data fetch digits", "data fetch ring",
    "zoo", "zoo nope", "zoo list extra", "zoo show", "zoo show nope", "zoo show mlp extra",
    "zoo gallery", "zoo gallery extra", "zoo check", "zoo check nope", "zoo add nope --workdir=run",
    "zoo add", "zoo add ring_mlp", "zoo convert",
    "zoo convert nope --checkpoint=file --out=o.keras", "zoo convert sngan_32 --out=o.keras",
    "zoo convert sngan_32 --checkpoint=file",
    "zoo add ring_mlp --workdir=run --metrics=nope", "zoo add ring_mlp --workdir=run", "report",
    "report --out=o.html",
    "average", "average nowhere --sigma=0.1 --out=a", "average run",
    "evaluate --samples=folder --reference=ring --metrics=fid",
    "evaluate --samples=folder --reference=digits --metrics=fid", "data fetch", "data fetch nope",
    "dynamics", "reproduce --out=o", "reproduce nope --out=o",
    "dynamics extra --out=o", "reproduce ring", "reproduce ring grid --out=o",
]  # fmt: skip
OPTIONS = {  # of the parts of a configuration
    "network": ["kind=nope", "width=-1", "width=x", "width=nan", "width=1e9", "widht=1", "kind=3",
                "kind=dcgan_32"],
    "latent": ["kind=nope", "dim=3", "nope=1"],
    "loss": ["kind=nope", "nope=1", "kind=alpha", "kind=nowhere:Loss", "kind=json:x"],
    "penalties": ["r1=3", "r1.weight=-1", "r1.weight=x", "r1.weight=nan", "r1.interval=0", "r9={}",
                  "r1.interval=1.5", "gradient_penalty.points=x", "weight_clip.limit=0"],
    "averages": ["ema=3", "ema.decay=1", "ema.decay=x", "ema.decay=nan", "ema.start_step=-1",
                 "power_ema.half_life=5", "raw={}", "ema.start_step=1.5", "ema.statistics=x"],
    "leak": ["beta=1", "beta=x", "beta=nan", "start_step=-1", "mode=x", "ramp=-1", "average=9",
             "model=folder"],
    "augment": ["diff_augment={}", "instance_noise.stddev=-1", "instance_noise.steps=0", "x={}"],
    "top_k": ["least=0", "least=x", "decay=2", "every=0", "every=1.5"],
    "d_optimizer": ["kind=nope", "learning_rate=-1", "learning_rate=x", "beta_1=1", "nope=1"],
    "g_optimizer": ["learning_rate=nan", "decay_start=5", "warm_up_steps=-1", "warm_up_steps=x"],
}  # fmt: skip
VALUES = {  # of the other keys, by their type
    int: ["-1", "1.5", "x", "True", BIG, "[1]"],
    bool: ["2", "x", "None"],
    str: ["3", "nope", "None", "[1]"],
    tuple: ["3", "nope", "('nope',)"],
}
RIGHT = {"data.data_dir=nope", "data.fallback=nope", "data.fallback=None", "data.data_dir=None",
         "evaluate.reference=None", "evaluate.best_metric=None", "data.count=None",
         "evaluate.split=None", "snapshot_dtype=None"}  # fmt: skip


def flag_cases():
    for command, flags in COMMANDS.items():
        for flag, kind in flags.items():
            for value in KINDS[kind] if isinstance(kind, str) else kind:
                yield [*command.split(), f"--{flag}={value}"]


def config_cases():
    known = base.get_config()
    for key, _ in runs.flatten(known.to_dict()).items():
        if key.split(".")[0] not in base.PARTS:
            part = known
            for name in key.split(".")[:-1]:
                part = part[name]
            for text in VALUES[part.get_type(key.split(".")[-1])]:
                if f"{key}={text}" not in RIGHT:
                    yield f"--config.{key}={text}"
    for part, options in OPTIONS.items():
        yield from (f"--config.{part}.{option}" for option in options)
        yield from (f"--config.{part}={value}" for value in ("3", "nope", "[1]"))
    yield from ("--config.nope=1", "--config.data.nope=1", "--config.steps.x=1", "--config.steps")
    yield from ("--config..x=1", "--config.data=digits", "--config.batch_size=0")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a short run, a file, an empty folder and configurations, right and wrong."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "tiny.py").write_text(CONFIG)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    (folder / "file").write_text("x")
    for name in ("folder", "folder.npy", "folder.keras"):
        (folder / name).mkdir()
    words = [f"--config={folder / 'tiny.py'}", f"--workdir={folder / 'run'}"]
    assert train.main(["tfgan-ema train", *words]) == 0
    return folder


def listed(folder):
    found = (path for path in folder.rglob("*") if path.name != "__pycache__")
    return {path: path.stat().st_mtime_ns for path in found if path.parent.name != "__pycache__"}


class Started(Exception):
    """What is raised where a command would compute, download or start a process."""


@pytest.fixture
def stopped(place, monkeypatch):
    """Commands run in the folder, and raise `Started` where their work would begin."""

    def start(*args, **kwargs):
        raise Started

    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("TFGAN_EMA_CACHE", str(place / "cache"))
    monkeypatch.setenv("KERAS_BACKEND", keras.config.backend())
    for name in ("tfgan_ema.downloads.fetch", "tfgan_ema.data.catalog._probe", "subprocess.Popen",
                 "tfgan_ema.files.replacing", "keras.Model.fit", "keras.Model.predict_on_batch",
                 "tfgan_ema.engines.tensorflow.compile_sampler", "tensorflow.saved_model.save",
                 "tfgan_ema.export.ExportedGenerator.sample",
                 "tfgan_ema.metrics.Evaluator.measure", "tfgan_ema.lab.reports.cards.check",
                 "tfgan_ema.lab.dynamics.simulate.descend", "tfgan_ema.lab.reports.run.page",
                 "tfgan_ema.lab.dynamics.simulate.integrate", "tfgan_ema.lab.reports.gallery.page",
                 "tfgan_ema.lab.reports.dynamics.reproduce",
                 "tfgan_ema.lab.experiments.cells.run"):  # fmt: skip
        monkeypatch.setattr(name, start)
    return place


@pytest.fixture
def refused(stopped, capfd):
    """Runs a command line, which must be refused before anything is started or written."""
    place = stopped

    def run(words):
        shutil.rmtree(place / "w", ignore_errors=True)  # of a case that failed
        before = listed(place)
        capfd.readouterr()
        assert main.main(words) == 2
        out, error = capfd.readouterr()
        assert len(error.strip().splitlines()) == (1 if words else 0)
        assert words == [] or out == ""
        assert listed(place) == before
        return error

    return run


def names(error, *words):
    """Whether an error names some of the words, however it writes them."""
    error, *words = (re.sub("[_-]", "", text).lower() for text in (error, *words))
    return any(part in error for word in words for part in re.split(r"\W+", word) if part)


@pytest.mark.parametrize("words", list(flag_cases()), ids=" ".join)
def test_a_wrong_flag_is_one_line(refused, words):
    assert names(refused(words), *words[-1].split("=", 1))


@pytest.mark.parametrize("words", OTHERS)
def test_a_wrong_command_line_is_one_line(refused, words):
    refused(words.split())


def test_the_right_configuration_is_started(refused):
    with pytest.raises(Started):
        refused([*TRAIN.split(), *EVALUATED])


@pytest.mark.parametrize("word", list(config_cases()))
def test_a_wrong_configuration_is_one_line(refused, word):
    assert names(refused([*TRAIN.split(), *EVALUATED, word]), word.removeprefix("--config."))


CLUSTER = '{"cluster": {"worker": ["a:1"]}, "task": {"type": "%s", "index": %s}}'


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *(("TF_CONFIG", value) for value in ("nope", "{}", "[]", "3", '{"cluster": 3, "task": 3}')),
        *(("TF_CONFIG", CLUSTER % task) for task in (("worker", 1), ("worker", '"x"'), ("ps", 0))),
        *(("KERAS_BACKEND", value) for value in ("torch", "nope", "TensorFlow")),
    ],
)
def test_a_wrong_environment_is_one_line(refused, monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    assert variable in refused([*TRAIN.split(), "--strategy=multiworker"])


NASTY = sorted(
    {
        "",
        "0",
        "-1",
        "1",
        "2",
        "nan",
        "inf",
        "-inf",
        "1e400",
        BIG,
        "None",
        "True",
        "run",
        "..",
        "{}",
        "[]",
        "()",
        "'",
        "file",
        "folder",
        "\n",
        "\t",
        "é",
        "ring",
        "raw",
        "../x",
        "~",
    }
)
TEXTS = st.sampled_from(NASTY) | st.text(st.characters(codec="utf-8", exclude_characters="\0"),
                                         max_size=6)  # fmt: skip
VALUES_OF_ANY_KIND = TEXTS | st.integers().map(str) | st.floats().map(str)
KEYS = sorted(runs.flatten(base.get_config().to_dict()))
OPTION_NAMES = sorted(
    {f"{part}.{each.partition('=')[0]}" for part in OPTIONS for each in OPTIONS[part]}
)


def check_any(words, place, capfd):
    """Whatever is asked, a command starts, does something small, or says one line."""
    before = set(place.iterdir())
    capfd.readouterr()
    try:
        code = main.main(words)
    except Started:
        code = 0
    error = capfd.readouterr().err
    assert code in (0, 2)
    assert code == 0 or len(error.strip().splitlines()) == 1
    assert set(place.iterdir()) == before


FUZZ = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(st.data())
def test_any_flags_are_answered(stopped, capfd, data):
    command = data.draw(st.sampled_from(sorted(COMMANDS)))
    flags = st.tuples(st.sampled_from(sorted(COMMANDS[command])), VALUES_OF_ANY_KIND)
    given = data.draw(st.lists(flags, min_size=1, max_size=3))
    check_any([*command.split(), *(f"--{name}={value}" for name, value in given)], stopped, capfd)


@FUZZ
@given(st.lists(st.tuples(st.sampled_from(KEYS + OPTION_NAMES), VALUES_OF_ANY_KIND),
                min_size=1, max_size=3))  # fmt: skip
def test_any_configuration_is_answered(stopped, capfd, changes):
    words = [f"--config.{key}={value}" for key, value in changes]
    check_any([*TRAIN.split(), "--dry_run", *words], stopped, capfd)


def process(words, folder, **options):
    binary = shutil.which("tfgan-ema", path=os.path.dirname(sys.executable))
    return subprocess.run(
        [binary, *words], cwd=folder, capture_output=True, text=True, check=False, **options
    )


@pytest.mark.slow
@pytest.mark.parametrize("words", list(flag_cases())[::60], ids=" ".join)
def test_a_wrong_flag_is_one_line_of_a_process(place, words):
    before = listed(place)
    done = process(words, place)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert listed(place) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        "train --config=tiny.py --workdir=right",
        "sample --workdir=run --count=3 --out=right.npy",
        "export --workdir=run --out=exported",
        "export --model=ring_mlp --format=keras --out=layers",
        "figure run --out=right.png",
        "report run --out=right.html",
        "evaluate --samples=run --metrics=w1 --count=100",
    ],
)
def test_a_right_command_is_silent_but_for_what_it_has_done(place, words):
    done = process(words.split(), place)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout
    again = [word.replace("right", "quiet") for word in words.split()]
    done = process([*again, "--quiet", *["--overwrite"][: words.startswith("export")]], place)
    assert (done.returncode, done.stderr) == (0, "")
    assert bool(done.stdout) == words.startswith("evaluate")


def test_a_terminal_without_letters_of_ours_is_no_fault(tmp_path):
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    for words in (["dynamics", "--help"], ["zoo", "show", "ring_mlp"]):
        done = process(words, tmp_path, env=environment)
        assert (done.returncode, done.stderr) == (0, "")
        assert len(done.stdout.splitlines()) > 10


@pytest.mark.parametrize(
    "words",
    [
        ["zoo", "list"],
        pytest.param(["train", "--config=tiny.py", "--workdir=piped"], marks=pytest.mark.slow),
    ],
    ids=lambda words: words[0],
)
def test_a_closed_pipe_ends_nothing(place, words):
    binary = shutil.which("tfgan-ema", path=os.path.dirname(sys.executable))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([binary, *words], cwd=place, **pipes) as running:
        running.stdout.close()
        assert (running.stderr.read(), running.wait()) == (b"", 0)
    if words[0] == "train":
        assert (place / "piped" / "checkpoints" / "step_00000002.npz").exists()
