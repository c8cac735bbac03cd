"""``tfgan-ema COMMAND [flags]``: finds the command's module and runs it.

Nothing heavy is imported here: ``tfgan-ema --help`` must answer at once.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from tfgan_ema.errors import unknown

COMMANDS = {
    "train": "train a GAN from a config file, or go on with an interrupted run",
    "sample": "draw images from a trained run, an exported model or a zoo model",
    "export": "write a SavedModel of an averaged generator",
    "report": "write one HTML page about a run: samples, curves, interpolations, neighbours",
    "evaluate": "score samples against a reference: FID, KID, precision, recall, ...",
    "data": "fetch and list data sets",
    "zoo": "list the networks",
    "dynamics": "draw the training dynamics of the Dirac-GAN",
    "reproduce": "redo the experiments of the papers",
}
LABORATORY = ("report", "dynamics", "reproduce")


def usage() -> str:
    """The text of ``tfgan-ema --help``."""
    width = max(map(len, COMMANDS))
    rows = "\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items())
    return (
        f"usage: tfgan-ema COMMAND [flags]\n\n{rows}\n\n"
        "`tfgan-ema COMMAND --help` lists a command's flags."
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code (0 done, 1 failed, 2 bad input)."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if words else 2
    if words[0] not in COMMANDS:
        print(f"tfgan-ema: {unknown('command', words[0], COMMANDS)}", file=sys.stderr)
        return 2
    room = "lab.commands" if words[0] in LABORATORY else "cli"
    module = importlib.import_module(f"tfgan_ema.{room}.{words[0]}")
    return module.main([f"tfgan-ema {words[0]}", *words[1:]])


if __name__ == "__main__":
    sys.exit(main())
