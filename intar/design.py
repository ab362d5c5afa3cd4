"""The design: a compiled network with its program, and what it has to do with the bytes of the kernel's arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from intar.engine import EngineResult, MemoryModel
from intar.ir.circuit import from_circuit, to_circuit
from intar.ir.ops import POSITION
from intar.ir.program import Argument, Program, Region
from intar.ir.quantgraph import Quantised
from intar.ir.schedule import AnySchedule, Machine
from intar.ir.states import State, states
from intar.lower.images import argument_bytes, stored_tensors
from intar.lower.kept import new_rows, state_image
from intar.quant.fixed import limits
from intar.quant.golden import id_rows


@dataclass(frozen=True)
class Design:
    """A compiled network: integers, schedule, program, constant images and the engine's prediction.

    `predicted` is the engine's run with all-zero inputs: cycles, waits and spans don't depend on values. Where the program
    performs several networks, this one is its entry `entry`; it may be a shorter form `of` another (`quant.shorter`).
    """

    quantised: Quantised
    schedule: AnySchedule
    program: Program
    images: dict[str, bytes] = field(repr=False)
    predicted: EngineResult = field(repr=False)
    entry: int = 0
    of: str = ""

    @property
    def name(self) -> str:
        """What a call names it by: the entry, or the network where it has no name as an entry."""
        return self.program.entries[self.entry].name if self.program.entries else self.quantised.graph.name

    @property
    def folder(self) -> str:
        """Where in a project its own files lie, with a slash behind: those of the first network at the top."""
        return f"entries/{self.name}/" if self.entry else ""

    @property
    def states(self) -> list[State]:
        """The states that the kernel itself keeps from call to call."""
        kept = {region.name for argument in self.arguments("state") for region in argument.fields}
        return [state for state in states(self.quantised.graph) if state.name in kept]

    def arguments(self, role: str) -> list[Argument]:
        """The kernel's arguments of a role, with the tensors of this network in them."""
        found = [argument for argument in self.program.arguments if argument.role == role]
        if not self.program.entries:
            return found
        own = {state.name for state in states(self.quantised.graph)}

        def mine(region: Region) -> bool:  # entries share the states
            return region.name in own if role == "state" else region.entry == self.entry

        return [a.model_copy(update={"fields": tuple(filter(mine, a.fields))}) for a in found]

    def position(self, inputs: Mapping[str, np.ndarray]) -> int:
        """Where a call with these inputs stands; behind all that it reads where the network does not depend on it."""
        if self.quantised.graph.positions:
            return int(np.asarray(inputs[POSITION]).item())
        return self.program.positions

    def input_images(self, inputs: Mapping[str, np.ndarray]) -> dict[str, bytes]:
        """Bytes of the arguments of inputs and states for one inference, by name; `inputs` are integers by tensor name."""
        loaded = to_circuit(self.quantised.graph, inputs)
        images = {argument.name: argument_bytes(argument, loaded) for argument in self.arguments("input")}
        for argument in self.arguments("state"):
            images[argument.name] = state_image(argument, self.states, loaded)
        return images

    def first_rows(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The inputs of a call as this form takes them: of the states only the rows that it reads, the first ones."""
        graph, found = self.quantised.graph, dict(inputs)
        for state in states(graph):
            tensor = graph.tensor(state.name)
            rows = np.asarray(inputs[state.name]).reshape(state.blocks, -1, state.inner * tensor.cols)
            found[state.name] = rows[:, : state.rows].reshape(tensor.shape)
        return found

    def output_tensors(
        self, images: Mapping[str, bytes], position: int | None = None
    ) -> dict[str, np.ndarray]:
        """The network's outputs, in their own shapes, from the bytes of the arguments after a call at `position`."""
        tensors = stored_tensors(self.arguments("output"), images)
        at = self.program.positions if position is None else position
        tensors |= new_rows(self.arguments("state"), self.states, images, at)
        return from_circuit(self.quantised.graph, tensors)


def fastest(whole: Design, shorter: Iterable[Design], position: int) -> Design:
    """Of a network and shorter forms of it the one that performs a call at `position` in the fewest cycles: a form performs
    those at its own positions, up to the last one."""
    fits = [form for form in shorter if form.quantised.graph.positions >= position]
    return min((whole, *fits), key=lambda form: form.predicted.cycles)


def random_inputs(quantised: Quantised, count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Integers (count, *shape) for each input: any of its bits, of ids and of the position any that there is."""
    graph, ids, rng = quantised.graph, id_rows(quantised), np.random.default_rng(seed)
    ranges = {
        name: (0, ids[name] - 1) if name in ids else limits(graph.tensor(name).bits) for name in graph.inputs
    }
    if graph.positions:
        ranges[POSITION] = (0, graph.positions)
    return {
        name: rng.integers(low, high + 1, (count, *graph.tensor(name).shape))
        for name, (low, high) in ranges.items()
    }


def engine_memory(machine: Machine) -> MemoryModel:
    """The engine's memory model of the machine."""
    return MemoryModel(machine.latency, machine.words_num, machine.words_den)
