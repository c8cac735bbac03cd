"""A GAN that was made in Python, as ``run.json`` holds it: a configuration for each part."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from tfgan_ema import saving
from tfgan_ema.errors import UsageError
from tfgan_ema.gan import GAN

MISSING = "kind of a part without a configuration"
KNOWN = {"builtins", "keras", "tfgan_ema", "zoo"}  # packages whose classes Keras finds

Description = dict[str, dict[str, Any]]


def describe(gan: GAN) -> Description:
    """The arguments of a GAN and of its ``compile``, as JSON holds them.

    A part that has no configuration is described by its kind alone; see `missing`.
    """
    arguments = saving.parts(gan, inspect.signature(GAN).parameters)
    execution = saving.compiled_with(gan)
    found = {"gan": _configurations(arguments), "compile": _configurations(execution)}
    own = {f"{kind.__module__}:{kind.__name__}" for kind in _kinds([arguments, execution])}
    found["own"] = {"classes": sorted(own)}
    return json.loads(json.dumps(found))


def _configurations(parts: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name, part in parts.items():
        try:
            found[name] = saving.written(name, part)
        except UsageError:
            kinds = map(type, part if isinstance(part, list | tuple) else [part])
            found[name] = {MISSING: ", ".join(kind.__name__ for kind in kinds)}
    return found


def _kinds(part: Any) -> Iterator[type]:
    """The classes of a user's own among parts and their layers."""
    if type(part).__module__.partition(".")[0] not in KNOWN:
        yield type(part)
    inner = part.values() if isinstance(part, dict) else getattr(part, "layers", part)
    if isinstance(inner, Collection) and not isinstance(inner, str):
        for each in inner:
            yield from _kinds(each)


def missing(description: Description) -> str:
    """Why no other process can make the GAN of a description; empty if one can."""
    for parts in description.values():
        for name, part in parts.items():
            if isinstance(part, dict) and MISSING in part:
                return f"its {name} ({part[MISSING]}) has no configuration: give it get_config()"
    for own in description["own"]["classes"]:
        module, _, name = own.partition(":")
        if module == "__main__":
            return f"{name} is a class of the main script: move it to a module of its own"
    return ""


def make(description: Description) -> GAN:
    """The compiled GAN of a description, with new weights.

    Raises:
        UsageError: a part that has no configuration, or that cannot be imported.
    """
    reason = missing(description)
    if reason:
        raise UsageError(f"the GAN of run.json cannot be made again, as {reason}.")
    try:
        for own in description["own"]["classes"]:
            importlib.import_module(own.partition(":")[0])
        gan = GAN.from_config(description["gan"])
        gan.compile_from_config(description["compile"])
    except (ImportError, KeyError, TypeError, ValueError) as error:
        line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UsageError(f"the GAN of run.json cannot be made again: {line}") from error
    return gan


def differences(old: Description, new: Description) -> list[str]:
    """The arguments in which two descriptions differ, with their values where these are short."""
    if not old:
        return ["it is one of `tfgan-ema train`"]
    found = []
    for group in ("gan", "compile", "fit"):
        for name, part in new.get(group, {}).items():
            before = old.get(group, {}).get(name)
            if _with_numbered_names(before) != _with_numbered_names(part):
                change = f"{name} (was {before!r}, now {part!r})"
                found.append(change if len(change) < 100 else name)
    return found


def facts(description: Description) -> dict[str, Any]:
    """Every argument of a description, in a form in which equal GANs of two processes are equal."""
    return {
        name: _with_numbered_names(part)
        for group in ("gan", "compile", "fit")
        for name, part in description[group].items()
    }


def as_configuration(description: Description) -> dict[str, Any]:
    """A description in the form of a configuration of ``configs``, to be shown."""
    parts = {**description["gan"], **description["compile"], **description["fit"]}
    for player in ("generator", "discriminator"):
        del parts[player]
    shown = {key: _options(part) for key, part in parts.items()}
    return {"network": {"kind": "networks from Python"}, **shown}


def _options(part: Any) -> Any:
    if isinstance(part, list):
        options = [_options(each) for each in part]
        return {each.pop("name", each["kind"]): each for each in options}
    if not isinstance(part, dict):
        return part
    if MISSING in part:
        return {"kind": part[MISSING]}
    given = {key: value for key, value in part["config"].items() if value is not None}
    return {"kind": part["class_name"], **given}


def _with_numbered_names(part: Any) -> Any:
    """A configuration whose layers are named by their order: Keras counts those of a process."""
    names: dict[str, int] = {}

    def numbered(tree: Any) -> Any:
        if isinstance(tree, dict):
            if isinstance(tree.get("name"), str):
                names.setdefault(tree["name"], len(names))
            return {key: numbered(value) for key, value in tree.items()}
        if isinstance(tree, list):
            return [numbered(value) for value in tree]
        return names.get(tree, tree) if isinstance(tree, str) else tree

    numbered(part)  # finds names that stand before the layer of that name
    return numbered(part)
