"""The handwritten digits of scikit-learn (1,797 real 8x8 images), split once and for all."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


def split() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(train images, test images, train labels, test labels); images are (n, 64) float32 in 0..1."""
    digits = load_digits()
    images = (digits.data / 16.0).astype(np.float32)
    parts = train_test_split(images, digits.target, test_size=450, random_state=0, stratify=digits.target)
    return tuple(parts)  # type: ignore[return-value]
