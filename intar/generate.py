"""Greedy generation with a compiled step function of a language model: tokens in, next token out, states behind it.

A network is a step function if its inputs and outputs are called so:

| name | is |
|---|---|
| ``tokens`` | an input of ids (1, L) |
| ``positions`` | an input of ids (1, L), if there is one: where the tokens stand in the text |
| ``mask`` | an input (…, L, T + L) that is added to the scores, if there is one: 0, or its least number for a row to hide |
| ``next`` | an output: the argmax over the vocabulary of the last token's row |
| ``X`` and ``X_new`` | a state, any number of them: T rows that a text has had so far, and the L rows that a call adds |

Whoever runs the network appends the new rows to the states after each call. A network without states sees L tokens at a
time: the last ones of the text, from position 0 on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path

import numpy as np

from intar import pipeline
from intar.errors import ConfigError, Finding, UnsupportedError
from intar.ir.ops import show
from intar.ir.quantgraph import QArgmax, QBinary, QTensor, QuantGraph, Quantised
from intar.pipeline import Design
from intar.quant.fixed import limits
from intar.quant.golden import check_ids, id_rows, quantise_input, run_golden

NOTHING = 26 * log(2) + 0.1
"""What is so far below the largest element of a row has no share in its softmax (docs/numerics.md)."""

NEW = "_new"

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
            lowest, nothing = limits(tensor.bits)[0], quantise_input(tensor, np.zeros(()))
            found["mask"] = np.broadcast_to(np.where(hidden, lowest, nothing), tensor.shape)
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
    if _format(kept) != _format(rows):
        found.append(
            Finding(f"'{new}' has another format than the state", place, "new rows are appended as they are")
        )
        return None
    axis = axes[0] if axes else next(a for a, n in enumerate(kept.shape) if n == length)
    return State(name, new, axis, kept.shape[axis])


def _format(tensor: QTensor) -> tuple[int, float, int]:
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


@dataclass(frozen=True)
class Call:
    """A call of a step function: its inputs, and golden's outputs."""

    step: StepFunction
    inputs: Integers
    outputs: Integers


@dataclass(frozen=True)
class Text:
    """What golden generates behind a prompt, and every call on the way."""

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    calls: tuple[Call, ...]


def generate(
    step: StepFunction, prompt: Sequence[int], count: int, prefill: StepFunction | None = None
) -> Text:
    """`count` tokens behind the prompt, each the most probable one.

    With states each token has a call of its own (`step.length` is 1), but for those of the prompt that `prefill` takes
    several at a time, whose states are the same; without states each call sees the last `step.length` tokens.

    Raises
    ------
    ConfigError
        A token is out of range, the prompt does not fit, or the two step functions don't belong together.
    """
    _check(step, prompt, count, prefill)
    text, calls = list(prompt), list[Call]()
    states, position = step.empty(), 0
    while len(text) < len(prompt) + count:
        left = min(len(prompt), step.cached) - position
        taken = prefill if prefill is not None and left >= prefill.length else step
        tokens = text[position : position + taken.length] if step.states else text[-step.length :]
        inputs = taken.inputs(tokens, position, states)
        made = run_golden(taken.quantised, inputs).tensors
        outputs = {name: made[name] for name in taken.graph.outputs}
        calls.append(Call(taken, inputs, outputs))
        if step.states:
            states = taken.append(states, outputs, position)
            position += taken.length
        if not step.states or position == len(text):
            text.append(int(outputs["next"].reshape(-1)[0]))
    return Text(tuple(prompt), tuple(text[len(prompt) :]), tuple(calls))


def _check(step: StepFunction, prompt: Sequence[int], count: int, prefill: StepFunction | None) -> None:
    found = []
    length, most = len(prompt), step.cached + step.length
    if not length:
        found.append(Finding("the prompt is empty", "prompt", hint="give token ids"))
    elif not step.states and length < step.length:
        what = f"the prompt has {length} tokens, the network sees {step.length} at a time"
        found.append(
            Finding(what, "prompt", "it has no states", "give a longer one, or compile a step with states")
        )
    elif step.states and step.length > 1:
        what = f"the step function takes {step.length} tokens a call, the next token is one"
        found.append(
            Finding(what, step.graph.name, hint="compile one of a single token; this one can be its prefill")
        )
    elif step.states and length + count - 1 > most:
        what = f"a prompt of {length} tokens and {count} more don't fit"
        found.append(
            Finding(what, "prompt", f"the states hold {step.cached} tokens, the last call takes one more")
        )
    if prefill is not None:
        found += _pair(step, prefill)
    if found:
        raise ConfigError(found)
    check_ids(step.quantised, {"tokens": np.array(prompt)})


def _pair(step: StepFunction, prefill: StepFunction) -> list[Finding]:
    """What keeps a prefill from handing its states to a step function."""
    kept, given = (
        {s.name: (*_format(one.graph.tensor(s.name)), one.graph.tensor(s.name).shape) for s in one.states}
        for one in (step, prefill)
    )
    odd = sorted(name for name in {*kept, *given} if kept.get(name) != given.get(name))
    if kept and not odd:
        return []
    what = (
        f"the states {', '.join(odd)} differ in shape or format" if odd else "the step function has no states"
    )
    return [
        Finding(
            what,
            f"prefill {prefill.graph.name}",
            hint="compile the prefill with --like and the step's folder",
        )
    ]


@dataclass(frozen=True)
class Ran:
    """The calls of a text on a backend: tokens, cycles of each call, integers that differ from golden's and the first."""

    tokens: tuple[int, ...]
    cycles: tuple[int, ...]
    mismatches: int
    first: str


def run_text(text: Text, designs: Sequence[tuple[StepFunction, Design, Path]], backend: str) -> Ran:
    """Perform every call of a text with the inputs that golden had, and compare every output with golden's.

    A backend whose integers are golden's would have come to the same inputs by itself. Cycles are the engine's where the
    backend is not ``sim``.

    Parameters
    ----------
    designs : of each step function its design and the folder of its written project.
    backend : one of `BACKENDS`.
    """
    cycles: dict[int, int] = {}
    made: dict[int, Mapping[str, np.ndarray]] = {}
    mismatches, first = 0, ""
    for step, design, folder in designs:
        mine = [number for number, call in enumerate(text.calls) if call.step is step]
        if not mine:
            continue
        inputs = [text.calls[number].inputs for number in mine]
        cycles |= dict.fromkeys(mine, design.predicted.cycles)
        if backend == "golden":
            made |= {number: text.calls[number].outputs for number in mine}
            continue
        verify = pipeline.verify_rtl if backend == "sim" else pipeline.verify_csim
        check = verify(design, inputs, folder)
        made |= dict(zip(mine, check.outputs, strict=True))
        cycles |= dict(zip(mine, check.cycles, strict=False))
        mismatches += check.mismatches
        first = first or check.first
    tokens = tuple(int(np.reshape(made[n]["next"], -1)[0]) for n in sorted(made))[-len(text.tokens) :]
    return Ran(tokens, tuple(cycles[n] for n in sorted(cycles)), mismatches, first)


BACKENDS = ("golden", "csim", "sim")
"""The integer model, the generated C++, the RTL."""
