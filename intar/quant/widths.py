"""Widths that are asked for by name: which task's operands, result or weights each pattern means."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase

from intar.errors import ConfigError, Finding
from intar.ir.taskgraph import TaskGraph
from intar.quant.fuse import Group
from intar.quant.scheme import TOKEN, Width

OPERANDS = ("matmul", "product")
"""Kinds of groups whose inputs may be narrower than other activations."""

WEIGHTED = ("matmul", "conv")

Place = tuple[str, str]
"""A role, and the tensor that the task makes."""

STORED_WIDER = 10
"""Bits that the machine keeps in 16: with weights of 8 the widest operand of which a multiplier of 27 × 18 bits makes two
products (`intar.ir.packing`)."""

ROLES = ("in0", "in1", "out", "weight")
"""First and second operand, result, weights."""


@dataclass(frozen=True)
class Widths:
    """Bits by tensor name: of the operands, by number, of the matmul or product that makes it (`operands`), of itself
    (`tensors`), of the weights it is made with (`weights`). What is not there follows the scheme.
    """

    operands: Mapping[tuple[str, int], int] = field(default_factory=dict)
    tensors: Mapping[str, int] = field(default_factory=dict)
    weights: Mapping[str, int] = field(default_factory=dict)


def places(graph: TaskGraph, groups: Sequence[Group]) -> dict[str, list[Place]]:
    """What a width can be asked for, by all its names: ``TASK.in`` (of a product both operands, ``TASK.in0`` and
    ``TASK.in1``), ``TASK.out``, ``TASK.weight``, or a tensor's name.

    A task goes by its name in the task graph and by its name in the model (a PyTorch module's path) where that is no other
    task's name in the graph, a tensor likewise.
    Tasks that are fused into one share its places. The result of a task whose rows have scales of their own
    (`intar.quant.tokens`) is what these make of it.
    """
    found: dict[str, list[Place]] = {}

    def known_as(name: str, place: Place) -> None:
        if place not in found.setdefault(name, []):
            found[name].append(place)

    own_names = {
        task.name for task in graph.tasks
    }  # such a name means that task, whatever others are called in the model
    indices = {name for group in groups if group.kind == "embedding" for name in group.inputs}
    indices |= {name for group in groups if group.cached for name in group.first.inputs[1:]}
    for name in graph.inputs:
        if name not in indices:
            for own in {name, graph.tensor(name).source or name}:
                known_as(own, ("out", name))
    peaks = {group.output for group in groups if group.kind == "peak"}
    scaled = {g.inputs[0]: g.output for g in groups if g.kind == "binary" and peaks & set(g.inputs)}
    for group in groups:
        if group.kind == "argmax":
            continue
        names: dict[str, tuple[str, ...]] = {"out": ("out",)}
        if group.kind in OPERANDS:
            names["in"] = ROLES[: len(group.inputs)]
        if group.kind == "product":
            names |= {"in0": ("in0",), "in1": ("in1",)}
        imported = group.kind in WEIGHTED and any(
            graph.tensor(name).quant is not None for name in group.first.inputs[1:2]
        )
        if group.kind in WEIGHTED and not imported:
            names["weight"] = ("weight",)
        tasks = {task.name for task in group.fused}
        tasks |= {name for task in group.fused if (name := path(task.source)) and name not in own_names}
        for name, roles in names.items():
            for task in sorted(tasks):
                for role in roles:
                    made = scaled.get(group.output, group.output) if role == "out" else group.output
                    known_as(f"{task}.{name}", (role, made))
        for own in {group.output, graph.tensor(group.output).source or group.output}:
            known_as(own, ("out", group.output))
    return found


def path(source: str) -> str:
    """What a task is called in the model: ``linear 'h.0.fc'`` is ``h.0.fc``."""
    match = re.search(r"'([^']+)'$", source)
    return match.group(1) if match else ""


def resolve(
    graph: TaskGraph, groups: Sequence[Group], asked: Sequence[tuple[str, Width]]
) -> dict[Place, Width]:
    """What the patterns (``*`` and ``?`` as in file names) of a scheme ask for each place; the last one holds.

    `TOKEN` stays where the operand of a matmul or the first one of a product is meant, whose rows are those of the result;
    the second operand of a product has 8 bits then.

    Raises
    ------
    ConfigError
        Patterns that mean nothing in this network, a tensor that the model quantises itself, or a scale for each token of
        what is no operand (all of them).
    """
    known = places(graph, groups)
    scaled = {("in0", group.output) for group in groups if group.kind in OPERANDS}
    found: list[Finding] = []
    bits: dict[Place, Width] = {}
    for pattern, width in asked:
        names = [name for name in known if fnmatchcase(name, pattern)]
        meant = list(dict.fromkeys(place for name in names for place in known[name]))
        if not meant:
            found.append(
                Finding(
                    "it names nothing in this network", f"bits of {pattern!r}", hint=_hint(pattern, known)
                )
            )
        own = [name for role, name in meant if role == "out" and graph.tensor(name).quant is not None]
        if own:
            found.append(
                Finding(
                    f"the model quantises '{own[0]}' itself"
                    + (f" (and {len(own) - 1} more)" if own[1:] else ""),
                    f"bits of {pattern!r}",
                    hint="leave tensors away whose formats the model brings",
                )
            )
        if width == TOKEN and meant and not scaled & set(meant):
            found.append(
                Finding(
                    "a scale for each token is for the first operand of a matmul or a product, and this is something else",
                    f"bits of {pattern!r}",
                    hint="write TASK.in, or 8",
                )
            )
        if width == STORED_WIDER and any(role == "weight" for role, _ in meant):
            found.append(
                Finding(
                    f"a weight of {width} bits",
                    f"bits of {pattern!r}",
                    "weights come through ports in the bits that they have",
                    "write TASK.in for what it reads, or take 4, 8 or 16",
                )
            )
        bits |= {place: 8 if width == TOKEN and place not in scaled else width for place in meant}
    if found:
        raise ConfigError(found)
    return bits


def find_widths(
    graph: TaskGraph,
    groups: Sequence[Group],
    asked: Sequence[tuple[str, Width]],
    alike: Sequence[Sequence[str]] = (),
) -> Widths:
    """The widths that a scheme's patterns ask for (:func:`resolve`, which raises); of places in the same round of a loop
    (`alike`) the widest."""
    if not asked:
        return Widths()
    bits = {
        place: 8 if width == TOKEN else int(width) for place, width in resolve(graph, groups, asked).items()
    }
    for same in alike:
        for role in ROLES:
            widths = [bits[role, name] for name in same if (role, name) in bits]
            if widths:
                bits |= {(role, name): max(widths) for name in same}

    def of(role: str) -> dict[str, int]:
        return {name: width for (own, name), width in bits.items() if own == role}

    operands = {(name, index): width for index in (0, 1) for name, width in of(f"in{index}").items()}
    return Widths(operands, of("out"), of("weight"))


def _hint(pattern: str, known: Mapping[str, object]) -> str:
    close = get_close_matches(pattern, known, n=3, cutoff=0.4)
    shown = close or [name for name in known if name.endswith((".in", ".weight"))][:3]
    return (
        "write TASK.in (what a matmul or product reads), TASK.out, TASK.weight or a tensor's name, as in "
        + ", ".join(repr(name) for name in shown)
    )
