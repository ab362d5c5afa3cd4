"""A module instance, and what it is wired to in the kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from intar.codegen.rtl_nodes.program import Rom, concatenated, numbers_apart
from intar.codegen.storage import ultra_memories
from intar.errors import InternalError
from intar.ir.names import sanitise
from intar.ir.nodes.ports import Load
from intar.ir.nodes.step import Step
from intar.ir.program import Argument, Link, Node, Program
from intar.ir.segments import ends


@dataclass
class Instance:
    """A module instance; a parameter is an expression or a step program."""

    module: str
    name: str
    comment: str
    parameters: list[tuple[str, str | int | Rom]] = field(default_factory=list)
    ports: list[tuple[str, str]] = field(default_factory=list)
    unused: list[tuple[str, int]] = field(default_factory=list)  # outputs that nobody reads: name, bits


def argument_names(program: Program) -> dict[str, str]:
    """Names of the arguments in the kernel."""
    return sanitise(argument.name for argument in program.arguments)


class Site:
    """The names of all nodes, links and arguments of a kernel, and who is connected with whom."""

    def __init__(self, program: Program, uram: int):
        self.program = program
        self.ultra = ultra_memories(program, uram)
        self.names = sanitise(node.name for node in program.nodes)
        self.links = sanitise(link.name for link in program.links)
        self.arguments: dict[str, tuple[int, Argument]] = {
            a.name: (i, a) for i, a in enumerate(program.arguments)
        }
        self.bundle_names = argument_names(program)
        self.by_end: dict[str, Link] = {end: link for link in program.links for end in (link.src, link.dst)}

    def count(self, store: str) -> str:
        """The signal with the finished commands of a store."""
        waiting = any(isinstance(node, Load) and node.after == store for node in self.program.nodes)
        return f"{'' if waiting else 'unused_'}done_count_{self.names[store]}"

    def link(self, node: Node, port: str) -> Link:
        """The link at a port that has to be there."""
        end = f"{node.name}.{port}"
        if end not in self.by_end:
            raise InternalError(f"port {end} has no link")
        return self.by_end[end]

    def stream(self, made: Instance, node: Node, port: str, output: bool, lanes: int, bits: int) -> bool:
        """Wire a stream port of `lanes` × `bits`; a port that nobody uses gets constants. True when it is used."""
        link = self.by_end.get(f"{node.name}.{port}")
        if link is None:
            self._unconnected(made, port, output, lanes * bits)
            return False
        if (link.lanes, link.bits) != (lanes, bits):
            got = f"{link.lanes} x {link.bits}"
            raise InternalError(
                f"link {link.name!r} has beats of {got} bits, {node.name}.{port} {lanes} x {bits}"
            )
        wire = f"link_{self.links[link.name]}{'_in' if output else ''}"
        made.ports += [(f"{port}_{pin}", f"{wire}_{pin}") for pin in ("valid", "ready", "data")]
        return True

    @staticmethod
    def _unconnected(made: Instance, port: str, output: bool, width: int) -> None:
        if output:
            raise InternalError(f"{made.name}: output {port!r} has no link")
        unused = f"unused_{made.name}_{port}_ready"
        made.unused.append((unused, 1))
        made.ports += [
            (f"{port}_valid", "1'b0"),
            (f"{port}_ready", unused),
            (f"{port}_data", f"{{{width}{{1'b0}}}}"),
        ]

    def steps(self, prefix: str, rom: Rom) -> list[tuple[str, str | int | Rom]]:
        """The parameters of a step program; with several segments where each ends, too."""
        found: list[tuple[str, str | int | Rom]] = [
            (f"{prefix}STEPS", len(rom.steps)),
            (f"{prefix}PROGRAM", rom),
        ]
        if len(self.program.rounds) > 1:
            behind = ends(rom.segments, len(self.program.rounds))
            found.append((f"{prefix}ENDS", concatenated(32, behind)))
        return found

    def in_rounds(
        self, prefix: str, rom: Rom, played: Sequence[Step], head: int
    ) -> list[tuple[str, str | int | Rom]]:
        """The parameters of a step program whose rounds may have numbers of their own (`intar_round_steps`)."""
        program, numbers = numbers_apart(rom, played, head)
        found = self.steps(prefix, program)
        if numbers:
            found += [(f"{prefix}ROWS", len(numbers.steps)), (f"{prefix}NUMBERS", numbers)]
        return found
