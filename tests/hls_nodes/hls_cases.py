"""Many small programs as one kernel, so that one compilation checks all of them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping

from engine_model import Model
from engine_programs import RANDOM
from program_builder import Builder

from intar.engine import plan_merged
from intar.ir.program import Program
from intar.verify.csim import CsimOutputs


def joined(builders: Iterable[Builder], name: str = "cases") -> tuple[Program, dict[str, bytes]]:
    """The networks side by side in one program, names prefixed; and the images of its inputs."""
    nodes, links, arguments, images = [], [], [], {}
    for index, builder in enumerate(builders):
        prefix = f"c{index}_"
        program = builder.program()
        for node in program.nodes:
            changes = {"name": prefix + node.name}
            if node.kind in ("load", "store"):
                changes["argument"] = prefix + node.argument
            nodes.append(node.model_copy(update=changes))
        for link in program.links:
            changes = {"name": prefix + link.name, "src": prefix + link.src, "dst": prefix + link.dst}
            links.append(link.model_copy(update=changes))
        arguments += [a.model_copy(update={"name": prefix + a.name}) for a in program.arguments]
        images |= {prefix + key: data for key, data in builder.images.items()}
    return Program(name=name, nodes=tuple(nodes), links=tuple(links), arguments=tuple(arguments)), images


def idle(builder: Builder) -> bool:
    """Whether a node has no steps: such a node has no C++ form."""
    return any(not getattr(node, "steps", True) for node in builder.nodes)


def reads_unwritten(builder: Builder) -> bool:
    """Whether a buffer reads an address that nothing has written: the engine sees 0, hardware anything."""
    for node in builder.nodes:
        if node.kind == "buffer":
            written: set[int] = set()
            for write, read in zip(node.writes, node.reads, strict=True):
                written |= set(write.walk.addresses())
                unit = node.lanes if read.elements else 1
                if not {address // unit for address in read.walk.addresses()} <= written:
                    return True
    return False


def random_cases(kind: str, count: int, start: int = 0) -> list[Builder]:
    """The first `count` random programs of a kind that have a C++ form and a defined result."""
    found: list[Builder] = []
    seed = start
    while len(found) < count:
        builder = RANDOM[kind](random.Random(seed))
        if not idle(builder) and not reads_unwritten(builder):
            found.append(builder)
        seed += 1
    return found


def prepared(program: Program) -> Program:
    """With the static order of every buffer."""
    return (
        plan_merged(program) if any(node.kind in ("buffer", "image") for node in program.nodes) else program
    )


def expected_outputs(program: Program, images: Mapping[str, bytes]) -> dict[str, bytes]:
    """Final bytes of the output arguments by the plain Python model."""
    memory = Model(program, dict(images)).run()
    return {a.name: memory[a.name] for a in program.arguments if a.role == "output"}


def assert_equal(found: CsimOutputs, expected: Mapping[str, bytes], inferences: int = 1) -> None:
    """Every inference gave the expected bytes."""
    assert sorted(found.outputs) == sorted(expected)
    for name, data in expected.items():
        assert found.outputs[name] == [data] * inferences, name
