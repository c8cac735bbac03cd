"""A Ray of this machine for tests, and processes of it that are killed."""

import contextlib
import os
import random
import signal
import threading
from pathlib import Path


def processes():
    """The processes that Ray runs calls in, below this one, by number."""
    parents, names = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            number = int(folder.name)
            parents[number] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            names[number] = (folder / "cmdline").read_bytes()

    def is_ours(number):
        while number > 1 and number != os.getpid():
            number = parents.get(number, 0)
        return number > 1

    return [n for n, name in names.items() if name.startswith(b"ray::") and is_ours(n)]


@contextlib.contextmanager
def killing(times, longest, seed=0):
    """A context in which one process after the other is killed at random moments; gives them."""
    over, killed, random_ = threading.Event(), [], random.Random(seed)

    def kill():
        while len(killed) < times and not over.wait(random_.uniform(0.1, longest)):
            working = [n for n in processes() if b"_call" in _title(n)]
            if working:
                killed.append(random_.choice(working))
                os.kill(killed[-1], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def _title(number):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{number}/cmdline").read_bytes()
    return b""
