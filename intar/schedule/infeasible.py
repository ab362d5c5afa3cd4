"""Why nothing fits: what binds, the demand, what there is, what is missing, and the smallest memory that would do."""

from __future__ import annotations

from intar.errors import Finding, InfeasibleError
from intar.ir.kernels import least_ring
from intar.ir.quantgraph import QuantGraph
from intar.ir.schedule import Machine
from intar.schedule import sizes
from intar.schedule.build import lay_out
from intar.schedule.dp import State, after, solve_dp
from intar.schedule.moves import Move, Moves
from intar.schedule.problem import Problem, members

WIDTH = 400


def explain(problem: Problem, mode: str, moves: Moves) -> InfeasibleError:
    """The error to raise when `problem` has no schedule in `mode`."""
    machine, where = problem.machine, f"schedule of {problem.name!r}, mode {mode}"
    weights = "weights, " if machine.on_chip else ""
    if problem.fixed_bytes > machine.onchip_bytes:
        kernels, fewer = _kernels(problem)
        held = "all weights of matmuls, " if weights else ""
        off = " have the weights in memory (weights=memory)," if weights else ""
        return InfeasibleError(
            Finding(
                f"{weights}parameters, tables and weight rings alone need {problem.fixed_bytes} bytes on chip; there are "
                f"{machine.onchip_bytes} ({problem.fixed_bytes - machine.onchip_bytes} missing)",
                where,
                f"{kernels}{held}16 bytes for every output channel of every matmul and affine task, the function tables on "
                "every core, and weight rings for the longest reduction stay on chip",
                f"raise the budget's onchip to more than {problem.fixed_bytes},{fewer}{off} or take a larger device",
            )
        )
    leanest = solve_dp(problem, moves, WIDTH, aim="memory")
    if leanest is None or not leanest.moves:
        return InfeasibleError(
            Finding(
                "the pins contradict each other: no order of stages satisfies all of them, with any memory",
                where,
                "a pinned pattern is impossible for its task (for example a move task, or different row counts)",
                "remove pins, or change the mode",
            )
        )
    banks = lay_out(problem, leanest.moves).banks
    fullest = solve_dp(problem, moves, WIDTH, aim="peak")
    kept = sum(move.weights for move in leanest.moves)
    need = banks.total + kept + problem.fixed_bytes
    gap = need - machine.onchip_bytes
    binding = _binding(problem, leanest.moves)
    proved = (
        "the smallest memory with which a schedule exists"
        if fullest is not None and fullest.exact and banks.total == fullest.bytes and not kept
        else "enough; the least was not proved"
    )
    return InfeasibleError(
        Finding(
            f"needs {need} bytes on chip, the machine has {machine.onchip_bytes} ({gap} missing)",
            where,
            f"{binding}; {problem.fixed_bytes} bytes of {weights}parameters, tables and weight rings are always there",
            f"raise the budget's onchip to at least {need} ({proved}), use narrower activations, {_passing(problem)}or "
            "allow more patterns (row tiles need less memory than whole tensors)",
        )
    )


def check_ring(graph: QuantGraph, machine: Machine) -> None:
    """Raise InfeasibleError where the ring for kernels does not hold two blocks of channels of each convolution."""
    least = least_ring(graph, machine.rows, machine.lanes)
    if 0 < machine.kernel_ring < least:
        raise InfeasibleError(
            Finding(
                f"a ring of {machine.kernel_ring} beats for kernels, and two blocks of channels have {least}",
                f"schedule of {graph.name!r}",
                "the machine was made for another network, or by hand",
                f"give it a kernel_ring of at least {least} beats, or of 0 (all kernels stay)",
            )
        )


def _kernels(problem: Problem) -> tuple[str, str]:
    """What convolutions keep on each core, and the way out that this leaves; nothing where there are none."""
    works = [work for work in problem.works if work.kind == "conv"]
    cores = problem.machine.cores
    held = sizes.kernel_bytes(works, problem.machine)
    held += sum(sizes.row_parameter_bytes(work, problem.machine) for work in works)
    kept = f"kernels and parameters of convolutions, {held // cores} bytes on each of {cores} cores, "
    return (kept if works else ""), (" use fewer cores," if works and cores > 1 else "")


def _passing(problem: Problem) -> str:
    """The way out where kernels of convolutions stay on chip."""
    kept = sizes.kernel_bytes(problem.works, problem.machine)
    if not kept or problem.machine.kernel_ring or problem.machine.on_chip:
        return ""
    each = kept // problem.machine.cores
    return f"let kernels pass through a ring ({each} bytes of them stay on each core; kernels={each // 4}), "


def _binding(problem: Problem, moves: tuple[Move, ...]) -> str:
    """The stage with the largest demand of the leanest schedule, in words."""
    state: State = (0, ())
    worst, text = -1, ""
    for move in moves:
        held = {t: problem.tensors[t].bytes * copies for t, copies in (*state[1], *move.kept)}
        state, sizes = after(problem, state, move)
        used = sum(sizes)
        if used > worst:
            worst = used
            names = " + ".join(problem.tasks[t].name for t in move.config.tasks)
            touched = {t: problem.tensors[t].bytes for t in move.loads + move.stores}
            touched.update(held)
            for task in members(move.mask):
                touched.setdefault(
                    problem.tasks[task].output, problem.tensors[problem.tasks[task].output].bytes
                )
            largest = max(touched, key=lambda t: (touched[t], problem.tensors[t].name))
            text = (
                f"task {names!r} binds with {used} bytes; its largest tensor is {problem.tensors[largest].name!r} "
                f"({problem.tensors[largest].bytes} bytes)"
            )
    return text
