"""Nodes and ports of several parts made one: the steps of each part are a segment of the node that they share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeVar

import numpy as np

from intar.errors import Finding, InternalError, UnsupportedError
from intar.ir.nodes.memories import Buffer, ConstantMemory, Image
from intar.ir.nodes.ports import LoadStep, StoreStep
from intar.ir.nodes.rows import Rows, RowsStep
from intar.ir.nodes.step import Step
from intar.ir.nodes.vector import Rational, Table, Vector, VectorStep
from intar.ir.program import Node, Region
from intar.lower.ports import Port

NUMBERS = frozenset(
    [
        *("mult", "shift", "bias", "zero", "lo", "hi", "numerator", "out_shift", "epsilon"),
        *("b_zx", "b_zy", "b_mx", "b_my", "b_shift", "b_zero", "b_lo", "b_hi"),
    ]
)
"""Fields of steps that are their numbers."""

StepT = TypeVar("StepT", bound=Step)
SlotT = TypeVar("SlotT", Table, Rational)


def in_segment(steps: Iterable[StepT], segment: int) -> tuple[StepT, ...]:
    """The steps as those of a segment."""
    return tuple(step.model_copy(update={"segment": segment}) for step in steps)


# ---------------------------------------------------------------- rounds of one part


def join_rounds(name: str, rounds: Sequence[Sequence[Node]]) -> list[Node]:
    """The nodes of a part, which have the same steps in all rounds, or, where only their numbers and functions differ, the
    steps of every round (`Step.only`); vector units and rows nodes as wide as the widest needs them.

    Raises
    ------
    UnsupportedError
        A node has other steps in another round.
    """
    joined: list[Node] = []
    found = []
    for same in zip(*rounds, strict=True):
        lookups = [node for node in same if isinstance(node, Vector | Rows)]
        if lookups:
            update = _needs(lookups)
            same = tuple(node.model_copy(update=update) for node in lookups)
            if any(node != same[0] for node in same) and len({_numberless(node) for node in same}) == 1:
                shares = dict(enumerate(same))
                numbered = _vector(shares, "only") if isinstance(same[0], Vector) else _rows(shares, "only")
                joined.append(same[0].model_copy(update=numbered))
                continue
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


def _numberless(node: Vector | Rows) -> str:
    """A vector unit or rows node without the numbers of its steps and its functions."""
    update: dict[str, object] = {"tables": (), "steps": tuple(map(_step, node.steps))}
    if isinstance(node, Vector):
        update["rationals"] = ()
    else:
        update["loads"] = tuple(load.model_copy(update={"table": 0}) for load in node.loads)
    return repr(node.model_copy(update=update))


def _step(step: VectorStep | RowsStep) -> VectorStep | RowsStep:
    """The step without its numbers; which function it uses or loads is one, whether it does is none."""
    slots = [name for name in ("table", "load") if getattr(step, name, -1) >= 0]
    numbers = NUMBERS & set(type(step).model_fields)
    return step.model_copy(update=dict.fromkeys([*numbers, *slots], 0))


# ---------------------------------------------------------------- nodes


def join_nodes(parts: Mapping[int, Sequence[Node]], held: Held) -> list[Node]:
    """All nodes of all parts, by segment; those of one name are one node. `held`: what memories of constants hold."""
    named: dict[str, dict[int, Node]] = {}
    for segment, nodes in parts.items():
        for node in nodes:
            named.setdefault(node.name, {})[segment] = node
    return [_join(shares, held) for shares in named.values()]


def _join(shares: Mapping[int, Node], held: Held) -> Node:
    first = next(iter(shares.values()))
    update: dict[str, object] = {}
    if isinstance(first, Vector):
        update = _vector(shares)
    elif isinstance(first, Rows):
        update = _rows(shares)
    elif isinstance(first, Image):
        update = _image(shares)
    elif isinstance(first, ConstantMemory):
        update = _constant(shares, held.bases)
    elif isinstance(first, Buffer):
        update = {side: _steps(shares, side) for side in ("writes", "reads")}
    else:
        update["steps"] = _steps(shares, "steps")
    if isinstance(first, Buffer | Image):
        orders = (node.merged for node in shares.values() if isinstance(node, Buffer | Image))
        update["merged"] = tuple(run for order in orders for run in order)
    for size in ("depth", "contexts"):
        if hasattr(first, size):
            update[size] = max(getattr(node, size) for node in shares.values())
    if isinstance(first, ConstantMemory):
        update["depth"] = held.depths[first.name]
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
    for name in fixed & set(type(first).model_fields):
        if len({getattr(node, name, None) for node in shares.values()}) > 1:
            raise InternalError(f"the parts disagree on {name} of node {first.name!r}")
    return first.model_copy(update=update)


def _steps(shares: Mapping[int, Node], side: str) -> tuple[Step, ...]:
    return tuple(
        step for segment, node in shares.items() for step in in_segment(getattr(node, side), segment)
    )


def _constant(shares: Mapping[int, Node], bases: Mapping[tuple[int, str], int]) -> dict[str, object]:
    """Each part walks over its own beats."""
    reads = []
    for segment, node in shares.items():
        assert isinstance(node, ConstantMemory)
        base = bases[segment, node.name]
        for step in node.reads:
            walk = step.walk.model_copy(update={"base": step.walk.base + base})
            reads.append(step.model_copy(update={"segment": segment, "walk": walk}))
    return {"reads": tuple(reads)}


def _image(shares: Mapping[int, Node]) -> dict[str, object]:
    taps: list[object] = []
    reads: list[object] = []
    for segment, node in shares.items():
        assert isinstance(node, Image)
        for step in node.reads:
            reads.append(step.model_copy(update={"segment": segment, "tap": step.tap + len(taps)}))
        taps += node.taps
    return {"writes": _steps(shares, "writes"), "reads": tuple(reads), "taps": tuple(taps)}


def _needs(nodes: Sequence[Vector | Rows]) -> dict[str, object]:
    """What a unit must be built for to do the work of all `nodes`."""
    widths = ("value_bits", "base_bits", "slope_bits", "curve_bits", "entry_bits")
    update: dict[str, object] = {
        name: max(getattr(node, name) for node in nodes) for name in widths if hasattr(nodes[0], name)
    }
    update |= {name: any(getattr(node, name) for node in nodes) for name in ("slopes", "curves")}
    vectors = [node for node in nodes if isinstance(node, Vector)]
    return update | ({"shift_only": all(node.shift_only for node in vectors)} if vectors else {})


def _vector(shares: Mapping[int, Node], play: str = "segment") -> dict[str, object]:
    """Functions of parts take the same slots where they have the same geometry: each part fills its own.

    `play` : the field of a step that says whose it is.
    """
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
            step.model_copy(update={play: segment, "table": place[step.table], "load": place[step.load]})
            for step in node.steps
        ]
    return {
        "tables": tuple(tables),
        "rationals": tuple(rationals),
        "steps": tuple(steps),
    } | _needs(list(nodes.values()))


def _rows(shares: Mapping[int, Node], play: str = "segment") -> dict[str, object]:
    nodes = {segment: node for segment, node in shares.items() if isinstance(node, Rows)}
    tables: list[Table] = []
    places = {segment: _places(tables, node.tables) for segment, node in nodes.items()}
    update: dict[str, object] = {"tables": tuple(tables)}
    for name in ("steps", "loads"):
        update[name] = tuple(
            step.model_copy(update={play: segment, "table": place.get(step.table, -1)})
            for segment, slots in places.items()
            for place in [dict(enumerate(slots))]
            for step in getattr(nodes[segment], name)
        )
    return update | _needs(list(nodes.values()))


def _places(known: list[SlotT], slots: Sequence[SlotT]) -> list[int]:
    """The places of a part's slots among those of all parts, which grow where there is none like it."""
    places: list[int] = []
    for slot in slots:
        free = [n for n, other in enumerate(known) if other == slot and n not in places]
        places.append(free[0] if free else len(known))
        if not free:
            known.append(slot)
    return places


# ---------------------------------------------------------------- memories of constants


@dataclass
class Held:
    """What the memories of constants of all parts hold, by node: bits (a byte each), depths in beats, and where each part's
    lie."""

    bits: dict[str, bytes] = field(default_factory=dict)
    depths: dict[str, int] = field(default_factory=dict)
    bases: dict[tuple[int, str], int] = field(default_factory=dict)

    @property
    def images(self) -> dict[str, bytes]:
        """The bytes of the memories."""
        return {
            name: np.packbits(np.frombuffer(bits, np.uint8), bitorder="little").tobytes()
            for name, bits in self.bits.items()
        }

    def add(
        self, name: str, segment: int, rounds: Sequence[Mapping[str, bytes]], nodes: Sequence[Node]
    ) -> None:
        """What the nodes of a part hold; `rounds`: of each of its rounds. What other parts hold alike is there once.

        Raises
        ------
        UnsupportedError
            It is not the same in all rounds.
        """
        if any(held != rounds[0] for held in rounds[1:]):
            why = "a memory of constants holds the same for each round"
            hint = "leave them in memory (weights=memory), or --loop away"
            raise UnsupportedError(Finding("the rounds have weights of their own, on chip", name, why, hint))
        for node in nodes:
            if isinstance(node, ConstantMemory):
                self.bases[segment, node.name] = self._place(node, rounds[0][node.name])

    def _place(self, node: ConstantMemory, image: bytes) -> int:
        """The beat from which on the image of a part lies."""
        width, known = node.lanes * node.bits, self.bits.get(node.name, b"")
        packed = np.frombuffer(image, np.uint8)
        bits = np.unpackbits(packed, bitorder="little")[: node.depth * width].tobytes()
        places = range(0, len(known) - len(bits) + 1, width)
        at = next((at for at in places if known.startswith(bits, at)), len(known))
        if at == len(known):
            self.bits[node.name] = known + bits
            self.depths[node.name] = len(self.bits[node.name]) // width
        return at // width


# ---------------------------------------------------------------- ports


@dataclass(frozen=True)
class Ported:
    """The ports of a part, for each round what constants they load (one where all load the same), the entry that the part
    belongs to, words from the states of a round to those of the next one, and from its records in the output argument:
    `step`, in so many `rounds`."""

    ports: Mapping[str, Port]
    images: Sequence[Mapping[str, bytes]]

    entry: int = 0
    stride: int = 0
    step: int = 0
    rounds: int = 1


def join_ports(parts: Mapping[int, Ported], rounds: Sequence[int], reserved: int) -> dict[str, Port]:
    """The ports of all parts by segment; the first `reserved` words of the output argument belong to all of them.

    Parameters
    ----------
    rounds : of each segment.
    """
    joined: dict[str, Port] = {}
    pools: dict[str, Pool] = {}
    for segment, part in parts.items():
        shift = joined["y"].words - reserved if "y" in joined else 0
        for name, port in part.ports.items():
            mine = joined.setdefault(name, Port(name, port.port_bits))
            regions = [region.model_copy(update={"entry": part.entry}) for region in port.regions]
            if name[0] == "s":  # both ends of an argument of what all entries keep
                mine.steps += _moved(port.steps, segment, 0, 0)
                mine.row = max(mine.row, port.row)
                mine.turns += port.turns
                strides = list(mine.strides or [0] * len(rounds))
                strides[segment] = part.stride
                mine.strides = tuple(strides)
            elif name in ("y", "r"):  # both are ends of the same argument
                if part.step:
                    mine.strides = mine.strides or (0,) * len(rounds)
                    mine.strides = (*mine.strides[:segment], part.step, *mine.strides[segment + 1 :])
                mine.steps += _moved(port.steps, segment, shift, reserved)
                mine.regions += [_further(region, shift) for region in regions]
                further = (part.rounds - 1) * part.step if port.words > reserved else 0
                mine.words = max(mine.words, reserved, port.words + shift + further)
                mine.turns += port.turns
            elif name[0] in "xyin":  # other ports of the inputs and outputs
                mine.steps += _moved(port.steps, segment, mine.words, 0)
                mine.regions += [_further(region, mine.words) for region in regions]
                mine.words += port.words
            else:
                pool = pools.setdefault(name, Pool(port.port_bits // 8))
                pool.add(segment, part.entry, port.steps, [images[name] for images in part.images])
    for name, pool in pools.items():
        pool.fill(joined[name], len(rounds))
    return joined


class _Stretch:
    """Pieces of an image that one or several parts load, each once, round after round."""

    def __init__(self, entry: int, rounds: int):
        self.entry, self.rounds = entry, rounds
        self.pieces: dict[tuple[bytes, ...], int] = {}
        self.size = 0
        self.base = 0

    def take(self, piece: tuple[bytes, ...], word: int) -> None:
        """Have this piece, which is another one in each round."""
        if piece not in self.pieces:
            self.pieces[piece] = self.size
            self.size += len(piece[0]) // word


class Pool:
    """The constants of one port: what parts of different networks load alike in all their rounds lies there once."""

    def __init__(self, word: int):
        self.word = word
        self.stretches: list[_Stretch] = []
        self.parts: list[tuple[int, Sequence[LoadStep], dict[int, tuple[bytes, ...]], _Stretch]] = []

    def add(self, segment: int, entry: int, steps: Sequence[LoadStep], images: Sequence[bytes]) -> None:
        """The steps of a part, and the image that each of its rounds loads."""
        size = len(images[0]) // self.word
        cuts = sorted({step.base for step in steps} | {size})
        pieces = {
            first: tuple(image[first * self.word : end * self.word] for image in images)
            for first, end in pairwise(cuts)
        }
        stretch = self._find(entry, len(images), list(pieces.values()))
        for piece in pieces.values():
            stretch.take(piece, self.word)
        self.parts.append((segment, steps, pieces, stretch))

    def _find(self, entry: int, rounds: int, pieces: Sequence[tuple[bytes, ...]]) -> _Stretch:
        """The stretch of another network that has the most of these pieces; a new one where none has any."""
        others = [s for s in self.stretches if s.entry != entry and s.rounds == rounds]
        best = max(others, key=lambda s: sum(piece in s.pieces for piece in pieces), default=None)
        if best is None or not any(piece in best.pieces for piece in pieces):
            best = _Stretch(entry, rounds)
            self.stretches.append(best)
        return best

    def fill(self, port: Port, segments: int) -> None:
        """Give a port its steps, its image and the words from round to round of each segment."""
        for stretch in self.stretches:
            stretch.base = len(port.image) // self.word
            for number in range(stretch.rounds):
                for piece in stretch.pieces:
                    port.image += piece[number]
        strides = [0] * segments
        for segment, steps, pieces, stretch in self.parts:
            strides[segment] = stretch.size if stretch.rounds > 1 else 0
            for step in steps:
                base = stretch.base + stretch.pieces[pieces[step.base]]
                port.steps.append(step.model_copy(update={"segment": segment, "base": base}))
        port.strides = tuple(strides)


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
