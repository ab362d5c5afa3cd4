"""Generated projects: whole networks to the bit, the same bits under any order and any initial memory, clean C++."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hls_cases import prepared
from perceptron import perceptron, perceptron_output

from intar.codegen.hls import LIBRARY, BuildTarget, render_hls
from intar.codegen.hls_nodes.arrays import group_rows
from intar.codegen.hls_nodes.memories import turns
from intar.codegen.host import render_host
from intar.engine import run
from intar.errors import InternalError, UnsupportedError
from intar.ir.nodes.memories import Buffer, BufferStep, Walk
from intar.ir.nodes.ports import Load
from intar.ir.program import Argument, Program, Region
from intar.lower.images import argument_bytes, argument_tensors
from intar.verify.csim import run_csim
from intar.verify.csim_build import find_compiler, runtime_dir


@pytest.fixture(scope="module")
def mlp() -> tuple[Program, dict[str, bytes], np.ndarray]:
    program, images, expected = perceptron(5, (12, 20, 7), 4)
    return prepared(program), images, expected


def write(files: dict[str, bytes], root: Path) -> None:
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)


def test_two_layer_network_equals_numpy(mlp, tmp_path) -> None:
    """And the bits stay, whatever the order of processes and the depths of the FIFOs."""
    program, images, expected = mlp
    files = render_hls(program)
    other = {name: bytes(reversed(data)) if name == "m_x" else data for name, data in images.items()}
    inputs = {name: [images[name], other[name], images[name]] for name in images}
    reference = None
    for env in ({}, {"INTAR_SIM_SEED": "1"}, {"INTAR_SIM_SEED": "2"}, {"INTAR_SIM_DEPTH": "inf"}):
        found = run_csim(files, program, {}, inputs, env=env, flags=("-O1",), build_dir=tmp_path)
        first, second, third = found.outputs["m_y"]
        np.testing.assert_array_equal(perceptron_output(first, 5, 7, 4), expected)
        assert third == first, "an inference depends on the one before it"
        assert second == run(program, other).outputs["m_y"]
        reference = reference or found
        assert found.outputs == reference.outputs
        assert found.saturations == reference.saturations
    written = {stream.name: stream.written for stream in reference.streams}
    assert all(stream.read == stream.written and stream.fill == 0 for stream in reference.streams)
    assert written["l0"] == 3 * 5 * 3  # three inferences, five rows of three beats


@pytest.mark.full
def test_nothing_is_read_before_it_is_written(mlp) -> None:
    """Memory filled with a pattern, undefined behaviour ends the run."""
    program, images, expected = mlp
    flags = ("-ftrivial-auto-var-init=pattern", "-fsanitize=undefined", "-fno-sanitize-recover=undefined")
    inputs = {name: [data, data] for name, data in images.items()}
    found = run_csim(render_hls(program), program, {}, inputs, flags=flags)
    for image in found.outputs["m_y"]:
        np.testing.assert_array_equal(perceptron_output(image, 5, 7, 4), expected)


@pytest.mark.parametrize("standard", ["c++14", pytest.param("c++17", marks=pytest.mark.full)])
def test_headers_and_kernel_have_no_warnings(standard, mlp, tmp_path) -> None:
    write(render_hls(mlp[0]), tmp_path)
    hls = tmp_path / "hls"
    checked = [hls / "kernel.cpp", hls / "tb.cpp"]
    for name in LIBRARY if standard == "c++14" else ():
        alone = tmp_path / f"{name}.cpp"  # each header includes what it uses
        alone.write_text(f'#include "{name}"\n')
        checked.append(alone)
    flags = [
        "-Wall",
        "-Wextra",
        "-Wno-unknown-pragmas",
        "-Wno-unused-label",
        "-fsyntax-only",
        f"-std={standard}",
    ]
    folders = [f"-I{folder}" for folder in (hls, hls / "intar", runtime_dir())]
    done = subprocess.run(
        [find_compiler()[0], *flags, *folders, *map(str, checked)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_test_bench_compares(mlp, tmp_path) -> None:
    """`make csim` of a generated project passes on the golden bytes and fails on a single wrong one that counts."""
    program, images, _ = mlp
    write(render_hls(program), tmp_path)
    write(render_host(program), tmp_path)
    golden = run(program, images).outputs["m_y"]
    (tmp_path / "data").mkdir()
    for name, data in images.items():
        (tmp_path / "data" / f"{name}.bin").write_bytes(data)
    target = tmp_path / "data" / "m_y.golden.bin"
    target.write_bytes(golden)
    mask = tmp_path / "data" / "m_y.mask.bin"
    mask.write_bytes(b"\xff" * len(golden))
    make = ["make", "-C", str(tmp_path), "csim", f"CXX={find_compiler()[0]}", "CXXFLAGS=-O0"]
    good = subprocess.run(make, capture_output=True, text=True, check=False)
    assert good.returncode == 0, good.stderr
    assert "1 inferences, every byte as expected" in good.stdout
    target.write_bytes(bytes([golden[0] ^ 1]) + golden[1:])
    bad = subprocess.run(make, capture_output=True, text=True, check=False)
    assert bad.returncode != 0
    assert "m_y: inference 0, byte 0" in bad.stderr
    assert "1 bytes are wrong" in bad.stderr
    mask.write_bytes(b"\xfe" + b"\xff" * (len(golden) - 1))
    masked = subprocess.run(make, capture_output=True, text=True, check=False)
    assert masked.returncode == 0, masked.stderr


def test_same_program_same_bytes(mlp) -> None:
    assert render_hls(mlp[0]) == render_hls(mlp[0])
    assert render_host(mlp[0]) == render_host(mlp[0])


def test_notes_are_harmless() -> None:
    """A note can't leave its comment, whatever a model file puts there."""
    program, _, _ = perceptron()
    nodes = []
    for node in prepared(program).nodes:
        if node.kind == "core":
            evil = "x\n#error evil\\\n*/ ??/ \u2028 \\"
            steps = tuple(step.model_copy(update={"note": evil}) for step in node.steps)
            node = node.model_copy(update={"steps": steps})
        nodes.append(node)
    text = render_hls(prepared(program).model_copy(update={"nodes": tuple(nodes)}))["hls/kernel.cpp"].decode()
    lines = [line for line in text.splitlines() if "evil" in line]
    assert lines
    for line in lines:
        assert "// x #error evil" in line
        assert not line.endswith(("\\", "??/"))
    assert text.isascii()


def test_spill_is_refused_with_a_way_out(mlp) -> None:
    nodes = tuple(
        node.model_copy(update={"after": "y"}) if isinstance(node, Load) and node.name == "x" else node
        for node in mlp[0].nodes
    )
    with pytest.raises(UnsupportedError) as caught:
        render_hls(mlp[0].model_copy(update={"nodes": nodes}))
    text = str(caught.value)
    assert "node 'x'" in text
    assert "'y'" in text
    assert "Store.turns" in text


def test_shared_argument_is_refused(mlp) -> None:
    nodes = tuple(
        node.model_copy(update={"argument": "m_x"}) if node.name == "weights" else node
        for node in mlp[0].nodes
    )
    with pytest.raises(UnsupportedError, match=r"'x', 'weights'|'weights', 'x'"):
        render_hls(mlp[0].model_copy(update={"nodes": nodes}))


def test_order_of_a_buffer() -> None:
    """Runs are paired; an order that reads too early or leaves something out is a fault of ours."""
    step = Walk(counts=(4, 1, 1, 1, 1), strides=(1, 0, 0, 0, 0))
    buffer = Buffer(
        name="b",
        depth=4,
        lanes=1,
        bits=8,
        writes=(BufferStep(walk=step),),
        reads=(BufferStep(walk=step, need=1, need_step=1),),
        merged=(("w", 2), ("r", 1), ("w", 1), ("r", 1), ("w", 1), ("r", 1), ("r", 1)),
    )
    assert turns(buffer, 0) == [(1, 2, 1), (1, 1, 1), (1, 1, 2)]
    for merged in ((("r", 4), ("w", 4)), (("w", 4), ("r", 3)), (("w", 5), ("r", 4)), ()):
        with pytest.raises(InternalError, match="buffer 'b'"):
            turns(buffer.model_copy(update={"merged": merged}), 0)


@pytest.mark.parametrize(
    "rows, lanes, bits, group", [(16, 16, 8, 16), (16, 16, 32, 8), (32, 16, 16, 16), (3, 512, 64, 1)]
)
def test_inner_beats_stay_within_what_vitis_packs(rows, lanes, bits, group) -> None:
    assert group_rows(rows, lanes, bits) == group


def test_build_files_follow_the_target(mlp) -> None:
    banks = [f"HBM[{i}]" for i in range(len(mlp[0].arguments))]
    target = BuildTarget("xcu55c-fsvh2892-2L-e", "xilinx_u55c_gen3x16_xdma_3_202210_1", 250.0, banks)
    files = render_hls(mlp[0], target)
    config = files["hls/hls_config.cfg"].decode()
    assert config.index("part=xcu55c-fsvh2892-2L-e") < config.index("[hls]") < config.index("clock=4.000ns")
    assert "tb.file=../data/m_y.golden.bin" in config
    assert "tb.file=../data/m_y.mask.bin" in config
    link = files["hls/link.cfg"].decode()
    assert "sp=perceptron_1.m_weights:HBM[1]" in link
    assert "freqHz=250000000:perceptron_1.ap_clk" in link
    assert "set_part xcu55c-fsvh2892-2L-e" in files["hls/run_hls.tcl"].decode()


def test_host_packs_like_the_compiler(tmp_path) -> None:
    """host.py stands alone; its images are those of the compiler, also for 4-bit elements and several fields."""
    fields = (
        Region(name="a", base=0, rows=3, cols=5, row_beats=2, lanes=4, bits=8),
        Region(name="b", base=6, rows=2, cols=7, row_beats=1, lanes=8, bits=4),
        Region(name="c", base=9, rows=1, cols=4, row_beats=1, lanes=4, bits=16),
    )
    argument = Argument(name="x", role="input", port_bits=32, words=16, fields=fields)
    program = Program(name="packing", nodes=(), links=(), arguments=(argument,))
    path = tmp_path / "host.py"
    path.write_bytes(render_host(program)["host/host.py"])
    spec = importlib.util.spec_from_file_location("generated_host", path)
    host = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(host)
    rng = np.random.default_rng(3)
    tensors = {
        f.name: rng.integers(-(1 << (f.bits - 1)), 1 << (f.bits - 1), (f.rows, f.cols)) for f in fields
    }
    image = argument_bytes(argument, tensors)
    assert host.pack("x", tensors) == image
    for name, values in host.unpack({"x": image}).items():
        np.testing.assert_array_equal(values, tensors[name])
        np.testing.assert_array_equal(argument_tensors(argument, image)[name].reshape(values.shape), values)
