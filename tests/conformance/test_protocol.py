"""A generated kernel of five AXI masters on an AXI memory that pauses at random on every channel, reset at any moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lowering.chains import chain, machine

from intar import pipeline, proof, rendering
from intar.codegen.rtl import bundles
from intar.design import Design
from intar.quant.random_graphs import random_inputs
from intar.schedule import Pins, solve
from intar.verify.simulate import MemoryModel

pytestmark = pytest.mark.sim
STALLS = MemoryModel(stall=0.4, seed=11)
Built = tuple[Design, list[dict[str, np.ndarray]], Path]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Three layers on two cores; what the first one makes goes to memory and comes back through the output's master."""
    quantised = chain(9, [24, 72, 24, 17])
    target = machine(cores=2, rows=2, port_bits=64)
    made = pipeline.design(
        quantised, solve(quantised.graph, target, "sequential", Pins(spill=frozenset({"t1"})))
    )
    ports = {bundle.name: (bundle.read, bundle.write) for bundle in bundles(made.program)}
    assert ports == {
        "w0": (True, False),
        "w1": (True, False),
        "p": (True, False),
        "x": (True, False),
        "y": (True, True),
    }
    out = tmp_path_factory.mktemp("protocol")
    rendering.project(made).write(out)
    return made, [random_inputs(quantised, seed) for seed in range(2)], out


def run(built: Built, wait: str, reset_between: bool = False, abort_after: int = 0) -> tuple[int, ...]:
    """Cycles of two inferences; every integer equals golden's."""
    made, inputs, out = built
    check = proof.verify_rtl(
        made,
        inputs,
        out,
        memory=STALLS,
        mode="axiram",
        wait=wait,
        reset_between=reset_between,
        abort_after=abort_after,
    )
    assert check.bit_exact, check.first
    return check.cycles


def test_two_inferences_then_resets_at_any_moment(built: Built) -> None:
    """Back to back; with a reset in between; after a reset in the middle of an inference, whose transfers it cuts off."""
    cycles = run(built, "interrupt")
    assert len(cycles) == 2
    run(built, "poll", reset_between=True)
    for wait, share in (("interrupt", 0.05), ("poll", 0.3), ("interrupt", 0.55), ("poll", 0.8)):
        run(built, wait, reset_between=share > 0.5, abort_after=int(share * cycles[0]))
