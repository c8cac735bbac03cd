"""The script that trains the classifiers behind feature spaces."""

import numpy as np

from tfgan_ema.lab import classifier as training
from tfgan_ema.metrics import classifier


def test_training_a_classifier_learns(tmp_path, monkeypatch):
    """The script's own path, on two kinds of stripes: train, fold, round, store, measure."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 512).astype(np.int32)
    images = random.integers(0, 60, (512, 28, 28, 1), dtype=np.uint8)
    images[labels == 1, ::4] = 250
    images[labels == 0, :, ::4] = 250
    monkeypatch.setattr(classifier, "path", lambda space: tmp_path / f"{space}.npz")
    model = training.train(images, labels, epochs=3, seed=0, flip=True)
    training.save(model, "stripes")
    assert training.accuracy("stripes", images, labels) > 0.95
