"""Networks of images on the machine: convolutions and pools of odd shapes on the engine, two designs as C++ and RTL."""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from frontends.models import normal
from grid.image_networks import network
from hypothesis import given, settings
from hypothesis import strategies as st

from intar.codegen import windows
from intar.design import Design
from intar.device import make_machine
from intar.edited import edited_schedule
from intar.engine import run
from intar.errors import InfeasibleError
from intar.frontends import Builder
from intar.grid import prepare
from intar.ir.circuit import border_moves, circuit
from intar.ir.deal import tile_bands
from intar.ir.kernels import comes_in_blocks, kernel_beats
from intar.ir.nodes.arrays import Core
from intar.ir.nodes.memories import Buffer, Image
from intar.ir.quantgraph import QConv, Quantised
from intar.pipeline import compile_quantised
from intar.pipeline import design as build
from intar.proof import verify_csim, verify_engine, verify_rtl
from intar.quant.golden import dequantise, golden_outputs, quantise_input
from intar.quant.quantise import quantise
from intar.quant.random_budgets import with_ring
from intar.quant.scheme import W8A8, scheme
from intar.rendering import project
from intar.schedule import cost, validate
from intar.schedule.build import own_banks
from intar.schedule.check.facts import Facts
from intar.schedule.problem import make_problem
from intar.schedule.solve import solve
from intar.session import open_source, solve_blocks


def check(data: st.DataObject, mode: str) -> None:
    graph, shape = network(data)
    made = prepare(graph)
    quantised = quantise(
        made, scheme(data.draw(st.sampled_from(["w8a8", "w16a16"]))), {"x": normal(4, *shape)}
    )
    rows, lanes = data.draw(st.sampled_from([(1, 4), (2, 4), (1, 8), (3, 8), (4, 16), (2, 12)]))
    budget = {"cores": data.draw(st.integers(1, 7)), "rows": rows, "lanes": lanes}
    budget["rate"] = data.draw(st.sampled_from([n for n in range(1, lanes + 1) if lanes % n == 0]))
    machine = make_machine("u280", budget | {"port_bits": 32 if lanes == 12 else 64}, quantised)
    machine = with_ring(data.draw(st.integers(0, 99)), quantised, machine)
    made_design = compile_quantised(quantised, machine, mode)
    result = verify_engine(made_design, [random_inputs(quantised)])
    assert result.bit_exact, result.first


@pytest.mark.parametrize("mode", ["auto", "dataflow"])
def test_random_networks_of_images(mode: str) -> None:
    @settings(max_examples=25, deadline=None, derandomize=True)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        check(data, mode)

    run()


def strided() -> Quantised:
    """A convolution in four phases, one that reads them, one of 1 × 1 behind it."""
    rng, g = np.random.default_rng(0), Builder("strided")
    x = g.relu(g.conv2d(g.input("x", (1, 4, 16, 16)), rng.normal(size=(12, 4, 3, 3)), pads=1))
    x = g.relu(g.conv2d(x, rng.normal(size=(16, 12, 3, 3)), stride=2, pads=1))
    g.output(g.conv2d(x, rng.normal(size=(8, 16, 1, 1))))
    return quantise(prepare(g.build()), W8A8, {"x": rng.normal(size=(2, 1, 4, 16, 16))})


@pytest.mark.parametrize("ring, loaded", [(224, "whole"), (116, "blocks")])
def test_kernels_pass_through_a_ring(ring: int, loaded: str) -> None:
    """A kernel comes once, as a whole or block by block; in blocks again for each of the phases that read it. The memory is
    as large as the ring, and the integers are golden's."""
    quantised = strided()
    first = next(task for task in circuit(quantised.graph).tasks if isinstance(task, QConv))
    assert comes_in_blocks(first, 8, ring) == (loaded == "blocks")
    machine = make_machine("zcu104", {"cores": 2, "rows": 4, "lanes": 8, "kernels": 8 * ring}, quantised)
    made = compile_quantised(quantised, machine)
    memories = [node for node in made.program.nodes if node.name.startswith("kernels_")]
    assert [memory.depth for memory in memories] == [ring, ring]
    (port,) = [node for node in made.program.nodes if node.name == "w0"]
    loads = Counter()
    for step in port.steps:
        loads[step.note.split(":")[0]] += step.beats
    beats = [kernel_beats(task, 8) for task in circuit(quantised.graph).tasks if isinstance(task, QConv)]
    assert list(loads.values()) == [beats[0] * (4 if loaded == "blocks" else 1), *beats[1:]]
    assert port.words == sum(beats) * 64 // machine.port_bits  # in memory everything is there once
    assert verify_engine(made, [random_inputs(quantised)]).bit_exact


def test_a_convolution_begins_when_its_first_filters_are_there() -> None:
    """Blocks of four channels: the first one waits for four filters, the next for four more."""
    quantised = strided()
    made = compile_quantised(
        quantised, make_machine("zcu104", {"cores": 1, "rows": 4, "lanes": 8}, quantised)
    )
    (memory,) = [node for node in made.program.nodes if node.name == "kernels_0"]
    assert sum(step.walk.counts[0] for step in memory.writes) == 12 + 16 + 8
    assert {(step.need, step.need_step) for step in memory.reads} == {(4, 4), (16, 4), (32, 4)}


@pytest.mark.sim
@pytest.mark.full
def test_generated_code_of_a_ring(tmp_path: Path) -> None:
    """One core waits for blocks of channels of its own, whose weights come through its own port."""
    quantised = strided()
    machine = make_machine("zcu104", {"cores": 3, "rows": 2, "lanes": 64, "kernels": 64 * 8}, quantised)
    made = compile_quantised(quantised, machine)
    assert {"w0", "w1", "w2"} <= {node.name for node in made.program.nodes}
    inputs, folder = random_inputs(quantised), project(made).write(tmp_path / "made")
    assert verify_csim(made, [inputs], folder, sweep=True).bit_exact
    simulated = verify_rtl(made, [inputs], folder)
    assert simulated.bit_exact and simulated.cycles == (made.predicted.cycles,)


@pytest.mark.parametrize("rows, words", [(1, 12 + 4), (2, 24 + 8), (8, 12 + 4)])
def test_a_beat_holds_the_parameters_of_neighbours_and_phases_share_them(rows: int, words: int) -> None:
    """12 channels in 4 phases, then 4: sets of a word each, four in a beat. On arrays of one row they are 12 and 4, with 8
    rows a block of 8 and one of 4 follow each other; blocks of 2 of which there are several begin a beat each."""
    rng, g = np.random.default_rng(0), Builder("halved")
    x = g.conv2d(g.input("x", (1, 2, 8, 8)), rng.normal(size=(12, 2, 3, 3)), pads=1)
    g.output(g.conv2d(x, rng.normal(size=(4, 12, 3, 3)), stride=2, pads=1))
    quantised = quantise(prepare(g.build()), scheme("w8a8"), {"x": normal(2, 1, 2, 8, 8)})
    task = next(task for task in quantised.graph.tasks if isinstance(task, QConv))
    assert sum(group.channels for group in task.groups) == 48
    machine = make_machine("zcu104", {"cores": 1, "rows": rows, "lanes": 16}, quantised)
    made = compile_quantised(quantised, machine)
    assert next(argument.words for argument in made.program.arguments if argument.name == "p") == words
    assert verify_engine(made, [random_inputs(quantised)]).bit_exact


@pytest.mark.parametrize("mode", ["auto", "sequential", "dataflow"])
def test_the_model_and_the_engine_agree(mode: str) -> None:
    """Sequential cycles within 5 %; dataflow overlaps what the model adds up."""
    made, inputs = design("cnn4l_small", mode)
    assert verify_engine(made, [inputs]).bit_exact
    if mode == "dataflow":
        assert made.predicted.cycles < made.schedule.objective
    else:
        assert abs(made.predicted.cycles / made.schedule.objective - 1) <= 0.05


@pytest.mark.sim
@pytest.mark.parametrize(
    "name, mode",
    [
        ("cnn4l_small", "auto"),
        pytest.param("cnn4l_small", "dataflow", marks=pytest.mark.full),
        pytest.param("vae_small", "auto", marks=pytest.mark.full),
    ],
)
def test_generated_code(name: str, mode: str, tmp_path: Path) -> None:
    """Golden = csim = RTL, and the RTL takes the cycles that the engine counted."""
    made, inputs = design(name, mode)
    folder = project(made).write(tmp_path / "made")
    assert verify_csim(made, [inputs], folder, sweep=True).bit_exact
    simulated = verify_rtl(made, [inputs], folder)
    assert simulated.bit_exact and simulated.cycles == (made.predicted.cycles,)


def design(name: str, mode: str) -> tuple[Design, dict[str, np.ndarray]]:
    """A reference design and random inputs."""
    source = open_source(name)
    return compile_quantised(source.quantised, source.machine, mode), random_inputs(source.quantised)


def random_inputs(quantised: Quantised) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    inputs = {}
    for name in quantised.graph.inputs:
        tensor = quantised.graph.tensor(name)
        inputs[name] = rng.integers(-(1 << (tensor.bits - 1)), 1 << (tensor.bits - 1), tensor.shape)
    return inputs


@pytest.mark.parametrize("name", ["cnn4l_small", "vae_small"])
def test_host_program_reorders_like_the_design(name: str, tmp_path: Path) -> None:
    """host.py makes the images of the network's inputs, and the network's outputs of the kernel's images; real values
    become the integers that golden is given, and golden's become real values."""
    made, inputs = design(name, "sequential")
    graph = made.quantised.graph
    assert any(output in border_moves(graph) for output in graph.outputs)
    path = tmp_path / "host.py"
    path.write_bytes(project(made).files["host/host.py"])
    spec = importlib.util.spec_from_file_location("generated_host", path)
    assert spec is not None and spec.loader is not None
    host = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(host)
    images = made.input_images(inputs)
    assert {argument: host.pack(argument, inputs) for argument in images} == images
    results = run(made.program, {**made.images, **images}).outputs
    for output, values in made.output_tensors(results).items():
        np.testing.assert_array_equal(host.unpack(results)[output].reshape(values.shape), values)

    class Engine:
        """A board: what is written to it, and what the engine makes of it."""

        def __init__(self, *_: object):
            self.memory: dict[str, bytes] = {}

        def write(self, name: str, image: bytes) -> None:
            self.memory[name] = image

        def start_and_wait(self, numbers: tuple[int, ...]) -> None:
            self.memory |= run(made.program, self.memory).outputs

        def read(self, name: str) -> bytes:
            return self.memory[name]

    host.BACKENDS["engine"] = Engine
    real = {name: normal(*graph.tensor(name).shape) for name in graph.inputs}
    given = {name: quantise_input(graph.tensor(name), value) for name, value in real.items()}
    answers = host.Board("", made.images, "engine")(**real)
    (golden,) = golden_outputs(made.quantised, [given])
    assert answers.keys() == golden.keys()
    for name, values in golden.items():
        np.testing.assert_array_equal(answers[name], dequantise(graph.tensor(name), values))


def test_copies_and_tensors_of_like_names() -> None:
    """The second copy of tensor c, for the second core, is not called like tensor c_1."""
    builder = Builder("names")
    c = builder.conv2d(builder.input("x", (1, 1, 6, 6)), np.ones((1, 1, 3, 3)), name="c")
    builder.output(
        builder.conv2d(builder.conv2d(c, np.ones((1, 1, 2, 2)), name="c_1"), np.ones((1, 1, 2, 2)))
    )
    quantised = quantise(prepare(builder.build()), scheme("w8a8"), {"x": normal(4, 1, 1, 6, 6)})
    machine = make_machine("u280", {"cores": 2, "rows": 1, "lanes": 4, "port_bits": 64}, quantised)
    schedule = own_banks(solve(quantised.graph, machine, "sequential"))
    assert verify_engine(build(quantised, schedule), [random_inputs(quantised)]).bit_exact


@pytest.mark.parametrize(
    "low, cores, kept",
    [
        (-1.0, 1, [45, 54, 63, 72, 81]),
        (0.0, 1, [45, 54, 63, 81]),
        (-1.0, 2, [45, 54, 63, 81]),
        (0.0, 2, [45, 54, 81]),
    ],
)
def test_taps_outside_of_the_image_are_left_out(low: float, cores: int, kept: list[int]) -> None:
    """Rows 0 to 3 and 8 to 11 read fewer rows of the image. Without a zero point that costs a few steps; with one, sets of
    parameters as well, which do not pay for all of them. All integers are golden's."""
    builder, rng = Builder("edges"), np.random.default_rng(3)
    x = builder.input("x", (1, 3, 12, 8))
    builder.output(builder.conv2d(x, rng.normal(size=(2, 3, 9, 3)), pads=(4, 1, 4, 1)))
    samples = rng.uniform(low, 127 / 128, (4, 1, 3, 12, 8))
    samples[0, 0, 0, 0, :2] = low, 127 / 128
    quantised = quantise(prepare(builder.build()), scheme("w8a8"), {"x": samples})
    assert [task.pad for task in quantised.graph.tasks if isinstance(task, QConv)] == [0 if low else -128]
    machine = make_machine("u280", {"cores": cores, "rows": 2, "lanes": 8, "port_bits": 64}, quantised)
    made = compile_quantised(quantised, machine, "sequential")
    steps = [step for node in made.program.nodes if isinstance(node, Core) for step in node.steps]
    assert sorted({step.k for step in steps}) == kept
    assert verify_engine(made, [random_inputs(quantised)]).bit_exact


@pytest.mark.parametrize("rows, members", [(1, 4), (2, 1)])
def test_phases_have_their_filters_together(rows: int, members: int) -> None:
    """Pools and strides make phases, each with taps of its own, of the same weights: these are on chip once, read by the
    blocks of all phases and by all members of a maximum. Phases of a transposed convolution have weights of their own."""
    builder, rng = Builder("phases"), np.random.default_rng(5)
    x = builder.conv2d(builder.input("x", (1, 2, 16, 16)), rng.normal(size=(5, 2, 3, 3)), pads=1)
    x = builder.conv2d(builder.max_pool2d(x, 2), rng.normal(size=(3, 5, 3, 3)), pads=1)
    x = builder.conv2d(x, rng.normal(size=(4, 3, 3, 3)), stride=2, pads=1)
    builder.output(builder.conv_transpose2d(x, rng.normal(size=(4, 2, 2, 2)), stride=2))
    quantised = quantise(prepare(builder.build()), scheme("w8a8"), {"x": normal(4, 1, 2, 16, 16)})
    machine = make_machine("u280", {"cores": 1, "rows": rows, "lanes": 4, "port_bits": 64}, quantised)
    made = compile_quantised(quantised, machine, "sequential")
    convs = [task for task in made.quantised.graph.tasks if isinstance(task, QConv)]
    phases = [(task.reduce, len(task.channel_filters), task.filter_sizes) for task in convs]
    assert phases == [
        (members, 16 * 5, ((5, 18),)),
        (1, 4 * 3, ((3, 45),)),
        (1, 4, ((4, 27),)),
        (1, 4 * 2, ((8, 4),)),
    ]
    (kept,) = (node for node in made.program.nodes if node.name == "kernels_0")
    assert kept.depth == 5 * 5 + 3 * 12 + 4 * 7 + 8 * 1
    graph = circuit(made.quantised.graph)
    counted = make_problem(graph, machine).fixed_bytes
    assert counted == Facts(made.schedule, graph).fixed() >= kept.depth * machine.lanes
    assert verify_engine(made, [random_inputs(quantised)]).bit_exact


@pytest.mark.parametrize("lanes", [2, 4, 16, 12])
def test_rows_of_any_length(lanes: int) -> None:
    """Rows of 20, 9, 21 and 3 pixels, tiles that begin anywhere in them; a long kernel makes windows of several beats."""
    builder, rng = Builder("rows"), np.random.default_rng(4)
    x = builder.conv2d(builder.input("x", (1, 1, 14, 20)), rng.normal(size=(2, 1, 3, 12)))
    x = builder.conv_transpose2d(x, rng.normal(size=(2, 1, 2, 13)))
    builder.output(builder.conv2d(x, rng.normal(size=(1, 1, 1, 19))))
    quantised = quantise(prepare(builder.build()), scheme("w8a8"), {"x": normal(4, 1, 1, 14, 20)})
    assert [(t.in_pitch, t.pitch) for t in quantised.graph.tasks if isinstance(t, QConv)] == [
        (20, 10),
        (10, 21),
        (21, 11),
    ]
    port = 32 if lanes == 12 else 64
    machine = make_machine("u280", {"cores": 2, "rows": 1, "lanes": lanes, "port_bits": port}, quantised)
    made = compile_quantised(quantised, machine, "sequential")
    assert verify_engine(made, [random_inputs(quantised)]).bit_exact
    most = max(windows.banks(node) for node in made.program.nodes if isinstance(node, Image))
    assert most == {2: 8, 4: 4, 12: 4, 16: 4}[lanes]


def test_a_schedule_alone_is_that_of_the_design(tmp_path: Path) -> None:
    """Pools are in the convolutions before them in both; a schedule of the network as it is can be lowered, too."""
    source = open_source("cnn4l_small")
    made = compile_quantised(source.quantised, source.machine, "sequential")
    alone = solve_blocks(source, "sequential", None)
    assert alone.objective == made.schedule.objective
    for schedule in (alone, made.schedule):
        path = tmp_path / "schedule.json"
        path.write_text(schedule.to_json())
        again = build(source.quantised, edited_schedule(path, source.quantised))
        assert again.predicted.cycles == made.predicted.cycles
    apart = build(source.quantised, solve(source.quantised.graph, source.machine, "sequential"))
    assert apart.predicted.cycles > made.predicted.cycles
    assert verify_engine(apart, [random_inputs(source.quantised)]).bit_exact


def residual() -> Quantised:
    """Images that convolutions read in windows and sums beat by beat; one of them is an output, too."""
    rng = np.random.default_rng(1)
    builder = Builder("residual")
    kernels = [rng.normal(size=(4, 4, 3, 3)) for _ in range(3)]
    x = builder.input("x", (1, 4, 12, 8))
    first = builder.relu(builder.conv2d(x, kernels[0], pads=(1, 1, 1, 1)))
    second = builder.relu(builder.add(builder.conv2d(first, kernels[1], pads=(1, 1, 1, 1)), first))
    builder.output(first)
    builder.output(builder.add(builder.conv2d(second, kernels[2], pads=(1, 1, 1, 1)), second))
    return quantise(prepare(builder.build()), scheme("w8a8"), {"x": normal(4, 1, 4, 12, 8)})


@pytest.mark.parametrize("cores", [1, 2])
def test_images_in_scarce_memory(cores: int) -> None:
    """Windows and beats have memories of their own: what the solver says fits does, down to what it says does not."""
    quantised = residual()
    budget = {"cores": cores, "rows": 2, "lanes": 8, "port_bits": 64}
    machine = make_machine("u280", budget, quantised)
    problem = make_problem(quantised.graph, machine)
    tensors = sum(tensor.bytes for tensor in problem.tensors)
    spilled = set()
    for share in (1.6, 1.4, 1.2, 1.0, 0.9, 0.8, 0.7, 0.6, 0.4):
        room = problem.fixed_bytes + int(share * tensors)
        try:
            schedule = solve(quantised.graph, machine.model_copy(update={"onchip_bytes": room}))
        except InfeasibleError:
            break
        assert validate(schedule, quantised.graph) == []
        made = build(quantised, schedule)
        memories = [node for node in made.program.nodes if isinstance(node, Buffer | Image)]
        assert sum(node.depth * node.lanes * node.bits // 8 for node in memories) <= room
        assert verify_engine(made, [random_inputs(quantised)]).bit_exact
        spilled.add(sum(home.place == "spill" for home in schedule.residency))
    assert len(spilled) >= 2, "memory was never scarce"


def bottlenecks() -> Quantised:
    """Residual blocks as in ResNet: the first halves the image, and sums two convolutions; others sum an image that waits;
    a product with one, and a function behind a sum; sums that a convolution can't perform, of its own image, are tasks."""
    rng = np.random.default_rng(3)
    builder = Builder("bottlenecks")

    def conv(x: str, channels: int, size: int = 1, stride: int = 1) -> str:
        kernel = rng.normal(size=(channels, builder.shape(x)[1], size, size))
        return builder.conv2d(x, kernel, stride=stride, pads=(size // 2,) * 4)

    x = builder.relu(conv(builder.input("x", (1, 3, 11, 9)), 5, 3))
    inside = builder.relu(conv(x, 4, 3, 2))
    x = builder.relu(builder.add(conv(inside, 7), conv(x, 7, 1, 2)))
    x = builder.relu(builder.add(x, conv(builder.relu(conv(x, 3, 3)), 7)))
    x = builder.mul(conv(builder.relu(conv(x, 4)), 7), x)
    x = builder.gelu(builder.add(conv(builder.relu(conv(x, 2)), 7, 3), x))
    builder.output(builder.add(conv(x, 7), x))
    return quantise(prepare(builder.build()), W8A8, {"x": normal(8, 1, 3, 11, 9)})


@pytest.mark.parametrize("cores", [1, 2, 3])
def test_convolutions_add_on_their_way_out(cores: int) -> None:
    quantised = bottlenecks()
    sums = [task.kind for task in quantised.graph.tasks if task.kind == "binary"]
    tails = [task for task in quantised.graph.tasks if isinstance(task, QConv) and task.tail]
    assert (len(sums), len(tails)) == (1, 4)
    budget = {"cores": cores, "rows": 2, "lanes": 8, "port_bits": 64}
    for machine in (
        make_machine("u280", budget, quantised),
        make_machine("u280", budget | {"kernels": 1024}, quantised),
    ):
        made = compile_quantised(quantised, machine, "sequential")
        assert verify_engine(made, [random_inputs(quantised)]).bit_exact


def test_sums_in_convolutions_are_the_same_integers(monkeypatch: pytest.MonkeyPatch) -> None:
    joined = bottlenecks()
    monkeypatch.setattr("intar.quant.quantise.absorb_binaries", lambda tasks, *_: list(tasks))
    apart = bottlenecks()
    assert len(apart.graph.tasks) > len(joined.graph.tasks)
    given = [random_inputs(joined)]
    for one, other in zip(golden_outputs(joined, given), golden_outputs(apart, given), strict=True):
        for name, array in one.items():
            np.testing.assert_array_equal(other[name], array)


@pytest.mark.sim
@pytest.mark.full
def test_sums_of_convolutions_in_hardware(tmp_path: Path) -> None:
    quantised = bottlenecks()
    machine = make_machine("u280", {"cores": 3, "rows": 2, "lanes": 8, "port_bits": 64}, quantised)
    made = compile_quantised(quantised, machine, "sequential")
    folder, inputs = project(made).write(tmp_path / "made"), random_inputs(quantised)
    assert verify_csim(made, [inputs], folder, sweep=True).bit_exact
    simulated = verify_rtl(made, [inputs], folder)
    assert simulated.bit_exact and simulated.cycles == (made.predicted.cycles,)


def small_images() -> Quantised:
    """Images of one tile or two, of more channels than an array has rows: a convolution, a depthwise one, and one with a
    pool; one of two channels has less blocks than there are cores."""
    rng = np.random.default_rng(2)
    builder = Builder("small")
    x = builder.relu(builder.conv2d(builder.input("x", (1, 3, 6, 5)), rng.normal(size=(7, 3, 3, 3))))
    x = builder.conv2d(x, rng.normal(size=(7, 1, 2, 2)), groups=7)
    x = builder.relu(builder.max_pool2d(builder.conv2d(x, rng.normal(size=(9, 7, 2, 1))), 2))
    builder.output(builder.conv2d(x, rng.normal(size=(2, 9, 1, 1))))
    return quantise(prepare(builder.build()), scheme("w8a8"), {"x": normal(8, 1, 3, 6, 5)})


def test_cores_share_the_channels_of_small_images() -> None:
    quantised = small_images()
    cycles = {}
    for cores in (1, 2, 5):
        budget = {"cores": cores, "rows": 2, "lanes": 16, "port_bits": 64}
        made = compile_quantised(quantised, make_machine("u280", budget, quantised), "sequential")
        assert verify_engine(made, [random_inputs(quantised)]).bit_exact
        cycles[cores] = made.schedule.objective, made.predicted.cycles
    assert cycles[5][0] < cycles[2][0] < cycles[1][0]
    assert cycles[5][1] < cycles[2][1] < cycles[1][1]


@pytest.mark.sim
@pytest.mark.full
def test_small_images_in_hardware(tmp_path: Path) -> None:
    quantised = small_images()
    budget = {"cores": 5, "rows": 2, "lanes": 16, "port_bits": 64}
    made = compile_quantised(quantised, make_machine("u280", budget, quantised), "sequential")
    folder, inputs = project(made).write(tmp_path / "made"), random_inputs(quantised)
    assert verify_csim(made, [inputs], folder, sweep=True).bit_exact
    simulated = verify_rtl(made, [inputs], folder)
    assert simulated.bit_exact and simulated.cycles == (made.predicted.cycles,)


def left_over() -> tuple[Quantised, Design]:
    """36 pixels are 9 tiles of 4: two for each of four cores, and one whose channels they share, also with a pool behind."""
    rng, g = np.random.default_rng(5), Builder("left")
    x = g.input("x", (1, 2, 6, 6))
    y = g.relu(g.conv2d(x, rng.normal(size=(10, 2, 3, 3)), rng.normal(size=10), pads=1))
    y = g.conv2d(y, rng.normal(size=(10, 1, 3, 3)), rng.normal(size=10), pads=1, groups=10)
    g.output(g.max_pool2d(g.gelu(y), 3, stride=1, pads=1))
    quantised = quantise(prepare(g.build()), scheme("w8a8"), {"x": rng.normal(size=(4, 1, 2, 6, 6))})
    budget = {"cores": 4, "rows": 2, "lanes": 4, "rate": 4, "port_bits": 64}
    return quantised, compile_quantised(quantised, make_machine("u280", budget, quantised))


def test_the_last_tiles_are_shared_by_channels() -> None:
    """The first convolution has 5 blocks of 18 taps: two tiles of all of them for each core, and one or two of the last."""
    quantised, made = left_over()
    assert verify_engine(made, [random_inputs(quantised)]).bit_exact
    first = next(task for task in quantised.graph.tasks if isinstance(task, QConv))
    work = next(task.work for task in make_problem(quantised.graph, made.schedule.machine).tasks)
    assert first.name == made.schedule.stages[0].tasks[0].task
    assert cost.tiles_cycles(work, 4, made.schedule.machine) == (2 * 5 + 2) * 18
    steps = {core: made.program.node(f"core_{core}").steps for core in range(4)}
    tiles = [sum(s.tiles for s in steps[core] if s.note.startswith(f"{first.name} ")) for core in range(4)]
    assert tiles == [12, 11, 11, 11]


def test_tiles_that_are_fewer_than_cores_are_split_up_where_that_is_faster() -> None:
    """Three tiles on four cores: two of them to two shares of the channels, one to four; not of a single block, and not
    of what is stored as it is made."""
    assert tile_bands(3, 4, 32, apart=True) == [(range(2), 2, 2), (range(2, 3), 1, 4)]
    assert tile_bands(7, 4, 32, apart=True) == [(range(4), 4, 1), (range(4, 6), 2, 2), (range(6, 7), 1, 4)]
    assert tile_bands(3, 4, 1, apart=True) == [(range(3), 3, 1)]
    assert tile_bands(7, 4, 32, apart=False) == [(range(7), 4, 1)]


@pytest.mark.sim
@pytest.mark.full
def test_the_last_tiles_in_hardware(tmp_path: Path) -> None:
    quantised, made = left_over()
    project(made).write(tmp_path)
    inputs = [random_inputs(quantised)]
    assert verify_csim(made, inputs, tmp_path).bit_exact
    ran = verify_rtl(made, inputs, tmp_path)
    assert ran.bit_exact and set(ran.cycles) == {made.predicted.cycles}


def depthwise() -> Quantised:
    """A depthwise convolution of phases, an average and a maximum of each channel: all read channel by channel."""
    rng = np.random.default_rng(3)
    builder = Builder("depthwise")
    x = builder.conv2d(builder.input("x", (1, 2, 16, 15)), rng.normal(size=(12, 2, 3, 3)), pads=(1, 1, 1, 1))
    x = builder.conv2d(x, rng.normal(size=(12, 1, 3, 3)), groups=12, pads=(1, 1, 1, 1))
    x = builder.max_pool2d(builder.relu(x), 2)
    builder.output(builder.avg_pool2d(builder.conv2d(x, rng.normal(size=(12, 1, 2, 2)), groups=12), 2))
    return quantise(prepare(builder.build()), scheme("w8a8"), {"x": normal(8, 1, 2, 16, 15)})


@pytest.mark.parametrize("cores, rows", [(1, 4), (3, 1)])
def test_channels_that_read_alike_are_one_step(cores: int, rows: int) -> None:
    quantised = depthwise()
    budget = {"cores": cores, "rows": rows, "lanes": 16, "port_bits": 64}
    made = compile_quantised(quantised, make_machine("u280", budget, quantised), "sequential")
    assert verify_engine(made, [random_inputs(quantised)]).bit_exact
    steps = [step for node in made.program.nodes if isinstance(node, Image) for step in node.reads]
    passes = {
        name: [(step.passes, step.pass_step > 0) for step in steps if step.note.startswith(name)]
        for name in ("conv2d_2", "max_pool2d_1", "conv2d_3", "avg_pool2d_1")
    }
    shared = {(12 // cores, True)}  # images with fewer tiles than cores
    assert [set(found) for found in passes.values()] == 4 * [shared]
    assert len(passes["avg_pool2d_1"]) == cores


def stepped() -> tuple[Quantised, Design]:
    """Images of 12 × 12 and 6 × 6 whose halvings step over elements: by a convolution, by a depthwise one and a maximum."""
    rng, g = np.random.default_rng(7), Builder("stepped")
    x = g.relu(g.conv2d(g.input("x", (1, 2, 12, 12)), rng.normal(size=(6, 2, 3, 3)), pads=1))
    x = g.relu(g.conv2d(x, rng.normal(size=(10, 6, 3, 3)), stride=2, pads=1))
    y = g.conv2d(x, rng.normal(size=(10, 1, 3, 3)), rng.normal(size=10), stride=2, pads=1, groups=10)
    g.output(g.conv2d(g.add(y, g.max_pool2d(x, 3, stride=2, pads=1)), rng.normal(size=(3, 10, 2, 2))))
    quantised = quantise(prepare(g.build()), scheme("w8a8"), {"x": rng.normal(size=(4, 1, 2, 12, 12))})
    budget = {"cores": 4, "rows": 2, "lanes": 16, "port_bits": 64}
    return quantised, compile_quantised(quantised, make_machine("u280", budget, quantised))


def test_images_are_read_in_steps() -> None:
    quantised, made = stepped()
    assert verify_engine(made, [random_inputs(quantised)]).bit_exact
    steps = {step.right for node in made.program.nodes if isinstance(node, Image) for step in node.reads}
    assert steps == {1, 2}


@pytest.mark.sim
@pytest.mark.full
def test_steps_in_hardware(tmp_path: Path) -> None:
    quantised, made = stepped()
    project(made).write(tmp_path)
    inputs = [random_inputs(quantised)]
    assert verify_csim(made, inputs, tmp_path).bit_exact
    ran = verify_rtl(made, inputs, tmp_path)
    assert ran.bit_exact and set(ran.cycles) == {made.predicted.cycles}
