"""Repeated blocks: found in the float network, quantised alike, cut out of the integers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from lowering.chains import machine
from lowering.stacks import attention_stack, residual_stack, samples

from intar.errors import UnsupportedError
from intar.frontends import Builder
from intar.ir.quantgraph import QuantGraph, Quantised
from intar.ir.repeats import Loops, alike, repeated_blocks
from intar.ir.taskgraph import TaskGraph
from intar.quant.blocks import pieces
from intar.quant.divide import constant_names, divide
from intar.quant.golden import run_golden
from intar.quant.quantise import quantise
from intar.quant.random_graphs import random_inputs
from intar.quant.scheme import scheme
from intar.session import size_network


@pytest.mark.parametrize("enter,leave", [(0, 0), (9, 0), (0, 3), (9, 3)])
def test_residual_blocks_are_found_whole(enter: int, leave: int) -> None:
    """A block begins where one tensor is handed over, not in its middle, and ends around it are left out."""
    graph = residual_stack(5, enter=enter, leave=leave)
    (blocks,) = repeated_blocks(graph)
    assert [len(block) for block in blocks] == [4] * 5
    tasks = {task.name: task for task in graph.tasks}
    assert [tasks[name].op.value for name in blocks[0]] == ["matmul", "relu", "matmul", "add"]
    assert len(graph.tasks) == 20 + (enter > 0) + (leave > 0)


def test_attention_blocks_are_found_whole() -> None:
    graph = attention_stack(4)
    (blocks,) = repeated_blocks(graph)
    assert [len(block) for block in blocks] == [len(graph.tasks) // 4] * 4


def stack(*widths: int, tap: int = 0) -> Builder:
    """Layers of these widths with ReLU; `tap`: the last layer adds what so many layers before it made."""
    g, rng = Builder("layers"), np.random.default_rng(0)
    made = [g.input("x", (2, widths[0]))]
    for a, b in pairwise(widths):
        made.append(g.relu(g.matmul(made[-1], rng.normal(0, 1, (a, b)).astype(np.float32))))
    g.output(g.add(made[-1], made[-1 - tap]) if tap else made[-1])
    return g


@pytest.mark.parametrize(
    "graph,found",
    [
        pytest.param(stack(8, 8, 8, 8).build(), 3, id="three layers"),
        pytest.param(stack(8, 8, 8).build(), 0, id="two are no loop"),
        pytest.param(stack(8, 6, 8, 6, 8, 6, 8).build(), 3, id="in pairs"),
        pytest.param(stack(8, 7, 6, 5).build(), 0, id="all differ"),
        pytest.param(stack(8, 8, 8, 8, 8, tap=1).build(), 3, id="read from further on: without the last"),
        pytest.param(stack(8, 8, 8, 8, tap=2).build(), 0, id="read across blocks"),
    ],
)
def test_what_is_a_loop(graph, found: int) -> None:
    assert [len(blocks) for blocks in repeated_blocks(graph)] == ([found] if found else [])


@pytest.mark.parametrize("asked", [{}, {"matmul_2.in": 16}])
def test_blocks_have_scales_of_their_own_and_one_width(asked: dict[str, int]) -> None:
    """The same place has the same bits in every block; scales and zero points are those without a loop."""
    graph = residual_stack(4)
    loops = repeated_blocks(graph)
    data, how = samples(graph), scheme("w8a8").with_bits(asked)
    looped = quantise(graph, how, data, alike=alike(graph, loops)).graph
    for same in alike(graph, loops):
        known = [looped.tensor(name) for name in same if name in {t.name for t in looped.tensors}]
        assert len({tensor.bits for tensor in known}) <= 1
    assert len(divide_whole(looped, loops)) == 4
    if not asked:
        assert looped.tensors == quantise(graph, how, data).graph.tensors
        assert len({tensor.scale for tensor in looped.tensors}) == len(looped.tensors)


def divide_whole(graph: QuantGraph, loops: Loops) -> tuple[Quantised, ...]:
    """The rounds of a network that is nothing but blocks."""
    (part,) = divide(Quantised(graph, dict.fromkeys(constants_of(graph), np.zeros(1))), pieces(graph, loops))
    return part.rounds


def constants_of(graph: QuantGraph) -> list[str]:
    return [name for task in graph.tasks for name in constant_names(task)]


def test_functions_of_blocks_have_tables_of_one_size() -> None:
    """A range far wider than the others needs more entries, which all rounds then have."""
    graph = residual_stack(3, function="gelu")
    data = samples(graph)
    loops = repeated_blocks(graph)
    wide = {task.inputs[1] for task in graph.tasks if task.name == loops[0][1][0]}
    document = graph.model_dump(by_alias=True)
    constants = {name: array * (40 if name in wide else 1) for name, array in graph.constants.items()}
    graph = TaskGraph.model_validate({**document, "constants": constants})
    alone = quantise(graph, scheme("w16a16"), data)
    looped = quantise(graph, scheme("w16a16"), data, alike=alike(graph, loops))
    own, common = ([t.table for t in made.graph.tasks if t.table] for made in (alone, looped))
    sizes = [table.log_entries for table in own]
    assert len(set(sizes)) > 1 and {table.log_entries for table in common} == {max(sizes)}
    assert max(table.max_error for table in common) <= 0.75


def test_parts_make_the_network() -> None:
    """Golden, part by part and round by round, gives golden's integers of the whole."""
    graph = residual_stack(4, enter=7, leave=3)
    quantised, _, loops = size_network(graph, scheme("w16a16"), samples(graph), lambda _: machine(), True)
    parts = divide(quantised, pieces(quantised.graph, loops))
    assert [len(part.rounds) for part in parts] == [1, 4, 1]
    inputs = random_inputs(quantised, 0)
    (state,) = inputs.values()
    for part in parts:
        for one in part.rounds:
            (name,) = part.graph.inputs
            state = run_golden(one, {name: state}).tensors[part.graph.outputs[0]]
    (name,) = quantised.graph.outputs
    np.testing.assert_array_equal(state, run_golden(quantised, inputs).tensors[name])


def with_formats(graph: TaskGraph, bits: Callable[[int], int]) -> TaskGraph:
    """The graph with formats of its own for all sums, of so many bits each."""
    document = graph.model_dump(by_alias=True)
    sums = [t for t in document["tensors"] if t["name"] not in graph.constants and "add" in t["name"]]
    for index, tensor in enumerate(sums):
        tensor["quant"] = {"bits": bits(index), "scale": 0.05 * (index + 1)}
    return TaskGraph.model_validate({**document, "constants": graph.constants})


def test_a_model_with_its_own_scales_is_looped_where_widths_are_common() -> None:
    """Formats that the model fixes stay what they are; other widths in other blocks are other operations."""
    graph = with_formats(residual_stack(4), lambda _: 8)
    quantised, _, loops = size_network(graph, scheme("w8a8"), samples(graph), lambda _: machine(), True)
    assert [len(blocks) for blocks in loops] == [3]  # what goes into the first one has no format of its own
    assert quantised.graph == quantise(graph, scheme("w8a8"), samples(graph)).graph
    graph = with_formats(residual_stack(4), lambda index: 16 if index == 1 else 8)
    quantised, _, loops = size_network(graph, scheme("w8a8"), samples(graph), lambda _: machine())
    assert repeated_blocks(graph) and loops == ()
    with pytest.raises(UnsupportedError, match="other shapes, widths or operations"):
        size_network(graph, scheme("w8a8"), samples(graph), lambda _: machine(), True)
    with pytest.raises(UnsupportedError, match="no block of tasks repeats 3 times"):
        size_network(residual_stack(2), scheme("w8a8"), None, lambda _: machine(), True)
    assert quantised.graph == quantise(graph, scheme("w8a8"), samples(graph)).graph


def test_a_loop_has_to_pay() -> None:
    """Without being asked for, only blocks that are long beside the barrier between rounds are looped."""
    found = {}
    for width in (16, 64):
        graph = residual_stack(3, rows=16, width=width, hidden=2 * width)
        for loop in (None, False, True):
            _, _, loops = size_network(graph, scheme("w8a8"), samples(graph), lambda _: machine(), loop)
            found[width, loop] = sum(map(len, loops))
    assert found == {(w, loop): 3 * (loop or (loop is None and w == 64)) for w, loop in found}
