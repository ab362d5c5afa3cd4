"""cocotb: the passes of a rows node at their own pins, cycle by cycle, against the integers of the docs."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from typing import Any

import cocotb
import numpy as np
import rows_passes
from engine_model import Model, clamp
from extreme_programs import edge
from machines_cocotb import Pins, everywhere
from pipelines import moments, rows_of_norms, spread
from rows_passes import KINDS, Columns, Divisions, Lookups, Maximum, Results, Terms
from stalls import PATTERNS, waits
from units import packed

from intar.codegen.rtl_nodes.functions import FUNCTION, table_fields
from intar.codegen.rtl_nodes.program import pack
from intar.quant.norms import reciprocal_root


@cocotb.test()
async def largest_of_rows(dut: Any) -> None:
    """After each slice the largest element, or magnitude, of the row up to it; pauses change nothing."""

    async def bench(pins: Pins, made: Maximum, stalls: Iterator[bool], rng: random.Random) -> None:
        lowest = -1 << (made.bits - 1)
        for _ in range(30):
            top, heights = lowest, made.peak and rng.random() < 0.7
            slices = rng.choice((1, 1, 2, 5))
            for index in range(slices):
                while next(stalls):
                    pins.noise(rng, "first", "heights", "used", "slice")
                    pins.put(go=0)
                    await pins.edge()
                values = [edge(rng, made.bits) for _ in range(made.rate)]
                used = rng.getrandbits(made.rate)
                pins.put(go=1, first=index == 0, heights=heights, used=used, slice=packed(values, made.bits))
                await pins.edge()
                keys = [abs(v) + lowest if heights else v for v in values]
                top = max(top, *(key for p, key in enumerate(keys) if used >> p & 1), lowest)
                await pins.settle()
                pins.expect(top=top)
            pins.put(go=0)
            await pins.edge()

    await everywhere(dut, rows_passes.MAXIMA, bench)


def terms_of(made: Terms, rng: random.Random) -> tuple[list[dict[str, int]], list[int], dict[str, int]]:
    """A row of some slices: its pins in each cycle, its terms, and its sums."""
    op, bits = rng.choice(made.ops), made.bits
    slices = 1 if op == "peak" else rng.choice((1, 1, 2, 5))
    size, low = slices * made.rate, -1 << (bits - 1)
    values = [edge(rng, rng.choice((2, bits))) for _ in range(size)]
    used = [rng.random() < 0.9 for _ in range(size)]
    counted = [v for v, counts in zip(values, used, strict=True) if counts]
    fixed = {"kind": KINDS[op], "centred": rng.random() < 0.5, "mult": rng.randrange(1, 1 << 25)}
    fixed |= {"lift": 16 - bits if op == "norm" and rng.random() < 0.5 else 0}
    fixed |= {"shift": rng.choice((1, 9, 17, rng.randrange(1, 47)))}
    peak = max(1, *map(abs, counted), 1)
    if op == "softmax":
        top = max(counted, default=low)
        powers = [Model.power(top - v, fixed["mult"], fixed["shift"]) if counts else 0
                  for v, counts in zip(values, used, strict=True)]  # fmt: skip
        found, sums = powers, {"total": sum(powers)}
    else:
        lifted = [(v << fixed["lift"]) * counts for v, counts in zip(values, used, strict=True)]
        top = low + max(map(abs, counted), default=0) if op != "norm" else edge(rng, bits)
        found, sums = ([1] * size if op == "peak" else lifted), {"total": peak << 24}
        if op == "norm":
            sums = {"sum": sum(lifted) * fixed["centred"], "squares": sum(v * v for v in lifted)}
    cycles = []
    for index in range(slices):
        part = slice(index * made.rate, (index + 1) * made.rate)
        cycle = {"first": index == 0, "last": index == slices - 1, "used": packed(used[part], 1)}
        cycles.append(fixed | cycle | {"values": packed(values[part], bits), "top": top})
    packs = [packed(found[i : i + made.rate], 25) for i in range(0, size, made.rate)]
    return cycles, packs, sums


@cocotb.test()
async def terms_of_rows(dut: Any) -> None:
    """Rows of all kinds one behind the other: what is kept of each element ten cycles later, sums eleven."""

    async def bench(pins: Pins, made: Terms, stalls: Iterator[bool], rng: random.Random) -> None:
        todo: deque[tuple[dict[str, int], int, dict[str, int] | None]] = deque()
        late: dict[str, int] = {}
        kept: dict[int, int] = {}
        sums: dict[int, dict[str, int]] = {}
        for now in range(400):
            if not todo and now < 380:
                cycles, packs, found = terms_of(made, rng)
                for cycle, terms in zip(cycles, packs, strict=True):
                    todo.append((cycle, terms, found if cycle["last"] else None))
            inside = bool(todo) and not todo[0][0]["first"]  # a row that has begun goes on
            go = bool(todo) and (inside or not next(stalls))
            pins.noise(
                rng, "first", "last", "kind", "centred", "lift", "mult", "shift", "used", "values", "top"
            )
            pins.put(go=go, **late)
            late = {}
            if go:
                cycle, kept[now + 10], found_sums = todo.popleft()
                late = {"values": cycle.pop("values"), "top": cycle.pop("top")}
                pins.put(**cycle)
                if found_sums is not None:
                    sums[now + 11] = found_sums
            await pins.settle()
            if now >= 11:
                pins.expect(terms_valid=now in kept, sums_valid=now in sums)
            if now in kept:
                pins.expect(terms=kept[now])
            pins.expect(**sums.get(now, {}))
            await pins.edge()
        pins.put(go=0)
        for _ in range(12):
            await pins.edge()

    await everywhere(dut, rows_passes.TERMS, bench)


def division(made: Divisions, rng: random.Random) -> tuple[str, dict[str, int], int, int]:
    """A row's operation, its pins, quotient and places."""
    op = rng.choice(made.ops)
    given = {"numerator": rng.randrange(1 << 42, 1 << 43), "out_shift": rng.randrange(1, 23)}
    given |= {"shift": rng.randrange(1, 6), "kind": KINDS[op]}
    if op == "norm":
        row, centred, factors = rng.choice(ROWS)
        item = moments(row, centred, factors)
        root, pair = (int(v[0]) for v in reciprocal_root(np.array([spread(item)])))
        given |= {name: item[name] for name in ("count", "sum", "squares")} | {"numerator": item["epsilon"]}
        return op, given, root, given["shift"] + pair
    peak = rng.choice((1, 2, 3, 32768, 32767, rng.randrange(1, 32769)))
    total = rng.randrange(1 << 24, 1 << rng.randrange(25, 41)) if op == "softmax" else peak << 24
    if op == "peak":
        return op, given | {"total": total}, 2 * peak, 1
    extra = total.bit_length() - 25
    return op, given | {"total": total}, (given["numerator"] << extra) // total, given["out_shift"] + extra


ROWS = [row for row in rows_of_norms(8, 5) if len(row[0]) < 100]


@cocotb.test()
async def divisions_in_turn(dut: Any) -> None:
    """Who may begin in each cycle, and what is ready when, in the order of the rows."""

    async def bench(pins: Pins, made: Divisions, stalls: Iterator[bool], rng: random.Random) -> None:
        names = ("kind", "numerator", "shift", "out_shift", "total", "count", "sum", "squares")
        pins.put(start=1, valid=0)
        await pins.edge()
        pins.put(start=0)
        free, root_free, turn, begun = [0] * made.dividers, 0, 0, 0
        due: deque[tuple[int, int, int, int]] = deque()
        op, given, quotient, down = division(made, rng)
        for now in range(700):
            valid = not next(stalls) and now < 660
            pins.noise(rng, *names)
            pins.put(valid=valid, **(given if valid else {}))
            divides = op in ("softmax", "unit")
            go = valid and root_free <= now and (free[turn] if divides else max(free)) <= now
            if go:
                takes = {"norm": 24, "peak": 0}.get(op, 19)
                due.append((now + takes, begun % made.slots, quotient, down))
                begun += 1
                if op == "norm":
                    root_free = now + 25
                elif divides:
                    free[turn] = now + 20
                    turn = (turn + 1) % made.dividers
                op, given, quotient, down = division(made, rng)
            await pins.settle()
            ready = bool(due) and due[0][0] == now
            pins.expect(go=go, ready=ready)
            if ready:
                _, slot, wanted, places = due.popleft()
                pins.expect(ready_slot=slot, quotient=wanted, down=places)
            await pins.edge()
        assert not due, f"{pins.name}: a row is never ready"

    await everywhere(dut, rows_passes.DIVISIONS, bench)


@cocotb.test()
async def columns_of_rows(dut: Any) -> None:
    """Gains and offsets are taken a beat ahead; each slice meets those of its columns; pauses change nothing."""

    async def bench(pins: Pins, made: Columns, stalls: Iterator[bool], rng: random.Random) -> None:
        other, slices = waits(rng.choice(PATTERNS), rng), made.lanes // made.rate
        width = max(1, made.group_bits)
        pins.put(start=1, params_valid=0, next=0, move=0)
        await pins.edge()
        pins.put(start=0)
        beats = [
            ([edge(rng, 25) for _ in range(made.lanes)], [edge(rng, 32) for _ in range(made.lanes)],
             [rng.getrandbits(made.group_bits) if made.group_bits else 0 for _ in range(made.lanes)])
            for _ in range(24)
        ]  # fmt: skip
        words = [beat for gains, offsets, groups in beats
                 for beat in ([(g & 0x1FFFFFF) | n << 25 for g, n in zip(gains, groups, strict=True)], offsets)]  # fmt: skip
        taken = at = place = 0
        items: list[dict[str, Any] | None] = []
        while at < len(beats) or any(items[-13:]):
            move, offers = not next(stalls), taken < len(words) and not next(other)
            have = taken // 2 > at
            go = move and have and not next(other)
            ends = go and place == slices - 1
            pins.noise(rng, "count", "sum", "root", "down", "q", "limits", "values", "params_data")
            pins.put(params_valid=offers, move=move, next=ends, slice=place)
            if offers:
                pins.put(params_data=packed(words[taken], 32))
            if move and items and items[-1]:
                pins.put(values=packed(items[-1]["values"], 16))
            if move:
                items.append(None)
            if go:
                gains, offsets, groups = (
                    [*numbers[place * made.rate : (place + 1) * made.rate]] for numbers in beats[at]
                )
                items[-1] = normal_slice(made, rng, gains, offsets)
                pins.put(
                    **{name: items[-1][name] for name in ("count", "sum", "root", "down", "q", "limits")}
                )
            await pins.settle()
            ready = taken - 2 * at < 3 or ends
            pins.expect(valid=have, params_ready=ready)
            if go:
                pins.expect(groups=packed(groups, width))
            if (place_now := len(items) - move - 12) >= 0 and (item := items[place_now]):
                pins.expect(results=packed(item["results"], made.bits))
            await pins.edge()
            taken += offers and ready
            if go:
                place = (place + 1) % slices
                at += ends

    await everywhere(dut, rows_passes.COLUMNS, bench)


def normal_slice(made: Columns, rng: random.Random, gains: list[int], offsets: list[int]) -> dict[str, Any]:
    """What a slice of a row brings, and its results."""
    row, given = normal_row(rng)
    count, total, root, down, q = (given[name] for name in ("count", "sum", "root", "down", "q"))
    values = [int(rng.choice(row)) for _ in range(made.rate)]
    low, high = sorted((edge(rng, made.bits), edge(rng, made.bits)))
    zero, results = edge(rng, min(made.bits, 16)), []
    for value, gain, offset in zip(values, gains, offsets, strict=True):
        z = ((count * value - total) * (2 * root + 1) + (1 << (down - 1))) >> down
        y = (z * gain + (offset << (q - 14)) + (1 << (q - 1))) >> q
        results.append(clamp(y + zero, low, high))
    return given | {"limits": packed([zero, low, high], 18), "values": values, "results": results}


def normal_row(rng: random.Random) -> tuple[Any, dict[str, Any]]:
    """A row and what is known of it when it is normalised."""
    row, centred, factors = rng.choice(ROWS)
    item = moments(row, centred, factors)
    root, pair = (int(v[0]) for v in reciprocal_root(np.array([spread(item)])))
    found = {"count": len(row), "sum": item["sum"], "root": root, "down": factors.shift + pair}
    return row, found | {"q": factors.out_shift}


@cocotb.test()
async def lookups_of_results(dut: Any) -> None:
    """Tables are filled, then each slice looks its values up in one of them, each lane in a group of its own."""

    async def bench(pins: Pins, made: Lookups, stalls: Iterator[bool], rng: random.Random) -> None:
        node, width = made.node, max(1, made.node.group_bits)
        pins.put(start=1, segment=0, round=0, tables_valid=0, move=0)
        await pins.edge()
        pins.put(start=0)
        taken = 0
        while taken < len(made.beats):
            offers = not next(stalls)
            pins.put(tables_valid=offers, tables_data=packed(made.beats[taken], 32))
            await pins.settle()
            pins.expect(filled=0)
            taken += offers and pins.get("tables_ready")
            await pins.edge()
        pins.put(tables_valid=0)
        await pins.settle()
        pins.expect(filled=1)
        await pins.edge()
        items: list[tuple[int, list[int], list[int]]] = []
        while len(items) < 80:
            move = not next(stalls)
            pins.noise(rng, "place", "groups", "values")
            pins.put(move=move)
            if move:
                slot = rng.randrange(2)
                groups = [rng.randrange(node.tables[slot].groups) for _ in range(node.rate)]
                items.append((slot, groups, [edge(rng, 8) for _ in range(node.rate)]))
                pins.put(place=pack(FUNCTION[1:], table_fields(node.tables[slot]), "place"))
                pins.put(groups=packed(groups, width))
                if len(items) > made.result:
                    pins.put(values=packed(items[-1 - made.result][2], 18))
            await pins.settle()
            if (at := len(items) - move - made.latency) >= 0:
                slot, groups, values = items[at]
                wanted = [made.look_up(slot, g, v) for g, v in zip(groups, values, strict=True)]
                pins.expect(results=packed(wanted, 8))
            await pins.edge()

    await everywhere(dut, rows_passes.LOOKUPS, bench)


def beat_of_results(made: Results, rng: random.Random) -> dict[str, Any]:
    """A beat's pins, the shares of its slices, its parameters, and what it leaves as."""
    kind = rng.choice(made.kinds)
    slot = rng.choice((-1, 0, 1)) if made.tables and kind < 2 else -1
    bits = 8 if slot >= 0 else made.bits
    low, high = sorted((edge(rng, bits), edge(rng, bits)))
    zero = edge(rng, bits)
    pins = {"kind": kind, "look_up": slot >= 0, "limits": packed([zero, low, high], 18)}
    words: list[list[int]] = []
    groups = [0] * made.lanes
    if kind == 1:
        row, given = normal_row(rng)
        count, total, root, down, q = (given.pop(name) for name in ("count", "sum", "root", "down", "q"))
        pins |= {"count": count, "sum": total, "ratio": root, "down": down, "q": q}
        shares = [int(rng.choice(row)) for _ in range(made.lanes)]
        gains, offsets = [edge(rng, 25) for _ in shares], [edge(rng, 32) for _ in shares]
        if slot >= 0 and made.tables:
            groups = [rng.randrange(made.tables.node.tables[slot].groups) for _ in shares]
        words = [[(g & 0x1FFFFFF) | n << 25 for g, n in zip(gains, groups, strict=True)], offsets]
        z = [((count * v - total) * (2 * root + 1) + (1 << (down - 1))) >> down for v in shares]
        scaled = [
            (v * gain + (offset << (q - 14)) + (1 << (q - 1))) >> q
            for v, gain, offset in zip(z, gains, offsets, strict=True)
        ]
    else:
        ratio, down = rng.randrange(1, 1 << 19), rng.choice((1, 30, 62, rng.randrange(1, 63)))
        shares = [rng.randrange((1 << 24) + 1) if kind == 0 else edge(rng, 16) for _ in range(made.lanes)]
        pins |= {"ratio": ratio, "down": down}
        scaled = [(v * ratio + (1 << (down - 1))) >> down for v in shares]
    left = [clamp(v + zero, low, high) for v in scaled]
    if slot >= 0 and made.tables:
        pins["place"] = pack(FUNCTION[1:], table_fields(made.tables.node.tables[slot]), "place")
        left = [made.tables.look_up(slot, g, v) for g, v in zip(groups, left, strict=True)]
    wait = made.tables.latency - made.tables.result if slot >= 0 and made.tables else 0
    return {"pins": pins, "shares": shares, "words": words, "left": left, "moves": made.moves + wait}


@cocotb.test()
async def results_of_rows(dut: Any) -> None:
    """Beats of all kinds, looked up or not, leave in order, each after so many moves, whatever waits outside."""

    async def bench(pins: Pins, made: Results, stalls: Iterator[bool], rng: random.Random) -> None:
        other, slices = waits(rng.choice(PATTERNS), rng), made.lanes // made.rate
        beats = [beat_of_results(made, rng) for _ in range(25)]
        words = deque(word for beat in beats for word in beat["words"])
        tables = deque(made.tables.beats if made.tables else ())
        pins.put(start=1, segment=0, round=0, valid=0, params_valid=0, tables_valid=0, out_ready=0)
        await pins.edge()
        pins.put(start=0)
        wanted: deque[tuple[dict[str, Any], int]] = (
            deque()
        )  # beats on their way, and the move of their last slice
        at = place = moves = 0
        shares: list[int] | None = None
        shown = False
        for _ in range(12000):
            if at == len(beats) and not wanted:
                break
            valid = at < len(beats) and not next(stalls)
            ready, parameters, filling = (
                not next(other),
                words and not next(other),
                tables and not next(stalls),
            )
            pins.noise(rng, "kind", "look_up", "count", "sum", "ratio", "down", "q", "limits", "place")
            pins.noise(rng, "shares", "params_data", "tables_data")
            pins.put(valid=valid, params_valid=bool(parameters), tables_valid=bool(filling), out_ready=ready)
            pins.put(slice=place, slice_last=place == slices - 1)
            if valid:
                pins.put(**beats[at]["pins"])
            if parameters:
                pins.put(params_data=packed(words[0], 32))
            if filling:
                pins.put(tables_data=packed(tables[0], 32))
            if shares is not None:
                pins.put(shares=packed(shares, 25))
            await pins.settle()
            leaves, go, move = pins.get("out_valid"), pins.get("go"), pins.get("move")
            pins.expect(idle=0 if tables or leaves else pins.get("idle"), move=not leaves or ready)
            assert valid or not go, f"{pins.name} takes a slice that is not there"
            if leaves:
                assert wanted, f"{pins.name}: a beat that nobody sent"
                beat, last = wanted[0]
                assert shown or moves == last + beat["moves"], (
                    f"{pins.name}: {moves - last} moves, not {beat['moves']}"
                )
                pins.expect(out_data=packed(beat["left"], made.bits))
                shown = not ready
                if ready:
                    wanted.popleft()
            if parameters and pins.get("params_ready"):
                words.popleft()
            if filling and pins.get("tables_ready"):
                tables.popleft()
            if move:
                shares = None
            if go:
                shares = beats[at]["shares"][place * made.rate : (place + 1) * made.rate]
                place = (place + 1) % slices
                if place == 0:
                    wanted.append((beats[at], moves))
                    at += 1
            moves += move
            await pins.edge()
        assert at == len(beats) and not wanted, f"{pins.name} stops"
        pins.put(valid=0, out_ready=1)
        await pins.settle()
        pins.expect(idle=1)
        await pins.edge()

    await everywhere(dut, rows_passes.RESULTS, bench)
