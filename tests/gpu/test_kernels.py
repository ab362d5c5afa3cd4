"""The Triton kernels against float64: on the GPU where there is one, else in Triton's interpreter."""

from __future__ import annotations

import subprocess
import sys
from itertools import product

import pytest
import torch
from rational_cases import operands
from torch import Tensor

from intar.errors import ConfigError
from intar.gpu import GRKAN, launch, operator, reference
from intar.gpu.layout import Layout
from intar.gpu.tiling import tiling

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

CASES = {
    "several programs, shared numerator": ((700, 64), 8, (True, False), torch.float32),
    "short last tile": ((2, 35, 24), 8, (True, False), torch.float32),
    "columns beyond the last tile": ((20, 288), 2, (False, False), torch.float32),
    "short last group": ((40, 22), 3, (False, False), torch.float32),
    "vectors of one channel": ((9, 7), 7, (True, True), torch.float32),
    "shared denominator": ((40, 48), 8, (False, True), torch.float32),
    "bfloat16": ((300, 192), 8, (True, False), torch.bfloat16),
    "float16": ((40, 64), 4, (True, False), torch.float16),
}


def run(
    shape: tuple[int, ...], groups: int, shared: tuple[bool, bool], dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Upstream gradient, `x`, `a`, `b` on the device."""
    x, a, b = operands(shape, groups, shared)
    grad = torch.randn(shape, generator=torch.Generator().manual_seed(7))
    return grad.to(DEVICE, dtype), x.to(DEVICE, dtype), a.to(DEVICE), b.to(DEVICE)


@pytest.mark.parametrize("case", CASES)
def test_results_and_gradients(case: str) -> None:
    shape, groups, shared, dtype = CASES[case]
    grad, x, a, b = run(shape, groups, shared, dtype)
    found = (launch.forward(x, a, b, groups), *launch.backward(grad, x, a, b, groups))
    wanted = reference.oracle(grad, x, a, b, groups)
    # The interpreter cuts bfloat16 results off where a GPU rounds them: a whole step, not half of one.
    step = torch.finfo(dtype).eps / 2
    for name, value, exact in zip(("y", "dx", "da", "db"), found, wanted, strict=True):
        assert value.shape == exact.shape and value.is_contiguous()
        relative = 2e-6 if dtype == torch.float32 or name in ("da", "db") else 2 * step
        assert (value.double() - exact).abs().max() <= relative * exact.abs().max(), name
    assert [value.dtype for value in found] == [dtype, dtype, torch.float32, torch.float32]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_slope_at_zero(dtype: torch.dtype) -> None:
    """From the right at 0, from the left at -0: a1 - a0 |b1| and a1 + a0 |b1|."""
    a, b = (
        torch.tensor([[2.0, 0.5, 0, 0, 0, 0]], device=DEVICE),
        torch.tensor([[-0.25, 0, 0, 0]], device=DEVICE),
    )
    x = torch.tensor([[0.0, -0.0]], device=DEVICE, dtype=dtype)
    for backward in (launch.backward, reference.backward):
        dx, da, db = backward(torch.ones_like(x), x, a, b, 1)
        assert dx.tolist() == [[0.0, 1.0]]
        assert da.tolist() == [[2, 0, 0, 0, 0, 0]] and db.tolist() == [[0, 0, 0, 0]]


def test_coefficients_of_16_bits() -> None:
    """A model that is bfloat16 throughout: gradients of its coefficients are rounded once."""
    grad, x, a, b = run((60, 24), 8, (True, False), torch.bfloat16)
    a, b = a.bfloat16(), b.bfloat16()
    found = launch.backward(grad, x, a, b, 8)
    exact = reference.oracle(grad, x, a, b, 8)[1:]
    for value, wanted in zip(found[1:], exact[1:], strict=True):
        assert value.dtype == torch.bfloat16
        assert (value.double() - wanted).abs().max() <= torch.finfo(torch.bfloat16).eps * wanted.abs().max()


def test_strides() -> None:
    """Rows apart, channels apart, and an upstream gradient that is one number everywhere: no copy is needed, or made."""
    _, x, a, b = run((6, 10, 16), 4, (True, False), torch.float32)
    plain = launch.forward(x, a, b, 4)
    one = torch.ones((), device=DEVICE)
    gradients = launch.backward(torch.ones_like(x), x, a, b, 4)
    wide = torch.cat([x, x], -1)
    for view in (
        wide[..., :16],
        wide[..., 16:],
        x.transpose(0, 1).contiguous().transpose(0, 1),
        x.mT.contiguous().mT,
    ):
        assert torch.equal(launch.forward(view, a, b, 4), plain)
        found = launch.backward(one.expand(x.shape), view, a, b, 4)
        assert all(torch.equal(*pair) for pair in zip(found, gradients, strict=True))


def test_same_bits_on_every_run() -> None:
    """Also where the results' memory held something else before, and where rows that don't count stand behind."""
    grad, x, a, b = run((500, 32), 4, (True, False), torch.float32)
    first = launch.backward(grad, x, a, b, 4)
    longer = [torch.cat([part, torch.full_like(part, torch.nan)]) for part in (grad, x)]
    second = launch.backward(longer[0][:500], longer[1][:500], a, b, 4)
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))


def test_training_through_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator's autograd around the kernels: every gradient of a layer as with the reference."""
    torch.manual_seed(0)
    layer = GRKAN(16, 32, groups=4).to(DEVICE)
    x = torch.randn(3, 5, 16, device=DEVICE)

    def gradients() -> list[Tensor]:
        return list(torch.autograd.grad(layer(x).square().sum(), list(layer.parameters())))

    by_kernels = gradients() if DEVICE == "cuda" else None
    if by_kernels is None:
        monkeypatch.setattr(operator.reference, "forward", launch.forward)
        monkeypatch.setattr(operator.reference, "backward", launch.backward)
        by_kernels = gradients()
        monkeypatch.undo()
    layer, x = layer.cpu(), x.cpu()
    for found, wanted in zip(by_kernels, gradients(), strict=True):
        torch.testing.assert_close(found.cpu(), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(0, 16), (3, 0, 16)])
def test_no_rows(shape: tuple[int, ...]) -> None:
    grad, x, a, b = run(shape, 4, (True, False), torch.float32)
    assert launch.forward(x, a, b, 4).shape == shape
    dx, da, db = launch.backward(grad, x, a, b, 4)
    assert dx.shape == shape and not da.any() and not db.any()


def test_mistakes_are_found_before_a_kernel_runs() -> None:
    _, x, a, b = run((3, 16), 4, (True, False), torch.float32)
    for call in (lambda: launch.forward(x, a, b, 5), lambda: launch.backward(x, x, b, a, 4)):
        with pytest.raises(ConfigError):
            call()


def test_tiles_come_from_the_shape() -> None:
    """Vectors stay within groups, tiles cover the rows and channels, programs have work."""
    for rows in (1, 31, 4096, 1024 * 197):
        for channels, groups in ((768, 8), (3072, 8), (192, 8), (24, 8), (22, 3), (7, 7), (1000, 3)):
            layout = Layout(rows, channels, groups, -(-channels // groups), True, False)
            for item, kernel in product((2, 4), ("forward", "backward")):
                found = tiling(layout, item, kernel)
                assert layout.size % found.vec == 0 and channels % found.vec == 0
                assert found.vec * item <= 16
                assert found.columns * found.vectors >= found.width >= -(-channels // found.vec)
                assert found.programs * found.lanes < rows + found.lanes
                assert {found.lanes.bit_count(), found.vectors.bit_count()} == {1}
    assert tiling(Layout(1024 * 197, 768, 8, 96, True, False), 4, "forward").vec == 4
    assert tiling(Layout(1024 * 197, 768, 8, 96, True, False), 2, "backward").vec == 8


def test_without_triton() -> None:
    code = (
        "import sys; sys.modules['triton'] = None\n"
        "from intar.errors import ToolError\n"
        "try:\n    import intar.gpu.launch\n"
        "except ToolError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "triton is not installed" in done.stdout and "pip install 'intar[gpu]'" in done.stdout
