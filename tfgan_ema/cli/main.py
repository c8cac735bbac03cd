"""``tfgan-ema COMMAND [flags]``: finds the command's module and runs it.

Nothing heavy is imported here: ``tfgan-ema --help`` must answer at once.
"""

import importlib
import sys
from collections.abc import Sequence

from tfgan_ema import __version__, command
from tfgan_ema.errors import unknown

_LIBRARY, _LABORATORY = "tfgan_ema.cli", "tfgan_ema.lab.commands"
COMMANDS = {  # name: (package of its module, what it does)
    "train": (_LIBRARY, "train a GAN from a configuration, or resume an interrupted run"),
    "sweep": (_LIBRARY, "train a configuration with several settings and seeds, and compare them"),
    "sample": (_LIBRARY, "draw images from a run, an exported model or a pretrained model"),
    "average": (_LIBRARY, "choose an average after training, from snapshots"),
    "export": (_LIBRARY, "save an averaged generator: SavedModel, ONNX, LiteRT, ..."),
    "serve": (_LIBRARY, "answer requests for an exported model over REST and gRPC"),
    "figure": (_LABORATORY, "draw a figure for a paper: samples, classes, paths, truncation"),
    "report": (_LABORATORY, "write an HTML page about a run, or one that compares runs"),
    "evaluate": (_LIBRARY, "score samples against real images: FID, KID, precision, recall, ..."),
    "data": (_LIBRARY, "download and list data sets"),
    "zoo": (_LIBRARY, "list networks and pretrained models, or convert PyTorch checkpoints"),
    "dynamics": (_LABORATORY, "draw the training dynamics of the Dirac-GAN"),
    "reproduce": (_LABORATORY, "repeat the papers' experiments"),
}


def usage() -> str:
    """The text of ``tfgan-ema --help``."""
    width = max(map(len, COMMANDS))
    rows = "\n".join(f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items())
    return (
        f"usage: tfgan-ema COMMAND [flags]\n\n{rows}\n\n"
        "`tfgan-ema help COMMAND` lists a command's flags, `tfgan-ema --version` the version."
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code (0 done, 1 failed, 2 bad input)."""
    if argv is None:
        command.keep_writing()
    words = list(sys.argv[1:] if argv is None else argv)
    if words == ["--version"]:
        print(f"tfgan-ema {__version__}")
        return 0
    if words[:1] == ["help"] and len(words) > 1:
        words = [words[1], "--help"]
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if words else 2
    if words[0] not in COMMANDS:
        print(f"tfgan-ema: {unknown('command', words[0], COMMANDS)}", file=sys.stderr)
        return 2
    package, _ = COMMANDS[words[0]]
    try:
        module = importlib.import_module(f"{package}.{words[0]}")
        return module.main([f"tfgan-ema {words[0]}", *words[1:]])
    except KeyboardInterrupt:  # before the command listens to it
        print(f"tfgan-ema {words[0]}: interrupted by SIGINT.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
