"""Faces and other pictures: 100 each from `lfw_subset` of the package scikit-image, as RNet takes them."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import numpy as np

FACES = 100
SEED = 0


def images() -> tuple[np.ndarray, np.ndarray]:
    """Images (200, 1, 3, 24, 24), values ``(pixel - 127.5) / 128``, and whether each is a face."""
    files = importlib.metadata.files("scikit-image") or []
    (found,) = (file for file in files if file.name == "lfw_subset.npy")
    grey = np.load(Path(str(found.locate())))[:, :24, :24]
    scaled = ((grey * 255 - 127.5) / 128).astype(np.float32)
    return np.repeat(scaled[:, None, None], 3, axis=2), np.arange(len(grey)) < FACES


def split() -> tuple[np.ndarray, ...]:
    """Images for calibration (every fifth) and for the test (all others), then the labels of both."""
    x, labels = images()
    chosen = np.arange(len(x)) % 5 == 0
    return x[chosen], x[~chosen], labels[chosen], labels[~chosen]
