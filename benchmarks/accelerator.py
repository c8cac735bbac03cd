"""What a borrowed GPU should do for us: the first unfinished work of a list, for a limited time.

    python -m benchmarks.accelerator --out=accelerator [--limit=540] [--packages=wheels] [--toy]
        [--only=gpu,speedrun,limited,ring,sngan]

Everything runs under JAX and writes below ``--out``, which is all that has to come home and to be
brought along the next time: a finished work is skipped, one that was cut continues where it can
(`tfgan-ema reproduce` at the cell, `tfgan-ema train` at the checkpoint that SIGTERM makes it
write). Bring wheels and cache along as `benchmarks.speedrun` says. ``--toy`` shows in small, on a
CPU, that every command works.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from absl import flags

from benchmarks import gpu
from tfgan_ema import command
from tfgan_ema.errors import unknown

HOME = 60e6  # bytes that can be brought home
PATIENCE = 20.0  # seconds in which a work that was told to stop writes what it has


class Work(NamedTuple):
    """A command after ``python -m``, and the file below its folder that says it is finished.

    Attributes:
        words: of the command; OUT stands for the folder of the work.
        toy: further words that make it small.
        done: the file; what the command prints goes to ``log.txt`` beside it.
    """

    words: str
    toy: str
    done: str = "finished"


MAIN = "tfgan_ema.cli.main"
WORKS = {
    "gpu": Work(
        "benchmarks.gpu --limit=LEFT",
        "--only=sngan_32 --precisions=float32 --batch_size=2 --seconds=0.1 --repeats=1",
    ),
    "speedrun": Work(
        "benchmarks.speedrun --out=OUT --limit=LEFT",
        "--data=noise --metric=fd_pixels --width=0.03 --batch_size=4 --samples=200 --look=100"
        " --every=2 --limit=20",
    ),
    "limited": Work(f"{MAIN} reproduce limited --out=OUT --budget=desk", "--budget=smoke"),
    "ring": Work(f"{MAIN} reproduce alpha_ring --out=OUT --budget=paper", "--budget=smoke"),
    "sngan": Work(
        f"{MAIN} train --config=published:sngan_cifar10 --workdir=OUT --config.keep_checkpoints=1"
        " --config.steps_per_execution=50 --config.precision=auto",
        "--config.steps=2 --config.network.width=0.03 --config.batch_size=2"
        " --config.steps_per_execution=1 --config.data.fallback=digits",
    ),
}
FLAGS = command.new_flags(
    ("out", str, "accelerator", "The folder that is brought along and home."),
    ("limit", command.number("(0, inf)"), 540.0, "Seconds in all."),
    ("packages", str, None, "A folder of wheels to use without a network."),
    ("only", list, list(WORKS), "The works, in the order in which they are done."),
    ("toy", bool, False, "Do them in small."),
)


def do(name: str, folder: Path, toy: bool, end: float) -> bool:
    """Does a work until the time ``end``; returns whether it is finished."""
    work = WORKS[name]
    folder.mkdir(parents=True, exist_ok=True)
    left = str(int(end - time.monotonic() - PATIENCE))
    words = [*work.words.split(), *(work.toy.split() if toy else ())]
    words = [word.replace("OUT", str(folder)).replace("LEFT", left) for word in words]
    with (folder / "log.txt").open("a") as log:
        log.write(f"\n$ python -m {' '.join(words)}\n")
        log.flush()
        process = subprocess.Popen(
            [sys.executable, "-m", *words], stdout=log, stderr=subprocess.STDOUT
        )
        try:
            failed = process.wait(max(1.0, end - time.monotonic() - PATIENCE))
        except subprocess.TimeoutExpired:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
            failed = "time"
    if not failed:
        (folder / work.done).touch()
    print(f"{name}: {f'stopped ({failed})' if failed else 'finished'}", flush=True)
    return not failed


def _run(values: flags.FlagValues, _: list[str]) -> None:
    end, out = time.monotonic() + values.limit, Path(values.out).absolute()
    for name in values.only:
        if name not in WORKS:
            raise unknown("work", name, WORKS)
    with tempfile.TemporaryDirectory() as target:
        if values.packages:
            gpu.unpack(Path(values.packages), target)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [target, *sys.path]))
        os.environ["KERAS_BACKEND"] = "jax"
        for name in values.only:
            if (out / name / WORKS[name].done).exists():
                print(f"{name}: finished before")
            elif end - time.monotonic() > 2 * PATIENCE:
                do(name, out / name, values.toy, end)
    sizes = {path: path.stat().st_size for path in out.rglob("*") if path.is_file()}
    if sum(sizes.values()) > HOME:
        largest = max(sizes, key=sizes.__getitem__)
        print(f"{out} holds {sum(sizes.values()) / 1e6:.0f} MB, the largest file is {largest}.")


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    return command.run(_run, FLAGS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
