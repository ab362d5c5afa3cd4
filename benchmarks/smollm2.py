"""SmolLM2-135M: float and integers on a real text, the whole path's time and memory, text from the generated C++, and one
layer in RTL.

Needs the weights (`designs/smollm2/model.py` says from where), the extra `llm`, and the file lee.cor of the package gensim
(``pip download --no-deps gensim``, it lies in gensim/test/test_data).

    python benchmarks/smollm2.py formats                    which operands could be narrower: the search, on the text for
                                                            calibration
    python benchmarks/smollm2.py perplexity --lee lee.cor   float and golden, 1,024 tokens in four texts of 256
                                                            (--bits '*.down_proj.in=16': other widths than the design's)
    python benchmarks/smollm2.py compile                    PyTorch module to all files written, one process
    python benchmarks/smollm2.py text                       20 tokens from golden and from the C++ that `compile` wrote
    python benchmarks/smollm2.py layer                      one layer, two tokens one after the other in RTL
    python benchmarks/smollm2.py transformers               our float module beside the one of the package transformers

Each prints JSON and writes it into its part of benchmarks/results/smollm2.json.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from intar.assets import asset_dir, import_file
from intar.frontends.load import sample_arrays
from intar.frontends.torch_graph import import_torch
from intar.grid import prepare
from intar.ir.io import write_atomic
from intar.ir.loops import looped_form
from intar.ir.repeats import alike
from intar.options import parse_bits
from intar.quant.golden import dequantise, golden_tensors
from intar.quant.quantise import quantise
from intar.quant.scheme import scheme
from intar.quant.search import Outputs, Trial, search_formats
from intar.tokenizer import load_tokenizer

FILE = asset_dir("designs") / "smollm2" / "model.py"
RESULTS = Path(__file__).parent / "results" / "smollm2.json"
SCHEME, BITS = "w8a8r16", {"*.in": 16, "*.o_proj.in": 8, "*attended.in1": 8}
"""What the search chose (`formats`), as patterns that mean the same in every function of the file."""
TOKENS, TEXT = 1024, 256
SEARCHED, TEXTS = 256, 1
"""Tokens of a text that the search looks at, and texts: as long as Lee's, since what softmax makes needs more bits the
longer the text is."""
BOUND = 0.997
"""Perplexity that the widest formats are expected to have over that of the chosen ones, at least: on Lee's text the widest
take most of 1.05. Expected: by float's own probabilities of what comes next, since what really comes is a matter of luck in
so short a text."""
PROMPT = "The capital of France is"

smollm2 = import_file(FILE)


def windows(lee: Path) -> np.ndarray:
    """The first tokens of the corpus, in texts of TEXT tokens."""
    ids = load_tokenizer(smollm2.source()).encode(lee.read_text("latin-1"))
    return np.array(ids[:TOKENS]).reshape(-1, TEXT)


def surprise(logits: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Nats for each token but the first, of the logits (tokens, vocabulary) behind the one before."""
    logits = logits[:-1] - logits[:-1].max(axis=-1, keepdims=True)
    return np.log(np.exp(logits).sum(axis=-1)) - logits[np.arange(len(logits)), tokens[1:]]


def divergence(real: np.ndarray, golden: np.ndarray) -> float:
    """Mean over the tokens of Kullback and Leibler's divergence of two logits (tokens, vocabulary), nats."""
    p, q = (x - x.max(axis=-1, keepdims=True) for x in (real, golden))
    p, q = (x - np.log(np.exp(x).sum(axis=-1, keepdims=True)) for x in (p, q))
    return float((np.exp(p) * (p - q)).sum(axis=-1).mean())


def formats(options: argparse.Namespace) -> dict[str, Any]:
    module, samples = smollm2.logits(SEARCHED)
    graph, loops = looped_form(prepare(import_torch(module, samples, "smollm2")))
    trials: list[float] = []

    def relative(real: Outputs, golden: Outputs) -> float:
        """Also: nats by which golden's probabilities diverge from float's, those of the widest formats less these."""
        pairs = zip(real, golden, strict=True)
        apart = [divergence(a["logits"][0], b["logits"][0]) for a, b in pairs]
        trials.append(float(np.mean(apart)))
        return math.exp(trials[0] - trials[-1])

    def tell(trial: Trial) -> None:
        print(
            f"{time.process_time():.0f} s: {trial.score:.5f}, {trial.moved} bits", file=sys.stderr, flush=True
        )

    calibration = sample_arrays(samples, graph.inputs)
    how = {"metric": relative, "count": TEXTS, "alike": alike(graph, loops), "step": tell}
    found = search_formats(graph, scheme(SCHEME), calibration, BOUND, **how)
    rows = [
        {"place": list(step.unit.patterns), "bits": step.unit.narrow if step.kept else step.unit.wide}
        | {"alone": step.alone.score, "score": step.trial.score, "moved": step.trial.moved, "kept": step.kept}
        for step in found.steps
    ]
    ends = {"wide": found.wide, "narrow": found.narrow, "chosen": found.chosen}
    return {
        "tokens": TEXTS * SEARCHED,
        "bound": BOUND,
        "divergence": {"wide": trials[0], "narrow": trials[-1]},
        "cpu_s": round(time.process_time(), 1),
        **{name: {"score": trial.score, "moved": trial.moved} for name, trial in ends.items()},
        "trade_off": rows,
    }


def perplexity(options: argparse.Namespace) -> dict[str, Any]:
    texts = windows(options.lee)
    module, samples = smollm2.logits()
    positions = np.arange(TEXT)[None]
    with torch.no_grad():
        real = [
            surprise(module(torch.tensor(text[None]), torch.tensor(positions))["logits"][0].numpy(), text)
            for text in texts
        ]
    graph = import_torch(module, samples, "smollm2")
    asked = parse_bits(options.bits)[1] or BITS
    quantised = quantise(graph, scheme(SCHEME).with_bits(asked), sample_arrays(samples, graph.inputs))
    form, whole, clamped = quantised.graph.tensor("logits"), [], 0
    for text in texts:
        for name, (array,), count in golden_tensors(
            quantised, [{"tokens": text[None], "positions": positions}]
        ):
            clamped += count
            if name == "logits":
                whole.append(surprise(dequantise(form, array)[0], text))
    found = {"float": real, "golden": whole}
    made = {name: round(math.exp(np.mean(nats)), 3) for name, nats in found.items()}
    return {
        "tokens": TOKENS,
        "text": TEXT,
        "scheme": SCHEME,
        "bits": asked,
        **made,
        "ratio": round(made["golden"] / made["float"], 4),
        "saturations": clamped,
    }


def run(*arguments: str) -> tuple[str, dict[str, Any]]:
    """Standard output of ``intar`` with these arguments, in a process of its own, and what it took."""
    load, began = os.getloadavg()[0], time.perf_counter()
    command = [sys.executable, "-m", "intar.cli", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"intar {arguments[0]} ended with status {process.returncode}\n{output}")
    return output, {
        "wall_s": round(time.perf_counter() - began, 1),
        "cpu_s": round(used.ru_utime + used.ru_stime, 1),
        "peak_gb": round(used.ru_maxrss / 1e6, 2),
        "load": round(load, 1),
    }


def options_of(budget: str, pattern: str) -> list[str]:
    bits = [item for place, width in BITS.items() for item in ("--bits", f"{place}={width}")]
    return [*bits, "--scheme", SCHEME, "--device", "u280", "--budget", budget, "--pattern", pattern]


def compile_step(options: argparse.Namespace) -> dict[str, Any]:
    target = options.folder / "step"
    _, used = run("compile", f"{FILE}:step", *options_of("dsp=2048,rows=1", "sequential"), "-o", str(target))
    return used | described(target)


def described(project: Path) -> dict[str, Any]:
    """Predicted cycles and written files of a project."""
    report = json.loads((project / "report" / "report.json").read_text())
    written = [file.stat().st_size for file in project.rglob("*") if file.is_file()]
    return {
        "multipliers": report["budget"]["multipliers"],
        "cycles": report["cycles"]["predicted"],
        "files": len(written),
        "written_gb": round(sum(written) / 1e9, 2),
    }


def generated(project: Path, prompt: str, count: int, backend: str) -> dict[str, Any]:
    """What ``intar generate`` says of a text."""
    tokenizer = ["--tokenizer", str(smollm2.source())]
    output, used = run(
        *("generate", str(project), "--prompt", prompt, "-n", str(count), "--backend", backend, "--json"),
        *tokenizer,
    )
    document = json.loads(output)
    kept = ("prompt", "tokens", "text", "tokens_per_second", "bit_exact", "mismatches")
    cycles = {"cycles": document["cycles"]["token"], "calls": len(document["cycles"]["calls"])}
    return {key: document[key] for key in kept} | cycles | used


def text(options: argparse.Namespace) -> dict[str, Any]:
    golden, csim = (generated(options.folder / "step", PROMPT, 20, name) for name in ("golden", "csim"))
    return {"golden": golden, "csim": csim, "equal": golden["tokens"] == csim["tokens"]}


def layer(options: argparse.Namespace) -> dict[str, Any]:
    target = options.folder / "layer"
    _, used = run("compile", f"{FILE}:layer", *options_of("dsp=2048", "auto"), "-o", str(target))
    return used | described(target) | {"rtl": generated(target, "The capital", 1, "sim")}


def beside_transformers(options: argparse.Namespace) -> dict[str, Any]:
    from transformers import AutoModelForCausalLM

    file = smollm2.source()
    theirs = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    tokens = torch.tensor(windows(options.lee))[:1]
    with torch.no_grad():
        wanted = theirs.eval()(tokens).logits
        module = smollm2.Logits(smollm2.load(file), TEXT)
        made = module(tokens, torch.arange(TEXT)[None])["logits"]
    return {
        "tokens": TEXT,
        "largest_logit": round(wanted.abs().max().item(), 3),
        "largest_difference": float(f"{(made - wanted).abs().max().item():.2g}"),
    }


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "formats": formats,
    "perplexity": perplexity,
    "compile": compile_step,
    "text": text,
    "layer": layer,
    "transformers": beside_transformers,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--lee", type=Path, default=Path("lee.cor"), help="gensim's lee.cor")
    parser.add_argument("--folder", type=Path, default=Path("out/smollm2"), help="where projects are written")
    parser.add_argument("--bits", action="append", default=[], help="perplexity: widths, as of intar compile")
    options = parser.parse_args()
    found = {options.part: PARTS[options.part](options)}
    print(json.dumps(found, indent=1))
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    write_atomic(RESULTS, (json.dumps(dict(sorted((kept | found).items())), indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
