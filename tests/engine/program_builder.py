"""A small builder of programs, and beats of random elements and parameters."""

from __future__ import annotations

import random

import numpy as np

from intar.ir.nodes.memories import ConstantMemory, ReadStep
from intar.ir.nodes.ports import Load, LoadStep, Store, StoreStep
from intar.ir.program import Argument, Link, Node, Program


class Builder:
    """Collects nodes and links; loads and stores make their own arguments."""

    def __init__(self, name: str = "test"):
        self.name = name
        self.nodes: list[Node] = []
        self.links: list[Link] = []
        self.arguments: list[Argument] = []
        self.images: dict[str, bytes] = {}

    def node(self, node: Node) -> Node:
        self.nodes.append(node)
        return node

    def link(self, src: str, dst: str, lanes: int, bits: int, depth: int = 2) -> None:
        self.links.append(
            Link(name=f"l{len(self.links)}", src=src, dst=dst, lanes=lanes, bits=bits, depth=depth)
        )

    def load(
        self, dst: str, beats: list[list[int]], bits: int, port_bits: int = 64, depth: int = 2, name: str = ""
    ) -> str:
        """A load node that sends `beats` in one step."""
        lanes = len(beats[0])
        name = name or f"load{len(self.nodes)}"
        words = -(-len(beats) * lanes * bits // port_bits)
        self.images[f"m_{name}"] = packed(beats, bits).ljust(words * port_bits // 8, b"\0")
        self.arguments.append(Argument(name=f"m_{name}", role="input", port_bits=port_bits, words=words))
        steps = (LoadStep(base=0, beats=len(beats)),)
        self.node(Load(name=name, port_bits=port_bits, argument=f"m_{name}", words=words, steps=steps))
        self.link(f"{name}.out", dst, lanes, bits, depth)
        return name

    def constant(self, name: str, beats: list[list[int]], bits: int, reads: tuple[ReadStep, ...]) -> None:
        """A memory of constants that holds `beats`."""
        self.images[name] = packed(beats, bits)
        self.node(ConstantMemory(name=name, depth=len(beats), lanes=len(beats[0]), bits=bits, reads=reads))

    def store(
        self, src: str, beats: int, lanes: int, bits: int, port_bits: int = 64, depth: int = 2, name: str = ""
    ) -> str:
        """A store node that takes `beats` beats in one step."""
        name = name or f"store{len(self.nodes)}"
        words = -(-beats * lanes * bits // port_bits)
        self.arguments.append(Argument(name=f"m_{name}", role="output", port_bits=port_bits, words=words))
        steps = (StoreStep(base=0, beats=beats),)
        self.node(Store(name=name, port_bits=port_bits, argument=f"m_{name}", words=words, steps=steps))
        self.link(src, f"{name}.in", lanes, bits, depth)
        return f"m_{name}"

    def program(self) -> Program:
        return Program(
            name=self.name, nodes=tuple(self.nodes), links=tuple(self.links), arguments=tuple(self.arguments)
        )


def packed(beats: list[list[int]], bits: int) -> bytes:
    """Beats densely, from the least significant bit on."""
    flat = np.array(beats, dtype=np.int64).reshape(-1)
    stream = ((flat[:, None] >> np.arange(bits)) & 1).astype(np.uint8).reshape(-1)
    return np.packbits(stream, bitorder="little").tobytes()


def beats(rng: random.Random, count: int, lanes: int, bits: int) -> list[list[int]]:
    return [[rng.randrange(-(1 << (bits - 1)), 1 << (bits - 1)) for _ in range(lanes)] for _ in range(count)]


def table_beats(rng: random.Random, entries: int, lanes: int, entry_bits: int, bits: int) -> list[list[int]]:
    """Beats of 32-bit numbers that hold random entries of `bits` bits, `entry_bits` bits each."""
    per_number = 32 // entry_bits
    numbers = []
    for _ in range(-(-entries // per_number)):
        parts = [part & ((1 << entry_bits) - 1) for part in beats(rng, 1, per_number, bits)[0]]
        number = sum(part << (entry_bits * place) for place, part in enumerate(parts))
        numbers.append(number - (number >> 31 << 32))
    numbers += [0] * (-len(numbers) % lanes)
    return [numbers[at : at + lanes] for at in range(0, len(numbers), lanes)]


def params(mult: list[int], shift: list[int], bias: list[int]) -> list[list[int]]:
    """The four parameter beats of a group."""
    low = [b & 0xFFFFFFFF for b in bias]
    return [mult, shift, [v - (1 << 32) if v >> 31 else v for v in low], [b >> 32 for b in bias]]


def random_params(rng: random.Random, lanes: int, bias_bits: int = 45) -> list[list[int]]:
    mult = [rng.randrange(-(1 << 31) + 1, 1 << 31) for _ in range(lanes)]
    shift = [rng.randrange(24, 63) for _ in range(lanes)]
    limit = 1 << bias_bits
    return params(mult, shift, [rng.randrange(-limit, limit) for _ in range(lanes)])


def some_port(rng: random.Random, beat_bits: int) -> int:
    """A port width that beats of `beat_bits` fill, or are whole parts of."""
    return rng.choice([p for p in (32, 64, 128) if p % beat_bits == 0 or beat_bits % p == 0])


def row_beats(
    rng: random.Random, sets: list[list[int]], lanes: int, block: int, first: int
) -> list[list[int]]:
    """Sets of parameters by row as beats, blocks of them from place `first` of a beat on; the rest is noise."""
    size, places, values = -(-4 // lanes) * lanes, max(1, lanes // 4), []
    for place in range(0, len(sets), block):
        own = sets[place : place + block]
        own = [row_set(rng) for _ in range(first)] + own + [row_set(rng)] * (-(first + len(own)) % places)
        for at in range(0, len(own), places):
            beat = [number for numbers in own[at : at + places] for number in numbers]
            values += beat + [rng.randrange(-9, 9) for _ in range(size - len(beat))]
    return [values[i : i + lanes] for i in range(0, len(values), lanes)]


def row_set(rng: random.Random, bias_bits: int = 45) -> list[int]:
    """One multiplier, shift and bias for all lanes."""
    return [kind[0] for kind in random_params(rng, 1, bias_bits)]
