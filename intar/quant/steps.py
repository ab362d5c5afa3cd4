"""Step functions of language models: tokens in, next token out, states behind it.

A network is a step function if its inputs and outputs are called so:

| name | is |
|---|---|
| ``tokens`` | an input of ids (1, L) |
| ``positions`` | an input of ids (1, L), if there is one: where the tokens stand in the text |
| ``mask`` | an input (…, L, T + L) that is added to the scores, if there is one: 0, or its least number for a row to hide |
| ``next`` | an output: the argmax over the vocabulary of the last token's row |
| ``X`` and ``X_new`` | a state, any number of them: T rows that a text has had so far, and the L rows that a call adds |

The new rows are appended to the states with each call: by the kernel where it keeps them (`intar.ir.states`), else by
whoever runs it. A network without states sees L tokens at a time: the last ones of the text, from position 0 on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log

import numpy as np

from intar.errors import Finding, UnsupportedError
from intar.ir.ops import show
from intar.ir.quantgraph import QArgmax, QBinary, QTensor, QuantGraph, Quantised
from intar.ir.states import NEW
from intar.quant.fixed import limits
from intar.quant.golden import id_rows, quantise_input

NOTHING = 26 * log(2) + 0.1
"""What is so far below the largest element of a row has no share in its softmax (docs/numerics.md)."""

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
        return self.quantised.graph

    def empty(self) -> Integers:
        """The states before the first token: zeros."""
        tensors = [self.graph.tensor(state.name) for state in self.states]
        return {tensor.name: np.full(tensor.shape, tensor.zero, np.int64) for tensor in tensors}

    def inputs(self, tokens: Sequence[int], position: int, states: Integers) -> Integers:
        """The integers of all inputs for a call with `length` tokens, the first one at `position` of the text."""
        found: Integers = {"tokens": np.array([tokens], np.int64), **states}
        if "positions" in self.graph.inputs:
            found["positions"] = position + np.arange(self.length)[None]
        if "mask" in self.graph.inputs:
            tensor = self.graph.tensor("mask")
            hidden = np.zeros((self.length, self.cached + self.length), bool)
            hidden[:, position : self.cached] = True
            hidden[:, self.cached :] = np.triu(np.ones((self.length, self.length), bool), 1)
            shown, hides = mask_integers(tensor)
            found["mask"] = np.broadcast_to(np.where(hidden, hides, shown), tensor.shape)
        return {name: found[name].reshape(self.graph.tensor(name).shape) for name in self.graph.inputs}

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
        if name not in ("tokens", "positions", "mask")
        for state in [_state(graph, name, length, found)]
        if state is not None
    ]
    cached = {state.rows for state in states}
    if len(cached) > 1:
        found.append(
            Finding(f"the states have {sorted(cached)} rows", graph.name, "they hold the same tokens")
        )
    if states and "mask" not in graph.inputs:
        hint = "rows of a state that no token has filled yet are hidden by it"
        found.append(Finding("there are states but no input 'mask'", graph.name, hint=hint))
    if "mask" in graph.inputs:
        shape = (length, max(cached, default=0) + length)
        if graph.tensor("mask").shape[-2:] != shape:
            what = f"the mask is {show(graph.tensor('mask').shape)}, expected … × {show(shape)}"
            found.append(
                Finding(what, "input 'mask'", "it has a row for each token and a column for each key")
            )
        found += _spread(graph)
    if found:
        raise UnsupportedError(found)
    return StepFunction(quantised, length, max(cached, default=0), tuple(states))


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


def _spread(graph: QuantGraph) -> list[Finding]:
    """Scores under the mask are no further apart than it hides (docs/numerics.md, softmax)."""
    found = []
    hides = -_ends(graph.tensor("mask"))[0]
    for task in graph.tasks:
        if isinstance(task, QBinary) and "mask" in task.inputs:
            lowest = _ends(graph.tensor(task.output))[0]
            for name in set(task.inputs) - {"mask"}:
                low, high = _ends(graph.tensor(name))
                if low - max(lowest, high - hides) < NOTHING:
                    what = f"the scores '{name}' are up to {high - low:.1f} apart"
                    most = min(hides, high - lowest) - NOTHING
                    why = f"the mask goes down to {-hides:.1f} in the samples: it hides what is less than {most:.1f} apart"
                    hint = "give calibration samples with a lower number at what is hidden"
                    found.append(Finding(what, "input 'mask'", why, hint))
    return found


def _ends(tensor: QTensor) -> tuple[float, float]:
    """The least and the largest real number that a tensor can hold."""
    low, high = (tensor.scale * (limit - tensor.zero) for limit in limits(tensor.bits))
    return low, high


def mask_integers(tensor: QTensor) -> tuple[int, int]:
    """What a mask adds to a score that counts, and to one that it hides."""
    return int(quantise_input(tensor, np.zeros(()))), limits(tensor.bits)[0]
