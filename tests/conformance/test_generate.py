"""Greedy text from a GPT-2 step by step, with cached keys and values, on every backend."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from looped_gpt2 import GPT2, step_and_prefill
from typer.testing import CliRunner

import intar
from intar import pipeline, proof, rendering
from intar.cli import app
from intar.design import Design
from intar.engine import run
from intar.errors import ConfigError, UnsupportedError
from intar.frontends import Builder
from intar.frontends.load import make_model
from intar.generate import Text, generate, run_text
from intar.networks import compile_networks, shared_bytes
from intar.proof import Calls
from intar.quant.golden import integer_samples, run_golden
from intar.quant.steps import StepFunction, step_function
from intar.reopen import open_networks
from intar.session import open_source
from intar.verify.csim import FLAGS
from intar.verify.csim_build import compile_csim

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
    check = proof.verify_engine(single.design, [call.inputs for call in text.calls])
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


@pytest.mark.full
def test_prefill_in_chunks(single: intar.Accelerator, step: StepFunction) -> None:
    """Four tokens a call into the same states, in the same formats, whatever else the prefill was calibrated with."""
    chunk = compiled("tiny_chunk", like=single, samples=1)
    prefill = step_function(chunk.design.quantised)
    text, alone = generate(step, PROMPT, 3, prefill), generate(step, PROMPT, 3)
    assert [call.step.length for call in text.calls] == [4, 1, 1, 1]
    assert text.tokens == alone.tokens
    check = proof.verify_engine(chunk.design, [text.calls[0].inputs])
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


@pytest.fixture(scope="module")
def kernel() -> list[Design]:
    """One kernel that performs a step and, four tokens a call, its prefill: three blocks, looped in both."""
    return compile_networks(*step_and_prefill(4))


Texts = tuple[Text, list[tuple[StepFunction, Design]]]


@pytest.fixture(scope="module")
def texts(kernel: list[Design]) -> Texts:
    steps = [step_function(made.quantised) for made in kernel]
    return generate(steps[0], PROMPT, 3, steps[1]), list(zip(steps, kernel, strict=True))


def test_entries_share_nodes_states_and_constants(kernel: list[Design], tmp_path: Path) -> None:
    program = kernel[0].program
    assert [entry.name for entry in program.entries] == ["step", "prefill"]
    assert sorted(program.rounds) == [1, 1, 1, 1, 3, 3]
    assert program.scalars == ("entry", "position") and program.positions == 8
    (kept,) = [argument for argument in program.arguments if argument.role == "state"]
    assert [region.name for region in kept.fields] == ["k_0", "v_0", "k_1", "v_1", "k_2", "v_2"]
    width = program.outputs_of("w0")["out"].bits // 8
    weights = width * (3 * 12 * 16 * 16 + 16 * 24)  # bytes of those of the matmuls
    assert shared_bytes(program) > weights and len(kernel[0].images["w0"]) < 1.1 * weights
    rendering.project(kernel[0], others=kernel[1:]).write(tmp_path / "project")
    again = open_networks(tmp_path / "project")
    assert [(made.program, made.images) for made in again] == [(made.program, made.images) for made in kernel]


def test_one_kernel_on_the_engine(kernel: list[Design], texts: Texts) -> None:
    """Each call finds in device memory what the ones before have stored there."""
    text, performed = texts
    designs = {id(step): made for step, made in performed}
    calls = Calls(
        tuple(call.position for call in text.calls), tuple(designs[id(call.step)] for call in text.calls)
    )
    check = proof.verify_engine(kernel[0], [call.inputs for call in text.calls], calls)
    assert check.bit_exact, check.first
    assert check.cycles == tuple(made.predicted.cycles for made in calls.designs)
    elsewhere = replace(calls, positions=(0, 5, 5, 6))
    wrong = proof.verify_engine(kernel[0], [call.inputs for call in text.calls], elsewhere)
    assert not wrong.bit_exact  # a row that is not where the next call looks for it is missed


def test_no_position_is_beyond_the_last_one(kernel: list[Design], texts: Texts) -> None:
    """A call stores inside of the states whatever its position is."""
    made = kernel[1]
    images = {**made.images, **made.input_images(texts[0].calls[0].inputs)}
    results = [run(made.program, images, entry=1, position=at).outputs for at in (8, 9, 1 << 20)]
    assert results[0] == results[1] == results[2] != run(made.program, images, entry=1, position=4).outputs


@pytest.fixture(scope="module")
def written(kernel: list[Design], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rendering.project(kernel[0], others=kernel[1:]).write(
        tmp_path_factory.mktemp("kernel") / "project"
    )


def test_one_kernel_in_csim(texts: Texts, written: Path) -> None:
    text, performed = texts
    ran = run_text(text, [(step, made, written) for step, made in performed], "csim")
    assert (ran.mismatches, ran.tokens) == (0, text.tokens)


def command(*words: str) -> dict:
    ran = CliRunner().invoke(app, [*words, "--json"])
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.stdout)


@pytest.mark.full
def test_commands_take_all_entries(kernel: list[Design], written: Path) -> None:
    """csim and report, of every entry or of the one that is named; each report has that entry's schedule and cycles."""
    ran = command("csim", str(written), "-n", "2")["entries"]
    assert {name: found["bit_exact"]["csim"] for name, found in ran.items()} == {
        "step": True,
        "prefill": True,
    }
    one = command("csim", str(written), "-n", "1", "--seed", "1", "--entry", "prefill")
    assert (one["entry"], one["bit_exact"]["csim"]) == ("prefill", True)
    found = command("report", str(written))["entries"]
    for made in kernel:
        report = found[made.name]
        assert report["cycles"]["predicted"] == made.predicted.cycles
        tasks = {task.name for task in made.quantised.graph.tasks}
        assert set().union(*(stage["tasks"] for stage in report["stages"])) <= tasks
        cores = made.schedule.machine.cores * made.predicted.cycles
        assert 0 < sum(report["lost_cycles"].values()) < cores
    folder = written / "report"
    pages = {file.relative_to(folder).as_posix() for file in folder.rglob("*.*")}
    names = {"report.json", "report.html", "schedule.perfetto.json"}
    assert pages == names | {f"prefill/{name}" for name in names}
    ran = CliRunner().invoke(app, ["csim", str(written), "--entry", "decode"])
    assert isinstance(ran.exception, ConfigError) and "one of: step, prefill" in str(ran.exception)


def test_spans_name_the_steps_of_their_entry(kernel: list[Design]) -> None:
    for made in kernel:
        nodes = {node.name: node for node in made.program.nodes}
        spans = [span for span in made.predicted.stages if span.node in nodes and span.first >= 0]
        lists = {span.node: nodes[span.node].steps for span in spans}
        entry = made.program.entries[made.entry]
        for span in spans:
            step = lists[span.node][span.step]
            assert step.note == span.note and entry.first <= step.segment < entry.end


def test_host_program(kernel: list[Design], texts: Texts, written: Path) -> None:
    """The generated XRT program, with the C++ on our simulator for a board: ids in, ids out."""
    text, _ = texts
    shutil.copytree(Path(__file__).parent / "fake_xrt" / "xrt", written / "hls" / "xrt")
    (written / "hls" / "fake_kernel.h").write_text(
        f'#include "kernel.h"\n#define FAKE_KERNEL {kernel[0].program.name}_sim\n'
    )
    sources = [written / "host" / "generate.cpp", written / "hls" / "sim_top.cpp"]
    headers = [written / "hls", written / "hls" / "intar"]
    binary = compile_csim(sources, headers, written / "build" / "cpp", (*FLAGS, "-O0"))
    arguments = ["kernel.xclbin", "-n", "3", "--data", str(written / "data")]

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([binary, *arguments, *words], capture_output=True, text=True, check=False)

    ran = call(*map(str, PROMPT))
    assert ran.stdout.split() == [str(token) for token in text.tokens], ran.stderr
    assert "4 calls" in ran.stderr
    for words, message in (
        (["24"], "token 24: ids are 0 to 23"),
        (["x"], "x is no token id"),
        ([], "give token ids"),
        (["1"] * 8, "does not fit"),
    ):
        refused = call(*words)
        assert refused.returncode and message in refused.stderr


def test_python_host(
    kernel: list[Design], texts: Texts, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same in Python, with pyxrt's interface to the engine for a board."""
    text, _ = texts
    program = kernel[0].program

    class Buffer:
        normal = None

        def __init__(self, device: object, size: int, flags: object, group: int):
            self.host, self.device = bytearray(size), bytearray(b"\xa5" * size)

        def write(self, data: bytes, at: int) -> None:
            self.host[at : at + len(data)] = data

        def read(self, size: int, at: int) -> bytearray:
            return self.host[at : at + size]

        def sync(self, to_device: bool, size: int, at: int) -> None:
            source, target = (self.host, self.device) if to_device else (self.device, self.host)
            target[at : at + size] = source[at : at + size]

    class Kernel:
        shared = None

        def __init__(self, *_: object):
            pass

        def group_id(self, index: int) -> int:
            return index

        def __call__(self, *arguments: Buffer | int) -> Kernel:
            buffers = dict(zip([a.name for a in program.arguments], arguments, strict=False))
            entry, position = arguments[len(buffers) :]
            images = {a.name: bytes(buffers[a.name].device) for a in program.arguments}
            for name, image in run(program, images, entry=entry, position=position).outputs.items():
                buffers[name].device[:] = image
            return self

        def wait(self) -> None:
            pass

    fake = types.SimpleNamespace(
        xclBOSyncDirection=types.SimpleNamespace(
            XCL_BO_SYNC_BO_TO_DEVICE=True, XCL_BO_SYNC_BO_FROM_DEVICE=False
        ),
        device=lambda _: types.SimpleNamespace(load_xclbin=lambda _: 1),
        xclbin=str,
        kernel=Kernel,
        bo=Buffer,
    )
    monkeypatch.setitem(sys.modules, "pyxrt", fake)
    monkeypatch.syspath_prepend(str(written / "host"))
    host, generate_ = (importlib.import_module(name) for name in ("host", "generate"))
    constants = {name: host.read_images(written / "data", name)[0] for name in kernel[0].images}
    board = host.Board("kernel.xclbin", constants)
    for _ in range(2):  # a text begins with empty states
        assert list(generate_.generate(board, PROMPT, 3)) == list(text.tokens)
    with pytest.raises(SystemExit, match="the states hold 8 tokens"):
        list(generate_.generate(board, PROMPT, 6))
    for name in ("host", "generate"):
        del sys.modules[name]


@pytest.mark.full
@pytest.mark.sim
def test_one_kernel_in_rtl(kernel: list[Design], texts: Texts, written: Path) -> None:
    """Prefill and decode through one kernel, whose states lie in the simulated memory all the time."""
    text, performed = texts
    ran = run_text(text, [(step, made, written) for step, made in performed], "sim")
    assert (ran.mismatches, ran.tokens) == (0, text.tokens)
    step, prefill = (made.predicted.cycles for made in kernel)
    assert ran.cycles == (prefill, step, step, step)


@pytest.mark.full
@pytest.mark.sim
def test_sim_takes_all_entries(kernel: list[Design], written: Path) -> None:
    found = command("sim", str(written), "-n", "1")["entries"]
    assert {name: one["bit_exact"]["rtl"] for name, one in found.items()} == {"step": True, "prefill": True}
    cycles = [found[made.name]["cycles"] for made in kernel]
    assert [one["simulated"] for one in cycles] == [made.predicted.cycles for made in kernel]


Calling = tuple[Design, list[dict[str, np.ndarray]]]


@pytest.fixture(scope="module")
def all_words() -> Calling:
    """A narrow GPT-2 with the vocabulary of the real one, 50,257 words, and two calls of it."""
    source = open_source(f"{GPT2}:narrow_step", scheme="w8a8r16", budget={"multipliers": 32})
    samples = integer_samples(source.quantised, source.calibration)
    made = pipeline.compile_quantised(source.quantised, source.machine, "sequential", loops=source.loops)
    return made, [{name: array[number] for name, array in samples.items()} for number in (9, 20)]


@pytest.mark.full
def test_a_vocabulary_of_no_multiple_of_the_lanes(all_words: Calling, tmp_path: Path) -> None:
    """Rows of the token table by address, the head's weights column block by block, the last one with 17 words of 32."""
    made, calls = all_words
    assert made.schedule.machine.lanes == 32
    for check in (
        proof.verify_engine(made, calls),
        proof.verify_csim(made, calls, rendering.project(made).write(tmp_path / "project")),
    ):
        assert check.bit_exact, check.first
        words = [int(outputs["next"].item()) for outputs in check.outputs]
        assert len(set(words)) == 2 and max(words) > 1 << 15


@pytest.mark.full
@pytest.mark.sim
def test_a_vocabulary_of_no_multiple_of_the_lanes_in_rtl(all_words: Calling, tmp_path: Path) -> None:
    made, calls = all_words
    check = proof.verify_rtl(made, calls, rendering.project(made).write(tmp_path / "project"))
    assert check.bit_exact, check.first
    assert set(check.cycles) == {made.predicted.cycles}


@pytest.mark.full
@pytest.mark.sim
def test_one_kernel_prefill_and_decode(tmp_path: Path) -> None:
    """GPT-2 with d = 128 and 4 layers: 16 tokens in one call, then 8 more, in C++ and RTL, through one kernel."""
    project = tmp_path / "project"
    options = ["--budget", "multipliers=64", "--scheme", "w8a8r16", "--entry", f"prefill={GPT2}:scaled_chunk"]
    made = CliRunner().invoke(app, ["compile", f"{GPT2}:scaled_step", *options, "-o", str(project)])
    assert made.exit_code == 0, made.output
    prompt = " ".join(map(str, range(16)))
    arguments = ["generate", str(project), "--prompt", prompt, "-n", "9", "--json", "--backend"]
    for backend in ("csim", "sim"):
        ran = CliRunner().invoke(app, [*arguments, backend])
        assert ran.exit_code == 0, ran.output
        found = json.loads(ran.stdout)
        assert found["bit_exact"] and len(found["tokens"]) == 9 and len(found["cycles"]["calls"]) == 9
    predicted = [made.predicted.cycles for made in open_networks(project)]
    assert found["cycles"]["calls"] == [predicted[1], *[predicted[0]] * 8]


def test_mistakes_with_entries(tmp_path: Path) -> None:
    models = ["compile", f"{GPT2}:tiny_step", "-o", str(tmp_path / "out"), "--entry"]
    for words, message in (
        (["prefill"], "not KEY=VALUE"),
        (["a b=x.py:f"], "is no name for an entry"),
        ([f"prefill={GPT2}:tiny_chunk", "--pin", "add=sequential"], "leave --schedule and --pin away"),
    ):
        ran = CliRunner().invoke(app, [*models, *words])
        assert isinstance(ran.exception, ConfigError) and message in str(ran.exception)


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
