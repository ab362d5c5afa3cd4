"""Golden = engine (two-sided and interleaved) = generated C++ = RTL, bit for bit, for every operator, type and pattern."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conformance.graphs import (
    COMPUTE,
    MOVES,
    PRODUCTS,
    ROW_WISE,
    TAILS,
    forced,
    in_pattern,
    load_fuzzer,
    machine,
    network,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intar import pipeline, proof, rendering
from intar.design import Design
from intar.ir.bits import INDEX_BITS
from intar.ir.quantgraph import QMatmul, QProduct
from intar.ir.schedule import Machine, Pattern
from intar.proof import Check
from intar.quant.random_graphs import random_inputs
from intar.verify.csim import run_csim
from intar.verify.simulate import MemoryModel

fuzz = load_fuzzer()
CASES = json.loads((Path(__file__).parent / "cases.json").read_text(encoding="utf-8"))
# Inputs and columns after a matmul, on cores of 2 rows and 8 lanes: ones, primes, exact tiles, several tiles and a rest.
SHAPES = (((1, 1), 1), ((7, 13), 5), ((8, 16), 8), ((5, 33), 17), ((9, 20), 24), ((3,), 11), ((2, 3, 7), 9))
TYPES = [
    (kind, a, w) for kind in COMPUTE for a in (8, 16) for w in ((4, 8, 16) if kind == "matmul" else (8,))
] + [("matmul", 10, 8)]
PATTERNS: tuple[tuple[Pattern, bool], ...] = (
    ("sequential", False),
    ("parallel", False),
    ("pipelined", False),
    ("pipelined", True),
    ("interleaved", False),
    ("interleaved", True),
)


def single(
    kind: str,
    bits: int,
    weight_bits: int,
    pattern: Pattern,
    resident: bool,
    shape: tuple[int, ...],
    columns: int,
    group: int = 1,
) -> Design:
    """The operator alone, twice side by side, or between an affine and a matmul in row tiles.

    In a `group` of cores (alone: on one more), which share the rows of all that has products.
    """
    tiled = pattern in ("pipelined", "interleaved")
    kinds = ("affine", kind, "matmul") if tiled else (kind, kind) if pattern == "parallel" else (kind,)
    quantised = network(kinds, shape, columns, bits=(bits,), weight_bits=(weight_bits,))
    count = len(quantised.graph.tasks)
    target = machine(count * group if tiled or pattern == "parallel" else 1 + group)
    rows = quantised.graph.tensor(quantised.graph.tasks[0].output).rows
    stages = [(pattern, 1)] * count if pattern == "sequential" else [(pattern, count)]
    arrays = [i for i, task in enumerate(quantised.graph.tasks) if isinstance(task, QMatmul | QProduct)]
    shared = {"by_rows": arrays, "group": group} if group > 1 else {}
    tile_rows = min(2 * group, rows)
    return forced(quantised, in_pattern(quantised, target, stages, tile_rows, resident, **shared))


def samples(made: Design, count: int) -> list[dict[str, np.ndarray]]:
    return [random_inputs(made.quantised, seed) for seed in range(count)]


def require(check: Check, what: object) -> None:
    """Every integer equal, or a message with the place of the first that is not."""
    assert check.bit_exact, f"{what}: {check.executor} differs in {check.mismatches} integers; {check.first}"


@pytest.mark.parametrize(("pattern", "resident"), PATTERNS)
@pytest.mark.parametrize(("kind", "bits", "weight_bits"), TYPES)
def test_operator_engine(kind: str, bits: int, weight_bits: int, pattern: Pattern, resident: bool) -> None:
    for shape, columns in SHAPES:
        made = single(kind, bits, weight_bits, pattern, resident, shape, columns)
        require(proof.verify_engine(made, samples(made, 2)), (shape, columns))


@pytest.mark.parametrize("pattern", ["sequential", "parallel", "pipelined", "interleaved"])
@pytest.mark.parametrize("bits", [8, 10, 16])
@pytest.mark.parametrize("kind", PRODUCTS)
def test_product_engine(kind: str, bits: int, pattern: Pattern) -> None:
    for shape, columns in SHAPES:
        if len(shape) > 1:
            made = single(kind, bits, 8, pattern, False, shape, columns)
            require(proof.verify_engine(made, samples(made, 2)), (shape, columns))


@pytest.mark.parametrize("group", [2, 3])
@pytest.mark.parametrize(
    ("kind", "pattern", "resident"),
    [
        (kind, pattern, resident)
        for kind in ("matmul", *TAILS, *PRODUCTS)
        for pattern, resident in PATTERNS
        if not (kind in TAILS and pattern == "parallel")  # a tail reads what another matmul makes
    ],
)
def test_rows_shared_by_cores_engine(kind: str, pattern: Pattern, resident: bool, group: int) -> None:
    """The other axis: cores with rows of their own, as many as there are for all, fewer, or none."""
    for number, (shape, columns) in enumerate((*SHAPES, ((1, 19), 3), ((26, 17), 10))):
        if len(shape) > 1 or kind not in PRODUCTS:
            made = single(kind, (8, 16)[number % 2], 8, pattern, resident, shape, columns, group)
            require(proof.verify_engine(made, samples(made, 2)), (shape, columns))


@pytest.mark.parametrize("pattern", ["sequential", "pipelined", "interleaved"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", ROW_WISE)
def test_row_wise_engine(kind: str, bits: int, pattern: Pattern) -> None:
    for shape, columns in SHAPES:
        made = single(kind, bits, 8, pattern, False, shape, columns)
        require(proof.verify_engine(made, samples(made, 2)), (shape, columns))


@pytest.mark.parametrize("columns", [1, 2, 7, 8, 40])
@pytest.mark.parametrize("bits", [8, 16])
def test_peaks_of_extreme_rows_engine(bits: int, columns: int) -> None:
    """Rows of zeros, of the most negative number, of one element that is not 0; softmax and norm behind them."""
    kinds = ("unit", "peak", "rms_norm", "softmax", "unit", "peak")
    quantised = network(kinds, (9, columns), 1, bits=(bits,), inputs=1, seed=columns)
    stages = [("sequential", 1)] * len(quantised.graph.tasks)
    made = forced(quantised, in_pattern(quantised, machine(1), stages))
    lowest, highest = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    rows = np.zeros((9, columns), np.int64)
    rows[1] = lowest
    rows[2] = highest
    rows[3, -1], rows[4, -1], rows[5, 0], rows[6, 0] = lowest, 1, -1, highest
    rows[7] = np.arange(columns) % 3 - 1
    rows[8] = np.random.default_rng(columns).integers(lowest, highest + 1, columns)
    (name,) = quantised.graph.inputs
    require(proof.verify_engine(made, [{name: rows}]), (bits, columns))


@pytest.mark.parametrize(("pattern", "resident"), [p for p in PATTERNS if p[0] != "parallel"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", TAILS)
def test_tail_engine(kind: str, bits: int, pattern: Pattern, resident: bool) -> None:
    for shape, columns in SHAPES:
        made = single(kind, bits, 8, pattern, resident, shape, columns)
        require(proof.verify_engine(made, samples(made, 2)), (shape, columns))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", MOVES)
def test_move_engine(kind: str, bits: int) -> None:
    for shape, columns in SHAPES:
        if kind == "transpose" and len(shape) == 1:
            continue
        made = single(kind, bits, 8, "sequential", False, shape, columns)
        require(proof.verify_engine(made, samples(made, 2)), (shape, columns))


SHARED = [
    ("matmul", 8, 4, "sequential", (26, 17), 10),
    ("matmul", 16, 16, "pipelined", (9, 20), 24),
    ("matmul_add", 16, 8, "interleaved", (7, 13), 5),
    ("product", 8, 8, "interleaved", (2, 5, 7), 9),
    ("product_transposed", 16, 8, "sequential", (9, 20), 24),
    ("matmul", 8, 8, "parallel", (5, 33), 17),
    ("matmul", 8, 8, "sequential", (1, 1), 1),
]
"""Operators whose rows three cores share."""


@pytest.mark.full
@pytest.mark.parametrize(("kind", "bits", "weight_bits", "pattern", "shape", "columns"), SHARED)
@pytest.mark.parametrize("executor", ["csim", pytest.param("rtl", marks=pytest.mark.sim)])
def test_rows_shared_by_cores_generated(
    kind: str,
    bits: int,
    weight_bits: int,
    pattern: Pattern,
    shape: tuple[int, ...],
    columns: int,
    executor: str,
    tmp_path: Path,
) -> None:
    made = single(kind, bits, weight_bits, pattern, pattern == "interleaved", shape, columns, group=3)
    rendering.project(made).write(tmp_path)
    verify = partial(proof.verify_csim, sweep=True) if executor == "csim" else proof.verify_rtl
    check = verify(made, samples(made, 2), tmp_path)
    require(check, (kind, bits, weight_bits, pattern, shape, columns))
    if executor == "rtl":
        assert check.cycles == (made.predicted.cycles,) * 2


@pytest.mark.full
@pytest.mark.parametrize(
    ("kind", "bits", "weight_bits", "pattern", "shape", "columns"),
    [
        ("matmul", 8, 4, "sequential", (5, 33), 17),
        ("matmul", 16, 16, "pipelined", (7, 13), 5),
        ("matmul", 8, 8, "interleaved", (9, 20), 24),
        ("matmul", 16, 4, "parallel", (1, 1), 1),
        ("matmul", 10, 8, "pipelined", (9, 20), 24),
        ("product", 10, 8, "interleaved", (2, 5, 7), 9),
        ("affine", 8, 8, "parallel", (5, 33), 17),
        ("add", 16, 8, "pipelined", (7, 13), 5),
        ("mul", 8, 8, "sequential", (2, 3, 7), 9),
        ("matmul_add", 16, 8, "pipelined", (5, 33), 17),
        ("matmul_mul", 8, 8, "interleaved", (7, 13), 5),
        ("product", 16, 8, "interleaved", (2, 5, 7), 9),
        ("product_transposed", 8, 4, "pipelined", (9, 20), 24),
        ("softmax", 16, 8, "interleaved", (7, 13), 5),
        ("softmax_causal", 8, 8, "sequential", (2, 5, 7), 9),
        ("softmax_hidden", 8, 8, "pipelined", (9, 20), 24),
        ("softmax_cached", 8, 8, "interleaved", (2, 5, 17), 9),
        ("layer_norm", 8, 8, "sequential", (5, 33), 17),
        ("layer_norm", 16, 8, "interleaved", (7, 13), 5),
        ("rms_norm", 16, 8, "pipelined", (9, 20), 24),
        ("unit", 16, 8, "interleaved", (7, 13), 5),
        ("unit", 8, 8, "pipelined", (9, 20), 24),
        ("peak", 16, 8, "sequential", (5, 33), 17),
        ("peak", 8, 8, "interleaved", (9, 20), 24),
        ("table_direct", 8, 8, "interleaved", (7, 13), 5),
        ("table_piecewise", 16, 8, "pipelined", (9, 20), 24),
        ("table_groups", 8, 8, "sequential", (5, 33), 17),
        ("table_groups", 16, 8, "interleaved", (9, 20), 24),
        ("table_curves", 16, 8, "pipelined", (7, 13), 5),
        ("rational", 16, 8, "pipelined", (9, 20), 24),
        ("transpose", 8, 8, "sequential", (7, 13), 5),
        ("concat", 16, 8, "sequential", (5, 33), 17),
    ],
)
@pytest.mark.parametrize("executor", ["csim", pytest.param("rtl", marks=pytest.mark.sim)])
def test_operator_generated(
    kind: str,
    bits: int,
    weight_bits: int,
    pattern: Pattern,
    shape: tuple[int, ...],
    columns: int,
    executor: str,
    tmp_path: Path,
) -> None:
    resident = pattern == "interleaved"
    made = single(kind, bits, weight_bits, pattern, resident, shape, columns)
    rendering.project(made).write(tmp_path)
    verify = partial(proof.verify_csim, sweep=True) if executor == "csim" else proof.verify_rtl
    require(verify(made, samples(made, 2), tmp_path), (kind, bits, weight_bits, pattern, shape, columns))


# ---------------------------------------------------------------- two graphs through everything

Built = tuple[Design, Path]


@pytest.fixture(scope="module")
def every_operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """All kinds of tasks, three activation widths and three weight widths in one graph that the solver schedules."""
    kinds = (*COMPUTE, *TAILS, *PRODUCTS, "softmax_causal", "softmax_cached", *MOVES, "layer_norm", "matmul")
    kinds += ("unit", "peak")
    quantised = network(kinds, (5, 13), 11, bits=(8, 10, 16), weight_bits=(4, 8, 16), seed=EVERY_SEED)
    tasks = quantised.graph.tasks
    assert {t.weight_bits for t in tasks if t.kind == "matmul"} == {4, 8, 16}
    assert {t.bits for t in quantised.graph.tensors} == {8, 10, 16, INDEX_BITS}  # that of the position
    target = machine(2, rows=2, lanes=4, rate=2, port_bits=64)
    made = pipeline.compile_quantised(
        quantised, target, "intar"
    )  # auto looks for minutes at so many branches
    out = tmp_path_factory.mktemp("every_operator")
    rendering.project(made).write(out)
    yield made, out


EVERY_SEED = 3


@pytest.fixture(scope="module")
def tiled_chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """Weights of 4 bits in row tiles: a pipelined stage, an interleaved one, and two tasks alone; the cores share the rows
    of one matmul in row tiles and of one that is alone."""
    kinds = ("matmul", "affine", "matmul", "matmul", "table_direct", "matmul", "affine")
    quantised = network(kinds, (7, 13), 11, weight_bits=(4,), inputs=1, seed=4)
    target: Machine = machine(2, rows=2, lanes=8, rate=4, port_bits=64)
    stages: list[tuple[Pattern, int]] = [
        ("pipelined", 2),
        ("interleaved", 3),
        ("sequential", 1),
        ("sequential", 1),
    ]
    made = forced(quantised, in_pattern(quantised, target, stages, 4, by_rows=(3, 5)))
    out = tmp_path_factory.mktemp("tiled_chain")
    rendering.project(made).write(out)
    yield made, out


@pytest.mark.parametrize("which", ["every_operator", "tiled_chain"])
def test_graph_engine_and_csim(which: str, request: pytest.FixtureRequest) -> None:
    made, out = request.getfixturevalue(which)
    require(proof.verify_engine(made, samples(made, 4)), which)
    require(proof.verify_csim(made, samples(made, 4), out, sweep=True), which)


def test_seeds_change_the_order(tiled_chain: Built) -> None:
    """Without bounds the fill of the FIFOs shows who ran when: the same for the same seed, another for another one."""
    made, out = tiled_chain
    inputs = {name: [image] for name, image in made.input_images(samples(made, 1)[0]).items()}

    def marks(seed: str) -> tuple[int, ...]:
        env = {"INTAR_SIM_DEPTH": "inf", "INTAR_SIM_SEED": seed}
        options = {"build_dir": out / "build" / "cpp", "flags": ("-O0",), "env": env}
        return tuple(
            s.high_water for s in run_csim(out, made.program, made.images, inputs, **options).streams
        )

    assert marks("1") == marks("1")
    assert len({marks(seed) for seed in ("1", "2", "3")}) == 3


@pytest.mark.sim
@pytest.mark.parametrize("which", ["every_operator", "tiled_chain"])
def test_graph_rtl(which: str, request: pytest.FixtureRequest) -> None:
    """Bits, and the engine's cycles to the last one."""
    made, out = request.getfixturevalue(which)
    check = proof.verify_rtl(made, samples(made, 2), out)
    require(check, which)
    assert check.cycles[0] == made.predicted.cycles


@pytest.mark.sim
@pytest.mark.parametrize("wait", ["interrupt", "poll"])
@pytest.mark.parametrize(
    ("reset", "abort"),
    [(False, 0), (True, 0), (False, 0.4)],
    ids=["back_to_back", "reset_between", "reset_in_the_middle"],
)
def test_graph_rtl_under_back_pressure(wait: str, reset: bool, abort: float, every_operator: Built) -> None:
    """A memory that refuses three cycles in ten changes the time and nothing else, nor does a run that was cut off."""
    made, out = every_operator
    stalls = MemoryModel(latency=made.schedule.machine.latency, stall=0.3, seed=5)
    check = proof.verify_rtl(
        made,
        samples(made, 2),
        out,
        memory=stalls,
        wait=wait,
        reset_between=reset,
        abort_after=int(abort * made.predicted.cycles),
    )
    require(check, (wait, reset, abort))
    assert all(cycles > made.predicted.cycles for cycles in check.cycles)


# ---------------------------------------------------------------- lanes that are no power of two


@pytest.fixture(scope="module")
def wide_lanes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """Three cores of 1 x 144 multipliers at 16 bits: a beat of activations is 9 words, one of parameters 18."""
    kinds = ("matmul", "table_piecewise", "transpose", "matmul", "add", "matmul")
    quantised = network(kinds, (3, 200), 300, bits=(16,), weight_bits=(16,), seed=2)
    target = machine(3, rows=1, lanes=144, rate=36, port_bits=256)
    made = forced(quantised, in_pattern(quantised, target, [("sequential", 1)] * len(kinds)))
    out = tmp_path_factory.mktemp("wide_lanes")
    rendering.project(made).write(out)
    yield made, out


def test_wide_lanes_engine(wide_lanes: Built) -> None:
    made, _ = wide_lanes
    require(proof.verify_engine(made, samples(made, 2)), "144 lanes")


@pytest.mark.full
@pytest.mark.sim
def test_wide_lanes_csim_and_rtl(wide_lanes: Built) -> None:
    made, out = wide_lanes
    require(proof.verify_csim(made, samples(made, 2), out, sweep=True), "144 lanes")
    check = proof.verify_rtl(made, samples(made, 2), out)
    require(check, "144 lanes")
    assert check.cycles == (made.predicted.cycles,) * 2


# ---------------------------------------------------------------- networks that nobody thought of


def require_outcome(seed: int, *executors: str, family: str = "tasks") -> None:
    """What a case of the fuzzer asks for: the same bits and cycles everywhere, or a user error that says why not."""
    outcome = fuzz.check_case(seed, executors, family=family)
    if not outcome.ok:
        fuzz.remember(outcome)
    assert outcome.ok, f"{family} {seed}, {outcome.words}, {outcome.tasks}: {outcome.fault or outcome.first}"


@pytest.mark.parametrize(
    ("family", "count"),
    [
        ("tasks", 40),
        ("schedules", 25),
        ("steps", 8),
        ("budgets", 20),
        ("networks", 4),
        ("kernels", 4),
        ("recurrent", 2),
    ],
)
def test_random_engine(family: str, count: int) -> None:
    @settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
        database=None,
    )
    @given(seed=st.integers(0, 2**32 - 1))
    def run(seed: int) -> None:
        outcome = fuzz.check_case(seed, ("engine",), family=family)
        assert outcome.ok, f"{outcome.words}, {outcome.tasks}: {outcome.fault or outcome.first}"

    run()


@pytest.mark.parametrize("case", CASES, ids=[f"{case['family']}{case['seed']}" for case in CASES])
def test_remembered_engine(case: dict[str, object]) -> None:
    outcome = fuzz.check_case(case["seed"], ("engine",), family=case["family"])
    assert outcome.ok, f"{case['why']}: {outcome.fault or outcome.first}"


@pytest.mark.parametrize("seed", [7, 11])
def test_random_csim(seed: int) -> None:
    require_outcome(seed, "engine", "csim")


@pytest.mark.full
@pytest.mark.sim
@pytest.mark.parametrize("chunk", range(20))
def test_random_everything(chunk: int) -> None:
    """Two hundred networks in chunks of ten, so that workers can share them."""
    for seed in range(1000 + 10 * chunk, 1010 + 10 * chunk):
        require_outcome(seed, "engine", "csim", "rtl")


@pytest.mark.full
@pytest.mark.sim
@pytest.mark.parametrize(
    ("family", "start", "count"),
    [
        *(("schedules", start, 5) for start in range(5000, 5020, 5)),
        *(("steps", start, 5) for start in range(7000, 7020, 5)),
        *((family, 5000, 3) for family in ("budgets", "networks", "kernels", "recurrent")),
    ],
)
def test_random_families_everything(family: str, start: int, count: int) -> None:
    for seed in range(start, start + count):
        require_outcome(seed, *fuzz.EXECUTORS, family=family)
