"""What generated host programs are told of a network beyond its program: moves at the border, how text is generated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from intar.codegen.host import HostMove, HostTensor, TextEntry, TextField
from intar.errors import UnsupportedError
from intar.ir.circuit import border_moves
from intar.ir.quantgraph import QuantGraph
from intar.quant.golden import id_rows
from intar.quant.steps import StepFunction, step_function

if TYPE_CHECKING:
    from intar.design import Design


def host_moves(graph: QuantGraph) -> dict[str, HostMove]:
    """What the host program has to reorder."""
    return {
        name: HostMove(
            move.visits,
            tuple((p.offset, p.step, p.counts, p.strides) for p in move.pieces),
            graph.tensor(name).shape,
        )
        for name, move in border_moves(graph).items()
    }


def host_tensors(graph: QuantGraph) -> dict[str, HostTensor]:
    """The border of the network as its users know it: shapes, and what the integers stand for."""
    roles = {**dict.fromkeys(graph.inputs, "input"), **dict.fromkeys(graph.outputs, "output")}
    tensors = {name: graph.tensor(name) for name in roles}
    return {name: HostTensor(roles[name], t.shape, t.bits, t.scale, t.zero) for name, t in tensors.items()}


def text_entries(designs: Sequence[Design]) -> tuple[TextEntry, ...]:
    """How to generate text with the networks of a kernel; empty unless all are step functions whose states the kernel keeps,
    one of them of a single token."""
    found = []
    for made in designs:
        graph = made.quantised.graph
        if "tokens" not in graph.inputs or border_moves(graph):
            return ()
        try:
            step = step_function(made.quantised)
        except UnsupportedError:
            return ()
        if not step.states or {state.name for state in step.states} != {state.name for state in made.states}:
            return ()
        found.append(_entry(made, step))
    return tuple(found) if any(entry.length == 1 for entry in found) else ()


def _entry(made: Design, step: StepFunction) -> TextEntry:
    return TextEntry(
        number=made.entry,
        length=step.length,
        cached=step.cached,
        vocabulary=id_rows(made.quantised)["tokens"],
        cycles=made.predicted.cycles,
        tokens=_fields(made, "tokens"),
        positions=_fields(made, "positions"),
        next=_fields(made, "next")[0],
    )


def _fields(made: Design, name: str) -> tuple[TextField, ...]:
    return tuple(
        TextField(
            argument=argument.name,
            byte=region.base * argument.port_bits // 8,
            row_beats=region.row_beats,
            lanes=region.lanes,
            bits=region.bits,
            first=region.first,
            step=region.step,
        )
        for role in ("input", "output")
        for argument in made.arguments(role)
        for region in argument.fields
        if region.name == name
    )
