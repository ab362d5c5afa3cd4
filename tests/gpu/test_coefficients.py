"""The presets are what they are called, in the form that the kernels compute."""

from __future__ import annotations

import numpy as np
import pytest

from intar.errors import ConfigError
from intar.gpu.coefficients import PRESETS, RADIUS, TARGETS, evaluate, fit, gain, preset

ERRORS = {"gelu": 3.4e-3, "silu": 5.3e-4}
PUBLISHED_GELU = (
    (-0.00153969, 0.51692871, 0.44075827, 0.0972553, -0.00884418, -0.00378675),
    (-0.14171056, -0.06481231, -0.0444695, 0.01283776),
)


@pytest.mark.parametrize("name", TARGETS)
def test_presets_are_near_their_function(name: str) -> None:
    x = np.linspace(-RADIUS, RADIUS, 100_001)
    a, b = (np.array(part) for part in PRESETS[name])
    assert np.abs(evaluate(x, a, b) - TARGETS[name](x)).max() <= ERRORS[name]
    assert b.min() >= 0


def test_published_gelu_is_not() -> None:
    """The check above would have found the preset that the published package calls gelu."""
    a, b = (np.array(part) for part in PUBLISHED_GELU)
    x = np.array([3.0])
    assert abs(evaluate(x, a, b) - TARGETS["gelu"](x)).item() == pytest.approx(1.465, abs=1e-3)


@pytest.mark.parametrize("name", TARGETS)
def test_presets_come_from_the_fit(name: str) -> None:
    """Fitting again gives the same function; the error levels out as a minimax error does."""
    a, b, error = fit(TARGETS[name], points=501)
    x = np.linspace(-RADIUS, RADIUS, 1001)
    shipped = [np.array(part) for part in PRESETS[name]]
    assert error <= 1.02 * ERRORS[name]
    assert np.abs(evaluate(x, a, b) - evaluate(x, *shipped)).max() <= 0.1 * ERRORS[name]


def test_gain_keeps_the_variance() -> None:
    assert gain(*preset("identity")) == pytest.approx(1.0)
    sample = np.random.default_rng(0).normal(size=1_000_000)
    a, b = (np.array(part) for part in preset("silu"))
    assert gain(a, b) == pytest.approx(1 / np.mean(evaluate(sample, a, b) ** 2), rel=0.01)


def test_unknown_preset() -> None:
    with pytest.raises(ConfigError, match=r"no preset is called 'swish'[\s\S]*identity, gelu, silu"):
        preset("swish")
