"""Runs a program on the engine: marshalling to and from the C++ side."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from intar.engine.build import Results, load_engine
from intar.engine.encode import Encoded, encode
from intar.engine.result import Deadlock, EngineResult, LinkUse, NodeCycles, Play, Span, Stuck, combine
from intar.engine.timing import RTL, STRICT, MemoryModel, Timing
from intar.errors import InternalError
from intar.ir.nodes.ports import Store
from intar.ir.program import Program
from intar.ir.segments import check_segments

LONGEST_RUN = 1_000_000_000
"""Cycles after which a run is given up where nothing else is said."""

_STATES = ("busy", "wait_in", "wait_out", "wait_token", "idle")
_UNIT_WORDS = 6 + len(_STATES)
_LINK_WORDS = 5
_MESSAGE_BYTES = 512
_FINISHED, _STUCK, _LIMIT, _FAULT = range(4)


class _Arrays:
    """The result arrays of one run."""

    def __init__(self, encoded: Encoded, links: int):
        self.head = np.zeros(5, dtype=np.int64)
        self.units = np.zeros((len(encoded.units), _UNIT_WORDS), dtype=np.int64)
        self.links = np.zeros((links, _LINK_WORDS), dtype=np.int64)
        self.spans = np.zeros((sum(len(unit.notes) for unit in encoded.units), 2), dtype=np.int64)
        self.order = np.zeros(max(1, sum(count for _, count in encoded.iterations)), dtype=np.uint8)
        self.message = ctypes.create_string_buffer(_MESSAGE_BYTES)

    def struct(self) -> Results:
        arrays = (self.head, self.units, self.links, self.spans, self.order)
        return Results(
            *(a.ctypes.data for a in arrays), ctypes.cast(self.message, ctypes.c_char_p), _MESSAGE_BYTES
        )


def _buffers(program: Program, images: Mapping[str, bytes], values: bool) -> dict[str, np.ndarray]:
    """One byte buffer per argument, then per memory of constants, filled from `images`."""
    buffers = {}
    known = {argument.name for argument in program.arguments} | {node.name for node in program.constants}
    if unknown := sorted(set(images) - known):
        raise InternalError(
            f"images for arguments or constants that program {program.name!r} does not have: {unknown}"
        )
    for argument in program.arguments:
        size = argument.words * argument.port_bits // 8
        data = images.get(argument.name, b"")
        if len(data) > size:
            raise InternalError(
                f"the image of argument {argument.name!r} has {len(data)} bytes, its buffer {size} bytes"
            )
        if values and argument.role in ("input", "constant", "state") and len(data) < size:
            raise InternalError(f"argument {argument.name!r} needs an image of {size} bytes, got {len(data)}")
        buffer = np.zeros(size if values else 1, dtype=np.uint8)
        if values:
            buffer[: len(data)] = np.frombuffer(data, dtype=np.uint8)
        buffers[argument.name] = buffer
    for node in program.constants:
        data = images.get(node.name, b"")
        if values and len(data) != node.image_bytes:
            raise InternalError(
                f"the constants {node.name!r} need an image of {node.image_bytes} bytes, got {len(data)}"
            )
        buffers[node.name] = np.frombuffer(data if values else b"\0", dtype=np.uint8)
    return buffers


def _runs(order: np.ndarray) -> tuple[tuple[str, int], ...]:
    """Run-length form of an order of sides."""
    if not len(order):
        return ()
    starts = np.flatnonzero(np.diff(order, prepend=255))
    lengths = np.diff(np.append(starts, len(order)))
    return tuple(("wr"[order[start]], int(length)) for start, length in zip(starts, lengths, strict=True))


def _wait_ring(program: Program, stuck: list[Stuck]) -> tuple[str, ...]:
    """A ring of units that wait for each other, following each unit's link to its other end."""
    by_name = {unit.node: unit for unit in stuck}
    other_end: dict[str, tuple[str, str]] = {link.name: (link.src, link.dst) for link in program.links}

    def follow(unit: Stuck) -> str | None:
        if unit.link:
            end = other_end[unit.link][0 if unit.state == "wait_in" else 1]
            node = end.split(".")[0]
            return end if end in by_name else node if node in by_name else None
        if unit.state == "wait_token":
            node, _, port = unit.node.rpartition(".")
            if port in ("in", "out") and node:
                twin = f"{node}.{'in' if port == 'out' else 'out'}"
                return twin if twin in by_name else None
            after = next((n.after for n in program.nodes if n.name == unit.node and n.kind == "load"), "")
            after = after or next(
                (n.name for n in program.nodes if n.kind == "load" and n.after == unit.node), ""
            )
            return after if after in by_name else None
        return None

    for start in by_name:
        path: list[str] = []
        at: str | None = start
        while at is not None and at not in path:
            path.append(at)
            at = follow(by_name[at])
        if at is not None:
            return tuple(path[path.index(at) :])
    return ()


class _Report:
    """Turns the arrays into an EngineResult."""

    def __init__(self, program: Program, encoded: Encoded, arrays: _Arrays):
        self.program = program
        self.encoded = encoded
        self.arrays = arrays

    def nodes(self) -> dict[str, NodeCycles]:
        waits: dict[str, dict[str, int]] = {unit.name: {} for unit in self.encoded.units}
        for link, row in zip(self.program.links, self.arrays.links.tolist(), strict=True):
            for end, cycles in ((link.dst, row[3]), (link.src, row[4])):
                owner = end if end in waits else end.split(".")[0]
                if cycles:
                    waits[owner][link.name] = waits[owner].get(link.name, 0) + cycles
        result = {}
        for unit, row in zip(self.encoded.units, self.arrays.units.tolist(), strict=True):
            counts = dict(zip(_STATES, row[6:], strict=True))
            found = waits[unit.name]
            memory = counts["wait_in"] + counts["wait_out"] - sum(found.values())
            found |= {k: v for k, v in (("memory", memory), ("token", counts["wait_token"])) if v > 0}
            result[unit.name] = NodeCycles(**counts, waits=found)
        return result

    def links(self) -> dict[str, LinkUse]:
        return {
            link.name: LinkUse(row[1], row[0], row[2], link.depth, row[3], row[4])
            for link, row in zip(self.program.links, self.arrays.links.tolist(), strict=True)
        }

    def stages(self) -> tuple[Span, ...]:
        keys = [
            (unit.name, i, note)
            for unit in self.encoded.units
            for i, note in enumerate(unit.notes, unit.first)
        ]
        return tuple(Span(*key, *row) for key, row in zip(keys, self.arrays.spans.tolist(), strict=True))

    def merged(self) -> dict[str, tuple[tuple[str, int], ...]]:
        """Only complete orders can be cut apart: the engine writes them one after the other."""
        if self.arrays.head[0] != _FINISHED:
            return {}
        ends = np.cumsum([count for _, count in self.encoded.iterations])
        return {
            name: _runs(self.arrays.order[end - count : end])
            for (name, count), end in zip(self.encoded.iterations, ends, strict=True)
        }

    def deadlock(self) -> Deadlock | None:
        status, cycles, at, _, _ = self.arrays.head.tolist()
        if status == _FINISHED:
            return None
        stuck = []
        for unit, row in zip(self.encoded.units, self.arrays.units.tolist(), strict=True):
            finished, state_index, link_index, need, have, step = row[:6]
            if finished:
                continue
            step = min(step, len(unit.notes) - 1)
            state = _STATES[state_index]
            note = unit.notes[step] if step >= 0 else ""
            if link_index >= 0 and state in ("wait_in", "wait_out"):
                link = self.program.links[link_index]
                pops, pushes = self.arrays.links[link_index, :2].tolist()
                stuck.append(Stuck(unit.name, step, note, state, link.name, pushes - pops, link.depth))
            else:
                stuck.append(Stuck(unit.name, step, note, state, need=need, posted=have))
        left = {name: use.pushes - use.pops for name, use in self.links().items() if use.pushes > use.pops}
        kind = "limit" if status == _LIMIT else "leftover" if cycles else "deadlock"
        ring = _wait_ring(self.program, stuck) if status == _STUCK else ()
        return Deadlock(kind, at, tuple(stuck), ring, left if kind == "leftover" else {})


def run(
    program: Program,
    images: Mapping[str, bytes] | None = None,
    memory: MemoryModel | None = None,
    *,
    values: bool = True,
    merged: bool = False,
    max_cycles: int = LONGEST_RUN,
    timing: Timing | None = None,
    policy: int = 0,
    turns: bool = False,
    position: int | None = None,
    entry: int | None = None,
) -> EngineResult:
    """Execute one inference of `program`, to the bit and to the cycle: all plays, one after the other.

    Parameters
    ----------
    images : initial bytes of the arguments; required for inputs, constants and states when `values`, zeros otherwise. And
        those of memories of constants, which may be missing only without `values`.
    memory : off-chip memory; by default 64 cycles of latency and one word a cycle per port.
    values : False counts cycles only (the bits of a program never change its timing).
    merged : every buffer performs its static order `Buffer.merged` in one thread, a store and the load of the same argument
        theirs (`Store.turns`), every other node does strictly one thing after the other, no pipeline holds a beat. The same
        bits; the cycles mean nothing.
    max_cycles : give up after so many cycles.
    timing : latencies; those of the RTL by default.
    turns : `Store.turns` hold although the buffers are not merged.
    position : where in the states the call stores its new rows, at most `Program.positions`; None: there, behind all that it
        reads.
    entry : which of the program's entries the call performs; None: all of them, one behind the other.
    policy : merged runs only. 0 follows `Buffer.merged`; 1, 2 and 3 perform iterations as they become possible,
        writes first, reads first, or reads when somebody waits for them, and record the order.

    Raises
    ------
    ToolError : no C++ compiler.
    InternalError : the program is malformed, or breaks a rule while it runs (address, accumulator width).
    """
    memory = memory or MemoryModel()
    timing = timing or (STRICT if merged else RTL)
    check_segments(program)
    buffers = _buffers(program, images or {}, values)
    head = (*timing.encoded(), *memory.encoded(), int(values), int(merged), policy)
    align = 0 if values else _longest_burst(timing)
    last = program.positions
    position = last if position is None or not 0 <= position < last else position
    done: list[EngineResult] = []
    known: dict[tuple[int, bytes], EngineResult] = {}  # rounds alike to the last word take the same cycles
    at = 0
    for segment, round in program.plays_of(entry):
        encoded = encode(
            program,
            segment,
            round,
            position=position,
            merged=merged,
            policy=policy,
            turns=turns,
            align=align,
        )
        words = encoded.array()
        key = (segment, words.tobytes())
        play = None if values else known.get(key)
        if play is None or at + play.cycles > max_cycles:
            arrays = _execute(program, encoded, words, (*head, max_cycles - at), buffers)
            play = _play(program, encoded, arrays)
            known[key] = play
        place = Play(segment, round, at)
        done.append(replace(play, plays=(place,)))
        at += play.cycles
        if done[-1].deadlock is not None:
            break
    written = {node.argument for node in program.nodes if isinstance(node, Store)}
    outputs = (
        {name: buffer.tobytes() for name, buffer in buffers.items() if name in written} if values else {}
    )
    return combine(done, outputs)


def _longest_burst(timing: Timing) -> int:
    """Words of which every burst length is a divisor: lengths are powers of two."""
    return 1 << (max(timing.load_burst, timing.store_burst).bit_length() - 1)


def _execute(
    program: Program,
    encoded: Encoded,
    play: np.ndarray,
    head: tuple[int, ...],
    buffers: Mapping[str, np.ndarray],
) -> _Arrays:
    """One play, from the start pulse to the cycle in which all nodes are seen to be done."""
    words = np.concatenate([np.array(head, dtype=np.int64), play])
    pointers = (ctypes.c_void_p * max(1, len(buffers)))(*(buffer.ctypes.data for buffer in buffers.values()))
    arrays = _Arrays(encoded, len(program.links))
    failed = load_engine().intar_engine_run(
        words.ctypes.data, len(words), pointers, ctypes.byref(arrays.struct())
    )
    message = arrays.message.value.decode(errors="replace")
    if failed:
        raise InternalError(f"the engine cannot read program {program.name!r}: {message}")
    if arrays.head[0] == _FAULT:
        unit = encoded.units[int(arrays.head[3])]
        step = min(int(arrays.units[int(arrays.head[3]), 5]), max(len(unit.notes) - 1, 0))
        note = f" ({unit.notes[step]})" if unit.notes and unit.notes[step] else ""
        where = f"program {program.name!r}, {unit.name}, step {step}{note}, cycle {arrays.head[2]}"
        raise InternalError(f"{where}: {message}")
    return arrays


def _play(program: Program, encoded: Encoded, arrays: _Arrays) -> EngineResult:
    """The result of one play; where it stands among the others is not known here."""
    report = _Report(program, encoded, arrays)
    return EngineResult(
        outputs={},
        cycles=int(arrays.head[1]),
        nodes=report.nodes(),
        links=report.links(),
        stages=report.stages(),
        deadlock=report.deadlock(),
        merged=report.merged(),
        plays=(),
    )
