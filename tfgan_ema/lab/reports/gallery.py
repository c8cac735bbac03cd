"""One HTML page of all shipped models: samples, scores, curves, interpolations, how to use them.

Everything is read from the models and their cards; the look is that of `report`.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tfgan_ema import data, latents, runs
from tfgan_ema.errors import UsageError
from tfgan_ema.export import ExportedGenerator
from tfgan_ema.lab.reports import cards, charts, pages
from tfgan_ema.lab.reports import run as report
from zoo import shipped

STYLE = (
    report.STYLE
    + """
.card { border-top: 1px solid #8886; margin-top: 3rem; padding-top: .5rem }
.card h3 { margin: 1.5rem 0 .3rem; font-size: 1.05rem }
pre { overflow-x: auto; padding: .7rem 1rem; border: 1px solid #8886; border-radius: 4px;
  font-size: .85rem }
.facts td:last-child { overflow-wrap: anywhere; min-width: 10rem }
"""
)


def page() -> str:
    """The page of all shipped models, as HTML; the same models give the same page.

    Raises:
        UsageError: there is none.
    """
    names = shipped.names()
    if not names:
        raise UsageError(f"{shipped.FOLDER} holds no model: `tfgan-ema zoo add` makes one.")
    links = [f'<a href="#{report.anchor(name)}">{name}</a>' for name in names]
    lead = (
        "Averaged generators that come with the package. Samples are the first of seed 0: none is "
        "chosen."
    )
    body = [f'<p class="lead">{lead}</p>', f"<nav>{' '.join(links)}</nav>"]
    body += [_model(shipped.card(name), shipped.folder(name)) for name in names]
    return pages.page("Trained models", [*body, report.SCRIPT], STYLE)


def _model(card: Mapping[str, Any], folder: Path) -> str:
    name, drawn = card["name"], card["samples"]
    with Image.open(folder / "samples.png") as file:
        picture = np.asarray(file)
    said = f"First {drawn['count']} samples of seed {drawn['seed']}"
    paths, remark = _paths(card, folder)
    head = ("metric", "raw", "averaged", "averaged - raw")
    drawn_curves = [charts.lines(metric, curves) for metric, curves in card["history"].items()]
    limits = "".join(f"<li>{html.escape(limit)}</li>" for limit in card["limits"])
    parts = [
        f'<section class="card" id="{report.anchor(name)}"><h2>{html.escape(name)}</h2>',
        report.note(_lead(card)),
        report.pair([report.figure(said, picture, f"{said} of {name}"), paths]),
        report.note(remark),
        *_steps(card, folder),
        "<h3>Scores</h3>",
        pages.table(head, cards.score_rows(card)),
        report.note(cards.scores_note(card)),
        report.pair(drawn_curves),
        f"<h3>Use</h3><pre tabindex='0'>{html.escape(_use(name))}</pre>",
        f"<h3>Limits</h3><ul>{limits}</ul>",
        f'<details><summary>How it was made</summary><div class="facts">{_made(card)}</div>'
        "</details></section>",
    ]
    return "\n".join(parts)


def _lead(card: Mapping[str, Any]) -> str:
    network, trained_on = card["config"]["network"]["name"], card["data"]
    return (
        f"{network} on {trained_on['name']}, {card['parameters']:,} parameters, "
        f"{card['bytes'] / 1e6:.2f} MB; average {card['average']} after {card['steps']:,} steps, "
        f"{card['hours']:.2f} hours on {card['device']}. Licence {card['licence']}; of the data: "
        f"{trained_on['licence']}."
    )


def _steps(card: Mapping[str, Any], folder: Path) -> list[str]:
    """Pictures of the run behind a slider, where the card's run had some."""
    found = report.pictures(folder / "steps")
    if not found:
        return []
    names = ["raw", f"averaged ({next(iter(card['config']['averages']))})"]
    shown = names if len(card["data"]["shape"]) == 3 else names[-1:]
    said = "The same latents at every step; the arrow keys move the slider."
    return ["<h3>Over training</h3>", report.note(said), report.strip(found, shown)]


def _paths(card: Mapping[str, Any], folder: Path) -> tuple[str, str]:
    """What the model makes along the paths that a report shows, and what they are."""
    model = ExportedGenerator(folder)
    dim = model.signatures["serving_default"].structured_input_signature[1]["latent"].shape[1]
    images = len(card["data"]["shape"]) == 3
    prior = latents.get(card["config"]["latent"], dim)
    paths = report.latent_paths(prior, card["data"]["num_classes"], images)
    inputs = paths.latents if paths.labels is None else [paths.latents, paths.labels]
    samples = ground = None
    if not images:  # mixtures, which are drawn, not fetched
        samples = model.sample(report.CLOUD, 1)
        ground = data.load(card["data"]["name"]).batch(range(report.CLOUD))[0]
    drawn = report.paths_figure("Interpolation", np.asarray(model(inputs)), samples, ground)
    return drawn, paths.said


def _use(name: str) -> str:
    return (
        f"tfgan-ema sample --model={name} --count=64 --out=samples.png\n\n"
        f'import zoo\nsamples = zoo.load("{name}").sample(64, seed=0)'
    )


def _made(card: Mapping[str, Any]) -> str:
    facts = {
        **{f"command: {key}": command for key, command in card["commands"].items()},
        "sha256 of the samples": card["samples"]["sha256"],
        "made with": ", ".join(f"{key} {value}" for key, value in card["versions"].items()),
        **{f"config.{key}": str(value) for key, value in runs.flatten(card["config"]).items()},
    }
    return pages.table(("", ""), facts.items())
