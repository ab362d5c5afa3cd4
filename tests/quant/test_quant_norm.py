"""LayerNorm and RMSNorm in integers: the root by exhaustion, the error against real numbers, short and extreme rows."""

from __future__ import annotations

import numpy as np
import pytest

from intar.errors import UnsupportedError
from intar.frontends.builder import Builder
from intar.ir import norm
from intar.ir.quantgraph import QNorm
from intar.ir.reference import run_float
from intar.quant.fixed import FactorRange
from intar.quant.golden import dequantise, quantise_input, run_golden
from intar.quant.norms import norm_factors, normalise, reciprocal_root
from intar.quant.quantise import quantise
from intar.quant.scheme import W8A8, W16A16


def test_root_of_every_width() -> None:
    """All 3 * 2**22 values that the root can be taken of: within one step, and 2R + 1 within half of one of 2R."""
    for first in range(1 << 22, 1 << 24, 1 << 20):
        w = np.arange(first, first + (1 << 20))
        root, pair = reciprocal_root(w)
        assert (pair == 11).all()
        assert (root * root * w <= 1 << 60).all()
        assert (((root + 1) ** 2 * w > 1 << 60) | (root == (1 << 19) - 1)).all()
        assert np.abs((root + 0.5) * np.sqrt(w / (1 << 22)) / (1 << 19) - 1).max() < 2**-18.9


def test_root_over_the_whole_range() -> None:
    rng = np.random.default_rng(0)
    w = np.concatenate(
        [2 ** np.arange(62), 2 ** np.arange(1, 62) - 1, (2 ** rng.uniform(0, 61.9, 10000)).astype(np.int64)]
    )
    root, pair = reciprocal_root(w)
    assert (pair == (np.array([int(v).bit_length() for v in w]) - 1) // 2).all()
    assert np.abs((root + 0.5) / 2.0 ** (19 + pair) * np.sqrt(w.astype(np.float64)) - 1).max() < 2**-18.8


def worst(kind: str, bits: int, columns: int, seed: int = 0) -> float:
    """Largest error in output steps over rows of many sizes and means; what saturates does not count."""
    rng = np.random.default_rng(seed)
    g = Builder("net")
    x = g.input("x", (60, columns))
    gain, shift = rng.normal(1, 0.5, columns), rng.normal(0, 0.3, columns)
    y = g.layer_norm(x, gain, shift) if kind == "layer_norm" else g.rms_norm(x, gain)
    g.output(y)
    graph = g.build()
    data = rng.normal(size=(60, columns)) * 2 ** rng.uniform(-4, 2, (60, 1))
    data += rng.normal(size=(60, 1)) * (kind == "layer_norm")
    made = quantise(graph, W8A8 if bits == 8 else W16A16, {"x": data[None]})
    assert isinstance(made.graph.tasks[-1], QNorm)
    ints = quantise_input(made.graph.tensor("x"), data)
    out = made.graph.tensor(y)
    real = run_float(graph, {"x": dequantise(made.graph.tensor("x"), ints)})[y] / out.scale + out.zero
    limit = 1 << (bits - 1)
    return float(np.abs(run_golden(made, {"x": ints}).tensors[y] - np.clip(real, -limit, limit - 1)).max())


@pytest.mark.parametrize("columns", [1, 2, 7, 64, 256, 1000])
@pytest.mark.parametrize("kind", ["layer_norm", "rms_norm"])
def test_error(kind: str, columns: int) -> None:
    """Half a step is the least that rounding leaves."""
    assert worst(kind, 16, columns) < 0.65
    assert worst(kind, 8, columns) < 0.51


def test_extreme_rows() -> None:
    """The longest row, full scale: the largest sums and the largest element after normalisation."""
    n = norm.MAX_COLS
    factors = norm_factors(np.ones(n), np.zeros(n), 0.0, 1.0, 1.0 / 64)
    row = np.full((1, n), -32768, np.int64)
    row[0, 0] = 32767
    made = normalise(row, True, factors)
    assert made[0, 0] == round(64 * (n - 1) ** 0.5) and (made[0, 1:] == round(-64 / (n - 1) ** 0.5)).all()
    assert (normalise(np.full((1, n), 7), True, factors) == 0).all(), "a flat row has no direction"
    assert (normalise(np.full((1, n), -32768), False, factors) == -64).all()


def test_scale_and_shift_behind_it_join() -> None:
    g = Builder("net")
    x = g.input("x", (4, 6))
    g.output(g.add(g.mul(g.layer_norm(x, np.ones(6), np.zeros(6)), np.arange(1.0, 7)), 0.5))
    data = np.random.default_rng(0).normal(size=(3, 4, 6))
    made = quantise(g.build(), W16A16, {"x": data})
    assert [task.kind for task in made.graph.tasks] == ["norm"]


def test_out_of_range() -> None:
    with pytest.raises(FactorRange, match="epsilon"):
        norm_factors(np.ones(4), np.zeros(4), 1.0, 1e-12, 1.0)
    with pytest.raises(FactorRange, match="shift"):
        norm_factors(np.ones(4), np.full(4, 1e6), 1.0, 1.0, 1.0)
    g = Builder("net")
    x = g.input("x", (1, norm.MAX_COLS + 1))
    g.output(g.rms_norm(x, np.ones(norm.MAX_COLS + 1)))
    with pytest.raises(UnsupportedError, match="32769 elements"):
        quantise(g.build(), W8A8, {"x": np.ones((1, 1, norm.MAX_COLS + 1))})
