"""Greedy generation with compiled step functions of a language model (`intar.quant.steps`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from intar import proof
from intar.design import Design, fastest
from intar.errors import ConfigError, Finding
from intar.proof import Calls
from intar.quant.golden import check_ids, run_golden
from intar.quant.steps import Integers, StepFunction, tensor_format

Form = Callable[[StepFunction, int], StepFunction]
"""A step function's form that performs a call, where its first token stands at a position."""


@dataclass(frozen=True)
class Call:
    """A call of a step function: where its first token stands, its inputs, and golden's outputs."""

    step: StepFunction
    position: int
    inputs: Integers
    outputs: Integers


@dataclass(frozen=True)
class Text:
    """What golden generates behind a prompt, and every call on the way."""

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    calls: tuple[Call, ...]


def generate(
    step: StepFunction,
    prompt: Sequence[int],
    count: int,
    prefill: StepFunction | None = None,
    form: Form = lambda whole, position: whole,
) -> Text:
    """`count` tokens behind the prompt, each the most probable one.

    With states each token has a call of its own (`step.length` is 1), but for those of the prompt that `prefill` takes
    several at a time, whose states are the same; without states each call sees the last `step.length` tokens. A call is
    performed by the `form` of the two that is right for its position (:func:`forms`).

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
        whole = prefill if prefill is not None and left >= prefill.length else step
        taken = form(whole, position)
        tokens = text[position : position + taken.length] if step.states else text[-step.length :]
        inputs = taken.inputs(tokens, position, states)
        made = run_golden(taken.quantised, inputs).tensors
        outputs = {name: made[name] for name in taken.graph.outputs}
        calls.append(Call(taken, position, inputs, outputs))
        if step.states:
            states = whole.append(states, outputs, position)
            position += taken.length
        if not step.states or position == len(text):
            text.append(int(outputs["next"].reshape(-1)[0]))
    return Text(tuple(prompt), tuple(text[len(prompt) :]), tuple(calls))


def forms(designs: Sequence[tuple[StepFunction, Design, Path]]) -> tuple[list[StepFunction], Form]:
    """The step functions that read all rows of the states, in order; and which form of one is the fastest at a position."""

    def form(whole: StepFunction, position: int) -> StepFunction:
        alike = [(step, made) for step, made, _ in designs if step.length == whole.length]
        own = next(made for step, made in alike if step is whole)
        chosen = fastest(own, (made for _, made in alike if made.of), position)
        return next(step for step, made in alike if made is chosen)

    return [step for step, made, _ in designs if not made.of], form


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
            Finding(
                what,
                "prompt",
                f"the states hold {step.cached} tokens, the last call takes one more",
                f"generate {most + 1 - length} at most" if length <= most else "give a shorter one",
            )
        )
    if prefill is not None:
        found += _pair(step, prefill)
    if found:
        raise ConfigError(found)
    check_ids(step.quantised, {"tokens": np.array(prompt)})


def _pair(step: StepFunction, prefill: StepFunction) -> list[Finding]:
    """What keeps a prefill from handing its states to a step function."""
    kept, given = (
        {
            s.name: (*tensor_format(one.graph.tensor(s.name)), one.graph.tensor(s.name).shape)
            for s in one.states
        }
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

    A backend whose integers are golden's would have come to the same inputs by itself. What a kernel keeps between calls is
    given to its first call only: the others find it in the device's memory. Cycles are the engine's
    where the backend is not ``sim``.

    Parameters
    ----------
    designs : of each step function its design and the folder of its written project, which may be one for both.
    backend : one of `BACKENDS`.
    """
    cycles: dict[int, int] = {}
    made: dict[int, Mapping[str, np.ndarray]] = {}
    mismatches, first = 0, ""
    for folder in dict.fromkeys(folder for _, _, folder in designs):
        inside = {id(step): design for step, design, place in designs if place == folder}
        mine = [number for number, call in enumerate(text.calls) if id(call.step) in inside]
        if not mine:
            continue
        performed = tuple(inside[id(text.calls[number].step)] for number in mine)
        cycles |= {n: design.predicted.cycles for n, design in zip(mine, performed, strict=True)}
        if backend == "golden":
            made |= {number: text.calls[number].outputs for number in mine}
            continue
        inputs = [text.calls[number].inputs for number in mine]
        positions = tuple(text.calls[number].position for number in mine)
        calls = Calls(positions, performed) if performed[0].program.scalars else None
        verify = proof.verify_rtl if backend == "sim" else proof.verify_csim
        check = verify(performed[0], inputs, folder, calls=calls)
        made |= dict(zip(mine, check.outputs, strict=True))
        cycles |= dict(zip(mine, check.cycles, strict=False))
        mismatches += check.mismatches
        first = first or check.first
    tokens = tuple(int(np.reshape(made[n]["next"], -1)[0]) for n in sorted(made))[-len(text.tokens) :]
    return Ran(tokens, tuple(cycles[n] for n in sorted(cycles)), mismatches, first)


BACKENDS = ("golden", "csim", "sim")
"""The integer model, the generated C++, the RTL."""
