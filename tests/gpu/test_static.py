"""What the kernels compile to for sm_90: no GPU is needed, only Triton's wheel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

COMPILE = """
import json, gpu_static
rows = [gpu_static.ours(name, 768, dtype) for name in ("forward", "backward") for dtype in ("fp32", "bf16")]
print(json.dumps([*rows, gpu_static.second_stage(768, "fp32")]))
"""

KEYS = """
import json
import torch
from triton.backends.compiler import GPUTarget
from triton.compiler.compiler import make_backend
from triton.runtime.jit import create_function_from_signature
from intar.gpu import kernels

backend = make_backend(GPUTarget("cuda", 90, 32))
t = torch.zeros(64)
for kernel, fixed in ((kernels.forward, [t, t, t, t]), (kernels.backward, [t, t, t, t, t, t])):
    bind = create_function_from_signature(kernel.signature, kernel.params, backend)
    constants = {param.name: 1 for param in kernel.params if param.is_constexpr}
    def key(rows, programs):
        runtime = [rows, 768] if kernel is kernels.forward else [rows, programs, 768, 768]
        return str(bind(*fixed, *runtime, **constants)[1])
    print(json.dumps(len({key(rows, programs) for rows, programs in ((1, 1), (16, 16), (17, 3), (201728, 2048))})))
"""


def run(code: str) -> str:
    """Output of `code` in a process where the kernels are compiled and not interpreted."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = os.pathsep.join([str(BENCHMARKS), *sys.path])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_code_for_sm90() -> None:
    """Vector accesses of 16 bytes, nothing spilled, nothing atomic, and few enough instructions to be bound by memory."""
    rows = json.loads(run(COMPILE))
    for row in rows:
        name = f"{row['kernel']} {row['dtype']}"
        assert row["stack_bytes"] == row["spill_instructions"] == row["atomics"] == 0, name
        if "fold" not in name:
            assert row["widest_load_bits"] == 128, name
        assert row["instructions_per_element"] <= (64 if "backward" in name else 32), name


def test_no_recompilation_for_a_batch_size() -> None:
    """Triton's cache key is the same for any number of rows, 1 and multiples of 16 included."""
    assert run(KEYS).split() == ["1", "1"]


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="the benchmark runs where a GPU is")
def test_timing_without_a_gpu_is_one_error() -> None:
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "gpu_rational.py"], capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 1
    assert "PyTorch finds no GPU" in done.stderr and "Traceback" not in done.stderr
