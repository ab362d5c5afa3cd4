"""Boards, budgets and the machine that is chosen for a network."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from graphs import block, mlp

from intar.device import Budget, boards, find_board, make_machine
from intar.errors import ConfigError, InfeasibleError
from intar.frontends import Builder
from intar.grid import prepare
from intar.ir.circuit import circuit
from intar.ir.kernels import comes_in_blocks, kernel_beats
from intar.ir.packing import products_at_once
from intar.ir.quantgraph import QConv, Quantised, operand_bits
from intar.quant.quantise import quantise
from intar.quant.scheme import W8A8
from intar.schedule.solve import solve

MLP = Quantised(mlp(), {})
BLOCK = Quantised(block(197, 192), {})


def test_every_board_gives_a_machine_within_its_resources():
    names = set(boards())
    assert {
        "u280",
        "u250",
        "u55c",
        "u50",
        "v80",
        "vpk180",
        "vhk158",
        "vck190",
        "zcu104",
        "zcu102",
        "kv260",
    } <= names
    assert {"pynq-z2", "ecp5-85f"} <= names
    for name, board in boards().items():
        for quantised in (MLP, BLOCK):
            m = make_machine(name, None, quantised)
            assert m.device == name
            a_bits, w_bits = operand_bits(quantised.graph)
            pack = products_at_once(a_bits, w_bits, board.multiplier)
            assert m.cores * m.rows * -(-m.lanes // pack) <= board.dsp
            assert m.onchip_bytes <= board.onchip_bytes
            assert m.rows <= m.lanes and m.rate <= m.lanes
            assert all(v & (v - 1) == 0 for v in (m.lanes, m.rate, m.port_bits))
            assert m.cores * m.port_bits / 8 * m.clock_mhz / 1e3 <= board.bandwidth or m.cores == 1


def test_the_mlp_gets_one_row_and_full_ports():
    m = make_machine("U280", {"dsp": 32}, MLP)
    assert (m.cores, m.rows, m.lanes, m.port_bits) == (2, 1, 16, 256)
    assert make_machine("u280", None, BLOCK).rows > 1


def test_budget_options():
    budget = Budget.parse({"multipliers": 64, "dsp": 32, "onchip": "512K", "clock": "200.5", "lanes": "8"})
    assert budget == Budget(multipliers=64, dsp=32, onchip_bytes=512 * 1024, clock_mhz=200.5, lanes=8)
    m = make_machine(
        find_board("pynq_z2"), {"cores": 2, "rows": 4, "lanes": 8, "rate": 2, "port_bits": 64}, BLOCK
    )
    assert (m.cores, m.rows, m.lanes, m.rate, m.port_bits) == (2, 4, 8, 2, 64)


def message(board: str, options: dict) -> str:
    with pytest.raises(ConfigError) as error:
        make_machine(board, options, MLP)
    return str(error.value)


def test_mistakes_are_reported_together():
    text = message("u280", {"dps": 3, "lanes": "x", "clock": -1})
    assert "no budget 'dps'" in text and "did you mean 'dsp'" in text
    assert "'x' is not a positive whole number" in text
    assert "-1 is not a positive number" in text
    text = message(
        "u280",
        {"lanes": 12, "rows": 16, "cores": 3, "ports": 2, "dsp": 100000, "onchip": "1G", "port_bits": 48},
    )
    for part in (
        "48 is not a power of two", "take 32 or 64", "16 rows with 12 lanes",
        "2 weight ports for 3 cores", "u280 has 9024 DSPs", "1073741824 bytes on chip",
    ):  # fmt: skip
        assert part in text, part
    assert "make 64 multipliers, more than the 32 allowed" in message(
        "u280", {"cores": 4, "lanes": 16, "multipliers": 32}
    )
    assert "take 64 DSPs, more than the 32 allowed" in message("u280", {"cores": 4, "lanes": 16, "dsp": 32})
    assert "take 3072 DSPs, more than the 1248 that kv260 has" in message(
        "kv260", {"rows": 16, "lanes": 64, "cores": 3}
    )
    assert "a DSP makes 1 product of 16 by 16 bits" in message("kv260", {"multipliers": 2000})
    assert "no array fits" in message("u280", {"rows": 16, "dsp": 32})


def test_a_dsp_makes_as_many_products_as_the_operands_allow():
    """`multipliers` are products a cycle, `dsp` the blocks: one and the same only where operands are wide."""
    shape = {"rows": 8, "lanes": 16}
    assert make_machine("u280", shape | {"dsp": 256}, BLOCK).cores == 4
    assert make_machine("u280", shape | {"multipliers": 256}, BLOCK).cores == 2
    assert make_machine("u280", shape | {"dsp": 256}, Quantised(block(197, 192, 16), {})).cores == 2
    assert make_machine("u280", shape | {"dsp": 256, "multipliers": 128}, BLOCK).cores == 1
    # 8 by 8 bits need a multiplier of 25 bits.
    assert make_machine("ecp5-85f", {"rows": 2, "lanes": 8, "dsp": 32}, BLOCK).multipliers <= 32
    intar = make_machine("u280", {"cores": 6, "rows": 32, "lanes": 64, "dsp": 6144}, BLOCK)
    assert intar.multipliers == 12288


def test_weights_on_chip_ask_for_other_shapes():
    """Ports bring a word of weights a cycle to each core; on chip one row at a time has deep cells."""
    ported = make_machine("u280", {"multipliers": 128}, MLP)
    chip = make_machine("u280", {"multipliers": 128, "weights": "chip"}, MLP)
    assert (ported.weights, ported.depth, ported.multipliers) == ("memory", 1, 128)
    assert (chip.weights, chip.multipliers) == ("chip", 128) and chip.depth > 1
    assert chip.cores < ported.cores
    assert make_machine("u280", {"multipliers": 128, "weights": "chip", "depth": 4}, MLP).depth == 4


def test_places_of_weights_are_words():
    assert Budget.parse({"weights": "chip"}).weights == "chip"
    with pytest.raises(ConfigError) as error:
        Budget.parse({"weights": "flash", "lanes": 0})
    text = str(error.value)
    assert "'flash' is no place for weights" in text and "weights=memory or chip" in text
    assert "'0'" in text or "0 is not a positive" in text


def test_weights_that_do_not_fit_on_chip_say_where_they_do():
    m = make_machine("pynq-z2", {"weights": "chip", "onchip": "4K"}, MLP)
    with pytest.raises(InfeasibleError) as error:
        solve(MLP.graph, m)
    text = str(error.value)
    assert "weights, parameters" in text and "weights=memory" in text


@pytest.mark.parametrize(
    "bits, boards_, products",
    [
        ((8, 8), ("u280", "vpk180", "pynq-z2"), 2),
        ((8, 4), ("u280", "ecp5-85f"), 2),
        ((16, 4), ("u280", "pynq-z2"), 2),
        ((4, 4), ("u280", "pynq-z2"), 3),
        ((16, 8), ("u280", "vpk180"), 1),
        ((8, 8), ("ecp5-85f",), 1),
        ((16, 4), ("ecp5-85f",), 1),
    ],
)
def test_products_of_a_dsp(bits: tuple[int, int], boards_: tuple[str, ...], products: int):
    for name in boards_:
        assert products_at_once(*bits, find_board(name).multiplier) == products


def test_lanes_need_no_power_of_two_but_fit_the_ports():
    m = make_machine(
        "u280", {"cores": 3, "rows": 1, "lanes": 144, "rate": 36}, Quantised(block(197, 192, 16), {})
    )
    assert (m.cores, m.lanes, m.rate, m.port_bits) == (3, 144, 36, 256)
    assert (
        144
        % make_machine("u280", {"cores": 3, "rows": 1, "lanes": 144}, Quantised(block(197, 192, 16), {})).rate
        == 0
    )
    text = message("u280", {"lanes": 100, "rate": 7})
    assert "7 vector lanes do not divide 100 lanes" in text and "take 5" in text
    text = message("u280", {"lanes": 100, "dsp": 100})
    assert "beats of 100 lanes don't fit port words of 256 bits" in text and "take 96 lanes" in text
    text = message("u280", {"lanes": 6, "depth": 3, "port_bits": 512})
    assert "beats of 6 lanes don't fit port words of 512 bits" in text and "take 96 lanes" in text


def convolution(channels: int, kernel: int, groups: int = 1) -> Quantised:
    """One convolution of an image of 16 x 16."""
    rng, g = np.random.default_rng(0), Builder("convolution")
    x = g.input("x", (1, channels, 16, 16))
    weight = rng.normal(size=(channels, channels // groups, kernel, kernel))
    g.output(g.conv2d(x, weight, pads=kernel // 2, groups=groups))
    return quantise(prepare(g.build()), W8A8, {"x": rng.normal(size=(2, 1, channels, 16, 16))})


def test_many_rows_have_lanes_beyond_a_port_word_where_multipliers_are_left():
    """Two ports of eight weights a word: 128 multipliers are square arrays of such beats, 256 are not."""
    assert make_machine("pynq-z2", {"multipliers": 128}, BLOCK).lanes == 8
    wide = make_machine("pynq-z2", {"multipliers": 256}, BLOCK)
    assert wide.lanes > 8 and wide.multipliers == 256
    assert (
        make_machine("pynq-z2", {"multipliers": 200}, MLP).lanes == 4
    )  # one row: weights are what it waits for


def test_pixels_are_no_words_of_a_weight_port():
    """A channel of its own needs one row: narrow ports (64 bits) don't keep its pixels from being many lanes."""
    m = make_machine("pynq-z2", {"multipliers": 128}, convolution(8, 3, groups=8))
    assert (m.cores, m.rows, m.lanes, m.port_bits) == (2, 1, 64, 64)
    assert make_machine("pynq-z2", {"multipliers": 128}, MLP).lanes == 4  # weights of 16 bits


def test_rows_beyond_a_groups_channels_cost_nothing():
    """A block drains as many rows as it has channels: with sixteen rows a channel of its own takes its nine taps still."""
    rng, g = np.random.default_rng(0), Builder("separable")
    x = g.conv2d(g.input("x", (1, 64, 4, 4)), rng.normal(size=(64, 1, 3, 3)), pads=1, groups=64)
    g.output(g.conv2d(x, rng.normal(size=(64, 64, 1, 1))))
    quantised = quantise(prepare(g.build()), W8A8, {"x": rng.normal(size=(2, 1, 64, 4, 4))})
    assert make_machine("zcu104", {"multipliers": 256, "cores": 1, "lanes": 16}, quantised).rows == 16


def test_kernels_that_do_not_fit_pass_through_a_ring():
    """Of two blocks of channels; where phases read a kernel again and again, of twice that kernel if there is memory."""
    small, large = convolution(32, 3), convolution(128, 3)  # 9 and 144 KiB of weights on each core
    fixed = {"multipliers": 128, "lanes": 8}
    rings = [make_machine("pynq-z2", fixed, network) for network in (small, large)]
    assert [(m.cores, m.kernel_ring) for m in rings] == [(2, 0), (2, 2 * 8 * 128 * 9 // 8)]
    rng, g = np.random.default_rng(0), Builder("strided")
    x = g.conv2d(g.input("x", (1, 16, 32, 32)), rng.normal(size=(64, 16, 3, 3)), pads=1)
    g.output(g.conv2d(x, rng.normal(size=(64, 64, 3, 3)), stride=2, pads=1))
    quantised = quantise(prepare(g.build()), W8A8, {"x": rng.normal(size=(2, 1, 16, 32, 32))})
    first = next(task for task in circuit(quantised.graph).tasks if isinstance(task, QConv))
    assert len(set(first.filters)) < len(first.filters)
    tight = {"multipliers": 64, "lanes": 8}
    whole, blocks = (
        make_machine("pynq-z2", tight | {"onchip": size}, quantised) for size in ("180K", "115K")
    )
    assert not comes_in_blocks(first, 8, whole.kernel_ring) and comes_in_blocks(first, 8, blocks.kernel_ring)
    assert 2 * kernel_beats(first, 8) == whole.kernel_ring


def test_a_ring_holds_the_kernels_of_which_cores_share_channels():
    """36 pixels are five tiles of 8: whole kernels let four cores share the channels of the last one."""
    rng, g = np.random.default_rng(0), Builder("small")
    x = g.input("x", (1, 64, 6, 6))
    for _ in range(4):
        x = g.conv2d(x, rng.normal(size=(64, 64, 3, 3)), pads=1)
    g.output(x)
    quantised = quantise(prepare(g.build()), W8A8, {"x": rng.normal(size=(2, 1, 64, 6, 6))})
    fixed = {"cores": 4, "rows": 8, "lanes": 8, "port_bits": 512}
    whole, blocks = (make_machine("zcu104", fixed | {"onchip": size}, quantised) for size in ("460K", "200K"))
    first = next(task for task in quantised.graph.tasks if isinstance(task, QConv))
    assert whole.kernel_ring == 2 * kernel_beats(first, 8) > blocks.kernel_ring > 0
    assert solve(quantised.graph, whole).objective < solve(quantised.graph, blocks).objective


def test_a_ring_is_what_the_budget_says_and_holds_two_blocks():
    network = convolution(32, 3)
    m = make_machine("pynq-z2", {"multipliers": 64, "lanes": 8, "kernels": "6K"}, network)
    assert m.kernel_ring == 6 * 1024 // 8
    with pytest.raises(ConfigError) as error:
        make_machine("pynq-z2", {"cores": 1, "rows": 8, "lanes": 8, "kernels": 4000}, network)
    assert "two blocks of 8 channels of the longest filters are 4608" in str(error.value)
    with pytest.raises(ConfigError) as error:
        make_machine("pynq-z2", {"kernels": 8000, "weights": "chip"}, network)
    assert "all weights on chip" in str(error.value)
    with pytest.raises(InfeasibleError) as infeasible:
        solve(network.graph, m.model_copy(update={"kernel_ring": 100}))
    assert "two blocks of channels have 576" in str(infeasible.value)


def test_kernels_that_do_not_fit_are_named_with_the_way_out():
    quantised = convolution(192, 3)
    machine = make_machine("pynq-z2", {"cores": 2, "rows": 8, "lanes": 8, "onchip": "16K"}, quantised)
    with pytest.raises(InfeasibleError) as error:
        solve(quantised.graph, machine, "auto")
    text = str(error.value)
    assert "kernels and parameters of convolutions, 30720 bytes on each of 2 cores" in text
    assert "use fewer cores, or take a larger device" in text


def test_unknown_board_suggests():
    assert "did you mean 'u280'" in message("u820", {})


OWN_BOARD = """\
my-card:
  {part: xczu9eg-ffvb1156-2-e, lut: 274080, ff: 548160, dsp: 2520, bram36: 912, uram: 0, slr: 1, memory: DDR4,
   bandwidth: 19.2, ports: 4, port_bits: 128, clock: 200}
"""


def test_boards_of_a_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text, messages in (
        ("- a list", ["no mapping from names to boards"]),
        ("a: [", ["can't be read"]),
        (OWN_BOARD.replace("my-card", "u280"), ["'u280' is no name for a board"]),
        (
            OWN_BOARD.replace("dsp: 2520, ", "dps: 1, "),
            ["my-card: dsp: Field required", "my-card: dps: Extra"],
        ),
    ):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.yaml"
        path.write_text(text)
        monkeypatch.setenv("INTAR_BOARDS", str(path))
        with pytest.raises(ConfigError) as caught:
            find_board("my_card")
        assert all(message in str(caught.value) for message in messages), caught.value
    (tmp_path / "own.yaml").write_text(OWN_BOARD)
    monkeypatch.setenv("INTAR_BOARDS", str(tmp_path / "own.yaml"))
    assert find_board("My_Card").dsp == 2520 and "u280" in boards()
    assert make_machine("my-card", {"dsp": 64}, MLP).device == "my-card"
    monkeypatch.delenv("INTAR_BOARDS")
    with pytest.raises(ConfigError, match="boards of your own: INTAR_BOARDS=FILE"):
        find_board("my-card")
