"""GPT-2, one token behind up to 256 cached ones, all layers: cycles, traffic, and what limits them.

``python benchmarks/gpt2_decode.py [--model NAME] [--budget KEY=VALUE] [--rtl N] [-o benchmarks/results]`` prints JSON:
cycles a token (the engine's), bytes a token by kind, the bound of the memory's bandwidth, tokens/s at the machine's clock,
the share of the bound, and what the arrays do with their cycles. Of medium the trunk is compiled (no table, no head), of
small the whole (token and position table, head of 50,257 words). Random weights of 4 bits; operands and cached rows have
8 bits, the residual stream and everything else 16. ``--rtl N``: N calls on the RTL besides, every integer compared with
golden's. The HBM of a U280 gives 425 of its 460 GB/s (Wang et al., arXiv 2005.04324).
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

from intar import pipeline
from intar.assets import asset_dir
from intar.bench import simulated
from intar.design import Design
from intar.device import boards
from intar.ir.nodes.ports import Load, Store
from intar.ir.schedule import Mode
from intar.ir.segments import steps_in
from intar.report.lost import core_cycles
from intar.session import open_source

DEVICE, SCHEME, BITS = "u280", "w4a8r16", {"k_*": 8, "v_*": 8}
BUDGET = {
    "cores": 32, "rows": 1, "lanes": 32, "depth": 4, "rate": 16, "port_bits": 512, "states": 16, "efficiency": 0.924,
}  # fmt: skip
MODELS: dict[str, dict[str, object]] = {
    "medium_step": {},
    "medium_step_2": {},
    "small_step": {"cores": 24, "states": 12},
}
"""Functions of ``designs/gpt2/model.py``, and what their budget has otherwise: a port of states for each of 12 heads."""
ANCHORS = {"StreamTensor, U55C": 230, "CODO, U280": 231, "LoopLynx, one U50": 152}
"""Tokens a second of others' GPT-2 medium, W4A8 (LoopLynx: W8A8)."""

KINDS = {"w": "weights", "p": "parameters and tables", "sr": "cached rows read", "s": "new rows stored"}


def traffic(made: Design) -> dict[str, int]:
    """Bytes that all ports move for one token, by kind."""
    program, found = made.program, {}
    bits = {link.src: link.lanes * link.bits for link in program.links}
    bits |= {link.dst: link.lanes * link.bits for link in program.links}
    for node in program.nodes:
        if not isinstance(node, Load | Store):
            continue
        end = f"{node.name}.{'out' if isinstance(node, Load) else 'in'}"
        words = 0
        for segment, rounds in enumerate(program.rounds):
            for step in steps_in(node.steps, segment):
                repeat = getattr(step, "repeat", 1)
                words += rounds * repeat * -(-step.beats * bits[end] // node.port_bits)
        kind = KINDS.get(node.name.rstrip("0123456789"), "activations")
        found[kind] = found.get(kind, 0) + words * node.port_bits // 8
    return found


def measure(model: str, budget: dict[str, object], pattern: Mode, rtl: int) -> dict[str, object]:
    """Compile a model and, if asked to, simulate it."""
    began = time.process_time()
    place = f"{asset_dir('designs') / 'gpt2' / 'model.py'}:{model}"
    source = open_source(place, device=DEVICE, scheme=SCHEME, budget=budget, bits=BITS)
    made = pipeline.compile_quantised(source.quantised, source.machine, pattern, loops=source.loops)
    machine, cycles, board = source.machine, made.predicted.cycles, boards()[DEVICE]
    moved = traffic(made)
    bound = sum(moved.values()) / (board.bandwidth * 1e9) * machine.clock_mhz * 1e6
    cores = core_cycles(made).values()
    spent = {cause: sum(core[cause] for core in cores) / len(cores) / cycles for cause in next(iter(cores))}
    result: dict[str, object] = {
        "model": model,
        "looped": bool(source.loops),
        "pattern": pattern,
        "budget": budget,
        "multipliers": machine.multipliers,
        "words_per_cycle": machine.words_num / machine.words_den,
        "latency": machine.latency,
        "cycles": cycles,
        "tokens_per_second": round(machine.clock_mhz * 1e6 / cycles, 1),
        "bytes": moved,
        "bound_cycles": round(bound),
        "share_of_bound": round(bound / cycles, 3),
        "arrays": {cause: round(share, 3) for cause, share in spent.items()},
        "anchors_tokens_per_second": None if model == "small_step" else ANCHORS,
        "cpu_s": round(time.process_time() - began, 1),
    }
    if rtl:
        check = simulated(made, rtl)
        result |= {"rtl_cycles": max(check.cycles), "rtl_bit_exact": check.bit_exact}
    result["peak_gb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=tuple(MODELS), default="medium_step")
    parser.add_argument(
        "--budget", action="append", default=[], help="KEY=VALUE, in place of what the file says"
    )
    parser.add_argument("--pattern", choices=("auto", "sequential"), default="auto")
    parser.add_argument("--rtl", type=int, default=0, help="calls on the RTL")
    parser.add_argument("-o", "--out", type=Path, help="folder for gpt2_MODEL.json")
    options = parser.parse_args()
    budget = BUDGET | MODELS[options.model] | dict(item.split("=", 1) for item in options.budget)
    text = json.dumps(measure(options.model, budget, options.pattern, options.rtl), indent=1) + "\n"
    print(text, end="")
    if options.out:
        (options.out / f"gpt2_{options.model}.json").write_text(text)


if __name__ == "__main__":
    main()
