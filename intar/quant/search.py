"""The cheapest formats that meet an accuracy bound: operands of matmuls and products, and weights, are narrowed one by one.

All start wide. Each is narrowed alone, golden is compared with float, and what that costs in accuracy for each bit that is
moved less gives the order in which they are narrowed for good; one that would break the bound stays wide. Errors of
quantisation add up nearly independently, so the order hardly changes on the way. 2n + 2 runs of golden for n places.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

import numpy as np

from intar.errors import ConfigError, Finding, InfeasibleError
from intar.grid import prepare
from intar.ir.quantgraph import QConv, QEmbedding, QMatmul, QuantGraph
from intar.ir.taskgraph import TaskGraph
from intar.quant.calibrate import observe, samples
from intar.quant.compare import Outputs, float_outputs, real_outputs
from intar.quant.fuse import Group, fuse
from intar.quant.quantise import quantise
from intar.quant.scheme import TOKEN, Scheme, Width
from intar.quant.tokens import rewrite, scalable
from intar.quant.widths import ROLES, Place, path, places

Metric = Callable[[Outputs, Outputs], float]
"""From float's and golden's outputs to a number that is higher the better."""

WIDE_OPERAND = 16


def cosine(real: Outputs, golden: Outputs) -> float:
    """The mean, over samples and outputs, of the cosine between float and golden."""
    found = []
    for a, b in zip(real, golden, strict=True):
        for name, x in a.items():
            norms = float(np.linalg.norm(x) * np.linalg.norm(b[name]))
            found.append(float((x * b[name]).sum()) / norms if norms else float(np.array_equal(x, b[name])))
    return float(np.mean(found))


def sqnr(real: Outputs, golden: Outputs) -> float:
    """Signal to quantisation noise over all samples and outputs, decibel; infinite without noise."""
    pairs = [(x, b[name]) for a, b in zip(real, golden, strict=True) for name, x in a.items()]
    signal, noise = (
        sum(float((x**2).sum()) for x, _ in pairs),
        sum(float(((x - y) ** 2).sum()) for x, y in pairs),
    )
    return float(10 * np.log10(signal / noise)) if noise and signal else float("inf" if not noise else "-inf")


METRICS: dict[str, Metric] = {"cosine": cosine, "sqnr": sqnr}


@dataclass(frozen=True)
class Unit:
    """What is narrowed at once: one place, or the same place in all rounds of a loop."""

    patterns: tuple[str, ...]
    wide: Width
    narrow: int


@dataclass(frozen=True)
class Trial:
    """Formats that were tried: bits by pattern, what the metric says, and bits moved by an inference."""

    bits: Mapping[str, Width]
    score: float
    moved: int


@dataclass(frozen=True)
class Step:
    """A unit in the order of narrowing: the score with it alone narrow, then the trial with it and all before that were
    `kept` narrow."""

    unit: Unit
    alone: Trial
    trial: Trial
    kept: bool


@dataclass(frozen=True)
class Search:
    """What was found; `wide` and `narrow` are the two ends."""

    chosen: Trial
    wide: Trial
    narrow: Trial
    steps: tuple[Step, ...]


def bits_moved(graph: QuantGraph) -> int:
    """Bits that the tasks of an inference read and write: operands, results, weights, rows of embeddings."""
    tensors = {tensor.name: tensor.bits * tensor.rows * tensor.cols for tensor in graph.tensors}
    total = 0
    for task in graph.tasks:
        total += tensors[task.output] + sum(tensors[name] for name in task.inputs)
        if isinstance(task, QMatmul):
            total += task.weight_bits * graph.tensor(task.inputs[0]).cols * graph.tensor(task.output).cols
        elif isinstance(task, QConv):
            total += task.weight_bits * sum(group.channels * len(group.taps) for group in task.groups)
        elif isinstance(task, QEmbedding):
            total += tensors[task.output]
    return total


def units(
    graph: TaskGraph,
    groups: Sequence[Group],
    scheme: Scheme,
    alike: Sequence[Sequence[str]] = (),
    weights: bool = False,
    tokens: bool = False,
) -> list[Unit]:
    """What can be narrowed: operands of matmuls and products of activations, with `weights` the weights, too; with `tokens`
    first operands lose the scales of their tokens, not bits."""
    known, scaled = places(graph, groups), scalable(graph)
    together = {name: tuple(same) for same in alike for name in same}
    found: dict[tuple[str, tuple[str, ...]], list[Group]] = {}
    for group in groups:
        for role in ROLES if weights else ROLES[:2]:
            name = f"{group.first.name}.{_shown(group, role)}"
            if role != "out" and (role, group.output) in known.get(name, ()):
                found.setdefault((role, together.get(group.output, (group.output,))), []).append(group)
    made = []
    for (role, _), same in found.items():
        wide: Width = scheme.weight_bits
        narrow = scheme.weight_bits // 2
        if role != "weight":
            own = tokens and role == "in0" and {group.first.name for group in same} <= scaled
            wide, narrow = TOKEN if own else WIDE_OPERAND, 8
        if narrow >= 4:
            made.append(Unit(_patterns(same, role, known), wide, narrow))
    return made


def _patterns(same: Sequence[Group], role: str, known: Mapping[str, list[Place]]) -> tuple[str, ...]:
    """Patterns that mean a role of these groups and nothing else: one where their names differ in numbers only."""
    meant = {(role, group.output) for group in same}
    names = []
    for group in same:
        own = (
            f"{name}.{_shown(group, role)}" for name in (path(group.first.source), group.first.name) if name
        )
        names.append(next(name for name in own if known.get(name) == [(role, group.output)]))
    general = _general(names)
    if general and {at for name, its in known.items() if fnmatchcase(name, general) for at in its} == meant:
        return (general,)
    return tuple(names)


def _shown(group: Group, role: str) -> str:
    """What a role is called: the operand of a matmul has no number."""
    return "in" if role == "in0" and group.kind == "matmul" else role


def _general(names: Sequence[str]) -> str:
    """A pattern for several names that differ in some of their numbers only; else nothing."""
    split = [re.split(r"(\d+)", name) for name in names]
    if len(names) < 2 or len({tuple(parts[::2]) for parts in split}) > 1:
        return ""
    return "".join(same[0] if len(set(same)) == 1 else "*" for same in zip(*split, strict=True))


def search_formats(
    graph: TaskGraph,
    scheme: Scheme,
    calibration: Mapping[str, np.ndarray],
    bound: float,
    *,
    metric: Metric | Literal["cosine", "sqnr"] = "cosine",
    count: int = 16,
    weights: bool = False,
    tokens: bool = False,
    alike: Sequence[Sequence[str]] = (),
    step: Callable[[Trial], None] = lambda trial: None,
) -> Search:
    """The formats that move the fewest bits of those that a greedy search finds to meet a bound.

    Parameters
    ----------
    graph : float task graph.
    scheme : what holds for everything else; its own `bits` come first, and are searched like the rest.
    calibration : samples for the ranges; golden is compared with float on the first `count` of them.
    bound : what the metric has to be at least.
    metric : a name, or a function of float's and golden's outputs, higher the better.
    weights : weights are narrowed, too, to half their bits.
    tokens : first operands have 8 bits, at first with a scale for each token (`intar.quant.tokens`); where the bound allows
        it, with one scale for all.
    alike : as in :func:`intar.quant.quantise.quantise`; places in it are narrowed together.
    step : called after each trial.

    Raises
    ------
    ConfigError
        An output is an index, about which the named metrics say nothing.
    InfeasibleError
        All wide, the metric is below the bound.
    UserError
        As in :func:`intar.quant.quantise.quantise`.
    """
    graph = prepare(graph)
    groups = fuse(graph)
    if isinstance(metric, str):
        _refuse_indices(graph, groups, metric)
    batch = samples(graph, calibration)[:count]
    every = (
        rewrite(graph, scalable(graph)) if tokens else graph
    )  # has the tensors of each trial, by the same names
    observed = observe(every, calibration, histograms=scheme.method != "minmax")
    real, judge = float_outputs(graph, batch), METRICS[metric] if isinstance(metric, str) else metric

    def attempt(bits: Mapping[str, Width]) -> Trial:
        made = quantise(graph, scheme.with_bits(bits), calibration, alike=alike, observed=observed)
        trial = Trial(dict(bits), judge(real, real_outputs(graph, made, batch)), bits_moved(made.graph))
        step(trial)
        return trial

    everything = units(graph, groups, scheme, alike, weights, tokens)
    wide = attempt({pattern: unit.wide for unit in everything for pattern in unit.patterns})
    if not wide.score >= bound:
        raise InfeasibleError(
            Finding(
                f"all {len(everything)} places wide, the metric is {wide.score:.6g} and not {bound:.9g}",
                f"accuracy of {graph.name!r}",
                f"everything else follows the scheme {scheme.name}",
                "take a scheme that keeps sums and normalisations in 16 bits (w8a8r16) or wider weights, or ask for less",
            )
        )
    best, steps = _narrowed(everything, wide, bound, attempt)
    narrow = attempt({pattern: unit.narrow for unit in everything for pattern in unit.patterns})
    return Search(best, wide, narrow, tuple(steps))


def _narrowed(
    everything: Sequence[Unit], wide: Trial, bound: float, attempt: Callable[[Mapping[str, Width]], Trial]
) -> tuple[Trial, list[Step]]:
    """The best trial that meets the bound, and the steps to it: what harms least for each bit saved is narrowed first."""

    def with_narrow(bits: Mapping[str, Width], unit: Unit) -> dict[str, Width]:
        return {**bits, **dict.fromkeys(unit.patterns, unit.narrow)}

    alone = [attempt(with_narrow(wide.bits, unit)) for unit in everything]

    def harm(index: int) -> tuple[bool, float]:
        saved, lost = wide.moved - alone[index].moved, wide.score - alone[index].score
        return saved <= 0, lost / saved if saved > 0 else lost

    best, steps = wide, []
    for index in sorted(range(len(everything)), key=harm):
        unit = everything[index]
        trial = attempt(with_narrow(best.bits, unit))
        kept = trial.score >= bound and trial.moved < best.moved
        steps.append(Step(unit, alone[index], trial, kept))
        best = trial if kept else best
    return best, steps


def _refuse_indices(graph: TaskGraph, groups: Sequence[Group], metric: str) -> None:
    for group in groups:
        if group.kind == "argmax":
            raise ConfigError(
                Finding(
                    f"the output '{graph.tensor(group.output).source or group.output}' is an index",
                    f"metric {metric!r}",
                    "how far apart two indices are says nothing about them",
                    "tune the network without its argmax, or give a metric of your own (intar.quant.search_formats)",
                )
            )
