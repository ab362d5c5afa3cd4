"""The machine that is scheduled for, and the schedule: which task runs when, on which cores, in which pattern."""

from __future__ import annotations

import json
from typing import Literal

from pydantic import ConfigDict, Field

from intar.ir.frozen import Frozen

SCHEMA = "intar.schedule/1"

MOST_APART = 100
"""Banks of one tensor each, at most, where banks are not shared: a switch in front of them has up to 128 outputs, some for
cores."""
PARTS_SCHEMA = "intar.parts/1"

Pattern = Literal["sequential", "pipelined", "parallel", "interleaved"]
Axis = Literal["columns", "rows"]
Where = Literal["memory", "chip"]
Mode = Literal["auto", "intar", "sequential", "dataflow"]


class Machine(Frozen):
    """What the schedule may use. Port widths are powers of two, `rate` and `depth` divide `lanes`.

    `cores` compute cores of `rows` × `lanes` cells, each with a vector unit of `rate` lanes a cycle and a weight
    port of its own; a cell multiplies `depth` channels a cycle; a beat is `lanes` elements; ports are `port_bits` wide and
    move one word a cycle; `onchip_bytes` bounds all buffers together; `latency` is the memory's read latency in cycles.
    `inputs` and `outputs` are the ports that share the network's inputs and outputs, beat by beat. `state_ports` ports read
    states for the products that need them (`intar.quant.streamed`), each for as many cores; 0: states come as inputs do.
    `divisions` rows of a softmax are divided at a time. `row_units` rows nodes there are: the first takes every
    normalisation, softmaxes of different heads (`intar.quant.heads`) run on all of them side by side.
    The memory gives each port `words_num` words in `words_den` cycles, which the cost model does not count with.
    `weights`: where weights, parameters and functions are. ``memory``: they come through ports in each call; ``chip``: each
    core has those that it uses in memories of its own, from the start.
    `kernel_ring`: beats of the ring on each core that weights of convolutions pass through; 0: it keeps all that it uses.
    """

    cores: int = Field(gt=0)
    rows: int = Field(gt=0)
    lanes: int = Field(gt=0)
    depth: int = Field(default=1, gt=0)
    rate: int = Field(gt=0)
    port_bits: int = Field(gt=0)
    onchip_bytes: int = Field(gt=0)
    clock_mhz: float = Field(gt=0)
    latency: int = Field(default=64, gt=0)
    inputs: int = Field(default=1, gt=0)
    outputs: int = Field(default=1, gt=0)
    state_ports: int = Field(default=0, ge=0)
    words_num: int = Field(default=1, gt=0)
    words_den: int = Field(default=1, gt=0)
    divisions: int = Field(default=1, gt=0)
    row_units: int = Field(default=1, gt=0)
    weights: Where = "memory"
    kernel_ring: int = Field(default=0, ge=0)
    device: str = ""

    @property
    def multipliers(self) -> int:
        """Multiply-accumulates a cycle of all cores."""
        return self.cores * self.rows * self.lanes * self.depth

    @property
    def cells(self) -> str:
        """Cells of a core in words: rows and lanes, and the channels of each where there are several."""
        return f"{self.rows} x {self.lanes}" + (f" x {self.depth}" if self.depth > 1 else "")

    def pairs(self, k: int) -> int:
        """Operand beats of a reduction over `k` channels."""
        return -(-k // self.depth)

    @property
    def on_chip(self) -> bool:
        """Weights, parameters and functions are there from the start."""
        return self.weights == "chip"

    def weight_cycles(self, beats: int, bits: int) -> int:
        """Cycles in which a core's port brings so many beats of weights of `bits` bits."""
        words = -(-beats * self.lanes * self.depth * bits // self.port_bits)
        return beats if self.on_chip else max(beats, words)

    @property
    def row_slots(self) -> int:
        """Rows that the rows node holds: 4, or 2 for each that it divides at a time; a power of two."""
        return max(4, 1 << (2 * self.divisions - 1).bit_length())


class Placement(Frozen):
    """Where one task of a stage runs. `resident`: its weights are loaded once and kept on chip.

    `axis`: what the cores of a matmul or a product of two activations take. ``columns``: block `n` of `lanes` columns
    goes to core ``n % len(cores)``; ``rows``: each takes rows in turn and makes all their columns (`intar.ir.deal`).

    `follows`: a matmul whose input another matmul of the stage makes takes it column block by column block while it is
    made, and keeps the sums of all its own column blocks (one array tile of rows at most).

    `unit`: the rows node of a row reduction; 0 for other tasks.
    """

    task: str
    cores: tuple[int, ...]
    resident: bool = False
    follows: bool = False
    axis: Axis = "columns"
    unit: int = 0


class Stage(Frozen):
    """A set of tasks that run together.

    * sequential: one task on all cores;
    * parallel: independent tasks on disjoint cores;
    * pipelined: dependent tasks on disjoint cores, handing over row tiles of `tile_rows` rows; or several such sets that
      are alike, with softmaxes on rows nodes of their own;
    * interleaved: all cores alternate the row tiles of several dependent tasks.

    A task on several cores is split along an axis of its output (`Placement.axis`); one on images by its pixels.
    `tile_rows` is 0 when the stage works on whole tensors. Tensors made and used only inside a tiled stage exist as
    two row tiles. Inside a stage tasks stand in dependency order.
    """

    pattern: Pattern
    tasks: tuple[Placement, ...]
    tile_rows: int = 0
    cycles: int = Field(default=0, description="the solver's estimate for this stage")


class Copy(Frozen):
    """One copy of a tensor on chip: `bytes` from the start of a bank (an index of `Schedule.banks`) on, in these stages.

    `windows`: tasks on images read it so, from a memory of another kind than those that are read beat by beat.
    """

    bank: int
    bytes: int
    first_stage: int
    last_stage: int
    windows: bool = False


class Residency(Frozen):
    """Where a tensor lives. `chip`: whole on chip; `tile`: two row tiles (inside one stage only); `spill`: off chip
    between stages. `bytes` is the on-chip need of all its copies at a time.

    A tensor has a copy for each read in one and the same stage; a spilled one has copies of their own for each stage that
    makes or reads it. An image on chip that is also read beat by beat has copies for that beside those of its windows.
    """

    tensor: str
    place: Literal["chip", "tile", "spill"]
    bytes: int
    first_stage: int
    last_stage: int
    copies: tuple[Copy, ...] = Field(
        default=(), description="empty (schedules made by hand): as many as needed, each in a bank of its own"
    )


class Bank(Frozen):
    """A memory with one write side and one read side that tensors of different stages use in turn: `bytes` from byte
    `address` of the tensors' memory on."""

    address: int
    bytes: int


class Schedule(Frozen):
    """The solver's answer."""

    schema_: str = Field(default=SCHEMA, alias="schema")
    name: str
    mode: Mode
    machine: Machine
    stages: tuple[Stage, ...]
    residency: tuple[Residency, ...]
    banks: tuple[Bank, ...] = ()
    objective: int = Field(description="model cycles")
    bound: int = Field(description="proved lower bound, model cycles")
    status: Literal["OPTIMAL", "FEASIBLE"]
    seconds: float = Field(default=0.0, exclude=True, description="solve time; not part of the artefact")
    engine: str = ""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @property
    def gap(self) -> float:
        """How far the objective is above the bound, relative to the objective."""
        return (self.objective - self.bound) / max(1, self.objective)

    def to_json(self) -> str:
        """Canonical JSON text."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"

    @property
    def laps(self) -> tuple[tuple[int, Stage], ...]:
        """Every stage with how often it is gone through in an inference."""
        return tuple((1, stage) for stage in self.stages)

    @staticmethod
    def from_json(text: str) -> Schedule:
        """Parse and validate; pydantic's ValidationError on a malformed file."""
        return Schedule.model_validate_json(text)


class PartSchedule(Frozen):
    """A part of a network: the names of the tasks of each of its rounds, and the schedule of all of them, which names the
    tasks of the first."""

    rounds: tuple[tuple[str, ...], ...]
    schedule: Schedule


class PartedSchedule(Frozen):
    """The schedules of a network's parts, which follow each other on one machine; a part with several rounds is a loop."""

    schema_: str = Field(default=PARTS_SCHEMA, alias="schema")
    name: str
    parts: tuple[PartSchedule, ...] = Field(min_length=1)

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @property
    def pieces(self) -> tuple[tuple[tuple[str, ...], ...], ...]:
        """The tasks of each round of each part."""
        return tuple(part.rounds for part in self.parts)

    @property
    def machine(self) -> Machine:
        """The one machine of all parts."""
        return self.parts[0].schedule.machine

    @property
    def mode(self) -> Mode:
        """The mode in which all parts were scheduled."""
        return self.parts[0].schedule.mode

    @property
    def objective(self) -> int:
        """Model cycles of all rounds."""
        return sum(len(part.rounds) * part.schedule.objective for part in self.parts)

    @property
    def bound(self) -> int:
        """No schedules of these parts take fewer model cycles."""
        return sum(len(part.rounds) * part.schedule.bound for part in self.parts)

    @property
    def gap(self) -> float:
        """How far the objective is above the bound, relative to the objective."""
        return (self.objective - self.bound) / max(1, self.objective)

    @property
    def status(self) -> Literal["OPTIMAL", "FEASIBLE"]:
        """``OPTIMAL`` where each part's schedule is."""
        proved = all(part.schedule.status == "OPTIMAL" for part in self.parts)
        return "OPTIMAL" if proved else "FEASIBLE"

    @property
    def seconds(self) -> float:
        """Time that the solver took for all parts."""
        return sum(part.schedule.seconds for part in self.parts)

    @property
    def laps(self) -> tuple[tuple[int, Stage], ...]:
        """Every stage with how often it is gone through in an inference."""
        return tuple((len(part.rounds), stage) for part in self.parts for stage in part.schedule.stages)

    def to_json(self) -> str:
        """Canonical JSON text."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"


AnySchedule = Schedule | PartedSchedule


def any_schedule(text: str) -> AnySchedule:
    """Parse either kind of schedule; pydantic's ValidationError on a malformed file."""
    try:
        document = json.loads(text)
    except ValueError:
        document = None  # pydantic says what is wrong
    parted = isinstance(document, dict) and document.get("schema") == PARTS_SCHEMA
    return PartedSchedule.model_validate_json(text) if parted else Schedule.model_validate_json(text)
