"""Commands on a written project: run its C++ and RTL, lint, synthesise."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from intar.cli.common import Count, Entry, Json, Project, Seed, console, notes, progress, show, show_all

if TYPE_CHECKING:
    from intar.proof import Check

app = typer.Typer()


def _verified(
    checks: Mapping[str, Check], reports: Mapping[str, Any], as_json: bool, other_memory: bool = False
) -> None:
    """Show what was checked of each network, and its report; status 1 where an integer differs."""

    def human() -> None:
        for name, check_ in checks.items():
            verdict = (
                "[green]bit-exact[/]" if check_.bit_exact else f"[red]{check_.mismatches} integers differ[/]"
            )
            entry = f" {name}" if len(checks) > 1 else ""
            console.print(
                f"{check_.executor}{entry}: {check_.inferences} inferences, {verdict}, {check_.seconds:.2f} s"
            )
            if check_.first:
                console.print(f"first difference: {check_.first}")
            if check_.cycles:
                predicted, slowest = reports[name]["cycles"]["predicted"], max(check_.cycles)
                other = " with the default memory" if other_memory else ""
                console.print(f"cycles: {slowest:,} simulated, {predicted:,} predicted{other}")

    show_all(as_json, reports, human)
    if not all(check_.bit_exact for check_ in checks.values()):
        raise typer.Exit(1)


@app.command()
def csim(
    project: Project, entry: Entry = None, count: Count = 4, seed: Seed = 0, as_json: Json = False
) -> None:
    """Compile the generated C++, run it, compare with golden to the bit."""
    from intar import proof
    from intar.engine import build as engine
    from intar.reopen import open_entries, stored_inputs, update_report
    from intar.verify import csim_build
    from intar.verify.hls_lint import has_libclang, lint_directory
    from intar.verify.tools import require

    require(engine.missing_tools(), csim_build.missing_tools())
    networks = open_entries(project, entry)
    checks, reports = {}, {}
    with progress("lint the C++", f"compile the C++ and run {count} inferences") as step:
        if has_libclang():
            lint_directory(project, networks[0].program)
        step()
        for made in networks:
            result = proof.verify_csim(made, stored_inputs(project, made, count, seed), project)
            checks[made.name], reports[made.name] = result, update_report(project, made, [result])
        step()
    _verified(checks, reports, as_json)


@app.command()
def sim(
    project: Project,
    entry: Entry = None,
    count: Count = 4,
    seed: Seed = 0,
    waves: Annotated[bool, typer.Option(help="Record build/sim/dump.vcd, for GTKWave or Surfer.")] = False,
    stall: Annotated[
        float | None,
        typer.Option(min=0, max=0.9, help="Random stalls of the memory (0; with --protocol 0.3)."),
    ] = None,
    wait: Annotated[str, typer.Option(help="interrupt or poll.")] = "interrupt",
    reset: Annotated[bool, typer.Option(help="Reset before every inference.")] = False,
    abort: Annotated[
        int, typer.Option(min=0, help="Reset the kernel so many cycles into an inference, then begin.")
    ] = 0,
    protocol: Annotated[bool, typer.Option(help="cocotbext-axi memory with random pauses (slow).")] = False,
    as_json: Json = False,
) -> None:
    """Simulate the RTL with Verilator and cocotb, compare with golden to the bit, count cycles."""
    from intar import proof
    from intar.engine import build as engine
    from intar.errors import ConfigError, Finding
    from intar.reopen import open_entries, stored_inputs, update_report
    from intar.verify import toolchain
    from intar.verify.simulate import MemoryModel
    from intar.verify.tools import require

    require(engine.missing_tools(), toolchain.missing_tools(protocol))
    networks = open_entries(project, entry)
    if wait not in ("interrupt", "poll"):
        raise ConfigError(Finding(f"there is no way {wait!r} to wait", "--wait", hint="interrupt or poll"))
    stalls = (0.3 if protocol else 0.0) if stall is None else stall
    memory = MemoryModel(latency=networks[0].schedule.machine.latency, stall=stalls, seed=seed)
    other_memory = protocol or stalls > 0
    checks, reports = {}, {}
    names = [made.name for made in networks]
    with progress("build the simulator", *(f"{name}: simulate {count} inferences" for name in names)) as step:
        for made in networks:
            result = proof.verify_rtl(
                made,
                stored_inputs(project, made, count, seed),
                project,
                memory=memory,
                wait=wait,
                reset_between=reset,
                waves=waves,
                mode="axiram" if protocol else "dpi",
                abort_after=abort,
                built=step if made is networks[0] else lambda: None,
            )
            checks[made.name] = result
            reports[made.name] = update_report(project, made, [] if other_memory else [result])
            step()
    if waves:
        notes.print(f"waves: {project / 'build' / 'sim' / 'dump.vcd'}", markup=False, soft_wrap=True)
    _verified(checks, reports, as_json, other_memory)


@app.command()
def lint(project: Project, as_json: Json = False) -> None:
    """Check the generated C++ against the rules of Vitis HLS (extra `lint`); a finding is a fault of intar's."""
    from intar.codegen.lint import CHECKS
    from intar.engine import build as engine
    from intar.reopen import open_project
    from intar.verify import hls_lint
    from intar.verify.tools import require

    require(engine.missing_tools(), hls_lint.missing_tools())
    made = open_project(project)
    with progress("parse and check") as step:
        lines = hls_lint.lint_directory(project, made.program)
        step()
    document = {"kernel": made.program.name, "lines": lines, "checks": list(CHECKS), "findings": []}
    show(as_json, document, lambda: console.print(f"{lines:,} lines of C++, {len(CHECKS)} checks: clean"))


@app.command()
def synth(
    project: Project,
    blocks: Annotated[
        bool, typer.Option("--blocks", help="Multipliers and memories only: a minute instead of three.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Synthesise the RTL with Yosys (extra `synth`): multipliers, memories, look-up tables and flip-flops."""
    from intar.codegen.rtl import top_name
    from intar.engine import build as engine
    from intar.reopen import open_project, update_report
    from intar.report.resources import resource_table
    from intar.verify import synth as synthesis
    from intar.verify.tools import require

    require(engine.missing_tools(), synthesis.missing_tools())
    made = open_project(project)
    with progress("synthesise") as step:
        found = synthesis.synthesise_design(
            project, top_name(made.program), made.schedule.machine.device, blocks
        )
        step()
    report = update_report(project, made, resources=found)
    show(as_json, report, lambda: console.print(resource_table(found, made.schedule.machine.device)))


@app.command()
def build(
    project: Project,
    flow: Annotated[
        str,
        typer.Option(
            help="vitis (the C++), vivado (the RTL), overlay (the RTL in a bitstream for PYNQ, Zynq boards) "
            "or yosys (the RTL, open tools)."
        ),
    ] = "vitis",
    platform: Annotated[str, typer.Option(help="Vitis platform of a link; default: the board's.")] = "",
    link: Annotated[bool, typer.Option(help="Link the kernel for the platform (hours).")] = False,
    emulation: Annotated[bool, typer.Option(help="Link for hw_emu.")] = False,
    cosim: Annotated[bool, typer.Option(help="vitis: cosimulate the RTL that Vitis makes.")] = False,
    implement: Annotated[bool, typer.Option(help="vivado: place and route.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Jobs of a link or an implementation.")] = 4,
    as_json: Json = False,
) -> None:
    """Build the hardware with the vendor's tools; resources and timing of their reports go into report.json."""
    from intar.codegen.rtl import top_name
    from intar.engine import build as engine
    from intar.errors import ConfigError, Finding
    from intar.rendering import build_target
    from intar.reopen import open_project, update_report
    from intar.report.resources import resource_table
    from intar.verify import vendor
    from intar.verify.tools import require

    if flow == "yosys":
        synth(project, as_json=as_json)
        return
    if flow not in ("vitis", "vivado", "overlay"):
        hint = "vitis, vivado, overlay or yosys"
        raise ConfigError(Finding(f"there is no flow {flow!r}", "--flow", hint=hint))
    options = vendor.Options(platform, link, cosim, implement, emulation, jobs)
    require(engine.missing_tools(), vendor.missing_tools(flow, options))
    made = open_project(project)
    machine = made.schedule.machine
    target, kernel = build_target(machine), made.program.name if flow == "vitis" else top_name(made.program)
    with progress(*vendor.step_names(kernel, flow, target, options)) as step:
        built = vendor.build(project, kernel, flow, target, options, step)
    report = update_report(project, made, resources=built.resources, timing=built.timing)

    def human() -> None:
        timing = built.timing
        console.print(resource_table(built.resources, machine.device))
        console.print(f"clock: {timing['achieved_ns']:.3f} ns, wanted {timing['target_ns']:.3f} ns")
        for path in built.artefacts:
            console.print(f"{project}/{path}", markup=False, highlight=False, soft_wrap=True)

    show(as_json, report | {"artefacts": list(built.artefacts)}, human)


@app.command()
def generate(
    project: Project,
    prompt: Annotated[
        str, typer.Option(help="Token ids, separated by spaces or commas; with --tokenizer text.")
    ],
    tokens: Annotated[int, typer.Option("--tokens", "-n", min=1, help="How many tokens to generate.")] = 8,
    backend: Annotated[str, typer.Option(help="golden, csim (the C++) or sim (the RTL).")] = "golden",
    prefill: Annotated[
        Path | None,
        typer.Option(help="Project of a step function that takes the prompt, several tokens a call."),
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(help="The model's tokenizer.json, or its .gguf file: prompt and answer are text."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Generate tokens greedily with a step function of a language model; csim and sim are compared with golden."""
    from intar.errors import ConfigError, Finding
    from intar.generate import BACKENDS, forms, generate, run_text
    from intar.options import parse_prompt
    from intar.quant.steps import step_function
    from intar.reopen import open_networks
    from intar.report.text import text_report
    from intar.tokenizer import load_tokenizer

    if backend not in BACKENDS:
        raise ConfigError(Finding(f"there is no backend {backend!r}", "--backend", hint=", ".join(BACKENDS)))
    words = load_tokenizer(tokenizer) if tokenizer else None
    ids = words.encode(prompt) if words else parse_prompt(prompt)
    designs = [(step_function(made.quantised), made, project) for made in open_networks(project)]
    if prefill:
        other = open_networks(prefill)[0]
        alone = [one for one in designs if one[0].length == designs[0][0].length]
        designs = [*alone, (step_function(other.quantised), other, prefill)]
    whole, form = forms(designs)
    with progress("generate with golden", f"the same calls: {backend}") as advance:
        text = generate(whole[0], ids, tokens, whole[1] if len(whole) > 1 else None, form)
        advance()
        ran = run_text(text, designs, backend)
        advance()
    document = text_report(text, ran, designs, backend, words)

    def human() -> None:
        speed = f"{document['tokens_per_second']:,.0f} tokens/s at {document['clock_mhz']:g} MHz"
        cycles = f"{document['cycles']['total']:,} cycles, {document['cycles']['token']:,} a token"
        shown = " ".join(map(str, document["tokens"])) if words is None else prompt + document["text"]
        console.print(shown, highlight=False, markup=False)
        console.print(f"{backend}: {len(text.calls)} calls, {cycles}, {speed}", highlight=False)
        if ran.first:
            console.print(f"first difference: {ran.first}")

    show(as_json, document, human)
    if ran.mismatches:
        raise typer.Exit(1)
