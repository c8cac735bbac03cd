"""The newest version of a model, and requests answered in batches, one batch at a time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import prometheus_client as prometheus
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from tfgan_ema import export
from tfgan_ema.errors import UsageError, say

MOST_BYTES = 2**25  # of a request
MOST_WAITING = 256  # requests
DEFAULT = "serving_default"  # the one signature whose requests have rows that can be joined
_WATCH = 2.0  # seconds between looks for a new version

Tensors = dict[str, np.ndarray]


class Refused(Exception):
    """A request that is not answered, and why. ``reason`` is a key of both protocols' codes."""

    def __init__(self, reason: str, message: str) -> None:
        """``reason``: invalid, unknown, large, busy or late."""
        super().__init__(message)
        self.reason = reason


class Metrics:
    """What Prometheus reads."""

    def __init__(self) -> None:
        self.registry = prometheus.CollectorRegistry()
        self.requests = prometheus.Counter(
            "tfgan_ema_requests", "Requests by outcome.", ["protocol", "outcome"],
            registry=self.registry,
        )  # fmt: skip
        self.seconds = prometheus.Histogram(
            "tfgan_ema_request_seconds", "Time until a request was answered.", ["protocol"],
            registry=self.registry,
        )  # fmt: skip
        self.rows = prometheus.Histogram(
            "tfgan_ema_batch_rows", "Rows of the batches that were run.",
            buckets=[2**i for i in range(13)], registry=self.registry,
        )  # fmt: skip

    @contextlib.contextmanager
    def request(self, protocol: str) -> Iterator[None]:
        """Counts a request and takes its time."""
        outcome = "failed"
        try:
            with self.seconds.labels(protocol).time():
                yield
            outcome = "answered"
        except Refused as error:
            outcome = error.reason
            raise
        finally:
            self.requests.labels(protocol, outcome).inc()


class Version:
    """One loaded version of a model."""

    def __init__(self, number: int, folder: Path) -> None:
        """Loads it; raises `UsageError` if it is no exported generator, or a damaged one."""
        self.number = number
        self.loaded = export.load_generator(folder)
        content = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
        found = content.meta_graphs[0].signature_def
        self.signatures: dict[str, meta_graph_pb2.SignatureDef] = {
            name: signature for name, signature in found.items() if signature.method_name
        }

    def specs(self, signature: str) -> dict[str, tf.TensorSpec]:
        """What a signature takes, by name; raises `Refused` if there is none of that name."""
        if signature not in self.signatures:
            known = ", ".join(sorted(self.signatures))
            raise Refused("invalid", f"Serving signature name: {signature!r} not found in {known}")
        return self.loaded.signatures[signature].structured_input_signature[1]

    def check(self, signature: str, tensors: Tensors) -> None:
        """Refuses other inputs than a signature's, or inputs of other types."""
        specs = self.specs(signature)
        check_names(specs, tensors)
        for name, value in tensors.items():
            if value.dtype != specs[name].dtype.as_numpy_dtype:
                kind = specs[name].dtype.name
                raise Refused("invalid", f"{name}: expected {kind}, got {value.dtype}")
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                raise Refused("invalid", f"{name}: expected finite numbers")
        rows = max((len(value) for value in tensors.values() if value.ndim), default=1)
        if rows > export.MOST_SAMPLES:
            raise Refused("invalid", f"{rows} rows: expected at most {export.MOST_SAMPLES}")

    def run(self, signature: str, tensors: Tensors) -> np.ndarray:
        """The images of a signature; raises `Refused` with the model's own words."""
        given = {name: tf.constant(value) for name, value in tensors.items()}
        try:
            return self.loaded.signatures[signature](**given)["images"].numpy()
        except tf.errors.InvalidArgumentError as error:
            raise Refused("invalid", error.message) from None


def check_names(specs: Iterable[str], given: Iterable[str]) -> None:
    """Refuses other names of inputs than a signature's."""
    if {*specs} != {*given}:
        names = ", ".join(sorted(given)) or "none"
        raise Refused("invalid", f"inputs: expected {', '.join(sorted(specs))}, got {names}")


def find_versions(folder: Path) -> dict[int, Path]:
    """The versions in a folder as TF Serving knows them; a SavedModel itself is one, 1 or its name.

    Raises:
        UsageError: there is none.
    """
    if (folder / "saved_model.pb").is_file():
        name = folder.resolve().name
        return {int(name) if name.isdecimal() else 1: folder}
    found = {
        int(path.name): path
        for path in (folder.iterdir() if folder.is_dir() else ())
        if path.name.isdecimal() and (path / "saved_model.pb").is_file()
    }
    if not found:
        raise UsageError(
            f"{folder} holds no SavedModel: expected a folder that `tfgan-ema export` wrote, or "
            "one whose subfolders are versions, such as 1."
        )
    return found


class _Request(NamedTuple):
    version: Version
    signature: str
    tensors: Tensors
    answer: asyncio.Future


class Model:
    """A model under a name, whose newest version answers.

    Requests wait in a queue. While a batch runs, those for `DEFAULT` that arrive are joined to the
    next one. If a joined batch is refused, each of its requests is run alone, so that a bad one
    harms nobody else.
    """

    def __init__(self, name: str, folder: Path, batch: int, timeout: float) -> None:
        """Loads the newest version of ``folder``; at most ``batch`` rows are joined."""
        self.name, self.folder, self.metrics = name, folder, Metrics()
        self._batch, self._timeout = batch, timeout
        self._queue: asyncio.Queue[_Request] = asyncio.Queue(MOST_WAITING)
        self._thread = ThreadPoolExecutor(1)
        self.newest = self._load()

    def version(self, number: int | None = None) -> Version:
        """The newest version; raises `Refused` if another one is asked for."""
        if number is not None and number != self.newest.number:
            wanted = f"Servable not found for request: Specific({self.name}, {number})"
            raise Refused("unknown", wanted)
        return self.newest

    def check_name(self, name: str) -> None:
        """Raises `Refused` for the name of another model."""
        if name != self.name:
            raise Refused("unknown", f"Servable not found for request: Latest({name})")

    async def predict(self, version: Version, signature: str, tensors: Tensors) -> np.ndarray:
        """The images for a request; raises `Refused`."""
        version.check(signature, tensors)
        request = _Request(version, signature, tensors, asyncio.get_running_loop().create_future())
        try:
            self._queue.put_nowait(request)
        except asyncio.QueueFull:
            raise Refused("busy", f"{MOST_WAITING} requests are waiting: try again later") from None
        try:
            return await asyncio.wait_for(request.answer, self._timeout)
        except TimeoutError:
            raise Refused("late", f"no answer within {self._timeout:g} seconds") from None

    async def answer(self) -> None:
        """Answers requests for ever."""
        left = None
        while True:
            requests = [left or await self._queue.get()]
            left = None
            while not self._queue.empty():
                left = self._queue.get_nowait()
                if not self._fits(requests, left):
                    break
                requests.append(left)
                left = None
            requests = [request for request in requests if not request.answer.done()]
            if requests:
                await self._answer(requests)

    def _fits(self, requests: list[_Request], other: _Request) -> bool:
        first = requests[0]
        if not first.signature == other.signature == DEFAULT or first.version != other.version:
            return False
        if any(not _has_form(request) for request in (first, other)):
            return False
        return sum(len(r.tensors["latent"]) for r in (*requests, other)) <= self._batch

    async def _answer(self, requests: list[_Request]) -> None:
        version, signature, tensors, _ = requests[0]
        if len(requests) > 1:
            tensors = {
                name: np.concatenate([request.tensors[name] for request in requests])
                for name in tensors
            }
        loop = asyncio.get_running_loop()
        try:
            images = await loop.run_in_executor(self._thread, version.run, signature, tensors)
        except Exception as error:
            if len(requests) > 1:
                for request in requests:
                    await self._answer([request])
            elif not requests[0].answer.done():
                requests[0].answer.set_exception(error)
            return
        self.metrics.rows.observe(len(images))
        ends = np.cumsum([len(request.tensors["latent"]) for request in requests[:-1]], dtype=int)
        for request, part in zip(requests, np.split(images, ends), strict=True):
            if not request.answer.done():
                request.answer.set_result(part)

    async def watch(self) -> None:
        """Changes to newer versions as they appear, for ever."""
        refused = None
        while True:
            await asyncio.sleep(_WATCH)
            with contextlib.suppress(UsageError, OSError):  # nothing there at this moment
                newest = max(find_versions(self.folder))
                if newest in (self.newest.number, refused):
                    continue
                try:
                    self.newest = await asyncio.get_running_loop().run_in_executor(None, self._load)
                    say(f"serving version {newest} of {self.name}")
                except UsageError as error:
                    refused = newest
                    say(f"version {newest} of {self.name} is not served: {error}")

    def _load(self) -> Version:
        number, folder = max(find_versions(self.folder).items())
        version = Version(number, folder)
        latent = version.specs(DEFAULT)["latent"]
        first = {"latent": np.zeros((1, latent.shape[1]), "float32")}
        if version.loaded.conditional:
            first["label"] = np.zeros(1, "int32")
        version.run(DEFAULT, first)  # the first run is slow
        return version


def _has_form(request: _Request) -> bool:
    """Whether a request's tensors have rows of the right form, so that they can be joined."""
    tensors, specs = request.tensors, request.version.specs(request.signature)
    ranks = all(value.ndim == specs[name].shape.rank for name, value in tensors.items())
    if not ranks or len({len(value) for value in tensors.values()}) > 1:
        return False
    return tensors["latent"].shape[1] == specs["latent"].shape[1]
