"""What the GPU kernels compile to, without a GPU: registers, spills and instructions an element, for sm_90.

    python benchmarks/gpu_static.py [CHANNELS …]      needs the extra `gpu`; a minute; default 768 and 3072

Triton compiles for the target, `ptxas` and `cuobjdump` from its wheel make and read the code. Instructions are those of the
loop over tiles (of the whole kernel where there is no loop), divided by the elements that a thread has in a tile; masked
elements count as work but not as elements. Writes ``benchmarks/results/gpu_static.json``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import flashkat_like
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from intar.gpu import kernels
from intar.gpu.launch import fold_tile
from intar.gpu.layout import Layout
from intar.gpu.tiling import tiling

TARGET = GPUTarget("cuda", 90, 32)
ROWS, GROUPS = 1024 * 197, 8
BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}
TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
RESULTS = Path(__file__).parent / "results" / "gpu_static.json"
INSTRUCTION = re.compile(r"/\*([0-9a-f]{4,5})\*/\s+(?:@!?U?P\w+ )?([A-Z0-9_.]+)([^;]*);")


def compile_kernel(
    kernel: triton.JITFunction, types: Mapping[str, str], constants: Mapping[str, Any], warps: int
) -> Any:
    """The kernel for `TARGET`. Pointers and strides are multiples of 16 (bytes, elements), as they are in practice."""
    signature = {name: types.get(name, "constexpr") for name in kernel.arg_names}
    aligned = [i for i, name in enumerate(kernel.arg_names) if signature[name][0] == "*" or "stride" in name]
    source = ASTSource(kernel, signature, dict(constants), {(i,): [["tt.divisibility", 16]] for i in aligned})
    return triton.compile(source, target=TARGET, options={"num_warps": warps, "enable_fp_fusion": True})


def figures(compiled: Any, elements: float) -> dict[str, Any]:
    """Of a compiled kernel with `elements` for each thread and pass through its loop."""
    with tempfile.TemporaryDirectory() as folder:
        cubin = Path(folder) / "kernel.cubin"
        cubin.write_bytes(compiled.asm["cubin"])
        usage = disassemble("-res-usage", cubin)
        code = INSTRUCTION.findall(disassemble("-sass", cubin))
    registers, stack = (int(re.search(rf"{word}:(\d+)", usage)[1]) for word in ("REG", "STACK"))
    addresses = [int(address, 16) for address, _, _ in code]
    names = [name for _, name, _ in code]
    loops = [
        (addresses.index(int(target[1], 16)), i + 1)
        for i, (_, name, rest) in enumerate(code)
        if name == "BRA"
        and (target := re.search(r"0x([0-9a-f]+)", rest))
        and int(target[1], 16) < addresses[i]
    ]
    first, last = max(loops, key=lambda loop: loop[1] - loop[0], default=(0, len(names)))
    loop = [name for name in names[first:last] if name != "NOP"]  # NOPs fill the last cache line
    return {
        "registers": registers,
        "stack_bytes": stack,
        "spill_instructions": sum(name.startswith(("LDL", "STL")) for name in names),
        "loop_instructions": len(loop),
        "elements_per_thread": elements,
        "instructions_per_element": round(len(loop) / elements, 1),
        "widest_load_bits": max(
            [int(size) for name in loop for size in re.findall(r"LDG(?:STS)?\.E.*\.(64|128)$", name)],
            default=32,
        ),
        "atomics": sum(name.startswith(("ATOM", "RED")) for name in names),
    }


def disassemble(option: str, cubin: Path) -> str:
    """Output of cuobjdump, which finds nvdisasm beside it."""
    path = {**os.environ, "PATH": f"{TOOLS}:{os.environ['PATH']}"}
    done = subprocess.run(
        [TOOLS / "cuobjdump", option, cubin], capture_output=True, text=True, check=True, env=path
    )
    return done.stdout + done.stderr


def ours(
    name: Literal["forward", "backward"], channels: int, dtype: str, warps: int, stages: int = 1
) -> dict[str, Any]:
    """`forward` or `backward` with the published models' sharing."""
    layout = Layout(ROWS, channels, GROUPS, channels // GROUPS, shared_a=True, shared_b=False)
    tiles = tiling(layout, BYTES[dtype], name)
    types = dict.fromkeys(("x", "y", "grad", "dx"), f"*{dtype}") | dict.fromkeys(
        ("a", "b", "partial"), "*fp32"
    )
    types |= dict.fromkeys(("rows", "programs", "x_stride", "grad_stride"), "i32")
    constants = {
        "CHANNELS": channels,
        "SIZE": layout.size,
        "GROUPS": GROUPS,
        "SHARED_A": True,
        "SHARED_B": False,
        "VEC": tiles.vec,
        "VECTORS": tiles.vectors,
        "LANES": tiles.lanes,
        "APPROXIMATE": True,
    }
    if name == "backward":
        constants |= {"WIDTH": tiles.width, "STAGES": stages}
    compiled = compile_kernel(getattr(kernels, name), types, constants, warps)
    elements = tiles.lanes * tiles.vectors * tiles.vec / (32 * warps)
    found = figures(compiled, elements)
    return {
        "kernel": f"ours {name}",
        "channels": channels,
        "dtype": dtype,
        "warps": warps,
        "stages": stages,
    } | found


def second_stage(channels: int, dtype: str) -> dict[str, Any]:
    """`fold`, once for each moment and group: its figures are of one pass of its loop."""
    layout = Layout(ROWS, channels, GROUPS, channels // GROUPS, shared_a=True, shared_b=False)
    tiles = tiling(layout, BYTES[dtype], "backward")
    types = {"partial": "*fp32", "totals": "*fp64", "programs": "i32"}
    constants = {
        "WIDTH": tiles.width,
        "GROUP": tiles.group,
        "GROUPS": GROUPS,
        **fold_tile(tiles),
    }
    compiled = compile_kernel(kernels.fold, types, constants, 8)
    found = figures(compiled, constants["DEPTH"] * constants["COLUMNS"] / 256)
    return {"kernel": "ours fold", "channels": channels, "dtype": dtype, "warps": 8, "stages": 1} | found


def baseline(name: str, channels: int) -> dict[str, Any]:
    """FlashKAT's restated kernels, float32, with its 4 warps."""
    size = channels // GROUPS
    types = dict.fromkeys(("x", "y", "grad", "dx", "a", "b", "da", "db"), "*fp32")
    types |= dict.fromkeys(("channels", "size_of_group", "count"), "i32")
    if name == "forward":
        constants: dict[str, Any] = {"BLOCK": flashkat_like.BLOCK}
        elements = flashkat_like.BLOCK / 128
    else:
        constants = {"TOTAL": ROWS, "CHANNELS": channels, "SIZE": size}
        constants |= {"ROWS": flashkat_like.ROWS, "COLUMNS": flashkat_like.COLUMNS}
        passes = -(-size // flashkat_like.COLUMNS)
        elements = flashkat_like.ROWS * size / passes / 128
    compiled = compile_kernel(getattr(flashkat_like, f"{name}_kernel"), types, constants, 4)
    found = figures(compiled, elements)
    return {
        "kernel": f"FlashKAT-like {name}",
        "channels": channels,
        "dtype": "fp32",
        "warps": 4,
        "stages": 1,
    } | found


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    names = (
        "kernel",
        "channels",
        "dtype",
        "warps",
        "stages",
        "registers",
        "stack_bytes",
        "instructions_per_element",
    )
    lines = ["| " + " | ".join(name.replace("_", " ") for name in names) + " |", "|---" * len(names) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(str(row[name]) for name in names) + " |" for row in rows)])


def main(widths: list[int]) -> None:
    """Compile, print, write."""
    rows = []
    for channels in widths or [768, 3072]:
        for name in ("forward", "backward"):
            rows.append(baseline(name, channels))
        rows += [ours("forward", channels, dtype, warps) for dtype, warps in (("fp32", 2), ("bf16", 1))]
        rows += [
            ours("backward", channels, dtype, warps, stages=3)
            for dtype, warps in (("fp32", 1), ("fp32", 2), ("bf16", 1))
        ]
        rows += [second_stage(channels, dtype) for dtype in ("fp32", "bf16")]
    print(table(rows))
    RESULTS.write_text(
        json.dumps({"triton": triton.__version__, "target": "sm_90", "kernels": rows}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main([int(channels) for channels in sys.argv[1:]])
