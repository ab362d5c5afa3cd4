"""SmolLM2's architecture: rotary positions, grouped heads, gated perceptrons, step by step with cached keys and values."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import intar
from intar import proof
from intar.assets import asset_dir, import_file
from intar.errors import ConfigError
from intar.frontends.load import make_model
from intar.generate import Text, generate, run_text
from intar.ir.ops import Op
from intar.ir.quantgraph import QEmbedding
from intar.quant.accuracy import numerics_report
from intar.quant.steps import StepFunction, step_function
from intar.tokenizer import load_tokenizer

FILE = asset_dir("designs") / "smollm2" / "model.py"
PROMPT = [3, 17]

smollm2 = import_file(FILE)


def compiled(name: str) -> intar.Accelerator:
    module, data = make_model(f"{FILE}:{name}")
    return intar.compile(module, data, budget={"dsp": 16}, scheme="w8a8r16", bits={"*.in": 16})


@pytest.fixture(scope="module")
def single() -> intar.Accelerator:
    return compiled("tiny_step")


@pytest.fixture(scope="module")
def step(single: intar.Accelerator) -> StepFunction:
    return step_function(single.design.quantised)


def test_a_step_is_what_the_whole_computes(step: StepFunction) -> None:
    """PyTorch, without a cache, on the same text: its tokens, and its turned keys in the states."""
    text = generate(step, PROMPT, 4)
    module, _ = make_model(f"{FILE}:tiny")
    whole = list(PROMPT)
    with torch.no_grad():
        for _ in text.tokens:
            at = torch.arange(len(whole))[None]
            whole.append(int(module(torch.tensor([whole]), at)["logits"][0, -1].argmax()))
        _, rows = module.model.run(torch.tensor([whole[:-1]]), module.turn(at))
    assert list(text.tokens) == whole[len(PROMPT) :]
    for name, row in rows.items():
        state, form = text.calls[-1].inputs[name], step.graph.tensor(name)
        wrong = form.scale * state[:, :, : len(whole) - 2] - row.numpy()[:, :, :-1]
        assert np.abs(wrong).max() < 0.05 * row.abs().max()


def test_engine_and_cpp(single: intar.Accelerator, step: StepFunction, tmp_path: Path) -> None:
    text = generate(step, PROMPT, 3)
    check = proof.verify_engine(single.design, [call.inputs for call in text.calls])
    assert check.bit_exact, check.first
    ran = run_text(text, [(step, single.design, single.write(tmp_path / "project"))], "csim")
    assert (ran.mismatches, ran.tokens) == (0, text.tokens)


@pytest.mark.full
@pytest.mark.sim
def test_rtl(single: intar.Accelerator, step: StepFunction, tmp_path: Path) -> None:
    """Two tokens one after the other: what the first adds to the states is what the second reads."""
    text = generate(step, PROMPT, 1)
    ran = run_text(text, [(step, single.design, single.write(tmp_path / "project"))], "sim")
    assert (ran.mismatches, ran.tokens) == (0, text.tokens)
    assert set(ran.cycles) == {single.design.predicted.cycles}


@pytest.mark.parametrize("name", ["tiny", pytest.param("tiny_chunk", marks=pytest.mark.full)])
def test_many_tokens_a_call(name: str) -> None:
    made = compiled(name)
    sample = {key: value[:1].numpy() for key, value in make_model(f"{FILE}:{name}")[1].items()}
    check = proof.verify_engine(made.design, [made.integers(sample)])
    assert check.bit_exact, check.first


@pytest.fixture(scope="module")
def looped() -> tuple[intar.Accelerator, StepFunction, Text]:
    """Three layers as one block in three rounds: each looks the angles of its positions up itself."""
    config = replace(smollm2.TINY, layers=3)
    torch.manual_seed(1)
    texts = torch.randint(config.vocabulary, (4, 8))
    form = {"budget": {"multipliers": 16, "rows": 1, "lanes": 16}, "scheme": "w8a8r16", "loop": True}
    made = intar.compile(*smollm2._step(smollm2.make(config), texts), **form)
    step = step_function(made.design.quantised)
    return made, step, generate(step, PROMPT, 2)


def smollm2_table(made: intar.Accelerator) -> np.ndarray:
    """The token table."""
    (lookup,) = [task for task in made.graph.tasks if task.op is Op.EMBEDDING and "tokens" in task.inputs]
    return made.graph.constant(lookup.inputs[1])


def test_layers_loop(looped: tuple[intar.Accelerator, StepFunction, Text], tmp_path: Path) -> None:
    """Golden, engine and C++; the scales of each round are its own, and those of an unrolled network."""
    made, step, text = looped
    assert made.design.program.rounds == (1, 3, 1)
    check = proof.verify_engine(made.design, [call.inputs for call in text.calls])
    assert check.bit_exact, check.first
    ran = run_text(text, [(step, made.design, made.write(tmp_path / "project"))], "csim")
    assert (ran.mismatches, ran.tokens) == (0, text.tokens)
    scales = [step.graph.tensor(f"k_{layer}").scale for layer in range(3)]
    assert len(set(scales)) == 3
    lookups = [task for task in step.graph.tasks if isinstance(task, QEmbedding)]
    assert len(lookups) == 1 + 2 * 3
    copies = {task.inputs[0]: step.graph.tensor(task.output) for task in step.graph.tasks}
    numerics = {row["name"] for row in numerics_report(made.graph, made.design.quantised, made.calibration)}
    known = {tensor.name for tensor in step.graph.tensors}
    assert numerics == known & {tensor.name for tensor in made.graph.tensors} and len(known - numerics) >= 7
    (words,) = [task for task in lookups if "positions" not in task.inputs]
    most = np.abs(smollm2_table(made)).max()  # rows that no sample has seen are not cut off
    assert copies[words.output].scale * 32767 >= most * (1 - 1e-6)


@pytest.mark.full
@pytest.mark.sim
def test_layers_loop_in_rtl(looped: tuple[intar.Accelerator, StepFunction, Text], tmp_path: Path) -> None:
    made, step, text = looped
    ran = run_text(text, [(step, made.design, made.write(tmp_path / "project"))], "sim")
    assert (ran.mismatches, ran.tokens) == (0, text.tokens)
    assert set(ran.cycles) == {made.design.predicted.cycles}


@pytest.mark.full
def test_a_real_layer(tmp_path: Path) -> None:
    """The first layer of SmolLM2-135M between its whole token table and head, two tokens one after the other."""
    module, data = make_model(f"{FILE}:layer")
    made = intar.compile(module, data, budget={"dsp": 2048}, scheme="w8a8r16", bits={"*.in": 16})
    own = step_function(made.design.quantised)
    text = generate(own, load_tokenizer(smollm2.source()).encode("The capital"), 1)
    check = proof.verify_engine(made.design, [call.inputs for call in text.calls])
    assert check.bit_exact, check.first
    ran = run_text(text, [(own, made.design, made.write(tmp_path / "project"))], "csim")
    assert (ran.mismatches, ran.tokens) == (0, text.tokens)


def hugging_face(folder: Path, config: object, weights: dict[str, torch.Tensor]) -> Path:
    sizes = zip(
        ("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads"),
        (config.layers, config.width, config.hidden, config.heads),
        strict=True,
    )
    more = {"num_key_value_heads": config.shared, "vocab_size": config.vocabulary}
    more |= {"rope_theta": config.theta, "rms_norm_eps": config.epsilon}
    (folder / "config.json").write_text(json.dumps(dict(sizes) | more))
    save_file({f"model.{name}": tensor for name, tensor in weights.items()}, folder / "model.safetensors")
    return folder


def as_gguf(file: Path, config: object, weights: dict[str, torch.Tensor]) -> Path:
    """As llama.cpp converts it: the two halves of each head of queries and keys interleaved."""
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_block_count(config.layers)
    writer.add_embedding_length(config.width)
    writer.add_feed_forward_length(config.hidden)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.shared)
    writer.add_vocab_size(config.vocabulary)
    writer.add_rope_freq_base(config.theta)
    writer.add_layer_norm_rms_eps(config.epsilon)
    parts = {theirs: ours for ours, theirs in smollm2.GGUF_NAMES.items()}
    for name, tensor in weights.items():
        array = tensor.numpy()
        if name.startswith("layers."):
            _, number, rest = name.removesuffix(".weight").split(".", 2)
            called = f"blk.{number}.{parts[rest]}.weight"
            heads = {"attn_q": config.heads, "attn_k": config.shared}.get(parts[rest])
            if heads:
                halves = array.reshape(heads, 2, config.size // 2, config.width)
                array = np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(array.shape)
        else:
            called = {"embed_tokens": "token_embd", "norm": "output_norm"}[name.split(".")[0]] + ".weight"
        writer.add_tensor(called, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def test_weights_of_files(tmp_path: Path) -> None:
    made = smollm2.make(smollm2.TINY)
    weights = made.state_dict()
    for source in (
        hugging_face(tmp_path, smollm2.TINY, weights),
        as_gguf(tmp_path / "tiny.gguf", smollm2.TINY, weights),
    ):
        loaded = smollm2.load(source)
        assert loaded.config.theta == smollm2.TINY.theta and loaded.config.shared == smollm2.TINY.shared
        assert all(torch.equal(tensor, weights[name]) for name, tensor in loaded.state_dict().items())


def test_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="it can't be read"):
        smollm2.load(tmp_path)
    weights = smollm2.make(smollm2.TINY).state_dict()
    del weights["norm.weight"]
    with pytest.raises(ConfigError, match=r"its tensors are not those of a Llama(.|\n)*norm\.weight"):
        smollm2.load(as_gguf(tmp_path / "tiny.gguf", smollm2.TINY, weights))
    monkeypatch.delenv("SMOLLM2", raising=False)
    monkeypatch.setattr(smollm2.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="its weights are not here"):
        smollm2.source()
