"""Lowered networks as C++: the golden integers and saturation counts in every pattern, and nothing for the linter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from engine_programs import RANDOM
from hls_cases import joined, prepared, random_cases
from lowering.chains import chain, machine, schedule

from intar.codegen.hls import render_hls
from intar.engine import plan_merged
from intar.ir.program import Program
from intar.lower.images import argument_bytes, argument_tensors
from intar.lower.lower import lower
from intar.quant.golden import run_golden
from intar.verify.csim import run_csim


def check(quantised, plan) -> None:
    """Two different inferences in one process give golden's integers and saturations."""
    lowered = lower(quantised, plan)
    program = plan_merged(lowered.program)
    source = quantised.graph.tensors[0]
    limit = 1 << (source.bits - 1)
    rng = np.random.default_rng(5)
    samples = [rng.integers(-limit, limit, source.shape) for _ in range(2)]
    arguments = {argument.role: argument for argument in program.arguments}
    inputs = [argument_bytes(arguments["input"], {source.name: sample}) for sample in samples]
    found = run_csim(
        render_hls(program), program, lowered.images, {arguments["input"].name: inputs}, flags=("-O1",)
    )
    name = quantised.graph.outputs[0]
    golden = [run_golden(quantised, {source.name: sample}) for sample in samples]
    images = found.outputs[arguments["output"].name]
    for image, expected in zip(images, golden, strict=True):
        tensors = argument_tensors(arguments["output"], image)
        np.testing.assert_array_equal(tensors[name], expected.tensors[name])
    for tensor, count in found.saturations.items():
        assert count == sum(expected.saturations.get(tensor, 0) for expected in golden), tensor


def test_interleaved_chain() -> None:
    check_pattern("interleaved")


@pytest.mark.full
@pytest.mark.parametrize("pattern", ["sequential", "pipelined"])
def test_other_patterns(pattern: str) -> None:
    check_pattern(pattern)


def check_pattern(pattern: str) -> None:
    quantised = chain(11, [37, 19, 50, 3], 8, 4)
    check(quantised, schedule(quantised, machine(), pattern, 4 if pattern != "sequential" else 0))


@pytest.mark.full
def test_wide_accumulators() -> None:
    quantised = chain(1, [256, 1024, 2048, 256], 16, 16)
    check(quantised, schedule(quantised, machine(rows=1, lanes=16, rate=1, port_bits=256), "sequential"))


def lint(program: Program, images: Mapping[str, bytes], root: Path) -> list[object]:
    clang_linter = pytest.importorskip("intar.codegen.lint")
    pytest.importorskip("clang", reason="libclang is an optional extra")
    for path, data in render_hls(program, images=images).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    hls = root / "hls"
    words = {argument.name: argument.words for argument in program.arguments}
    return clang_linter.lint_project([hls / "kernel.cpp"], program.name, [hls, hls / "intar"], words)


def test_linter_finds_nothing(tmp_path) -> None:
    """In a kernel that has every kind of node, with and without tables and contexts."""
    cases = [case for kind in sorted(RANDOM) for case in random_cases(kind, 2)]
    program, images = joined(cases)
    assert lint(prepared(program), images, tmp_path) == []
