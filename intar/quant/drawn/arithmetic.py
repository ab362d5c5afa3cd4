"""Random matmuls, products, affine tasks and binaries."""

from __future__ import annotations

from math import prod

import numpy as np

from intar.ir.quantgraph import QAffine, QBinary, QMatmul, QProduct, QTensor
from intar.quant.drawn.maker import COLUMNS, MAX_ELEMENTS, Maker
from intar.quant.fixed import add_factors, factor, factors, limits
from intar.quant.ranges import acc_bits, product_bits


def matmul(m: Maker) -> bool:
    """Of any tensor."""
    x = m.operand(lambda tensor: bool(tensor.shape))
    assert x is not None
    return matmul_into(m, x, m.tensor((*x.shape[:-1], m.pick(COLUMNS))))


def matmul_into(m: Maker, x: QTensor, out: QTensor) -> bool:
    """Of `x`, with random weights; its result is `out`."""
    columns, name = out.cols, f"op{len(m.tasks)}"
    bits = m.pick(m.weight_bits)
    lo, hi = limits(bits)
    weight = m.rng.integers(lo, hi + 1, (x.cols, columns))
    weight[m.rng.random(weight.shape) < 0.05] = lo
    deviation = np.sqrt((weight.astype(np.float64) ** 2).sum(axis=0) / 3) * (1 << (x.bits - 1))
    common = m.by_column(m.common(name, (x,), out), out.cols)
    mult, shift = factors(m.spread(common, deviation) * m.pick((1, -1)))
    bias = np.rint(m.rng.normal(0, 0.3, columns) * deviation)
    m.tasks.append(
        QMatmul(
            **common,
            weight=m.constant(f"{name}_weight", weight),
            weight_bits=bits,
            bias=m.constant(f"{name}_bias", bias),
            mult=m.constant(f"{name}_mult", mult),
            shift=m.constant(f"{name}_shift", shift),
            acc_bits=acc_bits(weight, x.bits),
        )
    )
    m.read.add(x.name)
    return True


def plain_matmul(m: Maker, x: QTensor) -> QMatmul:
    """Without a function and a ReLU, as what takes a tail."""
    matmul_into(m, x, m.tensor((*x.shape[:-1], m.pick(COLUMNS))))
    task = m.tasks[-1]
    assert isinstance(task, QMatmul)
    out = m.tensors[task.output]
    lo, hi = limits(out.bits)
    m.tasks[-1] = task = task.model_copy(
        update={"table": None, "relu": False, "lo": lo, "hi": hi, "zero": out.zero}
    )
    return task


def product(m: Maker) -> bool:
    """Of a tensor with any that fits, or with itself transposed."""
    x = m.operand(lambda tensor: len(tensor.shape) > 1 and tensor.zero == 0)
    if x is None:
        return False
    lead, rows, k = x.shape[:-2], x.shape[-2], x.shape[-1]

    def fits(tensor: QTensor) -> bool:
        close = tensor.zero == 0 and tensor.shape[:-2] == lead and len(tensor.shape) == len(x.shape)
        return (
            close
            and k in tensor.shape[-2:]
            and prod(x.shape) // k * prod(tensor.shape[-2:]) // k <= MAX_ELEMENTS
        )

    y = m.operand(fits)
    if y is None:
        return False
    transposed = y.shape[-1] == k and (y.shape[-2] != k or m.chance(0.5))
    out = m.tensor((*lead, rows, y.shape[-2] if transposed else y.shape[-1]))
    return product_into(m, x, y, transposed, out)


def product_into(m: Maker, x: QTensor, y: QTensor, transposed: bool, out: QTensor) -> bool:
    """Of two tensors that fit; its result is `out`."""
    lead, k = x.shape[:-2], x.shape[-1]
    common = m.common(f"op{len(m.tasks)}", (x, y), out)
    deviation = np.sqrt(k) / 3 * 2.0 ** (x.bits + y.bits - 2)
    mult, shift = factor(float(m.spread(common, deviation)) * m.pick((1, -1)))
    m.tasks.append(
        QProduct(
            **common,
            batch=prod(lead),
            transposed=transposed,
            mult=mult,
            shift=shift,
            acc_bits=product_bits(limits(x.bits), limits(y.bits), k),
        )
    )
    m.read |= {x.name, y.name}
    return True


def affine(m: Maker) -> bool:
    """Of any tensor, column by column."""
    x = m.operand()
    assert x is not None
    name, out = f"op{len(m.tasks)}", m.tensor(x.shape)
    common = m.by_column(m.common(name, (x,), out), out.cols)
    deviation = np.full(x.cols, float(1 << (x.bits - 2)))
    mult, shift = factors(m.spread(common, deviation) * m.rng.choice((1, -1), x.cols))
    bias = m.rng.integers(-(1 << x.bits), 1 << x.bits, x.cols) - x.zero
    m.tasks.append(
        QAffine(
            **common,
            bias=m.constant(f"{name}_bias", bias),
            mult=m.constant(f"{name}_mult", mult),
            shift=m.constant(f"{name}_shift", shift),
        )
    )
    m.read.add(x.name)
    return True


def binary(m: Maker) -> bool:
    """A sum or a product of two tensors of one shape."""
    x = m.operand()
    assert x is not None
    y = m.operand(lambda tensor: tensor.shape == x.shape and tensor.name != x.name)
    if y is None:
        return False
    name, out, op = f"op{len(m.tasks)}", m.tensor(x.shape), m.pick(("add", "mul"))
    common = m.common(name, (x, y), out)
    if op == "mul":
        (mx, shift), my = factor(float(m.spread(common, 2.0 ** (x.bits + y.bits - 4)))), 0
    else:
        fx, fy = (float(m.spread(common, 2.0 ** (t.bits - 2))) * m.pick((1, -1)) for t in (x, y))
        mx, my, shift = add_factors(fx, fy)
    m.tasks.append(QBinary(**common, op=op, zx=x.zero, zy=y.zero, mx=mx, my=my, shift=shift))
    m.read |= {x.name, y.name}
    return True
