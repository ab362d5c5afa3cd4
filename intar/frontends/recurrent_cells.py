"""The steps of LSTM, GRU and RNN cells, written in operators of ONNX's own vocabulary.

What the steps take of their inputs is one product for all of them, biases included; a step adds the product of the state
before it. A state that begins as zeros is left out of the first step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from intar.frontends.onnx_steps import Function, State, Steps

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
"""Gates of a cell: their weights lie one behind the other, in ONNX's order."""


@dataclass(frozen=True)
class Direction:
    """One direction of a layer: it goes through the steps upwards or, with a `way` of -1, downwards. `weight` (gates ·
    hidden, inputs), `recurrent` (gates · hidden, hidden), biases of as many rows, the states (batch, hidden) before the
    first step, the cell's functions; `reset_behind`: a GRU multiplies by its reset gate behind the product."""

    way: int
    weight: np.ndarray
    recurrent: np.ndarray
    bias: np.ndarray
    recurrent_bias: np.ndarray
    start: tuple[State, ...]
    functions: tuple[Function, ...]
    reset_behind: bool


def run(steps: Steps, kind: str, x: str, length: int, one: Direction) -> list[tuple[str, ...]]:
    """The states behind each step, in the order of the input `x` (length · batch, inputs)."""
    way = "back_" if one.way < 0 else ""
    steps.place = way
    inside = kind == "GRU" and one.reset_behind  # the last gate's recurrent bias stays with its product
    hidden = one.recurrent.shape[1]
    added = one.recurrent_bias * (np.arange(len(one.bias)) < (2 * hidden if inside else len(one.bias)))
    bias = steps.constant(one.bias + added)
    rows = steps("Gemm", [x, steps.constant(one.weight.T), bias])
    batch = steps.importer.shape(rows)[0] // length
    cell = CELLS[kind](steps, one)
    state: tuple[State, ...] = one.start
    made: dict[int, tuple[str, ...]] = {}
    for step in range(length)[:: one.way]:
        steps.place = f"{way}{step}_"
        ends = (np.asarray([n], np.int64) for n in (step * batch, (step + 1) * batch, 0))
        state = made[step] = cell(steps("Slice", [rows, *ends]), *state)
    steps.place = way
    return [made[step] for step in range(length)]


class Lstm:
    """Gates input, output, forget, cell."""

    def __init__(self, steps: Steps, one: Direction) -> None:
        self.steps, self.functions = steps, one.functions
        self.product = _Product(steps, one.recurrent)

    def __call__(self, x: str, h: State, c: State) -> tuple[str, ...]:
        """The states (h, c) behind a step."""
        steps, (gate, inner, outer) = self.steps, self.functions
        size = self.product.rows // 4
        outside, new = steps.parts(self.product.added(x, h), 1, [3 * size, size])
        taken, shown, kept = steps.parts(steps.apply(gate, outside), 1, [size] * 3)
        cell = steps("Mul", [taken, steps.apply(inner, new)])
        cell = cell if c is None else steps("Add", [steps("Mul", [kept, c]), cell])
        return steps("Mul", [shown, steps.apply(outer, cell)]), cell


class Gru:
    """Gates update, reset, hidden."""

    def __init__(self, steps: Steps, one: Direction) -> None:
        self.steps, self.functions = steps, one.functions
        size = one.recurrent.shape[1]
        self.bias = one.recurrent_bias[2 * size :] if one.reset_behind else None
        self.product = _Product(steps, one.recurrent if one.reset_behind else one.recurrent[: 2 * size])
        self.new = _Product(steps, one.recurrent[2 * size :])
        self.size = size

    def __call__(self, x: str, h: State) -> tuple[str, ...]:
        """The state behind a step."""
        steps, (gate, inner), size = self.steps, self.functions, self.size
        outside, new = steps.parts(x, 1, [2 * size, size])
        behind: State
        if self.bias is None:
            gates = self.product.added(outside, h)
        elif h is None:
            gates, behind = outside, self.bias if self.bias.any() else None
        else:
            both = self.product.of(h, np.concatenate([np.zeros(2 * size, np.float32), self.bias]))
            before, behind = steps.parts(both, 1, [2 * size, size])
            gates = steps("Add", [outside, before])
        update, reset = steps.parts(steps.apply(gate, gates), 1, [size] * 2)
        if self.bias is None:
            new = new if h is None else self.new.added(new, steps("Mul", [reset, h]))
        elif behind is not None:
            new = steps("Add", [new, steps("Mul", [reset, behind])])
        new = steps.apply(inner, new)
        if h is None:
            return (steps("Sub", [new, steps("Mul", [update, new])]),)
        return (steps("Add", [new, steps("Mul", [update, steps("Sub", [h, new])])]),)


class Rnn:
    """One function of the sum."""

    def __init__(self, steps: Steps, one: Direction) -> None:
        self.steps, self.function = steps, one.functions[0]
        self.product = _Product(steps, one.recurrent)

    def __call__(self, x: str, h: State) -> tuple[str, ...]:
        """The state behind a step."""
        return (self.steps.apply(self.function, self.product.added(x, h)),)


CELLS: dict[str, Callable[[Steps, Direction], Callable[..., tuple[str, ...]]]] = {
    "LSTM": Lstm,
    "GRU": Gru,
    "RNN": Rnn,
}
"""What performs a step: from its rows of the input's product and the states before it to the states behind it."""


class _Product:
    """The product of a state with weights (rows, hidden), which all steps share."""

    def __init__(self, steps: Steps, weight: np.ndarray) -> None:
        self.steps, self.weight, self.rows = steps, weight, len(weight)
        self._names: dict[str, str] = {}

    def of(self, h: str | np.ndarray, bias: np.ndarray | None = None) -> str:
        """``h · weightᵀ + bias``."""
        if isinstance(h, np.ndarray):
            array = h @ self.weight.T
            return self.steps.constant(array if bias is None else array + bias)
        if not self._names:
            self._names["weight"] = self.steps.constant(self.weight.T)
        if bias is None or not bias.any():
            return self.steps("MatMul", [h, self._names["weight"]])
        if "bias" not in self._names:
            self._names["bias"] = self.steps.constant(bias)
        return self.steps("Gemm", [h, self._names["weight"], self._names["bias"]])

    def added(self, x: str, h: State) -> str:
        """``x + h · weightᵀ``."""
        return x if h is None else self.steps("Add", [x, self.of(h)])
