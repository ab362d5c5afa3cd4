"""Render what stands around the kernel: host programs (XRT, pyxrt, PYNQ), Makefile and README of the project."""

from __future__ import annotations

from collections.abc import Mapping
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


def render_host(
    program: Program, target: BuildTarget | None = None, moves: Mapping[str, HostMove] | None = None
) -> dict[str, bytes]:
    """Files of the host side and of the project's root, path → bytes.

    Parameters
    ----------
    moves : of the network's inputs and outputs that lie in another order in the kernel's arguments, by name.
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
        "moves": moves or {},
        "nodes": [NodeLine(node.name, node.kind, _about(node)) for node in program.nodes],
        "links": len(program.links),
    }
    files = {
        "host/host.cpp": render("host/host.cpp.j2", **context),
        "host/host.py": render("host/host.py.j2", **context),
        "Makefile": render("build/Makefile.j2", **context),
        "README.md": render("build/README.md.j2", **context),
    }
    for header in sorted((asset_dir("sim") / "csim").glob("*.h")):
        files[f"hls/csim/{header.name}"] = header.read_bytes()
    return dict(sorted(files.items()))


def _about(node: Node) -> str:
    if node.kind in ("load", "store"):
        return f"`{node.argument}`, {node.port_bits} bits, {len(node.steps)} steps"
    if node.kind == "buffer":
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
