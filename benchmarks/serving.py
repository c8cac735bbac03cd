"""`tfgan-ema serve` under load, beside calling the SavedModel in process.

    pip install -e '.[serve]'
    python -m benchmarks.serving [--model=sngan_cifar10] [--clients=8] [--seconds=60] [--rows=16]

Every client sends gRPC requests one after another; a tenth of them are wrong. Each answer is
compared with the SavedModel's own. Clients and server share the machine's cores.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import zoo
from tfgan_ema import command

FLAGS = command.new_flags(
    ("model", str, "sngan_cifar10", "Model of `tfgan-ema zoo list`."),
    ("clients", command.whole(), 8, "Clients at once."),
    ("seconds", command.number("(0, inf)"), 60.0, "How long they ask."),
    ("rows", command.whole(), 16, "Latents of a request."),
)
INPUTS = 16  # different requests
WRONG = 10  # one request in so many has latents of another width


class Load(NamedTuple):
    """What the clients saw.

    Attributes:
        answered: right requests with the right images.
        refused: wrong requests that were refused.
        failures: all others, in words.
        images_per_second: images of all clients together.
        megabytes: of the server's memory after the first and the last quarter.
    """

    answered: int
    refused: int
    failures: list[str]
    images_per_second: float
    megabytes: tuple[float, float]


@contextlib.contextmanager
def serving(model: str) -> Iterator[tuple[subprocess.Popen, int]]:
    """A server in a process of its own, and its port for gRPC."""
    words = [sys.executable, "-m", "tfgan_ema.cli.main", "serve", model]
    words += ["--rest_port=0", "--grpc_port=0"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        yield process, int(re.search(r"gRPC at \S+:(\d+)", process.stdout.readline())[1])
    finally:
        process.terminate()
        process.wait()


def requests(model: str, rows: int) -> list[tuple[dict[str, np.ndarray], np.ndarray]]:
    """Inputs of the prior, and their images."""
    from tfgan_ema import formats

    loaded = zoo.load(model)
    feeds = [formats.inputs(loaded, rows, seed) for seed in range(INPUTS)]
    return [(feed, formats.run_saved_model(loaded)(feed)) for feed in feeds]


def load(
    model: str, process: subprocess.Popen, port: int, clients: int, seconds: float, rows: int
) -> Load:
    """Lets clients ask for some time."""
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    known = requests(model, rows)
    start = time.monotonic()

    def message(feed: dict[str, np.ndarray]) -> Any:
        made = predict_pb2.PredictRequest()
        made.model_spec.name = model
        for name, value in feed.items():
            made.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        return made

    messages = [message(feed) for feed, _ in known]
    wrong = message(known[0][0] | {"latent": np.zeros((rows, 3), "float32")})

    def ask(client: int) -> tuple[int, int, list[str]]:
        answered, refused, failures = 0, 0, []
        options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            turn = client
            while time.monotonic() - start < seconds:
                turn += 1
                try:
                    if turn % WRONG == 0:
                        stub.Predict(wrong, 60)
                        failures.append("a wrong request was answered")
                        continue
                    answer = stub.Predict(messages[turn % INPUTS], 60)
                except grpc.RpcError as error:
                    if turn % WRONG == 0 and error.code() == grpc.StatusCode.INVALID_ARGUMENT:
                        refused += 1
                    else:
                        failures.append(f"{error.code()}: {error.details()}")
                    continue
                images = tf.make_ndarray(answer.outputs["images"])
                if np.abs(images - known[turn % INPUTS][1]).max() > 1e-4:
                    failures.append("other images than the SavedModel's")
                else:
                    answered += 1
        return answered, refused, failures

    def memory(share: float) -> float:
        time.sleep(max(0.0, share * seconds - (time.monotonic() - start)))
        text = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1000

    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        asked = [pool.submit(ask, client) for client in range(clients)]
        megabytes = memory(0.25), memory(0.95)
        answers = [future.result() for future in asked]
    answered, refused = (sum(answer[i] for answer in answers) for i in (0, 1))
    failures = [failure for answer in answers for failure in answer[2]]
    return Load(
        answered, refused, failures, answered * rows / (time.monotonic() - start), megabytes
    )


def in_process(model: str, seconds: float, rows: int) -> float:
    """Images a second of the SavedModel itself."""
    from tfgan_ema import formats

    generate, (feed, _) = formats.run_saved_model(zoo.load(model)), requests(model, rows)[0]
    generate(feed)
    count, start = 0, time.monotonic()
    while time.monotonic() - start < seconds:
        generate(feed)
        count += rows
    return count / (time.monotonic() - start)


def _run(values: command.Flags, _: list[str]) -> None:
    command.start_engine()
    alone = in_process(values.model, values.seconds / 6, values.rows)
    with serving(values.model) as (process, port):
        seen = load(values.model, process, port, values.clients, values.seconds, values.rows)
    before, after = seen.megabytes
    print(
        f"{values.model}, {values.clients} clients for {values.seconds:g} s, {values.rows} rows: "
        f"{seen.answered} answered, {seen.refused} wrong ones refused, "
        f"{len(seen.failures)} failed; {seen.images_per_second:.0f} images/s, in process "
        f"{alone:.0f} (x{seen.images_per_second / alone:.2f}); {before:.0f} -> {after:.0f} MB"
    )
    for failure in sorted({*seen.failures})[:5]:
        print(failure)


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    return command.run(_run, FLAGS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
