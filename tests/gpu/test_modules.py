"""KAT's modules: the published layout, the published sizes, and that they train."""

from __future__ import annotations

import pytest
import torch

from intar.errors import ConfigError
from intar.gpu import GRKAN, KAT, GroupRational, KATBlock
from intar.gpu.modules import SIZES


def published_layout(width: int, depth: int, classes: int, tokens: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a checkpoint, as the published code's modules give them."""
    layout: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, tokens, width),
        "patch_embed.proj.weight": (width, 3, 16, 16),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
        "head.weight": (classes, width),
        "head.bias": (classes,),
    }
    for block in range(depth):
        parts: dict[str, tuple[int, ...]] = {
            "attn.qkv.weight": (3 * width, width),
            "attn.qkv.bias": (3 * width,),
            "attn.proj.weight": (width, width),
            "attn.proj.bias": (width,),
            "mlp.fc1.weight": (4 * width, width),
            "mlp.fc1.bias": (4 * width,),
            "mlp.fc2.weight": (width, 4 * width),
            "mlp.fc2.bias": (width,),
        }
        for norm in ("norm1", "norm2"):
            parts |= {f"{norm}.weight": (width,), f"{norm}.bias": (width,)}
        for act in ("mlp.act1", "mlp.act2"):
            parts |= {f"{act}.weight_numerator": (1, 6), f"{act}.weight_denominator": (8, 4)}
        layout |= {f"blocks.{block}.{name}": shape for name, shape in parts.items()}
    return layout


@pytest.mark.parametrize(
    ("size", "parameters"), [("tiny", 5_718_328), ("small", 22_051_576), ("base", 86_568_568)]
)
def test_published_checkpoints_fit(size: str, parameters: int) -> None:
    """Names, shapes and number of parameters; on PyTorch's meta device, without memory."""
    with torch.device("meta"):
        model = KAT.named(size)
    found = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert found == published_layout(SIZES[size][0], 12, 1000, 197)
    assert sum(value.numel() for value in model.parameters()) == parameters


def test_loaded_checkpoint_decides() -> None:
    """Loading replaces every value, the functions' included: the output is another one, and finite."""
    model = KAT(48, 3, depth=2, image=32, classes=10)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    before = model(images)
    generator = torch.Generator().manual_seed(1)
    state = {
        name: 0.1 * torch.randn(shape, generator=generator)
        for name, shape in published_layout(48, 2, 10, 5).items()
    }
    model.load_state_dict(state, strict=True)
    after = model(images)
    assert after.shape == (2, 10) and after.isfinite().all() and not torch.allclose(before, after)
    del state["blocks.1.mlp.act2.weight_denominator"]
    with pytest.raises(RuntimeError, match=r"blocks\.1\.mlp\.act2\.weight_denominator"):
        model.load_state_dict(state)


def test_grkan_is_function_before_layer() -> None:
    layer = GRKAN(16, 64)
    x = torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(layer(x), layer.fc2(layer.act2(layer.fc1(x))))  # act1 is the identity
    with torch.no_grad():
        layer.act1.weight_numerator.copy_(torch.tensor([[0.0, 2, 0, 0, 0, 0]]))
    torch.testing.assert_close(layer(x), layer.fc2(layer.act2(layer.fc1(2 * x))))


@pytest.mark.parametrize("init", ["gelu", "silu"])
def test_variance_is_kept(init: str) -> None:
    torch.manual_seed(0)
    out = GRKAN(256, 1024, init)(torch.randn(512, 256))
    assert out.var().item() == pytest.approx(1.0, abs=0.1)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_export_keeps_the_operator() -> None:
    """The FPGA path's door: each function is one node, also after decomposition."""
    program = torch.export.export(KATBlock(24, 3).eval(), (torch.zeros(1, 5, 24),))
    for stage in (program, program.run_decompositions()):
        names = [str(node.target) for node in stage.graph.nodes]
        assert names.count("intar.group_rational.default") == 2


def test_learns() -> None:
    """Coefficients and weights together get well below what any linear map of the input could."""
    torch.manual_seed(0)
    x = torch.randn(128, 4)
    wanted = x.roll(1, -1).abs() * x.roll(1, -1)
    linear = (x @ torch.linalg.lstsq(x, wanted).solution - wanted).square().mean()
    layer = GRKAN(4, 16, groups=2)
    optimiser = torch.optim.Adam(layer.parameters(), lr=5e-2)
    for _ in range(60):
        loss = (layer(x) - wanted).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.2 * linear
    assert not torch.equal(layer.act1.weight_denominator, GroupRational(2).weight_denominator)


def test_mistakes() -> None:
    for make, where in (
        (lambda: KAT.named("huge"), "size"),
        (lambda: KAT(48, 5, depth=1), "heads"),
        (lambda: KAT(48, 3, depth=1, image=30), "image"),
        (lambda: KAT(48, 3, depth=1, image=32)(torch.zeros(1, 3, 40, 40)), "images"),
    ):
        with pytest.raises(ConfigError) as caught:
            make()
        assert [finding.where for finding in caught.value.findings] == [where]
