"""PyTorch modules: the task graph computes what the module computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from intar.frontends.torch_graph import import_torch
from intar.ir.ops import Op
from intar.ir.reference import run_float
from intar.ir.taskgraph import TaskGraph
from intar.quant.compare import real_outputs
from intar.quant.quantise import quantise
from intar.quant.scheme import scheme


class Function(nn.Module):
    """A module that calls a function."""

    def __init__(self, function, **parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, *x):
        return self.function(self, *x)


class Attention(nn.Module):
    """Attention of a GPT: causal, heads out of one projection, spelled out or as one function."""

    def __init__(self, width: int = 16, heads: int = 4, whole: bool = True) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.heads, self.whole = heads, whole

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = (
            part.view(batch, length, self.heads, -1).transpose(1, 2)
            for part in self.qkv(x).split(width, dim=2)
        )
        if self.whole:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            scores = q @ k.transpose(-2, -1) / (width // self.heads) ** 0.5
            hidden = torch.ones(length, length, dtype=torch.bool).triu(1)
            y = scores.masked_fill(hidden, float("-inf")).softmax(-1) @ v
        return self.out(y.transpose(1, 2).reshape(batch, length, width))


class Residual(nn.Module):
    """Two convolutions with batch norm and a way around them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.conv2, self.norm2 = nn.Conv2d(4, 4, 3, padding="same"), nn.BatchNorm2d(4, affine=False)

    def forward(self, x):
        return F.relu(x + self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x))))))


class RootMeanSquare(nn.Module):
    """RMSNorm as language models spell it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(width) + 0.5)

    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


def gelu_new(x):
    """GELU as GPT-2's code spells it."""
    return 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * torch.pow(x, 3))))


ROW, SEQUENCE, IMAGE = (1, 16), (1, 6, 16), (1, 4, 8, 8)
SIGNAL = (1, 4, 10)
TOKENS = torch.linspace(-1, 1, 32).reshape(1, 2, 16)
EYE = torch.eye(4).view(1, 1, 4, 4)
TWO, ROWS = torch.tensor([3, 1]), torch.tensor([0, 2, 4, 1, 7, 3]).view(1, 6, 1)


def written(x, places, value):
    y = x.clone()
    y[places] = value
    return y


def functions(shape: tuple[int, ...], **named) -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    return {name: (Function(lambda m, x, f=f: f(x)), shape) for name, f in named.items()}


MODULES: dict[str, tuple[nn.Module, tuple[int, ...]]] = (
    {
        "mlp": (
            nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, 4), nn.Softmax(-1)),
            ROW,
        ),
        "cnn": (
            nn.Sequential(
                nn.Conv2d(4, 8, 3, stride=2, padding=1),
                nn.BatchNorm2d(8),
                nn.Hardswish(),
                nn.MaxPool2d(2),
                nn.Conv2d(8, 8, 3, padding=1, groups=8),
                nn.PReLU(8),
                nn.Flatten(),
                nn.Linear(32, 3),
            ),
            IMAGE,
        ),
        "residual": (nn.Sequential(Residual(), Residual(), nn.AdaptiveAvgPool2d(1), nn.Flatten()), IMAGE),
        "decoder": (
            nn.Sequential(
                nn.ConvTranspose2d(4, 4, 3, 2, 1, 1),
                nn.SiLU(),
                nn.Upsample(scale_factor=2),
                nn.Conv2d(4, 1, 1),
            ),
            IMAGE,
        ),
        "pools": (
            nn.Sequential(nn.AvgPool2d(3, 2, 1), nn.AdaptiveAvgPool2d(2), nn.MaxPool2d(2, ceil_mode=True)),
            IMAGE,
        ),
        "instances": (
            nn.Sequential(
                nn.InstanceNorm2d(4, affine=True),
                nn.Conv2d(4, 4, 3),
                nn.InstanceNorm2d(4),
                nn.InstanceNorm2d(4, track_running_stats=True),
            ),
            IMAGE,
        ),
        "shuffle": (
            nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(16, 16, 1), nn.PixelShuffle(2), nn.LeakyReLU(0.1)),
            IMAGE,
        ),
        "padded": (
            nn.Sequential(
                nn.ZeroPad2d((1, 0, 2, 1)),
                nn.Conv2d(4, 4, 3, padding=1, bias=False),
                nn.GroupNorm(2, 4),
                nn.ZeroPad2d(1),
                nn.MaxPool2d(3, 2),
                nn.ZeroPad2d((-1, 1, 0, -1)),
            ),
            IMAGE,
        ),
        "causal_signal": (
            nn.Sequential(
                nn.ConstantPad1d((4, 0), 0.0),
                nn.Conv1d(4, 6, 3, dilation=2),
                nn.Conv1d(6, 6, 4, padding="same"),
            ),
            (1, 4, 10),
        ),
        "signal": (nn.Sequential(nn.Conv1d(4, 8, 3, padding=1), nn.BatchNorm1d(8), nn.ReLU6()), (1, 4, 10)),
        "attention": (Attention(), SEQUENCE),
        "attention_spelled_out": (Attention(whole=False), SEQUENCE),
        "encoder_layer": (
            nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, activation="gelu"),
            SEQUENCE,
        ),
        "root_mean_square": (
            nn.Sequential(RootMeanSquare(16), nn.RMSNorm(16, eps=1e-5), nn.Linear(16, 8)),
            SEQUENCE,
        ),
        "multi_head": (
            Function(
                lambda m, x: m.a(x, x, x, need_weights=False)[0],
                a=nn.MultiheadAttention(16, 2, batch_first=True),
            ),
            SEQUENCE,
        ),
        "grouped_heads": (
            Function(
                lambda m, x: F.scaled_dot_product_attention(
                    x.view(1, 6, 4, 4).transpose(1, 2),
                    x[..., :8].view(1, 6, 2, 4).transpose(1, 2),
                    x[..., 8:].view(1, 6, 2, 4).transpose(1, 2),
                    is_causal=True,
                    enable_gqa=True,
                )
            ),
            SEQUENCE,
        ),
        "grouped_heads_own_masks": (
            Function(
                lambda m, x: F.scaled_dot_product_attention(
                    x.view(1, 6, 4, 4).transpose(1, 2),
                    x[..., :8].view(1, 6, 2, 4).transpose(1, 2),
                    x[..., 8:].view(1, 6, 2, 4).transpose(1, 2),
                    attn_mask=x.view(1, 4, 6, 4).repeat(1, 1, 1, 2)[..., :6],
                    enable_gqa=True,
                )
            ),
            SEQUENCE,
        ),
        "gate": (
            Function(
                lambda m, x: x * F.adaptive_avg_pool2d(m.conv(x), 1).sigmoid() + x.mean(1, keepdim=True),
                conv=nn.Conv2d(4, 4, 1),
            ),
            IMAGE,
        ),
        "parts": (
            Function(
                lambda m, x: (
                    torch.cat([a * b for a, b in zip(x.chunk(4, -1), x.unbind(1), strict=False)], -1)
                    if x.shape[1] == 4
                    else x
                )
            ),
            (1, 4, 4),
        ),
        "position": (
            Function(
                lambda m, x: m.norm(x + m.table(torch.arange(6))),
                table=nn.Embedding(6, 16),
                norm=nn.LayerNorm(16),
            ),
            SEQUENCE,
        ),
    }
    | functions(
        SEQUENCE,
        unary=lambda x: torch.stack(
            [x.sigmoid(), x.tanh(), x.exp(), F.hardswish(x), F.silu(x), F.hardsigmoid(x)], 1
        ),
        more_unary=lambda x: torch.stack(
            [
                x.abs(),
                F.elu(x, 0.7),
                F.selu(x),
                F.celu(x, 1.5),
                F.mish(x),
                F.softplus(x),
                F.softplus(x, 2.0),
                x + F.glu(x, 1)[:, :1],
            ],
            1,
        ),
        functions=lambda x: torch.stack(
            [
                *(
                    x.sin(),
                    torch.cos(3 * x),
                    x.erf(),
                    x.atan(),
                    (x * x + 1).log(),
                    torch.log1p(x * x),
                    x.sign(),
                ),
                *(torch.expm1(x), torch.exp2(x), F.logsigmoid(x), F.softsign(x), torch.asinh(x), x.tan()),
                *(x.floor(), torch.round(x)),
            ],
            1,
        ),
        powers=lambda x: torch.stack(
            [x**4, x.abs() ** 0.5, (x * x + 1) ** -1.5, 1 / (x * x + 1), (x * x + 1).rsqrt()], 1
        ),
        quotients=lambda x: x / (1 + x[:, :1].abs()) + torch.addcdiv(x, x, x.exp()),
        extremes=lambda x: torch.maximum(x, 1 - x) * torch.minimum(x, x[:, :1]) + torch.min(x, 2 * x),
        largest=lambda x: (
            x.amax(-1, keepdim=True) + x.min(1, keepdim=True).values * x.max() - x.amin((1, 2), keepdim=True)
        ),
        sums=lambda x: (
            x.sum(-1, keepdim=True) + x.sum(1, keepdim=True) * x.sum() + x.cumsum(1) - x.cumsum(-1)
        ),
        spread=lambda x: (
            x.var(-1, keepdim=True) + x.std(1, keepdim=True, correction=0) + x.norm(p=1, dim=-1, keepdim=True)
        ),
        length=lambda x: x.norm(dim=-1, keepdim=True) + x.norm(dim=1, keepdim=True) + x.mean(),
        choices=lambda x: (
            torch.where(x > 0.3, x, 2 - x) + (x[:, :1] <= x).float() * x - torch.tril(x) + x.triu(1)
        ),
        masked=lambda x: x.masked_fill(torch.eye(6, 16) > 0, 0.5) + torch.where(torch.eye(6, 16) > 0, x, -x),
        thresholds=lambda x: F.hardshrink(x) + F.softshrink(x) + F.threshold(x, 0.1, -2.0),
        log_softmax=lambda x: F.log_softmax(x, -1) + F.log_softmax(9 * x, 1) + x.logsumexp(-1, keepdim=True),
        windows=lambda x: x.unfold(1, 3, 2).flatten(1),
        strided=lambda x: x[:, ::2, 1::3] + x[:, 1::2, :-1:3],
        chosen=lambda x: (
            x[:, [0, 2, 4, 1, 1]].flip(2) + x.index_select(1, torch.tensor([5, 3, 1, 0, 2])).roll(3, 2)
        ),
        rolled=lambda x: (
            torch.roll(x, (1, -2), (1, 2)) + torch.roll(x, 5) + x[:, [[5, 4], [3, 2], [1, 0]]].flatten(1, 2)
        ),
        lengths=lambda x: F.normalize(x, dim=-1) - x / x.norm(dim=-1, keepdim=True),
        zeros=lambda x: F.pad(x, (1, 2, 3, 0)) * F.pad(x, (4, -1, 1, 2)),
        gelus=lambda x: F.gelu(x) + F.gelu(x, approximate="tanh") * gelu_new(x),
        arithmetic=lambda x: (2 - x) / 4 + torch.add(x, x * 3, alpha=0.5) - x**2,
        clamps=lambda x: x.clamp(-1, 0.5) + x.clamp(min=0) + F.hardtanh(x),
        means=lambda x: x.mean(1, keepdim=True) + x.mean(-1, keepdim=True) + x.mean((1, 2), keepdim=True),
        views=lambda x: x.permute(0, 2, 1).reshape(1, 4, 4, 6)[:, 1, :, 2:5].unsqueeze(0).flatten(1),
        softmax=lambda x: x.softmax(1) @ x.transpose(1, 2).softmax(-1),
        repeated=lambda x: x.mean(-1, keepdim=True) * x + x[:, :1] - x[0, 0, :1] * x.sigmoid(),
        class_token=lambda x: torch.cat([TOKENS[:, :1], x, TOKENS], 1),
        more_constants=lambda x: torch.cat([x, torch.cat([TOKENS] * 7, 1)], 1),
        broadcast=lambda x: x + torch.linspace(0, 1, 16) * x[:, :1].expand(1, 6, 16),
        left_over=lambda x: torch.remainder(x, 0.7) + torch.fmod(x, -0.6) * (x % torch.linspace(0.3, 1, 16)),
        whole=lambda x: (
            x.div(0.3, rounding_mode="trunc") + x // 0.5 + (4 * x).int() + x.frac() + x.round(decimals=1)
        ),
        products=lambda x: (
            x.prod(-1, keepdim=True) + x.prod(1) + x.cumprod(1) - x.cummax(-1).values + x.prod()
        ),
        logic=lambda x: torch.stack(
            [
                *(
                    ((x > 0) & (x.flip(1) > 1)),
                    ~((x > 0) | (x == 0)),
                    torch.logical_xor(x > 0, x.flip(2) > 0),
                ),
                *(
                    (x > 1).any(-1, keepdim=True).expand(1, 6, 16),
                    (x > -1).all(1, keepdim=True).expand(1, 6, 16),
                ),
                *(x.bool(), torch.isnan(x), x != x.amax(-1, keepdim=True), torch.signbit(x)),
            ],
            1,
        ).float(),
        bounds=lambda x: (
            torch.clamp(x, -torch.ones(16) * 0.3, torch.linspace(0.1, 1, 16)) + x.clamp(max=x.mean())
        ),
        near_threshold=lambda x: F.softplus(x, 2.0, 1.0),
        more_functions=lambda x: torch.stack(
            [
                torch.erfc(x),
                torch.hypot(x, x + 1),
                2.0**x,
                torch.logaddexp(x, -x),
                torch.sinc(x),
                torch.fmin(x, -x),
            ],
            1,
        ),
        norms=lambda x: (
            x.norm(p=float("inf"), dim=-1)
            + x.norm(p=3, dim=-1)
            + torch.linalg.vector_norm(x, -float("inf"), -1)
        ),
        distances=lambda x: torch.cdist(x, 2 * x.flip(1)) + torch.cdist(x, x + 1, p=1),
        moments_together=lambda x: sum(torch.var_mean(x, -1)) + sum(torch.std_mean(x, -1, correction=0)),
        topmost=lambda x: x.topk(1, -1).values + x.topk(1, 1, largest=False).values,
        left_matrix=lambda x: TOKENS.reshape(1, 2, 16)[..., :6] @ x,
        matrices=lambda x: (
            x.view(1, 6, 4, 4) @ torch.cat([TOKENS.view(1, 2, 4, 4), -EYE, EYE], 1)[:, [0, 1, 2, 3, 1, 2]]
        ),
        shared_heads=lambda x: F.scaled_dot_product_attention(
            x.view(1, 6, 4, 4).transpose(1, 2), x[:, None, :, :4], x[:, None, :, 4:8]
        ),
        gathered=lambda x: (
            x.gather(2, (torch.arange(6)[:, None] + torch.arange(5))[None])
            + x.take_along_dim(torch.tensor([[[0], [2], [1], [1], [5], [0]]]), 1)[..., :5]
            + x[:, torch.arange(6), torch.arange(6)].unsqueeze(-1)
            + x.diagonal(1, 1, 2).unsqueeze(-1)[..., :1]
            + x.as_strided((1, 6, 5), (96, 3, 2))
        ),
        apart=lambda x: x[:, [0, 2, 4]][torch.tensor([0]), :, torch.tensor([[3], [1]])],
        replaced=lambda x: torch.slice_scatter(x, 2 * x[:, :2], 1, 1, 3) + x.index_copy(1, TWO, x[:, :2]),
        written=lambda x: (
            written(x, (slice(None), slice(1, 3)), 0.5) + written(x, (..., [0, 4]), x[..., 2:4])
        ),
        scattered=lambda x: (
            torch.zeros(1, 8, 16).scatter(1, ROWS.expand(1, 6, 16), x)
            + torch.ones(1, 8, 16).scatter_add(1, (ROWS % 3).expand(1, 6, 16), x).index_add(1, TWO, x[:, 4:])
        ),
        alike_ones=lambda x: torch.cat(
            [x * torch.ones_like(x), x[:, 3:3], torch.full_like(x[:, :1], 0.3) * x[:, 1:2]], 1
        ),
        circular=lambda x: F.pad(x, (2, 3), mode="circular"),
    )
    | functions(
        IMAGE,
        global_pools=lambda x: x.sum((2, 3)) + x.amax((2, 3)) - x.amax(1).flatten(1)[:, :4],
        adaptive=lambda x: F.adaptive_max_pool2d(x, 4) * F.adaptive_max_pool2d(x, 1),
        bilinear=lambda x: (
            F.interpolate(x, scale_factor=2, mode="bilinear") + F.interpolate(x, 16, mode="nearest")
        ),
        corners=lambda x: F.interpolate(x, (5, 11), mode="bilinear", align_corners=True),
        smaller=lambda x: F.interpolate(x, (4, 3), mode="bilinear") - F.interpolate(x, (4, 3)),
        fractions=lambda x: (
            F.interpolate(x, scale_factor=1.3, mode="bilinear") + F.interpolate(x, scale_factor=1.3)
        ),
        odd_factors=lambda x: (
            F.interpolate(x[..., :2, :5], scale_factor=1.3)
            + F.interpolate(x[..., :2, :5], scale_factor=1.3, mode="bilinear")
            - F.interpolate(x[..., :2, :5], scale_factor=1.3, mode="nearest-exact")
        ),
        around=lambda x: F.pad(x, (1, 2, 2, 1), mode="reflect") + F.pad(x, (2, 1, 1, 2), mode="replicate"),
        value_around=lambda x: F.pad(x, (1, 2, 2, 1), value=1.5),
        uneven=lambda x: torch.cat(
            [
                f(x, n).flatten(1)
                for n in (3, (5, 11))
                for f in (F.adaptive_avg_pool2d, F.adaptive_max_pool2d)
            ],
            1,
        ),
        overlapping=lambda x: (
            F.adaptive_avg_pool2d(x[..., :7], (None, 3)) + F.interpolate(x, (8, 3), mode="area")
        ),
        cubic=lambda x: (
            F.interpolate(x, scale_factor=2, mode="bicubic") + F.interpolate(x, 16, mode="nearest-exact")
        ),
        smoothed=lambda x: (
            F.interpolate(x, (5, 3), mode="bilinear", antialias=True)
            + F.interpolate(x, (5, 3), mode="bicubic", antialias=True)
            - F.interpolate(x, (5, 3), mode="bicubic", align_corners=True)
        ),
        divisor=lambda x: F.avg_pool2d(x, 3, 2, 1, divisor_override=5),
        columns=lambda x: F.fold(2 * F.unfold(x, 3, stride=2), (7, 7), 3, stride=2),
        responses=lambda x: F.local_response_norm(x, 3),
        turned=lambda x: torch.rot90(x, 1, (2, 3)) + x.flip(1) - x.roll((1, 2), (2, 3)),
    )
    | {
        "around_the_edge": (nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"), IMAGE),
        "bilinear_form": (Function(lambda m, x: m.b(x, x.flip(1)), b=nn.Bilinear(16, 16, 3)), SEQUENCE),
        "volumes": (
            nn.Sequential(
                nn.Conv3d(2, 4, (3, 3, 2), stride=(2, 2, 1), padding=(1, 2, 0), groups=2),
                nn.BatchNorm3d(4),
                nn.MaxPool3d((1, 2, 2), (1, 1, 2), padding=(0, 1, 1)),
                nn.Conv3d(4, 3, (2, 1, 1)),
                nn.AvgPool3d(2, 1, 1),
                nn.Upsample(scale_factor=2, mode="trilinear"),
                nn.AdaptiveAvgPool3d((2, 1, 3)),
            ),
            (1, 2, 5, 6, 7),
        ),
    }
    | functions(
        SIGNAL,
        signal_windows=lambda x: F.adaptive_avg_pool1d(x, 3) + F.adaptive_max_pool1d(x, 4)[..., 1:],
        signal_sizes=lambda x: F.interpolate(x, 13, mode="linear") + F.interpolate(x, 13),
        signal_up=lambda x: F.conv_transpose1d(
            x, TOKENS.reshape(4, 4, 2), stride=2, output_padding=1, padding=1
        ),
    )
)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def settle(module: nn.Module) -> nn.Module:
    """The module for inference, with statistics of batch norm that are not those of a fresh one."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.running_mean = torch.randn(part.num_features)
            part.running_var = torch.rand(part.num_features) + 0.5
    return module.eval()


def compare(module: nn.Module, *shapes: tuple[int, ...]) -> TaskGraph:
    inputs = tuple(torch.randn(shape) for shape in shapes)
    with torch.no_grad():
        expected = module(*inputs)
    expected = expected if isinstance(expected, tuple) else (expected,)
    graph = import_torch(module, inputs)
    values = run_float(graph, {name: x.numpy() for name, x in zip(graph.inputs, inputs, strict=True)})
    assert len(graph.outputs) == len(expected)
    for name, tensor in zip(graph.outputs, expected, strict=True):
        assert values[name].shape == tuple(tensor.shape)
        np.testing.assert_allclose(values[name], tensor.numpy(), rtol=2e-4, atol=2e-5)
    return graph


def test_padding_goes_into_convolutions() -> None:
    module, shape = MODULES["padded"]
    pads = [task.attrs["pads"] for task in compare(settle(module), shape).tasks if task.op is Op.CONV2D]
    assert pads == [(3, 2, 2, 1), (1, 1, 1, 1), (0, 0, 0, 1)]  # a pool has no zeros of its own
    module, shape = MODULES["causal_signal"]
    pads = [task.attrs["pads"] for task in compare(module, shape).tasks if task.op is Op.CONV2D]
    assert pads == [(0, 4, 0, 0), (0, 1, 0, 2)]


def test_indices_as_outputs() -> None:
    module = Function(
        lambda m, x: (
            x.argmax(1),
            x.argmin(-1),
            x.max(-1).indices,
            x.topk(1, 1).indices,
            x.argmax(),
            x.min(1)[1],
        )
    )
    compare(module, SEQUENCE)


def test_one_task_for_a_resized_axis() -> None:
    """A product along each axis, between moves."""
    module, shape = MODULES["cubic"]
    assert len([task for task in compare(module, shape).tasks if task.op is Op.MATMUL]) == 2


def test_counts_of_constant_edges() -> None:
    """A graph's neighbours, counted when it is exported: sizes that PyTorch does not know then."""
    edges = torch.tensor([[0, 1, 2, 3, 0], [1, 2, 0, 0, 3]])

    def mean(m, x):
        total = torch.zeros_like(x).index_add(1, m.ends, x[:, edges[0]])
        return m.fc(total / (1 + torch.bincount(m.ends, minlength=4))[:, None])

    module = Function(mean, fc=nn.Linear(16, 3))
    module.register_buffer("ends", edges[1])
    compare(module, (1, 4, 16))


class Queries(nn.Module):
    """A decoder whose queries are parameters: what they make of one another is known before any image comes."""

    def __init__(self) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(1, 4, 16))
        self.layer = nn.TransformerDecoderLayer(16, 2, 32, batch_first=True)

    def forward(self, x):
        return self.layer(self.queries.repeat(x.shape[0], 1, 1), x)


def test_queries_that_are_parameters() -> None:
    graph = compare(Queries().eval(), SEQUENCE)
    assert [task.op for task in graph.tasks].count(Op.SOFTMAX) == 1


class Decoder(nn.Module):
    """PyTorch's own transformer of several layers, with the causal mask that its documentation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.whole = nn.Transformer(16, 2, 1, 1, 32, batch_first=True)
        self.layers = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(6))

    def forward(self, x):
        made = self.whole.generate_square_subsequent_mask(x.shape[1])
        return self.whole(self.layers(x, mask=self.mask), x, tgt_mask=made)


def test_causal_masks_of_whole_transformers() -> None:
    graph = compare(Decoder().eval(), SEQUENCE)
    assert [task.op for task in graph.tasks].count(Op.SOFTMAX) == 5


@pytest.mark.parametrize("name", MODULES)
def test_module(name: str) -> None:
    module, shape = MODULES[name]
    compare(settle(module), shape)


class Hidden(nn.Module):
    """Attention that an input hides keys from, in the two ways that people write."""

    def __init__(self, value: float, chosen: bool) -> None:
        super().__init__()
        self.value, self.chosen = value, chosen

    def forward(self, x, keep):
        scores, keep = x @ x.transpose(1, 2), keep[:, None]
        if self.chosen:
            scores = torch.where(keep > 0, scores, torch.tensor(self.value))
        else:
            scores = scores.masked_fill(keep == 0, self.value)
        return scores.softmax(-1) @ x


@pytest.mark.parametrize("chosen", [False, True])
@pytest.mark.parametrize("value", [float("-inf"), -1e9, torch.finfo(torch.float32).min])
def test_scores_hidden_by_an_input(value: float, chosen: bool) -> None:
    """Whatever large number is written, the scores that stay have their digits in the integers, too."""
    module, x = Hidden(value, chosen), torch.randn(12, 6, 16)
    keep = (torch.arange(6) < torch.randint(1, 7, (12, 1))).float()
    graph, wanted = import_torch(module, (x, keep)), module(x, keep).numpy()
    for n in range(12):
        given = {"x": x[n : n + 1].numpy(), "keep": keep[n : n + 1].numpy()}
        np.testing.assert_allclose(run_float(graph, given)[graph.outputs[0]][0], wanted[n], atol=1e-5)
    made = quantise(graph, scheme("w8a8r16"), {"x": x.numpy(), "keep": keep.numpy()})
    calls = [{"x": x[n : n + 1].numpy(), "keep": keep[n : n + 1].numpy()} for n in range(12)]
    found = np.concatenate([one[graph.outputs[0]] for one in real_outputs(graph, made, calls)])
    assert 10 * np.log10((wanted**2).mean() / ((found - wanted) ** 2).mean()) > 30
