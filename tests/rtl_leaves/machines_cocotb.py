"""cocotb: machines with a state of their own against short models, at random times; resets are taken in between."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import cocotb
import machines
import numpy as np
from cocotb.triggers import Combine, FallingEdge, RisingEdge
from extreme_programs import edge
from machines import (
    Array,
    Maximum,
    Plays,
    RoundSteps,
    RowsWalk,
    Steps,
    Walks,
)
from pipelines import moments, rows_of_norms, spread
from stalls import PATTERNS, waits
from streams_cocotb import start
from units import packed

from intar.quant.norms import reciprocal_root


class Pins:
    """The pins of one unit by their names: write them, go on by a cycle, read them where they have settled."""

    def __init__(self, dut: Any, name: str):
        self.dut, self.name = dut, name
        self.unit = machines.UNITS[name]

    def put(self, **values: int) -> None:
        for pin, value in values.items():
            getattr(self.dut, f"{self.name}_{pin}").value = int(value) & ((1 << self.unit.inputs[pin]) - 1)

    def noise(self, rng: random.Random, *names: str) -> None:
        self.put(**{name: rng.getrandbits(self.unit.inputs[name]) for name in names})

    def get(self, pin: str) -> int:
        return int(getattr(self.dut, f"{self.name}_{pin}").value)

    def expect(self, **values: int) -> None:
        for pin, value in values.items():
            wanted = int(value) & ((1 << self.unit.outputs[pin]) - 1)
            assert self.get(pin) == wanted, f"{self.name}: {pin} is {self.get(pin):#x}, not {wanted:#x}"

    async def settle(self) -> None:
        await FallingEdge(self.dut.clk)

    async def edge(self) -> None:
        await RisingEdge(self.dut.clk)


Bench = Callable[[Pins, Any, Iterator[bool], random.Random], Awaitable[None]]


async def everywhere(dut: Any, group: dict[str, Any], bench: Bench) -> None:
    """`bench` on all units of a group at once, once with each pattern of stalls."""
    await start(dut)
    for seed, pattern in enumerate(PATTERNS):
        running = []
        for name, machine in group.items():
            rng = random.Random(f"{name} {seed}")
            running.append(cocotb.start_soon(bench(Pins(dut, name), machine, waits(pattern, rng), rng)))
        await Combine(*running)


async def started(pins: Pins, todo: Sequence[int], stalls: Iterator[bool]) -> None:
    """A play that has just been started gives these steps, one each time it may advance, and shows the next one."""
    await pins.settle()
    if todo:
        pins.expect(next_step=todo[0])
    await pins.edge()
    pins.put(start=0)
    for index, word in enumerate(todo):
        advance = False
        while not advance:
            advance = not next(stalls)
            pins.put(advance=advance)
            await pins.settle()
            pins.expect(valid=1, step=word)
            if index + 1 < len(todo):
                pins.expect(next_step=todo[index + 1])
            await pins.edge()


@cocotb.test()
async def step_programs(dut: Any) -> None:
    async def bench(pins: Pins, steps: Steps, stalls: Iterator[bool], rng: random.Random) -> None:
        for _ in range(12):
            segment = rng.randrange(len(steps.ends))
            first = steps.ends[segment - 1] if segment else 0
            todo = steps.program[first : steps.ends[segment]]
            pins.put(start=1, segment=segment, advance=0)
            await started(pins, todo, stalls)
            for _ in range(rng.randrange(1, 4)):
                pins.put(advance=rng.random() < 0.5)  # without a step it does nothing
                await pins.settle()
                pins.expect(valid=0)
                await pins.edge()

    await everywhere(dut, machines.STEPS, bench)


@cocotb.test()
async def steps_of_rounds(dut: Any) -> None:
    """Each round of a segment has its own numbers, in whatever order rounds are played."""

    async def bench(pins: Pins, steps: RoundSteps, stalls: Iterator[bool], rng: random.Random) -> None:
        for (segment, round_), todo in rng.choices(list(steps.plays.items()), k=20):
            pins.put(start=1, segment=segment, round=round_, advance=0)
            await started(pins, todo, stalls)
            pins.put(advance=rng.random() < 0.5)  # without a step it does nothing
            await pins.settle()
            pins.expect(valid=0)
            await pins.edge()

    await everywhere(dut, machines.ROUND_STEPS, bench)


@cocotb.test()
async def step_programs_after_reset(dut: Any) -> None:
    """A reset in the middle: nothing is valid, the next start begins at the first step."""
    await start(dut)
    for name, steps in machines.STEPS.items():
        pins, segment = Pins(dut, name), len(steps.ends) - 1
        first = steps.ends[segment - 1] if segment else 0
        for advances in range(len(steps.program) - first):
            for reset in (True, False):
                pins.put(start=1, segment=segment)
                await pins.edge()
                pins.put(start=0, advance=1)
                for _ in range(advances if reset else 0):
                    await pins.edge()
                pins.put(advance=0)
                await pins.settle()
                pins.expect(valid=1, step=steps.program[first + (advances if reset else 0)])
                dut.rst_n.value = 0
                await pins.edge()
                dut.rst_n.value = 1
                await pins.settle()
                pins.expect(valid=0)
                await pins.edge()


@cocotb.test()
async def address_walks(dut: Any) -> None:
    async def bench(pins: Pins, walks: Walks, stalls: Iterator[bool], rng: random.Random) -> None:
        chosen = rng.sample(walks.walks, 6)
        pins.put(load=1, next_walk=walks.word(chosen[0]), advance=0)
        await pins.edge()
        for index, walk in enumerate(chosen):
            pins.put(load=0, walk=walks.word(walk))
            pins.noise(rng, "next_walk")
            for address, iteration_last, walk_last in walks.addresses(walk):
                advance = False
                while not advance:
                    advance = not next(stalls)
                    pins.put(advance=advance)
                    if advance and walk_last and index + 1 < len(chosen):  # the next walk without a gap
                        pins.put(load=1, next_walk=walks.word(chosen[index + 1]))
                    await pins.settle()
                    pins.expect(address=address, iteration_last=iteration_last, walk_last=walk_last)
                    await pins.edge()
        pins.put(load=0, advance=0)

    await everywhere(dut, machines.WALKS, bench)


@cocotb.test()
async def walks_over_rows(dut: Any) -> None:
    async def bench(pins: Pins, walk: RowsWalk, stalls: Iterator[bool], rng: random.Random) -> None:
        for position in (0, 1 << 17, rng.randrange(1, 6)):
            pins.put(start=1, position=position)
            await pins.edge()
            pins.put(start=0)
            for wanted in walk.slices(position):
                advance = False
                while not advance:
                    advance = not next(stalls)
                    pins.put(advance=advance)
                    await pins.settle()
                    pins.expect(valid=1, **wanted)
                    await pins.edge()
            pins.put(advance=0)
            await pins.settle()
            pins.expect(valid=0)
            await pins.edge()

    await everywhere(dut, machines.ROWS_WALKS, bench)


@cocotb.test()
async def moves_of_rounds(dut: Any) -> None:
    async def bench(pins: Pins, plays: Plays, stalls: Iterator[bool], rng: random.Random) -> None:
        looped = max(plays.rounds) > 1
        for segment, count in [*enumerate(plays.rounds)] * 2:
            for round_ in range(count):
                pins.put(start=1, segment=segment, round=round_)
                await pins.edge()
                pins.put(start=0)
                for _ in range(1 + next(stalls) + next(stalls)):
                    swap = edge(rng, 32)
                    pins.put(swap=swap)
                    await pins.settle()
                    pins.expect(moved=(round_ * plays.strides[segment] + round_ % 2 * swap) * looped)
                    await pins.edge()
                    pins.noise(rng, "segment", "round")  # they were taken with the start

    await everywhere(dut, machines.ROUNDS, bench)


@cocotb.test()
async def plays_of_an_inference(dut: Any) -> None:
    """Each output in each cycle, whenever nodes end, the host starts and continues."""

    async def bench(pins: Pins, plays: Plays, stalls: Iterator[bool], rng: random.Random) -> None:
        everything = (1 << plays.nodes) - 1
        ahead = False  # the host has set ap_start again while the inference before was running
        pins.put(node_done=everything, ap_continue=0)
        for _ in range(10):
            while not ahead and next(stalls):
                await pins.settle()
                pins.expect(ap_idle=1, start=0, ap_ready=0, ap_done=0)
                await pins.edge()
            entry = rng.randrange(len(plays.entries))
            first, end = plays.entries[entry]
            order = [(s, r) for s in range(first, end) for r in range(plays.rounds[s])]
            pins.put(ap_start=1, entry=entry)
            await pins.settle()
            pins.expect(ap_idle=1, start=1, ap_ready=1, ap_done=0, segment=first, round=0)
            await pins.edge()
            pins.noise(rng, "entry")  # it was taken with the start
            ahead = rng.random() < 0.5
            pins.put(ap_start=ahead)
            for index, (segment, round_) in enumerate(order):
                if index:  # the cycle after the last node was done
                    await pins.settle()
                    pins.expect(start=1, ap_ready=0, ap_done=0, ap_idle=0, segment=segment, round=round_)
                    await pins.edge()
                idle = rng.getrandbits(plays.nodes)  # nodes without steps in this segment
                done = idle if rng.random() < 0.3 else 0
                while True:
                    pins.put(node_done=done)
                    await pins.settle()
                    pins.expect(start=0, ap_ready=0, ap_done=0, ap_idle=0, segment=segment, round=round_)
                    await pins.edge()
                    if done == everything:
                        break
                    if not next(stalls):
                        done |= 1 << rng.randrange(plays.nodes)
            continues = False
            while not continues:
                continues = not next(stalls)
                pins.put(ap_continue=continues)
                await pins.settle()
                pins.expect(start=0, ap_ready=0, ap_done=1, ap_idle=0)
                await pins.edge()
            pins.put(ap_continue=0)
        pins.put(ap_start=0)
        await pins.edge()  # an inference may have begun; the next pattern starts with a reset

    for pattern in PATTERNS:
        await start(dut)
        running = []
        for name, plays in machines.SEQUENCERS.items():
            rng = random.Random(f"{name} {pattern}")
            running.append(cocotb.start_soon(bench(Pins(dut, name), plays, waits(pattern, rng), rng)))
        await Combine(*running)


@cocotb.test()
async def maxima_of_runs(dut: Any) -> None:
    async def bench(pins: Pins, maximum: Maximum, stalls: Iterator[bool], rng: random.Random) -> None:
        other = waits(rng.choice(PATTERNS), rng)
        for _ in range(2):
            beats: list[list[int]] = []
            wanted: deque[int] = deque()
            ends = set()
            for count, length in maximum.runs:
                for _ in range(count):
                    run = [[edge(rng, maximum.bits) for _ in range(maximum.lanes)] for _ in range(length)]
                    beats += run
                    ends.add(len(beats) - 1)
                    wanted.append(packed([max(lane) for lane in zip(*run, strict=True)], maximum.bits))
            pins.put(start=1, in_valid=0, out_ready=0)
            await pins.edge()
            pins.put(start=0)
            taken, offers, due = 0, False, False
            while wanted:
                offers = offers or not next(stalls)  # a beat more than there is to take is offered, too
                pins.put(in_valid=offers, out_ready=(ready := not next(other)))
                if taken < len(beats):
                    pins.put(in_data=packed(beats[taken], maximum.bits))
                await pins.settle()
                sends = pins.get("out_valid")
                assert sends or not due, f"{pins.name}: a maximum does not follow in the next cycle"
                if sends:
                    pins.expect(out_data=wanted[0])
                    due = not ready  # and then it stays
                    if ready:
                        wanted.popleft()
                if offers and pins.get("in_ready"):
                    assert taken < len(beats), f"{pins.name} takes a beat that no step asks for"
                    due = due or taken in ends
                    taken, offers = taken + 1, False
                await pins.edge()
            pins.put(in_valid=0)
            await pins.settle()
            pins.expect(out_valid=0, in_ready=0)
            await pins.edge()

    await everywhere(dut, machines.MAXIMA, bench)


@cocotb.test()
async def divisions(dut: Any) -> None:
    async def bench(pins: Pins, _: Any, stalls: Iterator[bool], rng: random.Random) -> None:
        for _ in range(40):
            top = rng.randrange(24, 41)
            total = min(
                1 << 40,
                rng.choice((1 << top, (1 << top) + 1, (2 << top) - 1, rng.randrange(1 << top, 2 << top))),
            )
            numerator = rng.choice((1 << 42, (1 << 43) - 1, rng.randrange(1 << 42, 1 << 43)))
            extra = total.bit_length() - 25
            pins.put(total=total, numerator=numerator)
            answer = {"quotient": (numerator << extra) // total, "extra": extra}
            await counted(pins, rng, stalls, 19, ("total", "numerator"), answer)

    await everywhere(dut, machines.DIVIDERS, bench)


@cocotb.test()
async def reciprocal_roots(dut: Any) -> None:
    rows = [moments(*row) for bits in (8, 16) for row in rows_of_norms(bits, bits)]
    rows.append({"count": 1, "sum": -32768, "squares": 1 << 30, "epsilon": 1})  # the least spread
    rows.append({"count": 1 << 15, "sum": 0, "squares": 1 << 45, "epsilon": (1 << 61) - 1})  # the most

    async def bench(pins: Pins, _: Any, stalls: Iterator[bool], rng: random.Random) -> None:
        for row in rng.sample(rows, len(rows)):
            root, pair = (int(v[0]) for v in reciprocal_root(np.array([spread(row)])))
            pins.put(**row)
            await counted(pins, rng, stalls, 24, ("count", "sum", "squares"), {"root": root, "pair": pair})

    await everywhere(dut, machines.ROOTS, bench)


async def counted(
    pins: Pins,
    rng: random.Random,
    stalls: Iterator[bool],
    cycles: int,
    taken: tuple[str, ...],
    answer: dict[str, int],
) -> None:
    """One operation: `taken` operands may go once it has begun; the answer is there after so many cycles, for one cycle."""
    while next(stalls):
        await pins.settle()
        pins.expect(busy=0, ready=0)
        await pins.edge()
    pins.put(go=1)
    await pins.settle()
    pins.expect(busy=0, ready=0)
    await pins.edge()
    pins.put(go=0)
    for cycle in range(1, cycles + 1):
        pins.noise(rng, *taken)
        await pins.settle()
        pins.expect(busy=1, ready=cycle == cycles)
        if cycle == cycles:
            pins.expect(**answer)
        await pins.edge()


class Cells:
    """The sums of an array, in numbers."""

    def __init__(self, array: Array):
        self.array = array
        self.acc = np.zeros((array.rows, array.lanes), np.int64)
        self.shadow: np.ndarray | None = None
        self.spilled: np.ndarray | None = None

    def add(self, item: dict[str, Any]) -> None:
        if item["first"]:
            resumes = self.array.contexts and item["resume"]
            self.acc = item["context"].copy() if resumes else np.zeros_like(self.acc)
        self.acc += np.outer(item["a"], item["w"])
        if item["flush"]:
            self.shadow = self.acc.copy()
        if item["spill"]:
            self.spilled = self.acc.copy()


@cocotb.test()
async def multiply_accumulate(dut: Any) -> None:
    async def bench(pins: Pins, array: Array, stalls: Iterator[bool], rng: random.Random) -> None:
        cells, history, out = Cells(array), deque([None, None, None], 3), None
        left = 0  # pairs until the sums begin anew: they never grow out of the accumulators
        for _ in range(250):
            move = not next(stalls)
            reads, row = rng.random() < 0.5, rng.randrange(array.rows)
            pins.put(move=move, shadow_read=reads, shadow_row=row)
            if move:
                item = None
                if rng.random() < 0.8:
                    item = {
                        "a": [edge(rng, array.used[0]) for _ in range(array.rows)],
                        "w": [edge(rng, array.used[1]) for _ in range(array.lanes)],
                        "context": np.array(
                            [
                                [edge(rng, array.acc_bits - 2) for _ in range(array.lanes)]
                                for _ in range(array.rows)
                            ]
                        ),
                        "first": left == 0,
                        "resume": rng.random() < 0.5,
                        "flush": rng.random() < 0.3,
                        "spill": rng.random() < 0.3,
                    }
                    left = (left or rng.randrange(1, 9)) - 1
                history.append(item)
            adds = history[0] if move else None
            pins.noise(
                rng, *(pin for pin in pins.unit.inputs if pin not in ("move", "shadow_read", "shadow_row"))
            )
            if move:
                newest = history[2]
                pins.put(take=newest is not None, multiply=history[1] is not None, add_valid=adds is not None)
                if newest:
                    pins.put(
                        a_data=packed(newest["a"], array.a_bits), w_data=packed(newest["w"], array.w_bits)
                    )
                if adds:
                    pins.put(**{f"add_{flag}": adds[flag] for flag in ("first", "resume", "flush", "spill")})
                    pins.put(context_data=packed(adds["context"].reshape(-1).tolist(), array.acc_bits))
            await pins.settle()
            if out is not None:
                pins.expect(out_data=packed(out.tolist(), array.acc_bits))
            if array.contexts and cells.spilled is not None:
                pins.expect(spill_data=packed(cells.spilled.reshape(-1).tolist(), array.acc_bits))
            await pins.edge()
            if reads and cells.shadow is not None:
                out = cells.shadow[row].copy()
            if adds:
                cells.add(adds)
        assert cells.shadow is not None and out is not None

    await everywhere(dut, machines.ARRAYS, bench)
