"""Lowered programs compute golden's bits on the engine, in every pattern, tile size and weight mode."""

from __future__ import annotations

import numpy as np
import pytest

from intar.engine import plan_merged, run
from intar.ir.nodes.arrays import Core
from intar.ir.program import Program
from intar.lower.images import argument_bytes, argument_tensors, beats_to_bytes, bytes_to_elements
from intar.lower.lower import lower
from intar.lower.moves import fit_walks
from intar.quant.golden import run_golden
from lowering.chains import chain, machine, schedule


def check(quantised, plan, seed=1):
    """Golden = engine, two-sided and merged; returns the engine's result."""
    lowered = lower(quantised, plan)
    rng = np.random.default_rng(seed)
    source = quantised.graph.tensors[0]
    limit = 1 << (source.bits - 1)
    x = rng.integers(-limit, limit, source.shape)
    arguments = {a.role: a for a in lowered.program.arguments}
    images = {**lowered.images, "x": argument_bytes(arguments["input"], {source.name: x})}
    name = quantised.graph.outputs[0]
    golden = run_golden(quantised, {source.name: x}).tensors[name]
    result = run(lowered.program, images)
    assert result.deadlock is None, str(result.deadlock)
    np.testing.assert_array_equal(argument_tensors(arguments["output"], result.outputs["y"])[name], golden)
    merged = run(plan_merged(lowered.program), images, merged=True)
    assert merged.deadlock is None, str(merged.deadlock)
    assert merged.outputs["y"] == result.outputs["y"]
    assert Program.from_json(lowered.program.to_json()) == lowered.program
    return result


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize(
    "pattern,tile", [("sequential", 0), ("pipelined", 4), ("interleaved", 4), ("interleaved", 8)]
)
@pytest.mark.parametrize("rows,widths", [(11, [37, 19, 50, 3]), (1, [5, 7, 3]), (16, [8, 16, 8])])
def test_chain(rows, widths, pattern, tile, resident):
    quantised = chain(rows, widths)
    check(quantised, schedule(quantised, machine(), pattern, min(tile, rows), resident))


@pytest.mark.parametrize(
    "a_bits, w_bits, device, pack, multipliers",
    [
        (8, 8, "", 2, 4 * 4),
        (8, 4, "ecp5-85f", 2, 4 * 4),
        (16, 4, "pynq-z2", 2, 4 * 4),
        (4, 4, "u280", 3, 4 * 3),
        (10, 8, "u280", 2, 4 * 4),
        (10, 8, "pynq-z2", 1, 4 * 8),
        (8, 8, "ecp5-85f", 1, 4 * 8),
        (16, 8, "vpk180", 1, 4 * 8),
    ],
)
def test_lanes_share_multipliers_where_the_device_has_room(a_bits, w_bits, device, pack, multipliers):
    quantised = chain(6, [23, 17, 9], a_bits, w_bits)
    plan = schedule(quantised, machine(rows=4, lanes=8).model_copy(update={"device": device}), "sequential")
    cores = [node for node in lower(quantised, plan).program.nodes if isinstance(node, Core)]
    assert cores and all(node.operand_bits == (a_bits, w_bits) for node in cores)
    assert all((node.pack, node.multipliers) == (pack, multipliers) for node in cores)


@pytest.mark.parametrize("a_bits,w_bits", [(8, 4), (16, 16), (16, 8)])
def test_types(a_bits, w_bits):
    quantised = chain(6, [23, 17, 9], a_bits, w_bits)
    check(quantised, schedule(quantised, machine(cores=3, rows=2), "sequential"))


@pytest.mark.parametrize("shifts", [False, True])
def test_requantisation_is_as_narrow_as_the_integers(shifts):
    """Biases have 21 bits, accumulators fewer: 22 hold the sum. Shifts are enough where all factors are powers of two."""
    quantised = chain(6, [23, 17, 9], shifts=shifts)
    plan = schedule(quantised, machine(), "sequential")
    check(quantised, plan)
    units = [node for node in lower(quantised, plan).program.nodes if node.kind == "vector"]
    assert units
    assert all(unit.shift_only == shifts and unit.value_bits == 22 for unit in units)


def test_intar_mlp_cycles():
    """The mlp of the InTAR paper: 32 multipliers, two 256-bit weight ports; the limit is 90,112 cycles."""
    quantised = chain(1, [256, 1024, 2048, 256], 16, 16)
    plan = schedule(quantised, machine(rows=1, lanes=16, rate=1, port_bits=256), "sequential")
    assert 90_112 <= check(quantised, plan).cycles <= 92_000


@pytest.mark.parametrize("bits", [4, 8, 16, 32])
def test_images_round_trip(bits):
    values = np.random.default_rng(bits).integers(-(1 << (bits - 1)), 1 << (bits - 1), 64)
    np.testing.assert_array_equal(bytes_to_elements(beats_to_bytes(values, bits), bits), values)


def test_an_odd_nibble_has_a_zero_beside_it():
    assert beats_to_bytes(np.array([1, -1, -8]), 4) == b"\xf1\x08"


def test_walks_visit_the_addresses():
    addresses = np.array([0, 1, 2, 8, 9, 10, 40, 41, 42, 48, 49, 50, 7, 3])
    visited = [a for walk in fit_walks(addresses) for a in walk.addresses()]
    assert visited == addresses.tolist()
