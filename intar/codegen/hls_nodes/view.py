"""What the views of all nodes need: their links as streams, and their steps as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from intar.codegen.hls_types import Function, Local, NodeView, Port, Rom, Row, Stream, beat_type
from intar.errors import InternalError
from intar.ir.nodes.step import Step
from intar.ir.program import Link, Node, Program
from intar.ir.segments import ends, is_played


@dataclass(frozen=True)
class Parts:
    """What a node is made of in C++, before the parts of lists and entries are put in."""

    roms: tuple[Rom, ...]
    functions: tuple[Function, ...]
    streams: tuple[Stream, ...] = ()


class View:
    """One node of a program, as it is made into C++."""

    def __init__(self, program: Program, node: Node, ultra: frozenset[str], tensors: dict[str, int]):
        self.program = program
        self.node = node
        self.ultra = node.name in ultra
        self.tensors = tensors
        self.upper = node.name.upper()
        self.round = "0" if program.rounds == (1,) else "round"
        self.ins = program.inputs_of(node.name)
        self.outs = program.outputs_of(node.name)

    def link(self, port: str) -> Link:
        """The link at a port that has to be there."""
        link = self.ins.get(port) or self.outs.get(port)
        if link is None:
            raise InternalError(f"port {self.node.name}.{port} is used by a step but has no link")
        return link

    def port(self, name: str) -> Port:
        """Parameter of a function for the node's port `name`."""
        link = self.link(name)
        return Port(name, beat_type(link.lanes, link.bits), link.name)

    def inner(self, suffix: str, type_: str, depth: int, about: str) -> Stream:
        """A FIFO between two functions of the node."""
        return Stream(f"{self.node.name}_{suffix}", type_, depth, about)

    def task(
        self,
        suffix: str,
        about: str,
        ports: Sequence[Port],
        callee: str,
        arguments: Sequence[str],
        locals: Sequence[Local] = (),
        **more: Any,
    ) -> Function:
        """A function of the node that its streams drive."""
        name = f"{self.node.name}_{suffix}"
        return Function(
            name, "task", self.node.name, about, tuple(ports), callee, tuple(arguments), tuple(locals), **more
        )

    def rom(
        self, type_: str, suffix: str, columns: str, rows: Sequence[Row], segments: Sequence[int] = ()
    ) -> Rom:
        """A table; with the segment of each row it is a list that segments play parts of."""
        behind = ends(segments, len(self.program.rounds))
        parts = tuple(zip((0, *behind), behind, strict=False)) if segments else ()
        return Rom(type_, f"{self.upper}_{suffix}", columns, tuple(rows), parts)

    def listed(
        self, type_: str, suffix: str, columns: str, rows: Sequence[Row], steps: Sequence[Step]
    ) -> Rom:
        """A list with a row for each step; where rounds have steps of their own, of what each play has."""
        rom = self.rom(type_, suffix, columns, rows, [step.segment for step in steps])
        if all(step.only < 0 for step in steps):
            return rom
        parts = []
        for play in self.program.plays:
            own = [i for i, step in enumerate(steps) if is_played(step, *play)]
            parts.append((own[0], own[-1] + 1) if own else (0, 0))
        return replace(rom, parts=tuple(parts), by_play=True)

    def _played(self, function: Function, roms: Sequence[Rom]) -> Function:
        """The function with the part that it plays beside each list among its arguments."""
        parts = {rom.name: self.part(rom) for rom in roms if rom.parts}
        arguments = []
        for argument in function.arguments:
            arguments += [argument, parts[argument]] if argument in parts else [argument]
        return replace(function, arguments=tuple(arguments))

    def _chosen(self, function: Function) -> Function:
        """The function with the number of the entry that a call performs: a task gets it through a stream."""
        if not self.program.entries:
            return function
        if function.role == "task":
            return replace(function, entry=Port("chosen", "int32_t", f"{function.name}_entry"))
        return replace(function, scalars=("entry", *function.scalars))

    def part(self, rom: Rom) -> str:
        """The expression of the rows that a play has of a list."""
        if len(rom.parts) > 1:
            return f"{rom.name}_PARTS[{'PLAYS[segment] + round' if rom.by_play else 'segment'}]"
        return "{" + ", ".join(map(str, rom.parts[0])) + "}"

    def made(self, parts: Parts) -> NodeView:
        """The view of the node: each function gets the part of a list that a segment plays, and the entry of a call."""
        for rom in parts.roms:
            if not rom.rows:
                raise InternalError(f"node {self.node.name!r} has nothing to do: table {rom.name} is empty")
        functions = tuple(self._chosen(self._played(function, parts.roms)) for function in parts.functions)
        return NodeView(self.node.name, self.node.kind, parts.roms, functions, parts.streams)
