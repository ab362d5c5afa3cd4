"""All rewriting of a task graph before it is quantised."""

from __future__ import annotations

from collections.abc import Sequence

from intar.errors import Finding, UnsupportedError
from intar.grid.channels import functions_by_channel, functions_by_column
from intar.grid.gates import channel_factors
from intar.grid.order import prelu_in_parts, relu_before_pool
from intar.grid.rewrite import to_grid
from intar.grid.spelled import spell_out
from intar.ir.taskgraph import TaskGraph

PASSES = {
    "upsample_phases": "a convolution reads nearest upsampling through summed weights, not through copies",
    "relu_before_pool": "a ReLU after a maximum pool goes before it",
}
"""Passes that can be left out, by name."""


def prepare(graph: TaskGraph, skip: Sequence[str] = (), phases: tuple[int, int] = (1, 1)) -> TaskGraph:
    """The graph in the form that the quantiser reads; a prepared graph stays as it is.

    Parameters
    ----------
    graph : a valid graph.
    skip : names of :data:`PASSES` to leave out.
    phases : how many times the least number of phases (rows, columns) images fall into (`docs/images.md`).

    Raises
    ------
    UnsupportedError
        A batch of several images, or an operator on images in a way that the circuit does not have (all of them); a pass
        that does not exist.
    """
    if unknown := [name for name in skip if name not in PASSES]:
        raise UnsupportedError(
            [Finding(f"there is no pass '{name}'", hint=f"one of: {', '.join(PASSES)}") for name in unknown]
        )
    graph = channel_factors(functions_by_channel(spell_out(graph)))
    if "relu_before_pool" not in skip:
        graph = relu_before_pool(graph)
    graph = to_grid(graph, copy_upsampled="upsample_phases" in skip, phases=phases)
    return prelu_in_parts(functions_by_column(graph))
