"""The documentation's site in a browser: every page, two widths, light and dark, no network."""

import functools
import http.server
import itertools
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import test_questions

ROOT = Path(__file__).parents[1]
PM = "\u00a0±\u00a0"
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
    pages = [path for path in pages if not path.endswith("/index.html")] + ["api/index.html"]
    assert len(pages) > 40
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
        *((question, "How do I") for question in test_questions.ANSWERS),
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


@pytest.mark.slow
def test_the_index_of_the_search_holds_every_question(site):
    index = json.loads((site[0] / "search" / "search_index.json").read_text(encoding="utf-8"))
    titles = {entry["title"]: entry["location"] for entry in index["docs"]}
    for question in test_questions.ANSWERS:
        assert titles[question] == f"questions.html#{test_questions.slug(question)}"


@pytest.mark.slow
def test_a_page_of_results_has_its_table_and_its_report_in_the_frame(site, chromium):
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.goto(site[1] + "results.html")
    page.get_by_role("link", name="Grid of Gaussians", exact=True).click()
    assert page.locator("h1").inner_text().startswith("A grid of Gaussians")
    rows = page.locator("table").first.locator("tr").all_inner_texts()
    best = page.locator("table").first.locator("strong").all_inner_texts()
    assert len(rows) == 9
    assert rows[1].split("\t")[:4] == ["baseline", "no leak", f"0.094{PM}0.014", best[0]]
    assert best[0] == f"0.0583{PM}0.0038"
    assert page.locator(".report h2").count() == 4
    assert page.locator(".md-header").is_visible()
    page.close()


OUTLINE = """(e => getComputedStyle(e.type == "radio" ? e.nextElementSibling : e).outlineStyle)
(document.activeElement)"""  # a radio button is shown by its label


def focused(page, what):
    return page.evaluate(f"document.activeElement.{what}")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", WIDTHS)
def test_the_keyboard_reaches_everything(site, chromium, scheme):
    page = chromium.new_page(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    page.goto(site[1] + "averages.html")
    page.keyboard.press("Tab")
    assert focused(page, "textContent").strip() == "Skip to content"
    seen, unseen = [], []
    for _ in range(40):
        seen.append(focused(page, "outerHTML"))
        if page.evaluate(OUTLINE) == "none":
            unseen.append(seen[-1][:120])
        page.keyboard.press("Tab")
    for wanted in ("questions.html", "md-search__input", "__palette", "md-nav__link"):
        assert any(wanted in element for element in seen), wanted
    assert unseen == []
    page.keyboard.press("/")
    page.keyboard.type("onnx")
    page.wait_for_selector(".md-search-result__item")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "averages.html" not in url)
    assert "ONNX" in page.locator("article").inner_text()
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["own", "serve", "machines"])
def test_a_notebook_of_a_tutorial_runs(site, name, tmp_path, monkeypatch):
    needs = "needs: pip install 'tfgan_ema[docs]'"
    jupytext, nbclient = (pytest.importorskip(n, reason=needs) for n in ("jupytext", "nbclient"))
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    monkeypatch.setenv("TFGAN_EMA_CACHE", str(tmp_path / "cache"))
    notebook = jupytext.read(site[0] / "tutorials" / f"{name}.ipynb")
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=600, resources=resources).execute()
    assert sum(bool(cell.get("outputs")) for cell in notebook.cells) >= 1


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
