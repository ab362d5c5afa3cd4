"""cocotb: the loads, parameters and settings of vector units at their own pins, cycle by cycle."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from typing import Any

import cocotb
import vector_machines
from extreme_programs import edge
from machines_cocotb import Pins, everywhere
from stalls import PATTERNS, waits
from units import bits_of, packed
from vector_machines import TableLoad, VectorLoad, VectorParams, VectorSettings

from intar.codegen.rtl_nodes.program import pack
from intar.codegen.rtl_nodes.vector import VECTOR


async def filled(
    pins: Pins, load: TableLoad, first: int, entries: int, bounds: tuple[int, int, int], told: dict[str, int],
    stalls: Iterator[bool], rng: random.Random,
) -> None:  # fmt: skip
    """One table of so many entries, some cycles apart; the pins of `told` say where it goes and how it is clamped."""
    width, per_cycle = load.width, load.numbers * (32 // load.width)
    q, low, high = bounds
    for part in range(load.parts):
        values = [edge(rng, width) for _ in range(entries)]
        for at in range(0, entries, per_cycle):
            lane = at * width // 32 % load.lanes
            last = at + per_cycle == entries
            while next(stalls):
                pins.noise(rng, "data", *told)
                pins.put(go=0)
                await pins.settle()
                pins.expect(take=0, last=0)
                await pins.edge()
                await pins.settle()
                pins.expect(write_base=0, write_slope=0, write_curve=0)
                await pins.edge()
            chosen = values[at : at + per_cycle]
            others = rng.getrandbits(32 * load.lanes)
            mask = ((1 << 32 * load.numbers) - 1) << 32 * lane
            data = others & ~mask | packed(chosen, width) << 32 * lane
            pins.put(go=1, data=data, **told)
            await pins.settle()
            ends = last or lane + load.numbers == load.lanes
            pins.expect(take=ends, last=last and part == load.parts - 1)
            await pins.edge()
            pins.put(go=0)
            await pins.settle()
            pins.expect(write_base=part == 0, write_slope=part == 1, write_curve=part == 2)
            if load.parts == 1:
                chosen = [min(max((v + (1 << q >> 1)) >> q, low), high) for v in chosen]
            pins.expect(write_at=first + at, write_data=packed(chosen, width))
            await pins.edge()


def any_table(rng: random.Random, width: int) -> tuple[int, int, tuple[int, int, int]]:
    """First entry, entries, and (q, lo, hi) of a table."""
    low, high = sorted((edge(rng, min(width, 18)), edge(rng, min(width, 18))))
    return 16 * rng.randrange(500), 16 * rng.randrange(1, 7), (rng.choice((0, 1, 7)), low, high)


@cocotb.test()
async def loads_of_tables(dut: Any) -> None:
    """Tables one behind the other, some cycles apart: entries arrive in order, a beat is taken with its last ones."""

    async def bench(pins: Pins, load: TableLoad, stalls: Iterator[bool], rng: random.Random) -> None:
        pins.put(start=1, go=0)
        await pins.edge()
        pins.put(start=0)
        for _ in range(6):
            first, entries, bounds = any_table(rng, load.width)
            q, low, high = bounds
            told = {"first": first, "entries_end": entries - 1}
            told["bounds"] = q | (low & 0x3FFFF) << 5 | (high & 0x3FFFF) << 23
            await filled(pins, load, first, entries, bounds, told, stalls, rng)

    await everywhere(dut, vector_machines.TABLE_LOADS, bench)


@cocotb.test()
async def loads_of_vector_units(dut: Any) -> None:
    """Tables and sets of coefficients in any order; each goes to its own memory."""

    async def bench(pins: Pins, load: VectorLoad, stalls: Iterator[bool], rng: random.Random) -> None:
        pins.put(start=1, go=0)
        await pins.edge()
        pins.put(start=0)
        for _ in range(6):
            if load.tables and not (load.sets and rng.random() < 0.5):
                first, entries, bounds = any_table(rng, load.tables.width)
                step = {"load": 1, "load_first": first, "load_end": entries - 1}
                step |= dict(zip(("table_q", "table_lo", "table_hi"), bounds, strict=True))
                told = {"step": pack(VECTOR, step, "load")}
                await filled(pins, load.tables, first, entries, bounds, told, stalls, rng)
            else:
                await coefficients(pins, load.lanes, stalls, rng)

    await everywhere(dut, vector_machines.VECTOR_LOADS, bench)


async def coefficients(pins: Pins, lanes: int, stalls: Iterator[bool], rng: random.Random) -> None:
    """Some sets of eleven numbers; each begins a beat, and each beat's numbers are written in the next cycle."""
    sets, first = rng.randrange(1, 5), rng.randrange(500)
    step = {"load": 1, "rational_used": 1, "rational_first": first, "sets_end": sets - 1}
    word = pack(VECTOR, step, "load")
    for place in range(sets):
        for begin in range(0, 11, lanes):
            while next(stalls):
                pins.noise(rng, "data", "step")
                pins.put(go=0)
                await pins.settle()
                pins.expect(take=0, last=0)
                await pins.edge()
            numbers = [edge(rng, 32) for _ in range(lanes)]
            pins.put(go=1, step=word, data=packed(numbers, 32))
            await pins.settle()
            pins.expect(take=1, last=place == sets - 1 and begin + lanes >= 11)
            await pins.edge()
            pins.put(go=0)
            await pins.settle()
            count = min(lanes, 11 - begin)
            pins.expect(write_words=((1 << count) - 1) << begin, write_set=first + place)
            pins.expect(write_base=0, write_slope=0, write_curve=0)
            written = pins.get("write_set_data") >> 32 * begin & ((1 << 32 * count) - 1)
            assert written == packed(numbers[:count], 32), pins.name
            await pins.edge()
            await pins.settle()
            pins.expect(write_words=0)
            await pins.edge()


@cocotb.test()
async def parameters_of_groups(dut: Any) -> None:
    """Each output in each cycle: two groups ahead at most, in order, by lane and by row, loads in between."""

    async def bench(pins: Pins, made: VectorParams, stalls: Iterator[bool], rng: random.Random) -> None:
        other = waits(rng.choice(PATTERNS), rng)
        for _ in range(2):
            pins.put(start=1, params_valid=0, load_take=0, load_end=0, drop=0)
            await pins.edge()
            pins.put(start=0)
            groups: deque[dict[str, int]] = deque()  # those in the banks
            for kind, count, block, first in made.steps:
                beats: list[list[int]] = []  # of the group that comes, or of the load
                done = 0
                place = first  # of the next set in its beat, by row
                while done < count:
                    valid, drop = not next(stalls), bool(groups) and not next(other)
                    take = kind == "load" and valid and not next(other)
                    beat = [edge(rng, 32) for _ in range(made.lanes)]
                    pins.put(params_valid=valid, params_data=packed(beat, 32), drop=drop)
                    pins.put(load_take=take, load_end=take and done == count - 1)
                    await pins.settle()
                    room = kind not in ("load", "none") and len(groups) < 2
                    last = kind != "row" or place == made.places - 1 or done % block == block - 1
                    ready = take if kind == "load" else room and last
                    pins.expect(params_ready=ready, at_load=kind == "load", full=bool(groups))
                    pins.expect(**(groups[0] if groups else {}))
                    await pins.edge()
                    if drop:
                        groups.popleft()
                    if room and valid:
                        beats.append(beat[4 * place :] if kind == "row" else beat)
                        if len(beats) == (4 if kind == "lane" else -(-4 // made.lanes)):
                            groups.append(shown(kind, beats, made.group_bits))
                            beats = []
                            done += 1
                            place = first if done % block == 0 else (place + 1) % made.places
                    done += take or kind == "none"
            while groups:
                pins.put(params_valid=1, load_take=0, load_end=0, drop=1)
                await pins.settle()
                pins.expect(params_ready=0, at_load=0, full=1, **groups.popleft())
                await pins.edge()
            pins.put(drop=0, load_take=0, load_end=0)
            await pins.settle()
            pins.expect(params_ready=0, at_load=0, full=0)
            await pins.edge()

    await everywhere(dut, vector_machines.VECTOR_PARAMS, bench)


def shown(kind: str, beats: list[list[int]], group_bits: int) -> dict[str, int]:
    """The outputs that hold a group's parameters."""
    if kind == "row":
        return {"row_values": packed([number for beat in beats for number in beat][:4], 32)}
    mults, shifts, lows, highs = beats
    values = {
        "lane_mults": packed(mults, 32),
        "lane_shifts": packed(shifts, 6),
        "lane_lows": packed(lows, 32),
    }
    values["lane_groups"] = packed([shift >> 16 for shift in shifts], group_bits)
    return values | {"lane_highs": packed(highs, 16)}


@cocotb.test()
async def settings_of_steps(dut: Any) -> None:
    """Each field of a step comes so many moves later; what no operation uses is 0."""

    async def bench(pins: Pins, made: VectorSettings, stalls: Iterator[bool], rng: random.Random) -> None:
        steps: list[int] = []
        while len(steps) < 60:
            move = not next(stalls)
            pins.noise(rng, "step")
            pins.put(move=move)
            await pins.settle()
            if move:
                steps.append(int(getattr(dut, f"{pins.name}_step").value))
            for pin in pins.unit.outputs:
                first, last, moves = made.fields.get(pin, ("zero", "zero", 0))
                at = len(steps) - move - moves
                if pin not in made.fields:
                    pins.expect(**{pin: 0})
                elif at >= 0:
                    wanted = bits_of(VECTOR, steps[at], first, last)
                    if pin == "binary_scale":
                        wanted |= bits_of(VECTOR, steps[at], "affine", "affine") << 71
                    pins.expect(**{pin: wanted})
            await pins.edge()

    await everywhere(dut, vector_machines.VECTOR_SETTINGS, bench)
