"""Rules of what lies where: places, lifetimes, copies, banks, and that all of it fits."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from intar.schedule.check.facts import Facts, Violation


def residency_rules(facts: Facts) -> Iterator[Violation]:
    """Place, lifetime and bytes of every tensor."""
    for tensor, home in sorted(facts.home.items()):
        stages = facts.touched(tensor)
        if (home.first_stage, home.last_stage) != (stages[0], stages[-1]):
            what = f"lives from stage {home.first_stage} to {home.last_stage}, is used in {stages}"
            yield Violation("lifetime", tensor, what)
        if home.place == "tile" and (
            len(stages) != 1
            or tensor not in facts.maker
            or not facts.schedule.stages[stages[0]].tile_rows
            or tensor in facts.graph.outputs
        ):
            yield Violation("residency", tensor, "exists as tiles, but not only inside one tiled stage")
        if home.place == "chip":
            copies = max(1, sum(max(facts.reads(tensor, i)[kind] for i in stages) for kind in (0, 1)))
            if home.bytes % facts.size(tensor) or home.bytes < copies * facts.size(tensor):
                what = f"{home.bytes} bytes for {copies} copies of {facts.size(tensor)}"
                yield Violation("bytes", tensor, what)
        elif home.bytes != max(facts.need(tensor, i) for i in stages):
            yield Violation(
                "bytes", tensor, f"{home.bytes}, needs {max(facts.need(tensor, i) for i in stages)}"
            )


def alignment_rules(facts: Facts) -> Iterator[Violation]:
    """Row tiles that go off chip start at port words."""
    for i in range(len(facts.schedule.stages)):
        for tensor in facts.misaligned(i):
            yield Violation("alignment", f"stage {i}", f"row tiles of {tensor} are not whole port words")


def copy_rules(facts: Facts) -> Iterator[Violation]:
    """Every tensor has the copies that each stage needs, as large as it needs them, in banks that are large enough."""
    for tensor, home in sorted(facts.home.items()):
        for i in range(home.first_stage, home.last_stage + 1):
            here = [copy for copy in home.copies if copy.first_stage <= i <= copy.last_stage]
            if sum(copy.bytes for copy in here) != facts.need(tensor, i):
                what = f"copies of {sum(c.bytes for c in here)} bytes, needs {facts.need(tensor, i)}"
                yield Violation("copies", f"stage {i}", f"{tensor}: {what}")
            windowed = sum(copy.windows for copy in here)
            windows, beats = facts.reads(tensor, i)
            if i in facts.touched(tensor) and (windowed < windows or len(here) - windowed < beats):
                what = f"{windowed} of {len(here)} copies for windows, {windows} are read so and {beats} in beats"
                yield Violation("copies", f"stage {i}", f"{tensor}: {what}")
        for copy in home.copies:
            if not 0 <= copy.bank < len(facts.schedule.banks):
                yield Violation("bank", tensor, f"there is no bank {copy.bank}")
            elif copy.bytes > facts.schedule.banks[copy.bank].bytes:
                yield Violation("bank", tensor, f"{copy.bytes} bytes do not fit into bank {copy.bank}")
            if not home.first_stage <= copy.first_stage <= copy.last_stage <= home.last_stage:
                yield Violation("copies", tensor, f"a copy in stages {copy.first_stage} to {copy.last_stage}")
            elif home.place == "chip" and (copy.first_stage, copy.last_stage) != (
                home.first_stage,
                home.last_stage,
            ):
                yield Violation("copies", tensor, "a copy that is not there all the time")
            elif home.place != "chip" and copy.first_stage != copy.last_stage:
                yield Violation("copies", tensor, "a copy that outlives its stage")


def bank_rules(facts: Facts) -> Iterator[Violation]:
    """One tensor at a time in a bank; banks lie side by side and fit, with all that is always there."""
    tenants: dict[int, list[tuple[int, int, str, bool]]] = {}
    for tensor, home in sorted(facts.home.items()):
        for copy in home.copies:
            tenants.setdefault(copy.bank, []).append(
                (copy.first_stage, copy.last_stage, tensor, copy.windows)
            )
    for bank, inside in sorted(tenants.items()):
        for (_, last, one, windows), (first, _, other, next_windows) in pairwise(sorted(inside)):
            if windows != next_windows:
                yield Violation("bank", f"bank {bank}", f"{one} and {other} are not of the same kind")
            if first <= last:
                yield Violation("bank", f"bank {bank}", f"{one} and {other} are both there in stage {first}")
    top = 0
    for place in sorted(facts.schedule.banks, key=lambda place: place.address):
        if place.address < top:
            yield Violation("address", facts.schedule.name, f"two banks overlap at byte {place.address}")
        top = place.address + place.bytes
    weights = sum(facts.resident(i) for i in range(len(facts.schedule.stages)))
    used = facts.fixed() + weights + top
    if used > facts.machine.onchip_bytes:
        yield Violation("memory", facts.schedule.name, f"{used} bytes of {facts.machine.onchip_bytes}")
