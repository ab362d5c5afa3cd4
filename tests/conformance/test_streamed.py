"""Products that read states through ports of their own: the integers are those of the network as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conformance.proofs import require, require_generated
from lowering.stacks import samples, stepping_stack

from intar import pipeline, proof, rendering
from intar.assets import asset_dir
from intar.design import Design
from intar.device import make_machine
from intar.errors import ConfigError
from intar.ir.nodes.arrays import Feed
from intar.ir.nodes.ports import Load, Store
from intar.ir.quantgraph import QProduct, Quantised
from intar.ir.schedule import Mode
from intar.ir.states import exposed, states
from intar.lower.kept import kept_states
from intar.proof import Calls
from intar.quant.golden import run_golden
from intar.quant.quantise import quantise
from intar.quant.random_graphs import random_inputs, random_quantised
from intar.quant.scheme import W4A8R16
from intar.quant.streamed import stream_states
from intar.session import open_source, size_network

NARROW = W4A8R16.with_bits({"k_*": 8, "v_*": 8})
BUDGET = {"cores": 4, "rows": 1, "lanes": 8, "rate": 8, "depth": 2, "port_bits": 64, "states": 2}


def streamed(
    cached: int, heads: int = 2, new: int = 1, mode: Mode = "sequential", **budget: int
) -> tuple[Quantised, Design]:
    """One block as it is, and the design of it with states that come through ports."""
    graph = stepping_stack(1, cached, width=8 * heads, heads=heads, new=new)
    data = dict(samples(graph))
    data["mask"] = np.where(data["mask"] > 0, 0.0, -64.0)
    plain = quantise(graph, NARROW, data)
    machine = make_machine("u280", {**BUDGET, **budget}, plain)
    quantised = stream_states(plain, machine)
    assert [bool(task.state) for task in quantised.graph.tasks if isinstance(task, QProduct)] == [True, True]
    return plain, pipeline.compile_quantised(quantised, machine, mode)


@pytest.mark.parametrize(
    "cached, heads, new, budget",
    [
        (12, 2, 1, {}),
        (7, 4, 1, {"depth": 1, "states": 2}),  # two items a port, one channel a cycle
        (13, 2, 1, {"lanes": 4, "rate": 4, "depth": 4, "port_bits": 32}),  # rows of two beats
        (9, 2, 2, {"rows": 2, "states": 1}),  # two new tokens, one port
        (5, 2, 1, {"efficiency": 0.3, "port_bits": 64}),
    ],
)
def test_engine(cached: int, heads: int, new: int, budget: dict[str, int]) -> None:
    plain, made = streamed(cached, heads, new, **budget)
    inputs = [random_inputs(plain, seed) for seed in range(2)]
    for one in inputs:
        before, after = run_golden(plain, one).tensors, run_golden(made.quantised, one).tensors
        assert all(np.array_equal(before[name], after[name]) for name in plain.graph.outputs)
    require(proof.verify_engine(made, inputs))
    ports = {node.name for node in made.program.nodes if isinstance(node, Load | Store)}
    number = made.schedule.machine.state_ports
    assert {f"{end}{n or ''}" for end in ("s", "sr") for n in range(number)} <= ports
    assert any(isinstance(node, Feed) and node.name.startswith("pack") for node in made.program.nodes)


@pytest.mark.parametrize(
    "cached, new, budget",
    [(12, 1, {}), (13, 1, {"lanes": 4, "rate": 4, "depth": 4, "port_bits": 32}), (9, 2, {"rows": 2})],
)
def test_core_groups_that_stay_fixed(cached: int, new: int, budget: dict[str, int]) -> None:
    """Beside them a product with a state has all cores, which its ports serve."""
    plain, made = streamed(cached, new=new, mode="dataflow", **budget)
    assert made.schedule.mode == "dataflow"
    groups = {p.task: p.cores for stage in made.schedule.stages for p in stage.tasks}
    reading = {t.name for t in made.quantised.graph.tasks if isinstance(t, QProduct)}
    assert {groups.pop(name) for name in reading} == {(0, 1, 2, 3)}
    assert all(len(cores) < 4 for cores in groups.values())
    require(proof.verify_engine(made, [random_inputs(plain, seed) for seed in range(2)]))


def test_weights_come_in_their_own_width() -> None:
    """Four bits through the ports, though second operands of eight stand where they do."""
    _, made = streamed(12)
    links = {link.src: link.bits for link in made.program.links}
    assert {bits for src, bits in links.items() if src.startswith("w")} == {4}
    assert {bits for src, bits in links.items() if src.startswith("sr")} == {8}


def test_calls_go_on_from_each_other() -> None:
    """Each call finds the rows that the one before has stored."""
    plain, made = streamed(6)
    calls, kept = [], {}
    form = plain.graph.tensor("mask")
    for position in range(3):
        one = random_inputs(plain, position) | kept
        mask = np.full(form.shape, -(1 << 15))
        mask[..., :position] = mask[..., -1:] = form.zero
        calls.append(one | {"mask": mask})
        made_rows = run_golden(plain, calls[-1]).tensors
        kept = {state.name: np.array(one[state.name]) for state in states(plain.graph)}
        for state in states(plain.graph):
            kept[state.name][:, position : position + 1] = made_rows[state.new]
    require(proof.verify_engine(made, calls, Calls((0, 1, 2))))


def looped() -> Design:
    graph = stepping_stack(3, 6)
    sized = size_network(graph, NARROW, samples(graph), lambda made: make_machine("u280", BUDGET, made), True)
    quantised, machine, loops = sized
    assert loops and machine.state_ports
    return pipeline.compile_quantised(quantised, machine, "sequential", loops=loops)


def test_in_a_loop() -> None:
    made = looped()
    assert 3 in made.program.rounds
    require(proof.verify_engine(made, [random_inputs(made.quantised, seed) for seed in range(2)]))


@pytest.mark.sim
def test_generated_code(tmp_path: Path) -> None:
    """A loop of three blocks: the C++ and the RTL, in as many cycles as predicted."""
    made = looped()
    inputs = [random_inputs(made.quantised, 3)]
    require_generated(made, inputs, rendering.project(made).write(tmp_path))


@pytest.mark.sim
@pytest.mark.full
def test_the_trunk_of_a_small_gpt2(tmp_path: Path) -> None:
    """Four layers of d = 128 in a loop, 32 cached tokens, on eight cores of 16 lanes and four channels a cycle."""
    budget = {"cores": 8, "rows": 1, "lanes": 16, "rate": 8, "depth": 4, "port_bits": 256, "states": 4}
    model = f"{asset_dir('designs') / 'gpt2' / 'model.py'}:scaled_trunk_step"
    source = open_source(
        model, device="u280", scheme="w4a8r16", budget=budget, bits={"k_*": 8, "v_*": 8}, loop=True
    )
    made = pipeline.compile_quantised(source.quantised, source.machine, "sequential", loops=source.loops)
    assert 4 in made.program.rounds
    inputs = [random_inputs(made.quantised, seed) for seed in range(2)]
    rendering.project(made).write(tmp_path)
    require(proof.verify_engine(made, inputs))
    require_generated(made, inputs, tmp_path)


@pytest.mark.parametrize(
    "budget, scheme, message",
    [
        ({"states": 4, "cores": 4}, NARROW, "2 blocks can't be dealt out to 4 ports\n.*, or say 1 or 2$"),
        (
            {"cores": 2, "lanes": 4, "rate": 4, "port_bits": 32},
            NARROW,
            "serves 1 cores, and a row has 2 beats",
        ),
        ({}, W4A8R16, "more reads it than one product"),  # 16-bit states, of which products read 8-bit copies
        ({"port_bits": 512}, NARROW, "no whole port words"),
    ],
)
def test_refusals(budget: dict[str, int], scheme, message: str) -> None:
    graph = stepping_stack(1, 6)
    quantised = quantise(graph, scheme, samples(graph))
    machine = make_machine("u280", {**BUDGET, **budget}, quantised)
    with pytest.raises(ConfigError, match=message):
        stream_states(quantised, machine)


def test_states_of_other_sizes_are_refused() -> None:
    """Keys of eight columns and values of sixteen, which a port of eight lanes would bring in one and in two beats."""
    quantised = next(
        made
        for made in (random_quantised(seed, 1, bits=(8,), ops=("step",)) for seed in range(100))
        if {made.graph.tensor(state.name).cols for state in states(made.graph)} == {8, 16}
    )
    machine = make_machine("u280", {**BUDGET, "cores": 4, "rows": 4, "states": 1}, quantised)
    with pytest.raises(ConfigError, match=r"rows of . beats in a block, 's0' \d+ of \d\n"):
        stream_states(quantised, machine)


def test_outputs_that_show_rows_that_do_not_count() -> None:
    """With scores for an output the states stay inputs, which hold what golden is given; no port reads them."""
    made = random_quantised(1, 1, bits=(8,), ops=("step",))
    (scores,) = (task.inputs[0] for task in made.graph.tasks if task.kind == "softmax")
    machine = make_machine("u280", {"cores": 1, "rows": 2, "lanes": 8, "rate": 8, "port_bits": 64}, made)
    assert not exposed(made.graph) and kept_states(made.graph, machine, 8)
    shown = replace(made, graph=made.graph.model_copy(update={"outputs": (*made.graph.outputs, scores)}))
    assert exposed(shown.graph) == (scores,) and not kept_states(shown.graph, machine, 8)
    design = pipeline.compile_quantised(shown, machine, "sequential")
    require(proof.verify_engine(design, [random_inputs(shown, seed) for seed in range(2)]))
    with pytest.raises(ConfigError, match=f"output '{scores}' shows rows"):
        stream_states(shown, machine.model_copy(update={"state_ports": 1}))
