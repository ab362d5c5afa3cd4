"""The machine under construction: what the lowering of one visit appends to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from intar.ir.nodes.vector import UNIT_MULT, VectorStep, set_places
from intar.ir.quantgraph import QBinary, QConv, QMatmul, QPool, QProduct, QTask
from intar.lower.causal import Bands
from intar.lower.kernels import Kernels
from intar.lower.netlist import Netlist
from intar.lower.params import Params, Sets
from intar.lower.ports import Ports
from intar.lower.site import Site
from intar.lower.tensors import Tensors
from intar.lower.visits import Visit
from intar.lower.weights import Weights


@dataclass
class Work:
    """The programs of all nodes so far.

    `bands` are those of causal attention (`causal.bands`); `steps` holds the programs of the feeds, cores, vector units,
    the gather and the rows node, by name.
    """

    site: Site
    net: Netlist
    tensors: Tensors
    ports: Ports
    params: Params
    weights: Weights
    kernels: Kernels
    bands: Mapping[str, Bands]
    steps: dict[str, list] = field(default_factory=dict)

    def step(self, node: str, step: object) -> None:
        """Append to a node's program."""
        self.steps.setdefault(node, []).append(step)

    def vector(
        self,
        core: int,
        task: QTask,
        groups: int,
        beats: int,
        source: str,
        per_channel: bool,
        note: str,
        sets: Sets | None = None,
        pool: int = 1,
    ) -> None:
        """The last operations of a task on a core's vector unit: affine, binary or both, then its table.

        `sets`: where the groups' parameters lie that come by row.
        """
        fields: dict = {
            "groups": groups,
            "beats": beats,
            "source": source,
            "affine": per_channel,
            "per_channel": per_channel,
            "pool": pool,
            "relu": task.relu,
            "tensor": task.output,
            "table": self.params.slot(core, task.name),
            "note": note,
        }
        if sets is not None:
            place = sets.first % set_places(self.site.machine.lanes)
            fields |= {"params": "row", "block": sets.block, "first": place}
        if isinstance(task, QProduct):
            fields |= {"affine": True, "mult": task.mult, "shift": task.shift}
        if not isinstance(task, QBinary):
            fields |= {"zero": task.zero, "lo": task.lo, "hi": task.hi}
        tail = task.tail if isinstance(task, QMatmul | QConv) else None
        binary = task if isinstance(task, QBinary) else tail
        if binary is not None:
            fields |= {"binary": binary.op, "b_zx": binary.zx, "b_zy": binary.zy, "b_mx": binary.mx}
            fields |= {"b_my": binary.my, "b_shift": binary.shift, "b_zero": binary.zero}
            fields |= {"b_lo": binary.lo, "b_hi": binary.hi, "relu": binary.relu}
            fields |= {"spread": self.site.spread(task)}
            fields |= {"late": tail is not None and tail.late}
        self.step(f"vector_{core}", VectorStep(**fields))

    def maxima(self, core: int, task: QPool, beats: int, taps: int, note: str) -> None:
        """`beats` beats of the maximum of `taps` beats each, clamped."""
        step = VectorStep(
            beats=beats,
            source="x",
            per_channel=False,
            reduce=taps,
            mult=UNIT_MULT,
            shift=30,
            lo=task.lo,
            hi=task.hi,
            relu=task.relu,
            table=self.params.slot(core, task.name),
            tensor=task.output,
            note=note,
        )
        steps = self.steps.setdefault(f"vector_{core}", [])
        if steps and steps[-1].model_copy(update={"beats": beats, "note": note}) == step:
            beats += steps.pop().beats
        steps.append(step.model_copy(update={"beats": beats}))


class Kind(Protocol):
    """How one kind of task is lowered: a module of its own with these functions (`lower.KINDS` lists them)."""

    def vector_cores(self, work: Work, visit: Visit) -> Sequence[int]:
        """The cores whose vector units end the task (they get its table)."""

    def prepare(self, work: Work, visit: Visit) -> None:
        """Once for each task, before the first stage: load what stays, parameters for one."""

    def append(self, work: Work, visit: Visit) -> None:
        """Append one visit to the programs of the nodes that perform it."""
