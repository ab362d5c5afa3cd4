"""Nodes and ports of several parts made one: the steps of each part are a segment of the node that they share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from intar.errors import Finding, InternalError, UnsupportedError
from intar.ir.program import (
    Buffer,
    Image,
    LoadStep,
    Node,
    Rational,
    Region,
    Step,
    StoreStep,
    Table,
    Vector,
    VectorStep,
)
from intar.lower.ports import Port

StepT = TypeVar("StepT", bound=Step)
SlotT = TypeVar("SlotT", Table, Rational)


def in_segment(steps: Iterable[StepT], segment: int) -> tuple[StepT, ...]:
    """The steps as those of a segment."""
    return tuple(step.model_copy(update={"segment": segment}) for step in steps)


# ---------------------------------------------------------------- rounds of one part


def join_rounds(name: str, rounds: Sequence[Sequence[Node]]) -> list[Node]:
    """The nodes of a part, which have the same steps in all rounds; vector units as wide as the widest needs them.

    Raises
    ------
    UnsupportedError
        A node has other steps in another round.
    """
    joined: list[Node] = []
    found = []
    for same in zip(*rounds, strict=True):
        vectors = [node for node in same if isinstance(node, Vector)]
        if vectors:
            update = _needs(vectors)
            same = tuple(node.model_copy(update=update) for node in vectors)
        if any(node != same[0] for node in same):
            found.append(
                Finding(
                    f"node {same[0].name!r} has other steps in other rounds", name, "rounds share their steps"
                )
            )
        joined.append(same[0])
    if found:
        raise UnsupportedError(found)
    return joined


# ---------------------------------------------------------------- nodes


def join_nodes(parts: Mapping[int, Sequence[Node]]) -> list[Node]:
    """All nodes of all parts, by segment; those of one name are one node."""
    named: dict[str, dict[int, Node]] = {}
    for segment, nodes in parts.items():
        for node in nodes:
            named.setdefault(node.name, {})[segment] = node
    return [_join(shares) for shares in named.values()]


def _join(shares: Mapping[int, Node]) -> Node:
    first = next(iter(shares.values()))
    update: dict[str, object] = {}
    if isinstance(first, Vector):
        update = _vector(shares)
    elif isinstance(first, Image):
        update = _image(shares)
    elif isinstance(first, Buffer):
        for side in ("writes", "reads"):
            update[side] = _steps(shares, side)
    else:
        update["steps"] = _steps(shares, "steps")
    for size in ("depth", "contexts"):
        if hasattr(first, size):
            update[size] = max(getattr(node, size) for node in shares.values())
    fixed = {
        "lanes",
        "bits",
        "rows",
        "rate",
        "a_bits",
        "w_bits",
        "a_used",
        "w_used",
        "pack",
        "acc_bits",
        "pitch",
        "kind",
    }
    for field in fixed & set(type(first).model_fields):
        if len({getattr(node, field, None) for node in shares.values()}) > 1:
            raise InternalError(f"the parts disagree on {field} of node {first.name!r}")
    return first.model_copy(update=update)


def _steps(shares: Mapping[int, Node], side: str) -> tuple[Step, ...]:
    return tuple(
        step for segment, node in shares.items() for step in in_segment(getattr(node, side), segment)
    )


def _image(shares: Mapping[int, Node]) -> dict[str, object]:
    taps: list[object] = []
    reads: list[object] = []
    for segment, node in shares.items():
        assert isinstance(node, Image)
        for step in node.reads:
            reads.append(step.model_copy(update={"segment": segment, "tap": step.tap + len(taps)}))
        taps += node.taps
    return {"writes": _steps(shares, "writes"), "reads": tuple(reads), "taps": tuple(taps)}


def _needs(vectors: Sequence[Vector]) -> dict[str, object]:
    """What a unit must be built for to do the work of all `vectors`."""
    widths = ("value_bits", "base_bits", "slope_bits", "curve_bits")
    update: dict[str, object] = {name: max(getattr(node, name) for node in vectors) for name in widths}
    update |= {name: any(getattr(node, name) for node in vectors) for name in ("slopes", "curves")}
    return update | {"shift_only": all(node.shift_only for node in vectors)}


def _vector(shares: Mapping[int, Node]) -> dict[str, object]:
    """Functions of parts take the same slots where they have the same geometry: each part fills its own."""
    nodes = {segment: node for segment, node in shares.items() if isinstance(node, Vector)}
    tables: list[Table] = []
    rationals: list[Rational] = []
    places = {
        segment: (_places(tables, node.tables), _places(rationals, node.rationals))
        for segment, node in nodes.items()
    }
    steps: list[VectorStep] = []
    for segment, node in nodes.items():
        first, second = places[segment]
        slots = (*first, *(len(tables) + place for place in second))
        place = dict(enumerate(slots)) | {-1: -1}
        steps += [
            step.model_copy(update={"segment": segment, "table": place[step.table], "load": place[step.load]})
            for step in node.steps
        ]
    return {
        "tables": tuple(tables),
        "rationals": tuple(rationals),
        "steps": tuple(steps),
    } | _needs(list(nodes.values()))


def _places(known: list[SlotT], slots: Sequence[SlotT]) -> list[int]:
    """The places of a part's slots among those of all parts, which grow where there is none like it."""
    places: list[int] = []
    for slot in slots:
        free = [n for n, other in enumerate(known) if other == slot and n not in places]
        places.append(free[0] if free else len(known))
        if not free:
            known.append(slot)
    return places


# ---------------------------------------------------------------- ports


@dataclass(frozen=True)
class Ported:
    """The ports of a part, and for each round what constants they load."""

    ports: Mapping[str, Port]
    images: Sequence[Mapping[str, bytes]]


def join_ports(parts: Mapping[int, Ported], segments: int, reserved: int) -> dict[str, Port]:
    """The ports of all parts by segment; the first `reserved` words of the output argument belong to all of them."""
    joined: dict[str, Port] = {}
    for segment, part in parts.items():
        shift = joined["y"].words - reserved if "y" in joined else 0
        for name, port in part.ports.items():
            mine = joined.setdefault(name, Port(name, port.port_bits))
            if name in ("y", "r"):  # both are ends of the same argument
                mine.steps += _moved(port.steps, segment, shift, reserved)
                mine.regions += [_further(region, shift) for region in port.regions]
                mine.words = max(mine.words, reserved, port.words + shift)
                mine.turns += port.turns
            elif name[0] in "xyin":  # other ports of the inputs and outputs
                mine.steps += _moved(port.steps, segment, mine.words, 0)
                mine.regions += [_further(region, mine.words) for region in port.regions]
                mine.words += port.words
            else:
                mine.steps += _moved(port.steps, segment, mine.size, 0)
                strides = list(mine.strides or [0] * segments)
                strides[segment] = port.size
                mine.strides = tuple(strides)
                for images in part.images:
                    mine.image += images[name]
    return joined


def _further(region: Region, shift: int) -> Region:
    """The region `shift` words further on."""
    return region.model_copy(update={"base": region.base + shift})


def _moved(
    steps: Sequence[LoadStep | StoreStep], segment: int, shift: int, first: int
) -> list[LoadStep | StoreStep]:
    """The steps of a segment, `shift` words further on from word `first` on."""
    return [
        step.model_copy(update={"segment": segment, "base": step.base + (shift if step.base >= first else 0)})
        for step in steps
    ]
