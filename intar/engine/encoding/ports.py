"""Loads and stores as the C++ side reads them."""

from __future__ import annotations

from collections.abc import Sequence

from intar.engine.encoding.encoder import Encoder
from intar.ir.bits import INDEX_BITS
from intar.ir.nodes.ports import Load, Store
from intar.ir.program import Link
from intar.ir.segments import turns_in


def load(e: Encoder, node: Load) -> None:
    """Append a load: its argument, the store that it waits for, and a command for each step."""
    steps = e.played(node.steps)
    bases = [node.base(step, e.round) for step in steps]
    ratio = _memory_port(e, node, "out", [(b, s.beats) for b, s in zip(bases, steps, strict=True)])
    e.port(node, "ids", node.lookup, 1, INDEX_BITS)
    e.expect(
        not node.lookup or all(step.table for step in node.steps),
        node.name,
        "looks up in some steps only",
    )
    if node.after:
        found = any(isinstance(other, Store) and other.name == node.after for other in e.program.nodes)
        e.expect(found, node.name, f"waits for {node.after!r}, which is not a store")
    else:
        e.expect(all(step.need <= 0 for step in node.steps), node.name, "needs commands of no store")
    e.put(e.first_unit.get(node.after, -1))
    e.put(len(steps))
    before = _turns(e, node)[0]
    for index, step in enumerate(steps):
        need = max(step.need, before[index]) if before else step.need
        words = _words_of(step.beats, ratio)
        end = bases[index] + step.table * step.pitch
        limit = next((a.words for a in e.program.arguments if a.name == node.argument), 0)
        e.expect(end <= limit, f"{node.name} step {index}", f"a table up to word {end} of {limit}")
        place = _place(e, bases[index])
        e.put(place, step.beats, step.repeat, need, words, step.table, step.pitch)
    e.unit(node, "", steps, node.steps)


def store(e: Encoder, node: Store) -> None:
    """Append a store: its argument, the load whose turns come between its own, and a command for each step."""
    steps = e.played(node.steps)
    bases = [node.base(step, e.round, e.position) for step in steps]
    ratio = _memory_port(e, node, "in", [(b, s.beats) for b, s in zip(bases, steps, strict=True)])
    before, mate = _turns(e, node)
    e.put(mate, len(steps))
    for index, step in enumerate(steps):
        words = _words_of(step.beats, ratio)
        e.put(_place(e, bases[index]), step.beats, words, before[index] if before else 0)
    e.unit(node, "", steps, node.steps)


def _turns(e: Encoder, node: Load | Store) -> tuple[list[int], int]:
    """Commands of the other side that come before each command of a port whose sides take turns, and that side's unit.

    Empty and -1 in runs with both sides at once, and for ports that share nothing.
    """
    stores = [n for n in e.program.nodes if isinstance(n, Store) and n.turns and n.argument == node.argument]
    mates = [n for n in e.program.nodes if isinstance(n, Load) and n.argument == node.argument]
    if not e.take_turns or not stores or not mates:
        return [], -1
    done: dict[str, int] = {"w": 0, "r": 0}
    before: dict[str, list[int]] = {"w": [], "r": []}
    for side, commands in turns_in(stores[0], mates[0], e.segment):
        before[side] += [done["r" if side == "w" else "w"]] * commands
        done[side] += commands
    counts = (len(e.played(stores[0].steps)), len(e.played(mates[0].steps)))
    covered = (done["w"], done["r"]) == counts and mates[0].after == stores[0].name
    e.expect(covered, stores[0].name, f"the turns have {done} commands of {counts}")
    if not covered:
        return [], -1
    if isinstance(node, Load):
        return before["r"], e.first_unit[stores[0].name]
    return before["w"], e.first_unit[mates[0].name]


def _memory_port(e: Encoder, node: Load | Store, port: str, runs: Sequence[tuple[int, int]]) -> int:
    """What load and store have in common; `runs` are first word and beats of each step."""
    link = e.program.links[e.ports[node.name, port]] if (node.name, port) in e.ports else None
    e.port(node, port, bool(node.steps), link.lanes if link else 0)
    argument = e.arguments.get(node.argument, -1)
    e.expect(argument >= 0, node.name, f"there is no argument {node.argument!r}")
    e.expect(node.port_bits % 8 == 0, node.name, f"words of {node.port_bits} bits are not whole bytes")
    ratio = _ratio(e, node, link)
    if argument >= 0:
        held = e.program.arguments[argument]
        limit = held.words
        e.expect(held.port_bits == node.port_bits, node.name, f"port width is not that of {held.name}")
        for index, (base, beats) in enumerate(runs):
            end = base + _words_of(beats, ratio)
            inside = base >= 0 and end <= limit
            e.expect(
                inside, f"{node.name} step {index}", f"words {base}..{end} of {limit} of {node.argument}"
            )
    e.put(argument, node.port_bits // 8, ratio)
    return ratio


def _ratio(e: Encoder, node: Load | Store, link: Link | None) -> int:
    """Beats in a word, or minus the words in a beat."""
    beat = link.lanes * link.bits if link else node.port_bits
    if node.port_bits % beat == 0:
        return node.port_bits // beat
    if beat % node.port_bits == 0:
        return -(beat // node.port_bits)
    e.problems.append(f"{node.name}: beats of {beat} bits and words of {node.port_bits} bits don't divide")
    return 1


def _place(e: Encoder, base: int) -> int:
    """The first word of a step as the run needs it."""
    return base % e.align if e.align else base


def _words_of(beats: int, ratio: int) -> int:
    return -(-beats // ratio) if ratio > 0 else beats * -ratio
