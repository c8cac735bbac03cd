"""The guide docs/photos.md, followed from an empty folder."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import toy
from PIL import Image

from tfgan_ema import checkpoint

GUIDE = (Path(__file__).parents[2] / "docs" / "photos.md").read_text(encoding="utf-8")
SMALL = [
    "--config.steps=30", "--config.batch_size=4", "--config.network.width=0.0625",
    "--config.checkpoint_every=10", "--config.sample_every=30", "--config.log_every=10",
]  # fmt: skip


def test_the_script_of_the_guide_is_short():
    script = re.search(r"```python\n(.*?)```", GUIDE, re.DOTALL).group(1)
    assert sum(bool(line.strip()) for line in script.splitlines()) <= 25


@pytest.mark.slow
def test_the_guide_can_be_followed_through_a_kill(tmp_path, monkeypatch):
    monkeypatch.setenv("TFGAN_EMA_CACHE", str(tmp_path / "cache"))
    toy.photos(tmp_path)
    (tmp_path / "photos_gan.py").write_text(re.search(r"```python\n(.*?)```", GUIDE, re.DOTALL)[1])
    binary = Path(sys.executable).with_name("tfgan-ema")
    train, *others = [
        line.split()[1:] for line in GUIDE.splitlines() if line.startswith("tfgan-ema ")
    ]
    run = subprocess.Popen(
        [binary, *train, *SMALL], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    checkpoints, end = tmp_path / "runs" / "photos" / "checkpoints", time.monotonic() + 300
    while not checkpoint.checkpoints(checkpoints):
        assert time.monotonic() < end
        assert run.poll() is None
        time.sleep(0.05)
    run.kill()
    run.wait()
    for words in ([*train, *SMALL], *others):
        done = subprocess.run(
            [binary, *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        if words[0] == "train":
            assert "resuming at step" in done.stdout
    assert max(checkpoint.checkpoints(checkpoints)) == 30
    assert "cats" in (tmp_path / "exported" / "assets.extra" / "class_names.json").read_text()
    assert (tmp_path / "runs" / "photos" / "report.html").stat().st_size > 10_000
    with Image.open(tmp_path / "dogs.png") as image:
        assert image.mode == "RGB"
