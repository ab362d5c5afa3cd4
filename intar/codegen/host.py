"""Render what stands around the kernel: host programs (XRT, pyxrt, PYNQ), Makefile and README of the project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from intar.assets import asset_dir
from intar.codegen.hls import BuildTarget, argument_views
from intar.codegen.templating import render
from intar.ir.program import Node, Program, Region


@dataclass(frozen=True)
class HostArgument:
    """One buffer for the templates; sizes in words of `port_bits` bits and in bytes."""

    name: str
    role: str
    port_bits: int
    words: int
    image_bytes: int
    bank: str
    fields: tuple[Region, ...]


@dataclass(frozen=True)
class NodeLine:
    """A line of the README's table of nodes."""

    name: str
    kind: str
    about: str


@dataclass(frozen=True)
class HostMove:
    """How the host lays an input or output of the network out: the order of elements of one kernel tensor.

    Parameters
    ----------
    pieces : (offset, step of each visit, counts, strides) of nested loops over flat indices, in each of `visits` rounds.
    shape : of the tensor as the network has it.
    """

    visits: int
    pieces: tuple[tuple[int, int, tuple[int, ...], tuple[int, ...]], ...]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class HostTensor:
    """What the integers of an input or output of the network stand for: real value = `scale` × (integer − `zero`)."""

    role: str
    shape: tuple[int, ...]
    bits: int
    scale: float
    zero: int


@dataclass(frozen=True)
class TextField:
    """Where a tensor, or every `step`-th of its beats from `first` on, lies in an argument: from byte `byte` on."""

    argument: str
    byte: int
    row_beats: int
    lanes: int
    bits: int
    first: int
    step: int


@dataclass(frozen=True)
class TextEntry:
    """An entry of the kernel that takes `length` tokens behind up to `cached` ones and gives the next, in `cycles`."""

    number: int
    length: int
    cached: int
    vocabulary: int
    cycles: int
    tokens: tuple[TextField, ...]
    positions: tuple[TextField, ...]
    next: TextField


def render_host(
    program: Program,
    target: BuildTarget | None = None,
    moves: Sequence[Mapping[str, HostMove]] = ({},),
    text: Sequence[TextEntry] = (),
    tensors: Sequence[Mapping[str, HostTensor]] = ({},),
) -> dict[str, bytes]:
    """Files of the host side and of the project's root, path → bytes.

    Parameters
    ----------
    moves : for each entry, of the inputs and outputs that lie in another order in the kernel's arguments, by name.
    text : how to generate text, where the kernel can: gives ``host/generate.cpp`` and ``host/generate.py``.
    tensors : for each entry its inputs and outputs by name.
    target : part, platform, clock and banks; as in :func:`intar.codegen.hls.render_hls`.
    """
    target = target or BuildTarget()
    arguments = [
        HostArgument(
            view.name, view.role, view.port_bits, view.words, view.image_bytes, view.bank, source.fields
        )
        for view, source in zip(argument_views(program, target), program.arguments, strict=True)
    ]
    context = {
        "name": program.name,
        "target": target,
        "arguments": arguments,
        "scalars": program.scalars,
        "index": {argument.name: number for number, argument in enumerate(program.arguments)},
        "moves": moves,
        "text": text,
        "tensors": tensors,
        "nodes": [NodeLine(node.name, node.kind, _about(node)) for node in program.nodes],
        "links": len(program.links),
        "constants": bool(program.constants),
    }
    files = {
        "host/host.cpp": render("host/host.cpp.j2", **context),
        "host/host.py": render("host/host.py.j2", **context),
        "Makefile": render("build/Makefile.j2", **context),
        "README.md": render("build/README.md.j2", **context),
    }
    if text:
        files["host/generate.cpp"] = render("host/generate.cpp.j2", **context)
        files["host/generate.py"] = render("host/generate.py.j2", **context)
    for header in sorted((asset_dir("sim") / "csim").glob("*.h")):
        files[f"hls/csim/{header.name}"] = header.read_bytes()
    return dict(sorted(files.items()))


def _about(node: Node) -> str:
    if node.kind in ("load", "store"):
        return f"`{node.argument}`, {node.port_bits} bits, {len(node.steps)} steps"
    if node.kind == "buffer" or node.kind == "constant":
        kib = node.depth * node.lanes * node.bits / 8192
        return f"{node.depth} beats of {node.lanes} × {node.bits} bits ({kib:.1f} KiB)"
    if node.kind == "image":
        kib = node.depth * node.lanes * node.bits / 8192
        return (
            f"{node.depth} beats of {node.lanes} × {node.bits} bits ({kib:.1f} KiB), {len(node.taps)} windows"
        )
    if node.kind == "core":
        return f"{node.rows} × {node.lanes} multipliers, {node.a_bits} × {node.w_bits} bits, {len(node.steps)} steps"
    if node.kind == "vector":
        return (
            f"{node.rate} of {node.lanes} lanes a cycle, {len(node.tables)} tables, {len(node.steps)} steps"
        )
    if node.kind == "router":
        return f"{node.inputs} inputs, {node.outputs} outputs, {len(node.steps)} steps"
    return f"{len(node.steps)} steps"
