"""Time of the grouped rational function on a GPU, beside FlashKAT's restated kernels in the same process.

    python benchmarks/gpu_rational.py      needs a GPU and the extra `gpu`; a minute

For the two functions of a KAT-base block at a batch of 1024 (1024·197 rows of 768 and of 3072 channels), float32 and
bfloat16: milliseconds, bytes that have to be moved (each tensor once), and their share of the bandwidth that copying one
such tensor has. FlashKAT takes float32 only, so that its bfloat16 times include the conversions that autocast would make.
Results are compared with float64 before anything is timed. Writes ``benchmarks/results/gpu_rational.json``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

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
from triton.testing import do_bench  # noqa: E402

from intar.gpu import launch  # noqa: E402


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
    numerator, denominator = preset("silu")
    a = torch.tensor(numerator, device="cuda")[None]
    b = torch.tensor(denominator, device="cuda").repeat(GROUPS, 1)
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
    rows = [measure(shape, dtype) for shape in SHAPES for dtype in DTYPES]
    device = torch.cuda.get_device_properties(0)
    found = {"device": device.name, "torch": torch.__version__, "rows": rows}
    print(json.dumps(found, indent=1))
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
