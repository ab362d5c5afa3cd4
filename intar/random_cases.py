"""Random cases for all executors: a seed and a family decide networks, budget, machine, scheme, mode and schedule."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from intar import pipeline
from intar.design import Design
from intar.errors import ConfigError, InfeasibleError
from intar.ir.loops import looped_form
from intar.ir.ops import Op
from intar.ir.quantgraph import Quantised
from intar.ir.schedule import Machine, Mode, Schedule
from intar.ir.taskgraph import TaskGraph
from intar.networks import Network, at_lengths, compile_networks
from intar.quant.blocks import pieces
from intar.quant.like import take_formats
from intar.quant.random_budgets import ON_CHIP, random_machine
from intar.quant.random_graphs import ATTENTION, STEPS, TOKENS, USUAL, random_quantised
from intar.quant.random_images import Seeded, random_network
from intar.quant.random_networks import Plan, random_plan, random_samples, step_function, token_network
from intar.quant.scheme import RATIONALS, SCHEMES, Scheme, Width
from intar.quant.streamed import stream_states
from intar.schedule.build import build_schedule, lay_out
from intar.schedule.dp import State, state_after
from intar.schedule.moves import Move
from intar.schedule.pins import rules_of
from intar.schedule.problem import make_problem
from intar.schedule.solve import moves_of
from intar.session import size_network

MODES: tuple[Mode, ...] = ("auto", "auto", "intar", "sequential", "dataflow")
ROW_WISE = ("matmul", "matmul", "affine", "binary", "binary")
DEAD_END = 20
"""Draws in a row, or nearly, that give no stage, after which a random schedule begins again."""


@dataclass(frozen=True)
class Case:
    """What a seed of a family means: options in words, and how its designs are made, one for each entry of a kernel.

    Making them may raise a user error: there is no such design.
    """

    seed: int
    family: str
    words: str
    make: Callable[[], Sequence[Design]]


class _Draw:
    """Choices of one generator."""

    def __init__(self, seed: int, stream: int) -> None:
        self.rng = np.random.default_rng([seed, stream])

    def pick(self, *options: Any) -> Any:
        return options[int(self.rng.integers(len(options)))]

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)


def random_case(family: str, seed: int) -> Case:
    """The case of a seed in one of :data:`FAMILIES`."""
    return FAMILIES[family](seed)


# ---------------------------------------------------------------- tasks on machines that are drawn themselves


def _tasks(seed: int, solved: bool = True, steps: bool = False) -> Case:
    """A graph of random tasks and a plain machine.

    Not `solved`: with a random schedule, and without moves, which run alone anyway. With `steps`: of networks that keep
    states from call to call, on arrays of cells that may multiply several channels a cycle, perhaps with ports for states.
    """
    draw = _Draw(seed, 3)
    rng = draw.rng
    bits = draw.pick(None, (8, 16))
    usual = TOKENS if seed % 9 == 8 else ATTENTION if seed % 3 == 2 else USUAL
    ops = STEPS if steps else ROW_WISE if not solved else usual
    tasks, inputs = int(rng.integers(1, 7)) + 2 * (not solved), int(rng.integers(1, 3))
    quantised = random_quantised(seed, tasks, inputs=inputs, bits=bits, ops=ops)
    lanes = int(rng.choice([4, 8, 16]))
    machine = Machine(
        cores=int(rng.integers(1, 4)),
        rows=int(rng.choice([1, 2, 4])),
        lanes=lanes,
        rate=int(rng.choice([1, 2, 4])),
        port_bits=int(rng.choice([32, 64, 128] if steps else [64, 128, 256])),
        onchip_bytes=1_000_000,
        clock_mhz=300,
        latency=int(rng.choice([8, 64])),
        depth=int(rng.choice([1, 2, 4])) if steps else 1,
        weights="chip" if np.random.default_rng([seed, 9]).random() < ON_CHIP else "memory",
    )
    if steps:
        quantised, machine = with_state_ports(quantised, machine, rng)
    mode = draw.pick(*MODES)
    family = "steps" if steps else "tasks" if solved else "schedules"
    words = f"{mode if solved else 'random'}, {machine_words(machine)}"

    def make() -> list[Design]:
        if not solved:
            return [pipeline.design(quantised, random_schedule(quantised, machine, seed))]
        return [pipeline.compile_quantised(quantised, machine, mode)]

    return Case(seed, family, words, make)


def with_state_ports(
    quantised: Quantised, machine: Machine, rng: np.random.Generator
) -> tuple[Quantised, Machine]:
    """The same, mostly with so many ports for the states as the network allows."""
    possible = []
    for ports in range(1, machine.cores + 1):
        ported = machine.model_copy(update={"state_ports": ports})
        try:
            possible.append((stream_states(quantised, ported), ported))
        except ConfigError:
            continue
    return (
        possible[int(rng.integers(len(possible)))]
        if possible and rng.random() < 0.9
        else (quantised, machine)
    )


def random_schedule(quantised: Quantised, machine: Machine, seed: int) -> Schedule:
    """Any schedule of the search space, drawn stage by stage: what a solver would seldom choose comes as often as the rest.

    Large stages are likelier, so that pipelined and interleaved ones are common.
    """
    rng = np.random.default_rng([seed, 4])
    problem = make_problem(quantised.graph, machine)
    moves, _ = moves_of(problem, "auto", rules_of(None, problem))
    path: list[Move] = []
    state: State = (0, ())
    empty = 0
    while state[0] != problem.everything:
        masks = moves.extensions(state[0])
        sizes = np.array([mask.bit_count() ** 3 for mask in masks], dtype=float)
        mask = masks[int(rng.choice(len(masks), p=sizes / sizes.sum()))]
        ways = moves.options(state[0], mask, frozenset(tensor for tensor, _ in state[1]))
        have = dict(state[1])
        ways = [move for move in ways if all(have[tensor] >= reads for tensor, reads in move.resident)]
        if ways:
            path.append(ways[int(rng.integers(len(ways)))])
            state = state_after(problem, state, path[-1])
        elif (
            empty := empty + 1
        ) % DEAD_END == 0:  # nothing has as many copies of a tensor as it needs: begin again
            path, state = [], (0, ())
    return build_schedule(problem, "auto", path, lay_out(problem, path), 0, "random", 0.0)


# ---------------------------------------------------------------- the same on what a budget gives


def _budgets(seed: int) -> Case:
    """Tasks on the machine of a random budget, some with scarce memory, some with a random schedule."""
    draw = _Draw(seed, 5)
    quantised = random_quantised(
        seed,
        draw.pick(1, 2, 3, 4, 5, 7),
        inputs=draw.pick(1, 2, 3),
        bits=draw.pick(None, (8,), (8, 16), (16,)),
        weight_bits=draw.pick((4, 8, 16), (4,), (8,)),
        ops=draw.pick(USUAL, ATTENTION, ATTENTION, TOKENS, STEPS),
    )
    machine = random_machine(seed, quantised)
    quantised = stream_states(quantised, machine)
    mode = draw.pick(*MODES)
    drawn = draw.chance(0.3)
    scarce = not drawn and draw.chance(0.4)
    if scarce:
        bytes_ = int(2 ** draw.rng.uniform(9, 16))
        machine = machine.model_copy(update={"onchip_bytes": bytes_})

    def make() -> list[Design]:
        if drawn:
            return [pipeline.design(quantised, random_schedule(quantised, machine, seed))]
        return [in_least_memory(quantised, machine, mode)]

    words = f"{'random' if drawn else mode}, {machine_words(machine)}"
    return Case(seed, "budgets", words, make)


def in_least_memory(quantised: Quantised, machine: Machine, mode: Mode) -> Design:
    """The design; where its memory is too small, in as many bytes as the error says will do."""
    for _ in range(4):
        try:
            return pipeline.compile_quantised(quantised, machine, mode)
        except InfeasibleError as error:
            wanted = [
                re.search(r"at least (\d+)|more than (\d+)", finding.hint) for finding in error.findings
            ]
            least = [int(found.group(1) or int(found.group(2)) + 1) for found in wanted if found]
            if not least:
                raise
            machine = machine.model_copy(update={"onchip_bytes": max(least)})
    return pipeline.compile_quantised(quantised, machine, mode)


# ---------------------------------------------------------------- networks that are quantised


def random_scheme(draw: _Draw, *graphs: TaskGraph) -> Scheme:
    """Any scheme, mostly with 16-bit sums, some with widths by pattern that mean something in all graphs."""
    name = draw.pick(*SCHEMES, *("w8a8r16", "w8a8") * 3)
    ops = set.intersection(*({task.op for task in graph.tasks} for graph in graphs))
    widths: list[dict[str, Width]] = [{}]
    if Op.MATMUL in ops:
        widths += [{"matmul_*.in": "8t"}, {"matmul_*.in": "8t", "*.weight": 4}, {"*.weight": 4}]
        widths += [{"matmul_*.in": 16, "*.weight": 8}]
    if Op.PRODUCT in ops:
        widths += [{"*.in": "8t"}, {"*.in0": "8t", "*.in1": 16}, {"product_*.in": 16}]
    if Op.CACHED_SOFTMAX in ops:
        widths += [{"k_*": 8, "v_*": 8}] * 4
    rational = draw.pick(*RATIONALS) if Op.RATIONAL in ops else "auto"
    return SCHEMES[name].with_bits(draw.pick(*widths)).with_rational(rational)


def _without_states(scheme: Scheme) -> Scheme:
    """Without the widths of states, which have formats already."""
    return replace(
        scheme, bits=tuple((name, bits) for name, bits in scheme.bits if name not in ("k_*", "v_*"))
    )


def _loop(draw: _Draw, plan: Plan) -> bool | None:
    """Whether blocks are looped, which three are at least."""
    return draw.pick(None, True, True, False) if plan.blocks > 2 else draw.pick(None, False)


def _networks(seed: int) -> Case:
    """Transformers of a few tokens, or images, quantised and looped as asked for."""
    draw = _Draw(seed, 6)
    plan, images = random_plan(draw.rng), draw.chance(0.2)
    graph = random_network(Seeded(seed)) if images else token_network(plan)
    loop, mode = None if images else _loop(draw, plan), draw.pick(*MODES)
    scheme, sized = random_scheme(draw, graph), partial(random_machine, seed)
    samples = random_samples(graph, draw.rng)

    def make() -> list[Design]:
        made, machine, loops = size_network(graph, scheme, samples, sized, loop)
        return [pipeline.compile_quantised(made, machine, mode, loops=loops)]

    return Case(seed, "networks", f"{mode}, loop {loop}, {scheme_words(scheme)}", make)


def _recurrent(seed: int) -> Case:
    """A recurrent layer, its steps looped or not."""
    from intar.quant.random_recurrent import recurrent_network  # needs the package onnx

    draw = _Draw(seed, 8)
    graph = recurrent_network(draw.rng)
    loop, mode = draw.pick(True, True, None, False), draw.pick(*MODES)
    loop = loop if looped_form(graph)[1] else None
    scheme = SCHEMES[draw.pick(*SCHEMES, "w8a8", "w8a8")]
    samples = random_samples(graph, draw.rng)

    def make() -> list[Design]:
        made, machine, loops = size_network(graph, scheme, samples, partial(random_machine, seed), loop)
        return [pipeline.compile_quantised(made, machine, mode, loops=loops)]

    return Case(seed, "recurrent", f"{mode}, loop {loop}, {scheme_words(scheme)}", make)


def _kernels(seed: int) -> Case:
    """A step function and other networks in one kernel, in several lengths."""
    draw = _Draw(seed, 7)
    plan, cached = random_plan(draw.rng, step=True), draw.pick(3, 4, 6, 8)
    loop, mode, lengths = _loop(draw, plan), draw.pick(*MODES), draw.pick(1, 2, 3)
    graphs = {"step": step_function(plan, draw.pick(1, 1, 1, 2), cached)}
    if draw.chance(0.5):
        graphs["prefill"] = step_function(plan, draw.pick(2, 3), cached)
    scheme = random_scheme(draw, *graphs.values())
    if draw.chance(0.3):
        graphs["other"] = token_network(random_plan(draw.rng))
    if draw.chance(0.2):
        graphs["images"] = random_network(Seeded(seed))
    samples = {name: random_samples(graph, draw.rng) for name, graph in graphs.items()}

    def make() -> Sequence[Design]:
        return compile_kernel(graphs, samples, scheme, partial(random_machine, seed), loop, lengths, mode)

    words = (
        f"{mode}, {' '.join(graphs)} in {lengths} lengths of {cached}, loop {loop}, {scheme_words(scheme)}"
    )
    return Case(seed, "kernels", words, make)


def compile_kernel(
    graphs: Mapping[str, TaskGraph],
    samples: Mapping[str, Mapping[str, np.ndarray]],
    scheme: Scheme,
    sized: Callable[[Quantised], Machine],
    loop: bool | None,
    lengths: int,
    mode: Mode,
) -> Sequence[Design]:
    """The networks as entries of one kernel on the machine of the first, whose formats a prefill takes.

    Widths by pattern and the loop are those of the step function and its prefill.
    """
    (first, graph), *others = graphs.items()
    whole, machine, loops = size_network(graph, scheme, samples[first], sized, loop)
    networks = [Network(first, whole, pieces(whole.graph, loops))]
    for name, other in others:
        prefill = name == "prefill"
        other = take_formats(other, whole.graph) if prefill else other
        how, looped = (_without_states(scheme), loop) if prefill else (SCHEMES["w8a8"], None)
        made, _, loops = size_network(other, how, samples[name], lambda _: machine, looped)
        networks.append(Network(name, made, pieces(made.graph, loops)))
    forms = [
        form
        for network in networks
        for form in (at_lengths(network, lengths) if network.quantised.graph.positions else [network])
    ]
    return compile_networks(forms, machine, mode)


# ---------------------------------------------------------------- in words


def machine_words(machine: Machine) -> str:
    """What is not as usual, in the names of the fields."""
    usual = Machine(cores=1, rows=1, lanes=1, rate=1, port_bits=1, onchip_bytes=1, clock_mhz=1)
    fields = {name: value for name, value in machine if value != getattr(usual, name) and name != "clock_mhz"}
    return " ".join(f"{name}={value}" for name, value in fields.items())


def scheme_words(scheme: Scheme) -> str:
    """Its name and what is asked for besides."""
    return f"{scheme.name} {dict(scheme.bits) or ''} {scheme.rational}"


FAMILIES: Mapping[str, Callable[[int], Case]] = {
    "tasks": _tasks,
    "schedules": lambda seed: _tasks(seed, solved=False),
    "steps": lambda seed: _tasks(seed, steps=True),
    "budgets": _budgets,
    "networks": _networks,
    "kernels": _kernels,
    "recurrent": _recurrent,
}
"""What is drawn: tasks with legal integers, with schedules that nobody would choose, as step functions, on budgets;
quantised networks; several networks in one kernel; recurrent layers."""
