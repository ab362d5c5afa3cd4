"""Text ↔ token ids, with the tokenizer of a language model: a ``tokenizer.json``, or the vocabulary in a ``.gguf`` file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intar.errors import ConfigError, Finding, ToolError

INSTALL = "pip install 'intar[llm]'"

CONTROL = 3
"""The type of a GGUF token that stands for no text: the beginning of a turn, the end of a text."""

DIGITS_APART = {"gpt-2": False, "gpt2": False, "smollm": True}
"""The kinds of byte-level BPE, as GGUF calls them, that we can rebuild: whether each digit is a word of its own."""


@dataclass(frozen=True)
class Tokenizer:
    """The tokenizer of a model; no token is added at the ends of a text."""

    made: Any

    def encode(self, text: str) -> list[int]:
        """The token ids of a text."""
        return list(self.made.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, control tokens (the end of a text) among them."""
        return str(self.made.decode(list(ids), skip_special_tokens=False))


def load_tokenizer(path: Path) -> Tokenizer:
    """Read a tokenizer.

    Parameters
    ----------
    path : a ``tokenizer.json`` of Hugging Face, a folder that holds one, or a ``.gguf`` file with a byte-level BPE.

    Raises
    ------
    ToolError
        The package tokenizers, or gguf, is missing.
    ConfigError
        The file does not exist, can't be read, or holds a kind of tokenizer that we can't rebuild.
    """
    try:
        import tokenizers
    except ImportError:
        raise ToolError(Finding("text needs the package tokenizers", str(path), hint=INSTALL)) from None
    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        raise ConfigError(Finding("there is no such tokenizer", str(file)))
    if file.suffix == ".gguf":
        return Tokenizer(_of_gguf(file))
    try:
        return Tokenizer(tokenizers.Tokenizer.from_file(str(file)))
    except Exception as error:  # the package raises bare exceptions
        why = str(error).splitlines()[0]
        hint = "give the model's tokenizer.json, or its .gguf file"
        raise ConfigError(Finding("the file is no tokenizer", str(file), why, hint)) from None


def _of_gguf(file: Path) -> Any:
    """The tokenizer of a GGUF file: its tokens and merges with the words that its kind splits text into."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    keys = ("model", "pre", "tokens", "merges", "token_type")
    found = gguf_fields(gguf_reader(file), [f"tokenizer.ggml.{key}" for key in keys])
    model, kind, tokens, merges, types = found
    if model != "gpt2" or kind not in DIGITS_APART or not tokens or not merges:
        what = f"its tokenizer is of the kind {kind or model!r}"
        known = ", ".join(DIGITS_APART)
        raise ConfigError(
            Finding(what, str(file), f"known are byte-level BPEs: {known}", "give a tokenizer.json")
        )
    made = Tokenizer(
        models.BPE({token: n for n, token in enumerate(tokens)}, [tuple(m.split(" ", 1)) for m in merges])
    )
    words: list[Any] = [pre_tokenizers.ByteLevel(add_prefix_space=False)]
    if DIGITS_APART[kind]:
        words = [pre_tokenizers.Digits(individual_digits=True), *words]
    made.pre_tokenizer = pre_tokenizers.Sequence(words)
    made.decoder = decoders.ByteLevel()
    control = [token for token, kind in zip(tokens, types or (), strict=False) if kind == CONTROL]
    made.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    return made


def gguf_reader(file: Path) -> Any:
    """``gguf.GGUFReader`` of a file. Raises ToolError without the package, ConfigError where it can't be read."""
    try:
        import gguf
    except ImportError:
        raise ToolError(Finding("reading it needs the package gguf", str(file), hint=INSTALL)) from None
    try:
        return gguf.GGUFReader(file)
    except (OSError, ValueError) as error:
        raise ConfigError(Finding("the file is no GGUF file", str(file), str(error))) from None


def gguf_fields(reader: Any, keys: Sequence[str]) -> list[Any]:
    """What a GGUF file says beside its tensors, by key; None for what it does not say."""
    fields = [reader.fields.get(key) for key in keys]
    return [None if field is None else field.contents() for field in fields]
