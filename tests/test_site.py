"""The documentation's site in a browser: every page, two widths, light and dark, no network."""

import functools
import http.server
import itertools
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WIDTHS = {"light": 1280, "dark": 390}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs", reason="needs: pip install 'tfgan_ema[docs]'")
    folder = tmp_path_factory.mktemp("site")
    words = ["-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True)
    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.mark.slow
def test_every_page_is_whole_at_both_widths_in_light_and_dark(site, chromium):
    folder, address = site
    pages = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.html"))
    pages = [path for path in pages if not path.startswith("results/")]
    assert len(pages) > 30
    complaints, wide = [], []
    for scheme, width in itertools.product(WIDTHS, WIDTHS.values()):
        page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(request.url))
        for path in pages:
            page.goto(address + path)
            if page.evaluate("document.documentElement.scrollWidth") > width:
                wide.append(f"{path} at {width}")
            assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth)")
        page.close()
    own = (address, "data:", "blob:")
    assert [complaint for complaint in complaints if not complaint.startswith(own)] == []
    assert wide == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "title"),
    [
        ("onnx", "Exports"),
        ("resume", "Training, averaging, serving"),
        ("photos", "From a folder of photos to a served generator"),
        ("grpc", "Serving"),
        ("kid", "Metrics"),
    ],
)
def test_the_search_finds_it(site, chromium, words, title):
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.goto(site[1])
    page.keyboard.press("/")
    page.keyboard.type(words)
    page.wait_for_selector(".md-search-result__item")
    found = page.locator(".md-search-result__item").all_inner_texts()
    page.close()
    assert any(title in text for text in found[:6])


SMALL = {  # what makes the code of a page short
    "docs/index.md": {"fashion_mnist": "digits", "=500": "=3", "=10,": "=1,"},
    "README.md": {
        '"cifar10"': '"digits", image_size=32, channels=3', '"sngan_32")': '"sngan_32", width=0.1)',
        "=1000": "=2", "=100,": "=1,",
    },
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("page", SMALL)
def test_the_first_gan_of_a_page_trains(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / page).read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    for old, new in SMALL[page].items():
        assert old in code
        code = code.replace(old, new, 1)
    found = {}
    exec(code, found)
    assert found["gan"].steps_done > 1
    assert len(found["gan"].sample(3)) == 3
    assert [*tmp_path.glob("runs/*/run.json")]
