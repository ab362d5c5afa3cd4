"""Random row reductions: softmax, normalisation, peaks and rows over them."""

from __future__ import annotations

from math import prod
from typing import Any

from intar.ir.quantgraph import QNorm, QPeak, QSoftmax, QTensor, QUnit
from intar.quant.drawn.maker import Maker
from intar.quant.fixed import exponent_factor, inverse_factor, limits, unit_factor
from intar.quant.norms import norm_factors


def softmax(m: Maker) -> bool:
    """Of rows from flat to steep."""
    x = m.operand()
    assert x is not None
    return softmax_into(m, x, m.tensor(x.shape))


def softmax_into(m: Maker, x: QTensor, out: QTensor, cached: int = 0) -> bool:
    """Of `x`, of whose first `cached` columns those from a call's position on count as nothing; its result is `out`."""
    lo, hi = limits(out.bits)
    mult, shift = exponent_factor(2.0 ** float(m.rng.uniform(-1, 8) - x.bits))
    numerator, out_shift = inverse_factor(out.scale)
    m.tasks.append(
        QSoftmax(
            name=f"op{len(m.tasks)}",
            inputs=(x.name,),
            output=out.name,
            lo=max(lo, out.zero),
            hi=hi,
            zero=out.zero,
            mult=mult,
            shift=shift,
            numerator=numerator,
            out_shift=out_shift,
            cached=cached,
            **_mask(m, x, cached),
        )
    )
    m.read.add(x.name)
    return True


def _mask(m: Maker, x: QTensor, cached: int) -> dict[str, Any]:
    """None, the end of every row hidden, or a causal one for each item of the batch; something behind cached columns
    counts in every row."""
    batch = prod(x.shape[:-2])
    kind = int(m.rng.integers(0, 3))
    visible = int(m.rng.integers(cached + 1, x.cols + 1)) if kind else 0
    return {"batch": batch, "visible": visible, "causal": kind == 2}


def norm(m: Maker) -> bool:
    """LayerNorm, or RMSNorm of a tensor with zero point 0; gains and offsets of both signs."""
    centred = m.chance(0.5)
    x = m.operand(lambda tensor: centred or tensor.zero == 0)
    if x is None:
        return False
    name, out = f"op{len(m.tasks)}", m.tensor(x.shape)
    joins = m.tables and m.table_rng.random() < 0.4
    table = m.table(name, out, m.table_rng) if joins else None
    lo, hi = limits(table.in_bits if table else out.bits)
    step = 2.0 / hi
    made = norm_factors(
        m.rng.normal(0.0, 1.0, x.cols),
        m.rng.normal(0.0, 0.5, x.cols),
        2.0 ** float(m.rng.uniform(-30, 2)),
        2.0 ** float(m.rng.uniform(-12, -4)),
        step,
    )
    m.tasks.append(
        QNorm(
            **m.by_column({"name": name, "table": table}, x.cols, evaluates=False),
            inputs=(x.name,),
            output=out.name,
            lo=lo,
            hi=hi,
            zero=0 if table else out.zero,
            centred=centred,
            lift=16 - x.bits,
            epsilon=made.epsilon,
            shift=made.shift,
            out_shift=made.out_shift,
            gain=m.constant(f"{name}_gain", made.gain),
            offset=m.constant(f"{name}_offset", made.offset),
        )
    )
    m.read.add(x.name)
    return True


def unit(m: Maker) -> bool:
    """Rows over their peaks, of which some are beyond the range of the output."""
    x = m.operand(lambda tensor: tensor.zero == 0)
    if x is None:
        return False
    out = m.tensor(x.shape)
    lo, hi = limits(out.bits)
    numerator, out_shift = unit_factor(out.scale)
    m.tasks.append(
        QUnit(
            name=f"op{len(m.tasks)}",
            inputs=(x.name,),
            output=out.name,
            lo=lo,
            hi=hi,
            zero=out.zero,
            numerator=numerator,
            out_shift=out_shift,
        )
    )
    m.read.add(x.name)
    return True


def peak(m: Maker) -> bool:
    """Of a tensor with zero point 0: a column."""
    x = m.operand(lambda tensor: tensor.zero == 0)
    if x is None:
        return False
    out = m.tensor((*x.shape[:-1], 1), zero=0)
    lo, hi = limits(out.bits)
    m.tasks.append(QPeak(name=f"op{len(m.tasks)}", inputs=(x.name,), output=out.name, lo=lo, hi=hi))
    m.read.add(x.name)
    return True
