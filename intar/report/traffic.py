"""What a design moves through its memory ports, and the limits that follow."""

from __future__ import annotations

from dataclasses import dataclass

from intar.design import Design
from intar.ir.nodes.ports import Load, Store


@dataclass(frozen=True)
class Port:
    """One AXI port: words moved in one inference, of `word_bytes` bytes; `words` cycles at best."""

    name: str
    direction: str
    words: int
    word_bytes: int

    @property
    def bytes(self) -> int:
        """Bytes moved in one inference."""
        return self.words * self.word_bytes


def ports(design: Design) -> list[Port]:
    """All ports with the words they move, repeats included, in the program's order."""
    program = design.program
    beat_bits = {link.src: link.lanes * link.bits for link in program.links}
    beat_bits |= {link.dst: link.lanes * link.bits for link in program.links}
    found = []
    for node in program.nodes:
        if isinstance(node, Load):
            bits = beat_bits[f"{node.name}.out"]
            words = sum(step.repeat * -(-step.beats * bits // node.port_bits) for step in node.steps)
            found.append(Port(node.name, "read", words, node.port_bits // 8))
        elif isinstance(node, Store):
            bits = beat_bits[f"{node.name}.in"]
            words = sum(-(-step.beats * bits // node.port_bits) for step in node.steps)
            found.append(Port(node.name, "write", words, node.port_bits // 8))
    return found
