"""Every test process sees two logical CPUs, so that strategies with two replicas can be tested."""

import gc
import itertools
import os
import shutil
import signal

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import settings

# The same examples in every run: whether the suite passes is not a matter of luck.
settings.register_profile("reproducible", derandomize=True, deadline=None)
settings.load_profile("reproducible")

_CPU = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(_CPU, [tf.config.LogicalDeviceConfiguration()] * 2)


@pytest.fixture(autouse=True)
def _float32():
    """Each test starts from the float32 policy."""
    import keras

    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(autouse=True, scope="session")
def _interruptible():
    """Ctrl-C has its effect, also where a shell has started the tests in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="module")
def _no_layers_left():
    """A test file leaves no layers behind.

    What is alive then, TensorFlow above all, is left out of later searches for garbage, each of
    which would take most of a second.
    """
    import keras

    yield
    keras.backend.clear_session()
    gc.freeze()


@pytest.fixture(scope="session")
def two_replicas() -> tf.distribute.Strategy:
    """The one strategy of the process: a second one would reuse the keys of its reductions."""
    return tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"])


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def chromium():
    """The Chromium of the system, driven by Playwright."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api", reason="needs: pip install playwright")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def views(chromium):
    """Shows an HTML file at two widths, in light and dark; each view is a Playwright page.

    A page must not scroll sideways, lack an image, complain, or request anything but itself.
    """

    def show(path):
        url, complaints = path.resolve().as_uri(), []
        for width, scheme in itertools.product((1280, 390), ("light", "dark")):
            page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            page.on("console", lambda message: complaints.append(message.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("request", lambda request: complaints.append(request.url))
            page.goto(url)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth)")
            yield page
            assert [c for c in complaints if c != url and not c.startswith("data:")] == []
            page.close()

    return show
