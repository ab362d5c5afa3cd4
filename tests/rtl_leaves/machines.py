"""Modules with a state of their own: the instances that the benches in `machines_cocotb` drive, and their programs."""

from __future__ import annotations

import random
from dataclasses import dataclass

import rows_passes
import vector_machines
from node_kernels import rows_part
from pipelines import pins
from units import Unit, listing

from intar.codegen.digits import digits
from intar.codegen.rtl_nodes.program import Rom, numbers_apart, pack, step_bits
from intar.codegen.rtl_nodes.rows import ROWS, rows_rom
from intar.codegen.rtl_nodes.vector import MAXIMUM
from intar.codegen.rtl_nodes.walks import WALK, walk_bits, walk_fields
from intar.ir.nodes.memories import Walk
from intar.ir.nodes.rows import Rows
from intar.ir.nodes.step import Step

# ---------------------------------------------------------------- step programs


@dataclass(frozen=True)
class Steps:
    unit: Unit
    program: tuple[int, ...]
    ends: tuple[int, ...]  # of each segment the step after its last one


def steps(bits: int, *segments: int) -> Steps:
    """Segments of so many steps each."""
    program = tuple(random.Random(bits).getrandbits(bits) for _ in range(sum(segments)))
    ends = tuple(sum(segments[: i + 1]) for i in range(len(segments)))
    parameters = {"STEPS": len(program), "STEP_BITS": bits, "PROGRAM": listing(bits, program)}
    if len(segments) > 1:
        parameters |= {"SEGMENTS": len(segments), "ENDS": listing(32, ends)}
    outputs = {"valid": 1, "step": bits, "next_step": bits}
    unit = Unit("intar_steps", parameters, pins("start 1 segment 8 advance 1"), outputs)
    return Steps(unit, program, ends)


STEPS = {
    "steps_one": steps(1, 1),
    "steps_five": steps(37, 5),
    "steps_segments": steps(9, 2, 0, 3, 1),
    "steps_late": steps(8, 0, 1),
}


@dataclass(frozen=True)
class RoundSteps:
    unit: Unit
    plays: dict[tuple[int, int], tuple[int, ...]]  # the steps of each round of each segment


def round_steps(bits: int, head: int, *segments: tuple[int, int]) -> RoundSteps:
    """Segments of so many steps in so many rounds; about a third of the steps has the same numbers in all rounds."""
    rng = random.Random(bits + head)
    plays: dict[tuple[int, int], tuple[int, ...]] = {}
    for segment, (count, rounds) in enumerate(segments):
        same = [rng.random() < 0.3 for _ in range(count)]
        first = [rng.getrandbits(bits) for _ in range(count)]
        low = (1 << head) - 1
        for round_ in range(rounds):
            plays[segment, round_] = tuple(
                word if alike or not round_ else word & low | rng.getrandbits(bits - head) << head
                for word, alike in zip(first, same, strict=True)
            )
    listed = [
        (word, Step(segment=segment, only=round_ if segments[segment][1] > 1 else -1))
        for (segment, round_), words in plays.items()
        for word in words
    ]
    rom = Rom(bits, tuple(word for word, _ in listed), ("",) * len(listed))
    program, numbers = numbers_apart(rom, [step for _, step in listed], head)
    parameters = {"STEPS": len(program.steps), "STEP_BITS": bits, "HEAD": head}
    parameters |= {"PROGRAM": listing(program.bits, program.steps)}
    if numbers:
        parameters |= {"ROWS": len(numbers.steps), "NUMBERS": listing(numbers.bits, numbers.steps)}
    if len(segments) > 1:
        counts = [count for count, _ in segments]
        ends = [sum(counts[: i + 1]) for i in range(len(counts))]
        parameters |= {"SEGMENTS": len(segments), "ENDS": listing(32, ends)}
    inputs = pins("start 1 segment 8 round 16 advance 1")
    outputs = {"valid": 1, "step": bits, "next_step": bits}
    return RoundSteps(Unit("intar_round_steps", parameters, inputs, outputs), plays)


ROUND_STEPS = {
    "round_steps_plain": round_steps(23, 5, (3, 1)),
    "round_steps_loop": round_steps(40, 9, (4, 5)),
    "round_steps_segments": round_steps(31, 12, (2, 1), (0, 1), (3, 4), (5, 2), (1, 1)),
    "round_steps_headless": round_steps(12, 0, (2, 3), (1, 1)),
}


# ---------------------------------------------------------------- address walks


@dataclass(frozen=True)
class Walks:
    unit: Unit
    lanes: int
    walks: tuple[Walk, ...]

    def word(self, walk: Walk) -> int:
        return pack(WALK, walk_fields(walk, "walk", self.lanes), "walk")

    def addresses(self, walk: Walk) -> list[tuple[int, bool, bool]]:
        """Of each beat: its address as the module counts, whether it ends an iteration, whether it ends the walk."""
        found = []
        for i0 in range(walk.counts[0]):
            places = list(walk.iteration(i0))
            found += [(digits(a, self.lanes), i == len(places) - 1, False) for i, a in enumerate(places)]
        return [*found[:-1], (*found[-1][:2], True)]


def any_walk(rng: random.Random) -> Walk:
    """Strides of either sign (the wrapped one upwards), every loop from 1 on, addresses from 0 on."""
    counts = tuple(rng.choice((1, 1, 2, 3, 5)) for _ in range(5))
    wrap = rng.choice((0, 0, 4, 6, 23))  # small ones are met exactly
    ragged = rng.randrange(-1, 4)
    walk = Walk(
        wrap=wrap,
        counts=counts,
        strides=(
            rng.randrange(wrap) if wrap else rng.randrange(-9, 30),
            *(rng.randrange(-20, 40) for _ in range(4)),
        ),
        ragged=ragged,
        last=rng.randrange(1, counts[4] + 1) if ragged >= 0 else 0,
    )
    # The first address of any iteration of any loop is one that is visited.
    return walk.model_copy(update={"base": rng.randrange(9) - min(walk.addresses())})


def walks(seed: int, lanes: int, fitting: bool) -> Walks:
    rng = random.Random(seed)
    found = tuple(any_walk(rng) for _ in range(40))
    top = max(max(walk.addresses()) for walk in found)
    widths = walk_bits([(w, 1) for w in found], top, lanes) if fitting else (32, 32)
    parameters = {"ADDRESS_BITS": widths[0], "COUNT_BITS": widths[1], "LANES": lanes}
    outputs = {"address": widths[0], "iteration_last": 1, "walk_last": 1}
    unit = Unit("intar_walk", parameters, pins("load 1 next_walk 424 walk 424 advance 1"), outputs, ("clk",))
    return Walks(unit, lanes, found)


WALKS = {
    "walk_wide": walks(1, 1, False),
    "walk_beats": walks(2, 1, True),
    "walk_four": walks(3, 4, True),
    "walk_six": walks(4, 6, True),
}


# ---------------------------------------------------------------- passes of a rows node


@dataclass(frozen=True)
class RowsWalk:
    unit: Unit
    node: Rows
    words: tuple[int, ...]

    def slices(self, position: int) -> list[dict[str, int]]:
        """The outputs of every advance in a call at a position."""
        node, found, row = self.node, [], 0
        parts = node.lanes // node.rate
        place_bits = rtl_place_bits(node)
        for step, word in zip(node.steps, self.words, strict=True):
            beats = 1 if step.op == "peak" else step.beats(node.lanes)
            for index in range(step.rows):
                counted = min(step.cols, step.first + index) if step.grow else step.first
                for place in range(beats * parts):
                    columns = [place * node.rate + p for p in range(node.rate)]
                    used = [c < counted and (c < position or c >= step.cached) for c in columns]
                    item = {"step": word, "slot": row % 4, "at": (row % 4) << place_bits | place}
                    item |= {"slice": place % parts, "slice_last": place % parts == parts - 1}
                    item |= {"row_first": place == 0, "row_last": place == beats * parts - 1}
                    found.append(item | {"used": sum(1 << p for p, flag in enumerate(used) if flag)})
                row += 1
        return found


def rtl_place_bits(node: Rows) -> int:
    """PLACE_BITS as `intar_rows` has it."""
    return max(1, (node.depth * node.lanes // node.rate - 1).bit_length())


def rows_walk(*shows: str) -> RowsWalk:
    part = rows_part(*shows)
    node = next(n for n in part.nodes if isinstance(n, Rows))
    steps = [s.model_copy(update={"cached": (s.op == "softmax") * (s.first // 2)}) for s in node.steps]
    node = node.model_copy(update={"steps": tuple(steps)})
    words, bits = rows_rom(node).steps, step_bits(ROWS)
    parameters = {
        "LANES": node.lanes,
        "RATE": node.rate,
        "PLACE_BITS": rtl_place_bits(node),
        "STEPS": len(words),
        "PEAK": int(node.peaks),
    }
    parameters |= {"STEP_BITS": bits, "PROGRAM": listing(bits, words)}
    outputs = {
        "valid": 1,
        "step": bits,
        "slot": 2,
        "at": rtl_place_bits(node) + 2,
        "slice": 32,
        "used": node.rate,
    }
    outputs |= pins("slice_last 1 row_first 1 row_last 1")
    return RowsWalk(
        Unit(
            "intar_rows_walk", parameters, pins("start 1 segment 8 round 16 position 32 advance 1"), outputs
        ),
        node,
        words,
    )


ROWS_WALKS = {
    "rows_walk_mixed": rows_walk("layer norm", "RMS norm", "masked softmax"),
    "rows_walk_masked": rows_walk("masked softmax"),
    "rows_walk_plain": rows_walk("softmax", "layer norm"),
    "rows_walk_peaks": rows_walk("softmax", "unit", "peak"),
}


# ---------------------------------------------------------------- rounds and plays


@dataclass(frozen=True)
class Plays:
    unit: Unit
    rounds: tuple[int, ...]
    strides: tuple[int, ...] = ()
    nodes: int = 0
    entries: tuple[tuple[int, int], ...] = ()  # the first segment and the one behind the last of each


def rounds(counts: tuple[int, ...], strides: tuple[int, ...]) -> Plays:
    parameters = {
        "LOOPED": f"1'b{int(max(counts) > 1)}",
        "SEGMENTS": len(counts),
        "STRIDES": listing(32, strides),
    }
    inputs, outputs = pins("start 1 segment 8 round 16 swap 32"), pins("moved 32")
    return Plays(Unit("intar_rounds", parameters, inputs, outputs, ("clk",)), counts, strides)


def sequencer(nodes: int, *counts: int, entries: tuple[tuple[int, int], ...] = ()) -> Plays:
    parameters = {"NODES": nodes}
    if counts != (1,):
        parameters |= {"SEGMENTS": len(counts), "ROUNDS": listing(16, counts)}
    if entries:
        parameters |= {"ENTRIES": len(entries), "FIRST": listing(8, [first for first, _ in entries])}
        parameters["LAST"] = listing(8, [end - 1 for _, end in entries])
    inputs = pins("ap_start 1 ap_continue 1 entry 8") | {"node_done": nodes}
    outputs = pins("ap_ready 1 ap_done 1 ap_idle 1 start 1 segment 8 round 16")
    return Plays(
        Unit("intar_sequencer", parameters, inputs, outputs),
        counts,
        nodes=nodes,
        entries=entries or ((0, len(counts)),),
    )


ROUNDS = {
    "rounds_still": rounds((1, 1), (7, 9)),
    "rounds_looped": rounds((1, 5, 3, 1), (3, 1 << 20, -12, 5)),
}
SEQUENCERS = {
    "sequencer_once": sequencer(3, 1),
    "sequencer_plays": sequencer(2, 1, 3, 2),
    "sequencer_loop": sequencer(1, 4),
    "sequencer_entries": sequencer(2, 1, 3, 2, 1, entries=((0, 1), (1, 3), (3, 4))),
}


# ---------------------------------------------------------------- maxima


@dataclass(frozen=True)
class Maximum:
    unit: Unit
    runs: tuple[tuple[int, int], ...]  # maxima, beats of each
    lanes: int
    bits: int


def maximum(lanes: int, bits: int, *runs: tuple[int, int]) -> Maximum:
    words = [pack(MAXIMUM, {"maxima_end": n - 1, "beats_end": b - 1}, "run") for n, b in runs]
    parameters = {"LANES": lanes, "BITS": bits, "STEPS": len(runs), "PROGRAM": listing(64, words)}
    inputs = pins("start 1 segment 8 in_valid 1 out_ready 1") | {"in_data": lanes * bits}
    outputs = pins("in_ready 1 out_valid 1") | {"out_data": lanes * bits}
    return Maximum(Unit("intar_maximum", parameters, inputs, outputs), runs, lanes, bits)


MAXIMA = {
    "maximum_one": maximum(1, 8, (40, 1)),
    "maximum_runs": maximum(3, 5, (6, 4), (9, 1), (1, 9), (12, 2)),
}


# ---------------------------------------------------------------- one bit a cycle; the array

DIVIDERS = {
    "divide": Unit(
        "intar_rows_divide",
        {},
        pins("go 1 total 41 numerator 43"),
        pins("busy 1 ready 1 quotient 19 extra 5"),
    )
}
ROOTS = {
    "root": Unit(
        "intar_rows_root",
        {},
        pins("go 1 count 16 sum 32 squares 46 epsilon 61"),
        pins("busy 1 ready 1 root 19 pair 5"),
    )
}


@dataclass(frozen=True)
class Array:
    unit: Unit
    rows: int
    lanes: int
    a_bits: int
    w_bits: int
    acc_bits: int
    contexts: bool
    used: tuple[int, int]  # bits that the operands fit in


def array(
    rows: int, lanes: int, a_bits: int, w_bits: int, acc_bits: int, contexts: bool,
    pack: int = 1, used: tuple[int, int] | None = None,
) -> Array:  # fmt: skip
    parameters = {"ROWS": rows, "LANES": lanes, "A_BITS": a_bits, "W_BITS": w_bits, "ACC_BITS": acc_bits}
    parameters["CONTEXTS"] = f"1'b{int(contexts)}"
    if used:
        parameters |= {"A_USED": used[0], "W_USED": used[1]}
    if pack > 1:
        parameters["PACK"] = pack
    sums = rows * lanes * acc_bits
    inputs = pins(
        "move 1 take 1 multiply 1 add_valid 1 add_first 1 add_resume 1 add_flush 1 add_spill 1 shadow_read 1"
    )
    inputs |= {"a_data": rows * a_bits, "w_data": lanes * w_bits, "context_data": sums}
    inputs |= {"shadow_row": max(1, (rows - 1).bit_length())}
    unit = Unit(
        "intar_array", parameters, inputs, {"spill_data": sums, "out_data": lanes * acc_bits}, ("clk",)
    )
    return Array(unit, rows, lanes, a_bits, w_bits, acc_bits, contexts, used or (a_bits, w_bits))


ARRAYS = {
    "array_contexts": array(3, 2, 8, 4, 24, True),
    "array_plain": array(2, 4, 8, 8, 20, False),
    "array_cell": array(1, 1, 16, 16, 40, False),
    "array_pairs": array(3, 4, 8, 8, 24, True, pack=2),
    "array_odd": array(2, 5, 8, 8, 20, False, pack=2),
    "array_row": array(1, 16, 16, 4, 24, False, pack=2),
    "array_triples": array(2, 7, 4, 4, 12, True, pack=3),
    "array_narrow": array(2, 6, 16, 16, 20, True, pack=2, used=(8, 8)),
    "array_ten": array(2, 4, 16, 8, 24, True, pack=2, used=(10, 8)),
    "array_used": array(2, 3, 16, 8, 16, False, used=(8, 4)),
}

UNITS: dict[str, Unit] = DIVIDERS | ROOTS | rows_passes.UNITS | vector_machines.UNITS
for group in (STEPS, ROUND_STEPS, WALKS, ROWS_WALKS, ROUNDS, SEQUENCERS, MAXIMA, ARRAYS):
    UNITS |= {name: made.unit for name, made in group.items()}
