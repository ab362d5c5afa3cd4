"""Coefficients to start from: fitted here, to the function that the kernels compute.

The presets published with KAT were fitted to ``1 + |b1 x + …|`` but are run with each term's absolute value; their GELU is
1.47 off at ``x = 3``. These are fits of the right form, minimax over ``|x| <= 8``::

    python -m intar.gpu.coefficients        prints the table below with its errors (two seconds)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from intar.errors import ConfigError, Finding

Array = NDArray[np.float64]
Target = Callable[[Array], Array]

RADIUS = 8.0
"""The fits hold for ``|x| <= RADIUS``."""


def _gelu(x: Array) -> Array:
    return np.asarray(0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))))


def _silu(x: Array) -> Array:
    return np.asarray(x / (1 + np.exp(-x)))


TARGETS: dict[str, Target] = {"gelu": _gelu, "silu": _silu}
"""What the fitted presets stand for."""

PRESETS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "identity": ((0.0, 1.0, 0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0)),
    "gelu": (
        (-0.00335108395, 0.499997673, 0.41883193, 0.125139343, 0.0158269161, 0.000717407856),
        (0, 0.250276359, 7.17221971e-07, 0.00143476169),
    ),  # error 0.00335
    "silu": (
        (0.000524264235, 0.500009679, 0.248770861, 0.0505006415, 0.0048608171, 0.000183230847),
        (2.47226195e-05, 0.100991175, 1.62031457e-06, 0.00036637314),
    ),  # error 0.000524
}


def preset(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Numerator (6) and denominator (4) of `identity`, `gelu` or `silu`."""
    if name not in PRESETS:
        raise ConfigError(
            Finding(f"no preset is called {name!r}", "init", hint=f"use one of {', '.join(PRESETS)}")
        )
    return PRESETS[name]


def evaluate(x: Array, a: Array, b: Array) -> Array:
    """The rational function in float64, at any array of points."""
    size = np.abs(x)
    p = np.polynomial.polynomial.polyval(x, a)
    q = np.polynomial.polynomial.polyval(size, np.concatenate([[1.0], np.abs(b)]))
    return np.asarray(p / q)


def gain(a: ArrayLike, b: ArrayLike) -> float:
    """``1 / E[F(x)^2]`` for a standard normal `x`: what keeps the variance through a linear layer after the function."""
    points, weights = np.polynomial.hermite_e.hermegauss(100)
    return float(
        weights.sum()
        / np.sum(weights * evaluate(points, np.asarray(a, np.float64), np.asarray(b, np.float64)) ** 2)
    )


def fit(
    target: Target, radius: float = RADIUS, points: int = 1001, rounds: int = 200
) -> tuple[Array, Array, float]:
    """Numerator, denominator (none negative) and maximum error of a near-minimax fit of `target` on [-radius, radius].

    ``P - f (Q - 1) = f`` is linear in the coefficients. Each round solves it by least squares, weighted by 1/Q of the round
    before (Sanathanan and Koerner), so that the residual is the error, and by Lawson's weights, which grow where the error
    is largest, so that the largest error falls. Of all rounds the best one counts.
    """
    x = radius * np.cos(np.pi * (np.arange(points) + 0.5) / points)
    unit, wanted = x / radius, target(x)
    p_columns = unit[:, None] ** np.arange(6)
    q_columns = np.abs(unit)[:, None] ** np.arange(1, 5)
    weights: Array = np.full(points, 1.0 / points)
    q: Array = np.ones(points)
    best: tuple[float, Array, Array] = (math.inf, np.zeros(6), np.zeros(4))
    for _ in range(rounds):
        scale = np.sqrt(weights) / q
        a, b = _not_negative(
            p_columns * scale[:, None], -wanted[:, None] * q_columns * scale[:, None], wanted * scale
        )
        q = 1 + q_columns @ b
        error = np.abs(p_columns @ a / q - wanted)
        if error.max() < best[0]:
            best = float(error.max()), a, b
        weights = np.asarray(weights * error / np.sum(weights * error))
    _, a, b = best
    a, b = a / radius ** np.arange(6), b / radius ** np.arange(1, 5)
    dense = np.linspace(-radius, radius, 20001)
    return a, b, float(np.abs(evaluate(dense, a, b) - target(dense)).max())


def _not_negative(free: Array, bounded: Array, wanted: Array) -> tuple[Array, Array]:
    """Least squares over both sets of columns with no negative coefficient in the second: the best of its 16 supports."""
    best: tuple[float, Array, Array] = (math.inf, np.zeros(free.shape[1]), np.zeros(bounded.shape[1]))
    for chosen in itertools.product((False, True), repeat=bounded.shape[1]):
        support = np.array(chosen)
        columns = np.hstack([free, bounded[:, support]])
        solution = np.asarray(np.linalg.lstsq(columns, wanted, rcond=None)[0], np.float64)
        b: Array = np.zeros(bounded.shape[1])
        b[support] = solution[free.shape[1] :]
        residual = float(np.sum((columns @ solution - wanted) ** 2))
        if b.min() >= 0 and residual < best[0]:
            best = (residual, solution[: free.shape[1]], b)
    return best[1], best[2]


def main() -> None:
    """Print the presets' source."""
    for name, target in TARGETS.items():
        a, b, error = fit(target)
        rows = ["(" + ", ".join(f"{value:.9g}" for value in part) + ")" for part in (a, b)]
        print(f'    "{name}": (\n        {rows[0]},\n        {rows[1]},\n    ),  # error {error:.3g}')


if __name__ == "__main__":
    main()
