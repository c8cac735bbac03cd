"""Exports as TF Serving sees them: by signature, from JSON, in a process with TensorFlow alone."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import toy
import yaml
from PIL import Image

import tfgan_ema as tg
from tfgan_ema import export

# What a server does with a body: JSON to tensors of the signature's types, in the row format each
# value gaining the axis of its instances, and the outputs back. Answers one line for one request.
SERVER = """
import json, sys
sys.modules["tfgan_ema"] = sys.modules["keras"] = None  # importing them now fails
import numpy as np, tensorflow as tf

folder = sys.argv[1]
with tf.compat.v1.Session(graph=tf.Graph()) as session:
    signatures = tf.compat.v1.saved_model.load(session, ["serve"], folder).signature_def
    describe = lambda info: [
        tf.as_dtype(info.dtype).name,
        None if info.tensor_shape.unknown_rank else [d.size for d in info.tensor_shape.dim],
    ]
    print(json.dumps({
        name: {
            "inputs": {key: describe(info) for key, info in signature.inputs.items()},
            "outputs": {key: describe(info) for key, info in signature.outputs.items()},
            "method": signature.method_name,
        }
        for name, signature in signatures.items() if signature.method_name
    }))

model = tf.saved_model.load(folder)
for line in sys.stdin:
    body = json.loads(line)
    name = body.get("signature_name", "serving_default")
    types = {key: tf.as_dtype(info.dtype) for key, info in signatures[name].inputs.items()}
    if "instances" in body:
        named = body["instances"]
        if isinstance(named[0], dict):
            named = {key: [row[key] for row in named] for key in named[0]}
    else:
        named = body["inputs"]
    if not isinstance(named, dict):
        (only,) = types
        named = {only: named}
    tensors = {key: tf.constant(np.asarray(value), types[key]) for key, value in named.items()}
    try:
        images = model.signatures[name](**tensors)["images"]
        key = "predictions" if "instances" in body else "outputs"
        print(json.dumps({key: images.numpy().tolist(), "dtype": images.dtype.name}))
    except tf.errors.InvalidArgumentError as error:
        print(json.dumps({"error": error.message}))
"""


class Served:
    """An export, the answers of its server, and the signatures that the server read."""

    def __init__(self, gan, folder, bodies):
        self.gan, self.folder = gan, export.saved_model(gan, folder)
        done = subprocess.run(
            [sys.executable, "-c", SERVER, str(self.folder)],
            input="\n".join(map(json.dumps, bodies.values())), capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        self.signatures, *answers = map(json.loads, done.stdout.splitlines())
        self.answers = dict(zip(bodies, answers, strict=True))

    def images(self, name, key):
        answer = self.answers[name]
        assert key in answer, answer
        return np.asarray(answer[key], answer["dtype"])


LATENT = np.random.default_rng(0).normal(size=(2, 6)).round(3)
ROWS = LATENT.tolist()


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    gan = toy.gan(averages=[tg.EMA(0.5)])
    toy.fit(gan, 2)
    return Served(
        gan,
        tmp_path_factory.mktemp("plain") / "exported" / "quickstart" / "1",
        {
            "row": {"instances": ROWS},
            "row by name": {"instances": [{"latent": row} for row in ROWS]},
            "column": {"inputs": ROWS},
            "column by name": {"inputs": {"latent": ROWS}},
            "sample": {"signature_name": "sample", "inputs": {"count": 5, "seed": 9}},
            "none": {"signature_name": "sample", "inputs": {"count": 0, "seed": 9}},
            "large seed": {"signature_name": "sample", "inputs": {"count": 1, "seed": 2**62}},
            "width": {"instances": [row[:5] for row in ROWS]},
            "one latent": {"inputs": {"latent": ROWS[0]}},
            "negative": {"signature_name": "sample", "inputs": {"count": -1, "seed": 0}},
            "huge": {"signature_name": "sample", "inputs": {"count": 2**31 - 1, "seed": 0}},
            "limit": {
                "signature_name": "sample", "inputs": {"count": export.MOST_SAMPLES + 1, "seed": 0}
            },
            "row sample": {"signature_name": "sample", "instances": [{"count": 5, "seed": 9}]},
            "after all": {"signature_name": "sample", "inputs": {"count": 5, "seed": 9}},
        },
    )  # fmt: skip


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    gan = toy.gan(averages=[tg.EMA(0.5)], num_classes=3)
    toy.fit(gan, 2)
    both = {"latent": ROWS, "label": [0, 2]}
    one = {"count": 4, "seed": 3}
    return Served(
        gan,
        tmp_path_factory.mktemp("conditional") / "1",
        {
            "row": {
                "instances": [{"latent": ROWS[0], "label": 0}, {"latent": ROWS[1], "label": 2}]
            },
            "column": {"inputs": both},
            "sample": {"signature_name": "sample", "inputs": one},
            "sample label": {"signature_name": "sample_label", "inputs": one | {"label": 1}},
            "no class": {"inputs": both | {"label": [0, 3]}},
            "below": {"signature_name": "sample_label", "inputs": one | {"label": -1}},
            "one label": {"inputs": both | {"label": [1]}},
            "width": {"inputs": both | {"latent": [row[:5] for row in ROWS]}},
        },
    )  # fmt: skip


def test_a_server_reads_names_types_and_shapes(plain, conditional):
    images = {"images": ["float32", [-1, 8, 8, 3]]}
    drawn = {"images": ["uint8", [-1, 8, 8, 3]]}
    latent, count, seed = ["float32", [-1, 6]], ["int32", []], ["int64", []]
    expected = {
        "serving_default": ({"latent": latent}, images),
        "sample": ({"count": count, "seed": seed}, drawn),
    }
    labelled = {
        "serving_default": ({"latent": latent, "label": ["int32", [-1]]}, images),
        "sample": expected["sample"],
        "sample_label": ({"count": count, "seed": seed, "label": ["int32", []]}, drawn),
    }
    for served, wanted in ((plain, expected), (conditional, labelled)):
        assert served.signatures == {
            name: {"inputs": inputs, "outputs": outputs, "method": "tensorflow/serving/predict"}
            for name, (inputs, outputs) in wanted.items()
        }


@pytest.mark.parametrize("form", ["row", "row by name", "column", "column by name"])
def test_every_form_of_body_gives_the_generators_images(plain, form):
    images = plain.images(form, "predictions" if form.startswith("row") else "outputs")
    assert images.dtype == np.float32
    np.testing.assert_allclose(images, plain.gan.generate(LATENT), atol=1e-6)


def test_samples_are_those_of_the_gan(plain):
    for name, count, seed in [("sample", 5, 9), ("large seed", 1, 2**62), ("after all", 5, 9)]:
        images = plain.images(name, "outputs")
        assert images.dtype == np.uint8
        np.testing.assert_array_equal(images, plain.gan.sample(count, seed))
    assert plain.images("none", "outputs").shape[0] == 0


def test_conditional_bodies(conditional):
    expected = conditional.gan.generate(LATENT, [0, 2])
    for form, key in (("row", "predictions"), ("column", "outputs")):
        np.testing.assert_allclose(conditional.images(form, key), expected, atol=1e-6)
    np.testing.assert_array_equal(
        conditional.images("sample", "outputs"), conditional.gan.sample(4, 3)
    )
    np.testing.assert_array_equal(
        conditional.images("sample label", "outputs"), conditional.gan.sample(4, 3, labels=[1] * 4)
    )


REFUSALS = [
    ("plain", "width", r"latent\S* \[2,5\] is not compatible with expected shape \[\?,6\]"),
    ("plain", "one latent", r"latent\S* \[6\] is not compatible with expected shape \[\?,6\]"),
    ("plain", "negative", r"count must not be negative"),
    ("plain", "huge", r"count must be at most 4096.*2147483647"),
    ("plain", "limit", r"count must be at most 4096.*4097"),
    ("plain", "row sample", r"(count|seed)\S* \[1\] is not compatible with expected shape \[\]"),
    ("conditional", "no class", r"label not below 3"),
    ("conditional", "below", r"label must not be negative"),
    ("conditional", "one label", r"latent and label differ in their rows.*\[2\].*\[1\]"),
    ("conditional", "width", r"latent\S* \[2,5\] is not compatible with expected shape \[\?,6\]"),
]


@pytest.mark.parametrize(("kind", "name", "words"), REFUSALS, ids=lambda value: str(value)[:20])
def test_bad_requests_are_refused_by_the_model(request, kind, name, words):
    answer = request.getfixturevalue(kind).answers[name]
    assert re.search(words, answer.get("error", "it was served"), re.DOTALL)


GUIDE = Path(__file__).parents[1] / "docs" / "serving.md"


def test_the_guide_has_no_body_that_is_not_json():
    text = GUIDE.read_text(encoding="utf-8")
    bodies = re.findall(r"```json\n(.*?)```", text, re.DOTALL) + re.findall(r"-d '(.*?)'", text)
    assert len(bodies) >= 4
    for body in map(json.loads, bodies):
        assert ("instances" in body) != ("inputs" in body)


def test_the_guides_scripts_run_with_tensorflow_alone(plain, tmp_path):
    """The ones that need no server; `COUNT` makes the batch job short."""
    scripts = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    scripts = [script for script in scripts if not script.startswith("# gRPC")]
    assert len(scripts) == 2
    (tmp_path / "exported").symlink_to(plain.folder.parents[1])
    alone = 'import os, sys\nsys.modules["tfgan_ema"] = None\nos.environ["COUNT"] = "7"\n'
    checks = "\nassert images.shape[0] == 16 and same.shape == (2, 8, 8, 3)\n"
    subprocess.run(
        [sys.executable, "-c", alone + scripts[0] + checks + scripts[1]],
        check=True, cwd=tmp_path,
    )  # fmt: skip
    paths = sorted((tmp_path / "images").iterdir())
    assert [path.name for path in paths] == [f"{i:06d}.png" for i in range(7)]
    images = [np.asarray(Image.open(path)) for path in paths]
    np.testing.assert_array_equal(images, plain.gan.sample(7, 0))


def test_the_guides_compose_file_starts_what_its_command_starts():
    text = GUIDE.read_text(encoding="utf-8")
    words = re.search(r"docker run (.*?)```", text, re.DOTALL)[1].replace("\\\n", "").split()
    (service,) = yaml.safe_load(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1])[
        "services"
    ].values()
    assert service["image"] == words[-1]
    ports = [words[i + 1] for i, word in enumerate(words) if word == "-p"]
    assert service["ports"] == [f"127.0.0.1:{port}" for port in ports]
    variable, value = words[words.index("-e") + 1].split("=")
    assert service["environment"] == {variable: value}
    volume = words[words.index("-v") + 1].strip('"').replace("$PWD", ".")
    assert service["volumes"] == [f"{volume}:ro"]
