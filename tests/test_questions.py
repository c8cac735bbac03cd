"""The questions of docs/questions.md: answers that run, one click from the front page."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import toy

from tfgan_ema.cli import main

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "questions.md").read_text(encoding="utf-8")
ANSWERS = dict(re.findall(r"^## (.+?)\n\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))
SMALL = ["--config.batch_size=4", "--config.network.width=0.0625", "--config.checkpoint_every=2"]
SHORT = {"30_000": "6", "--metrics=fid --count=10000": "--metrics=swd_pixels --count=20"}
WRITES = [
    "runs/a/checkpoints/step_00000006.npz", "runs/margin/run.json", "slow.png", "dogs.png",
    "exported/onnx/generator.onnx", "exported/a/1/saved_model.pb", "averages.pdf",
]  # fmt: skip


def slug(question):
    return re.sub(r"[^a-z0-9 -]", "", question.lower()).replace(" ", "-")


def test_the_front_page_leads_to_ten_answers_with_code_and_a_page_that_says_more():
    assert len(ANSWERS) == 10
    front = (DOCS / "index.md").read_text(encoding="utf-8")
    for question, answer in ANSWERS.items():
        assert f"](questions.md#{slug(question)})" in front
        assert "```" in answer
        pages = re.findall(r"\]\(([\w/]+\.md)", answer)
        assert pages
        assert all((DOCS / page).is_file() for page in pages)


def serve(words):
    """The server of an answer, on free ports, and the address that it prints."""
    command = [sys.executable, "-m", "tfgan_ema.cli.main", *words, "--rest_port=0", "--grpc_port=0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    return process, re.search(r"(http://[^/]+)/", process.stdout.readline())[1]


@pytest.mark.slow
def test_the_answers_run_one_after_another(tmp_path, monkeypatch):
    pytest.importorskip("tf2onnx")
    pytest.importorskip("aiohttp")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFGAN_EMA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    toy.photos(tmp_path)
    server = address = None
    for language, code in re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL):
        if language == "python":
            name = re.match(r"# (\w+\.py)\n", code)[1]
            (tmp_path / name).write_text(code)
            continue
        for old, new in SHORT.items():
            code = code.replace(old, new)
        for command in re.split(r"\n(?! )", code.replace("\\\n", "").strip()):
            program, *words = shlex.split(command)
            if program == "curl":
                words = [word.replace("http://localhost:8501", address) for word in words]
                done = subprocess.run(["curl", "-s", *words], capture_output=True, check=True)
                assert len(json.loads(done.stdout)["outputs"]) == 4
            elif words[0] == "serve":
                server, address = serve(words)
            elif words[0] == "train":
                steps = [] if "steps" in command else ["--config.steps=4"]
                assert main.main([*words, *SMALL, *steps]) == 0, command
            else:
                assert main.main(words) == 0, command
    server.terminate()
    assert server.wait(60) == 0
    assert [path for path in WRITES if not (tmp_path / path).is_file()] == []
