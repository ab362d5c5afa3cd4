"""Recurrent layers: their steps are a loop of the circuit, and every integer is golden's in every executor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conformance.proofs import require, require_generated
from frontends.models import normal, onnx_model

import intar
from intar import proof, rendering
from intar.api import Accelerator
from intar.design import Design, random_inputs
from intar.frontends.onnx_graph import import_onnx
from intar.ir.loops import looped_form
from intar.ir.schedule import Mode
from intar.quant.divide import divide

HIDDEN, INPUTS = 8, 4
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def layer(
    kind: str, length: int, layers: int = 1, pattern: Mode = "auto", early: bool = False, **attrs: object
) -> Accelerator:
    """Layers, with a matmul on all steps of the last one; with `early` what the first one makes is an output, too."""
    width, ways = GATES[kind] * HIDDEN, 2 if attrs.get("direction") == "bidirectional" else 1
    nodes, constants, x = [], {}, "x"
    for n in range(layers):
        taken = ways * HIDDEN if n else INPUTS
        named = {"hidden_size": HIDDEN, "name": f"cell{n}", **attrs}
        nodes += [(kind, [x, f"w{n}", f"r{n}", f"b{n}"], [f"y{n}"], named)]
        nodes += [
            ("Transpose", [f"y{n}"], [f"t{n}"], {"perm": [0, 2, 1, 3]}),
            ("Reshape", [f"t{n}", "shape"], [f"x{n}"]),
        ]
        constants |= {
            f"w{n}": normal(ways, width, taken, seed=n),
            f"b{n}": normal(ways, 2 * width, seed=n + 2),
        }
        constants |= {f"r{n}": normal(ways, width, HIDDEN, seed=n + 1, scale=0.4)}
        x = f"x{n}"
    nodes.append(("MatMul", [x, "head"], ["out"]))
    constants |= {"head": normal(ways * HIDDEN, 5, seed=3), "shape": np.array([length, 1, ways * HIDDEN])}
    model = onnx_model(nodes, {"x": [length, 1, INPUTS]}, [*["x0"][:early], "out"], constants, opset=20)
    samples = normal(4, length, 1, INPUTS, seed=5)
    return intar.compile(model, samples, budget={"multipliers": 16}, loop=True, pattern=pattern)


def integers(made: Design, count: int = 2) -> list[dict[str, np.ndarray]]:
    drawn = random_inputs(made.quantised, count)
    return [{name: array[n] for name, array in drawn.items()} for n in range(count)]


@pytest.fixture(scope="module")
def lstm() -> Design:
    return layer("LSTM", 6).design


def test_steps_are_a_loop(lstm: Design) -> None:
    """The first step has no state before it and nothing takes the last one's: four of six are rounds."""
    assert lstm.program.rounds == (1, 4, 1)
    parts = divide(lstm.quantised, lstm.schedule.pieces)  # type: ignore[union-attr]
    assert parts[1].same and {record.step for record in parts[1].records.values()} == {1}
    require(proof.verify_engine(lstm, integers(lstm)))


def test_more_steps_are_no_more_constants_and_no_more_nodes(lstm: Design) -> None:
    longer = layer("LSTM", 9).design
    assert longer.program.rounds == (1, 7, 1)
    assert {n: len(image) for n, image in longer.images.items()} == {
        n: len(image) for n, image in lstm.images.items()
    }
    assert len(longer.program.nodes) == len(lstm.program.nodes)


def test_a_gru_backwards(tmp_path: Path) -> None:
    """Rows are read from the last one on."""
    made = layer("GRU", 5, direction="reverse", linear_before_reset=1).design
    assert made.program.rounds == (1, 3, 1)
    require(proof.verify_engine(made, integers(made)))
    project = rendering.project(made).write(tmp_path)
    require(proof.verify_csim(made, integers(made), project))


def test_layers_are_loops_of_their_own() -> None:
    """Between them stand the last step of the one, all products of the other, and its first step."""
    made = layer("LSTM", 6, layers=2).design
    assert made.program.rounds == (1, 4, 1, 4, 1)
    require(proof.verify_engine(made, integers(made)))


def test_layers_that_are_alike_are_loops_of_their_own() -> None:
    """Not rounds of one, in which steps would be unrolled."""
    assert layer("RNN", 5, layers=5, pattern="sequential").design.program.rounds == (1, *(3, 1) * 5)


def test_what_a_layer_before_others_makes_is_an_output() -> None:
    made = layer("GRU", 5, layers=2, pattern="sequential", early=True).design
    assert made.program.rounds == (1, 3, 1, 3, 1)
    require(proof.verify_engine(made, integers(made)))


def test_both_directions_are_one_loop() -> None:
    """A round reads one row from the first on and one from the last on."""
    made = layer("RNN", 5, direction="bidirectional").design
    assert made.program.rounds == (1, 3, 1)
    parts = divide(made.quantised, made.schedule.pieces)  # type: ignore[union-attr]
    assert {record.step for record in parts[1].records.values()} == {1, -1}
    require(proof.verify_engine(made, integers(made)))


def test_layers_side_by_side() -> None:
    """What the second one begins with needs nothing of the first: it is a part of its own."""
    width = 3 * HIDDEN
    constants = {"axis": np.array([-1, HIDDEN])}
    nodes = []
    for n in (5, 7):
        constants |= {f"w{n}": normal(1, width, INPUTS, seed=n), f"r{n}": normal(1, width, HIDDEN, scale=0.4)}
        nodes += [
            ("GRU", [f"x{n}", f"w{n}", f"r{n}"], [f"y{n}"], {"hidden_size": HIDDEN, "linear_before_reset": 1})
        ]
        nodes += [("Reshape", [f"y{n}", "axis"], [f"rows{n}"])]
    nodes.append(("Concat", ["rows5", "rows7"], ["out"], {"axis": 0}))
    model = onnx_model(nodes, {f"x{n}": [n, 1, INPUTS] for n in (5, 7)}, ["out"], constants, opset=20)
    samples = {f"x{n}": normal(4, n, 1, INPUTS, seed=n) for n in (5, 7)}
    made = intar.compile(model, samples, budget={"multipliers": 16}, loop=True, pattern="sequential").design
    assert made.program.rounds == (1, 3, 1, 1, 5, 1)
    require(proof.verify_engine(made, integers(made)))


@pytest.mark.full
@pytest.mark.parametrize(
    ("kind", "layers", "attrs", "rounds"),
    [
        ("LSTM", 1, {}, (1, 4, 1)),
        ("GRU", 1, {"linear_before_reset": 1, "direction": "reverse"}, (1, 4, 1)),
        ("LSTM", 3, {"direction": "reverse", "early": True}, (1, 4, 1, 4, 1, 4, 1)),
        ("GRU", 1, {"direction": "bidirectional"}, (1, 4, 1)),
        ("LSTM", 2, {"direction": "bidirectional"}, (1, 4, 1, 4, 1)),
    ],
)
def test_recurrent_layers_in_hardware(
    kind: str, layers: int, attrs: dict[str, object], rounds: tuple[int, ...], tmp_path: Path
) -> None:
    made = layer(kind, 6, layers, **attrs).design
    assert made.program.rounds == rounds
    project = rendering.project(made).write(tmp_path)
    require_generated(made, integers(made), project)


def chain(nodes: list[tuple], order: tuple[int, ...], name: str) -> str:
    """Steps that each add a row of `rows`, in this order; the last state."""
    state = ""
    for step, row in enumerate(order):
        own = f"{name}{step}"
        nodes.append(("Slice", ["rows", f"n{row}", f"n{row + 1}", "n0"], [f"row_{own}"]))
        if state:
            nodes += [("MatMul", [state, "r"], [f"p{own}"]), ("Add", [f"row_{own}", f"p{own}"], [f"s{own}"])]
        nodes.append(
            ("Mul", [f"s{own}", f"row_{own}"], [f"h{own}"])
            if state
            else ("Tanh", [f"row_{own}"], [f"h{own}"])
        )
        state = f"h{own}"
    return state


NUMBERS = {f"n{n}": np.array([n]) for n in range(7)}


def test_rows_that_come_in_another_order_are_no_loop() -> None:
    """As they lie, backwards, or in an order that no loop has."""
    for order, rounds in (((0, 1, 2, 3, 4, 5), [4]), ((5, 4, 3, 2, 1, 0), [4]), ((0, 2, 1, 4, 3, 5), [])):
        nodes: list[tuple] = [("MatMul", ["x", "w"], ["rows"])]
        state = chain(nodes, order, "a")
        constants = {"w": normal(3, 4), "r": normal(4, 4), **NUMBERS}
        graph = import_onnx(onnx_model(nodes, {"x": [6, 3]}, [state], constants))
        assert [len(blocks) for blocks in looped_form(graph)[1]] == rounds


def test_the_same_rows_in_both_directions() -> None:
    """They lie in one order: one way is a loop, the other one is unrolled."""
    nodes: list[tuple] = [("MatMul", ["x", "w"], ["rows"])]
    nodes.append(
        ("Add", [chain(nodes, (0, 1, 2, 3, 4, 5), "a"), chain(nodes, (5, 4, 3, 2, 1, 0), "b")], ["y"])
    )
    constants = {"w": normal(3, 4), "r": normal(4, 4), **NUMBERS}
    model = onnx_model(nodes, {"x": [6, 3]}, ["y"], constants)
    assert [len(blocks) for blocks in looped_form(import_onnx(model))[1]] == [4, 4]
    made = intar.compile(model, normal(8, 6, 3, scale=0.3), budget={"multipliers": 16}, loop=True).design
    assert made.program.rounds == (1, 4, 1)
    require(proof.verify_engine(made, integers(made)))
