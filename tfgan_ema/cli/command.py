"""What every command shares: flags of its own, ``--help``, and one-line errors with exit code 2."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from absl import flags

from tfgan_ema.errors import UsageError


def new_flags() -> flags.FlagValues:
    """An empty set of flags with ``--help``, apart from absl's process-wide set.

    A command defines its flags on it (``flags.DEFINE_string(..., flag_values=FLAGS)``), so several
    commands can live in one process.
    """
    values = flags.FlagValues()
    flags.DEFINE_bool("help", False, "Show this help and exit.", short_name="h", flag_values=values)
    return values


def run(
    function: Callable[[flags.FlagValues, list[str]], int | None],
    values: flags.FlagValues,
    usage: str,
    argv: Sequence[str],
) -> int:
    """Parses ``argv`` and calls ``function(flags, positional)``; returns the exit code.

    Args:
        function: the command; it may return an exit code, ``None`` means 0.
        values: the command's flags, from `new_flags`.
        usage: the text above the flags in ``--help``.
        argv: the arguments, with the command's name first.

    Bad flags and `UsageError` print one line on stderr and return 2.
    """
    values.unparse_flags()
    try:
        if any(word in ("-h", "--help") for word in argv):
            print(f"{usage.strip()}\n\nFlags:{values.main_module_help() or _describe(values)}")
            return 0
        positional = values(list(argv))[1:]
        return function(values, positional) or 0
    except (UsageError, flags.Error) as error:
        print(f"{argv[0]}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def _describe(values: flags.FlagValues) -> str:
    lines = []
    for name in sorted(set(values) - {"h", "help"}):
        flag = values[name]
        if flag.name != name:  # a short alias
            continue
        kind = flag.flag_type()
        default = "" if flag.default is None else f" (default: {flag.default_as_str})"
        lines.append(f"  --{name}=<{kind}>: {' '.join((flag.help or '').split())}{default}")
    return "\n" + "\n".join(lines)
