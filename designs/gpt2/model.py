"""GPT-2 in plain PyTorch: the published sizes and a scaled one, random weights or those of a local checkpoint.

    intar check designs/gpt2/model.py:scaled      the trunk of d = 128 and 4 layers, 16 tokens
    intar check designs/gpt2/model.py:medium      24 layers of d = 1024, 64 tokens

The trunk takes embedded tokens (batch, tokens, width) and returns the last hidden state: looking tokens up and the
output head belong to the host until the task graph has operators for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True)
class Config:
    """Sizes of a GPT-2.

    Parameters
    ----------
    layers, heads, width : of the stack of blocks; `width` is a multiple of `heads`.
    vocabulary, context : rows of the token and position tables.
    """

    layers: int
    heads: int
    width: int
    vocabulary: int = 50257
    context: int = 1024


SCALED = Config(layers=4, heads=4, width=128, vocabulary=256, context=64)
SMALL = Config(layers=12, heads=12, width=768)
MEDIUM = Config(layers=24, heads=16, width=1024)


class Attention(nn.Module):
    """Causal self-attention with all projections of a token in one."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.heads = config.heads
        self.c_attn = nn.Linear(config.width, 3 * config.width)
        self.c_proj = nn.Linear(config.width, config.width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, width = x.shape
        q, k, v = (
            part.view(batch, tokens, self.heads, width // self.heads).transpose(1, 2)
            for part in self.c_attn(x).split(width, dim=2)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).reshape(batch, tokens, width))


class Block(nn.Module):
    """Attention and a two-layer perceptron, each behind a LayerNorm and beside a residual."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.ln_1, self.attn = nn.LayerNorm(config.width), Attention(config)
        self.ln_2 = nn.LayerNorm(config.width)
        self.c_fc, self.c_proj = (
            nn.Linear(config.width, 4 * config.width),
            nn.Linear(4 * config.width, config.width),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.c_proj(F.gelu(self.c_fc(self.ln_2(x)), approximate="tanh"))


class Trunk(nn.Module):
    """Embedded tokens (batch, tokens, width), positions included → last hidden state of the same shape."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.h = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.ln_f = nn.LayerNorm(config.width)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        for block in self.h:
            hidden = block(hidden)
        return self.ln_f(hidden)


class GPT2(nn.Module):
    """Tokens (batch, tokens) → logits (batch, tokens, vocabulary); the head shares the token table's weights."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.wte = nn.Embedding(config.vocabulary, config.width)
        self.wpe = nn.Embedding(config.context, config.width)
        self.trunk = Trunk(config)

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """The trunk's input."""
        return self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1]))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return F.linear(self.trunk(self.embed(tokens)), self.wte.weight)


def make(config: Config, checkpoint: Path | None = None, seed: int = 0) -> GPT2:
    """A model for inference: weights of a Hugging Face folder (``model.safetensors``), or random ones as GPT-2 starts.

    Raises
    ------
    FileNotFoundError
        The folder has no ``model.safetensors``.
    RuntimeError
        Its tensors are not those of `config`.
    """
    torch.manual_seed(seed)
    model = GPT2(config)
    if checkpoint is not None:
        model.load_state_dict(_renamed(checkpoint / "model.safetensors"))
        return model.eval()
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
    return model.eval()


def _renamed(file: Path) -> dict[str, torch.Tensor]:
    """Hugging Face's tensors under our names; its Conv1D keeps weights as (inputs, outputs)."""
    from safetensors.torch import load_file

    found: dict[str, torch.Tensor] = {}
    for key, tensor in load_file(file).items():
        name = key.removeprefix("transformer.")
        if name.endswith((".attn.bias", ".attn.masked_bias")) or name == "lm_head.weight":
            continue
        name = name.replace(".mlp.", ".")
        turned = name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight"))
        found[name if name.startswith("w") else f"trunk.{name}"] = tensor.T.contiguous() if turned else tensor
    return found


def _trunk(config: Config, tokens: int, samples: int = 4) -> tuple[nn.Module, torch.Tensor]:
    """The trunk with embedded random tokens, as ``intar check FILE.py:FUNCTION`` takes them."""
    model = make(config)
    chosen = torch.randint(config.vocabulary, (samples, tokens))
    with torch.no_grad():
        return model.trunk, model.embed(chosen)


def scaled() -> tuple[nn.Module, torch.Tensor]:
    return _trunk(SCALED, 16)


def small() -> tuple[nn.Module, torch.Tensor]:
    return _trunk(SMALL, 64)


def medium() -> tuple[nn.Module, torch.Tensor]:
    return _trunk(MEDIUM, 64)
