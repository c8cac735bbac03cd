# ruff: noqa: E402  the imports follow the check for the extra
"""`tfgan-ema serve` as its clients see it: the guide's requests word for word, and wrong ones."""

import asyncio
import concurrent.futures
import json
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import keras
import numpy as np
import pytest

import tfgan_ema as tg
import zoo
from benchmarks import serving as load
from tfgan_ema import command, export
from tfgan_ema.errors import UsageError

for package in ("aiohttp", "grpc_health", "orjson", "prometheus_client", "tensorflow_serving"):
    pytest.importorskip(package, reason=f"needs: {command.INSTALL[package]}")

import grpc
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tfgan_ema.serving import models, server

GUIDE = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
BODIES = [json.loads(body) for body in re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL)]


def gan(classes=None):
    """A GAN of 8 px images whose latents have three values, as in the guide."""
    keras.utils.set_random_seed(0)
    latent, images = keras.Input((3,)), keras.Input((8, 8, 3))
    label = [] if classes is None else [keras.Input((), dtype="int32")]
    x = keras.layers.Dense(192)(latent)
    if label:
        x = keras.layers.Add()([x, keras.layers.Embedding(classes, 192)(label[0])])
    x = keras.layers.Reshape((8, 8, 3))(keras.layers.Activation("tanh")(x))
    logits = keras.layers.Dense(1)(keras.layers.Flatten()(images))
    pair = keras.Model([latent, *label] if label else latent, x), None
    if label:
        logits = keras.layers.Add()([logits, keras.layers.Embedding(classes, 1)(label[0])])
    pair = pair[0], keras.Model([images, *label] if label else images, logits)
    return tg.GAN(*pair, latent=3, num_classes=classes, averages=[tg.EMA(0.5)])


class Server:
    """A server in a thread of this process."""

    def __init__(self, gan, folder, **options):
        self.gan = gan
        self.folder = export.saved_model(gan, folder / "1").parent
        ready, found = threading.Event(), {}

        def told(line):
            found["line"] = line
            ready.set()

        async def run():
            self.stop, self.loop = asyncio.Event(), asyncio.get_running_loop()
            self.model = models.Model("quickstart", self.folder, 64, options.get("timeout", 60.0))
            await server.answer(self.model, "127.0.0.1", 0, 0, told, self.stop)

        self.thread = threading.Thread(target=asyncio.run, args=[run()])
        self.thread.start()
        assert ready.wait(60)
        self.rest, self.grpc = map(int, re.findall(r"127\.0\.0\.1:(\d+)", found["line"]))

    def close(self):
        self.loop.call_soon_threadsafe(self.stop.set)
        self.thread.join(60)
        assert not self.thread.is_alive()

    def ask(self, path, body=None):
        """The status and the content of an answer."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        url = path if "://" in path else f"http://127.0.0.1:{self.rest}{path}"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data), timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def predict(self, body):
        status, content = self.ask("/v1/models/quickstart:predict", body)
        return status, json.loads(content)

    def stub(self, kind):
        channel = grpc.insecure_channel(f"127.0.0.1:{self.grpc}")
        return channel, kind(channel)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    made = Server(gan(), tmp_path_factory.mktemp("plain"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    made = Server(gan(10), tmp_path_factory.mktemp("conditional"))
    yield made
    made.close()


def test_the_guides_bodies_are_answered_with_the_generators_images(plain, conditional):
    kinds = {"instances": "predictions", "inputs": "outputs"}
    assert len(BODIES) >= 3
    for body in BODIES:
        form, given = next(iter(body.items()))
        if "label" in json.dumps(body):
            rows = given if isinstance(given, dict) else {
                name: [row[name] for row in given] for name in given[0]
            }  # fmt: skip
            asked, wanted = conditional, conditional.gan.generate(rows["latent"], rows["label"])
        else:
            asked, wanted = plain, plain.gan.generate(given)
        status, answer = asked.predict(body)
        assert (status, [*answer]) == (200, [kinds[form]])
        np.testing.assert_allclose(answer[kinds[form]], wanted, atol=1e-6)


def test_the_guides_curl_gets_its_images(plain):
    (url, body), *others = re.findall(r"curl (http://\S+) \\\n\s+-d '(.*?)'", GUIDE)
    assert not others
    done = subprocess.run(
        ["curl", "-s", url.replace("localhost:8501", f"127.0.0.1:{plain.rest}"), "-d", body],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    images = json.loads(done.stdout)["outputs"]
    np.testing.assert_array_equal(images, plain.gan.sample(16, 0))


def test_the_guides_grpc_client_gets_its_images(plain):
    (client,) = re.findall(r"```python\n(# gRPC.*?)```", GUIDE, re.DOTALL)
    found = {}
    exec(client.replace("localhost:8500", f"127.0.0.1:{plain.grpc}"), found)
    found["channel"].close()
    assert found["images"].dtype == np.uint8
    np.testing.assert_array_equal(found["images"], plain.gan.sample(16, 0))


def test_one_class_of_a_conditional_generator(conditional):
    body = {"signature_name": "sample_label", "inputs": {"count": 4, "seed": 3, "label": 7}}
    status, answer = conditional.predict(body)
    assert status == 200
    wanted = conditional.gan.sample(4, 3, labels=[7] * 4)
    np.testing.assert_array_equal(answer["outputs"], wanted)


SAMPLE = {"signature_name": "sample"}
REFUSED = [
    (b"{", 400, "JSON Parse error"),
    (b"[" * 5000, 400, "JSON Parse error"),
    ([1], 400, "expected a JSON object"),
    ({}, 400, "expected a JSON object"),
    ({"inputs": [], "instances": []}, 400, "expected a JSON object"),
    ({"instances": []}, 400, "at least one row"),
    ({"instances": [[0, 0, 0], [0, 0]]}, 400, "different lengths"),
    ({"instances": [{"latent": [0, 0, 0]}, {"z": [0, 0, 0]}]}, 400, "the same names"),
    ({"instances": [[0, 0, 0, 0, 0]]}, 400, "[1,5] is not compatible with expected shape [?,3]"),
    ({"instances": ["text"]}, 400, "not of the type float32"),
    ({"instances": [[True, False, True]]}, 400, "not of the type float32"),
    (b'{"instances": [[1e39, 0, 0]]}', 400, "expected finite numbers"),
    ({"inputs": {"z": [[0, 0, 0]]}}, 400, "expected latent, got z"),
    ({"signature_name": "draw", "inputs": 0}, 400, "not found in sample, serving_default"),
    ({"signature_name": 3, "inputs": 0}, 400, "must be a string"),
    (SAMPLE | {"inputs": 3}, 400, "by name: count, seed"),
    (SAMPLE | {"inputs": {"count": 1.5, "seed": 0}}, 400, "not of the type int32"),
    (SAMPLE | {"inputs": {"count": 2**31, "seed": 0}}, 400, "out of the range of int32"),
    (SAMPLE | {"inputs": {"count": 5000, "seed": 0}}, 400, "count must be at most 4096"),
    (SAMPLE | {"inputs": {"count": -1, "seed": 0}}, 400, "count must not be negative"),
    (SAMPLE | {"instances": [{"count": 5, "seed": 9}]}, 400, "compatible with expected shape []"),
    ({"instances": [[0, 0, 0]] * 4097}, 400, "4097 rows: expected at most 4096"),
    (b" " * (models.MOST_BYTES + 1), 413, "the body is larger"),
]


@pytest.mark.parametrize(("body", "status", "message"), REFUSED, ids=lambda v: str(v)[:30])
def test_wrong_bodies_are_refused_and_the_next_is_answered(plain, body, status, message):
    code, answer = plain.predict(body)
    assert code == status
    assert [*answer] == ["error"]
    assert message in answer["error"]
    assert plain.predict({"instances": [[0, 0, 0]]})[0] == 200


def test_labels_that_are_no_class_are_refused(conditional):
    for label, message in ((10, "label not below 10"), (-1, "label must not be negative")):
        body = {"instances": [{"latent": [0, 0, 0], "label": label}]}
        status, answer = conditional.predict(body)
        assert status == 400
        assert message in answer["error"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/models/quickstart/versions/1", 200),
        ("/v1/models/quickstart/versions/2", 404),
        ("/v1/models/other", 404),
        ("/v1/models/quickstart:predict", 405),
        ("/v1/models/quickstart:classify", 404),
        ("/v2", 404),
        ("/health", 200),
    ],
)
def test_paths(plain, path, code):
    status, content = plain.ask(path)
    assert status == code
    assert ("error" in json.loads(content)) == (code != 200)


def test_status_metadata_and_metrics(plain):
    status = json.loads(plain.ask("/v1/models/quickstart")[1])["model_version_status"]
    assert status == [
        {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    ]
    metadata = json.loads(plain.ask("/v1/models/quickstart/versions/1/metadata")[1])
    assert metadata["model_spec"] == {"name": "quickstart", "signature_name": "", "version": "1"}
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    assert signatures.keys() == {"serving_default", "sample"}
    assert signatures["serving_default"]["inputs"]["latent"]["dtype"] == "DT_FLOAT"
    plain.predict({"instances": [[0, 0, 0]]})
    plain.predict({})
    text = plain.ask("/monitoring/prometheus/metrics")[1].decode()
    for outcome in ("answered", "invalid"):
        label = f'tfgan_ema_requests_total{{outcome="{outcome}",protocol="rest"}}'
        assert any(line.startswith(label) for line in text.splitlines())


def request(name="quickstart", version=None, **tensors):
    made = predict_pb2.PredictRequest()
    made.model_spec.name = name
    if version is not None:
        made.model_spec.version.value = version
    for key, value in tensors.items():
        made.inputs[key].CopyFrom(value)
    return made


def test_grpc_has_the_same_images_and_refusals(plain):
    channel, stub = plain.stub(prediction_service_pb2_grpc.PredictionServiceStub)
    latent = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    with channel:
        answer = stub.Predict(request(latent=tf.make_tensor_proto(latent), version=1))
        np.testing.assert_allclose(
            tf.make_ndarray(answer.outputs["images"]), plain.gan.generate(latent), atol=1e-6
        )
        spec = answer.model_spec
        assert (spec.name, spec.version.value) == ("quickstart", 1)
        bomb = tf.make_tensor_proto(np.float32(0))
        bomb.tensor_shape.dim.add(size=2**40)
        for wrong, code in [
            (request("other", latent=tf.make_tensor_proto(latent)), "NOT_FOUND"),
            (request(version=2, latent=tf.make_tensor_proto(latent)), "NOT_FOUND"),
            (request(), "INVALID_ARGUMENT"),
            (request(latent=bomb), "INVALID_ARGUMENT"),
            (request(latent=tf.make_tensor_proto(latent.astype("float64"))), "INVALID_ARGUMENT"),
            (request(latent=tf.make_tensor_proto(latent[:, :2])), "INVALID_ARGUMENT"),
        ]:
            with pytest.raises(grpc.RpcError) as error:
                stub.Predict(wrong)
            assert error.value.code().name == code
        asked = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        asked.model_spec.name = "quickstart"
        found = get_model_metadata_pb2.SignatureDefMap()
        stub.GetModelMetadata(asked).metadata["signature_def"].Unpack(found)
        assert {*found.signature_def} == {"serving_default", "sample"}


def test_grpc_status_and_health(plain):
    channel, stub = plain.stub(model_service_pb2_grpc.ModelServiceStub)
    with channel:
        asked = get_model_status_pb2.GetModelStatusRequest()
        asked.model_spec.name = "quickstart"
        (row,) = stub.GetModelStatus(asked).model_version_status
        assert row.version == 1
        assert row.state == get_model_status_pb2.ModelVersionStatus.AVAILABLE
        state = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert state.status == health_pb2.HealthCheckResponse.SERVING


def test_requests_are_joined_and_a_bad_one_harms_nobody(conditional):
    latents = np.random.default_rng(0).normal(size=(24, 2, 3)).astype("float32")
    wanted = [conditional.gan.generate(latent, [1, 2]) for latent in latents]
    ran, run = [], models.Version.run

    def slow(version, signature, tensors):
        ran.append(len(tensors["latent"]))
        time.sleep(0.05)
        return run(version, signature, tensors)

    def ask(i):
        labels = [1, 10] if i % 8 == 0 else [1, 2]
        return conditional.predict({"inputs": {"latent": latents[i].tolist(), "label": labels}})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models.Version, "run", slow)
        with concurrent.futures.ThreadPoolExecutor(24) as pool:
            answers = [*pool.map(ask, range(24))]
    assert max(ran) > 2
    for i, (status, answer) in enumerate(answers):
        assert status == (400 if i % 8 == 0 else 200)
        if status == 200:
            np.testing.assert_allclose(answer["outputs"], wanted[i], atol=1e-6)


def test_a_request_that_takes_too_long_is_given_up(conditional, monkeypatch):
    monkeypatch.setattr(conditional.model, "_timeout", 0.05)
    monkeypatch.setattr(models.Version, "run", lambda *_: time.sleep(0.3))
    status, answer = conditional.predict({"inputs": {"latent": [[0, 0, 0]], "label": [0]}})
    assert (status, answer) == (504, {"error": "no answer within 0.05 seconds"})
    time.sleep(0.4)


def test_a_newer_version_is_served_and_a_damaged_one_is_not(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(models, "_WATCH", 0.05)
    served = Server(gan(), tmp_path / "m")
    try:
        (tmp_path / "m" / "3").mkdir()
        (tmp_path / "m" / "3" / "saved_model.pb").write_bytes(b"x")
        export.copy(tmp_path / "m" / "1", tmp_path / "m" / "2")
        for _ in range(100):
            time.sleep(0.05)
            if "version 3" in capfd.readouterr().err:
                break
        assert served.model.newest.number == 1
        (tmp_path / "m" / "3" / "saved_model.pb").unlink()
        for _ in range(200):
            time.sleep(0.05)
            if served.model.newest.number == 2:
                break
        assert served.ask("/v1/models/quickstart/versions/2")[0] == 200
        assert served.ask("/v1/models/quickstart/versions/1")[0] == 404
    finally:
        served.close()


def test_versions_are_folders_with_whole_numbers(tmp_path):
    shipped = zoo.shipped.folder("ring_mlp")
    assert models.find_versions(shipped) == {1: shipped}
    with pytest.raises(UsageError, match="holds no SavedModel"):
        models.find_versions(tmp_path)


@pytest.fixture
def process(tmp_path):
    """`tfgan-ema serve` of a shipped model, at ports of its own."""
    words = ["serve", "sngan_fashion_mnist", "--rest_port=0", "--grpc_port=0"]
    started = subprocess.Popen(
        [sys.executable, "-m", "tfgan_ema.cli.main", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    yield started
    started.kill()
    started.wait()


@pytest.mark.slow
def test_the_command_answers_what_runs_when_it_is_stopped(process):
    line = process.stdout.readline()
    assert line.startswith("sngan_fashion_mnist, version 1: REST at http://127.0.0.1:")
    url = f"{re.search(r'http://[^,]+', line)[0]}:predict"
    body = json.dumps({"signature_name": "sample", "inputs": {"count": 500, "seed": 1}}).encode()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(urllib.request.urlopen, url, body, 60)
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        images = json.load(asked.result())["outputs"]
    np.testing.assert_array_equal(images, zoo.load("sngan_fashion_mnist").sample(500, 1))
    assert process.wait(60) == 0
    assert process.stderr.read() == ""


@pytest.mark.slow
def test_eight_clients_for_a_minute_with_wrong_requests_among_them():
    model = "sngan_fashion_mnist"
    with load.serving(model) as (process, port):
        seen = load.load(model, process, port, clients=8, seconds=60, rows=16)
    assert seen.failures == []
    assert min(seen.answered, seen.refused) > 10
    assert seen.megabytes[1] < 1.1 * seen.megabytes[0]
