"""The operator on the CPU: its numbers, and that PyTorch's machinery keeps it whole."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from rational_cases import TRAINED, operands, written_out
from torch._dynamo.backends.debugging import aot_eager

from intar.errors import ConfigError, UnsupportedError
from intar.gpu import GRKAN, group_rational, reference

SHARING = [(True, False), (False, False), (True, True), (False, True)]


@pytest.mark.parametrize("shared", SHARING)
@pytest.mark.parametrize(("channels", "groups"), [(24, 8), (24, 1), (22, 3), (5, 5)])
def test_oracle_is_the_definition(channels: int, groups: int, shared: tuple[bool, bool]) -> None:
    """Values and all three gradients in float64, against autograd through the definition; with zeros in `x` and `b`."""
    x, a, b = (part.double() for part in operands((3, 7, channels), groups, shared))
    x[0, 0] = 0.0
    b[0] = 0.0
    leaves = [part.clone().requires_grad_() for part in (x, a, b)]
    grad = torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = written_out(*leaves, groups)
    expected.backward(grad)
    found = reference.oracle(grad, x, a, b, groups)
    for value, wanted in zip(found, [expected, *(leaf.grad for leaf in leaves)], strict=True):
        torch.testing.assert_close(value, wanted, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_arithmetic_is_float32(dtype: torch.dtype) -> None:
    """Half-precision results are one rounding away from the float64 ones: nothing between is rounded to half."""
    x, a, b = operands((64, 48), 8)
    x = x.to(dtype).requires_grad_()
    y = group_rational(x, a, b, 8)
    (dx,) = torch.autograd.grad(y, x, torch.ones_like(y))
    assert y.dtype == dx.dtype == dtype
    exact_y, exact_dx, *_ = reference.oracle(torch.ones_like(y), x, a, b, 8)
    step = torch.finfo(dtype).eps
    for value, exact in ((y, exact_y), (dx, exact_dx)):
        floor = 4e-6 if dtype == torch.float32 else 1e-5
        assert ((value - exact).abs() <= 0.51 * step * exact.abs() + floor).all()


def test_gradient_leaves_the_identity() -> None:
    """At b = 0 the slope of |b| counts as +1, as in the released kernels: autograd through `abs` would stay there."""
    x = operands((16, 16), 4)[0]
    a = torch.tensor([[0.0, 1, 0, 0, 0, 0]])
    b = torch.zeros(4, 4, requires_grad=True)
    group_rational(x, a, b, 4).sum().backward()
    assert (b.grad.abs() > 1).all()


def test_denominator_has_no_pole() -> None:
    """Where signed powers would give Q <= 0: each term is positive, so Q >= 1 and the result is bounded by |P|."""
    x = torch.tensor([[-3.0]])
    a, b = torch.tensor([[1.0, 0, 0, 0, 0, 0]]), torch.tensor([[1.0, 0, 0, 0]])
    assert group_rational(x, a, b, 1).item() == pytest.approx(1 / 4)
    assert group_rational(x, a, -b, 1).item() == pytest.approx(1 / 4)


def test_strides_do_not_matter() -> None:
    x, a, b = operands((6, 5, 24), 8)
    plain = group_rational(x, a, b, 8)
    views = {
        "transposed": x.transpose(0, 1).contiguous().transpose(0, 1),
        "channels first": x.permute(2, 0, 1).contiguous().permute(1, 2, 0),
        "a slice": torch.cat([x, x], -1)[..., :24],
    }
    for name, view in views.items():
        assert not view.is_contiguous(), name
        assert torch.equal(group_rational(view, a, b, 8), plain), name
    everywhere = torch.ones(()).expand(x.shape)
    leaf = x.clone().requires_grad_()
    group_rational(leaf, a, b, 8).sum().backward()
    assert torch.equal(leaf.grad, reference.backward(everywhere.contiguous(), x, a, b, 8)[0])


@pytest.mark.parametrize("shape", [(24,), (0, 24), (2, 0, 24), (2, 3, 4, 24)])
def test_any_number_of_axes(shape: tuple[int, ...]) -> None:
    x, a, b = operands(shape, 8)
    leaves = [part.requires_grad_() for part in (x, a, b)]
    y = group_rational(*leaves, 8)
    y.sum().backward()
    assert y.shape == shape
    assert [leaf.grad.shape for leaf in leaves] == [shape, (1, 6), (8, 4)]
    torch.testing.assert_close(y, written_out(x, a, b, 8))


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("shared", SHARING)
def test_contract_of_custom_operators(shared: tuple[bool, bool]) -> None:
    """PyTorch's own checks: schema, autograd registration, fake tensors, dynamic shapes."""
    leaves = [part.requires_grad_() for part in operands((2, 3, 24), 8, shared)]
    torch.library.opcheck(torch.ops.intar.group_rational.default, (*leaves, 8))
    grad = torch.ones(2, 3, 24)
    detached = [leaf.detach() for leaf in leaves]
    torch.library.opcheck(torch.ops.intar.group_rational_backward.default, (grad, *detached, 8))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_compile_keeps_one_operator() -> None:
    """No graph break, one node, one graph for several batch sizes, and the gradients of the uncompiled call."""
    graphs = []

    def backend(graph: torch.fx.GraphModule, inputs: list[object]) -> torch.fx.GraphModule:
        graphs.append([str(node.target) for node in graph.graph.nodes if node.op == "call_function"])
        return graph

    _, a, b = operands((1, 24), 8)
    compiled = torch.compile(group_rational, backend=backend, fullgraph=True, dynamic=True)
    for batch in (5, 9, 31):  # not 4 or 8: PyTorch takes equal sizes of different tensors for the same one
        x = operands((batch, 24), 8)[0].requires_grad_()
        y = compiled(x, a, b, 8)
        assert torch.equal(y, group_rational(x, a, b, 8))
        (dx,) = torch.autograd.grad(y.sum(), x)
        assert torch.equal(dx, reference.backward(torch.ones_like(y), x.detach(), a, b, 8)[0])
    assert graphs == [["intar.group_rational"]]


def test_second_derivative_is_refused() -> None:
    x, a, b = operands((2, 8), 2)
    x.requires_grad_()
    (dx,) = torch.autograd.grad(group_rational(x, a, b, 2).sum(), x, create_graph=True)
    with pytest.raises(UnsupportedError, match="second derivatives are not there"):
        dx.sum().backward()


def test_forward_mode_is_refused() -> None:
    """PyTorch would give derivatives of zero."""
    x, a, b = operands((2, 8), 2)
    with pytest.raises(UnsupportedError, match="forward-mode derivatives are not there"):
        torch.func.jvp(lambda part: group_rational(x, part, b, 2), (a,), (torch.ones_like(a),))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast(dtype: torch.dtype) -> None:
    """Functions take what the layers give, parameters and their gradients stay float32."""
    torch.manual_seed(0)
    layer, x = GRKAN(16, 24), operands((5, 16), 8)[0]
    with torch.autocast("cpu", dtype=dtype):
        y = layer(x)
    y.float().square().sum().backward()
    assert y.dtype == dtype and {p.grad.dtype for p in layer.parameters()} == {torch.float32}
    torch.testing.assert_close(y.float(), layer(x), rtol=0.02, atol=0.02)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_compiled_training_is_traced_once_for_all_batches() -> None:
    """Forward and backward traced together, operands that are not contiguous too."""
    traced: list[int] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[object]) -> Any:
        traced.append(batch)
        return aot_eager(graph, inputs)

    torch.manual_seed(0)
    layer = GRKAN(16, 24)
    compiled = torch.compile(layer, backend=backend, fullgraph=True, dynamic=True)
    for batch in (3, 5, 9):
        x = operands((16, batch), 1)[0].mT.requires_grad_()
        found = torch.autograd.grad(compiled(x).square().sum(), [x, *layer.parameters()])
        wanted = torch.autograd.grad(layer(x).square().sum(), [x, *layer.parameters()])
        torch.testing.assert_close(found, wanted)
    assert set(traced) == {3}


def test_every_mistake_at_once() -> None:
    x, a, b = torch.zeros(3, 20, dtype=torch.float64), torch.zeros(3, 6), torch.zeros(8, 5)
    with pytest.raises(ConfigError) as caught:
        group_rational(x, a, b, 8)
    assert [finding.where for finding in caught.value.findings] == ["groups", "a", "b", "x"]
    assert "20 channels don't fill 8 groups: blocks of 3 leave a group empty" in str(caught.value)
    a, b = (torch.tensor(part)[None] for part in TRAINED)
    for groups in (0, -1, 21):
        with pytest.raises(ConfigError, match="groups"):
            group_rational(x.float(), a, b, groups)
    with pytest.raises(ConfigError, match="a scalar has no channels"):
        group_rational(torch.tensor(1.0), a, b, 1)
    with pytest.raises(ConfigError, match="give x channels"):
        group_rational(torch.zeros(3, 0), a, b, 1)
    with pytest.raises(ConfigError, match=r"grad: shape \[2, 4\] is not that of x, \[3, 4\]"):
        torch.ops.intar.group_rational_backward(torch.zeros(2, 4), torch.zeros(3, 4), a, b, 1)


def test_imports_stay_cheap() -> None:
    """`import intar` loads neither PyTorch nor Triton, and the operator works on the CPU where there is no Triton."""
    code = (
        "import sys, intar; assert not {'torch', 'triton'} & set(sys.modules); sys.modules['triton'] = None; "
        "import torch, intar.gpu as gpu; gpu.GRKAN(16, 32)(torch.zeros(1, 16)).sum().backward(); "
        "assert 'intar.gpu.launch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
