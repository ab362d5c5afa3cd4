"""Step functions in several lengths: a call reads and multiplies as many rows of the caches as its position needs."""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from looped_gpt2 import GPT2, step_and_prefill
from typer.testing import CliRunner

import intar
from intar import proof, rendering
from intar.cli import app
from intar.design import Design
from intar.errors import ConfigError, UnsupportedError
from intar.generate import Text, forms, generate, run_text
from intar.networks import at_lengths, compile_networks
from intar.proof import Calls
from intar.quant.steps import StepFunction, step_function
from intar.reopen import open_entries, open_networks
from intar.verify.csim import FLAGS
from intar.verify.csim_build import compile_csim

PROMPT = [3, 17, 5, 8, 11]


@pytest.fixture(scope="module")
def kernel() -> list[Design]:
    """Three blocks, looped: a step of one token that reads 2, 4, 6 or 8 cached rows; a prefill of two tokens: 4, 6 or 8."""
    networks, machine = step_and_prefill(2)
    return compile_networks([n for one in networks for n in at_lengths(one, 4)], machine)


Texts = tuple[Text, list[tuple[StepFunction, Design]]]


@pytest.fixture(scope="module")
def texts(kernel: list[Design]) -> Texts:
    steps = [step_function(made.quantised) for made in kernel]
    whole, form = forms([(step, made, Path()) for step, made in zip(steps, kernel, strict=True)])
    text = generate(whole[0], PROMPT, 3, whole[1], form)
    assert text.tokens == generate(whole[0], PROMPT, 3).tokens
    return text, list(zip(steps, kernel, strict=True))


def test_a_call_is_the_fastest_that_will_do(kernel: list[Design], texts: Texts) -> None:
    assert [entry.name for entry in kernel[0].program.entries] == [
        *("step", "step_2", "step_4", "step_6"),
        *("prefill", "prefill_4", "prefill_6"),
    ]
    assert [made.of for made in kernel] == ["", "step", "step", "step", "", "prefill", "prefill"]
    performed = [(call.position, call.step.length, call.step.cached) for call in texts[0].calls]
    assert performed == [(0, 2, 4), (2, 2, 4), (4, 1, 4), (5, 1, 8), (6, 1, 8)]
    steps = {(one.length, one.cached): made.predicted.cycles for one, made in texts[1]}
    for position, length, cached in performed:
        fits = [cycles for (own, most), cycles in steps.items() if own == length and most >= position]
        assert steps[length, cached] == min(fits) < max(fits)


def test_on_the_engine(kernel: list[Design], texts: Texts) -> None:
    text, performed = texts
    designs = {id(step): made for step, made in performed}
    positions = tuple(call.position for call in text.calls)
    calls = Calls(positions, tuple(designs[id(call.step)] for call in text.calls))
    check = proof.verify_engine(kernel[0], [call.inputs for call in text.calls], calls)
    assert check.bit_exact, check.first
    assert check.cycles == tuple(made.predicted.cycles for made in calls.designs)


@pytest.fixture(scope="module")
def written(kernel: list[Design], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rendering.project(kernel[0], others=kernel[1:]).write(
        tmp_path_factory.mktemp("lengths") / "project"
    )


def test_a_project_is_opened_as_it_was_made(kernel: list[Design], written: Path) -> None:
    again = open_networks(written)
    assert [(made.program, made.images, made.of) for made in again] == [
        (made.program, made.images, made.of) for made in kernel
    ]
    assert [made.quantised.graph for made in again] == [made.quantised.graph for made in kernel]


def test_the_host_chooses_likewise(kernel: list[Design], texts: Texts, written: Path) -> None:
    """The generated XRT program, with the C++ on our simulator for a board."""
    shutil.copytree(Path(__file__).parent / "fake_xrt" / "xrt", written / "hls" / "xrt")
    (written / "hls" / "fake_kernel.h").write_text(
        f'#include "kernel.h"\n#define FAKE_KERNEL {kernel[0].program.name}_sim\n'
    )
    sources = [written / "host" / "generate.cpp", written / "hls" / "sim_top.cpp"]
    headers = [written / "hls", written / "hls" / "intar"]
    binary = compile_csim(sources, headers, written / "build" / "cpp", (*FLAGS, "-O0"))
    words = ["kernel.xclbin", "-n", "3", "--data", str(written / "data"), *map(str, PROMPT)]
    ran = subprocess.run([binary, *words], capture_output=True, text=True, check=False)
    assert ran.stdout.split() == [str(token) for token in texts[0].tokens], ran.stderr
    assert "5 calls" in ran.stderr


@pytest.mark.full
@pytest.mark.sim
@pytest.mark.parametrize("backend", ["csim", "sim"])
def test_in_generated_code(texts: Texts, written: Path, backend: str) -> None:
    """Every integer of every call; in the RTL each in as many cycles as the engine has found for its length."""
    text, performed = texts
    ran = run_text(text, [(step, made, written) for step, made in performed], backend)
    assert (ran.mismatches, ran.tokens) == (0, text.tokens), ran.first
    designs = {id(step): made for step, made in performed}
    assert ran.cycles == tuple(designs[id(call.step)].predicted.cycles for call in text.calls)


def command(*words: str) -> str:
    ran = CliRunner().invoke(app, words)
    assert ran.exit_code == 0, ran.output
    return ran.stdout


@pytest.mark.full
def test_entries_are_called_as_they_are_printed(tmp_path: Path) -> None:
    """What `compile` prints and `generate` reports are names that `--entry` takes."""
    project = str(tmp_path / "out")
    printed = command("compile", f"{GPT2}:tiny_step", "-o", project, "--lengths", "2", "--no-lint")
    (line,) = [line for line in " ".join(printed.split("\n")).split("; ") if "entries, cycles:" in line]
    names = [word.split()[0] for word in line.split("cycles: ")[1].split(", ")]
    assert names == ["step", "step_4"]
    made = json.loads(command("generate", project, "--prompt", "3 17", "-n", "5", "--json"))["cycles"]
    assert made["entries"] == ["step_4"] * 5 + ["step"]
    (shorter,) = open_entries(Path(project), names[1])
    assert (shorter.name, shorter.predicted.cycles) == (names[1], made["calls"][0])
    with pytest.raises(ConfigError) as caught:
        open_entries(Path(project), "step_5")
    (finding,) = caught.value.findings
    assert "no entry 'step_5'" in finding.what and finding.hint == "one of: step, step_4"


def tiny(function: str, lengths: int) -> intar.Accelerator:
    module, examples = runpy.run_path(str(GPT2))[function]()
    few = {name: array[::8] for name, array in examples.items()}
    return intar.compile(module, few, budget={"multipliers": 16}, scheme="w8a8r16", lengths=lengths)


def test_in_python(tmp_path: Path) -> None:
    """A call is performed by the fastest form that has all rows before its position; golden's integers are the same."""
    accel = tiny("tiny_step", 2)
    assert [(made.name, made.quantised.graph.positions) for made in (accel.design, *accel.shorter)] == [
        ("step", 8),
        ("step_4", 4),
    ]
    assert accel.shorter[0].predicted.cycles < accel.design.predicted.cycles
    assert accel.calibration is not None
    project = accel.write(tmp_path / "project")
    for position, name in ((4, "step_4"), (5, "step")):
        call = {key: array[0] for key, array in accel.calibration.items()} | {
            "position": np.array([position])
        }
        check = accel.csim(call, project)
        assert check.bit_exact, check.first
        reports = {"step": project / "report", "step_4": project / "report" / "step_4"}
        found = json.loads((reports[name] / "report.json").read_text())
        assert found["bit_exact"]["csim"]
        next_, want = check.outputs[0]["next"], accel(call)["next"]
        assert np.array_equal(next_.reshape(-1), np.reshape(want, -1))


def test_no_shorter_form(tmp_path: Path) -> None:
    """Of four tokens behind eight cached ones there is no form with half as many."""
    project = tmp_path / "out"
    printed = command("compile", f"{GPT2}:tiny_chunk", "-o", str(project), "--lengths", "2", "--no-lint")
    assert "cycles predicted" in printed and "entries" not in printed
    (made,) = open_entries(project)
    assert not made.program.entries


def test_mistakes(tmp_path: Path) -> None:
    words = ["compile", f"{GPT2}:tiny_step", "-o", str(tmp_path / "out"), "--lengths", "2"]
    ran = CliRunner().invoke(app, [*words, "--pin", "add=sequential"])
    assert isinstance(ran.exception, ConfigError) and "leave --schedule and --pin away" in str(ran.exception)
    words[1] = f"{GPT2}:tiny"
    ran = CliRunner().invoke(app, words)
    assert isinstance(ran.exception, UnsupportedError) and "depends on the input 'position'" in str(
        ran.exception
    )
    words[1] = f"{GPT2}:tiny_step"
    ran = CliRunner().invoke(app, [*words, "--entry", f"step_4={GPT2}:tiny_chunk"])
    assert isinstance(ran.exception, ConfigError) and "entry step_4: two networks" in str(ran.exception)
    with pytest.raises(ConfigError, match="0 forms of a network"):
        tiny("tiny_step", 0)
