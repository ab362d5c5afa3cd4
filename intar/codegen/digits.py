"""Element addresses as RTL and C++ count them: a beat and an element in it, so that nothing is divided by the lanes."""

from __future__ import annotations

from intar.ir.nodes.memories import Buffer, BufferStep, Image


def digits(address: int, lanes: int) -> int:
    """An element address or stride in two digits: beat, and below it in clog2(lanes) bits the element."""
    beat, element = divmod(address, lanes)
    return (beat << (lanes - 1).bit_length()) | element


def address_lanes(node: Buffer | Image) -> int:
    """Elements of a beat if a walk of `node` counts elements (then all of them do in RTL and C++), else 1."""
    return (
        node.lanes
        if isinstance(node, Buffer) and any(step.elements for step in (*node.writes, *node.reads))
        else 1
    )


def address_unit(step: BufferStep, lanes: int) -> int:
    """What an address of this step counts, in the unit of RTL and C++; `lanes` are the `address_lanes` of its node."""
    return 1 if step.elements else lanes
