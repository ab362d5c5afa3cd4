"""Text to token ids and back, with tokenizers in both of their files."""

from __future__ import annotations

import sys
from pathlib import Path

import gguf
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from intar.errors import ConfigError, ToolError
from intar.tokenizer import load_tokenizer

LETTERS = sorted(pre_tokenizers.ByteLevel.alphabet())
MERGES = ["h e", "l l", "he ll", "hell o", "1 2"]
WORDS = ["<|end|>", *LETTERS, *(merge.replace(" ", "") for merge in MERGES)]
TEXT = "hello, hello 1223\tüh<|end|>"


@pytest.fixture
def as_json(tmp_path: Path) -> Path:
    """A tokenizer as Hugging Face writes it: pieces of bytes, each digit alone."""
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    made = Tokenizer(models.BPE(vocabulary, [tuple(merge.split()) for merge in MERGES]))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(["<|end|>"])
    made.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


def as_gguf(path: Path, kind: str) -> Path:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(kind)
    writer.add_token_list(WORDS)
    writer.add_token_types([3] + [1] * (len(WORDS) - 1))
    writer.add_token_merges(MERGES)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_both_files_say_the_same(as_json: Path, tmp_path: Path) -> None:
    one = load_tokenizer(as_json)
    ids = one.encode(TEXT)
    assert ids[0] == WORDS.index("hello") and ids[-1] == 0
    assert one.decode(ids) == TEXT
    assert load_tokenizer(as_json.parent).encode(TEXT) == ids
    other = load_tokenizer(as_gguf(tmp_path / "model.gguf", "smollm"))
    assert other.encode(TEXT) == ids and other.decode(ids) == TEXT


def test_digits_are_apart_where_the_kind_says_so(tmp_path: Path) -> None:
    apart, together = (
        load_tokenizer(as_gguf(tmp_path / f"{kind}.gguf", kind)).encode("12") for kind in ("smollm", "gpt-2")
    )
    assert apart == [WORDS.index("1"), WORDS.index("2")] and together == [WORDS.index("12")]


def test_mistakes(as_json: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.json"
    damaged.write_text("{}")
    (tmp_path / "damaged.gguf").write_bytes(b"no such file" * 100)
    for path, message in (
        (tmp_path / "none.json", "there is no such tokenizer"),
        (damaged, "the file is no tokenizer"),
        (tmp_path / "damaged.gguf", "the file is no GGUF file"),
        (as_gguf(tmp_path / "other.gguf", "viking"), "its tokenizer is of the kind 'viking'"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_tokenizer(path)


@pytest.mark.parametrize("package", ["tokenizers", "gguf"])
def test_missing_package(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = as_gguf(tmp_path / "model.gguf", "smollm")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ToolError, match=rf"needs the package {package}(.|\n)*pip install 'intar\[llm\]'"):
        load_tokenizer(file)
