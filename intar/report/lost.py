"""Where the cycles of the MAC arrays go: every cycle of every core is work, or lost for one cause.

The causes come from the engine. It counts what a unit waits for over the whole run; what belongs to the time before
the first and after the last product is told apart by running the engine again up to those two cycles.
"""

from __future__ import annotations

from collections.abc import Mapping

from intar.design import Design, engine_memory
from intar.engine import run
from intar.engine.result import NodeCycles
from intar.errors import InternalError
from intar.ir.nodes.arrays import Core

CAUSES = ("start_up", "weights", "activations", "output_room", "between_steps", "drain", "unused")
"""Causes: before the core's first product; no weights; no activations; the results before are not taken yet; nothing
to do between two steps; after its last product; a core without any work. When weights and activations are missing
at once, it counts as activations."""


class Counts:
    """What each unit did up to some cycle of the predicted run; the engine's answers are kept."""

    def __init__(self, design: Design):
        self.design = design
        zero = dict.fromkeys(design.predicted.nodes, NodeCycles(0, 0, 0, 0, 0))
        self.known: dict[int, Mapping[str, NodeCycles]] = {
            0: zero,
            design.predicted.cycles: design.predicted.nodes,
        }

    def before(self, cycle: int) -> Mapping[str, NodeCycles]:
        """The counts of the cycles before this one, by unit."""
        if cycle not in self.known:
            memory = engine_memory(self.design.schedule.machine)
            entry, program = self.design.entry, self.design.program
            result = run(program, {}, memory=memory, values=False, max_cycles=cycle - 1, entry=entry)
            self.known[cycle] = result.nodes
        return self.known[cycle]


def core_cycles(design: Design, counts: Counts | None = None) -> dict[str, dict[str, int]]:
    """For each core: ``busy`` (cycles with a product) and the cycles lost by cause; they sum to the run's cycles.

    Padding is work here: a product of a tile's unused columns or rows is a busy cycle.
    """
    counts = counts or Counts(design)
    cores = [node for node in design.program.nodes if isinstance(node, Core)]
    return {core.name: _one(design, core.name, counts) for core in cores}


def lost_cycles(design: Design) -> dict[str, int]:
    """Cycles lost by cause, over all cores; they sum to cores × cycles − busy cycles."""
    per_core = core_cycles(design).values()
    return {cause: sum(core[cause] for core in per_core) for cause in CAUSES}


def _one(design: Design, name: str, counts: Counts) -> dict[str, int]:
    cycles, busy = design.predicted.cycles, design.predicted.nodes[name].busy
    result = {"busy": busy} | dict.fromkeys(CAUSES, 0)
    spans = [span for span in design.predicted.stages if span.node == name and span.first >= 0]
    if not spans:
        return result | {"unused": cycles}
    first, last = min(span.first for span in spans), max(span.last for span in spans)
    weights = design.program.inputs_of(name)["w"].name
    begin, end = counts.before(first)[name], counts.before(last + 1)[name]
    for_weights = end.waits.get(weights, 0) - begin.waits.get(weights, 0)
    result |= {
        "start_up": first,
        "weights": for_weights,
        "activations": end.wait_in - begin.wait_in - for_weights,
        "output_room": end.wait_out - begin.wait_out,
        "between_steps": end.idle - begin.idle + end.wait_token - begin.wait_token,
        "drain": cycles - last - 1,
    }
    if sum(result.values()) != cycles or min(result.values()) < 0:
        raise InternalError(f"the cycles of {name} don't add up to {cycles}: {result}")
    return result
