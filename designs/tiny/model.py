"""Small networks that people bring to FPGAs, in plain PyTorch: a tagger of jets, the tasks of MLPerf Tiny, others, two for
ImageNet and a detector.

Weights are random (He's initialisation, a fixed seed), samples too: smooth images and signals, of which the statistics of
the batch normalisations are. Nothing is downloaded, and nothing is trained: shapes are what counts here.

intar check designs/tiny/model.py:resnet8
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

SAMPLES = 32

LARGE = 4
"""Samples of a network for ImageNet, or of a detector."""

Model = tuple[nn.Module, torch.Tensor]
"""A module in evaluation mode, and samples along the first axis."""


def smooth(*shape: int, samples: int = SAMPLES) -> torch.Tensor:
    """Samples of (channels, length) or (channels, height, width): noise of a quarter of the size, stretched, and some more
    on top."""
    channels, *sizes = shape
    coarse = torch.randn(samples, channels, *(max(1, size // 4) for size in sizes))
    mode = "linear" if len(sizes) == 1 else "bilinear"
    return F.interpolate(coarse, tuple(sizes), mode=mode) + 0.2 * torch.randn(samples, *shape)


def settle(module: nn.Module, samples: torch.Tensor) -> Model:
    """He's initialisation, affine batch normalisations whose statistics are the samples', evaluation mode."""
    for part in module.modules():
        if isinstance(part, nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            if part.bias is not None:
                nn.init.normal_(part.bias, std=0.1)
        elif isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.momentum = None  # the statistics are those of the one batch
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, std=0.3)
    with torch.no_grad():
        module.train()(samples)
    return module.eval(), samples


def dense(*widths: int) -> nn.Sequential:
    """Fully connected layers with batch normalisation and ReLU between them."""
    parts: list[nn.Module] = []
    for at, (wide, to) in enumerate(pairwise(widths), 2):
        parts += [nn.Linear(wide, to)]
        parts += [nn.BatchNorm1d(to), nn.ReLU()] if at < len(widths) else []
    return nn.Sequential(*parts)


def conv(wide: int, to: int, kernel: int | tuple[int, int] = 3, **options: object) -> nn.Sequential:
    """A convolution, its batch normalisation, ReLU."""
    options = {"padding": kernel // 2 if isinstance(kernel, int) else 0, **options}
    return nn.Sequential(nn.Conv2d(wide, to, kernel, bias=False, **options), nn.BatchNorm2d(to), nn.ReLU())


def separable(wide: int, to: int, stride: int = 1) -> nn.Sequential:
    """A depthwise convolution and a pointwise one."""
    return nn.Sequential(conv(wide, wide, stride=stride, groups=wide), conv(wide, to, 1))


def pooled(wide: int, classes: int) -> nn.Sequential:
    """Global average pool and classifier."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(wide, classes))


class Residual(nn.Module):
    """Two convolutions beside a shortcut, which is a convolution of one pixel where the shape changes."""

    def __init__(self, wide: int, to: int, stride: int = 1) -> None:
        super().__init__()
        self.first = conv(wide, to, stride=stride)
        self.second = nn.Sequential(nn.Conv2d(to, to, 3, padding=1, bias=False), nn.BatchNorm2d(to))
        self.shortcut = nn.Identity() if wide == to else nn.Conv2d(wide, to, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.second(self.first(x)) + self.shortcut(x))


class Bottleneck(nn.Module):
    """A narrow convolution between two of one pixel, beside a shortcut, which is a convolution where the shape changes."""

    def __init__(self, wide: int, narrow: int, stride: int = 1) -> None:
        super().__init__()
        to = 4 * narrow
        parts = (
            conv(wide, narrow, 1),
            conv(narrow, narrow, stride=stride),
            nn.Conv2d(narrow, to, 1, bias=False),
        )
        self.body = nn.Sequential(*parts, nn.BatchNorm2d(to))
        self.shortcut: nn.Module = nn.Identity()
        if wide != to:
            self.shortcut = nn.Sequential(nn.Conv2d(wide, to, 1, stride, bias=False), nn.BatchNorm2d(to))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


class Inverted(nn.Module):
    """MobileNetV2's block: wider, depthwise, narrower without a function; beside a shortcut where the shape stays."""

    def __init__(self, wide: int, to: int, stride: int, times: int) -> None:
        super().__init__()
        inner = wide * times
        parts = [conv(wide, inner, 1)] if times > 1 else []
        parts += [conv(inner, inner, stride=stride, groups=inner)]
        self.body = nn.Sequential(*parts, nn.Conv2d(inner, to, 1, bias=False), nn.BatchNorm2d(to))
        self.same = stride == 1 and wide == to

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x) if self.same else self.body(x)


class Gate(nn.Module):
    """Squeeze and excitation: a number for each channel, made of all channels' means."""

    def __init__(self, wide: int) -> None:
        super().__init__()
        few = max(8, wide // 4)
        self.numbers = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(wide, few, 1),
            nn.ReLU(),
            nn.Conv2d(few, wide, 1),
            nn.Hardsigmoid(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.numbers(x)


class Searched(nn.Module):
    """A block of MobileNetV3: inverted, with a gate or none."""

    def __init__(
        self, wide: int, inner: int, to: int, kernel: int, stride: int, gated: bool, curved: bool
    ) -> None:
        super().__init__()
        last = nn.Hardswish if curved else nn.ReLU
        self.body = nn.Sequential(
            *(nn.Conv2d(wide, inner, 1, bias=False), nn.BatchNorm2d(inner), last()),
            nn.Conv2d(inner, inner, kernel, stride, kernel // 2, groups=inner, bias=False),
            nn.BatchNorm2d(inner),
            *((Gate(inner),) if gated else ()),
            *(last(), nn.Conv2d(inner, to, 1, bias=False), nn.BatchNorm2d(to)),
        )
        self.adds = stride == 1 and wide == to

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.body(x)
        return x + made if self.adds else made


class UNet(nn.Module):
    """Three levels, each two convolutions; down by max pools, up by transposed convolutions, across by concatenation."""

    def __init__(self, channels: int, wide: int, classes: int) -> None:
        super().__init__()
        widths = [wide, 2 * wide, 4 * wide]
        self.down = nn.ModuleList(
            nn.Sequential(conv(a, b), conv(b, b)) for a, b in zip([channels, *widths], widths, strict=False)
        )
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, 2) for w in widths[1::-1])
        self.join = nn.ModuleList(nn.Sequential(conv(2 * w, w), conv(w, w)) for w in widths[1::-1])
        self.head = nn.Conv2d(wide, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = []
        for level in self.down:
            x = level(F.max_pool2d(x, 2) if kept else x)
            kept.append(x)
        for up, join, beside in zip(self.up, self.join, kept[1::-1], strict=True):
            x = join(torch.cat([up(x), beside], 1))
        return self.head(x)


def swish(wide: int, to: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    """A convolution, its batch normalisation and x · sigmoid(x)."""
    parts = nn.Conv2d(wide, to, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(to), nn.SiLU()
    return nn.Sequential(*parts)


class Split(nn.Module):
    """YOLOv8's block: half of the channels goes through `count` pairs of convolutions, and all that comes by is put
    together; `short`: each pair adds to its input."""

    def __init__(self, wide: int, to: int, count: int = 1, short: bool = False) -> None:
        super().__init__()
        half, self.short = to // 2, short
        self.first, self.last = swish(wide, to), swish((2 + count) * half, to)
        self.pairs = nn.ModuleList(
            nn.Sequential(swish(half, half, 3), swish(half, half, 3)) for _ in range(count)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = list(self.first(x).chunk(2, 1))
        for pair in self.pairs:
            made = pair(parts[-1])
            parts.append(parts[-1] + made if self.short else made)
        return self.last(torch.cat(parts, 1))


class Pyramid(nn.Module):
    """YOLOv8's spatial pyramid: three maxima of 5 × 5, one of the other."""

    def __init__(self, wide: int) -> None:
        super().__init__()
        self.first, self.last = swish(wide, wide // 2), swish(2 * wide, wide)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = [self.first(x)]
        for _ in range(3):
            parts.append(F.max_pool2d(parts[-1], 5, 1, 2))
        return self.last(torch.cat(parts, 1))


class Detector(nn.Module):
    """YOLOv8's smallest size: backbone, way up, way down, and of three images 64 numbers of boxes and 80 classes a place."""

    def __init__(self) -> None:
        super().__init__()
        self.p3 = nn.Sequential(
            swish(3, 16, 3, 2),
            swish(16, 32, 3, 2),
            Split(32, 32, 1, True),
            swish(32, 64, 3, 2),
            Split(64, 64, 2, True),
        )
        self.p4 = nn.Sequential(swish(64, 128, 3, 2), Split(128, 128, 2, True))
        self.p5 = nn.Sequential(swish(128, 256, 3, 2), Split(256, 256, 1, True), Pyramid(256))
        self.up4, self.up3 = Split(384, 128), Split(192, 64)
        self.half3, self.down4 = swish(64, 64, 3, 2), Split(192, 128)
        self.half4, self.down5 = swish(128, 128, 3, 2), Split(384, 256)
        self.boxes = nn.ModuleList(self.head(wide, 64, 64) for wide in (64, 128, 256))
        self.classes = nn.ModuleList(self.head(wide, 80, 80) for wide in (64, 128, 256))

    @staticmethod
    def head(wide: int, inner: int, to: int) -> nn.Sequential:
        return nn.Sequential(swish(wide, inner, 3), swish(inner, inner, 3), nn.Conv2d(inner, to, 1))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        p3 = self.p3(x)
        p4 = self.p4(p3)
        p5 = self.p5(p4)
        p4 = self.up4(torch.cat([F.interpolate(p5, scale_factor=2.0), p4], 1))
        p3 = self.up3(torch.cat([F.interpolate(p4, scale_factor=2.0), p3], 1))
        p4 = self.down4(torch.cat([self.half3(p3), p4], 1))
        p5 = self.down5(torch.cat([self.half4(p4), p5], 1))
        heads = zip(self.boxes, self.classes, (p3, p4, p5), strict=True)
        return tuple(torch.cat([boxes(p), classes(p)], 1) for boxes, classes, p in heads)


class Causal(nn.Module):
    """A block of a temporal convolutional network: two dilated convolutions that see no future, beside a shortcut."""

    def __init__(self, wide: int, to: int, dilation: int, kernel: int = 3) -> None:
        super().__init__()
        self.past = (kernel - 1) * dilation
        self.first = nn.Conv1d(wide, to, kernel, dilation=dilation)
        self.second = nn.Conv1d(to, to, kernel, dilation=dilation)
        self.shortcut = nn.Identity() if wide == to else nn.Conv1d(wide, to, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.first(F.pad(x, (self.past, 0))))
        y = F.relu(self.second(F.pad(y, (self.past, 0))))
        return F.relu(y + self.shortcut(x))


class Block(nn.Module):
    """A transformer's encoder block, normalised first."""

    def __init__(self, wide: int, heads: int) -> None:
        super().__init__()
        self.heads, self.norm_1, self.norm_2 = heads, nn.LayerNorm(wide), nn.LayerNorm(wide)
        self.qkv, self.out = nn.Linear(wide, 3 * wide), nn.Linear(wide, wide)
        self.mlp = nn.Sequential(nn.Linear(wide, 4 * wide), nn.GELU(), nn.Linear(4 * wide, wide))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, wide = x.shape
        q, k, v = self.qkv(self.norm_1(x)).view(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, wide)
        x = x + self.out(y)
        return x + self.mlp(self.norm_2(x))


class VisionTransformer(nn.Module):
    """Patches behind a class token, blocks, a classifier of that token."""

    def __init__(self, size: int, patch: int, wide: int, heads: int, blocks: int, classes: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, wide, patch, patch)
        self.token = nn.Parameter(torch.randn(1, 1, wide))
        self.places = nn.Parameter(0.5 * torch.randn(1, 1 + (size // patch) ** 2, wide))
        self.blocks = nn.Sequential(*(Block(wide, heads) for _ in range(blocks)))
        self.norm, self.head = nn.LayerNorm(wide), nn.Linear(wide, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = self.blocks(torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places)
        return self.head(self.norm(x[:, 0]))


class Recurrent(nn.Module):
    """A recurrent layer over a sequence, a classifier of its last step."""

    def __init__(self, layer: nn.RNNBase, classes: int) -> None:
        super().__init__()
        self.layer = layer
        self.head = nn.Linear(layer.hidden_size * (1 + layer.bidirectional), classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(x)[0][:, -1])


def jets() -> Model:
    """hls4ml's first example: 16 features of a jet, five kinds."""
    torch.manual_seed(0)
    layers = [nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU()]
    return settle(nn.Sequential(*layers, nn.Linear(32, 5), nn.Softmax(-1)), torch.randn(SAMPLES, 16))


def autoencoder() -> Model:
    """MLPerf Tiny, anomaly detection: a spectrogram of 5 × 128, and back."""
    torch.manual_seed(0)
    return settle(dense(640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640), smooth(1, 640).flatten(1))


def ad08() -> Model:
    """hls4ml's submission to MLPerf Tiny v0.7 for the same task."""
    torch.manual_seed(0)
    return settle(dense(64, 72, 72, 8, 72, 72, 64), smooth(1, 64).flatten(1))


def resnet8() -> Model:
    """MLPerf Tiny, image classification: ResNet of eight layers on images of 32 × 32."""
    torch.manual_seed(0)
    blocks = Residual(16, 16), Residual(16, 32, 2), Residual(32, 64, 2)
    return settle(nn.Sequential(conv(3, 16), *blocks, pooled(64, 10)), smooth(3, 32, 32))


def rn07() -> Model:
    """hls4ml's submission to MLPerf Tiny v0.7 for the same task."""
    torch.manual_seed(0)
    layers = conv(3, 32, 1), conv(32, 4, 4, padding="same"), conv(4, 32, 4, padding="same")
    layers += conv(32, 32, 4, stride=4, padding=0), conv(32, 32, 4, padding="same")
    return settle(nn.Sequential(*layers, nn.Flatten(), nn.Linear(2048, 10)), smooth(3, 32, 32))


def cnv() -> Model:
    """FINN's submission to MLPerf Tiny v0.7 for the same task, there with weights and activations of one bit."""
    torch.manual_seed(0)
    widths, parts = (3, 64, 64, 128, 128, 256, 256), []
    for at, (wide, to) in enumerate(pairwise(widths)):
        parts += [conv(wide, to, padding=0), *([nn.MaxPool2d(2)] if at in (1, 3) else [])]
    return settle(nn.Sequential(*parts, nn.Flatten(), dense(256, 512, 512, 10)), smooth(3, 32, 32))


def ds_cnn() -> Model:
    """MLPerf Tiny, keyword spotting: 49 × 10 cepstral coefficients, twelve classes."""
    torch.manual_seed(0)
    first = nn.Sequential(nn.ZeroPad2d((1, 1, 4, 5)), conv(1, 64, (10, 4), stride=2))
    blocks = (separable(64, 64) for _ in range(4))
    return settle(nn.Sequential(first, *blocks, pooled(64, 12)), smooth(1, 49, 10))


def kws_mlp() -> Model:
    """FINN's submission to MLPerf Tiny v0.7 for the same task, there with weights and activations of three bits."""
    torch.manual_seed(0)
    return settle(dense(490, 256, 256, 256, 12), smooth(1, 49, 10).flatten(1))


def mobilenet() -> Model:
    """MLPerf Tiny, visual wake words: MobileNetV1 of a quarter of the width on images of 96 × 96."""
    torch.manual_seed(0)
    steps = [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2)] + 5 * [(128, 1)] + [(256, 2), (256, 1)]
    wide, parts = 8, [conv(3, 8, stride=2)]
    for to, stride in steps:
        parts.append(separable(wide, to, stride))
        wide = to
    return settle(nn.Sequential(*parts, pooled(256, 2)), smooth(3, 96, 96))


def resnet18() -> Model:
    """ImageNet's ResNet-18, images of 224 × 224."""
    torch.manual_seed(0)
    widths = [64, 64, 64, 128, 128, 256, 256, 512, 512]
    blocks = [Residual(wide, to, 1 if wide == to else 2) for wide, to in pairwise(widths)]
    first = nn.Sequential(conv(3, 64, 7, stride=2), nn.MaxPool2d(3, 2, 1))
    return settle(nn.Sequential(first, *blocks, pooled(512, 1000)), smooth(3, 224, 224, samples=LARGE))


def resnet50() -> Model:
    """ImageNet's ResNet-50, images of 224 × 224; the convolution in the middle of a block has the stride."""
    torch.manual_seed(0)
    wide, blocks = 64, []
    for narrow, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for number in range(count):
            blocks.append(Bottleneck(wide, narrow, 1 if number else stride))
            wide = 4 * narrow
    first = nn.Sequential(conv(3, 64, 7, stride=2), nn.MaxPool2d(3, 2, 1))
    return settle(nn.Sequential(first, *blocks, pooled(2048, 1000)), smooth(3, 224, 224, samples=LARGE))


def mobilenet_v2() -> Model:
    """ImageNet's MobileNetV2, images of 224 × 224; its ReLUs have no upper end."""
    torch.manual_seed(0)
    kinds = [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ]
    wide, parts = 32, [conv(3, 32, stride=2)]
    for times, to, count, stride in kinds:
        for number in range(count):
            parts.append(Inverted(wide, to, 1 if number else stride, times))
            wide = to
    whole = nn.Sequential(*parts, conv(320, 1280, 1), pooled(1280, 1000))
    return settle(whole, smooth(3, 224, 224, samples=LARGE))


def mobilenet_v3() -> Model:
    """ImageNet's MobileNetV3-small, images of 224 × 224."""
    torch.manual_seed(0)
    kinds = [
        (16, 16, 3, 2, True, False),
        (72, 24, 3, 2, False, False),
        (88, 24, 3, 1, False, False),
        (96, 40, 5, 2, True, True),
        (240, 40, 5, 1, True, True),
        (240, 40, 5, 1, True, True),
        (120, 48, 5, 1, True, True),
        (144, 48, 5, 1, True, True),
        (288, 96, 5, 2, True, True),
        (576, 96, 5, 1, True, True),
        (576, 96, 5, 1, True, True),
    ]
    wide, parts = 16, [nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.Hardswish()]
    for inner, to, kernel, stride, gated, curved in kinds:
        parts.append(Searched(wide, inner, to, kernel, stride, gated, curved))
        wide = to
    parts += [nn.Conv2d(96, 576, 1, bias=False), nn.BatchNorm2d(576), nn.Hardswish()]
    last = nn.Linear(576, 1024), nn.Hardswish(), nn.Linear(1024, 1000)
    whole = nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), *last)
    return settle(whole, smooth(3, 224, 224, samples=LARGE))


def yolo() -> Model:
    """A detector of YOLOv8's smallest size on images of 160 × 160."""
    torch.manual_seed(0)
    return settle(Detector(), smooth(3, 160, 160, samples=LARGE))


def unet() -> Model:
    """A U-Net of three levels on images of 32 × 32."""
    torch.manual_seed(0)
    return settle(UNet(1, 8, 2), smooth(1, 32, 32))


def tcn() -> Model:
    """Four blocks of causal convolutions, dilated by 1, 2, 4 and 8, over 64 steps of 8 channels."""
    torch.manual_seed(0)
    blocks = Causal(8, 32, 1), Causal(32, 32, 2), Causal(32, 32, 4), Causal(32, 32, 8)
    return settle(nn.Sequential(*blocks, nn.Flatten(), nn.Linear(32 * 64, 10)), smooth(8, 64))


def vit() -> Model:
    """Four blocks of 64 channels on 16 patches of 8 × 8 pixels and a class token."""
    torch.manual_seed(0)
    return settle(VisionTransformer(32, 8, 64, 2, 4, 10), smooth(3, 32, 32))


def _recurrent(kind: type[nn.RNNBase], **options: object) -> Model:
    torch.manual_seed(0)
    return settle(
        Recurrent(kind(8, 32, batch_first=True, **options), 5), smooth(8, 16).transpose(1, 2).contiguous()
    )


def lstm() -> Model:
    """An LSTM of 32 units over 16 steps of 8 features."""
    return _recurrent(nn.LSTM)


def gru() -> Model:
    """A GRU of the same size."""
    return _recurrent(nn.GRU)


def bilstm() -> Model:
    """An LSTM of 32 units in each direction."""
    return _recurrent(nn.LSTM, bidirectional=True)
