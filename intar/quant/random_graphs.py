"""Random quantised graphs with legal integers, to try the whole compiler on what nobody thought of.

The graphs mean nothing; they only obey `docs/numerics.md`. Sizes are small and awkward: ones, primes, and no multiples of
any lane count. The same arguments make the same graph on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from intar.ir.bits import INDEX_BITS
from intar.ir.ops import POSITION
from intar.ir.quantgraph import (
    DirectSpec,
    Piece,
    QAffine,
    QBinary,
    QMatmul,
    QMove,
    QNorm,
    QPeak,
    QProduct,
    QSoftmax,
    QTask,
    QTensor,
    QuantGraph,
    Quantised,
    QUnit,
    TableSpec,
)
from intar.ir.rational import DENOMINATOR, FRACTIONS, NUMERATOR, VARIABLE_BITS, WORDS
from intar.quant import pieces
from intar.quant.absorb import absorb_binaries, merge
from intar.quant.fixed import (
    add_factors,
    exponent_factor,
    factor,
    factors,
    inverse_factor,
    limits,
    unit_factor,
)
from intar.quant.golden import id_rows
from intar.quant.norms import norm_factors
from intar.quant.quantise import finish
from intar.quant.ranges import acc_bits, product_bits
from intar.quant.tables import MAX_LOG_ENTRIES

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

MOVES = ("reshape", "transpose", "slice", "concat")
OPS = ("matmul", "product", "softmax", "norm", "unit", "peak", "token", "affine", "binary", "step", *MOVES)
USUAL = (*("matmul",) * 5, *("affine",) * 2, *("binary",) * 3, *MOVES)
"""Kinds in the proportion in which they are drawn unless the caller says otherwise."""
ATTENTION = (*USUAL, *("product",) * 4, *("softmax",) * 3, *("norm",) * 2)
"""The same with products of activations, softmax and normalisation."""
TOKENS = (*ATTENTION, *("unit",) * 4, *("peak",) * 2, *("token",) * 5)
"""The same with peaks of rows, rows over them, and columns times them."""
STEPS = (*ATTENTION, *("step",) * 20)
"""The same with attention behind cached rows, which makes the network a step function of its own position."""
ROWS = (1, 1, 1, 2, 3, 5, 7)
COLUMNS = (1, 2, 3, 5, 7, 8, 11, 16, 17, 23, 33)
CACHED = (4, 5, 7, 12)
HEADS = (1, 2, 2, 4)
SIZES = (3, 4, 8, 8, 11, 16)
NEW = (1, 1, 1, 2, 3)
"""Rows of states, blocks of them, columns; rows that a call adds to a block, less than the state has."""
MAX_ELEMENTS = 600
PATIENCE = 20
LARGEST_FACTOR = 100.0


class _Maker:
    """Grows one graph; every draw comes from one generator, but for groups and curves of tables and for functions without
    tables."""

    def __init__(self, seed: int, bits: Sequence[int], weight_bits: Sequence[int], tables: bool) -> None:
        self.rng = np.random.default_rng(seed)
        self.table_rng = np.random.default_rng((seed, 1))
        self.direct_rng = np.random.default_rng((seed, 2))
        self.bits, self.weight_bits, self.tables = tuple(bits), tuple(weight_bits), tables
        self.tensors: dict[str, QTensor] = {}
        self.tasks: list[QTask] = []
        self.constants: dict[str, np.ndarray] = {}
        self.read: set[str] = set()
        self.added: list[str] = []
        """Inputs that tasks have asked for."""
        self.kept: list[str] = []
        """Outputs that are new rows of states."""
        self.hidden: set[str] = set()
        """What depends on rows of states that don't count: only the task reads it that it was made for."""
        self.cached = 0

    # ------------------------------------------------------------ draws

    def pick(self, options: Sequence[Any]) -> Any:
        return options[int(self.rng.integers(len(options)))]

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def shape(self) -> tuple[int, ...]:
        rows, columns = self.pick(ROWS), self.pick(COLUMNS)
        form = self.rng.random()
        if form < 0.15:
            return (columns,)
        return (self.pick((1, 2, 3)), rows, columns) if form < 0.3 else (rows, columns)

    def tensor(
        self, shape: Sequence[int], like: QTensor | None = None, zero: int | None = None, name: str = ""
    ) -> QTensor:
        """A new tensor, with a random format or that of `like`."""
        bits = like.bits if like else self.pick(self.bits)
        lo, hi = limits(bits)
        if zero is None:
            zero = like.zero if like else 0 if self.chance(0.4) else int(self.rng.integers(lo, hi + 1))
        scale = like.scale if like else 2.0 ** -int(self.rng.integers(1, 12))
        name = name or f"t{len(self.tensors)}"
        self.tensors[name] = QTensor(
            name=name, shape=tuple(map(int, shape)), bits=bits, scale=scale, zero=zero
        )
        return self.tensors[name]

    def operand(self, fits: Callable[[QTensor], bool] = lambda tensor: True) -> QTensor | None:
        """An existing tensor; those that nothing reads yet and young ones are likelier."""
        options = [t for t in self.tensors.values() if t.name not in self.hidden and fits(t)]
        if not options:
            return None
        weight = np.array(
            [(3.0 if t.name not in self.read else 1.0) * (i + 1) for i, t in enumerate(options)]
        )
        return options[int(self.rng.choice(len(options), p=weight / weight.sum()))]

    def constant(self, name: str, array: np.ndarray) -> str:
        self.constants[name] = np.asarray(array, np.int64)
        return name

    # ------------------------------------------------------------ tasks

    def common(self, name: str, inputs: Sequence[QTensor], out: QTensor) -> dict[str, Any]:
        """Fields of a computing task: clamp, zero point, perhaps a ReLU, perhaps a table."""
        table = self.table(name, out) if self.tables and self.chance(0.3) else None
        lo, hi = limits(table.in_bits if table else out.bits)
        zero = int(self.rng.integers(lo, hi + 1)) if table else out.zero
        relu = self.chance(0.4)
        return {
            "name": name,
            "inputs": tuple(tensor.name for tensor in inputs),
            "output": out.name,
            "lo": max(lo, zero) if relu else lo,
            "hi": hi,
            "zero": zero,
            "relu": relu,
            "table": table,
        }

    def table(self, name: str, out: QTensor, rng: np.random.Generator | None = None) -> TableSpec:
        """Random contents: any function at all, within the width rules."""
        rng = self.rng if rng is None else rng
        lo, hi = limits(out.bits)
        in_bits = (
            int(rng.integers(4, MAX_LOG_ENTRIES + 1)) if out.bits <= 8 else int(rng.choice((8, 10, 13, 16)))
        )
        entries = min(in_bits, MAX_LOG_ENTRIES)
        if in_bits > MAX_LOG_ENTRIES and rng.random() < 0.5:
            entries = int(rng.integers(4, MAX_LOG_ENTRIES + 1))
        size = 1 << entries
        if entries == in_bits:
            base = self.constant(f"{name}_table", rng.integers(lo, hi + 1, size))
            return self.spec(in_bits, entries, 0, lo, hi, base)
        q = int(rng.integers(0, 15))
        span = 1 << (in_bits - entries)
        base = self.constant(f"{name}_table", rng.integers(lo << q, (hi << q) + 1, size))
        steep = max(1, (hi << q) // span)
        slope = self.constant(f"{name}_slope", rng.integers(-steep, steep + 1, size))
        return self.spec(in_bits, entries, q, lo, hi, base, slope)

    def by_column(self, common: dict[str, Any], columns: int, evaluates: bool = True) -> dict[str, Any]:
        """The fields of a task with a table for each group of columns, perhaps of parabolas, where it has a table; or, where
        its node `evaluates` functions, with rational ones in place of tables."""
        table, rng = common["table"], self.table_rng
        if table is None:
            return common
        fits = [n for n in range(1, min(columns, 16) + 1) if (n - 1) * -(-columns // n) < columns]
        groups = int(rng.choice(fits))
        if evaluates and self.direct_rng.random() < 0.4:
            return common | {"table": self.direct(common["name"], table, groups)}
        update: dict[str, Any] = {"groups": groups}
        for role, name in table.arrays.items():
            array = self.constants[name]
            self.constants[name] = np.concatenate([rng.permutation(array) for _ in range(groups)])
            if role == "slope" and rng.random() < 0.5:
                last = (1 << (table.in_bits - table.log_entries)) - 1
                bend = min((1 << 17) - 1, max(1, (table.hi << (table.q + 8)) // (last * last + 1)))
                curve = rng.integers(-bend, bend + 1, array.size * groups)
                update["curve"] = self.constant(f"{common['name']}_curve", curve)
        return common | {"table": table.model_copy(update=update)}

    def direct(self, name: str, table: TableSpec, groups: int) -> DirectSpec:
        """A rational function in place of a table: any coefficients that no input makes leave the widths on the way."""
        rng, (low, high) = self.direct_rng, limits(table.in_bits)
        zero = int(rng.integers(low, high + 1))
        room = VARIABLE_BITS + 1 - max(high - zero, zero - low).bit_length()
        words = np.zeros((groups, WORDS), np.int64)
        words[:, 0] = rng.integers(-(1 << 31), 1 << 31, groups)
        words[:, 1:NUMERATOR] = rng.integers(-(1 << 18), 1 << 18, (groups, NUMERATOR - 1))
        words[:, NUMERATOR:-1] = rng.integers(0, 1 << 18, (groups, DENOMINATOR))
        words[:, -1] = rng.integers(0, 32, groups) | rng.integers(6, 32, groups) << 8
        return DirectSpec(
            function="random",
            in_bits=table.in_bits,
            groups=groups,
            zero=zero,
            out_zero=int(rng.integers(table.lo, table.hi + 1)),
            lift=int(rng.integers(0, room + 1)),
            fraction=int(rng.choice(FRACTIONS)),
            lo=table.lo,
            hi=table.hi,
            coefficients=self.constant(f"{name}_coefficients", words),
            max_error=0.0,
        )

    @staticmethod
    def spec(in_bits: int, entries: int, q: int, lo: int, hi: int, base: str, slope: str = "") -> TableSpec:
        return TableSpec(
            function="random",
            in_bits=in_bits,
            log_entries=entries,
            q=q,
            lo=lo,
            hi=hi,
            base=base,
            slope=slope,
            max_error=0.0,
        )

    def spread(self, common: dict[str, Any], deviation: np.ndarray | float) -> np.ndarray:
        """Factors that bring values of that deviation to the range before the clamp, some of them beyond it."""
        room = (common["hi"] + 1) * self.rng.uniform(0.3, 1.2, np.shape(deviation))
        return np.minimum(room / np.maximum(deviation, 1.0), LARGEST_FACTOR)

    def matmul(self) -> bool:
        x = self.operand(lambda tensor: bool(tensor.shape))
        assert x is not None
        return self.matmul_into(x, self.tensor((*x.shape[:-1], self.pick(COLUMNS))))

    def matmul_into(self, x: QTensor, out: QTensor) -> bool:
        columns, name = out.cols, f"op{len(self.tasks)}"
        bits = self.pick(self.weight_bits)
        lo, hi = limits(bits)
        weight = self.rng.integers(lo, hi + 1, (x.cols, columns))
        weight[self.rng.random(weight.shape) < 0.05] = lo
        deviation = np.sqrt((weight.astype(np.float64) ** 2).sum(axis=0) / 3) * (1 << (x.bits - 1))
        common = self.by_column(self.common(name, (x,), out), out.cols)
        mult, shift = factors(self.spread(common, deviation) * self.pick((1, -1)))
        bias = np.rint(self.rng.normal(0, 0.3, columns) * deviation)
        self.tasks.append(
            QMatmul(
                **common,
                weight=self.constant(f"{name}_weight", weight),
                weight_bits=bits,
                bias=self.constant(f"{name}_bias", bias),
                mult=self.constant(f"{name}_mult", mult),
                shift=self.constant(f"{name}_shift", shift),
                acc_bits=acc_bits(weight, x.bits),
            )
        )
        self.read.add(x.name)
        return True

    def product(self) -> bool:
        """Of a tensor with any that fits, or with itself transposed."""
        x = self.operand(lambda tensor: len(tensor.shape) > 1 and tensor.zero == 0)
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

        y = self.operand(fits)
        if y is None:
            return False
        transposed = y.shape[-1] == k and (y.shape[-2] != k or self.chance(0.5))
        out = self.tensor((*lead, rows, y.shape[-2] if transposed else y.shape[-1]))
        return self.product_into(x, y, transposed, out)

    def product_into(self, x: QTensor, y: QTensor, transposed: bool, out: QTensor) -> bool:
        lead, k = x.shape[:-2], x.shape[-1]
        common = self.common(f"op{len(self.tasks)}", (x, y), out)
        deviation = np.sqrt(k) / 3 * 2.0 ** (x.bits + y.bits - 2)
        mult, shift = factor(float(self.spread(common, deviation)) * self.pick((1, -1)))
        self.tasks.append(
            QProduct(
                **common,
                batch=prod(lead),
                transposed=transposed,
                mult=mult,
                shift=shift,
                acc_bits=product_bits(limits(x.bits), limits(y.bits), k),
            )
        )
        self.read |= {x.name, y.name}
        return True

    def softmax(self) -> bool:
        """Of rows from flat to steep."""
        x = self.operand()
        assert x is not None
        return self.softmax_into(x, self.tensor(x.shape))

    def softmax_into(self, x: QTensor, out: QTensor, cached: int = 0) -> bool:
        lo, hi = limits(out.bits)
        mult, shift = exponent_factor(2.0 ** float(self.rng.uniform(-1, 8) - x.bits))
        numerator, out_shift = inverse_factor(out.scale)
        self.tasks.append(
            QSoftmax(
                name=f"op{len(self.tasks)}",
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
                **self.mask(x, cached),
            )
        )
        self.read.add(x.name)
        return True

    def mask(self, x: QTensor, cached: int) -> dict[str, Any]:
        """None, the end of every row hidden, or a causal one for each item of the batch; something behind cached columns
        counts in every row."""
        batch = prod(x.shape[:-2])
        kind = int(self.rng.integers(0, 3))
        visible = int(self.rng.integers(cached + 1, x.cols + 1)) if kind else 0
        return {"batch": batch, "visible": visible, "causal": kind == 2}

    def step(self) -> bool:
        """Attention behind cached rows: queries, and keys and values behind a state each, from one tensor."""
        self.cached = self.cached or self.pick(CACHED)
        x = self.operand(lambda tensor: len(tensor.shape) == 3 and tensor.shape[1] <= max(NEW))
        if x is None or self.chance(0.3):
            x = self.tensor((self.pick(HEADS), self.pick(NEW), self.pick(COLUMNS)))
            self.added.append(x.name)
        heads, length, _ = x.shape
        queries = self.tensor((heads, length, self.pick(SIZES)), zero=0)
        self.matmul_into(x, queries)
        keys, values = self.behind_state(x, queries.cols), self.behind_state(x, self.pick(SIZES))
        scores = self.tensor((heads, length, self.cached + length))
        self.hidden.add(scores.name)
        self.product_into(queries, keys, True, scores)
        shares = self.tensor(scores.shape, zero=0)
        self.softmax_into(scores, shares, self.cached)
        return self.product_into(shares, values, False, self.tensor((heads, length, values.cols)))

    def behind_state(self, x: QTensor, columns: int) -> QTensor:
        """A state and the new rows behind it that `x` makes."""
        name = f"s{len(self.kept)}"
        new = self.tensor((*x.shape[:2], columns), zero=0, name=f"{name}_new")
        self.matmul_into(x, new)
        kept = self.tensor((x.shape[0], self.cached, columns), like=new, name=name)
        self.added.append(name)
        self.kept.append(new.name)
        made, visits = pieces.concat([kept.shape, new.shape], 1, [0, 1])
        self.move((kept, new), (x.shape[0], self.cached + x.shape[1], columns), made, visits)
        joined = self.tensors[self.tasks[-1].output]
        self.hidden |= {name, joined.name}
        return joined

    def norm(self) -> bool:
        """LayerNorm, or RMSNorm of a tensor with zero point 0; gains and offsets of both signs."""
        centred = self.chance(0.5)
        x = self.operand(lambda tensor: centred or tensor.zero == 0)
        if x is None:
            return False
        name, out = f"op{len(self.tasks)}", self.tensor(x.shape)
        joins = self.tables and self.table_rng.random() < 0.4
        table = self.table(name, out, self.table_rng) if joins else None
        lo, hi = limits(table.in_bits if table else out.bits)
        step = 2.0 / hi
        made = norm_factors(
            self.rng.normal(0.0, 1.0, x.cols),
            self.rng.normal(0.0, 0.5, x.cols),
            2.0 ** float(self.rng.uniform(-30, 2)),
            2.0 ** float(self.rng.uniform(-12, -4)),
            step,
        )
        self.tasks.append(
            QNorm(
                **self.by_column({"name": name, "table": table}, x.cols, evaluates=False),
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
                gain=self.constant(f"{name}_gain", made.gain),
                offset=self.constant(f"{name}_offset", made.offset),
            )
        )
        self.read.add(x.name)
        return True

    def unit(self) -> bool:
        """Rows over their peaks, of which some are beyond the range of the output."""
        x = self.operand(lambda tensor: tensor.zero == 0)
        if x is None:
            return False
        out = self.tensor(x.shape)
        lo, hi = limits(out.bits)
        numerator, out_shift = unit_factor(out.scale)
        self.tasks.append(
            QUnit(
                name=f"op{len(self.tasks)}",
                inputs=(x.name,),
                output=out.name,
                lo=lo,
                hi=hi,
                zero=out.zero,
                numerator=numerator,
                out_shift=out_shift,
            )
        )
        self.read.add(x.name)
        return True

    def peak(self) -> bool:
        x = self.operand(lambda tensor: tensor.zero == 0)
        if x is None:
            return False
        out = self.tensor((*x.shape[:-1], 1), zero=0)
        lo, hi = limits(out.bits)
        self.tasks.append(QPeak(name=f"op{len(self.tasks)}", inputs=(x.name,), output=out.name, lo=lo, hi=hi))
        self.read.add(x.name)
        return True

    def token(self) -> bool:
        """Columns times the peaks of their rows: a matmul's, mostly in its tail, its bias behind them or before; or any."""
        if not self.peak():
            return False
        x, peaks = (self.tensors[n] for n in (*self.tasks[-1].inputs, self.tasks[-1].output))
        host = self.plain_matmul(x) if self.chance(0.8) else None
        x = self.tensors[host.output] if host else x
        out = self.tensor(x.shape)
        common = self.common(f"op{len(self.tasks)}_rows", (x, peaks), out)
        mx, shift = factor(float(self.spread(common, 2.0 ** (x.bits + peaks.bits - 4))))
        scaled = QBinary(**common, op="mul", zx=x.zero, zy=peaks.zero, mx=mx, my=0, shift=shift)
        self.read.add(peaks.name)
        if host and self.chance(0.8):
            late = self.chance(0.6)
            if late:
                limit = 1 << out.bits
                self.constants[host.bias] = self.rng.integers(-limit, limit, x.cols)
            self.hidden.add(x.name)
            self.tasks[-1] = merge(host, scaled, late)
        else:
            self.read.add(x.name)
            self.tasks.append(scaled)
        return True

    def plain_matmul(self, x: QTensor) -> QMatmul:
        """Without a function and a ReLU, as what takes a tail."""
        self.matmul_into(x, self.tensor((*x.shape[:-1], self.pick(COLUMNS))))
        task = self.tasks[-1]
        assert isinstance(task, QMatmul)
        out = self.tensors[task.output]
        lo, hi = limits(out.bits)
        self.tasks[-1] = task = task.model_copy(
            update={"table": None, "relu": False, "lo": lo, "hi": hi, "zero": out.zero}
        )
        return task

    def affine(self) -> bool:
        x = self.operand()
        assert x is not None
        name, out = f"op{len(self.tasks)}", self.tensor(x.shape)
        common = self.by_column(self.common(name, (x,), out), out.cols)
        deviation = np.full(x.cols, float(1 << (x.bits - 2)))
        mult, shift = factors(self.spread(common, deviation) * self.rng.choice((1, -1), x.cols))
        bias = self.rng.integers(-(1 << x.bits), 1 << x.bits, x.cols) - x.zero
        self.tasks.append(
            QAffine(
                **common,
                bias=self.constant(f"{name}_bias", bias),
                mult=self.constant(f"{name}_mult", mult),
                shift=self.constant(f"{name}_shift", shift),
            )
        )
        self.read.add(x.name)
        return True

    def binary(self) -> bool:
        x = self.operand()
        assert x is not None
        y = self.operand(lambda tensor: tensor.shape == x.shape and tensor.name != x.name)
        if y is None:
            return False
        name, out, op = f"op{len(self.tasks)}", self.tensor(x.shape), self.pick(("add", "mul"))
        common = self.common(name, (x, y), out)
        if op == "mul":
            (mx, shift), my = factor(float(self.spread(common, 2.0 ** (x.bits + y.bits - 4)))), 0
        else:
            fx, fy = (float(self.spread(common, 2.0 ** (t.bits - 2))) * self.pick((1, -1)) for t in (x, y))
            mx, my, shift = add_factors(fx, fy)
        self.tasks.append(QBinary(**common, op=op, zx=x.zero, zy=y.zero, mx=mx, my=my, shift=shift))
        self.read |= {x.name, y.name}
        return True

    def move(
        self, inputs: Sequence[QTensor], shape: Sequence[int], made: tuple[Piece, ...], visits: int = 1
    ) -> bool:
        out = self.tensor(shape, like=inputs[0])
        lo, hi = limits(out.bits)
        names = tuple(dict.fromkeys(tensor.name for tensor in inputs))
        self.tasks.append(
            QMove(
                name=f"op{len(self.tasks)}",
                inputs=names,
                output=out.name,
                lo=lo,
                hi=hi,
                pieces=made,
                visits=visits,
            )
        )
        self.read |= set(names)
        return True

    def reshape(self) -> bool:
        x = self.operand()
        assert x is not None
        size = prod(x.shape)
        rows = self.pick([n for n in range(1, size + 1) if size % n == 0])
        return self.move((x,), (rows, size // rows), pieces.reshape(x.shape))

    def transpose(self) -> bool:
        x = self.operand(lambda tensor: len(tensor.shape) > 1)
        if x is None:
            return False
        perm = [int(axis) for axis in self.rng.permutation(len(x.shape))]
        return self.move((x,), [x.shape[axis] for axis in perm], pieces.transpose(x.shape, perm))

    def slice(self) -> bool:
        x = self.operand()
        assert x is not None
        axis = int(self.rng.integers(len(x.shape)))
        start = int(self.rng.integers(x.shape[axis]))
        stop = int(self.rng.integers(start + 1, x.shape[axis] + 1))
        shape = (*x.shape[:axis], stop - start, *x.shape[axis + 1 :])
        return self.move((x,), shape, pieces.take(x.shape, axis, start, stop))

    def concat(self) -> bool:
        """Two or three tensors of one format; a tensor without a partner is joined with itself."""
        x = self.operand()
        assert x is not None
        axis = int(self.rng.integers(len(x.shape)))

        def fits(tensor: QTensor) -> bool:
            outside = len(tensor.shape) == len(x.shape) and all(
                a == b for i, (a, b) in enumerate(zip(tensor.shape, x.shape, strict=True)) if i != axis
            )
            return outside and (tensor.bits, tensor.scale, tensor.zero) == (x.bits, x.scale, x.zero)

        parts = [x] + [self.operand(fits) or x for _ in range(self.pick((1, 1, 2)))]
        names = list(dict.fromkeys(tensor.name for tensor in parts))
        shape = (*x.shape[:axis], sum(t.shape[axis] for t in parts), *x.shape[axis + 1 :])
        if prod(shape) > MAX_ELEMENTS:
            return False
        positions = [names.index(tensor.name) for tensor in parts]
        made, visits = pieces.concat([t.shape for t in parts], axis, positions)
        return self.move(parts, shape, made, visits)


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
    maker = _Maker(seed, widths, weight_bits, tables)
    given = [maker.tensor(maker.shape()).name for _ in range(inputs)]
    failed = 0
    while len(maker.tasks) < tasks:
        failed = 0 if getattr(maker, maker.pick(ops))() else failed + 1
        if failed == PATIENCE:
            maker.affine()  # a binary, say, needs a partner of the same shape: make one
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
