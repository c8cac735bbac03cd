"""usage: tfgan-ema serve MODEL [--rest_port=8501] [--grpc_port=8500]

Serves an exported model over TF Serving's REST and gRPC protocol, to try it without the container.
MODEL is a folder of `tfgan-ema export`, a folder whose subfolders are versions, or a model of
`tfgan-ema zoo list`. A newer version is served as soon as it appears. Without --host only this
machine can reach it: there is no access control.
"""

from __future__ import annotations

from pathlib import Path

from tfgan_ema import command, progress
from tfgan_ema.errors import UsageError
from zoo import shipped

_PORT = command.whole(0, 65535)

FLAGS = command.new_flags(
    ("name", str, None, "Name of the model in requests (default: the folder's)."),
    ("host", str, "127.0.0.1", "Address to listen at."),
    ("rest_port", _PORT, 8501, "Port of REST; 0 chooses a free one."),
    ("grpc_port", _PORT, 8500, "Port of gRPC; 0 chooses a free one."),
    ("batch", command.whole(), 64, "Rows of several requests that are run together at most."),
    ("timeout", command.number("(0, inf)"), 60.0, "Seconds after which a request is given up."),
)


def _serve(values: command.Flags, positional: list[str]) -> None:
    if len(positional) != 1:
        raise UsageError(f"expected one model, got {positional or 'none'}: a folder or a name.")
    folder = shipped.locate(positional[0])
    command.start_engine()
    from tfgan_ema.serving import server

    server.serve(
        values.name or _name(folder),
        folder,
        host=values.host,
        rest_port=values.rest_port,
        grpc_port=values.grpc_port,
        batch=values.batch,
        timeout=values.timeout,
        ready=progress.note,
    )


def _name(folder: Path) -> str:
    """The folder's name, or that of the folder above a version."""
    path = folder.resolve()
    return path.parent.name if path.name.isdecimal() else path.name


main = command.main(_serve, FLAGS, __doc__)
