"""Both interfaces on their ports, until the process is told to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from tfgan_ema.errors import UsageError
from tfgan_ema.serving import grpc, rest
from tfgan_ema.serving.models import Model

GRACE = 30.0  # seconds that running requests are given at the end


def serve(
    name: str,
    folder: Path,
    *,
    host: str,
    rest_port: int,
    grpc_port: int,
    batch: int,
    timeout: float,
    ready: Callable[[str], None] = print,
) -> None:
    """Serves a model until SIGINT or SIGTERM; requests that are running then are answered.

    Args:
        name: of the model in requests.
        folder: a SavedModel, or a folder of versions, of which the newest is served.
        host: the address to listen at.
        rest_port: of the REST interface; 0 chooses a free one.
        grpc_port: of gRPC; 0 chooses a free one.
        batch: how many rows of several requests are run together.
        timeout: seconds after which a request is given up.
        ready: is told in one line where requests are answered.

    Raises:
        UsageError: no model there, or a port that is taken.
    """
    model = Model(name, folder, batch, timeout)

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await answer(model, host, rest_port, grpc_port, ready, stop)

    asyncio.run(run())


async def answer(
    model: Model,
    host: str,
    rest_port: int,
    grpc_port: int,
    ready: Callable[[str], None],
    stop: asyncio.Event,
) -> None:
    """Answers requests until ``stop`` is set; see `serve`."""
    work = [asyncio.create_task(task()) for task in (model.answer, model.watch)]
    runner = web.AppRunner(rest.application(model), shutdown_timeout=GRACE, access_log=None)
    await runner.setup()
    site, services = web.TCPSite(runner, host, rest_port), grpc.server(model)
    try:
        rest_port = await _listen(site, runner, rest_port)
        grpc_port = _bind(services, host, grpc_port)
        await services.start()
        ready(
            f"{model.name}, version {model.newest.number}: REST at http://{host}:{rest_port}"
            f"/v1/models/{model.name}, gRPC at {host}:{grpc_port}; Ctrl-C stops it"
        )
        await stop.wait()
    finally:
        await asyncio.gather(services.stop(GRACE), runner.cleanup())
        for task in work:
            task.cancel()


async def _listen(site: web.TCPSite, runner: web.AppRunner, port: int) -> int:
    try:
        await site.start()
    except OSError as error:
        raise UsageError(f"rest_port={port}: {error.strerror}; choose another one.") from None
    return runner.addresses[0][1]


def _bind(services: grpc.grpc.aio.Server, host: str, port: int) -> int:
    try:
        return services.add_insecure_port(f"{host}:{port}")
    except RuntimeError:
        raise UsageError(
            f"grpc_port={port}: it cannot be had at {host}; choose another one."
        ) from None
