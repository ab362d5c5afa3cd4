"""The report of a generated text, as ``intar generate --json`` prints it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from intar.design import Design
from intar.generate import Ran, Text
from intar.quant.steps import StepFunction
from intar.tokenizer import Tokenizer


def text_report(
    text: Text,
    ran: Ran,
    designs: Sequence[tuple[StepFunction, Design, Path]],
    backend: str,
    tokenizer: Tokenizer | None = None,
) -> dict[str, Any]:
    """``prompt`` and ``tokens``; ``text``, what the tokens say (None without a tokenizer); ``cycles`` (``source``: engine or
    rtl, ``total``, ``token``: the last call's, ``calls``, ``entries``: the entry that performed each of these);
    ``tokens_per_second`` behind the prompt and ``prompt_seconds`` at ``clock_mhz``, the device's clock, without the host's
    share; ``bit_exact`` with ``mismatches`` and ``first`` (None for golden, which nothing is compared with)."""
    clock = designs[0][1].schedule.machine.clock_mhz
    names = {id(step): made.name for step, made, _ in designs}
    before = len(text.calls) - len(text.tokens) + 1  # calls until the first new token is there
    return {
        "schema": "intar.text/1",
        "backend": backend,
        "prompt": list(text.prompt),
        "tokens": list(ran.tokens),
        "text": tokenizer.decode(ran.tokens) if tokenizer else None,
        "cycles": {
            "source": "rtl" if backend == "sim" else "engine",
            "total": sum(ran.cycles),
            "token": ran.cycles[-1],
            "calls": list(ran.cycles),
            "entries": [names[id(call.step)] for call in text.calls],
        },
        "clock_mhz": clock,
        "tokens_per_second": clock * 1e6 / ran.cycles[-1],
        "prompt_seconds": sum(ran.cycles[:before]) / (clock * 1e6),
        "bit_exact": None if backend == "golden" else ran.mismatches == 0,
        "mismatches": ran.mismatches,
        "first": ran.first,
    }
