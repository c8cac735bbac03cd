"""The reference's examples run: those of its pages, and those in docstrings it is made of."""

import importlib
import inspect
import re
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest
import toy

import tfgan_ema as tg
import zoo

PAGES = sorted((Path(__file__).parents[1] / "docs" / "api").glob("*.md"))
SHORT = {"epochs=100": "epochs=1", "every=5000": "every=2"}


def named(dotted):
    """What a line of a page names: a module, or something in one."""
    try:
        return importlib.import_module(dotted)
    except ModuleNotFoundError:
        module, _, name = dotted.rpartition(".")
        return getattr(importlib.import_module(module), name)


def documented(page):
    """Everything public that a page shows the docstrings of, by name."""
    for dotted in re.findall(r"^::: (\S+)", page.read_text(encoding="utf-8"), re.MULTILINE):
        found = named(dotted)
        yield dotted, found
        if inspect.ismodule(found):
            for name, value in vars(found).items():
                if getattr(value, "__module__", None) == dotted and not name.startswith("_"):
                    yield f"{dotted}.{name}", value


def examples():
    for page in PAGES:
        for code in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            yield pytest.param(code, id=page.stem)
        for name, value in documented(page):
            text = inspect.getdoc(value) or ""
            for code in re.findall(r"Example::\n\n((?: {4}.*\n?|\n)+)", text):
                yield pytest.param(textwrap.dedent(code), id=name)


EXAMPLES = list(examples())


@pytest.mark.slow
@pytest.mark.parametrize("code", EXAMPLES)
def test_an_example_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFGAN_EMA_CACHE", str(tmp_path / "cache"))
    averages = [tg.EMA(0.9), tg.PowerEMA(0.05), tg.PowerEMA(0.1)]
    attaches = "EMACallback(0" in code  # an average to a GAN without one
    gan = toy.gan("conv", averages=[] if attaches else averages)
    generator, discriminator = toy.convolutional(None)
    images = toy.source(count=64).samples
    if "synthesise" in code:
        gan.fit(images, batch_size=32, callbacks=[tg.Run("runs/a", snapshot_every=1)], verbose=0)
    for old, new in SHORT.items():
        code = code.replace(old, new)
    known = {"keras": keras, "np": np, "tg": tg, "zoo": zoo, "gan": gan, "images": images}
    exec(code, known | {"generator": generator, "discriminator": discriminator})


def test_every_public_class_has_an_example():
    text = "\n".join(example.values[0] for example in EXAMPLES)
    classes = [name for name in tg.__all__ if inspect.isclass(getattr(tg, name))]
    assert len(classes) > 10
    assert [name for name in classes if f"tg.{name}(" not in text] == []
    assert len({example.id for example in EXAMPLES}) >= 12
