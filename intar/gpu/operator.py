"""``intar::group_rational`` as PyTorch sees it: one operator with a CPU and a CUDA implementation.

Autograd, ``torch.compile`` and ``torch.export`` keep it whole. On the CPU it runs the plain PyTorch reference, on a GPU the
Triton kernels, which are imported with the first CUDA tensor and not before.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

from intar.errors import Finding, UnsupportedError
from intar.gpu import reference
from intar.gpu.layout import layout_of


def group_rational(x: Tensor, a: Tensor, b: Tensor, groups: int) -> Tensor:
    """Rational function of every element, with the coefficients of its channel's group.

    ``y = (a0 + a1 x + … + a5 x^5) / (1 + |b1||x| + … + |b4||x|^4)``: the released kernels' form (:mod:`reference`).

    Parameters
    ----------
    x : [..., channels], float32, bfloat16 or float16, of any strides.
    a : [1, 6], shared by all groups as in the published models, or [groups, 6].
    b : [groups, 4] as in the published models, or [1, 4], shared.
    groups : consecutive blocks of ``ceil(channels / groups)`` channels; the last may be shorter, none may be empty.

    Returns
    -------
    Contiguous tensor with the shape and dtype of `x`. The arithmetic is float32 for every dtype.

    Raises
    ------
    ConfigError
        Shapes, dtypes, devices or the number of groups don't fit; says everything that is wrong.
    ToolError
        `x` is on a GPU and triton is not installed.
    UnsupportedError
        In forward-mode differentiation; in the backward pass of a gradient.
    """
    # PyTorch itself drops the tangents of a custom operator's operands without a word.
    if not torch.compiler.is_compiling() and any(unpack_dual(p).tangent is not None for p in (x, a, b)):
        raise _no_derivative(
            "forward-mode derivatives", "use torch.autograd.grad, or intar.gpu.reference.forward"
        )
    return torch.ops.intar.group_rational(x, a, b, groups)


@torch.library.custom_op("intar::group_rational", mutates_args=(), device_types="cpu")
def _forward(x: Tensor, a: Tensor, b: Tensor, groups: int) -> Tensor:
    layout_of(x, a, b, groups)
    return reference.forward(x.contiguous(), a, b, groups)


@torch.library.custom_op("intar::group_rational_backward", mutates_args=(), device_types="cpu")
def _backward(grad: Tensor, x: Tensor, a: Tensor, b: Tensor, groups: int) -> tuple[Tensor, Tensor, Tensor]:
    layout_of(x, a, b, groups, grad)
    return reference.backward(grad.contiguous(), x.contiguous(), a, b, groups)


@_forward.register_kernel("cuda")
def _forward_cuda(x: Tensor, a: Tensor, b: Tensor, groups: int) -> Tensor:
    from intar.gpu.launch import forward

    return forward(x, a, b, groups)


@_backward.register_kernel("cuda")
def _backward_cuda(
    grad: Tensor, x: Tensor, a: Tensor, b: Tensor, groups: int
) -> tuple[Tensor, Tensor, Tensor]:
    from intar.gpu.launch import backward

    return backward(grad, x, a, b, groups)


@_forward.register_fake
def _forward_shape(x: Tensor, a: Tensor, b: Tensor, groups: int) -> Tensor:
    layout_of(x, a, b, groups)
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@_backward.register_fake
def _backward_shape(
    grad: Tensor, x: Tensor, a: Tensor, b: Tensor, groups: int
) -> tuple[Tensor, Tensor, Tensor]:
    layout_of(x, a, b, groups, grad)
    dx, da, db = (torch.empty_like(part, memory_format=torch.contiguous_format) for part in (x, a, b))
    return dx, da, db


def _save(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, int], output: Tensor) -> None:
    x, a, b, ctx.groups = inputs
    ctx.save_for_backward(x, a, b)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
    dx, da, db = torch.ops.intar.group_rational_backward(grad, *ctx.saved_tensors, ctx.groups)
    return dx, da, db, None


def _refuse(ctx: Any, *grads: Tensor) -> None:
    raise _no_derivative("second derivatives", "differentiate intar.gpu.reference.forward")


def _no_derivative(what: str, way_out: str) -> UnsupportedError:
    return UnsupportedError(
        Finding(f"{what} are not there", "group_rational", "it has kernels for gradients only", way_out)
    )


_forward.register_autograd(_differentiate, setup_context=_save)
_backward.register_autograd(_refuse)
