"""Random quantised graphs with legal integers, to try the whole compiler on what nobody thought of.

The graphs mean nothing; they only obey `docs/numerics.md`. Sizes are small and awkward: ones, primes, and no multiples of
any lane count. The same arguments make the same graph on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from intar.ir.bits import INDEX_BITS
from intar.ir.ops import POSITION
from intar.ir.quantgraph import QTensor, QuantGraph, Quantised
from intar.quant.absorb import absorb_binaries
from intar.quant.drawn import arithmetic, moves, rows, several
from intar.quant.drawn.maker import Maker
from intar.quant.fixed import limits
from intar.quant.golden import id_rows
from intar.quant.quantise import finish

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

KINDS: Mapping[str, Callable[[Maker], bool]] = {
    "matmul": arithmetic.matmul,
    "product": arithmetic.product,
    "softmax": rows.softmax,
    "norm": rows.norm,
    "unit": rows.unit,
    "peak": rows.peak,
    "token": several.token,
    "affine": arithmetic.affine,
    "binary": arithmetic.binary,
    "step": several.step,
    "reshape": moves.reshape,
    "transpose": moves.transpose,
    "slice": moves.take,
    "concat": moves.concat,
}
"""How a task of each kind, or several, are added to a graph; False where no tensors fit."""
OPS = tuple(KINDS)
MOVES = ("reshape", "transpose", "slice", "concat")
USUAL = (*("matmul",) * 5, *("affine",) * 2, *("binary",) * 3, *MOVES)
"""Kinds in the proportion in which they are drawn unless the caller says otherwise."""
ATTENTION = (*USUAL, *("product",) * 4, *("softmax",) * 3, *("norm",) * 2)
"""The same with products of activations, softmax and normalisation."""
TOKENS = (*ATTENTION, *("unit",) * 4, *("peak",) * 2, *("token",) * 5)
"""The same with peaks of rows, rows over them, and columns times them."""
STEPS = (*ATTENTION, *("step",) * 20)
"""The same with attention behind cached rows, which makes the network a step function of its own position."""
PATIENCE = 20


def random_quantised(
    seed: int,
    tasks: int = 5,
    *,
    inputs: int = 1,
    bits: Sequence[int] | None = None,
    weight_bits: Sequence[int] = (4, 8, 16),
    ops: Sequence[str] = USUAL,
    tables: bool = True,
) -> Quantised:
    """A small valid graph.

    Parameters
    ----------
    seed : decides everything else.
    tasks : number of tasks, at least: a ``step`` is several.
    inputs : number of network inputs (those that no task happens to read are left out).
    bits : widths of activations to draw from, each tensor its own; None: one width, 8 or 16, for the whole graph.
    weight_bits : widths of weights to draw from.
    ops : kinds of tasks to draw from, of :data:`OPS`; repeat one to draw it more often.
    tables : whether tasks may end in a function table.
    """
    first = np.random.default_rng([seed, 1])
    widths = tuple(bits) if bits else ((8, 16)[int(first.integers(2))],)
    maker = Maker(seed, widths, weight_bits, tables)
    given = [maker.tensor(maker.shape()).name for _ in range(inputs)]
    failed = 0
    while len(maker.tasks) < tasks:
        failed = 0 if KINDS[maker.pick(ops)](maker) else failed + 1
        if failed == PATIENCE:
            arithmetic.affine(maker)  # a binary, say, needs a partner of the same shape: make one
            failed = 0
    made = [task.output for task in maker.tasks]
    outputs = [name for name in made if name not in maker.read]
    outputs += [name for name in made if name in maker.read and maker.chance(0.1)]
    outputs = [name for name in dict.fromkeys([*outputs, *maker.kept]) if name not in maker.hidden]
    used = [name for name in (*given, *maker.added) if name in maker.read]
    work = list(maker.tasks)
    if maker.chance(0.5):
        work = absorb_binaries(work, maker.tensors, outputs)
    if maker.cached:
        maker.tensors[POSITION] = QTensor(name=POSITION, shape=(1,), bits=INDEX_BITS, scale=1.0)
    kept = {*used, POSITION, *(task.output for task in work)}
    graph = QuantGraph(
        name=f"random_{seed}",
        tensors=tuple(t for t in maker.tensors.values() if t.name in kept),
        tasks=tuple(work),
        inputs=tuple(used),
        outputs=tuple(outputs),
    )
    return finish(graph, maker.constants)


def random_inputs(quantised: Quantised, seed: int) -> dict[str, np.ndarray]:
    """Integers (int64) for each input, uniform over its type (ids: its table) with the extremes well represented."""
    rng = np.random.default_rng([seed, 2])
    result, rows = {}, id_rows(quantised)
    for name in quantised.graph.given:
        tensor = quantised.graph.tensor(name)
        if name not in quantised.graph.inputs:
            result[name] = rng.integers(0, quantised.graph.positions + 1, tensor.shape)
            continue
        lo, hi = limits(tensor.bits)
        first, end = (-1, rows[name] + 1) if name in rows else (lo, hi + 1)
        values = rng.integers(first, end, tensor.shape)
        extreme = rng.random(tensor.shape)
        result[name] = np.where(extreme < 0.05, lo, np.where(extreme > 0.95, hi, values))
    return result


def quantised_graphs(max_tasks: int = 6, **options: Any) -> SearchStrategy[Quantised]:
    """A Hypothesis strategy of :func:`random_quantised`; it shrinks to fewer tasks and smaller seeds."""
    from hypothesis import strategies as st

    return st.builds(
        lambda tasks, seed: random_quantised(seed, tasks, **options),
        tasks=st.integers(1, max_tasks),
        seed=st.integers(0, 2**32 - 1),
    )
