"""Loads and stores in C++: bursts between memory and words, and gearboxes between words and beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from intar.codegen.hls_checks import mate
from intar.codegen.hls_nodes.text import braces
from intar.codegen.hls_nodes.view import Parts, View
from intar.codegen.hls_types import Function, Pointer, Port, Rom, Row
from intar.errors import InternalError
from intar.ir.nodes.ports import Load, LoadStep, Store, StoreStep
from intar.ir.program import Link
from intar.ir.segments import turns_in

WORD_FIFO = 16
"""Depth of the FIFO between a memory port and its gearbox, words; the port itself buffers bursts."""
BURST_COLUMNS = "base, words, repeat, stride of a round, swap in odd rounds"
TABLE_COLUMNS = "base, words, rows, last row of the table, words from row to row"


def choosing(link: Link) -> bool:
    """The link brings ids to a load: in C++ both are control driven, and the load takes the words as they come."""
    return link.dst.endswith(".ids")


def load(view: View, node: Load) -> Parts:
    """A control-driven fetch, and a task that makes beats of its words; one that takes turns with a store has no fetch."""
    link = view.link("out")
    word = f"intar::word<{node.port_bits}>"
    check_memory_bits(node.name, link.bits)
    bursts = Bursts()
    for step in node.steps:
        stride = node.strides[step.segment] if node.strides else 0
        bursts.add(step, word_count(step.beats, link, node.port_bits), step.repeat, stride)
    words = view.inner("words", word, WORD_FIFO, f"words of {node.argument}")
    runs = view.rom("intar::burst", "BURSTS", BURST_COLUMNS, bursts.rows(), bursts.segments)
    transfers = view.listed(
        "intar::transfer",
        "STEPS",
        "beats, repeat",
        [Row(f"{{{s.beats}, {s.repeat}}}", s.note) for s in node.steps],
        node.steps,
    )
    narrow = link.lanes * link.bits <= node.port_bits
    gearbox = "split_words" if narrow else "join_words"
    if node.lookup:
        runs = _table_runs(view, node, link)
    fetch = Function(
        f"{node.name}_fetch",
        "load",
        node.name,
        f"bursts from {node.argument}",
        (Port("out", word, words.name),),
        f"intar::fetch<{node.port_bits}>",
        (runs.name, view.round, node.argument, "out"),
        pointer=Pointer(f"const {word}*", node.argument),
    )
    unpack = view.task(
        "unpack",
        f"words of {node.argument} to beats",
        (Port("in", word, words.name), view.port("out")),
        f"intar::{gearbox}<{link.bits}, {link.lanes}, {node.port_bits}>",
        (transfers.name, "in", "out"),
    )
    if node.lookup:
        ids = Port("ids", word, f"{view.ins['ids'].src.split('.')[0]}_words")
        fetch = replace(
            fetch,
            about=f"rows of tables in {node.argument}, chosen by ids",
            ports=(ids, *fetch.ports),
            callee=f"intar::lookup<{node.port_bits}>",
            arguments=(runs.name, node.argument, "ids", "out"),
        )
    if node.after:
        return Parts((transfers,), (unpack,), (words,))
    if choosing(link):
        return Parts((runs,), (fetch,), (words,))
    return Parts((runs, transfers), (fetch, unpack), (words,))


def _table_runs(view: View, node: Load, link: Link) -> Rom:
    rows = [
        braces(s.base, word_count(s.beats, link, node.port_bits), s.repeat, s.table - 1, s.pitch)
        for s in node.steps
    ]
    return view.rom(
        "intar::table_run",
        "ROWS",
        TABLE_COLUMNS,
        [Row(row, step.note) for row, step in zip(rows, node.steps, strict=True)],
        [s.segment for s in node.steps],
    )


def store(view: View, node: Store) -> Parts:
    """A task that makes words of beats, and a control-driven drain, or with a load that takes turns with it an exchange."""
    link = view.link("in")
    word = f"intar::word<{node.port_bits}>"
    check_memory_bits(node.name, link.bits)
    words = view.inner("words", word, WORD_FIFO, f"words of {node.argument}")
    reload = mate(view.program, node)
    roms = (
        view.listed(
            "intar::transfer",
            "STEPS",
            "beats, repeat",
            [Row(f"{{{s.beats}, 1}}", s.note) for s in node.steps],
            node.steps,
        ),
        _bursts(view, node, link) if reload is None else _turns(view, node, link, reload),
    )
    narrow = link.lanes * link.bits <= node.port_bits
    gearbox = "join_beats" if narrow else "split_beats"
    pack = view.task(
        "pack",
        f"beats to words of {node.argument}",
        (view.port("in"), Port("out", word, words.name)),
        f"intar::{gearbox}<{link.bits}, {link.lanes}, {node.port_bits}>",
        (roms[0].name, "in", "out"),
    )
    taken = Port("in", word, words.name)
    moved = (
        ()
        if reload is None
        else (f"intar::appended(position, {view.program.positions}, {node.row})" if node.row else "0",)
    )
    back = () if reload is None else (Port("out", word, f"{reload.name}_words"),)
    drain = Function(
        f"{node.name}_drain" if reload is None else f"{node.name}_exchange",
        "store",
        node.name,
        f"bursts to {node.argument}"
        + ("" if reload is None else ", and back (a process in a loop of streams: Vitis warns)"),
        (taken, *back),
        f"intar::{'drain' if reload is None else 'exchange'}<{node.port_bits}>",
        (roms[1].name, view.round, *moved, "in", *(port.name for port in back), node.argument),
        pointer=Pointer(f"{word}*", node.argument),
        scalars=("position",) if node.row else (),
    )
    return Parts(roms, (pack, drain), (words,))


def _bursts(view: View, node: Store, link: Link) -> Rom:
    bursts = Bursts()
    for step in node.steps:
        bursts.add(step, word_count(step.beats, link, node.port_bits))
    return view.rom("intar::burst", "BURSTS", BURST_COLUMNS, bursts.rows(), bursts.segments)


def _turns(view: View, node: Store, link: Link, reload: Load) -> Rom:
    """The commands of a store and of the load that takes turns with it."""
    writes, reads = iter(node.steps), iter(reload.steps)
    back = view.program.outputs_of(reload.name)["out"]
    rows: list[Row] = []
    segments: list[int] = []
    for segment in view.program.segments:
        for side, commands in turns_in(node, reload, segment):
            bursts = Bursts()
            for _ in range(commands):
                step: StoreStep | LoadStep = next(writes) if side == "w" else next(reads)
                repeat = step.repeat if isinstance(step, LoadStep) else 1
                moving, beats = (node.strides, link) if side == "w" else (reload.strides, back)
                stride = moving[segment] if moving else 0
                bursts.add(step, word_count(step.beats, beats, node.port_bits), repeat, stride)
            rows += [Row(f"{{{row.values}, {int(side == 'r')}}}", row.note) for row in bursts.rows()]
            segments += bursts.segments
    return view.rom("intar::passage", "TURNS", f"{{{BURST_COLUMNS}}}, reads", rows, segments)


@dataclass
class _Burst:
    step: LoadStep | StoreStep
    words: int
    repeat: int
    stride: int
    notes: list[str]


class Bursts:
    """Runs of words, joined to the one before where memory and order allow one longer burst in every round."""

    def __init__(self) -> None:
        self.list: list[_Burst] = []

    def add(self, step: LoadStep | StoreStep, words: int, repeat: int = 1, stride: int = 0) -> None:
        """Append the words of a step."""
        last = self.list[-1] if self.list else None
        alike = last and (last.step.segment, last.step.swap, last.repeat) == (step.segment, step.swap, repeat)
        if last and alike and repeat == 1 and last.step.base + last.words == step.base:
            last.words += words
            last.notes.append(step.note)
        else:
            self.list.append(_Burst(step, words, repeat, stride, [step.note]))

    @property
    def segments(self) -> list[int]:
        """The segment of each burst."""
        return [burst.step.segment for burst in self.list]

    def rows(self) -> list[Row]:
        """A row of `BURST_COLUMNS` for each burst."""
        return [
            Row(braces(b.step.base, b.words, b.repeat, b.stride, b.step.swap), _joined(b.notes))
            for b in self.list
        ]


def _joined(notes: Sequence[str]) -> str:
    known = list(dict.fromkeys(filter(None, notes)))
    return known[0] if len(known) == 1 else f"{known[0]} ... {known[-1]}" if known else ""


def word_count(beats: int, link: Link, port_bits: int) -> int:
    """Port words of so many beats."""
    return -(-beats * link.lanes * link.bits // port_bits)


def check_memory_bits(name: str, bits: int) -> None:
    """Elements are packed into words, which those of other widths would straddle."""
    if bits not in (4, 8, 16, 32, 64):
        raise InternalError(f"node {name!r} moves elements of {bits} bits to or from memory")
