"""Kernels for the tests of the RTL nodes: many small programs side by side in one kernel, built and run once."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from engine_programs import RANDOM
from program_builder import Builder

from intar.codegen.rtl import Bundle, bundles, render_rtl, top_name
from intar.ir.nodes.arrays import Core
from intar.ir.nodes.memories import Buffer, BufferStep, Walk
from intar.ir.nodes.ports import Load, LoadStep, Store
from intar.ir.nodes.rows import RowsStep
from intar.ir.program import Node, Program
from intar.verify.sim_build import build_simulation
from intar.verify.simulate import Argument, MemoryModel, SimResult, Simulation

Images = dict[str, bytes]


def merge(name: str, parts: Sequence[Builder]) -> tuple[Program, Images]:
    """One program with all of `parts`, independent of each other; part i's names get the prefix ``p<i>_``."""
    nodes: list[Node] = []
    links, arguments = [], []
    images: Images = {}
    for index, part in enumerate(parts):
        prefix = f"p{index}_"
        for node in part.nodes:
            update: dict[str, str] = {"name": prefix + node.name}
            if isinstance(node, Load | Store):
                update["argument"] = prefix + node.argument
            if isinstance(node, Load) and node.after:
                update["after"] = prefix + node.after
            nodes.append(node.model_copy(update=update))
        for link in part.links:
            update = {field: prefix + getattr(link, field) for field in ("name", "src", "dst")}
            links.append(link.model_copy(update=update))
        arguments += [a.model_copy(update={"name": prefix + a.name}) for a in part.arguments]
        images |= {prefix + key: data for key, data in part.images.items()}
    program = Program(name=name, nodes=tuple(nodes), links=tuple(links), arguments=tuple(arguments))
    return program, images


def fill_first(part: Builder) -> None:
    """Let a buffer program write its whole memory first: what was never written is undefined in hardware."""
    for index, node in enumerate(part.nodes):
        if not isinstance(node, Buffer):
            continue
        fill = BufferStep(walk=Walk(counts=(1, 1, 1, 1, node.depth), strides=(0, 0, 0, 0, 1)), note="fill")
        reads = tuple(step.model_copy(update={"need": step.need + 1}) for step in node.reads)
        part.nodes[index] = node.model_copy(update={"writes": (fill, *node.writes), "reads": reads})
        data = random.Random(node.depth).randbytes(node.depth * node.lanes * node.bits // 8)
        load = next(n for n in part.nodes if isinstance(n, Load))
        image = data + part.images[load.argument]
        words = -(-len(image) * 8 // load.port_bits)
        beats = load.steps[0].beats + node.depth
        load = load.model_copy(update={"words": words, "steps": (LoadStep(base=0, beats=beats),)})
        part.nodes = [load if n.name == load.name else n for n in part.nodes]
        part.images[load.argument] = image.ljust(words * load.port_bits // 8, b"\0")
        part.arguments = [
            a.model_copy(update={"words": words}) if a.name == load.argument else a for a in part.arguments
        ]


def random_parts(kind: str, count: int, first_seed: int = 0) -> list[Builder]:
    """`count` random programs of one node kind in which every node has work."""
    parts: list[Builder] = []
    seed = first_seed
    while len(parts) < count:
        part = RANDOM[kind](random.Random(seed))
        if all(getattr(node, "steps", True) for node in part.nodes):
            fill_first(part)
            parts.append(part)
        seed += 1
    return parts


def part_with(kind: str, shows: Callable[[Any], bool]) -> Builder:
    """The first random program of a node kind whose node `shows` something."""
    seeds = itertools.count()
    while True:
        part = RANDOM[kind](random.Random(next(seeds)))
        if shows(next(node for node in part.nodes if node.kind == kind)):
            return part


def rows_part(*shows: str) -> Builder:
    """The first random program of a rows node with just these kinds of rows: see `kind_of_rows`."""
    return part_with("rows", lambda node: {kind_of_rows(step) for step in node.steps} == set(shows))


def bypassing_core() -> Builder:
    """A core that takes a context back in the very cycle in which it is written: two in turn, a pair each."""

    def shows(core: Core) -> bool:
        return any(
            s.contexts == 2 and s.k == 1 and s.visits > 1 and core.rows * core.lanes > 1 for s in core.steps
        )

    return part_with("core", shows)


def kind_of_rows(step: RowsStep) -> str:
    if step.op == "norm":
        return "layer norm" if step.centred else "RMS norm"
    if step.op != "softmax":
        return step.op
    return "masked softmax" if step.visible or step.grow else "softmax"


def one_of_each() -> list[Builder]:
    """A random program of each node kind; of rows one that only normalises, and one with masked softmax and both norms."""
    parts = [part for kind in sorted(RANDOM) for part in random_parts(kind, 1)]
    channels = part_with("image", lambda node: any(s.pass_step for s in node.reads))
    return [*parts, channels, rows_part("layer norm", "RMS norm", "masked softmax")]


def write_rtl(program: Program, images: Mapping[str, bytes], directory: Path) -> list[Path]:
    """Render into `directory`; the sources in compile order."""
    for path, content in render_rtl(program, images).items():
        file = directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    listing = (directory / "rtl" / "filelist.f").read_text().split()
    return [directory / "rtl" / name for name in listing]


def build(program: Program, images: Mapping[str, bytes], directory: Path) -> Simulation:
    """The simulator of the program's RTL."""
    ports = [Bundle(b.name, b.width, b.read, b.write) for b in bundles(program)]
    sources = write_rtl(program, images, directory)
    contents = sorted((directory / "rtl").glob("*.mem"))
    folder = directory / "simulation"
    return build_simulation(sources, top_name(program), ports, folder, fast=False, memory_files=contents)


def simulate(
    simulation: Simulation,
    program: Program,
    images: Mapping[str, bytes],
    memory: MemoryModel = MemoryModel(),
    calls: int = 1,
) -> SimResult:
    """Run `calls` inferences on the same data."""
    job = []
    for index, argument in enumerate(program.arguments):
        size, data = argument.words * argument.port_bits // 8, None
        if argument.name in images:
            data = np.frombuffer(images[argument.name].ljust(size, b"\0"), dtype=np.uint8)
        job.append(Argument(argument.name, 0x10 + 12 * index, data=data, size=size))
    return simulation.run([job] * calls, memory, timeout_cycles=200_000)
