"""Cycles, deadlock reports, merged orders and FIFO advice of the engine."""

from __future__ import annotations

import random

import pytest
from engine_programs import RANDOM
from perceptron import perceptron
from program_builder import Builder, beats, params

from intar.engine import MemoryModel, Timing, plan_merged, run, size_fifos
from intar.engine import build as engine_build
from intar.errors import InternalError, ToolError
from intar.ir.nodes.arrays import Core, CoreStep
from intar.ir.nodes.memories import Buffer, BufferStep, ReadStep, Walk
from intar.ir.nodes.ports import Load, LoadStep, Store, StoreStep
from intar.ir.nodes.vector import Vector, VectorStep
from intar.ir.program import Program


def core_program(tiles: int, k: int, rows: int) -> Builder:
    b, rng = Builder("core"), random.Random(1)
    b.load("core.a", beats(rng, tiles * k, rows, 8), 8, port_bits=8 * rows, depth=8)
    b.load("core.w", beats(rng, tiles * k, 4, 8), 8, port_bits=32, depth=8)
    step = CoreStep(tiles=tiles, m_tiles=1, k=k, k_last=k, rows=rows, rows_last=rows, note="long")
    b.node(Core(name="core", rows=rows, lanes=4, a_bits=8, w_bits=8, acc_bits=32, steps=(step,)))
    b.store("core.out", tiles * rows, 4, 32, port_bits=128, depth=4)
    return b


# ---------------------------------------------------------------- cycles


@pytest.mark.parametrize("tiles, k, rows", [(10, 100, 1), (25, 40, 4), (50, 8, 8)])
def test_core_never_rests_between_tiles(tiles: int, k: int, rows: int) -> None:
    result = run(core_program(tiles, k, rows).program(), values=False)
    core = result.nodes["core"]
    assert core.busy == tiles * k
    # One latency of the memory on each side, the drain of the last tile, and pipelines.
    assert tiles * k + 2 * 64 < result.cycles <= tiles * k + 2 * 64 + rows + 40
    span = next(s for s in result.stages if s.node == "core")
    assert span.last - span.first + 1 == tiles * k
    assert span.note == "long"


def test_short_tiles_wait_for_the_drain() -> None:
    tiles, k, rows = 30, 3, 8
    result = run(core_program(tiles, k, rows).program(), values=False)
    assert tiles * rows <= result.cycles - 2 * 64 <= tiles * rows + 50
    assert result.nodes["core"].waits["l2"] >= (tiles - 3) * (rows - k)


def test_vector_unit_takes_a_beat_every_lanes_per_rate_cycles_and_hides_parameters() -> None:
    b, rng, groups, count = Builder("vec"), random.Random(2), 6, 10
    table = [p for _ in range(groups) for p in params([1 << 24] * 4, [24] * 4, [0] * 4)]
    b.load("vec.params", table, 32, port_bits=128, depth=2)
    b.load("vec.x", beats(rng, groups * count, 4, 8), 8, port_bits=32, depth=2)
    step = VectorStep(groups=groups, beats=count, source="x", lo=-128, hi=127)
    b.node(Vector(name="vec", lanes=4, rate=2, acc_bits=32, bits=8, steps=(step,)))
    b.store("vec.out", groups * count, 4, 8, port_bits=32)
    result = run(b.program(), b.images)
    span = next(s for s in result.stages if s.node == "vec")
    assert span.last - span.first + 1 == groups * count * 2
    assert result.outputs["m_store3"] == b.images["m_load1"]  # multiplying by 1 changes nothing


def test_memory_bandwidth_and_latency_set_the_pace() -> None:
    b, rng, words = Builder("copy"), random.Random(3), 600
    b.load("store1.in", beats(rng, words, 4, 8), 8, port_bits=32, name="load0")
    b.nodes.append(
        Store(name="store1", port_bits=32, argument="y", words=words, steps=(StoreStep(base=0, beats=words),))
    )
    b.arguments.append(b.arguments[0].model_copy(update={"name": "y", "role": "output"}))
    fast = run(b.program(), b.images)
    half = run(b.program(), b.images, MemoryModel(words_num=1, words_den=2))
    far = run(b.program(), b.images, MemoryModel(latency=300, write_latency=64))
    slow = run(b.program(), b.images, MemoryModel(latency=64, write_latency=500))
    assert fast.outputs["y"] == half.outputs["y"] == b.images["m_load0"]
    assert words + 128 <= fast.cycles <= words + 128 + 60
    assert abs(half.cycles - fast.cycles - words) <= 32
    # Up to 512 words are on their way: 300 cycles of latency don't break the stream. Writes have 256.
    assert far.cycles - fast.cycles == 300 - 64
    assert slow.cycles > 500 * words / 256


def test_the_counts_of_every_unit_add_up_to_the_run() -> None:
    program, images, _ = perceptron()
    result = run(program, images)
    for name, node in result.nodes.items():
        assert node.busy + node.wait_in + node.wait_out + node.wait_token + node.idle == result.cycles, name
        waits = node.wait_in + node.wait_out + node.wait_token
        assert sum(node.waits.values()) == waits, name
    assert all(use.pushes == use.pops and use.high_water <= use.depth for use in result.links.values())


def test_latencies_come_from_the_table() -> None:
    program = core_program(5, 20, 2).program()
    base = run(program, values=False)
    slower = run(program, values=False, timing=Timing(start=11, core=Timing().core + 7))
    assert slower.cycles == base.cycles + 10 + 7


def test_a_load_waits_for_the_store_it_needs() -> None:
    b, rng = Builder("spill"), random.Random(4)
    data = beats(rng, 8, 4, 8)
    b.load("spill.in", data, 8, port_bits=32, name="x")
    scratch = b.arguments[0].model_copy(update={"name": "scratch", "role": "scratch"})
    b.arguments.append(scratch)
    b.node(
        Store(name="spill", port_bits=32, argument="scratch", words=8, steps=(StoreStep(base=0, beats=8),))
    )
    again = (LoadStep(base=0, beats=8, need=1, note="back"),)
    b.node(Load(name="reload", port_bits=32, argument="scratch", words=8, after="spill", steps=again))
    b.link("reload.out", "y.in", 4, 8)
    b.nodes.append(Store(name="y", port_bits=32, argument="y", words=8, steps=(StoreStep(base=0, beats=8),)))
    b.arguments.append(scratch.model_copy(update={"name": "y", "role": "output"}))
    result = run(b.program(), b.images)
    result.raise_deadlock()
    assert result.outputs["y"] == b.images["m_x"]
    assert result.nodes["reload"].wait_token > 64
    assert result.cycles > 4 * 64


# ---------------------------------------------------------------- faults and deadlocks


def loop_of_buffer(need: int) -> Program:
    b, rng = Builder("stuck"), random.Random(5)
    b.load("buf.in", beats(rng, 4, 2, 8), 8, port_bits=32, name="x")
    walk = Walk(counts=(4, 1, 1, 1, 1), strides=(1, 0, 0, 0, 0))
    reads = (BufferStep(walk=walk, need=need, need_step=1, note="read all"),)
    b.node(Buffer(name="buf", depth=4, lanes=2, bits=8, writes=(BufferStep(walk=walk),), reads=reads))
    b.store("buf.out", 4, 2, 8, port_bits=32, name="y")
    return b.program()


def test_missing_tokens_are_reported_with_counts() -> None:
    result = run(loop_of_buffer(need=2), values=False)
    assert result.cycles == 0
    deadlock = result.deadlock
    assert deadlock is not None and deadlock.kind == "deadlock"
    stuck = {s.node: s for s in deadlock.stuck}
    assert (stuck["buf.out"].need, stuck["buf.out"].posted, stuck["buf.out"].note) == (5, 4, "read all")
    assert (stuck["y"].link, stuck["y"].fill) == ("l1", 0)
    with pytest.raises(
        InternalError, match=r"buf\.out, step 0 \(read all\): needs 5 finished .* 4 are posted"
    ):
        result.raise_deadlock()


def test_a_ring_of_waits_is_named() -> None:
    program, _, _ = perceptron(depth=2)
    # The read side asks for one write iteration more than there will ever be before it.
    nodes = []
    for node in program.nodes:
        if isinstance(node, Buffer):
            reads = tuple(step.model_copy(update={"need": step.need + 1}) for step in node.reads)
            node = node.model_copy(update={"reads": reads})
        nodes.append(node)
    result = run(program.model_copy(update={"nodes": tuple(nodes)}), values=False)
    assert result.deadlock is not None
    assert {"core", "vec", "feed", "router"} <= set(result.deadlock.cycle)
    assert "ring of waits" in str(result.deadlock)


def test_beats_that_nobody_takes_are_reported() -> None:
    b, rng = Builder("left"), random.Random(6)
    b.load("y.in", beats(rng, 5, 4, 8), 8, port_bits=32, name="x")
    b.node(Store(name="y", port_bits=32, argument="y", words=3, steps=(StoreStep(base=0, beats=3),)))
    b.arguments.append(b.arguments[0].model_copy(update={"name": "y", "role": "output", "words": 3}))
    result = run(b.program(), values=False)
    assert result.deadlock is not None and result.deadlock.kind == "leftover"
    assert result.deadlock.beats_left == {"l0": 2}


def test_the_cycle_limit_is_kept() -> None:
    result = run(perceptron()[0], values=False, max_cycles=100)
    assert result.deadlock is not None and result.deadlock.kind == "limit"
    assert result.deadlock.at == 101


def test_an_address_outside_of_a_buffer_is_a_fault_with_its_place() -> None:
    program = loop_of_buffer(need=0)
    nodes = [n.model_copy(update={"depth": 3}) if isinstance(n, Buffer) else n for n in program.nodes]
    image = {"m_x": bytes(8)}
    with pytest.raises(
        InternalError, match=r"buf\.out, step 0 .*: address 3 outside of the memory of 3 beats"
    ):
        run(program.model_copy(update={"nodes": tuple(nodes)}), image)


def constants(depth: int) -> Builder:
    b = Builder("constants")
    reads = (ReadStep(walk=Walk(counts=(4, 1, 1, 1, 1), strides=(1, 0, 0, 0, 0)), note="all"),)
    b.constant("rom", beats(random.Random(depth), depth, 4, 8), 8, reads)
    b.store("rom.out", 4, 4, 8, port_bits=32, name="y")
    return b


def test_constants_on_chip_need_their_image_and_a_name_of_their_own() -> None:
    b = constants(4)
    assert run(b.program(), b.images).outputs["m_y"] == b.images["rom"]
    assert run(b.program(), values=False).cycles == run(b.program(), b.images).cycles
    for short in ({}, {"rom": bytes(15)}):
        with pytest.raises(InternalError, match=r"the constants 'rom' need an image of 16 bytes, got"):
            run(b.program(), short)
    with pytest.raises(InternalError, match=r"rom, step 0 \(all\).*: address 3 outside of .* 3 beats"):
        run(constants(3).program(), constants(3).images)
    same = b.program().model_copy(
        update={"nodes": (b.nodes[0].model_copy(update={"name": "m_y"}), b.nodes[1])}
    )
    with pytest.raises(InternalError, match="both called 'm_y'"):
        run(same, values=False)


def test_an_operand_wider_than_the_multipliers_is_refused() -> None:
    program = core_program(2, 3, 2)
    index = next(i for i, node in enumerate(program.nodes) if isinstance(node, Core))
    for used, ok in ((8, True), (7, False)):
        program.nodes[index] = program.nodes[index].model_copy(update={"w_used": used, "pack": 2})
        if ok:
            assert run(program.program(), program.images).deadlock is None
        else:
            with pytest.raises(InternalError, match=r"operand .* exceeds the width of the multipliers"):
                run(program.program(), program.images)


def test_an_accumulator_that_does_not_fit_is_a_fault() -> None:
    builder = core_program(2, 30, 1)
    builder.images = {name: b"\x7f" * len(data) for name, data in builder.images.items()}
    node = builder.nodes[2].model_copy(update={"acc_bits": 16})
    builder.nodes[2] = node
    with pytest.raises(InternalError, match="accumulator value 483870 does not fit in 16 bits"):
        run(builder.program(), builder.images)


def test_malformed_programs_are_refused_with_all_findings() -> None:
    program = core_program(2, 30, 2).program()
    links = tuple(link.model_copy(update={"lanes": 3}) for link in program.links if link.dst != "core.w")
    with pytest.raises(InternalError) as error:
        run(program.model_copy(update={"links": links}), values=False)
    text = str(error.value)
    assert "core.w: a step uses this port, but it has no link" in text
    assert "has 3 lanes, core.a needs 2" in text


def test_a_missing_compiler_is_a_tool_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ToolError, match="there is no compiler 'no-such-compiler'"):
        engine_build.library_path()


# ---------------------------------------------------------------- merged orders


@pytest.mark.parametrize("seed", range(12))
def test_merged_buffers_give_the_same_bits(seed: int) -> None:
    builder = RANDOM["buffer"](random.Random(seed))
    program = builder.program()
    planned = plan_merged(program)
    buffer = next(node for node in planned.nodes if isinstance(node, Buffer))
    for side, steps in (("w", buffer.writes), ("r", buffer.reads)):
        wanted = sum(step.walk.counts[0] for step in steps)
        assert sum(count for s, count in buffer.merged if s == side) == wanted
    result = run(planned, builder.images, merged=True)
    result.raise_deadlock()
    assert result.outputs == run(program, builder.images).outputs


def test_merged_network_gives_the_same_bits_and_deepens_links_when_it_must() -> None:
    program, images, _ = perceptron(rows=60, sizes=(12, 40, 7), depth=2)
    with pytest.raises(InternalError, match="no static order found"):
        plan_merged(program)
    planned = plan_merged(program, deepen=20)
    assert sum(link.depth for link in planned.links) > sum(link.depth for link in program.links)
    result = run(planned, images, merged=True)
    result.raise_deadlock()
    assert result.outputs == run(program, images).outputs


def test_a_bad_merged_order_is_a_fault() -> None:
    program = loop_of_buffer(need=1)
    planned = plan_merged(program)
    wrong = (("r", 4), ("w", 4))
    nodes = [n.model_copy(update={"merged": wrong}) if isinstance(n, Buffer) else n for n in planned.nodes]
    with pytest.raises(InternalError, match="before what it needs has been posted"):
        run(planned.model_copy(update={"nodes": tuple(nodes)}), values=False, merged=True)


# ---------------------------------------------------------------- advice


def test_shallow_links_are_named() -> None:
    builder = core_program(10, 20, 1)
    advice = size_fifos(builder.program())
    assert {item.link for item in advice} <= {"l0", "l1", "l2"}
    assert all(item.cycles > 0 for item in advice)
    deep = builder.program()
    deep = deep.model_copy(
        update={"links": tuple(link.model_copy(update={"depth": 999}) for link in deep.links)}
    )
    assert size_fifos(deep) == ()
