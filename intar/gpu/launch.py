"""Running the Triton kernels on tensors: on a GPU, or anywhere in Triton's interpreter."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from intar.errors import Finding, ToolError
from intar.gpu.layout import Layout, layout_of
from intar.gpu.tiling import Tiling, tiling

try:
    import triton

    from intar.gpu import kernels
except ModuleNotFoundError as missing:
    raise ToolError(
        Finding(
            "triton is not installed",
            "intar.gpu",
            "kernels for GPUs are compiled by it",
            "pip install 'intar[gpu]'",
        )
    ) from missing

INTERPRETED = not isinstance(kernels.forward, triton.JITFunction)
"""Whether ``TRITON_INTERPRET=1`` was set when the kernels were imported: they run on the CPU, one program at a time."""

CHOICES_FORWARD = [(lanes, warps) for lanes in (2, 4, 8, 16) for warps in (1, 2, 4)]
CHOICES_BACKWARD = [(warps, stages) for warps in (1, 2, 4) for stages in (3, 4, 5)]
"""What the autotuner tries, once for each width and dtype, for calls that fill a GPU and for others: none of it shows in the
results' bits."""

if not INTERPRETED:
    _KEY = ["CHANNELS", "SIZE", "SHARED_A", "SHARED_B", "VEC"]
    _FORWARD = [triton.Config({"LANES": lanes}, num_warps=warps) for lanes, warps in CHOICES_FORWARD]
    _BACKWARD = [triton.Config({"STAGES": stages}, num_warps=warps) for warps, stages in CHOICES_BACKWARD]
    _forward = {fills: triton.autotune(_FORWARD, _KEY)(kernels.forward) for fills in (False, True)}
    _backward = {fills: triton.autotune(_BACKWARD, _KEY)(kernels.backward) for fills in (False, True)}


def forward(x: Tensor, a: Tensor, b: Tensor, groups: int) -> Tensor:
    """The rational function by the Triton kernel; as :func:`intar.gpu.group_rational`."""
    layout = layout_of(x, a, b, groups)
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    if x.numel() == 0:
        return y
    tiles = tiling(layout, x.element_size(), "forward")
    flat = _rows(x)
    operands = (flat, a.contiguous(), b.contiguous(), y, layout.rows, flat.stride(0))
    shape = _constants(layout, tiles)
    with torch.cuda.device_of(x):
        if INTERPRETED:
            kernels.forward[-(-layout.rows // tiles.lanes), tiles.columns](
                *operands, **shape, LANES=tiles.lanes
            )
        else:
            _forward[tiles.fills][lambda chosen: (triton.cdiv(layout.rows, chosen["LANES"]), tiles.columns)](
                *operands, **shape, enable_fp_fusion=True
            )
    return y


def backward(grad: Tensor, x: Tensor, a: Tensor, b: Tensor, groups: int) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of `x`, `a` and `b` by the Triton kernels; those of `a` and `b` have the same bits on every run."""
    layout = layout_of(x, a, b, groups, grad)
    dx, da, db = (torch.empty_like(part, memory_format=torch.contiguous_format) for part in (x, a, b))
    if x.numel() == 0:
        return dx, da.zero_(), db.zero_()
    tiles = tiling(layout, x.element_size(), "backward")
    a, b = a.contiguous(), b.contiguous()
    partial = torch.empty((10, tiles.programs, tiles.width), dtype=torch.float32, device=x.device)
    upper, flat = _rows(grad), _rows(x)
    operands = (upper, flat, a, b, dx, partial, layout.rows, tiles.programs, upper.stride(0), flat.stride(0))
    shape = _constants(layout, tiles) | {"LANES": tiles.lanes, "WIDTH": tiles.width}
    grid = (tiles.programs, tiles.columns)
    with torch.cuda.device_of(x):
        if INTERPRETED:
            kernels.backward[grid](*operands, **shape, STAGES=1)
        else:
            _backward[tiles.fills][grid](*operands, **shape, enable_fp_fusion=True)
        _fold(partial, b, da, db, layout, tiles)
    return dx, da, db


def _fold(partial: Tensor, b: Tensor, da: Tensor, db: Tensor, layout: Layout, tiles: Tiling) -> None:
    """Second stage: `partial` [10, programs, width] to the gradients of `a` and `b`."""
    groups = layout.groups
    totals = torch.empty((10, groups), dtype=torch.float64, device=partial.device)
    kernels.fold[groups, 10](
        partial, totals, tiles.programs,
        WIDTH=tiles.width, GROUP=tiles.group, GROUPS=groups, **fold_tile(tiles), num_warps=8,
    )  # fmt: skip
    kernels.finish[da.numel() + db.numel(),](
        totals, b, da, db,
        GROUPS=groups, ROUND=triton.next_power_of_2(groups), ROWS_A=len(da), ROWS_B=len(db), num_warps=1,
    )  # fmt: skip


def fold_tile(tiles: Tiling) -> dict[str, int]:
    """Programs x vectors that one program of the second stage adds at a time."""
    columns = min(256, triton.next_power_of_2(tiles.group))
    return {"DEPTH": 8192 // columns, "COLUMNS": columns}


def _constants(layout: Layout, tiles: Tiling) -> dict[str, Any]:
    return {
        "CHANNELS": layout.channels,
        "SIZE": layout.size,
        "GROUPS": layout.groups,
        "SHARED_A": layout.shared_a,
        "SHARED_B": layout.shared_b,
        "VEC": tiles.vec,
        "VECTORS": tiles.vectors,
        "APPROXIMATE": not INTERPRETED,
    }


def _rows(x: Tensor) -> Tensor:
    """[rows, channels] with neighbouring channels side by side: a view where the strides allow, else a copy."""
    flat = x.reshape(-1, x.shape[-1])
    return flat if flat.stride(1) == 1 or flat.shape[1] == 1 else flat.contiguous()
