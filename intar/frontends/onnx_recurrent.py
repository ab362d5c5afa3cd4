"""LSTM, GRU and RNN nodes: what they say, and their results. Their steps are written by `recurrent_cells`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from intar.frontends.importer import Importer
from intar.frontends.onnx_nodes import Node, Rejected
from intar.frontends.onnx_steps import State, Steps
from intar.frontends.recurrent_cells import GATES, Direction, run
from intar.ir.shapes import show

DEFAULTS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}

PARAMETERS: dict[str, dict[str, float]] = {
    **{name: {} for name in ("Sigmoid", "Tanh", "Relu", "Softplus")},
    "LeakyRelu": {"alpha": 0.01},
    "HardSigmoid": {"alpha": 0.2, "beta": 0.5},
    "Elu": {"alpha": 1.0},
}
"""The functions that a cell may name, with their parameters unless it gives them."""

DIRECTIONS = {"forward": (1,), "reverse": (-1,), "bidirectional": (1, -1)}


def recurrent(importer: Importer, node: Node) -> None:
    """All steps of an LSTM, GRU or RNN node."""
    steps = Steps(importer, node)
    first = bool(node.attrs.get("layout", 0))
    shape, directions = _read(importer, node, steps, first)
    length, batch, hidden = shape
    rows = steps("Transpose", [node.inputs[0]], {"perm": (1, 0, 2)}) if first else node.inputs[0]
    flat = steps.reshape(rows, (length * batch, importer.shape(node.inputs[0])[2]))
    made = [run(steps, node.op, flat, length, one) for one in directions]
    if importer.is_read(node.outputs[0]):
        whole = [
            steps.reshape(steps.join([each[0] for each in ends], 0), (length, 1, batch, hidden))
            for ends in made
        ]
        y = steps.join(whole, 1)
        y = steps("Transpose", [y], {"perm": (2, 0, 1, 3)}) if first else y
        importer.alias[node.outputs[0]] = importer.tensor(y)
    lasts = [ends[0 if one.way < 0 else -1] for one, ends in zip(directions, made, strict=True)]
    for output, states in zip(node.outputs[1:], zip(*lasts, strict=True), strict=False):
        if importer.is_read(output):
            one = (batch, 1, hidden) if first else (1, batch, hidden)
            last = steps.join([steps.reshape(state, one) for state in states], 1 if first else 0)
            importer.alias[output] = importer.tensor(last)


def _read(
    importer: Importer, node: Node, steps: Steps, batch_first: bool
) -> tuple[tuple[int, int, int], list[Direction]]:
    """(length, batch, hidden) and what each direction has. Raises Rejected."""
    shape = importer.graph.shapes[importer.tensor(node.inputs[0])]
    if len(shape) != 3:
        raise Rejected(f"its input {show(shape)} has {len(shape)} axes, expected 3", code="graph")
    _refuse(importer, node)
    name = str(node.attrs.get("direction", "forward"))
    if name not in DIRECTIONS:
        raise Rejected(f"its direction is '{name}'", f"there are {', '.join(DIRECTIONS)}", code="graph")
    ways = DIRECTIONS[name]
    w, r = (_constant(importer, name, role) for name, role in zip(node.inputs[1:3], "WR", strict=True))
    length, batch = shape[1::-1] if batch_first else shape[:2]
    count, hidden, width = len(ways), r.shape[-1], GATES[node.op] * r.shape[-1]
    bias = np.zeros((count, 2 * width), np.float32)
    bias = _constant(importer, node.inputs[3], "B") if node.input(3) else bias
    expected = {"W": (count, width, shape[2]), "R": (count, width, hidden), "B": (count, 2 * width)}
    for role, array in zip(expected, (w, r, bias), strict=True):
        if array.shape != expected[role]:
            raise Rejected(
                f"its '{role}' has the shape {show(array.shape)}, expected {show(expected[role])}",
                code="graph",
            )
    starts = [
        _starts(importer, steps, node.input(at), (count, batch, hidden), batch_first)
        for at in ((5, 6) if node.op == "LSTM" else (5,))
    ]
    return (length, batch, hidden), [
        Direction(
            way=way,
            weight=w[at],
            recurrent=r[at],
            bias=bias[at, :width],
            recurrent_bias=bias[at, width:],
            start=tuple(each[at] for each in starts),
            functions=functions,
            reset_behind=bool(node.attrs.get("linear_before_reset", 0)),
        )
        for at, (way, functions) in enumerate(zip(ways, _functions(node, count), strict=True))
    ]


def _refuse(importer: Importer, node: Node) -> None:
    """Raise Rejected for what we don't have."""
    lengths, peephole = node.input(4), node.input(7)
    if node.attrs.get("clip"):
        raise Rejected("it clips what its gates take", hint="export it without 'clip'")
    if node.attrs.get("input_forget"):
        raise Rejected("its input and forget gates are coupled ('input_forget')")
    if peephole and not (importer.is_constant(peephole) and not importer.real(peephole).any()):
        raise Rejected("it has peepholes ('P')", hint="export it without them")
    if lengths:
        shape = importer.graph.shapes[importer.tensor(node.inputs[0])]
        whole = shape[1 if node.attrs.get("layout", 0) else 0]
        if not importer.is_constant(lengths) or (importer.real(lengths) != whole).any():
            raise Rejected(
                "its sequences have lengths of their own ('sequence_lens')",
                f"all are as long as the input: {whole} steps",
                "cut the input to the length that the circuit is to have",
            )


def _constant(importer: Importer, name: str, role: str) -> np.ndarray:
    if not importer.is_constant(name):
        raise Rejected(f"its '{role}' is computed at run time", "weights of a recurrent layer are constants")
    return importer.real(name)


def _starts(
    importer: Importer, steps: Steps, name: str, shape: tuple[int, int, int], batch_first: bool
) -> list[State]:
    """A state before the first step, for each direction (batch, hidden)."""
    count, batch, hidden = shape
    given = (batch, count, hidden) if batch_first else shape
    if not name:
        return [None] * count
    if importer.shape(name) != given:
        raise Rejected(
            f"'{name}' has the shape {show(importer.shape(name))}, expected {show(given)}", code="graph"
        )
    if importer.is_constant(name):
        array = importer.real(name)
        each = array.transpose(1, 0, 2) if batch_first else array
        return [one if one.any() else None for one in each]
    axis = 1 if batch_first else 0
    return [steps.reshape(part, (batch, hidden)) for part in steps.parts(name, axis, [1] * count)]


def _functions(node: Node, directions: int) -> Iterator[tuple[tuple[str, dict[str, float]], ...]]:
    """The functions of each direction's cell, with their parameters."""
    default = DEFAULTS[node.op]
    names = [str(n.decode() if isinstance(n, bytes) else n) for n in node.attrs.get("activations", ())]
    names = names or [*default] * directions
    known = {name.lower(): name for name in PARAMETERS}
    found = []
    given = {key: list(node.attrs.get(f"activation_{key}", ())) for key in ("alpha", "beta")}
    for name in names:
        if name.lower() not in known:
            raise Rejected(
                f"its activation is '{name}'", f"supported are {', '.join(PARAMETERS)}", "choose one of them"
            )
        plain = known[name.lower()]
        attrs = {key: given[key].pop(0) if given[key] else n for key, n in PARAMETERS[plain].items()}
        found.append((plain, attrs))
    if len(found) != len(default) * directions:
        expected = len(default) * directions
        raise Rejected(f"it names {len(found)} activations, expected {expected}", code="graph")
    for at in range(0, len(found), len(default)):
        yield tuple(found[at : at + len(default)])
