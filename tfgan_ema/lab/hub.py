"""Shipped models in other places: a folder, or a repository of the Hugging Face hub.

What is pushed is the model's folder with its card as ``README.md``, whose head the hub reads, and
``SHA256SUMS``. The sums find what was damaged on the way; they come from where the model comes
from, so they do not say who made it.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import yaml

from tfgan_ema import files, progress, reading
from tfgan_ema.errors import UsageError
from zoo import shipped

HUB = "hf:"  # begins the name of a repository, as in hf:OWNER/NAME
SUMS = "SHA256SUMS"
_ADVICE = "see HF_TOKEN and HF_ENDPOINT of huggingface_hub, or use a folder."


def push(name: str, to: str, *, overwrite: bool = False) -> str:
    """Copies a shipped model to a folder or, as ``hf:OWNER/NAME``, to the hub.

    Returns:
        Where it is now.

    Raises:
        UsageError: no such model, something is there already, or the hub refuses.
    """
    model, card = shipped.folder(name), shipped.card(name)
    if not to.startswith(HUB):
        with _new_folder(Path(to), overwrite) as folder:
            _fill(folder, model, card)
        return to
    client = _client()
    with tempfile.TemporaryDirectory() as scratch, progress.line("uploading"):
        _fill(Path(scratch), model, card)
        with reading.refusing(f"{to} cannot be written", _ADVICE):
            api, repository = client.HfApi(), to.removeprefix(HUB)
            if api.repo_exists(repository) and not overwrite:
                raise UsageError(f"{to} exists: choose another name, or pass overwrite=True.")
            api.create_repo(repository, exist_ok=overwrite)
            api.upload_folder(
                repo_id=repository, folder_path=scratch, commit_message=f"{name} of tfgan_ema"
            )
    return to


def pull(source: str, out: Path, *, overwrite: bool = False) -> Path:
    """Copies what `push` wrote to a folder, which ``--model`` takes; the checksums must agree.

    Raises:
        UsageError: the folder exists, there is no such model, or a file is damaged.
    """
    with _new_folder(out, overwrite) as folder:
        if not source.startswith(HUB):
            _copy_checked(Path(source), folder, source)
            return out
        client = _client()
        with tempfile.TemporaryDirectory() as scratch, progress.line("downloading"):
            with reading.refusing(f"{source} cannot be read", _ADVICE):
                client.snapshot_download(source.removeprefix(HUB), local_dir=scratch)
            _copy_checked(Path(scratch), folder, source)
    return out


def front_matter(card: Mapping[str, Any]) -> str:
    """The head of a card as the hub reads it: library, licence, and the scores as a table."""
    images = len(card["data"]["shape"]) == 3
    task = "unconditional-image-generation" if images else "other"
    data, metrics = card["data"], card["metrics"]
    dataset = {"name": data["name"], "type": data["name"], "split": data["split"]}
    scores = [
        {"type": metric, "name": f"{metric}, {generator}", "value": round(float(np.mean(v)), 6)}
        for generator in ("averaged", "raw")
        for metric, v in metrics[generator].items()
    ]
    result = {"task": {"type": task}, "dataset": dataset, "metrics": scores}
    head = {
        "library_name": "keras",
        "license": card["licence"].lower(),
        **({"pipeline_tag": task} if images else {}),
        "tags": ["gan", "tensorflow", "tfgan_ema", card["config"]["network"]["kind"]],
        "model-index": [{"name": card["name"], "results": [result]}],
    }
    return f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n"


def _client() -> Any:
    import huggingface_hub

    huggingface_hub.utils.disable_progress_bars()  # the command has a line of its own
    return huggingface_hub


def _new_folder(out: Path, overwrite: bool) -> Any:
    """A context that gives a folder to fill, which then takes its place."""
    if out.exists() and not overwrite:
        raise UsageError(f"{out} exists: choose another folder, or pass overwrite=True.")
    if out.exists() and not (out / SUMS).is_file():
        raise UsageError(f"{out} holds no pushed model to replace: choose another folder.")
    return files.replacing(out)


def _fill(folder: Path, model: Path, card: Mapping[str, Any]) -> None:
    shutil.copytree(model, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("card.md"))
    text = (model / "card.md").read_text(encoding="utf-8")
    (folder / "README.md").write_text(front_matter(card) + "\n" + text, encoding="utf-8")
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    sums = [f"{_sum(path)}  {path.relative_to(folder).as_posix()}\n" for path in paths]
    (folder / SUMS).write_text("".join(sums), encoding="utf-8")


def _copy_checked(source: Path, folder: Path, name: str) -> None:
    """Copies the files that have a checksum, and no other ones."""
    if not (source / SUMS).is_file():
        raise UsageError(f"{name} holds no {SUMS}: expected what `tfgan-ema zoo push` wrote.")
    folder.mkdir()
    shutil.copy(source / SUMS, folder / SUMS)
    with reading.refusing(f"{name} is no pushed model", "push it again."):
        sums = [*_sums((source / SUMS).read_text(encoding="utf-8"))]
        for _, path in sums:
            reading.regular(source / path).close()
    for wanted, path in sums:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / path, folder / path)
        if _sum(folder / path) != wanted:
            raise UsageError(f"{name}: {path} is damaged: its checksum is wrong; push it again.")


def _sums(text: str) -> Iterator[tuple[str, PurePosixPath]]:
    for line in text.splitlines():
        wanted, _, name = line.partition("  ")
        path = PurePosixPath(name)
        if not name or path.is_absolute() or ".." in path.parts:
            raise ValueError(f"a file named {name!r}")
        yield wanted, path


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
