"""Column blocks that are left over when all cores have as many: cores without one take some of their rows, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
from conformance.graphs import forced, in_pattern, machine, network
from conformance.proofs import require_generated

from intar import proof, rendering
from intar.design import Design
from intar.ir.deal import Rest, deal_rest
from intar.ir.nodes.arrays import Core
from intar.ir.quantgraph import QMatmul
from intar.ir.schedule import Pattern
from intar.quant.random_graphs import random_inputs


def made(
    kinds: tuple[str, ...], rows: int, blocks: int, cores: int, pattern: Pattern = "sequential", tile: int = 0
) -> Design:
    """Matmuls of `blocks` column blocks on all cores, of two rows."""
    quantised = network(kinds, (rows, 24), 8 * blocks, weight_bits=(4,))
    count = len(quantised.graph.tasks)
    stages = [(pattern, 1)] * count if pattern == "sequential" else [(pattern, count)]
    return forced(quantised, in_pattern(quantised, machine(cores), stages, tile))


def products(design: Design) -> list[int]:
    """Array tiles that each core makes."""
    cores = [node for node in design.program.nodes if isinstance(node, Core)]
    return [sum(step.tiles * step.m_tiles for step in core.steps) for core in cores]


def test_dealing() -> None:
    wide = machine(6, rows=32, lanes=64, rate=64)
    assert deal_rest(16, 6, 128, 1024, 4, wide) == Rest(cores=4, helpers=2, rounds=2, above=1, below=3)
    assert deal_rest(16, 6, 1024, 1024, 4, wide) == Rest(cores=4, helpers=2, rounds=2, above=10, below=22)
    assert deal_rest(17, 6, 128, 1024, 4, wide) is None, "five column blocks for one core"
    assert deal_rest(13, 6, 128, 1024, 4, wide) == Rest(cores=1, helpers=1, rounds=1, above=2, below=2)
    assert deal_rest(18, 6, 128, 1024, 4, wide) is None, "nothing is left over"
    assert deal_rest(4, 6, 128, 1024, 4, wide) is None, "the first round is the last one"
    assert deal_rest(16, 6, 64, 1024, 4, wide) is None, "too few rows"
    assert deal_rest(16, 6, 120, 1024, 4, wide) is None, "the last array is not full"
    assert deal_rest(16, 6, 128, 16, 4, wide) is None, "the activations can't feed two arrays"
    assert deal_rest(16, 6, 128, 1024, 16, wide) is None, "the helpers' weights would come late"


@pytest.mark.parametrize(
    ("kinds", "rows", "blocks", "cores", "pattern", "tile"),
    [
        (("matmul",), 4, 3, 2, "sequential", 0),
        (("matmul",), 14, 5, 3, "sequential", 0),
        (("matmul_add", "matmul_mul"), 12, 5, 3, "sequential", 0),
        (("layer_norm", "matmul", "matmul"), 16, 5, 3, "sequential", 0),
        (("layer_norm", "matmul", "transpose"), 8, 7, 4, "sequential", 0),
        (("affine", "matmul", "matmul_add"), 20, 5, 3, "interleaved", 8),
        (("matmul", "layer_norm"), 16, 8, 3, "interleaved", 8),
    ],
)
def test_engine(
    kinds: tuple[str, ...], rows: int, blocks: int, cores: int, pattern: Pattern, tile: int
) -> None:
    design = made(kinds, rows, blocks, cores, pattern, tile)
    check = proof.verify_engine(design, [random_inputs(design.quantised, seed) for seed in range(2)])
    assert check.bit_exact, check.first
    matmuls = sum(isinstance(task, QMatmul) for task in design.quantised.graph.tasks)
    busiest, whole = max(products(design)), matmuls * -(-blocks // cores) * -(-rows // 2)
    assert busiest < whole, f"{products(design)}: the busiest core makes as many as without help"


@pytest.mark.sim
def test_generated_code(tmp_path: Path) -> None:
    """C++ and RTL; with a normalisation before, so that the column blocks come behind the first round, and a sum behind."""
    design = made(("layer_norm", "matmul", "matmul_add"), 8, 5, 2)
    inputs = [random_inputs(design.quantised, seed) for seed in range(2)]
    require_generated(design, inputs, rendering.project(design).write(tmp_path))
