"""Pickles followed without unpickling them.

Unpickling runs whatever code a file names. A `Machine` follows the operations of a pickle instead:
what the pickle builds out of lists, dictionaries, numbers and text is built, a call gives what the
caller's table says of its name, and everything else is refused. Nothing is hashed, compared or
printed but text and numbers, since for other things a short pickle can make that take for ever.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO, NamedTuple

MOST_OPERATIONS = 1_000_000  # of one pickle, a second or two
LONGEST_KEY = 1000
_LARGEST = 2**128


class Refused(ValueError):
    """The file asks for something that is not needed, or is inconsistent."""

    def __init__(self, what: str):
        super().__init__(f"refused, as it holds {what}")


class Name(NamedTuple):
    """What a pickle may name, and what calling it gives; types and devices give nothing."""

    name: str
    function: Callable[..., Any] = lambda *_: None


class Module:
    """An object of any class: its attributes are kept, its class is not looked at."""

    def __init__(self, *_: Any):
        self.attributes: dict[str, Any] = {}


def key_text(key: Any) -> str:
    """A key of a dictionary as text."""
    if not isinstance(key, str | int | float | bytes | None):
        raise Refused("a key that is neither text nor a number")
    text = str(key)
    if len(text) > LONGEST_KEY:
        raise Refused(f"a key of more than {LONGEST_KEY} letters")
    return text


def table(pairs: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
    """A dictionary of pairs; its keys become text."""
    return {key_text(key): value for key, value in pairs}


class Machine:
    """Reads one pickle: `run` gives what is in it.

    Attributes:
        stack: what the pickle has built and not used yet.
        marks: heights of the stack that the pickle has marked.
        memo: what the pickle refers to again, by number.
        work: the operations so far, and the items that calls were given.
    """

    def __init__(
        self,
        file: BinaryIO,
        find: Callable[[str, str], Name],
        persistent: Callable[[Any], Any],
    ):
        """Prepares to read a pickle.

        Args:
            file: all in memory, positioned at the pickle; `run` leaves it behind the pickle.
            find: what a module's name means; raises `Refused` for names that are not known.
            persistent: what a persistent id stands for.
        """
        self.file, self.find, self.persistent = file, find, persistent
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.work = 0

    def run(self) -> Any:
        """The object in the pickle; damaged pickles raise nearly anything."""
        for opcode, argument, _ in pickletools.genops(self.file):
            self._count(1)
            if opcode.name == "STOP":
                return self.stack.pop()
            if opcode.name in _CONSTANTS:
                self.stack.append(_CONSTANTS[opcode.name]())
            elif opcode.name in _VALUES:
                if isinstance(argument, int) and abs(argument) > _LARGEST:
                    raise Refused("a number of more than 128 bits")
                self.stack.append(argument)
            elif opcode.name in _OPERATIONS:
                _OPERATIONS[opcode.name](self, argument)
            else:
                raise Refused(f"the operation {opcode.name}")

    def _count(self, work: int) -> None:
        self.work += work
        if self.work > MOST_OPERATIONS:
            raise Refused(f"a pickle of more than {MOST_OPERATIONS} operations")

    # Operations; each is given what is written behind it in the pickle.

    def _nothing(self, _: Any) -> None:
        pass

    def _mark(self, _: Any) -> None:
        self.marks.append(len(self.stack))

    def _pop_last(self, count: int) -> list[Any]:
        start = len(self.stack) - count
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def _pop_marked(self, _: Any = None) -> list[Any]:
        return self._pop_last(len(self.stack) - self.marks.pop())

    def _pop(self, _: Any) -> None:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.stack.pop()

    def _duplicate(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def _put(self, index: int | None) -> None:
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]

    def _get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    def _list(self, _: Any) -> None:
        self.stack.append(self._pop_marked())

    def _tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._pop_marked()))

    def _dict(self, _: Any) -> None:
        items = self._pop_marked()
        self.stack.append({})
        self._set(items)

    def _append(self, _: Any) -> None:
        self._extend([self.stack.pop()])

    def _append_marked(self, _: Any) -> None:
        self._extend(self._pop_marked())

    def _extend(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise Refused("something appended to what is not a list")
        self.stack[-1].extend(items)

    def _set_item(self, _: Any) -> None:
        self._set(self._pop_last(2))

    def _set_marked(self, _: Any) -> None:
        self._set(self._pop_marked())

    def _set(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], dict):
            raise Refused("an entry of what is not a dictionary")
        self.stack[-1].update(table(zip(items[::2], items[1::2], strict=True)))

    def _name(self, written: str) -> None:
        self.stack.append(self.find(*written.split(" ", 1)))

    def _name_on_stack(self, _: Any) -> None:
        names = self._pop_last(2)
        if not all(isinstance(name, str) for name in names):
            raise Refused("a name that is not text")
        self.stack.append(self.find(*names))

    def _call(self, _: Any) -> None:
        called, arguments = self._pop_last(2)
        if not isinstance(called, Name) or not isinstance(arguments, tuple):
            raise Refused("a call of what is not a name")
        self._count(sum(len(each) for each in arguments if isinstance(each, list | tuple)))
        self.stack.append(called.function(*arguments))

    def _build(self, _: Any) -> None:
        """Gives an object its attributes; those of a dictionary are left out."""
        state = self.stack.pop()
        if isinstance(self.stack[-1], Module):
            if isinstance(state, dict):
                self.stack[-1].attributes = state
        elif not isinstance(self.stack[-1], dict):
            raise Refused("attributes of what is not an object")

    def _persistent(self, _: Any) -> None:
        self.stack.append(self.persistent(self.stack.pop()))


_CONSTANTS = {
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False,
    "EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple, "EMPTY_SET": list,
}  # fmt: skip
_VALUES = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
    "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "BYTEARRAY8",
}  # fmt: skip
_OPERATIONS: dict[str, Callable[[Machine, Any], object]] = {
    "PROTO": Machine._nothing, "FRAME": Machine._nothing,
    "MARK": Machine._mark, "POP": Machine._pop, "POP_MARK": Machine._pop_marked,
    "DUP": Machine._duplicate,
    "PUT": Machine._put, "BINPUT": Machine._put, "LONG_BINPUT": Machine._put,
    "MEMOIZE": Machine._put,
    "GET": Machine._get, "BINGET": Machine._get, "LONG_BINGET": Machine._get,
    "LIST": Machine._list, "FROZENSET": Machine._list, "DICT": Machine._dict,
    "TUPLE": Machine._tuple,
    "TUPLE1": lambda self, _: self.stack.append(tuple(self._pop_last(1))),
    "TUPLE2": lambda self, _: self.stack.append(tuple(self._pop_last(2))),
    "TUPLE3": lambda self, _: self.stack.append(tuple(self._pop_last(3))),
    "APPEND": Machine._append, "APPENDS": Machine._append_marked,
    "ADDITEMS": Machine._append_marked,
    "SETITEM": Machine._set_item, "SETITEMS": Machine._set_marked,
    "GLOBAL": Machine._name, "STACK_GLOBAL": Machine._name_on_stack,
    "REDUCE": Machine._call, "NEWOBJ": Machine._call, "BUILD": Machine._build,
    "BINPERSID": Machine._persistent,
}  # fmt: skip
