"""The nodes of a program side by side, as in its kernel, with the streams in the open: one Verilator build.

A link is cut: what its source pushes goes to the bench, what its destination takes comes from there. Memory ports have the
C++ memory model behind them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from engine_model import Model, elements_to_int
from engine_programs import RANDOM
from extreme_programs import spill, wide_vector
from looped import replayed, step_lists, sums
from node_kernels import bypassing_core, merge, random_parts, rows_part, write_rtl

from intar.assets import asset_dir
from intar.codegen.rtl import bundles, instances, render_instance
from intar.codegen.rtl_nodes.site import Instance
from intar.ir.names import sanitise
from intar.ir.nodes.ports import Load, Store
from intar.ir.nodes.step import Step
from intar.ir.program import Link, Node, Program
from intar.ir.segments import steps_in
from intar.verify.toolchain import compile_simulator, find_verilator

Images = Mapping[str, bytes]
Streams = dict[str, list[int]]

# What the kernel's own wires are; the pins of the streams follow.
_HEAD = """\
module pins_top;
  logic ap_clk, ap_rst_n = 0, start = 0;
  logic [7:0] segment = 0;
  logic [15:0] round = 0;
"""

_MEMORY_PINS = (
    "ARVALID ARREADY ARADDR ARLEN RVALID RREADY RDATA RLAST "
    "AWVALID AWREADY AWADDR AWLEN WVALID WREADY WDATA WSTRB WLAST BVALID BREADY"
)

# A watch on a stream that a node sends: valid stays, and so do the data, until the beat is taken.
_WATCH = """
module pins_watch #(parameter int WIDTH = 1) (
    input  logic clk, rst_n, valid, ready,
    input  logic [WIDTH-1:0] data,
    output logic broken
);
  logic waiting = 0;
  logic [WIDTH-1:0] offered;
  initial broken = 0;
  always_ff @(posedge clk) begin
    waiting <= rst_n && valid && !ready;
    offered <= data;
    if (rst_n && waiting && (!valid || data != offered)) broken <= 1;
  end
endmodule
"""


def streams(program: Program, images: Images) -> tuple[list[Streams], dict[str, bytes]]:
    """The beats of each link in each play of `program`, as the model has them; and the memory at the end."""
    memory, plays = dict(images), []
    for segment, round_ in program.plays:
        model = _Recorder(_play(program, segment, round_), memory)
        memory |= model.run()
        plays.append(model.beats)
    return plays, memory


class _Recorder(Model):
    """Keeps every beat that passes a link."""

    def __init__(self, program: Program, images: Images):
        super().__init__(program, dict(images))
        self.beats: Streams = {link.name: [] for link in program.links}
        self.bits = {link.name: link.bits for link in program.links}

    def answer(self, request: tuple) -> list[int] | bool | None:
        if request[0] == "put":
            self.beats[request[1]].append(elements_to_int(request[2], self.bits[request[1]]))
        return super().answer(request)


def _play(program: Program, segment: int, round_: int) -> Program:
    """One play as a program of its own."""
    return program.model_copy(update={"nodes": tuple(_cut(node, segment, round_) for node in program.nodes)})


def _cut(node: Node, segment: int, round_: int) -> Node:
    def moved(step: Step) -> Step:
        return step.model_copy(update={"base": node.base(step, round_)}) if hasattr(node, "base") else step

    return node.model_copy(
        update={
            name: tuple(map(moved, steps_in(getattr(node, name), segment, round_)))
            for name in step_lists(node)
        }
    )


class PinsTop:
    """The top module of those nodes of `program` whose names are `chosen`, and what the bench has to know about it."""

    def __init__(self, program: Program, chosen: Callable[[str], bool]):
        self.program = program
        self.instances: dict[str, Instance] = {
            name: instance for name, instance in instances(program).items() if chosen(name)
        }
        self.names = sanitise(link.name for link in program.links)
        self.sent = [link for link in program.links if link.src.split(".")[0] in self.instances]
        self.taken = [link for link in program.links if link.dst.split(".")[0] in self.instances]

    def text(self) -> str:
        count = len(self.program.arguments)
        parts = [_HEAD, f"  logic [{64 * count - 1}:0] pointers = 0;\n"]
        parts += [self._taken(index, link) for index, link in enumerate(self.taken)]
        parts += [self._sent(index, link) for index, link in enumerate(self.sent)]
        # One wide signal of each kind: the bench looks at a handful of signals a cycle, however many streams there are.
        for name, width in (("offered", len(self.taken)), ("accepts", len(self.sent))):
            parts.append(f"  logic [{max(width, 1) - 1}:0] {name} = 0;\n")
        for name, links in (("takes", self.taken), ("sends", self.sent), ("broken", self.sent)):
            signals = {
                "takes": "link_{}_ready",
                "sends": "link_{}_in_valid",
                "broken": "link_{}_broken",
            }[name]
            parts.append(_packed(name, [signals.format(self.names[link.name]) for link in links]))
        nodes = sanitise(node.name for node in self.program.nodes)
        parts += [f"  logic done_{nodes[name]};\n" for name in self.instances]
        parts.append(_packed("dones", [f"done_{nodes[name]}" for name in self.instances]))
        bursts = [self._bursts(self.program.node(name)) for name in self.instances]
        parts += [self._memory(index) for index in range(len(bundles(self.program)))]
        parts += [self._done_count(node) for node in self.program.nodes if isinstance(node, Store)]
        parts += [text for text, _ in bursts]
        parts.append(_packed("unanswered", [signal for _, signal in bursts]))
        parts += [render_instance(instance) for instance in self.instances.values()]
        return "".join([*parts, "endmodule\n", _WATCH])

    def _taken(self, index: int, link: Link) -> str:
        wire, width = f"link_{self.names[link.name]}", link.lanes * link.bits
        text = f"  logic {wire}_valid, {wire}_ready;\n  logic [{width - 1}:0] {wire}_data = 0;\n"
        return text + f"  assign {wire}_valid = offered[{index}];\n"

    def _sent(self, index: int, link: Link) -> str:
        wire, width = f"link_{self.names[link.name]}", link.lanes * link.bits
        text = f"  logic {wire}_in_valid, {wire}_in_ready, {wire}_broken;\n"
        text += f"  logic [{width - 1}:0] {wire}_in_data;\n  assign {wire}_in_ready = accepts[{index}];\n"
        pins = (
            f".valid({wire}_in_valid), .ready({wire}_in_ready), .data({wire}_in_data), .broken({wire}_broken)"
        )
        return (
            text + f"  pins_watch #(.WIDTH({width})) {wire}_watch (.clk(ap_clk), .rst_n(ap_rst_n), {pins});\n"
        )

    def _memory(self, index: int) -> str:
        """The wires of a memory port that some node under test uses, and the memory model behind it."""
        bundle = bundles(self.program)[index]
        prefix = f"m_axi_{bundle.name}_"
        used = [
            signal
            for instance in self.instances.values()
            for _, signal in instance.ports
            if signal.startswith(prefix) and signal.removeprefix(prefix).isupper()
        ]
        if not used:
            return ""
        widths = {"ADDR": 64, "LEN": 8, "DATA": bundle.width, "STRB": bundle.width // 8}
        text, pins = "", {"clk": "ap_clk", "rst_n": "ap_rst_n"}
        sides = ("AR", "R"), ("AW", "W", "B")
        present = [any(s.startswith(prefix + side[0]) for s in used) for side in sides]
        for pin in _MEMORY_PINS.split():
            width = next((bits for name, bits in widths.items() if pin.endswith(name)), 1)
            text += f"  logic [{width - 1}:0] {prefix}{pin};\n"
            pins[pin.lower()] = prefix + pin
        parameters = {
            "PORT": index,
            "DATA_WIDTH": bundle.width,
            "READ": int(present[0]),
            "WRITE": int(present[1]),
        }
        values = ", ".join(f".{name}({value})" for name, value in parameters.items())
        wires = ", ".join(f".{name}({signal})" for name, signal in pins.items())
        return text + f"  intar_axi_mem #({values}) {prefix}memory ({wires});\n"

    def _done_count(self, node: Store) -> str:
        signal = next((s for p, s in self._ports(node) if p == "done_count"), "")
        return f"  logic [31:0] {signal};\n" if signal else ""

    def _bursts(self, node: Node) -> tuple[str, str]:
        """A count of the bursts of a node that have no response yet: its text, and the condition that there are some."""
        address = next((s for p, s in self._ports(node) if p == "m_axi_awvalid"), "")
        if not address:
            return "", "1'b0"
        axi, signal = address.removesuffix("_AWVALID"), f"{address}_bursts"
        goes = [f"{axi}_{channel}VALID && {axi}_{channel}READY" for channel in ("AW", "B")]
        text = f"  int {signal};\n  always_ff @(posedge ap_clk)\n"
        text += f"    {signal} <= ap_rst_n ? {signal} + 32'({goes[0]}) - 32'({goes[1]}) : 0;\n"
        return text, f"{signal} != 0"

    def _ports(self, node: Node) -> list[tuple[str, str]]:
        return self.instances[node.name].ports if node.name in self.instances else []

    def _reads_ahead(self, link: Link) -> bool:
        """A rows node fetches columns beyond its program: it takes what there is. Nothing else does."""
        name, port = link.dst.split(".")
        return port == "params" and self.program.node(name).kind == "rows"

    def build(self, images: Images, folder: Path) -> Path:
        """Build the simulator in `folder`, where it finds the contents of memories; return the program."""
        written = write_rtl(self.program, images, folder)
        sources = [file for file in written if file.name != "kernel.sv"]
        for file in (folder / "rtl").glob("*.mem"):
            file.rename(folder / file.name)
        top = folder / "pins_top.sv"
        top.write_text(self.text())
        return compile_simulator(
            find_verilator(),
            "pins_top",
            [*sources, asset_dir("sim") / "axi_mem.sv", top],
            [asset_dir("sim") / "axi_mem.cpp"],
            folder / "objects",
            folder / "build.log",
            fast=False,
        )

    def describe(self, images: Images, runs: list[dict], file: Path) -> None:
        """Write what `pins_cocotb` reads: pins, nodes, the beats of each play, memory before and after, and the runs."""
        plays, memory = streams(self.program, images)
        nodes = []
        for name in self.instances:
            ends = [
                [i for i, link in enumerate(links) if getattr(link, end).split(".")[0] == name]
                for links, end in ((self.taken, "dst"), (self.sent, "src"))
            ]
            nodes.append({"name": name, "takes": ends[0], "sends": ends[1]})
        used = {
            n.argument for n in self.program.nodes if isinstance(n, Load | Store) and n.name in self.instances
        }
        written = {n.argument for n in self.program.nodes if isinstance(n, Store)}
        arguments = [
            {
                "index": index,
                "name": argument.name,
                "before": images.get(argument.name, b"")
                .ljust(argument.words * argument.port_bits // 8, b"\0")
                .hex(),
                # Memory for spills has gaps that nobody writes; what was spilled is compared where it comes back.
                "after": memory[argument.name].hex() if argument.role == "output" else "",
                "writable": argument.name in written,
            }
            for index, argument in enumerate(self.program.arguments)
            if argument.name in used
        ]
        pins = {"taken": self.taken, "sent": self.sent}
        found = {
            "plays": [
                {"segment": segment, "round": round_, "beats": beats}
                for (segment, round_), beats in zip(self.program.plays, plays, strict=True)
            ],
            "nodes": nodes,
            "arguments": arguments,
            "runs": runs,
        }
        for side, links in pins.items():
            found[side] = [
                {
                    "link": link.name,
                    "wire": f"link_{self.names[link.name]}",
                    "to": link.dst,
                    "ahead": self._reads_ahead(link),
                }
                for link in links
            ]
        file.write_text(json.dumps(found))


def _packed(name: str, signals: list[str]) -> str:
    text = ", ".join(reversed(signals)) or "1'b0"
    return f"  logic [{max(len(signals), 1) - 1}:0] {name};\n  assign {name} = {{{text}}};\n"


def nodes() -> tuple[PinsTop, Images]:
    """One to three programs of each kind of node, with the differences between their hardware that matter."""
    parts = [part for kind in sorted(set(RANDOM) - {"rows", "vector"}) for part in random_parts(kind, 2, 1)]
    parts += [*random_parts("vector", 3, 1), wide_vector(1, True)]
    parts += [
        bypassing_core(),
        rows_part("layer norm", "RMS norm", "masked softmax"),
        rows_part("masked softmax"),
        rows_part("unit", "peak"),
        rows_part("layer norm", "softmax", "unit"),
    ]
    spills = range(len(parts), len(parts) + 3)
    program, images = merge("nodes", [*parts, spill(4, 4, 8, 64), spill(7, 4, 8, 32), spill(6, 16, 16, 32)])
    return PinsTop(program, _inner_and(program, *spills)), images


def nodes_with_segments() -> tuple[PinsTop, Images]:
    """Three segments, the second one in three rounds: words that move, nodes that rest in a segment, counts from 0 again."""
    looped, looped_images, _ = sums(3)
    once, images = merge("segments", [part for kind in sorted(RANDOM) for part in random_parts(kind, 1)])
    # Part i rests in segment i mod 3; one that plays in the second segment does so in each of its rounds.
    once = replayed(
        once, looped.rounds, lambda node, segment: int(node.name[1 : node.name.index("_")]) % 3 != segment
    )
    links = tuple(link.model_copy(update={"name": f"once_{link.name}"}) for link in once.links)
    update = {"nodes": looped.nodes + once.nodes, "links": looped.links + links}
    program = looped.model_copy(update=update | {"arguments": looped.arguments + once.arguments})
    return PinsTop(program, _inner_and(once)), looped_images | images


def _inner_and(program: Program, *parts: int) -> Callable[[str], bool]:
    """All nodes but the loads and stores of `program`, of which only those of `parts` are chosen."""
    ports = {node.name for node in program.nodes if isinstance(node, Load | Store)}
    prefixes = tuple(f"p{part}_" for part in parts)
    return lambda name: name not in ports or name.startswith(prefixes)
