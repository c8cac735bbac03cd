"""The workers of a cluster: they meet, compare what they are about to train, and end together.

Every worker keeps one connection to the first, on which it shows each second that it is alive. A
collective of TensorFlow waits for ever for a worker that is missing or stopped, and nothing in the
process can interrupt it; so a thread watches the connections and ends the process with one line.

The first worker listens at its own address of the cluster until all have come; then the address is
free for TensorFlow's server. Messages are JSON, one a line::

    {"hello": cluster, "place": 1}   a worker to the first: here I am
    {"say": line}                    from the first: still waiting for others
    {"go": true}                     from the first: all are here
    {}                               I am alive
    {"facts": {...}}                 what I am about to train
    {"verdict": line}                in what the workers differ; empty if in nothing
    {"done": n}                      I have left n blocks that all work on together
    {"end": line}                    why the run cannot go on
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tfgan_ema.cluster import Cluster
from tfgan_ema.errors import UsageError, WorkerLost, say

BEAT = 1.0  # seconds between two signs of life
SILENCE = 10.0  # a worker that has shown none for so long is lost
GRACE = 2.0  # what a worker has to say itself, before another's end ends it
FIRST_NOTICE, NOTICE = 5.0, 20.0  # seconds until the first line about a missing worker, and between
REPEAT = "Repeat the command on all workers: it resumes at the latest checkpoint."


def meet(cluster: Cluster, timeout: float) -> Peers:
    """Waits until all workers are here.

    Args:
        cluster: from `cluster.read`.
        timeout: seconds; a line on stderr names who is missing, after 5 seconds and then again.

    Raises:
        UsageError: the port is in use, or another worker has another cluster or the same place.
        WorkerLost: not all have come.
    """
    waiting = _Waiting(cluster, timeout)
    with _listener(cluster) as listener:
        if cluster.place == 0:
            return Peers(cluster, waiting.for_others(listener))
    return Peers(cluster, {0: waiting.for_first()})


def _listener(cluster: Cluster) -> socket.socket:
    """This worker's own port, which is thereby known to be free."""
    port = int(cluster.addresses[cluster.place].rpartition(":")[2])
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(("", port))
    except OSError as error:
        why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error})"
        raise UsageError(
            f"TF_CONFIG: port {port} of {cluster.title(cluster.place)} {why} on this machine; end "
            "what uses it, or choose another."
        ) from error


class _Line:
    """A connection to another worker, which carries one message a line."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket, self.rest, self.lock = connection, b"", threading.Lock()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(SILENCE)
        self.heard, self.done, self.gone = time.monotonic(), 0, ""

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, **message: Any) -> None:
        with self.lock, contextlib.suppress(OSError):  # `read` finds out who is gone
            self.socket.sendall(json.dumps(message).encode() + b"\n")

    def read(self) -> list[dict[str, Any]]:
        """The messages that have come, once the connection can be read.

        Raises:
            OSError: the connection has ended.
            ValueError: the other side is no worker.
        """
        received = self.socket.recv(1 << 16)
        if not received:
            raise ConnectionError("its process has ended")
        self.heard = time.monotonic()
        *lines, self.rest = (self.rest + received).split(b"\n")
        if len(self.rest) > 1 << 24:
            raise ValueError("a line without an end")
        messages = [json.loads(line) for line in lines]
        if not all(isinstance(message, dict) for message in messages):
            raise ValueError("no message of a worker")
        return messages

    def wait(self, seconds: float) -> list[dict[str, Any]]:
        """As `read`; nothing if nothing comes for so long."""
        return self.read() if select.select([self], [], [], seconds)[0] else []


class _Waiting:
    """Until all workers have come, with lines about those who have not."""

    def __init__(self, cluster: Cluster, timeout: float) -> None:
        self.cluster, self.timeout = cluster, timeout
        self.start = time.monotonic()
        self.next = self.start + FIRST_NOTICE

    def notice(self, missing: list[int]) -> str:
        """A line about who is missing when one is due, else an empty one.

        Raises:
            WorkerLost: the time is over.
        """
        now, who = time.monotonic(), ", ".join(map(self.cluster.title, missing))
        if now > self.start + self.timeout:
            raise WorkerLost(
                f"{who} did not come within {self.timeout:g} seconds: see that it runs and that "
                "its address can be reached, or wait longer with worker_timeout=SECONDS."
            )
        if now < self.next:
            return ""
        self.next = now + NOTICE
        passed = now - self.start
        return f"waiting for {who}, {passed:.0f} of at most {self.timeout:g} seconds ..."

    def for_others(self, listener: socket.socket) -> dict[int, _Line]:
        """The first worker's connections to all others by their places."""
        lines: dict[int, _Line] = {}
        listener.settimeout(SILENCE)
        try:
            while len(lines) < len(self.cluster.names) - 1:
                places = range(1, len(self.cluster.names))
                notice = self.notice([place for place in places if place not in lines])
                if notice:
                    say(notice)
                for line in lines.values():
                    line.send(**({"say": notice} if notice else {}))
                ready = select.select([listener, *lines.values()], [], [], BEAT / 2)[0]
                for place, line in [*lines.items()]:
                    if line in ready:  # it has nothing to say yet: it has ended
                        del lines[place]
                if listener in ready:
                    self.welcome(_Line(listener.accept()[0]), lines)
        except (UsageError, WorkerLost) as error:
            for line in lines.values():
                line.send(end=str(error), usage=isinstance(error, UsageError))
            raise
        for line in lines.values():
            line.send(go=True)
        return lines

    def welcome(self, line: _Line, lines: dict[int, _Line]) -> None:
        """Adds the connection of a worker that says hello; anything else is left alone."""
        try:
            hello, *_ = line.wait(SILENCE / 2) or [{}]
        except (OSError, ValueError):
            return
        if "hello" not in hello:
            return
        place = hello["place"]
        if hello["hello"] != [[*self.cluster.names], [*self.cluster.addresses]]:
            lines[-1] = line  # hears of it too
            raise UsageError("TF_CONFIG: the workers have different clusters; give all the same.")
        if place in lines:
            who = self.cluster.title(place)
            what = f"TF_CONFIG: another process is {who} already; give each its own task index."
            line.send(end=what, usage=True)
        else:
            lines[place] = line

    def for_first(self) -> _Line:
        """The connection to the first worker, once it says that all are here."""
        host, _, port = self.cluster.addresses[0].rpartition(":")
        hello = [[*self.cluster.names], [*self.cluster.addresses]]
        while True:
            notice = self.notice([0])
            if notice:
                say(notice)
            try:
                line = _Line(socket.create_connection((host.strip("[]"), int(port)), 2 * BEAT))
                line.send(hello=hello, place=self.cluster.place)
                while time.monotonic() < line.heard + SILENCE:
                    for message in line.wait(BEAT):
                        if "end" in message:
                            raise (UsageError if message["usage"] else WorkerLost)(message["end"])
                        if "say" in message:
                            say(message["say"])
                        if "go" in message:
                            return line
            except UsageError:
                raise
            except (OSError, ValueError):  # nobody is there yet, or it is not the first worker
                time.sleep(BEAT / 4)


class Peers:
    """The other workers: the first knows all, the others the first."""

    def __init__(self, cluster: Cluster, lines: dict[int, _Line]) -> None:
        self.cluster, self.lines = cluster, lines
        self.blocks, self.inside, self.over = 0, False, False
        self.heard: dict[int, Any] = {}  # facts by place, or the verdict of the first
        self.news = threading.Condition()
        if lines:
            threading.Thread(target=self._watch, name="workers", daemon=True).start()

    @contextlib.contextmanager
    def together(self, unclear: tuple[type[BaseException], ...] = ()) -> Iterator[None]:
        """A block that all workers work on: who leaves it with an error ends the others.

        If another worker is lost or fails, this process ends with one line and exit code 1.

        Args:
            unclear: errors that may be due to another worker; they wait for it to be named.
        """
        if self.inside or not self.lines:
            yield
            return
        self.blocks, self.inside = self.blocks + 1, True
        try:
            yield
        except BaseException as error:
            if isinstance(error, unclear):
                time.sleep(SILENCE + 2 * GRACE)
            if not self.over:
                self.over = True
                self._send(end=f"{self._own()} ended: {_in_words(error)}. {REPEAT}")
            raise
        finally:
            self.inside = False
        self._send(done=self.blocks)

    def compare(self, facts: Mapping[str, Any]) -> None:
        """Returns on all workers once all have called it with the same facts.

        Raises:
            UsageError: they differ; the same line on all.
        """
        if not self.lines:
            return
        with self.together():
            facts = json.loads(json.dumps(facts))
            if self.cluster.place:
                self._send(facts=facts)
                verdict = self._await()[0]
            else:
                verdict = difference(self.cluster, {0: facts, **self._await()})
                self.over = bool(verdict)
                self._send(verdict=verdict)
            if verdict:
                raise UsageError(verdict)

    def _await(self) -> dict[int, Any]:
        with self.news:
            self.news.wait_for(lambda: self.heard.keys() == self.lines.keys())
            heard, self.heard = self.heard, {}
            return heard

    def _own(self) -> str:
        return self.cluster.title(self.cluster.place)

    def _send(self, **message: Any) -> None:
        for line in self.lines.values():
            line.send(**message)

    def _watch(self) -> None:
        """Reads what the others say, shows that this worker is alive, and ends it with them."""
        beat, found = time.monotonic(), 0.0
        while not self.over:
            here = [line for line in self.lines.values() if not line.gone]
            ready = select.select(here, [], [], BEAT / 2)[0]
            for place, line in self.lines.items():
                if line in ready:
                    self._read(place, line)
            now = time.monotonic()
            if now > beat + 3 * BEAT:  # this thread has slept itself, so it cannot judge others
                for line in here:
                    line.heard = now
            if now > beat + BEAT:
                beat = now
                self._send()
            lost = self._lost(now)
            found = (found or now) if lost else 0.0
            if lost and now > found + GRACE:
                self._send(end=lost)
                _leave(lost)

    def _read(self, place: int, line: _Line) -> None:
        try:
            messages = line.read()
        except (OSError, ValueError):
            line.gone = f"{self.cluster.title(place)} is gone: its process has ended. {REPEAT}"
            return
        for message in messages:
            line.done = message.get("done", line.done)
            line.gone = message.get("end", line.gone)
            for kind in ("facts", "verdict"):
                if kind in message:
                    self.over |= kind == "verdict" and bool(message[kind])
                    with self.news:
                        self.heard[place] = message[kind]
                        self.news.notify_all()

    def _lost(self, now: float) -> str:
        """Why this block cannot be finished, or nothing."""
        for place, line in self.lines.items():
            if not self.inside or self.over or line.done >= self.blocks:
                continue
            if line.gone:
                return line.gone
            if now > line.heard + SILENCE:
                return (
                    f"{self.cluster.title(place)} has not answered for {SILENCE:g} seconds: it is "
                    f"stopped, or its host cannot be reached. End it there. {REPEAT}"
                )
        return ""


def difference(cluster: Cluster, facts: Mapping[int, Mapping[str, Any]]) -> str:
    """A line about the keys in which some workers differ from the first; empty if in none.

    Args:
        cluster: names the workers.
        facts: by the place of a worker.
    """
    first, found = facts[0], {}
    for place, own in sorted(facts.items()):
        for key in sorted({*first, *own}):
            if first.get(key) != own.get(key) and key not in found:
                one, other = repr(first.get(key)), repr(own.get(key))
                values = f"{one} on {cluster.names[0]}, {other} on {cluster.names[place]}"
                found[key] = f"{key} ({values})" if len(values) < 90 else key
    if not found:
        return ""
    listed = ", ".join(found.values())
    return f"the workers differ in {listed}: start all with the same command, data and code."


def code() -> str:
    """A digest of the package's source, and of the zoo's."""
    import hashlib

    package, digest = Path(__file__).parent, hashlib.sha256()
    for path in sorted([*package.rglob("*.py"), *(package.parent / "zoo").rglob("*.py")]):
        digest.update(str(path.relative_to(package.parent)).encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _in_words(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "it was interrupted"
    line = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {line}".removesuffix(": ").rstrip(".")


def _leave(line: str) -> None:
    """Ends the process, whose main thread may never return from a collective."""
    say(line)
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(1)
