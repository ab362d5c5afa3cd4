"""KAT in PyTorch, with the parameter names of the published checkpoints.

A KAT is a ViT whose MLPs are GR-KANs: ``fc2(act2(fc1(act1(x))))`` with grouped rational functions for ``act1`` and
``act2``. ``load_state_dict`` takes a published checkpoint as it is (``blocks.0.mlp.act1.weight_numerator`` …).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from intar.errors import ConfigError, Finding
from intar.gpu.coefficients import gain, preset
from intar.gpu.operator import group_rational

EPSILON = 1e-6
"""Of every LayerNorm, as in the published models."""


class GroupRational(nn.Module):
    """One learned rational function a group: `weight_numerator` [1, 6], shared, and `weight_denominator` [groups, 4].

    Parameters
    ----------
    groups : consecutive blocks of channels.
    init : preset to start from: `identity`, `gelu` or `silu`.
    """

    def __init__(self, groups: int = 8, init: str = "identity") -> None:
        super().__init__()
        a, b = preset(init)
        self.groups = groups
        self.weight_numerator = nn.Parameter(torch.tensor(a).reshape(1, -1))
        self.weight_denominator = nn.Parameter(torch.tensor(b).repeat(groups, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[..., channels] → the same shape and dtype."""
        return group_rational(x, self.weight_numerator, self.weight_denominator, self.groups)

    def extra_repr(self) -> str:
        """What `repr` of the module shows beside its name."""
        return f"groups={self.groups}"


class GRKAN(nn.Module):
    """Two rational functions and two linear layers, each function before its layer: what stands for an MLP.

    Weights start so that a standard normal input keeps its variance through each pair of function and layer.

    Parameters
    ----------
    width, hidden : channels outside and between the linear layers.
    init : preset of the second function; the first starts as the identity.
    groups, dropout : of both functions, and after each of them.
    """

    def __init__(
        self, width: int, hidden: int, init: str = "silu", groups: int = 8, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.fc1, self.act1, self.drop1 = (
            nn.Linear(width, hidden),
            GroupRational(groups),
            nn.Dropout(dropout),
        )
        self.act2, self.fc2, self.drop2 = (
            GroupRational(groups, init),
            nn.Linear(hidden, width),
            nn.Dropout(dropout),
        )
        for layer, name in ((self.fc1, "identity"), (self.fc2, init)):
            nn.init.normal_(layer.weight, std=math.sqrt(gain(*preset(name)) / layer.in_features))
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] → the same shape."""
        x = self.fc1(self.drop1(self.act1(x)))
        return self.fc2(self.drop2(self.act2(x)))


class Attention(nn.Module):
    """Multi-head self-attention with one matrix for queries, keys and values."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ConfigError(
                Finding(f"{width} channels don't divide by {heads} heads", "heads", hint="give a divisor")
            )
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, tokens, width] → the same shape."""
        batch, tokens, width = x.shape
        parts = self.qkv(x).reshape(batch, tokens, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).reshape(batch, tokens, width))


class KATBlock(nn.Module):
    """``x += attention(norm(x)); x += grkan(norm(x))``."""

    def __init__(
        self,
        width: int,
        heads: int,
        ratio: int = 4,
        init: str = "silu",
        groups: int = 8,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width, eps=EPSILON), Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=EPSILON)
        self.mlp = GRKAN(width, ratio * width, init, groups, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, tokens, width] → the same shape."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEmbedding(nn.Module):
    """Square patches of an image as tokens, row by row."""

    def __init__(self, patch: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, kernel_size=patch, stride=patch)

    def forward(self, images: Tensor) -> Tensor:
        """[batch, 3, height, width] → [batch, tokens, channels]."""
        return self.proj(images).flatten(2).transpose(1, 2)


SIZES = {"tiny": (192, 3), "small": (384, 6), "base": (768, 12)}
"""Width and heads of the published models: 12 blocks, patches of 16 in images of 224, 8 groups."""


class KAT(nn.Module):
    """Kolmogorov-Arnold transformer for image classification.

    Parameters
    ----------
    width, heads, depth : channels, attention heads, blocks.
    image, patch : side lengths in pixels; the image's is a multiple of the patch's.
    classes : outputs.
    init : preset of each block's second function.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        depth: int = 12,
        image: int = 224,
        patch: int = 16,
        classes: int = 1000,
        init: str = "silu",
        groups: int = 8,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.image = image
        if image % patch:
            raise ConfigError(
                Finding(
                    f"an image of {image} pixels has no whole patches of {patch}", "image", hint="crop it"
                )
            )
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, (image // patch) ** 2 + 1, width))
        self.patch_embed = PatchEmbedding(patch, width)
        self.blocks = nn.Sequential(
            *(KATBlock(width, heads, init=init, groups=groups, dropout=dropout) for _ in range(depth))
        )
        self.norm, self.head = nn.LayerNorm(width, eps=EPSILON), nn.Linear(width, classes)
        for table in (self.cls_token, self.pos_embed):
            nn.init.trunc_normal_(table, std=0.02)

    @classmethod
    def named(cls, size: str, classes: int = 1000) -> KAT:
        """The published `tiny`, `small` or `base`."""
        if size not in SIZES:
            raise ConfigError(
                Finding(f"no KAT is called {size!r}", "size", hint=f"use one of {', '.join(SIZES)}")
            )
        return cls(*SIZES[size], classes=classes)

    def forward(self, images: Tensor) -> Tensor:
        """[batch, 3, image, image] → logits [batch, classes] of the class token."""
        if images.ndim != 4 or images.shape[1:] != (3, self.image, self.image):
            expected = f"it is [batch, 3, {self.image}, {self.image}]"
            raise ConfigError(Finding(f"shape {list(images.shape)} does not fit", "images", expected))
        patches = self.patch_embed(images)
        tokens = torch.cat([self.cls_token.expand(patches.shape[0], -1, -1), patches], 1)
        tokens = self.norm(self.blocks(tokens + self.pos_embed))
        return self.head(tokens[:, 0])
