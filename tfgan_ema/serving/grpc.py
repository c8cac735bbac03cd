"""TF Serving's gRPC services, and the health check of gRPC."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from grpc_health.v1 import health, health_pb2_grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tfgan_ema.serving.models import DEFAULT, MOST_BYTES, Model, Refused, Version

CODES = {
    "invalid": grpc.StatusCode.INVALID_ARGUMENT,
    "unknown": grpc.StatusCode.NOT_FOUND,
    "large": grpc.StatusCode.INVALID_ARGUMENT,
    "busy": grpc.StatusCode.UNAVAILABLE,
    "late": grpc.StatusCode.DEADLINE_EXCEEDED,
}


def server(model: Model) -> grpc.aio.Server:
    """A server with the services of a model, without a port."""
    limits = {"grpc.max_receive_message_length": MOST_BYTES, "grpc.max_send_message_length": -1}
    made = grpc.aio.server(options=[*limits.items()])
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_Predictions(model), made)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_Status(model), made)
    state = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(state, made)
    return made


def _refusing(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def answer(self: Any, request: Any, context: grpc.aio.ServicerContext) -> Any:
        try:
            return await method(self, request)
        except Refused as error:
            await context.abort(CODES[error.reason], str(error))

    return answer


class _Predictions(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, model: Model) -> None:
        self._model = model

    @_refusing
    async def Predict(self, request: Any) -> Any:
        with self._model.metrics.request("grpc"):
            version = _asked(self._model, request.model_spec)
            signature = request.model_spec.signature_name or DEFAULT
            tensors = {name: _array(name, proto) for name, proto in request.inputs.items()}
            if [name for name in request.output_filter if name != "images"]:
                raise Refused("invalid", "output_filter: the only output is images")
            images = await self._model.predict(version, signature, tensors)
            answer = predict_pb2.PredictResponse()
            _describe(answer.model_spec, self._model, version).signature_name = signature
            answer.outputs["images"].CopyFrom(tf.make_tensor_proto(images))
            return answer

    @_refusing
    async def GetModelMetadata(self, request: Any) -> Any:
        if [*request.metadata_field] != ["signature_def"]:
            raise Refused("invalid", "metadata_field: expected signature_def")
        version = _asked(self._model, request.model_spec)
        known = get_model_metadata_pb2.SignatureDefMap(signature_def=version.signatures)
        answer = get_model_metadata_pb2.GetModelMetadataResponse()
        _describe(answer.model_spec, self._model, version)
        answer.metadata["signature_def"].Pack(known)
        return answer


class _Status(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, model: Model) -> None:
        self._model = model

    @_refusing
    async def GetModelStatus(self, request: Any) -> Any:
        version = _asked(self._model, request.model_spec)
        answer = get_model_status_pb2.GetModelStatusResponse()
        state = get_model_status_pb2.ModelVersionStatus.AVAILABLE
        answer.model_version_status.add(version=version.number, state=state)
        return answer


def _asked(model: Model, spec: Any) -> Version:
    model.check_name(spec.name)
    return model.version(spec.version.value if spec.HasField("version") else None)


def _describe(spec: Any, model: Model, version: Version) -> Any:
    spec.name = model.name
    spec.version.value = version.number
    return spec


def _array(name: str, proto: Any) -> np.ndarray:
    """A tensor; one value may stand for many, so its size is checked before it is made."""
    sizes = [dimension.size for dimension in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or min(sizes, default=0) < 0:
        raise Refused("invalid", f"{name}: its shape is unknown")
    if 8 * math.prod(sizes) > MOST_BYTES:
        raise Refused("large", f"{name}: it is larger than {MOST_BYTES} bytes")
    try:
        return tf.make_ndarray(proto)
    except (TypeError, ValueError) as error:
        raise Refused("invalid", f"{name}: {error}") from None
