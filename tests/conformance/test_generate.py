"""Greedy text from a GPT-2 step by step, with cached keys and values, on every backend."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import intar
from intar import pipeline
from intar.assets import asset_dir
from intar.cli import app
from intar.errors import ConfigError, UnsupportedError
from intar.frontends import Builder
from intar.frontends.load import make_model
from intar.generate import StepFunction, generate, run_text, step_function
from intar.quant.golden import run_golden

GPT2 = asset_dir("designs") / "gpt2" / "model.py"
PROMPT = [3, 17, 5, 8, 11]


def compiled(
    name: str, like: intar.Accelerator | None = None, scheme: str = "w8a8r16", samples: int = 1000
) -> intar.Accelerator:
    module, data = make_model(f"{GPT2}:{name}")
    few = {key: value[-samples:] for key, value in data.items()}
    return intar.compile(module, few, budget={"multipliers": 16}, scheme=scheme, like=like)


@pytest.fixture(scope="module")
def single() -> intar.Accelerator:
    return compiled("tiny_step")


@pytest.fixture(scope="module")
def step(single: intar.Accelerator) -> StepFunction:
    return step_function(single.design.quantised)


@pytest.fixture(scope="module")
def project(single: intar.Accelerator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return single.write(tmp_path_factory.mktemp("step") / "project")


def test_a_step_is_what_a_whole_prefill_computes(step: StepFunction) -> None:
    """PyTorch, without a cache, on the same text; the states hold its keys."""
    text = generate(step, PROMPT, 3)
    module, _ = make_model(f"{GPT2}:tiny")
    whole = list(PROMPT)
    with torch.no_grad():
        for _ in range(3):
            at = torch.arange(len(whole))[None]
            whole.append(int(module(torch.tensor([whole]), at)["next"]))
        last = torch.tensor([whole[:-1]])
        _, keys, _ = module.trunk.h[0].attn.split(module.trunk.h[0].ln_1(module.embed(last, at)))
    assert list(text.tokens) == whole[len(PROMPT) :] and len(text.calls) == len(PROMPT) + 2
    state, form = text.calls[-1].inputs["k_0"], step.graph.tensor("k_0")
    wrong = form.scale * state[:, :, : len(whole) - 2] - keys.numpy()[:, :, :-1]
    assert np.abs(wrong).max() < 0.05 * keys.abs().max()


def test_engine_performs_every_call(single: intar.Accelerator, step: StepFunction) -> None:
    text = generate(step, PROMPT, 3)
    check = pipeline.verify_engine(single.design, [call.inputs for call in text.calls])
    assert check.bit_exact, check.first
    assert set(check.cycles) == {single.design.predicted.cycles}


def test_what_no_token_has_filled_does_not_count(step: StepFunction) -> None:
    """Rows behind the position may hold anything."""
    states = step.empty()
    clean = step.inputs([4], 2, states)
    dirty = {name: clean[name].copy() for name in clean}
    for state in step.states:
        dirty[state.name][:, :, 2:] = 999
    results = [run_golden(step.quantised, inputs).tensors for inputs in (clean, dirty)]
    assert all(np.array_equal(results[0][name], results[1][name]) for name in step.graph.outputs)


def test_prefill_in_chunks(single: intar.Accelerator, step: StepFunction) -> None:
    """Four tokens a call into the same states, in the same formats, whatever else the prefill was calibrated with."""
    chunk = compiled("tiny_chunk", like=single, samples=1)
    prefill = step_function(chunk.design.quantised)
    text, alone = generate(step, PROMPT, 3, prefill), generate(step, PROMPT, 3)
    assert [call.step.length for call in text.calls] == [4, 1, 1, 1]
    assert text.tokens == alone.tokens
    check = pipeline.verify_engine(chunk.design, [text.calls[0].inputs])
    assert check.bit_exact, check.first
    other = step_function(compiled("tiny_chunk", samples=1).design.quantised)
    with pytest.raises(ConfigError, match="differ in shape or format"):
        generate(step, PROMPT, 3, other)


def test_csim_through_the_command(project: Path) -> None:
    arguments = ["generate", str(project), "--prompt", "3 17,5", "-n", "3", "--json"]
    golden, csim = (
        json.loads(CliRunner().invoke(app, [*arguments, "--backend", backend]).stdout)
        for backend in ("golden", "csim")
    )
    assert golden["tokens"] == csim["tokens"] and len(csim["tokens"]) == 3 and csim["prompt"] == [3, 17, 5]
    assert (golden["bit_exact"], csim["bit_exact"]) == (None, True)
    assert len(csim["cycles"]["calls"]) == 5 and csim["tokens_per_second"] > 0


@pytest.mark.sim
def test_rtl(single: intar.Accelerator, step: StepFunction, project: Path) -> None:
    text = generate(step, PROMPT[:2], 2)
    ran = run_text(text, [(step, single.design, project)], "sim")
    assert (ran.mismatches, ran.tokens) == (0, text.tokens)
    assert set(ran.cycles) == {single.design.predicted.cycles}


def test_mistakes(step: StepFunction) -> None:
    for prompt, count, message in (
        ([], 1, "the prompt is empty"),
        (PROMPT, 6, "5 tokens and 6 more don't fit"),
        ([3, 24], 1, r"ids are 0 … 23"),
    ):
        with pytest.raises(ConfigError, match=message):
            generate(step, prompt, count)
    g = Builder("other")
    x, c = g.input("x", (1, 4)), g.input("cache", (2, 4))
    g.output(g.matmul(g.concat([x, c], axis=0), np.eye(4)))
    made = intar.compile(g.build(), {"x": np.ones((2, 1, 4)), "cache": np.ones((2, 2, 4))})
    with pytest.raises(UnsupportedError) as caught:
        step_function(made.design.quantised)
    whats = [finding.what for finding in caught.value.findings]
    assert len(whats) == 4 and "no input 'tokens'" in whats[0] and "no output 'cache_new'" in whats[3]
