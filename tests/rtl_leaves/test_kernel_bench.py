"""The kernel bench on the smallest kernel: right data, honest cycles, and errors that say what is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from intar.assets import asset_dir
from intar.codegen.rtl import Bundle
from intar.errors import ConfigError, ToolError
from intar.verify.sim_build import build_simulation
from intar.verify.simulate import Argument, MemoryModel, Simulation, SimulationTimeout

pytestmark = pytest.mark.sim
WORDS, BYTES = 300, 300 * 64
FILES = [asset_dir("rtl") / f"intar_{name}.sv" for name in ("fifo", "axi_read", "axi_write", "control")]
FILES.append(Path(__file__).parent / "copy_kernel.sv")
BUNDLES = [Bundle("gmem0", 512, write=False), Bundle("gmem1", 512, read=False)]


def inputs(count: int) -> list[np.ndarray]:
    return [np.random.default_rng(i).integers(0, 256, BYTES, dtype=np.uint8) for i in range(count)]


def jobs(arrays: list[np.ndarray], size: int = BYTES) -> list[list[Argument]]:
    return [[Argument("x", 0x10, data=x), Argument("y", 0x1C, size=size)] for x in arrays]


def check(simulation: Simulation, count: int = 2, **options) -> tuple[int, ...]:
    arrays = inputs(count)
    result = simulation.run(jobs(arrays), **options)
    assert len(result.outputs) == count
    for x, out in zip(arrays, result.outputs, strict=True):
        assert np.array_equal(out["y"], x)
    return result.cycles


@pytest.fixture(scope="module")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    return build_simulation(FILES, "copy_kernel", BUNDLES, tmp_path_factory.mktemp("copy"), fast=False)


@pytest.mark.parametrize("wait", ["interrupt", "poll"])
@pytest.mark.parametrize("reset_between", [False, True])
def test_two_runs(simulation: Simulation, wait: str, reset_between: bool) -> None:
    cycles = check(simulation, wait=wait, reset_between=reset_between)
    assert cycles[0] == cycles[1]  # the way of waiting and earlier runs do not count


@pytest.mark.parametrize("after", [1, 40, 200])
def test_reset_in_the_middle(simulation: Simulation, after: int) -> None:
    """An inference that is cut off, before its first word, while it reads, and while it writes, leaves no trace."""
    assert check(simulation, abort_after=after) == check(simulation)


def test_nothing_to_reset_is_an_error(simulation: Simulation) -> None:
    with pytest.raises(ConfigError, match="over before it is to be aborted"):
        simulation.run(jobs(inputs(1)), abort_after=5000)


def test_cycles_follow_the_memory_model(simulation: Simulation) -> None:
    fast = check(simulation, count=1, memory=MemoryModel(latency=1))[0]
    slow = check(simulation, count=1, memory=MemoryModel(latency=51))[0]
    half = check(simulation, count=1, memory=MemoryModel(latency=1, words_den=2))[0]
    assert WORDS + 10 < fast < WORDS + 40
    assert slow == fast + 2 * 50  # once for the first word, once for the last response
    assert half - fast >= WORDS - 10


def test_stalls_are_reproducible(simulation: Simulation) -> None:
    one = check(simulation, memory=MemoryModel(latency=7, stall=0.4, seed=5))
    assert one == check(simulation, memory=MemoryModel(latency=7, stall=0.4, seed=5))
    assert one != check(simulation, memory=MemoryModel(latency=7, stall=0.4, seed=6))


def test_traffic_is_counted(simulation: Simulation) -> None:
    result = simulation.run(jobs(inputs(2)))
    assert result.traffic["gmem0"]["read_words"] == 2 * WORDS
    assert result.traffic["gmem0"]["read_bursts"] == 2 * -(-WORDS // 64)
    assert result.traffic["gmem1"]["write_words"] == 2 * WORDS


@pytest.mark.parametrize("wait", ["interrupt", "poll"])
def test_timeout_is_an_error_and_not_a_hang(simulation: Simulation, wait: str) -> None:
    with pytest.raises(SimulationTimeout, match="timeout after 100 cycles"):
        simulation.run(jobs(inputs(1)), timeout_cycles=100, wait=wait)


def test_access_outside_of_a_buffer_is_named(simulation: Simulation) -> None:
    with pytest.raises(ToolError, match="write outside of every buffer at 0x"):
        simulation.run(jobs(inputs(1), size=4096))
    x = inputs(1)[0]
    with pytest.raises(ToolError, match="write to the input buffer"):
        simulation.run([[Argument("x", 0x10, data=x), Argument("y", 0x1C, data=x.copy(), output=False)]])


def test_wrong_arguments_are_all_reported(simulation: Simulation) -> None:
    with pytest.raises(ConfigError) as caught:
        simulation.run([[Argument("x", 0x11, size=0)]], memory=MemoryModel(latency=0), wait="hope")
    assert len(caught.value.findings) == 4


def test_unchanged_kernel_is_not_built_again(simulation: Simulation) -> None:
    program = simulation.build_dir / "objects" / "intar_bench"
    before = program.stat().st_mtime_ns
    build_simulation(FILES, "copy_kernel", BUNDLES, simulation.build_dir, fast=False)
    assert program.stat().st_mtime_ns == before


def test_build_error_is_quoted(tmp_path: Path) -> None:
    broken = tmp_path / "broken.sv"
    broken.write_text("module broken; wibble\nendmodule\n")
    with pytest.raises(ToolError, match=r"broken.sv:2"):
        build_simulation([broken], "broken", BUNDLES, tmp_path / "build")
    with pytest.raises(ConfigError, match="no such file"):
        build_simulation([tmp_path / "absent.sv"], "absent", BUNDLES, tmp_path / "build")
    with pytest.raises(ConfigError, match="48 bits"):
        build_simulation(FILES, "copy_kernel", [Bundle("gmem0", 48)], tmp_path / "build")


def test_axi_ram_with_pauses(tmp_path: Path) -> None:
    simulation = build_simulation(FILES, "copy_kernel", BUNDLES, tmp_path, mode="axiram", fast=False)
    free = check(simulation)
    paused = check(simulation, memory=MemoryModel(stall=0.3, seed=1))
    assert min(paused) > max(free)


def read_vcd(file: Path) -> dict[str, list[tuple[int, str]]]:
    """Changes (time, value) of every signal of a VCD file, by its path; aliases share one list."""
    header, body = file.read_text().split("$enddefinitions $end")
    scope: list[str] = []
    paths: dict[str, list[str]] = {}
    for words in (line.split() for line in header.splitlines()):
        if words[:1] == ["$scope"]:
            scope.append(words[2])
        elif words[:1] == ["$upscope"]:
            scope.pop()
        elif words[:1] == ["$var"]:
            paths.setdefault(words[3], []).append(".".join([*scope, words[4]]))
    changes: dict[str, list[tuple[int, str]]] = {code: [] for code in paths}
    now = 0
    for line in body.split("\n"):
        if line.startswith("#"):
            now = int(line[1:])
        elif line.startswith("b"):
            value, code = line[1:].split()
            changes[code].append((now, value))
        elif line:
            changes[line[1:]].append((now, line[0]))
    return {path: changes[code] for code, found in paths.items() for path in found}


@pytest.mark.full
def test_waves(tmp_path: Path) -> None:
    """The dump has the clock of every cycle, the end of the run, and the inside of the kernel."""
    simulation = build_simulation(FILES, "copy_kernel", BUNDLES, tmp_path, waves=True, fast=False)
    cycles = check(simulation, count=1)[0]
    signals = read_vcd(tmp_path / "dump.vcd")
    clock = [value for _, value in signals["intar_bench.ap_clk"]]
    assert clock[-100:] == ["0", "1"] * 50 or clock[-100:] == ["1", "0"] * 50
    assert cycles < clock.count("1") < cycles + 200
    assert [value for _, value in signals["intar_bench.interrupt"]] == ["0", "1", "0"]
    data = [value for _, value in signals["intar_bench.m_axi_gmem0_rdata"]]
    assert len(data) >= WORDS
    assert any(path.startswith("intar_bench.kernel.") and path.count(".") > 2 for path in signals)


def test_import_needs_no_simulator() -> None:
    code = "import sys, intar.verify.sim_build; sys.exit('cocotb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
