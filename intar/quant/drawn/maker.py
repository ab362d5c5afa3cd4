"""A maker of random tensors, constants, functions and formats, on which the random tasks of a graph are built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from intar.ir.quantgraph import DirectSpec, QTask, QTensor, TableSpec
from intar.ir.rational import DENOMINATOR, FRACTIONS, NUMERATOR, VARIABLE_BITS, WORDS
from intar.quant.fixed import limits
from intar.quant.tables import MAX_LOG_ENTRIES

ROWS = (1, 1, 1, 2, 3, 5, 7)
COLUMNS = (1, 2, 3, 5, 7, 8, 11, 16, 17, 23, 33)
MAX_ELEMENTS = 600
LARGEST_FACTOR = 100.0


class Maker:
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

    def pick(self, options: Sequence[Any]) -> Any:
        """One of the options."""
        return options[int(self.rng.integers(len(options)))]

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return bool(self.rng.random() < probability)

    def shape(self) -> tuple[int, ...]:
        """One to three axes of awkward sizes."""
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
        """Keep an array under a name, which is returned."""
        self.constants[name] = np.asarray(array, np.int64)
        return name

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
        """A table of these arrays."""
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
