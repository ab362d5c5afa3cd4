"""Random kinds of several tasks: attention behind cached rows, columns times the peaks of their rows."""

from __future__ import annotations

from intar.ir.quantgraph import QBinary, QTensor
from intar.quant import pieces
from intar.quant.absorb import merge
from intar.quant.drawn.arithmetic import matmul_into, plain_matmul, product_into
from intar.quant.drawn.maker import COLUMNS, Maker
from intar.quant.drawn.moves import move
from intar.quant.drawn.rows import peak, softmax_into
from intar.quant.fixed import factor

CACHED = (4, 5, 7, 12)
HEADS = (1, 2, 2, 4)
SIZES = (3, 4, 8, 8, 11, 16)
NEW = (1, 1, 1, 2, 3)
"""Rows of states, blocks of them, columns; rows that a call adds to a block, less than the state has."""


def step(m: Maker) -> bool:
    """Attention behind cached rows: queries, and keys and values behind a state each, from one tensor."""
    m.cached = m.cached or m.pick(CACHED)
    x = m.operand(lambda tensor: len(tensor.shape) == 3 and tensor.shape[1] <= max(NEW))
    if x is None or m.chance(0.3):
        x = m.tensor((m.pick(HEADS), m.pick(NEW), m.pick(COLUMNS)))
        m.added.append(x.name)
    heads, length, _ = x.shape
    queries = m.tensor((heads, length, m.pick(SIZES)), zero=0)
    matmul_into(m, x, queries)
    keys, values = _behind_state(m, x, queries.cols), _behind_state(m, x, m.pick(SIZES))
    scores = m.tensor((heads, length, m.cached + length))
    m.hidden.add(scores.name)
    product_into(m, queries, keys, True, scores)
    shares = m.tensor(scores.shape, zero=0)
    softmax_into(m, scores, shares, m.cached)
    return product_into(m, shares, values, False, m.tensor((heads, length, values.cols)))


def _behind_state(m: Maker, x: QTensor, columns: int) -> QTensor:
    """A state and the new rows behind it that `x` makes."""
    name = f"s{len(m.kept)}"
    new = m.tensor((*x.shape[:2], columns), zero=0, name=f"{name}_new")
    matmul_into(m, x, new)
    kept = m.tensor((x.shape[0], m.cached, columns), like=new, name=name)
    m.added.append(name)
    m.kept.append(new.name)
    made, visits = pieces.concat([kept.shape, new.shape], 1, [0, 1])
    move(m, (kept, new), (x.shape[0], m.cached + x.shape[1], columns), made, visits)
    joined = m.tensors[m.tasks[-1].output]
    m.hidden |= {name, joined.name}
    return joined


def token(m: Maker) -> bool:
    """Columns times the peaks of their rows: a matmul's, mostly in its tail, its bias behind them or before; or any."""
    if not peak(m):
        return False
    x, peaks = (m.tensors[n] for n in (*m.tasks[-1].inputs, m.tasks[-1].output))
    host = plain_matmul(m, x) if m.chance(0.8) else None
    x = m.tensors[host.output] if host else x
    out = m.tensor(x.shape)
    common = m.common(f"op{len(m.tasks)}_rows", (x, peaks), out)
    mx, shift = factor(float(m.spread(common, 2.0 ** (x.bits + peaks.bits - 4))))
    scaled = QBinary(**common, op="mul", zx=x.zero, zy=peaks.zero, mx=mx, my=0, shift=shift)
    m.read.add(peaks.name)
    if host and m.chance(0.8):
        late = m.chance(0.6)
        if late:
            limit = 1 << out.bits
            m.constants[host.bias] = m.rng.integers(-limit, limit, x.cols)
        m.hidden.add(x.name)
        m.tasks[-1] = merge(host, scaled, late)
    else:
        m.read.add(x.name)
        m.tasks.append(scaled)
    return True
