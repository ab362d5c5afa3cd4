"""Step functions of language models: tokens in, next token out, states behind it.

A network is a step function if its inputs and outputs are called so:

| name | is |
|---|---|
| ``tokens`` | an input of ids (1, L) |
| ``positions`` | an input of ids (1, L), if there is one: where the tokens stand in the text |
| ``position`` | the number of the call that says where its first token stands, and so which rows of the states count |
| ``next`` | an output: the argmax over the vocabulary of the last token's row |
| ``X`` and ``X_new`` | a state, any number of them: T rows that a text has had so far, and the L rows that a call adds |

The new rows are appended to the states with each call: by the kernel where it keeps them (`intar.ir.states`), else by
whoever runs it. A network without states sees L tokens at a time: the last ones of the text, from position 0 on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from intar.errors import Finding, UnsupportedError
from intar.ir.ops import POSITION
from intar.ir.quantgraph import QArgmax, QTensor, QuantGraph, Quantised
from intar.ir.shapes import show
from intar.ir.states import NEW
from intar.quant.golden import id_rows

Integers = dict[str, np.ndarray]


@dataclass(frozen=True)
class State:
    """Rows that are kept from call to call: input `name` of `rows` rows along `axis`, output `new` of a call's rows."""

    name: str
    new: str
    axis: int
    rows: int


@dataclass(frozen=True)
class StepFunction:
    """What a network does in a call: `length` tokens behind up to `cached` ones that its states hold (0: without states)."""

    quantised: Quantised
    length: int
    cached: int
    states: tuple[State, ...]

    @property
    def graph(self) -> QuantGraph:
        """The quantised graph."""
        return self.quantised.graph

    def empty(self) -> Integers:
        """The states before the first token: zeros."""
        tensors = [self.graph.tensor(state.name) for state in self.states]
        return {tensor.name: np.full(tensor.shape, tensor.zero, np.int64) for tensor in tensors}

    def inputs(self, tokens: Sequence[int], position: int, states: Integers) -> Integers:
        """The integers of all inputs for a call with `length` tokens, the first one at `position` of the text.

        `states` may have more rows than the network reads: it takes the first ones.
        """
        found: Integers = {"tokens": np.array([tokens], np.int64)}
        found |= {s.name: np.take(states[s.name], range(s.rows), s.axis) for s in self.states}
        if "positions" in self.graph.inputs:
            found["positions"] = position + np.arange(self.length)[None]
        found[POSITION] = np.array(position)
        return {name: found[name].reshape(self.graph.tensor(name).shape) for name in self.graph.given}

    def append(self, states: Integers, outputs: Mapping[str, np.ndarray], position: int) -> Integers:
        """The states with the new rows of a call whose first token stood at `position`."""
        kept: Integers = {}
        for state in self.states:
            rows = np.array(states[state.name])
            room = min(self.length, state.rows - position)
            into = [slice(None)] * rows.ndim
            into[state.axis] = slice(position, position + room)
            part = np.asarray(outputs[state.new]).reshape(self.graph.tensor(state.new).shape)
            rows[tuple(into)] = np.take(part, range(room), state.axis)
            kept[state.name] = rows
        return kept


def step_function(quantised: Quantised) -> StepFunction:
    """The network as a step function.

    Raises
    ------
    UnsupportedError
        It is none: everything that is missing or does not fit.
    """
    graph, found = quantised.graph, list[Finding]()
    ids = id_rows(quantised)
    length = graph.tensor("tokens").cols if "tokens" in ids else 0
    made = {task.output: task for task in graph.tasks}
    if not length:
        found.append(Finding("there is no input 'tokens' that an embedding looks up", graph.name))
    if (
        not isinstance(made.get("next"), QArgmax)
        or graph.tensor("next").rows * graph.tensor("next").cols != 1
    ):
        found.append(Finding("there is no output 'next' that is the argmax of one row", graph.name))
    states = [
        state
        for name in graph.inputs
        if name not in ("tokens", "positions")
        for state in [_state(graph, name, length, found)]
        if state is not None
    ]
    cached = {state.rows for state in states}
    if len(cached) > 1:
        found.append(
            Finding(f"the states have {sorted(cached)} rows", graph.name, "they hold the same tokens")
        )
    rows = max(cached, default=0)
    if graph.positions != rows:
        what = f"the input '{POSITION}' hides rows of {graph.positions} cached ones, the states have {rows}"
        hint = "rows of a state that no token has filled yet are hidden by it (docs/generate.md)"
        if not graph.positions:
            what = f"there are states but no input '{POSITION}'"
        found.append(Finding(what, graph.name, hint=hint))
    if found:
        raise UnsupportedError(found)
    return StepFunction(quantised, length, rows, tuple(states))


def _state(graph: QuantGraph, name: str, length: int, found: list[Finding]) -> State | None:
    """The state that an input is; a finding when it is none."""
    place, new = f"input '{name}'", f"{name}{NEW}"
    if new not in graph.outputs:
        what = f"it is no input of a step function, and no state: there is no output '{new}'"
        found.append(Finding(what, place, hint="call the inputs as docs/generate.md says"))
        return None
    kept, rows = graph.tensor(name), graph.tensor(new)
    axes = [axis for axis, (a, b) in enumerate(zip(kept.shape, rows.shape, strict=False)) if a != b]
    if len(kept.shape) != len(rows.shape) or len(axes) > 1 or (axes and rows.shape[axes[0]] != length):
        what = f"the state is {show(kept.shape)}, its new rows {show(rows.shape)}"
        found.append(Finding(what, place, f"the new rows are those of {length} tokens, along one axis"))
        return None
    if tensor_format(kept) != tensor_format(rows):
        found.append(
            Finding(f"'{new}' has another format than the state", place, "new rows are appended as they are")
        )
        return None
    axis = axes[0] if axes else next(a for a, n in enumerate(kept.shape) if n == length)
    return State(name, new, axis, kept.shape[axis])


def tensor_format(tensor: QTensor) -> tuple[int, float, int]:
    """Width, scale and zero point: what two tensors have in common whose integers mean the same."""
    return tensor.bits, tensor.scale, tensor.zero
