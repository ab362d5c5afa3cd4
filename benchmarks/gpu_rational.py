"""Time of the grouped rational function on a GPU, beside FlashKAT's restated kernels in the same process.

    python benchmarks/gpu_rational.py      needs a GPU and the extra `gpu`; two minutes

For the two functions of a KAT-base block at a batch of 1024 (1024·197 rows of 768 and of 3072 channels), float32 and
bfloat16: milliseconds, bytes that have to be moved (each tensor once), and their share of the bandwidth that copying one
such tensor has. FlashKAT takes float32 only, so that its bfloat16 times include the conversions that autocast would make.
Results are compared with float64 before anything is timed.

`gradients`: mean absolute errors of dA and dB against float64 over all 154.9 million float32 elements (768 channels), with
one numerator a group, as FlashKAT's kernel takes them, and with one for all (`da_shared`); ours has the same bits on two
runs.

`block`: forward passes of a block of KAT-tiny (197 tokens, bfloat16) against the same block with GELU in place of the second
function and without the first, batches of 1 and 1024, milliseconds; `functions` is what its two functions take by
themselves. A CUDA graph is replayed, so that launching costs nothing.

Writes what it finds under the device's name into ``benchmarks/results/gpu_rational.json``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from intar.errors import Finding, ToolError
from intar.gpu import reference
from intar.gpu.coefficients import preset

ROWS, GROUPS = 1024 * 197, 8
SHAPES = [(ROWS, 768), (ROWS, 3072)]
DTYPES = [torch.float32, torch.bfloat16]
CHECKED_ROWS = 4096
RESULTS = Path(__file__).parent / "results" / "gpu_rational.json"

if not torch.cuda.is_available():
    raise SystemExit(
        str(
            ToolError(
                Finding(
                    "PyTorch finds no GPU, and this measures time on one",
                    "benchmarks/gpu_rational.py",
                    hint="run it where torch.cuda.is_available(); benchmarks/gpu_static.py needs no GPU",
                )
            )
        )
    )

import flashkat_like  # noqa: E402 - after the check: these need Triton
import triton  # noqa: E402
from triton.testing import do_bench  # noqa: E402

from intar.gpu import KATBlock, launch  # noqa: E402
from intar.gpu.modules import SIZES  # noqa: E402


def baseline_forward(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """As the released module calls it: numerators repeated, float32 inside."""
    return flashkat_like.forward(x.float(), a.repeat(GROUPS, 1), b, GROUPS).to(x.dtype)


def baseline_backward(grad: Tensor, x: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As autograd runs it: `x` was saved in float32, the numerators' gradients are summed over the groups."""
    dx, da, db = flashkat_like.backward(grad.float(), x.float(), a.repeat(GROUPS, 1), b, GROUPS)
    return dx.to(grad.dtype), da.sum(0, keepdim=True), db


def check(grad: Tensor, x: Tensor, a: Tensor, b: Tensor) -> dict[str, float]:
    """Largest errors against float64, of each result's largest value; the same bits on two runs."""
    grad, x = grad[:CHECKED_ROWS], x[:CHECKED_ROWS]
    found = (launch.forward(x, a, b, GROUPS), *launch.backward(grad, x, a, b, GROUPS))
    again = launch.backward(grad, x, a, b, GROUPS)
    assert all(torch.equal(first, second) for first, second in zip(found[1:], again, strict=True))
    errors = {}
    for name, value, exact in zip(
        ("y", "dx", "da", "db"), found, reference.oracle(grad, x, a, b, GROUPS), strict=True
    ):
        errors[name] = ((value.double() - exact).abs().max() / exact.abs().max()).item()
        limit = 2 * torch.finfo(value.dtype).eps if name in ("y", "dx") else 1e-5
        assert errors[name] <= max(limit, 1e-5), (name, errors[name])
    return errors


def gradient_errors() -> dict[str, dict[str, float]]:
    """Mean absolute errors of dA and dB, ours and FlashKAT's, over all float32 elements of the first shape."""
    generator = torch.Generator("cuda").manual_seed(1)
    x, grad = (torch.randn(SHAPES[0], generator=generator, device="cuda") for _ in range(2))
    one, b = coefficients()
    a = one.repeat(GROUPS, 1)
    exact_a, exact_b = torch.zeros_like(a, dtype=torch.float64), torch.zeros_like(b, dtype=torch.float64)
    for rows, upper in zip(x.split(CHECKED_ROWS), grad.split(CHECKED_ROWS), strict=True):
        _, _, da, db = reference.oracle(upper, rows, a, b, GROUPS)
        exact_a += da
        exact_b += db
    ours, shared, again = (launch.backward(grad, x, part, b, GROUPS) for part in (a, one, one))
    assert all(torch.equal(first, second) for first, second in zip(shared, again, strict=True))
    theirs = flashkat_like.backward(grad, x, a, b, GROUPS)

    def mean_error(value: Tensor, exact: Tensor) -> float:
        return (value.double() - exact).abs().mean().item()

    whole = exact_a.sum(0, keepdim=True)
    return {
        "largest": {"da": exact_a.abs().max().item(), "da_shared": whole.abs().max().item()},
        "ours": {
            "da": mean_error(ours[1], exact_a),
            "da_shared": mean_error(shared[1], whole),
            "db": mean_error(ours[2], exact_b),
        },
        "flashkat": {
            "da": mean_error(theirs[1], exact_a),
            "da_shared": mean_error(theirs[1].sum(0, keepdim=True), whole),
            "db": mean_error(theirs[2], exact_b),
        },
    }


def block_times(batch: int) -> dict[str, float]:
    """Milliseconds of a KAT-tiny block's forward pass on [batch, 197, 192], with GR-KAN and with GELU."""
    width, heads = SIZES["tiny"]
    x = torch.randn(batch, 197, width, device="cuda", dtype=torch.bfloat16)
    hidden = torch.randn(batch, 197, 4 * width, device="cuda", dtype=torch.bfloat16)
    grkan = KATBlock(width, heads).to("cuda", torch.bfloat16).eval()
    gelu = KATBlock(width, heads).to("cuda", torch.bfloat16).eval()
    gelu.mlp.act1, gelu.mlp.act2 = nn.Identity(), nn.GELU()
    runs: dict[str, Callable[[], object]] = {
        "grkan": lambda: grkan(x),
        "gelu": lambda: gelu(x),
        "functions": lambda: (grkan.mlp.act1(x), grkan.mlp.act2(hidden)),
        "gelu_alone": lambda: gelu.mlp.act2(hidden),
    }
    with torch.inference_mode():
        return {name: replayed(run) for name, run in runs.items()}


def replayed(run: Callable[[], object]) -> float:
    """Milliseconds (median) of `run` as a CUDA graph."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return do_bench(graph.replay, warmup=50, rep=200, return_mode="median")


def coefficients() -> tuple[Tensor, Tensor]:
    """`a` [1, 6], shared, and `b` [GROUPS, 4]."""
    numerator, denominator = preset("silu")
    a = torch.tensor(numerator, device="cuda")[None]
    return a, torch.tensor(denominator, device="cuda").repeat(GROUPS, 1)


def timed(run: Callable[[], object], tensors: int, size: int, copy: float) -> dict[str, float]:
    """Milliseconds (median), bytes of `tensors` tensors of `size` bytes, their share of `copy` bytes a second."""
    milliseconds = do_bench(run, warmup=100, rep=300, return_mode="median")
    moved = tensors * size
    return {"ms": milliseconds, "bytes": moved, "share_of_copy": moved / milliseconds * 1e3 / copy}


def copy_bandwidth(x: Tensor) -> float:
    """Bytes read and written a second by copying `x`."""
    target = torch.empty_like(x)
    milliseconds = do_bench(lambda: target.copy_(x), warmup=100, rep=300, return_mode="median")
    return 2 * x.numel() * x.element_size() / milliseconds * 1e3


def measure(shape: tuple[int, int], dtype: torch.dtype) -> dict[str, Any]:
    """All kernels at one shape and dtype."""
    generator = torch.Generator("cuda").manual_seed(0)
    x = torch.randn(shape, generator=generator, device="cuda").to(dtype)
    grad = torch.randn(shape, generator=generator, device="cuda").to(dtype)
    a, b = coefficients()
    size = x.numel() * x.element_size()
    errors = check(grad, x, a, b)
    copy = copy_bandwidth(x)
    row = {
        "shape": shape,
        "dtype": str(dtype).removeprefix("torch."),
        "copy_bytes_per_second": copy,
        "errors": errors,
        "forward": timed(lambda: launch.forward(x, a, b, GROUPS), 2, size, copy),
        "backward": timed(lambda: launch.backward(grad, x, a, b, GROUPS), 3, size, copy),
        "baseline_forward": timed(lambda: baseline_forward(x, a, b), 2, size, copy),
        "baseline_backward": timed(lambda: baseline_backward(grad, x, a, b), 3, size, copy),
    }
    for name in ("forward", "backward"):
        row[f"{name}_speed_up"] = row[f"baseline_{name}"]["ms"] / row[name]["ms"]
    return row


def main() -> None:
    """Measure, print, write."""
    found: dict[str, Any] = {"torch": torch.__version__, "triton": triton.__version__}
    found["gradients"] = gradient_errors()
    print(json.dumps(found), flush=True)
    found["rows"] = []
    for shape in SHAPES:
        for dtype in DTYPES:
            found["rows"].append(measure(shape, dtype))
            print(json.dumps(found["rows"][-1]), flush=True)
    found["block"] = {str(batch): block_times(batch) for batch in (1, 1024)}
    print(json.dumps(found["block"]))
    devices = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    devices[torch.cuda.get_device_properties(0).name] = found
    RESULTS.write_text(json.dumps(devices, indent=1) + "\n")


if __name__ == "__main__":
    main()
