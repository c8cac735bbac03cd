"""TF Serving's REST interface: predict by row and by column, metadata, status, metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import orjson
import prometheus_client as prometheus
from aiohttp import web
from google.protobuf.json_format import MessageToDict

from tfgan_ema.serving.models import (
    DEFAULT,
    MOST_BYTES,
    Model,
    Refused,
    Tensors,
    Version,
    check_names,
)

STATUS = {"invalid": 400, "unknown": 404, "large": 413, "busy": 503, "late": 504}
_MODEL = "/v1/models/{name:[^/:]+}"
_VERSION = _MODEL + r"/versions/{version:\d+}"


def application(model: Model) -> web.Application:
    """The routes of a model."""

    async def predict(request: web.Request) -> web.Response:
        with model.metrics.request("rest"):
            version = _asked(model, request)
            body = await _body(request)
            signature, tensors, by_row = await asyncio.to_thread(decode, body, version)
            images = await model.predict(version, signature, tensors)
            answer = {"predictions" if by_row else "outputs": np.ascontiguousarray(images)}
            text = await asyncio.to_thread(orjson.dumps, answer, None, orjson.OPT_SERIALIZE_NUMPY)
            return web.Response(body=text, content_type="application/json")

    async def metadata(request: web.Request) -> web.Response:
        version = _asked(model, request)
        signatures = {
            name: MessageToDict(signature, preserving_proto_field_name=True)
            for name, signature in version.signatures.items()
        }
        spec = {"name": model.name, "signature_name": "", "version": str(version.number)}
        known = {"signature_def": {"signature_def": signatures}}
        return web.json_response({"model_spec": spec, "metadata": known})

    async def status(request: web.Request) -> web.Response:
        version = _asked(model, request)
        row = {"version": str(version.number), "state": "AVAILABLE"}
        row["status"] = {"error_code": "OK", "error_message": ""}
        return web.json_response({"model_version_status": [row]})

    async def health(request: web.Request) -> web.Response:
        return web.json_response({"status": "SERVING"})

    async def metrics(request: web.Request) -> web.Response:
        text = prometheus.generate_latest(model.metrics.registry)
        return web.Response(body=text, headers={"Content-Type": prometheus.CONTENT_TYPE_LATEST})

    app = web.Application(client_max_size=MOST_BYTES, middlewares=[_one_line])
    for place in (_MODEL, _VERSION):
        app.router.add_post(f"{place}:predict", predict)
        app.router.add_get(f"{place}/metadata", metadata)
        app.router.add_get(place, status)
    app.router.add_get("/health", health)
    app.router.add_get("/monitoring/prometheus/metrics", metrics)
    return app


def decode(body: bytes, version: Version) -> tuple[str, Tensors, bool]:
    """The signature's name and its tensors, and whether the body was in the row form.

    Raises:
        Refused: what is wrong with the body.
    """
    try:
        content = orjson.loads(body)
    except ValueError as error:
        raise Refused("invalid", f"JSON Parse error: {error}") from None
    if not isinstance(content, dict) or ("instances" in content) == ("inputs" in content):
        raise Refused("invalid", "expected a JSON object with one of 'instances' and 'inputs'")
    signature = content.get("signature_name") or DEFAULT
    if not isinstance(signature, str):
        raise Refused("invalid", "'signature_name' must be a string")
    specs, by_row = version.specs(signature), "instances" in content
    given = content["instances" if by_row else "inputs"]
    if by_row:
        given = _columns(given)
    if not isinstance(given, dict):
        if len(specs) > 1:
            raise Refused("invalid", f"expected the inputs by name: {', '.join(sorted(specs))}")
        given = {next(iter(specs)): given}
    check_names(specs, given)
    tensors = {
        name: _tensor(name, given[name], spec.dtype.as_numpy_dtype) for name, spec in specs.items()
    }
    return signature, tensors, by_row


def _columns(rows: Any) -> Any:
    if not isinstance(rows, list) or not rows:
        raise Refused("invalid", "'instances' must be a list of at least one row")
    if not isinstance(rows[0], dict):
        return rows
    names = rows[0].keys()
    if any(not isinstance(row, dict) or row.keys() != names for row in rows):
        raise Refused("invalid", "'instances' must all have the same names")
    return {name: [row[name] for row in rows] for name in names}


def _tensor(name: str, value: Any, dtype: type) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError:
        raise Refused("invalid", f"{name}: the rows have different lengths") from None
    wanted = np.dtype(dtype)
    kinds = "iu" if wanted.kind in "iu" else "iuf"
    if array.size and array.dtype.kind not in kinds:
        raise Refused("invalid", f"{name}: a value is not of the type {wanted.name}")
    if wanted.kind in "iu" and array.size:
        limits = np.iinfo(wanted)
        if int(array.min()) < limits.min or int(array.max()) > limits.max:
            raise Refused("invalid", f"{name}: a value is out of the range of {wanted.name}")
    with np.errstate(over="ignore"):  # what becomes infinite is refused as such
        return array.astype(wanted)


async def _body(request: web.Request) -> bytes:
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise Refused("large", f"the body is larger than {MOST_BYTES} bytes") from None


def _asked(model: Model, request: web.Request) -> Version:
    model.check_name(request.match_info["name"])
    number = request.match_info.get("version")
    return model.version(None if number is None else int(number))


@web.middleware
async def _one_line(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Errors as TF Serving writes them."""
    try:
        return await handler(request)
    except Refused as error:
        return web.json_response({"error": str(error)}, status=STATUS[error.reason])
    except web.HTTPException as error:
        what = f"{request.method} {request.path}: {error.reason}"
        return web.json_response({"error": what}, status=error.status)
