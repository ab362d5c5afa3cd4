"""What the kernels compile to for sm_90: no GPU is needed, only Triton's wheel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

COMPILE = """
import json, gpu_static
warps = {"fp32": 2, "bf16": 1}
rows = [gpu_static.ours("forward", 768, dtype, warps[dtype]) for dtype in warps]
rows += [gpu_static.ours("backward", 768, dtype, warps[dtype], 3) for dtype in warps]
print(json.dumps([*rows, gpu_static.second_stage(768, "fp32")]))
"""

LAUNCH = """
import json
import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

class Device:
    '''An sm_90 that takes code and runs none of it: launches are recorded, every kernel takes a millisecond.'''
    launches = []
    utils = launcher_cls = property(lambda self: self)
    get_current_target = lambda self: GPUTarget("cuda", 90, 32)
    get_current_device = get_current_stream = lambda self, *_: 0
    get_device_properties = lambda self, _: {"max_shared_mem": 232448}
    load_binary = lambda self, *_: (1, 1, 128, 0, 1024)
    unload_module = lambda self, _: None
    get_benchmarker = lambda self: lambda run, quantiles: (run(), [1.0] * len(quantiles))[1]
    def __call__(self, source, metadata):
        return lambda *launch: self.launches.append((source.name, launch[:3]))

device = Device()
driver.set_active(device)
from intar.gpu import launch
assert not launch.INTERPRETED
tuned = [*launch._forward.values(), *launch._backward.values()]
for kernel in tuned:
    kernel.configs = kernel.configs[:2]
a, b = torch.zeros(1, 6), torch.zeros(8, 4)
found = []
for rows in (64, 4000, 333, 16, 1, 12000):
    x = torch.zeros(rows, 768)
    device.launches.clear()
    launch.forward(x, a, b, 8)
    launch.backward(x, x, a, b, 8)
    found.append(list(device.launches))
compiled = [len(tuner[True].fn.device_caches[0][0]) for tuner in (launch._forward, launch._backward)]
print(json.dumps({"launches": found, "compiled": compiled}))
"""


def run(code: str) -> str:
    """Output of `code` in a process where the kernels are compiled and not interpreted."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = os.pathsep.join([str(BENCHMARKS), *sys.path])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_code_for_sm90() -> None:
    """Vector accesses of 16 bytes, nothing spilled, nothing atomic, and few enough instructions to be bound by memory.

    Triton before 3.9 adds a vector's terms up in more of them.
    """
    backward = 64 if tuple(map(int, version("triton").split(".")[:2])) >= (3, 9) else 72
    rows = json.loads(run(COMPILE))
    for row in rows:
        name = f"{row['kernel']} {row['dtype']}"
        assert row["stack_bytes"] == row["spill_instructions"] == row["atomics"] == 0, name
        if "fold" not in name:
            assert row["widest_load_bits"] == 128, name
        assert row["instructions_per_element"] <= (backward if "backward" in name else 32), name


def test_launches_of_several_batch_sizes() -> None:
    """The autotuner's choices are compiled once, and not again for another number of rows, though calls that fill a GPU are
    tuned by themselves; grids cover the rows."""
    found = json.loads(run(LAUNCH))
    assert found["compiled"] == [2, 2]
    rows = {4000: (2000, 125), 333: (167, 10), 16: (8, 1), 1: (1, 1)}
    first, *others, large = found["launches"]
    both_then_the_best = ["forward"] * 3 + ["backward"] * 3
    for tuned in (first, large):
        assert [name for name, _ in tuned] == [*both_then_the_best, "fold", "finish"]
    second_stage = [["fold", [8, 10, 1]], ["finish", [38, 1, 1]]]
    assert others == [
        [["forward", [tiles, 3, 1]], ["backward", [programs, 3, 1]], *second_stage]
        for tiles, programs in rows.values()
    ]


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="the benchmark runs where a GPU is")
def test_timing_without_a_gpu_is_one_error() -> None:
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "gpu_rational.py"], capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 1
    assert "PyTorch finds no GPU" in done.stderr and "Traceback" not in done.stderr
