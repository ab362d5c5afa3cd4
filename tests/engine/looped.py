"""Programs with segments: any program played several times over, and programs that play parts of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from intar.ir.program import Buffer, Image, Node, Program, Step, Store


def replayed(
    program: Program, rounds: Sequence[int], plays: Callable[[Node, int], bool] = lambda node, segment: True
) -> Program:
    """`program` with ``len(rounds)`` segments in which a node does what it does in `program`, or nothing, as `plays` says."""
    nodes = tuple(
        _replayed(node, [segment for segment in range(len(rounds)) if plays(node, segment)])
        for node in program.nodes
    )
    return program.model_copy(update={"nodes": nodes, "rounds": tuple(rounds)})


def _replayed(node: Node, segments: Sequence[int]) -> Node:
    update: dict[str, object] = {}
    for name in ("writes", "reads") if isinstance(node, Buffer | Image) else ("steps",):
        steps: tuple[Step, ...] = getattr(node, name)
        update[name] = tuple(
            step.model_copy(update={"segment": segment}) for segment in segments for step in steps
        )
    if isinstance(node, Buffer | Image):
        update["merged"] = node.merged * len(segments)
    if isinstance(node, Store):
        update["turns"] = node.turns * len(segments)
    return node.model_copy(update=update)
