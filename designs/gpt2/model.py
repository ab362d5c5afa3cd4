"""GPT-2 in plain PyTorch: the published sizes and scaled ones, random weights or those of a local checkpoint.

intar check designs/gpt2/model.py:scaled        16 tokens → the next one: d = 128, 4 layers
intar check designs/gpt2/model.py:scaled_step   one token behind up to 32 cached ones → the next one
intar check designs/gpt2/model.py:medium        the trunk: 24 layers of d = 1024, 64 embedded tokens
intar check designs/gpt2/model.py:medium_step   the same for one embedded token behind up to 256 cached ones
intar check designs/gpt2/model.py:small_step    one token behind up to 256 cached ones → the next: all of GPT-2 small
intar check designs/gpt2/model.py:narrow_step   all 50,257 words, d = 16, 2 layers: one token behind up to 8 cached ones
intar check designs/gpt2/model.py:layer_64      one of these layers; 128, 256, 512 and 1024 tokens likewise
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    spread : standard deviation of random weights; small models get more, or their attention would be even.
    """

    layers: int
    heads: int
    width: int
    vocabulary: int = 50257
    context: int = 1024
    spread: float = 0.02


TINY = Config(layers=1, heads=2, width=16, vocabulary=24, context=16, spread=0.25)
NARROW = Config(layers=2, heads=2, width=16, context=16, spread=0.25)
SCALED = Config(layers=4, heads=4, width=128, vocabulary=256, context=64, spread=0.1)
SMALL = Config(layers=12, heads=12, width=768)
MEDIUM = Config(layers=24, heads=16, width=1024)


def counted(position: torch.Tensor, length: int, cached: int) -> torch.Tensor:
    """Which scores of `length` tokens count behind `cached` rows, of which a text has filled those before the position of
    its first new token: (batch, 1, length, cached + length), of positions (batch)."""
    columns, own = torch.arange(cached + length), torch.arange(length)[:, None]
    return (columns < position.reshape(-1, 1, 1, 1)) | ((columns >= cached) & (columns - cached <= own))


class Attention(nn.Module):
    """Causal self-attention with all projections of a token in one, of new tokens alone or behind cached ones."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.heads = config.heads
        self.c_attn = nn.Linear(config.width, 3 * config.width)
        self.c_proj = nn.Linear(config.width, config.width)

    def split(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Queries, keys and values by head: (batch, heads, tokens, width / heads) each."""
        batch, tokens, width = x.shape
        return tuple(
            part.view(batch, tokens, self.heads, width // self.heads).transpose(1, 2)
            for part in self.c_attn(x).split(width, dim=2)
        )

    def join(self, y: torch.Tensor) -> torch.Tensor:
        batch, _, tokens, _ = y.shape
        return self.c_proj(y.transpose(1, 2).reshape(batch, tokens, -1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.split(x)
        return self.join(F.scaled_dot_product_attention(q, k, v, is_causal=True))

    def step(
        self, x: torch.Tensor, keep: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The same behind cached keys and values (batch, heads, cached, width / heads); with the new rows of both.

        `keep` (batch, 1, tokens, cached + tokens) says which scores count.
        """
        q, k, v = self.split(x)
        scores = q @ torch.cat([keys, k], dim=2).transpose(2, 3) * q.shape[-1] ** -0.5
        y = torch.softmax(scores.masked_fill(~keep, -torch.inf), dim=-1) @ torch.cat([values, v], dim=2)
        return self.join(y), k, v


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

    def feed_forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.c_proj(F.gelu(self.c_fc(self.ln_2(x)), approximate="tanh"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.feed_forward(x + self.attn(self.ln_1(x)))


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
    """Tokens and their positions (batch, tokens) → the most probable next token (batch,).

    The head shares the token table's weights; only the last token's logits are computed.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.wte = nn.Embedding(config.vocabulary, config.width)
        self.wpe = nn.Embedding(config.context, config.width)
        self.trunk = Trunk(config)

    def embed(self, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """The trunk's input."""
        return self.wte(tokens) + self.wpe(positions)

    def next(self, hidden: torch.Tensor) -> torch.Tensor:
        """The most probable token after the last one, of what the last block gives."""
        return F.linear(self.trunk.ln_f(hidden[:, -1]), self.wte.weight).argmax(-1)

    def forward(self, tokens: torch.Tensor, positions: torch.Tensor) -> dict[str, torch.Tensor]:
        hidden = self.embed(tokens, positions)
        for block in self.trunk.h:
            hidden = block(hidden)
        return {"next": self.next(hidden)}


class Step(nn.Module):
    """A GPT-2 that goes on behind cached keys and values: ``next`` and the new rows ``k_0_new``, ``v_0_new``, ….

    Inputs: tokens, positions (batch, tokens), position (batch), that of the first token, and the caches k_0, v_0, …
    (batch, heads, cached, width / heads), of which the rows before the position count.
    """

    def __init__(self, model: GPT2) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, tokens: torch.Tensor, positions: torch.Tensor, position: torch.Tensor, **caches: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        hidden, rows = self.model.embed(tokens, positions), {}
        keep = counted(position, tokens.shape[1], caches["k_0"].shape[2])
        for number, block in enumerate(self.model.trunk.h):
            keys, values = caches[f"k_{number}"], caches[f"v_{number}"]
            y, k, v = block.attn.step(block.ln_1(hidden), keep, keys, values)
            hidden = block.feed_forward(hidden + y)
            rows |= {f"k_{number}_new": k, f"v_{number}_new": v}
        return {"next": self.model.next(hidden), **rows}


class TrunkStep(nn.Module):
    """The trunk of one embedded token (batch, 1, width) behind cached keys and values: ``hidden`` and the new rows.

    `position` and caches as those of :class:`Step`; the host embeds, and has the head.
    """

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(
        self, hidden: torch.Tensor, position: torch.Tensor, **caches: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        rows = {}
        keep = counted(position, 1, caches["k_0"].shape[2])
        for number, block in enumerate(self.trunk.h):
            y, k, v = block.attn.step(block.ln_1(hidden), keep, caches[f"k_{number}"], caches[f"v_{number}"])
            hidden = block.feed_forward(hidden + y)
            rows |= {f"k_{number}_new": k, f"v_{number}_new": v}
        return {"hidden": self.trunk.ln_f(hidden), **rows}


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
            nn.init.normal_(module.weight, std=config.spread)
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


def _tokens(config: Config, tokens: int, samples: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random tokens and their positions, as ids for the two tables."""
    chosen = torch.randint(config.vocabulary, (samples, tokens))
    return chosen, torch.arange(tokens).expand(samples, tokens)


def _prefill(config: Config, tokens: int, samples: int = 4) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """The whole model with random tokens, as ``intar check FILE.py:FUNCTION`` takes them."""
    model = make(config)
    return model, dict(zip(("tokens", "positions"), _tokens(config, tokens, samples), strict=True))


def _step(
    config: Config, cached: int, length: int = 1, samples: int = 16
) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """The model `length` tokens at a time behind up to `cached` ones, with calls from random texts as examples."""
    model = make(config)
    step, size = Step(model), config.width // config.heads
    tokens, _ = _tokens(config, cached, samples)
    caches = {
        f"{part}_{layer}": torch.zeros(samples, config.heads, cached, size)
        for layer in range(config.layers)
        for part in "kv"
    }
    calls = []
    with torch.no_grad():
        for position in range(0, cached, length):
            behind = slice(position, position + length)
            given = {
                "tokens": tokens[:, behind],
                "positions": torch.arange(cached)[behind].expand(samples, length),
                "position": torch.full((samples,), position),
                **{name: cache.clone() for name, cache in caches.items()},
            }
            made = step(**given)
            for name, cache in caches.items():
                cache[:, :, behind] = made[f"{name}_new"]
            calls += [{name: value[n] for name, value in given.items()} for n in range(0, samples, 4)]
    return step, {name: torch.stack([call[name] for call in calls]) for name in calls[0]}


def _last_step(
    config: Config, cached: int, samples: int = 4, head: bool = False
) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """One token behind up to `cached` ones, with the last tokens of random texts as examples: the trunk alone, or with
    the token table before and the `head` behind it."""
    model = make(config)
    tokens, positions = _tokens(config, cached + 1, samples)
    given: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        hidden = embedded = model.embed(tokens, positions)
        for number, block in enumerate(model.trunk.h):
            _, keys, values = block.attn.split(block.ln_1(hidden))
            given |= {f"k_{number}": keys[:, :, :-1].clone(), f"v_{number}": values[:, :, :-1].clone()}
            hidden = block(hidden)
    position = torch.full((samples,), cached)
    position[0] = cached // 2  # one text is half as long
    if head:
        own = {"tokens": tokens[:, -1:], "positions": positions[:, -1:]}
        return Step(model), own | {"position": position, **given}
    return TrunkStep(model.trunk), {"hidden": embedded[:, -1:].clone(), "position": position, **given}


def _trunk(config: Config, tokens: int, samples: int = 4) -> tuple[nn.Module, torch.Tensor]:
    """The trunk with embedded random tokens."""
    model = make(config)
    with torch.no_grad():
        return model.trunk, model.embed(*_tokens(config, tokens, samples))


def _layer(config: Config, tokens: int, samples: int = 1) -> tuple[nn.Module, torch.Tensor]:
    """One block with embedded random tokens (of few words: the token table is not part of it)."""
    model = make(replace(config, layers=1, vocabulary=256))
    with torch.no_grad():
        return model.trunk.h[0], model.embed(*_tokens(replace(config, vocabulary=256), tokens, samples))


def tiny() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return _prefill(TINY, 4)


def tiny_step() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return _step(TINY, 8)


def tiny_chunk() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return _step(TINY, 8, 4)


def scaled() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return _prefill(SCALED, 16)


def scaled_step() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return _step(SCALED, 32)


def scaled_chunk() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return _step(SCALED, 32, 16)


def small() -> tuple[nn.Module, torch.Tensor]:
    return _trunk(SMALL, 64)


def small_step() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return _last_step(SMALL, 256, head=True)


def narrow_step() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return _step(NARROW, 8)


def medium() -> tuple[nn.Module, torch.Tensor]:
    return _trunk(MEDIUM, 64)


def medium_step() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return _last_step(MEDIUM, 256)


def medium_step_2() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """Two layers of it only."""
    return _last_step(replace(MEDIUM, layers=2), 256)


def medium_text_step_2() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """Two layers with the token table and the head."""
    return _last_step(replace(MEDIUM, layers=2), 256, head=True)


def scaled_trunk_step() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return _last_step(SCALED, 32)


def layer_64() -> tuple[nn.Module, torch.Tensor]:
    return _layer(MEDIUM, 64)


def layer_128() -> tuple[nn.Module, torch.Tensor]:
    return _layer(MEDIUM, 128)


def layer_256() -> tuple[nn.Module, torch.Tensor]:
    return _layer(MEDIUM, 256)


def layer_512() -> tuple[nn.Module, torch.Tensor]:
    return _layer(MEDIUM, 512)


def layer_1024() -> tuple[nn.Module, torch.Tensor]:
    return _layer(MEDIUM, 1024)
