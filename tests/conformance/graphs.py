"""One operator at a time, of a type, a shape and a pattern that the caller names, and the design made of it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from intar.assets import asset_dir
from intar.design import Design, engine_memory
from intar.engine import plan_merged, run
from intar.frontends import load_model
from intar.ir.bits import INDEX_BITS
from intar.ir.ops import POSITION, Op
from intar.ir.quantgraph import ROW_WISE as ROW_TASKS
from intar.ir.quantgraph import (
    DirectSpec,
    QMatmul,
    QNorm,
    QProduct,
    QSoftmax,
    QTensor,
    QuantGraph,
    Quantised,
    TableSpec,
)
from intar.ir.schedule import Machine, Pattern, Placement, Residency, Schedule, Stage
from intar.lower.lower import lower
from intar.quant.absorb import absorb_binaries
from intar.quant.direct import build_direct
from intar.quant.drawn import arithmetic, rows
from intar.quant.drawn.maker import COLUMNS, Maker
from intar.quant.fixed import limits
from intar.quant.quantise import finish
from intar.quant.random_graphs import KINDS
from intar.quant.tables import rational_groups

COMPUTE = (
    "matmul",
    "affine",
    "add",
    "mul",
    "table_direct",
    "table_piecewise",
    "table_groups",
    "table_curves",
    "rational",
)
TAILS = ("matmul_add", "matmul_mul")
PRODUCTS = ("product", "product_transposed")
SOFTMAXES = ("softmax", "softmax_causal", "softmax_hidden", "softmax_cached")
PEAKS = ("unit", "peak")
ROW_WISE = (*SOFTMAXES, "layer_norm", "rms_norm", *PEAKS)
MOVES = ("reshape", "transpose", "slice", "concat")


def load_fuzzer() -> ModuleType:
    """`benchmarks/fuzz.py`, which is a script and no package."""
    if "conformance_fuzz" not in sys.modules:
        path = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"
        spec = importlib.util.spec_from_file_location("conformance_fuzz", path)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules["conformance_fuzz"] = module
        spec.loader.exec_module(module)
    return sys.modules["conformance_fuzz"]


@cache
def learned_coefficients() -> list[tuple[np.ndarray, np.ndarray]]:
    """Numerator and denominator of each group of the first function of the design `grkan_digits`."""
    graph = load_model(asset_dir("designs") / "grkan_digits" / "digits.onnx")
    task = next(task for task in graph.tasks if task.op is Op.RATIONAL)
    return rational_groups(task.attrs, [graph.constant(name) for name in task.inputs[1:]])


class Directed(Maker):
    """The random maker with its choices of kind and shape taken away; integers stay random."""

    def __init__(self, seed: int, bits: Sequence[int], weight_bits: Sequence[int], columns: int) -> None:
        super().__init__(seed, bits, weight_bits, tables=False)
        self.columns, self.op, self.table_kind = columns, "add", ""
        self.forced: list[QTensor] = []  # the next operands, last first
        self.more: list[str] = []  # inputs that a task needed
        self.centred = False  # zero points are 0
        self.plain = False  # no ReLU
        self.hidden: set[str] = set()  # tensors that no other task may read: absorbed, or of other rows

    def pick(self, options: Sequence[Any]) -> Any:
        if options is COLUMNS:
            return self.columns
        if tuple(options) == ("add", "mul"):
            return self.op
        return super().pick(options)

    def operand(self, fits: Callable[[QTensor], bool] = lambda tensor: True) -> QTensor | None:
        if self.forced:
            return self.forced.pop()
        return super().operand(lambda tensor: tensor.name not in self.hidden and fits(tensor))

    def tensor(
        self, shape: Sequence[int], like: QTensor | None = None, zero: int | None = None, name: str = ""
    ) -> QTensor:
        made = super().tensor(shape, like, zero, name)
        if self.centred:
            made = self.tensors[made.name] = made.model_copy(update={"zero": 0})
        return made

    def chance(self, probability: float) -> bool:
        return not self.plain and super().chance(probability)

    def table(self, name: str, out: QTensor) -> TableSpec:
        """Random contents, stored point by point or as straight or curved pieces."""
        lo, hi = limits(out.bits)
        if self.table_kind in ("table_direct", "table_groups"):
            base = self.constant(f"{name}_table", self.rng.integers(lo, hi + 1, 256))
            return self.spec(8, 8, 0, lo, hi, base)
        entries, q = 6, 10
        base = self.constant(f"{name}_table", self.rng.integers(lo << q, (hi << q) + 1, 1 << entries))
        steep = max(1, (hi << q) >> (16 - entries))
        slope = self.constant(f"{name}_slope", self.rng.integers(-steep, steep + 1, 1 << entries))
        return self.spec(16, entries, q, lo, hi, base, slope)

    def learned(self, name: str, out: QTensor) -> DirectSpec:
        """Functions of the GR-KAN that is kept as a design, evaluated: inputs of about ±8, in 16 bits."""
        groups = next(n for n in (8, 5, 4, 3, 1) if (n - 1) * -(-out.cols // n) < out.cols)
        zero = int(self.rng.integers(-4000, 4000))
        made = build_direct(
            learned_coefficients()[:groups], (16, 2.0**-12, zero), (out.bits, 2.0 ** (5 - out.bits), out.zero)
        )
        assert made is not None and made.good
        lo, hi = limits(out.bits)
        return DirectSpec(
            function="rational",
            in_bits=16,
            groups=groups,
            lift=made.lift,
            fraction=made.fraction,
            zero=zero,
            out_zero=out.zero,
            lo=lo,
            hi=hi,
            coefficients=self.constant(f"{name}_coefficients", made.coefficients),
            max_error=made.max_error,
        )

    def by_column(self, common: dict[str, Any], columns: int, evaluates: bool = True) -> dict[str, Any]:
        return common

    def common(self, name: str, inputs: Sequence[QTensor], out: QTensor) -> dict[str, Any]:
        if not self.table_kind:
            return super().common(name, inputs, out)
        table = self.learned(name, out) if self.table_kind == "rational" else self.table(name, out)
        lo, hi = limits(table.in_bits)
        zero = int(self.rng.integers(lo, hi + 1))
        if self.table_kind == "table_curves":
            curve = self.rng.integers(-(1 << 10), 1 << 10, table.entries)
            table = table.model_copy(update={"curve": self.constant(f"{name}_curve", curve)})
        if self.table_kind in ("table_groups", "table_curves"):
            groups = next(n for n in (8, 5, 4, 3, 1) if (n - 1) * -(-out.cols // n) < out.cols)
            for role in table.arrays.values():
                self.constants[role] = self.rng.permutation(np.tile(self.constants[role], groups))
            table = table.model_copy(update={"groups": groups})
        return {
            "name": name,
            "inputs": tuple(tensor.name for tensor in inputs),
            "output": out.name,
            "lo": lo,
            "hi": hi,
            "zero": zero,
            "relu": False,
            "table": table,
        }

    def make(self, kind: str) -> None:
        """One task of the kind; it reads what nothing has read yet when that fits.

        For a tail: a matmul, and another that ends in a sum or product with the first.
        """
        if kind in ("add", "mul"):
            self.op = kind
            assert arithmetic.binary(self)
        elif kind in TAILS:
            self.op, self.plain = kind.removeprefix("matmul_"), True
            x = self.operand()
            assert x is not None
            for _ in range(2):
                self.forced.append(x)
                assert arithmetic.matmul(self)
            self.forced = list(self.tensors.values())[-2:]
            absorbed = self.forced[-1].name
            assert arithmetic.binary(self)
            self.plain = False
            self.tasks = list(absorb_binaries(self.tasks, self.tensors, ()))
            joined = self.tasks[-1]
            assert isinstance(joined, QMatmul) and joined.tail is not None
            self.hidden.add(absorbed)
        elif kind in PRODUCTS:
            x = self.operand()
            assert x is not None
            sides = (x.cols, self.columns) if kind == "product" else (self.columns, x.cols)
            y = self.tensor((*x.shape[:-2], *sides))
            self.more.append(y.name)
            self.hidden.add(y.name)
            self.forced = [y, x]
            assert arithmetic.product(self)
        elif kind.startswith(("table", "rational")):
            self.table_kind = kind
            arithmetic.affine(self)
            self.table_kind = ""
        elif kind in ROW_WISE:
            self.row_wise(kind)
        else:
            assert KINDS[kind](self)

    def row_wise(self, kind: str) -> None:
        """The random task, with its variant as named."""
        made = (
            rows.softmax(self)
            if kind in SOFTMAXES
            else KINDS[kind](self)
            if kind in PEAKS
            else rows.norm(self)
        )
        assert made, "no operand fits"
        task = self.tasks.pop()
        if isinstance(task, QSoftmax):
            x = self.tensors[task.inputs[0]]
            visible = int(self.rng.integers(1, x.cols + 1)) if "_" in kind else 0
            causal = kind in ("softmax_causal", "softmax_cached")
            cached = int(self.rng.integers(0, visible)) if kind == "softmax_cached" else 0
            task = task.model_copy(update={"visible": visible, "causal": causal, "cached": cached})
        elif isinstance(task, QNorm):
            task = task.model_copy(update={"centred": kind == "layer_norm"})
        self.tasks.append(task)

    def result(self, name: str, inputs: Sequence[str]) -> Quantised:
        made = {*inputs, *(task.output for task in self.tasks)}
        outputs = tuple(task.output for task in self.tasks if task.output not in self.read)
        tensors = [t for t in self.tensors.values() if t.name in made & {*self.read, *outputs}]
        if any(isinstance(task, QSoftmax) and task.cached for task in self.tasks):
            tensors.append(QTensor(name=POSITION, shape=(1,), bits=INDEX_BITS, scale=1.0))
        graph = QuantGraph(
            name=name,
            tensors=tuple(tensors),
            tasks=tuple(self.tasks),
            inputs=tuple(t for t in inputs if t in self.read),
            outputs=outputs,
        )
        return finish(graph, self.constants)


def network(
    kinds: Sequence[str],
    shape: tuple[int, ...],
    columns: int,
    *,
    bits: Sequence[int] = (8,),
    weight_bits: Sequence[int] = (8,),
    inputs: int = 2,
    seed: int = 0,
) -> Quantised:
    """Tasks of the given kinds in that order on `inputs` inputs of `shape`; matmuls give `columns` columns.

    Each tensor and each weight matrix draws its width from `bits` and `weight_bits`.
    """
    maker = Directed(seed, bits, weight_bits, columns)
    maker.centred = any(kind in (*PRODUCTS, "rms_norm", *PEAKS) for kind in kinds)
    given = [maker.tensor(shape).name for _ in range(inputs)]
    for kind in kinds:
        maker.make(kind)
    return maker.result("_".join(("case", *kinds))[:40], [*given, *maker.more])


def machine(cores: int, rows: int = 2, lanes: int = 8, rate: int = 4, port_bits: int = 128) -> Machine:
    """A small machine with short memory latency."""
    return Machine(
        cores=cores,
        rows=rows,
        lanes=lanes,
        rate=rate,
        port_bits=port_bits,
        onchip_bytes=1 << 20,
        clock_mhz=300,
        latency=16,
    )


def in_pattern(
    quantised: Quantised,
    target: Machine,
    patterns: Sequence[tuple[Pattern, int]],
    tile_rows: int = 0,
    resident: bool = False,
    by_rows: Sequence[int] = (),
    group: int = 1,
) -> Schedule:
    """The tasks, in order, in stages of (pattern, number of tasks), whether or not a solver would choose them.

    Pipelined and interleaved stages are cut into tiles of `tile_rows` rows; `resident` keeps their weights on chip. The
    cores of the tasks `by_rows` (positions) share rows. A task beside others has `group` cores if it has products.
    The schedule says nothing about cost.
    """
    tasks, everyone, stages = list(quantised.graph.tasks), tuple(range(target.cores)), []
    inside: set[str] = set()
    number = 0
    for pattern, count in patterns:
        here, tasks = tasks[:count], tasks[count:]
        tiled = pattern in ("pipelined", "interleaved")
        placed = []
        for i, task in enumerate(here):
            matmul = isinstance(task, QMatmul)
            shared = everyone if matmul or isinstance(task, QProduct) else (0,)
            own = tuple(range(i * group, (i + 1) * group))
            cores = shared if pattern in ("sequential", "interleaved") else own[: len(shared)]
            cores = () if isinstance(task, ROW_TASKS) else cores
            axis = "rows" if number + i in by_rows else "columns"
            keep = resident and matmul and tiled
            placed.append(Placement(task=task.name, cores=cores, resident=keep, axis=axis))
        number += count
        stages.append(Stage(pattern=pattern, tasks=tuple(placed), tile_rows=tile_rows if tiled else 0))
        elsewhere = {t for task in quantised.graph.tasks if task not in here for t in task.inputs}
        if tiled:
            inside |= {task.output for task in here} - elsewhere - set(quantised.graph.outputs)
    assert not tasks, "stages for every task"
    return Schedule(
        name=quantised.graph.name,
        mode="auto",
        machine=target,
        stages=tuple(stages),
        residency=tuple(
            Residency(
                tensor=t.name,
                place="tile" if t.name in inside else "chip",
                bytes=0,
                first_stage=0,
                last_stage=len(stages) - 1,
            )
            for t in quantised.graph.tensors
        ),
        objective=1,
        bound=1,
        status="FEASIBLE",
    )


def forced(quantised: Quantised, schedule: Schedule) -> Design:
    """A design from a schedule that claims nothing about cost, which the validator would refuse."""
    lowered = lower(quantised, schedule)
    program = plan_merged(lowered.program)
    memory = engine_memory(schedule.machine)
    predicted = run(program, {}, memory=memory, values=False)
    predicted.raise_deadlock()
    return Design(quantised, schedule, program, lowered.images, predicted)
