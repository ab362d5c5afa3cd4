"""Products that read a state from the memory outside: what is cached is used once a call, as weights are.

A step of a language model multiplies its queries with the cached keys and the new ones behind them. Where each core group
reads blocks (heads) of the state through a port of its own, neither the state nor its concatenation with the new rows has to
be on chip.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from intar.errors import ConfigError, Finding, quoted
from intar.ir.circuit import piece_indices
from intar.ir.quantgraph import QMove, QProduct, QuantGraph, Quantised
from intar.ir.schedule import Machine
from intar.ir.states import State, exposed, states


def stream_states(quantised: Quantised, machine: Machine) -> Quantised:
    """The same network with every state read by the product that needs it (`QProduct.state`), if there are ports for that.

    Raises
    ------
    ConfigError
        The network has no states, or one that this can't be done with: which, and why.
    """
    if not machine.state_ports:
        return quantised
    graph = quantised.graph
    found, joined = [], {}
    for state in states(graph):
        move = _joins(graph, state)
        product = move and _only_reader(graph, move)
        if move is None or not isinstance(product, QProduct) or product.inputs.index(move.output) != 1:
            found.append((state.name, "more reads it than one product, behind its new rows"))
        elif why := _refusal(graph, state, product, machine) or _odd(graph, state, machine):
            found.append((state.name, why))
        else:
            joined[move.name] = (move, product.name)
    reasons: dict[str, list[str]] = {}
    for name, why in found:
        reasons.setdefault(why, []).append(name)
    what = [
        f"state{'s' if len(names) > 1 else ''} {quoted(names)} can't be read as weights are: {why}"
        for why, names in reasons.items()
    ]
    what += [f"output {name!r} shows rows of states that don't count" for name in exposed(graph)]
    if what or not joined:
        hint = "leave `states` out of the budget"
        counts = _counts(graph, machine)
        if counts and machine.state_ports not in counts:
            hint += f", or say {' or '.join(map(str, counts))}"
        raise ConfigError(
            Finding(one, "budget states", hint=hint)
            for one in what or [f"network {graph.name!r} keeps no states"]
        )
    moves = {product: move for move, product in joined.values()}
    gone = {move.output for move, _ in joined.values()}
    tasks = []
    for task in graph.tasks:
        if task.name in joined:
            continue
        if task.name in moves:
            kept, new = moves[task.name].inputs
            task = task.model_copy(update={"inputs": (task.inputs[0], new), "state": kept})
        tasks.append(task)
    tensors = tuple(tensor for tensor in graph.tensors if tensor.name not in gone)
    return Quantised(
        graph.model_copy(update={"tasks": tuple(tasks), "tensors": tensors}), quantised.constants
    )


def _joins(graph: QuantGraph, state: State) -> QMove | None:
    """The move that puts, block by block, a state's new rows behind it, if nothing else reads the state."""
    readers = [task for task in graph.tasks if state.name in task.inputs]
    if len(readers) != 1 or readers[0].inputs != (state.name, state.new):
        return None
    (move,) = readers
    if not isinstance(move, QMove):
        return None
    sizes = [graph.tensor(name).rows * graph.tensor(name).cols for name in move.inputs]
    place = [(0, sizes[0]), (sizes[0], sizes[0] + sizes[1])]
    taken = [
        piece_indices(piece, visit) + place[piece.input][0]
        for visit in range(move.visits)
        for piece in move.pieces
    ]
    blocks = [np.arange(*ends).reshape(state.blocks, -1) for ends in place]
    wanted = np.concatenate(blocks, axis=1).reshape(-1)
    return move if np.array_equal(np.concatenate(taken), wanted) else None


def _only_reader(graph: QuantGraph, move: QMove) -> object:
    """The only task that reads what a move makes; None if there are more, or it is an output."""
    reads = Counter(name for task in graph.tasks for name in task.inputs)
    if reads[move.output] != 1 or move.output in graph.outputs:
        return None
    return next(task for task in graph.tasks if move.output in task.inputs)


def _counts(graph: QuantGraph, machine: Machine) -> list[int]:
    """Numbers of ports to which all states could be dealt out, each port with whole cores."""
    counts = set(range(1, machine.cores + 1))
    for state in states(graph):
        least = _beats(graph, state, machine)
        counts &= {
            count
            for count in counts
            if state.blocks % count == 0 and machine.cores % count == 0 and machine.cores // count >= least
        }
    return sorted(counts) if states(graph) else []


def _refusal(graph: QuantGraph, state: State, product: QProduct, machine: Machine) -> str:
    """Why the machine can't do it; empty if it can."""
    columns = _beats(graph, state, machine)
    groups, rest = divmod(machine.cores, machine.state_ports)
    if product.batch != state.blocks or state.inner != 1:
        return "a block of it is not what an item of the product reads"
    if state.blocks % machine.state_ports:
        return f"its {state.blocks} blocks can't be dealt out to {machine.state_ports} ports"
    if rest or groups < columns:
        return f"a port serves {machine.cores / machine.state_ports:g} cores, and a row has {columns} beats"
    if graph.tensor(product.output).rows // product.batch > machine.rows:
        return f"a call has more rows than the {machine.rows} of an array: each would read it again"
    widest = max(graph.tensor(one.name).bits for one in states(graph))
    if columns * machine.lanes * (8 if widest <= 8 else 16) % machine.port_bits:
        return "its rows are no whole port words"
    return ""


def _odd(graph: QuantGraph, state: State, machine: Machine) -> str:
    """How the state differs from the network's first one: one `position` is where the new rows of all states go."""
    first = states(graph)[0]
    beats, others = (_beats(graph, one, machine) for one in (state, first))
    if (state.rows, beats) == (first.rows, others):
        return ""
    return f"it has {state.rows} rows of {beats} beats in a block, {first.name!r} {first.rows} of {others}"


def _beats(graph: QuantGraph, state: State, machine: Machine) -> int:
    """Beats of a row of a state."""
    return -(-graph.tensor(state.name).cols // machine.lanes)
